//! The traps that a first engine fell into, each as a test. Two more are unit tests beside the
//! code (`commit::judge`: a retry never overtakes; `table`: a waiter that registers while its job
//! ends), one is compiled (`auto_traits.rs`: `scope` inside `tokio::spawn`), and one is the
//! benchmark package's own lint table (an allocator that counts needs `unsafe`, which is forbidden
//! here).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use batch_core::{
    Batch, BatchExt, BatchOptions, BatchState, Capabilities, Clock, Error, ErrorKind, Guarantee,
    JobStatus, Key, OnError, Operation, OperationRef, Result, Server, Store, StoreOptions,
    seam::{
        Answers, Backend, Chunk, Engine, KeyId, Mechanism, Repeats, Route, Routes, Terms, View,
    },
};
use batch_memory::{Fault, Faults, MemoryStore};
use bytes::Bytes;
use serde_json::json;

fn put(key: &str, n: usize) -> Operation {
    Operation::put("t").at(key).doc(&json!({ "n": n }))
}

fn contradictory(key: &str) -> Operation {
    // Refused when it is encoded: the document contradicts its key.
    Operation::put("t").at(key).doc(&json!({"_key": "another"}))
}

/// Trap 1.
#[tokio::test(start_paused = true)]
async fn a_verdict_reached_before_anything_was_sent_is_held_back_until_the_batch_cannot_reopen() {
    // First the encoding refuses one chunk; the other chunk cannot be sent in time.
    let store = MemoryStore::builder()
        .options(
            // With other pauses the faults can last, for one of the two, to a last deadline.
            StoreOptions::new()
                .max_batch_operations(1)
                .timeout(Duration::from_millis(200))
                .backoff_seed(7),
        )
        .faults(vec![Fault::None].into_iter().chain([Fault::Unreachable; 100]).collect::<Vec<_>>())
        .build();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let refused = batch.queue(contradictory("a")).unwrap();
    let other = batch.queue(put("b", 1)).unwrap();
    let error = batch.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(batch.state(), BatchState::Open);
    assert!(refused.is_pending() && other.is_pending(), "nothing has happened to an open batch");
    // The faults are used up after some more attempts; the batch can be committed again.
    let report = loop {
        match batch.commit().await {
            Ok(report) => break report,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout),
        }
    };
    assert_eq!((report.applied(), report.not_applied()), (1, 1));
    assert_eq!(refused.status().error().map(Error::kind), Some(ErrorKind::InvalidOperation));
    assert!(store.document("t", "a").is_none());
}

/// Trap 2, end to end: a transient failure of the first of two writes to a key.
#[tokio::test(start_paused = true)]
async fn two_writes_to_one_key_end_in_program_order_although_the_first_meets_a_conflict() {
    let store = MemoryStore::builder().log(true).build();
    store.conflict_next("t", "k", 2);
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(put("k", 1)).unwrap();
    batch.queue(put("k", 2)).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.applied(), report.retries()), (2, 2));
    assert_eq!(store.document("t", "k").unwrap()["n"], 2);
}

/// Trap 3.
#[tokio::test(start_paused = true)]
async fn an_operation_in_doubt_stays_unknown_whatever_a_later_attempt_is_refused_for() {
    for (first, expected) in [(Fault::DropAfter, Some(1)), (Fault::DropBefore, None)] {
        let store =
            MemoryStore::builder().faults([first, Fault::Refuse(ErrorKind::Unauthorized)]).build();
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        let job = batch.queue(put("k", 1)).unwrap();
        let report = batch.commit().await.unwrap();
        let JobStatus::Unknown(error) = job.status() else { panic!("{:?}", job.status()) };
        // The first indefinite error, not the last definite one.
        assert_eq!(error.kind(), ErrorKind::Connection);
        assert_eq!((report.unknown(), report.not_applied()), (1, 0));
        assert_eq!(store.document("t", "k").map(|doc| doc["n"].clone()), expected.map(Into::into));
    }
}

/// A backend whose route vanishes: the old mechanism is dead, the new one works.
#[derive(Debug, Default)]
struct Vanishing {
    resolved_anew: Mutex<u32>,
    sent_by: Mutex<Vec<String>>,
    timestamps: Mutex<Vec<i64>>,
    repeats: Option<Repeats>,
    /// Conditions carry no timestamp, all else does.
    mixed: bool,
}

