//! One attempt: waits for a turn, hands a unit to the backend, once.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::AtomicI64},
};

use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::{
    Work, errors,
    unit::{Attempt, Attempted, Lane, SentUnit, Unit},
};
use crate::{
    Error, ErrorKind, Result,
    backend::{Answers, Chunk, Kept, Routes, View},
    plan::check_routes,
};

/// Waits for a turn, then hands a unit to the backend, once.
pub(super) async fn attempt(
    work: Arc<Work>,
    kept: Arc<Kept>,
    lane: Lane,
    mut unit: Unit,
) -> Attempt {
    if unit.stale {
        let routes = AssertUnwindSafe(reroute(&work, &unit.operations)).catch_unwind().await;
        let routes = routes.unwrap_or_else(|panic| Err(errors::panicked("routing anew", panic)));
        return Attempt { lane, unit, came_to: Attempted::Rerouted(routes) };
    }
    let turns = &work.shared.turns;
    let turn = turns.take(unit.share(turns), unit.bytes).await;
    work.pace.keep().await;
    let learned = &work.shared.learned;
    let may_be_cut = unit.operations.len() > 1 && !work.terms.guarantee.is_all_or_nothing();
    // First the server itself has to refuse its size.
    let is_kept_whole = may_be_cut && work.keeps_whole(&unit);
    if may_be_cut && !is_kept_whole && unit.bytes > learned.limit(&unit.mechanism.name) {
        drop(turn);
        return Attempt { lane, unit, came_to: Attempted::TooLarge };
    }
    if !is_kept_whole && unit.bytes >= learned.refused_from(&unit.mechanism.name) {
        drop(turn);
        return Attempt { lane, unit, came_to: Attempted::KnownRefused };
    }
    let number = work.next_chunk(unit.again);
    let chunk = Chunk {
        work: &work,
        operations: &unit.operations,
        mechanism: &unit.mechanism,
        attempt: unit.attempt,
        left: unit.left,
        doubts: unit.doubts,
        number,
        bytes: unit.bytes,
        kept: &kept,
        departure: Arc::default(),
        base_timestamp: AtomicI64::new(unit.base_timestamp),
        own_ranks: std::mem::take(&mut unit.own_ranks),
    };
    let span = tracing::info_span!(
        "batch.chunk",
        store = work.shared.name,
        mechanism = &*unit.mechanism.name,
        guarantee = work.terms.guarantee.as_str(),
        operations = unit.operations.len(),
        bytes = unit.bytes,
        attempt = unit.attempt,
        applied = tracing::field::Empty,
        not_applied = tracing::field::Empty,
        accepted = tracing::field::Empty,
        unknown = tracing::field::Empty,
        again = tracing::field::Empty,
        error = tracing::field::Empty,
    );
    let mut answers = Answers::to(unit.operations.len(), Arc::clone(&chunk.departure));
    let sending = AssertUnwindSafe(work.shared.backend.send(&chunk, &mut answers));
    let result = sending.catch_unwind().instrument(span.clone()).await;
    let panicked_sending = result.is_err();
    let mut result = result.unwrap_or_else(|panic| Err(errors::panicked("sending", panic)));
    let mut sent = chunk.was_sent();
    if panicked_sending && sent {
        result = result.map_err(Error::unknown);
    }
    let in_doubt = answers.in_doubt(&result, work.terms.guarantee.is_all_or_nothing());
    if !sent && in_doubt {
        // A backend that forgot to say so may have sent all the same.
        chunk.sent_unsaid();
        sent = true;
    }
    if let Err(error) = &result {
        span.record("error", tracing::field::display(error));
    }
    drop(turn);
    let refused = chunk.departure.refused_places();
    unit.base_timestamp = chunk.base_timestamp.into_inner();
    unit.own_ranks = chunk.own_ranks;
    unit.left |= sent;
    let sent = SentUnit { answers, result, sent, refused, number, span };
    Attempt { lane, unit, came_to: Attempted::Sent(sent) }
}

async fn reroute(work: &Work, operations: &[u32]) -> Result<Routes> {
    let backend = &*work.shared.backend;
    let view = View::list(work.queue(), operations);
    backend.resolve(view, true).await?;
    let mut routes = Routes::default();
    backend.route(view, work.terms, &mut routes)?;
    check_routes(backend, &routes, 0..operations.len())?;
    let is_stale = |(_, error): &&(u32, Error)| error.kind() == ErrorKind::Stale;
    if routes.any_stale
        && let Some((_, error)) = routes.refused.iter().find(is_stale)
    {
        // Gone again already: other commits use it too.
        return Err(error.clone().transient());
    }
    Ok(routes)
}
