//! What a store declares holds, and what it does not declare is refused.

use std::time::Duration;

use batch_core::{BatchExt as _, BatchOptions, ErrorKind, Job, Operation, Returning, Verb};
use serde_json::{Value, json};

use crate::{
    Case, Context,
    case::case,
    context::{abby, aged, assert_applied, assert_same, not_applied},
};

pub(super) const CASES: &[Case] = &[
    case!(
        capabilities,
        what_is_not_declared_is_refused_at_queue,
        [],
        "Options of an operation, refused where the store cannot; each verb has the same meaning or is refused at `queue`."
    ),
    case!(
        capabilities,
        options_that_fit_no_operation_are_refused_everywhere,
        [],
        "The first mistake in building an operation is kept in it and returned by `queue`."
    ),
    case!(
        capabilities,
        if_revision_applies_only_to_what_was_read,
        [Revisions],
        "`.if_revision(rev)`: apply only if the document has this revision."
    ),
    case!(
        capabilities,
        a_revision_of_what_is_absent_is_not_found,
        [Revisions],
        "`.if_revision(rev)`: apply only if the document has this revision."
    ),
    case!(
        capabilities,
        a_revision_never_refuses_its_neighbours,
        [Revisions],
        "Under best effort a condition is never put where its failure would refuse its neighbours."
    ),
    case!(
        capabilities,
        a_document_vanishes_after_its_time_to_live,
        [Ttl],
        "`.ttl(…)`: the document vanishes after this time."
    ),
    case!(
        capabilities,
        the_later_write_timestamp_wins,
        [Timestamps],
        "`.timestamp(…)`: the write's timestamp in microseconds since the Unix epoch."
    ),
    case!(
        capabilities,
        returning_gives_the_document_after_or_before_the_write,
        [Returning],
        "`.returning(New | Old)`: the document after or before the write; `decode` reads it."
    ),
    case!(
        capabilities,
        returning_gives_the_old_document_of_conditional_writes,
        [Returning, Conditions],
        "`.returning(New | Old)`: the document after or before the write; `decode` reads it."
    ),
];

async fn what_is_not_declared_is_refused_at_queue(context: Context) {
    let can = context.can();
    let second = Duration::from_secs(1);
    let put = |id: &str| context.put(id, &aged(1));
    let revised = |id: &str| context.on(Verb::Replace, id).doc(&aged(1)).if_revision("1");
    let asked: [(&str, bool, Operation); 9] = [
        ("get", can.reads, context.on(Verb::Get, "a")),
        ("insert", can.conditions, context.insert("a", &aged(1))),
        ("replace", can.conditions, context.on(Verb::Replace, "a").doc(&aged(1))),
        ("update", can.conditions, context.on(Verb::Update, "a").doc(&aged(1))),
        ("delete_existing", can.conditions, context.on(Verb::DeleteExisting, "a")),
        ("replace", can.revisions && can.conditions, revised("a")),
        ("put", can.ttl, put("a").ttl(second)),
        ("put", can.timestamps, put("a").timestamp(1)),
        ("put", can.returning, put("a").returning(Returning::New)),
    ];
    for (name, able, operation) in asked {
        let mut batch = context.store().batch(BatchOptions::new()).unwrap();
        match batch.queue(operation) {
            Ok(job) => {
                assert!(able, "{name} was queued, and the store does not declare it");
                batch.discard();
                assert_eq!(not_applied(&job).kind(), ErrorKind::Discarded);
            }
            Err(rejected) => {
                assert!(!able, "{name} is declared, but refused: {rejected}");
                assert_eq!(rejected.error.kind(), ErrorKind::Unsupported, "{name}");
                let message = rejected.error.message();
                assert!(message.contains(name), "names the operation: {message}");
                assert!(message.contains(context.store().name()), "and the store: {message}");
            }
        }
    }
    context.expect_absent("a").await;
}

async fn options_that_fit_no_operation_are_refused_everywhere(context: Context) {
    let second = Duration::from_secs(1);
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let mistakes = [
        ("no time to live", context.put("a", &aged(1)).ttl(Duration::ZERO)),
        ("half a second", context.put("a", &aged(1)).ttl(second / 2)),
        ("a time to live of a delete", context.on(Verb::Delete, "a").ttl(second)),
        ("a read that returns", context.on(Verb::Get, "a").returning(Returning::New)),
        ("a revision of a put", context.put("a", &aged(1)).if_revision("1")),
        ("a revision of an insert", context.insert("a", &aged(1)).if_revision("1")),
    ];
    for (mistake, operation) in mistakes {
        let rejected = batch.queue(operation).expect_err(mistake);
        assert_eq!(rejected.error.kind(), ErrorKind::InvalidOperation, "{mistake}: {rejected}");
    }
    assert!(batch.is_empty());
}

/// The revision that a document has now, as reads carry it.
async fn revision(context: &Context, id: &str) -> String {
    let document = context.read(id).await.expect("it is there");
    document["_rev"].as_str().expect("reads carry the revision in `_rev`").to_owned()
}

