//! What the plan did not foresee: chunks that are cut smaller, operations that are routed anew.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use super::{
    Commit, NO_CHUNK,
    unit::{Lane, Unit},
    work::Held,
};
use crate::{
    Error, ErrorKind, Guarantee, Result,
    backend::{Mechanism, MechanismId, OwnRanks, Pooled, REFUSED, Routes},
    plan::{ChunkSpec, InOrder, cut_whole, refuse_oversized},
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
            self.work.ledger().note_split(|| match error.kind() {
                ErrorKind::TooLarge => {
                    format!("{name} refused {bytes} bytes as too large ({})", error.message())
                }
                _ => format!("{name} was refused because of some operation ({})", error.message()),
            });
        } else {
            let name = unit.mechanism.name.clone();
            self.work.ledger().note_split(|| {
                format!("{name} was meanwhile seen to take only about {limit} bytes")
            });
        }
        let overhead = u64::from(unit.mechanism.overhead);
        let each = u64::from(unit.mechanism.per_operation);
        let mut pieces: Vec<(Vec<u32>, u64)> = Vec::new();
        for index in &unit.operations {
            let bytes = self.bytes_of(*index) + each;
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
        for (place, (operations, _)) in pieces.into_iter().enumerate().rev() {
            let mechanism = self.travels(&operations, Arc::clone(&unit.mechanism));
            let piece = self.piece(unit, place, operations, mechanism);
            let attempt = unit.attempt + u32::from(why.is_some());
            lane.first.push_front(Unit { attempt, pauses: 0, ..piece });
        }
        self.ready.push_front(lane);
    }

    /// One of the pieces that a unit is cut into. Its timestamps are counted as those of the unit, or from
    /// later than the piece before if something in it comes after that one.
    fn piece(
        &self,
        unit: &Unit,
        place: usize,
        operations: Vec<u32>,
        mechanism: Arc<Mechanism>,
    ) -> Unit {
        let bytes = self.size(&operations, &mechanism);
        let is_later = place > 0 && self.work.is_any_follower(&operations);
        let piece = unit.piece(operations, mechanism, bytes);
        if !is_later {
            return piece;
        }
        // Its own timestamps in all attempts, and in pieces of it: they never fall.
        let ranks = self.work.own_ranks(&piece.operations, piece.mechanism.repeats);
        Unit { base_timestamp: i64::MIN, own_ranks: OwnRanks::from(ranks), ..piece }
    }

    /// Cuts operations that were routed anew, in the place of the unit that went stale.
    pub(super) async fn take_routes(
        &mut self,
        mut lane: Lane,
        unit: &Unit,
        mut new: Routes,
    ) -> Result<()> {
        let guarantee = self.work.terms.guarantee;
        let limits = self.work.shared.limits();
        if guarantee.is_all_or_nothing()
            && let Err(error) = cut_whole(self.work.shared.name, &new, &limits).await
        {
            let verdicts = unit.operations.iter();
            let verdicts = verdicts.map(|index| (*index, Verdict::NotApplied(error.clone())));
            let verdicts = verdicts.collect();
            self.put_back(lane);
            return self.settle(NO_CHUNK, verdicts, Some(&error)).await;
        }
        if !guarantee.is_all_or_nothing() {
            refuse_oversized(&mut new, &limits).await;
        }
        let refused: Vec<Held> = std::mem::take(&mut new.refused)
            .into_iter()
            .filter_map(|(place, error)| {
                let index = *unit.operations.get(place as usize)?;
                Some(Held { index, error, of_batch: false })
            })
            .collect();
        let mut order = self.merge(unit, new);
        match refused.first() {
            Some(first) if guarantee.stops() => {
                // What comes before it is sent first; nothing behind it is.
                order.retain(|index| *index < first.index);
                (lane.first, lane.chunks) = (VecDeque::new(), 0..0);
                self.stops_at = Some(first.clone());
            }
            Some(_) => {
                let verdicts = refused.into_iter();
                let verdicts = verdicts.map(|held| (held.index, Verdict::NotApplied(held.error)));
                self.settle(NO_CHUNK, verdicts.collect(), None).await?;
            }
            None => {}
        }
        let chunks = if guarantee.is_all_or_nothing() {
            self.whole(&order)
        } else {
            let limits = self.work.shared.limits();
            let mut in_order = InOrder::new(&self.planned.routes, guarantee.stops(), &limits);
            order.iter().for_each(|index| in_order.add(*index));
            in_order.chunks.into_vec().await
        };
        if chunks.len() > 1 && self.work.keeps_whole(unit) {
            // They would be stamped anew, and a former attempt may have been applied.
            let error = Error::new(
                ErrorKind::Stale,
                "the schema changed after a request without an answer, and what was in it no longer travels together; read the rows to know whether it was applied, and commit it again",
            );
            let verdicts = order.iter().map(|index| (*index, Verdict::NotApplied(error.clone())));
            let verdicts = verdicts.collect();
            self.put_back(lane);
            return self.settle(NO_CHUNK, verdicts, Some(&error)).await;
        }
        for (place, chunk) in chunks.iter().enumerate().rev() {
            let operations =
                order.get(chunk.start as usize..chunk.end as usize).unwrap_or_default();
            let Some(mechanism) = self.mechanism(chunk.mechanism) else {
                continue;
            };
            let mechanism = self.travels(operations, mechanism);
            lane.first.push_front(self.piece(unit, place, operations.to_vec(), mechanism));
        }
        self.ready.push_front(lane);
        Ok(())
    }

    /// Takes the new routes in, and gives the operations that still go, in the order to cut them.
    fn merge(&mut self, unit: &Unit, new: Routes) -> Vec<u32> {
        let known = &mut self.planned.routes;
        let mut ids: Vec<MechanismId> = Vec::with_capacity(new.mechanisms.len());
        for mut mechanism in new.mechanisms {
            // Numbers hold within the routes that gave them; a mechanism names earlier ones.
            let id_here = |id: MechanismId| ids.get(usize::from(id.0)).copied();
            mechanism.alone = mechanism.alone.and_then(id_here);
            mechanism.pooled = mechanism.pooled.and_then(|pooled| {
                Some(Pooled { mechanism: id_here(pooled.mechanism)?, ..pooled })
            });
            ids.push(known.mechanism(mechanism));
        }
        self.mechanisms.resize_with(known.mechanisms.len(), OnceLock::new);
        for warning in &new.warnings {
            self.work.ledger().warn(warning);
        }
        let mut order = Vec::with_capacity(unit.operations.len());
        for (index, mut route) in unit.operations.iter().zip(new.routes) {
            if let Some(id) = ids.get(usize::from(route.mechanism.0)) {
                route.mechanism = *id;
            }
            if route.mechanism != REFUSED {
                order.push(*index);
            }
            if let Some(slot) = known.routes.get_mut(*index as usize) {
                *slot = route;
            }
        }
        let is_best_effort = self.work.terms.guarantee == Guarantee::BestEffort;
        let keeps_order = self.work.repeated().is_some() || self.work.is_any_follower(&order);
        if is_best_effort && !keeps_order {
            // No order to keep: operations of one group come together.
            order.sort_by_key(|index| {
                let route = self.planned.routes.routes.get(*index as usize);
                route.map(|route| (route.mechanism.0, route.group))
            });
        }
        order
    }

    /// The one chunk of an all-or-nothing batch.
    fn whole(&self, order: &[u32]) -> Vec<ChunkSpec> {
        let first = order.first();
        let route = first.and_then(|index| self.planned.routes.routes.get(*index as usize));
        let chunk = route.and_then(|route| {
            let mechanism = self.mechanism(route.mechanism)?;
            let end = u32::try_from(order.len()).ok()?;
            let bytes = self.size(order, &mechanism);
            Some(ChunkSpec { start: 0, end, mechanism: route.mechanism, bytes })
        });
        chunk.into_iter().collect()
    }
}
