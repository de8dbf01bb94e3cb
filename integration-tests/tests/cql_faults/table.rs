//! The outcome table: what the server answers, or what becomes of a frame, and how the jobs end.

use std::time::Duration;

use scylla::{
    errors::{DbError, WriteType},
    statement::Consistency,
};

use crate::shapes::Shape::{
    self, Condition, Conditions, Counter, Logged, Partition, Single, Unlogged,
};

/// The deadline of commits that end with an answer: longer than any answer takes, on a busy machine too.
const LONG: Duration = Duration::from_secs(30);
/// The deadline of those that would wait for longer: for an answer, or to repeat what was refused.
pub(crate) const SHORT: Duration = Duration::from_secs(2);

/// When something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The request does not reach the node.
    Before,
    /// The node has acted; its answer does not reach the client.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The server says this.
    Error(DbError),
    /// The server does not know the statement any more.
    Unprepared,
    /// The connection breaks.
    Broken,
    /// The frame is lost.
    Lost,
    /// What comes is no answer.
    Garbled,
    /// It takes this long.
    Slow(Duration),
}

/// How all jobs of a commit end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Applied,
    NotApplied,
    Accepted,
    Unknown,
}
use End::{Accepted, Applied, NotApplied, Unknown};

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    pub(crate) when: Vec<When>,
    /// It goes wrong once, to operations that may be repeated; else each time, to operations that
    /// may not, so that the first answer decides.
    pub(crate) once: bool,
    pub(crate) deadline: Duration,
    pub(crate) ends: Vec<(Shape, End)>,
}

fn row(name: &'static str, fault: Fault, ends: impl IntoIterator<Item = (Shape, End)>) -> Row {
    let when = vec![When::Before, When::After];
    Row { name, fault, when, once: false, deadline: LONG, ends: ends.into_iter().collect() }
}

impl Row {
    /// Only where nothing has reached the node: what the server says is that it did not act.
    fn before(self) -> Self {
        Self { when: vec![When::Before], ..self }
    }

    /// Only where the node has acted.
    fn after(self) -> Self {
        Self { when: vec![When::After], ..self }
    }

    fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// The deadline ends it.
    fn waits(self) -> Self {
        Self { deadline: SHORT, ..self }
    }
}

fn each<const N: usize>(shapes: [Shape; N], end: End) -> Vec<(Shape, End)> {
    shapes.map(|shape| (shape, end)).into()
}

fn all(end: End) -> Vec<(Shape, End)> {
    each(Shape::ALL, end)
}

const LOCAL_QUORUM: Consistency = Consistency::LocalQuorum;

fn unavailable(consistency: Consistency) -> Fault {
    Fault::Error(DbError::Unavailable { consistency, required: 2, alive: 1 })
}

fn write_timeout(write_type: WriteType) -> Fault {
    let (consistency, received, required) = (LOCAL_QUORUM, 1, 2);
    Fault::Error(DbError::WriteTimeout { consistency, received, required, write_type })
}

fn write_failure(write_type: WriteType) -> Fault {
    let (consistency, received, required, numfailures) = (LOCAL_QUORUM, 0, 1, 1);
    Fault::Error(DbError::WriteFailure { consistency, received, required, numfailures, write_type })
}

fn read_timeout() -> Fault {
    let (consistency, received, required, data_present) = (LOCAL_QUORUM, 1, 2, false);
    Fault::Error(DbError::ReadTimeout { consistency, received, required, data_present })
}

fn read_failure() -> Fault {
    let (consistency, received, required, numfailures, data_present) =
        (LOCAL_QUORUM, 1, 2, 1, false);
    let error = DbError::ReadFailure { consistency, received, required, numfailures, data_present };
    Fault::Error(error)
}

