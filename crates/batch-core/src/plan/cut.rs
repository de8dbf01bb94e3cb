//! Cutting: which operations share a chunk, by mechanism, group, count and bytes.

use std::{collections::HashSet, ops::Range};

use foldhash::fast::FixedState;

use crate::{
    Error, ErrorKind, Result,
    backend::{KeyId, Mechanism, MechanismId, REFUSED, Repeats, Route, Routes},
    engine::learned::Learned,
    plan::{
        bonds::Bonds, lanes::Repeated, marks::Marks, mechanism_of, pile::Pile, sharded::ShardedMap,
    },
};

/// What bounds a chunk besides its mechanism.
pub(crate) struct Limits<'a> {
    pub(crate) places: usize,
    pub(crate) max_operations: usize,
    pub(crate) max_bytes: usize,
    /// What the server was seen to take.
    pub(crate) learned: &'a Learned,
}

impl Limits<'_> {
    fn operations(&self, mechanism: &Mechanism) -> u64 {
        u64::try_from(mechanism.max_operations.min(self.max_operations).max(1)).unwrap_or(u64::MAX)
    }

    /// The bytes to cut chunks by: what the server is believed to take.
    fn bytes(&self, mechanism: &Mechanism) -> u64 {
        self.fixed(mechanism).min(self.learned.limit(&mechanism.name))
    }

    /// Operations and bytes to cut chunks by, for each mechanism.
    pub(super) fn of_each(&self, routes: &Routes) -> Vec<(u64, u64)> {
        let all = routes.mechanisms.iter();
        all.map(|mechanism| (self.operations(mechanism), self.bytes(mechanism))).collect()
    }

    /// The bytes that the server was seen to take, for each mechanism.
    pub(super) fn learned_of_each(&self, routes: &Routes) -> Vec<u64> {
        routes.mechanisms.iter().map(|mechanism| self.learned.limit(&mechanism.name)).collect()
    }

    /// The most bytes that may be tried: below what the server is known to refuse.
    pub(crate) fn most_bytes(&self, mechanism: &Mechanism) -> u64 {
        self.fixed(mechanism).min(self.learned.refused_from(&mechanism.name).saturating_sub(1))
    }

    /// The most bytes, whatever the server was seen to take.
    pub(crate) fn fixed(&self, mechanism: &Mechanism) -> u64 {
        u64::try_from(mechanism.max_bytes.min(self.max_bytes)).unwrap_or(u64::MAX)
    }
}

/// A chunk: a range of [`Cut::order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkSpec {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) mechanism: MechanismId,
    pub(crate) bytes: u64,
}

/// Operations in the order of sending, chunk by chunk and lane by lane.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    pub(crate) order: Vec<u32>,
    pub(crate) chunks: Pile<ChunkSpec>,
    /// Of all chunks.
    pub(super) bytes: u64,
    /// So many chunks at the beginning are lanes of their own.
    pub(super) free: usize,
    /// The other lanes, as ranges of the chunks.
    pub(super) lanes: Vec<Range<usize>>,
    pub(crate) repeated: Repeated,
    /// The operations that come after others on their key, or on what they share.
    pub(crate) followers: Marks,
}

impl Cut {
    /// One operation in one chunk.
    pub(super) fn of_one(chunk: ChunkSpec) -> Self {
        let mut chunks = Pile::default();
        chunks.push(chunk);
        Self { order: vec![0], chunks, bytes: chunk.bytes, free: 1, ..Self::default() }
    }

    /// The chunks of a lane, from 0; `None` if there are fewer lanes.
    pub(crate) fn lane(&self, number: usize) -> Option<Range<usize>> {
        match number.checked_sub(self.free) {
            None => Some(number..number + 1),
            Some(number) => self.lanes.get(number).cloned(),
        }
    }

    pub(crate) fn operations(&self, chunk: &ChunkSpec) -> &[u32] {
        self.order.get(chunk.start as usize..chunk.end as usize).unwrap_or_default()
    }

