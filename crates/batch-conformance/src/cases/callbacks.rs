//! Callbacks run after every job of the batch is settled, exactly once, only if it was executed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use batch_core::{BatchExt as _, BatchOptions, ErrorKind, StoreExt as _};

use crate::{
    Case, Context, Time,
    case::case,
    context::{aged, asking, assert_agree, assert_applied, commit_on, panic_on_purpose},
};

pub(super) const CASES: &[Case] = &[
    case!(
        callbacks,
        those_of_operations_come_first_then_the_batchs_each_once,
        [],
        "Per-operation ones first, in queue order, with the job; then the batch's in registration order, with the report."
    ),
    case!(
        callbacks,
        run_after_every_job_is_settled,
        [Conditions],
        "Run after every job of the batch is settled, exactly once."
    ),
    case!(
        callbacks,
        a_failing_or_panicking_one_is_recorded_and_its_siblings_run,
        [],
        "A failing (`Err`), panicking or overlong one is recorded in the report and logged; its siblings still run and the commit's result is unchanged."
    ),
    case!(
        callbacks,
        an_overlong_async_one_is_dropped_and_recorded,
        [],
        "A failing (`Err`), panicking or, if async, overlong one (30 s, an option) is recorded in the report."
    ),
    case!(
        callbacks,
        one_that_panics_when_it_is_dropped_is_recorded,
        [],
        "A failing, panicking or overlong one is recorded in the report; its siblings still run and the commit's result is unchanged."
    ),
    case!(
        callbacks,
        async_ones_own_their_report_and_may_use_the_store,
        [],
        "`&Report` for plain ones, their own cheap clone for async ones; no lock is held while they run."
    ),
    case!(callbacks, plain_ones_may_look_at_everything, [], "No lock is held while they run."),
    case!(
        callbacks,
        on_success_and_on_failure_are_sugar,
        [Conditions],
        "`on_success` and `on_failure` are sugar."
    ),
    case!(
        callbacks,
        run_under_every_guarantee,
        [],
        "Run after every job of the batch is settled, exactly once, only if the batch was executed."
    ),
];

/// What ran, in order.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn those_of_operations_come_first_then_the_batchs_each_once(context: Context) {
    let trace = Trace::default();
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let note = || trace.clone();
    let (first, second) = (note(), note());
    batch.on_commit(move |report| first.note(format!("batch 1, {}", report.applied()))).unwrap();
    let (of_one, of_three) = (note(), note());
    let mut puts = context.puts(3);
    batch
        .queue_with(puts.next().unwrap(), move |job| of_one.note(format!("job {}", job.id())))
        .unwrap();
    batch.queue(puts.next().unwrap()).unwrap();
    batch
        .queue_with(puts.next().unwrap(), move |job| of_three.note(format!("job {}", job.id())))
        .unwrap();
    let third = note();
    batch
        .on_commit_async(async move |report: batch_core::Report| {
            tokio::task::yield_now().await;
            third.note(format!("batch 2, {}", report.applied()));
        })
        .unwrap();
    batch.on_commit(move |report| second.note(format!("batch 3, {}", report.total()))).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    assert_eq!(trace.all(), ["job 1", "job 3", "batch 1, 3", "batch 2, 3", "batch 3, 3"]);
}

async fn run_after_every_job_is_settled(context: Context) {
    context.given("taken", &aged(1)).await;
    let trace = Trace::default();
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let later = context.insert("taken", &aged(2));
    let seen = trace.clone();
    let jobs = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&jobs);
    let first = batch
        .queue_with(context.put("a", &aged(1)), move |job| {
            let all: Vec<batch_core::Job> = all.lock().unwrap().clone();
            assert!(all.iter().all(batch_core::Job::is_done));
            seen.note(format!("{} {}", job.id(), job.status().as_str()));
        })
        .unwrap();
    let seen = trace.clone();
    let second = batch
        .queue_with(later, move |job| {
            seen.note(format!("{} {:?}", job.id(), job.status().error().map(|e| e.kind())));
        })
        .unwrap();
    jobs.lock().unwrap().extend([first, second]);
    let seen = trace.clone();
    batch
        .on_commit(move |report| {
            assert!(report.jobs().all(|job| job.is_done()));
            seen.note(format!("{} of {}", report.applied(), report.total()));
        })
        .unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!(trace.all(), ["1 applied", "2 Some(AlreadyExists)", "1 of 2"]);
    assert!(report.callback_failures().is_empty(), "{report}");
}

