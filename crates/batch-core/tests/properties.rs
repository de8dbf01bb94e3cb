//! Random operations, guarantees, faults and cancellations, under tokio's paused clock with
//! seeded delays: whatever happens, every answer holds against what is in the store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use batch_core::{
    Batch, BatchExt, BatchOptions, BatchState, ErrorKind, Guarantee, Job, JobStatus, OnCancel,
    OnError, Operation, Report, Store, StoreOptions, Verb,
};
use batch_memory::{Faults, MemoryStore};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

const TABLE: &str = "t";

/// One operation of a case: a verb on one of a few keys.
#[derive(Clone, Debug)]
struct Step {
    verb: Verb,
    key: u8,
    flaw: Flaw,
}

/// Why an operation is refused before it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    /// By encoding: the document contradicts its key.
    Contradicts,
    /// By planning: larger than any chunk.
    Large,
}

const MOST_BYTES: usize = 4000;

#[derive(Clone, Copy, Debug)]
enum Cancel {
    Never,
    /// Drops the commit after this many polls.
    Commit(usize),
    /// Drops the runtime, with the commit in a task of it, after this many polls.
    Runtime(usize),
}

#[derive(Clone, Debug)]
struct Case {
    steps: Vec<Step>,
    guarantee: Guarantee,
    seed: u64,
    fault_chance: f64,
    max_in_flight: usize,
    max_operations: usize,
    on_cancel: OnCancel,
    cancel: Cancel,
    stops: bool,
    deadline: Duration,
}

fn steps(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let flaw =
        prop_oneof![20 => Just(Flaw::None), 1 => Just(Flaw::Contradicts), 1 => Just(Flaw::Large)];
    let step = (select(Verb::PORTABLE.to_vec()), 0..6_u8, flaw).prop_map(|(verb, key, flaw)| {
        let flaw = if verb.has_document() { flaw } else { Flaw::None };
        Step { verb, key, flaw }
    });
    prop::collection::vec(step, 0..longest)
}

fn cases() -> impl Strategy<Value = Case> {
    let cancel = prop_oneof![
        2 => Just(Cancel::Never),
        1 => (0..40_usize).prop_map(Cancel::Commit),
        1 => (0..40_usize).prop_map(Cancel::Runtime),
    ];
    let store = (any::<u64>(), 0.0..0.6, 1..6_usize, 1..8_usize, any::<bool>());
    let asked = (
        select(Guarantee::ALL.to_vec()),
        select(vec![OnCancel::Detach, OnCancel::Settle]),
        select(vec![50_u64, 400, 30_000]),
    );
    (steps(24), store, asked, cancel).prop_map(
        |(steps, (seed, fault_chance, max_in_flight, max_operations, stops), asked, cancel)| {
            let (guarantee, on_cancel, deadline) = asked;
            Case {
                // All-or-nothing is refused over a ceiling: give those batches room.
                max_operations: if matches!(guarantee, Guarantee::AllOrNothing { .. }) {
                    1000
                } else {
                    max_operations
                },
                steps,
                guarantee,
                seed,
                fault_chance,
                max_in_flight,
                on_cancel,
                cancel,
                stops,
                deadline: Duration::from_millis(deadline),
            }
        },
    )
}

fn operation(index: usize, step: &Step) -> Operation {
    let operation = Operation::on(step.verb, TABLE).at(format!("k{}", step.key));
    let mut document = document(index);
    match step.flaw {
        Flaw::None => {}
        Flaw::Contradicts => document["_key"] = json!("another"),
        Flaw::Large => document["large"] = json!("x".repeat(MOST_BYTES)),
    }
    if step.verb.has_document() { operation.doc(&document) } else { operation }
}

/// A document that tells which operation wrote it, and keeps a trace of each merge.
fn document(index: usize) -> Value {
    json!({"last": index, format!("by{index}"): true})
}

