//! Carries a case out, under tokio's paused clock with seeded delays.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use batch_core::{
    Batch, BatchExt, BatchOptions, BatchState, Error, Job, Report, Result, Store, StoreOptions,
    seam::{Backend, Engine},
};
use batch_memory::{Faults, Instrumented, Log, MemoryStore};

use crate::{
    case::{Cancel, Case, Doc, Kind, MOST_BYTES, TABLE, operation},
    cells::Cells,
};

/// The seeded store of a case.
pub(crate) struct Subject {
    pub(crate) store: Box<dyn Store>,
    pub(crate) log: Log,
    inner: Inner,
}

enum Inner {
    Memory(MemoryStore),
    Cells(Arc<Cells>),
}

impl Subject {
    pub(crate) fn of(case: &Case) -> Self {
        let options = StoreOptions::new()
            .max_in_flight(case.max_in_flight)
            .max_batch_operations(case.max_operations)
            .timeout(case.deadline)
            .backoff_seed(case.seed);
        let faults = Faults::seeded(case.seed, case.fault_chance)
            .delays(Duration::from_millis(case.seed % 50));
        let log = Log::default();
        let (backend, inner): (Arc<dyn Backend>, _) = match &case.kind {
            Kind::Memory => {
                let store = MemoryStore::builder().stops(case.stops).max_chunk_bytes(MOST_BYTES);
                let store = store.build();
                (store.backend(), Inner::Memory(store))
            }
            Kind::Cells(habits) => {
                let cells = Arc::new(Cells::new(habits.clone(), case.max_operations, case.seed));
                (Arc::clone(&cells) as Arc<dyn Backend>, Inner::Cells(cells))
            }
        };
        let options = match &inner {
            Inner::Memory(_) => options,
            Inner::Cells(cells) => options.clock(Arc::clone(&cells.clock) as _),
        };
        let outer = Instrumented::new(backend).with_faults(faults).with_log(log.clone());
        Self { store: Box::new(Engine::new(Arc::new(outer), options)), log, inner }
    }

    pub(crate) fn document(&self, key: u8) -> Doc {
        match &self.inner {
            Inner::Memory(store) => {
                let document = store.document(TABLE, format!("k{key}"))?;
                let mut map = document.as_object().cloned().unwrap_or_default();
                map.remove("_key");
                map.remove("_rev");
                Some(map)
            }
            Inner::Cells(cells) => cells.document(key),
        }
    }

    pub(crate) fn is_untouched(&self) -> bool {
        match &self.inner {
            Inner::Memory(store) => store.collections().is_empty(),
            Inner::Cells(cells) => cells.is_untouched(),
        }
    }

    /// What the core did that it must not.
    pub(crate) fn wrong(&self) -> Vec<String> {
        match &self.inner {
            Inner::Memory(_) => Vec::new(),
            Inner::Cells(cells) => cells.wrong(),
        }
    }
}

/// Polls a future a number of times at most.
struct Polls<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.future.as_mut().poll(cx).map(Some)
    }
}

fn at_most<F: Future>(left: usize, future: F) -> Polls<F> {
    Polls { future: Box::pin(future), left }
}

/// What a run left behind.
pub(crate) struct Ran {
    pub(crate) subject: Subject,
    pub(crate) jobs: Vec<Job>,
    /// What `commit` returned, if it did.
    pub(crate) result: Option<Result<Report, Error>>,
    /// The reports that the callback got.
    pub(crate) called_back: Vec<[u64; 4]>,
    /// The jobs that per-operation callbacks got, in their order.
    pub(crate) job_callbacks: Vec<u32>,
    pub(crate) state: Option<BatchState>,
}

pub(crate) fn counts(report: &Report) -> [u64; 4] {
    [report.applied(), report.not_applied(), report.accepted(), report.unknown()]
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

pub(crate) fn run(case: &Case) -> Ran {
    let runtime = runtime();
    let subject = Subject::of(case);
    let called_back = Arc::new(Mutex::new(Vec::new()));
    let job_callbacks = Arc::new(Mutex::new(Vec::new()));
    let options = BatchOptions::new().guarantee(case.guarantee).on_cancel(case.on_cancel);
    let mut batch = subject.store.batch(options).unwrap();
    let mut jobs = Vec::new();
    for (index, step) in case.steps.iter().enumerate() {
        let seen = Arc::clone(&job_callbacks);
        let job = batch
            .queue_with(operation(index, step), move |job: &Job| {
                assert!(job.is_done());
                seen.lock().unwrap().push(job.id());
            })
            .unwrap();
        jobs.push(job);
    }
    let seen = Arc::clone(&called_back);
    let watched = jobs.clone();
    batch
        .on_commit(move |report: &Report| {
            assert!(watched.iter().all(Job::is_done), "callbacks run after every job is settled");
            seen.lock().unwrap().push(counts(report));
        })
        .unwrap();
    let (result, state) = match case.cancel {
        Cancel::Runtime(polls) => {
            runtime.block_on(async {
                let task = tokio::spawn(async move { batch.commit().await });
                at_most(polls, task).await;
            });
            drop(runtime);
            (None, None)
        }
        Cancel::Never | Cancel::Commit(_) => runtime.block_on(async {
            let polls = match case.cancel {
                Cancel::Commit(polls) => polls,
                _ => usize::MAX,
            };
            let result = at_most(polls, batch.commit()).await;
            if batch.state() == BatchState::Open {
                assert!(jobs.iter().all(Job::is_pending), "nothing happened to an open batch");
                assert!(subject.is_untouched(), "nothing was sent by an open batch");
                batch.discard();
            }
            for job in &jobs {
                job.clone().await;
            }
            // A detached commit has its callbacks still to run.
            subject.store.close(Duration::from_secs(120)).await.unwrap();
            (result, Some(batch.state()))
        }),
    };
    let called_back = called_back.lock().unwrap().clone();
    let job_callbacks = job_callbacks.lock().unwrap().clone();
    Ran { subject, jobs, result, called_back, job_callbacks, state }
}