    /// Whether the bytes are those of the chunks.
    pub(super) fn adds_up(&self) -> bool {
        let chunks = (0..self.chunks.len()).filter_map(|place| self.chunks.get(place));
        chunks.map(|chunk| chunk.bytes).sum::<u64>() == self.bytes
    }

    /// Chunks of one write travel by the mechanism that theirs names for it.
    pub(crate) async fn name_lone_ones(&mut self, routes: &Routes, limits: &Limits<'_>) {
        if routes.mechanisms.iter().all(|mechanism| mechanism.alone.is_none()) {
            return;
        }
        let count = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        for (place, chunk) in (0..count).zip(self.chunks.iter_mut()) {
            let operations = self.order.get(chunk.start as usize..chunk.end as usize);
            if let Some(own) = routes.mechanisms.get(usize::from(chunk.mechanism.0))
                && let Some((alone, other)) = alone(routes, own, operations.unwrap_or_default())
            {
                let count = u64::from(chunk.end - chunk.start);
                let bytes = chunk.bytes - own.added(count) + other.added(count);
                // What is known to be refused by then is told when it would be sent, by its own name.
                if bytes <= limits.fixed(other) {
                    self.bytes = self.bytes - chunk.bytes + bytes;
                    *chunk = ChunkSpec { mechanism: alone, bytes, ..*chunk };
                }
            }
            give_way!(place, count);
        }
    }
}

/// How operations travel that would be all of a chunk, if that has a name of its own: one
/// operation, or several that are made one write of.
pub(crate) fn alone<'r>(
    routes: &'r Routes,
    own: &Mechanism,
    operations: &[u32],
) -> Option<(MechanismId, &'r Mechanism)> {
    let alone = own.alone?;
    let mechanism = routes.mechanisms.get(usize::from(alone.0))?;
    let key = |index: &u32| routes.routes.get(*index as usize)?.key;
    let is_one_write = match operations {
        [] => false,
        [_] => true,
        [first, rest @ ..] => {
            let first = key(first);
            own.repeats == Repeats::Folded
                && mechanism.repeats == Repeats::Folded
                && first.is_some()
                && rest.iter().all(|index| key(index) == first)
        }
    };
    is_one_write.then_some((alone, mechanism))
}

/// Why an operation that is larger than any chunk may be is not sent.
pub(crate) fn oversized(mechanism: &Mechanism, bytes: u64, limit: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "it has {bytes} bytes, and {} takes at most {limit}; make the document smaller, or raise the limit if it is yours",
            mechanism.name
        ),
    )
}

/// Refuses what no chunk could hold, before chunks are cut.
pub(crate) async fn refuse_oversized(routes: &mut Routes, limits: &Limits<'_>) {
    let bounds: Vec<u64> = routes.mechanisms.iter().map(|m| limits.most_bytes(m)).collect();
    let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    let before = routes.refused.len();
    for (place, route) in (0..all).zip(&mut routes.routes) {
        let id = usize::from(route.mechanism.0);
        if let (Some(mechanism), Some(bound)) = (routes.mechanisms.get(id), bounds.get(id)) {
            let bytes = u64::from(route.bytes) + mechanism.added(1);
            if bytes > *bound {
                routes.refused.push((place, oversized(mechanism, bytes, *bound)));
                route.mechanism = REFUSED;
            }
        }
        give_way!(place, all);
    }
    if before > 0 && routes.refused.len() > before {
        routes.refused.sort_by_key(|(place, _)| *place);
    }
}

