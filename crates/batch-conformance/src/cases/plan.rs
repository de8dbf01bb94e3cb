//! `plan()` shows it all, and the commit that follows does it.

use batch_core::{
    Batch, BatchExt as _, BatchOptions, BatchState, ErrorKind, Guarantee, Operation, Verb,
};
use batch_memory::{Fault, SentChunk};

use crate::{
    Case, Context,
    case::case,
    context::{
        CONTINUE, STOP, WHOLE, aged, asking, assert_applied, assert_pending, commit_on, quick,
    },
};

pub(super) const CASES: &[Case] = &[
    case!(
        plan,
        of_an_empty_batch_is_empty,
        [],
        "`plan()` shows it all: chunks, bytes, mechanism, guarantee, warnings."
    ),
    case!(
        plan,
        shows_chunks_bytes_mechanism_and_guarantee,
        [],
        "`plan()` shows it all: chunks, bytes (exact or an upper bound, it says which), mechanism, guarantee, warnings."
    ),
    case!(
        plan,
        warns_where_stopping_costs_a_request_for_each_operation,
        [Ordered],
        "Where a mechanism runs on after a failure, its chunks have one operation; `plan()` shows warnings."
    ),
    case!(
        plan,
        leaves_the_batch_as_it_was,
        [],
        "`plan()` may be asked at any time before the commit."
    ),
    case!(
        plan,
        sends_nothing_and_reads_no_data,
        [Faults],
        "It may read metadata and capabilities that are not cached yet, never data."
    ),
    case!(
        plan,
        equals_the_first_attempts_of_the_commit,
        [Faults],
        "It equals the first attempts of the commit that follows if nothing changed between."
    ),
    case!(
        plan,
        equals_the_first_attempts_whatever_goes_wrong_later,
        [Faults],
        "It equals the first attempts of the commit that follows if nothing changed between."
    ),
    case!(
        plan,
        what_deviates_is_counted_with_a_warning_that_says_why,
        [Faults],
        "What deviates (retries, bisected chunks, a lost mechanism) is counted in the report with a warning that says why."
    ),
    case!(
        plan,
        fails_with_what_the_commit_would_fail_with,
        [AllOrNothing],
        "A store answers with a named mechanism or refuses before a byte is sent, naming the operation and the reason."
    ),
    case!(
        plan,
        of_a_committed_batch_is_invalid,
        [],
        "Second commit, queue or callback after commit: error of kind `InvalidState`."
    ),
];

async fn of_an_empty_batch_is_empty(context: Context) {
    for guarantee in context.guarantees() {
        let mut batch = context.store().batch(asking(guarantee)).unwrap();
        let plan = batch.plan().await.unwrap();
        assert_eq!((plan.chunks.len(), plan.operations(), plan.bytes()), (0, 0, 0), "{plan}");
        assert_eq!((plan.guarantee, plan.refused.len()), (guarantee, 0));
        let line = format!("0 bytes on {} ({guarantee})", context.store().name());
        assert!(plan.to_string().ends_with(&line), "{plan}");
    }
}

async fn shows_chunks_bytes_mechanism_and_guarantee(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let jobs = batch.queue_all(context.puts(6)).unwrap();
    let plan = batch.plan().await.unwrap();
    assert_eq!(plan.operations(), 6);
    for chunk in &plan.chunks {
        assert!(!chunk.mechanism.is_empty() && !chunk.operations.is_empty(), "{chunk:?}");
        assert!(chunk.bytes > 0, "{chunk:?}");
    }
    assert_eq!(plan.bytes(), plan.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>());
    let line = plan.to_string();
    for part in [plan.mechanisms()[0], context.store().name(), "best-effort", "6 operations"] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
    let report = batch.commit().await.unwrap();
    assert_applied(&jobs);
    assert_eq!(report.attempts(), plan.chunks.len() as u64);
}

async fn warns_where_stopping_costs_a_request_for_each_operation(context: Context) {
    let mut together = 0;
    for (guarantee, count) in [(CONTINUE, 3), (STOP, 3), (STOP, 1)] {
        let mut batch = context.store().batch(asking(guarantee)).unwrap();
        batch.queue_all(context.puts(count)).unwrap();
        let plan = batch.plan().await.unwrap();
        let is_it = |warning: &String| {
            warning.contains("one by one")
                && ["`ordered`", "`all-or-nothing`"].iter().all(|other| warning.contains(other))
        };
        let warned = plan.warnings.iter().any(is_it);
        match (guarantee, count) {
            (STOP, 3) => {
                assert!(warned || plan.chunks.len() <= together, "{plan}");
                assert!(!warned || plan.chunks.len() == 3, "{plan}");
            }
            _ => assert!(!warned, "{plan}"),
        }
        together = plan.chunks.len();
        let report = batch.commit().await.unwrap();
        assert_eq!(report.warnings(), plan.warnings, "{report}");
    }
}

async fn leaves_the_batch_as_it_was(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let jobs = batch.queue_all(context.puts(3)).unwrap();
    let first = batch.plan().await.unwrap();
    assert_eq!(batch.plan().await.unwrap(), first, "asked again, it is the same");
    assert_pending(&jobs);
    assert_eq!((batch.state(), batch.len()), (BatchState::Open, 3));
    let more = batch.queue(context.put("more", &aged(1))).unwrap();
    assert_eq!(batch.plan().await.unwrap().operations(), 4);
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied(jobs.iter().chain([&more]));
}

