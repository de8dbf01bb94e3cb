//! Resolving: the tables and statements that operations are about, as they are now.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use batch_core::{Error, ErrorKind, NativeStatement, Result, seam::View};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::OnceCell;

use super::{CqlBackend, strange_statement};
use crate::{
    cluster::connection,
    plan::route::Target,
    schema::{Known, full_name},
    statement::{Facts, Native, Text, as_json, as_typed},
};

/// For what a commit has read the driver's metadata again already.
struct Refreshed {
    /// Tables that it did not know.
    unknown: OnceCell<()>,
    /// Statements that the server prepared, on tables that it knows otherwise or not.
    again: OnceCell<()>,
}

/// Statements that are prepared at once.
const PREPARED_AT_ONCE: usize = 32;

impl CqlBackend {
    /// Reads and prepares what these operations need and is not known yet; or, `stale`, all of it anew.
    pub(super) async fn resolve_all(&self, operations: View<'_>, stale: bool) -> Result<()> {
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
        let refreshed =
            Refreshed { unknown: OnceCell::new_with(stale.then_some(())), again: OnceCell::new() };
        let (mut natives, mut unresolved) = (0, Vec::new());
        for shape in operations.shapes() {
            if let Some(statement) = shape.statement {
                natives += 1;
                if stale || !self.is_resolved(statement) {
                    unresolved.push(statement);
                }
                continue;
            }
            if stale {
                // The server says that something is not as it was: others may still use what they have.
                self.schema.renew(shape.collection, self.keyspace.as_deref(), &self.session);
            }
            let known = self.look_up_or_refresh(shape.collection, &refreshed).await?;
            if known.is_some_and(|known| known.has_types) {
                self.met_types.store(true, Ordering::Relaxed);
            }
        }
        if !unresolved.is_empty() {
            // Needed once, so not a part of every commit's future.
            Box::pin(self.resolve_natives(unresolved, &refreshed)).await?;
        }
        self.natives.forget(natives);
        if !stale && !types && self.uses_types(operations) {
            // Met for the first time, by metadata that nobody has looked at since they were read.
            return Box::pin(self.resolve_all(operations, false)).await;
        }
        Ok(())
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

    /// A collection's table, if there is one; the driver's metadata is read again if it does not know it and has
    /// not been read again for its commit yet.
    async fn look_up_or_refresh(
        &self,
        collection: &str,
        refreshed: &Refreshed,
    ) -> Result<Option<Arc<Known>>> {
        let known = self.look_up(collection);
        if known.is_some() {
            return Ok(known);
        }
        // Somebody else may have made it a moment ago.
        self.refresh_once(&refreshed.unknown).await?;
        Ok(self.look_up(collection))
    }

    /// Reads the driver's metadata again, unless that was done. What lasts is the error of those operations alone
    /// that need more than is known.
    async fn refresh_once(&self, done: &OnceCell<()>) -> Result<()> {
        let refresh = async || match self.refresh().await {
            Err(error) if error.is_transient() => Err(error),
            _ => Ok(()),
        };
        // Rare, so not a part of every commit's future.
        Box::pin(done.get_or_try_init(refresh)).await.copied()
    }

    pub(super) fn look_up(&self, collection: &str) -> Option<Arc<Known>> {
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

    /// Whether a statement is prepared, on the table that is there now.
    fn is_resolved(&self, statement: &Arc<dyn NativeStatement>) -> bool {
        let native = self.natives.of(statement);
        native.is_some_and(|native| {
            native.is_ok_and(|native| {
                native.is_current(|name| self.schema.look_up(name, None, &self.session))
            })
        })
    }

    /// Prepares statements, and looks their tables up, several at once: each is a round trip to every node.
    async fn resolve_natives(
        &self,
        statements: Vec<&Arc<dyn NativeStatement>>,
        refreshed: &Refreshed,
    ) -> Result<()> {
        let mut resolving = FuturesUnordered::new();
        for statement in statements {
            if resolving.len() >= PREPARED_AT_ONCE
                && let Some(resolved) = resolving.next().await
            {
                resolved?;
            }
            resolving.push(self.resolve_native(statement, refreshed));
        }
        while let Some(resolved) = resolving.next().await {
            resolved?;
        }
        Ok(())
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
    pub(super) fn unread(&self) -> Option<Error> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Prepares a statement, and looks its table up. What is wrong with the statement itself is kept, and is the
    /// error of its operations alone.
    async fn resolve_native(
        &self,
        statement: &Arc<dyn NativeStatement>,
        refreshed: &Refreshed,
    ) -> Result<()> {
        let mut native = self.prepare_native(statement, refreshed).await;
        let is_new = |native: &Native| {
            native.changed().is_some() || (native.lacks_table() && self.narrowed.is_none())
        };
        if native.as_ref().is_ok_and(is_new) {
            // The driver may not have heard of it yet: the table was made a moment ago.
            self.refresh_once(&refreshed.again).await?;
            native = self.prepare_native(statement, refreshed).await;
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

    async fn prepare_native(
        &self,
        statement: &Arc<dyn NativeStatement>,
        refreshed: &Refreshed,
    ) -> Result<Native> {
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
            Some(keyspace) => {
                let collection = format!("{keyspace}.{}", text.table);
                self.look_up_or_refresh(&collection, refreshed).await?
            }
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
        let facts = Facts::of(&prepared, &text, known.as_deref().map(|known| &known.table))?;
        let space = self.schema.space(&facts.keyspace, &facts.table);
        Ok(Native::new(prepared, facts, is_typed, known, space, &self.profile, self.habits.tracing))
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
