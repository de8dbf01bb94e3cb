//! Chunks of operations that need no order: each operation joins the open chunk of its mechanism
//! and group, and each chunk is a lane of its own.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{
    SCRAMBLE,
    cut::{ChunkSpec, Cut, Limits},
    lanes::Repeated,
    marks::Marks,
    pile::Pile,
    seen::SeenBits,
    sharded::ShardedMap,
    steps,
};
use crate::backend::{KeyId, Mechanism, MechanismId, Pooled, REFUSED, Repeats, Route, Routes};

/// Collects free operations.
pub(super) struct FreeChunks<'a> {
    routes: &'a Routes,
    limits: Vec<(u64, u64)>,
    /// The most bytes that the server was seen to take, by mechanism.
    learned: Vec<u64>,
    /// For each mechanism, the chunk of a group that may still take operations.
    open: Vec<ShardedMap<u32>>,
    /// The last one that took one: operations come in runs of one group.
    recent: Option<(u8, u64, u32)>,
    /// For each place its chunk plus one; zero, which costs no page until it is written, for what
    /// is refused or bound to a lane. None until something is added.
    chunk_of: Vec<u32>,
    /// `end` counts the operations until `finish` turns counts into ranges.
    specs: Pile<ChunkSpec>,
    /// For each chunk; kept only where a mechanism folds or pools, or operations share something.
    more: Option<Pile<More>>,
    /// The chunk of each key whose operations are folded, and of those that share something; `None`
    /// if no chunk takes them.
    folded: ShardedMap<Option<u32>>,
    /// Marks groups that may have several operations; kept only where a mechanism asks for it.
    several: Option<SeenBits>,
    takers: Takers,
}

/// What else is known of a chunk.
#[derive(Clone, Copy, Debug)]
struct More {
    /// The operations that are folded into others of it, and do not count; less those that it
    /// still has to take, which do.
    folded: i32,
    pool: u16,
    /// Whether it took others in already.
    together: bool,
}

/// Operations that one chunk takes all of, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together {
    /// How many of them count.
    pub(super) counted: u32,
    pub(super) bytes: u64,
}

/// For each way to travel together and each pool, the chunk that takes others in.
type Takers = HashMap<(MechanismId, u16), Taker, FixedState>;

/// A chunk that takes others in.
struct Taker {
    chunk: u32,
    groups: u32,
    counted: u64,
}

impl<'a> FreeChunks<'a> {
    pub(super) async fn new(routes: &'a Routes, limits: &Limits<'_>) -> Self {
        let all = routes.routes.len();
        let open = routes.mechanisms.iter().map(|_| ShardedMap::with_room(all)).collect();
        let more =
            routes.mechanisms.iter().any(|m| m.repeats == Repeats::Folded || m.pooled.is_some())
                || !routes.shared.is_empty();
        Self {
            routes,
            limits: limits.of_each(routes),
            learned: limits.learned_of_each(routes),
            open,
            recent: None,
            chunk_of: Vec::new(),
            specs: Pile::default(),
            more: more.then(Pile::default),
            folded: ShardedMap::with_room(all),
            several: find_several(routes).await,
            takers: Takers::default(),
        }
    }

    pub(super) fn add(&mut self, place: u32, route: &Route) {
        if let Some(several) = &self.several
            && self.pooled(route.mechanism).is_some()
            && !several.has(spread(route))
        {
            self.add_lone(place, route);
        } else {
            self.join(place, route, Together { counted: 1, bytes: route.bytes.into() });
        }
    }

    /// Whether the operation's group may have several chunks of which one waits for another.
    pub(super) fn is_in_turn(&self, route: &Route) -> bool {
        let mechanism = self.routes.mechanisms.get(usize::from(route.mechanism.0));
        mechanism.is_some_and(|mechanism| mechanism.in_turn)
            && self.several.as_ref().is_some_and(|several| several.has(spread(route)))
    }

    fn pooled(&self, id: MechanismId) -> Option<Pooled> {
        self.routes.mechanisms.get(usize::from(id.0))?.pooled
    }

    /// Adds an operation that is alone in its group, which needs no chunk first to be found by.
    fn add_lone(&mut self, place: u32, route: &Route) {
        let Route { mechanism, pool, .. } = *route;
        let own = self.routes.mechanisms.get(usize::from(mechanism.0));
        let bytes = own.map_or(0, |own| own.added(1)) + u64::from(route.bytes);
        let spec = ChunkSpec { start: 0, end: 1, mechanism, bytes };
        let more = More { folded: 0, pool, together: false };
        let next = u32::try_from(self.specs.len()).unwrap_or(u32::MAX);
        let chunk = self.take_in(spec, more, next).unwrap_or_else(|| {
            self.specs.push(spec);
            if let Some(all) = &mut self.more {
                all.push(more);
            }
            next
        });
        self.put(place, chunk);
    }

