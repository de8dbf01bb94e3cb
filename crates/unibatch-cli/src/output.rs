//! What goes to stdout: a table for people, or one JSON object.

mod json;
mod table;

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    time::Duration,
};

use serde::Serialize;
use unibatch::{Capabilities, Error, ErrorKind, Fate, JobStatus, Plan, Report, Server};

use crate::{
    args::{Output, Show},
    exit::{Code, Failure},
    verdicts::Verdicts,
};

const BUFFER: usize = 1 << 16;

/// A table shows all jobs up to this many.
const ALL_UP_TO: usize = 1000;

/// What a commit came to, as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    applied: u64,
    not_applied: u64,
    accepted: u64,
    unknown: u64,
    mechanism: Vec<String>,
    warnings: Vec<String>,
    elapsed_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guarantee: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deviations: Option<u64>,
    errors_by_kind: Vec<KindCount>,
    /// Why nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::error")]
    error: Option<Error>,
    /// The same in words.
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct KindCount {
    kind: &'static str,
    status: &'static str,
    count: u64,
}

impl Summary {
    pub(crate) fn of_report(report: &Report) -> Self {
        let failures = report.callback_failures().iter();
        let failures = failures.map(|failure| format!("a callback failed: {}", failure.reason));
        Self {
            applied: report.applied(),
            not_applied: report.not_applied(),
            accepted: report.accepted(),
            unknown: report.unknown(),
            mechanism: report.mechanisms().iter().map(|used| used.name.to_string()).collect(),
            warnings: report.warnings().iter().cloned().chain(failures).collect(),
            elapsed_ms: milliseconds(report.elapsed()),
            store: Some(report.store()),
            guarantee: Some(report.guarantee().as_str()),
            attempts: Some(report.attempts()),
            retries: Some(report.retries()),
            deviations: Some(report.deviations()),
            errors_by_kind: report
                .errors_by_kind()
                .map(|(kind, fate, count)| KindCount {
                    kind: kind.as_str(),
                    status: match fate {
                        Fate::NotApplied => "not_applied",
                        Fate::Accepted => "accepted",
                        Fate::Unknown => "unknown",
                    },
                    count,
                })
                .collect(),
            error: None,
            text: report.to_string(),
        }
    }

    /// What is known without a report: what was told of each operation, and why there is no more.
    pub(crate) fn of_verdicts(verdicts: Verdicts<'_>, elapsed: Duration, warning: &str) -> Self {
        let mut counts = Self {
            applied: 0,
            not_applied: 0,
            accepted: 0,
            unknown: 0,
            mechanism: Vec::new(),
            warnings: vec![warning.to_owned()],
            elapsed_ms: milliseconds(elapsed),
            store: None,
            guarantee: None,
            attempts: None,
            retries: None,
            deviations: None,
            errors_by_kind: Vec::new(),
            error: None,
            text: String::new(),
        };
        let mut kinds = BTreeMap::new();
        for verdict in verdicts.iter() {
            match verdict.status {
                JobStatus::Applied(_) => counts.applied += 1,
                JobStatus::NotApplied(_) => counts.not_applied += 1,
                JobStatus::Accepted => counts.accepted += 1,
                // A job that had not ended could not be told of either.
                _ => counts.unknown += 1,
            }
            let kind = verdict.status.error().map(Error::kind);
            if let Some(kind) = kind.filter(|kind| *kind != ErrorKind::NotRecorded) {
                *kinds.entry((kind.as_str(), verdict.status.as_str())).or_default() += 1;
            }
        }
        let kinds = kinds.into_iter();
        counts.errors_by_kind =
            kinds.map(|((kind, status), count)| KindCount { kind, status, count }).collect();
        counts.text = format!(
            "{} applied, {} not applied, {} accepted, {} unknown in {elapsed:.1?}\nwarning: {warning}",
            counts.applied, counts.not_applied, counts.accepted, counts.unknown,
        );
        counts
    }

    /// Nothing was sent, for this reason.
    pub(crate) fn of_unsent(verdicts: Verdicts<'_>, elapsed: Duration, error: &Error) -> Self {
        let warning =
            "nothing was sent that the store could apply: all operations are still to be done";
        Self { error: Some(error.clone()), ..Self::of_verdicts(verdicts, elapsed, warning) }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Show {
    fn shows(self, status: &JobStatus) -> bool {
        match self {
            Self::All => true,
            Self::Failed => !matches!(status, JobStatus::Applied(_) | JobStatus::Accepted),
            Self::None => false,
        }
    }
}

/// What `check` found.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Without its password.
    pub(crate) url: String,
    pub(crate) store: &'static str,
    pub(crate) server: Server,
    pub(crate) capabilities: Capabilities,
}

/// Prints jobs and report.
pub(crate) fn print_run(
    verdicts: Verdicts<'_>,
    summary: &Summary,
    output: Output,
    show: Option<Show>,
) -> Result<(), Failure> {
    to_stdout(|out| write_run(out, verdicts, summary, output, show))
}

/// Writes jobs and report. What is shown if nobody says: by JSON everything, by a table of more
/// jobs than anybody reads those that need a look.
pub(crate) fn write_run(
    out: &mut dyn Write,
    verdicts: Verdicts<'_>,
    summary: &Summary,
    output: Output,
    show: Option<Show>,
) -> io::Result<()> {
    match output {
        Output::Json => json::run(out, verdicts, summary, show.unwrap_or(Show::All)),
        Output::Table => {
            let long = verdicts.len() > ALL_UP_TO;
            let show = show.unwrap_or(if long { Show::Failed } else { Show::All });
            table::run(out, verdicts, summary, show)
        }
    }
}

/// Prints a plan.
pub(crate) fn print_plan(plan: &Plan, output: Output) -> Result<(), Failure> {
    to_stdout(|out| match output {
        Output::Json => json::plan(out, plan),
        Output::Table => table::plan(out, plan),
    })
}

/// Prints what `check` found.
pub(crate) fn print_check(facts: &Facts, output: Output) -> Result<(), Failure> {
    to_stdout(|out| match output {
        Output::Json => json::check(out, facts),
        Output::Table => table::check(out, facts),
    })
}

/// Writes to stdout. A reader that went away has read what it wanted, so that is no failure.
pub(crate) fn to_stdout(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::NotApplied, format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
