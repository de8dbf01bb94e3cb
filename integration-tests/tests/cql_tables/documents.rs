//! Documents: what each verb leaves in a row, what null and absent mean, and what is read back.

use std::{collections::BTreeMap, sync::Arc};

use batch_core::{BatchExt as _, BatchOptions, ErrorKind, Store as _, StoreExt as _};
use integration_tests::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{World, Wrongs, end, merged, operation, refusal, same, says, tests};

tests!["documents":
    each_verb_has_its_meaning,
    null_and_absent_read_the_same,
    a_row_lives_on_when_its_last_attribute_is_null,
    a_condition_that_does_not_hold_says_what_stood_in_the_way,
    counters_take_no_documents,
    what_is_read_can_be_decoded_and_written_again,
    a_row_that_is_not_there_reads_as_none,
    reads_are_refused_in_a_batch,
];

async fn each_verb_has_its_meaning(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&["CREATE TABLE k.verbs (p text, c int, name text, age int, tags list<text>, \
            marks map<text, int>, nick frozen<set<text>>, PRIMARY KEY (p, c))"])
        .await?;
    let old =
        json!({"name": "old", "age": 1, "tags": ["a", "b"], "marks": {"m": 1}, "nick": ["n"]});
    let given = json!({"name": "new", "tags": ["c"], "marks": {"k": 2}, "age": null});
    let whole = json!({"name": "new", "tags": ["c"], "marks": {"k": 2}});
    let mixed = json!({"name": "new", "tags": ["c"], "marks": {"k": 2}, "nick": ["n"]});
    let mut wrongs = Wrongs::default();
    for (number, (op, is_there, ended, left)) in [
        ("insert", false, "applied", Some(&whole)),
        ("insert", true, "AlreadyExists", Some(&old)),
        ("put", false, "applied", Some(&whole)),
        ("put", true, "applied", Some(&whole)),
        ("upsert", false, "applied", Some(&whole)),
        ("upsert", true, "applied", Some(&mixed)),
        ("replace", false, "NotFound", None),
        ("replace", true, "applied", Some(&whole)),
        ("update", false, "NotFound", None),
        ("update", true, "applied", Some(&mixed)),
        ("delete", false, "applied", None),
        ("delete", true, "applied", None),
        ("delete_existing", false, "NotFound", None),
        ("delete_existing", true, "applied", None),
    ]
    .into_iter()
    .enumerate()
    {
        let key = json!({"p": "p", "c": number});
        let left = left.map(|document| merged(document, &key));
        if is_there {
            let insert = json!({"op": "put", "collection": "verbs", "key": key, "doc": old});
            same("start", &"applied".to_owned(), &place.end(insert).await?)?;
        }
        let mut form = json!({"op": op, "collection": "verbs", "key": key});
        if !op.starts_with("delete") {
            form["doc"] = given.clone();
        }
        let part = format!("{op} where it {}", if is_there { "is" } else { "is not" });
        wrongs.note(&part, same("end", &ended.to_owned(), &place.end(form).await?));
        let found = place.rows(&format!("* FROM k.verbs WHERE p = 'p' AND c = {number}")).await?;
        wrongs.note(&part, same("rows", &Vec::from_iter(left.clone()), &found));
        wrongs.note(&part, same("read", &left, &place.get("verbs", &key).await?));
    }
    wrongs.into_result()
}

