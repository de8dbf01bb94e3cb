//! Life of a batch: Open → Committing → Committed, or Open → Discarded.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use batch_core::{
    Batch, BatchExt as _, BatchOptions, BatchState, Error, ErrorKind, Operation, Verb,
};

use crate::{
    Case, Context, Point, Time,
    case::case,
    context::{
        STOP, aged, asking, assert_agree, assert_applied, assert_pending, commit_on, not_applied,
        quick,
    },
};

pub(super) const CASES: &[Case] = &[
    case!(
        life,
        an_empty_commit_is_ok,
        [],
        "Empty commit: Ok, empty report, no I/O; callbacks run with the empty report."
    ),
    case!(
        life,
        an_empty_commit_does_no_io,
        [Faults],
        "Empty commit: Ok, empty report, no I/O; callbacks run with the empty report."
    ),
    case!(
        life,
        nothing_is_taken_after_the_commit,
        [],
        "Second commit, queue or callback after commit: error of kind `InvalidState`; callbacks do not rerun."
    ),
    case!(
        life,
        nothing_is_taken_after_a_discard,
        [],
        "Open → Discarded: nothing was sent, and nothing will be."
    ),
    case!(
        life,
        a_dropped_batch_sends_nothing_and_settles_its_jobs,
        [],
        "Dropped or discarded without commit: nothing is ever sent; its jobs settle as NotApplied(Discarded) and wake waiters."
    ),
    case!(
        life,
        a_discarded_batch_sends_nothing_and_settles_its_jobs,
        [],
        "Dropped or discarded without commit: nothing is ever sent; its jobs settle as NotApplied(Discarded) and wake waiters."
    ),
    case!(
        life,
        a_discard_after_the_commit_changes_nothing,
        [],
        "Open → Committing → Committed, or Open → Discarded."
    ),
    case!(
        life,
        take_gives_back_all_of_an_open_batch,
        [],
        "`batch.take()` gives back all operations of an open batch."
    ),
    case!(
        life,
        take_gives_back_what_was_not_applied,
        [Conditions],
        "`batch.take()` gives back those that ended NotApplied of a committed one (resubmission, dead letters)."
    ),
    case!(
        life,
        what_was_taken_can_be_committed_again,
        [Conditions],
        "`batch.take()` gives back those that ended NotApplied of a committed one (resubmission, dead letters)."
    ),
    case!(
        life,
        an_err_leaves_the_batch_open_and_whole,
        [Faults],
        "An error before the point of no return leaves the batch Open and whole, its jobs Pending, its callbacks kept; commit may be called again."
    ),
    case!(
        life,
        verdicts_reached_before_anything_was_sent_are_held_back,
        [Faults],
        "Verdicts reached before (refused by planning or encoding) are held back until then, or until nothing is left to send."
    ),
    case!(
        life,
        verdicts_are_given_when_nothing_is_left_to_send,
        [Faults],
        "Verdicts reached before (refused by planning or encoding) are held back until then, or until nothing is left to send."
    ),
    case!(
        life,
        an_ordered_batch_that_stops_before_anything_was_sent_says_so,
        [Faults, Ordered],
        "Verdicts reached before (refused by planning or encoding) are held back until then, or until nothing is left to send."
    ),
    case!(
        life,
        metadata_that_cannot_be_read_leaves_the_batch_open,
        [Faults],
        "`Err` if and only if nothing was sent."
    ),
    case!(
        life,
        metadata_that_cannot_be_read_now_is_read_again,
        [Faults],
        "Definitely-not-applied and transient: retried with jittered backoff inside the deadline."
    ),
    case!(
        life,
        a_commit_outside_a_runtime_is_invalid_and_leaves_the_batch_open,
        [],
        "`commit` outside a runtime is an error of kind `InvalidState`, never a panic; everything else works without one."
    ),
    case!(
        life,
        a_commit_on_a_runtime_without_a_timer_is_invalid,
        [],
        "`commit` outside a runtime is an error of kind `InvalidState`, never a panic."
    ),
    case!(
        life,
        progress_can_be_watched_while_the_commit_runs,
        [Faults],
        "`progress()` (cheap, `Send`: queued, sent, settled so far)."
    ),
];

