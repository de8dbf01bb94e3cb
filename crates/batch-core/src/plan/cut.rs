//! Cutting: which operations share a chunk, by mechanism, group, count and bytes.

use std::{collections::HashSet, ops::Range};

use foldhash::fast::FixedState;

use crate::{
    Error, ErrorKind, Result,
    backend::{Mechanism, MechanismId, REFUSED, Repeats, Route, Routes},
    engine::learned::Learned,
    plan::{SLICE, breathe, lanes::Repeated, mechanism_of},
};

/// What bounds a chunk besides its mechanism.
pub(crate) struct Limits<'a> {
    pub(crate) max_in_flight: usize,
    pub(crate) max_operations: usize,
    pub(crate) max_bytes: usize,
    /// What the server was seen to take.
    pub(crate) learned: &'a Learned,
}

impl Limits<'_> {
    pub(super) fn operations(&self, mechanism: &Mechanism) -> u64 {
        u64::try_from(mechanism.max_operations.min(self.max_operations).max(1)).unwrap_or(u64::MAX)
    }

    /// The bytes to cut chunks by: what the server is believed to take.
    pub(crate) fn bytes(&self, mechanism: &Mechanism) -> u64 {
        self.fixed(mechanism).min(self.learned.limit(&mechanism.name))
    }

    /// The most bytes that may be tried: below what the server is known to refuse.
    pub(crate) fn most_bytes(&self, mechanism: &Mechanism) -> u64 {
        self.fixed(mechanism).min(self.learned.refused_from(&mechanism.name).saturating_sub(1))
    }

    fn fixed(&self, mechanism: &Mechanism) -> u64 {
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
    pub(crate) chunks: Vec<ChunkSpec>,
    pub(crate) lanes: Vec<Range<usize>>,
    pub(crate) repeated: Repeated,
}

impl Cut {
    pub(crate) fn operations(&self, chunk: &ChunkSpec) -> &[u32] {
        self.order.get(chunk.start as usize..chunk.end as usize).unwrap_or_default()
    }
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
pub(super) fn refuse_oversized(routes: &mut Routes, limits: &Limits<'_>) {
    let bounds: Vec<u64> = routes.mechanisms.iter().map(|m| limits.most_bytes(m)).collect();
    for (place, route) in (0..).zip(&mut routes.routes) {
        let id = usize::from(route.mechanism.0);
        let (Some(mechanism), Some(bound)) = (routes.mechanisms.get(id), bounds.get(id)) else {
            continue;
        };
        let bytes = u64::from(route.bytes) + u64::from(mechanism.overhead);
        if bytes > *bound {
            routes.refused.push((place, oversized(mechanism, bytes, *bound)));
            route.mechanism = REFUSED;
        }
    }
    routes.refused.sort_by_key(|(place, _)| *place);
}

/// The one chunk of an all-or-nothing batch, or the reason why there cannot be one.
pub(super) fn cut_whole(store: &str, routes: &Routes, limits: &Limits<'_>) -> Result<Cut> {
    let refuse = |place: u32, kind: ErrorKind, reason: String| {
        Err(Error::new(
            kind,
            format!("all-or-nothing is refused on {store}: operation {}: {reason}", place + 1),
        ))
    };
    if let Some((place, error)) = routes.refused.first() {
        let message = format!(
            "nothing is sent, because operation {} is refused: {}",
            place + 1,
            error.message()
        );
        return Err(Error::new(error.kind(), message).with_source(error.clone()));
    }
    let Some(first) = routes.routes.first() else {
        return Ok(Cut::default());
    };
    let Some(mechanism) = mechanism_of(routes, 0) else {
        return Ok(Cut::default());
    };
    if !mechanism.atomic {
        return refuse(
            0,
            ErrorKind::Unsupported,
            format!("{} is not applied as a whole", mechanism.name),
        );
    }
    let mut bytes = u64::from(mechanism.overhead);
    let mut repeated = Repeated::default();
    let mut keys = HashSet::with_hasher(FixedState::default());
    for (place, route) in (0..).zip(&routes.routes) {
        if route.mechanism != first.mechanism || route.group != first.group {
            let reason =
                "it cannot travel with the first operation; put it into a batch of its own";
            return refuse(place, ErrorKind::Unsupported, reason.into());
        }
        if let Some(key) = route.key
            && !keys.insert(key.get())
        {
            if mechanism.repeats == Repeats::Apart {
                let reason =
                    format!("{} takes one operation per key; fold them into one", mechanism.name);
                return refuse(place, ErrorKind::Unsupported, reason);
            }
            repeated.note(place, key);
        }
        bytes += u64::from(route.bytes);
    }
    let count = u64::try_from(routes.routes.len()).unwrap_or(u64::MAX);
    for (what, size, limit) in [
        ("operations", count, limits.operations(mechanism)),
        ("bytes", bytes, limits.most_bytes(mechanism)),
    ] {
        if size > limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the batch has {size} {what}, and {} takes at most {limit} as a whole; \
                     all-or-nothing is never split, so commit fewer operations or ask for best effort",
                    mechanism.name
                ),
            ));
        }
    }
    let end = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    Ok(Cut {
        order: (0..end).collect(),
        chunks: vec![ChunkSpec { start: 0, end, mechanism: first.mechanism, bytes }],
        lanes: vec![0..1; 1],
        repeated,
    })
}