async fn sends_nothing_and_reads_no_data(context: Context) {
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([], quick()).await;
        let mut batch = wrapped.store.batch(asking(guarantee)).unwrap();
        let jobs = batch.queue_all(context.puts(3)).unwrap();
        batch.plan().await.unwrap();
        wrapped.log.assert_nothing_sent();
        assert_eq!(wrapped.probe.reads(), 0);
        assert_pending(&jobs);
        assert_eq!((batch.progress().sent(), batch.progress().settled()), (0, 0));
        batch.discard();
        context.expect_absent("p1").await;
    }
}

/// Operations of several sorts, with keys that come again unless the batch is to be whole.
fn mixed(context: &Context, guarantee: Guarantee) -> Vec<Operation> {
    if matches!(guarantee, Guarantee::AllOrNothing { .. }) {
        return context.puts(3).collect();
    }
    let verbs = [Verb::Put, Verb::Upsert, Verb::Delete, Verb::Put, Verb::Upsert];
    (0..40)
        .zip(verbs.into_iter().cycle())
        .map(|(number, verb)| {
            let id = if number % 4 == 0 { "again".to_owned() } else { format!("m{number}") };
            let operation = context.on(verb, &id);
            if verb.has_document() { operation.doc(&aged(number)) } else { operation }
        })
        .collect()
}

/// Asserts that the first attempts are the plan's chunks, and in the plan's order in each lane.
async fn assert_planned(batch: &mut dyn Batch, sent: impl Fn() -> Vec<SentChunk>) {
    let plan = batch.plan().await.unwrap();
    assert!(sent().is_empty());
    let report = batch.commit().await.unwrap();
    // What the plan warned of is no deviation.
    let told = report.warnings().iter().any(|warning| !plan.warnings.contains(warning));
    assert_eq!(told, report.deviations() > 0, "{report}");
    let first: Vec<_> = sent()
        .into_iter()
        .filter(|chunk| chunk.attempt == 1)
        .map(|chunk| {
            let jobs: Vec<u32> = chunk.operations.iter().map(|operation| operation.job).collect();
            (chunk.mechanism, jobs, chunk.bytes)
        })
        .collect();
    let planned = plan.chunks.iter().map(|chunk| {
        ((chunk.mechanism.clone(), chunk.operations.clone(), chunk.bytes), chunk.lane)
    });
    let planned: Vec<_> = planned.collect();
    assert_eq!(first.len(), planned.len(), "sent {first:?}\nplanned {planned:?}");
    let mut last_in_lane = std::collections::HashMap::new();
    for (chunk, lane) in planned {
        let place = first.iter().position(|sent| *sent == chunk);
        let place = place.unwrap_or_else(|| panic!("{chunk:?} was not sent, but {first:?}"));
        let before = last_in_lane.insert(lane, place);
        assert!(before.is_none_or(|before| before < place), "out of order in lane {lane}");
    }
}

async fn equals_the_first_attempts_of_the_commit(context: Context) {
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([], quick().max_batch_operations(4)).await;
        let mut batch = wrapped.store.batch(asking(guarantee)).unwrap();
        let jobs = batch.queue_all(mixed(&context, guarantee)).unwrap();
        assert_planned(&mut *batch, || wrapped.log.chunks()).await;
        assert_applied(&jobs);
    }
}

async fn equals_the_first_attempts_whatever_goes_wrong_later(context: Context) {
    let sorts = [Fault::Unreachable, Fault::Busy, Fault::DropBefore, Fault::DropAfter];
    for guarantee in context.guarantees() {
        for seed in 1..=3 {
            let faults =
                batch_memory::Faults::seeded(seed, 0.4).only(sorts).delays(context.longest_delay());
            let wrapped = context.wrap(faults, quick().max_batch_operations(4)).await;
            let mut batch = wrapped.store.batch(asking(guarantee)).unwrap();
            let jobs = batch.queue_all(mixed(&context, guarantee)).unwrap();
            assert_planned(&mut *batch, || wrapped.log.chunks()).await;
            assert_applied(&jobs);
        }
    }
}

async fn what_deviates_is_counted_with_a_warning_that_says_why(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let (_, report) = commit_on(&*wrapped.store, BatchOptions::new(), context.puts(1)).await;
    assert_eq!((report.deviations(), report.retries()), (0, 0), "{report}");
    for (fault, why) in [
        (Fault::Busy, "the server is busy"),
        (Fault::DropAfter, "the connection broke"),
        (Fault::RouteVanishes, "the route of this request is gone"),
    ] {
        wrapped.faults.push(fault);
        let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), context.puts(1)).await;
        assert_applied(&jobs);
        assert!(report.deviations() > 0, "{fault:?}: {report}");
        assert!(report.warnings().iter().any(|warning| warning.contains(why)), "{report}");
    }
}

async fn fails_with_what_the_commit_would_fail_with(context: Context) {
    let store = context.open(quick().max_batch_operations(2)).await;
    let mut batch = store.batch(asking(WHOLE)).unwrap();
    batch.queue_all(context.puts(3)).unwrap();
    let planned = batch.plan().await.expect_err("over the ceiling");
    let committed = batch.commit().await.expect_err("over the ceiling");
    assert_eq!((planned.kind(), planned.message()), (committed.kind(), committed.message()));
}

async fn of_a_committed_batch_is_invalid(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    batch.queue_all(context.puts(1)).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    let error = batch.plan().await.expect_err("it is committed");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
}
