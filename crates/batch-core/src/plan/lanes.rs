//! Lanes: best effort side by side, and still in program order on each key.
//!
//! Keys that occur once are free: each chunk of them is a lane of its own. Keys that occur more
//! often go to lane `hash(key) % max_in_flight`; there the n-th operation on a key is in a later
//! chunk than the one before it, unless the mechanism applies a chunk whole and in order. Free are
//! also keys whose writes all carry a timestamp, and those whose operations are folded into one
//! write, if that fits a chunk. Of free ones in a large group, neighbours in the
//! store share a chunk. Operations that share something are free if one chunk takes all of
//! them; else they go to the lane of what they share.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{
    bonds::Bonds,
    cut::{ChunkSpec, Cut, InOrder, Limits, refuse_oversized},
    free::{FreeChunks, Together},
    marks::Marks,
    neighbours::{self, LargeGroups, Positions, SORTED_AT_ONCE, sort_in_steps},
    pile::Pile,
    seen::SeenBits,
    sharded::ShardedMap,
};
use crate::{
    backend::{KeyId, MechanismId, REFUSED, Repeats, Route, Routes},
    plan::{SLICE, mechanism_of},
};

/// The operations whose key occurs more than once in the commit: which keys, and how many
/// operations on its key come before each.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    counts: ShardedMap<OnKey>,
    /// For each place; none until a key repeats.
    earlier: Vec<u32>,
    operations: usize,
    most: u32,
}

/// What keeps the operations on a key in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeptBy {
    /// Nothing: they commute.
    Nothing,
    /// Each carries a timestamp that decides.
    Timestamps,
    /// They are made one write of.
    Folding,
    /// Nothing but sending one after another.
    Turns,
}

impl KeptBy {
    const fn of(repeats: Repeats) -> Self {
        match repeats {
            Repeats::Commuting => Self::Nothing,
            Repeats::Stamped => Self::Timestamps,
            Repeats::Folded => Self::Folding,
            Repeats::Together | Repeats::Apart => Self::Turns,
        }
    }

    /// Whether the store takes them in any order.
    const fn is_free(self) -> bool {
        matches!(self, Self::Nothing | Self::Timestamps)
    }

    /// For operations of which one is kept by this and one by another.
    fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Turns }
    }
}

/// What is known of a key that occurs more than once.
#[derive(Clone, Copy, Debug)]
struct OnKey {
    /// The operations after the first.
    further: u32,
    kept_by: KeptBy,
}

impl Repeated {
    /// None yet, among so many operations.
    pub(super) fn among(operations: usize) -> Self {
        Self { counts: ShardedMap::with_room(operations), operations, ..Self::default() }
    }

    /// Counts a further operation on a key that occurred before.
    pub(super) fn note(&mut self, place: u32, key: KeyId) {
        self.note_as(place, key, KeptBy::Turns);
        self.stamp(place);
    }

    /// Makes room for the timestamp of an operation that is counted from the commit's base.
    fn stamp(&mut self, place: u32) {
        self.most = self.most.max(self.earlier(place));
    }

    fn note_as(&mut self, place: u32, key: KeyId, kept_by: KeptBy) {
        let before = self.counts.get(key.get()).map_or(0, |on_key| on_key.further);
        let count = before + 1;
        self.counts.insert(key.get(), OnKey { further: count, kept_by });
        if self.earlier.is_empty() {
            // Costs no page until it is written.
            self.earlier = vec![0; self.operations];
        }
        if let Some(earlier) = self.earlier.get_mut(place as usize) {
            *earlier = count;
        }
    }

    /// Whether no key occurs twice.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether other operations of the commit have this key.
    pub(crate) fn has_key(&self, key: KeyId) -> bool {
        self.counts.get(key.get()).is_some()
    }

    /// Whether it matters which of the operations on this key, of which there are several, comes
    /// to the store first.
    pub(crate) fn needs_order(&self, key: KeyId) -> bool {
        self.counts.get(key.get()).is_some_and(|on_key| !on_key.kept_by.is_free())
    }

