//! Maps by key for whole batches, which grow in small steps.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::backend::KeyId;

type Shard<V> = HashMap<u64, V, FixedState>;

/// How many keys of a batch share a map. A map that grows moves all that it holds at once, and
/// one map of ten million keys would keep the executor for a tenth of a second.
const KEYS_PER_SHARD: usize = 1 << 15;

/// What is known of some keys of a batch.
#[derive(Debug)]
pub(super) struct KeyMap<V> {
    /// None until something is put in. As many as a power of two.
    shards: Vec<Shard<V>>,
    most: usize,
}

impl<V> Default for KeyMap<V> {
    fn default() -> Self {
        Self::for_keys(1)
    }
}

impl<V> KeyMap<V> {
    /// An empty map, for at most so many keys.
    pub(super) const fn for_keys(most: usize) -> Self {
        Self { shards: Vec::new(), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// By bits of the key that the filter of seen keys leaves alone.
    fn shard(&self, key: KeyId) -> usize {
        usize::try_from(key.get() >> 40).unwrap_or(0) & self.shards.len().wrapping_sub(1)
    }

    pub(super) fn get(&self, key: KeyId) -> Option<&V> {
        self.shards.get(self.shard(key))?.get(&key.get())
    }

    pub(super) fn get_mut(&mut self, key: KeyId) -> Option<&mut V> {
        let shard = self.shard(key);
        self.shards.get_mut(shard)?.get_mut(&key.get())
    }

    /// Puts a value in and gives the former one.
    pub(super) fn insert(&mut self, key: KeyId, value: V) -> Option<V> {
        if self.shards.is_empty() {
            let count = self.most.div_ceil(KEYS_PER_SHARD).next_power_of_two();
            self.shards.resize_with(count, Shard::default);
        }
        let shard = self.shard(key);
        self.shards.get_mut(shard)?.insert(key.get(), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_the_value_that_was_put_in_last() {
        for most in [1, KEYS_PER_SHARD, 40 * KEYS_PER_SHARD] {
            let mut map = KeyMap::for_keys(most);
            assert!(map.is_empty() && map.get(KeyId::of(0)).is_none());
            for number in 0..1000_u32 {
                assert_eq!(map.insert(KeyId::of(number), number), None);
                assert_eq!(map.insert(KeyId::of(number), number + 1), Some(number));
            }
            *map.get_mut(KeyId::of(7_u32)).unwrap() = 0;
            assert_eq!(map.get(KeyId::of(7_u32)), Some(&0));
            assert_eq!(map.get(KeyId::of(999_u32)), Some(&1000));
            assert_eq!(map.get(KeyId::of(1000_u32)), None);
        }
    }
}
