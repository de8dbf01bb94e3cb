//! How the contract's cases reach an ArangoDB store.

use std::sync::Arc;

use batch_arango::ArangoStore;
use batch_conformance::{Harness, async_trait};
use batch_core::{Error, ErrorKind, Key, Result, Store, StoreOptions, seam::Backend};
use reqwest::Method;
use tokio::sync::OnceCell;

use crate::ArangoServer;

/// A database of its own on a server, in which each case has its collections.
#[derive(Debug)]
pub struct ArangoHarness {
    name: String,
    server: Arc<ArangoServer>,
    database: String,
    made: OnceCell<()>,
}

impl ArangoHarness {
    /// A harness whose cases' names begin with `name`. It makes the database `name_` and the number
    /// of this process.
    #[must_use]
    pub fn new(name: &str, server: Arc<ArangoServer>) -> Self {
        let database = format!("{name}_{}", std::process::id());
        Self { name: name.to_owned(), server, database, made: OnceCell::new() }
    }

    async fn connect(&self, options: StoreOptions) -> Result<ArangoStore> {
        let made = self.made.get_or_try_init(|| self.server.make_database(&self.database));
        made.await.map_err(failure)?;
        let mut builder = ArangoStore::builder()
            .server(self.server.base())
            .database(&self.database)
            // A case writes a document of that size, and there are many cases.
            .max_request_bytes(16 << 20);
        if let Some((user, password)) = self.server.login() {
            builder = builder.credentials(user, password);
        }
        builder.options(options).connect().await
    }
}

fn failure(error: crate::Error) -> Error {
    Error::new(ErrorKind::Store, format!("behind the library's back: {error}")).with_source(error)
}

#[async_trait]
impl Harness for ArangoHarness {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.connect(options).await?))
    }

    async fn backend(&self, options: &StoreOptions) -> Result<Option<Arc<dyn Backend>>> {
        Ok(Some(self.connect(options.clone()).await?.backend()))
    }

    async fn prepare(&self, collection: &str) -> Result<()> {
        self.server.make_collection(&self.database, collection).await.map_err(failure)
    }

    async fn clean(&self, collection: &str) -> Result<()> {
        let path = format!("/_db/{}/_api/collection/{collection}", self.database);
        let asked = self.server.ask(Method::DELETE, &path, None).await;
        match asked.map_err(failure)? {
            (200 | 404, _) => Ok(()),
            (status, answer) => Err(failure(format!("DELETE {path}: {status} {answer}").into())),
        }
    }

    fn conflict_next(&self, collection: &str, key: &Key, times: u32) -> bool {
        let Some(emulator) = self.server.as_emulator() else { return false };
        // The cases' keys have one part, of letters and digits: that is the `_key` itself.
        emulator.conflict(collection, key.as_ref().string_forms().concat(), times);
        true
    }
}
