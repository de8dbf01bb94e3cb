//! 3 COMMIT: sends what was planned, lane beside lane, and settles every operation.
//!
//! Two halves. Until the first chunk calls [`Chunk::sent`] nothing has happened: an error or a
//! dropped future gives the queue back. From then on the commit never fails; it settles.

mod judge;
mod work;

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashMap, VecDeque},
    future::Future,
    ops::Range,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, Sleep};
use tracing::Instrument as _;

use self::judge::{Judgement, Sent, judge};
pub(crate) use self::work::Work;
use self::work::{Held, Settled};
use crate::{
    Error, ErrorKind, Report, Result,
    backend::{Answers, Chunk, KeyId, Mechanism, MechanismId, REFUSED, Repeats, Routes, View},
    callback::panic_message,
    engine::Running,
    metrics,
    plan::{
        Planned, SLICE, breathe, check_routes, cut_in_order, mechanism_of, oversized, plan,
        skipped_after,
    },
    table::Verdict,
};

/// A commit under way: polled in place by the batch, or spawned to finish when that is dropped.
/// Its own drop settles what is left, so that no job pends for ever.
pub(crate) struct RunningCommit {
    future: Option<Pin<Box<dyn Future<Output = Result<Report>> + Send>>>,
    work: Arc<Work>,
    _running: Running,
}

impl RunningCommit {
    /// `timer` is the sleep until the deadline.
    pub(crate) fn new(work: Arc<Work>, running: Running, timer: Sleep) -> Self {
        let span = tracing::info_span!(
            "batch.commit",
            store = work.shared.name,
            guarantee = work.terms.guarantee.as_str(),
            operations = work.queue().len(),
            applied = tracing::field::Empty,
            not_applied = tracing::field::Empty,
            accepted = tracing::field::Empty,
            unknown = tracing::field::Empty,
            attempts = tracing::field::Empty,
        );
        let future = Box::pin(run(Arc::clone(&work), timer).instrument(span));
        Self {
            future: Some(future),
            work,
            _running: running,
        }
    }

    /// Whether a drop may leave operations in the store.
    pub(crate) fn any_sent(&self) -> bool {
        self.work.any_sent()
    }
}

impl Future for RunningCommit {
    type Output = Result<Report>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.future.as_mut() else {
            unreachable!("a commit is not polled after its end")
        };
        let result = std::task::ready!(future.as_mut().poll(cx));
        self.future = None;
        Poll::Ready(result)
    }
}

impl Drop for RunningCommit {
    fn drop(&mut self) {
        // What is in flight ends first; nothing is sent from here on.
        if self.future.take().is_some() && self.work.any_sent() && !self.work.has_ended() {
            let not_applied = Error::new(
                ErrorKind::Cancelled,
                "the commit was cancelled before this operation was sent; `batch.take()` gives it back",
            );
            let unknown = Error::new(
                ErrorKind::Cancelled,
                "the commit was cancelled while this operation was under way; read the row to know",
            )
            .unknown();
            self.work.release_held();
            self.work
                .settle_rest(0..self.work.queue().len(), &not_applied, &unknown);
            self.work.end();
        }
    }
}

async fn run(work: Arc<Work>, timer: Sleep) -> Result<Report> {
    let mut timer = Box::pin(timer);
    let planned = {
        let learned = |mechanism: &str| work.shared.learned.limit(mechanism);
        let limits = work.shared.limits(&learned);
        let backend = &*work.shared.backend;
        let planning = AssertUnwindSafe(plan(backend, work.queue(), work.terms, &limits));
        tokio::select! {
            biased;
            planned = planning.catch_unwind() => planned.unwrap_or_else(|panic| {
                Err(panicked("planning", &*panic))
            })?,
            () = &mut timer => return Err(out_of_time(&work, "metadata was read and the batch was planned")),
        }
    };
    let mut commit = Commit::new(Arc::clone(&work), planned);
    commit.drive(timer).await?;
    work.end();
    let report = work.report();
    metrics::committed(&report);
    let span = tracing::Span::current();
    span.record("applied", report.applied())
        .record("not_applied", report.not_applied());
    span.record("accepted", report.accepted())
        .record("unknown", report.unknown());
    span.record("attempts", report.attempts());
    let callbacks = work.take_callbacks();
    let failures = callbacks
        .run(&work.table, &report, work.options.callback_timeout)
        .await;
    Ok(report.with_callback_failures(failures))
}

