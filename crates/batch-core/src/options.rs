//! What is asked of a batch and of a store.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// What a batch promises about its operations together. Asked for, never assumed: a store names
/// the mechanism that gives it, or refuses before a byte is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guarantee {
    /// Each operation for itself. May be split and sent in parallel; the order on one key is kept.
    #[default]
    BestEffort,
    /// In program order, one after another.
    Ordered {
        /// What happens after an operation that is not applied.
        on_error: OnError,
    },
    /// All operations or none.
    AllOrNothing {
        /// Nobody sees a part of it.
        isolated: bool,
    },
}

impl Guarantee {
    /// Every guarantee that can be asked for, in the order of their strength.
    pub const ALL: &'static [Self] = &[
        Self::BestEffort,
        Self::Ordered { on_error: OnError::Continue },
        Self::Ordered { on_error: OnError::Stop },
        Self::AllOrNothing { isolated: false },
        Self::AllOrNothing { isolated: true },
    ];

    /// The name that the program and the reports use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "best-effort",
            Self::Ordered { on_error: OnError::Continue } => "ordered",
            Self::Ordered { on_error: OnError::Stop } => "ordered-stop",
            Self::AllOrNothing { isolated: false } => "all-or-nothing",
            Self::AllOrNothing { isolated: true } => "all-or-nothing-isolated",
        }
    }

    pub(crate) const fn is_ordered(self) -> bool {
        matches!(self, Self::Ordered { .. })
    }

    pub(crate) const fn stops(self) -> bool {
        matches!(self, Self::Ordered { on_error: OnError::Stop })
    }

    pub(crate) const fn is_all_or_nothing(self) -> bool {
        matches!(self, Self::AllOrNothing { .. })
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an ordered batch does after an operation that is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnError {
    /// Goes on with the next.
    Continue,
    /// Leaves the rest out: it is `NotApplied(Skipped)`. Where a request with several operations
    /// would run on after a failure, each has a request of its own, and the plan warns of it.
    Stop,
}

/// What a dropped commit does with operations that may have left already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnCancel {
    /// Finishes on the runtime, to the deadline, callbacks included. A batch of the store that is committed
    /// meanwhile waits until it has settled its jobs, if the two have keys in common and timestamps
    /// do not decide between what they do there; within its own deadline, after which nothing was
    /// sent and it can be committed again.
    #[default]
    Detach,
    /// Stops: chunks not begun are `NotApplied(Cancelled)`, begun ones `Unknown(Cancelled)`, and
    /// callbacks do not run. Nobody waits for what was begun, so the store may act on it after
    /// a batch that follows: read the rows first.
    Settle,
}

/// A forced kind of CQL batch (cqlengine's switch). Other stores refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchType {
    /// Through the batch log.
    Logged,
    /// Without it.
    Unlogged,
    /// Of counter updates.
    Counter,
}

impl BatchType {
    /// The name in errors and plans.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Unlogged => "unlogged",
            Self::Counter => "counter",
        }
    }
}

/// What is asked of one batch.
///
/// ```
/// use std::time::Duration;
/// use batch_core::{BatchOptions, Guarantee, OnError};
///
/// let options = BatchOptions::new()
///     .guarantee(Guarantee::Ordered { on_error: OnError::Stop })
///     .deadline(Duration::from_secs(3));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct BatchOptions {
    pub(crate) guarantee: Guarantee,
    pub(crate) deadline: Option<Duration>,
    pub(crate) results: bool,
    pub(crate) on_cancel: OnCancel,
    pub(crate) commit_on_error: bool,
    pub(crate) callback_timeout: Duration,
    pub(crate) batch_type: Option<BatchType>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::BestEffort,
            deadline: None,
            results: true,
            on_cancel: OnCancel::Detach,
            commit_on_error: false,
            callback_timeout: Duration::from_secs(30),
            batch_type: None,
        }
    }
}

impl BatchOptions {
    /// Best effort, the store's deadline, results recorded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a guarantee. Default: [`Guarantee::BestEffort`].
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// The time of a whole commit, from its call: metadata, planning, waiting for a turn, sending,
    /// retries. Default: the store's ([`StoreOptions::timeout`]).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Whether outcomes and errors are kept for each job. Without them a job costs one byte and
    /// answers `outcome()` with [`NotRecorded`](crate::ErrorKind::NotRecorded); the report still
    /// counts. Default: `true`.
    pub fn results(mut self, results: bool) -> Self {
        self.results = results;
        self
    }

    /// What a dropped commit does. Default: [`OnCancel::Detach`].
    pub fn on_cancel(mut self, on_cancel: OnCancel) -> Self {
        self.on_cancel = on_cancel;
        self
    }

