//! What an attempt came to: settles its operations, or puts them back to be sent again.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Commit, MOST_FRUITLESS, MOST_REROUTES, NO_CHUNK, Rest, errors,
    judge::{Judgement, Sent, judge},
    unit::{Asleep, Attempt, Attempted, Lane, SentUnit, Unit},
    work::{Held, Settled},
};
use crate::{
    Error, ErrorKind, Fate, Result,
    backend::Answers,
    plan::{SLICE, oversized, refused_with, too_large_as_a_whole},
    table::Verdict,
};

impl Commit {
    /// Takes in what an attempt came to, and puts its lane back. What is rare is boxed, so that a commit's
    /// future stays small.
    pub(super) async fn conclude(&mut self, attempt: Attempt) -> Result<()> {
        let Attempt { lane, unit, came_to } = attempt;
        match came_to {
            Attempted::Sent(sent) => {
                self.note_sent(&unit, &sent);
                if sent.answers.all_applied && sent.answers.surplus == 0 {
                    self.take_applied(lane, &unit, &sent).await;
                    return Ok(());
                }
                Box::pin(self.take_answers(lane, unit, sent)).await
            }
            Attempted::TooLarge => {
                let limit = self.work.shared.learned.limit(&unit.mechanism.name);
                self.cut_smaller(lane, &unit, limit, None);
                Ok(())
            }
            Attempted::KnownRefused => {
                let bound = self.work.shared.limits().most_bytes(&unit.mechanism);
                let error = if self.work.terms.guarantee.is_all_or_nothing() {
                    too_large_as_a_whole("bytes", unit.bytes, &unit.mechanism, bound)
                } else {
                    oversized(&unit.mechanism, unit.bytes, bound)
                };
                let of_batch = unit.operations.len() > 1;
                Box::pin(self.refuse(lane, &unit, &error, of_batch)).await
            }
            Attempted::Rerouted(Ok(routes)) => {
                Box::pin(self.take_routes(lane, &unit, routes)).await
            }
            Attempted::Rerouted(Err(error)) if error.is_transient() && error.is_retry_safe() => {
                let all = unit.operations.iter();
                let retry: Vec<_> = all.map(|index| (*index, error.clone())).collect();
                self.work.note_retries(retry.iter().map(|(index, error)| (*index, error)));
                self.send_again(lane, &unit, retry, true);
                Ok(())
            }
            Attempted::Rerouted(Err(error)) => {
                Box::pin(self.refuse(lane, &unit, &error.certain(), true)).await
            }
        }
    }

    /// Ends all operations of a unit, which is not sent.
    async fn refuse(
        &mut self,
        lane: Lane,
        unit: &Unit,
        error: &Error,
        of_batch: bool,
    ) -> Result<()> {
        let all = unit.operations.iter();
        let settle = all.map(|index| (*index, Verdict::NotApplied(error.clone())));
        self.settle(NO_CHUNK, settle.collect(), of_batch.then_some(error)).await?;
        self.put_back(lane);
        Ok(())
    }

    /// Counts a unit that was handed to the backend.
    fn note_sent(&self, unit: &Unit, sent: &SentUnit) {
        let mut ledger = self.work.ledger();
        ledger.deviations += u64::from(!unit.planned);
        if sent.sent {
            ledger.note_use(&unit.mechanism, unit.operations.len());
        }
        for warning in &sent.answers.warnings {
            ledger.warn(warning);
        }
        drop(ledger);
        if self.work.any_sent() {
            // Their consequences were drawn when they were held back.
            self.work.release_held();
        }
    }

    /// Settles a unit that is applied as a whole.
    async fn take_applied(&mut self, lane: Lane, unit: &Unit, sent: &SentUnit) {
        if unit.doubts > 0 {
            self.fruitless = 0;
        }
        self.rest = Rest::default();
        self.work.shared.learned.taken(&unit.mechanism.name, unit.bytes);
        sent.span.record("applied", unit.operations.len());
        for slice in unit.operations.chunks(SLICE as usize) {
            if slice.first() != unit.operations.first() {
                tokio::task::yield_now().await;
            }
            self.work.settle_applied(slice);
        }
        self.put_back(lane);
    }