fn panicked(what: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    let message = format!(
        "the backend panicked while {what}: {}",
        panic_message(panic)
    );
    Error::new(ErrorKind::Panicked, message)
}

fn out_of_time(work: &Work, before: &str) -> Error {
    let spent = work.deadline.saturating_duration_since(work.started);
    let message = format!(
        "the commit's deadline of {spent:?} passed before {before}; nothing was sent, so commit again or allow more time"
    );
    let error = Error::new(ErrorKind::Timeout, message).transient();
    match work.any_last_error() {
        Some(last) => error.with_source(last),
        None => error,
    }
}

/// What is sent at once, with its history.
struct Unit {
    operations: Vec<u32>,
    mechanism: Arc<Mechanism>,
    bytes: u64,
    /// From 1.
    attempt: u32,
    /// Whether the plan had it.
    planned: bool,
    /// Resolve and route again instead of sending.
    stale: bool,
    /// How many backoffs its operations have waited out.
    pauses: u32,
}

/// Units that must follow one another: retries and pieces first, then the planned chunks.
struct Lane {
    first: VecDeque<Unit>,
    chunks: Range<usize>,
}

/// A lane that waits out a backoff. Holds no turn.
struct Asleep {
    until: Instant,
    lane: Lane,
}

impl PartialEq for Asleep {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Asleep {}
impl PartialOrd for Asleep {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Asleep {
    fn cmp(&self, other: &Self) -> Ordering {
        self.until.cmp(&other.until)
    }
}

/// What an attempt came to.
enum Attempted {
    /// The unit was handed to the backend.
    Sent {
        answers: Answers,
        result: Result<()>,
        sent: bool,
        chunk: u32,
    },
    /// Larger than what the server was meanwhile seen to refuse: to be cut first.
    TooLarge,
    /// Resolved and routed again.
    Rerouted(Result<Routes>),
}

struct Attempt {
    lane: Lane,
    unit: Unit,
    came_to: Attempted,
}

/// The loop's state.
struct Commit {
    work: Arc<Work>,
    planned: Planned,
    mechanisms: Vec<Arc<Mechanism>>,
    next_lane: usize,
    ready: VecDeque<Lane>,
    asleep: BinaryHeap<Reverse<Asleep>>,
    /// Keys on which an operation ended as unknown, with that operation.
    uncertain: HashMap<u64, u32>,
    /// The operation at which an ordered batch stopped.
    stopped: Option<u32>,
    seeds: u64,
}

impl Commit {
    fn new(work: Arc<Work>, mut planned: Planned) -> Self {
        work.set_repeated(std::mem::take(&mut planned.cut.repeated));
        work.ledger().warnings = std::mem::take(&mut planned.routes.warnings);
        let refused = std::mem::take(&mut planned.refused);
        work.hold(refused.into_iter().map(|(index, error)| Held {
            index,
            error,
            of_batch: false,
        }));
        let mechanisms = planned
            .routes
            .mechanisms
            .iter()
            .cloned()
            .map(Arc::new)
            .collect();
        Self {
            work,
            planned,
            mechanisms,
            next_lane: 0,
            ready: VecDeque::new(),
            asleep: BinaryHeap::new(),
            uncertain: HashMap::new(),
            stopped: None,
            seeds: 0,
        }
    }

    /// Sends everything and settles everything.
    ///
    /// # Errors
    /// Only if nothing was sent.
    async fn drive(&mut self, mut timer: Pin<Box<Sleep>>) -> Result<()> {
        let most = self.work.shared.options.max_in_flight;
        let mut attempts = FuturesUnordered::new();
        let mut since_breath = 0;
        let in_time = loop {
            while attempts.len() < most
                && let Some((lane, unit)) = self.next_unit()
            {
                attempts.push(attempt(Arc::clone(&self.work), lane, unit));
            }
            if attempts.is_empty() && self.asleep.is_empty() {
                break true;
            }
            let wake = self.asleep.peek().map(|Reverse(asleep)| asleep.until);
            tokio::select! {
                biased;
                () = &mut timer => break false,
                Some(done) = attempts.next() => {
                    since_breath += done.unit.operations.len();
                    self.conclude(done)?;
                }
                () = sleep_until(wake) => {}
            }
            if since_breath >= SLICE as usize {
                // A backend that answers at once must not keep the executor.
                since_breath = 0;
                tokio::task::yield_now().await;
            }
        };
        // What is in flight at the deadline is dropped here, before anything is settled.
        drop(attempts);
        self.finish(in_time).await
    }

