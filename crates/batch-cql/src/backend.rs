//! The backend: what core asks of a CQL store.

mod resolve;

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use batch_core::{
    BatchType, Capabilities, Error, ErrorKind, Key, OperationRef, Result, Server, Verb,
    seam::{Answers, Backend, Chunk, Routes, Terms, View},
};
use bytes::Bytes;
use scylla::client::{execution_profile::ExecutionProfileHandle, session::Session};

use crate::{
    cluster::{
        clock::ServerClock,
        connection::{Asking, Connection, Habits},
        replicas::KnownReplicas,
        server::{Refusals, ServerFacts},
        watch::SchemaWatch,
    },
    encode,
    plan::{guard::Guard, position, route::Router, way::Way},
    schema::{Known, Preparing, Schema, next_number, table::LONGEST_TTL},
    send::direct::Repeated,
    statement::{CqlStatement, StatementCache, Text, as_json, as_typed},
};

/// JSON writes a byte in at most six, as `\u0000`, and a blob's in two. What is larger than so many times a request
/// cannot be sent.
const MOST_AS_TEXT: usize = 6;

/// A batch with more texts of CQL warns of that. A server keeps some ten thousands prepared, of all its clients.
const MOST_TEXTS: usize = 1000;

/// A connection to a cluster, as the core uses it.
pub(crate) struct CqlBackend {
    pub(crate) session: Arc<Session>,
    /// Tells it from other stores of the process.
    number: u32,
    pub(crate) profile: ExecutionProfileHandle,
    pub(crate) habits: Habits,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) server: ServerFacts,
    pub(crate) guard: Guard,
    pub(crate) repeated: Repeated,
    keyspace: Option<Box<str>>,
    pub(crate) asking: Asking,
    refusals: Refusals,
    schema: Schema,
    watch: SchemaWatch,
    replicas: KnownReplicas,
    natives: StatementCache,
    /// Whether something was met that has a user-defined type: most stores never see one.
    met_types: AtomicBool,
    /// Whether a statement was met that deletes counters, likewise.
    met_uncounting: AtomicBool,
    /// Why the schema could not be read when it was tried last, if that lasts.
    unread: Mutex<Option<Error>>,
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
        let Connection { session, keyspace, profile, clock, server, habits, narrowed, schema_read } =
            connection;
        Self {
            session,
            number: next_number(),
            asking: Asking::new(&profile),
            profile,
            habits,
            clock,
            watch: SchemaWatch::new(server.has_schema_versions, schema_read),
            schema: Schema::new(server.product.splits_by_table()),
            server,
            guard: Guard::default(),
            repeated: Repeated::default(),
            keyspace,
            refusals: Refusals::default(),
            replicas: KnownReplicas::default(),
            natives: StatementCache::default(),
            met_types: AtomicBool::new(false),
            met_uncounting: AtomicBool::new(false),
            unread: Mutex::default(),
            narrowed,
        }
    }

    pub(crate) fn preparing(&self) -> Preparing<'_> {
        Preparing { session: &self.session, profile: &self.profile, tracing: self.habits.tracing }
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
            let Some(known) = self.look_up(collection) else { return Ok(()) };
            if known.is_key_only() {
                return Err(key_only(verb, &known));
            }
            *store = self.number;
            collection.clone_into(last);
            Ok(())
        })
    }
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
        capabilities.max_operation_bytes =
            Some(self.server.limits.request_bytes().saturating_mul(MOST_AS_TEXT));
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
            if ttl > Duration::from_secs(LONGEST_TTL.into()) {
                return invalid(format!(
                    "a time to live of {} s is above the server's limit of {LONGEST_TTL} s (20 years)",
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
        let limit = self.server.limits.request_bytes();
        if operation.body.len() > limit {
            let is_typed = operation.statement.and_then(as_typed).is_some();
            let least =
                if is_typed { operation.body.len() } else { encode::least_bytes(operation.body) };
            if least > limit {
                let on = match operation.statement {
                    Some(_) => String::new(),
                    None => format!(" on {}", operation.collection),
                };
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!(
                        "`{}`{on} has {least} bytes at least, and a request may have {limit}; make its values smaller",
                        operation.name()
                    ),
                ));
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
        self.resolve_all(operations, stale).await
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        if let Some(error) = self.unread().filter(|_| operations.is_last()) {
            routes.warn(format!(
                "columns that others add are not known, and keep their values when a row is replaced: {}",
                error.message()
            ));
        }
        if operations.is_last() {
            let statements = operations.shapes().filter_map(|shape| shape.statement);
            let texts = statements.filter(|statement| as_json(statement).is_some()).count();
            if texts > MOST_TEXTS {
                routes.warn(format!(
                    "the batch has {texts} texts of CQL, of which each is prepared by itself and drives others out of the servers' memory; write what differs as `?`, and give it in `values`"
                ));
            }
        }
        let replicas = self.replicas.of(&self.session.get_cluster_state());
        let router = Router {
            limits: &self.server.limits,
            spread: self.habits.spread,
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
