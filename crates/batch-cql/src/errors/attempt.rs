//! What one attempt came to, as the server or the connection told it.

use batch_core::{Error, ErrorKind, Fate};
use scylla::{
    errors::{
        BrokenConnectionError, BrokenConnectionErrorKind, DbError, ExecutionError, PrepareError,
        RequestAttemptError, WriteType,
    },
    frame::{protocol_features::ProtocolFeatures, types::Consistency},
};

use super::{Asked, Verdict, line};

/// The table for the driver's half.
pub(super) fn judge(error: &RequestAttemptError, asked: Asked) -> Verdict {
    use RequestAttemptError as E;
    match error {
        E::DbError(error, text) => of_server(error, text, asked),
        E::BrokenConnectionError(error) => of_broken(error),
        E::UnableToAllocStreamId => Verdict::later(
            ErrorKind::Overloaded,
            "too many requests are in flight on the connection, so it was not sent",
        ),
        E::SerializationError(error) => Verdict::refused(
            ErrorKind::InvalidOperation,
            format!("the values do not fit the statement: {}", line(error)),
        ),
        E::CqlRequestSerialization(error) => Verdict::refused(
            ErrorKind::InvalidOperation,
            format!("the request cannot be written: {}", line(error)),
        ),
        // The server said that it does not know the statement, so it has not carried it out.
        E::RepreparedIdChanged { .. } | E::RepreparedIdMissingInBatch => Verdict::refused(
            ErrorKind::Stale,
            "a statement is no longer what it was when it was prepared: the schema has changed",
        ),
        other => Verdict::unknown(
            ErrorKind::Protocol,
            format!("the server's answer cannot be read ({})", line(other)),
        ),
    }
}

fn of_broken(error: &BrokenConnectionError) -> Verdict {
    let message = match error.downcast_ref() {
        // A request that waited to be taken up ends so, but also one that had left when the driver's part
        // of the connection went away with its runtime.
        Some(BrokenConnectionErrorKind::ChannelError) => {
            "the connection went away, and nothing tells whether the request had left".to_owned()
        }
        _ => format!("the connection broke ({})", line(error)),
    };
    Verdict::unknown_later(ErrorKind::Connection, message)
}

/// The table for the server's half.
fn of_server(error: &DbError, text: &str, asked: Asked) -> Verdict {
    if let Some(verdict) = of_text(text, asked) {
        return verdict;
    }
    let says = || match text.is_empty() {
        true => String::new(),
        false => format!(": {}", line(text)),
    };
    match error {
        DbError::Unavailable { consistency, required, alive } => {
            let message = format!(
                "{alive} of the {required} replicas are up that the consistency {} needs",
                name_of(*consistency)
            );
            // A condition that holds is committed at the other consistency, after the decision.
            let decided = asked.conditional
                && !matches!(consistency, Consistency::Serial | Consistency::LocalSerial);
            let begun = asked.has_parts() || asked.may_have_counted() || decided;
            Verdict::later(ErrorKind::Connection, message).unknown_if(begun)
        }
        DbError::WriteTimeout { consistency, received, required, write_type } => {
            let message = format!(
                "{received} of {required} replicas had answered in time at the consistency {} (write type {})",
                name_of(*consistency),
                write_type.as_str()
            );
            match write_type {
                WriteType::Batch if asked.logged => Verdict {
                    fate: Fate::Accepted,
                    ..Verdict::refused(ErrorKind::Timeout, message)
                },
                WriteType::Counter => Verdict::unknown(ErrorKind::Timeout, message),
                _ => Verdict::unknown_later(ErrorKind::Timeout, message),
            }
        }
        DbError::ReadTimeout { consistency, received, required, .. } => Verdict::unknown_later(
            ErrorKind::Timeout,
            format!(
                "{received} of {required} replicas could be read in time at the consistency {}",
                name_of(*consistency)
            ),
        ),
        // As a rule for a reason that lasts, so that trying again would fail likewise.
        DbError::WriteFailure { consistency, received, required, numfailures, write_type } => {
            Verdict::unknown(
                ErrorKind::Store,
                format!(
                    "{numfailures} replicas failed and {received} of {required} wrote at the consistency {} (write type {}); look into the servers' logs",
                    name_of(*consistency),
                    write_type.as_str()
                ),
            )
        }
        DbError::ReadFailure { consistency, received, required, numfailures, .. } => {
            Verdict::unknown(
                ErrorKind::Store,
                format!(
                    "{numfailures} replicas failed and {received} of {required} could be read at the consistency {}; look into the servers' logs",
                    name_of(*consistency)
                ),
            )
        }
        // Too many hints: told on the way to a replica, so that other partitions may be written, and the batch
        // log was.
        // Every other overload is told before anything is done.
        DbError::Overloaded => {
            let begun = text.contains("hints")
                && (asked.several_partitions
                    || asked.conditional
                    || asked.logged
                    || asked.may_have_counted());
            let message = format!("the server is overloaded{}", says());
            Verdict::later(ErrorKind::Overloaded, message).unknown_if(begun)
        }
        DbError::RateLimitReached { rejected_by_coordinator, .. } => {
            Verdict::later(ErrorKind::Overloaded, "the rate limit of a partition is reached")
                .unknown_if(!rejected_by_coordinator)
        }
        DbError::IsBootstrapping => Verdict::later(
            ErrorKind::Overloaded,
            "the node has just been started, and takes no requests yet",
        ),
        DbError::Unauthorized | DbError::AuthenticationError => {
            Verdict::refused(ErrorKind::Unauthorized, format!("the user may not do this{}", says()))
        }
        DbError::Unprepared { .. } => Verdict::refused(
            ErrorKind::Stale,
            "the server does not know the prepared statement any more",
        ),
        DbError::Invalid if is_about_schema(text) => {
            Verdict::refused(ErrorKind::Stale, format!("the schema does not fit this{}", says()))
        }
        DbError::Invalid
        | DbError::SyntaxError
        | DbError::ConfigError
        | DbError::FunctionFailure { .. } => Verdict::refused(
            ErrorKind::InvalidOperation,
            format!("the server refuses this{}", says()),
        ),
        DbError::ProtocolError => Verdict::refused(
            ErrorKind::Protocol,
            format!("the server does not understand the request{}", says()),
        ),
        // Met where a plain write is taken apart by tables, before any of it leaves; conditions have read by then.
        DbError::ServerError
            if is_about_gone_table(text) && !asked.conditional && !asked.counter =>
        {
            Verdict::refused(ErrorKind::Stale, format!("the table is another one now{}", says()))
        }
        other => Verdict::unknown(
            ErrorKind::Store,
            format!("the server failed ({}){}", line(other), says()),
        ),
    }
}

