//! A bit for each operation of a commit.

/// Some of the operations of a commit.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// A bit for each operation; none until one is marked.
    words: Vec<u64>,
}

impl Marks {
    /// Marks one of so many operations.
    pub(super) fn mark(&mut self, place: u32, all: u32) {
        if self.words.is_empty() {
            // Costs no page until it is written.
            self.words = vec![0; all.div_ceil(u64::BITS) as usize];
        }
        if let Some(word) = self.words.get_mut((place / u64::BITS) as usize) {
            *word |= 1 << (place % u64::BITS);
        }
    }

    pub(crate) fn has(&self, place: u32) -> bool {
        let word = self.words.get((place / u64::BITS) as usize);
        word.is_some_and(|word| word & 1 << (place % u64::BITS) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}
