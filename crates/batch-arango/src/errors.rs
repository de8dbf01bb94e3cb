//! What the server's errors say of a request: one table, in [`number`] and [`status`], put into
//! words here.
//!
//! The one question of each row: can it be proved that nothing was written? If not, the error is
//! `unknown`. Errors are told apart by `errorNum`; their texts differ by version and by code path.

mod number;
mod status;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, time::Duration};

use batch_core::{Error, ErrorKind};
use serde::Deserialize;

/// What was asked, as far as errors mean different things by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// A request about one document, alone or as a part of a multipart call.
    Single,
    /// A multipart call as a whole: what came before the error may have been carried out.
    Envelope,
    /// An array call as a whole.
    Call,
    /// The begin of a transaction, or any request of one before its commit: nothing of it stays
    /// without that.
    Begin,
    /// The commit of a transaction.
    Commit,
    /// A query, or the next page of its result. The table trusts that a failed query is undone: who
    /// sends one must rule out intermediate commits (`intermediateCommitCount`, `…Size`).
    Cursor,
}

/// An answer that says no, or that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) content_type: Option<&'a str>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) scope: Scope,
    /// The request had a precondition.
    pub(crate) has_revision: bool,
}

/// What ArangoDB itself said: the [`source`](std::error::Error::source) of an error that an answer
/// of the server led to.
///
/// ```
/// use std::error::Error as _;
///
/// use batch_arango::ServerError;
///
/// fn is_unique_violation(error: &batch_core::Error) -> bool {
///     let server = error.source().and_then(|source| source.downcast_ref::<ServerError>());
///     server.is_some_and(|server| server.number == Some(1210))
/// }
/// # let _ = is_unique_violation;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// The HTTP status. Of an element of an array, the one that a request of its own would have.
    pub status: u16,
    /// The `errorNum`, if the answer is an error of ArangoDB's.
    pub number: Option<u32>,
    /// The `errorMessage` on one line, cut after 500 characters.
    pub message: Box<str>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Number and message are in the error that this is the source of.
        write!(f, "HTTP status {}", self.status)
    }
}

impl std::error::Error for ServerError {}

/// What a row says of the operation, and whether the same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Refused,
    Later,
    Unknown,
    UnknownLater,
}

impl Says {
    /// The same, where it cannot be proved.
    const fn doubted(self) -> Self {
        match self {
            Self::Refused | Self::Unknown => Self::Unknown,
            Self::Later | Self::UnknownLater => Self::UnknownLater,
        }
    }

    /// The same, where nothing can have been written.
    const fn certain(self) -> Self {
        match self {
            Self::Refused | Self::Unknown => Self::Refused,
            Self::Later | Self::UnknownLater => Self::Later,
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    kind: ErrorKind,
    says: Says,
    what: Cow<'static, str>,
    /// What to do about it, if that does not follow from the rest.
    next: &'static str,
}

impl Verdict {
    fn new(kind: ErrorKind, says: Says, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, says, what: what.into(), next: "" }
    }

    fn refused(kind: ErrorKind, what: &'static str, next: &'static str) -> Self {
        Self { next, ..Self::new(kind, Says::Refused, what) }
    }

    fn doubted(self) -> Self {
        Self { says: self.says.doubted(), ..self }
    }

    /// What to do next.
    fn advice(&self) -> &'static str {
        match (self.says, self.next) {
            (Says::Unknown | Says::UnknownLater, _) => {
                "read the documents to know whether they were written"
            }
            (Says::Later, "") => "nothing was written, so try again later",
            (Says::Later | Says::Refused, next) => next,
        }
    }

    fn into_error(self, native: ServerError) -> Error {
        let advice = self.advice();
        let Self { kind, says, what, .. } = self;
        let said = match (native.number, native.message.as_ref()) {
            (Some(number), "") => format!("error {number}"),
            (Some(number), message) => format!("error {number}: {message}"),
            (None, _) => format!("HTTP status {}", native.status),
        };
        let end = if advice.is_empty() { "" } else { "; " };
        let error = Error::new(kind, format!("{what} ({said}){end}{advice}"))
            .with_detail("http_status", native.status);
        let error = match native.number {
            Some(number) => error.with_detail("error_num", number),
            None => error,
        };
        let error = error.with_source(native);
        match says {
            Says::Refused => error,
            Says::Later => error.transient(),
            Says::Unknown => error.unknown(),
            Says::UnknownLater => error.unknown().transient(),
        }
    }
}

