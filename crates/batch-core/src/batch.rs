//! The batch as users see it: an object-safe trait, and short forms for it.

use std::{fmt, future::Future};

use async_trait::async_trait;

use crate::{
    Callback, CallbackResult, Error, Job, JobCallback, Jobs, Operation, OperationRef, Plan,
    Progress, Report, Result,
};

/// Where a batch is in its life: Open → Committing → Committed, or Open → Discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchState {
    /// Takes operations and callbacks; nothing has been sent.
    Open,
    /// A commit was begun and passed its point of no return.
    Committing,
    /// Every job has ended.
    Committed,
    /// Nothing was sent, and nothing will be.
    Discarded,
}

impl BatchState {
    /// The state's name in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Committing => "committing",
            Self::Committed => "committed",
            Self::Discarded => "discarded",
        }
    }
}

/// A refused operation, given back with the reason. `?` turns it into the [`Error`].
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What was to be queued, unchanged.
    pub operation: Box<Operation>,
    /// Why it was refused.
    pub error: Error,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        rejected.error
    }
}

/// What can be said with an operation when it is queued.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct QueueOptions {
    /// Runs after every job of the batch is settled.
    pub then: Option<JobCallback>,
}

impl QueueOptions {
    /// No options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a callback with the job.
    #[must_use]
    pub fn then(mut self, callback: JobCallback) -> Self {
        self.then = Some(callback);
        self
    }
}

/// A set of operations that are committed together. See [`BatchExt`] for the short forms.
///
/// Object safe, used as `Box<dyn Batch>` and `&mut dyn Batch`. Dropped without a commit it sends
/// nothing, and its jobs end as `NotApplied(Discarded)`.
#[async_trait]
pub trait Batch: fmt::Debug + Send {
    /// Adds an operation. No I/O.
    ///
    /// # Errors
    /// [`Rejected`] with the operation: a mistake in it, something this store cannot do, larger
    /// than the store takes, or a batch that is not open.
    fn queue_opts(&mut self, operation: Operation, options: QueueOptions) -> Result<Job, Rejected>;

    /// Adds a callback, to run after every job of the batch is settled, if the batch is executed.
    ///
    /// # Errors
    /// [`InvalidState`](crate::ErrorKind::InvalidState) if the batch is not open.
    fn register(&mut self, callback: Callback) -> Result<()>;

    /// Where the batch is in its life.
    fn state(&self) -> BatchState;

    /// How many operations were queued.
    fn len(&self) -> usize;

    /// Whether nothing was queued.
    fn is_empty(&self) -> bool;

    /// The jobs in the order of queueing.
    fn jobs(&self) -> Jobs;

    /// How far the batch has come; can be read elsewhere while the commit runs.
    fn progress(&self) -> Progress;

    /// The operation of a job; `None` if the job is of another batch, or the operation was given
    /// back by [`take`](Self::take) or dropped by [`discard`](Self::discard).
    fn operation(&self, job: &Job) -> Option<OperationRef<'_>>;

    /// What a commit would send: chunks, bytes, mechanisms, warnings. May read metadata, never data.
    ///
    /// # Errors
    /// What `commit` would return before it sends anything.
    async fn plan(&mut self) -> Result<Plan>;

    /// Sends what is queued and settles every job.
    ///
    /// The future does the work, with no task of its own: keep polling it. One that waits for its turn and is not
    /// polled, such as those of `buffer_unordered` while the loop's body awaits something else, may
    /// be given a turn and hold up the other commits of the store; spawn such commits.
    ///
    /// # Errors
    /// `Err` only if nothing was sent: the batch is open again and whole, and commit may be called
    /// again. From the first byte on, what happened to each operation is in the report.
    async fn commit(&mut self) -> Result<Report>;

    /// Gives up: nothing is sent, jobs end as `NotApplied(Discarded)`. No effect on a batch that
    /// is not open.
    fn discard(&mut self);

    /// Gives the operations back: of an open batch all of them, and the batch is empty (their jobs
    /// end as `NotApplied(Discarded)`); of a committed one those that ended `NotApplied`, once.
    fn take(&mut self) -> Vec<Operation>;
}