    /// Lets [`scope`](crate::StoreExt::scope) commit what was queued when its body fails
    /// (cqlengine's `execute_on_exception`). Default: `false`.
    pub fn commit_on_error(mut self, commit_on_error: bool) -> Self {
        self.commit_on_error = commit_on_error;
        self
    }

    /// The longest that one async callback may take. Default: 30 s.
    pub fn callback_timeout(mut self, timeout: Duration) -> Self {
        self.callback_timeout = timeout;
        self
    }

    /// Forces a kind of CQL batch. Refused by stores without batch types.
    pub fn batch_type(mut self, batch_type: BatchType) -> Self {
        self.batch_type = Some(batch_type);
        self
    }
}

/// The time of day, for write timestamps and times to live. Replaceable, to test with a skewed clock. A backend
/// may have a better one, as that of CQL has the servers'.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Microseconds since the Unix epoch.
    fn now_micros(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Chunks in flight where nobody asked for a number.
const PLACES: usize = 32;

/// Limits and habits of one store, shared by all its batches.
#[derive(Clone, Debug)]
#[must_use]
pub struct StoreOptions {
    /// `None`: [`PLACES`], some of which light chunks share.
    pub(crate) max_in_flight: Option<usize>,
    pub(crate) max_bytes_in_flight: usize,
    pub(crate) max_batch_operations: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) timeout: Duration,
    pub(crate) first_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) backoff_seed: Option<u64>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            max_in_flight: None,
            max_bytes_in_flight: 64 << 20,
            max_batch_operations: usize::MAX,
            max_batch_bytes: usize::MAX,
            timeout: Duration::from_secs(30),
            first_backoff: Duration::from_millis(10),
            max_backoff: Duration::from_secs(1),
            backoff_seed: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl StoreOptions {
    /// 32 chunks and 64 MiB in flight (or four times as many chunks where they are light), no ceiling
    /// on a chunk but the store's own, 30 s for a commit.
    pub fn new() -> Self {
        Self::default()
    }

    /// The most chunks in flight at once, over all batches of the store; at least 1. Default: 32, where
    /// four chunks count as one that the backend calls light ([`Mechanism::light`](crate::seam::Mechanism::light):
    /// on CQL, plain writes of up to 50 rows).
    pub fn max_in_flight(mut self, chunks: usize) -> Self {
        self.max_in_flight = Some(clamp_one(chunks));
        self
    }

    /// The most bytes in flight at once, over all batches of the store. A single chunk that is
    /// larger flies alone. Default: 64 MiB.
    pub fn max_bytes_in_flight(mut self, bytes: usize) -> Self {
        self.max_bytes_in_flight = clamp_one(bytes);
        self
    }

    /// The most operations in one chunk, below the store's own ceiling. Where a store makes one
    /// write of all operations on a key, they count as one. Default: none.
    pub fn max_batch_operations(mut self, operations: usize) -> Self {
        self.max_batch_operations = clamp_one(operations);
        self
    }

    /// The most bytes in one chunk, below the store's own ceiling. Default: none.
    pub fn max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_batch_bytes = clamp_one(bytes);
        self
    }

    /// The deadline of a commit that asks for none itself. Default: 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The first and the longest pause between attempts; each pause is twice the former, and up
    /// to once as much again is added by chance. Default: 10 ms and 1 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_backoff = first;
        self.max_backoff = longest;
        self
    }

    /// Makes the jitter of backoffs repeatable, for tests.
    pub fn backoff_seed(mut self, seed: u64) -> Self {
        self.backoff_seed = Some(seed);
        self
    }

    /// Replaces the machine's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The pause after `before` others: twice the former one, with jitter. A `turn` of its own
    /// makes the jitter of seeded pauses differ.
    pub(crate) fn pause(&self, before: u32, turn: u64) -> Duration {
        // Longer than any deadline, and what can be added to without overflow.
        const MOST: Duration = Duration::from_secs(24 * 60 * 60);
        let (first, longest) = (self.first_backoff.min(MOST), self.max_backoff.min(MOST));
        let builder = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times()
            .with_jitter();
        let builder = match self.backoff_seed {
            Some(seed) => builder.with_jitter_seed(seed.wrapping_add(turn)),
            None => builder,
        };
        builder.build().nth(before as usize).unwrap_or(longest)
    }

    /// The chunks that may be in flight at once if none of them is light.
    pub(crate) fn places(&self) -> usize {
        self.max_in_flight.unwrap_or(PLACES)
    }

    /// The clock, for a backend that reads the time of day.
    #[must_use]
    pub fn shared_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The deadline of a commit that asks for none itself.
    #[must_use]
    pub fn default_timeout(&self) -> Duration {
        self.timeout
    }
}

const fn clamp_one(value: usize) -> usize {
    if value == 0 { 1 } else { value }
}