async fn an_empty_commit_is_ok(context: Context) {
    for guarantee in context.guarantees() {
        let called = Arc::new(AtomicUsize::new(0));
        let mut batch = context.store().batch(asking(guarantee)).unwrap();
        let counter = Arc::clone(&called);
        batch
            .on_commit(move |report| {
                assert_eq!(report.total(), 0);
                counter.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        assert!(batch.is_empty());
        let report = batch.commit().await.unwrap();
        assert!(report.is_success());
        assert_eq!((report.total(), report.attempts(), report.jobs().len()), (0, 0, 0));
        assert!(report.mechanisms().is_empty() && report.callback_failures().is_empty());
        assert_eq!(called.load(Ordering::SeqCst), 1);
        assert_eq!(batch.state(), BatchState::Committed);
    }
}

async fn an_empty_commit_does_no_io(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    wrapped.log.assert_nothing_sent();
}

async fn assert_takes_nothing(context: &Context, batch: &mut Box<dyn Batch>) {
    let error = batch.commit().await.expect_err("it is not open");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    let operation = context.put("late", &aged(1));
    let size = operation.size();
    let rejected = batch.queue(operation).expect_err("it is not open");
    assert_eq!(rejected.error.kind(), ErrorKind::InvalidState);
    assert_eq!(rejected.operation.size(), size, "the operation is given back");
    let error = batch.on_commit(|_| ()).expect_err("it is not open");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    context.expect_absent("late").await;
}

async fn nothing_is_taken_after_the_commit(context: Context) {
    let called = Arc::new(AtomicUsize::new(0));
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let counter = Arc::clone(&called);
    batch
        .on_commit(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    context.given("a", &aged(2)).await;
    assert_takes_nothing(&context, &mut batch).await;
    assert_eq!(called.load(Ordering::SeqCst), 1, "callbacks do not rerun");
    assert_eq!(context.age("a").await, Some(2), "nothing is sent again");
    assert_applied([&job]);
    assert_eq!(batch.state(), BatchState::Committed);
}

async fn nothing_is_taken_after_a_discard(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    batch.queue(context.put("a", &aged(1))).unwrap();
    batch.discard();
    assert_takes_nothing(&context, &mut batch).await;
    assert_eq!(batch.state(), BatchState::Discarded);
    context.expect_absent("a").await;
}

async fn a_dropped_batch_sends_nothing_and_settles_its_jobs(context: Context) {
    assert_gives_up(&context, drop).await;
}

async fn a_discarded_batch_sends_nothing_and_settles_its_jobs(context: Context) {
    assert_gives_up(&context, |mut batch| {
        batch.discard();
        assert_eq!(batch.state(), BatchState::Discarded);
        batch.discard();
    })
    .await;
}

async fn assert_gives_up(context: &Context, give_up: fn(Box<dyn Batch>)) {
    let called = Arc::new(AtomicUsize::new(0));
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let (of_job, of_batch) = (Arc::clone(&called), Arc::clone(&called));
    let operation = context.put("a", &aged(1));
    let job = batch
        .queue_with(operation, move |_| {
            of_job.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    batch
        .on_commit(move |_| {
            of_batch.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    let waiting = tokio::spawn(async move { job.await });
    let other = batch.queue(context.put("b", &aged(1))).unwrap();
    tokio::task::yield_now().await;
    give_up(batch);
    let status = waiting.await.unwrap();
    assert_eq!(status.error().map(Error::kind), Some(ErrorKind::Discarded));
    assert_eq!(not_applied(&other).kind(), ErrorKind::Discarded);
    assert_eq!(called.load(Ordering::SeqCst), 0, "callbacks run only if the batch was executed");
    context.expect_absent("a").await;
    context.expect_absent("b").await;
}

async fn a_discard_after_the_commit_changes_nothing(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    batch.discard();
    assert_eq!(batch.state(), BatchState::Committed);
    drop(batch);
    assert_applied([&job]);
}

async fn take_gives_back_all_of_an_open_batch(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let queued: Vec<Operation> = context.puts(3).chain([context.on(Verb::Delete, "d")]).collect();
    let jobs = batch.queue_all(queued.iter().cloned()).unwrap();
    let taken = batch.take();
    let text = |operation: &Operation| {
        serde_json::to_string(operation).expect("a portable operation can be written")
    };
    assert!(taken.iter().map(text).eq(queued.iter().map(text)), "unchanged and in order");
    for job in &jobs {
        assert_eq!(not_applied(job).kind(), ErrorKind::Discarded);
    }
    assert_eq!((batch.state(), batch.len()), (BatchState::Open, 0));
    let later = batch.queue(context.put("later", &aged(1))).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.total(), later.id()), (1, 1));
    assert_applied([&later]);
    context.expect_absent("p1").await;
}

async fn take_gives_back_what_was_not_applied(context: Context) {
    context.given("taken", &aged(1)).await;
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    batch
        .queue_all([
            context.put("a", &aged(2)),
            context.insert("taken", &aged(2)),
            context.on(Verb::Update, "absent").doc(&aged(2)),
        ])
        .unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.applied(), report.not_applied()), (1, 2));
    let taken = batch.take();
    assert!(taken.iter().map(Operation::verb).eq([Verb::Insert, Verb::Update]), "{taken:?}");
    assert!(batch.take().is_empty(), "once");
    assert_eq!(batch.state(), BatchState::Committed);
}

async fn what_was_taken_can_be_committed_again(context: Context) {
    context.given("taken", &aged(1)).await;
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    batch.queue_all([context.put("a", &aged(2)), context.insert("taken", &aged(2))]).unwrap();
    assert_eq!(batch.commit().await.unwrap().not_applied(), 1);
    let (jobs, _) = context.commit([context.on(Verb::Delete, "taken")]).await;
    assert_applied(&jobs);
    let (jobs, _) = context.commit(batch.take()).await;
    assert_applied(&jobs);
    assert_eq!(context.age("taken").await, Some(2));
}

fn unreachable_server() -> Error {
    Error::new(ErrorKind::Connection, "the server cannot be reached").transient()
}

async fn an_err_leaves_the_batch_open_and_whole(context: Context) {
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([], quick()).await;
        wrapped.probe.cut_off(Some(unreachable_server()));
        let called = Arc::new(AtomicUsize::new(0));
        let options = asking(guarantee).deadline(context.short_deadline());
        let mut batch = wrapped.store.batch(options).unwrap();
        let jobs = batch.queue_all(context.puts(3)).unwrap();
        let counter = Arc::clone(&called);
        batch
            .on_commit(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        let error = batch.commit().await.expect_err("nothing can be sent");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{guarantee}: {error}");
        let source = error.source().and_then(|source| source.downcast_ref::<Error>());
        assert_eq!(source.map(Error::kind), Some(ErrorKind::Connection), "{guarantee}");
        assert_eq!((batch.state(), batch.len()), (BatchState::Open, 3));
        assert_pending(&jobs);
        assert_eq!(called.load(Ordering::SeqCst), 0);
        wrapped.probe.cut_off(None);
        let more = batch.queue(context.put("more", &aged(1))).unwrap();
        let report = batch.commit().await.unwrap();
        assert_applied(jobs.iter().chain([&more]));
        assert_eq!((report.total(), called.load(Ordering::SeqCst)), (4, 1));
    }
}

async fn verdicts_reached_before_anything_was_sent_are_held_back(context: Context) {
    let wrapped = context.wrap([], quick().max_batch_operations(1)).await;
    wrapped.probe.refuse(1, Error::new(ErrorKind::InvalidOperation, "cannot be encoded"));
    wrapped.probe.cut_off(Some(unreachable_server()));
    let options = BatchOptions::new().deadline(context.short_deadline());
    let mut batch = wrapped.store.batch(options).unwrap();
    let jobs = batch.queue_all(context.puts(2)).unwrap();
    let error = batch.commit().await.expect_err("nothing can be sent");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_pending(&jobs);
    assert_eq!(batch.state(), BatchState::Open);
    // Had the first one ended, its row would now be in the store all the same.
    wrapped.probe.refuse_nothing();
    wrapped.probe.cut_off(None);
    let report = batch.commit().await.unwrap();
    assert_applied(&jobs);
    assert_agree(&report, &jobs);
}

async fn verdicts_are_given_when_nothing_is_left_to_send(context: Context) {
    let wrapped = context.wrap([], quick().max_batch_operations(1)).await;
    for job in [1, 2] {
        let error = Error::new(ErrorKind::InvalidOperation, "cannot be encoded");
        wrapped.probe.refuse(job, error);
    }
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), context.puts(2)).await;
    for job in &jobs {
        assert_eq!(not_applied(job).kind(), ErrorKind::InvalidOperation);
    }
    assert_agree(&report, &jobs);

    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), context.puts(3)).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::InvalidOperation);
    assert_applied([&jobs[2]]);
    assert_agree(&report, &jobs);
    context.expect_absent("p1").await;
}

