//! Random operations, guarantees, faults and cancellations, under tokio's paused clock with
//! seeded delays: whatever happens, every answer holds against what is in the store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod case;
mod cells;
mod check;
mod planned;
mod row;
mod run;

use std::{collections::HashSet, time::Duration};

use batch_core::{BatchExt, BatchOptions, Guarantee, OnCancel, OnError, Verb};
use proptest::{prelude::*, sample::select};

use crate::{
    case::{Cancel, Case, Flaw, Habits, Kind, Step, cases, kinds_and_steps, operation},
    check::check,
    planned::check_plan,
    run::{Subject, run, runtime},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1500), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_holds_against_what_is_in_the_store(case in cases()) {
        check(&case, &run(&case));
    }

    #[test]
    fn the_plan_equals_the_first_attempts(
        (kind, steps) in kinds_and_steps(60),
        guarantee in select(Guarantee::ALL[..3].to_vec()),
        seed in any::<u64>(),
        max_operations in 1..9_usize,
        max_in_flight in 1..5_usize,
    ) {
        let (mut kind, mut steps) = (kind, steps);
        if let Kind::Cells(habits) = &mut kind {
            // Nothing that the plan cannot know of.
            (habits.hidden_max_bytes, habits.conflicts) = (u64::MAX, 0);
            let forbidden = steps.iter_mut().filter(|step| step.flaw == Flaw::Forbidden);
            forbidden.for_each(|step| step.flaw = Flaw::None);
        }
        let case = Case {
            kind, steps, guarantee, seed, max_operations, max_in_flight,
            fault_chance: 0.0, on_cancel: OnCancel::Detach, cancel: Cancel::Never, stops: true,
            deadline: Duration::from_secs(30),
        };
        runtime().block_on(async {
            let subject = Subject::of(&case);
            let mut batch = subject.store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
            for (index, step) in case.steps.iter().enumerate() {
                batch.queue(operation(index, step)).unwrap();
            }
            let plan = batch.plan().await.unwrap();
            assert!(subject.log.chunks().is_empty(), "a plan sends nothing");
            let report = batch.commit().await.unwrap();
            let sent = subject.log.chunks();
            let sent: HashSet<(String, Vec<u32>, u64)> = sent
                .into_iter()
                .filter(|chunk| chunk.attempt == 1)
                .map(|chunk| {
                    let jobs = chunk.operations.iter().map(|operation| operation.job);
                    (chunk.mechanism, jobs.collect(), chunk.bytes)
                })
                .collect();
            let planned = plan.chunks.iter();
            let planned: HashSet<(String, Vec<u32>, u64)> = planned
                .map(|chunk| (chunk.mechanism.clone(), chunk.operations.clone(), chunk.bytes))
                .collect();
            if guarantee == (Guarantee::Ordered { on_error: OnError::Stop }) {
                prop_assert!(sent.is_subset(&planned));
            } else {
                prop_assert_eq!(&sent, &planned);
            }
            prop_assert_eq!(report.deviations(), 0);
            prop_assert_eq!(subject.wrong(), Vec::<String>::new());
            if let (Guarantee::BestEffort, Kind::Cells(habits)) = (guarantee, &case.kind) {
                check_plan(&case, habits, &plan);
            }
            Ok(())
        })?;
    }
}

/// Cancellation at every await point, in both modes, and by dropping the runtime.
#[test]
fn a_commit_cancelled_at_any_await_point_leaves_answers_that_hold() {
    let cells = Habits {
        folds: true,
        max_bytes: 150,
        pooled: Some((2, 3, 4, 140)),
        hidden_max_bytes: u64::MAX,
        conflicts: 10,
    };
    for (kind, seed) in
        (0..12).flat_map(|seed| [(Kind::Memory, seed), (Kind::Cells(cells.clone()), seed)])
    {
        let steps: Vec<Step> = (0..12)
            .map(|n| Step {
                verb: Verb::PORTABLE[n * 5 % 8],
                key: u8::try_from(n % 4).unwrap(),
                flaw: Flaw::None,
                apart: false,
            })
            .filter(|step| step.verb != Verb::Get || matches!(kind, Kind::Memory))
            .collect();
        for (on_cancel, by_runtime) in
            [(OnCancel::Detach, false), (OnCancel::Settle, false), (OnCancel::Detach, true)]
        {
            for polls in 0..60 {
                // Every third batch has nothing that could be sent.
                let mut steps = steps.clone();
                if seed % 3 == 2 {
                    steps.retain(|step| step.verb.has_document());
                    steps.iter_mut().for_each(|step| step.flaw = Flaw::Contradicts);
                }
                let case = Case {
                    kind: kind.clone(),
                    steps,
                    guarantee: Guarantee::ALL[usize::try_from(seed).unwrap() % 5],
                    seed,
                    fault_chance: if seed % 2 == 0 { 0.0 } else { 0.3 },
                    max_in_flight: 2,
                    max_operations: if seed % 5 >= 3 { 100 } else { 3 },
                    on_cancel,
                    cancel: if by_runtime { Cancel::Runtime(polls) } else { Cancel::Commit(polls) },
                    stops: true,
                    deadline: Duration::from_secs(30),
                };
                check(&case, &run(&case));
            }
        }
    }
}
