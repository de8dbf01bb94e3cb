//! One error type for every store: what went wrong, and what it says about the operation's fate.

use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use crate::table::ShapeName;

/// The result of this library's fallible calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in words that both databases share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The key is taken (`insert`).
    AlreadyExists,
    /// Nothing has this key (`replace`, `update`, `delete_existing`, `get`), or the collection is unknown.
    NotFound,
    /// Another writer was in the way; trying again may succeed.
    Conflict,
    /// A condition was false: the revision differs, or the store's own condition did not hold.
    ConditionFailed,
    /// The operation can never be carried out as it stands.
    InvalidOperation,
    /// The key has a part that no key may have, or no part at all.
    InvalidKey,
    /// This store, or this build, cannot do what was asked.
    Unsupported,
    /// The credentials were refused, or they do not allow this.
    Unauthorized,
    /// Larger than the store takes.
    TooLarge,
    /// The store sheds load; trying again later may succeed.
    Overloaded,
    /// Time ran out. [`Error::fate`] tells whether the operation may have been applied.
    Timeout,
    /// The connection could not be made, or broke.
    Connection,
    /// The answer could not be read as what it should be.
    Protocol,
    /// The call does not fit the state: a second commit, a queue after it, a commit outside a runtime.
    InvalidState,
    /// The batch was dropped or discarded; nothing was sent.
    Discarded,
    /// Left out because of what happened to an operation before it.
    Skipped,
    /// Undone with its batch because another operation of it failed.
    RolledBack,
    /// The commit was cancelled.
    Cancelled,
    /// The job has not ended yet.
    NotReady,
    /// Results were switched off for this batch (`results(false)`).
    NotRecorded,
    /// A document does not have the shape of the type that was asked for.
    Decode,
    /// What routing rested on is gone: a removed route, a changed schema. The core resolves anew.
    Stale,
    /// The store failed for a reason of its own; [`source`](StdError::source) has it.
    Store,
    /// A backend or callback panicked.
    Panicked,
}

impl ErrorKind {
    /// The kind's name as reports and the program's JSON print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyExists => "AlreadyExists",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::ConditionFailed => "ConditionFailed",
            Self::InvalidOperation => "InvalidOperation",
            Self::InvalidKey => "InvalidKey",
            Self::Unsupported => "Unsupported",
            Self::Unauthorized => "Unauthorized",
            Self::TooLarge => "TooLarge",
            Self::Overloaded => "Overloaded",
            Self::Timeout => "Timeout",
            Self::Connection => "Connection",
            Self::Protocol => "Protocol",
            Self::InvalidState => "InvalidState",
            Self::Discarded => "Discarded",
            Self::Skipped => "Skipped",
            Self::RolledBack => "RolledBack",
            Self::Cancelled => "Cancelled",
            Self::NotReady => "NotReady",
            Self::NotRecorded => "NotRecorded",
            Self::Decode => "Decode",
            Self::Stale => "Stale",
            Self::Store => "Store",
            Self::Panicked => "Panicked",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an error says about its operation: the half of a verdict that a kind cannot carry.
/// A `Timeout` may be any of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is not in the store, and this attempt will not put it there.
    NotApplied,
    /// It is not visible yet, but the store has promised it.
    Accepted,
    /// It may be in the store or not.
    Unknown,
}

/// Where an error was met; filled in by the core when the error is read from a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Context {
    store: Option<&'static str>,
    operation: Option<&'static str>,
    collection: Option<Arc<str>>,
    job: Option<u32>,
    chunk: Option<u32>,
}

