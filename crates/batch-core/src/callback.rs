//! Callbacks: what runs after every job of a batch is settled.

use std::{fmt, future::Future, panic::AssertUnwindSafe, pin::Pin, time::Duration};

use futures_util::FutureExt as _;

use crate::{Job, Report, report::CallbackFailure, table::JobTable};

/// A boxed future, as asynchronous callbacks return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a callback may return: nothing, or a result whose error is recorded in the report.
pub trait CallbackResult {
    /// The error's text, if it failed.
    fn into_failure(self) -> Option<String>;
}

impl CallbackResult for () {
    fn into_failure(self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Display> CallbackResult for Result<T, E> {
    fn into_failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// A callback of one operation; gets the job, which has ended.
pub struct JobCallback(Box<dyn FnOnce(&Job) -> Option<String> + Send>);

impl JobCallback {
    /// A callback from a closure that returns `()` or a `Result`.
    pub fn new<R: CallbackResult>(run: impl FnOnce(&Job) -> R + Send + 'static) -> Self {
        Self(Box::new(move |job| run(job).into_failure()))
    }
}

impl fmt::Debug for JobCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobCallback")
    }
}

/// A callback of a batch; gets the report.
pub struct Callback(Kind);

enum Kind {
    Sync(Box<dyn FnOnce(&Report) -> Option<String> + Send>),
    Async(Box<dyn FnOnce(Report) -> BoxFuture<'static, Option<String>> + Send>),
}

impl Callback {
    /// A plain callback from a closure that returns `()` or a `Result`.
    pub fn new<R: CallbackResult>(run: impl FnOnce(&Report) -> R + Send + 'static) -> Self {
        Self(Kind::Sync(Box::new(move |report| run(report).into_failure())))
    }

    /// An async callback. It owns its clone of the report, since a borrowing async closure cannot
    /// be shown to be `Send`.
    pub fn new_async<F>(run: impl FnOnce(Report) -> F + Send + 'static) -> Self
    where
        F: Future<Output: CallbackResult> + Send + 'static,
    {
        Self(Kind::Async(Box::new(move |report| {
            Box::pin(async move { run(report).await.into_failure() })
        })))
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Sync(_) => "Callback",
            Kind::Async(_) => "Callback(async)",
        })
    }
}

/// The callbacks of a batch, until they run.
#[derive(Debug, Default)]
pub(crate) struct Callbacks {
    pub(crate) of_jobs: Vec<(u32, JobCallback)>,
    pub(crate) of_batch: Vec<Callback>,
}

impl Callbacks {
    /// Runs all of them: per-operation ones in queue order, then the batch's as registered.
    /// A failure of one never keeps another from running.
    pub(crate) async fn run(
        self,
        table: &std::sync::Arc<JobTable>,
        report: &Report,
        timeout: Duration,
    ) -> Vec<CallbackFailure> {
        let mut failures = Vec::new();
        for (place, (index, JobCallback(run))) in self.of_jobs.into_iter().enumerate() {
            let job = Job::new(table, index);
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(&job)));
            note(&mut failures, Some(job.id()), place, flatten(result));
            // User code: gives way after each, whatever it took.
            tokio::task::yield_now().await;
        }
        for (place, Callback(kind)) in self.of_batch.into_iter().enumerate() {
            let result = match kind {
                Kind::Sync(run) => {
                    flatten(std::panic::catch_unwind(AssertUnwindSafe(|| run(report))))
                }
                Kind::Async(run) => {
                    // The closure itself may panic before it returns its future.
                    let report = report.clone();
                    let future = AssertUnwindSafe(async move { run(report).await }).catch_unwind();
                    let mut future = Box::pin(future);
                    let ended = tokio::time::timeout(timeout, &mut future).await;
                    let result = match ended {
                        Ok(result) => flatten(result),
                        Err(_) => Some(format!("it took longer than {timeout:?} and was dropped")),
                    };
                    // What it owns may panic as well.
                    let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(future)));
                    result.or_else(|| flatten(dropped.map(|()| None)))
                }
            };
            note(&mut failures, None, place, result);
        }
        failures
    }
}

fn flatten(result: std::thread::Result<Option<String>>) -> Option<String> {
    result.unwrap_or_else(|panic| Some(format!("it panicked: {}", panic_text(panic))))
}

fn note(
    failures: &mut Vec<CallbackFailure>,
    job: Option<u32>,
    place: usize,
    reason: Option<String>,
) {
    if let Some(reason) = reason {
        tracing::warn!(job, callback = place + 1, reason, "a callback failed; the batch stands");
        failures.push(CallbackFailure { job, place: place + 1, reason });
    }
}

/// The text of a panic, if it has one. Whatever was thrown may panic again when it is dropped, and
/// that must reach nobody.
#[expect(clippy::mem_forget, reason = "a value that panics twice is better leaked than dropped")]
pub(crate) fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message").to_owned();
    if let Err(again) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    text
}
