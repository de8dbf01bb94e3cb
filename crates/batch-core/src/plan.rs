//! 2 PLAN: what a commit would send, before it sends anything.

/// Stands in each loop over operations: gives way once per slice. An `async fn` would make a future
/// for each operation, ready at once and as costly as what the loop does.
macro_rules! give_way {
    ($place:expr, $all:expr) => {
        if $place % $crate::plan::SLICE == $crate::plan::SLICE - 1 {
            $crate::plan::breathe($place, $all).await;
        }
    };
}

pub(crate) use give_way;

mod bonds;
mod cut;
mod free;
mod lanes;
mod marks;
mod neighbours;
mod pile;
mod seen;
mod sharded;
mod steps;

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
};

pub(crate) use cut::{
    ChunkSpec, Cut, InOrder, Limits, alone, cut_whole, oversized, refuse_oversized, refused_with,
    skipped_after, too_large_as_a_whole,
};
pub(crate) use lanes::Repeated;
pub(crate) use marks::Marks;
use neighbours::Positions;
pub(crate) use sharded::ShardedMap;
pub(crate) use steps::free as free_list;

use crate::{
    Error, ErrorKind, Guarantee, Result,
    backend::{Backend, Kept, Mechanism, MechanismId, REFUSED, Routes, Terms, View},
    error::OneLine,
    queue::Queue,
};

/// How many operations are routed, cut or settled before the executor gets its turn back.
/// 250 ns each leave a poll well under the contract's 10 ms, also in a debug build.
pub(crate) const SLICE: u32 = 4096;

/// Spreads numbers over all bits: two to the power of 64, divided by the golden ratio.
const SCRAMBLE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A chunk as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedChunk {
    /// How it would travel.
    pub mechanism: String,
    /// The [ids](crate::Job::id) of its operations, in the order of sending.
    pub operations: Vec<u32>,
    /// Its size.
    pub bytes: u64,
    /// Whether [`bytes`](Self::bytes) is exact; else it is an upper bound.
    pub exact_bytes: bool,
    /// From 1. Chunks of one lane follow one another; lanes run side by side.
    pub lane: u32,
}

/// What a commit would send if nothing changes between: chunks, sizes, mechanisms, warnings, and
/// the operations that would be refused. Equals the first attempts of the commit that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The store's name.
    pub store: String,
    /// The guarantee that would be kept.
    pub guarantee: Guarantee,
    /// The chunks, lane by lane.
    pub chunks: Vec<PlannedChunk>,
    /// The id, the kind and the reason of each operation that would not be sent.
    pub refused: Vec<(u32, ErrorKind, String)>,
    /// The mechanisms whose names alone do not say why operations would travel so, and why.
    pub reasons: Vec<(String, String)>,
    /// What is worth knowing before.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The operations that would be sent.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.operations.len()).sum()
    }

    /// The bytes that would be sent: exact if every chunk's are.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    /// The mechanisms that would be used, each once, in the order of their first use.
    #[must_use]
    pub fn mechanisms(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for chunk in &self.chunks {
            if !names.contains(&chunk.mechanism.as_str()) {
                names.push(&chunk.mechanism);
            }
        }
        names
    }
}

impl fmt::Display for Plan {
    /// A line in sum, then one for each reason, refusal and warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operations, chunks, bytes) = (self.operations(), self.chunks.len(), self.bytes());
        write!(f, "{operations} operations, {chunks} chunks, {bytes} bytes")?;
        if !self.chunks.is_empty() {
            write!(f, " by {}", self.mechanisms().join(", "))?;
        }
        write!(f, " on {} ({})", self.store, self.guarantee)?;
        for (mechanism, why) in &self.reasons {
            write!(f, "\n{mechanism}: {why}")?;
        }
        for (job, kind, reason) in &self.refused {
            write!(f, "\nnot sent: operation {job}: {kind}: ")?;
            OneLine(f).write_str(reason)?;
        }
        for warning in &self.warnings {
            f.write_str("\nwarning: ")?;
            OneLine(f).write_str(warning)?;
        }
        Ok(())
    }
}

