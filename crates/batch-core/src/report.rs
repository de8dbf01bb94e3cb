//! What a commit returns.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use crate::{
    Error, ErrorKind, Fate, Guarantee, Jobs, Result,
    error::OneLine,
    table::{JobTable, Place, Status, Verdict},
};

/// How many errors a report keeps from each end.
pub const KEPT_ERRORS: usize = 10;

/// How often a mechanism was used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MechanismUse {
    /// Its name, as the plan had it.
    pub name: Cow<'static, str>,
    /// The requests that left by it, attempts included.
    pub chunks: u64,
    /// The operations in them, attempts included.
    pub operations: u64,
}

/// A callback that did not end well. The commit's result is unchanged by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallbackFailure {
    /// The job of a per-operation callback; `None` for one of the batch.
    pub job: Option<u32>,
    /// Its place among the callbacks of its sort, from 1.
    pub place: usize,
    /// The error's text, the panic's message, or that time ran out.
    pub reason: String,
}

/// What a commit did: counts that add up to the operations queued, the mechanisms, the warnings,
/// and the errors' first and last ten.
///
/// An `Arc` inside: a clone is cheap. The report that a callback sees has everything but
/// [`callback_failures`](Self::callback_failures), which the report that `commit` returns holds.
#[derive(Clone)]
#[must_use = "per-operation failures are in the report; `into_result()` turns it into one `?`"]
pub struct Report(Arc<ReportInner>);

#[derive(Clone, Debug)]
pub(crate) struct ReportInner {
    pub(crate) store: &'static str,
    pub(crate) guarantee: Guarantee,
    pub(crate) tally: Tally,
    pub(crate) errors: Vec<Error>,
    pub(crate) first_unknown: Option<Error>,
    pub(crate) mechanisms: Vec<MechanismUse>,
    pub(crate) warnings: Vec<String>,
    pub(crate) attempts: u64,
    pub(crate) retries: u64,
    pub(crate) deviations: u64,
    pub(crate) elapsed: Duration,
    pub(crate) callback_failures: Vec<CallbackFailure>,
    pub(crate) jobs: Jobs,
}

/// Counts by answer, and a bounded sample of the errors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) applied: u64,
    pub(crate) not_applied: u64,
    pub(crate) accepted: u64,
    pub(crate) unknown: u64,
    kinds: BTreeMap<(ErrorKind, Answer), u64>,
    first: Vec<(Place, Error)>,
    last: VecDeque<(Place, Error)>,
    first_unknown: Option<(Place, Error)>,
}

/// The answers that have an error, as a key for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    NotApplied,
    Accepted,
    Unknown,
}

impl Tally {
    /// Counts operations that are applied.
    pub(crate) fn count_applied(&mut self, count: u32) {
        self.applied += u64::from(count);
    }

    pub(crate) fn count(&mut self, verdict: &Verdict) {
        let status = match verdict.status() {
            Status::Applied | Status::Queued | Status::Sent => {
                self.applied += 1;
                return;
            }
            Status::NotApplied => {
                self.not_applied += 1;
                Answer::NotApplied
            }
            Status::Accepted => {
                self.accepted += 1;
                Answer::Accepted
            }
            Status::Unknown => {
                self.unknown += 1;
                Answer::Unknown
            }
        };
        if let Some(error) = verdict.error() {
            *self.kinds.entry((error.kind(), status)).or_default() += 1;
        }
    }

    /// Keeps the error as one of the first or the last ones.
    pub(crate) fn sample(&mut self, place: Place, error: &Error, unknown: bool) {
        if unknown && self.first_unknown.is_none() {
            self.first_unknown = Some((place, error.clone()));
        }
        if self.first.len() < KEPT_ERRORS {
            self.first.push((place, error.clone()));
        } else {
            if self.last.len() == KEPT_ERRORS {
                self.last.pop_front();
            }
            self.last.push_back((place, error.clone()));
        }
    }

    /// The first error that made an answer unknown, with its place in the batch.
    pub(crate) fn first_unknown(&self, table: &JobTable) -> Option<Error> {
        let (place, error) = self.first_unknown.as_ref()?;
        Some(table.with_context(error, place.index, Some(place.shape), place.chunk))
    }

    /// The kept errors, each with its place in the batch.
    pub(crate) fn errors(&self, table: &JobTable) -> Vec<Error> {
        let all = self.first.iter().chain(&self.last);
        all.map(|(place, error)| {
            table.with_context(error, place.index, Some(place.shape), place.chunk)
        })
        .collect()
    }
}

