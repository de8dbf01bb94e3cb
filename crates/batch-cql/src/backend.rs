//! The backend: what core asks of a CQL store.

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use batch_core::{
    BatchType, Capabilities, Error, ErrorKind, Key, NativeStatement, OperationRef, Result, Server,
    Verb,
    seam::{Answers, Backend, Chunk, Routes, Terms, View},
};
use bytes::Bytes;
use scylla::{
    client::{execution_profile::ExecutionProfileHandle, session::Session},
    statement::prepared::PreparedStatement,
};

use crate::{
    clock::ServerClock,
    connection::{self, Asking, Connection},
    guard::Guard,
    native::Native,
    natives::{Natives, as_json, as_typed},
    position,
    replicas::KnownReplicas,
    route::{Router, Target},
    schema::{Known, Preparing, Schema, full_name, next_number},
    send::direct::Repeated,
    server::{Refusals, ServerFacts},
    statement::{CqlStatement, Prepared, Text},
    watch::SchemaWatch,
    way::Way,
};

/// The longest time to live: 20 years, which is the server's limit.
const MAX_TTL: Duration = Duration::from_secs(630_720_000);

/// A connection to a cluster, as the core uses it.
pub(crate) struct CqlBackend {
    pub(crate) session: Arc<Session>,
    /// Tells it from other stores of the process.
    number: u32,
    pub(crate) profile: ExecutionProfileHandle,
    pub(crate) tracing: bool,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) server: ServerFacts,
    pub(crate) guard: Guard,
    pub(crate) repeated: Repeated,
    keyspace: Option<Box<str>>,
    asking: Asking,
    spread: bool,
    refusals: Refusals,
    schema: Schema,
    watch: SchemaWatch,
    replicas: KnownReplicas,
    natives: Natives,
    /// Whether something was met that has a user-defined type: most stores never see one.
    met_types: AtomicBool,
    /// Whether a statement was met that deletes counters, likewise.
    met_uncounting: AtomicBool,
    unread: Mutex<Option<Error>>,
    /// Whether there is one, which each commit asks.
    is_unread: AtomicBool,
    /// Why only the schema of the store's own keyspace is read.
    narrowed: Option<Error>,
}

