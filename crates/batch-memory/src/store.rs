//! The store as users see it: batches, and documents that can be read back and listed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batch_core::{
    Batch, BatchOptions, Capabilities, Key, Outcome, Result, Server, Store, StoreOptions,
    seam::{Backend, Engine},
};
use serde_json::Value;

use crate::{Fault, Faults, Log, MemoryBackend, MemoryBuilder, encode::identity, tables::Document};

/// An embedded store. A clone is another handle of the same documents.
///
/// Reads carry the document's revision in the attribute `_rev`, as ArangoDB's do; a bare key is
/// stored in the attribute `_key`, named parts under their names. An all-or-nothing chunk is
/// applied under one lock without giving way: at the default ceiling of 10,000 operations that
/// takes some milliseconds, and [`MemoryBuilder::max_chunk_operations`] raises both.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    backend: Arc<MemoryBackend>,
    engine: Engine,
    faults: Faults,
    log: Option<Log>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store that can do everything.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// An empty store with switches.
    pub fn builder() -> MemoryBuilder {
        MemoryBuilder::new()
    }

    pub(crate) fn new_from(
        backend: Arc<MemoryBackend>,
        outer: Arc<dyn Backend>,
        options: StoreOptions,
        faults: Faults,
        log: Option<Log>,
    ) -> Self {
        Self { backend, engine: Engine::new(outer, options), faults, log }
    }

    /// The backend without log and faults: to be wrapped in your own.
    #[must_use]
    pub fn backend(&self) -> Arc<MemoryBackend> {
        Arc::clone(&self.backend)
    }

    /// A document as it is now, without its revision; `None` if it is absent.
    #[must_use]
    pub fn document(&self, collection: &str, key: impl Into<Key>) -> Option<Value> {
        let identity = identity(key.into().as_ref());
        let now = self.backend.now();
        self.backend.tables().document(collection, &identity, now).map(value)
    }

    /// The documents of a collection as they are now, without their revisions, in the order of
    /// their keys' string forms.
    #[must_use]
    pub fn documents(&self, collection: &str) -> Vec<Value> {
        let now = self.backend.now();
        self.backend.tables().list(collection, now).map(|(_, document)| value(document)).collect()
    }

    /// The names of the collections that were ever written to, sorted.
    #[must_use]
    pub fn collections(&self) -> Vec<String> {
        let mut names: Vec<_> = self.backend.tables().collections().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// Forgets all documents.
    pub fn clear(&self) {
        self.backend.tables().clear();
    }

    /// Forgets one collection with its documents.
    pub fn drop_collection(&self, collection: &str) {
        self.backend.tables().drop_collection(collection);
    }

    /// Lets the next writes to a key meet another writer: each is refused with a transient
    /// `Conflict`, `times` times.
    pub fn conflict_next(&self, collection: &str, key: impl Into<Key>, times: u32) {
        self.backend.add_conflicts(collection, &key.into(), times);
    }

    /// Adds a fault for a coming request. Has an effect only on a store that was built with
    /// [`faults`](MemoryBuilder::faults), which may be empty: `.faults([])`.
    pub fn inject(&self, fault: Fault) {
        self.faults.push(fault);
    }

    /// What was sent. Empty unless the store was built with [`log`](MemoryBuilder::log).
    #[must_use]
    pub fn log(&self) -> Log {
        self.log.clone().unwrap_or_default()
    }
}

fn value(document: &Document) -> Value {
    let text = document.json(false).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for MemoryStore {
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