    /// How many operations on the same key come before this one.
    pub(crate) fn earlier(&self, place: u32) -> u32 {
        self.earlier.get(place as usize).copied().unwrap_or(0)
    }

    /// The most operations on one key that come before one whose timestamp is counted from the commit's base.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }
}

/// Splits the queue into chunks and lanes, giving way between slices.
pub(super) async fn cut_lanes(
    routes: &mut Routes,
    limits: &Limits<'_>,
    positions: Positions<'_>,
) -> Cut {
    refuse_oversized(routes, limits).await;
    if let [route] = &*routes.routes {
        return cut_one(route, routes);
    }
    // Boxed, so that the future of a commit of one operation stays small.
    Box::pin(cut_many(routes, limits, positions)).await
}

async fn cut_many(routes: &Routes, limits: &Limits<'_>, positions: Positions<'_>) -> Cut {
    let (mut repeated, folded_bytes) = find_repeated(routes).await;
    let bonds = Bonds::among(routes, &repeated).await;
    let large = LargeGroups::of(routes).await;
    let mut scattered = Pile::default();
    let mut followers = Marks::default();
    let mut free = FreeChunks::new(routes, limits).await;
    let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    let lanes = u64::try_from(limits.places).unwrap_or(u64::MAX).max(1);
    let mut bound: HashMap<u64, Pile<u32>, FixedState> = HashMap::default();
    for (place, route) in (0..all).zip(&routes.routes) {
        if let Some(shared) = bonds.of(route) {
            followers.mark(place, all);
            let together = bonds.together(shared);
            if !together.is_some_and(|together| free.add_to(place, route, shared, together)) {
                bound.entry(shared.get() % lanes).or_default().push(place);
            }
        } else if route.mechanism != REFUSED {
            let on_key = route.key.and_then(|key| Some((key, repeated.counts.get(key.get())?)));
            let on_key = on_key.map(|(key, on_key)| (key, on_key.kept_by));
            match on_key {
                Some((_, KeptBy::Timestamps)) => repeated.stamp(place),
                // However many there are, they are not stamped ahead of the clock.
                Some((_, KeptBy::Folding | KeptBy::Turns)) => followers.mark(place, all),
                Some((_, KeptBy::Nothing)) | None => {}
            }
            let in_lane = match on_key.filter(|(_, kept_by)| !kept_by.is_free()) {
                None if free.is_in_turn(route) => Some(route.group),
                None => {
                    match &large {
                        Some(large) if large.has(route) => scattered.push(place),
                        _ => free.add(place, route),
                    }
                    None
                }
                Some((key, KeptBy::Folding)) => {
                    let bytes = folded_bytes.get(key.get()).copied().unwrap_or(u64::MAX);
                    let folded = Together { counted: 1, bytes };
                    (!free.add_to(place, route, key, folded)).then_some(key.get())
                }
                Some((key, _)) => Some(key.get()),
            };
            if let Some(lane) = in_lane {
                bound.entry(lane % lanes).or_default().push(place);
            }
        }
        give_way!(place, all);
    }
    folded_bytes.free().await;
    let sorted = positions.sort(scattered, routes).await;
    for part in &sorted {
        let all = u32::try_from(part.len()).unwrap_or(u32::MAX);
        for (at, sorted) in (0..=all).zip(part) {
            let place = sorted.place();
            if let Some(route) = routes.routes.get(place as usize) {
                free.add(place, route);
            }
            give_way!(at, all);
        }
    }
    neighbours::free(sorted).await;
    let mut cut = free.finish().await;
    let mut bound: Vec<_> = bound.into_iter().collect();
    bound.sort_by_key(|(lane, _)| *lane);
    for (_, places) in bound {
        add_lane(&mut cut, routes, &bonds, places.into_vec().await, limits).await;
    }
    bonds.free().await;
    let travels = |route: &&Route| route.mechanism != REFUSED;
    debug_assert_eq!(
        cut.order.len(),
        routes.routes.iter().filter(travels).count(),
        "every operation is in a chunk"
    );
    (cut.repeated, cut.followers) = (repeated, followers);
    cut
}

