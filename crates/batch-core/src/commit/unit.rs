//! What travels through the commit's loop: units, their lanes, and what attempts came to.

use std::{cmp::Ordering, collections::VecDeque, ops::Range, sync::Arc};

use tokio::time::Instant;

use crate::{
    Result,
    backend::{Answers, Mechanism, OwnRanks, Routes},
    engine::turns::Turns,
};

/// What is sent at once, with its history.
pub(super) struct Unit {
    pub(super) operations: Vec<u32>,
    pub(super) mechanism: Arc<Mechanism>,
    pub(super) bytes: u64,
    /// From 1.
    pub(super) attempt: u32,
    /// Whether bytes left in a former attempt.
    pub(super) left: bool,
    /// After how many attempts it could not be told whether something was applied.
    pub(super) doubts: u32,
    /// Whether the plan had it.
    pub(super) planned: bool,
    /// Whether operations of it were handed to the backend before, and that failed.
    pub(super) again: bool,
    /// Resolve and route again instead of sending.
    pub(super) stale: bool,
    /// How many backoffs its operations have waited out.
    pub(super) pauses: u32,
    /// How often they were routed anew because something was gone.
    pub(super) reroutes: u32,
    /// What its timestamps are counted from in all attempts; `i64::MIN` until one was needed.
    pub(super) base_timestamp: i64,
    /// What they are counted by, likewise: [`Chunk::own_ranks`](crate::seam::Chunk).
    pub(super) own_ranks: OwnRanks,
}

impl Unit {
    /// As the plan has it.
    pub(super) fn planned(operations: Vec<u32>, mechanism: Arc<Mechanism>, bytes: u64) -> Self {
        Self {
            operations,
            mechanism,
            bytes,
            attempt: 1,
            left: false,
            doubts: 0,
            planned: true,
            again: false,
            stale: false,
            pauses: 0,
            reroutes: 0,
            base_timestamp: i64::MIN,
            own_ranks: OwnRanks::new(),
        }
    }

    /// Some of its operations, with its history.
    pub(super) fn piece(
        &self,
        operations: Vec<u32>,
        mechanism: Arc<Mechanism>,
        bytes: u64,
    ) -> Self {
        Self {
            attempt: self.attempt,
            left: self.left,
            doubts: self.doubts,
            planned: false,
            pauses: self.pauses,
            reroutes: self.reroutes,
            base_timestamp: self.base_timestamp,
            own_ranks: self.own_ranks.clone(),
            ..Self::planned(operations, mechanism, bytes)
        }
    }

    /// What it costs to encode and settle, counted in small operations.
    pub(super) fn weight(&self) -> usize {
        const SMALL: u64 = 256;
        let by_size = usize::try_from(self.bytes / SMALL).unwrap_or(usize::MAX);
        self.operations.len().max(by_size)
    }

    /// What it takes of the store's places.
    pub(super) fn share(&self, turns: &Turns) -> u32 {
        turns.share(&self.mechanism, self.operations.len())
    }
}

/// Units that must follow one another: retries and pieces first, then the planned chunks.
pub(super) struct Lane {
    pub(super) first: VecDeque<Unit>,
    pub(super) chunks: Range<usize>,
}

/// A lane that waits out a backoff. Holds no turn.
pub(super) struct Asleep {
    pub(super) until: Instant,
    pub(super) lane: Lane,
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

/// What came back of a unit that was handed to the backend.
pub(super) struct SentUnit {
    pub(super) answers: Answers,
    pub(super) result: Result<()>,
    /// Whether bytes may have left.
    pub(super) sent: bool,
    /// The places of what was refused before, in their order.
    pub(super) refused: Vec<usize>,
    /// The chunk's number.
    pub(super) number: u32,
    /// Its tracing span, which the counts of its outcomes are still to be written to.
    pub(super) span: tracing::Span,
}

/// What an attempt came to.
pub(super) enum Attempted {
    /// The unit was handed to the backend.
    Sent(SentUnit),
    /// Larger than what the server was meanwhile seen to refuse: to be cut first.
    TooLarge,
    /// Cannot be cut, and the server was meanwhile seen to refuse this size: not sent.
    KnownRefused,
    /// Resolved and routed again.
    Rerouted(Result<Routes>),
}

pub(super) struct Attempt {
    pub(super) lane: Lane,
    pub(super) unit: Unit,
    pub(super) came_to: Attempted,
}
