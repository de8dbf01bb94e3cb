//! Chunks of operations that need no order: each operation joins the open chunk of its mechanism
//! and group, and each chunk is a lane of its own.

use super::{
    cut::{ChunkSpec, Cut, Limits},
    give_way,
    lanes::Repeated,
    pile::Pile,
    sharded::ShardedMap,
};
use crate::backend::{Route, Routes};

/// Collects free operations.
pub(super) struct FreeChunks<'a> {
    routes: &'a Routes,
    limits: Vec<(u64, u64)>,
    /// For each mechanism, the chunk of a group that may still take operations.
    open: Vec<ShardedMap<u32>>,
    /// The last one that took one: operations come in runs of one group.
    recent: Option<(u8, u64, u32)>,
    /// For each place its chunk plus one; zero, which costs no page until it is written, for what
    /// is refused or bound to a lane.
    chunk_of: Vec<u32>,
    /// `end` counts the operations until `finish` turns counts into ranges.
    specs: Pile<ChunkSpec>,
    bytes: u64,
}

impl<'a> FreeChunks<'a> {
    pub(super) fn new(routes: &'a Routes, limits: &Limits<'_>) -> Self {
        let all = routes.routes.len();
        let open = routes.mechanisms.iter().map(|_| ShardedMap::with_room(all)).collect();
        Self {
            routes,
            limits: limits.of_each(routes),
            open,
            recent: None,
            chunk_of: vec![0; all],
            specs: Pile::default(),
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, place: u32, route: &Route) {
        let Route { mechanism, group, bytes, .. } = *route;
        let (Some((most, most_bytes)), Some(open)) = (
            self.limits.get(usize::from(mechanism.0)).copied(),
            self.open.get_mut(usize::from(mechanism.0)),
        ) else {
            return;
        };
        let size = u64::from(bytes);
        let takes = |chunk: &u32| {
            let spec = self.specs.get_mut(*chunk as usize);
            spec.is_some_and(|spec| u64::from(spec.end) < most && spec.bytes + size <= most_bytes)
        };
        let chunk = match self.recent {
            Some((id, recent, chunk)) if (id, recent) == (mechanism.0, group) => Some(chunk),
            _ => open.get(group).copied(),
        };
        let chunk = chunk.filter(takes).unwrap_or_else(|| {
            let chunk = u32::try_from(self.specs.len()).unwrap_or(u32::MAX);
            let overhead = self.routes.mechanisms.get(usize::from(mechanism.0));
            let bytes = overhead.map_or(0, |mechanism| mechanism.overhead.into());
            self.specs.push(ChunkSpec { start: 0, end: 0, mechanism, bytes });
            self.bytes += bytes;
            open.insert(group, chunk);
            chunk
        });
        if let Some(spec) = self.specs.get_mut(chunk as usize) {
            spec.end += 1;
            spec.bytes += size;
            self.bytes += size;
        }
        if let Some(slot) = self.chunk_of.get_mut(place as usize) {
            *slot = chunk + 1;
        }
        self.recent = Some((mechanism.0, group, chunk));
    }

    pub(super) async fn finish(self) -> Cut {
        let Self { mut specs, chunk_of, open, bytes, .. } = self;
        for open in open {
            open.free().await;
        }
        let mut start = 0;
        let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
        for (chunk, spec) in (0..count).zip(specs.iter_mut()) {
            spec.start = start;
            start += std::mem::replace(&mut spec.end, start);
            give_way(chunk, count).await;
        }
        let all = u32::try_from(chunk_of.len()).unwrap_or(u32::MAX);
        let mut order = vec![0; start as usize];
        for (place, chunk) in (0..all).zip(&chunk_of) {
            if let Some(spec) = chunk.checked_sub(1).and_then(|chunk| specs.get_mut(chunk as usize))
            {
                if let Some(slot) = order.get_mut(spec.end as usize) {
                    *slot = place;
                }
                spec.end += 1;
            }
            give_way(place, all).await;
        }
        Cut {
            order,
            free: specs.len(),
            chunks: specs,
            bytes,
            lanes: Vec::new(),
            repeated: Repeated::default(),
        }
    }
}
