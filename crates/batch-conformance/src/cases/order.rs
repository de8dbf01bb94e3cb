//! Order on one key is program order, always.

use std::collections::BTreeMap;

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchState, ErrorKind, Guarantee, Job, JobStatus,
    Operation, Verb,
};
use batch_memory::{Fault, Faults};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::{
    Case, Context, Point, Time, Wrapped,
    case::case,
    context::{
        CONTINUE, STOP, WHOLE, aged, asking, assert_agree, assert_applied, assert_pending,
        commit_on, not_applied, quick, unknown,
    },
};

pub(super) const CASES: &[Case] = &[
    case!(
        order,
        best_effort_keeps_program_order_on_each_key,
        [],
        "Order on one key is program order, always: across chunks, retries and parallel sends."
    ),
    case!(
        order,
        ordered_keeps_program_order_on_each_key,
        [Ordered],
        "Order on one key is program order, always: across chunks, retries and parallel sends."
    ),
    case!(
        order,
        retries_keep_program_order_on_each_key,
        [Faults],
        "Only the affected operations are re-sent, and never so that one overtakes a later one on its key."
    ),
    case!(
        order,
        batches_that_follow_one_another_keep_the_order,
        [],
        "Batches that follow one another keep the order too."
    ),
    case!(
        order,
        a_batch_waits_for_a_dropped_commit_on_its_keys,
        [Faults],
        "Batches that follow one another keep the order too; a commit future dropped after the point of no return finishes detached."
    ),
    case!(
        order,
        a_batch_does_not_wait_for_a_dropped_commit_on_other_keys,
        [Faults],
        "A commit future dropped after the point of no return finishes detached: what has nothing in common with it goes on."
    ),
    case!(
        order,
        each_pair_of_verbs_on_a_key_answers_as_one_after_the_other,
        [Conditions],
        "Order on one key is program order, always; each operation has the same meaning on every store."
    ),
    case!(
        order,
        outcomes_on_a_key_are_those_of_the_sequence,
        [Conditions],
        "Order on one key is program order, always. Batches that follow one another keep the order too."
    ),
    case!(
        order,
        an_all_or_nothing_batch_on_one_key_is_the_sequence_or_nothing,
        [AllOrNothing, Conditions],
        "An AllOrNothing batch keeps program order per key."
    ),
    case!(
        order,
        what_follows_an_unknown_one_on_its_key_is_skipped,
        [Faults, NoTimestamps],
        "Operations that follow an Unknown one on the same key in the same commit are NotApplied(Skipped), naming it."
    ),
    case!(
        order,
        an_operation_in_doubt_may_be_sent_again_before_what_follows_it,
        [Faults],
        "Possibly applied: retried only if the operation is idempotent; never so that one overtakes a later one on its key."
    ),
];

/// What a store should hold, and answer.
#[derive(Default)]
struct Model(BTreeMap<String, Value>);

impl Model {
    /// Carries an operation out; gives the kind of error that it ends with.
    fn apply(&mut self, verb: Verb, id: &str, document: &Value) -> Option<ErrorKind> {
        let present = self.0.contains_key(id);
        match verb {
            Verb::Insert if present => return Some(ErrorKind::AlreadyExists),
            Verb::Replace | Verb::Update | Verb::DeleteExisting if !present => {
                return Some(ErrorKind::NotFound);
            }
            Verb::Delete | Verb::DeleteExisting => {
                self.0.remove(id);
            }
            Verb::Upsert | Verb::Update => {
                let merged = self.0.entry(id.to_owned()).or_insert_with(|| json!({}));
                for (name, value) in document.as_object().into_iter().flatten() {
                    merged[name] = value.clone();
                }
            }
            _ => {
                self.0.insert(id.to_owned(), document.clone());
            }
        }
        None
    }
}

const PLAIN: [Verb; 3] = [Verb::Put, Verb::Upsert, Verb::Delete];
const ALL: [Verb; 7] = [
    Verb::Put,
    Verb::Upsert,
    Verb::Delete,
    Verb::Insert,
    Verb::Replace,
    Verb::Update,
    Verb::DeleteExisting,
];

/// Operations, with the model's answer to each.
#[derive(Default)]
struct Script {
    operations: Vec<Operation>,
    answers: Vec<Option<ErrorKind>>,
}

impl Script {
    fn add(
        &mut self,
        context: &Context,
        model: &mut Model,
        verb: Verb,
        id: &str,
        document: &Value,
    ) {
        self.answers.push(model.apply(verb, id, document));
        let operation = context.on(verb, id);
        self.operations.push(if verb.has_document() { operation.doc(document) } else { operation });
    }
}