async fn if_revision_applies_only_to_what_was_read(context: Context) {
    for verb in [Verb::Update, Verb::Replace, Verb::DeleteExisting] {
        context.given("a", &abby()).await;
        let stale = revision(&context, "a").await;
        context.given("a", &aged(1)).await;
        let current = revision(&context, "a").await;
        assert_ne!(stale, current, "each write has a revision of its own");
        let on = |revision: &str| {
            let operation = context.on(verb, "a").if_revision(revision);
            if verb.has_document() { operation.doc(&aged(2)) } else { operation }
        };
        let (jobs, _) = context.commit([on(&stale)]).await;
        assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::ConditionFailed, "{verb}");
        context.expect("a", &aged(1)).await;
        let (jobs, _) = context.commit([on(&current)]).await;
        assert_applied(&jobs);
        let expected = verb.has_document().then_some(2);
        assert_eq!(context.age("a").await, expected, "{verb}");
    }
}

async fn a_revision_of_what_is_absent_is_not_found(context: Context) {
    let operation = context.on(Verb::Update, "a").doc(&aged(2)).if_revision("1");
    let (jobs, _) = context.commit([operation]).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::NotFound);
    context.expect_absent("a").await;
}

async fn a_revision_never_refuses_its_neighbours(context: Context) {
    context.given("a", &aged(1)).await;
    context.given("b", &aged(1)).await;
    let stale = revision(&context, "a").await;
    context.given("a", &aged(2)).await;
    let current = revision(&context, "b").await;
    let update =
        |id: &str, revision: &str| context.on(Verb::Update, id).doc(&aged(3)).if_revision(revision);
    let operations = [context.put("c", &aged(3)), update("a", &stale), update("b", &current)];
    let (jobs, _) = context.commit(operations).await;
    assert_eq!(not_applied(&jobs[1]).kind(), ErrorKind::ConditionFailed);
    assert_applied([&jobs[0], &jobs[2]]);
    for (id, age) in [("a", 2), ("b", 3), ("c", 3)] {
        assert_eq!(context.age(id).await, Some(age), "{id}");
    }
}

async fn a_document_vanishes_after_its_time_to_live(context: Context) {
    let ttl = Duration::from_secs(2);
    let operations = [context.put("short", &abby()).ttl(ttl), context.put("long", &abby())];
    let (jobs, _) = context.commit(operations).await;
    assert_applied(&jobs);
    context.expect("short", &abby()).await;
    let step = Duration::from_millis(500);
    let mut steps = 0;
    while context.read("short").await.is_some() {
        assert!(steps < 120, "it is still there after {:?}", step * steps);
        context.harness().let_pass(step).await;
        steps += 1;
    }
    assert!(steps > 1, "it was gone before its time");
    context.expect("long", &abby()).await;
}

async fn the_later_write_timestamp_wins(context: Context) {
    // In batches of their own, so that the order of sending would say the opposite.
    for (timestamp, age) in [(2_000_000, 2), (1_000_000, 1)] {
        let operation = context.put("a", &aged(age)).timestamp(timestamp);
        let (jobs, _) = context.commit([operation]).await;
        assert_applied(&jobs);
    }
    assert_eq!(context.age("a").await, Some(2));
}

fn document(job: &Job) -> Value {
    job.decode().expect("the document was asked for")
}

async fn returning_gives_the_document_after_or_before_the_write(context: Context) {
    for id in ["put", "upsert", "old put", "old upsert"] {
        context.given(id, &abby()).await;
    }
    let upsert = |id: &str| context.on(Verb::Upsert, id).doc(&aged(21));
    let (jobs, _) = context
        .commit([
            context.put("put", &aged(21)).returning(Returning::New),
            upsert("upsert").returning(Returning::New),
            context.put("old put", &aged(21)).returning(Returning::Old),
            upsert("old upsert").returning(Returning::Old),
            context.put("created", &aged(21)).returning(Returning::New),
            context.put("not asked", &aged(21)),
        ])
        .await;
    assert_applied(&jobs);
    let mut merged = abby();
    merged["age"] = json!(21);
    assert_same("put", &document(&jobs[0]), &aged(21));
    assert_same("upsert", &document(&jobs[1]), &merged);
    assert_same("old put", &document(&jobs[2]), &abby());
    assert_same("old upsert", &document(&jobs[3]), &abby());
    assert_same("created", &document(&jobs[4]), &aged(21));
    let error = jobs[5].decode::<Value>().expect_err("it was not asked for");
    assert_eq!(error.kind(), ErrorKind::Decode);
}

async fn returning_gives_the_old_document_of_conditional_writes(context: Context) {
    for id in ["replace", "update", "delete"] {
        context.given(id, &abby()).await;
    }
    let (jobs, _) = context
        .commit([
            context.on(Verb::Replace, "replace").doc(&aged(21)).returning(Returning::Old),
            context.on(Verb::Update, "update").doc(&aged(21)).returning(Returning::Old),
            context.on(Verb::DeleteExisting, "delete").returning(Returning::Old),
            context.insert("insert", &aged(21)).returning(Returning::New),
        ])
        .await;
    assert_applied(&jobs);
    for job in &jobs[..3] {
        assert_same("the old one", &document(job), &abby());
    }
    assert_same("insert", &document(&jobs[3]), &aged(21));
    context.expect_absent("delete").await;
}
