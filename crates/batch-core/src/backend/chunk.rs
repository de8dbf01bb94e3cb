//! What is sent at once, and what came back for it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Kept, Mechanism, Terms};
use crate::{Error, Fate, OperationRef, Result, commit::Work};

/// How many timestamps a write has before the next one on its key: a backend may take one higher
/// for each attempt, where doing it twice at one time leaves another state than doing it once.
pub const ROOM_FOR_ATTEMPTS: u32 = 16;

/// From when they were needed first.
pub(crate) type OwnRanks = OnceLock<Option<Arc<[u32]>>>;

/// What is sent at once.
pub struct Chunk<'a> {
    pub(crate) work: &'a Work,
    pub(crate) operations: &'a [u32],
    pub(crate) mechanism: &'a Mechanism,
    pub(crate) attempt: u32,
    pub(crate) left: bool,
    pub(crate) doubts: u32,
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    pub(crate) departure: Arc<Departure>,
    /// What its timestamps are counted from; `i64::MIN` until the first is needed.
    pub(crate) base_timestamp: AtomicI64,
    pub(crate) kept: &'a Kept,
    /// Where its timestamps are its own: how many operations on a key come before those of it, in
    /// ascending order and each number once.
    pub(crate) own_ranks: OwnRanks,
}

impl<'a> Chunk<'a> {
    /// How it travels.
    #[must_use]
    pub fn mechanism(&self) -> &'a Mechanism {
        self.mechanism
    }

    /// What the batch asks for.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.work.terms
    }

    /// When the commit's time ends. The core drops a `send` that runs longer.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.work.deadline
    }

    /// From 1; higher if operations of it were sent before.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether it was [`sent`](Self::sent) in a former attempt. Its timestamps are those of then, and what follows
    /// it may rely on them: they are not to be [lifted](Self::lift_timestamps).
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// After how many of the attempts before it could not be told whether operations of it were applied.
    #[must_use]
    pub fn doubts(&self) -> u32 {
        self.doubts
    }

    /// From 1 in the order of sending within the commit.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its size as the routes counted it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Never: a chunk has at least one operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The operations, in program order. Their place here is the one that [`Answers`] counts by.
    pub fn operations(&self) -> impl ExactSizeIterator<Item = OperationRef<'a>> {
        let queue = self.work.queue();
        self.operations.iter().map(move |index| queue.get(*index))
    }

    /// The operation at a place.
    #[must_use]
    pub fn operation(&self, place: usize) -> Option<OperationRef<'a>> {
        self.operations.get(place).map(|index| self.work.queue().get(*index))
    }

    /// What [`Routes::push_with`](super::Routes::push_with) kept for the operation at a place, if that was done when it was
    /// routed first, and there was room for it. It may be older than the metadata that is resolved by now.
    #[must_use]
    pub fn kept(&self, place: usize) -> Option<&'a [u8]> {
        self.kept.get(*self.operations.get(place)?)
    }

    /// The write timestamp of the operation at a place, in microseconds: its own if it has one,
    /// else one that is fixed for all attempts. The n-th write to a key in a commit gets the
    /// commit's base + n × [`ROOM_FOR_ATTEMPTS`] (not base + place, which would put the millionth
    /// operation seconds into the future), and bases increase strictly per store. Chunks that follow one
    /// another have bases of their own, later than all timestamps of the one before: those of an ordered batch,
    /// of operations that [share](super::Routes::share) something with others, and of those on keys that occur
    /// several times, unless timestamps alone keep them in order ([`Repeats::Stamped`](super::Repeats::Stamped)). There n counts within the
    /// chunk, and what has one write to each key ([`Repeats::Folded`](super::Repeats::Folded), [`Repeats::Apart`](super::Repeats::Apart)) has one timestamp.
    #[must_use]
    pub fn timestamp(&self, place: usize) -> i64 {
        let Some(index) = self.operations.get(place) else {
            return self.base_timestamp();
        };
        let own = self.work.queue().get(*index).options.timestamp;
        own.unwrap_or_else(|| {
            let before = self.work.earlier(*index);
            let writes = match self.own_ranks() {
                Some(ranks) => ranks.partition_point(|rank| *rank < before).try_into(),
                None => Ok(before),
            };
            let above = i64::from(writes.unwrap_or(before)) * i64::from(ROOM_FOR_ATTEMPTS);
            self.base_timestamp().saturating_add(above)
        })
    }

    fn own_ranks(&self) -> Option<&[u32]> {
        let repeats = self.mechanism.repeats;
        let ranks = self.own_ranks.get_or_init(|| self.work.own_ranks(self.operations, repeats));
        ranks.as_deref()
    }

    fn base_timestamp(&self) -> i64 {
        match self.base_timestamp.load(Ordering::Acquire) {
            i64::MIN => {
                let base = match self.own_ranks() {
                    Some(ranks) => self.work.own_base_timestamp(ranks.len()),
                    None => self.work.base_timestamp(),
                };
                self.base_timestamp.fetch_max(base, Ordering::AcqRel).max(base)
            }
            base => base,
        }
    }

    /// Lifts the timestamps of this chunk, and if they are the commit's also of what that has not begun to send, above
    /// all that the store has given so far and above its clock: for a write that must come after one
    /// whose timestamp the server made. Other chunks that were begun keep theirs in all attempts.
    /// Not for a backend that leaves the order on a key to timestamps ([`Repeats::Stamped`](super::Repeats::Stamped)): a
    /// former write may be lifted over a later one that is under way.
    pub fn lift_timestamps(&self) {
        let base = match self.own_ranks() {
            Some(ranks) => self.work.own_base_timestamp(ranks.len()),
            None => self.work.lift_timestamps(),
        };
        self.base_timestamp.fetch_max(base, Ordering::AcqRel);
    }

    /// Whether some key occurs more than once in the commit.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        self.work.repeated().is_some()
    }

    /// The point of no return: from the next poll on the store may apply this chunk. For a
    /// transaction of several requests this is its commit. Must be called before the bytes leave:
    /// a chunk lost before it is `NotApplied`, after it `Unknown`.
    pub fn sent(&self) {
        if !self.departure.sent.swap(true, Ordering::Relaxed) {
            self.work.mark_sent(self.operations);
            let refused = self.departure.refused();
            if !refused.is_empty() {
                // They are not in the request, whatever becomes of it.
                self.work.note_refused(
                    refused
                        .iter()
                        .filter_map(|(place, error)| Some((*self.operations.get(*place)?, error))),
                );
            }
        }
    }

    /// For a backend that did not say so, of which nothing tells what it refused before.
    pub(crate) fn sent_unsaid(&self) {
        self.departure.refused().clear();
        self.sent();
    }

    /// Whether [`sent`](Self::sent) was called: for backends that wrap another.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.departure.is_past()
    }
}

