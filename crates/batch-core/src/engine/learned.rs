//! What a store was seen to take: the largest size taken and the smallest refused, per mechanism.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::fast::FixedState;
use tokio::time::Instant;

/// How long a learned size is believed.
const BELIEVED: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug)]
struct Sizes {
    taken: u64,
    refused: u64,
    at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Learned {
    by_mechanism: Mutex<ByMechanism>,
    /// Nothing was refused in most stores' lives, and then nobody need look anything up.
    any_refused: AtomicBool,
}

type ByMechanism = HashMap<String, Sizes, FixedState>;

impl Learned {
    fn lock(&self) -> MutexGuard<'_, ByMechanism> {
        self.by_mechanism.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is believed of a mechanism, if something was refused lately.
    fn believed(&self, mechanism: &str) -> Option<Sizes> {
        if !self.any_refused.load(Ordering::Acquire) {
            return None;
        }
        let mut map = self.lock();
        let sizes = *map.get(mechanism).filter(|sizes| sizes.refused < u64::MAX)?;
        if sizes.at.elapsed() > BELIEVED {
            map.remove(mechanism);
            return None;
        }
        Some(sizes)
    }

    /// The size to cut chunks by: unbounded until something was refused, then halfway between
    /// what was taken and what was refused, until the two are within an eighth of each other.
    pub(crate) fn limit(&self, mechanism: &str) -> u64 {
        let Some(sizes) = self.believed(mechanism) else { return u64::MAX };
        let gap = sizes.refused - sizes.taken;
        if sizes.taken > 0 && gap <= (sizes.refused / 8).max(1) {
            sizes.taken
        } else {
            sizes.taken + gap / 2
        }
    }

    /// The smallest size that was refused.
    pub(crate) fn refused_from(&self, mechanism: &str) -> u64 {
        self.believed(mechanism).map_or(u64::MAX, |sizes| sizes.refused)
    }

    pub(crate) fn taken(&self, mechanism: &str, bytes: u64) {
        let mut map = self.lock();
        let first = || Sizes { taken: bytes, refused: u64::MAX, at: Instant::now() };
        let Some(sizes) = map.get_mut(mechanism) else {
            map.insert(mechanism.to_owned(), first());
            return;
        };
        if sizes.at.elapsed() > BELIEVED {
            *sizes = first();
        }
        if bytes >= sizes.refused {
            // The server takes more than it did.
            sizes.refused = u64::MAX;
        }
        sizes.taken = sizes.taken.max(bytes);
    }

    pub(crate) fn refused(&self, mechanism: &str, bytes: u64) {
        let mut map = self.lock();
        self.any_refused.store(true, Ordering::Release);
        let nothing = Sizes { taken: 0, refused: u64::MAX, at: Instant::now() };
        let sizes = map.entry(mechanism.to_owned()).or_insert(nothing);
        if sizes.at.elapsed() > BELIEVED {
            *sizes = nothing;
        }
        sizes.refused = sizes.refused.min(bytes);
        if sizes.taken >= sizes.refused {
            // The server takes less than it did.
            sizes.taken = 0;
        }
        sizes.at = nothing.at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trap 5: halving alone overshoots, and every lane finds out again.
    #[tokio::test(start_paused = true)]
    async fn the_limit_comes_close_to_the_real_one_in_a_few_refusals() {
        for real in [100_u64, 1_000, 65_536, 1 << 20] {
            let learned = Learned::default();
            let mut refusals = 0;
            for _ in 0..60 {
                let size = learned.limit("m").min(1 << 24);
                if size > real {
                    learned.refused("m", size);
                    refusals += 1;
                } else {
                    learned.taken("m", size);
                }
            }
            let limit = learned.limit("m");
            assert!(limit <= real && limit * 100 >= real * 85, "{real}: {limit}");
            assert!(refusals <= 28, "{real}: {refusals} refusals");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_learned_is_forgotten_after_ten_minutes() {
        let learned = Learned::default();
        learned.refused("m", 100);
        assert_eq!((learned.limit("m"), learned.limit("other")), (50, u64::MAX));
        tokio::time::advance(BELIEVED + Duration::from_secs(1)).await;
        assert_eq!(learned.limit("m"), u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_changes_its_mind_is_believed() {
        let learned = Learned::default();
        learned.refused("m", 100);
        learned.taken("m", 100);
        assert_eq!(learned.limit("m"), u64::MAX);
        learned.refused("m", 60);
        assert_eq!(learned.limit("m"), 30);
    }
}
