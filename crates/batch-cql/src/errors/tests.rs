//! The table, row by row.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use batch_core::{Error, ErrorKind, Fate};
use scylla::{
    errors::{
        BadQuery, BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError, DbError,
        ExecutionError, MetadataError, NewSessionError, OperationType, PrepareError,
        RequestAttemptError, WriteType,
    },
    frame::types::Consistency,
};

use super::*;

const SINGLE: Asked = Asked {
    logged: false,
    several_partitions: false,
    conditional: false,
    counter: false,
    counts_first: false,
};
const LOGGED: Asked = Asked { logged: true, several_partitions: true, ..SINGLE };
const SPREAD: Asked = Asked { several_partitions: true, ..SINGLE };
const CONDITION: Asked = Asked { conditional: true, ..SINGLE };
const COUNTER: Asked = Asked { counter: true, ..SINGLE };
const COUNTERS: Asked = Asked { counter: true, several_partitions: true, ..SINGLE };
/// One on a server that counts on one replica first, as ScyllaDB does, and what is no counter there.
const COUNTED: Asked = Asked { counts_first: true, ..COUNTER };
const UNCOUNTED: Asked = Asked { counts_first: true, ..SINGLE };
/// Of a table that was dropped while a request to it was taken up.
const GONE: &str =
    "java.lang.IllegalArgumentException: Unknown CF 5bd0cbf0-8c4d-11f0-9d0b-0b8a6e1a4c6b";
const EVERY: &[Asked] = &[SINGLE, LOGGED, SPREAD, CONDITION, COUNTER, COUNTERS, COUNTED, UNCOUNTED];

/// What a row says: the fate, and whether the same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Refused,
    Later,
    Accepted,
    Unknown,
    UnknownLater,
}

impl Says {
    fn of(error: &Error) -> Self {
        match (error.fate(), error.is_transient()) {
            (Fate::NotApplied, false) => Self::Refused,
            (Fate::NotApplied, true) => Self::Later,
            (Fate::Accepted, _) => Self::Accepted,
            (Fate::Unknown, false) => Self::Unknown,
            (Fate::Unknown, true) => Self::UnknownLater,
        }
    }
}

fn attempt(error: RequestAttemptError) -> ExecutionError {
    ExecutionError::LastAttemptError(error)
}

fn server(error: DbError, text: &str) -> ExecutionError {
    attempt(RequestAttemptError::DbError(error, text.to_owned()))
}

fn invalid(text: &str) -> ExecutionError {
    server(DbError::Invalid, text)
}

fn broken(kind: BrokenConnectionErrorKind) -> ExecutionError {
    attempt(RequestAttemptError::BrokenConnectionError(kind.into()))
}

fn refused_connection() -> ConnectionPoolError {
    let error = io::Error::from(io::ErrorKind::ConnectionRefused);
    ConnectionPoolError::Broken { last_connection_error: ConnectionError::IoError(Arc::new(error)) }
}

fn write_timeout(write_type: WriteType, consistency: Consistency) -> ExecutionError {
    server(DbError::WriteTimeout { consistency, received: 1, required: 2, write_type }, "late")
}

fn write_failure(write_type: WriteType) -> ExecutionError {
    let consistency = Consistency::Quorum;
    let error =
        DbError::WriteFailure { consistency, received: 0, required: 1, numfailures: 1, write_type };
    server(error, "failed")
}

fn unavailable(consistency: Consistency) -> ExecutionError {
    server(DbError::Unavailable { consistency, required: 2, alive: 1 }, "down")
}

