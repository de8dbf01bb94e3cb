//! Turns: how many chunks and bytes of a store are in flight, in order of arrival.

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::{StoreOptions, seam::Mechanism};

/// Light chunks that fly in the place of one.
const LIGHT: u32 = 4;

/// Two budgets that are taken together. A chunk waits at the gate without holding anything; only
/// the one at its head takes permits, so nobody overtakes and nobody starves.
#[derive(Debug)]
pub(crate) struct Turns {
    gate: Mutex<()>,
    /// In shares of a place.
    chunks: Semaphore,
    bytes: Semaphore,
    all_shares: u32,
    /// The shares of a place, which is what a chunk takes that is not light.
    whole: u32,
    all_bytes: u32,
}

/// Leave to have one chunk in flight, until dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _chunk: Option<SemaphorePermit<'a>>,
    _bytes: Option<SemaphorePermit<'a>>,
}

impl Turns {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        // A number that was asked for is kept to, whatever the chunks.
        let whole = if options.max_in_flight.is_some() { 1 } else { LIGHT };
        let places = u32::try_from(options.places()).unwrap_or(u32::MAX);
        let all_shares = places.saturating_mul(whole);
        let all_bytes = u32::try_from(options.max_bytes_in_flight).unwrap_or(u32::MAX);
        Self {
            gate: Mutex::new(()),
            chunks: Semaphore::new(Semaphore::MAX_PERMITS.min(all_shares as usize)),
            bytes: Semaphore::new(all_bytes as usize),
            all_shares,
            whole,
            all_bytes,
        }
    }

    /// What a chunk of so many operations takes of the places.
    pub(crate) fn share(&self, mechanism: &Mechanism, operations: usize) -> u32 {
        if operations <= mechanism.light as usize { 1 } else { self.whole }
    }

    /// Whether a commit that has taken so much may begin another chunk.
    pub(crate) const fn have_room_beside(&self, taken: u32) -> bool {
        taken < self.all_shares
    }

    /// Waits for leave to send a chunk. One that has more bytes than the budget flies alone.
    pub(crate) async fn take(&self, share: u32, bytes: u64) -> Turn<'_> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.all_bytes);
        let gate = self.gate.lock().await;
        // The semaphores are never closed, so an error cannot be met.
        let chunk = self.chunks.acquire_many(share).await.ok();
        let bytes = self.bytes.acquire_many(bytes).await.ok();
        drop(gate);
        Turn { _chunk: chunk, _bytes: bytes }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn turns(chunks: usize, bytes: usize) -> Turns {
        Turns::new(&StoreOptions::new().max_in_flight(chunks).max_bytes_in_flight(bytes))
    }

    #[tokio::test]
    async fn a_small_chunk_does_not_overtake_a_large_one_that_came_first() {
        let turns = turns(8, 100);
        let first = turns.take(1, 60).await;
        let mut large = Box::pin(turns.take(1, 80));
        let mut small = Box::pin(turns.take(1, 10));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none());
        drop(first);
        let large = large.await;
        let _small = small.await;
        drop(large);
    }

    #[tokio::test]
    async fn a_chunk_over_the_whole_budget_flies_alone() {
        let turns = turns(8, 100);
        let turn = turns.take(1, 1_000_000).await;
        assert!(turns.take(1, 1).now_or_never().is_none());
        drop(turn);
        assert!(turns.take(1, 1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_cancelled_wait_leaves_the_budget_whole() {
        let turns = turns(1, 100);
        let turn = turns.take(1, 1).await;
        assert!(turns.take(1, 1).now_or_never().is_none());
        drop(turn);
        assert!(turns.take(1, 100).now_or_never().is_some());
    }
}