async fn an_ordered_batch_that_stops_before_anything_was_sent_says_so(context: Context) {
    let wrapped = context.wrap([], quick().max_batch_operations(1)).await;
    wrapped.probe.refuse(1, Error::new(ErrorKind::InvalidOperation, "cannot be encoded"));
    let (jobs, report) = commit_on(&*wrapped.store, asking(STOP), context.puts(3)).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::InvalidOperation);
    for job in &jobs[1..] {
        assert_eq!(not_applied(job).kind(), ErrorKind::Skipped);
    }
    assert_agree(&report, &jobs);
    context.expect_absent("p2").await;
}

async fn metadata_that_cannot_be_read_leaves_the_batch_open(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    let refused = || Error::new(ErrorKind::Unauthorized, "not allowed to look");
    wrapped.probe.fail_resolve(false, refused());
    assert_eq!(batch.plan().await.expect_err("no metadata").kind(), ErrorKind::Unauthorized);
    wrapped.probe.fail_resolve(false, refused());
    assert_eq!(batch.commit().await.expect_err("no metadata").kind(), ErrorKind::Unauthorized);
    assert_pending([&job]);
    assert_eq!(batch.state(), BatchState::Open);
    wrapped.log.assert_nothing_sent();
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied([&job]);
}

async fn metadata_that_cannot_be_read_now_is_read_again(context: Context) {
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([], quick()).await;
        wrapped.probe.fail_resolve(false, unreachable_server());
        wrapped.probe.fail_resolve(false, unreachable_server());
        let operations = [context.put("a", &aged(1))];
        let (jobs, _) = commit_on(&*wrapped.store, asking(guarantee), operations).await;
        assert_applied(&jobs);
    }
}