/// What the server's errors mean, and what the wire does.
pub(crate) fn table() -> Vec<Row> {
    let error = Fault::Error;
    let conditional = [Condition, Conditions];
    vec![
        // Refused before anything is done.
        row("overloaded", error(DbError::Overloaded), all(NotApplied)).before().waits(),
        row("bootstrapping", error(DbError::IsBootstrapping), all(NotApplied)).before().waits(),
        row("invalid", error(DbError::Invalid), all(NotApplied)).before(),
        row("syntax_error", error(DbError::SyntaxError), all(NotApplied)).before(),
        row("unauthorized", error(DbError::Unauthorized), all(NotApplied)).before(),
        row("config_error", error(DbError::ConfigError), all(NotApplied)).before(),
        row(
            "unavailable",
            unavailable(LOCAL_QUORUM),
            each([Single, Partition, Logged, Counter], NotApplied),
        )
        .before()
        .waits(),
        row(
            "unavailable_to_decide",
            unavailable(Consistency::LocalSerial),
            each(conditional, NotApplied),
        )
        .before()
        .waits(),
        // The part of an unlogged batch before the one that lacks replicas is written, and so may a
        // condition be that was decided.
        row(
            "unavailable_in_part",
            unavailable(LOCAL_QUORUM),
            each([Unlogged, Condition, Conditions], Unknown),
        ),
        // Begun, and not known to have ended.
        row(
            "write_timeout_simple",
            write_timeout(WriteType::Simple),
            each([Single, Partition, Unlogged, Logged], Unknown),
        ),
        row(
            "write_timeout_unlogged",
            write_timeout(WriteType::UnloggedBatch),
            each([Unlogged], Unknown),
        ),
        row("write_timeout_batch_log", write_timeout(WriteType::BatchLog), each([Logged], Unknown)),
        row("write_timeout_cas", write_timeout(WriteType::Cas), each(conditional, Unknown)),
        row("write_timeout_counter", write_timeout(WriteType::Counter), each([Counter], Unknown)),
        row(
            "write_timeout_view",
            write_timeout(WriteType::View),
            each([Single, Unlogged], Unknown),
        ),
        row("read_timeout", read_timeout(), each(conditional, Unknown)),
        row("read_failure", read_failure(), each(conditional, Unknown)),
        row(
            "write_failure_simple",
            write_failure(WriteType::Simple),
            each([Single, Partition, Condition, Conditions], Unknown),
        ),
        row(
            "write_failure_unlogged",
            write_failure(WriteType::UnloggedBatch),
            each([Unlogged], Unknown),
        ),
        // Replicas fail alike again, so the log does not make it sure.
        row("write_failure_batch", write_failure(WriteType::Batch), each([Logged], Unknown)),
        row("write_failure_counter", write_failure(WriteType::Counter), each([Counter], Unknown)),
        row("server_error", error(DbError::ServerError), all(Unknown)),
        row("an_error_unheard_of", error(DbError::Other(0x7777)), all(Unknown)),
        // The log is written: it will be.
        row("write_timeout_batch", write_timeout(WriteType::Batch), each([Logged], Accepted))
            .after(),
        // The wire.
        row("a_broken_connection", Fault::Broken, all(Unknown)),
        row("a_lost_frame", Fault::Lost, all(Unknown)).waits(),
        row("a_garbled_answer", Fault::Garbled, all(Unknown)).after(),
        row("a_slow_frame", Fault::Slow(SHORT / 8), all(Applied)),
        row("a_late_answer", Fault::Slow(SHORT * 2), all(Unknown)).after().waits(),
        // What passes is repeated, if it was certainly not applied, or may be repeated.
        row("one_overload", error(DbError::Overloaded), all(Applied)).before().once(),
        row("one_bootstrapping", error(DbError::IsBootstrapping), all(Applied)).before().once(),
        row("one_forgotten_statement", Fault::Unprepared, all(Applied)).before().once(),
        row(
            "one_unavailable",
            unavailable(Consistency::LocalSerial),
            each([Single, Partition, Unlogged, Logged, Condition, Conditions, Counter], Applied),
        )
        .before()
        .once(),
        row(
            "one_write_timeout",
            write_timeout(WriteType::Simple),
            each([Single, Partition, Unlogged, Logged], Applied),
        )
        .once(),
        row("one_timeout_of_the_log", write_timeout(WriteType::BatchLog), each([Logged], Applied))
            .once(),
        row(
            "one_broken_connection",
            Fault::Broken,
            each([Single, Partition, Unlogged, Logged], Applied),
        )
        .once(),
        // What may not be repeated is not.
        row(
            "one_broken_connection_under_what_counts_or_looks",
            Fault::Broken,
            each([Condition, Conditions, Counter], Unknown),
        )
        .once(),
    ]
}