#[derive(Debug)]
struct Cause {
    kind: ErrorKind,
    fate: Fate,
    transient: bool,
    /// The pause that the store asked for.
    retry_after: Option<Duration>,
    of_some: bool,
    message: Cow<'static, str>,
    details: Vec<(&'static str, serde_json::Value)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug)]
struct Inner {
    cause: Arc<Cause>,
    context: Context,
}

/// Why an operation, a commit or a call failed.
///
/// Opaque, one word wide and cheap to clone: one failed send settles many jobs with the same error.
/// [`Display`](fmt::Display) is one line and says what to do next; [`source`](StdError::source)
/// reaches the store's native error. No message holds a password or a token.
///
/// ```
/// use batch_core::{Error, ErrorKind, Fate};
///
/// let error = Error::new(ErrorKind::Timeout, "no answer within 3 s; read the row before trying again").unknown();
/// assert_eq!(error.kind(), ErrorKind::Timeout);
/// assert_eq!(error.fate(), Fate::Unknown);
/// assert!(!error.is_retry_safe());
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    /// An error that means "not applied, and trying again would not help". The methods below change that.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::from_cause(Cause {
            kind,
            fate: Fate::NotApplied,
            transient: false,
            retry_after: None,
            of_some: false,
            message: message.into(),
            details: Vec::new(),
            source: None,
        })
    }

    fn from_cause(cause: Cause) -> Self {
        Self(Arc::new(Inner { cause: Arc::new(cause), context: Context::default() }))
    }

    fn change(self, change: impl FnOnce(&mut Cause)) -> Self {
        // Builders run right after `new`, so the value is unshared; a shared one is taken as the
        // source of a changed one rather than changed under its other owners.
        match Arc::try_unwrap(self.0) {
            Ok(Inner { cause, context }) => {
                let mut cause = Arc::try_unwrap(cause).unwrap_or_else(|shared| Cause {
                    kind: shared.kind,
                    fate: shared.fate,
                    transient: shared.transient,
                    retry_after: shared.retry_after,
                    of_some: shared.of_some,
                    message: shared.message.clone(),
                    details: shared.details.clone(),
                    source: Some(Box::new(Shared(shared))),
                });
                change(&mut cause);
                Self(Arc::new(Inner { cause: Arc::new(cause), context }))
            }
            Err(inner) => {
                let mut cause = Cause {
                    kind: inner.cause.kind,
                    fate: inner.cause.fate,
                    transient: inner.cause.transient,
                    retry_after: inner.cause.retry_after,
                    of_some: inner.cause.of_some,
                    message: inner.cause.message.clone(),
                    details: inner.cause.details.clone(),
                    source: Some(Box::new(Shared(Arc::clone(&inner.cause)))),
                };
                change(&mut cause);
                Self(Arc::new(Inner { cause: Arc::new(cause), context: inner.context.clone() }))
            }
        }
    }

    /// Says that the operation may have been applied.
    #[must_use]
    pub fn unknown(self) -> Self {
        self.change(|cause| cause.fate = Fate::Unknown)
    }

    /// Says that nothing was sent, whatever the error thought of it.
    pub(crate) fn certain(self) -> Self {
        if self.fate() == Fate::NotApplied {
            self
        } else {
            self.change(|cause| cause.fate = Fate::NotApplied)
        }
    }

    /// Says that the store has promised to apply the operation.
    #[must_use]
    pub fn accepted(self) -> Self {
        self.change(|cause| cause.fate = Fate::Accepted)
    }

    /// Says that the same request may succeed later.
    #[must_use]
    pub fn transient(self) -> Self {
        self.change(|cause| cause.transient = true)
    }

    /// Says that the same request may succeed after this time, and not before: what the store asked
    /// for.
    #[must_use]
    pub fn transient_after(self, pause: Duration) -> Self {
        self.change(|cause| (cause.transient, cause.retry_after) = (true, Some(pause)))
    }

    /// Says that the same request must not be sent again, whatever the operation says of itself:
    /// for a request that did more than the operation alone would. Nor in halves ([`of_some`](Self::of_some)).
    #[must_use]
    pub fn lasting(self) -> Self {
        self.change(|cause| (cause.transient, cause.of_some) = (false, false))
    }

    /// Says that a chunk failed because of some of its operations, and that the store does not tell
    /// which. Unless the batch is all-or-nothing, the core sends the chunk in halves, until those
    /// operations fail alone: if none was applied, and if that is [`unknown`](Self::unknown) and all of them are
    /// idempotent, as long as halves come through.
    #[must_use]
    pub fn of_some(self) -> Self {
        self.change(|cause| cause.of_some = true)
    }

    /// Keeps the native error, to be reached by [`source`](StdError::source).
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        self.change(|cause| cause.source = Some(source))
    }

    /// Adds a number or a word of the store's own, such as `http_status` or `error_num`.
    #[must_use]
    pub fn with_detail(self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        let value = value.into();
        self.change(|cause| cause.details.push((name, value)))
    }

    pub(crate) fn with_job(
        &self,
        store: &'static str,
        operation: Option<ShapeName>,
        job: u32,
        chunk: Option<u32>,
    ) -> Self {
        let (operation, collection) = match operation {
            Some((operation, collection)) => (Some(operation), collection),
            None => (None, None),
        };
        let context = Context { store: Some(store), operation, collection, job: Some(job), chunk };
        Self(Arc::new(Inner { cause: Arc::clone(&self.0.cause), context }))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.cause.kind
    }

    /// What this says about the operation.
    #[must_use]
    pub fn fate(&self) -> Fate {
        self.0.cause.fate
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.cause.transient
    }

    /// The pause that the store asked for before the same request is sent again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.cause.retry_after
    }

    /// Whether the operation can be sent again without the danger of applying it twice:
    /// true only if it is certain that it was not applied. Never of an error that is not about
    /// that, such as `Decode` or `NotReady`.
    #[must_use]
    pub fn is_retry_safe(&self) -> bool {
        self.fate() == Fate::NotApplied
    }

    /// The message alone, without the place where it was met.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.cause.message
    }

    /// The store's own numbers and words, in the order in which the backend gave them.
    pub fn details(&self) -> impl Iterator<Item = (&'static str, &serde_json::Value)> {
        self.0.cause.details.iter().map(|(name, value)| (*name, value))
    }

    /// The name of the store, if the error was read from a job.
    #[must_use]
    pub fn store(&self) -> Option<&'static str> {
        self.0.context.store
    }

    /// The collection of the operation, if the error was read from a job that has one.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        self.0.context.collection.as_deref()
    }

    /// The [id](crate::Job::id) of the job, if the error was read from one.
    #[must_use]
    pub fn job(&self) -> Option<u32> {
        self.0.context.job
    }

    /// The number of the chunk that settled the job, counted from 1 in the order of sending.
    #[must_use]
    pub fn chunk(&self) -> Option<u32> {
        self.0.context.chunk
    }

    /// Whether the store refused a chunk because of some of its operations, unknown which.
    pub(crate) fn is_of_some(&self) -> bool {
        self.0.cause.of_some
    }

    /// Whether both have one cause, wherever they were met.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.cause, &other.0.cause)
    }
}

