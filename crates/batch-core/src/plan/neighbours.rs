//! Operations of large groups: those that lie beside one another in the store travel together, which
//! spares it work on each chunk.

use super::{SCRAMBLE, pile::Pile};
use crate::{
    backend::{Backend, Route, Routes, View},
    queue::Queue,
};

/// How many operations share a counter, at most on average.
const SHARED_BY: usize = 64;
/// How many operations are looked at to learn where positions lie.
const SAMPLE: usize = 1024;
/// How many bits of a scaled position tell its segment, and how many the place in that.
const SEGMENT_BITS: u32 = 7;
const BITS_IN_SEGMENT: u32 = SCALED_BITS - SEGMENT_BITS;
/// What an operation is sorted by, from the highest bit on: whether nothing of it is kept, its scaled
/// position, its place.
const SCALED_BITS: u32 = u64::BITS - 1 - u32::BITS;
/// How many operations are sorted at once: a millisecond.
pub(super) const SORTED_AT_ONCE: usize = 1 << 15;

/// Tells whether an operation's group is large. Groups are counted by their hashes, so some that are
/// small are taken for large: they are sorted for nothing.
pub(super) struct LargeGroups {
    /// By mechanism, from how many operations on a group is large.
    bounds: Vec<Option<u32>>,
    counters: Vec<u32>,
}

impl LargeGroups {
    /// `None` if there is none.
    pub(super) async fn of(routes: &Routes) -> Option<Self> {
        let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
        let bounds: Vec<Option<u32>> = routes.mechanisms.iter().map(|m| m.by_position).collect();
        bounds.iter().flatten().find(|bound| **bound <= all)?;
        let count = (routes.routes.len() / SHARED_BY).next_power_of_two();
        let mut large = Self { bounds, counters: vec![0; count] };
        let mut any = false;
        for (place, route) in (0..all).zip(&routes.routes) {
            if let Some(bound) = large.bound(route) {
                let at = large.counter(route);
                if let Some(counter) = large.counters.get_mut(at) {
                    *counter += 1;
                    any |= *counter >= bound;
                }
            }
            give_way!(place, all);
        }
        any.then_some(large)
    }

    /// Whether an operation belongs to one.
    pub(super) fn has(&self, route: &Route) -> bool {
        let count = self.counters.get(self.counter(route));
        self.bound(route).zip(count).is_some_and(|(bound, count)| *count >= bound)
    }

    fn bound(&self, route: &Route) -> Option<u32> {
        *self.bounds.get(usize::from(route.mechanism.0))?
    }

    fn counter(&self, route: &Route) -> usize {
        // Groups may be small numbers.
        let spread = route.group.wrapping_mul(SCRAMBLE) >> 32;
        usize::try_from(spread).unwrap_or(0) & (self.counters.len() - 1)
    }
}

/// Says where operations lie.
#[derive(Clone, Copy)]
pub(super) struct Positions<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) queue: &'a Queue,
}

impl Positions<'_> {
    /// Brings operations of any groups into the order of their positions. Those of which something
    /// is kept come first: a chunk that has others too could not be sent as it was kept. In parts,
    /// for [`free`].
    pub(super) async fn sort(self, places: Pile<u32>, routes: &Routes) -> Vec<Vec<Sorted>> {
        if places.len() == 0 {
            return Vec::new();
        }
        let mut positions = Vec::new();
        self.read(&sample_of(&places, SAMPLE), routes, &mut positions);
        let scale = Scale::of(&mut positions);
        let mut sorted = Pile::default();
        let (mut last, mut is_sorted) = (Sorted(0), true);
        for part in places.into_parts() {
            self.read(&part, routes, &mut positions);
            for (position, place) in positions.iter().zip(&part) {
                let is_kept = routes.kept(*place).is_some();
                let next = Sorted::new(is_kept, scale.read(*position), *place);
                is_sorted &= last <= next;
                last = next;
                sorted.push(next);
            }
            tokio::task::yield_now().await;
        }
        if is_sorted { sorted.into_parts().collect() } else { sort_in_steps(sorted).await }
    }

    /// Those that are not known count as equal.
    fn read(self, places: &[u32], routes: &Routes, positions: &mut Vec<u128>) {
        positions.clear();
        self.backend.positions(View::list(self.queue, places), routes, positions);
        if positions.len() != places.len() {
            positions.clear();
            positions.resize(places.len(), 0);
        }
    }
}

/// An operation as it is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sorted(u64);

impl Sorted {
    fn new(is_kept: bool, scaled: u32, place: u32) -> Self {
        let high = u64::from(!is_kept) << SCALED_BITS | u64::from(scaled);
        Self(high << u32::BITS | u64::from(place))
    }

