//! Whether every answer holds against what is in the store.

use std::collections::BTreeMap;

use batch_core::{BatchState, ErrorKind, Guarantee, Job, JobStatus, OnError, Verb};
use serde_json::{Map, Value};

use crate::{
    case::{Case, Doc, leaves},
    run::{Ran, counts},
};

fn without_names(mut document: Map<String, Value>) -> Map<String, Value> {
    document.remove("_key");
    document.remove("_rev");
    document
}

/// The documents that a key may have after its operations, given their answers.
fn possible(case: &Case, ran: &Ran, key: u8) -> Vec<Doc> {
    let mut states: Vec<Doc> = vec![None];
    for (index, (step, job)) in case.steps.iter().zip(&ran.jobs).enumerate() {
        if step.key != key {
            continue;
        }
        let mut next: Vec<Doc> = Vec::new();
        let status = job.status();
        for before in &states {
            let after = leaves(index, step, before);
            match &status {
                JobStatus::Accepted => next.extend(after),
                JobStatus::Applied(outcome) => {
                    let read: Doc =
                        (step.verb == Verb::Get).then(|| without_names(outcome.decode().unwrap()));
                    if step.verb != Verb::Get || read == *before {
                        next.extend(after);
                    }
                }
                JobStatus::NotApplied(error) => {
                    // A condition that the store found false must have been false.
                    let by_condition =
                        matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound);
                    if !by_condition || after.is_none() {
                        next.push(before.clone());
                    }
                }
                JobStatus::Unknown(_) => {
                    next.push(before.clone());
                    next.extend(after);
                }
                other => panic!("{other:?} after a commit"),
            }
        }
        assert!(!next.is_empty(), "operation {} cannot have ended as {status:?}", index + 1);
        next.dedup();
        states = next;
    }
    states
}

pub(crate) fn check(case: &Case, ran: &Ran) {
    let wrong = ran.subject.wrong();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Every accepted operation ends, exactly once, and all three tell the same.
    assert!(ran.jobs.iter().all(Job::is_done), "a job pends for ever");
    let mut by_jobs = [0_u64; 4];
    for job in &ran.jobs {
        match job.status() {
            JobStatus::Applied(_) => by_jobs[0] += 1,
            JobStatus::NotApplied(_) => by_jobs[1] += 1,
            JobStatus::Accepted => by_jobs[2] += 1,
            JobStatus::Unknown(_) => by_jobs[3] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(ran.called_back.len() <= 1, "callbacks run once");
    if let Some(by_callback) = ran.called_back.first() {
        assert_eq!(*by_callback, by_jobs, "callback and jobs disagree");
        let all: Vec<u32> = ran.jobs.iter().map(Job::id).collect();
        assert_eq!(ran.job_callbacks, all, "per-operation callbacks run in queue order");
    } else {
        // A commit that is cancelled while callbacks run leaves the rest of them out.
        assert!(
            ran.job_callbacks
                .iter()
                .copied()
                .eq(1..=u32::try_from(ran.job_callbacks.len()).unwrap())
        );
    }
    match &ran.result {
        Some(Ok(report)) => {
            assert_eq!(counts(report), by_jobs, "report and jobs disagree");
            assert_eq!(ran.called_back.len(), 1);
            assert_eq!(ran.state, Some(BatchState::Committed));
        }
        Some(Err(error)) => {
            // `Err` only if nothing was sent.
            let sent = ran.subject.log.chunks().iter().any(|chunk| chunk.left);
            assert!(!sent, "{error} although something was sent");
            assert!(ran.subject.is_untouched());
            assert!(ran.called_back.is_empty());
        }
        None => {}
    }
    // The conditions of an all-or-nothing batch are judged within it, so it is looked at as a whole.
    if matches!(case.guarantee, Guarantee::AllOrNothing { .. }) {
        check_whole(case, ran);
        return;
    }
    for key in 0..6 {
        let (possible, stored) = (possible(case, ran, key), ran.subject.document(key));
        assert!(possible.contains(&stored), "k{key} holds {stored:?}, not one of {possible:?}");
    }
    if case.guarantee == (Guarantee::Ordered { on_error: OnError::Stop }) {
        check_stopped(ran);
    }
}

/// All operations are in the store, or none is.
fn check_whole(case: &Case, ran: &Ran) {
    let mut whole: BTreeMap<u8, Doc> = BTreeMap::new();
    let mut fits = true;
    for (index, step) in case.steps.iter().enumerate() {
        let before = whole.entry(step.key).or_default();
        match leaves(index, step, before) {
            Some(after) => *before = after,
            None => {
                whole.clear();
                fits = false;
                break;
            }
        }
    }
    let holds = |world: &BTreeMap<u8, Doc>| {
        (0..6).all(|key| ran.subject.document(key) == world.get(&key).cloned().flatten())
    };
    let nothing = BTreeMap::new();
    assert!(holds(&whole) || holds(&nothing), "a part of an all-or-nothing batch is in the store");
    let statuses: Vec<_> = ran.jobs.iter().map(Job::status).collect();
    if fits && case.is_undisturbed() {
        assert!(statuses.iter().all(JobStatus::is_applied), "refused for no reason: {statuses:?}");
    }
    if statuses.iter().any(|status| matches!(status, JobStatus::NotApplied(_))) {
        assert!(holds(&nothing), "an operation is not applied, and others are in the store");
        assert!(!statuses.iter().any(JobStatus::is_applied));
    }
    if statuses.iter().any(|status| status.is_applied() || matches!(status, JobStatus::Accepted)) {
        assert!(holds(&whole), "an operation is applied, and not all are in the store");
    }
}

/// Nothing is applied after the first operation that is not, unless its request had left already.
fn check_stopped(ran: &Ran) {
    let statuses: Vec<_> = ran.jobs.iter().map(Job::status).collect();
    let in_store =
        |status: &JobStatus| status.is_applied() || matches!(status, JobStatus::Accepted);
    if let Some(first) = statuses.iter().position(|status| !in_store(status)) {
        // One behind an accepted write on its key is left out for that one.
        let behind = statuses[..first].iter().any(|status| matches!(status, JobStatus::Accepted));
        let kind = statuses[first].error().map(batch_core::Error::kind);
        let skipped = kind == Some(ErrorKind::Skipped);
        assert!(!skipped || behind, "operation {} was left out for a later one", first + 1);
    }
    if let Some(first) = statuses.iter().position(|status| !in_store(status))
        && matches!(statuses[first], JobStatus::NotApplied(_))
    {
        let later = &statuses[first + 1..];
        assert!(
            !later.iter().any(JobStatus::is_applied),
            "it went on after operation {}",
            first + 1
        );
    }
}
