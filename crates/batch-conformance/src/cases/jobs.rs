//! Jobs: the one question and its four answers.

use batch_core::{BatchExt as _, BatchOptions, Error, ErrorKind, Fate, JobStatus, Verb};
use serde::Deserialize;

use crate::{
    Case, Context,
    case::case,
    context::{abby, asking, assert_agree, assert_applied, commit_on, not_applied, quick, unknown},
};

pub(super) const CASES: &[Case] = &[
    case!(
        jobs,
        pending_until_the_commit,
        [],
        "Before that a job is `Pending` (queued or in flight)."
    ),
    case!(
        jobs,
        before_the_end_an_outcome_is_not_ready,
        [],
        "Before the end `outcome()` is an error of kind NotReady."
    ),
    case!(
        jobs,
        handles_are_clones_of_one_job,
        [],
        "Any time, from anywhere; Job is Clone + Send + Sync."
    ),
    case!(jobs, results_can_be_read_many_times, [Reads], "Results can be read many times."),
    case!(jobs, an_error_can_be_read_many_times, [Conditions], "Results can be read many times."),
    case!(
        jobs,
        a_decode_error_is_not_a_store_error,
        [Reads],
        "A decode error is not a store error."
    ),
    case!(
        jobs,
        a_write_that_returned_nothing_has_nothing_to_decode,
        [],
        "`decode` is of a `get`, or of a write with `.returning(New | Old)`."
    ),
    case!(
        jobs,
        awaiting_a_job_gives_its_final_status,
        [],
        "`job.await` gives its final status once its batch was committed, discarded or dropped."
    ),
    case!(
        jobs,
        many_wait_for_one_job_and_one_gives_up,
        [],
        "`job.await` gives its final status once its batch was committed, discarded or dropped."
    ),
    case!(
        jobs,
        an_error_read_from_a_job_says_where_it_was_met,
        [Conditions],
        "Context (store, collection, job, chunk): added when it is read from a job."
    ),
    case!(
        jobs,
        without_results_a_job_knows_that_it_ended_and_no_more,
        [],
        "`results(false)`: a job knows whether it is done, and answers `outcome()` with kind `NotRecorded`."
    ),
    case!(
        jobs,
        without_results_the_report_still_counts_and_keeps_errors,
        [Conditions],
        "`results(false)`: the report still counts, and keeps the first and last ten errors and counts by kind."
    ),
    case!(jobs, what_the_store_has_promised_is_accepted, [Faults], "`Accepted`: it will be."),
    case!(
        jobs,
        a_lost_answer_is_unknown,
        [Faults],
        "`Unknown(error)`: cannot be told; the answer was lost, cut or unreadable after bytes had left."
    ),
    case!(
        jobs,
        an_answer_that_is_missing_doubled_or_surplus_is_never_success,
        [Faults],
        "`Unknown(error)`: cannot be told; the answer was lost, cut or unreadable after bytes had left."
    ),
];

async fn pending_until_the_commit(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &abby())).unwrap();
    assert!(job.is_pending() && !job.is_done());
    assert!(matches!(job.status(), JobStatus::Pending));
    let report = batch.commit().await.unwrap();
    assert!(job.is_done() && !job.is_pending());
    assert!(matches!(job.status(), JobStatus::Applied(_)));
    assert_agree(&report, &[job]);
}

async fn before_the_end_an_outcome_is_not_ready(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &abby())).unwrap();
    assert_eq!(job.outcome().expect_err("it is queued").kind(), ErrorKind::NotReady);
    let decoded = job.decode::<serde_json::Value>();
    assert_eq!(decoded.expect_err("it is queued").kind(), ErrorKind::NotReady);
    assert_eq!(job.outcome().expect_err("it is queued").job(), Some(1));
    assert!(batch.commit().await.unwrap().is_success());
    job.outcome().unwrap();
}

async fn handles_are_clones_of_one_job(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &abby())).unwrap();
    let other = batch.queue(context.put("b", &abby())).unwrap();
    let clone = job.clone();
    assert!(clone == job && other != job);
    let elsewhere = tokio::spawn(async move { clone.await.is_applied() });
    assert!(batch.commit().await.unwrap().is_success());
    drop(batch);
    assert!(elsewhere.await.unwrap());
    assert_applied([&job, &other]);
}

