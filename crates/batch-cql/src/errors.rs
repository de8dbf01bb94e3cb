//! What the driver's errors say of a request: one table, in [`attempt`] for what an attempt came
//! to, put into words here.
//!
//! The one question of each row: can it be proved that nothing was written? If not, the error is
//! `unknown`.

mod attempt;
mod connect;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, error::Error as StdError, fmt::Display};

use batch_core::{Error, ErrorKind, Fate};
use scylla::errors::{
    BadQuery, DbError, ExecutionError, MetadataError, PrepareError, RequestAttemptError,
    TablesMetadataError, UdtMetadataError,
};

pub(crate) use self::{
    attempt::{Refusal, refusal},
    connect::not_connected,
};

/// What a request asked of the server, as far as its errors mean different things by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Through the batch log.
    pub(crate) logged: bool,
    /// More than one partition.
    pub(crate) several_partitions: bool,
    /// With a condition.
    pub(crate) conditional: bool,
    /// Counter updates.
    pub(crate) counter: bool,
    /// Of a server that counts on one replica before it looks for the others.
    pub(crate) counts_first: bool,
}

impl Asked {
    /// Whether the server carries the request out in parts that do not stand or fall together.
    const fn has_parts(self) -> bool {
        self.several_partitions && !self.logged && !self.conditional
    }

    /// Whether a replica may have counted when the server finds that others cannot be had.
    const fn may_have_counted(self) -> bool {
        self.counter && self.counts_first
    }
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    kind: ErrorKind,
    fate: Fate,
    transient: bool,
    /// What happened, and what to do about it if that does not follow from the rest.
    message: Cow<'static, str>,
}

impl Verdict {
    /// It was not applied, and the same request will not be either.
    fn refused(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, fate: Fate::NotApplied, transient: false, message: message.into() }
    }

    /// It was not applied; the same request may be later.
    fn later(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { transient: true, ..Self::refused(kind, message) }
    }

    /// It may have been applied.
    fn unknown(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { fate: Fate::Unknown, ..Self::refused(kind, message) }
    }

    /// It may have been applied; the same request may succeed later.
    fn unknown_later(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { transient: true, ..Self::unknown(kind, message) }
    }

    /// The same, where a part may have been written.
    fn unknown_if(self, in_part: bool) -> Self {
        if in_part { Self { fate: Fate::Unknown, ..self } } else { self }
    }

    fn into_error(self, advice: &str, source: impl StdError + Send + Sync + 'static) -> Error {
        let Self { kind, fate, transient, message } = self;
        let message = match advice {
            "" => message,
            advice => format!("{message}; {advice}").into(),
        };
        let error = Error::new(kind, message).with_source(source);
        let error = if transient { error.transient() } else { error };
        match fate {
            Fate::NotApplied => error,
            Fate::Accepted => error.accepted(),
            Fate::Unknown => error.unknown(),
        }
    }

    /// What to do next, where the message itself does not say it.
    const fn advice(&self, asked: Asked) -> &'static str {
        match (self.fate, self.transient) {
            (Fate::Unknown, _) if asked.conditional => {
                "read the row, at the serial consistency, to know whether it was written"
            }
            (Fate::Unknown, _) if asked.counter => {
                "read the counter to know whether it was counted; sent again it may count twice"
            }
            (Fate::Unknown, _) => "read the rows to know whether they were written",
            (Fate::Accepted, _) => "the server will write the batch, so do not send it again",
            (Fate::NotApplied, true) => "nothing was written, so try again later",
            (Fate::NotApplied, false) => "",
        }
    }
}

/// What an error says of the writes of its request.
pub(crate) fn verdict(error: &ExecutionError, asked: Asked) -> Error {
    let verdict = judge(error, asked);
    let advice = verdict.advice(asked);
    attempt::detailed(verdict.into_error(advice, error.clone()), error)
}

/// What an error says of a request that only reads.
pub(crate) fn of_read(error: &ExecutionError) -> Error {
    let verdict = Verdict { fate: Fate::NotApplied, ..judge(error, Asked::default()) };
    let advice = if verdict.transient { "try again later" } else { "" };
    attempt::detailed(verdict.into_error(advice, error.clone()), error)
}

fn judge(error: &ExecutionError, asked: Asked) -> Verdict {
    match error {
        ExecutionError::BadQuery(bad) => of_bad_query(bad),
        ExecutionError::EmptyPlan => Verdict::later(
            ErrorKind::Connection,
            "no node may be asked: look whether the local datacenter is named right, and has nodes",
        ),
        ExecutionError::PrepareError(error) => of_prepare(error),
        ExecutionError::ConnectionPoolError(error) => connect::of_pool(error),
        ExecutionError::LastAttemptError(error) => attempt::judge(error, asked),
        ExecutionError::RequestTimeout(after) => {
            Verdict::unknown_later(ErrorKind::Timeout, format!("no answer came within {after:?}"))
        }
        // What follows a schema change or `USE`, of which neither is ever sent.
        other => Verdict::unknown(
            ErrorKind::Protocol,
            format!("the driver did what it was not asked for ({})", line(other)),
        ),
    }
}

