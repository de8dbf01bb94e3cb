//! The batch of every store: a queue until the commit, then the commit's work.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tokio::{runtime::Handle, time::Instant};

use crate::{
    Batch, BatchOptions, BatchState, Callback, Capabilities, Error, ErrorKind, Job, Jobs, OnCancel,
    Operation, OperationOptions, OperationRef, Plan, Progress, QueueOptions, Rejected, Report,
    Result, Verb,
    backend::Terms,
    callback::Callbacks,
    commit::{RunningCommit, Work, prepare},
    engine::{Shared, timed_runtime, timer},
    operation::operation_name,
    queue::Queue,
    table::{JobTable, Status, Verdict},
};

/// What [`Engine`](crate::seam::Engine) opens.
pub(crate) struct OpenedBatch {
    shared: Arc<Shared>,
    terms: Terms,
    options: BatchOptions,
    /// As they were known when the batch was opened.
    capabilities: Capabilities,
    table: Arc<JobTable>,
    phase: Phase,
}

enum Phase {
    Open {
        queue: Queue,
        callbacks: Callbacks,
    },
    /// Committing or committed.
    Working(Arc<Work>),
    /// Committed, and what was not applied was given back.
    Taken,
    Discarded,
}

impl OpenedBatch {
    pub(crate) fn new(
        shared: Arc<Shared>,
        terms: Terms,
        options: BatchOptions,
        capabilities: Capabilities,
    ) -> Self {
        let table = Arc::new(JobTable::new(shared.name, options.results));
        let phase = Phase::Open { queue: Queue::default(), callbacks: Callbacks::default() };
        Self { shared, terms, options, capabilities, table, phase }
    }

    fn not_open(&self, what: &str) -> Error {
        let state = self.state();
        Error::new(
            ErrorKind::InvalidState,
            format!(
                "the batch is {}, and {what} needs an open one; open another batch",
                state.as_str()
            ),
        )
    }