/// What a chunk and its answers have to know of one another: whether its request has left, and which
/// of its operations were refused before.
#[derive(Debug, Default)]
pub(crate) struct Departure {
    sent: AtomicBool,
    refused: Mutex<Vec<(usize, Error)>>,
}

impl Departure {
    fn is_past(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    fn refused(&self) -> MutexGuard<'_, Vec<(usize, Error)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The places of those that were refused, in their order.
    pub(crate) fn refused_places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.refused().iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        places
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("number", &self.number)
            .field("mechanism", &self.mechanism.name)
            .field("operations", &self.operations.len())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The answers to one chunk, by place. What is not set, or set twice, is never taken as success.
#[derive(Debug)]
pub struct Answers {
    pub(crate) len: usize,
    pub(crate) all_applied: bool,
    pub(crate) list: Vec<Answer>,
    pub(crate) surplus: usize,
    pub(crate) warnings: Vec<String>,
    /// That of the chunk that they answer; `None` if it is not known.
    departure: Option<Arc<Departure>>,
}

#[derive(Debug, Default)]
pub(crate) enum Answer {
    #[default]
    Missing,
    Applied(Bytes),
    Failed(Error),
    Doubled,
}

impl Answers {
    /// No answer yet, for a chunk of `len` operations. The core makes the one that `send` gets;
    /// a backend that wraps another makes one to look at what the inner one answers.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self {
            len,
            all_applied: false,
            list: Vec::new(),
            surplus: 0,
            warnings: Vec::new(),
            departure: None,
        }
    }

