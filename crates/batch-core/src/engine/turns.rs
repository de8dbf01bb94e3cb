//! Turns: how many chunks and bytes of a store are in flight, in order of arrival.

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// Two budgets that are taken together. A chunk waits at the gate without holding anything; only
/// the one at its head takes permits, so nobody overtakes and nobody starves.
#[derive(Debug)]
pub(crate) struct Turns {
    gate: Mutex<()>,
    chunks: Semaphore,
    bytes: Semaphore,
    all_bytes: u32,
}

/// Leave to have one chunk in flight, until dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _chunk: Option<SemaphorePermit<'a>>,
    _bytes: Option<SemaphorePermit<'a>>,
}

impl Turns {
    pub(crate) fn new(chunks: usize, bytes: usize) -> Self {
        let all_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            gate: Mutex::new(()),
            chunks: Semaphore::new(chunks.min(Semaphore::MAX_PERMITS)),
            bytes: Semaphore::new(all_bytes as usize),
            all_bytes,
        }
    }

    /// Waits for leave to send a chunk. One that is larger than the budget flies alone.
    pub(crate) async fn take(&self, bytes: u64) -> Turn<'_> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.all_bytes);
        let gate = self.gate.lock().await;
        // The semaphores are never closed, so an error cannot be met.
        let chunk = self.chunks.acquire().await.ok();
        let bytes = self.bytes.acquire_many(bytes).await.ok();
        drop(gate);
        Turn { _chunk: chunk, _bytes: bytes }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_small_chunk_does_not_overtake_a_large_one_that_came_first() {
        let turns = Turns::new(8, 100);
        let first = turns.take(60).await;
        let mut large = Box::pin(turns.take(80));
        let mut small = Box::pin(turns.take(10));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none());
        drop(first);
        let large = large.await;
        let _small = small.await;
        drop(large);
    }

    #[tokio::test]
    async fn a_chunk_over_the_whole_budget_flies_alone() {
        let turns = Turns::new(8, 100);
        let turn = turns.take(1_000_000).await;
        assert!(turns.take(1).now_or_never().is_none());
        drop(turn);
        assert!(turns.take(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_cancelled_wait_leaves_the_budget_whole() {
        let turns = Turns::new(1, 100);
        let turn = turns.take(1).await;
        assert!(turns.take(1).now_or_never().is_none());
        drop(turn);
        assert!(turns.take(100).now_or_never().is_some());
    }
}
