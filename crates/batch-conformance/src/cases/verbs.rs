//! Portable operations: each has the same meaning on every store.

use batch_core::{
    Batch, BatchExt as _, BatchOptions, ErrorKind, Job, Key, Operation, Result, Verb,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Case, Context,
    case::case,
    context::{abby, aged, assert_applied, assert_same, not_applied},
};

pub(super) const CASES: &[Case] = &[
    case!(
        verbs,
        insert_creates,
        [Conditions],
        "`insert` creates; `AlreadyExists` if the key is taken."
    ),
    case!(
        verbs,
        insert_on_a_taken_key_is_not_applied,
        [Conditions],
        "`insert` creates; `AlreadyExists` if the key is taken."
    ),
    case!(verbs, put_creates, [], "`put` creates or replaces whole."),
    case!(verbs, put_replaces_whole, [], "`put` creates or replaces whole."),
    case!(verbs, upsert_creates, [], "`upsert` creates or merges top-level attributes."),
    case!(
        verbs,
        upsert_merges_top_level_attributes,
        [],
        "`upsert` creates or merges top-level attributes."
    ),
    case!(
        verbs,
        replace_replaces_whole,
        [Conditions],
        "`replace` means as put; `NotFound` if absent."
    ),
    case!(
        verbs,
        replace_of_what_is_absent_is_not_applied,
        [Conditions],
        "`replace` means as put; `NotFound` if absent."
    ),
    case!(
        verbs,
        update_merges_top_level_attributes,
        [Conditions],
        "`update` means as upsert; `NotFound` if absent."
    ),
    case!(
        verbs,
        update_of_what_is_absent_is_not_applied,
        [Conditions],
        "`update` means as upsert; `NotFound` if absent."
    ),
    case!(verbs, delete_removes, [], "`delete`: absent afterwards; no error if it already was."),
    case!(
        verbs,
        delete_of_what_is_absent_is_applied,
        [],
        "`delete`: absent afterwards; no error if it already was."
    ),
    case!(
        verbs,
        delete_existing_removes,
        [Conditions],
        "`delete_existing` means as delete; `NotFound` if absent."
    ),
    case!(
        verbs,
        delete_existing_of_what_is_absent_is_not_applied,
        [Conditions],
        "`delete_existing` means as delete; `NotFound` if absent."
    ),
    case!(verbs, get_reads_one, [Reads], "`get` reads one."),
    case!(
        verbs,
        get_of_what_is_absent_is_not_found,
        [Reads],
        "`get` reads one; what is absent is `NotFound`."
    ),
    case!(verbs, null_and_absent_read_the_same, [], "Null and absent read the same everywhere."),
    case!(
        verbs,
        null_and_absent_read_the_same_in_a_batch,
        [Reads],
        "Null and absent read the same everywhere."
    ),
    case!(
        verbs,
        all_verbs_share_a_batch_and_each_has_its_own_outcome,
        [Conditions],
        "Every operation that was accepted ends in exactly one of four answers."
    ),
    case!(
        verbs,
        a_batch_may_span_collections,
        [],
        "A document is a JSON object addressed by a collection and a key."
    ),
    case!(
        verbs,
        the_same_function_runs_against_every_store,
        [],
        "The same function, byte for byte, runs against every store."
    ),
];

async fn insert_creates(context: Context) {
    let (jobs, _) = context.commit([context.insert("a", &abby())]).await;
    assert_applied(&jobs);
    context.expect("a", &abby()).await;
}

async fn insert_on_a_taken_key_is_not_applied(context: Context) {
    context.given("a", &abby()).await;
    let (jobs, _) = context.commit([context.insert("a", &aged(1))]).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::AlreadyExists);
    context.expect("a", &abby()).await;
}

async fn put_creates(context: Context) {
    let (jobs, _) = context.commit([context.put("a", &abby())]).await;
    assert_applied(&jobs);
    context.expect("a", &abby()).await;
}

