//! A list that grows without moving what it holds.

use super::SLICE;

const PART: usize = SLICE as usize;

/// How many parts are dropped at once.
const PARTS_AT_ONCE: usize = 16;

/// Many small things of unknown number. A vector of ten million chunks that grows moves hundreds
/// of megabytes at once, and would keep the executor as long.
#[derive(Debug)]
pub(crate) struct Pile<T> {
    /// Each full but the last.
    parts: Vec<Vec<T>>,
}

impl<T> Default for Pile<T> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<T> Pile<T> {
    pub(super) fn len(&self) -> usize {
        self.parts.last().map_or(0, |last| (self.parts.len() - 1) * PART + last.len())
    }

    pub(super) fn push(&mut self, value: T) {
        match self.parts.last_mut() {
            Some(part) if part.len() < PART => part.push(value),
            full => {
                // A first part may stay small.
                let room = if full.is_some() { PART } else { 1 };
                let mut part = Vec::with_capacity(room);
                part.push(value);
                self.parts.push(part);
            }
        }
    }

    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.parts.get(place / PART)?.get(place % PART)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.parts.get_mut(place / PART)?.get_mut(place % PART)
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.parts.last_mut()?.last_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.parts.iter_mut().flatten()
    }

    /// Slices of the list, in its order; each is freed when it was taken.
    pub(super) fn into_parts(self) -> impl DoubleEndedIterator<Item = Vec<T>> {
        self.parts.into_iter()
    }

    /// Drops the list in steps, the last parts first: so an allocator can give them back one by one.
    pub(super) async fn free(mut self) {
        self.truncate(0).await;
    }

    /// Drops all but the first things, in the same steps.
    pub(super) async fn truncate(&mut self, count: usize) {
        while self.parts.len() > count.div_ceil(PART) {
            self.parts.pop();
            if self.parts.len() % PARTS_AT_ONCE == PARTS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        let full = self.parts.len().saturating_sub(1);
        if let Some(last) = self.parts.last_mut() {
            last.truncate(count - full * PART);
        }
    }

    /// The list in one piece, giving way between slices.
    pub(crate) async fn into_vec(mut self) -> Vec<T> {
        if self.parts.len() <= 1 {
            return self.parts.pop().unwrap_or_default();
        }
        let mut all = Vec::with_capacity(self.len());
        for part in self.into_parts() {
            all.extend(part);
            tokio::task::yield_now().await;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pile_keeps_what_was_put_on_it_in_order() {
        for count in [0, 1, PART - 1, PART, PART + 1, 3 * PART] {
            let mut pile = Pile::default();
            (0..count).for_each(|number| pile.push(number));
            assert_eq!(pile.len(), count);
            assert_eq!(pile.last_mut().copied(), count.checked_sub(1));
            assert_eq!(pile.get_mut(count), None);
            for place in (0..count).step_by(1000) {
                assert_eq!(pile.get(place).copied(), Some(place));
                assert_eq!(pile.get_mut(place).copied(), Some(place));
            }
            pile.truncate(count + 1).await;
            assert_eq!(pile.len(), count);
            pile.truncate(count * 2 / 3).await;
            let left = (0..count * 2 / 3).collect::<Vec<_>>();
            assert_eq!((pile.len(), pile.last_mut().copied()), (left.len(), left.last().copied()));
            assert_eq!(pile.into_vec().await, left);
        }
    }
}