impl fmt::Debug for CqlBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CqlBackend")
            .field("keyspace", &self.keyspace)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl CqlBackend {
    pub(crate) fn new(connection: Connection) -> Self {
        let Connection {
            session,
            keyspace,
            profile,
            asking,
            clock,
            server,
            refusals,
            tracing,
            spread,
            narrowed,
            schema_read,
        } = connection;
        Self {
            session,
            number: next_number(),
            profile,
            tracing,
            clock,
            watch: SchemaWatch::new(server.has_schema_versions, schema_read),
            server,
            guard: Guard::default(),
            repeated: Repeated::default(),
            keyspace,
            asking,
            spread,
            refusals,
            schema: Schema::default(),
            replicas: KnownReplicas::default(),
            natives: Natives::default(),
            met_types: AtomicBool::new(false),
            met_uncounting: AtomicBool::new(false),
            unread: Mutex::default(),
            is_unread: AtomicBool::new(false),
            narrowed,
        }
    }

    pub(crate) fn preparing(&self) -> Preparing<'_> {
        Preparing { session: &self.session, profile: &self.profile, tracing: self.tracing }
    }

    /// Prepares a statement for values of the caller's own types.
    pub(crate) async fn prepare_typed(&self, text: &str) -> Result<CqlStatement> {
        CqlStatement::prepare(text, self.keyspace.as_deref(), self.preparing()).await
    }

    /// Remembers what the server says that it never takes.
    pub(crate) fn learn(&self, error: Error) -> Error {
        self.refusals.learn(&error);
        error
    }

    /// Refuses an update of a table that has nothing to update. Looks a run of them on one collection up
    /// once, without a lock for each: what another table than that was has become is seen when it is routed.
    fn admit_update(&self, verb: Verb, collection: &str) -> Result<()> {
        thread_local! {
            /// The last one that was admitted, and the store's number.
            static LAST: RefCell<(u32, String)> = RefCell::default();
        }
        LAST.with_borrow_mut(|(store, last)| {
            if *store == self.number && last == collection {
                return Ok(());
            }
            if let Some(known) = self.look_up(collection)
                && known.is_key_only()
            {
                return Err(key_only(verb, &known));
            }
            *store = self.number;
            collection.clone_into(last);
            Ok(())
        })
    }

    /// What the operations of one shape are about, as far as it was resolved.
    pub(crate) fn target_of(
        &self,
        collection: &str,
        statement: Option<&Arc<dyn NativeStatement>>,
    ) -> Target {
        match statement {
            None => match self.schema.table(collection) {
                Some(known) => Target::Table(known),
                None => Target::Unusable(self.unknown_table(collection)),
            },
            Some(statement) => match self.natives.of(statement) {
                Some(Ok(native)) => Target::Statement(native),
                Some(Err(error)) => Target::Unusable(error),
                None => Target::Unusable(Error::new(
                    ErrorKind::Stale,
                    "the statement is not prepared any more; it is prepared again",
                )),
            },
        }
    }

    /// A collection's table; the driver's metadata is read again if it does not know it.
    pub(crate) async fn table(&self, collection: &str) -> Result<Arc<Known>> {
        if let Some(known) = self.look_up(collection) {
            return Ok(known);
        }
        self.refresh().await?;
        self.look_up(collection).ok_or_else(|| self.unknown_table(collection))
    }

    fn look_up(&self, collection: &str) -> Option<Arc<Known>> {
        self.schema.look_up(collection, self.keyspace.as_deref(), &self.session)
    }

    fn unknown_table(&self, collection: &str) -> Error {
        let own = self.keyspace.as_deref();
        let full_name = full_name(collection, own);
        let is_own = full_name.is_none_or(|(keyspace, _)| Some(keyspace) == own);
        let narrowed = self.narrowed.as_ref().filter(|_| !is_own);
        if let Some(error) = self.unread().or_else(|| narrowed.cloned()) {
            let message = format!("the table {collection} is not known, and {}", error.message());
            return Error::new(error.kind(), message).with_source(error);
        }
        let state = self.session.get_cluster_state();
        let view =
            full_name.and_then(|(keyspace, name)| state.get_keyspace(keyspace)?.views.get(name));
        if let Some(view) = view {
            return Error::new(
                ErrorKind::InvalidOperation,
                format!(
                    "{collection} is a materialized view, which the server writes by itself; write to its table {}",
                    view.base_table_name
                ),
            );
        }
        let message = match (collection.contains('.'), &self.keyspace) {
            (true, _) => format!(
                "there is no table {collection}; create it, or write its name as `keyspace.table`, with the case that it has"
            ),
            (false, Some(keyspace)) => format!(
                "there is no table {collection} in the keyspace {keyspace}; create it, or name another one as `keyspace.table`"
            ),
            (false, None) => format!(
                "the store has no keyspace to look for the table {collection} in; connect with one, or write `keyspace.{collection}`"
            ),
        };
        Error::new(ErrorKind::NotFound, message)
    }

    /// The table that has this number, if it is still what it was.
    pub(crate) fn table_by_number(&self, number: u32) -> Option<Arc<Known>> {
        self.schema.by_number(number)
    }

    /// The native statement that has this number, if it is still prepared.
    pub(crate) fn native_by_number(&self, number: u32) -> Option<Arc<Native>> {
        self.natives.by_number(number)
    }

    /// Whether user-defined types are written, of which statements say no more than the name.
    fn uses_types(&self, operations: View<'_>) -> bool {
        if !self.met_types.load(Ordering::Relaxed) {
            return false;
        }
        operations.shapes().any(|shape| match shape.statement {
            None => self.schema.table(shape.collection).is_some_and(|known| known.has_types),
            Some(statement) => match self.natives.of(statement) {
                Some(Ok(native)) => native.has_types(),
                _ => false,
            },
        })
    }

    /// Prepares what is not prepared yet, and looks its table up. What is wrong with the statement
    /// itself is kept, and is the error of its operations alone.
    async fn resolve_native(
        &self,
        statement: &Arc<dyn NativeStatement>,
        stale: bool,
    ) -> Result<()> {
        if !stale
            && let Some(Ok(native)) = self.natives.of(statement)
            && native.is_current(|name| self.schema.look_up(name, None, &self.session))
        {
            return Ok(());
        }
        // Needed once, so not a part of every commit's future.
        Box::pin(self.resolve_unknown(statement)).await
    }

    /// Reads the driver's metadata again.
    async fn refresh(&self) -> Result<()> {
        let refreshed = Box::pin(connection::refresh(&self.session, &self.asking)).await;
        let lasting = refreshed.as_ref().err().filter(|error| !error.is_transient());
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = lasting {
            tracing::warn!(%error, "what was known of the schema stays");
        }
        *unread = lasting.cloned();
        self.is_unread.store(unread.is_some(), Ordering::Relaxed);
        drop(unread);
        refreshed
    }

    /// Has the driver's metadata read again if the schema is another one, of which a node is asked now and then;
    /// or `now`.
    pub(crate) async fn watch_schema(&self, now: bool) -> Result<()> {
        if !now && !self.watch.is_due() {
            return Ok(());
        }
        let question = self.asking.schema_version();
        // Seldom needed, so not a part of every commit's future.
        Box::pin(self.watch.look(&self.session, question, now, self.refresh())).await
    }

    /// Reads the driver's metadata again, and takes a collection's table for what it is now.
    pub(crate) async fn renew(&self, collection: &str) -> Result<()> {
        self.refresh().await?;
        self.schema.renew(collection, self.keyspace.as_deref(), &self.session);
        Ok(())
    }

    /// Why the schema could not be read when it was tried last, if that lasts.
    fn unread(&self) -> Option<Error> {
        if !self.is_unread.load(Ordering::Relaxed) {
            return None;
        }
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn resolve_unknown(&self, statement: &Arc<dyn NativeStatement>) -> Result<()> {
        let mut native = self.prepare_native(statement).await;
        if native.as_ref().is_ok_and(|native| native.changed().is_some()) {
            // The driver may not have heard of it yet.
            self.refresh().await?;
            native = self.prepare_native(statement).await;
        }
        let native = match native {
            Err(error) if error.is_transient() => return Err(error),
            native => native.and_then(Native::unchanged).map(Arc::new),
        };
        if let Ok(native) = &native {
            self.met_types.fetch_or(native.has_types(), Ordering::Relaxed);
            self.met_uncounting.fetch_or(native.deletes_counters(), Ordering::Relaxed);
        }
        self.natives.keep(statement, native);
        Ok(())
    }

    async fn prepare_native(&self, statement: &Arc<dyn NativeStatement>) -> Result<Native> {
        let (text, given) = match (as_json(statement), as_typed(statement)) {
            (Some(json), _) => (json.text(), None),
            (None, Some(typed)) => (typed.prepared().get_statement(), Some(typed.prepared())),
            (None, None) => return Err(strange_statement()),
        };
        let text = Text::read(text)?;
        let of_markers = given.and_then(|given| given.get_table_spec());
        let keyspace = of_markers.map(|spec| spec.ks_name());
        let keyspace = keyspace.or(text.keyspace.as_deref()).or(self.keyspace.as_deref());
        let known = match keyspace {
            Some(keyspace) => match self.table(&format!("{keyspace}.{}", text.table)).await {
                Err(error) if error.is_transient() => return Err(error),
                known => known.ok(),
            },
            None => None,
        };
        let prepared = self.prepare_text(&text, keyspace, known.as_deref()).await;
        let prepared = match (given, prepared) {
            (None, prepared) => prepared?,
            // The values were written by the types of the statement that was given.
            (Some(given), Ok(own)) if has_same_markers(given, &own) => own,
            (Some(given), Ok(_)) => given.clone(),
            // It may not say where its table is.
            (Some(given), Err(error)) if keyspace.is_none() && !error.is_transient() => {
                given.clone()
            }
            (Some(_), Err(error)) => return Err(error),
        };
        let is_typed = given.is_some();
        let prepared = Prepared::of(prepared, &text, known.as_deref().map(|known| &known.table))?;
        Ok(Native::new(prepared, is_typed, known, &self.profile, self.tracing))
    }

    /// Prepares a statement with typed markers, if its table is known and the server takes them.
    async fn prepare_text(
        &self,
        text: &Text<'_>,
        keyspace: Option<&str>,
        known: Option<&Known>,
    ) -> Result<PreparedStatement> {
        let type_of = |column: &str| known.and_then(|known| known.type_of(column));
        let typed = self.preparing().prepare(&text.qualified(keyspace, type_of)).await;
        match (typed, known) {
            (Err(error), Some(_)) if !error.is_transient() => {
                self.preparing().prepare(&text.qualified(keyspace, |_| None)).await
            }
            (typed, _) => typed,
        }
    }
}

