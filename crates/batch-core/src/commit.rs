//! 3 COMMIT: sends what was planned, lane beside lane, and settles every operation.
//!
//! Two halves. Until the first chunk calls [`Chunk::sent`](crate::seam::Chunk::sent) nothing has
//! happened: an error or a dropped future gives the queue back. From then on the commit never
//! fails; it settles.

mod attempt;
mod attempts;
mod detached;
mod errors;
mod judge;
mod recut;
mod running;
mod unit;
mod work;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    ops::Range,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use self::{
    attempt::attempt,
    attempts::Attempts,
    judge::{Judgement, Sent, judge},
    unit::{Asleep, Attempt, Attempted, Lane, SentUnit, Unit},
    work::{Held, Settled},
};
pub(crate) use self::{
    detached::DetachedCommits,
    running::{RunningCommit, prepare},
    work::Work,
};
use crate::{
    Error, ErrorKind, Fate, Result,
    backend::{Answers, Kept, KeyId, Mechanism, MechanismId},
    engine::turns::Turns,
    plan::{
        Planned, SLICE, alone, breathe, oversized, refused_with, skipped_after,
        too_large_as_a_whole,
    },
    table::Verdict,
};

/// The number under which verdicts without a request are recorded.
const NO_CHUNK: u32 = 0;

/// The loop's state.
struct Commit {
    work: Arc<Work>,
    planned: Planned,
    kept: Arc<Kept>,
    /// The plan's, each from when it is first used.
    mechanisms: Vec<OnceLock<Arc<Mechanism>>>,
    next_lane: usize,
    ready: VecDeque<Lane>,
    asleep: BinaryHeap<Reverse<Asleep>>,
    /// Keys on which an operation ended as unknown or accepted: that operation, and the error of
    /// those behind it.
    uncertain: HashMap<u64, (u32, Error)>,
    /// The operation at which an ordered batch stopped.
    stopped: Option<u32>,
    /// An operation that was refused when it was routed anew, at which an ordered batch stops once
    /// what comes before it is sent.
    stops_at: Option<Held>,
    seeds: u64,
    /// How many chunks in doubt were sent in halves since one of those came through.
    fruitless: u32,
}

/// So many chunks in doubt are sent in halves to find the operations at fault, before it is taken that
/// whatever is sent fails.
const MOST_FRUITLESS: u32 = 64;
/// So often a chunk is routed anew because something was gone, before it is taken that it stays so.
const MOST_REROUTES: u32 = 10;

impl Commit {
    fn new(work: Arc<Work>, mut planned: Planned) -> Self {
        let cut = &mut planned.cut;
        work.set_order(std::mem::take(&mut cut.repeated), std::mem::take(&mut cut.followers));
        work.ledger().warnings = std::mem::take(&mut planned.routes.warnings);
        let mechanisms = planned.routes.mechanisms.iter().map(|_| OnceLock::new()).collect();
        let kept = Arc::new(std::mem::take(&mut planned.routes.kept));
        Self {
            work,
            planned,
            kept,
            mechanisms,
            next_lane: 0,
            ready: VecDeque::new(),
            asleep: BinaryHeap::new(),
            uncertain: HashMap::new(),
            stopped: None,
            stops_at: None,
            seeds: 0,
            fruitless: 0,
        }
    }