/// Random operations on few keys.
fn random(
    context: &Context,
    rng: &mut Rng,
    model: &mut Model,
    verbs: &[Verb],
    ids: &[String],
    count: u32,
) -> Script {
    let mut script = Script::default();
    for number in 1..=count {
        let verb = verbs[rng.usize(..verbs.len())];
        let id = &ids[rng.usize(..ids.len())];
        script.add(context, model, verb, id, &document(rng, number));
    }
    script
}

/// A document of some attributes, so that a merge can be told from a replacement.
fn document(rng: &mut Rng, number: u32) -> Value {
    match rng.u8(..3) {
        0 => json!({"age": number}),
        1 => json!({"name": number.to_string()}),
        _ => json!({"age": number, "email": number.to_string()}),
    }
}

fn told(jobs: &[Job]) -> Vec<Option<ErrorKind>> {
    jobs.iter().map(|job| job.status().error().map(batch_core::Error::kind)).collect()
}

async fn compare(context: &Context, ids: &[String], model: &Model, what: &str) {
    for id in ids {
        match model.0.get(id) {
            Some(expected) => context.expect(id, expected).await,
            None => {
                let found = context.read(id).await;
                assert!(found.is_none(), "{what}: `{id}` is there: {found:?}");
            }
        }
    }
}

fn rounds(context: &Context) -> u64 {
    if context.time() == Time::Paused { 6 } else { 3 }
}

async fn random_runs(context: &Context, guarantee: Guarantee) {
    let verbs: &[Verb] = if context.can().conditions && guarantee != STOP { &ALL } else { &PLAIN };
    for seed in 1..=rounds(context) {
        let mut rng = Rng::with_seed(seed);
        let ids: Vec<String> =
            (0..4).map(|key| format!("{}-{seed}-{key}", guarantee.as_str())).collect();
        let mut model = Model::default();
        let script = random(context, &mut rng, &mut model, verbs, &ids, 60);
        let options = quick().max_batch_operations(5).max_in_flight(8);
        let store = context.delayed(seed, options).await;
        let (jobs, report) = commit_on(&*store, asking(guarantee), script.operations).await;
        assert_eq!(told(&jobs), script.answers, "{guarantee}, seed {seed}");
        assert_agree(&report, &jobs);
        compare(context, &ids, &model, &format!("{guarantee}, seed {seed}")).await;
    }
}

async fn best_effort_keeps_program_order_on_each_key(context: Context) {
    random_runs(&context, Guarantee::BestEffort).await;
}

async fn ordered_keeps_program_order_on_each_key(context: Context) {
    random_runs(&context, CONTINUE).await;
    random_runs(&context, STOP).await;
}

async fn retries_keep_program_order_on_each_key(context: Context) {
    let sorts = [Fault::Unreachable, Fault::Busy, Fault::DropBefore, Fault::DropAfter];
    let mut retries = 0;
    for seed in 1..=rounds(&context) {
        let mut rng = Rng::with_seed(seed);
        let ids: Vec<String> = (0..4).map(|key| format!("{seed}-{key}")).collect();
        let mut model = Model::default();
        let script = random(&context, &mut rng, &mut model, &PLAIN, &ids, 40);
        let faults = Faults::seeded(seed, 0.3).only(sorts).delays(context.longest_delay());
        let options = quick().max_batch_operations(5).max_in_flight(8);
        let wrapped = context.wrap(faults, options).await;
        let (jobs, report) =
            commit_on(&*wrapped.store, asking(Guarantee::BestEffort), script.operations).await;
        assert_applied(&jobs);
        retries += report.retries();
        compare(&context, &ids, &model, &format!("seed {seed}")).await;
    }
    assert!(retries > 0, "no seed injected a fault");
}

async fn batches_that_follow_one_another_keep_the_order(context: Context) {
    let store = context.delayed(1, quick()).await;
    for round in 1..=10 {
        let verb = if round % 3 == 0 { Verb::Delete } else { Verb::Upsert };
        let operation = context.on(verb, "a");
        let operation = if verb.has_document() { operation.doc(&aged(round)) } else { operation };
        let (jobs, _) = commit_on(&*store, asking(Guarantee::BestEffort), [operation]).await;
        assert_applied(&jobs);
        let expected = verb.has_document().then_some(round);
        assert_eq!(context.age("a").await, expected, "after batch {round}");
    }
}

/// Queues operations, and drops the commit once a request has been held up.
async fn drop_commit(
    wrapped: &Wrapped,
    options: BatchOptions,
    operations: Vec<Operation>,
) -> Vec<Job> {
    let mut batch = wrapped.store.batch(options).unwrap();
    let jobs = batch.queue_all(operations).unwrap();
    wrapped.probe.hold(Point::Sent);
    tokio::select! {
        _ = batch.commit() => panic!("the request is held"),
        () = wrapped.probe.reached(1) => {}
    }
    assert_pending(&jobs);
    jobs
}