/// Documents that mean the same, of a table of a text, a list, a frozen set and a user-defined type.
const SAME: &[&str] =
    &[r#"{}"#, r#"{"a": null}"#, r#"{"a": null, "l": null, "f": null, "u": null}"#, r#"{"l": []}"#];

async fn null_and_absent_read_the_same(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TYPE k.nullable (x int, y text)",
            "CREATE TABLE k.nulls (id int PRIMARY KEY, a text, l list<int>, f frozen<set<int>>, u nullable)",
        ])
        .await?;
    let mut wrongs = Wrongs::default();
    let mut id = 0;
    for op in ["put", "insert", "upsert", "replace", "update"] {
        for text in SAME {
            id += 1;
            let row = json!({"id": id});
            if op == "replace" || op == "update" {
                place.run(&format!("INSERT INTO k.nulls (id) VALUES ({id})")).await?;
            }
            let doc: Value = serde_json::from_str(text)?;
            let form = json!({"op": op, "collection": "nulls", "key": row, "doc": doc});
            let part = format!("{op} {text}");
            wrongs.note(&part, same("end", &"applied".to_owned(), &place.end(form).await?));
            let found = place.rows(&format!("* FROM k.nulls WHERE id = {id}")).await?;
            wrongs.note(&part, same("rows", &vec![row.clone()], &found));
            let read = place.get("nulls", &row).await?;
            wrongs.note(&part, same("read", &Some(row), &read));
        }
    }
    wrongs.into_result()
}

async fn a_row_lives_on_when_its_last_attribute_is_null(world: Arc<World>) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.last (id text PRIMARY KEY, a text, b text)"]).await?;
    let form =
        |op: &str, doc: Value| json!({"op": op, "collection": "last", "key": "r", "doc": doc});
    let mut wrongs = Wrongs::default();
    for made in ["insert", "put", "upsert"] {
        for emptied in ["put", "upsert", "replace", "update"] {
            for together in [false, true] {
                place.run("TRUNCATE k.last").await?;
                let make = form(made, json!({"a": "x"}));
                let empty = form(emptied, json!({"a": null}));
                let ends = if together {
                    place.best_effort([make, empty]).await?.ends()
                } else {
                    let mut ends = place.best_effort([make]).await?.ends();
                    ends.extend(place.best_effort([empty]).await?.ends());
                    ends
                };
                let part = format!("{made}, {emptied}, together: {together}");
                wrongs.note(&part, same("ends", &vec!["applied".to_owned(); 2], &ends));
                let rows = place.rows("* FROM k.last").await?;
                wrongs.note(&part, same("rows", &vec![json!({"id": "r"})], &rows));
            }
        }
    }
    wrongs.into_result()
}

async fn a_condition_that_does_not_hold_says_what_stood_in_the_way(
    world: Arc<World>,
) -> Result<()> {
    let place = world
        .place(&["CREATE TABLE k.stood (p text, c int, s text static, v text, l list<int>, PRIMARY KEY (p, c))"])
        .await?;
    place.run("INSERT INTO k.stood (p, c, s, v, l) VALUES ('p', 1, 's', 'old', [1, 2])").await?;
    let of = |op: &str, c: i32| json!({"op": op, "collection": "stood", "key": {"p": "p", "c": c}, "doc": {"v": "new"}});
    let statement = "UPDATE stood SET v = 'new' WHERE p = ? AND c = ? IF v = ?";
    let done = place
        .best_effort([
            of("insert", 1),
            of("update", 2),
            json!({"op": "cql", "statement": statement, "values": ["p", 1, "other"]}),
        ])
        .await?;
    let kinds = [ErrorKind::AlreadyExists, ErrorKind::NotFound, ErrorKind::ConditionFailed];
    let rows = [
        Some(json!({"p": "p", "c": 1, "s": "s", "v": "old", "l": [1, 2]})),
        None,
        // What was tested.
        Some(json!({"v": "old"})),
    ];
    for ((job, kind), row) in done.jobs.iter().zip(kinds).zip(rows) {
        let error = refusal(job)?;
        says(&error, kind, &["operation"])?;
        let details: BTreeMap<_, _> = error.details().collect();
        same("row", &row.as_ref(), &details.get("row").copied())?;
    }
    Ok(())
}