    /// Takes in the answers of a chunk of which not all is applied.
    async fn take_answers(&mut self, lane: Lane, mut unit: Unit, sent: SentUnit) -> Result<()> {
        let SentUnit { answers, result, sent, refused, number, span } = sent;
        let was_begun = sent || result.is_err();
        let judgement = self.judge(&unit, &refused, answers, result);
        judgement.record(&span);
        let Judgement { mut settle, mut cut, mut retry, mut stale, divisible, of_chunk } =
            judgement;
        let too_large = divisible.as_ref().is_some_and(|error| error.kind() == ErrorKind::TooLarge);
        let ends = |(index, error): (u32, Error)| (index, Verdict::NotApplied(error.certain()));
        if !too_large && self.work.keeps_whole(&unit) {
            settle.extend(cut.drain(..).map(ends));
        }
        if unit.reroutes >= MOST_REROUTES {
            settle.extend(stale.drain(..).map(ends));
        }
        let is_applied = |(_, verdict): &(u32, Verdict)| matches!(verdict, Verdict::Applied(_));
        let any_applied = settle.iter().any(is_applied);
        if unit.doubts > 0 && any_applied {
            self.fruitless = 0;
        }
        let learned = &self.work.shared.learned;
        // What the backend itself refuses, without sending it, says nothing of what the server takes.
        if too_large && sent {
            // What was refused before the rest was sent did not count to the size.
            let size = if cut.is_empty() {
                unit.bytes
            } else {
                self.size(&indices(&cut), &unit.mechanism)
            };
            learned.refused(&unit.mechanism.name, size);
        } else if sent && any_applied {
            learned.taken(&unit.mechanism.name, unit.bytes);
        }
        self.settle(number, settle, of_chunk.as_ref()).await?;
        let goes_on = !(retry.is_empty() && stale.is_empty()) && self.stopped.is_none();
        if !was_begun && !goes_on {
            // Encoding refused each of them: no request was made.
            self.work.ledger().forget_attempt(&unit);
        }
        if let (Some(error), false) = (divisible, cut.is_empty()) {
            self.work.note_retries(cut.iter().map(|(index, error)| (*index, error)));
            if self.stopped.is_some() {
                self.put_back(lane);
                return Ok(());
            }
            // What is refused for another reason than its size is halved.
            let limit = match too_large && sent {
                true => self.work.shared.learned.limit(&unit.mechanism.name),
                false => u64::MAX,
            };
            let operations = indices(&cut);
            let bytes = self.size(&operations, &unit.mechanism);
            let in_doubt = cut.iter().any(|(_, error)| error.fate() != Fate::NotApplied);
            self.fruitless += u32::from(in_doubt);
            let doubts = unit.doubts + u32::from(in_doubt);
            let unit = Unit { operations, bytes, doubts, ..unit };
            self.cut_smaller(lane, &unit, limit, Some(&error));
            return Ok(());
        }
        let is_stale = !stale.is_empty();
        if is_stale {
            unit.reroutes += 1;
            if let Some((_, error)) = stale.first() {
                self.work.ledger().note_reroute(error);
            }
            retry.extend(stale);
            // A chunk keeps program order, and so must what is left of it.
            retry.sort_unstable_by_key(|(index, _)| *index);
        }
        self.work.note_retries(retry.iter().map(|(index, error)| (*index, error)));
        let is_gone = |(_, error): &(u32, Error)| error.kind() == ErrorKind::Connection;
        if sent {
            self.rest = Rest::default();
        } else if retry.iter().any(is_gone) {
            self.rest();
        }
        if retry.is_empty() || self.stopped.is_some() {
            self.put_back(lane);
        } else {
            self.send_again(lane, &unit, retry, is_stale);
        }
        Ok(())
    }

    fn judge(
        &self,
        unit: &Unit,
        refused: &[usize],
        answers: Answers,
        result: Result<()>,
    ) -> Judgement {
        let repeated = self.work.repeated();
        let queue = self.work.queue();
        let chunk = Sent {
            guarantee: self.work.terms.guarantee,
            mechanism: &unit.mechanism,
            operations: &unit.operations,
            refused,
            idempotent: &|index| queue.get(index).is_idempotent(),
            // What was possibly applied is not stamped anew.
            divides_doubt: self.fruitless < MOST_FRUITLESS
                && !self.work.is_any_follower(&unit.operations),
            repeated_key: &|index| {
                self.key_of(index).filter(|key| repeated.is_some_and(|all| all.has_key(*key)))
            },
        };
        judge(&chunk, answers, result)
    }