impl Report {
    pub(crate) fn new(inner: ReportInner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn with_callback_failures(self, failures: Vec<CallbackFailure>) -> Self {
        if failures.is_empty() {
            return self;
        }
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.callback_failures = failures;
        Self::new(inner)
    }

    /// The store's name.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.0.store
    }

    /// The guarantee that was asked for, and kept.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        self.0.guarantee
    }

    /// The operations that are in the store.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.0.tally.applied
    }

    /// The operations that are not in the store.
    #[must_use]
    pub fn not_applied(&self) -> u64 {
        self.0.tally.not_applied
    }

    /// The operations that the store has promised.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.tally.accepted
    }

    /// The operations of which it cannot be told.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.0.tally.unknown
    }

    /// All operations of the batch.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.applied() + self.not_applied() + self.accepted() + self.unknown()
    }

    /// Whether every operation is applied or accepted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.not_applied() == 0 && self.unknown() == 0
    }

    /// The mechanisms that were used, in the order of their first use.
    #[must_use]
    pub fn mechanisms(&self) -> &[MechanismUse] {
        &self.0.mechanisms
    }

    /// What the plan, the servers and the core had to say.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// The requests that were begun, retries included.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.0.attempts
    }

    /// The requests that were begun again for operations of a former one.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.0.retries
    }

    /// The requests that the plan did not have: retries, pieces of chunks that were cut smaller,
    /// operations that were routed anew. Each sort has a warning that says why.
    #[must_use]
    pub fn deviations(&self) -> u64 {
        self.0.deviations
    }

    /// From the call of `commit` to the last verdict.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// The callbacks that failed, panicked or took too long. Empty while callbacks still run.
    #[must_use]
    pub fn callback_failures(&self) -> &[CallbackFailure] {
        &self.0.callback_failures
    }

    /// The first and the last ten errors of operations that are not applied or unknown, in the
    /// order in which they were settled.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.0.errors.iter()
    }

    /// How many operations ended with each kind of error and fate.
    pub fn errors_by_kind(&self) -> impl Iterator<Item = (ErrorKind, Fate, u64)> {
        self.0.tally.kinds.iter().map(|((kind, status), count)| {
            let fate = match status {
                Answer::NotApplied => Fate::NotApplied,
                Answer::Accepted => Fate::Accepted,
                Answer::Unknown => Fate::Unknown,
            };
            (*kind, fate, *count)
        })
    }

    /// The jobs of the batch, in the order of queueing.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        self.0.jobs.clone()
    }

    /// The report if every operation is applied or accepted.
    ///
    /// # Errors
    /// The first error that makes an answer unknown; if there is none, the first that says "not applied".
    pub fn into_result(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let error = self.0.first_unknown.as_ref().or_else(|| self.errors().next()).cloned();
        Err(error.unwrap_or_else(|| {
            Error::new(ErrorKind::Store, "operations failed; the report has the counts by kind")
        }))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Report");
        out.field("store", &self.0.store).field("guarantee", &self.0.guarantee);
        out.field("applied", &self.applied()).field("not_applied", &self.not_applied());
        out.field("accepted", &self.accepted()).field("unknown", &self.unknown());
        out.field("mechanisms", &self.0.mechanisms).field("warnings", &self.0.warnings);
        out.field("attempts", &self.0.attempts).field("deviations", &self.0.deviations);
        out.field("elapsed", &self.0.elapsed).field("callback_failures", &self.0.callback_failures);
        out.finish_non_exhaustive()
    }
}

impl fmt::Display for Report {
    /// One line: the counts, the mechanisms, the time; then a line for each warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} applied, {} not applied, {} accepted, {} unknown in {:.1?}",
            self.applied(),
            self.not_applied(),
            self.accepted(),
            self.unknown(),
            self.elapsed(),
        )?;
        for (place, mechanism) in self.mechanisms().iter().enumerate() {
            let before = if place == 0 { " by " } else { ", " };
            write!(f, "{before}{} × {}", mechanism.chunks, mechanism.name)?;
        }
        for warning in self.warnings() {
            f.write_str("\nwarning: ")?;
            OneLine(f).write_str(warning)?;
        }
        for failure in self.callback_failures() {
            write!(f, "\nwarning: callback {}", failure.place)?;
            if let Some(job) = failure.job {
                write!(f, " of operation {job}")?;
            }
            f.write_str(" failed: ")?;
            OneLine(f).write_str(&failure.reason)?;
        }
        Ok(())
    }
}