async fn a_batch_waits_for_a_dropped_commit_on_its_keys(context: Context) {
    let verbs: &[Verb] = if context.can().conditions { &ALL } else { &PLAIN };
    let asked = [Guarantee::BestEffort, CONTINUE];
    for guarantee in context.guarantees().filter(|guarantee| asked.contains(guarantee)) {
        let (mut model, mut ids) = (Model::default(), Vec::new());
        let (mut given, mut first, mut second) =
            (Script::default(), Script::default(), Script::default());
        for there in [true, false] {
            for (before, after) in verbs.iter().flat_map(|v| verbs.iter().map(move |w| (*v, *w))) {
                let id = format!("{}-{before}-{after}-{there}", guarantee.as_str());
                if there {
                    given.add(&context, &mut model, Verb::Put, &id, &aged(0));
                }
                first.add(&context, &mut model, before, &id, &json!({"age": 1, "email": "x"}));
                second.add(&context, &mut model, after, &id, &json!({"name": "2"}));
                ids.push(id);
            }
        }
        let (jobs, _) = context.commit(given.operations).await;
        assert_applied(&jobs);
        // Some are held when the commit is dropped, and some are not sent yet.
        let wrapped = context.wrap([], quick().max_batch_operations(5).max_in_flight(4)).await;
        let dropped = drop_commit(&wrapped, asking(guarantee), first.operations).await;
        let options = asking(guarantee).deadline(context.short_deadline());
        let mut batch = wrapped.store.batch(options).unwrap();
        let jobs = batch.queue_all(second.operations).unwrap();
        let error = batch.commit().await.expect_err("it waits for the dropped one");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.message().contains("whose future was dropped"), "tells why: {error}");
        assert_eq!(batch.state(), BatchState::Open);
        assert_pending(&jobs);
        wrapped.probe.release();
        for (job, id) in dropped.iter().zip(&ids) {
            assert!(!matches!(job.clone().await, JobStatus::Unknown(_)), "{id}");
        }
        let (jobs, report) = commit_on(&*wrapped.store, asking(guarantee), batch.take()).await;
        assert_eq!(told(&dropped), first.answers, "{guarantee}");
        assert_eq!(told(&jobs), second.answers, "{guarantee}");
        assert_agree(&report, &jobs);
        compare(&context, &ids, &model, "after a dropped commit").await;
    }
}

async fn a_batch_does_not_wait_for_a_dropped_commit_on_other_keys(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let options = BatchOptions::new();
    let dropped = drop_commit(&wrapped, options, vec![context.put("a", &aged(1))]).await;
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("b", &aged(2))).unwrap();
    tokio::select! {
        ended = batch.commit() => panic!("the request is held: {ended:?}"),
        () = wrapped.probe.reached(2) => {}
    }
    wrapped.probe.release();
    for job in dropped.iter().chain([&job]) {
        assert!(matches!(job.clone().await, JobStatus::Applied(_)));
    }
}

async fn each_pair_of_verbs_on_a_key_answers_as_one_after_the_other(context: Context) {
    let asked = [Guarantee::BestEffort, CONTINUE];
    for guarantee in context.guarantees().filter(|guarantee| asked.contains(guarantee)) {
        let (mut model, mut ids) = (Model::default(), Vec::new());
        let (mut given, mut pairs) = (Script::default(), Script::default());
        for there in [true, false] {
            for first in ALL {
                for second in ALL {
                    let id = format!("{}-{first}-{second}-{there}", guarantee.as_str());
                    if there {
                        let before = json!({"name": "before", "age": 0, "active": true});
                        given.add(&context, &mut model, Verb::Put, &id, &before);
                    }
                    let documents = [json!({"age": 1, "email": "x"}), json!({"name": "2"})];
                    for (verb, document) in [first, second].into_iter().zip(documents) {
                        pairs.add(&context, &mut model, verb, &id, &document);
                    }
                    ids.push(id);
                }
            }
        }
        let (jobs, _) = context.commit(given.operations).await;
        assert_applied(&jobs);
        let (jobs, report) =
            commit_on(&**context.store(), asking(guarantee), pairs.operations).await;
        let told = told(&jobs);
        for (id, (told, answers)) in ids.iter().zip(told.chunks(2).zip(pairs.answers.chunks(2))) {
            assert_eq!(told, answers, "{id}");
        }
        assert_agree(&report, &jobs);
        compare(&context, &ids, &model, "pairs").await;
    }
}