#[async_trait]
impl Backend for Vanishing {
    fn name(&self) -> &'static str {
        "vanishing"
    }
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.best_effort = Some("old route".into());
        can.ordered = Some("old route".into());
        can.conditions = true;
        can
    }
    fn admit(&self, _: OperationRef<'_>, _: Terms) -> Result<()> {
        Ok(())
    }
    async fn resolve(&self, _: View<'_>, stale: bool) -> Result<()> {
        *self.resolved_anew.lock().unwrap() += u32::from(stale);
        Ok(())
    }
    fn route(&self, operations: View<'_>, _: Terms, routes: &mut Routes) -> Result<()> {
        let vanished = *self.resolved_anew.lock().unwrap() > 0;
        let mut mechanism = Mechanism::new(if vanished { "new route" } else { "old route" });
        mechanism.repeats = self.repeats.unwrap_or(Repeats::Apart);
        let id = routes.mechanism(mechanism);
        let mut stamped = Mechanism::new("stamped");
        stamped.repeats = Repeats::Stamped;
        let stamped = if self.mixed { routes.mechanism(stamped) } else { id };
        for operation in operations.iter() {
            let id = if operation.is_conditional() { id } else { stamped };
            let key = KeyId::of_string_forms(operation.collection, operation.key);
            routes.push(Route::new(id, 0, key, u32::try_from(operation.body.len()).unwrap()));
        }
        Ok(())
    }
    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        self.sent_by.lock().unwrap().push(chunk.mechanism().name.to_string());
        if chunk.mechanism().name == "old route" && self.repeats.is_none() {
            return Err(Error::new(ErrorKind::Stale, "404: the route is gone"));
        }
        chunk.sent();
        let stamps = (0..chunk.len()).map(|place| chunk.timestamp(place));
        self.timestamps.lock().unwrap().extend(stamps);
        answers.all_applied();
        Ok(())
    }
    async fn get(&self, _: &str, _: &Key) -> Result<Option<Bytes>> {
        Ok(None)
    }
    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("vanishing", "1"))
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Trap 4.
#[tokio::test(start_paused = true)]
async fn a_route_that_vanished_is_resolved_anew_and_not_tried_again_to_the_deadline() {
    let backend = Arc::new(Vanishing::default());
    let store = Engine::new(Arc::<Vanishing>::clone(&backend), StoreOptions::new());
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    for n in 0..10 {
        batch.queue(put(&format!("k{n}"), n)).unwrap();
    }
    let report = batch.commit().await.unwrap();
    assert_eq!(report.applied(), 10);
    assert_eq!(*backend.sent_by.lock().unwrap(), ["old route", "new route"]);
    assert_eq!(report.deviations(), 1, "{:?}", report.warnings());
    assert!(report.warnings().iter().any(|warning| warning.contains("404")));
}

/// Trap 5.
#[tokio::test(start_paused = true)]
async fn a_hidden_size_limit_is_found_in_a_few_attempts_and_remembered() {
    let limit = 1000;
    let options = StoreOptions::new().max_in_flight(4);
    let store = MemoryStore::builder().options(options).hidden_max_bytes(limit).log(true).build();
    let commit = async || {
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        for n in 0..2000 {
            batch.queue(put(&format!("k{n}"), n)).unwrap();
        }
        let report = batch.commit().await.unwrap();
        assert_eq!(report.applied(), 2000);
        let chunks = store.log().chunks();
        store.log().clear();
        let refused = chunks.iter().filter(|chunk| chunk.bytes > limit).count();
        (refused, chunks)
    };
    let (refused, _) = commit().await;
    // Each of the two planned chunks once, then the halvings on the way to the limit.
    assert!(refused <= 14, "{refused} requests over the limit");
    let (refused, chunks) = commit().await;
    assert_eq!(refused, 0, "the second batch knows the limit");
    let mean = chunks.iter().map(|chunk| chunk.bytes).sum::<u64>() / chunks.len() as u64;
    assert!(mean > limit * 3 / 4, "chunks of {mean} bytes under a limit of {limit}");
}

/// Trap 8: async callbacks own their clone of the report.
#[tokio::test]
async fn an_async_callback_keeps_the_report_as_long_as_it_likes() {
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(put("k", 1)).unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    batch
        .on_commit_async(async move |report| {
            tokio::task::yield_now().await;
            sender.send(report).map_err(|_| "nobody waits")
        })
        .unwrap();
    let returned = batch.commit().await.unwrap();
    assert_eq!(receiver.await.unwrap().applied(), returned.applied());
}

/// Counts how often a future gives way before it is ready.
fn polls<T>(future: impl Future<Output = T>) -> (usize, T) {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for polls in 1.. {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return (polls, value);
        }
    }
    unreachable!("it ends")
}