/// What only the words tell, whatever their code.
fn of_text(text: &str, asked: Asked) -> Option<Verdict> {
    let lower = text.to_ascii_lowercase();
    if text == "Batch too large" {
        let message =
            "the server refuses a batch of this size: put fewer or smaller operations into it";
        return Some(Verdict::refused(ErrorKind::TooLarge, message));
    }
    // Both are checked before anything is written.
    let before = ["request is too big", "request size too large", "rejected an oversized mutation"];
    // Told by the replica.
    let meanwhile = lower.starts_with("mutation of ") && lower.contains("too large");
    let before = before.iter().any(|start| lower.starts_with(start));
    if before || meanwhile || lower.contains("mutation is too large") {
        let message = format!("it is too large for the server, so make it smaller: {}", line(text));
        let verdict = Verdict::refused(ErrorKind::TooLarge, message);
        return Some(verdict.unknown_if(!before && (asked.several_partitions || asked.logged)));
    }
    if is_refusal(&lower).is_some() {
        let message = format!("this server does not offer it: {}", line(text));
        return Some(Verdict::refused(ErrorKind::Unsupported, message));
    }
    // The server checks this too late to call it invalid, but before it does anything.
    lower.contains("batch with conditions cannot span").then(|| {
        let message = format!("the server refuses this: {}", line(text));
        Verdict::refused(ErrorKind::InvalidOperation, message)
    })
}

/// What a service that speaks CQL may not offer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    LoggedBatches,
    Conditions,
}

/// Whether words, in lower case, say that the server never takes logged batches or conditions,
/// whatever the table.
fn is_refusal(lower: &str) -> Option<Refusal> {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let never = ["not supported", "not yet supported", "not implemented", "unsupported"];
    if has(&["only unlogged batch"]) {
        return Some(Refusal::LoggedBatches);
    }
    // What one table cannot have, others can; and what one statement cannot say.
    let of_one =
        ["table", "tablet", "unlogged", "column", "in on", "restriction", "with conditional"];
    if !has(&never) || has(&of_one) {
        return None;
    }
    if has(&["logged batch"]) {
        return Some(Refusal::LoggedBatches);
    }
    let conditions = ["lightweight transaction", "light weight transaction", "lwt", "conditional"];
    has(&conditions).then_some(Refusal::Conditions)
}

/// What an error says that the server never takes.
pub(crate) fn refusal(error: &ExecutionError) -> Option<Refusal> {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(_, text)) => {
            is_refusal(&text.to_ascii_lowercase())
        }
        _ => None,
    }
}

