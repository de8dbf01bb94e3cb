//! Whatever breaks: every operation ends once, and the answer is true.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use batch_core::{Batch as _, BatchExt as _, BatchState, Guarantee, JobStatus, Operation, Verb};
use batch_memory::Faults;
use fastrand::Rng;

use crate::{
    Case, Context, Time,
    case::case,
    context::{WHOLE, aged, asking, assert_agree, assert_pending, quick},
};

pub(super) const CASES: &[Case] = &[
    case!(
        faults,
        every_operation_ends_once_and_the_answer_is_true,
        [Faults],
        "Every operation that was accepted ends in exactly one of them, exactly once, whatever breaks."
    ),
    case!(
        faults,
        all_or_nothing_is_all_or_nothing,
        [Faults, AllOrNothing],
        "`AllOrNothing`: all operations or none."
    ),
];

/// What a document was before, and would be after its operation.
struct Expectation {
    id: String,
    before: Option<i64>,
    after: Option<i64>,
}

fn rounds(context: &Context) -> u64 {
    if context.time() == Time::Paused { 60 } else { 24 }
}

/// Operations on keys of their own, with what each would change.
async fn random(context: &Context, rng: &mut Rng, round: &str) -> Vec<(Operation, Expectation)> {
    let mut verbs = vec![Verb::Put, Verb::Upsert, Verb::Delete];
    if context.can().conditions {
        verbs.extend([Verb::Insert, Verb::Update, Verb::Replace, Verb::DeleteExisting]);
    }
    let mut all = Vec::new();
    let mut given = Vec::new();
    for key in 0..8 {
        let id = format!("{round}-{key}");
        let before = rng.bool().then_some(1);
        if before.is_some() {
            given.push(context.put(&id, &aged(1)));
        }
        let verb = verbs[rng.usize(..verbs.len())];
        let operation = context.on(verb, &id);
        let operation = if verb.has_document() { operation.doc(&aged(2)) } else { operation };
        let after = verb.has_document().then_some(2);
        all.push((operation, Expectation { id, before, after }));
    }
    let (_, report) = context.commit(given).await;
    assert!(report.is_success(), "the documents that a round starts from: {report}");
    all
}

async fn every_operation_ends_once_and_the_answer_is_true(context: Context) {
    let guarantees: Vec<_> = context
        .guarantees()
        .filter(|guarantee| !matches!(guarantee, Guarantee::AllOrNothing { .. }))
        .collect();
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for seed in 1..=rounds(&context) {
        let mut rng = Rng::with_seed(seed);
        let guarantee = guarantees[rng.usize(..guarantees.len())];
        let (operations, expected): (Vec<_>, Vec<_>) =
            random(&context, &mut rng, &seed.to_string()).await.into_iter().unzip();
        let faults = Faults::seeded(seed, 0.4).delays(context.longest_delay());
        let options =
            quick().max_batch_operations(rng.usize(1..4)).timeout(context.short_deadline());
        let wrapped = context.wrap(faults, options).await;
        let mut batch = wrapped.store.batch(asking(guarantee)).unwrap();
        let ended = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = Vec::new();
        for operation in operations {
            let ended = Arc::clone(&ended);
            let queued = batch.queue_with(operation, move |job| {
                ended.lock().unwrap().push((job.id(), job.status().as_str()));
            });
            jobs.push(queued.unwrap());
        }
        let what = format!("seed {seed}, {guarantee}");
        let Ok(report) = batch.commit().await else {
            assert_pending(&jobs);
            assert_eq!(batch.state(), BatchState::Open, "{what}");
            for Expectation { id, before, .. } in expected {
                assert_eq!(context.age(&id).await, before, "{what}: nothing was sent");
            }
            continue;
        };
        assert_agree(&report, &jobs);
        let told = jobs.iter().map(|job| (job.id(), job.status().as_str()));
        assert_eq!(*ended.lock().unwrap(), told.collect::<Vec<_>>(), "{what}: each called once");
        for (job, Expectation { id, before, after }) in jobs.iter().zip(expected) {
            let found = context.age(&id).await;
            let status = job.status();
            *seen.entry(status.as_str()).or_default() += 1;
            match status {
                JobStatus::Applied(_) => assert_eq!(found, after, "{what}: {id} is applied"),
                JobStatus::NotApplied(error) => {
                    assert_eq!(found, before, "{what}: {id} is not applied: {error}");
                }
                _ => assert!(found == before || found == after, "{what}: {id} is {found:?}"),
            }
        }
    }
    for status in ["applied", "not_applied", "unknown"] {
        assert!(seen.contains_key(status), "no round ended so: {seen:?}");
    }
}

async fn all_or_nothing_is_all_or_nothing(context: Context) {
    let ids = ["a", "b", "c"];
    let mut seen: HashMap<bool, u32> = HashMap::new();
    for seed in 1..=rounds(&context) {
        let faults = Faults::seeded(seed, 0.5).delays(context.longest_delay());
        let wrapped = context.wrap(faults, quick().timeout(context.short_deadline())).await;
        let age = i64::try_from(seed).unwrap();
        let mut before = Vec::new();
        for id in ids {
            before.push(context.age(id).await);
        }
        let mut batch = wrapped.store.batch(asking(WHOLE)).unwrap();
        let jobs = batch.queue_all(ids.map(|id| context.put(id, &aged(age)))).unwrap();
        let committed = batch.commit().await;
        let mut after = Vec::new();
        for id in ids {
            after.push(context.age(id).await);
        }
        let applied = after == [Some(age); 3];
        assert!(applied || after == before, "seed {seed}: a part is there: {after:?}");
        match committed {
            Err(error) => {
                assert_pending(&jobs);
                assert!(!applied, "seed {seed}: nothing was sent, said {error}");
            }
            Ok(report) => {
                assert_agree(&report, &jobs);
                assert_ne!(batch.state(), BatchState::Open);
                // An answer that is missing leaves its operation unknown, and says nothing else.
                if report.applied() > 0 {
                    assert!(applied && report.not_applied() == 0, "seed {seed}: {report}");
                }
                if report.not_applied() > 0 {
                    assert!(!applied && report.not_applied() == 3, "seed {seed}: {report}");
                }
                *seen.entry(report.applied() == 3).or_default() += 1;
            }
        }
    }
    assert_eq!(seen.len(), 2, "some rounds were applied, and some were not: {seen:?}");
}
