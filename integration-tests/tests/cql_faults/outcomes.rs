//! The outcome table, row by row: what the server answers, or what becomes of a frame, and how the
//! jobs end. A proxy in front of the real node makes each happen, before the node has seen the
//! request or after it has acted.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use batch_core::{Job, JobStatus, Store as _};
use libtest_mimic::Trial;
use scylla::{
    client::session::Session,
    errors::{DbError, WriteType},
    statement::Consistency,
};
use scylla_proxy::{
    Condition, Reaction as _, RequestFrame, RequestOpcode, RequestReaction, RequestRule,
    ResponseFrame, ResponseOpcode, ResponseReaction, ResponseRule, TargetShard,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use unibatch_integration_tests::{FaultyNode, Result, Write, execute, trial};

use crate::{KEYSPACE, World, shapes::Shape};

/// Longer than any answer of a node that is well; shorter than anybody wants to wait.
const DEADLINE: Duration = Duration::from_millis(600);

/// When something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// The request does not reach the node.
    Before,
    /// The node has acted; its answer does not reach the client.
    After,
}
use When::{After, Before};

/// What goes wrong.
#[derive(Clone, Debug)]
enum Fault {
    /// The server says this.
    Error(DbError, &'static str),
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
enum End {
    Applied,
    NotApplied,
    Accepted,
    Unknown,
}
use End::{Accepted, Applied, NotApplied, Unknown};

/// A row of the table.
struct Row {
    name: &'static str,
    fault: Fault,
    when: &'static [When],
    ends: Vec<(Shape, End)>,
}

fn row(
    name: &'static str,
    fault: Fault,
    when: &'static [When],
    ends: impl IntoIterator<Item = (Shape, End)>,
) -> Row {
    Row { name, fault, when, ends: ends.into_iter().collect() }
}

fn all(end: End) -> Vec<(Shape, End)> {
    Shape::ALL.map(|shape| (shape, end)).to_vec()
}

fn write_timeout(write_type: WriteType) -> Fault {
    let (consistency, received, required) = (Consistency::LocalQuorum, 1, 2);
    let error = DbError::WriteTimeout { consistency, received, required, write_type };
    Fault::Error(error, "Operation timed out")
}

fn write_failure(write_type: WriteType) -> Fault {
    let (consistency, received, required, numfailures) = (Consistency::LocalQuorum, 0, 1, 1);
    let error = DbError::WriteFailure { consistency, received, required, numfailures, write_type };
    Fault::Error(error, "Operation failed")
}

/// What the server's error codes mean, and what the wire does.
fn table() -> Vec<Row> {
    use Shape::{Condition, Conditions, Counter, Logged, Partition, Single, Unlogged};

    let consistency = Consistency::LocalQuorum;
    let unavailable = DbError::Unavailable { consistency, required: 2, alive: 1 };
    let read_timeout =
        DbError::ReadTimeout { consistency, received: 1, required: 2, data_present: false };
    let read_failure = DbError::ReadFailure {
        consistency,
        received: 1,
        required: 2,
        numfailures: 1,
        data_present: false,
    };
    let says = Fault::Error;
    vec![
        row(
            "unavailable",
            says(unavailable.clone(), "Cannot achieve consistency"),
            &[Before],
            [
                (Single, NotApplied),
                (Partition, NotApplied),
                (Logged, NotApplied),
                (Condition, NotApplied),
                (Conditions, NotApplied),
                (Counter, NotApplied),
            ],
        ),
        // The part of an unlogged batch before the one that lacks replicas is written.
        row(
            "unavailable",
            says(unavailable, "Cannot achieve consistency"),
            &[Before, After],
            [(Unlogged, Unknown)],
        ),
        row("overloaded", says(DbError::Overloaded, "Too busy"), &[Before], all(NotApplied)),
        row("bootstrapping", says(DbError::IsBootstrapping, "Wait"), &[Before], all(NotApplied)),
        row("invalid", says(DbError::Invalid, "No"), &[Before], all(NotApplied)),
        row("syntax_error", says(DbError::SyntaxError, "line 1:0"), &[Before], all(NotApplied)),
        row("unauthorized", says(DbError::Unauthorized, "No MODIFY"), &[Before], all(NotApplied)),
        row("config_error", says(DbError::ConfigError, "No"), &[Before], all(NotApplied)),
        row(
            "write_timeout_simple",
            write_timeout(WriteType::Simple),
            &[Before, After],
            [(Single, Unknown), (Partition, Unknown), (Unlogged, Unknown), (Logged, Unknown)],
        ),
        row(
            "write_timeout_unlogged",
            write_timeout(WriteType::UnloggedBatch),
            &[Before, After],
            [(Unlogged, Unknown)],
        ),
        row("write_timeout_batch", write_timeout(WriteType::Batch), &[After], [(Logged, Accepted)]),
        row(
            "write_timeout_batch_log",
            write_timeout(WriteType::BatchLog),
            &[Before, After],
            [(Logged, Unknown)],
        ),
        row(
            "write_timeout_cas",
            write_timeout(WriteType::Cas),
            &[Before, After],
            [(Condition, Unknown), (Conditions, Unknown)],
        ),
        row(
            "write_timeout_counter",
            write_timeout(WriteType::Counter),
            &[Before, After],
            [(Counter, Unknown)],
        ),
        row(
            "write_timeout_view",
            write_timeout(WriteType::View),
            &[Before, After],
            [(Single, Unknown), (Unlogged, Unknown)],
        ),
        row(
            "read_timeout",
            says(read_timeout, "Operation timed out"),
            &[Before, After],
            [(Condition, Unknown), (Conditions, Unknown)],
        ),
        row(
            "read_failure",
            says(read_failure, "Operation failed"),
            &[Before, After],
            [(Condition, Unknown), (Conditions, Unknown)],
        ),
        row(
            "write_failure_simple",
            write_failure(WriteType::Simple),
            &[Before, After],
            [(Single, Unknown), (Partition, Unknown), (Condition, Unknown), (Conditions, Unknown)],
        ),
        row(
            "write_failure_unlogged",
            write_failure(WriteType::UnloggedBatch),
            &[Before, After],
            [(Unlogged, Unknown)],
        ),
        // Replicas fail alike again, so the log does not make it sure.
        row(
            "write_failure_batch",
            write_failure(WriteType::Batch),
            &[Before, After],
            [(Logged, Unknown)],
        ),
        row(
            "write_failure_counter",
            write_failure(WriteType::Counter),
            &[Before, After],
            [(Counter, Unknown)],
        ),
        row("server_error", says(DbError::ServerError, "Bug"), &[Before, After], all(Unknown)),
        row("unheard_of", says(DbError::Other(0x7777), "?"), &[Before, After], all(Unknown)),
        row("broken_connection", Fault::Broken, &[Before, After], all(Unknown)),
        row("lost_frame", Fault::Lost, &[Before, After], all(Unknown)),
        row("garbled_answer", Fault::Garbled, &[After], all(Unknown)),
        row("slow_frame", Fault::Slow(DEADLINE / 4), &[Before, After], all(Applied)),
        row("late_answer", Fault::Slow(DEADLINE * 2), &[After], all(Unknown)),
    ]
}

/// One trial: a fault, when, and what meets it.
#[derive(Clone, Debug)]
struct Meeting {
    name: String,
    fault: Fault,
    when: When,
    shape: Shape,
    end: End,
}

fn meetings() -> Vec<Meeting> {
    let mut meetings = Vec::new();
    for Row { name, fault, when, ends } in table() {
        for (when, (shape, end)) in when.iter().flat_map(|w| ends.iter().map(move |end| (*w, *end)))
        {
            let moment = if when == Before { "before" } else { "after" };
            let ended = match end {
                Applied => "applied",
                NotApplied => "not_applied",
                Accepted => "accepted",
                Unknown => "unknown",
            };
            let name = format!("outcomes::{name}_{moment}_{shape}_acts_is_{ended}");
            meetings.push(Meeting { name, fault: fault.clone(), when, shape, end });
        }
    }
    meetings
}

pub(crate) fn names() -> Vec<String> {
    meetings().into_iter().map(|meeting| meeting.name).collect()
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let run = |meeting: Meeting| {
        let world = Arc::clone(world);
        trial(meeting.name.clone(), async move { meeting.run(&world).await })
    };
    meetings().into_iter().map(run).collect()
}

impl Meeting {
    async fn run(&self, world: &World) -> Result<()> {
        let session = world.session().await?;
        let mut proxy = FaultyNode::before(world.address).await?;
        let store = proxy.store(KEYSPACE).await?;
        let id = format!("{}-{:08x}", self.shape, fastrand::u32(..));

        // What is prepared and read before the first write of a kind goes its way.
        let mut warm = store.batch(self.shape.options())?;
        self.shape.queue(
            &mut *warm,
            &world.things,
            &format!("warm {}", fastrand::u32(..)),
            true,
        )?;
        let report = warm.commit().await?;
        assert!(report.is_success(), "{report}: {:?}", report.errors().collect::<Vec<_>>());

        let mut seen = self.arm(&mut proxy, &id);
        let mut batch = store.batch(self.shape.options().deadline(DEADLINE))?;
        let jobs = self.shape.queue(&mut *batch, &world.things, &id, false)?;
        let report = batch.commit().await?;
        let sent = std::iter::from_fn(|| seen.try_recv().ok()).count();
        for (_, job) in &jobs {
            let status = job.status();
            assert_eq!(end_of(job), Some(self.end), "{status:?}, sent {sent} times; {report}");
        }
        assert!(sent >= 1, "the fault was met");
        if self.end == Unknown {
            assert_eq!(sent, 1, "what may have been applied is not repeated");
        }
        proxy.on_requests(&[]);
        proxy.on_answers(&[]);
        check(&session, world, self.shape, &id, jobs).await
    }

    /// Lets every frame of the operations meet the fault. What comes back are those frames.
    fn arm(&self, proxy: &mut FaultyNode, id: &str) -> UnboundedReceiver<Seen> {
        let (frames, seen) = unbounded_channel();
        let reaction = match self.when {
            Before => request_reaction(&self.fault),
            After => {
                // On connections for requests there are no other answers.
                let answers = Condition::ResponseOpcode(ResponseOpcode::Result)
                    .and(Condition::not(Condition::ConnectionRegisteredAnyEvent));
                proxy.on_answers(&[ResponseRule(answers, answer_reaction(&self.fault))]);
                RequestReaction::noop()
            }
        };
        let reaction = reaction.with_feedback_when_performed(frames);
        proxy.on_requests(&[RequestRule(ours(id), reaction)]);
        seen
    }
}

type Seen = (RequestFrame, Option<TargetShard>);

/// The requests that carry the operations.
fn ours(id: &str) -> Condition {
    Condition::RequestOpcode(RequestOpcode::Execute)
        .or(Condition::RequestOpcode(RequestOpcode::Batch))
        .and(Condition::BodyContainsCaseSensitive(id.as_bytes().into()))
}

fn request_reaction(fault: &Fault) -> RequestReaction {
    match fault.clone() {
        Fault::Error(error, message) => {
            RequestReaction::forge_with_error_and_message(error, Some(message.to_owned()))
        }
        Fault::Broken => RequestReaction::drop_connection(),
        Fault::Lost => RequestReaction::drop_frame(),
        Fault::Slow(time) => RequestReaction::delay(time),
        Fault::Garbled => RequestReaction::forge_response(Arc::new(|request: RequestFrame| {
            garbled(ResponseFrame::forged_ready(request.params))
        })),
    }
}

fn answer_reaction(fault: &Fault) -> ResponseReaction {
    match fault.clone() {
        Fault::Error(error, message) => {
            ResponseReaction::transform_frame(Arc::new(move |mut answer: ResponseFrame| {
                answer.params.flags = 0;
                let forged =
                    ResponseFrame::forged_error(answer.params, error.clone(), Some(message));
                forged.unwrap_or(answer)
            }))
        }
        Fault::Broken => ResponseReaction::drop_connection(),
        Fault::Lost => ResponseReaction::drop_frame(),
        Fault::Slow(time) => ResponseReaction::delay(time),
        Fault::Garbled => ResponseReaction::transform_frame(Arc::new(garbled)),
    }
}

/// A result of a kind that there is not.
fn garbled(mut answer: ResponseFrame) -> ResponseFrame {
    answer.params.flags = 0;
    answer.opcode = ResponseOpcode::Result;
    answer.body = vec![0, 0, 0, 99, 1, 2, 3].into();
    answer
}

fn end_of(job: &Job) -> Option<End> {
    match job.status() {
        JobStatus::Applied(_) => Some(Applied),
        JobStatus::NotApplied(_) => Some(NotApplied),
        JobStatus::Accepted => Some(Accepted),
        JobStatus::Unknown(_) => Some(Unknown),
        _ => None,
    }
}

/// Reads the store behind its back: no answer contradicts it.
pub(crate) async fn check(
    session: &Session,
    world: &World,
    shape: Shape,
    id: &str,
    jobs: Vec<(Write, Job)>,
) -> Result<()> {
    if shape == Shape::Counter {
        let select = format!("SELECT n FROM {KEYSPACE}.counters WHERE id = '{id}'");
        let rows = execute(session, select).await?.into_rows_result()?;
        let counted = rows.maybe_first_row::<(scylla::value::Counter,)>()?;
        let counted = counted.map_or(0, |(counter,)| counter.0);
        let possible: BTreeSet<i64> = match jobs.first().and_then(|(_, job)| end_of(job)) {
            Some(Applied | Accepted) => [1].into(),
            Some(NotApplied) => [0].into(),
            Some(Unknown) => [0, 1].into(),
            None => [].into(),
        };
        assert!(possible.contains(&counted), "{counted} of {possible:?}: {jobs:?}");
        return Ok(());
    }
    let contradictions = world.things.contradictions(session, Consistency::All, jobs).await?;
    assert!(contradictions.is_empty(), "{contradictions:#?}");
    Ok(())
}