/// What an operation leaves of a document, or `None` if its condition does not hold.
fn leaves(index: usize, step: &Step, before: &Doc) -> Option<Doc> {
    let new = || document(index).as_object().cloned();
    let merged = |before: &Map<String, Value>| {
        let mut merged = before.clone();
        merged.extend(new().unwrap_or_default());
        Some(merged)
    };
    if step.flaw != Flaw::None {
        return None;
    }
    match (step.verb, before) {
        (Verb::Insert, Some(_))
        | (Verb::Replace | Verb::Update | Verb::DeleteExisting | Verb::Get, None) => None,
        (Verb::Insert | Verb::Put | Verb::Replace, _) | (Verb::Upsert, None) => Some(new()),
        (Verb::Upsert | Verb::Update, Some(before)) => Some(merged(before)),
        (Verb::Delete | Verb::DeleteExisting, _) => Some(None),
        (Verb::Get, Some(_)) => Some(before.clone()),
        _ => unreachable!("portable verbs only"),
    }
}

type Doc = Option<Map<String, Value>>;

/// The seeded store of a case.
fn store_of(case: &Case) -> MemoryStore {
    let options = StoreOptions::new()
        .max_in_flight(case.max_in_flight)
        .max_batch_operations(case.max_operations)
        .timeout(case.deadline)
        .backoff_seed(case.seed);
    let faults =
        Faults::seeded(case.seed, case.fault_chance).delays(Duration::from_millis(case.seed % 50));
    let builder = MemoryStore::builder().options(options).faults(faults).log(true);
    builder.stops(case.stops).max_chunk_bytes(MOST_BYTES).build()
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
struct Ran {
    store: MemoryStore,
    jobs: Vec<Job>,
    /// What `commit` returned, if it did.
    result: Option<Result<Report, batch_core::Error>>,
    /// The reports that the callback got.
    called_back: Vec<[u64; 4]>,
    /// The jobs that per-operation callbacks got, in their order.
    job_callbacks: Vec<u32>,
    state: Option<BatchState>,
}

fn counts(report: &Report) -> [u64; 4] {
    [report.applied(), report.not_applied(), report.accepted(), report.unknown()]
}

fn run(case: &Case) -> Ran {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    let store = store_of(case);
    let called_back = Arc::new(Mutex::new(Vec::new()));
    let job_callbacks = Arc::new(Mutex::new(Vec::new()));
    let options = BatchOptions::new().guarantee(case.guarantee).on_cancel(case.on_cancel);
    let mut batch = store.batch(options).unwrap();
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
                assert!(store.collections().is_empty(), "nothing was sent by an open batch");
                batch.discard();
            }
            for job in &jobs {
                job.clone().await;
            }
            // A detached commit has its callbacks still to run.
            store.close(Duration::from_secs(120)).await.unwrap();
            (result, Some(batch.state()))
        }),
    };
    let called_back = called_back.lock().unwrap().clone();
    let job_callbacks = job_callbacks.lock().unwrap().clone();
    Ran { store, jobs, result, called_back, job_callbacks, state }
}

/// The documents that a key may have after its operations, given their answers.
fn possible(case: &Case, ran: &Ran, key: u8) -> Vec<Doc> {
    let mut states: Vec<Doc> = vec![None];
    for (index, (step, job)) in case.steps.iter().zip(&ran.jobs).enumerate() {
        if step.key != key {
            continue;
        }
        let mut next: Vec<Doc> = Vec::new();
        let status = job.status();
        for before in &states {
            let after = leaves(index, step, before);
            match &status {
                JobStatus::Accepted => next.extend(after),
                JobStatus::Applied(outcome) => {
                    let read: Doc =
                        (step.verb == Verb::Get).then(|| clean(&outcome.decode().unwrap()));
                    if step.verb != Verb::Get || read == *before {
                        next.extend(after);
                    }
                }
                JobStatus::NotApplied(error) => {
                    // A condition that the store found false must have been false.
                    let by_condition =
                        matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound);
                    if !by_condition || after.is_none() {
                        next.push(before.clone());
                    }
                }
                JobStatus::Unknown(_) => {
                    next.push(before.clone());
                    next.extend(after);
                }
                other => panic!("{other:?} on memory"),
            }
        }
        assert!(!next.is_empty(), "operation {} cannot have ended as {status:?}", index + 1);
        next.dedup();
        states = next;
    }
    states
}

