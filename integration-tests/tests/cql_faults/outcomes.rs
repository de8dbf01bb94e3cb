//! The outcome table, row by row: a proxy in front of the real node makes each happen, before the
//! node has seen the request or after it has acted.

use std::sync::Arc;

use batch_core::{Job, JobStatus, Store as _, StoreOptions};
use batch_cql::CqlStore;
use futures_util::future::{join_all, try_join, try_join_all};
use integration_tests::{Error, FaultyNode, Result, Write, execute};
use libtest_mimic::Trial;
use scylla::{client::session::Session, errors::DbError, statement::Consistency, value::Counter};
use scylla_proxy::{
    Condition, Reaction as _, RequestFrame, RequestOpcode, RequestReaction, RequestRule,
    ResponseFrame, ResponseOpcode, ResponseReaction, ResponseRule, TargetShard,
};
use tokio::sync::{
    Mutex,
    mpsc::{UnboundedReceiver, unbounded_channel},
};

use crate::{
    KEYSPACE, LONGEST_MENDING, World,
    shapes::Shape,
    table::{
        End::{self, Accepted, Applied, NotApplied, Unknown},
        Fault, Row, SHORT,
        When::{self, After, Before},
        table,
    },
};

/// A row of the table at one moment, and what becomes of each shape that meets it.
#[derive(Clone, Debug)]
struct Meeting {
    name: String,
    when: When,
    row: Row,
}

fn meetings() -> Vec<Meeting> {
    let of_row = |row: Row| {
        row.when.clone().into_iter().map(move |when| {
            let moment = match when {
                Before => "before_the_node_has_seen_it",
                After => "after_the_node_has_acted",
            };
            Meeting { name: format!("outcomes::{}_{moment}", row.name), when, row: row.clone() }
        })
    };
    table().into_iter().flat_map(of_row).collect()
}

pub(crate) fn names() -> Vec<String> {
    meetings().into_iter().map(|meeting| meeting.name).collect()
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let trial = |meeting: Meeting| {
        let world = Arc::clone(world);
        Trial::test(meeting.name.clone(), move || {
            world.runtime.block_on(meeting.run(&world)).map_err(|error| error.to_string().into())
        })
    };
    meetings().into_iter().map(trial).collect()
}

/// A way to the node for one shape, used again and again: to connect through a proxy takes seconds.
#[derive(Debug)]
struct Way {
    shape: Shape,
    proxy: FaultyNode,
    store: CqlStore,
    /// One that pauses, before it repeats anything, for longer than a commit may take whose
    /// operations are refused for a while.
    slow: CqlStore,
}

/// The ways of all shapes, and the bare driver's past all proxies.
#[derive(Debug)]
pub(crate) struct Ways {
    ways: Vec<Mutex<Way>>,
    session: Session,
}

impl Ways {
    async fn open(world: &World) -> Result<Self> {
        let open = Shape::ALL.map(|shape| async move {
            let proxy = FaultyNode::before(world.address).await?;
            let slowly = StoreOptions::new().backoff(SHORT * 2, SHORT * 2);
            let (store, slow) =
                try_join(proxy.store(KEYSPACE, StoreOptions::new()), proxy.store(KEYSPACE, slowly))
                    .await?;
            Ok::<_, Error>(Mutex::new(Way { shape, proxy, store, slow }))
        });
        Ok(Self { ways: try_join_all(open).await?, session: world.session().await? })
    }
}

impl Meeting {
    async fn run(&self, world: &World) -> Result<()> {
        let Ways { ways, session } = world.ways.get_or_try_init(|| Ways::open(world)).await?;
        let met = ways.iter().map(async |way| {
            let mut way = way.lock().await;
            match self.row.ends.iter().find(|(shape, _)| *shape == way.shape) {
                Some((_, end)) => self.meets(world, session, &mut way, *end).await,
                None => Ok(()),
            }
        });
        let met = join_all(met).await.into_iter();
        let wrong: Vec<String> = met.filter_map(|met| Some(met.err()?.to_string())).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    }

