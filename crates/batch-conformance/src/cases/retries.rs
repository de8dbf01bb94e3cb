//! Retries: what is sent again, what never is, and what stays in doubt.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use batch_core::{
    BatchExt as _, BatchOptions, Error, ErrorKind, Fate, Guarantee, JobStatus, Operation, Verb,
};
use batch_memory::Fault;

use crate::{
    Case, Context,
    case::case,
    context::{aged, asking, assert_agree, assert_applied, commit_on, not_applied, quick, unknown},
};

pub(super) const CASES: &[Case] = &[
    case!(
        retries,
        what_was_certainly_not_applied_and_may_succeed_is_sent_again,
        [Faults],
        "Definitely-not-applied and transient: retried with jittered backoff inside the deadline."
    ),
    case!(
        retries,
        a_store_that_says_how_long_it_is_busy_is_not_asked_before,
        [Faults],
        "Definitely-not-applied and transient: retried with backoff inside the deadline, and not before the time that the store asks for."
    ),
    case!(
        retries,
        a_refusal_for_good_is_not_sent_again,
        [Faults],
        "Definitely-not-applied and transient: retried; else it is not."
    ),
    case!(
        retries,
        a_conflict_is_sent_again,
        [Conflicts],
        "Definitely-not-applied and transient: retried with jittered backoff inside the deadline."
    ),
    case!(
        retries,
        only_the_affected_operations_are_sent_again,
        [Faults, Conflicts],
        "Only the affected operations are re-sent."
    ),
    case!(
        retries,
        what_may_be_applied_is_sent_again_if_idempotent,
        [Faults],
        "Possibly applied: retried only if the operation is idempotent (unconditional put/upsert/delete are)."
    ),
    case!(
        retries,
        what_may_be_applied_is_not_sent_again_if_said_not_to_be_idempotent,
        [Faults],
        "Conditional, counter, list-append and native ones are not idempotent unless said so."
    ),
    case!(
        retries,
        conditional_operations_in_doubt_are_not_sent_again,
        [Faults, Conditions],
        "Conditional, counter, list-append and native ones are not idempotent unless said so."
    ),
    case!(
        retries,
        conditional_operations_in_doubt_are_sent_again_if_said_to_be_idempotent,
        [Faults, Conditions],
        "Conditional ones are not idempotent unless said so."
    ),
    case!(
        retries,
        doubt_is_sticky,
        [Faults],
        "Once an attempt was possibly applied, only an acknowledgement ends the job otherwise; else it is Unknown with the first indefinite error."
    ),
    case!(
        retries,
        doubt_is_sticky_to_the_deadline,
        [Faults],
        "`Unknown` is sticky: else it is Unknown with the first indefinite error."
    ),
    case!(
        retries,
        a_route_that_vanishes_is_resolved_anew,
        [Faults],
        "What routing rested on can vanish: resolve anew, route those operations again."
    ),
    case!(
        retries,
        a_route_that_cannot_be_resolved_now_is_resolved_later,
        [Faults],
        "What routing rested on can vanish: resolve anew, route those operations again."
    ),
    case!(
        retries,
        a_route_that_is_gone_for_good_ends_its_operations,
        [Faults],
        "What routing rested on can vanish: resolve anew, route those operations again."
    ),
    case!(
        retries,
        a_panic_of_the_backend_is_an_error_with_the_right_fate,
        [Faults],
        "Every operation that was accepted ends in exactly one of them, exactly once, whatever breaks."
    ),
    case!(
        retries,
        an_operation_keeps_one_timestamp_over_all_attempts,
        [Faults],
        "With one timestamp fixed per logical operation."
    ),
];

