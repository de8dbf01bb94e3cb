//! What the plan did not foresee: chunks that are cut smaller, operations that are routed anew.

use std::sync::Arc;

use super::{
    Commit, NO_CHUNK,
    unit::{Lane, Unit},
};
use crate::{
    Error, ErrorKind, Guarantee, Result,
    backend::{MechanismId, REFUSED, Routes},
    plan::{InOrder, oversized},
    table::Verdict,
};

impl Commit {
    /// Cuts a unit into pieces of at most `limit` bytes, in its place.
    pub(super) fn cut_smaller(
        &mut self,
        mut lane: Lane,
        unit: &Unit,
        limit: u64,
        why: Option<&Error>,
    ) {
        if let Some(error) = why {
            let (bytes, name) = (unit.bytes, unit.mechanism.name.clone());
            self.work.ledger().note_split(|| {
                format!("{name} refused {bytes} bytes as too large ({})", error.message())
            });
            for index in &unit.operations {
                self.work.note_retry(*index, error);
            }
        } else {
            let name = unit.mechanism.name.clone();
            self.work.ledger().note_split(|| {
                format!("{name} was meanwhile seen to take only about {limit} bytes")
            });
        }
        let overhead = u64::from(unit.mechanism.overhead);
        let mut pieces: Vec<(Vec<u32>, u64)> = Vec::new();
        for index in &unit.operations {
            let bytes = self.bytes_of(*index);
            match pieces.last_mut() {
                Some((piece, size)) if *size + bytes <= limit => {
                    piece.push(*index);
                    *size += bytes;
                }
                _ => pieces.push((vec![*index], overhead + bytes)),
            }
        }
        if why.is_some()
            && pieces.len() == 1
            && let Some((piece, _)) = pieces.first()
            && piece.len() > 1
        {
            // The limit lies above: the server takes less than it was seen to take. Halve.
            let (left, right) = piece.split_at(piece.len() / 2);
            pieces =
                [left, right].map(|half| (half.to_vec(), self.size(half, &unit.mechanism))).into();
        }
        for (operations, bytes) in pieces.into_iter().rev() {
            lane.first.push_front(Unit {
                operations,
                mechanism: Arc::clone(&unit.mechanism),
                bytes,
                attempt: unit.attempt + u32::from(why.is_some()),
                planned: false,
                stale: false,
                pauses: 0,
            });
        }
        self.ready.push_front(lane);
    }

    /// Cuts operations that were routed anew, in the place of the unit that went stale.
    pub(super) fn take_routes(&mut self, mut lane: Lane, unit: &Unit, new: Routes) -> Result<()> {
        let ids: Vec<MechanismId> = new
            .mechanisms
            .iter()
            .map(|mechanism| self.planned.routes.mechanism(mechanism.clone()))
            .collect();
        self.mechanisms = self.planned.routes.mechanisms.iter().cloned().map(Arc::new).collect();
        for warning in new.warnings {
            self.work.ledger().warn(warning);
        }
        for (index, mut route) in unit.operations.iter().zip(new.routes) {
            if let Some(id) = ids.get(usize::from(route.mechanism.0)) {
                route.mechanism = *id;
            }
            if let Some(slot) = self.planned.routes.routes.get_mut(*index as usize) {
                *slot = route;
            }
        }
        let refused: Vec<_> = new
            .refused
            .into_iter()
            .filter_map(|(place, error)| {
                let index = *unit.operations.get(place as usize)?;
                Some((index, Verdict::NotApplied(error)))
            })
            .collect();
        if !refused.is_empty() {
            self.settle(NO_CHUNK, refused, None)?;
        }
        let guarantee = self.work.terms.guarantee;
        let mut order: Vec<u32> = unit
            .operations
            .iter()
            .copied()
            .filter(|index| {
                let route = self.planned.routes.routes.get(*index as usize);
                route.is_some_and(|route| route.mechanism != REFUSED)
            })
            .collect();
        let has_repeats = self.work.repeated().is_some();
        if guarantee == Guarantee::BestEffort && !has_repeats {
            // No order to keep: operations of one group come together.
            order.sort_by_key(|index| {
                let route = self.planned.routes.routes.get(*index as usize);
                route.map(|route| (route.mechanism.0, route.group))
            });
        }
        let limits = self.work.shared.limits();
        let mut in_order = InOrder::new(&self.planned.routes, guarantee.stops(), &limits);
        order.iter().for_each(|index| in_order.add(*index));
        let chunks = in_order.chunks;
        let whole = !guarantee.is_all_or_nothing()
            || (chunks.len() == 1
                && order.len() == unit.operations.len()
                && chunks.iter().all(|chunk| {
                    self.mechanism(chunk.mechanism).is_some_and(|mechanism| mechanism.atomic)
                }));
        if !whole {
            let error = Error::new(
                ErrorKind::Unsupported,
                "what the batch was planned on has changed, and it can no longer be sent as a whole; commit it again",
            );
            let verdicts = order.iter().map(|index| (*index, Verdict::NotApplied(error.clone())));
            self.settle(NO_CHUNK, verdicts.collect(), Some(&error))?;
            self.ready.push_back(lane);
            return Ok(());
        }
        let mut refused = Vec::new();
        for chunk in chunks.iter().rev() {
            let operations =
                order.get(chunk.start as usize..chunk.end as usize).unwrap_or_default();
            let Some(mechanism) = self.mechanism(chunk.mechanism) else {
                continue;
            };
            let bound = limits.most_bytes(&mechanism);
            if operations.len() == 1 && chunk.bytes > bound {
                let error = oversized(&mechanism, chunk.bytes, bound);
                refused.extend(
                    operations.iter().map(|index| (*index, Verdict::NotApplied(error.clone()))),
                );
                continue;
            }
            lane.first.push_front(Unit {
                operations: operations.to_vec(),
                mechanism,
                bytes: chunk.bytes,
                attempt: unit.attempt,
                planned: false,
                stale: false,
                pauses: unit.pauses,
            });
        }
        if !refused.is_empty() {
            self.settle(NO_CHUNK, refused, None)?;
        }
        self.ready.push_front(lane);
        Ok(())
    }
}