async fn a_commit_outside_a_runtime_is_invalid_and_leaves_the_batch_open(context: Context) {
    let (store, operation) = (Arc::clone(context.store()), context.put("a", &aged(1)));
    let outside = std::thread::spawn(move || {
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        let job = batch.queue(operation).unwrap();
        batch.on_commit(|_| ()).unwrap();
        let committed = {
            let mut commit = std::pin::pin!(batch.commit());
            commit.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()))
        };
        let Poll::Ready(Err(error)) = committed else {
            panic!("a commit without a runtime is {committed:?}");
        };
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert_pending([&job]);
        assert_eq!((batch.state(), batch.len()), (BatchState::Open, 1));
        (batch, job)
    });
    let (mut batch, job) = outside.join().expect("everything but the commit works without one");
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied([&job]);
}

async fn a_commit_on_a_runtime_without_a_timer_is_invalid(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    let (mut batch, result) = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(batch.commit()).map(|report| report.total());
        (batch, result)
    })
    .join()
    .expect("no panic");
    assert_eq!(result.expect_err("there is no timer").kind(), ErrorKind::InvalidState);
    assert_pending([&job]);
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied([&job]);
}

async fn progress_can_be_watched_while_the_commit_runs(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    wrapped.probe.hold(Point::Applied);
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let jobs = batch.queue_all(context.puts(4)).unwrap();
    let progress = batch.progress();
    assert_eq!((progress.queued(), progress.sent(), progress.settled()), (4, 0, 0));
    let committing = tokio::spawn(async move { batch.commit().await });
    wrapped.probe.reached(1).await;
    assert!(progress.sent() > 0, "{progress:?}");
    assert_eq!(progress.settled(), 0);
    wrapped.probe.release();
    let report = committing.await.unwrap().unwrap();
    assert_eq!((progress.queued(), progress.sent(), progress.settled()), (4, 4, 4));
    assert_agree(&report, &jobs);
    assert!(context.time() == Time::Real || report.elapsed() < Duration::from_secs(30));
}