#[expect(clippy::too_many_lines, reason = "one table, one row a line")]
fn table() -> Vec<(ExecutionError, &'static [Asked], ErrorKind, Says)> {
    use ErrorKind as K;
    use Says::{Accepted, Later, Refused, Unknown, UnknownLater};
    let read_timeout = DbError::ReadTimeout {
        consistency: Consistency::LocalSerial,
        received: 1,
        required: 2,
        data_present: false,
    };
    let read_failure = DbError::ReadFailure {
        consistency: Consistency::LocalSerial,
        received: 1,
        required: 2,
        numfailures: 1,
        data_present: false,
    };
    let limited = |rejected_by_coordinator| DbError::RateLimitReached {
        op_type: OperationType::Write,
        rejected_by_coordinator,
    };
    let changed = RequestAttemptError::RepreparedIdChanged {
        statement: "INSERT …".to_owned(),
        expected_id: vec![1],
        reprepared_id: vec![2],
    };
    let not_prepared = PrepareError::AllAttemptsFailed {
        first_attempt: RequestAttemptError::DbError(DbError::SyntaxError, "line 1".to_owned()),
    };
    let function = DbError::FunctionFailure {
        keyspace: "k".to_owned(),
        function: "f".to_owned(),
        arg_types: Vec::new(),
    };
    let hints = "Too many in flight hints: 1024";
    let write_error = || BrokenConnectionErrorKind::WriteError(io::ErrorKind::BrokenPipe.into());
    vec![
        // Before anything is sent.
        (BadQuery::TooManyQueriesInBatchStatement(70_000).into(), EVERY, K::TooLarge, Refused),
        (BadQuery::ValuesTooLongForKey(70_000, 65_535).into(), EVERY, K::InvalidKey, Refused),
        (BadQuery::PartitionKeyExtraction.into(), EVERY, K::InvalidOperation, Refused),
        (ExecutionError::EmptyPlan, EVERY, K::Connection, Later),
        (refused_connection().into(), EVERY, K::Connection, Later),
        (ConnectionPoolError::Initializing.into(), EVERY, K::Connection, Later),
        (not_prepared.into(), EVERY, K::InvalidOperation, Refused),
        (attempt(RequestAttemptError::UnableToAllocStreamId), EVERY, K::Overloaded, Later),
        // The answer is lost, or cannot be read.
        (broken(BrokenConnectionErrorKind::ChannelError), EVERY, K::Connection, UnknownLater),
        (broken(write_error()), EVERY, K::Connection, UnknownLater),
        (
            broken(BrokenConnectionErrorKind::UnexpectedStreamId(7)),
            EVERY,
            K::Connection,
            UnknownLater,
        ),
        (
            broken(BrokenConnectionErrorKind::TooManyOrphanedStreamIds(9)),
            EVERY,
            K::Connection,
            UnknownLater,
        ),
        (ExecutionError::RequestTimeout(Duration::from_secs(1)), EVERY, K::Timeout, UnknownLater),
        (attempt(RequestAttemptError::NonfinishedPagingState), EVERY, K::Protocol, Unknown),
        // The schema is another one by now.
        (attempt(changed), EVERY, K::Stale, Refused),
        (attempt(RequestAttemptError::RepreparedIdMissingInBatch), EVERY, K::Stale, Refused),
        (
            server(DbError::Unprepared { statement_id: vec![1].into() }, ""),
            EVERY,
            K::Stale,
            Refused,
        ),
        (invalid("table t does not exist"), EVERY, K::Stale, Refused),
        (invalid("keyspace k does not exist"), EVERY, K::Stale, Refused),
        (invalid("unconfigured table t"), EVERY, K::Stale, Refused),
        (
            server(DbError::ServerError, GONE),
            &[SINGLE, LOGGED, SPREAD, UNCOUNTED],
            K::Stale,
            Refused,
        ),
        (invalid("Undefined column name b in table p.t"), EVERY, K::Stale, Refused),
        (invalid("Cannot assign value (int)? to a of type text"), EVERY, K::Stale, Refused),
        // Too large.
        (invalid("Batch too large"), EVERY, K::TooLarge, Refused),
        (
            invalid("Request is too big: length 17825838 exceeds maximum allowed length 16777216."),
            EVERY,
            K::TooLarge,
            Refused,
        ),
        (
            invalid(
                "Rejected an oversized mutation (2621960/2621440) for keyspace: k1. Top keys are: z.1",
            ),
            EVERY,
            K::TooLarge,
            Refused,
        ),
        (
            invalid("request size too large (request size estimate 1 bytes; allowed 0 bytes)"),
            EVERY,
            K::TooLarge,
            Refused,
        ),
        (
            server(
                DbError::ServerError,
                "Mutation of 17MiB is too large for the maximum size of 16MiB",
            ),
            &[SINGLE, CONDITION, COUNTER],
            K::TooLarge,
            Refused,
        ),
        (
            server(
                DbError::ServerError,
                "Mutation of 17MiB is too large for the maximum size of 16MiB",
            ),
            &[SPREAD, LOGGED, COUNTERS],
            K::TooLarge,
            Unknown,
        ),
        // Refused by the server's rules.
        (
            invalid("Invalid null value in condition for column p"),
            EVERY,
            K::InvalidOperation,
            Refused,
        ),
        (
            server(DbError::SyntaxError, "line 0:-1 no viable alternative"),
            EVERY,
            K::InvalidOperation,
            Refused,
        ),
        (server(DbError::ConfigError, "no"), EVERY, K::InvalidOperation, Refused),
        (server(function, "no"), EVERY, K::InvalidOperation, Refused),
        (
            server(
                DbError::ServerError,
                "java.lang.IllegalArgumentException: Batch with conditions cannot span multiple partitions (you cannot use IN on the partition key)",
            ),
            EVERY,
            K::InvalidOperation,
            Refused,
        ),
        (
            invalid("Only UNLOGGED Batches are supported at this time."),
            EVERY,
            K::Unsupported,
            Refused,
        ),
        (invalid("Lightweight transactions are not supported"), EVERY, K::Unsupported, Refused),
        (
            server(DbError::Unauthorized, "User lim has no MODIFY permission on <table k.t>"),
            EVERY,
            K::Unauthorized,
            Refused,
        ),
        (server(DbError::AuthenticationError, ""), EVERY, K::Unauthorized, Refused),
        (server(DbError::ProtocolError, "no"), EVERY, K::Protocol, Refused),
        // Not now.
        (
            server(DbError::Overloaded, "Request on table k.t took too much"),
            EVERY,
            K::Overloaded,
            Later,
        ),
        (server(DbError::Overloaded, hints), &[SINGLE, COUNTER, UNCOUNTED], K::Overloaded, Later),
        (
            server(DbError::Overloaded, hints),
            &[SPREAD, LOGGED, CONDITION, COUNTERS, COUNTED],
            K::Overloaded,
            UnknownLater,
        ),
        (server(DbError::IsBootstrapping, ""), EVERY, K::Overloaded, Later),
        (server(limited(true), ""), EVERY, K::Overloaded, Later),
        (server(limited(false), ""), EVERY, K::Overloaded, UnknownLater),
        // Too few replicas are up. Partitions are written one after another, but for a logged
        // batch; a condition is decided at the serial consistency, and committed at the other.
        (
            unavailable(Consistency::Two),
            &[SINGLE, LOGGED, COUNTER, UNCOUNTED],
            K::Connection,
            Later,
        ),
        (
            unavailable(Consistency::Quorum),
            &[SPREAD, COUNTERS, COUNTED],
            K::Connection,
            UnknownLater,
        ),
        (unavailable(Consistency::LocalSerial), &[CONDITION], K::Connection, Later),
        (unavailable(Consistency::Serial), &[CONDITION], K::Connection, Later),
        (unavailable(Consistency::All), &[CONDITION], K::Connection, UnknownLater),
        // Too few have answered. Only the batch log promises that the rest follows.
        (write_timeout(WriteType::Batch, Consistency::All), &[LOGGED], K::Timeout, Accepted),
        (
            write_timeout(WriteType::Batch, Consistency::All),
            &[SINGLE, SPREAD, CONDITION, COUNTER],
            K::Timeout,
            UnknownLater,
        ),
        (write_timeout(WriteType::BatchLog, Consistency::Two), EVERY, K::Timeout, UnknownLater),
        (
            write_timeout(WriteType::UnloggedBatch, Consistency::Quorum),
            EVERY,
            K::Timeout,
            UnknownLater,
        ),
        (write_timeout(WriteType::Simple, Consistency::One), EVERY, K::Timeout, UnknownLater),
        (write_timeout(WriteType::Cas, Consistency::LocalSerial), EVERY, K::Timeout, UnknownLater),
        (write_timeout(WriteType::View, Consistency::One), EVERY, K::Timeout, UnknownLater),
        (write_timeout(WriteType::Cdc, Consistency::One), EVERY, K::Timeout, UnknownLater),
        (
            write_timeout(WriteType::Other("NEW".to_owned()), Consistency::One),
            EVERY,
            K::Timeout,
            UnknownLater,
        ),
        (write_timeout(WriteType::Counter, Consistency::One), EVERY, K::Timeout, Unknown),
        (server(read_timeout, ""), EVERY, K::Timeout, UnknownLater),
        // Some have failed.
        (write_failure(WriteType::Simple), EVERY, K::Store, Unknown),
        (write_failure(WriteType::Batch), EVERY, K::Store, Unknown),
        (write_failure(WriteType::UnloggedBatch), EVERY, K::Store, Unknown),
        (write_failure(WriteType::Cas), EVERY, K::Store, Unknown),
        (server(read_failure, ""), EVERY, K::Store, Unknown),
        // What nobody can know.
        (server(DbError::ServerError, "java.lang.NullPointerException"), EVERY, K::Store, Unknown),
        (server(DbError::ServerError, GONE), &[CONDITION, COUNTER, COUNTERS], K::Store, Unknown),
        (server(DbError::TruncateError, ""), EVERY, K::Store, Unknown),
        (server(DbError::Other(0x1700), "unknown result"), EVERY, K::Store, Unknown),
    ]
}

