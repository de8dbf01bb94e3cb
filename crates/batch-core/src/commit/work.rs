//! What one commit owns: the queue it took, its callbacks, and the ledger of what came of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use std::sync::Arc;

use tokio::time::Instant;

use super::{pace::Pace, unit::Unit};
use crate::{
    BatchOptions, Error, Jobs, Report,
    backend::{Mechanism, ROOM_FOR_ATTEMPTS, Repeats, Terms},
    callback::Callbacks,
    engine::Shared,
    plan::{Marks, Repeated, SLICE},
    queue::Queue,
    report::{MechanismUse, ReportInner, Tally},
    table::{JobTable, Place, Status, Verdict},
};

/// Shared by the commit, its attempts, and the batch that may want the queue back.
pub(crate) struct Work {
    pub(crate) shared: Arc<Shared>,
    pub(crate) table: Arc<JobTable>,
    queue: Queue,
    pub(crate) terms: Terms,
    pub(crate) options: BatchOptions,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    any_sent: AtomicBool,
    settling: AtomicBool,
    ended: AtomicBool,
    repeated: OnceLock<Repeated>,
    followers: OnceLock<Marks>,
    /// `i64::MIN` until the first is needed.
    base_timestamp: AtomicI64,
    ledger: Mutex<Ledger>,
    callbacks: Mutex<Callbacks>,
    /// How long one poll encodes.
    pub(super) pace: Pace,
}

/// An operation that was sent, has no verdict yet, and will be sent again.
#[derive(Clone, Debug)]
struct Retrying {
    last: Error,
    /// The first error that left it open whether it was applied.
    doubt: Option<Error>,
    /// Whether it was refused, and ends so once its chunk has ended.
    refused: bool,
}

/// A verdict that was reached before anything was sent.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) index: u32,
    pub(crate) error: Error,
    /// Not the operation is at fault but what all of them need, such as the connection.
    pub(crate) of_batch: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tally: Tally,
    uses: Vec<MechanismUse>,
    pub(crate) warnings: Vec<String>,
    /// Why metadata could not be read at the last attempt.
    pub(crate) unresolved: Option<Error>,
    pub(crate) attempts: u64,
    pub(crate) retries: u64,
    pub(crate) splits: u64,
    pub(crate) reroutes: u64,
    pub(crate) deviations: u64,
    first_retry: Option<String>,
    first_split: Option<String>,
    first_reroute: Option<String>,
    held: VecDeque<Held>,
    /// A tree, which grows evenly: a hash table of a million takes 40 ms once, within a poll.
    retrying: BTreeMap<u32, Retrying>,
    chunks: u32,
}

/// What a call of [`Work::settle`] ended.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The first operation that is neither applied nor accepted.
    pub(crate) failed: Option<u32>,
    /// The operations that may yet change the store: unknown or accepted.
    pub(crate) open: Vec<u32>,
}

impl Work {
    #[expect(clippy::too_many_arguments, reason = "one place makes it, from the parts of a batch")]
    pub(crate) fn new(
        shared: Arc<Shared>,
        table: Arc<JobTable>,
        queue: Queue,
        callbacks: Callbacks,
        terms: Terms,
        options: BatchOptions,
        started: Instant,
        deadline: Instant,
    ) -> Self {
        Self {
            shared,
            table,
            queue,
            terms,
            options,
            started,
            deadline,
            any_sent: AtomicBool::new(false),
            settling: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            repeated: OnceLock::new(),
            followers: OnceLock::new(),
            base_timestamp: AtomicI64::new(i64::MIN),
            ledger: Mutex::default(),
            callbacks: Mutex::new(callbacks),
            pace: Pace::default(),
        }
    }