    /// Adds one of the operations that have this id, to the chunk that takes all of them. Says
    /// whether there can be one.
    pub(super) fn add_to(&mut self, place: u32, route: &Route, id: KeyId, all: Together) -> bool {
        match self.folded.get(id.get()) {
            None => {
                let chunk = self.join(place, route, all);
                self.folded.insert(id.get(), chunk);
                chunk.is_some()
            }
            Some(None) => false,
            Some(Some(chunk)) => {
                let chunk = *chunk;
                if let Some(more) = self.more.as_mut().and_then(|m| m.get_mut(chunk as usize)) {
                    more.folded += 1;
                }
                if let Some(spec) = self.specs.get_mut(chunk as usize) {
                    spec.end += 1;
                }
                self.put(place, chunk);
                true
            }
        }
    }

    fn put(&mut self, place: u32, chunk: u32) {
        if self.chunk_of.is_empty() {
            self.chunk_of = vec![0; self.routes.routes.len()];
        }
        if let Some(slot) = self.chunk_of.get_mut(place as usize) {
            *slot = chunk + 1;
        }
    }

    /// Puts an operation into the open chunk of its group, with room for all that it brings; `None`
    /// if no chunk may be as large.
    fn join(&mut self, place: u32, route: &Route, all: Together) -> Option<u32> {
        let Route { mechanism, group, .. } = *route;
        let id = usize::from(mechanism.0);
        let (most, most_bytes) = self.limits.get(id).copied()?;
        let own = self.routes.mechanisms.get(id);
        let brings_more = all.bytes > u64::from(route.bytes) || all.counted > 1;
        let count = u64::from(all.counted);
        let size = all.bytes + own.map_or(0, |own| u64::from(own.per_operation) * count);
        let open = self.open.get_mut(id)?;
        let counted = |chunk: u32, spec: &ChunkSpec| {
            let more = self.more.as_ref().and_then(|more| more.get(chunk as usize));
            u64::from(spec.end.saturating_add_signed(-more.map_or(0, |more| more.folded)))
        };
        let takes = |chunk: &u32| {
            let spec = self.specs.get(*chunk as usize);
            spec.is_some_and(|spec| {
                counted(*chunk, spec) + count <= most && spec.bytes + size <= most_bytes
            })
        };
        let chunk = match self.recent {
            Some((id, recent, chunk)) if (id, recent) == (mechanism.0, group) => Some(chunk),
            _ => open.get(group).copied(),
        };
        let chunk = match chunk.filter(takes) {
            Some(chunk) => chunk,
            None => {
                let overhead = own.map_or(0, |own| u64::from(own.overhead));
                if brings_more && (overhead + size > most_bytes || count > most) {
                    return None;
                }
                let chunk = u32::try_from(self.specs.len()).unwrap_or(u32::MAX);
                self.specs.push(ChunkSpec { start: 0, end: 0, mechanism, bytes: overhead });
                if let Some(more) = &mut self.more {
                    more.push(More { folded: 0, pool: route.pool, together: false });
                }
                open.insert(group, chunk);
                chunk
            }
        };
        if all.counted > 1
            && let Some(more) = self.more.as_mut().and_then(|more| more.get_mut(chunk as usize))
        {
            more.folded -= i32::try_from(all.counted - 1).unwrap_or(i32::MAX);
        }
        let spec = self.specs.get_mut(chunk as usize)?;
        spec.bytes += size;
        spec.end += 1;
        self.put(place, chunk);
        self.recent = Some((mechanism.0, group, chunk));
        Some(chunk)
    }

    /// Puts small chunks together, as their mechanisms want it. Gives for each chunk the one that
    /// its operations are in now.
    async fn pool(&mut self) -> Option<Vec<u32>> {
        self.several.take()?;
        self.routes.mechanisms.iter().find(|mechanism| mechanism.pooled.is_some())?;
        let count = u32::try_from(self.specs.len()).unwrap_or(u32::MAX);
        let mut moved = Vec::with_capacity(self.specs.len());
        // Those that were taken in by a chunk that is still to move up.
        let mut ahead = Vec::new();
        // Chunks move up, into the places of those that were taken in.
        let mut left = 0;
        for chunk in 0..count {
            give_way!(chunk, count);
            let more = self.more.as_ref().and_then(|more| more.get(chunk as usize)).copied();
            let (Some(spec), Some(more)) = (self.specs.get(chunk as usize).copied(), more) else {
                continue;
            };
            let taken_by = match self.moved_up(chunk, spec, more, left) {
                true => None,
                false => self.take_in(spec, more, left),
            };
            moved.push(taken_by.unwrap_or(left));
            match taken_by {
                Some(taker) if taker > chunk => ahead.push((chunk, taker)),
                Some(_) => {}
                None => {
                    if let Some(place) = self.specs.get_mut(left as usize) {
                        *place = spec;
                    }
                    left += 1;
                }
            }
        }
        for (chunk, taker) in ahead {
            let to = moved.get(taker as usize).copied();
            if let (Some(place), Some(to)) = (moved.get_mut(chunk as usize), to) {
                *place = to;
            }
        }
        self.specs.truncate(left as usize).await;
        Some(moved)
    }