async fn put_replaces_whole(context: Context) {
    context.given("a", &abby()).await;
    let (jobs, _) = context.commit([context.put("a", &json!({"name": "A", "tags": ["z"]}))]).await;
    assert_applied(&jobs);
    context.expect("a", &json!({"name": "A", "tags": ["z"]})).await;
}

async fn upsert_creates(context: Context) {
    let (jobs, _) = context.commit([context.on(Verb::Upsert, "a").doc(&abby())]).await;
    assert_applied(&jobs);
    context.expect("a", &abby()).await;
}

async fn upsert_merges_top_level_attributes(context: Context) {
    context.given("a", &abby()).await;
    let change = json!({"age": 21, "tags": ["z"]});
    let (jobs, _) = context.commit([context.on(Verb::Upsert, "a").doc(&change)]).await;
    assert_applied(&jobs);
    let mut merged = abby();
    merged["age"] = 21.into();
    merged["tags"] = json!(["z"]);
    context.expect("a", &merged).await;
}

async fn replace_replaces_whole(context: Context) {
    context.given("a", &abby()).await;
    let (jobs, _) = context.commit([context.on(Verb::Replace, "a").doc(&aged(21))]).await;
    assert_applied(&jobs);
    context.expect("a", &aged(21)).await;
}

async fn replace_of_what_is_absent_is_not_applied(context: Context) {
    let (jobs, _) = context.commit([context.on(Verb::Replace, "a").doc(&abby())]).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::NotFound);
    context.expect_absent("a").await;
}

async fn update_merges_top_level_attributes(context: Context) {
    context.given("a", &abby()).await;
    let (jobs, _) = context.commit([context.on(Verb::Update, "a").doc(&aged(21))]).await;
    assert_applied(&jobs);
    let mut merged = abby();
    merged["age"] = 21.into();
    context.expect("a", &merged).await;
}

async fn update_of_what_is_absent_is_not_applied(context: Context) {
    let (jobs, _) = context.commit([context.on(Verb::Update, "a").doc(&abby())]).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::NotFound);
    context.expect_absent("a").await;
}

async fn delete_removes(context: Context) {
    context.given("a", &abby()).await;
    context.given("b", &abby()).await;
    let (jobs, _) = context.commit([context.on(Verb::Delete, "a")]).await;
    assert_applied(&jobs);
    context.expect_absent("a").await;
    context.expect("b", &abby()).await;
}

async fn delete_of_what_is_absent_is_applied(context: Context) {
    let (jobs, _) = context.commit([context.on(Verb::Delete, "a")]).await;
    assert_applied(&jobs);
    context.expect_absent("a").await;
}

async fn delete_existing_removes(context: Context) {
    context.given("a", &abby()).await;
    let (jobs, _) = context.commit([context.on(Verb::DeleteExisting, "a")]).await;
    assert_applied(&jobs);
    context.expect_absent("a").await;
}

async fn delete_existing_of_what_is_absent_is_not_applied(context: Context) {
    let (jobs, _) = context.commit([context.on(Verb::DeleteExisting, "a")]).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::NotFound);
}

async fn get_reads_one(context: Context) {
    context.given("a", &abby()).await;
    context.given("b", &aged(1)).await;
    let (jobs, _) = context.commit(["a", "b"].map(|id| context.on(Verb::Get, id))).await;
    assert_same("a", &jobs[0].decode().unwrap(), &abby());
    assert_same("b", &jobs[1].decode().unwrap(), &aged(1));
}

async fn get_of_what_is_absent_is_not_found(context: Context) {
    let (jobs, _) = context.commit([context.on(Verb::Get, "a")]).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::NotFound);
    let outside = context.read("a").await;
    assert!(outside.is_none(), "outside a batch the same document is {outside:?}");
}

async fn null_and_absent_read_the_same(context: Context) {
    let with_null = json!({"name": "Abby", "age": null});
    let without = json!({"name": "Abby"});
    context.given("put", &with_null).await;
    context.given("upsert", &abby()).await;
    let nulls = json!({"age": null, "email": null, "active": null, "tags": null});
    let (jobs, _) = context.commit([context.on(Verb::Upsert, "upsert").doc(&nulls)]).await;
    assert_applied(&jobs);
    for id in ["put", "upsert"] {
        context.expect(id, &without).await;
    }
}