/// Routes and chunks of a queue, as the commit uses them.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) routes: Routes,
    pub(crate) cut: Cut,
    /// Operations that are not sent, with the reason, in program order.
    pub(crate) refused: Vec<(u32, Error)>,
    /// The refused operation at which an ordered batch stops; what follows it is skipped.
    pub(crate) stopped: Option<u32>,
}

impl Planned {
    /// The bytes of all chunks.
    pub(crate) fn bytes(&self) -> u64 {
        self.cut.bytes
    }

    /// The mechanisms that are used, in the order in which they were made known.
    async fn used(&self) -> impl Iterator<Item = &Mechanism> {
        let mut used = [false; u8::MAX as usize];
        let count = u32::try_from(self.cut.chunks.len()).unwrap_or(u32::MAX);
        for place in 0..count {
            let chunk = self.cut.chunks.get(place as usize);
            if let Some(used) = chunk.and_then(|chunk| used.get_mut(usize::from(chunk.mechanism.0)))
            {
                *used = true;
            }
            give_way!(place, count);
        }
        let used = self.routes.mechanisms.iter().zip(used).filter(|(_, used)| *used);
        used.map(|(mechanism, _)| mechanism)
    }

    /// Their names.
    pub(crate) async fn mechanisms(&self) -> String {
        let names: Vec<&str> = self.used().await.map(|mechanism| &*mechanism.name).collect();
        names.join(", ")
    }

    pub(crate) async fn show(mut self, store: &str, guarantee: Guarantee) -> Plan {
        let mut chunks = Vec::with_capacity(self.cut.chunks.len());
        let lanes = (0..).map_while(|number| self.cut.lane(number));
        for (lane, range) in (1..).zip(lanes) {
            for chunk in range.filter_map(|place| self.cut.chunks.get(place)) {
                let mechanism = self.routes.mechanisms.get(usize::from(chunk.mechanism.0));
                chunks.push(PlannedChunk {
                    mechanism: mechanism.map_or_else(String::new, |m| m.name.clone().into_owned()),
                    operations: self.cut.operations(chunk).iter().map(|index| index + 1).collect(),
                    bytes: chunk.bytes,
                    exact_bytes: mechanism.is_some_and(|mechanism| mechanism.exact_bytes),
                    lane,
                });
                if chunk.start / SLICE != chunk.end / SLICE {
                    tokio::task::yield_now().await;
                }
            }
        }
        let show =
            |index: u32, error: &Error| (index + 1, error.kind(), error.message().to_owned());
        let mut refused = Vec::with_capacity(self.refused.len());
        let all = u32::try_from(self.refused.len()).unwrap_or(u32::MAX);
        for (at, (index, error)) in (0..all).zip(std::mem::take(&mut self.refused)) {
            refused.push(show(index, &error));
            give_way!(at, all);
        }
        if let Some(stopped) = self.stopped {
            let skipped = skipped_after(stopped);
            let all = u32::try_from(self.routes.routes.len()).unwrap_or(u32::MAX);
            for index in stopped + 1..all {
                refused.push(show(index, &skipped));
                give_way!(index, all);
            }
        }
        let reason =
            |used: &Mechanism| Some((used.name.to_string(), used.why.as_ref()?.to_string()));
        let mut reasons: Vec<(String, String)> = self.used().await.filter_map(reason).collect();
        // Two mechanisms may have one name, as those of a kind of batch with and without folding.
        let mut seen = HashSet::new();
        reasons.retain(|reason| seen.insert(reason.clone()));
        let warnings = std::mem::take(&mut self.routes.warnings);
        self.free().await;
        Plan { store: store.to_owned(), guarantee, chunks, refused, reasons, warnings }
    }