#[test]
fn each_error_says_of_each_request_whether_it_was_applied_and_may_succeed_later() {
    for (native, asked, kind, says) in table() {
        for asked in asked {
            let error = verdict(&native, *asked);
            let told = (error.kind(), Says::of(&error));
            assert_eq!(told, (kind, says), "{native:?} for {asked:?}");
            let message = error.to_string();
            assert!(!message.contains('\n') && message.len() > 20, "{message}");
            // Where neither the kind nor the message says it, the fate's advice does.
            assert_eq!(
                message.contains("to know whether"),
                error.fate() == Fate::Unknown,
                "{message}"
            );
            let source = error.source().and_then(|source| source.downcast_ref::<ExecutionError>());
            assert_eq!(source.map(ToString::to_string), Some(native.to_string()));
        }
    }
}

#[test]
fn a_read_writes_nothing_whatever_went_wrong() {
    for (native, _, _, says) in table() {
        let error = of_read(&native);
        assert_eq!(error.fate(), Fate::NotApplied, "{native:?}");
        let transient = matches!(says, Says::Later | Says::UnknownLater);
        if says != Says::Accepted {
            assert_eq!(error.is_transient(), transient, "{native:?}");
        }
        assert!(!error.to_string().contains("written"), "{error}");
    }
}

