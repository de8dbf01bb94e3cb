//! ArangoDB for unibatch: the place of the backend.
//!
//! **There is no backend here yet.** [`ArangoStore::connect`] returns an error of kind
//! [`Unsupported`](batch_core::ErrorKind::Unsupported), always, and says what to use meanwhile.
//! What is already there is elsewhere: `unibatch` reads `arango://` URLs and checks them,
//! [`Operation::aql`](batch_core::Operation::aql) can be built and written as NDJSON, and
//! `batch-memory` can take on the capabilities of an ArangoDB store for tests.

#[cfg_attr(
    not(any(test, feature = "fuzzing")),
    expect(dead_code, reason = "wire forms stand before what connects and sends")
)]
mod array;
#[cfg_attr(not(test), expect(dead_code, reason = "as above"))]
mod errors;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg_attr(not(test), expect(dead_code, reason = "as above"))]
mod key;
#[cfg_attr(
    not(any(test, feature = "fuzzing")),
    expect(dead_code, unused_imports, reason = "as above")
)]
mod multipart;

use batch_core::{Error, ErrorKind, Result, StoreOptions};

/// A connection to an ArangoDB database. In this release nobody can have one: the type has no value.
#[derive(Clone, Debug)]
pub enum ArangoStore {}

impl ArangoStore {
    /// Connects to the database `database` of the server at `endpoint`, such as `http://localhost:8529`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use batch_arango::ArangoStore;
    /// use batch_core::{ErrorKind, StoreOptions};
    ///
    /// let refused = ArangoStore::connect("http://localhost:8529", "school", StoreOptions::new()).await;
    /// assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported), always: this release does not connect yet.
    #[expect(clippy::unused_async, reason = "a connection is made over the network, once it is")]
    pub async fn connect(_endpoint: &str, _database: &str, _options: StoreOptions) -> Result<Self> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "this release cannot connect to ArangoDB yet; use the store `memory:` until one can",
        ))
    }
}