    /// What the core itself refuses: mistakes, what the capabilities exclude, what is too large.
    fn admit(&self, operation: &Operation) -> Result<()> {
        operation.check()?;
        let store = self.shared.name;
        let name = operation_name(operation.verb(), operation.statement());
        if let Some(statement) = operation.statement()
            && statement.store() != store
        {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{name}` is an operation of the store {}, and this one is {store}; use a portable operation",
                    statement.store()
                ),
            ));
        }
        let can = &self.capabilities;
        let verb = operation.verb();
        let options = operation.options();
        for (able, asked, what) in [
            (can.reads, verb == Verb::Get, "a read in a batch"),
            (can.conditions, verb.is_conditional(), "a condition on what is there"),
            (can.revisions, options.if_revision.is_some(), "`if_revision`"),
            (can.ttl, options.ttl.is_some(), "`ttl`"),
            (can.timestamps, options.timestamp.is_some(), "`timestamp`"),
            (can.returning, options.returning.is_some(), "`returning`"),
        ] {
            if asked && !able {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("`{name}`: {what} is not supported by the store {store}; leave it out"),
                ));
            }
        }
        let limit =
            can.max_operation_bytes.unwrap_or(usize::MAX).min(self.shared.options.max_batch_bytes);
        if operation.size() > limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "`{name}`{} has {} bytes, and one operation may have at most {limit} on the store {store}; make the document smaller",
                    match operation.collection_name() {
                        "" => String::new(),
                        collection => format!(" on {collection}"),
                    },
                    operation.size()
                ),
            ));
        }
        let seen = OperationRef {
            index: self.table.len(),
            verb,
            collection: operation.collection_name(),
            shape: u32::MAX,
            key: operation.key_parts(),
            body: operation.body(),
            statement: operation.statement(),
            options: operation.options.as_deref().unwrap_or(OperationOptions::NONE),
        };
        self.shared.backend.admit(seen, self.terms)
    }

    /// Gives the batch its queue back: nothing was sent.
    fn reopen(&mut self) {
        if let Phase::Working(work) = std::mem::replace(&mut self.phase, Phase::Discarded) {
            match Arc::try_unwrap(work) {
                Ok(work) => {
                    let (queue, callbacks) = work.into_parts();
                    self.phase = Phase::Open { queue, callbacks };
                }
                // The commit that held the other handle is gone, so this is not reached.
                Err(work) => self.phase = Phase::Working(work),
            }
        }
    }

    fn settle_discarded(&self, queue: &Queue) {
        if queue.is_empty() {
            return;
        }
        tracing::warn!(
            store = self.shared.name,
            operations = queue.len(),
            "a batch with operations was discarded; nothing was sent"
        );
        settle_all(&self.table, queue);
    }
}

fn settle_all(table: &JobTable, queue: &Queue) {
    let error = Error::new(
        ErrorKind::Discarded,
        "the batch was discarded before a commit; nothing was sent, so queue the operation again",
    );
    table.settle((0..queue.len()).filter_map(|index| {
        let ended = table.status(index).is_terminal();
        (!ended).then(|| (queue.place(index, 0), Verdict::NotApplied(error.clone())))
    }));
}

#[async_trait]
impl Batch for OpenedBatch {
    fn queue_opts(&mut self, operation: Operation, options: QueueOptions) -> Result<Job, Rejected> {
        let admitted = match self.phase {
            Phase::Open { .. } => self.admit(&operation),
            _ => Err(self.not_open("queueing")),
        };
        let rejected = |operation, error| Rejected { operation: Box::new(operation), error };
        if let Err(error) = admitted {
            return Err(rejected(operation, error));
        }
        let Phase::Open { queue, callbacks } = &mut self.phase else {
            let error = self.not_open("queueing");
            return Err(rejected(operation, error));
        };
        let (shape, name) = queue.shape(&operation);
        if let Some(name) = name {
            self.table.push_shape(name);
        }
        let index = match queue.push(operation, shape) {
            Ok(index) => index,
            Err((operation, error)) => return Err(rejected(operation, error)),
        };
        self.table.push(index);
        if let Some(then) = options.then {
            callbacks.of_jobs.push((index, then));
        }
        Ok(Job::new(&self.table, index))
    }

    fn register(&mut self, callback: Callback) -> Result<()> {
        match &mut self.phase {
            Phase::Open { callbacks, .. } => {
                callbacks.of_batch.push(callback);
                Ok(())
            }
            _ => Err(self.not_open("a callback")),
        }
    }

    fn state(&self) -> BatchState {
        match &self.phase {
            Phase::Open { .. } => BatchState::Open,
            Phase::Working(work) if !work.has_ended() => BatchState::Committing,
            Phase::Working(_) | Phase::Taken => BatchState::Committed,
            Phase::Discarded => BatchState::Discarded,
        }
    }

    fn len(&self) -> usize {
        match &self.phase {
            Phase::Open { queue, .. } => queue.len() as usize,
            _ => self.table.len() as usize,
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn jobs(&self) -> Jobs {
        Jobs::new(&self.table)
    }

    fn progress(&self) -> Progress {
        Progress::new(&self.table)
    }

    fn operation(&self, job: &Job) -> Option<OperationRef<'_>> {
        if !job.belongs_to(&self.table) {
            return None;
        }
        let queue = match &self.phase {
            Phase::Open { queue, .. } => queue,
            Phase::Working(work) => work.queue(),
            Phase::Taken | Phase::Discarded => return None,
        };
        (job.index() < queue.len()).then(|| queue.get(job.index()))
    }

    async fn plan(&mut self) -> Result<Plan> {
        let Phase::Open { queue, .. } = &self.phase else {
            return Err(self.not_open("a plan"));
        };
        self.shared.check_open()?;
        let shared = &*self.shared;
        let waits = timed_runtime("plan").is_ok();
        let planning = prepare(shared, queue, self.terms, waits, &|_| ());
        let planned = if waits {
            let timeout = self.options.deadline.unwrap_or(shared.options.timeout);
            tokio::time::timeout(timeout, planning).await.unwrap_or_else(|_| {
                let message =
                    format!("the batch was not planned within {timeout:?}; nothing was sent");
                Err(Error::new(ErrorKind::Timeout, message).transient())
            })?
        } else {
            planning.await?
        };
        Ok(planned.show(shared.name, self.terms.guarantee).await)
    }

    async fn commit(&mut self) -> Result<Report> {
        if !matches!(self.phase, Phase::Open { .. }) {
            return Err(self.not_open("a commit"));
        }
        let started = Instant::now();
        let timeout = self.options.deadline.unwrap_or(self.shared.options.timeout);
        let deadline = started
            .checked_add(timeout)
            .unwrap_or_else(|| started + std::time::Duration::from_secs(u32::MAX.into()));
        let (runtime, timer) = timer("commit", deadline)?;
        let running = self.shared.begin_commit()?;
        let Phase::Open { queue, callbacks } = std::mem::replace(&mut self.phase, Phase::Discarded)
        else {
            return Err(self.not_open("a commit"));
        };
        let work = Arc::new(Work::new(
            Arc::clone(&self.shared),
            Arc::clone(&self.table),
            queue,
            callbacks,
            self.terms,
            self.options.clone(),
            started,
            deadline,
        ));
        self.phase = Phase::Working(Arc::clone(&work));
        let commit = RunningCommit::new(work, running, timer);
        let mut guard = Guard { batch: self, commit: Some(commit), runtime };
        let result = guard.run().await;
        if result.is_err() {
            guard.give_back();
        } else {
            guard.commit = None;
        }
        result
    }

    fn discard(&mut self) {
        if matches!(self.phase, Phase::Open { .. })
            && let Phase::Open { queue, .. } = std::mem::replace(&mut self.phase, Phase::Discarded)
        {
            self.settle_discarded(&queue);
        }
    }

    fn take(&mut self) -> Vec<Operation> {
        match &mut self.phase {
            Phase::Open { queue, callbacks } => {
                let taken = (0..queue.len()).map(|index| queue.get(index).to_operation()).collect();
                let queue = std::mem::take(queue);
                callbacks.of_jobs.clear();
                settle_all(&self.table, &queue);
                // The jobs of what was given back have ended; a batch that goes on has others.
                self.table = Arc::new(JobTable::new(self.shared.name, self.options.results));
                taken
            }
            Phase::Working(work) if work.has_ended() => {
                let queue = work.queue();
                let taken = (0..queue.len())
                    .filter(|index| self.table.status(*index) == Status::NotApplied)
                    .map(|index| queue.get(index).to_operation())
                    .collect();
                self.phase = Phase::Taken;
                taken
            }
            Phase::Working(_) | Phase::Taken | Phase::Discarded => Vec::new(),
        }
    }
}

/// Decides what a dropped commit leaves behind.
struct Guard<'a> {
    batch: &'a mut OpenedBatch,
    commit: Option<RunningCommit>,
    runtime: Handle,
}

impl Guard<'_> {
    async fn run(&mut self) -> Result<Report> {
        match &mut self.commit {
            Some(commit) => commit.await,
            None => Err(self.batch.not_open("a commit")),
        }
    }

    fn give_back(&mut self) {
        self.commit = None;
        self.batch.reopen();
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Some(commit) = self.commit.take() else {
            return;
        };
        if !commit.cannot_reopen() {
            drop(commit);
            self.batch.reopen();
        } else if self.batch.options.on_cancel == OnCancel::Detach {
            commit.detach();
            // On a runtime that shuts down the task is dropped at once, and that settles the rest.
            self.runtime.spawn(async move {
                if let Err(error) = commit.await {
                    tracing::error!(%error, "a detached commit failed after something was sent");
                }
            });
        }
    }
}

impl Drop for OpenedBatch {
    fn drop(&mut self) {
        self.discard();
    }
}

impl fmt::Debug for OpenedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("store", &self.shared.name)
            .field("guarantee", &self.terms.guarantee)
            .field("state", &self.state())
            .field("operations", &self.len())
            .finish_non_exhaustive()
    }
}