#[test]
fn the_servers_own_numbers_are_the_errors_details() {
    let details = |native: &ExecutionError| {
        let error = verdict(native, SPREAD);
        serde_json::Value::Object(
            error.details().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
        )
    };
    let cases = [
        (
            write_timeout(WriteType::UnloggedBatch, Consistency::LocalQuorum),
            serde_json::json!({
                "cql_error": "0x1100", "consistency": "LOCAL_QUORUM", "received": 1, "required": 2,
                "write_type": "UNLOGGED_BATCH",
            }),
        ),
        (
            unavailable(Consistency::EachQuorum),
            serde_json::json!({
                "cql_error": "0x1000", "consistency": "EACH_QUORUM", "alive": 1, "required": 2,
            }),
        ),
        (
            write_failure(WriteType::Simple),
            serde_json::json!({
                "cql_error": "0x1500", "consistency": "QUORUM", "received": 0, "required": 1,
                "failures": 1, "write_type": "SIMPLE",
            }),
        ),
        (invalid("Batch too large"), serde_json::json!({"cql_error": "0x2200"})),
        (server(DbError::ServerError, ""), serde_json::json!({"cql_error": "0x0000"})),
        (ExecutionError::EmptyPlan, serde_json::json!({})),
    ];
    for (native, expected) in cases {
        assert_eq!(details(&native), expected, "{native:?}");
    }
    let limited =
        DbError::RateLimitReached { op_type: OperationType::Write, rejected_by_coordinator: true };
    assert_eq!(
        details(&server(limited, "")),
        serde_json::json!({"cql_error": "RATE_LIMIT_REACHED"})
    );
}