    /// Settles verdicts, or holds them back while nothing was sent.
    pub(super) async fn settle(
        &mut self,
        chunk: u32,
        verdicts: Vec<(u32, Verdict)>,
        of_chunk: Option<&Error>,
    ) -> Result<()> {
        if self.work.any_sent() {
            let mut verdicts = verdicts.into_iter().peekable();
            while verdicts.peek().is_some() {
                let slice = verdicts.by_ref().take(SLICE as usize);
                let settled =
                    self.work.settle(slice.map(|(index, verdict)| (index, chunk, verdict)));
                self.note(&settled);
                if verdicts.peek().is_some() {
                    tokio::task::yield_now().await;
                }
            }
            return Ok(());
        }
        let held = verdicts.into_iter().filter_map(|(index, verdict)| {
            let error = verdict.error()?.clone();
            let of_batch = of_chunk.is_some_and(|of_chunk| of_chunk.is_same(&error));
            Some(Held { index, error: error.certain(), of_batch })
        });
        let held: Vec<Held> = held.collect();
        let Some(first) = held.first() else {
            return Ok(());
        };
        let guarantee = self.work.terms.guarantee;
        if guarantee.is_all_or_nothing() {
            // The others were undone because of the one that is at fault.
            let at_fault = held.iter().find(|held| held.error.kind() != ErrorKind::RolledBack);
            let Held { index, error, of_batch } = at_fault.unwrap_or(first);
            return Err(if *of_batch { error.clone() } else { refused_with(*index, error) });
        }
        if guarantee.stops() {
            self.stopped.get_or_insert(first.index);
        }
        self.work.hold(held);
        Ok(())
    }

    /// Draws the consequences of what was settled.
    pub(super) fn note(&mut self, settled: &Settled) {
        if self.work.terms.guarantee.stops()
            && let Some(index) = settled.failed
        {
            self.stopped.get_or_insert(index);
        }
        let Some(repeated) = self.work.repeated() else {
            return;
        };
        for index in &settled.open {
            if let Some(key) = self.key_of(*index)
                && repeated.needs_order(key)
            {
                let behind = || (*index, errors::skipped_behind(*index));
                self.uncertain.entry(key.get()).or_insert_with(behind);
            }
        }
    }

    /// Puts operations in front of their lane, to be sent again after a pause.
    fn send_again(&mut self, mut lane: Lane, unit: &Unit, retry: Vec<(u32, Error)>, stale: bool) {
        if let Some((_, error)) = retry.iter().find(|(_, error)| error.kind() != ErrorKind::Stale) {
            self.work.ledger().note_why_again(error);
        }
        // What a mechanism did not come to is no failure: no reason to pause.
        let failed = retry.iter().any(|(_, error)| error.kind() != ErrorKind::Skipped);
        // What went stale is routed anew at once; if that does not help, it waits too.
        let pause = if !failed || (stale && unit.pauses == 0) {
            Duration::ZERO
        } else {
            self.pause(unit.pauses)
        };
        let asked_for = retry.iter().filter_map(|(_, error)| error.retry_after()).max();
        let in_doubt = retry.iter().any(|(_, error)| error.fate() != Fate::NotApplied);
        let pause = pause.max(asked_for.unwrap_or_default());
        let operations: Vec<u32> = retry.into_iter().map(|(index, _)| index).collect();
        let mechanism = self.travels(&operations, Arc::clone(&unit.mechanism));
        let bytes = self.size(&operations, &mechanism);
        lane.first.push_front(Unit {
            attempt: unit.attempt + 1,
            doubts: unit.doubts + u32::from(in_doubt),
            again: true,
            stale,
            pauses: unit.pauses + 1,
            ..unit.piece(operations, mechanism, bytes)
        });
        // Somebody else's number, as a server's header is, may be more than a clock can show.
        let deadline = self.work.deadline;
        let until = Instant::now().checked_add(pause).map_or(deadline, |until| until.min(deadline));
        self.asleep.push(Reverse(Asleep { until, lane }));
    }

    /// Lets nothing of the commit leave for a while, since nothing can. Those that fail meanwhile had begun before.
    fn rest(&mut self) {
        if self.rest.lasts_until().is_none() {
            let until = Instant::now().checked_add(self.pause(self.rest.count));
            self.rest = Rest { until, count: self.rest.count + 1 };
        }
    }

    /// The pause after `before` others: twice the former one, with jitter.
    fn pause(&mut self, before: u32) -> Duration {
        self.seeds += 1;
        self.work.shared.options.pause(before, self.seeds)
    }
}

fn indices(list: &[(u32, Error)]) -> Vec<u32> {
    list.iter().map(|(index, _)| *index).collect()
}
