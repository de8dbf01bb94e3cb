//! 3 COMMIT: sends what was planned, lane beside lane, and settles every operation.
//!
//! Two halves. Until the first chunk calls [`Chunk::sent`](crate::seam::Chunk::sent) nothing has
//! happened: an error or a dropped future gives the queue back. From then on the commit never
//! fails; it settles.

mod attempt;
mod attempts;
mod conclude;
mod detached;
mod errors;
mod judge;
mod pace;
mod recut;
mod running;
mod unit;
mod work;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    ops::Range,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use tokio::time::{Instant, Sleep};

use self::{
    attempt::attempt,
    attempts::Attempts,
    unit::{Asleep, Lane, Unit},
    work::Held,
};
pub(crate) use self::{
    detached::DetachedCommits,
    running::{RunningCommit, prepare},
    work::Work,
};
use crate::{
    Error, Result,
    backend::{Kept, KeyId, Mechanism, MechanismId},
    engine::turns::Turns,
    plan::{Planned, SLICE, alone, breathe, skipped_after},
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
    /// those behind it. A tree, which grows evenly.
    uncertain: BTreeMap<u64, (u32, Error)>,
    /// The operation at which an ordered batch stopped.
    stopped: Option<u32>,
    /// An operation that was refused when it was routed anew, at which an ordered batch stops once
    /// what comes before it is sent.
    stops_at: Option<Held>,
    seeds: u64,
    /// How many chunks in doubt were sent in halves since one of those came through.
    fruitless: u32,
    rest: Rest,
}

/// A commit's pause while nothing of it leaves, since no server can be reached: its chunks would else go
/// and fail one by one, all of them again and again.
#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    /// How many there were since something left.
    count: u32,
}

impl Rest {
    /// When it ends, while it lasts.
    fn lasts_until(&self) -> Option<Instant> {
        self.until.filter(|until| *until > Instant::now())
    }
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
            uncertain: BTreeMap::new(),
            stopped: None,
            stops_at: None,
            seeds: 0,
            fruitless: 0,
            rest: Rest::default(),
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
            let wake = wake.map(|Reverse(asleep)| self.rest.lasts_until().unwrap_or(asleep.until));
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
            if self.stopped.is_some() || self.rest.lasts_until().is_some() {
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
        let operations = self.planned.cut.operations(chunk).to_vec();
        Some(Unit::planned(operations, self.mechanism(chunk.mechanism)?, chunk.bytes))
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

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