/// What an answer says of everything that was asked by its request.
pub(crate) fn refused(answered: &Answered<'_>) -> Error {
    let native = native(answered);
    let verdict = judge(answered, &native);
    let is_later = verdict.says == Says::Later;
    let error = verdict.into_error(native);
    match answered.retry_after {
        Some(after) => {
            let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            let error = error.with_detail("retry_after_ms", millis);
            if is_later { error.transient_after(after) } else { error }
        }
        None => error,
    }
}

/// What an element of an array's answer says of its document.
pub(crate) fn element(number: u32, message: &str, has_revision: bool) -> Error {
    let status = number::status(number, has_revision);
    let verdict = number::of_element(number, status);
    verdict.into_error(ServerError { status, number: Some(number), message: line(message).into() })
}

fn judge(answered: &Answered<'_>, native: &ServerError) -> Verdict {
    if (200..400).contains(&answered.status) {
        return in_scope(answered, native, status::not_an_error(answered));
    }
    let verdict = match (answered.scope, native.number) {
        (Scope::Envelope, _) => return status::of_envelope(answered, native),
        (_, Some(number)) => number::verdict(number, answered.status)
            .or_else(|| status::of_unlisted(answered.status)),
        (_, None) => None,
    };
    let verdict = verdict.unwrap_or_else(|| status::of_status(answered, native));
    in_scope(answered, native, verdict)
}

/// What the request makes of a row.
fn in_scope(answered: &Answered<'_>, native: &ServerError, verdict: Verdict) -> Verdict {
    let number = native.number;
    match answered.scope {
        // The coordinator's own refusals aside, others may have written by then.
        Scope::Call if answered.status == 503 && !matches!(number, Some(503 | 21003)) => {
            verdict.doubted()
        }
        Scope::Begin => Verdict { says: verdict.says.certain(), ..verdict },
        Scope::Commit => of_commit(answered.status, number, verdict),
        // It ran, for it had a cursor.
        Scope::Cursor if matches!(number, Some(1591 | 1600 | 1601)) => verdict.doubted(),
        Scope::Single | Scope::Envelope | Scope::Call | Scope::Cursor => verdict,
    }
}

/// A commit is refused for certain before it begins, or because there is nothing left to commit.
fn of_commit(status: u16, number: Option<u32>, verdict: Verdict) -> Verdict {
    match (status, number) {
        (400, Some(_)) => Verdict::refused(
            ErrorKind::RolledBack,
            "the transaction had ended before it could be committed",
            "",
        ),
        (410, Some(1654))
        | (401 | 413 | 414 | 431, _)
        | (_, Some(11 | 405 | 503 | 1228 | 21003 | 21004)) => verdict,
        _ => verdict.doubted(),
    }
}

/// An error as ArangoDB writes it, whatever the order of its attributes.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "errorNum")]
    number: u32,
    #[serde(rename = "errorMessage", default, borrow)]
    message: Cow<'a, str>,
    #[serde(default = "yes")]
    error: bool,
}

const fn yes() -> bool {
    true
}

fn native(answered: &Answered<'_>) -> ServerError {
    let status = answered.status;
    // An array would be taken for the attributes in their order.
    let is_object = answered.body.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<Body<'_>>(answered.body) {
        Ok(Body { number, message, error: true }) if is_object => {
            ServerError { status, number: Some(number), message: line(&message).into() }
        }
        _ => ServerError { status, number: None, message: Box::default() },
    }
}

/// Somebody else's words on one line, and not too many.
fn line(words: &str) -> String {
    const LONGEST: usize = 500;
    let mut line = String::with_capacity(words.len().min(LONGEST));
    for word in words.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if let Some((end, _)) = line.char_indices().nth(LONGEST) {
            line.truncate(end);
            line.push('\u{2026}');
            break;
        }
    }
    line
}