async fn a_failing_or_panicking_one_is_recorded_and_its_siblings_run(context: Context) {
    let trace = Trace::default();
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let mut puts = context.puts(3);
    batch.queue_with(puts.next().unwrap(), |_| Err::<(), _>("no disk")).unwrap();
    batch.queue_with(puts.next().unwrap(), |_| panic_on_purpose("of a job")).unwrap();
    let seen = trace.clone();
    batch.queue_with(puts.next().unwrap(), move |_| seen.note("third")).unwrap();
    batch.on_commit(|_| panic_on_purpose("of the batch")).unwrap();
    batch.on_commit(|_| Err::<(), _>("no network")).unwrap();
    batch
        .on_commit_async(async |_| {
            tokio::task::yield_now().await;
            panic_on_purpose("async")
        })
        .unwrap();
    batch.on_commit_async(async |_| Err::<(), _>("no luck")).unwrap();
    let seen = trace.clone();
    batch.on_commit(move |_| seen.note("last")).unwrap();
    let jobs: Vec<_> = batch.jobs().collect();
    let report = batch.commit().await.unwrap();
    assert_eq!(trace.all(), ["third", "last"], "siblings still run");
    assert_applied(&jobs);
    assert!(report.is_success(), "the commit's result is unchanged");
    let failures: Vec<_> = report
        .callback_failures()
        .iter()
        .map(|failure| (failure.job, failure.place, failure.reason.as_str()))
        .collect();
    assert_eq!(failures.len(), 6, "{failures:?}");
    assert_eq!(failures[0], (Some(1), 1, "no disk"));
    assert!(failures[1].2.contains("a panic on purpose, of a job"), "{failures:?}");
    assert_eq!((failures[1].0, failures[1].1), (Some(2), 2));
    assert!(failures[2].2.contains("a panic on purpose, of the batch"), "{failures:?}");
    assert_eq!(failures[3], (None, 2, "no network"));
    assert!(failures[4].2.contains("a panic on purpose, async"), "{failures:?}");
    assert_eq!(failures[5], (None, 4, "no luck"));
    let told = report.to_string();
    assert!(told.contains("no disk") && told.contains("no network"), "{told}");
}

async fn an_overlong_async_one_is_dropped_and_recorded(context: Context) {
    let trace = Trace::default();
    let longest = Duration::from_millis(50);
    let mut batch = context.store().batch(BatchOptions::new().callback_timeout(longest)).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    let (told, dropped) = tokio::sync::oneshot::channel::<()>();
    batch
        .on_commit_async(async move |_| {
            let _told = told;
            std::future::pending::<()>().await;
        })
        .unwrap();
    let seen = trace.clone();
    batch.on_commit(move |_| seen.note("sibling")).unwrap();
    let report = batch.commit().await.unwrap();
    assert!(dropped.await.is_err(), "the callback's future is dropped");
    assert_eq!(trace.all(), ["sibling"]);
    assert!(report.is_success());
    assert_applied([&job]);
    let failures = report.callback_failures();
    assert_eq!((failures.len(), failures[0].place, failures[0].job), (1, 1, None));
    assert!(failures[0].reason.contains("longer"), "{failures:?}");
}

/// Panics where it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_on_purpose("in a drop");
    }
}

async fn one_that_panics_when_it_is_dropped_is_recorded(context: Context) {
    let trace = Trace::default();
    let longest = Duration::from_millis(50);
    let mut batch = context.store().batch(BatchOptions::new().callback_timeout(longest)).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    batch
        .on_commit_async(async move |_| {
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        })
        .unwrap();
    let seen = trace.clone();
    batch.on_commit(move |_| seen.note("sibling")).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!(trace.all(), ["sibling"]);
    assert_applied([&job]);
    let failures = report.callback_failures();
    assert_eq!((failures.len(), failures[0].place), (1, 1), "{failures:?}");
}

