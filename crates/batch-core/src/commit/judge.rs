//! From the answers to one chunk to what happens to each of its operations: pure.

use std::collections::HashSet;

use bytes::Bytes;

use crate::{
    Error, ErrorKind, Fate, Guarantee,
    backend::{Answer, Answers, KeyId, Mechanism, Repeats},
    table::{Status, Verdict},
};

/// What is known of the chunk that was answered.
pub(super) struct Sent<'a> {
    pub(super) guarantee: Guarantee,
    pub(super) mechanism: &'a Mechanism,
    pub(super) operations: &'a [u32],
    /// The places of what was refused before the request left, in their order: it did not run.
    pub(super) refused: &'a [usize],
    pub(super) idempotent: &'a dyn Fn(u32) -> bool,
    /// Whether it may be sent in smaller ones though it is in doubt.
    pub(super) divides_doubt: bool,
    /// The key of an operation, if other operations of the commit have it too.
    pub(super) repeated_key: &'a dyn Fn(u32) -> Option<KeyId>,
}

/// What happens next.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// Ends by these verdicts.
    pub(super) settle: Vec<(u32, Verdict)>,
    /// Is sent again.
    pub(super) retry: Vec<(u32, Error)>,
    /// Is resolved and routed again.
    pub(super) stale: Vec<(u32, Error)>,
    /// Is cut smaller and sent again.
    pub(super) cut: Vec<(u32, Error)>,
    /// Why the chunk was refused, if smaller ones may not be: its size, or some of its operations.
    pub(super) divisible: Option<Error>,
    /// The error of the chunk as a whole, which stands for every operation without an answer.
    pub(super) of_chunk: Option<Error>,
}

impl Judgement {
    /// Writes the counts of the outcomes to the chunk's span.
    pub(super) fn record(&self, span: &tracing::Span) {
        if span.is_disabled() {
            return;
        }
        let count = |status| self.settle.iter().filter(|(_, v)| v.status() == status).count();
        span.record("applied", count(Status::Applied));
        span.record("not_applied", count(Status::NotApplied));
        span.record("accepted", count(Status::Accepted));
        span.record("unknown", count(Status::Unknown));
        span.record("again", self.retry.len() + self.cut.len() + self.stale.len());
    }
}

/// How one operation fares.
enum Next {
    Settle(Verdict),
    Retry(Error),
    Stale(Error),
    Cut(Error),
}

impl Next {
    const fn runs_again(&self) -> bool {
        matches!(self, Self::Retry(_) | Self::Stale(_) | Self::Cut(_))
    }
}

fn protocol(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message).unknown()
}

/// Decides on every operation of a chunk. No answer is guessed: what is missing, doubled or
/// surplus is unknown.
pub(super) fn judge(chunk: &Sent<'_>, answers: Answers, result: Result<(), Error>) -> Judgement {
    // What smaller chunks may not be refused for.
    let may_be_divided = |error: &&Error| match error.fate() {
        Fate::NotApplied => error.kind() == ErrorKind::TooLarge || error.is_of_some(),
        Fate::Unknown => {
            let mut all = chunk.operations.iter();
            chunk.divides_doubt && error.is_of_some() && all.all(|index| (chunk.idempotent)(*index))
        }
        Fate::Accepted => false,
    };
    let divisible = result.as_ref().err().filter(|_| answers.surplus == 0);
    let divisible = divisible.filter(may_be_divided).cloned();
    let whole_error = result.as_ref().err().cloned();
    let outcomes = outcomes(chunk, answers, result);
    let is_divisible = |error: &Error| divisible.as_ref().is_some_and(|it| it.is_same(error));
    let unanswered =
        outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(is_divisible)).count();
    let cut = unanswered > 1 && !chunk.guarantee.is_all_or_nothing();
    let mut next: Vec<Next> = chunk
        .operations
        .iter()
        .zip(outcomes)
        .map(|(index, outcome)| match outcome {
            Err(error) if cut && is_divisible(&error) => Next::Cut(error),
            outcome => next(chunk, *index, outcome),
        })
        .collect();
    forbid_overtaking(chunk, &mut next);
    let mut judgement = Judgement { of_chunk: whole_error, divisible, ..Judgement::default() };
    for (index, next) in chunk.operations.iter().copied().zip(next) {
        match next {
            Next::Settle(verdict) => judgement.settle.push((index, verdict)),
            // What is sent again anyway goes with the pieces, in its place.
            Next::Cut(error) | Next::Retry(error) if cut => judgement.cut.push((index, error)),
            Next::Cut(error) | Next::Retry(error) => judgement.retry.push((index, error)),
            Next::Stale(error) => judgement.stale.push((index, error)),
        }
    }
    judgement
}