/// The one chunk of one operation: what all the rest comes to, without the tables for many.
fn cut_one(route: &Route, routes: &Routes) -> Cut {
    let Some(mechanism) = mechanism_of(routes, 0) else { return Cut::default() };
    let bytes = u64::from(route.bytes) + mechanism.added(1);
    Cut::of_one(ChunkSpec { start: 0, end: 1, mechanism: route.mechanism, bytes })
}

/// Which keys occur more than once, and the bytes of all operations on those that are folded. Two
/// passes: the bits leave few candidates, the map counts them.
async fn find_repeated(routes: &Routes) -> (Repeated, ShardedMap<u64>) {
    let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    let keyed = |route: &Route| {
        if route.mechanism == REFUSED { None } else { route.key }
    };
    let mut bits = SeenBits::for_keys(routes.routes.len()).await;
    let mut candidates = ShardedMap::with_room(routes.routes.len());
    for (place, route) in (0..all).zip(&routes.routes) {
        if let Some(key) = keyed(route)
            && bits.insert(key.get())
        {
            candidates.insert(key.get(), None);
        }
        give_way!(place, all);
    }
    drop(bits);
    let mut repeated = Repeated::among(routes.routes.len());
    let mut folded_bytes = ShardedMap::with_room(routes.routes.len());
    if candidates.is_empty() {
        return (repeated, folded_bytes);
    }
    for (place, route) in (0..all).zip(&routes.routes) {
        if let Some(key) = keyed(route)
            && let Some(candidate) = candidates.get_mut(key.get())
        {
            let repeats =
                mechanism_of(routes, place as usize).map_or(Repeats::Apart, |m| m.repeats);
            let (kept_by, before) = (KeptBy::of(repeats), *candidate);
            // One operation that nothing else keeps in order is enough to bind all on its key.
            let kept_by = before.map_or(kept_by, |before: KeptBy| before.and(kept_by));
            *candidate = Some(kept_by);
            if before.is_some() {
                repeated.note_as(place, key, kept_by);
            }
            if kept_by == KeptBy::Folding {
                let bytes = u64::from(route.bytes);
                match folded_bytes.get_mut(key.get()) {
                    Some(sum) => *sum += bytes,
                    None => {
                        folded_bytes.insert(key.get(), bytes);
                    }
                }
            }
        }
        give_way!(place, all);
    }
    candidates.free().await;
    (repeated, folded_bytes)
}

