//! A commit future that is dropped, and a runtime that goes away.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use batch_core::{
    Batch, BatchExt as _, BatchOptions, BatchState, ErrorKind, Job, JobStatus, OnCancel, Report,
};

use crate::{
    Case, Context, Point, Time,
    case::case,
    context::{aged, asking, assert_applied, assert_pending, not_applied, quick, unknown},
    runner::fresh_runtime,
};

pub(super) const CASES: &[Case] = &[
    case!(
        cancel,
        before_the_point_of_no_return_the_batch_is_open_and_whole,
        [Faults],
        "Until the point of no return a dropped future leaves the batch Open and whole, its jobs Pending, its callbacks kept."
    ),
    case!(
        cancel,
        after_it_the_commit_finishes_detached,
        [Faults],
        "A commit future dropped after the point of no return finishes detached on the runtime, to its deadline, callbacks included."
    ),
    case!(
        cancel,
        or_settles_if_asked_to,
        [Faults],
        "With `on_cancel(Settle)` chunks not begun are NotApplied(Cancelled), begun ones Unknown(Cancelled), callbacks do not run."
    ),
    case!(
        cancel,
        a_detached_commit_keeps_its_deadline,
        [Faults],
        "Finishes detached on the runtime, to its deadline."
    ),
    case!(
        cancel,
        when_the_runtime_goes_away_nothing_pends,
        [Faults],
        "When the runtime shuts down, chunks not begun are NotApplied(Cancelled), begun ones Unknown(Cancelled). Never pending for ever."
    ),
    case!(
        cancel,
        at_every_await_point_detached,
        [],
        "Never pending for ever. Tested at every await point, both ways."
    ),
    case!(
        cancel,
        at_every_await_point_settled,
        [],
        "Never pending for ever. Tested at every await point, both ways."
    ),
];

/// Counts how often it is called back.
#[derive(Clone, Default)]
struct Called(Arc<AtomicUsize>);