/// The one chunk of an all-or-nothing batch, or the reason why there cannot be one.
pub(crate) async fn cut_whole(store: &str, routes: &Routes, limits: &Limits<'_>) -> Result<Cut> {
    let refuse = |place: u32, kind: ErrorKind, reason: &str| {
        let message =
            format!("all-or-nothing is refused on {store}: operation {}: {reason}", place + 1);
        Err(Error::new(kind, message))
    };
    if let Some((place, error)) = routes.refused.first() {
        return Err(refused_with(*place, error));
    }
    let (Some(first), Some(mechanism)) = (routes.routes.first(), mechanism_of(routes, 0)) else {
        return Ok(Cut::default());
    };
    if !mechanism.atomic {
        let reason = format!("{} is not applied as a whole", mechanism.name);
        return refuse(0, ErrorKind::Unsupported, &reason);
    }
    let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    let mut bytes = mechanism.added(all.into());
    let mut counted = u64::from(all);
    let mut repeated = Repeated::among(routes.routes.len());
    let mut keys = ShardedMap::with_room(routes.routes.len());
    for (place, route) in (0..all).zip(&routes.routes) {
        if route.mechanism != first.mechanism || route.group != first.group {
            let reason =
                "it cannot travel with the first operation; put it into a batch of its own";
            return refuse(place, ErrorKind::Unsupported, reason);
        }
        if let Some(key) = route.key
            && keys.insert(key.get(), ()).is_some()
        {
            if mechanism.repeats == Repeats::Apart {
                let reason =
                    format!("{} takes one operation per key; fold them into one", mechanism.name);
                return refuse(place, ErrorKind::Unsupported, &reason);
            }
            counted -= u64::from(mechanism.repeats == Repeats::Folded);
            repeated.note(place, key);
        }
        bytes += u64::from(route.bytes);
        give_way!(place, all);
    }
    for (what, size, limit) in [
        ("operations", counted, limits.operations(mechanism)),
        ("bytes", bytes, limits.most_bytes(mechanism)),
    ] {
        if size > limit {
            return Err(too_large_as_a_whole(what, size, mechanism, limit));
        }
    }
    keys.free().await;
    let mut chunks = Pile::default();
    chunks.push(ChunkSpec { start: 0, end: all, mechanism: first.mechanism, bytes });
    let order = (0..all).collect();
    // In one chunk there is none before another.
    let followers = Marks::default();
    Ok(Cut { order, chunks, bytes, free: 0, lanes: vec![0..1; 1], repeated, followers })
}

/// Why an all-or-nothing batch over a ceiling is refused.
pub(crate) fn too_large_as_a_whole(
    what: &str,
    size: u64,
    mechanism: &Mechanism,
    limit: u64,
) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "the batch has {size} {what}, and {} takes at most {limit} as a whole; \
             all-or-nothing is never split, so commit fewer operations or ask for best effort",
            mechanism.name
        ),
    )
}

/// Why an all-or-nothing batch is refused as a whole: one operation of it is.
pub(crate) fn refused_with(index: u32, error: &Error) -> Error {
    let message =
        format!("nothing is sent, because operation {} is refused: {}", index + 1, error.message());
    Error::new(error.kind(), message).with_source(error.clone())
}

/// One lane in program order. An ordered batch that stops ends before the first refusal.
pub(super) async fn cut_ordered(
    routes: &mut Routes,
    stop: bool,
    limits: &Limits<'_>,
) -> (Cut, Option<u32>) {
    refuse_oversized(routes, limits).await;
    let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    let stopped = routes.refused.first().map(|(place, _)| *place).filter(|_| stop);
    if stopped.is_some() {
        routes.refused.truncate(1);
    }
    let end = stopped.unwrap_or(all);
    let mut cut = Cut { repeated: Repeated::among(routes.routes.len()), ..Cut::default() };
    let mut keys = ShardedMap::with_room(routes.routes.len());
    let bonds = Bonds::of_keys(routes).await;
    let mut in_order = InOrder::new(routes, stop, limits);
    cut.order.reserve_exact(end as usize);
    for (place, route) in (0..end).zip(&routes.routes) {
        if route.mechanism != REFUSED {
            if let Some(key) = route.key
                && keys.insert(key.get(), ()).is_some()
            {
                cut.repeated.note(place, key);
                cut.followers.mark(place, all);
            }
            if bonds.of(route).is_some() {
                cut.followers.mark(place, all);
            }
            in_order.add(place);
            cut.order.push(place);
        }
        give_way!(place, end);
    }
    let lone = in_order.lone;
    cut.bytes = in_order.bytes;
    cut.chunks = in_order.chunks;
    keys.free().await;
    bonds.free().await;
    if cut.chunks.len() > 0 {
        cut.lanes.push(0..cut.chunks.len());
    }
    if lone > 1 {
        routes.warnings.push(one_by_one(lone));
    }
    (cut, stopped)
}