    /// The next unit to attempt, of a lane that may run.
    fn next_unit(&mut self) -> Option<(Lane, Unit)> {
        loop {
            if self.stopped.is_some() {
                return None;
            }
            let now = Instant::now();
            let rested = self
                .asleep
                .peek()
                .is_some_and(|Reverse(asleep)| asleep.until <= now);
            let mut lane = if rested {
                self.asleep.pop().map(|Reverse(asleep)| asleep.lane)?
            } else if let Some(lane) = self.ready.pop_front() {
                lane
            } else {
                let chunks = self.planned.cut.lanes.get(self.next_lane)?.clone();
                self.next_lane += 1;
                Lane {
                    first: VecDeque::new(),
                    chunks,
                }
            };
            while let Some(unit) = lane
                .first
                .pop_front()
                .or_else(|| self.planned_unit(&mut lane.chunks))
            {
                if let Some(unit) = self.without_uncertain(unit) {
                    return Some((lane, unit));
                }
            }
        }
    }

    fn planned_unit(&self, chunks: &mut Range<usize>) -> Option<Unit> {
        let chunk = self.planned.cut.chunks.get(chunks.next()?)?;
        Some(Unit {
            operations: self.planned.cut.operations(chunk).to_vec(),
            mechanism: self.mechanism(chunk.mechanism)?,
            bytes: chunk.bytes,
            attempt: 1,
            planned: true,
            stale: false,
            pauses: 0,
        })
    }

    fn mechanism(&self, id: MechanismId) -> Option<Arc<Mechanism>> {
        self.mechanisms.get(usize::from(id.0)).map(Arc::clone)
    }

    fn key_of(&self, index: u32) -> Option<KeyId> {
        self.planned.routes.routes.get(index as usize)?.key
    }

    fn bytes_of(&self, index: u32) -> u64 {
        self.planned
            .routes
            .routes
            .get(index as usize)
            .map_or(0, |route| route.bytes.into())
    }

    /// Leaves out operations that follow an unknown one on their key. `None` if nothing is left.
    fn without_uncertain(&self, mut unit: Unit) -> Option<Unit> {
        if self.uncertain.is_empty() || unit.mechanism.repeats == Repeats::Stamped {
            return Some(unit);
        }
        let mut skipped = Vec::new();
        unit.operations.retain(|index| {
            let before = self
                .key_of(*index)
                .and_then(|key| self.uncertain.get(&key.get()));
            match before {
                // The operation itself, to be sent again, is not in its own way.
                Some(before) if before != index => {
                    skipped.push((*index, 0, Verdict::NotApplied(skipped_behind(*before))));
                    false
                }
                _ => true,
            }
        });
        if skipped.is_empty() {
            return Some(unit);
        }
        self.work.settle(skipped.into_iter());
        unit.bytes = self.size(&unit.operations, &unit.mechanism);
        (!unit.operations.is_empty()).then_some(unit)
    }

    fn size(&self, operations: &[u32], mechanism: &Mechanism) -> u64 {
        let sum: u64 = operations.iter().map(|index| self.bytes_of(*index)).sum();
        sum + u64::from(mechanism.overhead)
    }

    /// Takes in what an attempt came to, and puts its lane back.
    fn conclude(&mut self, attempt: Attempt) -> Result<()> {
        let Attempt {
            lane,
            unit,
            came_to,
        } = attempt;
        if !unit.planned {
            self.work.ledger().deviations += 1;
        }
        match came_to {
            Attempted::TooLarge => {
                let limit = self.work.shared.learned.limit(&unit.mechanism.name);
                self.cut_smaller(lane, unit, limit, None)
            }
            Attempted::Rerouted(Ok(routes)) => self.take_routes(lane, unit, routes),
            Attempted::Rerouted(Err(error)) => {
                let all = unit.operations.clone();
                let again = error.is_transient() && error.is_retry_safe();
                let verdicts = all.into_iter().map(|index| (index, error.clone()));
                if again {
                    self.send_again(lane, unit, verdicts.collect(), true);
                    Ok(())
                } else {
                    let settle = verdicts.map(|(index, error)| (index, Verdict::NotApplied(error)));
                    let judgement = Judgement {
                        settle: settle.collect(),
                        of_chunk: true,
                        ..Judgement::default()
                    };
                    self.settle(NO_CHUNK, judgement.settle, true)?;
                    self.ready.push_back(lane);
                    Ok(())
                }
            }
            Attempted::Sent {
                answers,
                result,
                sent,
                chunk,
            } => self.take_answers(lane, unit, answers, result, sent, chunk),
        }
    }