/// One outcome for each operation.
fn outcomes(
    chunk: &Sent<'_>,
    answers: Answers,
    result: Result<(), Error>,
) -> Vec<Result<Bytes, Error>> {
    let Answers { all_applied, mut list, surplus, .. } = answers;
    if surplus > 0 {
        let error = protocol(
            "the store gave more answers than operations; read the rows to know which were applied",
        );
        return chunk.operations.iter().map(|_| Err(error.clone())).collect();
    }
    if all_applied {
        return chunk.operations.iter().map(|_| Ok(Bytes::new())).collect();
    }
    list.resize_with(chunk.operations.len(), Answer::default);
    let is_certain = result.as_ref().err().is_none_or(|error| error.fate() == Fate::NotApplied);
    let missing = match result {
        Err(error) => error,
        Ok(()) => protocol(
            "the store gave no answer for the operation; read the row to know whether it was applied",
        ),
    };
    let culprit = list.iter().enumerate().find_map(|(place, answer)| match answer {
        Answer::Failed(error) if error.fate() == Fate::NotApplied => Some((place, error.clone())),
        _ => None,
    });
    let doubled = protocol(
        "the store answered the operation twice; read the row to know whether it was applied",
    );
    // Else what a backend refused before it sent the others tells nothing of these.
    if chunk.guarantee.is_all_or_nothing()
        && is_certain
        && let Some((place, culprit)) = culprit
    {
        return whole(chunk, list, place, &culprit, &doubled);
    }
    list.into_iter()
        .map(|answer| match answer {
            Answer::Applied(body) => Ok(body),
            Answer::Failed(error) => Err(error),
            Answer::Missing => Err(missing.clone()),
            Answer::Doubled => Err(doubled.clone()),
        })
        .collect()
}

/// The outcomes of a chunk that is applied as a whole, of which one operation failed.
fn whole(
    chunk: &Sent<'_>,
    list: Vec<Answer>,
    place: usize,
    culprit: &Error,
    doubled: &Error,
) -> Vec<Result<Bytes, Error>> {
    let number = chunk.operations.get(place).map_or(0, |index| index + 1);
    let mut rolled_back = Error::new(
        ErrorKind::RolledBack,
        format!("undone with its batch, because operation {number} failed: {}", culprit.message()),
    )
    .with_source(culprit.clone());
    if culprit.is_transient() {
        rolled_back = rolled_back.transient();
    }
    let contradiction = protocol(
        "the store answered that a part of an all-or-nothing chunk was applied and another was not; read the rows to know",
    );
    let contradicts = list.iter().any(|answer| matches!(answer, Answer::Applied(_)));
    list.into_iter()
        .map(|answer| match answer {
            _ if contradicts => Err(contradiction.clone()),
            Answer::Applied(body) => Ok(body),
            Answer::Failed(error) => Err(error),
            Answer::Missing => Err(rolled_back.clone()),
            Answer::Doubled => Err(doubled.clone()),
        })
        .collect()
}

fn next(chunk: &Sent<'_>, index: u32, outcome: Result<Bytes, Error>) -> Next {
    let error = match outcome {
        Ok(body) => return Next::Settle(Verdict::Applied(body)),
        Err(error) => error,
    };
    match error.fate() {
        Fate::Accepted => Next::Settle(Verdict::Accepted(error)),
        Fate::NotApplied if error.kind() == ErrorKind::Stale => Next::Stale(error),
        Fate::NotApplied if error.is_transient() => Next::Retry(error),
        // The mechanism stopped before it: it did not run.
        Fate::NotApplied if error.kind() == ErrorKind::Skipped && chunk.guarantee.is_ordered() => {
            Next::Retry(error)
        }
        Fate::NotApplied => Next::Settle(Verdict::NotApplied(error)),
        Fate::Unknown if error.is_transient() && (chunk.idempotent)(index) => Next::Retry(error),
        Fate::Unknown => Next::Settle(Verdict::Unknown(error)),
    }
}