async fn what_was_certainly_not_applied_and_may_succeed_is_sent_again(context: Context) {
    for guarantee in context.guarantees() {
        for fault in [Fault::Unreachable, Fault::Busy] {
            let wrapped = context.wrap([fault, fault], quick()).await;
            let operations = [context.put("a", &aged(1)).idempotent(false)];
            let (jobs, report) = commit_on(&*wrapped.store, asking(guarantee), operations).await;
            assert_applied(&jobs);
            assert_eq!((report.retries(), report.attempts()), (2, 3), "{guarantee} {fault:?}");
            assert_eq!(report.deviations(), 2, "{report}");
            let attempts = wrapped.log.chunks().into_iter().map(|chunk| chunk.attempt);
            assert_eq!(attempts.collect::<Vec<_>>(), [1, 2, 3]);
        }
    }
}

async fn a_store_that_says_how_long_it_is_busy_is_not_asked_before(context: Context) {
    let pause = Duration::from_millis(300);
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([Fault::BusyFor(pause)], quick()).await;
        let operations = [context.put("a", &aged(1))];
        let (jobs, report) = commit_on(&*wrapped.store, asking(guarantee), operations).await;
        assert_applied(&jobs);
        assert_eq!(report.retries(), 1, "{guarantee}: {report}");
        assert!(report.elapsed() >= pause, "{guarantee}: {:?}", report.elapsed());
    }
}

async fn a_refusal_for_good_is_not_sent_again(context: Context) {
    for kind in [ErrorKind::Unauthorized, ErrorKind::InvalidOperation, ErrorKind::Store] {
        let wrapped = context.wrap([Fault::Refuse(kind)], quick()).await;
        let operations = [context.put("a", &aged(1))];
        let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), operations).await;
        assert_eq!(not_applied(&jobs[0]).kind(), kind);
        assert_agree(&report, &jobs);
        assert_eq!(report.retries(), 0);
        wrapped.log.assert_sent_once(context.collection(), [("id", "a")]);
        context.expect_absent("a").await;
    }
}

async fn a_conflict_is_sent_again(context: Context) {
    let key = batch_core::Key::new().part("id", "a");
    for guarantee in context.guarantees() {
        context.harness().conflict_next(context.collection(), &key, 2);
        let operations = [context.put("a", &aged(1))];
        let (jobs, report) = commit_on(&**context.store(), asking(guarantee), operations).await;
        assert_applied(&jobs);
        assert_eq!(report.retries(), 2, "{guarantee}: {report}");
    }
}

async fn only_the_affected_operations_are_sent_again(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let key = batch_core::Key::new().part("id", "p2");
    context.harness().conflict_next(context.collection(), &key, 3);
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), context.puts(3)).await;
    assert_applied(&jobs);
    assert_eq!(report.retries(), 3, "{report}");
    let times =
        ["p1", "p2", "p3"].map(|id| wrapped.log.times_sent(context.collection(), [("id", id)]));
    assert_eq!(times, [1, 4, 1]);
}

async fn what_may_be_applied_is_sent_again_if_idempotent(context: Context) {
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        for verb in [Verb::Put, Verb::Upsert, Verb::Delete] {
            context.given("a", &aged(1)).await;
            let wrapped = context.wrap([fault], quick()).await;
            let operation = context.on(verb, "a");
            let operation = if verb.has_document() { operation.doc(&aged(2)) } else { operation };
            let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), [operation]).await;
            assert_applied(&jobs);
            assert_eq!(report.retries(), 1, "{verb} {fault:?}: {report}");
            let expected = verb.has_document().then_some(2);
            assert_eq!(context.age("a").await, expected, "{verb} {fault:?}");
        }
    }
}

/// Loses the first request, and asserts that it is not sent again.
async fn assert_sent_once(context: &Context, fault: Fault, id: &str, operation: Operation) {
    let wrapped = context.wrap([fault], quick()).await;
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), [operation]).await;
    let error = unknown(&jobs[0]);
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Connection, Fate::Unknown));
    assert_eq!((report.unknown(), report.retries()), (1, 0), "{report}");
    wrapped.log.assert_sent_once(context.collection(), [("id", id)]);
}

