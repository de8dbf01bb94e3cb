//! Operations of large groups: those that lie beside one another in the store travel together, which
//! spares it work on each chunk.

use super::{SLICE, breathe};
use crate::{
    backend::{Backend, Route, Routes, View},
    queue::Queue,
};

/// How many operations share a counter, on average.
const SHARED_BY: usize = 64;
/// How many operations are looked at to learn where positions lie.
const SAMPLE: usize = 1024;
/// How many bits of a scaled position tell its segment, and how many the place in that.
const SEGMENT_BITS: u32 = 7;
const BITS_IN_SEGMENT: u32 = u32::BITS - SEGMENT_BITS;
/// How many operations are sorted at once: a millisecond.
const SORTED_AT_ONCE: usize = 1 << 15;

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
        let spread = route.group.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
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
    /// Brings operations of any groups into the order of their positions; they stay as they are if
    /// these are not known.
    pub(super) async fn sort(self, mut places: Vec<u32>, routes: &Routes) -> Vec<u32> {
        let all = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let sample = sample_of(&places);
        let mut positions = Vec::with_capacity(places.len().min(SLICE as usize));
        self.backend.positions(View::list(self.queue, &sample), routes, &mut positions);
        if positions.len() != sample.len() {
            return places;
        }
        let scale = Scale::of(std::mem::take(&mut positions));
        let mut sorted: Vec<u64> = Vec::with_capacity(places.len());
        let (mut last, mut is_sorted) = (0, true);
        for slice in places.chunks(SLICE as usize) {
            positions.clear();
            self.backend.positions(View::list(self.queue, slice), routes, &mut positions);
            if positions.len() != slice.len() {
                return places;
            }
            for (position, place) in positions.iter().zip(slice) {
                let next = u64::from(scale.read(*position)) << 32 | u64::from(*place);
                is_sorted &= last <= next;
                last = next;
                sorted.push(next);
            }
            breathe(u32::try_from(sorted.len()).unwrap_or(u32::MAX), all).await;
        }
        if !is_sorted {
            sort_in_steps(&mut sorted).await;
            for (at, (place, sorted)) in (0..all).zip(places.iter_mut().zip(sorted)) {
                // The lower half.
                *place = u32::try_from(sorted & u64::from(u32::MAX)).unwrap_or(u32::MAX);
                give_way!(at, all);
            }
        }
        places
    }
}

/// Some of all, with no period: what was queued in turns would give a sample of one sort.
fn sample_of(places: &[u32]) -> Vec<u32> {
    let scrambled = |number: usize| (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let at = |number| (scrambled(number) * places.len() as u64) >> 32;
    let count = SAMPLE.min(places.len());
    (0..count).filter_map(|number| places.get(usize::try_from(at(number)).ok()?).copied()).collect()
}

/// Brings positions into 32 bits, in their order. A sample divides them into segments of as many
/// operations each: keys of several columns lie in heaps far from one another.
struct Scale {
    /// Where each begins, and by how much positions in it are shifted.
    segments: Vec<(u128, u32)>,
}

impl Scale {
    fn of(mut sample: Vec<u128>) -> Self {
        sample.sort_unstable();
        let most = (1 << SEGMENT_BITS) - 1;
        let mut starts = vec![0];
        starts.extend(sample.iter().step_by(sample.len().div_ceil(most).max(1)));
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
async fn sort_in_steps(list: &mut Vec<u64>) {
    const SAMPLED: usize = 32;
    let parts = list.len() / SORTED_AT_ONCE;
    if parts < 2 {
        list.sort_unstable();
        return;
    }
    let mut sample: Vec<u64> =
        list.iter().step_by(list.len() / (parts * SAMPLED)).copied().collect();
    sample.sort_unstable();
    let bounds: Vec<u64> = sample.into_iter().step_by(SAMPLED).skip(1).collect();
    let mut parts = vec![Vec::new(); bounds.len() + 1];
    let all = u32::try_from(list.len()).unwrap_or(u32::MAX);
    for (at, item) in (0..all).zip(list.drain(..)) {
        if let Some(part) = parts.get_mut(bounds.partition_point(|bound| *bound <= item)) {
            part.push(item);
        }
        give_way!(at, all);
    }
    for mut part in parts {
        part.sort_unstable();
        list.append(&mut part);
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_of_any_length_is_sorted() {
        for length in [0, 1, 2, SORTED_AT_ONCE, 2 * SORTED_AT_ONCE, 5 * SORTED_AT_ONCE + 3] {
            for scramble in [|n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15), |n: u64| n % 3, |_| 7]
            {
                let mut list: Vec<u64> = (0..length as u64).map(scramble).collect();
                let mut sorted = list.clone();
                sorted.sort_unstable();
                sort_in_steps(&mut list).await;
                assert!(list == sorted, "{length}");
            }
        }
    }

    #[test]
    fn a_scale_keeps_the_order_of_positions_and_tells_them_apart_wherever_they_lie() {
        // Close together, far apart, and in heaps, as the times of some days are in keys with the day.
        let heap = |n: u128| (n % 3) << 96 | (n / 3) << 20;
        let everywhere: [&dyn Fn(u128) -> u128; 5] =
            [&|n| n, &|n| (1 << 127) + n, &|n| n << 116, &heap, &|n| 1 << (n % 128)];
        for (number, of) in everywhere.into_iter().enumerate() {
            let mut positions: Vec<u128> = (0..3000).map(of).collect();
            let places: Vec<u32> = (0..3000).collect();
            let sample = sample_of(&places).into_iter().map(|place| of(place.into()));
            let scale = Scale::of(sample.collect());
            positions.sort_unstable();
            positions.dedup();
            let read: Vec<u32> = positions.iter().map(|position| scale.read(*position)).collect();
            assert!(read.is_sorted(), "{number}");
            let told = read.windows(2).filter(|pair| pair.first() != pair.last()).count();
            assert!(told * 100 > positions.len() * 95, "{number}: {told} of {}", positions.len());
            assert!(scale.read(0) <= scale.read(u128::MAX));
        }
        assert!(Scale::of(vec![7, 7]).read(6) < Scale::of(vec![7, 7]).read(8));
    }
}