async fn counters_take_no_documents(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TABLE k.hits (id text PRIMARY KEY, n counter)",
            "CREATE TABLE k.beside (id text PRIMARY KEY, n int)",
        ])
        .await?;
    place.run("UPDATE k.hits SET n = n + 5 WHERE id = 'a'").await?;
    let beside = json!({"op": "put", "collection": "beside", "key": "a", "doc": {"n": 1}});
    let mut wrongs = Wrongs::default();
    for op in ["insert", "put", "upsert", "replace", "update", "delete", "delete_existing"] {
        let mut form = json!({"op": op, "collection": "hits", "key": "a"});
        if !op.starts_with("delete") {
            form["doc"] = json!({"n": 1});
        }
        let done = place.best_effort([beside.clone(), form, beside.clone()]).await?;
        let ends = done.ends();
        wrongs.note(op, same("neighbours", &["applied", "applied"], &[&*ends[0], &*ends[2]]));
        let result = match refusal(&done.jobs[1]) {
            Ok(error) => {
                says(&error, ErrorKind::InvalidOperation, &["hits", "counts", "operation of CQL"])
            }
            Err(error) => Err(error),
        };
        wrongs.note(op, result);
    }
    let rows = place.rows("* FROM k.hits").await?;
    wrongs.note("rows", same("hits", &vec![json!({"id": "a", "n": 5})], &rows));
    let read = place.get("hits", &json!("a")).await?;
    wrongs.note("read", same("hits", &Some(json!({"id": "a", "n": 5})), &read));
    wrongs.into_result()
}

#[derive(Debug, Deserialize, PartialEq)]
struct Everything {
    id: i64,
    small: i8,
    big: i64,
    huge: Value,
    exact: Value,
    real: f64,
    yes: bool,
    text: String,
    bytes: String,
    uid: String,
    day: String,
    at: Value,
    list: Vec<i32>,
    set: Vec<String>,
    map: BTreeMap<String, i32>,
    nested: BTreeMap<String, Vec<Vec<i32>>>,
    pair: (Option<i32>, String),
    place: Address,
    vector: Vec<f32>,
    lasts: String,
    nothing: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Address {
    street: String,
    #[serde(rename = "No")]
    number: Option<i32>,
}

const EVERYTHING: &str = "(id bigint PRIMARY KEY, small tinyint, big bigint, huge varint, exact decimal, \
    real double, yes boolean, text text, bytes blob, uid uuid, day date, at timestamp, list list<int>, \
    \"set\" set<text>, map map<int, int>, nested map<text, frozen<list<frozen<list<int>>>>>, \
    pair tuple<int, text>, place address, vector vector<float, 3>, lasts duration, nothing text)";

fn everything() -> Value {
    json!({
        "small": -128, "big": 9_007_199_254_740_993_i64, "huge": "123456789012345678901234567890",
        "exact": "1.10", "real": 1.5, "yes": true, "text": "\u{e9}\u{0}\u{1f980}", "bytes": "0x00ff",
        "uid": "123e4567-e89b-42d3-a456-426614174000", "day": "2023-11-14",
        "at": "2023-11-14T22:13:20.123Z", "list": [3, 1, 3], "set": ["b", "a"],
        "map": {"2": 20, "1": 10}, "nested": {"a": [[1, 2], []], "b": []}, "pair": [null, "x"],
        "place": {"street": "A", "No": 7}, "vector": [1.0, -0.5, 0.25], "lasts": "1mo2d3h"
    })
}

async fn what_is_read_can_be_decoded_and_written_again(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TYPE k.address (street text, \"No\" int)",
            &format!("CREATE TABLE k.everything {EVERYTHING}"),
        ])
        .await?;
    let put =
        json!({"op": "put", "collection": "everything", "key": {"id": 1}, "doc": everything()});
    same("put", &"applied".to_owned(), &place.end(put).await?)?;
    let stored = place.rows("* FROM k.everything").await?;

