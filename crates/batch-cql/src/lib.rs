//! Cassandra and ScyllaDB for unibatch: the place of the backend.
//!
//! **There is no backend here yet.** [`CqlStore::connect`] returns an error of kind
//! [`Unsupported`](batch_core::ErrorKind::Unsupported), always, and says what to use meanwhile.
//! What is already there is elsewhere: `unibatch` reads `cql://` URLs and checks them,
//! [`Operation::cql`](batch_core::Operation::cql) can be built and written as NDJSON, and
//! `batch-memory` can take on the capabilities of a CQL store for tests.

mod batch;
mod encode;
mod row;
mod statement;
mod table;
mod typ;

pub use batch::CqlBatch;
pub use statement::CqlStatement;

use batch_core::{Error, ErrorKind, Result, StoreOptions};

/// A connection to a cluster. In this release nobody can have one: the type has no value.
#[derive(Clone, Debug)]
pub enum CqlStore {}

impl CqlStore {
    /// Connects to the cluster that has these nodes, such as `localhost:9042`; a table that is named
    /// without a keyspace is one of `keyspace`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use batch_core::{ErrorKind, StoreOptions};
    /// use batch_cql::CqlStore;
    ///
    /// let nodes = ["localhost:9042".to_owned()];
    /// let refused = CqlStore::connect(&nodes, Some("school"), StoreOptions::new()).await;
    /// assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported), always: this release does not connect yet.
    #[expect(clippy::unused_async, reason = "a connection is made over the network, once it is")]
    pub async fn connect(
        _nodes: &[String],
        _keyspace: Option<&str>,
        _options: StoreOptions,
    ) -> Result<Self> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "this release cannot connect to Cassandra or ScyllaDB yet; use the store `memory:` until one can",
        ))
    }
}