fn clean(value: &Value) -> Map<String, Value> {
    let mut map = value.as_object().cloned().unwrap_or_default();
    map.remove("_key");
    map.remove("_rev");
    map
}

fn stored(store: &MemoryStore, key: u8) -> Doc {
    store.document(TABLE, format!("k{key}")).as_ref().map(clean)
}

fn check(case: &Case, ran: &Ran) {
    // Every accepted operation ends, exactly once, and all three tell the same.
    assert!(ran.jobs.iter().all(Job::is_done), "a job pends for ever");
    let mut by_jobs = [0_u64; 4];
    for job in &ran.jobs {
        match job.status() {
            JobStatus::Applied(_) => by_jobs[0] += 1,
            JobStatus::NotApplied(_) => by_jobs[1] += 1,
            JobStatus::Accepted => by_jobs[2] += 1,
            JobStatus::Unknown(_) => by_jobs[3] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(ran.called_back.len() <= 1, "callbacks run once");
    if let Some(by_callback) = ran.called_back.first() {
        assert_eq!(*by_callback, by_jobs, "callback and jobs disagree");
        let all: Vec<u32> = ran.jobs.iter().map(Job::id).collect();
        assert_eq!(ran.job_callbacks, all, "per-operation callbacks run in queue order");
    } else {
        // A commit that is cancelled while callbacks run leaves the rest of them out.
        assert!(
            ran.job_callbacks
                .iter()
                .copied()
                .eq(1..=u32::try_from(ran.job_callbacks.len()).unwrap())
        );
    }
    match &ran.result {
        Some(Ok(report)) => {
            assert_eq!(counts(report), by_jobs, "report and jobs disagree");
            assert_eq!(ran.called_back.len(), 1);
            assert_eq!(ran.state, Some(BatchState::Committed));
        }
        Some(Err(error)) => {
            // `Err` only if nothing was sent.
            let sent = ran.store.log().chunks().iter().any(|chunk| chunk.left);
            assert!(!sent, "{error} although something was sent");
            assert!(ran.store.collections().is_empty());
            assert!(ran.called_back.is_empty());
        }
        None => {}
    }
    // The conditions of an all-or-nothing batch are judged within it, so it is looked at as a whole.
    if matches!(case.guarantee, Guarantee::AllOrNothing { .. }) {
        check_whole(case, ran);
        return;
    }
    for key in 0..6 {
        let (possible, stored) = (possible(case, ran, key), stored(&ran.store, key));
        assert!(possible.contains(&stored), "k{key} holds {stored:?}, not one of {possible:?}");
    }
    if case.guarantee == (Guarantee::Ordered { on_error: OnError::Stop }) {
        check_stopped(ran);
    }
}

/// All operations are in the store, or none is.
fn check_whole(case: &Case, ran: &Ran) {
    let mut whole: BTreeMap<u8, Doc> = BTreeMap::new();
    for (index, step) in case.steps.iter().enumerate() {
        let before = whole.entry(step.key).or_default();
        match leaves(index, step, before) {
            Some(after) => *before = after,
            None => {
                whole.clear();
                break;
            }
        }
    }
    let holds = |world: &BTreeMap<u8, Doc>| {
        (0..6).all(|key| stored(&ran.store, key) == world.get(&key).cloned().flatten())
    };
    let nothing = BTreeMap::new();
    assert!(holds(&whole) || holds(&nothing), "a part of an all-or-nothing batch is in the store");
    let statuses: Vec<_> = ran.jobs.iter().map(Job::status).collect();
    if statuses.iter().any(|status| matches!(status, JobStatus::NotApplied(_))) {
        assert!(holds(&nothing), "an operation is not applied, and others are in the store");
        assert!(!statuses.iter().any(JobStatus::is_applied));
    }
    if statuses.iter().any(|status| status.is_applied() || matches!(status, JobStatus::Accepted)) {
        assert!(holds(&whole), "an operation is applied, and not all are in the store");
    }
}

/// Nothing is applied after the first operation that is not, unless its request had left already.
fn check_stopped(ran: &Ran) {
    let statuses: Vec<_> = ran.jobs.iter().map(Job::status).collect();
    let in_store =
        |status: &JobStatus| status.is_applied() || matches!(status, JobStatus::Accepted);
    if let Some(first) = statuses.iter().position(|status| !in_store(status)) {
        // One behind an accepted write on its key is left out for that one.
        let behind = statuses[..first].iter().any(|status| matches!(status, JobStatus::Accepted));
        let kind = statuses[first].error().map(batch_core::Error::kind);
        let skipped = kind == Some(ErrorKind::Skipped);
        assert!(!skipped || behind, "operation {} was left out for a later one", first + 1);
    }
    if let Some(first) = statuses.iter().position(|status| !in_store(status))
        && matches!(statuses[first], JobStatus::NotApplied(_))
    {
        let later = &statuses[first + 1..];
        assert!(
            !later.iter().any(JobStatus::is_applied),
            "it went on after operation {}",
            first + 1
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1500), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_holds_against_what_is_in_the_store(case in cases()) {
        check(&case, &run(&case));
    }

    #[test]
    fn the_plan_equals_the_first_attempts(
        steps in steps(60),
        guarantee in select(Guarantee::ALL[..3].to_vec()),
        seed in any::<u64>(),
        max_operations in 1..9_usize,
        max_in_flight in 1..5_usize,
    ) {
        let case = Case {
            steps, guarantee, seed, max_operations, max_in_flight,
            fault_chance: 0.0, on_cancel: OnCancel::Detach, cancel: Cancel::Never, stops: true,
            deadline: Duration::from_secs(30),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let store = store_of(&case);
            let mut batch = store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
            for (index, step) in case.steps.iter().enumerate() {
                batch.queue(operation(index, step)).unwrap();
            }
            let plan = batch.plan().await.unwrap();
            assert!(store.log().chunks().is_empty(), "a plan sends nothing");
            let report = batch.commit().await.unwrap();
            let sent = store.log().chunks();
            let sent: HashSet<(Vec<u32>, u64)> = sent
                .iter()
                .filter(|chunk| chunk.attempt == 1)
                .map(|chunk| (chunk.operations.iter().map(|o| o.job).collect(), chunk.bytes))
                .collect();
            let planned: HashSet<(Vec<u32>, u64)> =
                plan.chunks.iter().map(|chunk| (chunk.operations.clone(), chunk.bytes)).collect();
            if guarantee == (Guarantee::Ordered { on_error: OnError::Stop }) {
                prop_assert!(sent.is_subset(&planned));
            } else {
                prop_assert_eq!(&sent, &planned);
            }
            prop_assert_eq!(report.deviations(), 0);
            Ok(())
        })?;
    }
}

/// Cancellation at every await point, in both modes, and by dropping the runtime.
#[test]
fn a_commit_cancelled_at_any_await_point_leaves_answers_that_hold() {
    let steps: Vec<Step> = (0..12)
        .map(|n| Step {
            verb: Verb::PORTABLE[n * 5 % 8],
            key: u8::try_from(n % 4).unwrap(),
            flaw: Flaw::None,
        })
        .collect();
    for seed in 0..12 {
        for (on_cancel, by_runtime) in
            [(OnCancel::Detach, false), (OnCancel::Settle, false), (OnCancel::Detach, true)]
        {
            for polls in 0..60 {
                // Every third batch has nothing that could be sent.
                let mut steps = steps.clone();
                if seed % 3 == 2 {
                    steps.retain(|step| step.verb.has_document());
                    steps.iter_mut().for_each(|step| step.flaw = Flaw::Contradicts);
                }
                let case = Case {
                    steps,
                    guarantee: Guarantee::ALL[usize::try_from(seed).unwrap() % 5],
                    seed,
                    fault_chance: if seed % 2 == 0 { 0.0 } else { 0.3 },
                    max_in_flight: 2,
                    max_operations: if seed % 5 >= 3 { 100 } else { 3 },
                    on_cancel,
                    cancel: if by_runtime { Cancel::Runtime(polls) } else { Cancel::Commit(polls) },
                    stops: true,
                    deadline: Duration::from_secs(30),
                };
                check(&case, &run(&case));
            }
        }
    }
}
