//! The store as users see it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batch_core::{
    Batch, BatchOptions, Capabilities, Key, Outcome, Result, Server, Store, StoreOptions,
    seam::{Backend, Engine},
};

use crate::{ArangoBatch, ArangoBuilder, backend::ArangoBackend};

/// A database of ArangoDB. A clone is another handle of the same connections, which end with the
/// last one.
#[derive(Clone, Debug)]
pub struct ArangoStore {
    backend: Arc<ArangoBackend>,
    engine: Engine,
}

impl ArangoStore {
    /// Settings to connect with.
    pub fn builder() -> ArangoBuilder {
        ArangoBuilder::new()
    }

    pub(crate) fn new(backend: ArangoBackend, options: StoreOptions) -> Self {
        let backend = Arc::new(backend);
        let outer: Arc<dyn Backend> = Arc::<ArangoBackend>::clone(&backend);
        Self { backend, engine: Engine::new(outer, options) }
    }

    /// The backend: to be wrapped in your own.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::<ArangoBackend>::clone(&self.backend)
    }

    /// As [`Store::batch`], for those who know that it is a batch of ArangoDB.
    ///
    /// # Errors
    /// As [`Store::batch`].
    pub fn arango_batch(&self, options: BatchOptions) -> Result<ArangoBatch> {
        Ok(ArangoBatch::new(self.engine.batch(options)?))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for ArangoStore {
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
