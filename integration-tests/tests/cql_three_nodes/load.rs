//! Commits of every kind, one after another and side by side, through one coordinator, until they
//! are told to end.

use std::{
    collections::BTreeSet,
    error::Error as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use batch_core::{
    BatchExt as _, BatchOptions, BatchType, Error, Job, JobStatus, Operation, Store as _,
    StoreOptions, Verb,
};
use batch_cql::{CqlStore, Translate};
use integration_tests::{Result, Write};
use scylla::{
    errors::{DbError, ExecutionError, RequestAttemptError},
    statement::Consistency,
};
use tokio::{sync::watch, task::JoinSet};

use crate::{KEYSPACE, World, ledger::Ledger};

/// Longer than any time after which a server gives up: two seconds, and five for a counter.
const DEADLINE: Duration = Duration::from_secs(8);

/// How a commit travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Unlogged,
    Logged,
    Condition,
    Counter,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Single, Self::Unlogged, Self::Logged, Self::Condition, Self::Counter];

    /// Commits side by side: many, where the moment decides what a stop meets.
    const fn workers(self) -> usize {
        match self {
            Self::Logged => 24,
            _ => 2,
        }
    }

    fn options(self) -> BatchOptions {
        let options = BatchOptions::new().deadline(DEADLINE);
        match self {
            Self::Unlogged => options.batch_type(BatchType::Unlogged),
            Self::Logged => options.batch_type(BatchType::Logged),
            _ => options,
        }
    }
}

/// What has happened so far, by kind.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Commits since the last stop that were applied whole, and others.
    applied: [u32; 5],
    failed: [u32; 5],
    /// The types of the writes that timed out.
    timeouts: BTreeSet<&'static str>,
    /// Whether a single write was refused for want of nodes.
    refused: bool,
}

/// The workers and what they did.
#[derive(Debug)]
pub(crate) struct Load {
    workers: JoinSet<Result<()>>,
    ended: Arc<AtomicBool>,
    seen: Arc<watch::Sender<Seen>>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Load {
    pub(crate) async fn start(world: &Arc<World>, consistency: Consistency) -> Result<Self> {
        let coordinator = world.ring().address(0)?.to_string();
        // Every node is asked through the first one, which is never stopped: what times out does so
        // in the cluster, and says how.
        let store = CqlStore::builder()
            .contact_point(coordinator)
            .keyspace(KEYSPACE)
            .consistency(consistency)
            .translate(Translate::ContactPoints)
            .options(StoreOptions::new().max_in_flight(100))
            .connect()
            .await?;
        let mut load = Self {
            workers: JoinSet::new(),
            ended: Arc::default(),
            seen: Arc::new(watch::Sender::new(Seen::default())),
            ledger: Arc::default(),
        };
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            for number in 0..kind.workers() {
                let worker = Worker {
                    world: Arc::clone(world),
                    store: store.clone(),
                    kind,
                    place,
                    name: format!("{kind:?} {number} {:08x}", fastrand::u32(..)),
                    seen: Arc::clone(&load.seen),
                    ledger: Arc::clone(&load.ledger),
                };
                load.workers.spawn(worker.run(Arc::clone(&load.ended)));
            }
        }
        Ok(load)
    }

    async fn wait_for(&self, what: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        // The sender is held here, so the channel does not close.
        let _ = seen.wait_for(what).await;
    }

    /// Waits until commits of every kind were applied, from now on.
    pub(crate) async fn goes_well(&self) {
        self.seen.send_modify(|seen| seen.applied = [0; 5]);
        self.wait_for(|seen| seen.applied.iter().all(|applied| *applied >= 10)).await;
    }

    /// Waits until commits of every kind were not applied, from now on.
    pub(crate) async fn each_kind_has_failed(&self) {
        self.seen.send_modify(|seen| seen.failed = [0; 5]);
        self.wait_for(|seen| seen.failed.iter().all(|failed| *failed >= 1)).await;
    }