/// Trap 9. How long a poll takes is for the benchmarks; how many operations share one is for here.
#[test]
fn planning_gives_way_between_slices_of_operations() {
    let store = MemoryStore::new();
    let operations = 50_000;
    for repeated in [false, true] {
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        for n in 0..operations {
            let key = if repeated { n % 1000 } else { n };
            batch.queue(put(&format!("k{key}"), n)).unwrap();
        }
        let (polls, plan) = polls(batch.plan());
        assert_eq!(plan.unwrap().operations(), operations);
        // Routing, looking for repeated keys and cutting each pass over all of them.
        assert!(polls > 4 * operations / 4096, "{polls} polls for {operations} operations");
    }
}

#[derive(Debug)]
struct Stopped(i64);
impl Clock for Stopped {
    fn now_micros(&self) -> i64 {
        self.0
    }
}

/// Trap 10.
#[tokio::test]
async fn the_timestamp_of_an_operation_is_the_base_and_its_place_on_its_key() {
    let backend = Arc::new(Vanishing { repeats: Some(Repeats::Stamped), ..Vanishing::default() });
    let options = StoreOptions::new().clock(Arc::new(Stopped(1_000_000)));
    let store = Engine::new(Arc::<Vanishing>::clone(&backend), options);
    let commit = async |keys: &[&str]| {
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        for (n, key) in keys.iter().enumerate() {
            batch.queue(put(key, n)).unwrap();
        }
        assert!(batch.commit().await.unwrap().is_success());
        std::mem::take(&mut *backend.timestamps.lock().unwrap())
    };
    let first = commit(&["a", "b", "a", "c", "a"]).await;
    assert_eq!(first, [1_000_000, 1_000_000, 1_000_016, 1_000_000, 1_000_032]);
    // The clock stands still, and the next commit is later all the same.
    let second = commit(&["a", "b"]).await;
    assert_eq!(second, [1_000_049, 1_000_049]);
}

/// One write without a timestamp of its own is enough: then nothing on its key flies free.
#[tokio::test(start_paused = true)]
async fn stamped_and_unstamped_writes_to_one_key_follow_one_another() {
    let backend = Arc::new(Vanishing { mixed: true, ..Vanishing::default() });
    let store = Engine::new(Arc::<Vanishing>::clone(&backend), StoreOptions::new());
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(put("k", 1)).unwrap();
    batch.queue(Operation::insert("t").at("k").doc(&json!({}))).unwrap();
    batch.queue(put("k", 2)).unwrap();
    batch.queue(put("free", 3)).unwrap();
    let plan = batch.plan().await.unwrap();
    let mut lanes: std::collections::BTreeMap<u32, Vec<u32>> = std::collections::BTreeMap::new();
    for chunk in plan.chunks {
        lanes.entry(chunk.lane).or_default().extend(chunk.operations);
    }
    assert_eq!(lanes.into_values().collect::<Vec<_>>(), [vec![4], vec![1, 2, 3]]);
    batch.discard();
}

/// Trap 11.
#[tokio::test(start_paused = true)]
async fn seeded_delays_let_chunks_finish_in_different_orders() {
    let mut orders = std::collections::HashSet::new();
    for seed in 0..8 {
        let options = StoreOptions::new().max_batch_operations(1);
        let faults = Faults::seeded(seed, 0.0).delays(Duration::from_millis(100));
        let store = MemoryStore::builder().options(options).faults(faults).build();
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        let ended = Arc::new(Mutex::new(Vec::new()));
        let mut waiters = Vec::new();
        for n in 0..4 {
            let job = batch.queue(put(&format!("k{n}"), n)).unwrap();
            let ended = Arc::clone(&ended);
            waiters.push(tokio::spawn(async move {
                job.clone().await;
                ended.lock().unwrap().push(job.id());
            }));
        }
        assert!(batch.commit().await.unwrap().is_success());
        for waiter in waiters {
            waiter.await.unwrap();
        }
        orders.insert(ended.lock().unwrap().clone());
    }
    assert!(orders.len() > 2, "{orders:?}");
}

/// An ordered batch that stops must not leave what the store did not run as unknown.
#[tokio::test]
async fn what_a_stopping_mechanism_did_not_run_is_skipped_and_not_in_doubt() {
    let store = MemoryStore::new();
    let options = BatchOptions::new().guarantee(Guarantee::Ordered { on_error: OnError::Stop });
    let mut batch = store.batch(options).unwrap();
    batch.queue(put("a", 1)).unwrap();
    batch.queue(Operation::delete_existing("t").at("absent")).unwrap();
    let later = batch.queue(put("b", 2)).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.applied(), report.not_applied(), report.unknown()), (1, 2, 0));
    assert_eq!(later.status().error().map(Error::kind), Some(ErrorKind::Skipped));
}