    /// Its place in the queue.
    pub(super) fn place(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

/// Some of all, with no period: of what was queued in turns, a regular sample would be of one sort.
fn sample_of<T: Copy>(all: &Pile<T>, most: usize) -> Vec<T> {
    let scrambled = |number: usize| (number as u64).wrapping_mul(SCRAMBLE) >> 32;
    let at = |number| (scrambled(number) * all.len() as u64) >> 32;
    let count = most.min(all.len());
    (0..count).filter_map(|number| all.get(usize::try_from(at(number)).ok()?).copied()).collect()
}

/// Drops what was sorted in steps, the last parts first: so an allocator can give them back one by one.
pub(super) async fn free(mut sorted: Vec<Vec<Sorted>>) {
    while sorted.pop().is_some() {
        tokio::task::yield_now().await;
    }
}

/// Brings positions into 31 bits, in their order. A sample divides them into segments of as many
/// operations each: keys of several columns lie in heaps far from one another.
struct Scale {
    /// Where each begins, and by how much positions in it are shifted.
    segments: Vec<(u128, u32)>,
}

impl Scale {
    /// Sorts the sample.
    fn of(sample: &mut [u128]) -> Self {
        sample.sort_unstable();
        // Besides those below and above all of the sample.
        let most = (1 << SEGMENT_BITS) - 2;
        let mut starts = vec![0];
        starts.extend(sample.iter().step_by(sample.len().div_ceil(most).max(1)));
        starts.extend(sample.last());
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([u128::MAX]);
        let shift =
            |range: u128| (u128::BITS - range.leading_zeros()).saturating_sub(BITS_IN_SEGMENT);
        let segments = starts.iter().zip(ends).map(|(start, end)| (*start, shift(end - start)));
        Self { segments: segments.collect() }
    }

    fn read(&self, position: u128) -> u32 {
        let segment = self.segments.partition_point(|(start, _)| *start <= position).max(1) - 1;
        let Some((start, shift)) = self.segments.get(segment) else { return 0 };
        let place = u32::try_from((position - start) >> shift).unwrap_or(u32::MAX);
        u32::try_from(segment).unwrap_or(u32::MAX) << BITS_IN_SEGMENT | place
    }
}

/// Sorts, giving way: parts of some thousands, between which a sample tells the bounds.
pub(super) async fn sort_in_steps<T: Copy + Ord>(list: Pile<T>) -> Vec<Vec<T>> {
    const SAMPLED: usize = 32;
    let mut sample = sample_of(&list, list.len() / SORTED_AT_ONCE * SAMPLED);
    sample.sort_unstable();
    let bounds: Vec<T> = sample.into_iter().step_by(SAMPLED).skip(1).collect();
    let mut parts: Vec<Pile<T>> = Vec::new();
    parts.resize_with(bounds.len() + 1, Pile::default);
    // From the end, so that an allocator can give them back one by one.
    for slice in list.into_parts().rev() {
        for item in slice {
            if let Some(part) = parts.get_mut(bounds.partition_point(|bound| *bound <= item)) {
                part.push(item);
            }
        }
        tokio::task::yield_now().await;
    }
    let mut sorted = Vec::with_capacity(parts.len());
    for part in parts {
        let mut part = part.into_vec().await;
        part.sort_unstable();
        sorted.push(part);
        tokio::task::yield_now().await;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_of_any_length_is_sorted() {
        for length in [0, 1, 2, SORTED_AT_ONCE, 2 * SORTED_AT_ONCE, 5 * SORTED_AT_ONCE + 3] {
            for scramble in [|n: u64| n.wrapping_mul(SCRAMBLE), |n: u64| n % 3, |_| 7] {
                let list: Vec<u64> = (0..length as u64).map(scramble).collect();
                let mut pile = Pile::default();
                list.iter().for_each(|item| pile.push(*item));
                let sorted = sort_in_steps(pile).await.concat();
                let mut expected = list;
                expected.sort_unstable();
                assert!(sorted == expected, "{length}");
            }
        }
    }

    #[tokio::test]
    async fn no_part_is_much_larger_than_others_whatever_is_queued_in_turns() {
        for period in [2, 4, 64] {
            let mut pile = Pile::default();
            let scrambled = |n: u64| n.wrapping_mul(SCRAMBLE) >> 32;
            (0..1 << 21).for_each(|n: u64| pile.push((n % period) << 40 | scrambled(n)));
            let longest = sort_in_steps(pile).await.iter().map(Vec::len).max();
            assert!(longest < Some(3 * SORTED_AT_ONCE), "{period}: {longest:?}");
        }
    }

    #[test]
    fn what_is_kept_comes_first_then_position_and_place_tell() {
        let most = (1 << SCALED_BITS) - 1;
        let all = [(true, 0, 9), (true, most, 0), (true, most, u32::MAX), (false, 0, 3)];
        let sorted = all.map(|(kept, scaled, place)| Sorted::new(kept, scaled, place));
        assert!(sorted.is_sorted_by(|one, next| one < next), "{sorted:?}");
        assert_eq!(sorted.map(Sorted::place), [9, 0, u32::MAX, 3]);
        assert!(Scale::of(&mut [1, 2]).read(u128::MAX) <= most);
    }

    #[test]
    fn a_scale_keeps_the_order_of_positions_and_tells_them_apart_wherever_they_lie() {
        // Close together, far apart, and in heaps, as the times of some days are in keys with the day.
        let heap = |n: u128| (n % 3) << 96 | (n / 3) << 20;
        let everywhere: [&dyn Fn(u128) -> u128; 5] =
            [&|n| n, &|n| (1 << 127) + n, &|n| n << 116, &heap, &|n| 1 << (n % 128)];
        for (number, of) in everywhere.into_iter().enumerate() {
            let mut positions: Vec<u128> = (0..3000).map(of).collect();
            let mut places = Pile::default();
            (0..3000_u32).for_each(|place| places.push(place));
            let sample = sample_of(&places, SAMPLE).into_iter().map(|place| of(place.into()));
            let scale = Scale::of(&mut sample.collect::<Vec<u128>>());
            positions.sort_unstable();
            positions.dedup();
            let read: Vec<u32> = positions.iter().map(|position| scale.read(*position)).collect();
            assert!(read.is_sorted(), "{number}");
            let told = read.windows(2).filter(|pair| pair.first() != pair.last()).count();
            assert!(told * 100 > positions.len() * 95, "{number}: {told} of {}", positions.len());
            assert!(scale.read(0) <= scale.read(u128::MAX));
        }
        assert!(Scale::of(&mut [7, 7]).read(6) < Scale::of(&mut [7, 7]).read(8));
    }
}