async fn null_and_absent_read_the_same_in_a_batch(context: Context) {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Student {
        name: Option<String>,
        age: Option<i32>,
    }
    context.given("null", &json!({"name": "Abby", "age": null})).await;
    context.given("absent", &json!({"name": "Abby"})).await;
    let (jobs, _) = context.commit(["null", "absent"].map(|id| context.on(Verb::Get, id))).await;
    let read = jobs.iter().map(|job| job.decode::<Student>().unwrap());
    let abby = || Student { name: Some("Abby".into()), age: None };
    assert_eq!(read.collect::<Vec<_>>(), [abby(), abby()]);
}

async fn all_verbs_share_a_batch_and_each_has_its_own_outcome(context: Context) {
    for id in ["insert", "replace", "update", "delete", "delete_existing"] {
        context.given(id, &aged(1)).await;
    }
    let on = |verb, id: &str| context.on(verb, id);
    let (jobs, report) = context
        .commit([
            on(Verb::Insert, "insert").doc(&aged(2)),
            on(Verb::Insert, "new").doc(&aged(2)),
            on(Verb::Put, "put").doc(&aged(2)),
            on(Verb::Upsert, "upsert").doc(&aged(2)),
            on(Verb::Replace, "replace").doc(&aged(2)),
            on(Verb::Replace, "absent").doc(&aged(2)),
            on(Verb::Update, "update").doc(&aged(2)),
            on(Verb::Update, "absent too").doc(&aged(2)),
            on(Verb::Delete, "delete"),
            on(Verb::DeleteExisting, "delete_existing"),
            on(Verb::DeleteExisting, "absent as well"),
        ])
        .await;
    let kinds = jobs.iter().map(|job| job.status().error().map(batch_core::Error::kind));
    let (taken, missing) = (Some(ErrorKind::AlreadyExists), Some(ErrorKind::NotFound));
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [taken, None, None, None, None, missing, None, missing, None, None, missing]
    );
    assert_eq!((report.applied(), report.not_applied(), report.unknown()), (7, 4, 0));
    for id in ["new", "put", "upsert", "replace", "update"] {
        assert_eq!(context.age(id).await, Some(2), "{id}");
    }
    assert_eq!(context.age("insert").await, Some(1));
    for id in ["absent", "absent too", "delete", "delete_existing", "absent as well"] {
        context.expect_absent(id).await;
    }
}

async fn a_batch_may_span_collections(context: Context) {
    let other = context.second_collection().await;
    let elsewhere = |age: i64| Operation::put(other.clone()).key("id", "a").doc(&aged(age));
    let operations = [context.put("a", &aged(1)), elsewhere(2), context.put("b", &aged(3))];
    let (jobs, _) = context.commit(operations).await;
    assert_applied(&jobs);
    assert_eq!((context.age("a").await, context.age("b").await), (Some(1), Some(3)));
    let key = Key::new().part("id", "a");
    let found = context.harness().read(&**context.store(), &other, &key).await.unwrap();
    assert_same("a", &found.expect("it is there"), &aged(2));
}

#[derive(Serialize)]
struct Enrolment<'a> {
    name: &'a str,
    active: bool,
}

/// What a service would have: it knows nothing of the store.
fn enrol(batch: &mut dyn Batch, collection: &str, names: &[&str]) -> Result<Vec<Job>> {
    let put = |name: &&str| {
        let document = Enrolment { name, active: true };
        Operation::put(collection.to_owned()).key("id", *name).doc(&document)
    };
    Ok(batch.queue_all(names.iter().map(put))?)
}

async fn the_same_function_runs_against_every_store(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let jobs = enrol(&mut *batch, context.collection(), &["Abby", "John"]).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied(&jobs);
    for name in ["Abby", "John"] {
        context.expect(name, &json!({"name": name, "active": true})).await;
    }
}
