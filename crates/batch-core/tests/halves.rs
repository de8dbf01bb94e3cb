//! A chunk that fails because of some of its operations is sent in halves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use async_trait::async_trait;
use batch_core::{
    BatchExt, BatchOptions, Capabilities, Error, ErrorKind, Guarantee, Key, OnError, Operation,
    OperationRef, Result, Server, Store, StoreOptions,
    seam::{Answers, Backend, Chunk, Engine, Routes, Terms, View},
};
use batch_memory::{MemoryBackend, MemoryStore};
use bytes::Bytes;
use serde_json::json;

/// A store that fails a whole chunk for one document in the collection `forbidden`.
#[derive(Debug)]
struct Strict(Arc<MemoryBackend>, fn() -> Error);

#[async_trait]
impl Backend for Strict {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn admit(&self, operation: OperationRef<'_>, terms: Terms) -> Result<()> {
        self.0.admit(operation, terms)
    }

    async fn resolve(&self, operations: View<'_>, stale: bool) -> Result<()> {
        self.0.resolve(operations, stale).await
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        self.0.route(operations, terms, routes)
    }

    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        if chunk.operations().any(|operation| operation.collection == "forbidden") {
            chunk.sent();
            return Err((self.1)());
        }
        self.0.send(chunk, answers).await
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        self.0.get(collection, key).await
    }

    async fn ping(&self) -> Result<Server> {
        self.0.ping().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

fn refused() -> Error {
    Error::new(ErrorKind::Unauthorized, "not for you").of_some()
}

fn in_doubt() -> Error {
    Error::new(ErrorKind::Store, "a replica failed").unknown().of_some()
}

/// So many operations, of which those at the places are at fault, and how they end in a chunk that is in doubt.
async fn ends_in_doubt(count: usize, at_fault: &[usize], idempotent: bool) -> (usize, u64) {
    let memory = MemoryStore::new();
    let strict = Strict(memory.backend(), in_doubt);
    let store = Engine::new(Arc::new(strict), StoreOptions::new());
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let puts = (0..count).map(|number| {
        let collection = if at_fault.contains(&number) { "forbidden" } else { "free" };
        let put = Operation::put(collection).at(number.to_string()).doc(&json!({}));
        // The last one alone is enough.
        put.idempotent(idempotent || number + 1 < count)
    });
    let jobs = batch.queue_all(puts).unwrap();
    let report = batch.commit().await.unwrap();
    let unknown = jobs.iter().filter(|job| job.status().as_str() == "unknown").count();
    assert_eq!(memory.documents("free").len(), count - unknown, "{report}");
    (unknown, report.attempts())
}

#[tokio::test]
async fn what_is_in_doubt_is_sent_in_halves_if_it_is_idempotent_and_as_long_as_that_helps() {
    let (unknown, attempts) = ends_in_doubt(100, &[17, 80], true).await;
    assert!(unknown == 2 && attempts < 40, "{unknown} unknown, {attempts} attempts");
    assert_eq!(ends_in_doubt(100, &[17, 80], false).await, (100, 1));
    let all: Vec<usize> = (0..2_000).collect();
    let (unknown, attempts) = ends_in_doubt(2_000, &all, true).await;
    assert!(unknown == 2_000 && attempts < 250, "{unknown} unknown, {attempts} attempts");
}

#[tokio::test]
async fn only_the_operations_at_fault_fail_unless_the_batch_is_all_or_nothing() {
    let ordered = Guarantee::Ordered { on_error: OnError::Continue };
    let all = Guarantee::AllOrNothing { isolated: false };
    for (guarantee, fine) in [(Guarantee::BestEffort, 98), (ordered, 98), (all, 0)] {
        let memory = MemoryStore::new();
        let strict = Strict(memory.backend(), refused);
        let store = Engine::new(Arc::new(strict), StoreOptions::new());
        let mut batch = store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
        let mut jobs = Vec::new();
        for number in 0..100 {
            let collection = if number == 17 || number == 80 { "forbidden" } else { "free" };
            let put = Operation::put(collection).at(number.to_string()).doc(&json!({}));
            jobs.push(batch.queue(put).unwrap());
        }
        let report = batch.commit().await.unwrap();
        assert_eq!((report.applied(), report.not_applied()), (fine, 100 - fine), "{guarantee}");
        assert_eq!(memory.documents("free").len() as u64, fine);
        for job in [&jobs[17], &jobs[80]] {
            assert_eq!(job.outcome().unwrap_err().kind(), ErrorKind::Unauthorized, "{guarantee}");
        }
        let told = report.warnings().iter().any(|warning| warning.contains("not for you"));
        assert_eq!(told, fine > 0, "{report:?}");
    }
}
