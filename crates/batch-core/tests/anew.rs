//! What is resolved, routed or sent once more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, Capabilities, Error, ErrorKind, Guarantee, Key,
    OnError, Operation, OperationRef, Result, Server, Store as _, StoreOptions,
    seam::{Answers, Backend, Chunk, Engine, KeyId, Mechanism, Route, Routes, Terms, View},
};
use bytes::Bytes;
use serde_json::json;

type Refuses = dyn Fn(u32, OperationRef<'_>) -> Option<Error> + Send + Sync;
type Sends = dyn Fn(&Chunk<'_>) -> Result<()> + Send + Sync;

/// Everything is one group. Routing and sending ask a function, the former with how often
/// something was resolved.
struct Scripted {
    resolved: AtomicU32,
    refuses: Box<Refuses>,
    sends: Box<Sends>,
    /// Whether what the function says is the answer to each operation, and not the chunk's.
    one_by_one: bool,
    sent: Mutex<Vec<Vec<u32>>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl Scripted {
    fn open(
        refuses: impl Fn(u32, OperationRef<'_>) -> Option<Error> + Send + Sync + 'static,
        sends: impl Fn(&Chunk<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> (Arc<Self>, Engine) {
        Self::open_with(StoreOptions::new(), false, refuses, sends)
    }

    fn open_with(
        options: StoreOptions,
        one_by_one: bool,
        refuses: impl Fn(u32, OperationRef<'_>) -> Option<Error> + Send + Sync + 'static,
        sends: impl Fn(&Chunk<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> (Arc<Self>, Engine) {
        let backend = Arc::new(Self {
            resolved: AtomicU32::new(0),
            refuses: Box::new(refuses),
            sends: Box::new(sends),
            one_by_one,
            sent: Mutex::default(),
        });
        let store = Engine::new(Arc::<Self>::clone(&backend), options);
        (backend, store)
    }
}

#[async_trait]
impl Backend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.best_effort = Some("call".into());
        can.ordered = Some("call".into());
        can.all_or_nothing = Some("call".into());
        can
    }
    fn admit(&self, _: OperationRef<'_>, _: Terms) -> Result<()> {
        Ok(())
    }
    async fn resolve(&self, _: View<'_>, _: bool) -> Result<()> {
        self.resolved.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn route(&self, operations: View<'_>, _: Terms, routes: &mut Routes) -> Result<()> {
        for operation in operations.iter() {
            if let Some(error) = (self.refuses)(self.resolved.load(Ordering::SeqCst), operation) {
                routes.refuse(error);
                continue;
            }
            let mut mechanism = Mechanism::new("call");
            (mechanism.stops, mechanism.atomic) = (true, true);
            let key = KeyId::of_string_forms(operation.collection, operation.key);
            let mechanism = routes.mechanism(mechanism);
            routes.push(Route::new(mechanism, 0, key, 10));
        }
        Ok(())
    }
    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}
    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let operations = chunk.operations().map(|operation| operation.index).collect();
        self.sent.lock().unwrap().push(operations);
        match (self.sends)(chunk) {
            Ok(()) => answers.all_applied(),
            Err(error) if self.one_by_one => {
                (0..chunk.len()).for_each(|place| answers.set(place, Err(error.clone())));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
    async fn get(&self, _: &str, _: &Key) -> Result<Option<Bytes>> {
        Ok(None)
    }
    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("scripted", "0"))
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn puts(count: u32) -> impl Iterator<Item = Operation> {
    (0..count).map(|key| Operation::put("t").at(key.to_string()).doc(&json!({})))
}

fn stale() -> Error {
    Error::new(ErrorKind::Stale, "it is not there any more")
}

/// Another commit may have let go of it between resolving and routing.
#[tokio::test(start_paused = true)]
async fn what_is_gone_when_it_is_routed_is_resolved_once_more() {
    for guarantee in [Guarantee::BestEffort, Guarantee::AllOrNothing { isolated: false }] {
        let gone = |resolved: u32, operation: OperationRef<'_>| {
            (resolved < 3 && operation.index == 1).then(stale)
        };
        let (backend, store) = Scripted::open(gone, |_| Ok(()));
        let mut batch = store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
        let _ = batch.queue_all(puts(3)).unwrap();
        let report = batch.commit().await.unwrap();
        assert_eq!((report.applied(), report.attempts()), (3, 1), "{guarantee}");
        assert_eq!(backend.resolved.load(Ordering::SeqCst), 3, "{guarantee}");
    }
    // For ever.
    let (_, store) = Scripted::open(|_, operation| (operation.index == 1).then(stale), |_| Ok(()));
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let _ = batch.queue_all(puts(3)).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.applied(), report.not_applied()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_when_it_is_routed_anew_is_routed_anew_again() {
    let gone = |resolved: u32, _: OperationRef<'_>| (2..5).contains(&resolved).then(stale);
    let sends = |chunk: &Chunk<'_>| {
        chunk.sent();
        if chunk.attempt() == 1 { Err(stale()) } else { Ok(()) }
    };
    let (backend, store) = Scripted::open(gone, sends);
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let _ = batch.queue_all(puts(3)).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!(report.applied(), 3, "{report}");
    assert_eq!(backend.resolved.load(Ordering::SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_batch_stops_at_what_a_piece_is_refused_for_when_it_is_routed_anew() {
    let refused = |resolved: u32, operation: OperationRef<'_>| {
        (resolved > 1 && operation.index == 1).then(|| Error::new(ErrorKind::NotFound, "gone"))
    };
    let sends = |chunk: &Chunk<'_>| {
        chunk.sent();
        match (chunk.len(), chunk.attempt()) {
            (8, _) => Err(Error::new(ErrorKind::TooLarge, "too large")),
            (4, 2) => Err(stale()),
            _ => Ok(()),
        }
    };
    let (backend, store) = Scripted::open(refused, sends);
    let stops = Guarantee::Ordered { on_error: OnError::Stop };
    let mut batch = store.batch(BatchOptions::new().guarantee(stops)).unwrap();
    let jobs = batch.queue_all(puts(8)).unwrap();
    let _ = batch.commit().await.unwrap();
    let ends: Vec<_> = jobs.iter().map(|job| job.status().as_str()).collect();
    assert_eq!(ends[..2], ["applied", "not_applied"]);
    assert!(ends[2..].iter().all(|end| *end == "not_applied"), "{ends:?}");
    let sent = backend.sent.lock().unwrap().clone();
    assert_eq!(sent, [(0..8).collect(), vec![0, 1, 2, 3], vec![0]]);
}

/// What others may rely on from when a chunk has left, and what may have been done several times.
#[tokio::test(start_paused = true)]
async fn a_chunk_knows_whether_it_has_left_and_how_often_it_was_in_doubt() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sends = {
        let told = Arc::clone(&told);
        move |chunk: &Chunk<'_>| {
            told.lock().unwrap().push((chunk.has_left(), chunk.doubts()));
            let connection = || Error::new(ErrorKind::Connection, "none").transient();
            match chunk.attempt() {
                // Not sent; sent and refused; in doubt, twice.
                1 => return Err(connection()),
                2 => {
                    chunk.sent();
                    return Err(connection());
                }
                3 | 4 => {
                    chunk.sent();
                    return Err(connection().unknown());
                }
                _ => chunk.sent(),
            }
            Ok(())
        }
    };
    let (_, store) = Scripted::open(|_, _| None, sends);
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let _ = batch.queue_all(puts(2)).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!(report.applied(), 2);
    let told = told.lock().unwrap().clone();
    assert_eq!(told, [(false, 0), (false, 0), (true, 0), (true, 1), (true, 2)]);
}

/// Each chunk fails at once, and would be tried again by itself.
#[tokio::test(start_paused = true)]
async fn a_commit_rests_however_it_is_told_that_nothing_can_be_sent() {
    for one_by_one in [false, true] {
        let options = StoreOptions::new().timeout(Duration::from_secs(10)).max_in_flight(8);
        let (backend, store) = Scripted::open_with(
            options.max_batch_operations(1),
            one_by_one,
            |_, _| None,
            |_| Err(Error::new(ErrorKind::Connection, "nobody is there").transient()),
        );
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        let _ = batch.queue_all(puts(2_000)).unwrap();
        let error = batch.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        // Some fifteen pauses of up to two seconds, eight chunks behind each.
        let tried = backend.sent.lock().unwrap().len();
        assert!((50..500).contains(&tried), "{one_by_one}: {tried}");
        batch.discard();
    }
}