    fn take_answers(
        &mut self,
        lane: Lane,
        unit: Unit,
        mut answers: Answers,
        result: Result<()>,
        sent: bool,
        number: u32,
    ) -> Result<()> {
        {
            let mut ledger = self.work.ledger();
            if sent {
                ledger.note_use(&unit.mechanism, unit.operations.len());
            }
            for warning in answers.warnings.drain(..) {
                ledger.warn(warning);
            }
        }
        if self.work.any_sent() {
            self.note(&self.work.release_held());
        }
        if answers.all_applied && answers.surplus == 0 {
            self.work
                .shared
                .learned
                .taken(&unit.mechanism.name, unit.bytes);
            let all = unit.operations.iter();
            let settled = self
                .work
                .settle(all.map(|index| (*index, number, Verdict::Applied(bytes::Bytes::new()))));
            self.note(&settled);
            self.ready.push_back(lane);
            return Ok(());
        }
        let judgement = self.judge(&unit, answers, result);
        if let Some(error) = judgement.too_large {
            self.work
                .shared
                .learned
                .refused(&unit.mechanism.name, unit.bytes);
            let limit = self.work.shared.learned.limit(&unit.mechanism.name);
            return self.cut_smaller(lane, unit, limit, Some(error));
        }
        if sent
            && judgement
                .settle
                .iter()
                .any(|(_, verdict)| matches!(verdict, Verdict::Applied(_)))
        {
            self.work
                .shared
                .learned
                .taken(&unit.mechanism.name, unit.bytes);
        }
        let Judgement {
            settle,
            mut retry,
            stale,
            of_chunk,
            ..
        } = judgement;
        self.settle(number, settle, of_chunk)?;
        let is_stale = !stale.is_empty();
        if is_stale {
            if let Some((_, error)) = stale.first() {
                self.work.ledger().note_reroute(error);
            }
            retry.extend(stale);
            retry.sort_unstable_by_key(|(index, _)| {
                unit.operations.iter().position(|other| other == index)
            });
        }
        if retry.is_empty() || self.stopped.is_some() {
            self.ready.push_back(lane);
        } else {
            self.send_again(lane, unit, retry, is_stale);
        }
        Ok(())
    }

    fn judge(&self, unit: &Unit, answers: Answers, result: Result<()>) -> Judgement {
        let repeated = self.work.repeated();
        let queue = self.work.queue();
        let chunk = Sent {
            guarantee: self.work.terms.guarantee,
            mechanism: &unit.mechanism,
            operations: &unit.operations,
            idempotent: &|index| queue.get(index).is_idempotent(),
            repeated_key: &|index| {
                self.key_of(index)
                    .filter(|key| repeated.is_some_and(|all| all.has_key(*key)))
            },
        };
        judge(&chunk, answers, result)
    }

    /// Settles verdicts, or holds them back while nothing was sent.
    fn settle(&mut self, chunk: u32, verdicts: Vec<(u32, Verdict)>, of_batch: bool) -> Result<()> {
        let guarantee = self.work.terms.guarantee;
        if self.work.any_sent() {
            let settled = self.work.settle(
                verdicts
                    .into_iter()
                    .map(|(index, verdict)| (index, chunk, verdict)),
            );
            self.note(&settled);
            return Ok(());
        }
        let failed: Vec<_> = verdicts
            .into_iter()
            .filter_map(|(index, verdict)| {
                let error = verdict.error()?.clone();
                Some(Held {
                    index,
                    error,
                    of_batch,
                })
            })
            .collect();
        let Some(first) = failed.first() else {
            return Ok(());
        };
        if guarantee.is_all_or_nothing() {
            let Held { index, error, .. } = first;
            return Err(if of_batch {
                error.clone()
            } else {
                let message = format!(
                    "nothing is sent, because operation {} is refused: {}",
                    index + 1,
                    error.message()
                );
                Error::new(error.kind(), message).with_source(error.clone())
            });
        }
        if guarantee.stops() {
            self.stopped.get_or_insert(first.index);
        }
        self.work.hold(failed);
        Ok(())
    }