/// One lane in program order. An ordered batch that stops ends before the first refusal; what
/// follows it is skipped.
pub(super) async fn cut_ordered(
    routes: &mut Routes,
    stop: bool,
    limits: &Limits<'_>,
) -> (Cut, Vec<(u32, Error)>) {
    refuse_oversized(routes, limits);
    let mut refused = std::mem::take(&mut routes.refused);
    let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
    let mut end = all;
    if stop && let Some((place, _)) = refused.first() {
        end = *place;
        refused.truncate(1);
        let skipped = skipped_after(end);
        refused.extend((end + 1..all).map(|later| (later, skipped.clone())));
    }
    let mut repeated = Repeated::default();
    let mut keys = HashSet::with_hasher(FixedState::default());
    for (place, route) in (0..end).zip(&routes.routes) {
        if let Some(key) = route.key
            && route.mechanism != REFUSED
            && !keys.insert(key.get())
        {
            repeated.note(place, key);
        }
        if place % SLICE == SLICE - 1 {
            breathe(place, end).await;
        }
    }
    drop(keys);
    let routed =
        |place: &u32| routes.routes.get(*place as usize).is_some_and(|r| r.mechanism != REFUSED);
    let order: Vec<u32> = (0..end).filter(routed).collect();
    let chunks = cut_in_order(routes, &order, stop, limits);
    let lanes = if chunks.is_empty() { Vec::new() } else { vec![0..chunks.len(); 1] };
    (Cut { order, chunks, lanes, repeated }, refused)
}

/// The error of operations that an ordered batch leaves out.
pub(crate) fn skipped_after(index: u32) -> Error {
    Error::new(
        ErrorKind::Skipped,
        format!(
            "the batch stopped at operation {}; mend that one and commit the rest again",
            index + 1
        ),
    )
}

/// Cuts operations where mechanism or group change, where a ceiling is reached, and where one key
/// would stand twice in a chunk that may not hold it twice. `order` keeps its order.
pub(crate) fn cut_in_order(
    routes: &Routes,
    order: &[u32],
    stop: bool,
    limits: &Limits<'_>,
) -> Vec<ChunkSpec> {
    let mut chunks: Vec<ChunkSpec> = Vec::new();
    let mut last: Option<&Route> = None;
    let mut keys = HashSet::with_hasher(FixedState::default());
    for (at, place) in (0..).zip(order) {
        let Some(route) = routes.routes.get(*place as usize) else {
            continue;
        };
        let Some(mechanism) = mechanism_of(routes, *place as usize) else {
            continue;
        };
        let most = if stop && !mechanism.stops { 1 } else { limits.operations(mechanism) };
        let size = u64::from(route.bytes);
        let repeats = mechanism.repeats == Repeats::Apart
            && route.key.is_some_and(|key| !keys.insert(key.get()));
        let same =
            last.is_some_and(|last| last.mechanism == route.mechanism && last.group == route.group);
        match chunks.last_mut() {
            Some(chunk)
                if same
                    && !repeats
                    && u64::from(chunk.end - chunk.start) < most
                    && chunk.bytes + size <= limits.bytes(mechanism) =>
            {
                chunk.end = at + 1;
                chunk.bytes += size;
            }
            _ => {
                keys.clear();
                if let Some(key) = route.key {
                    keys.insert(key.get());
                }
                let bytes = size + u64::from(mechanism.overhead);
                chunks.push(ChunkSpec {
                    start: at,
                    end: at + 1,
                    mechanism: route.mechanism,
                    bytes,
                });
            }
        }
        last = Some(route);
    }
    chunks
}