    async fn meets(&self, world: &World, session: &Session, way: &mut Way, end: End) -> Result<()> {
        let Way { shape, proxy, store, slow } = way;
        let store = if self.row.once { store } else { slow };
        // What is prepared and read before the first write of a kind goes its way, and a connection
        // that broke in the last trial is made again.
        let mut warm = store.batch(shape.options().deadline(LONGEST_MENDING))?;
        shape.queue(&mut *warm, &world.things, &format!("warm {:08x}", fastrand::u32(..)), true)?;
        let report = warm.commit().await?;
        if !report.is_success() {
            return Err(format!("{shape}: without a fault {report}").into());
        }

        let id = format!("{shape} {:08x}", fastrand::u32(..));
        let mut batch = store.batch(shape.options().deadline(self.row.deadline))?;
        let jobs = shape.queue(&mut *batch, &world.things, &id, self.row.once)?;
        let mut seen = self.arm(proxy, &id);
        let committed = batch.commit().await;
        proxy.on_requests(&[]);
        proxy.on_answers(&[]);
        let report = committed?;
        let met = std::iter::from_fn(|| seen.try_recv().ok()).count();
        for (_, job) in &jobs {
            if end_of(job) != Some(end) {
                let status = job.status();
                return Err(format!("{shape}: {status:?}, not {end:?}; {report}").into());
            }
        }
        // What may have been applied is not repeated, unless it may be.
        if met == 0 || end == Unknown && (met > 1 || report.retries() > 0) {
            return Err(format!("{shape}: it met the fault {met} times; {report}").into());
        }
        // The driver itself prepares a forgotten statement.
        let repeated = report.retries() > 0 || matches!(self.row.fault, Fault::Unprepared);
        if self.row.once && end == Applied && !repeated {
            return Err(format!("{shape}: nothing went wrong; {report}").into());
        }
        check(session, world, *shape, &id, jobs).await
    }

    /// Lets frames of the operations meet the fault. What comes back are those frames.
    fn arm(&self, proxy: &mut FaultyNode, id: &str) -> UnboundedReceiver<Seen> {
        let (frames, seen) = unbounded_channel();
        let times = || match self.row.once {
            true => Condition::TrueForLimitedTimes(1),
            false => Condition::True,
        };
        let (reaction, met) = match self.when {
            Before => (request_reaction(&self.row.fault), ours(id).and(times())),
            After => {
                // On connections for requests there are no other answers, but for what the store asks now
                // and then.
                let asked = |column: &str| {
                    Condition::not(Condition::BodyContainsCaseSensitive(column.as_bytes().into()))
                };
                let answers = Condition::ResponseOpcode(ResponseOpcode::Result)
                    .and(Condition::not(Condition::ConnectionRegisteredAnyEvent))
                    .and(asked("schema_version"))
                    .and(asked("system.now"))
                    .and(asked("gc_grace_seconds"))
                    .and(times());
                proxy.on_answers(&[ResponseRule(answers, answer_reaction(&self.row.fault))]);
                (RequestReaction::noop(), ours(id))
            }
        };
        let reaction = reaction.with_feedback_when_performed(frames);
        proxy.on_requests(&[RequestRule(met, reaction)]);
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
        Fault::Error(error) => RequestReaction::forge_with_error(error),
        Fault::Unprepared => {
            RequestReaction::forge_response(Arc::new(|request: RequestFrame| unprepared(&request)))
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
        Fault::Error(error) => {
            ResponseReaction::transform_frame(Arc::new(move |mut answer: ResponseFrame| {
                answer.params.flags = 0;
                let forged = ResponseFrame::forged_error(answer.params, error.clone(), None);
                forged.unwrap_or(answer)
            }))
        }
        // No server acts and then says so.
        Fault::Unprepared => ResponseReaction::noop(),
        Fault::Broken => ResponseReaction::drop_connection(),
        Fault::Lost => ResponseReaction::drop_frame(),
        Fault::Slow(time) => ResponseReaction::delay(time),
        Fault::Garbled => ResponseReaction::transform_frame(Arc::new(garbled)),
    }
}

/// That the server does not know the first statement of a request.
fn unprepared(request: &RequestFrame) -> ResponseFrame {
    // A batch has its type, its length and its first statement's kind in front.
    let at = if request.opcode == RequestOpcode::Batch { 4 } else { 0 };
    let id = request.body.slice(at + 2..at + 18);
    let error = DbError::Unprepared { statement_id: id };
    let forged = ResponseFrame::forged_error(request.params, error, None);
    forged.unwrap_or_else(|_| ResponseFrame::forged_ready(request.params))
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
    let wrong: Vec<String> = if shape == Shape::Counter {
        let select = format!("SELECT n FROM {KEYSPACE}.counters WHERE id = '{id}'");
        let rows = execute(session, select).await?.into_rows_result()?;
        let counted = rows.maybe_first_row::<(Counter,)>()?.map_or(0, |(counter,)| counter.0);
        let holds = |job: &Job| match end_of(job) {
            Some(Applied | Accepted) => counted == 1,
            Some(NotApplied) => counted == 0,
            Some(Unknown) => counted == 0 || counted == 1,
            None => false,
        };
        let wrong = jobs.iter().filter(|(_, job)| !holds(job));
        wrong.map(|(_, job)| format!("{:?}, and the count is {counted}", job.status())).collect()
    } else {
        world.things.contradictions(session, Consistency::All, jobs).await?
    };
    if wrong.is_empty() { Ok(()) } else { Err(format!("{shape}: {}", wrong.join("\n")).into()) }
}