    /// Draws the consequences of what was settled.
    fn note(&mut self, settled: &Settled) {
        if self.work.terms.guarantee.stops()
            && let Some(index) = settled.failed
        {
            self.stopped.get_or_insert(index);
        }
        let Some(repeated) = self.work.repeated() else {
            return;
        };
        for index in &settled.unknown {
            let stamped = mechanism_of(&self.planned.routes, *index as usize)
                .is_some_and(|mechanism| mechanism.repeats == Repeats::Stamped);
            if let Some(key) = self.key_of(*index)
                && repeated.has_key(key)
                && !stamped
            {
                self.uncertain.entry(key.get()).or_insert(*index);
            }
        }
    }

    /// Puts operations in front of their lane, to be sent again after a pause.
    fn send_again(&mut self, mut lane: Lane, unit: Unit, retry: Vec<(u32, Error)>, stale: bool) {
        for (index, error) in &retry {
            self.work.note_retry(*index, error);
        }
        if let Some((_, error)) = retry
            .iter()
            .find(|(_, error)| error.kind() != ErrorKind::Stale)
        {
            self.work.ledger().note_retry(error);
        }
        // What a mechanism did not come to is no failure: no reason to pause.
        let failed = retry
            .iter()
            .any(|(_, error)| error.kind() != ErrorKind::Skipped);
        // What went stale is routed anew at once; if that does not help, it waits too.
        let pause = if !failed || (stale && unit.pauses == 0) {
            Duration::ZERO
        } else {
            self.pause(unit.pauses)
        };
        let operations: Vec<u32> = retry.into_iter().map(|(index, _)| index).collect();
        lane.first.push_front(Unit {
            bytes: self.size(&operations, &unit.mechanism),
            operations,
            mechanism: unit.mechanism,
            attempt: unit.attempt + 1,
            planned: false,
            stale,
            pauses: unit.pauses + 1,
        });
        self.asleep.push(Reverse(Asleep {
            until: Instant::now() + pause,
            lane,
        }));
    }

    /// The pause after `before` others: twice the former one, with jitter.
    fn pause(&mut self, before: u32) -> Duration {
        let options = &self.work.shared.options;
        let builder = ExponentialBuilder::new()
            .with_min_delay(options.first_backoff)
            .with_max_delay(options.max_backoff)
            .without_max_times()
            .with_jitter();
        let builder = match options.backoff_seed {
            Some(seed) => {
                self.seeds += 1;
                builder.with_jitter_seed(seed.wrapping_add(self.seeds))
            }
            None => builder,
        };
        builder
            .build()
            .nth(before as usize)
            .unwrap_or(options.max_backoff)
    }

    /// Cuts a unit into pieces of at most `limit` bytes, in its place.
    fn cut_smaller(
        &mut self,
        mut lane: Lane,
        unit: Unit,
        limit: u64,
        why: Option<Error>,
    ) -> Result<()> {
        if let Some(error) = &why {
            let error = error.clone();
            let (bytes, name) = (unit.bytes, unit.mechanism.name.clone());
            self.work.ledger().note_split(|| {
                format!(
                    "{name} refused {bytes} bytes as too large ({})",
                    error.message()
                )
            });
            for index in &unit.operations {
                self.work.note_retry(*index, &error);
            }
        } else {
            let name = unit.mechanism.name.clone();
            self.work.ledger().note_split(|| {
                format!("{name} was meanwhile seen to take only about {limit} bytes")
            });
        }
        let overhead = u64::from(unit.mechanism.overhead);
        let mut pieces: Vec<(Vec<u32>, u64)> = Vec::new();
        for index in &unit.operations {
            let bytes = self.bytes_of(*index);
            match pieces.last_mut() {
                Some((piece, size)) if *size + bytes <= limit => {
                    piece.push(*index);
                    *size += bytes;
                }
                _ => pieces.push((vec![*index], overhead + bytes)),
            }
        }
        if pieces.len() == 1
            && let Some((piece, _)) = pieces.first()
            && piece.len() > 1
        {
            // The limit lies above: the server takes less than it was seen to take. Halve.
            let (left, right) = piece.split_at(piece.len() / 2);
            pieces = [left, right]
                .map(|half| (half.to_vec(), self.size(half, &unit.mechanism)))
                .into();
        }
        for (operations, bytes) in pieces.into_iter().rev() {
            lane.first.push_front(Unit {
                operations,
                mechanism: Arc::clone(&unit.mechanism),
                bytes,
                attempt: unit.attempt + u32::from(why.is_some()),
                planned: false,
                stale: false,
                pauses: 0,
            });
        }
        self.ready.push_front(lane);
        Ok(())
    }

