//! The handle of one operation.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use serde::de::DeserializeOwned;

use crate::{
    Error, ErrorKind, Outcome, Result,
    table::{JobTable, Status},
};

/// Is it in the store? Every accepted operation ends in exactly one of the four terminal answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum JobStatus {
    /// Queued or in flight.
    Pending,
    /// Yes.
    Applied(Outcome),
    /// No, and it never will be by this commit.
    NotApplied(Error),
    /// It will be: the store has promised it.
    Accepted,
    /// It cannot be told.
    Unknown(Error),
}

impl JobStatus {
    /// Queued or in flight.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// Ended, whichever way.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        !self.is_pending()
    }

    /// In the store.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }

    /// Why it is not applied, or why that cannot be told.
    #[must_use]
    pub const fn error(&self) -> Option<&Error> {
        match self {
            Self::NotApplied(error) | Self::Unknown(error) => Some(error),
            Self::Pending | Self::Applied(_) | Self::Accepted => None,
        }
    }

    /// The name in reports and in the program's JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied(_) => "applied",
            Self::NotApplied(_) => "not_applied",
            Self::Accepted => "accepted",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// The life of one queued operation. Can be asked at any time and from anywhere, and awaited: it
/// gives the final status once its batch was committed, discarded or dropped.
///
/// Two words wide; a clone is another handle of the same job.
///
/// ```
/// # use batch_core::*;
/// # async fn example(store: &dyn Store) -> Result<()> {
/// let mut batch = store.batch(BatchOptions::new())?;
/// let job = batch.queue(Operation::get("students").at("Abby"))?;
/// assert!(job.is_pending());
/// batch.commit().await?;
/// match job.await {
///     JobStatus::Applied(outcome) => println!("{:?}", outcome.decode::<serde_json::Value>()?),
///     other => println!("{}", other.as_str()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Job {
    table: Arc<JobTable>,
    index: u32,
}

impl Job {
    pub(crate) fn new(table: &Arc<JobTable>, index: u32) -> Self {
        Self { table: Arc::clone(table), index }
    }

    pub(crate) fn belongs_to(&self, table: &Arc<JobTable>) -> bool {
        Arc::ptr_eq(&self.table, table)
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The number of the operation in its batch, from 1 in the order of queueing.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.index + 1
    }

    /// What is known now.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        self.table.job_status(self.index)
    }

    /// Queued or in flight. Costs one load.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.is_done()
    }

    /// Ended, whichever way. Costs one load.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.table.status(self.index).is_terminal()
    }

    /// What came back.
    ///
    /// # Errors
    /// The job's own error if it is `NotApplied` or `Unknown`; [`ErrorKind::NotReady`] before the
    /// end, [`ErrorKind::NotRecorded`] if the batch keeps no results.
    pub fn outcome(&self) -> Result<Outcome> {
        let status = self.table.status(self.index);
        if status.is_terminal() && !self.table.records() {
            return Err(self.table.error(self.index, status));
        }
        match self.status() {
            JobStatus::Applied(outcome) => Ok(outcome),
            JobStatus::NotApplied(error) | JobStatus::Unknown(error) => Err(error),
            JobStatus::Accepted => Err(self.table.error(self.index, Status::Accepted)),
            JobStatus::Pending => Err(self.table.with_context(
                &Error::new(
                    ErrorKind::NotReady,
                    "the job has not ended; commit its batch, or await the job",
                )
                .unknown(),
                self.index,
                None,
                0,
            )),
        }
    }

    /// The document of a `get`, or of a write with [`returning`](crate::Operation::returning).
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome), and [`ErrorKind::Decode`] if the document does not have the
    /// shape of `T`: the job is `Applied` all the same.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        let decoded = self.outcome()?.decode();
        decoded.map_err(|error| self.table.with_context(&error, self.index, None, 0))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id())
            .field("status", &self.table.status(self.index))
            .finish()
    }
}

impl PartialEq for Job {
    /// Whether both are handles of the same operation of the same batch.
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.belongs_to(&other.table)
    }
}

impl Eq for Job {}

impl IntoFuture for Job {
    type Output = JobStatus;
    type IntoFuture = Ended;

    fn into_future(self) -> Ended {
        Ended { job: self, waiter: None }
    }
}

impl IntoFuture for &Job {
    type Output = JobStatus;
    type IntoFuture = Ended;

    fn into_future(self) -> Ended {
        self.clone().into_future()
    }
}

/// The future of a [`Job`]'s final status.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Ended {
    job: Job,
    waiter: Option<u64>,
}

impl Future for Ended {
    type Output = JobStatus;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobStatus> {
        if !self.job.is_done() {
            self.waiter = self.job.table.watch(self.job.index, self.waiter, cx.waker());
            if self.waiter.is_some() {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.job.status())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(id) = self.waiter {
            self.job.table.unwatch(self.job.index, id);
        }
    }
}

/// How far a batch has come. Cheap to ask and to clone, and can be read from another task while
/// the commit runs.
#[derive(Clone, Debug)]
pub struct Progress {
    table: Arc<JobTable>,
}

impl Progress {
    pub(crate) fn new(table: &Arc<JobTable>) -> Self {
        Self { table: Arc::clone(table) }
    }

    /// The operations queued so far.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.table.len()
    }

    /// The operations that have left. One that was certainly not applied and will be sent again
    /// is not among them meanwhile.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.table.sent()
    }

    /// The operations that have ended.
    #[must_use]
    pub fn settled(&self) -> u32 {
        self.table.settled()
    }
}

/// The jobs of a batch, in the order of queueing.
#[derive(Clone, Debug)]
pub struct Jobs {
    table: Arc<JobTable>,
    range: std::ops::Range<u32>,
}

impl Jobs {
    pub(crate) fn new(table: &Arc<JobTable>) -> Self {
        Self { table: Arc::clone(table), range: 0..table.len() }
    }
}

impl Iterator for Jobs {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        self.range.next().map(|index| Job::new(&self.table, index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl ExactSizeIterator for Jobs {}

impl DoubleEndedIterator for Jobs {
    fn next_back(&mut self) -> Option<Job> {
        self.range.next_back().map(|index| Job::new(&self.table, index))
    }
}