async fn what_may_be_applied_is_not_sent_again_if_said_not_to_be_idempotent(context: Context) {
    for (fault, id) in [(Fault::DropBefore, "before"), (Fault::DropAfter, "after")] {
        let operation = context.put(id, &aged(1)).idempotent(false);
        assert_sent_once(&context, fault, id, operation).await;
    }
    context.expect_absent("before").await;
    assert_eq!(context.age("after").await, Some(1), "it was applied, and nobody could tell");
}

async fn conditional_operations_in_doubt_are_not_sent_again(context: Context) {
    for verb in [Verb::Insert, Verb::Replace, Verb::Update, Verb::DeleteExisting] {
        let id = verb.as_str();
        if verb != Verb::Insert {
            context.given(id, &aged(1)).await;
        }
        let operation = context.on(verb, id);
        let operation = if verb.has_document() { operation.doc(&aged(2)) } else { operation };
        assert_sent_once(&context, Fault::DropAfter, id, operation).await;
        let expected = verb.has_document().then_some(2);
        assert_eq!(context.age(id).await, expected, "{verb}");
    }
}

async fn conditional_operations_in_doubt_are_sent_again_if_said_to_be_idempotent(context: Context) {
    context.given("a", &aged(1)).await;
    let wrapped = context.wrap([Fault::DropAfter], quick()).await;
    let operation = context.on(Verb::Update, "a").doc(&aged(2)).idempotent(true);
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), [operation]).await;
    assert_applied(&jobs);
    assert_eq!(report.retries(), 1, "{report}");
    assert_eq!(context.age("a").await, Some(2));
}

async fn doubt_is_sticky(context: Context) {
    let later = [Fault::Refuse(ErrorKind::Unauthorized), Fault::PanicBefore, Fault::PanicAfter];
    for guarantee in context.guarantees() {
        for then in later {
            for first in [Fault::DropBefore, Fault::DropAfter] {
                let wrapped = context.wrap([first, then], quick()).await;
                let operations = [context.put("a", &aged(1))];
                let (jobs, report) =
                    commit_on(&*wrapped.store, asking(guarantee), operations).await;
                let error = unknown(&jobs[0]);
                assert_eq!(error.kind(), ErrorKind::Connection, "the first one: {error}");
                assert_eq!((report.unknown(), report.total()), (1, 1), "{first:?} {then:?}");
                wrapped.log.assert_chunks(2);
            }
        }
        let wrapped = context.wrap([Fault::DropBefore, Fault::Busy], quick()).await;
        let operations = [context.put("a", &aged(2))];
        let (jobs, _) = commit_on(&*wrapped.store, asking(guarantee), operations).await;
        assert_applied(&jobs);
        assert_eq!(context.age("a").await, Some(2), "an acknowledgement ends the doubt");
    }
}

async fn doubt_is_sticky_to_the_deadline(context: Context) {
    let mut script = vec![Fault::DropAfter];
    script.resize(20_000, Fault::Unreachable);
    let wrapped = context.wrap(script, quick()).await;
    let options = BatchOptions::new().deadline(context.short_deadline());
    let operations = [context.put("a", &aged(1))];
    let (jobs, report) = commit_on(&*wrapped.store, options, operations).await;
    assert_eq!(unknown(&jobs[0]).kind(), ErrorKind::Connection, "the first indefinite error");
    assert_eq!(report.unknown(), 1);
    assert_eq!(context.age("a").await, Some(1));
}

async fn a_route_that_vanishes_is_resolved_anew(context: Context) {
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([Fault::RouteVanishes], quick()).await;
        let (jobs, report) = commit_on(&*wrapped.store, asking(guarantee), context.puts(3)).await;
        assert_applied(&jobs);
        assert_agree(&report, &jobs);
        assert!(report.deviations() > 0, "{guarantee}: {report}");
        assert!(report.warnings().iter().any(|warning| warning.contains("routed anew")));
        assert_eq!(wrapped.probe.resolved_anew(), 1, "{guarantee}");
        for number in 1..=3 {
            assert_eq!(context.age(&format!("p{number}")).await, Some(number), "{guarantee}");
        }
    }
}

