//! The store as users see it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batch_core::{
    Batch, BatchOptions, Capabilities, Clock, Error, ErrorKind, Key, Outcome, Result, Server,
    Store, StoreOptions,
    seam::{Backend, Engine},
};
use scylla::client::session::Session;

use crate::{
    CqlBatch, CqlBuilder, CqlStatement,
    backend::CqlBackend,
    cluster::connection::{self, Connection, Habits, check_writes},
};

/// A keyspace of Cassandra or ScyllaDB. A clone is another handle of the same connections, which
/// end with the last one.
///
/// [`builder`](Self::builder) connects; [`from_session`](Self::from_session) takes a session that
/// you have already.
///
/// # Time
/// Plain writes carry a timestamp, so that a write which is sent again does not undo a later one.
/// It is of the servers' time, not of this machine's: the difference is measured when the store
/// connects, and now and then while it is in use. Conditions are stamped by the node that decides
/// them. So the order of plain writes and conditions on one key rests on the nodes' clocks, which
/// have to agree to about a millisecond, as they do under NTP. No client can help against a row
/// that somebody stamped in the future: later writes to it are acknowledged and not seen.
///
/// A client that sends no timestamps, as the driver `scylla` does by default, has the server make
/// them, and Cassandra makes those by the millisecond. Such a write that follows a commit on its
/// key within the millisecond has the smaller timestamp, and is not seen. Where both write the same
/// keys so soon after one another, give that client a generator of timestamps:
/// `scylla::policies::timestamp_generator::MonotonicTimestampGenerator`.
#[derive(Clone, Debug)]
pub struct CqlStore {
    backend: Arc<CqlBackend>,
    engine: Engine,
}

impl CqlStore {
    /// Settings to connect with.
    pub fn builder() -> CqlBuilder {
        CqlBuilder::new()
    }

    /// A store on a session of your own. A collection that is named without a keyspace is a table
    /// of `keyspace`.
    ///
    /// Nothing of the session is changed. The store's requests have the consistencies and the load
    /// balancing of the session's default execution profile, as they are now; they are never
    /// repeated by the driver, nor sent to two nodes. The session has to read the schema of the
    /// keyspaces that are written, as it does unless it was built otherwise. Tracing and
    /// [`batch_across_partitions`](CqlBuilder::batch_across_partitions) are settings of a store that connects by
    /// itself: here requests are not traced, and rows that are alone in their partition share them.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a keyspace that is not there,
    /// [`InvalidOperation`](ErrorKind::InvalidOperation) for a session that writes at a serial consistency,
    /// [`Timeout`](ErrorKind::Timeout) after the deadline of the `options`; what the server says.
    pub async fn from_session(
        session: Arc<Session>,
        keyspace: Option<&str>,
        options: StoreOptions,
    ) -> Result<Self> {
        let own = session.get_default_execution_profile_handle().pointee_to_builder();
        let profile = connection::profile(own);
        check_writes(profile.get_consistency())?;
        let connecting =
            Connection::new(session, keyspace, profile, options.shared_clock(), Habits::default());
        let timeout = options.default_timeout();
        let connection = tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| {
            let message = format!(
                "no answer to what a store has to know within {timeout:?}; look whether the cluster is up"
            );
            Err(Error::new(ErrorKind::Timeout, message).transient())
        });
        Ok(Self::new(connection?, options))
    }

    pub(crate) fn new(connection: Connection, options: StoreOptions) -> Self {
        let clock: Arc<dyn Clock> =
            Arc::<crate::cluster::clock::ServerClock>::clone(&connection.clock);
        let backend = Arc::new(CqlBackend::new(connection));
        let outer: Arc<dyn Backend> = Arc::<CqlBackend>::clone(&backend);
        Self { backend, engine: Engine::new(outer, options.clock(clock)) }
    }

    /// The driver's session: to prepare statements with, and for whatever is not batching.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.backend.session
    }

    /// The backend: to be wrapped in your own.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::<CqlBackend>::clone(&self.backend)
    }

    /// Prepares an INSERT, UPDATE or DELETE whose values are of your own types. Its table is one of
    /// the store's keyspace unless the text names another.
    ///
    /// ```no_run
    /// # async fn example(store: batch_cql::CqlStore) -> batch_core::Result<()> {
    /// use batch_core::BatchOptions;
    ///
    /// let insert = store.prepare("INSERT INTO students (id, age) VALUES (?, ?)").await?;
    /// let mut batch = store.cql_batch(BatchOptions::new())?;
    /// for (id, age) in [("Abby", 20), ("John", 21)] {
    ///     batch.queue_bound(&insert, &(id, age))?;
    /// }
    /// batch.commit().await?.into_result()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](batch_core::ErrorKind::Unsupported) for what no batch can hold: a read, a
    /// schema change. Else what the server says of the text.
    pub async fn prepare(&self, text: &str) -> Result<CqlStatement> {
        self.backend.prepare_typed(text).await
    }

    /// As [`Store::batch`], for those who know that it is a batch of CQL.
    ///
    /// # Errors
    /// As [`Store::batch`].
    pub fn cql_batch(&self, options: BatchOptions) -> Result<CqlBatch> {
        Ok(CqlBatch::new(self.engine.batch(options)?))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for CqlStore {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.engine.capabilities()
    }

    fn batch(&self, options: BatchOptions) -> Result<Box<dyn Batch>> {
        self.engine.batch(options)
    }

    async fn read(&self, collection: &str, key: &Key) -> Result<Option<Outcome>> {
        self.engine.read(collection, key).await
    }

    async fn ping(&self) -> Result<Server> {
        self.engine.ping().await
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.engine.close(deadline).await
    }
}
