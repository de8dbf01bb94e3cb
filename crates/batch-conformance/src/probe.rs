//! A backend around any backend that holds requests up at a point, and looks at what passes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use batch_core::{
    Capabilities, Error, Key, OperationRef, Result, Server,
    seam::{Answers, Backend, Chunk, Routes, Terms, View},
};
use bytes::Bytes;
use tokio::sync::watch;

/// Where a request can be held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Where metadata is read.
    Resolve,
    /// Before anything left.
    Before,
    /// After the point of no return, before the store acts.
    Sent,
    /// After the store acted, before its answer.
    Applied,
}

#[derive(Debug, Default)]
struct Gate {
    at: Option<Point>,
    arrived: usize,
}

#[derive(Debug, Default)]
struct Seen {
    in_flight: u64,
    bytes_in_flight: u64,
    most_in_flight: u64,
    most_bytes_in_flight: u64,
    refused: BTreeMap<u32, Error>,
    answer: Option<Error>,
    unreachable: Option<Error>,
    unresolved: VecDeque<(bool, Error)>,
    resolved_anew: usize,
    timestamps: Vec<(u32, i64)>,
}

/// Holds up requests, changes answers, and counts. A clone is another handle.
#[derive(Clone, Debug)]
pub struct Probe {
    gate: Arc<watch::Sender<Gate>>,
    seen: Arc<Mutex<Seen>>,
    reads: Arc<AtomicUsize>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            gate: Arc::new(watch::Sender::new(Gate::default())),
            seen: Arc::default(),
            reads: Arc::default(),
        }
    }
}

impl Probe {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every request waits at this point until [`release`](Self::release).
    pub fn hold(&self, at: Point) {
        self.gate.send_modify(|gate| *gate = Gate { at: Some(at), arrived: 0 });
    }

    /// Lets the waiting requests go, and all that come after them.
    pub fn release(&self) {
        self.gate.send_modify(|gate| gate.at = None);
    }

    /// Waits until so many requests have come to the point since [`hold`](Self::hold).
    pub async fn reached(&self, requests: usize) {
        let mut gate = self.gate.subscribe();
        // The probe holds the sender, so the channel does not close.
        let _ = gate.wait_for(|gate| gate.arrived >= requests).await;
    }

    /// Refuses the operation with this id before it is sent, whenever it travels alone.
    pub fn refuse(&self, job: u32, error: Error) {
        self.seen().refused.insert(job, error);
    }

    /// Refuses nothing any more.
    pub fn refuse_nothing(&self) {
        self.seen().refused.clear();
    }

    /// From now on every request ends with this error before anything leaves, or none any more.
    pub fn cut_off(&self, error: Option<Error>) {
        self.seen().unreachable = error;
    }

    /// The next reading of metadata (`anew`: the next one after a route vanished) fails with this
    /// error; called again, the one after it.
    pub fn fail_resolve(&self, anew: bool, error: Error) {
        self.seen().unresolved.push_back((anew, error));
    }

    /// How often metadata was read because a route had vanished.
    #[must_use]
    pub fn resolved_anew(&self) -> usize {
        self.seen().resolved_anew
    }

    /// From now on every request is answered with this error, after it was carried out.
    pub fn answer_with(&self, error: Error) {
        self.seen().answer = Some(error);
    }

    /// The most requests that were in flight at once, and the most bytes.
    #[must_use]
    pub fn most_in_flight(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.most_in_flight, seen.most_bytes_in_flight)
    }

    /// How many documents were read outside batches.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// The id of each operation that was sent with its write timestamp, attempt by attempt.
    #[must_use]
    pub fn timestamps(&self) -> Vec<(u32, i64)> {
        self.seen().timestamps.clone()
    }

    async fn pass(&self, point: Point) {
        let mut waits = false;
        self.gate.send_if_modified(|gate| {
            waits = gate.at == Some(point);
            gate.arrived += usize::from(waits);
            waits
        });
        if waits {
            let mut gate = self.gate.subscribe();
            let _ = gate.wait_for(|gate| gate.at != Some(point)).await;
        }
    }

    fn holds(&self, point: Point) -> bool {
        self.gate.borrow().at == Some(point)
    }

    fn enter(&self, chunk: &Chunk<'_>) -> InFlight<'_> {
        let mut seen = self.seen();
        for (place, operation) in chunk.operations().enumerate() {
            seen.timestamps.push((operation.index + 1, chunk.timestamp(place)));
        }
        seen.in_flight += 1;
        seen.bytes_in_flight += chunk.bytes();
        seen.most_in_flight = u64::max(seen.most_in_flight, seen.in_flight);
        seen.most_bytes_in_flight = u64::max(seen.most_bytes_in_flight, seen.bytes_in_flight);
        InFlight { probe: self, bytes: chunk.bytes() }
    }

    fn refusal(&self, chunk: &Chunk<'_>) -> Option<Error> {
        let first = chunk.operations().next()?;
        let refusal = self.seen().refused.get(&(first.index + 1)).cloned();
        refusal.filter(|_| chunk.len() == 1)
    }
}

/// Counts a request until it ends, however it does.
struct InFlight<'a> {
    probe: &'a Probe,
    bytes: u64,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut seen = self.probe.seen();
        seen.in_flight -= 1;
        seen.bytes_in_flight -= self.bytes;
    }
}

/// The backend with its probe.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) probe: Probe,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Probed {
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
        self.probe.pass(Point::Resolve).await;
        let error = {
            let mut seen = self.probe.seen();
            seen.resolved_anew += usize::from(stale);
            match seen.unresolved.front() {
                Some((anew, _)) if *anew == stale => seen.unresolved.pop_front(),
                _ => None,
            }
        };
        match error {
            Some((_, error)) => Err(error),
            None => self.inner.resolve(operations, stale).await,
        }
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        self.inner.route(operations, terms, routes)
    }

    fn positions(&self, operations: View<'_>, routes: &Routes, positions: &mut Vec<u128>) {
        self.inner.positions(operations, routes, positions);
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let _in_flight = self.probe.enter(chunk);
        if let Some(error) = self.probe.refusal(chunk) {
            answers.set(0, Err(error));
            return Ok(());
        }
        let unreachable = self.probe.seen().unreachable.clone();
        if let Some(error) = unreachable {
            return Err(error);
        }
        self.probe.pass(Point::Before).await;
        if self.probe.holds(Point::Sent) {
            chunk.sent();
            self.probe.pass(Point::Sent).await;
        }
        let answer = self.probe.seen().answer.clone();
        let result = match answer {
            None => self.inner.send(chunk, answers).await,
            Some(error) => {
                let mut unseen = Answers::new(chunk.len());
                self.inner.send(chunk, &mut unseen).await.and(Err(error))
            }
        };
        self.probe.pass(Point::Applied).await;
        result
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        self.probe.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.get(collection, key).await
    }

    async fn ping(&self) -> Result<Server> {
        self.inner.ping().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