    /// Sends everything and settles everything.
    ///
    /// # Errors
    /// Only if nothing was sent.
    async fn drive(&mut self, mut timer: Pin<&mut Sleep>) -> Result<()> {
        self.hold_refused().await;
        let mut attempts = Attempts::new(self.planned.cut.lane(1).is_none());
        let (mut since_breath, mut taken) = (0, 0);
        let in_time = loop {
            // A timer is coarse: a deadline that has passed already must not send anything.
            if !self.work.any_sent() && Instant::now() >= self.work.deadline {
                break false;
            }
            // Each attempt encodes when it is first polled: not all of them in one poll.
            let mut begun = 0;
            while self.turns().have_room_beside(taken)
                && begun < SLICE as usize
                && let Some((lane, unit)) = self.next_unit(&mut begun)
            {
                begun += unit.weight();
                taken += unit.share(self.turns());
                let kept = Arc::clone(&self.kept);
                attempts.push(attempt(Arc::clone(&self.work), kept, lane, unit));
            }
            let pauses = begun >= SLICE as usize;
            if attempts.is_empty() && self.asleep.is_empty() && !pauses {
                break true;
            }
            // A lane that has rested while all places are taken waits for one of them.
            let wake = self.asleep.peek().filter(|_| self.turns().have_room_beside(taken));
            let wake = wake.map(|Reverse(asleep)| asleep.until);
            tokio::select! {
                biased;
                () = &mut timer => break false,
                Some(done) = attempts.next() => {
                    since_breath += done.unit.weight();
                    taken -= done.unit.share(self.turns());
                    self.conclude(done).await?;
                }
                () = tokio::task::yield_now(), if pauses => {}
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

    /// Holds back the verdicts that planning has reached.
    async fn hold_refused(&mut self) {
        let held = |(index, error)| Held { index, error, of_batch: false };
        let mut refused = std::mem::take(&mut self.planned.refused).into_iter().peekable();
        while refused.peek().is_some() {
            self.work.hold(refused.by_ref().take(SLICE as usize).map(held));
            if refused.peek().is_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn turns(&self) -> &Turns {
        &self.work.shared.turns
    }

    /// The next unit to attempt, of a lane that may run. `begun` counts what was left out on the
    /// way, and ends the search when it is a slice.
    fn next_unit(&mut self, begun: &mut usize) -> Option<(Lane, Unit)> {
        loop {
            if self.stopped.is_some() {
                return None;
            }
            let rested = |asleep: &Reverse<Asleep>| asleep.0.until <= Instant::now();
            let rested = self.asleep.peek().is_some_and(rested);
            let mut lane = if rested {
                self.asleep.pop().map(|Reverse(asleep)| asleep.lane)?
            } else if let Some(lane) = self.ready.pop_front() {
                lane
            } else {
                let chunks = self.planned.cut.lane(self.next_lane)?;
                self.next_lane += 1;
                Lane { first: VecDeque::new(), chunks }
            };
            while let Some(unit) =
                lane.first.pop_front().or_else(|| self.planned_unit(&mut lane.chunks))
            {
                let all = unit.operations.len();
                if let Some(unit) = self.without_uncertain(unit) {
                    return Some((lane, unit));
                }
                if self.stopped.is_some() {
                    return None;
                }
                *begun += all;
                if *begun >= SLICE as usize {
                    self.ready.push_front(lane);
                    return None;
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
            left: false,
            doubts: 0,
            planned: true,
            again: false,
            stale: false,
            pauses: 0,
            reroutes: 0,
            base_timestamp: i64::MIN,
            own_ranks: OnceLock::new(),
        })
    }

    fn mechanism(&self, id: MechanismId) -> Option<Arc<Mechanism>> {
        let known = self.planned.routes.mechanisms.get(usize::from(id.0))?;
        let shared = self.mechanisms.get(usize::from(id.0))?;
        Some(Arc::clone(shared.get_or_init(|| Arc::new(known.clone()))))
    }

    fn key_of(&self, index: u32) -> Option<KeyId> {
        self.planned.routes.routes.get(index as usize)?.key
    }

    fn bytes_of(&self, index: u32) -> u64 {
        self.planned.routes.routes.get(index as usize).map_or(0, |route| route.bytes.into())
    }

    /// Leaves out operations that follow an unknown one on their key. `None` if nothing is left.
    fn without_uncertain(&mut self, mut unit: Unit) -> Option<Unit> {
        if self.uncertain.is_empty() {
            return Some(unit);
        }
        let mut skipped = Vec::new();
        unit.operations.retain(|index| {
            let before = self.key_of(*index).and_then(|key| self.uncertain.get(&key.get()));
            match before {
                // The operation itself, to be sent again, is not in its own way.
                Some((before, behind)) if before != index => {
                    skipped.push((*index, NO_CHUNK, Verdict::NotApplied(behind.clone())));
                    false
                }
                _ => true,
            }
        });
        if skipped.is_empty() {
            return Some(unit);
        }
        let settled = self.work.settle(skipped.into_iter());
        self.note(&settled);
        if self.stopped.is_some() {
            return None;
        }
        unit.mechanism = self.travels(&unit.operations, unit.mechanism);
        unit.bytes = self.size(&unit.operations, &unit.mechanism);
        (!unit.operations.is_empty()).then_some(unit)
    }

    /// How what is left of a chunk travels: as the chunk did, unless it is alone now.
    fn travels(&self, operations: &[u32], mechanism: Arc<Mechanism>) -> Arc<Mechanism> {
        if mechanism.alone.is_none() || self.work.terms.guarantee.is_all_or_nothing() {
            return mechanism;
        }
        let other = alone(&self.planned.routes, &mechanism, operations);
        let other = other
            .and_then(|(id, _)| self.mechanism(id))
            .filter(|other| self.size(operations, other) <= self.work.shared.limits().fixed(other));
        other.unwrap_or(mechanism)
    }

    fn size(&self, operations: &[u32], mechanism: &Mechanism) -> u64 {
        let sum: u64 = operations.iter().map(|index| self.bytes_of(*index)).sum();
        sum + mechanism.added(u64::try_from(operations.len()).unwrap_or(u64::MAX))
    }

    /// Lets a lane go on, if there is more of it.
    fn put_back(&mut self, lane: Lane) {
        if !lane.first.is_empty() || !lane.chunks.is_empty() {
            self.ready.push_back(lane);
        }
    }

    /// Takes in what an attempt came to, and puts its lane back.
    async fn conclude(&mut self, attempt: Attempt) -> Result<()> {
        let Attempt { lane, unit, came_to } = attempt;
        match came_to {
            Attempted::TooLarge => {
                let limit = self.work.shared.learned.limit(&unit.mechanism.name);
                self.cut_smaller(lane, &unit, limit, None);
                Ok(())
            }
            Attempted::KnownRefused => {
                let bound = self.work.shared.limits().most_bytes(&unit.mechanism);
                let error = if self.work.terms.guarantee.is_all_or_nothing() {
                    too_large_as_a_whole("bytes", unit.bytes, &unit.mechanism, bound)
                } else {
                    oversized(&unit.mechanism, unit.bytes, bound)
                };
                let of_batch = unit.operations.len() > 1;
                let all = unit.operations.iter();
                let settle = all.map(|index| (*index, Verdict::NotApplied(error.clone())));
                self.settle(NO_CHUNK, settle.collect(), of_batch.then_some(&error)).await?;
                self.put_back(lane);
                Ok(())
            }
            // Boxed like all that is rare, so that a commit's future stays small.
            Attempted::Rerouted(Ok(routes)) => {
                Box::pin(self.take_routes(lane, &unit, routes)).await
            }
            Attempted::Rerouted(Err(error)) => {
                let all = unit.operations.iter().copied();
                if error.is_transient() && error.is_retry_safe() {
                    let retry: Vec<_> = all.map(|index| (index, error.clone())).collect();
                    self.work.note_retries(retry.iter().map(|(index, error)| (*index, error)));
                    self.send_again(lane, unit, retry, true);
                    return Ok(());
                }
                let error = error.certain();
                let settle = all.map(|index| (index, Verdict::NotApplied(error.clone())));
                self.settle(NO_CHUNK, settle.collect(), Some(&error)).await?;
                self.put_back(lane);
                Ok(())
            }
            Attempted::Sent(sent) => self.take_answers(lane, unit, sent).await,
        }
    }

    async fn take_answers(&mut self, lane: Lane, unit: Unit, sent: SentUnit) -> Result<()> {
        let SentUnit { mut answers, result, sent, number, span } = sent;
        let was_begun = sent || result.is_err();
        {
            let mut ledger = self.work.ledger();
            ledger.deviations += u64::from(!unit.planned);
            if sent {
                ledger.note_use(&unit.mechanism, unit.operations.len());
            }
            for warning in answers.warnings.drain(..) {
                ledger.warn(warning);
            }
        }
        if self.work.any_sent() {
            // Their consequences were drawn when they were held back.
            self.work.release_held();
        }
        let learned = &self.work.shared.learned;
        if answers.all_applied && answers.surplus == 0 {
            if unit.doubts > 0 {
                self.fruitless = 0;
            }
            learned.taken(&unit.mechanism.name, unit.bytes);
            span.record("applied", unit.operations.len());
            for slice in unit.operations.chunks(SLICE as usize) {
                if slice.first() != unit.operations.first() {
                    tokio::task::yield_now().await;
                }
                self.work.settle_applied(slice);
            }
            self.put_back(lane);
            return Ok(());
        }
        let judgement = self.judge(&unit, answers, result);
        judgement.record(&span);
        Box::pin(self.take_judgement(lane, unit, judgement, number, sent, was_begun)).await
    }

    /// Takes in the answers of a chunk of which not all is applied.
    async fn take_judgement(
        &mut self,
        lane: Lane,
        mut unit: Unit,
        judgement: Judgement,
        number: u32,
        sent: bool,
        was_begun: bool,
    ) -> Result<()> {
        let Judgement { mut settle, cut, mut retry, mut stale, divisible, of_chunk } = judgement;
        if unit.reroutes >= MOST_REROUTES {
            let stays =
                |(index, error): (u32, Error)| (index, Verdict::NotApplied(error.certain()));
            settle.extend(stale.drain(..).map(stays));
        }
        let is_applied = |(_, verdict): &(u32, Verdict)| matches!(verdict, Verdict::Applied(_));
        let any_applied = settle.iter().any(is_applied);
        if unit.doubts > 0 && any_applied {
            self.fruitless = 0;
        }
        let learned = &self.work.shared.learned;
        let too_large = divisible.as_ref().is_some_and(|error| error.kind() == ErrorKind::TooLarge);
        if too_large {
            // What was refused before the rest was sent did not count to the size.
            let size = if cut.is_empty() {
                unit.bytes
            } else {
                self.size(&indices(&cut), &unit.mechanism)
            };
            learned.refused(&unit.mechanism.name, size);
        } else if sent && any_applied {
            learned.taken(&unit.mechanism.name, unit.bytes);
        }
        self.settle(number, settle, of_chunk.as_ref()).await?;
        let goes_on = !(retry.is_empty() && stale.is_empty()) && self.stopped.is_none();
        if !was_begun && !goes_on {
            // Encoding refused each of them: no request was made.
            self.work.ledger().forget_attempt(&unit);
        }
        if let (Some(error), false) = (divisible, cut.is_empty()) {
            self.work.note_retries(cut.iter().map(|(index, error)| (*index, error)));
            if self.stopped.is_some() {
                self.put_back(lane);
                return Ok(());
            }
            // What is refused for another reason than its size is halved.
            let limit = match too_large {
                true => self.work.shared.learned.limit(&unit.mechanism.name),
                false => u64::MAX,
            };
            let operations = indices(&cut);
            let bytes = self.size(&operations, &unit.mechanism);
            let in_doubt = cut.iter().any(|(_, error)| error.fate() != Fate::NotApplied);
            self.fruitless += u32::from(in_doubt);
            let doubts = unit.doubts + u32::from(in_doubt);
            let unit = Unit { operations, bytes, doubts, ..unit };
            self.cut_smaller(lane, &unit, limit, Some(&error));
            return Ok(());
        }
        let is_stale = !stale.is_empty();
        if is_stale {
            unit.reroutes += 1;
            if let Some((_, error)) = stale.first() {
                self.work.ledger().note_reroute(error);
            }
            retry.extend(stale);
            // A chunk keeps program order, and so must what is left of it.
            retry.sort_unstable_by_key(|(index, _)| *index);
        }
        self.work.note_retries(retry.iter().map(|(index, error)| (*index, error)));
        if retry.is_empty() || self.stopped.is_some() {
            self.put_back(lane);
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
            // What was possibly applied is not stamped anew.
            divides_doubt: self.fruitless < MOST_FRUITLESS
                && !self.work.is_any_follower(&unit.operations),
            repeated_key: &|index| {
                self.key_of(index).filter(|key| repeated.is_some_and(|all| all.has_key(*key)))
            },
        };
        judge(&chunk, answers, result)
    }

    /// Settles verdicts, or holds them back while nothing was sent.
    async fn settle(
        &mut self,
        chunk: u32,
        verdicts: Vec<(u32, Verdict)>,
        of_chunk: Option<&Error>,
    ) -> Result<()> {
        if self.work.any_sent() {
            let mut verdicts = verdicts.into_iter().peekable();
            while verdicts.peek().is_some() {
                let slice = verdicts.by_ref().take(SLICE as usize);
                let settled =
                    self.work.settle(slice.map(|(index, verdict)| (index, chunk, verdict)));
                self.note(&settled);
                if verdicts.peek().is_some() {
                    tokio::task::yield_now().await;
                }
            }
            return Ok(());
        }
        let held = verdicts.into_iter().filter_map(|(index, verdict)| {
            let error = verdict.error()?.clone();
            let of_batch = of_chunk.is_some_and(|of_chunk| of_chunk.is_same(&error));
            Some(Held { index, error: error.certain(), of_batch })
        });
        let held: Vec<Held> = held.collect();
        let Some(first) = held.first() else {
            return Ok(());
        };
        let guarantee = self.work.terms.guarantee;
        if guarantee.is_all_or_nothing() {
            // The others were undone because of the one that is at fault.
            let at_fault = held.iter().find(|held| held.error.kind() != ErrorKind::RolledBack);
            let Held { index, error, of_batch } = at_fault.unwrap_or(first);
            return Err(if *of_batch { error.clone() } else { refused_with(*index, error) });
        }
        if guarantee.stops() {
            self.stopped.get_or_insert(first.index);
        }
        self.work.hold(held);
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
        for index in &settled.open {
            if let Some(key) = self.key_of(*index)
                && repeated.needs_order(key)
            {
                let behind = || (*index, errors::skipped_behind(*index));
                self.uncertain.entry(key.get()).or_insert_with(behind);
            }
        }
    }

    /// Puts operations in front of their lane, to be sent again after a pause.
    fn send_again(&mut self, mut lane: Lane, unit: Unit, retry: Vec<(u32, Error)>, stale: bool) {
        if let Some((_, error)) = retry.iter().find(|(_, error)| error.kind() != ErrorKind::Stale) {
            self.work.ledger().note_why_again(error);
        }
        // What a mechanism did not come to is no failure: no reason to pause.
        let failed = retry.iter().any(|(_, error)| error.kind() != ErrorKind::Skipped);
        // What went stale is routed anew at once; if that does not help, it waits too.
        let pause = if !failed || (stale && unit.pauses == 0) {
            Duration::ZERO
        } else {
            self.pause(unit.pauses)
        };
        let asked_for = retry.iter().filter_map(|(_, error)| error.retry_after()).max();
        let in_doubt = retry.iter().any(|(_, error)| error.fate() != Fate::NotApplied);
        let pause = pause.max(asked_for.unwrap_or_default());
        let operations: Vec<u32> = retry.into_iter().map(|(index, _)| index).collect();
        let mechanism = self.travels(&operations, unit.mechanism);
        lane.first.push_front(Unit {
            bytes: self.size(&operations, &mechanism),
            operations,
            mechanism,
            attempt: unit.attempt + 1,
            left: unit.left,
            doubts: unit.doubts + u32::from(in_doubt),
            planned: false,
            again: true,
            stale,
            pauses: unit.pauses + 1,
            reroutes: unit.reroutes,
            base_timestamp: unit.base_timestamp,
            own_ranks: unit.own_ranks,
        });
        self.asleep.push(Reverse(Asleep { until: Instant::now() + pause, lane }));
    }

    /// The pause after `before` others: twice the former one, with jitter.
    fn pause(&mut self, before: u32) -> Duration {
        self.seeds += 1;
        self.work.shared.options.pause(before, self.seeds)
    }

    /// Everything that could be sent was, or time ran out, or the batch stopped.
    async fn finish(&mut self, in_time: bool) -> Result<()> {
        let work = &self.work;
        if !work.any_sent() {
            if !in_time {
                return Err(errors::nothing_sent_in_time(work, "anything could be sent"));
            }
            if let Some(error) = work.held_of_batch() {
                return Err(error);
            }
        }
        // No error from here on: every operation gets its verdict, and the batch stays closed.
        work.begin_settling();
        if let Some(refused) = self.stops_at.take().filter(|_| self.stopped.is_none()) {
            self.stopped = Some(refused.index);
            work.hold([refused]);
        }
        while work.release_held().1 {
            tokio::task::yield_now().await;
        }
        let all = work.queue().len();
        if work.table.settled() == all {
            return Ok(());
        }
        let (not_applied, unknown) = match self.stopped.or(self.planned.stopped) {
            Some(index) if in_time => {
                let skipped = skipped_after(index);
                (skipped.clone(), skipped.unknown())
            }
            _ => errors::at_deadline(work),
        };
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

fn indices(list: &[(u32, Error)]) -> Vec<u32> {
    list.iter().map(|(index, _)| *index).collect()
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