fn of_bad_query(error: &BadQuery) -> Verdict {
    match error {
        BadQuery::TooManyQueriesInBatchStatement(count) => Verdict::refused(
            ErrorKind::TooLarge,
            format!("a batch of {count} statements is too large: there can be 65,535"),
        ),
        BadQuery::ValuesTooLongForKey(bytes, most) => Verdict::refused(
            ErrorKind::InvalidKey,
            format!("the partition key has {bytes} bytes; shorten it to {most}"),
        ),
        other => Verdict::refused(
            ErrorKind::InvalidOperation,
            format!("the values do not fit the statement: {}", line(other)),
        ),
    }
}

/// Why a statement cannot be prepared, which writes nothing.
pub(crate) fn not_prepared(text: &str, error: &PrepareError) -> Error {
    let verdict = of_prepare(error);
    let advice = if verdict.transient { "try again later" } else { "" };
    let message = format!("`{}` cannot be prepared: {}", excerpt(text), verdict.message).into();
    let prepared = Verdict { message, ..verdict }.into_error(advice, error.clone());
    attempt::detailed_by(prepared, attempt::of_prepare(error))
}

/// Whether a statement cannot be prepared because its table is not what the metadata says.
pub(crate) fn is_about_schema(not_prepared: &Error) -> bool {
    let native = not_prepared.source().and_then(|error| error.downcast_ref::<PrepareError>());
    native.and_then(attempt::of_prepare).is_some_and(attempt::blames_schema)
}

fn of_prepare(error: &PrepareError) -> Verdict {
    match error {
        PrepareError::ConnectionPoolError(error) => connect::of_pool(error),
        PrepareError::AllAttemptsFailed { first_attempt } => attempt::judge_prepare(first_attempt),
        PrepareError::PreparedStatementIdsMismatch => Verdict::later(
            ErrorKind::Conflict,
            "the nodes do not agree on the statement, as while the schema changes",
        ),
        other => Verdict::refused(ErrorKind::Protocol, line(other)),
    }
}

/// Why the cluster's metadata could not be read.
pub(crate) fn of_metadata(error: &MetadataError) -> Error {
    let verdict = connect::of_metadata(error);
    let message = format!("the schema cannot be read: {}", verdict.message).into();
    let advice = match unknown_type(error) {
        Some(_) => {
            "have the driver read the keyspaces alone that are written, by a session built with `keyspaces_to_fetch`"
        }
        None if verdict.transient => "try again later",
        None => "",
    };
    Verdict { message, ..verdict }.into_error(advice, error.clone())
}

/// A type somewhere in the schema that the driver cannot read. It reads nothing then.
pub(crate) fn unknown_type(error: &MetadataError) -> Option<&str> {
    match error {
        MetadataError::Tables(TablesMetadataError::InvalidCqlType { typ, .. })
        | MetadataError::Udts(UdtMetadataError::InvalidCqlType { typ, .. }) => Some(typ),
        _ => None,
    }
}

/// What an answer that is not as it should be says of the server.
pub(crate) fn unreadable(what: &str, error: impl StdError + Send + Sync + 'static) -> Error {
    let message = format!(
        "what the server says of {what} cannot be read ({}); look at it with another client",
        line(&error)
    );
    Error::new(ErrorKind::Protocol, message).with_source(error)
}

/// Whether replicas failed to write.
pub(crate) fn is_write_failure(error: &ExecutionError) -> bool {
    use RequestAttemptError::DbError as Answer;
    matches!(error, ExecutionError::LastAttemptError(Answer(DbError::WriteFailure { .. }, _)))
}

/// Whether the server has read the request, and said no.
pub(crate) fn is_answer(error: &ExecutionError) -> bool {
    matches!(error, ExecutionError::LastAttemptError(RequestAttemptError::DbError(..)))
}

/// A statement's text for a message: on one line, and not too long.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut out = line(text);
    if let Some(end) = out.char_indices().map(|(at, _)| at).find(|at| *at >= LONGEST) {
        out.truncate(end);
        out.push('…');
    }
    out
}

/// Somebody else's words on one line.
fn line(words: impl Display) -> String {
    let words = words.to_string();
    let mut line = String::with_capacity(words.len());
    for word in words.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}