/// An operation is sent again only if it overtakes nothing by that: every later one on its key
/// (every later one at all, if the batch is ordered; every one, if the chunk is applied as a whole)
/// is sent again too, or was not in the request.
fn forbid_overtaking(chunk: &Sent<'_>, next: &mut [Next]) {
    let settle = |place: &mut Next| {
        let (Next::Retry(error) | Next::Stale(error) | Next::Cut(error)) = place else {
            return;
        };
        let verdict = match error.fate() {
            Fate::NotApplied => Verdict::NotApplied(error.clone()),
            Fate::Accepted => Verdict::Accepted(error.clone()),
            Fate::Unknown => Verdict::Unknown(error.clone()),
        };
        *place = Next::Settle(verdict);
    };
    let has_run = |place: usize| chunk.refused.binary_search(&place).is_err();
    if !next.iter().any(Next::runs_again) || next.iter().all(Next::runs_again) {
        return;
    }
    if chunk.guarantee.is_all_or_nothing() {
        next.iter_mut().for_each(settle);
        return;
    }
    if chunk.guarantee.is_ordered() {
        // What the mechanism did not run is no failure: it runs again whatever came before it.
        let stops = chunk.guarantee.stops();
        let mut places = next.iter().enumerate();
        let ran = places.rposition(|(place, next)| !next.runs_again() && (stops || has_run(place)));
        if let Some(ran) = ran {
            next.iter_mut().take(ran).for_each(settle);
        }
        return;
    }
    if matches!(chunk.mechanism.repeats, Repeats::Stamped | Repeats::Commuting) {
        return;
    }
    let mut ran = HashSet::new();
    for (place, (index, next)) in chunk.operations.iter().zip(next.iter_mut()).enumerate().rev() {
        let Some(key) = (chunk.repeated_key)(*index) else {
            continue;
        };
        if next.runs_again() && ran.contains(&key) {
            settle(next);
        } else if !next.runs_again() && has_run(place) {
            ran.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mechanism(atomic: bool, repeats: Repeats) -> Mechanism {
        Mechanism { atomic, repeats, ..Mechanism::new("test") }
    }

    fn conflict() -> Error {
        Error::new(ErrorKind::Conflict, "busy").transient()
    }

    fn judge_three(
        guarantee: Guarantee,
        mechanism: &Mechanism,
        fill: impl FnOnce(&mut Answers),
        result: Result<(), Error>,
    ) -> Vec<&'static str> {
        judge_refused(guarantee, mechanism, &[], fill, result)
    }

    /// The same, of which some places were refused before the request.
    fn judge_refused(
        guarantee: Guarantee,
        mechanism: &Mechanism,
        refused: &[usize],
        fill: impl FnOnce(&mut Answers),
        result: Result<(), Error>,
    ) -> Vec<&'static str> {
        let mut answers = Answers::new(3);
        fill(&mut answers);
        let key = |index: u32| (index < 2).then(|| KeyId::of("same"));
        let chunk = Sent {
            guarantee,
            mechanism,
            operations: &[0, 1, 2],
            refused,
            idempotent: &|_| true,
            divides_doubt: true,
            repeated_key: &key,
        };
        let judgement = judge(&chunk, answers, result);
        let mut words = [""; 3];
        for (index, verdict) in &judgement.settle {
            words[*index as usize] = match verdict {
                Verdict::Applied(_) => "applied",
                Verdict::NotApplied(error) if error.kind() == ErrorKind::RolledBack => {
                    "rolled back"
                }
                Verdict::NotApplied(_) => "not applied",
                Verdict::Accepted(_) => "accepted",
                Verdict::Unknown(_) => "unknown",
            };
        }
        for (index, _) in &judgement.retry {
            words[*index as usize] = "retry";
        }
        for (index, _) in &judgement.cut {
            words[*index as usize] = "cut";
        }
        for (index, _) in &judgement.stale {
            words[*index as usize] = "stale";
        }
        words.to_vec()
    }

    const BEST: Guarantee = Guarantee::BestEffort;

    #[test]
    fn an_answer_that_is_missing_doubled_or_surplus_is_never_success() {
        let apart = mechanism(false, Repeats::Apart);
        let applied = || Ok(Bytes::new());
        let missing = judge_three(
            BEST,
            &apart,
            |a| {
                a.set(0, applied());
                a.set(2, applied());
            },
            Ok(()),
        );
        assert_eq!(missing, ["applied", "unknown", "applied"]);
        let doubled = judge_three(
            BEST,
            &apart,
            |a| {
                a.all_applied();
                a.set(1, applied());
            },
            Ok(()),
        );
        assert_eq!(doubled, ["applied", "unknown", "applied"]);
        let surplus = judge_three(
            BEST,
            &apart,
            |a| {
                a.all_applied();
                a.set(3, applied());
            },
            Ok(()),
        );
        assert_eq!(surplus, ["unknown"; 3]);
        let twice = judge_three(
            BEST,
            &apart,
            |a| {
                a.all_applied();
                a.all_applied();
            },
            Ok(()),
        );
        assert_eq!(twice, ["unknown"; 3]);
    }

    /// Trap 2: the retry of the first of two writes to a key must not win over the second.
    #[test]
    fn a_retry_never_overtakes_a_later_operation_on_its_key() {
        let apart = mechanism(false, Repeats::Apart);
        let overtaken = judge_three(
            BEST,
            &apart,
            |a| {
                a.set(0, Err(conflict()));
                a.set(1, Ok(Bytes::new()));
                a.set(2, Err(conflict()));
            },
            Ok(()),
        );
        assert_eq!(overtaken, ["not applied", "applied", "retry"]);
        let both = judge_three(
            BEST,
            &apart,
            |a| {
                a.set(0, Err(conflict()));
                a.set(1, Err(conflict()));
                a.set(2, Ok(Bytes::new()));
            },
            Ok(()),
        );
        assert_eq!(both, ["retry", "retry", "applied"]);
        let stamped = mechanism(false, Repeats::Stamped);
        let stamps = judge_three(
            BEST,
            &stamped,
            |a| {
                a.set(0, Err(conflict()));
                a.set(1, Ok(Bytes::new()));
                a.set(2, Ok(Bytes::new()));
            },
            Ok(()),
        );
        assert_eq!(stamps, ["retry", "applied", "applied"]);
    }

    #[test]
    fn in_an_ordered_batch_a_failure_with_later_ones_done_is_not_sent_again() {
        let ordered = Guarantee::Ordered { on_error: crate::OnError::Continue };
        let serial = mechanism(false, Repeats::Apart);
        let words = judge_three(
            ordered,
            &serial,
            |a| {
                a.set(0, Ok(Bytes::new()));
                a.set(1, Err(conflict()));
                a.set(2, Ok(Bytes::new()));
            },
            Ok(()),
        );
        assert_eq!(words, ["applied", "not applied", "applied"]);
        let tail = judge_three(
            ordered,
            &serial,
            |a| {
                a.set(0, Ok(Bytes::new()));
                a.set(1, Err(conflict()));
                a.set(2, Err(Error::new(ErrorKind::Skipped, "not run")));
            },
            Ok(()),
        );
        assert_eq!(tail, ["applied", "retry", "retry"]);
    }

    #[test]
    fn a_chunk_that_is_applied_whole_has_a_culprit_and_rolled_back_neighbours() {
        let whole = mechanism(true, Repeats::Together);
        let all = Guarantee::AllOrNothing { isolated: false };
        let refused = Error::new(ErrorKind::AlreadyExists, "taken");
        let words = judge_three(all, &whole, |a| a.set(1, Err(refused.clone())), Ok(()));
        assert_eq!(words, ["rolled back", "not applied", "rolled back"]);
        let again = judge_three(all, &whole, |a| a.set(1, Err(conflict())), Ok(()));
        assert_eq!(again, ["retry"; 3]);
        let contradiction = judge_three(
            all,
            &whole,
            |a| {
                a.set(0, Ok(Bytes::new()));
                a.set(1, Err(refused));
            },
            Ok(()),
        );
        assert_eq!(contradiction, ["unknown"; 3]);
    }

    /// Whatever the mechanism: what is refused before anything is sent is not in the request.
    #[test]
    fn a_refusal_before_the_request_tells_nothing_of_those_in_the_request() {
        let refusal = || Error::new(ErrorKind::InvalidOperation, "does not fit");
        let lost = || Err(Error::new(ErrorKind::Timeout, "no answer").unknown());
        let all = Guarantee::AllOrNothing { isolated: false };
        for (guarantee, atomic, result, rest) in [
            (BEST, true, lost(), "unknown"),
            (BEST, false, lost(), "unknown"),
            (BEST, true, Ok(()), "unknown"),
            (BEST, true, Err(refusal()), "not applied"),
            (all, true, lost(), "unknown"),
        ] {
            let mechanism = mechanism(atomic, Repeats::Folded);
            let words = judge_three(guarantee, &mechanism, |a| a.set(0, Err(refusal())), result);
            assert_eq!(words, ["not applied", rest, rest], "{guarantee}, {atomic}");
        }
    }

    #[test]
    fn what_was_refused_before_the_request_is_overtaken_by_nobody() {
        let (apart, folded) = (mechanism(false, Repeats::Apart), mechanism(true, Repeats::Folded));
        let refusal = || Error::new(ErrorKind::InvalidOperation, "does not fit");
        let ordered = Guarantee::Ordered { on_error: crate::OnError::Continue };
        let stop = Guarantee::Ordered { on_error: crate::OnError::Stop };
        for (guarantee, mechanism, place, words) in [
            // The key of the first.
            (BEST, &apart, 1, ["retry", "not applied", "retry"]),
            (BEST, &folded, 1, ["retry", "not applied", "retry"]),
            (ordered, &apart, 2, ["retry", "retry", "not applied"]),
            // It stops there, and nothing goes on before it.
            (stop, &apart, 1, ["not applied", "not applied", "retry"]),
        ] {
            let fill = |answers: &mut Answers| answers.set(place, Err(refusal()));
            let of = |refused: &[usize]| {
                judge_refused(guarantee, mechanism, refused, fill, Err(conflict()))
            };
            assert_eq!(of(&[place]), words, "{guarantee}");
            // Answered by the store, it ran.
            assert_eq!(of(&[])[0], "not applied", "{guarantee}");
        }
    }

    #[test]
    fn what_would_be_cut_is_not_sent_again_behind_a_later_one_that_ran() {
        let ordered = Guarantee::Ordered { on_error: crate::OnError::Continue };
        let apart = mechanism(false, Repeats::Apart);
        let of_some = || Err(Error::new(ErrorKind::InvalidOperation, "one of them").of_some());
        let words = |guarantee, place| {
            judge_three(guarantee, &apart, |a| a.set(place, Ok(Bytes::new())), of_some())
        };
        assert_eq!(words(ordered, 2), ["not applied", "not applied", "applied"]);
        assert_eq!(words(ordered, 0), ["applied", "cut", "cut"]);
        assert_eq!(words(BEST, 1), ["not applied", "applied", "cut"]);
    }

    #[test]
    fn a_chunk_that_is_too_large_is_cut_unless_it_is_all_or_nothing() {
        let large = || Err(Error::new(ErrorKind::TooLarge, "too large"));
        let apart = mechanism(false, Repeats::Apart);
        assert_eq!(judge_three(BEST, &apart, |_| {}, large()), ["cut"; 3]);
        let whole = mechanism(true, Repeats::Together);
        let all = Guarantee::AllOrNothing { isolated: false };
        assert_eq!(judge_three(all, &whole, |_| {}, large()), ["not applied"; 3]);
    }
}