    /// Cuts operations that were routed anew, in the place of the unit that went stale.
    fn take_routes(&mut self, mut lane: Lane, unit: Unit, new: Routes) -> Result<()> {
        let ids: Vec<MechanismId> = new
            .mechanisms
            .iter()
            .map(|mechanism| self.planned.routes.mechanism(mechanism.clone()))
            .collect();
        self.mechanisms = self
            .planned
            .routes
            .mechanisms
            .iter()
            .cloned()
            .map(Arc::new)
            .collect();
        for warning in new.warnings {
            self.work.ledger().warn(warning);
        }
        for (index, mut route) in unit.operations.iter().zip(new.routes) {
            if let Some(id) = ids.get(usize::from(route.mechanism.0)) {
                route.mechanism = *id;
            }
            if let Some(slot) = self.planned.routes.routes.get_mut(*index as usize) {
                *slot = route;
            }
        }
        let refused: Vec<_> = new
            .refused
            .into_iter()
            .filter_map(|(place, error)| {
                let index = *unit.operations.get(place as usize)?;
                Some((index, Verdict::NotApplied(error)))
            })
            .collect();
        if !refused.is_empty() {
            self.settle(NO_CHUNK, refused, false)?;
        }
        let guarantee = self.work.terms.guarantee;
        let mut order: Vec<u32> = unit
            .operations
            .iter()
            .copied()
            .filter(|index| {
                let route = self.planned.routes.routes.get(*index as usize);
                route.is_some_and(|route| route.mechanism != REFUSED)
            })
            .collect();
        let has_repeats = self.work.repeated().is_some();
        if guarantee == crate::Guarantee::BestEffort && !has_repeats {
            // No order to keep: operations of one group come together.
            order.sort_by_key(|index| {
                let route = self.planned.routes.routes.get(*index as usize);
                route.map(|route| (route.mechanism.0, route.group))
            });
        }
        let learned = |mechanism: &str| self.work.shared.learned.limit(mechanism);
        let limits = self.work.shared.limits(&learned);
        let chunks = cut_in_order(&self.planned.routes, &order, guarantee.stops(), &limits);
        let whole = !guarantee.is_all_or_nothing()
            || (chunks.len() == 1
                && order.len() == unit.operations.len()
                && chunks.iter().all(|chunk| {
                    self.mechanism(chunk.mechanism)
                        .is_some_and(|mechanism| mechanism.atomic)
                }));
        if !whole {
            let error = Error::new(
                ErrorKind::Unsupported,
                "what the batch was planned on has changed, and it can no longer be sent as a whole; commit it again",
            );
            let verdicts = order
                .iter()
                .map(|index| (*index, Verdict::NotApplied(error.clone())));
            self.settle(NO_CHUNK, verdicts.collect(), true)?;
            self.ready.push_back(lane);
            return Ok(());
        }
        let mut refused = Vec::new();
        for chunk in chunks.iter().rev() {
            let operations = order
                .get(chunk.start as usize..chunk.end as usize)
                .unwrap_or_default();
            let Some(mechanism) = self.mechanism(chunk.mechanism) else {
                continue;
            };
            let bound = limits.bytes(&mechanism);
            if operations.len() == 1 && chunk.bytes > bound {
                let error = oversized(&mechanism, chunk.bytes, bound);
                refused.extend(
                    operations
                        .iter()
                        .map(|index| (*index, Verdict::NotApplied(error.clone()))),
                );
                continue;
            }
            lane.first.push_front(Unit {
                operations: operations.to_vec(),
                mechanism,
                bytes: chunk.bytes,
                attempt: unit.attempt,
                planned: false,
                stale: false,
                pauses: unit.pauses,
            });
        }
        if !refused.is_empty() {
            self.settle(NO_CHUNK, refused, false)?;
        }
        self.ready.push_front(lane);
        Ok(())
    }