    /// Waits until the coordinator knows that there are too few nodes.
    pub(crate) async fn is_refused(&self) {
        self.wait_for(|seen| seen.refused).await;
    }

    pub(crate) fn timeouts(&self) -> BTreeSet<&'static str> {
        self.seen.borrow().timeouts.clone()
    }

    /// Lets the commits that run end, and begins no more.
    pub(crate) async fn end(mut self) -> Result<Ledger> {
        self.ended.store(true, Ordering::Relaxed);
        while let Some(worker) = self.workers.join_next().await {
            worker??;
        }
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *ledger))
    }
}

struct Worker {
    world: Arc<World>,
    store: CqlStore,
    kind: Kind,
    place: usize,
    name: String,
    seen: Arc<watch::Sender<Seen>>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Worker {
    async fn run(self, ended: Arc<AtomicBool>) -> Result<()> {
        let mut number = 0;
        while !ended.load(Ordering::Relaxed) {
            number += 1;
            self.commit(number).await?;
        }
        Ok(())
    }

    async fn commit(&self, number: i32) -> Result<()> {
        let mut batch = self.store.batch(self.kind.options())?;
        let name = format!("{} {number}", self.name);
        let verb = if self.kind == Kind::Condition { Verb::Insert } else { Verb::Put };
        let partitions = match self.kind {
            Kind::Single | Kind::Condition => 1,
            Kind::Unlogged | Kind::Logged => 4,
            Kind::Counter => 0,
        };
        let mut jobs = Vec::new();
        for partition in 0..partitions {
            let write = Write::new(format!("{name} {partition}"), "row", number);
            // The first answer decides.
            let operation = self.world.things.operation(verb, &write).idempotent(false);
            let job = batch.queue(operation)?;
            jobs.push((write, job));
        }
        let mut counted = None;
        if self.kind == Kind::Counter {
            let update = format!("UPDATE {KEYSPACE}.counters SET n = n + 1 WHERE id = ?");
            counted = Some((name.clone(), batch.queue(Operation::cql(update, [&name]))?));
        }
        let report = batch.commit().await?;
        let ended = jobs.iter().map(|(_, job)| job).chain(counted.iter().map(|(_, job)| job));
        let statuses: Vec<JobStatus> = ended.map(Job::status).collect();
        self.seen.send_modify(|seen| {
            let tally = if report.applied() == report.total() {
                &mut seen.applied
            } else {
                &mut seen.failed
            };
            if let Some(count) = tally.get_mut(self.place) {
                *count += 1;
            }
            seen.timeouts.extend(statuses.iter().filter_map(timed_out));
            seen.refused |= self.kind == Kind::Single
                && statuses.iter().any(|status| matches!(status, JobStatus::NotApplied(_)));
        });
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.writes.extend(jobs);
        ledger.counters.extend(counted);
        Ok(())
    }
}

/// The type of the write that timed out, as the server says.
fn timed_out(status: &JobStatus) -> Option<&'static str> {
    let error = match status {
        // That is what it means, and nothing else does.
        JobStatus::Accepted => return Some("BATCH"),
        JobStatus::Unknown(error) => error,
        _ => return None,
    };
    match native(error)? {
        DbError::WriteTimeout { write_type, .. } => {
            ["SIMPLE", "UNLOGGED_BATCH", "BATCH", "BATCH_LOG", "CAS", "COUNTER"]
                .into_iter()
                .find(|name| *name == write_type.as_str())
        }
        _ => None,
    }
}

/// What the server said, behind what the job says.
fn native(error: &Error) -> Option<&DbError> {
    let mut source = error.source();
    while let Some(cause) = source {
        let attempt = match cause.downcast_ref::<ExecutionError>() {
            Some(ExecutionError::LastAttemptError(attempt)) => Some(attempt),
            _ => cause.downcast_ref::<RequestAttemptError>(),
        };
        if let Some(RequestAttemptError::DbError(error, _)) = attempt {
            return Some(error);
        }
        source = cause.source();
    }
    None
}