fn has_same_markers(one: &PreparedStatement, other: &PreparedStatement) -> bool {
    let [one, other] = [one, other].map(PreparedStatement::get_variable_col_specs);
    one.len() == other.len()
        && one.iter().zip(other.iter()).all(|(one, other)| one.typ() == other.typ())
}

fn strange_statement() -> Error {
    let message =
        "the statement is of no kind that this store knows; use `CqlStatement` or `Operation::cql`";
    Error::new(ErrorKind::InvalidOperation, message)
}

#[async_trait]
impl Backend for CqlBackend {
    fn name(&self) -> &'static str {
        "cql"
    }

    fn capabilities(&self) -> Capabilities {
        let conditions = !self.refusals.conditions();
        let logged = !self.refusals.logged();
        let mut capabilities = Capabilities::default();
        capabilities.conditions = conditions;
        capabilities.ttl = true;
        capabilities.timestamps = true;
        capabilities.batch_types = if logged {
            std::borrow::Cow::Borrowed(&[
                BatchType::Logged,
                BatchType::Unlogged,
                BatchType::Counter,
            ])
        } else {
            std::borrow::Cow::Borrowed(&[BatchType::Unlogged, BatchType::Counter])
        };
        capabilities.best_effort = Some(Way::Partition.name().into());
        capabilities.ordered = Some(Way::Partition.name().into());
        let all = if logged { Way::Logged } else { Way::Partition };
        capabilities.all_or_nothing = Some(all.name().into());
        capabilities.isolated = Some(Way::Partition.name().into());
        capabilities.max_operation_bytes = Some(self.server.limits.request_bytes());
        capabilities
    }

    fn admit(&self, operation: OperationRef<'_>, _terms: Terms) -> Result<()> {
        let options = operation.options;
        let verb = operation.verb;
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidOperation, message));
        if let Some(ttl) = options.ttl {
            if matches!(verb, Verb::Delete | Verb::DeleteExisting) {
                return invalid(format!("`{verb}` leaves nothing that could end; leave `ttl` out"));
            }
            if ttl > MAX_TTL {
                return invalid(format!(
                    "a time to live of {} s is above the server's limit of 630,720,000 s (20 years)",
                    ttl.as_secs()
                ));
            }
        }
        if let Some(timestamp) = options.timestamp {
            if operation.is_conditional() {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "`{verb}` looks at what is there, and the server gives such writes a time of its own; leave `timestamp` out"
                    ),
                ));
            }
            if timestamp == i64::MIN {
                return invalid(
                    "the timestamp is below what the server takes; give a later one".to_owned(),
                );
            }
        }
        match operation.statement {
            Some(statement) => {
                if let Some(json) = as_json(statement) {
                    Text::admit(json.text())?;
                } else if as_typed(statement).is_none() {
                    return Err(strange_statement());
                }
                if options.ttl.is_some() || options.timestamp.is_some() {
                    return invalid("a statement of its own text takes no option `ttl` or `timestamp`; write `USING TTL ? AND TIMESTAMP ?` into it".to_owned());
                }
                Ok(())
            }
            None if matches!(verb, Verb::Update | Verb::Replace) => {
                self.admit_update(verb, operation.collection)
            }
            None => Ok(()),
        }
    }

    async fn resolve(&self, operations: View<'_>, stale: bool) -> Result<()> {
        let types = self.uses_types(operations);
        if stale {
            self.refresh().await?;
        } else {
            self.watch_schema(types).await?;
        }
        if types && let Some(error) = self.unread() {
            // Another commit may have asked before.
            return Err(error);
        }
        self.clock.keep(&self.session, || self.asking.time()).await?;
        let mut refreshed = stale;
        let mut natives = 0;
        for shape in operations.shapes() {
            if let Some(statement) = shape.statement {
                natives += 1;
                self.resolve_native(statement, stale).await?;
                continue;
            }
            if stale {
                // The server says that something is not as it was: others may still use what they have.
                self.schema.renew(shape.collection, self.keyspace.as_deref(), &self.session);
            }
            let mut known = self.look_up(shape.collection);
            if known.is_none() && !refreshed {
                // Somebody else may have made it a moment ago.
                match self.refresh().await {
                    Err(error) if error.is_transient() => return Err(error),
                    // Its own operations are refused.
                    _ => refreshed = true,
                }
                known = self.look_up(shape.collection);
            }
            if known.is_some_and(|known| known.has_types) {
                self.met_types.store(true, Ordering::Relaxed);
            }
        }
        self.natives.forget(natives);
        if !stale && !types && self.uses_types(operations) {
            // Met for the first time, by metadata that nobody has looked at since they were read.
            return Box::pin(self.resolve(operations, false)).await;
        }
        Ok(())
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        if let Some(error) = self.unread().filter(|_| operations.is_last()) {
            routes.warn(format!(
                "columns that others add are not known, and keep their values when a row is replaced: {}",
                error.message()
            ));
        }
        let replicas = self.replicas.of(&self.session.get_cluster_state());
        let router = Router {
            limits: &self.server.limits,
            spread: self.spread,
            logged: !self.refusals.logged(),
            replicas: &replicas,
            deletes_counters: self.met_uncounting.load(Ordering::Relaxed),
        };
        router.route(operations, terms, routes, |collection, statement| {
            self.target_of(collection, statement)
        })
    }

    fn positions(&self, operations: View<'_>, routes: &Routes, positions: &mut Vec<u128>) {
        position::positions(self, operations, routes, positions);
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        self.send_chunk(chunk, answers).await
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        self.read_row(collection, key).await
    }

    async fn ping(&self) -> Result<Server> {
        let server = ServerFacts::ask(&self.session, &self.asking).await?;
        Ok(server.server(&self.session.get_cluster_state()))
    }

    async fn close(&self) -> Result<()> {
        // The driver's connections end with the session's last handle.
        Ok(())
    }
}

pub(crate) fn key_only(verb: Verb, known: &Known) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "`{verb}` is not possible on {}: all its columns belong to the key{}, and CQL has no UPDATE of a row there; use `insert` or `put`",
            known.name,
            if known.has_shared { " or to the whole partition" } else { "" }
        ),
    )
}