/// Whether words say that a keyspace, a table or a column is not there, or has another type than
/// the statement says.
fn is_about_schema(text: &str) -> bool {
    let starts = [
        "Cannot assign value",
        "Type error",
        "Undefined column name",
        "Undefined name",
        "Unknown identifier",
        "Unrecognized name",
    ];
    is_about_table(text) || starts.iter().any(|start| text.starts_with(start))
}

/// Whether an attempt failed because of that.
pub(super) fn blames_schema(error: &RequestAttemptError) -> bool {
    matches!(error, RequestAttemptError::DbError(_, text) if is_about_schema(text) || is_about_gone_table(text))
}

/// Whether words say that a table was dropped while a request to it was taken up.
fn is_about_gone_table(text: &str) -> bool {
    text.starts_with("java.lang.IllegalArgumentException: Unknown CF ")
}

fn is_about_table(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let starts = ["can't find a keyspace", "can't find a column family", "unconfigured table"];
    let named = lower.starts_with("table ") || lower.starts_with("keyspace ");
    starts.iter().any(|start| lower.starts_with(start))
        || (named && lower.ends_with(" does not exist"))
}

/// As [`judge`], for a request that only prepares.
pub(super) fn judge_prepare(error: &RequestAttemptError) -> Verdict {
    let verdict = match error {
        RequestAttemptError::DbError(_, text) if is_about_table(text) => {
            let message = format!("{}; make it, or correct the name", line(text));
            Verdict::refused(ErrorKind::NotFound, message)
        }
        other => judge(other, Asked::default()),
    };
    let kind = match verdict.kind {
        ErrorKind::Stale => ErrorKind::InvalidOperation,
        kind => kind,
    };
    Verdict { kind, fate: Fate::NotApplied, ..verdict }
}

/// The attempt that a statement could not be prepared by.
pub(super) fn of_prepare(error: &PrepareError) -> Option<&RequestAttemptError> {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => Some(first_attempt),
        _ => None,
    }
}

/// Adds the server's own numbers and words.
pub(super) fn detailed(error: Error, native: &ExecutionError) -> Error {
    let attempt = match native {
        ExecutionError::LastAttemptError(attempt) => Some(attempt),
        ExecutionError::PrepareError(error) => of_prepare(error),
        _ => None,
    };
    detailed_by(error, attempt)
}

pub(super) fn detailed_by(error: Error, attempt: Option<&RequestAttemptError>) -> Error {
    let Some(RequestAttemptError::DbError(native, _)) = attempt else { return error };
    // Its code is agreed on by each connection, so it has no number of its own.
    let error = match native {
        DbError::RateLimitReached { .. } => error.with_detail("cql_error", "RATE_LIMIT_REACHED"),
        native => {
            let code = native.code(&ProtocolFeatures::default());
            error.with_detail("cql_error", format!("{code:#06x}"))
        }
    };
    let counted = |error: Error, consistency: Consistency, received: i32, required: i32| {
        error
            .with_detail("consistency", name_of(consistency))
            .with_detail("received", received)
            .with_detail("required", required)
    };
    match native {
        DbError::Unavailable { consistency, required, alive } => error
            .with_detail("consistency", name_of(*consistency))
            .with_detail("alive", *alive)
            .with_detail("required", *required),
        DbError::WriteTimeout { consistency, received, required, write_type } => {
            counted(error, *consistency, *received, *required)
                .with_detail("write_type", write_type.as_str())
        }
        DbError::WriteFailure { consistency, received, required, numfailures, write_type } => {
            counted(error, *consistency, *received, *required)
                .with_detail("failures", *numfailures)
                .with_detail("write_type", write_type.as_str())
        }
        DbError::ReadTimeout { consistency, received, required, .. } => {
            counted(error, *consistency, *received, *required)
        }
        DbError::ReadFailure { consistency, received, required, numfailures, .. } => {
            counted(error, *consistency, *received, *required).with_detail("failures", *numfailures)
        }
        _ => error,
    }
}

/// A consistency as CQL writes it.
const fn name_of(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Any => "ANY",
        Consistency::One => "ONE",
        Consistency::Two => "TWO",
        Consistency::Three => "THREE",
        Consistency::Quorum => "QUORUM",
        Consistency::All => "ALL",
        Consistency::LocalQuorum => "LOCAL_QUORUM",
        Consistency::EachQuorum => "EACH_QUORUM",
        Consistency::LocalOne => "LOCAL_ONE",
        Consistency::Serial => "SERIAL",
        Consistency::LocalSerial => "LOCAL_SERIAL",
    }
}