    let outcome = place.store.get("everything", [("id", 1)]).await?.ok_or("it is not there")?;
    let read: Everything = outcome.decode()?;
    // Digits that a number would lose are a string.
    same("huge", &json!("123456789012345678901234567890"), &read.huge)?;
    same("exact", &json!("1.10"), &read.exact)?;
    let expected = Everything {
        id: 1,
        small: -128,
        big: 9_007_199_254_740_993,
        huge: read.huge.clone(),
        exact: read.exact.clone(),
        real: 1.5,
        yes: true,
        text: "\u{e9}\u{0}\u{1f980}".to_owned(),
        bytes: "0x00ff".to_owned(),
        uid: "123e4567-e89b-42d3-a456-426614174000".to_owned(),
        day: "2023-11-14".to_owned(),
        at: read.at.clone(),
        list: vec![3, 1, 3],
        set: vec!["a".to_owned(), "b".to_owned()],
        map: [("1".to_owned(), 10), ("2".to_owned(), 20)].into(),
        nested: [("a".to_owned(), vec![vec![1, 2], vec![]]), ("b".to_owned(), vec![])].into(),
        pair: (None, "x".to_owned()),
        place: Address { street: "A".to_owned(), number: Some(7) },
        vector: vec![1.0, -0.5, 0.25],
        lasts: "1mo2d3h".to_owned(),
        nothing: None,
    };
    same("decoded", &expected, &read)?;

    // What is read is a document: written again under its key and another, it is stored the same.
    for id in [1, 2] {
        let mut again: Value = outcome.decode()?;
        again["id"] = json!(id);
        let put = json!({"op": "put", "collection": "everything", "key": {"id": id}, "doc": again});
        same("again", &"applied".to_owned(), &place.end(put).await?)?;
        let mut row = stored[0].clone();
        row["id"] = json!(id);
        let found = place.rows(&format!("* FROM k.everything WHERE id = {id}")).await?;
        same("stored again", &vec![row], &found)?;
    }
    let wrong = place.store.get("everything", [("id", 1)]).await?.ok_or("it is not there")?;
    let Err(error) = wrong.decode::<BTreeMap<String, i32>>() else {
        return Err("a text is read as a number".into());
    };
    says(&error, ErrorKind::Decode, &[])
}

async fn a_row_that_is_not_there_reads_as_none(world: Arc<World>) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.absent (id text PRIMARY KEY, v text)"]).await?;
    same("read", &None, &place.get("absent", &json!("nobody")).await?)?;
    for (collection, words) in
        [("nosuch", [&*place.keyspace, "nosuch"]), ("nokey.absent", ["nokey", "absent"])]
    {
        match place.store.get(collection, "a").await {
            Err(error) => says(&error, ErrorKind::NotFound, &words)?,
            Ok(read) => return Err(format!("{collection} reads {read:?}").into()),
        }
    }
    Ok(())
}

async fn reads_are_refused_in_a_batch(world: Arc<World>) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.reads (id text PRIMARY KEY, v text)"]).await?;
    let mut batch = place.store.batch(BatchOptions::new())?;
    for form in [
        json!({"op": "get", "collection": "reads", "key": "a"}),
        json!({"op": "cql", "statement": "SELECT * FROM reads", "values": []}),
        json!({"op": "put", "collection": "reads", "key": "a", "doc": {}, "returning": "new"}),
        json!({"op": "update", "collection": "reads", "key": "a", "doc": {}, "if_revision": "1"}),
        json!({"op": "aql", "query": "RETURN 1", "bind": {}}),
    ] {
        let Err(rejected) = batch.queue(operation(form.clone())?) else {
            return Err(format!("{form} is queued").into());
        };
        says(&rejected.error, ErrorKind::Unsupported, &[])?;
    }
    let put = json!({"op": "put", "collection": "reads", "key": "a", "doc": {"v": "v"}});
    let job = batch.queue(operation(put)?)?;
    let report = batch.commit().await?;
    same("put", &(1, "applied".to_owned()), &(report.applied(), end(&job)))
}