impl Called {
    fn by(&self, batch: &mut dyn Batch) {
        let counter = Arc::clone(&self.0);
        let registered = batch.on_commit(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        registered.unwrap();
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn before_the_point_of_no_return_the_batch_is_open_and_whole(context: Context) {
    let ways = [OnCancel::Detach, OnCancel::Settle];
    for (on_cancel, point) in ways.into_iter().zip([Point::Before, Point::Resolve]) {
        for guarantee in context.guarantees() {
            let wrapped = context.wrap([], quick()).await;
            wrapped.probe.hold(point);
            let called = Called::default();
            let mut batch = wrapped.store.batch(asking(guarantee).on_cancel(on_cancel)).unwrap();
            let jobs = batch.queue_all(context.puts(3)).unwrap();
            called.by(&mut *batch);
            tokio::select! {
                _ = batch.commit() => panic!("the request is held"),
                () = wrapped.probe.reached(1) => {}
            }
            assert_eq!((batch.state(), batch.len()), (BatchState::Open, 3));
            assert_pending(&jobs);
            assert_eq!(called.times(), 0);
            context.expect_absent("p1").await;
            wrapped.probe.release();
            assert!(batch.commit().await.unwrap().is_success());
            assert_applied(&jobs);
            assert_eq!(called.times(), 1, "callbacks are kept, and run once");
            let (jobs, _) = context.commit(deletes(&context, 3)).await;
            assert_applied(&jobs);
        }
    }
}

fn deletes(context: &Context, count: u32) -> Vec<batch_core::Operation> {
    (1..=count).map(|number| context.on(batch_core::Verb::Delete, &format!("p{number}"))).collect()
}

async fn after_it_the_commit_finishes_detached(context: Context) {
    for point in [Point::Sent, Point::Applied] {
        for guarantee in context.guarantees() {
            let wrapped = context.wrap([], quick()).await;
            wrapped.probe.hold(point);
            let mut batch = wrapped.store.batch(asking(guarantee)).unwrap();
            let jobs = batch.queue_all(context.puts(3)).unwrap();
            let (told, heard) = tokio::sync::oneshot::channel::<Report>();
            batch
                .on_commit(move |report| {
                    let _ = told.send(report.clone());
                })
                .unwrap();
            tokio::select! {
                _ = batch.commit() => panic!("the request is held"),
                () = wrapped.probe.reached(1) => {}
            }
            assert_eq!(batch.state(), BatchState::Committing);
            let again = batch.commit().await.expect_err("it runs already");
            assert_eq!(again.kind(), ErrorKind::InvalidState);
            assert_pending(&jobs);
            wrapped.probe.release();
            let report = heard.await.expect("callbacks run");
            assert_eq!(report.applied(), 3, "{report}");
            assert_applied(&jobs);
            assert_eq!(batch.state(), BatchState::Committed);
            for number in 1..=3 {
                assert_eq!(context.age(&format!("p{number}")).await, Some(number));
            }
        }
    }
}

async fn or_settles_if_asked_to(context: Context) {
    for point in [Point::Sent, Point::Applied] {
        let options = quick().max_batch_operations(1).max_in_flight(1);
        let wrapped = context.wrap([], options).await;
        wrapped.probe.hold(point);
        let called = Called::default();
        let options = BatchOptions::new().on_cancel(OnCancel::Settle);
        let mut batch = wrapped.store.batch(options).unwrap();
        let jobs = batch.queue_all(context.puts(3)).unwrap();
        called.by(&mut *batch);
        let waiting = tokio::spawn({
            let job = jobs[2].clone();
            async move { job.await }
        });
        tokio::select! {
            _ = batch.commit() => panic!("the request is held"),
            () = wrapped.probe.reached(1) => {}
        }
        assert_eq!(batch.state(), BatchState::Committed);
        assert_eq!(unknown(&jobs[0]).kind(), ErrorKind::Cancelled);
        for job in &jobs[1..] {
            assert_eq!(not_applied(job).kind(), ErrorKind::Cancelled);
        }
        assert!(matches!(waiting.await.unwrap(), JobStatus::NotApplied(_)), "waiters wake");
        wrapped.probe.release();
        assert_eq!(called.times(), 0, "callbacks do not run");
        assert_eq!(batch.take().len(), 2, "what was not applied is given back");
        context.expect_absent("p2").await;
        context.expect_absent("p3").await;
        let applied = context.age("p1").await;
        assert_eq!(applied.is_some(), point == Point::Applied, "nothing is sent any more");
        wrapped.log.assert_chunks(1);
        let (jobs, _) = context.commit(deletes(&context, 1)).await;
        assert_applied(&jobs);
    }
}

async fn a_detached_commit_keeps_its_deadline(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    wrapped.probe.hold(Point::Sent);
    let options = BatchOptions::new().deadline(context.short_deadline());
    let mut batch = wrapped.store.batch(options).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    tokio::select! {
        _ = batch.commit() => panic!("the request is held"),
        () = wrapped.probe.reached(1) => {}
    }
    drop(batch);
    let status = job.await;
    assert_eq!(status.as_str(), "unknown");
    assert_eq!(status.error().map(batch_core::Error::kind), Some(ErrorKind::Timeout));
}

async fn when_the_runtime_goes_away_nothing_pends(context: Context) {
    for (on_cancel, dropped_first) in
        [(OnCancel::Detach, true), (OnCancel::Detach, false), (OnCancel::Settle, false)]
    {
        let inner = context.clone();
        let doomed = move || -> (Vec<Job>, usize) {
            let called = Called::default();
            let runtime = fresh_runtime(inner.time()).unwrap();
            let jobs = runtime.block_on(async {
                let options = quick().max_batch_operations(1).max_in_flight(1);
                let wrapped = inner.wrap([], options).await;
                wrapped.probe.hold(Point::Sent);
                let options = BatchOptions::new().on_cancel(on_cancel);
                let mut batch = wrapped.store.batch(options).unwrap();
                let jobs = batch.queue_all(inner.puts(3)).unwrap();
                called.by(&mut *batch);
                if dropped_first {
                    tokio::select! {
                        _ = batch.commit() => panic!("the request is held"),
                        () = wrapped.probe.reached(1) => {}
                    }
                } else {
                    // The task that commits goes away with the runtime.
                    tokio::spawn(async move { batch.commit().await.map(drop) });
                    wrapped.probe.reached(1).await;
                }
                jobs
            });
            drop(runtime);
            (jobs, called.times())
        };
        let (jobs, called) = tokio::task::spawn_blocking(doomed).await.unwrap();
        assert_eq!(unknown(&jobs[0]).kind(), ErrorKind::Cancelled);
        for job in &jobs[1..] {
            assert_eq!(not_applied(job).kind(), ErrorKind::Cancelled);
        }
        assert_eq!(called, 0, "callbacks do not run");
        let status = jobs[0].clone().await;
        assert_eq!(status.as_str(), "unknown", "who waits later is told too");
    }
}

/// Polls a future so often, and drops it if it has not ended by then.
async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = times;
    std::future::poll_fn(move |task| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match Pin::as_mut(&mut future).poll(task) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                if left == 0 {
                    return Poll::Ready(None);
                }
                Poll::Pending
            }
        }
    })
    .await
}

