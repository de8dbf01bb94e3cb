//! A commit under way, whoever polls it: the batch, or the runtime after the batch let go.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::FutureExt as _;
use tokio::time::Sleep;
use tracing::Instrument as _;

use super::{Commit, Work, errors};
use crate::{
    Error, ErrorKind, Report, Result,
    backend::{Terms, View},
    engine::{Running, Shared},
    metrics,
    plan::{Planned, SLICE, plan},
    queue::Queue,
};

/// A commit under way: polled in place by the batch, or spawned to finish when that is dropped.
/// Its own drop settles what is left, so that no job pends for ever.
pub(crate) struct RunningCommit {
    future: Option<Pin<Box<dyn Future<Output = Result<Report>> + Send>>>,
    work: Arc<Work>,
    _running: Running,
}

impl RunningCommit {
    /// `timer` is the sleep until the deadline.
    pub(crate) fn new(work: Arc<Work>, running: Running, timer: Sleep) -> Self {
        let span = tracing::info_span!(
            "batch.commit",
            store = work.shared.name,
            guarantee = work.terms.guarantee.as_str(),
            operations = work.queue().len(),
            bytes = tracing::field::Empty,
            mechanism = tracing::field::Empty,
            applied = tracing::field::Empty,
            not_applied = tracing::field::Empty,
            accepted = tracing::field::Empty,
            unknown = tracing::field::Empty,
            attempts = tracing::field::Empty,
        );
        let future = Box::pin(run(Arc::clone(&work), timer).instrument(span));
        Self { future: Some(future), work, _running: running }
    }

    /// From now on it goes on by itself, and others follow it.
    pub(crate) fn detach(&self) {
        if !self.work.has_ended() {
            self.work.shared.detached.add(&self.work);
        }
    }

    /// Whether the batch can no longer be opened again.
    pub(crate) fn cannot_reopen(&self) -> bool {
        self.work.cannot_reopen()
    }
}

impl Future for RunningCommit {
    type Output = Result<Report>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.work.pace.next_poll();
        let Some(future) = self.future.as_mut() else {
            unreachable!("a commit is not polled after its end")
        };
        let result = std::task::ready!(future.as_mut().poll(cx));
        self.future = None;
        Poll::Ready(result)
    }
}

impl Drop for RunningCommit {
    fn drop(&mut self) {
        // What is in flight ends first; nothing is sent from here on.
        if self.future.take().is_some() && self.work.cannot_reopen() && !self.work.has_ended() {
            let not_applied = Error::new(
                ErrorKind::Cancelled,
                "the commit was cancelled before this operation was sent; `batch.take()` gives it back",
            );
            let unknown = Error::new(
                ErrorKind::Cancelled,
                "the commit was cancelled while this operation was under way; read the row to know",
            )
            .unknown();
            while self.work.release_held().1 {}
            let all = self.work.queue().len();
            for start in (0..all).step_by(SLICE as usize) {
                self.work.settle_rest(start..all.min(start + SLICE), &not_applied, &unknown);
            }
            self.work.end();
        }
        // However it ended, nobody waits for it any more.
        self.work.shared.detached.end(&self.work);
    }
}

/// Reads metadata and plans: what a plan shows and a commit sends. Metadata that cannot be read now
/// is read again if `waits`; the deadline is the caller's, and `again` gets the reasons.
///
/// # Errors
/// What stands in the way of the whole batch. Nothing was sent.
pub(crate) async fn prepare(
    shared: &Shared,
    queue: &Queue,
    terms: Terms,
    waits: bool,
    again: &(dyn Fn(Error) + Sync),
) -> Result<Planned> {
    let preparing = AssertUnwindSafe(async {
        // What was resolved may be gone already: other commits use it too.
        let mut before = 0;
        loop {
            let planned = resolve_and_plan(shared, queue, terms, waits, again).await;
            let stale = match &planned {
                Ok(planned) => planned.routes.any_stale,
                Err(error) => error.kind() == ErrorKind::Stale,
            };
            if !stale || before == MOST_STALE {
                return planned;
            }
            // Rare, so not a part of every commit's future.
            if let Ok(planned) = planned {
                Box::pin(planned.free()).await;
            }
            if waits && before > 0 {
                Box::pin(tokio::time::sleep(shared.options.pause(before - 1, before.into()))).await;
            }
            before += 1;
        }
    });
    let prepared = preparing.catch_unwind().await;
    let prepared = prepared.unwrap_or_else(|panic| Err(errors::panicked("planning", panic)));
    prepared.map_err(Error::certain)
}

/// How often a commit resolves once more because something was gone when it was routed.
const MOST_STALE: u32 = 10;

async fn resolve_and_plan(
    shared: &Shared,
    queue: &Queue,
    terms: Terms,
    waits: bool,
    again: &(dyn Fn(Error) + Sync),
) -> Result<Planned> {
    let mut before = 0;
    // An empty commit does no I/O.
    while !queue.is_empty() {
        let view = View::range(queue, 0, queue.len());
        let pause = shared.options.pause(before, before.into());
        let pause = match shared.backend.resolve(view, false).await {
            Err(error) if waits && error.is_transient() && error.is_retry_safe() => {
                let asked_for = error.retry_after().unwrap_or_default();
                again(error);
                pause.max(asked_for)
            }
            Err(error) => return Err(error),
            Ok(()) => break,
        };
        Box::pin(tokio::time::sleep(pause)).await;
        before += 1;
    }
    plan(&*shared.backend, queue, terms, &shared.limits()).await
}

async fn run(work: Arc<Work>, timer: Sleep) -> Result<Report> {
    let mut timer = std::pin::pin!(timer);
    let unresolved = |error| work.ledger().unresolved = Some(error);
    let mut planned = tokio::select! {
        biased;
        planned = prepare(&work.shared, work.queue(), work.terms, true, &unresolved) => planned?,
        () = &mut timer => {
            let before = "metadata was read and the batch was planned";
            return Err(errors::nothing_sent_in_time(&work, before));
        }
    };
    if work.shared.detached.is_any() {
        tokio::select! {
            biased;
            () = Box::pin(work.shared.detached.let_by(&planned)) => {}
            () = &mut timer => {
                let before = "an earlier commit on the same keys, whose future was dropped while it ran, had ended";
                return Err(errors::nothing_sent_in_time(&work, before));
            }
        }
    }
    planned.free_shared().await;
    let span = tracing::Span::current();
    if !span.is_disabled() {
        span.record("bytes", planned.bytes()).record("mechanism", planned.mechanisms().await);
    }
    let mut commit = Commit::new(Arc::clone(&work), planned);
    commit.drive(timer).await?;
    // The plan is large and callbacks may take their time.
    let Commit { planned, kept, .. } = commit;
    planned.free().await;
    if let Some(kept) = Arc::into_inner(kept) {
        kept.free().await;
    }
    work.end();
    let report = work.report();
    metrics::committed(&report);
    span.record("applied", report.applied()).record("not_applied", report.not_applied());
    span.record("accepted", report.accepted()).record("unknown", report.unknown());
    span.record("attempts", report.attempts());
    let callbacks = work.take_callbacks();
    let failures = callbacks.run(&work.table, &report, work.options.callback_timeout).await;
    Ok(report.with_callback_failures(failures))
}
