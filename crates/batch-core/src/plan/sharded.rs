//! Maps for whole batches, which grow in small steps.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::SCRAMBLE;

type Shard<V> = HashMap<u64, V, FixedState>;

/// How many keys share a map on average. A map that grows moves all that it holds at once, and
/// one map of ten million keys would keep the executor for a tenth of a second.
const KEYS_PER_SHARD: usize = 1_080;

/// How many shards are dropped at once.
const DROPPED_AT_ONCE: usize = 64;

/// What is known of some keys or groups of a batch.
#[derive(Debug)]
pub(crate) struct ShardedMap<V> {
    /// None until something is put in.
    shards: Vec<Shard<V>>,
    most: usize,
}

impl<V> Default for ShardedMap<V> {
    fn default() -> Self {
        Self::with_room(1)
    }
}

impl<V> ShardedMap<V> {
    /// An empty map, for at most so many keys.
    pub(crate) const fn with_room(most: usize) -> Self {
        Self { shards: Vec::new(), most }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    fn shard(&self, key: u64) -> usize {
        // Keys may be small numbers: the upper bits of the product depend on all of theirs.
        let spread = key.wrapping_mul(SCRAMBLE) >> 44;
        // The first shards get twice as much as the last ones, and all others something between.
        // Equal ones would all grow at the same moment.
        let uneven = spread * ((1 << 21) + spread) / 3;
        let count = u64::try_from(self.shards.len()).unwrap_or(u64::MAX);
        usize::try_from((uneven * count) >> 40).unwrap_or(0)
    }

    pub(crate) fn get(&self, key: u64) -> Option<&V> {
        self.shards.get(self.shard(key))?.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let shard = self.shard(key);
        self.shards.get_mut(shard)?.get_mut(&key)
    }

    /// Puts a value in and gives the former one.
    pub(crate) fn insert(&mut self, key: u64, value: V) -> Option<V> {
        if self.shards.is_empty() {
            let count = self.most.div_ceil(KEYS_PER_SHARD).max(1);
            self.shards.resize_with(count, Shard::default);
        }
        let shard = self.shard(key);
        self.shards.get_mut(shard)?.insert(key, value)
    }

    /// Drops the map in steps.
    pub(crate) async fn free(self) {
        for (place, shard) in self.shards.into_iter().enumerate() {
            drop(shard);
            if place % DROPPED_AT_ONCE == DROPPED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_the_value_that_was_put_in_last() {
        for most in [0, 1, KEYS_PER_SHARD, 40 * KEYS_PER_SHARD] {
            let mut map = ShardedMap::with_room(most);
            assert!(map.is_empty() && map.get(0).is_none());
            for number in 0..1000_u64 {
                // Some differ in their lowest bits, some in their highest.
                for key in [number, number << 48 | 1 << 40] {
                    assert_eq!(map.insert(key, number), None);
                    assert_eq!(map.insert(key, number + 1), Some(number));
                }
            }
            *map.get_mut(7).unwrap() = 0;
            assert_eq!((map.get(7), map.get(999), map.get(1000)), (Some(&0), Some(&1000), None));
        }
    }

    #[test]
    fn numbers_and_hashes_are_spread_over_the_shards_and_no_two_grow_together() {
        for key in [|n: u64| n, |n: u64| n << 40, |n: u64| crate::seam::KeyId::of(n).get()] {
            let mut map = ShardedMap::with_room(10 * KEYS_PER_SHARD);
            for number in 0..10_000 {
                map.insert(key(number), ());
            }
            let sizes: Vec<usize> = map.shards.iter().map(HashMap::len).collect();
            assert_eq!((sizes.len(), sizes.iter().sum()), (10, 10_000));
            assert!(sizes.iter().all(|size| (600..1_700).contains(size)), "{sizes:?}");
            assert!(sizes.first() > sizes.get(5) && sizes.get(5) > sizes.last(), "{sizes:?}");
        }
    }
}