    /// Those to a chunk of `len` operations that leaves so.
    pub(crate) fn to(len: usize, departure: Arc<Departure>) -> Self {
        Self { departure: Some(departure), ..Self::new(len) }
    }

    /// The answer that was set at a place; `None` if it is missing or doubled.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<Result<&Bytes, &Error>> {
        static NOTHING: Bytes = Bytes::new();
        if self.all_applied && place < self.len {
            return Some(Ok(&NOTHING));
        }
        match self.list.get(place)? {
            Answer::Applied(body) => Some(Ok(body)),
            Answer::Failed(error) => Some(Err(error)),
            Answer::Missing | Answer::Doubled => None,
        }
    }

    /// Every operation is applied, and the store said nothing more.
    pub fn all_applied(&mut self) {
        if self.list.is_empty() && !self.all_applied {
            self.all_applied = true;
        } else {
            (0..self.len).for_each(|place| self.set(place, Ok(Bytes::new())));
        }
    }

    /// Sets the answer of the operation at `place`, at most once each, in any order: the store's
    /// JSON text (the document of a `get`; an object with `new` or `old` for a write that returns
    /// them; empty if it said nothing), or why it is not applied. Text that is a slice of the
    /// answer's one buffer costs nothing more. An answer to a place that the chunk does not have
    /// makes all of them `Unknown`, and so does a second one to its place. What is set before the chunk was
    /// [`sent`](Chunk::sent) and says that the operation is not applied is a refusal: it is not in the request, whatever
    /// becomes of that.
    pub fn set(&mut self, place: usize, answer: Result<Bytes>) {
        if self.all_applied {
            self.all_applied = false;
            self.list = (0..self.len).map(|_| Answer::Applied(Bytes::new())).collect();
        }
        if self.list.is_empty() {
            self.list.resize_with(self.len, Answer::default);
        }
        if let (Some(departure), Err(error)) = (&self.departure, &answer)
            && error.fate() == Fate::NotApplied
            && !departure.is_past()
        {
            departure.refused().push((place, error.clone()));
        }
        match self.list.get_mut(place) {
            None => self.surplus += 1,
            Some(slot @ Answer::Missing) => {
                *slot = match answer {
                    Ok(body) => Answer::Applied(body),
                    Err(error) => Answer::Failed(error),
                };
            }
            Some(slot) => *slot = Answer::Doubled,
        }
    }

    /// Adds a warning of the server to the report.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Whether bytes may have left although the backend did not say so: anything but refusals
    /// was answered, or nothing at all. One refusal is enough for a chunk that is `whole`.
    pub(crate) fn in_doubt(&self, result: &Result<()>, whole: bool) -> bool {
        let certain = |error: &Error| error.fate() == Fate::NotApplied;
        let met = self.all_applied
            || self.surplus > 0
            || self.list.iter().any(|answer| match answer {
                Answer::Applied(_) | Answer::Doubled => true,
                Answer::Failed(error) => !certain(error),
                Answer::Missing => false,
            });
        let refused = self.list.iter().any(|answer| matches!(answer, Answer::Failed(_)));
        let missing = self.list.iter().any(|answer| matches!(answer, Answer::Missing));
        met || match result {
            Err(error) => !certain(error),
            Ok(()) => self.list.is_empty() || (missing && !(whole && refused)),
        }
    }
}
