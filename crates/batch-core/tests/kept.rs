//! What a backend keeps of its routing is there when it sends, for each operation its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use batch_core::{
    BatchExt, BatchOptions, Capabilities, ErrorKind, Key, Operation, OperationRef, Result, Server,
    Store, StoreOptions,
    seam::{Answers, Backend, Chunk, Engine, Mechanism, Route, Routes, Terms, View},
};
use bytes::Bytes;

/// Keeps the number of each operation that is odd or refuses it, and looks for it when it sends.
#[derive(Debug, Default)]
struct Keeper {
    /// The bytes that it keeps of each, of which the first are the number.
    size: usize,
    found: AtomicUsize,
    missed: AtomicUsize,
}

/// The bytes that are kept in all, of operations with more than the fewest.
const ROOM: usize = 64 << 20;
const FEWEST: usize = 96;

impl Keeper {
    fn bytes(&self, index: u32) -> Vec<u8> {
        let mut bytes = index.to_le_bytes().to_vec();
        bytes.resize(self.size, 0);
        bytes
    }

    /// Whether there was room for what it kept of an operation.
    fn has_room(&self, index: u32) -> bool {
        let so_far = || (0..=index).filter(|index| is_kept(*index)).count();
        self.size <= FEWEST || so_far() * self.size <= ROOM
    }
}

fn is_kept(index: u32) -> bool {
    index % 2 == 1 && !is_refused(index)
}

fn is_refused(index: u32) -> bool {
    index % 1000 == 999
}

#[async_trait]
impl Backend for Keeper {
    fn name(&self) -> &'static str {
        "keeper"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.best_effort = Some("nothing".into());
        capabilities
    }

    fn admit(&self, _: OperationRef<'_>, _: Terms) -> Result<()> {
        Ok(())
    }

    async fn resolve(&self, _: View<'_>, _: bool) -> Result<()> {
        Ok(())
    }

    fn route(&self, operations: View<'_>, _: Terms, routes: &mut Routes) -> Result<()> {
        let mut mechanism = Mechanism::new("nothing");
        mechanism.max_operations = 7;
        let mechanism = routes.mechanism(mechanism);
        for operation in operations.iter() {
            let route = Route::new(mechanism, u64::from(operation.index % 3), None, 10);
            if is_refused(operation.index) {
                routes.refuse(batch_core::Error::new(ErrorKind::InvalidKey, "refused"));
            } else if is_kept(operation.index) {
                routes.push_with(route, &self.bytes(operation.index));
            } else {
                routes.push(route);
            }
        }
        Ok(())
    }

    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        for (place, operation) in chunk.operations().enumerate() {
            let index = operation.index;
            let expected = (is_kept(index) && self.has_room(index)).then(|| self.bytes(index));
            let is_there = chunk.kept(place) == expected.as_deref();
            let count = if is_there { &self.found } else { &self.missed };
            count.fetch_add(1, Ordering::Relaxed);
        }
        chunk.sent();
        answers.all_applied();
        Ok(())
    }

    async fn get(&self, _: &str, _: &Key) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("keeper", "1"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_operation_finds_what_was_kept_for_it_as_long_as_there_was_room() {
    let small = [1_u32, 2, 4096, 4097, 20_000].map(|count| (count, 4, 0));
    let large = [(4097, 97, 0), (300, 512 << 10, 0), (40, 4 << 20, 0)];
    // Large documents are routed in shorter slices.
    let documents = [(7000, 4, 1024), (10_000, 20, 700), (9_000, 4, 10_000), (12, 4, 3 << 20)];
    for (count, size, document) in small.into_iter().chain(large).chain(documents) {
        let document = "x".repeat(document);
        let backend = Arc::new(Keeper { size, ..Keeper::default() });
        let store = Engine::new(Arc::<Keeper>::clone(&backend), StoreOptions::new());
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        for number in 0..count {
            let operation: Operation = match document.len() {
                0 => Operation::delete("c").at(number.to_string()),
                _ => Operation::put("c")
                    .at(number.to_string())
                    .doc(&serde_json::json!({"x": document})),
            };
            batch.queue(operation).unwrap();
        }
        let report = batch.commit().await.unwrap();
        let refused = (0..count).filter(|index| is_refused(*index)).count();
        assert_eq!(usize::try_from(report.not_applied()).unwrap(), refused);
        let found = backend.found.load(Ordering::Relaxed);
        assert_eq!((found, backend.missed.load(Ordering::Relaxed)), (count as usize - refused, 0));
    }
}
