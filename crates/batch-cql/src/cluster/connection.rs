//! What a store holds of the cluster it is connected to.

use std::{fmt, sync::Arc, time::Instant};

use batch_core::{Clock, Error, ErrorKind, Result};
use futures_util::future::try_join;
use scylla::{
    client::{
        execution_profile::{ExecutionProfile, ExecutionProfileBuilder, ExecutionProfileHandle},
        session::Session,
    },
    errors::MetadataError,
    policies::retry::FallthroughRetryPolicy,
    statement::{Consistency, Statement},
};

use crate::{
    cluster::{
        clock::ServerClock,
        server::{ServerFacts, ask},
    },
    errors,
};

/// A cluster that is connected to, with what was found out about it.
pub(crate) struct Connection {
    pub(crate) session: Arc<Session>,
    /// Where collections are that are named without a keyspace.
    pub(crate) keyspace: Option<Box<str>>,
    /// The settings of every request: the driver's own are those of the session's owner.
    pub(crate) profile: ExecutionProfileHandle,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) server: ServerFacts,
    pub(crate) habits: Habits,
    /// Why only the schema of the store's own keyspace is read.
    pub(crate) narrowed: Option<Error>,
    /// When the driver began to read the schema, if that is known.
    pub(crate) schema_read: Option<Instant>,
}

/// Habits of a store that are no settings of the driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Whether requests are traced by the servers.
    pub(crate) tracing: bool,
    /// Whether rows that are alone in their partition may share a batch.
    pub(crate) spread: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { tracing: false, spread: true }
    }
}

impl Connection {
    /// Finds out about a cluster.
    ///
    /// # Errors
    /// What stood in the way; [`NotFound`](ErrorKind::NotFound) for a keyspace that is not there.
    pub(crate) async fn new(
        session: Arc<Session>,
        keyspace: Option<&str>,
        profile: ExecutionProfile,
        own_clock: Arc<dyn Clock>,
        habits: Habits,
    ) -> Result<Self> {
        let profile = profile.into_handle_with_label("unibatch".to_owned());
        let asking = Asking::new(&profile);
        if let Some(keyspace) = keyspace {
            find_keyspace(&session, &asking, keyspace).await?;
        }
        let clock = Arc::new(ServerClock::new(own_clock));
        let time = asking.time();
        let facts = ServerFacts::ask(&session, &asking);
        let (server, ()) = try_join(facts, clock.measure(&session, &time)).await?;
        Ok(Self {
            session,
            keyspace: keyspace.map(Into::into),
            profile,
            clock,
            server,
            habits,
            narrowed: None,
            schema_read: None,
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("keyspace", &self.keyspace)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The settings of the store's requests, on top of those that a session has: sent once, answered
/// or not. Attempts are counted by the core, and its deadline ends a request that gets no answer.
pub(crate) fn profile(own: ExecutionProfileBuilder) -> ExecutionProfile {
    own.retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .speculative_execution_policy(None)
        .request_timeout(None)
        .build()
}

/// How the store reads what nodes say of themselves: each node has that of its own.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    profile: ExecutionProfileHandle,
}

impl Asking {
    pub(crate) fn new(profile: &ExecutionProfileHandle) -> Self {
        Self { profile: profile.clone() }
    }

    pub(crate) fn statement(&self, text: &str) -> Statement {
        let mut statement = Statement::new(text);
        statement.set_execution_profile_handle(Some(self.profile.clone()));
        statement.set_consistency(Consistency::LocalOne);
        statement
    }

    /// The question for a node's identity.
    pub(crate) fn who(&self) -> Statement {
        self.statement("SELECT host_id FROM system.local WHERE key = 'local'")
    }

    /// The question for a node's time.
    pub(crate) fn time(&self) -> Statement {
        self.statement("SELECT now() FROM system.local WHERE key = 'local'")
    }

    /// The question for the version of a node's schema.
    pub(crate) fn schema_version(&self) -> Statement {
        self.statement("SELECT schema_version FROM system.local WHERE key = 'local'")
    }
}

/// Looks for a keyspace where the driver has it, or else in the server's own tables.
async fn find_keyspace(session: &Session, asking: &Asking, name: &str) -> Result<()> {
    if session.get_cluster_state().get_keyspace(name).is_some() {
        return Ok(());
    }
    let text = "SELECT keyspace_name FROM system_schema.keyspaces";
    let rows = ask(session, asking.statement(text), "its keyspaces").await?;
    let rows =
        rows.rows::<(String,)>().map_err(|error| errors::unreadable("its keyspaces", error))?;
    let names: Vec<String> = rows.flatten().map(|(name,)| name).collect();
    if names.iter().any(|known| known == name) {
        // The driver could not read the schema when it connected.
        return refresh(session, asking).await;
    }
    let mut own: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !name.starts_with("system")).collect();
    own.sort_unstable();
    let own = match own.as_slice() {
        [] => "nor any other".to_owned(),
        names => format!("but there are {}", names.join(", ")),
    };
    Err(Error::new(
        ErrorKind::NotFound,
        format!(
            "there is no keyspace `{name}`, {own}: make it with CREATE KEYSPACE, or correct the name"
        ),
    ))
}

/// Reads the driver's metadata again.
///
/// # Errors
/// What stood in the way, with the column that is at fault.
pub(crate) async fn refresh(session: &Session, asking: &Asking) -> Result<()> {
    match session.refresh_metadata().await {
        Ok(()) => Ok(()),
        Err(error) => Err(unread(session, asking, &error).await),
    }
}

/// Why the schema could not be read, with the column that is at fault.
async fn unread(session: &Session, asking: &Asking, error: &MetadataError) -> Error {
    const WHAT: &str = "its columns";
    let Some(typ) = errors::unknown_type(error) else { return errors::of_metadata(error) };
    let text = "SELECT keyspace_name, table_name, column_name, type FROM system_schema.columns";
    let rows = ask(session, asking.statement(text), WHAT).await.ok();
    let rows = rows.as_ref().and_then(|rows| rows.rows::<(&str, &str, &str, &str)>().ok());
    let mut columns = rows.into_iter().flatten().flatten();
    let place = columns.find(|(.., own)| own.contains(typ));
    match place {
        Some((keyspace, table, column, _)) => {
            let error = errors::of_metadata(error);
            let message = format!("{} (the column {keyspace}.{table}.{column})", error.message());
            Error::new(error.kind(), message).with_source(error)
        }
        None => errors::of_metadata(error),
    }
}

/// Refuses consistencies at which nothing can be written.
///
/// # Errors
/// [`InvalidOperation`](ErrorKind::InvalidOperation) for those of conditions.
pub(crate) fn check_writes(consistency: Consistency) -> Result<()> {
    if !matches!(consistency, Consistency::Serial | Consistency::LocalSerial) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidOperation,
        "nothing can be written at a serial consistency; give it as `serial_consistency`, and another one for writes",
    ))
}

/// The consistency of reads, where that of writes can only be one of writes.
pub(crate) const fn of_reads(writes: Consistency) -> Consistency {
    match writes {
        Consistency::Any => Consistency::One,
        Consistency::EachQuorum => Consistency::LocalQuorum,
        other => other,
    }
}
