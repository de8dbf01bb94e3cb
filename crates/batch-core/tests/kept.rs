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
    found: AtomicUsize,
    missed: AtomicUsize,
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
                routes.push_with(route, &operation.index.to_le_bytes());
            } else {
                routes.push(route);
            }
        }
        Ok(())
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        for (place, operation) in chunk.operations().enumerate() {
            let number = operation.index.to_le_bytes();
            let expected = is_kept(operation.index).then_some(number.as_slice());
            let count = if chunk.kept(place) == expected { &self.found } else { &self.missed };
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
async fn each_operation_finds_what_was_kept_for_it() {
    for count in [1_u32, 2, 4096, 4097, 20_000] {
        let backend = Arc::new(Keeper::default());
        let store = Engine::new(Arc::<Keeper>::clone(&backend), StoreOptions::new());
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        for number in 0..count {
            batch.queue(Operation::delete("c").at(number.to_string())).unwrap();
        }
        let report = batch.commit().await.unwrap();
        let refused = (0..count).filter(|index| is_refused(*index)).count();
        assert_eq!(usize::try_from(report.not_applied()).unwrap(), refused);
        let found = backend.found.load(Ordering::Relaxed);
        assert_eq!((found, backend.missed.load(Ordering::Relaxed)), (count as usize - refused, 0));
    }
}
