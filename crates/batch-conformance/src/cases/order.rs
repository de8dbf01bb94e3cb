//! Order on one key is program order, always.

use std::collections::BTreeMap;

use batch_core::{ErrorKind, Guarantee, Job, Operation, Verb};
use batch_memory::{Fault, Faults};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::{
    Case, Context, Time,
    case::case,
    context::{
        CONTINUE, STOP, aged, asking, assert_agree, assert_applied, commit_on, not_applied, quick,
        unknown,
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

/// Random operations on few keys, with the model's answer to each.
fn random(
    context: &Context,
    rng: &mut Rng,
    verbs: &[Verb],
    ids: &[String],
    count: u32,
) -> (Vec<Operation>, Vec<Option<ErrorKind>>, Model) {
    let mut model = Model::default();
    let mut answers = Vec::new();
    let operations = (1..=count).map(|number| {
        let verb = verbs[rng.usize(..verbs.len())];
        let id = &ids[rng.usize(..ids.len())];
        let mut document = json!({});
        match rng.u8(..3) {
            0 => document["age"] = number.into(),
            1 => document["name"] = number.to_string().into(),
            _ => document = json!({"age": number, "email": number.to_string()}),
        }
        answers.push(model.apply(verb, id, &document));
        let operation = context.on(verb, id);
        if verb.has_document() { operation.doc(&document) } else { operation }
    });
    let operations = operations.collect();
    (operations, answers, model)
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
        let (operations, answers, model) = random(context, &mut rng, verbs, &ids, 60);
        let options = quick().max_batch_operations(5).max_in_flight(8);
        let store = context.delayed(seed, options).await;
        let (jobs, report) = commit_on(&*store, asking(guarantee), operations).await;
        let told = jobs.iter().map(|job| job.status().error().map(batch_core::Error::kind));
        assert_eq!(told.collect::<Vec<_>>(), answers, "{guarantee}, seed {seed}");
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
        let (operations, _, model) = random(&context, &mut rng, &PLAIN, &ids, 40);
        let faults = Faults::seeded(seed, 0.3).only(sorts).delays(context.longest_delay());
        let options = quick().max_batch_operations(5).max_in_flight(8);
        let wrapped = context.wrap(faults, options).await;
        let (jobs, report) =
            commit_on(&*wrapped.store, asking(Guarantee::BestEffort), operations).await;
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