async fn outcomes_on_a_key_are_those_of_the_sequence(context: Context) {
    for seed in 1..=rounds(&context) {
        let mut rng = Rng::with_seed(seed);
        let mut model = Model::default();
        let ids: Vec<String> = (0..6).map(|key| format!("{seed}-{key}")).collect();
        // In one chunk if the store takes that, and in several.
        let most = if seed % 2 == 0 { 4 } else { 1000 };
        let store = context.delayed(seed, quick().max_batch_operations(most)).await;
        for batch in 1..=5 {
            // Two or three on each key, so that one batch finds what the former one left.
            let script = random(&context, &mut rng, &mut model, &ALL, &ids, 15);
            let (jobs, report) =
                commit_on(&*store, asking(Guarantee::BestEffort), script.operations).await;
            assert_eq!(told(&jobs), script.answers, "seed {seed}, batch {batch}");
            assert_agree(&report, &jobs);
            compare(&context, &ids, &model, &format!("seed {seed}, batch {batch}")).await;
        }
    }
}

async fn an_all_or_nothing_batch_on_one_key_is_the_sequence_or_nothing(context: Context) {
    let mut whole = 0;
    for seed in 1..=4 * rounds(&context) {
        let mut rng = Rng::with_seed(seed);
        let ids = [format!("whole-{seed}")];
        let mut model = Model::default();
        if seed % 2 == 0 {
            context.given(&ids[0], &aged(0)).await;
            model.apply(Verb::Put, &ids[0], &aged(0));
        }
        // Every third sequence has no conditions: no store may refuse it.
        let verbs: &[Verb] = if seed % 3 == 0 { &PLAIN } else { &ALL };
        let before = Model(model.0.clone());
        let count = rng.u32(2..=4);
        let script = random(&context, &mut rng, &mut model, verbs, &ids, count);
        let holds = script.answers.iter().all(Option::is_none);
        let mut batch = context.store().batch(asking(WHOLE)).unwrap();
        let jobs = batch.queue_all(script.operations).unwrap();
        let committed = batch.commit().await;
        let what = format!("seed {seed}: {committed:?}");
        match committed {
            Ok(_) if holds => {
                whole += 1;
                assert_applied(&jobs);
                compare(&context, &ids, &model, &what).await;
                continue;
            }
            Ok(report) => {
                assert_eq!(report.not_applied(), u64::from(count), "{what}");
                let by_condition = |kind: &Option<ErrorKind>| {
                    matches!(kind, Some(ErrorKind::AlreadyExists | ErrorKind::NotFound))
                };
                assert!(told(&jobs).iter().any(by_condition), "names its condition: {what}");
            }
            // A store may see that a condition cannot hold, or not have such conditions at all.
            Err(error) => {
                let allowed: &[ErrorKind] = match (holds, verbs.len() == ALL.len()) {
                    (_, false) => &[],
                    (true, true) => &[ErrorKind::Unsupported],
                    (false, true) => {
                        &[ErrorKind::Unsupported, ErrorKind::AlreadyExists, ErrorKind::NotFound]
                    }
                };
                assert!(allowed.contains(&error.kind()), "{what}");
                batch.discard();
            }
        }
        compare(&context, &ids, &before, &what).await;
    }
    assert!(whole > 0, "no sequence succeeded");
}

fn on_one_key(context: &Context, idempotent: bool) -> Vec<Operation> {
    (1..=3).map(|age| context.put("a", &aged(age)).idempotent(idempotent)).collect()
}

async fn what_follows_an_unknown_one_on_its_key_is_skipped(context: Context) {
    for guarantee in context.guarantees().filter(|g| [Guarantee::BestEffort, CONTINUE].contains(g))
    {
        // One operation a chunk, also where one key may stand twice in it.
        let options = quick().max_batch_operations(1);
        let wrapped = context.wrap([Fault::DropAfter], options).await;
        let operations = on_one_key(&context, false);
        let (jobs, report) = commit_on(&*wrapped.store, asking(guarantee), operations).await;
        assert_eq!(unknown(&jobs[0]).kind(), ErrorKind::Connection, "{guarantee}");
        for job in &jobs[1..] {
            let error = not_applied(job);
            assert_eq!(error.kind(), ErrorKind::Skipped, "{guarantee}");
            assert!(error.message().contains("operation 1 "), "names it: {error}");
        }
        assert_agree(&report, &jobs);
        assert_eq!(wrapped.log.times_sent(context.collection(), [("id", "a")]), 1);
        assert_eq!(context.age("a").await, Some(1), "{guarantee}");
    }
}

async fn an_operation_in_doubt_may_be_sent_again_before_what_follows_it(context: Context) {
    for guarantee in context.guarantees().filter(|g| [Guarantee::BestEffort, CONTINUE].contains(g))
    {
        for fault in [Fault::DropBefore, Fault::DropAfter] {
            let wrapped = context.wrap([fault, fault], quick()).await;
            let operations: Vec<Job> =
                commit_on(&*wrapped.store, asking(guarantee), on_one_key(&context, true)).await.0;
            assert_applied(&operations);
            assert_eq!(context.age("a").await, Some(3), "{guarantee} {fault:?}");
        }
    }
}