    /// Everything that could be sent was, or time ran out, or the batch stopped.
    async fn finish(&mut self, in_time: bool) -> Result<()> {
        let work = &self.work;
        if !work.any_sent() {
            if !in_time {
                return Err(out_of_time(work, "anything could be sent"));
            }
            if let Some(error) = work.held_of_batch() {
                return Err(error);
            }
        }
        work.release_held();
        let (not_applied, unknown) = match self.stopped {
            Some(index) if in_time => {
                let skipped = skipped_after(index);
                (skipped.clone(), skipped.unknown())
            }
            _ => deadline_errors(work),
        };
        let all = work.queue().len();
        let mut start = 0;
        while start < all && work.table.settled() < all {
            let end = all.min(start + SLICE);
            work.settle_rest(start..end, &not_applied, &unknown);
            start = end;
            breathe(start, all).await;
        }
        Ok(())
    }
}

/// The number under which verdicts without a request are recorded.
const NO_CHUNK: u32 = 0;

fn skipped_behind(before: u32) -> Error {
    Error::new(
        ErrorKind::Skipped,
        format!(
            "operation {} on the same key ended as unknown, and this one must not overtake it; read the row, then commit again",
            before + 1
        ),
    )
}

fn deadline_errors(work: &Work) -> (Error, Error) {
    let spent = work.deadline.saturating_duration_since(work.started);
    let not_applied = Error::new(
        ErrorKind::Timeout,
        format!(
            "the commit's deadline of {spent:?} passed before it was sent; commit it again or allow more time"
        ),
    );
    let unknown = Error::new(
        ErrorKind::Timeout,
        format!("no answer before the commit's deadline of {spent:?}; read the row to know whether it was applied"),
    )
    .unknown();
    (not_applied, unknown)
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

/// Waits for a turn, then hands a unit to the backend, once.
async fn attempt(work: Arc<Work>, lane: Lane, unit: Unit) -> Attempt {
    if unit.stale {
        let routes = AssertUnwindSafe(reroute(&work, &unit.operations))
            .catch_unwind()
            .await;
        let routes = routes.unwrap_or_else(|panic| Err(panicked("routing anew", &*panic)));
        return Attempt {
            lane,
            unit,
            came_to: Attempted::Rerouted(routes),
        };
    }
    let turn = work.shared.turns.take(unit.bytes).await;
    let may_be_cut = unit.operations.len() > 1 && !work.terms.guarantee.is_all_or_nothing();
    if may_be_cut && unit.bytes > work.shared.learned.limit(&unit.mechanism.name) {
        drop(turn);
        return Attempt {
            lane,
            unit,
            came_to: Attempted::TooLarge,
        };
    }
    let number = work.next_chunk();
    let chunk = Chunk {
        work: &work,
        operations: &unit.operations,
        mechanism: &unit.mechanism,
        attempt: unit.attempt,
        number,
        bytes: unit.bytes,
        sent: AtomicBool::new(false),
    };
    let span = tracing::info_span!(
        "batch.chunk",
        store = work.shared.name,
        mechanism = &*unit.mechanism.name,
        guarantee = work.terms.guarantee.as_str(),
        operations = unit.operations.len(),
        bytes = unit.bytes,
        attempt = unit.attempt,
        error = tracing::field::Empty,
    );
    let mut answers = Answers::new(unit.operations.len());
    let sending = AssertUnwindSafe(work.shared.backend.send(&chunk, &mut answers));
    let result = sending.catch_unwind().instrument(span.clone()).await;
    let panicked_sending = result.is_err();
    let mut result = result.unwrap_or_else(|panic| Err(panicked("sending", &*panic)));
    let mut sent = chunk.sent.load(std::sync::atomic::Ordering::Relaxed);
    if panicked_sending && sent {
        result = result.map_err(Error::unknown);
    }
    if !sent && (result.is_ok() && answers.claims_contact()) {
        // A backend that forgot to say so has sent all the same.
        chunk.sent();
        sent = true;
    }
    if let Err(error) = &result {
        span.record("error", tracing::field::display(error));
    }
    drop(turn);
    Attempt {
        lane,
        unit,
        came_to: Attempted::Sent {
            answers,
            result,
            sent,
            chunk: number,
        },
    }
}

async fn reroute(work: &Work, operations: &[u32]) -> Result<Routes> {
    let backend = &*work.shared.backend;
    let view = View::list(work.queue(), operations);
    backend.resolve(view, true).await?;
    let mut routes = Routes::default();
    backend.route(view, work.terms, &mut routes)?;
    check_routes(backend, &routes, operations.len())?;
    Ok(routes)
}