#[test]
fn a_statement_that_cannot_be_prepared_is_shown_with_the_reason_and_nothing_was_written() {
    let refused = |error, text: &str| PrepareError::AllAttemptsFailed {
        first_attempt: RequestAttemptError::DbError(error, text.to_owned()),
    };
    let cases = [
        (refused(DbError::Invalid, "table t does not exist"), ErrorKind::NotFound, false),
        (refused(DbError::Invalid, "keyspace k does not exist"), ErrorKind::NotFound, false),
        (
            refused(DbError::Invalid, "Undefined column name a in table k.t"),
            ErrorKind::InvalidOperation,
            false,
        ),
        (refused(DbError::SyntaxError, "line 1:0\n no"), ErrorKind::InvalidOperation, false),
        (refused(DbError::Unauthorized, "no SELECT permission"), ErrorKind::Unauthorized, false),
        (refused(DbError::Overloaded, ""), ErrorKind::Overloaded, true),
        (refused(DbError::ServerError, "no"), ErrorKind::Store, false),
        (refused_connection().into(), ErrorKind::Connection, true),
        (PrepareError::PreparedStatementIdsMismatch, ErrorKind::Conflict, true),
    ];
    let text = "INSERT INTO k.t\n  (a)\n  VALUES (?)";
    for (native, kind, transient) in cases {
        let error = not_prepared(text, &native);
        assert_eq!((error.kind(), error.is_transient()), (kind, transient), "{native:?}");
        assert_eq!(error.fate(), Fate::NotApplied, "{native:?}");
        assert!(
            error.to_string().starts_with("`INSERT INTO k.t (a) VALUES (?)` cannot"),
            "{error}"
        );
        assert!(error.source().is_some_and(|source| source.is::<PrepareError>()));
    }
    let long = format!("INSERT INTO k.t (a) VALUES ('{}')", "ü".repeat(300));
    let error = not_prepared(&long, &PrepareError::PreparedStatementIdsMismatch);
    assert!(error.to_string().contains("üü…` cannot be prepared"), "{error}");
}

#[test]
fn a_cluster_that_cannot_be_connected_to_is_named() {
    let hangs = BrokenConnectionErrorKind::KeepaliveTimeout([127, 0, 0, 1].into());
    let cases = [
        (
            NewSessionError::MetadataError(
                MetadataError::ConnectionPoolError(refused_connection()),
            ),
            ErrorKind::Connection,
            "nothing listens there",
        ),
        (
            NewSessionError::FailedToResolveAnyHostname(vec!["h".to_owned()]),
            ErrorKind::Connection,
            "no such host",
        ),
        (
            NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
                ConnectionPoolError::Broken {
                    last_connection_error: ConnectionError::ConnectTimeout,
                },
            )),
            ErrorKind::Timeout,
            "does not answer",
        ),
        (
            NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
                ConnectionPoolError::Broken {
                    last_connection_error: ConnectionError::BrokenConnection(hangs.into()),
                },
            )),
            ErrorKind::Timeout,
            "says nothing",
        ),
    ];
    for (native, kind, part) in cases {
        let error = not_connected("h:1, h:2", &native);
        assert_eq!((error.kind(), error.is_retry_safe(), error.is_transient()), (kind, true, true));
        assert!(error.to_string().starts_with("cannot connect to h:1, h:2: "), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.source().is_some_and(|source| source.is::<NewSessionError>()));
    }
}

#[test]
fn what_a_service_never_takes_is_told_from_what_one_table_does_not() {
    let cases = [
        ("Only UNLOGGED Batches are supported at this time.", Some(Refusal::LoggedBatches)),
        ("LOGGED batches are not supported", Some(Refusal::LoggedBatches)),
        ("Lightweight transactions are not supported", Some(Refusal::Conditions)),
        ("Conditional updates are not yet supported", Some(Refusal::Conditions)),
        (
            "Cannot use LightWeight Transactions for table k.t: LWT is not yet supported with tablets",
            None,
        ),
        ("Virtual tables do not support conditional updates: not supported on this table", None),
        ("Cannot include a counter statement in a logged batch", None),
        ("Unlogged batches are not supported", None),
        ("IN on the clustering key columns is not supported with conditional deletions", None),
        ("IN on the partition key is not supported with conditional updates", None),
        (
            "Slice restrictions are not supported on the clustering columns in conditional deletions",
            None,
        ),
        ("Batch too large", None),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(&invalid(text)), expected, "{text}");
    }
    assert_eq!(refusal(&ExecutionError::EmptyPlan), None);
}

#[test]
fn an_excerpt_is_one_short_line() {
    assert_eq!(excerpt(" a\n\t b "), "a b");
    assert_eq!(excerpt(&"ä".repeat(200)), format!("{}…", "ä".repeat(100)));
}