/// Writes control characters as Rust's strings do: what others say, such as names and warnings of servers.
pub(crate) struct OneLine<'a, 'f>(pub(crate) &'a mut fmt::Formatter<'f>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names are anybody's.
        let f = &mut OneLine(f);
        let context = &self.0.context;
        if let Some(job) = context.job {
            write!(f, "operation {job}")?;
            match (&context.operation, &context.collection) {
                (Some(operation), Some(collection)) => write!(f, " ({operation} on {collection})")?,
                (Some(operation), None) => write!(f, " ({operation})")?,
                (None, _) => {}
            }
            f.write_str(": ")?;
        }
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { cause, context } = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", &cause.kind)
            .field("fate", &cause.fate)
            .field("transient", &cause.transient);
        out.field("message", &cause.message);
        for (name, value) in &cause.details {
            out.field(name, value);
        }
        if *context != Context::default() {
            out.field("context", context);
        }
        if let Some(source) = &cause.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.source.as_deref().map(|source| source as _)
    }
}

/// The unchanged cause of an error that was changed while others still held it.
#[derive(Debug)]
struct Shared(Arc<Cause>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_read_from_a_job_names_the_operation_and_its_place() {
        let error = Error::new(ErrorKind::AlreadyExists, "the key is taken").with_job(
            "memory",
            Some(("insert", Some(Arc::from("students")))),
            2,
            Some(1),
        );
        assert_eq!(error.to_string(), "operation 2 (insert on students): the key is taken");
        assert_eq!((error.store(), error.collection()), (Some("memory"), Some("students")));
        assert_eq!((error.job(), error.chunk()), (Some(2), Some(1)));
    }

    #[test]
    fn an_error_is_one_line_whatever_the_names_in_it() {
        let context = ("insert", Some(Arc::from("a\nb")));
        let error = Error::new(ErrorKind::NotFound, "no \u{1b}[1mäh\r\n\u{85}!").with_job(
            "memory",
            Some(context),
            1,
            None,
        );
        let text = r"operation 1 (insert on a\nb): no \u{1b}[1mäh\r\n\u{85}!";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn changing_a_shared_error_leaves_the_other_owners_value_alone() {
        let first = Error::new(ErrorKind::Timeout, "late");
        let second = first.clone().unknown();
        assert_eq!((first.fate(), second.fate()), (Fate::NotApplied, Fate::Unknown));
    }

    #[test]
    fn the_source_and_the_details_of_the_store_stay_reachable() {
        let error = Error::new(ErrorKind::Store, "refused")
            .with_source(std::io::Error::other("native"))
            .with_detail("error_num", 1210);
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("native"));
        assert_eq!(error.details().collect::<Vec<_>>(), [("error_num", &serde_json::json!(1210))]);
    }
}