/// Appends the lane of operations whose keys occur more than once, or are bound to others.
async fn add_lane(
    cut: &mut Cut,
    routes: &Routes,
    bonds: &Bonds,
    places: Vec<u32>,
    limits: &Limits<'_>,
) {
    let all = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let Generations { of_each: generations, last, mixed } =
        generations(routes, bonds, &places).await;
    // By generation, each in program order: counted first, so that no sort runs over everything.
    let mut ends = vec![0_u32; last as usize + 1];
    for (at, generation) in (0..all).zip(&generations) {
        if let Some(count) = ends.get_mut(*generation as usize) {
            *count += 1;
        }
        give_way!(at, all);
    }
    let mut start = 0;
    for (at, end) in (0..=last).zip(&mut ends) {
        // The start, until the generation's operations have moved it to the end.
        start += std::mem::replace(end, start);
        give_way!(at, last);
    }
    let mut order = vec![0; places.len()];
    for ((at, place), generation) in (0..all).zip(places).zip(generations) {
        if let Some(free) = ends.get_mut(generation as usize) {
            if let Some(slot) = order.get_mut(*free as usize) {
                *slot = place;
            }
            *free += 1;
        }
        give_way!(at, all);
    }
    let route = |place: &u32| {
        routes.routes.get(*place as usize).map(|route| (route.mechanism.0, route.group))
    };
    let mut in_order = InOrder::new(routes, false, limits);
    let mut start = 0;
    for end in ends {
        let Some(generation) = order.get_mut(start as usize..end as usize) else { continue };
        if mixed && generation.len() <= SORTED_AT_ONCE {
            generation.sort_by_key(route);
        } else if mixed {
            let mut keyed = Pile::default();
            for (at, place) in (0..all).zip(&*generation) {
                keyed.push((route(place), *place));
                give_way!(at, all);
            }
            let mut free = generation.iter_mut();
            for part in sort_in_steps(keyed).await {
                part.into_iter().zip(free.by_ref()).for_each(|((_, place), slot)| *slot = place);
                tokio::task::yield_now().await;
            }
        }
        for (at, place) in (start..).zip(&*generation) {
            in_order.add(*place);
            give_way!(at, all);
        }
        start = end;
    }
    let first = cut.chunks.len();
    let shift = u32::try_from(cut.order.len()).unwrap_or(u32::MAX);
    cut.bytes += in_order.bytes;
    for part in in_order.chunks.into_parts() {
        let is_full = part.len() >= SLICE as usize;
        for chunk in part {
            let (start, end) = (chunk.start + shift, chunk.end + shift);
            cut.chunks.push(ChunkSpec { start, end, ..chunk });
        }
        if is_full {
            tokio::task::yield_now().await;
        }
    }
    cut.order.reserve(order.len());
    for slice in order.chunks(SLICE as usize) {
        cut.order.extend_from_slice(slice);
        if slice.len() >= SLICE as usize {
            tokio::task::yield_now().await;
        }
    }
    cut.lanes.push(first..cut.chunks.len());
}

/// How many chunks on its key, or on those that it is bound to, must be settled before each operation.
struct Generations {
    of_each: Vec<u32>,
    last: u32,
    /// Whether they differ in mechanism or group, so that chunks are cut where these change.
    mixed: bool,
}

async fn generations(routes: &Routes, bonds: &Bonds, places: &[u32]) -> Generations {
    let all = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let mut latest: ShardedMap<(u32, MechanismId, u64)> = ShardedMap::with_room(places.len());
    let mut latest_shared: ShardedMap<(u32, MechanismId, u64)> =
        ShardedMap::with_room(places.len());
    let mut of_each = Vec::with_capacity(places.len());
    let (mut last, mut mixed, mut first) = (0, false, None);
    for (at, place) in (0..all).zip(places) {
        let route = routes.routes.get(*place as usize);
        let travels = route.map(|route| (route.mechanism, route.group));
        mixed |= *first.get_or_insert(travels) != travels;
        let generation =
            route.and_then(|route| Some((route, route.key?))).map_or(0, |(route, key)| {
                let together = mechanism_of(routes, *place as usize)
                    .is_some_and(|mechanism| mechanism.repeats != Repeats::Apart);
                let generation = match latest.get(key.get()) {
                    None => 0,
                    Some((generation, mechanism, group))
                        if together && *mechanism == route.mechanism && *group == route.group =>
                    {
                        *generation
                    }
                    Some((generation, _, _)) => generation + 1,
                };
                // Other keys stand in one chunk whatever the mechanism does with repeated ones.
                let shared = bonds.of(route);
                let after = shared.and_then(|shared| latest_shared.get(shared.get()));
                let generation = match after {
                    None => generation,
                    Some((after, mechanism, group))
                        if *mechanism == route.mechanism && *group == route.group =>
                    {
                        generation.max(*after)
                    }
                    Some((after, _, _)) => generation.max(after + 1),
                };
                if let Some(shared) = shared {
                    let travels = (generation, route.mechanism, route.group);
                    latest_shared.insert(shared.get(), travels);
                }
                latest.insert(key.get(), (generation, route.mechanism, route.group));
                generation
            });
        last = last.max(generation);
        of_each.push(generation);
        give_way!(at, all);
    }
    latest.free().await;
    latest_shared.free().await;
    Generations { of_each, last, mixed }
}