macro_rules! forward_batch {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Batch + ?Sized> Batch for $pointer {
            fn queue_opts(&mut self, operation: Operation, options: QueueOptions) -> Result<Job, Rejected> {
                (**self).queue_opts(operation, options)
            }
            fn register(&mut self, callback: Callback) -> Result<()> {
                (**self).register(callback)
            }
            fn state(&self) -> BatchState {
                (**self).state()
            }
            fn len(&self) -> usize {
                (**self).len()
            }
            fn is_empty(&self) -> bool {
                (**self).is_empty()
            }
            fn jobs(&self) -> Jobs {
                (**self).jobs()
            }
            fn progress(&self) -> Progress {
                (**self).progress()
            }
            fn operation(&self, job: &Job) -> Option<OperationRef<'_>> {
                (**self).operation(job)
            }
            async fn plan(&mut self) -> Result<Plan> {
                (**self).plan().await
            }
            async fn commit(&mut self) -> Result<Report> {
                (**self).commit().await
            }
            fn discard(&mut self) {
                (**self).discard();
            }
            fn take(&mut self) -> Vec<Operation> {
                (**self).take()
            }
        }
    )+};
}
forward_batch!(Box<T>, &mut T);

/// Short forms for every [`Batch`]. Not to be implemented.
pub trait BatchExt: Batch {
    /// Adds an operation. No I/O.
    ///
    /// # Errors
    /// As [`Batch::queue_opts`].
    fn queue(&mut self, operation: Operation) -> Result<Job, Rejected> {
        self.queue_opts(operation, QueueOptions::new())
    }

    /// Adds an operation with a callback that gets its job, after every job of the batch is settled.
    ///
    /// # Errors
    /// As [`Batch::queue_opts`].
    fn queue_with<R: CallbackResult>(
        &mut self,
        operation: Operation,
        then: impl FnOnce(&Job) -> R + Send + 'static,
    ) -> Result<Job, Rejected> {
        self.queue_opts(operation, QueueOptions::new().then(JobCallback::new(then)))
    }

    /// Adds operations until one is refused; those before it stay queued.
    ///
    /// # Errors
    /// As [`Batch::queue_opts`], for the first one that is refused.
    fn queue_all(
        &mut self,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<Vec<Job>, Rejected> {
        operations.into_iter().map(|operation| self.queue(operation)).collect()
    }

    /// Calls `run` with the report once the batch was executed, whatever came of it.
    ///
    /// # Errors
    /// As [`Batch::register`].
    fn on_commit<R: CallbackResult>(
        &mut self,
        run: impl FnOnce(&Report) -> R + Send + 'static,
    ) -> Result<()> {
        self.register(Callback::new(run))
    }

    /// Awaits `run` with the report once the batch was executed, whatever came of it.
    ///
    /// # Errors
    /// As [`Batch::register`].
    fn on_commit_async<F>(&mut self, run: impl FnOnce(Report) -> F + Send + 'static) -> Result<()>
    where
        F: Future<Output: CallbackResult> + Send + 'static,
    {
        self.register(Callback::new_async(run))
    }

    /// As [`on_commit`](Self::on_commit), only if every operation is applied or accepted.
    ///
    /// # Errors
    /// As [`Batch::register`].
    fn on_success<R: CallbackResult>(
        &mut self,
        run: impl FnOnce(&Report) -> R + Send + 'static,
    ) -> Result<()> {
        self.on_commit(
            move |report| {
                if report.is_success() { failure(run(report)) } else { Ok(()) }
            },
        )
    }

    /// As [`on_commit`](Self::on_commit), only if some operation is not applied or unknown.
    ///
    /// # Errors
    /// As [`Batch::register`].
    fn on_failure<R: CallbackResult>(
        &mut self,
        run: impl FnOnce(&Report) -> R + Send + 'static,
    ) -> Result<()> {
        self.on_commit(
            move |report| {
                if report.is_success() { Ok(()) } else { failure(run(report)) }
            },
        )
    }
}

fn failure(result: impl CallbackResult) -> Result<(), String> {
    result.into_failure().map_or(Ok(()), Err)
}

impl<T: Batch + ?Sized> BatchExt for T {}
