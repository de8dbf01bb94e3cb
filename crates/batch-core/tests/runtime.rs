//! What a commit needs of its surroundings, and what it shares with other commits of the store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::{
    error::Error as _,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use batch_core::{
    Batch, BatchExt, BatchOptions, BatchState, Capabilities, ErrorKind, Guarantee, Key, Operation,
    OperationRef, Result, Server, Store, StoreOptions,
    seam::{Answers, Backend, Chunk, Engine, Mechanism, Route, Routes, Terms, View},
};
use batch_memory::{Fault, MemoryBackend, MemoryStore};
use bytes::Bytes;
use serde_json::json;

fn put(key: usize) -> Operation {
    Operation::put("t").at(format!("k{key}")).doc(&json!({ "n": key }))
}

fn batch_of(store: &dyn Store, operations: usize) -> Box<dyn Batch> {
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    for key in 0..operations {
        batch.queue(put(key)).unwrap();
    }
    batch
}

fn poll_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it should have failed at once"),
    }
}

#[test]
fn a_commit_outside_a_runtime_is_an_error_and_the_batch_stays_whole() {
    let store = MemoryStore::new();
    let mut batch = batch_of(&store, 3);
    let error = poll_once(batch.commit()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!((batch.state(), batch.len()), (BatchState::Open, 3));
    let error = poll_once(store.ping()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    batch.discard();
}

#[test]
fn a_runtime_without_a_timer_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = MemoryStore::new();
    let mut batch = batch_of(&store, 1);
    let error = runtime.block_on(batch.commit()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(batch.state(), BatchState::Open);
    for error in [
        runtime.block_on(store.ping()).map(drop).unwrap_err(),
        runtime.block_on(store.close(Duration::from_secs(1))).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidState);
    }
    batch.discard();
}

#[test]
fn everything_but_a_commit_works_without_a_runtime() {
    let store = MemoryStore::new();
    let mut batch = batch_of(&store, 2);
    let job = batch.jobs().next().unwrap();
    assert!(job.is_pending());
    assert_eq!(batch.progress().queued(), 2);
    batch.on_commit(|_| ()).unwrap();
    assert_eq!(poll_once(batch.plan()).unwrap().operations(), 2);
    batch.discard();
    assert_eq!(job.status().error().map(batch_core::Error::kind), Some(ErrorKind::Discarded));
}

/// Counts how many requests are in flight at once, over all batches.
#[derive(Debug)]
struct Gauge {
    inner: Arc<MemoryBackend>,
    now: AtomicUsize,
    most: AtomicUsize,
    resolved: AtomicUsize,
    begun: AtomicUsize,
    /// The most operations of a chunk that is light.
    light: u32,
    /// How long it takes to encode a chunk.
    encoding: Duration,
}

impl Gauge {
    fn new() -> Arc<Self> {
        Self::with_light(0)
    }

    fn with_light(light: u32) -> Arc<Self> {
        Arc::new(Self { light, ..Self::idle() })
    }

    fn idle() -> Self {
        let inner = MemoryStore::new().backend();
        let [now, most, resolved, begun] = [(); 4].map(|()| AtomicUsize::new(0));
        Self { inner, now, most, resolved, begun, light: 0, encoding: Duration::ZERO }
    }
}

#[async_trait]
impl Backend for Gauge {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn admit(&self, operation: OperationRef<'_>, terms: Terms) -> Result<()> {
        self.inner.admit(operation, terms)
    }
    async fn resolve(&self, operations: View<'_>, stale: bool) -> Result<()> {
        self.resolved.fetch_add(1, Ordering::SeqCst);
        self.inner.resolve(operations, stale).await
    }
    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        if self.light == 0 {
            return self.inner.route(operations, terms, routes);
        }
        let mut mechanism = Mechanism::new("light");
        mechanism.light = self.light;
        let mechanism = routes.mechanism(mechanism);
        for _ in operations.iter() {
            routes.push(Route::new(mechanism, 0, None, 1));
        }
        Ok(())
    }
    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let encoded = std::time::Instant::now() + self.encoding;
        while std::time::Instant::now() < encoded {}
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
        let result = self.inner.send(chunk, answers).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        result
    }
    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        self.inner.get(collection, key).await
    }
    async fn ping(&self) -> Result<Server> {
        self.inner.ping().await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_in_flight_is_shared_by_the_batches_of_a_store() {
    let two = put(0).size() * 2;
    for (chunks, bytes, expected) in [(3, usize::MAX, 3), (64, two, 2), (1, 1, 1)] {
        let gauge = Gauge::new();
        let options = StoreOptions::new()
            .max_in_flight(chunks)
            .max_bytes_in_flight(bytes)
            .max_batch_operations(1);
        let store = Engine::new(Arc::<Gauge>::clone(&gauge), options);
        let commits = (0..4).map(|_| {
            let mut batch = batch_of(&store, 9);
            tokio::spawn(async move { batch.commit().await.unwrap().applied() })
        });
        for commit in commits.collect::<Vec<_>>() {
            assert_eq!(commit.await.unwrap(), 9);
        }
        assert_eq!(gauge.most.load(Ordering::SeqCst), expected, "{chunks} chunks, {bytes} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn four_light_chunks_fly_in_the_place_of_one_unless_a_number_was_asked_for() {
    // Operations of a chunk, of which two are light; what was asked for; chunks in flight.
    let cases = [(2, None, 128), (3, None, 32), (2, Some(32), 32), (3, Some(200), 200)];
    for (operations, asked, expected) in cases {
        let gauge = Gauge::with_light(2);
        let mut options = StoreOptions::new().max_batch_operations(operations);
        if let Some(chunks) = asked {
            options = options.max_in_flight(chunks);
        }
        let store = Engine::new(Arc::<Gauge>::clone(&gauge), options);
        let commits = (0..2).map(|_| {
            let mut batch = batch_of(&store, 150 * operations);
            tokio::spawn(async move { batch.commit().await.unwrap().applied() })
        });
        for commit in commits.collect::<Vec<_>>() {
            assert_eq!(commit.await.unwrap(), 150 * operations as u64);
        }
        let most = gauge.most.load(Ordering::SeqCst);
        assert_eq!(most, expected, "chunks of {operations}, {asked:?} asked for");
    }
}

/// No poll may keep the executor, however many chunks get their turn at once.
#[tokio::test(start_paused = true)]
async fn chunks_that_take_long_to_encode_are_not_all_encoded_in_one_poll() {
    let gauge = Arc::new(Gauge { encoding: Duration::from_millis(5), ..Gauge::idle() });
    let options = StoreOptions::new().max_in_flight(8).max_batch_operations(1);
    let store = Engine::new(Arc::<Gauge>::clone(&gauge), options);
    // The second one's chunks wait for a turn, and get it all at once.
    let begun = || gauge.begun.load(Ordering::SeqCst);
    let most = AtomicUsize::new(0);
    let commits = [8, 8].map(|operations| {
        let mut batch = batch_of(&store, operations);
        let mut commit = Box::pin(async move { batch.commit().await.unwrap().applied() });
        let most = &most;
        poll_fn(move |cx| {
            let before = begun();
            let polled = commit.as_mut().poll(cx);
            most.fetch_max(begun() - before, Ordering::SeqCst);
            polled
        })
    });
    assert_eq!(futures_util::future::join_all(commits).await, [8, 8]);
    let most = most.into_inner();
    assert_eq!((begun(), most), (16, 1), "chunks, and the most of them in a poll");
}

#[tokio::test]
async fn an_empty_commit_asks_for_no_metadata_and_sends_nothing() {
    let gauge = Gauge::new();
    let store = Engine::new(Arc::<Gauge>::clone(&gauge), StoreOptions::new());
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    assert_eq!(batch.plan().await.unwrap().chunks, []);
    assert_eq!(batch.commit().await.unwrap().total(), 0);
    let asked = gauge.resolved.load(Ordering::SeqCst) + gauge.most.load(Ordering::SeqCst);
    assert_eq!(asked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_backoff_holds_no_turn() {
    let options = StoreOptions::new()
        .max_in_flight(1)
        .max_batch_operations(1)
        .backoff(Duration::from_secs(10), Duration::from_secs(10));
    let store = MemoryStore::builder().options(options).faults([Fault::Busy]).build();
    let mut batch = batch_of(&store, 2);
    let second = batch.jobs().nth(1).unwrap();
    let started = tokio::time::Instant::now();
    let commit = tokio::spawn(async move { batch.commit().await.unwrap().applied() });
    second.await;
    assert!(started.elapsed() < Duration::from_secs(1), "the second waited for the first's pause");
    assert_eq!(commit.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_error_at_the_deadline_has_the_last_attempts_error_as_its_source() {
    let options = StoreOptions::new().timeout(Duration::from_secs(2)).max_batch_operations(1);
    let faults = vec![Fault::Unreachable; 100];
    let store = MemoryStore::builder().options(options).faults(faults).build();
    let mut batch = batch_of(&store, 1);
    let error = batch.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let source = error.source().unwrap().downcast_ref::<batch_core::Error>().unwrap();
    assert_eq!(source.kind(), ErrorKind::Connection);

    // The same once something was sent: then the job has it.
    let store = MemoryStore::builder()
        .options(StoreOptions::new().timeout(Duration::from_secs(2)).max_batch_operations(1))
        .faults([Fault::None].into_iter().chain([Fault::Busy; 100]).collect::<Vec<_>>())
        .build();
    let mut batch = batch_of(&store, 2);
    let report = batch.commit().await.unwrap();
    assert_eq!((report.applied(), report.not_applied()), (1, 1));
    let error = report.errors().next().unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let source = error.source().unwrap().downcast_ref::<batch_core::Error>().unwrap();
    assert_eq!(source.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn an_all_or_nothing_batch_over_a_ceiling_is_refused_and_never_split() {
    let store = MemoryStore::builder().max_chunk_operations(5).log(true).build();
    let options = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: true });
    let mut batch = store.batch(options).unwrap();
    for key in 0..6 {
        batch.queue(put(key)).unwrap();
    }
    for error in [batch.plan().await.map(drop), batch.commit().await.map(drop)] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.message().contains('6') && error.message().contains('5'), "{error}");
    }
    store.log().assert_nothing_sent();
    assert_eq!((batch.state(), batch.len()), (BatchState::Open, 6));
    batch.discard();
}

#[tokio::test(start_paused = true)]
async fn a_closed_store_waits_for_its_commits_and_takes_no_more() {
    let store = MemoryStore::builder().faults([Fault::Delay(Duration::from_secs(3))]).build();
    let mut late = batch_of(&store, 1);
    let mut batch = batch_of(&store, 1);
    let commit = tokio::spawn(async move { batch.commit().await.unwrap().applied() });
    tokio::task::yield_now().await;
    let error = store.close(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    store.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(commit.await.unwrap(), 1);
    let error = late.commit().await.unwrap_err();
    assert_eq!((error.kind(), late.state()), (ErrorKind::InvalidState, BatchState::Open));
    let refused = store.batch(BatchOptions::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidState);
    late.discard();
}