async fn a_route_that_cannot_be_resolved_now_is_resolved_later(context: Context) {
    let wrapped = context.wrap([Fault::RouteVanishes], quick()).await;
    for _ in 0..3 {
        let error = Error::new(ErrorKind::Connection, "no server").transient();
        wrapped.probe.fail_resolve(true, error);
    }
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), context.puts(1)).await;
    assert_applied(&jobs);
    assert_eq!(wrapped.probe.resolved_anew(), 4, "{report}");
    wrapped.log.assert_chunks(2);
}

async fn a_route_that_is_gone_for_good_ends_its_operations(context: Context) {
    let options = quick().max_batch_operations(1).max_in_flight(1);
    let wrapped = context.wrap([Fault::None, Fault::RouteVanishes], options).await;
    wrapped.probe.fail_resolve(true, Error::new(ErrorKind::NotFound, "no such collection"));
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), context.puts(3)).await;
    assert_applied([&jobs[0], &jobs[2]]);
    assert_eq!(not_applied(&jobs[1]).kind(), ErrorKind::NotFound);
    assert_agree(&report, &jobs);

    // Where nothing was sent, it is what all operations need that failed.
    let wrapped = context.wrap([Fault::RouteVanishes], quick()).await;
    wrapped.probe.fail_resolve(true, Error::new(ErrorKind::Unauthorized, "no right to look"));
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    let error = batch.commit().await.expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(job.is_pending());
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied([&job]);
}

async fn a_panic_of_the_backend_is_an_error_with_the_right_fate(context: Context) {
    let wrapped = context.wrap([Fault::PanicAfter], quick()).await;
    let (jobs, report) =
        commit_on(&*wrapped.store, BatchOptions::new(), [context.put("a", &aged(1))]).await;
    assert_eq!(unknown(&jobs[0]).kind(), ErrorKind::Panicked);
    assert_agree(&report, &jobs);
    assert_eq!(context.age("a").await, Some(1));

    // Before anything left, it is a commit that sent nothing.
    let wrapped = context.wrap([Fault::PanicBefore], quick()).await;
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("b", &aged(1))).unwrap();
    let error = batch.commit().await.expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert!(job.is_pending());
    assert!(batch.commit().await.unwrap().is_success(), "the batch is open and whole");
    assert!(matches!(job.status(), JobStatus::Applied(_)));
}

async fn an_operation_keeps_one_timestamp_over_all_attempts(context: Context) {
    let faults = [Fault::Busy, Fault::DropAfter, Fault::Unreachable, Fault::DropBefore];
    let wrapped = context.wrap(faults, quick()).await;
    // Others stand between, so that a stamp by the place in the batch would be seen.
    let between: Vec<_> = context.puts(200).collect();
    let on_a = |age: i64| context.put("a", &aged(age));
    let operations = [on_a(1), on_a(2)].into_iter().chain(between).chain([on_a(3)]);
    let (jobs, _) = commit_on(&*wrapped.store, asking(Guarantee::BestEffort), operations).await;
    assert_applied(&jobs);
    let mut of_job: HashMap<u32, Vec<i64>> = HashMap::new();
    for (job, timestamp) in wrapped.probe.timestamps() {
        of_job.entry(job).or_default().push(timestamp);
    }
    assert!(of_job.values().any(|stamps| stamps.len() > 1), "something was sent twice: {of_job:?}");
    for (job, stamps) in &of_job {
        assert!(stamps.iter().all(|stamp| *stamp == stamps[0]), "operation {job}: {stamps:?}");
    }
    let in_order = [1, 2, 203].map(|job| of_job[&job][0]);
    // What is made one write of has one.
    assert!(in_order.is_sorted(), "later ones do not lose: {in_order:?}");
    let given: HashSet<i64> = of_job.values().map(|stamps| stamps[0]).collect();
    assert!(
        given.len() <= 1 + in_order.len(),
        "others do not push it ahead of the clock: {given:?}"
    );
    assert_eq!(context.age("a").await, Some(3));
}