/// What stopping costs where a request cannot stop by itself.
fn one_by_one(operations: u64) -> String {
    format!(
        "{operations} operations go one by one, each in a request of its own, because a request with several would run on after a failure; ask for `ordered` if what follows a failure may run, or for `all-or-nothing` if nothing may"
    )
}

/// The error of operations that an ordered batch leaves out.
pub(crate) fn skipped_after(index: u32) -> Error {
    Error::new(
        ErrorKind::Skipped,
        format!(
            "the batch stopped at operation {}; see to that one, as its error says, and commit the rest again",
            index + 1
        ),
    )
}

const KEPT_KEYS: usize = 256;

type Keys = HashSet<u64, FixedState>;

/// Cuts operations where mechanism or group change, where a ceiling is reached, and where one key
/// would stand twice in a chunk that may not hold it twice. Keeps the order in which they are added.
pub(crate) struct InOrder<'a> {
    routes: &'a Routes,
    stop: bool,
    /// Operations and bytes, for each mechanism.
    limits: Vec<(u64, u64)>,
    last: Option<&'a Route>,
    /// Of the last chunk.
    keys: Keys,
    /// The operations of the last chunk, those that are folded into others left out.
    counted: u64,
    added: u32,
    /// The chunks of one operation that are that because a failure in a larger one would not stop it.
    lone: u64,
    /// Of all chunks.
    pub(super) bytes: u64,
    pub(crate) chunks: Pile<ChunkSpec>,
}

impl<'a> InOrder<'a> {
    pub(crate) fn new(routes: &'a Routes, stop: bool, limits: &Limits<'_>) -> Self {
        Self {
            routes,
            stop,
            limits: limits.of_each(routes),
            last: None,
            keys: Keys::default(),
            counted: 0,
            added: 0,
            lone: 0,
            bytes: 0,
            chunks: Pile::default(),
        }
    }

    pub(crate) fn add(&mut self, place: u32) {
        let at = self.added;
        self.added += 1;
        let Some(route) = self.routes.routes.get(place as usize) else { return };
        let Some(mechanism) = mechanism_of(self.routes, place as usize) else { return };
        let limits = self.limits.get(usize::from(route.mechanism.0));
        let (most, most_bytes) = limits.copied().unwrap_or((1, u64::MAX));
        let alone = self.stop && !mechanism.stops;
        let most = if alone { 1 } else { most };
        let size = u64::from(route.bytes) + u64::from(mechanism.per_operation);
        let again = matches!(mechanism.repeats, Repeats::Apart | Repeats::Folded)
            && route.key.is_some_and(|key| !self.keys.insert(key.get()));
        let repeats = again && mechanism.repeats == Repeats::Apart;
        let folds = again && mechanism.repeats == Repeats::Folded && !alone;
        let same = self
            .last
            .is_some_and(|last| last.mechanism == route.mechanism && last.group == route.group);
        match self.chunks.last_mut() {
            Some(chunk)
                if same
                    && !repeats
                    && (folds || self.counted < most)
                    && chunk.bytes + size <= most_bytes =>
            {
                self.counted += u64::from(!folds);
                chunk.end = at + 1;
                chunk.bytes += size;
                self.bytes += size;
            }
            _ => {
                if self.keys.capacity() > KEPT_KEYS {
                    // Clearing costs the capacity, which one large chunk would leave to all others.
                    self.keys = Keys::default();
                } else {
                    self.keys.clear();
                }
                self.keys.extend(route.key.map(KeyId::get));
                self.counted = 1;
                self.lone += u64::from(alone);
                let bytes = size + u64::from(mechanism.overhead);
                self.bytes += bytes;
                let mechanism = route.mechanism;
                self.chunks.push(ChunkSpec { start: at, end: at + 1, mechanism, bytes });
            }
        }
        self.last = Some(route);
    }
}