async fn at_every_await_point_detached(context: Context) {
    assert_every_await_point(&context, OnCancel::Detach).await;
}

async fn at_every_await_point_settled(context: Context) {
    assert_every_await_point(&context, OnCancel::Settle).await;
}

/// A commit dropped after one poll, after two, and so on until one is not dropped any more.
async fn assert_every_await_point(context: &Context, on_cancel: OnCancel) {
    let most = if context.time() == Time::Paused { 500 } else { 60 };
    for guarantee in context.guarantees() {
        let store = context.delayed(3, quick().max_batch_operations(3).max_in_flight(2)).await;
        let mut ended = false;
        for times in 0..most {
            let id = |key: u32| format!("{}-{times}-{key}", guarantee.as_str());
            let operations = [
                context.put(&id(0), &aged(0)),
                context.put(&id(1), &aged(1)),
                context.put(&id(2), &aged(2)),
            ];
            let called = Called::default();
            let mut batch = store.batch(asking(guarantee).on_cancel(on_cancel)).unwrap();
            let jobs = batch.queue_all(operations).unwrap();
            called.by(&mut *batch);
            let committed = poll_times(batch.commit(), times).await;
            ended = committed.is_some();
            match batch.state() {
                BatchState::Open => {
                    assert_pending(&jobs);
                    for key in 0..3 {
                        context.expect_absent(&id(key)).await;
                    }
                    assert!(batch.commit().await.unwrap().is_success(), "open and whole");
                    assert_eq!(called.times(), 1);
                }
                state => assert_ne!(state, BatchState::Discarded),
            }
            for (job, key) in jobs.iter().zip(0..) {
                let status = job.clone().await;
                let found = context.read(&id(key)).await;
                match status {
                    JobStatus::Applied(_) => assert!(found.is_some(), "poll {times}"),
                    JobStatus::NotApplied(error) => {
                        assert_eq!(error.kind(), ErrorKind::Cancelled, "poll {times}");
                        assert_eq!(on_cancel, OnCancel::Settle, "poll {times}: {error}");
                        assert!(found.is_none(), "poll {times}: {found:?}");
                    }
                    JobStatus::Unknown(error) => {
                        assert_eq!(error.kind(), ErrorKind::Cancelled, "poll {times}");
                        assert_eq!(on_cancel, OnCancel::Settle, "poll {times}: {error}");
                    }
                    other => panic!("poll {times}: {other:?}"),
                }
            }
            if ended {
                break;
            }
        }
        assert!(ended, "{guarantee}: no commit ended within {most} polls");
    }
}
