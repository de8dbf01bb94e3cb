//! Sets of bits in front of hash maps.

use super::steps;

/// Tells cheaply that something was certainly not seen before.
pub(super) struct SeenBits {
    words: Vec<u64>,
    mask: u64,
}

impl SeenBits {
    /// Eight bits for each leave one in nine to the map when all are distinct.
    pub(super) async fn for_keys(count: usize) -> Self {
        let bits = (count.max(8) * 8).next_power_of_two();
        Self { words: steps::zeros(bits / 64).await, mask: bits as u64 - 1 }
    }

    /// Marks a hash; whether its bit was set before.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        let Some(word) = self.words.get_mut(word) else { return true };
        let seen = *word & bit != 0;
        *word |= bit;
        seen
    }

    /// Whether the bit of a hash is set.
    pub(super) fn has(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.words.get(word).is_none_or(|word| *word & bit != 0)
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        let bit = hash & self.mask;
        (usize::try_from(bit / 64).unwrap_or(usize::MAX), 1 << (bit % 64))
    }
}