async fn results_can_be_read_many_times(context: Context) {
    context.given("a", &abby()).await;
    let (jobs, _) = context.commit([context.on(Verb::Get, "a")]).await;
    let first = jobs[0].outcome().unwrap();
    for _ in 0..3 {
        assert_eq!(jobs[0].outcome().unwrap(), first);
        let document: serde_json::Value = jobs[0].decode().unwrap();
        assert_eq!(document["name"], "Abby");
    }
}

async fn an_error_can_be_read_many_times(context: Context) {
    context.given("a", &abby()).await;
    let (jobs, _) = context.commit([context.insert("a", &abby())]).await;
    for _ in 0..3 {
        assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::AlreadyExists);
        let outcome = jobs[0].outcome().expect_err("the key is taken");
        assert_eq!((outcome.kind(), outcome.job()), (ErrorKind::AlreadyExists, Some(1)));
    }
}

async fn a_decode_error_is_not_a_store_error(context: Context) {
    #[derive(Debug, Deserialize)]
    struct Other {
        #[expect(dead_code, reason = "only its type is looked at")]
        name: u64,
    }
    context.given("a", &abby()).await;
    let (jobs, report) = context.commit([context.on(Verb::Get, "a")]).await;
    let error = jobs[0].decode::<Other>().expect_err("a name is no number");
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(std::error::Error::source(&error).is_some(), "the source says what did not fit");
    assert_applied(&jobs);
    assert!(report.is_success());
    let text: serde_json::Value =
        serde_json::from_slice(jobs[0].outcome().unwrap().json()).unwrap();
    assert_eq!(text["name"], "Abby", "the answer stays readable");
}

async fn a_write_that_returned_nothing_has_nothing_to_decode(context: Context) {
    let (jobs, _) = context.commit([context.put("a", &abby())]).await;
    let error = jobs[0].decode::<serde_json::Value>().expect_err("a write returns no document");
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_applied(&jobs);
}

async fn awaiting_a_job_gives_its_final_status(context: Context) {
    let store = context.store();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let before = batch.queue(context.put("a", &abby())).unwrap();
    let waiting = tokio::spawn(async move { before.await });
    tokio::task::yield_now().await;
    assert!(batch.commit().await.unwrap().is_success());
    assert!(waiting.await.unwrap().is_applied());
    let after = batch.jobs().next().unwrap();
    assert!(after.await.is_applied());

    let mut discarded = store.batch(BatchOptions::new()).unwrap();
    let job = discarded.queue(context.put("b", &abby())).unwrap();
    let waiting = tokio::spawn(async move { job.await });
    tokio::task::yield_now().await;
    discarded.discard();
    let status = waiting.await.unwrap();
    assert_eq!(status.error().map(Error::kind), Some(ErrorKind::Discarded));

    let mut dropped = store.batch(BatchOptions::new()).unwrap();
    let job = dropped.queue(context.put("c", &abby())).unwrap();
    let waiting = tokio::spawn(async move { job.await });
    tokio::task::yield_now().await;
    drop(dropped);
    let status = waiting.await.unwrap();
    assert_eq!(status.error().map(Error::kind), Some(ErrorKind::Discarded));
}

async fn many_wait_for_one_job_and_one_gives_up(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &abby())).unwrap();
    let wait = || {
        let job = job.clone();
        tokio::spawn(async move { job.await.is_applied() })
    };
    let (one, other, quitter) = (wait(), wait(), wait());
    tokio::task::yield_now().await;
    quitter.abort();
    assert!(quitter.await.is_err_and(|error| error.is_cancelled()));
    assert!(batch.commit().await.unwrap().is_success());
    assert!(one.await.unwrap() && other.await.unwrap());
}