async fn async_ones_own_their_report_and_may_use_the_store(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    let (store, collection) = (Arc::clone(context.store()), context.collection().to_owned());
    let follow_up = context.put("follow-up", &aged(2));
    batch
        .on_commit_async(async move |report: batch_core::Report| {
            assert_eq!(report.applied(), 1);
            let found = store.get(&collection, [("id", "a")]).await?;
            assert!(found.is_some());
            let (jobs, report) = commit_on(&*store, BatchOptions::new(), [follow_up]).await;
            assert_agree(&report, &jobs);
            Ok::<_, batch_core::Error>(())
        })
        .unwrap();
    let report = batch.commit().await.unwrap();
    assert!(report.callback_failures().is_empty(), "{report}");
    assert_applied([&job]);
    assert_eq!(context.age("follow-up").await, Some(2));
}

async fn plain_ones_may_look_at_everything(context: Context) {
    let trace = Trace::default();
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let progress = batch.progress();
    let (store, seen) = (Arc::clone(context.store()), trace.clone());
    let other = context.put("other", &aged(1));
    batch
        .queue_with(context.put("a", &aged(1)), move |job| {
            let mut batch = store.batch(BatchOptions::new())?;
            let queued = batch.queue(other)?;
            seen.note(format!("{} {} {}", job.outcome().is_ok(), progress.settled(), queued.id()));
            batch.discard();
            Ok::<_, batch_core::Error>(())
        })
        .unwrap();
    let seen = trace.clone();
    batch
        .on_commit(move |report| {
            let kept = report.clone();
            seen.note(format!("{} {}", kept.jobs().len(), kept.to_string().contains("1 applied")));
        })
        .unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!(trace.all(), ["true 1 1", "1 true"]);
    assert!(report.callback_failures().is_empty(), "{report}");
}

async fn on_success_and_on_failure_are_sugar(context: Context) {
    context.given("taken", &aged(1)).await;
    for (operation, expected) in
        [(context.put("a", &aged(1)), "success"), (context.insert("taken", &aged(1)), "failure")]
    {
        let trace = Trace::default();
        let mut batch = context.store().batch(BatchOptions::new()).unwrap();
        batch.queue(operation).unwrap();
        let (success, failure) = (trace.clone(), trace.clone());
        batch.on_success(move |_| success.note("success")).unwrap();
        batch.on_failure(move |_| failure.note("failure")).unwrap();
        batch.on_success(|_| Err::<(), _>("failed after a success")).unwrap();
        batch.on_failure(|_| Err::<(), _>("failed after a failure")).unwrap();
        let report = batch.commit().await.unwrap();
        assert_eq!(trace.all(), [expected]);
        let failures = report.callback_failures();
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(failures[0].reason.ends_with(expected), "{failures:?}");
    }
    assert_eq!(context.age("taken").await, Some(1));
    let mut closed = context.store().batch(BatchOptions::new()).unwrap();
    closed.discard();
    let error = closed.on_failure(|_| ()).expect_err("it is discarded");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
}

async fn run_under_every_guarantee(context: Context) {
    for guarantee in context.guarantees() {
        let trace = Trace::default();
        let mut batch = context.store().batch(asking(guarantee)).unwrap();
        for put in context.puts(3) {
            let seen = trace.clone();
            batch.queue_with(put, move |job| seen.note(job.status().as_str())).unwrap();
        }
        let seen = trace.clone();
        batch.on_commit(move |report| seen.note(report.guarantee().as_str())).unwrap();
        let report = batch.commit().await.unwrap();
        assert_eq!(trace.all(), ["applied", "applied", "applied", guarantee.as_str()]);
        assert!(context.time() == Time::Real || report.elapsed() < Duration::from_secs(5));
    }
}
