//! What follows a commit that goes on though its future was dropped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchState, Capabilities, Error, ErrorKind, Guarantee,
    Job, JobStatus, Key, OnError, Operation, OperationRef, Result, Server, Store as _,
    StoreOptions, Verb,
    seam::{Answers, Backend, Chunk, Engine, KeyId, Mechanism, Route, Routes, Terms, View},
};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;

const ORDERED: Guarantee = Guarantee::Ordered { on_error: OnError::Continue };

/// Puts are stamped, all else is not. Requests wait until they are let go.
#[derive(Debug, Default)]
struct Held {
    /// How many requests have come, and whether they may go.
    requests: watch::Sender<(usize, bool)>,
    /// What every key shares with all others.
    shares: bool,
    /// Whether routing two operations panics from now on.
    breaks: AtomicBool,
}

impl Held {
    async fn reached(&self, requests: usize) {
        self.requests.subscribe().wait_for(|(come, _)| *come >= requests).await.unwrap();
    }

    fn let_go(&self) {
        self.requests.send_modify(|(_, go)| *go = true);
    }
}

#[async_trait]
impl Backend for Held {
    fn name(&self) -> &'static str {
        "held"
    }
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.best_effort = Some("request".into());
        can.ordered = Some("request".into());
        can.conditions = true;
        can
    }
    fn admit(&self, _: OperationRef<'_>, _: Terms) -> Result<()> {
        Ok(())
    }
    async fn resolve(&self, _: View<'_>, _: bool) -> Result<()> {
        Ok(())
    }
    fn route(&self, operations: View<'_>, _: Terms, routes: &mut Routes) -> Result<()> {
        assert!(operations.len() < 2 || !self.breaks.load(Ordering::SeqCst), "on purpose");
        for operation in operations.iter() {
            let mut mechanism = Mechanism::new(operation.verb.as_str());
            (mechanism.max_operations, mechanism.stamped) = (1, operation.verb == Verb::Put);
            let key = KeyId::of_string_forms(operation.collection, operation.key);
            let mechanism = routes.mechanism(mechanism);
            routes.push(Route::new(mechanism, 0, key, 10));
            if self.shares {
                routes.share(KeyId::of("all"));
            }
        }
        Ok(())
    }
    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}
    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        chunk.sent();
        self.requests.send_modify(|(come, _)| *come += 1);
        self.requests.subscribe().wait_for(|(_, go)| *go).await.unwrap();
        answers.all_applied();
        Ok(())
    }
    async fn get(&self, _: &str, _: &Key) -> Result<Option<Bytes>> {
        Ok(None)
    }
    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("held", "0"))
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn on(verb: Verb, key: &str) -> Operation {
    Operation::on(verb, "t").at(key).doc(&json!({}))
}

/// A commit of several requests, whose future was dropped when the first had left, or two under best effort.
async fn dropped(
    store: &Engine,
    backend: &Held,
    verb: Verb,
    guarantee: Guarantee,
    further: &[&str],
) -> Vec<Job> {
    let mut batch = store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
    let keys = ["sent", "queued"].iter().chain(further);
    let jobs = batch.queue_all(keys.map(|key| on(verb, key))).unwrap();
    tokio::select! {
        _ = batch.commit() => panic!("it is held"),
        () = backend.reached(if guarantee == ORDERED { 1 } else { 2 }) => {}
    }
    assert_eq!(batch.state(), BatchState::Committing);
    jobs
}