    /// Whether a chunk takes others in since lone operations were added. Its place is `left` now.
    fn moved_up(&mut self, chunk: u32, spec: ChunkSpec, more: More, left: u32) -> bool {
        let pooled = self.pooled(spec.mechanism).map(|pooled| pooled.mechanism);
        let pool = (pooled.unwrap_or(spec.mechanism), more.pool);
        match self.takers.get_mut(&pool) {
            // Those that have moved up already stand before it.
            Some(taker) if taker.chunk == chunk => {
                taker.chunk = left;
                true
            }
            _ => false,
        }
    }

    /// The chunk that takes another one in, which would else get the place `left`; `None` if that
    /// stays by itself.
    fn take_in(&mut self, spec: ChunkSpec, more: More, left: u32) -> Option<u32> {
        let added = |id: MechanismId, operations: u64| {
            let mechanism = self.routes.mechanisms.get(usize::from(id.0));
            mechanism.map_or(0, |mechanism| mechanism.added(operations))
        };
        let pooled = self.pooled(spec.mechanism)?;
        let counted = u64::from(spec.end.saturating_add_signed(-more.folded));
        if more.together || counted >= u64::from(pooled.below) {
            return None;
        }
        let limits = self.limits.get(usize::from(pooled.mechanism.0));
        let (most, most_bytes) = limits.copied().unwrap_or_default();
        // What was cut smaller because of its size is not put together again.
        let learned = self.learned.get(usize::from(spec.mechanism.0)).copied();
        let most_bytes = most_bytes.min(learned.unwrap_or(u64::MAX));
        let count = u64::from(spec.end);
        let bytes = spec.bytes - added(spec.mechanism, count);
        let begun = Taker { chunk: left, groups: 1, counted };
        let pool = (pooled.mechanism, more.pool);
        let Some(taker) = self.takers.get_mut(&pool) else {
            self.takers.insert(pool, begun);
            return None;
        };
        if let Some(into) = self.specs.get_mut(taker.chunk as usize)
            && taker.groups < pooled.max_groups
            && taker.counted + counted <= most
        {
            let before = into.bytes - added(into.mechanism, into.end.into());
            let together = before + bytes + added(pooled.mechanism, u64::from(into.end) + count);
            if together <= most_bytes {
                into.mechanism = pooled.mechanism;
                into.bytes = together;
                into.end += spec.end;
                if let Some(more) = self.more.as_mut().and_then(|m| m.get_mut(taker.chunk as usize))
                {
                    more.together = true;
                }
                taker.groups += 1;
                taker.counted += counted;
                return Some(taker.chunk);
            }
        }
        *taker = begun;
        None
    }

    pub(super) async fn finish(mut self) -> Cut {
        for open in std::mem::take(&mut self.open) {
            open.free().await;
        }
        let moved = self.pool().await;
        let Self { mut specs, chunk_of, folded, more, .. } = self;
        more.unwrap_or_default().free().await;
        folded.free().await;
        let (mut start, mut bytes) = (0, 0);
        let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
        for (chunk, spec) in (0..count).zip(specs.iter_mut()) {
            spec.start = start;
            bytes += spec.bytes;
            start += std::mem::replace(&mut spec.end, start);
            give_way!(chunk, count);
        }
        let all = u32::try_from(chunk_of.len()).unwrap_or(u32::MAX);
        let mut order = vec![0; start as usize];
        for (place, chunk) in (0..all).zip(&chunk_of) {
            let chunk = chunk.checked_sub(1).and_then(|chunk| match &moved {
                None => Some(chunk),
                Some(moved) => moved.get(chunk as usize).copied(),
            });
            if let Some(spec) = chunk.and_then(|chunk| specs.get_mut(chunk as usize)) {
                if let Some(slot) = order.get_mut(spec.end as usize) {
                    *slot = place;
                }
                spec.end += 1;
            }
            give_way!(place, all);
        }
        steps::free(moved.unwrap_or_default()).await;
        Cut {
            order,
            free: specs.len(),
            chunks: specs,
            bytes,
            lanes: Vec::new(),
            repeated: Repeated::default(),
            followers: Marks::default(),
        }
    }
}

/// Marks groups that may have several operations, where small ones are pooled or large ones take
/// turns. Most have one where this matters.
async fn find_several(routes: &Routes) -> Option<SeenBits> {
    let asks = |mechanism: &&Mechanism| mechanism.pooled.is_some() || mechanism.in_turn;
    routes.mechanisms.iter().find(asks)?;
    let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    let mut seen = SeenBits::for_keys(routes.routes.len()).await;
    let mut again = SeenBits::for_keys(routes.routes.len()).await;
    for (place, route) in (0..all).zip(&routes.routes) {
        if route.mechanism != REFUSED && seen.insert(spread(route)) {
            again.insert(spread(route));
        }
        give_way!(place, all);
    }
    Some(again)
}

/// Groups may be small numbers, and bits are taken from the lowest on.
const fn spread(route: &Route) -> u64 {
    let group = route.group.wrapping_add((route.mechanism.0 as u64) << 56);
    group.wrapping_mul(SCRAMBLE) >> 20
}