async fn an_error_read_from_a_job_says_where_it_was_met(context: Context) {
    context.given("a", &abby()).await;
    let operations = [context.put("b", &abby()), context.insert("a", &abby())];
    let (jobs, report) = context.commit(operations).await;
    let error = not_applied(&jobs[1]);
    assert_eq!(error.store(), Some(context.store().name()));
    assert_eq!(error.collection(), Some(context.collection()));
    assert_eq!(error.job(), Some(2));
    assert!(error.chunk().is_some_and(|chunk| chunk >= 1), "{error:?}");
    assert_eq!(error.fate(), Fate::NotApplied);
    let line = error.to_string();
    assert!(!line.contains('\n'), "one line: {line}");
    let place = format!("operation 2 (insert on {})", context.collection());
    assert!(line.contains(&place), "names the operation: {line}");
    let told: Vec<_> = report.errors().map(ToString::to_string).collect();
    assert_eq!(told, [line], "the report tells the same");
}

async fn without_results_a_job_knows_that_it_ended_and_no_more(context: Context) {
    let options = BatchOptions::new().results(false);
    let mut batch = context.store().batch(options).unwrap();
    let job = batch.queue(context.put("a", &abby())).unwrap();
    assert_eq!(job.outcome().expect_err("it is queued").kind(), ErrorKind::NotReady);
    let report = batch.commit().await.unwrap();
    assert!(job.is_done() && matches!(job.status(), JobStatus::Applied(_)));
    assert_eq!(job.outcome().expect_err("not recorded").kind(), ErrorKind::NotRecorded);
    assert_eq!((report.applied(), report.total()), (1, 1));
    assert!(job.await.is_applied());
    context.expect("a", &abby()).await;
}

async fn without_results_the_report_still_counts_and_keeps_errors(context: Context) {
    context.given("a", &abby()).await;
    let operations = [context.insert("a", &abby()), context.put("b", &abby())];
    let options = BatchOptions::new().results(false);
    let (jobs, report) = commit_on(&**context.store(), options, operations).await;
    assert_eq!((report.applied(), report.not_applied()), (1, 1));
    assert!(matches!(jobs[0].status(), JobStatus::NotApplied(_)));
    let outcome = jobs[0].outcome().expect_err("not recorded");
    assert_eq!(outcome.kind(), ErrorKind::NotRecorded);
    let kinds: Vec<_> = report.errors_by_kind().collect();
    assert_eq!(kinds, [(ErrorKind::AlreadyExists, Fate::NotApplied, 1)]);
    let kept: Vec<_> = report.errors().map(|error| (error.kind(), error.job())).collect();
    assert_eq!(kept, [(ErrorKind::AlreadyExists, Some(1))]);
}

async fn what_the_store_has_promised_is_accepted(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let promise = Error::new(ErrorKind::Timeout, "the log was written").accepted();
    wrapped.probe.answer_with(promise);
    let operations = context.puts(3);
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), operations).await;
    for job in &jobs {
        assert!(matches!(job.status(), JobStatus::Accepted), "{:?}", job.status());
        let error = job.outcome().expect_err("there is no outcome yet");
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Accepted));
    }
    assert_eq!((report.accepted(), report.total()), (3, 3));
    assert!(report.is_success(), "what is promised is no failure");
    assert_agree(&report, &jobs);
    let times = (1..=3)
        .map(|number| wrapped.log.times_sent(context.collection(), [("id", format!("p{number}"))]));
    assert!(times.eq([1, 1, 1]), "a promise is not sent again");
}

async fn a_lost_answer_is_unknown(context: Context) {
    use batch_memory::Fault;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        let wrapped = context.wrap([fault], quick()).await;
        let operation = context.put("a", &abby()).idempotent(false);
        let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), [operation]).await;
        let error = unknown(&jobs[0]);
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Connection, Fate::Unknown));
        assert!(!error.is_retry_safe());
        assert_agree(&report, &jobs);
    }
}

async fn an_answer_that_is_missing_doubled_or_surplus_is_never_success(context: Context) {
    use batch_memory::Fault;
    for fault in [Fault::MissingAnswer, Fault::DoubledAnswer, Fault::SurplusAnswer] {
        for guarantee in context.guarantees() {
            let wrapped = context.wrap([fault], quick()).await;
            let (jobs, report) =
                commit_on(&*wrapped.store, asking(guarantee), context.puts(1)).await;
            let error = unknown(&jobs[0]);
            assert_eq!(error.kind(), ErrorKind::Protocol, "{fault:?} {guarantee}");
            assert_agree(&report, &jobs);
            wrapped.log.assert_chunks(1);
        }
    }
}