/// Whether a commit of one operation waits for the dropped one. Its deadline is long before that one's.
async fn waits(store: &Engine, backend: &Held, operation: Operation) -> bool {
    let options = BatchOptions::new().deadline(Duration::from_secs(1));
    let mut batch = store.batch(options).unwrap();
    let job = batch.queue(operation).unwrap();
    let (before, _) = *backend.requests.borrow();
    tokio::select! {
        biased;
        () = backend.reached(before + 1) => return false,
        ended = batch.commit() => {
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.message().contains("whose future was dropped"), "{error}");
        }
    }
    assert!(job.is_pending());
    assert_eq!(batch.state(), BatchState::Open);
    batch.discard();
    true
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_only_for_what_may_come_to_the_store_after_it() {
    const NONE: &[&str] = &[];
    const AGAIN: &[&str] = &["queued"];
    for (guarantee, first, second, key, further, shares, expected) in [
        // Their timestamps decide, once they have one.
        (Guarantee::BestEffort, Verb::Put, Verb::Put, "sent", NONE, false, false),
        (Guarantee::BestEffort, Verb::Put, Verb::Insert, "sent", NONE, false, true),
        (ORDERED, Verb::Put, Verb::Put, "sent", NONE, false, false),
        // A key occurs again: the chunk may be cut, and its piece gets a later one.
        (ORDERED, Verb::Put, Verb::Put, "sent", AGAIN, false, true),
        (Guarantee::BestEffort, Verb::Put, Verb::Put, "sent", AGAIN, false, true),
        (ORDERED, Verb::Put, Verb::Put, "queued", NONE, false, true),
        (ORDERED, Verb::Put, Verb::Insert, "sent", NONE, false, true),
        (ORDERED, Verb::Insert, Verb::Put, "sent", NONE, false, true),
        (ORDERED, Verb::Insert, Verb::Insert, "queued", NONE, false, true),
        (ORDERED, Verb::Put, Verb::Put, "other", NONE, false, false),
        (ORDERED, Verb::Insert, Verb::Insert, "other", NONE, false, false),
        // What the keys share is as good as a key.
        (ORDERED, Verb::Insert, Verb::Insert, "other", NONE, true, true),
    ] {
        let backend = Arc::new(Held { shares, ..Held::default() });
        let store = Engine::new(Arc::<Held>::clone(&backend), StoreOptions::new());
        let jobs = dropped(&store, &backend, first, guarantee, further).await;
        let waits = waits(&store, &backend, on(second, key)).await;
        assert_eq!(
            waits, expected,
            "{guarantee}: {second} `{key}` after {first}, shares: {shares}"
        );
        backend.let_go();
        for job in jobs {
            assert!(matches!(job.await, JobStatus::Applied(_)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_goes_on_once_the_dropped_one_has_ended() {
    let backend = Arc::new(Held::default());
    let store = Engine::new(Arc::<Held>::clone(&backend), StoreOptions::new());
    let jobs = dropped(&store, &backend, Verb::Insert, ORDERED, &[]).await;
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(on(Verb::Replace, "queued")).unwrap();
    let (report, ()) = tokio::join!(batch.commit(), async {
        // The commit has been polled before, since this branch comes second.
        assert!(jobs.iter().all(Job::is_pending));
        backend.let_go();
    });
    assert!(report.unwrap().is_success());
    assert!(jobs.iter().all(Job::is_done));
}

#[tokio::test(start_paused = true)]
async fn a_callback_of_a_dropped_commit_may_write_its_keys_again() {
    let backend = Arc::new(Held::default());
    let store = Engine::new(Arc::<Held>::clone(&backend), StoreOptions::new());
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(on(Verb::Insert, "k")).unwrap();
    let again = store.clone();
    let (told, heard) = tokio::sync::oneshot::channel();
    batch
        .on_commit_async(move |_| async move {
            let mut batch = again.batch(BatchOptions::new())?;
            batch.queue(on(Verb::Insert, "k"))?;
            let _ = told.send(batch.commit().await?.applied());
            Ok::<_, Error>(())
        })
        .unwrap();
    tokio::select! {
        _ = batch.commit() => panic!("it is held"),
        () = backend.reached(1) => {}
    }
    drop(batch);
    backend.let_go();
    assert_eq!(heard.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_commit_whose_keys_cannot_be_told_is_waited_for() {
    let backend = Arc::new(Held::default());
    let store = Engine::new(Arc::<Held>::clone(&backend), StoreOptions::new());
    let _jobs = dropped(&store, &backend, Verb::Put, ORDERED, &[]).await;
    backend.breaks.store(true, Ordering::SeqCst);
    assert!(waits(&store, &backend, on(Verb::Put, "other")).await);
}
