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
    Error, ErrorKind, Report, Result, backend::View, engine::Running, metrics, plan::plan,
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
            applied = tracing::field::Empty,
            not_applied = tracing::field::Empty,
            accepted = tracing::field::Empty,
            unknown = tracing::field::Empty,
            attempts = tracing::field::Empty,
        );
        let future = Box::pin(run(Arc::clone(&work), timer).instrument(span));
        Self { future: Some(future), work, _running: running }
    }

    /// Whether a drop may leave operations in the store.
    pub(crate) fn any_sent(&self) -> bool {
        self.work.any_sent()
    }
}

impl Future for RunningCommit {
    type Output = Result<Report>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
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
        if self.future.take().is_some() && self.work.any_sent() && !self.work.has_ended() {
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
            self.work.settle_rest(0..self.work.queue().len(), &not_applied, &unknown);
            self.work.end();
        }
    }
}

/// Reads metadata, and again if that may help. The deadline is the caller's.
async fn resolve(work: &Work) -> Result<()> {
    let queue = work.queue();
    if queue.is_empty() {
        // An empty commit does no I/O.
        return Ok(());
    }
    let mut before = 0;
    loop {
        let view = View::range(queue, 0, queue.len());
        match work.shared.backend.resolve(view, false).await {
            Err(error) if error.is_transient() && error.is_retry_safe() => {
                work.ledger().unresolved = Some(error);
            }
            result => return result,
        }
        tokio::time::sleep(work.shared.options.pause(before, before.into())).await;
        before += 1;
    }
}

async fn run(work: Arc<Work>, timer: Sleep) -> Result<Report> {
    let mut timer = Box::pin(timer);
    let planned = {
        let limits = work.shared.limits();
        let backend = &*work.shared.backend;
        let planning = AssertUnwindSafe(async {
            resolve(&work).await?;
            plan(backend, work.queue(), work.terms, &limits).await
        });
        tokio::select! {
            biased;
            planned = planning.catch_unwind() => planned.unwrap_or_else(|panic| {
                Err(errors::panicked("planning", &*panic))
            })?,
            () = &mut timer => return Err(errors::nothing_sent_in_time(&work, "metadata was read and the batch was planned")),
        }
    };
    let mut commit = Commit::new(Arc::clone(&work), planned);
    commit.drive(timer).await?;
    // The plan is large and callbacks may take their time.
    commit.planned.free().await;
    work.end();
    let report = work.report();
    metrics::committed(&report);
    let span = tracing::Span::current();
    span.record("applied", report.applied()).record("not_applied", report.not_applied());
    span.record("accepted", report.accepted()).record("unknown", report.unknown());
    span.record("attempts", report.attempts());
    let callbacks = work.take_callbacks();
    let failures = callbacks.run(&work.table, &report, work.options.callback_timeout).await;
    Ok(report.with_callback_failures(failures))
}