    /// Drops in steps what only planning, and looking whom it follows, have a use for.
    pub(crate) async fn free_shared(&mut self) {
        free_list(std::mem::take(&mut self.routes.shared)).await;
    }

    /// Drops a large plan in steps.
    pub(crate) async fn free(self) {
        free_routes(self.routes).await;
        free_list(self.cut.order).await;
        self.cut.chunks.free().await;
    }
}

/// Routes and cuts the whole queue, whose metadata is resolved, giving way between slices.
pub(crate) async fn plan(
    backend: &dyn Backend,
    queue: &Queue,
    terms: Terms,
    limits: &Limits<'_>,
) -> Result<Planned> {
    let mut routes = route_all(backend, queue, terms, Keeps::Everything).await?;
    let (mut cut, stopped) = if terms.guarantee.is_all_or_nothing() {
        (cut_whole(backend.name(), &routes, limits).await?, None)
    } else if terms.guarantee.is_ordered() {
        cut::cut_ordered(&mut routes, terms.guarantee.stops(), limits).await
    } else {
        let positions = Positions { backend, queue };
        (lanes::cut_lanes(&mut routes, limits, positions).await, None)
    };
    if !terms.guarantee.is_all_or_nothing() {
        cut.name_lone_ones(&routes, limits).await;
    }
    debug_assert!(cut.adds_up(), "the bytes of a plan are those of its chunks");
    let refused = std::mem::take(&mut routes.refused);
    Ok(Planned { routes, cut, refused, stopped })
}

/// Whether what was worked out while routing is kept for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    Everything,
    Nothing,
}

/// Routes the whole queue, whose metadata is resolved, giving way between slices.
pub(crate) async fn route_all(
    backend: &dyn Backend,
    queue: &Queue,
    terms: Terms,
    keeps: Keeps,
) -> Result<Routes> {
    let mut routes = Routes::default();
    routes.routes.reserve_exact(queue.len() as usize);
    if keeps != Keeps::Nothing {
        routes.kept = Kept::of(queue.len() as usize);
    }
    let mut start = 0;
    while start < queue.len() {
        let end = queue.slice_from(start);
        backend.route(View::range(queue, start, end), terms, &mut routes)?;
        check_routes(backend, &routes, start as usize..end as usize)?;
        start = end;
        breathe(start, queue.len()).await;
    }
    Ok(routes)
}

/// Drops the routes of a large queue in steps.
pub(crate) async fn free_routes(routes: Routes) {
    free_list(routes.routes).await;
    free_list(routes.shared).await;
    routes.kept.free().await;
}

/// Gives the executor its turn back, unless the work is done anyway.
pub(crate) async fn breathe(done: u32, all: u32) {
    if done < all {
        tokio::task::yield_now().await;
    }
}

/// A backend that breaks its contract is an error here, not a panic or a guess later. Looks at
/// what was routed last.
pub(crate) fn check_routes(
    backend: &dyn Backend,
    routes: &Routes,
    last: std::ops::Range<usize>,
) -> Result<()> {
    let known = |id: MechanismId| usize::from(id.0) < routes.mechanisms.len();
    let expected = last.end;
    if routes.routes.len() == expected
        && let Some(last) = routes.routes.get(last)
        && last.iter().all(|route| known(route.mechanism) || route.mechanism == REFUSED)
        && routes.mechanisms.iter().all(|mechanism| {
            let others = mechanism.alone.into_iter();
            others.chain(mechanism.pooled.map(|pooled| pooled.mechanism)).all(known)
        })
    {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Protocol,
        format!(
            "the backend {} routed {} of {expected} operations; this is a defect of the backend, please report it",
            backend.name(),
            routes.routes.len()
        ),
    ))
}

pub(crate) fn mechanism_of(routes: &Routes, place: usize) -> Option<&Mechanism> {
    let route = routes.routes.get(place)?;
    routes.mechanisms.get(usize::from(route.mechanism.0))
}
