//! What a commit returns.

use batch_core::{BatchOptions, ErrorKind, Fate, Guarantee, KEPT_ERRORS, Operation};
use batch_memory::Fault;
use serde_json::json;

use crate::{
    Case, Context,
    case::case,
    context::{aged, asking, assert_agree, commit_on, quick},
};

pub(super) const CASES: &[Case] = &[
    case!(
        reports,
        counts_mechanisms_and_jobs_add_up,
        [],
        "report (what a commit returns): per-operation failures live in the report."
    ),
    case!(
        reports,
        what_is_not_sent_is_no_attempt,
        [],
        "Attempts are counted in one place: the requests that were begun."
    ),
    case!(
        reports,
        into_result_is_ok_if_everything_is_applied,
        [],
        "`report.into_result()` for those who want one `?`."
    ),
    case!(
        reports,
        into_result_is_the_first_error,
        [Conditions],
        "`report.into_result()` for those who want one `?`."
    ),
    case!(
        reports,
        into_result_prefers_what_is_unknown,
        [Conditions, Faults],
        "`report.into_result()` for those who want one `?`."
    ),
    case!(
        reports,
        keeps_the_first_and_the_last_errors_and_counts_all,
        [Conditions],
        "Keeps the first and last ten errors and counts by kind."
    ),
    case!(
        reports,
        prints_the_counts_in_one_line,
        [],
        "`batch.on_commit(|report| println!(\"{report}\"))`"
    ),
];

async fn counts_mechanisms_and_jobs_add_up(context: Context) {
    for guarantee in context.guarantees() {
        let (jobs, report) =
            commit_on(&**context.store(), asking(guarantee), context.puts(3)).await;
        assert_agree(&report, &jobs);
        assert_eq!((report.applied(), report.total()), (3, 3));
        assert_eq!((report.store(), report.guarantee()), (context.store().name(), guarantee));
        let operations: u64 = report.mechanisms().iter().map(|used| used.operations).sum();
        let chunks: u64 = report.mechanisms().iter().map(|used| used.chunks).sum();
        assert_eq!((operations, chunks), (3, report.attempts()), "{report}");
        assert_eq!((report.retries(), report.deviations()), (0, 0), "{report}");
        assert_eq!((report.errors().count(), report.errors_by_kind().count()), (0, 0));
        assert!(report.callback_failures().is_empty());
    }
}

async fn what_is_not_sent_is_no_attempt(context: Context) {
    // Planning or encoding refuses it, as the store has it.
    let contradictory = |id: &str| context.put(id, &json!({"id": "another"}));
    let split = |guarantee: &Guarantee| !matches!(guarantee, Guarantee::AllOrNothing { .. });
    for guarantee in context.guarantees().filter(split) {
        let operations = [contradictory("a"), contradictory("b")];
        let (jobs, report) = commit_on(&**context.store(), asking(guarantee), operations).await;
        assert_agree(&report, &jobs);
        assert_eq!((report.not_applied(), report.attempts()), (2, 0), "{report}");
        assert_eq!((report.retries(), report.deviations()), (0, 0), "{report}");
        assert!(report.mechanisms().is_empty(), "{report}");
    }
}

async fn into_result_is_ok_if_everything_is_applied(context: Context) {
    let (_, report) = context.commit(context.puts(3)).await;
    assert!(report.is_success());
    assert_eq!(report.into_result().unwrap().applied(), 3);
}

fn one_fails(context: &Context) -> [Operation; 2] {
    [context.put("a", &aged(2)), context.insert("taken", &aged(2))]
}

async fn into_result_is_the_first_error(context: Context) {
    context.given("taken", &aged(1)).await;
    let (_, report) = context.commit(one_fails(&context)).await;
    assert!(!report.is_success());
    let error = report.into_result().expect_err("one is not applied");
    assert_eq!((error.kind(), error.job()), (ErrorKind::AlreadyExists, Some(2)));
}

async fn into_result_prefers_what_is_unknown(context: Context) {
    context.given("taken", &aged(1)).await;
    let options = quick().max_batch_operations(1).max_in_flight(1);
    let wrapped = context.wrap([], options).await;
    let [put, insert] = one_fails(&context);
    wrapped.faults.push(Fault::None);
    wrapped.faults.push(Fault::DropAfter);
    let operations = [insert, put.idempotent(false)];
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), operations).await;
    assert_agree(&report, &jobs);
    let error = report.into_result().expect_err("one is unknown");
    assert_eq!((error.fate(), error.job()), (Fate::Unknown, Some(2)), "{error}");
}

async fn keeps_the_first_and_the_last_errors_and_counts_all(context: Context) {
    context.given("taken", &aged(1)).await;
    let all = 3 * KEPT_ERRORS as u64;
    let operations = (0..all).map(|_| context.insert("taken", &aged(2)));
    let (jobs, report) =
        commit_on(&**context.store(), BatchOptions::new(), operations.collect::<Vec<_>>()).await;
    assert_agree(&report, &jobs);
    assert_eq!(report.not_applied(), all);
    let kinds: Vec<_> = report.errors_by_kind().collect();
    assert_eq!(kinds, [(ErrorKind::AlreadyExists, Fate::NotApplied, all)]);
    // On one key they are settled in program order.
    let kept: Vec<u64> = report.errors().filter_map(|error| error.job()).map(u64::from).collect();
    let most = KEPT_ERRORS as u64;
    let expected: Vec<u64> = (1..=most).chain(all - most + 1..=all).collect();
    assert_eq!(kept, expected, "the first and the last ten");
    assert_eq!(context.age("taken").await, Some(1));
}

async fn prints_the_counts_in_one_line(context: Context) {
    let (_, report) = context.commit(context.puts(3)).await;
    let text = report.to_string();
    let line = text.lines().next().expect("there is a line");
    for part in ["3 applied", "0 not applied", "0 accepted", "0 unknown"] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
    let mechanism = &report.mechanisms()[0].name;
    assert!(line.contains(&**mechanism), "`{mechanism}` is missing in: {line}");
}