    /// Gives back what the commit took, for a batch that is open again.
    pub(crate) fn into_parts(self) -> (Queue, Callbacks) {
        (self.queue, self.callbacks.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_callbacks(&self) -> Callbacks {
        std::mem::take(&mut *self.callbacks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the point of no return is behind.
    pub(crate) fn any_sent(&self) -> bool {
        self.any_sent.load(Ordering::Acquire)
    }

    pub(crate) fn mark_sent(&self, operations: &[u32]) {
        self.any_sent.store(true, Ordering::Release);
        self.table.mark_sent(operations);
    }

    /// Says that every operation gets its verdict now, whether anything was sent or not.
    pub(crate) fn begin_settling(&self) {
        self.settling.store(true, Ordering::Release);
    }

    /// Whether the batch can no longer be opened again: something was sent, or verdicts are given.
    pub(crate) fn cannot_reopen(&self) -> bool {
        self.any_sent() || self.settling.load(Ordering::Acquire)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// All jobs are settled: who follows this commit waits no longer.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.shared.detached.end(self);
    }

    pub(crate) fn set_order(&self, repeated: Repeated, followers: Marks) {
        // Set once: a commit plans once.
        let _ = self.repeated.set(repeated);
        let _ = self.followers.set(followers);
    }

    fn followers(&self) -> Option<&Marks> {
        self.followers.get().filter(|followers| !followers.is_empty())
    }

    /// Whether some operation comes after others on its key, or on what it shares: its chunk may be cut, and
    /// then its piece gets later timestamps, with all that is in it.
    pub(crate) fn may_be_stamped_anew(&self) -> bool {
        self.followers().is_some()
    }

    /// Whether one of these does.
    pub(crate) fn is_any_follower(&self, operations: &[u32]) -> bool {
        let followers = self.followers();
        followers.is_some_and(|all| operations.iter().any(|index| all.has(*index)))
    }

    /// Whether a unit is not cut: a former attempt may have been applied, and pieces would be stamped anew.
    pub(super) fn keeps_whole(&self, unit: &Unit) -> bool {
        unit.doubts > 0 && self.is_any_follower(&unit.operations)
    }

    /// Whether a chunk of these operations has timestamps of its own, later than those of the chunks that
    /// were sent before: where chunks follow one another, and the next one is not to be stamped ahead.
    fn has_own_times(&self, operations: &[u32]) -> bool {
        self.terms.guarantee.is_ordered() || self.is_any_follower(operations)
    }

    pub(crate) fn repeated(&self) -> Option<&Repeated> {
        self.repeated.get().filter(|repeated| !repeated.is_empty())
    }

    pub(crate) fn base_timestamp(&self) -> i64 {
        match self.base_timestamp.load(Ordering::Acquire) {
            i64::MIN => {
                let base = self.reserve_timestamps(self.most_on_a_key());
                let set = self.base_timestamp.compare_exchange(
                    i64::MIN,
                    base,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                set.map_or_else(|other| other, |_| base)
            }
            base => base,
        }
    }

    /// Gives the commit a later base, which is returned. Of several chunks that do so at once, the
    /// latest counts.
    pub(crate) fn lift_timestamps(&self) -> i64 {
        let base = self.reserve_timestamps(self.most_on_a_key());
        self.base_timestamp.fetch_max(base, Ordering::AcqRel).max(base)
    }

    /// How many operations on a key come before these, in ascending order and each number once; if
    /// their chunk has timestamps of its own. Empty where the chunk has one write to each key, so that
    /// all of it has one timestamp.
    pub(crate) fn own_ranks(&self, operations: &[u32], repeats: Repeats) -> Option<Arc<[u32]>> {
        if !self.has_own_times(operations) {
            return None;
        }
        let may_repeat = !matches!(repeats, Repeats::Folded | Repeats::Apart);
        let Some(repeated) = self.repeated().filter(|_| may_repeat) else {
            return Some([].into());
        };
        let mut ranks: Vec<u32> = operations.iter().map(|index| repeated.earlier(*index)).collect();
        ranks.sort_unstable();
        ranks.dedup();
        Some(ranks.into())
    }

    /// A base above all timestamps that the store has given so far, for so many writes to a key.
    pub(crate) fn own_base_timestamp(&self, writes: usize) -> i64 {
        let further = u32::try_from(writes.saturating_sub(1)).unwrap_or(u32::MAX);
        self.reserve_timestamps(further)
    }

    /// Room for so many further writes on a key after the first.
    fn reserve_timestamps(&self, further: u32) -> i64 {
        let count = further.saturating_add(1).saturating_mul(ROOM_FOR_ATTEMPTS);
        self.shared.reserve_timestamps(count)
    }

    fn most_on_a_key(&self) -> u32 {
        self.repeated.get().map_or(0, Repeated::most)
    }

    /// How many operations on its key come before this one.
    pub(crate) fn earlier(&self, index: u32) -> u32 {
        self.repeated.get().map_or(0, |repeated| repeated.earlier(index))
    }

    /// Counts a request that is begun, and gives its number.
    pub(crate) fn next_chunk(&self, again: bool) -> u32 {
        let mut ledger = self.ledger();
        ledger.attempts += 1;
        ledger.retries += u64::from(again);
        ledger.chunks += 1;
        ledger.chunks
    }

    pub(crate) fn hold(&self, held: impl IntoIterator<Item = Held>) {
        self.ledger().held.extend(held);
    }

    /// The first verdict that was held back because of something that all operations need.
    pub(crate) fn held_of_batch(&self) -> Option<Error> {
        self.ledger().held.iter().find(|held| held.of_batch).map(|held| held.error.clone())
    }

    /// Settles a slice of what was held back, and tells whether there is more: called once the
    /// point of no return is behind, or when nothing is left to send.
    pub(crate) fn release_held(&self) -> (Settled, bool) {
        let (held, more): (Vec<_>, _) = {
            let mut ledger = self.ledger();
            if ledger.held.is_empty() {
                return (Settled::default(), false);
            }
            let count = ledger.held.len().min(SLICE as usize);
            let held = ledger.held.drain(..count).collect();
            (held, !ledger.held.is_empty())
        };
        let verdicts =
            held.into_iter().map(|held| (held.index, 0, Verdict::NotApplied(held.error)));
        (self.settle(verdicts), more)
    }

    /// Remembers that operations are not in the request that left.
    pub(crate) fn note_refused<'e>(&self, refused: impl Iterator<Item = (u32, &'e Error)>) {
        let mut ledger = self.ledger();
        for (index, error) in refused {
            self.note_retry(&mut ledger, index, error);
            if let Some(entry) = ledger.retrying.get_mut(&index) {
                entry.refused = !error.is_transient();
            }
        }
    }

    /// Remembers why operations are sent again.
    pub(crate) fn note_retries<'e>(&self, retries: impl Iterator<Item = (u32, &'e Error)>) {
        let mut ledger = self.ledger();
        retries.for_each(|(index, error)| self.note_retry(&mut ledger, index, error));
    }

    fn note_retry(&self, ledger: &mut Ledger, index: u32, error: &Error) {
        let in_doubt = error.fate() != crate::Fate::NotApplied;
        let entry = ledger.retrying.entry(index).or_insert_with(|| Retrying {
            last: error.clone(),
            doubt: None,
            refused: false,
        });
        entry.last = error.clone();
        if in_doubt && entry.doubt.is_none() {
            entry.doubt = Some(error.clone());
        }
        if entry.doubt.is_none() {
            self.table.unmark_sent(index);
        }
    }

    /// Settles operations, with the chunk that brought the verdict (0 for none). Unknown is
    /// sticky: an operation in doubt ends otherwise only by an acknowledgement.
    pub(crate) fn settle(&self, verdicts: impl Iterator<Item = (u32, u32, Verdict)>) -> Settled {
        let mut settled = Settled::default();
        let mut ledger = self.ledger();
        let ledger = &mut *ledger;
        self.table.settle(verdicts.filter_map(|(index, chunk, verdict)| {
            if self.table.status(index).is_terminal() {
                return None;
            }
            let doubt = if ledger.retrying.is_empty() {
                None
            } else {
                ledger.retrying.remove(&index).and_then(|retrying| retrying.doubt)
            };
            let verdict = match (verdict, doubt) {
                (Verdict::NotApplied(_) | Verdict::Unknown(_), Some(doubt)) => {
                    Verdict::Unknown(doubt)
                }
                (verdict, _) => verdict,
            };
            let place = match &verdict {
                Verdict::Applied(body) if body.is_empty() => Place::without_answer(index, chunk),
                _ => self.queue.place(index, chunk),
            };
            ledger.tally.count(&verdict);
            match &verdict {
                Verdict::Applied(_) => {}
                Verdict::Accepted(_) => settled.open.push(index),
                Verdict::NotApplied(error) => {
                    settled.failed.get_or_insert(index);
                    ledger.tally.sample(place, error, false);
                }
                Verdict::Unknown(error) => {
                    settled.failed.get_or_insert(index);
                    settled.open.push(index);
                    ledger.tally.sample(place, error, true);
                }
            }
            Some((place, verdict))
        }));
        settled
    }

    /// Settles operations as applied, of which the store said nothing more.
    pub(crate) fn settle_applied(&self, operations: &[u32]) {
        let mut ledger = self.ledger();
        if !ledger.retrying.is_empty() {
            // An acknowledgement settles a doubt.
            operations.iter().for_each(|index| drop(ledger.retrying.remove(index)));
        }
        let count = self.table.settle_applied(operations);
        ledger.tally.count_applied(count);
    }

    /// Ends every operation of a range that has no verdict: what may have been executed as
    /// unknown, the rest as not applied. The error that it was last sent again for becomes the
    /// source.
    pub(crate) fn settle_rest(
        &self,
        range: std::ops::Range<u32>,
        not_applied: &Error,
        unknown: &Error,
    ) {
        let rest: Vec<_> = {
            let ledger = self.ledger();
            let open = |index: &u32| !self.table.status(*index).is_terminal();
            // Neighbours were mostly in one chunk, and have its error: one that settles them all is enough.
            let mut recent: Option<(Error, [Error; 2])> = None;
            let mut with_source = |last: &Error| {
                recent.take_if(|(known, _)| !known.is_same(last));
                let (_, errors) = recent.get_or_insert_with(|| {
                    let with_last = |error: &Error| error.clone().with_source(last.clone());
                    (last.clone(), [not_applied, unknown].map(with_last))
                });
                errors.clone()
            };
            range
                .filter(open)
                .map(|index| {
                    let [not_applied, unknown] = match ledger.retrying.get(&index) {
                        Some(Retrying { last, refused: true, .. }) => {
                            [last, unknown].map(Error::clone)
                        }
                        Some(Retrying { last, .. }) => with_source(last),
                        None => [not_applied, unknown].map(Error::clone),
                    };
                    let verdict = if self.table.status(index) == Status::Sent {
                        Verdict::Unknown(unknown)
                    } else {
                        Verdict::NotApplied(not_applied)
                    };
                    (index, 0, verdict)
                })
                .collect()
        };
        self.settle(rest.into_iter());
    }

    /// The error that some operation was last sent again for, or metadata was last read again for.
    pub(crate) fn any_last_error(&self) -> Option<Error> {
        let ledger = self.ledger();
        let of_operation = ledger.retrying.values().next().map(|retrying| &retrying.last);
        of_operation.or(ledger.unresolved.as_ref()).cloned()
    }

    pub(crate) fn report(&self) -> Report {
        let mut ledger = self.ledger();
        let ledger = &mut *ledger;
        let mut warnings = std::mem::take(&mut ledger.warnings);
        let Ledger { retries, splits, reroutes, .. } = *ledger;
        for (count, what, why) in [
            (retries, "requests were sent again", &ledger.first_retry),
            (splits, "requests were cut smaller than planned", &ledger.first_split),
            (reroutes, "requests were routed anew", &ledger.first_reroute),
        ] {
            if count > 0 {
                let why = why.as_deref().unwrap_or("for no stated reason");
                warnings.push(format!("{count} {what}; the first because: {why}"));
            }
        }
        Report::new(ReportInner {
            store: self.shared.name,
            guarantee: self.terms.guarantee,
            errors: ledger.tally.errors(&self.table),
            first_unknown: ledger.tally.first_unknown(&self.table),
            tally: std::mem::take(&mut ledger.tally),
            mechanisms: std::mem::take(&mut ledger.uses),
            warnings,
            attempts: ledger.attempts,
            retries,
            deviations: ledger.deviations,
            elapsed: self.started.elapsed(),
            callback_failures: Vec::new(),
            jobs: Jobs::new(&self.table),
        })
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("operations", &self.queue.len())
            .field("any_sent", &self.any_sent)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    pub(crate) fn note_use(&mut self, mechanism: &Mechanism, operations: usize) {
        let operations = u64::try_from(operations).unwrap_or(u64::MAX);
        match self.uses.iter_mut().find(|known| known.name == mechanism.name) {
            Some(known) => {
                known.chunks += 1;
                known.operations += operations;
            }
            None => {
                self.uses.push(MechanismUse { name: mechanism.name.clone(), chunks: 1, operations })
            }
        }
    }

    /// Takes back what was counted for a unit of which nothing was left to send.
    pub(super) fn forget_attempt(&mut self, unit: &Unit) {
        self.attempts -= 1;
        self.retries -= u64::from(unit.again);
        self.deviations -= u64::from(!unit.planned);
    }

    pub(crate) fn note_why_again(&mut self, why: &Error) {
        self.first_retry.get_or_insert_with(|| why.message().to_owned());
    }

    pub(crate) fn note_split(&mut self, why: impl FnOnce() -> String) {
        self.splits += 1;
        self.first_split.get_or_insert_with(why);
    }

    pub(crate) fn note_reroute(&mut self, why: &Error) {
        self.reroutes += 1;
        self.first_reroute.get_or_insert_with(|| why.message().to_owned());
    }

    pub(crate) fn warn(&mut self, warning: &str) {
        // Servers repeat themselves: one of each is enough.
        if self.warnings.len() < MOST_WARNINGS
            && !self.warnings.iter().any(|known| known == warning)
        {
            self.warnings.push(warning.to_owned());
        }
    }
}

/// Bounds the report, whatever servers say.
const MOST_WARNINGS: usize = 100;
