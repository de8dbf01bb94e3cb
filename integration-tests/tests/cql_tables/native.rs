//! Statements of one's own: how they travel with and without a whole key, with values as JSON and of
//! one's own types, beside documents.

use std::sync::Arc;

use batch_core::{Batch, BatchExt as _, BatchOptions, ErrorKind, Guarantee, Operation, Store as _};
use batch_cql::CqlStatement;
use integration_tests::Result;
use scylla::value::Counter;
use serde_json::{Value, json};

use crate::support::{Place, WHOLE, World, Wrongs, commit, end, refusal, same, says, tests};

tests!["native":
    each_statement_goes_its_way,
    statements_of_one_partition_are_one_batch_with_documents,
    values_are_by_place_or_by_name,
    a_statement_may_have_its_own_time,
    batches_of_more_texts_than_are_kept_run_side_by_side,
    a_condition_that_a_statement_cannot_have_is_no_lack_of_the_server,
    values_of_ones_own_types_are_beside_documents,
    wrong_values_of_ones_own_types_are_refused_when_they_are_queued,
    deletions_of_several_rows_are_statements,
    a_statement_and_a_document_on_one_key_are_not_one_whole,
    a_statements_condition_rolls_its_batch_back,
    the_servers_own_json_is_a_statement,
    a_statement_whose_table_or_column_is_gone_says_so_at_once,
];

pub(crate) async fn place(world: &World, name: &str) -> Result<Place> {
    world
        .place(&[
            &format!("CREATE TABLE k.{name} (p text, c int, v text, n int, l list<int>, s text static, PRIMARY KEY (p, c))"),
            &format!("CREATE TABLE k.{name}_n (p text, c int, n counter, PRIMARY KEY (p, c))"),
        ])
        .await
}

pub(crate) fn cql(statement: &str, values: Value) -> Value {
    json!({"op": "cql", "statement": statement, "values": values})
}

pub(crate) fn put(table: &str, p: &str, c: i32, doc: Value) -> Value {
    json!({"op": "put", "collection": table, "key": {"p": p, "c": c}, "doc": doc})
}

/// A statement, its values, how it travels by itself, and three of it with other values: of one
/// partition and on other rows.
const WAYS: &[(&str, &str, &str, &[(&str, u64)])] = &[
    // The whole key.
    (
        "INSERT INTO ways (p, c, v) VALUES (?, ?, 'v')",
        r#"["p", 1]"#,
        "single statement",
        &[("single-partition batch", 1)],
    ),
    (
        "UPDATE ways SET v = 'v' WHERE p = ? AND c = ?",
        r#"["p", 1]"#,
        "single statement",
        &[("single-partition batch", 1)],
    ),
    (
        "DELETE FROM ways WHERE p = ? AND c = ?",
        r#"["p", 1]"#,
        "single statement",
        &[("single-partition batch", 1)],
    ),
    // The partition, and not the row.
    (
        "UPDATE ways SET v = 'v' WHERE p = ? AND c IN (1, ?)",
        r#"["p", 1]"#,
        "single statement",
        &[("single-partition batch", 1)],
    ),
    (
        "DELETE FROM ways WHERE p = ? AND c > ?",
        r#"["p", 1]"#,
        "single statement",
        &[("single-partition batch", 1)],
    ),
    (
        "INSERT INTO ways (p, s) VALUES (?, ?)",
        r#"["p", "1"]"#,
        "single statement",
        &[("single-partition batch", 1)],
    ),
    // Neither.
    (
        "UPDATE ways SET n = ? WHERE p = 'p' AND c = 1",
        "[1]",
        "single statement",
        &[("single statement", 3)],
    ),
    (
        "DELETE FROM ways WHERE p IN ('a', 'b') AND c = ?",
        "[1]",
        "single statement",
        &[("single statement", 3)],
    ),
    // Conditions.
    (
        "INSERT INTO ways (p, c) VALUES (?, ?) IF NOT EXISTS",
        r#"["p", 1]"#,
        "conditional statement",
        &[("conditional statement", 3)],
    ),
    (
        "UPDATE ways SET v = 'v' WHERE p = 'p' AND c = ? IF v = null",
        "[1]",
        "conditional statement",
        &[("conditional statement", 3)],
    ),
    // Counters.
    (
        "UPDATE ways_n SET n = n + 1 WHERE p = ? AND c = ?",
        r#"["p", 1]"#,
        "counter batch",
        &[("counter batch", 1)],
    ),
    (
        "UPDATE ways_n SET n = n - 1 WHERE p = 'p' AND c = ?",
        "[1]",
        "counter batch",
        &[("counter batch", 3)],
    ),
    (
        "DELETE FROM ways_n WHERE p = ? AND c = ?",
        r#"["p", 1]"#,
        "counter batch",
        &[("counter batch", 1)],
    ),
];

async fn each_statement_goes_its_way(world: Arc<World>) -> Result<()> {
    let place = place(&world, "ways").await?;
    let mut wrongs = Wrongs::default();
    for (statement, values, single, three) in WAYS {
        let values: Value = serde_json::from_str(values)?;
        let with_last = |last: i64| {
            let mut values = values.clone();
            if let Some(value) = values.as_array_mut().and_then(|values| values.last_mut()) {
                *value = if value.is_string() { json!(last.to_string()) } else { json!(last) };
            }
            values
        };
        place.run("TRUNCATE k.ways").await?;
        let done = place.best_effort([cql(statement, with_last(1))]).await?;
        wrongs.note(statement, same("end", &vec!["applied".to_owned()], &done.ends()));
        wrongs.note(statement, same("one", &vec![(*single, 1)], &done.mechanisms()));
        place.run("TRUNCATE k.ways").await?;
        let done = place.best_effort((2..5).map(|last| cql(statement, with_last(last)))).await?;
        wrongs.note(statement, same("ends", &vec!["applied".to_owned(); 3], &done.ends()));
        wrongs.note(statement, same("three", &three.to_vec(), &done.mechanisms()));
    }
    wrongs.into_result()
}

async fn statements_of_one_partition_are_one_batch_with_documents(world: Arc<World>) -> Result<()> {
    let place = place(&world, "beside_docs").await?;
    // Those that are folded and those that are not are two batches, unless all are to be one.
    for (guarantee, batches) in [(Guarantee::BestEffort, 2), (WHOLE, 1)] {
        place.run("TRUNCATE k.beside_docs").await?;
        let done = place
            .commit(
                BatchOptions::new().guarantee(guarantee),
                [
                    put("beside_docs", "p", 1, json!({"v": "put"})),
                    cql("INSERT INTO beside_docs (p, c, v) VALUES (?, ?, ?)", json!(["p", 2, "cql"])),
                    cql("UPDATE beside_docs SET n = 5 WHERE p = ? AND c = ?", json!(["p", 3])),
                    json!({"op": "upsert", "collection": "beside_docs", "key": {"p": "p", "c": 4}, "doc": {"v": "doc"}}),
                ],
            )
            .await?;
        same("ends", &vec!["applied".to_owned(); 4], &done.ends())?;
        same("mechanisms", &vec![("single-partition batch", batches)], &done.mechanisms())?;
        let rows = place.rows("c, v, n FROM k.beside_docs").await?;
        let expected = vec![
            json!({"c": 1, "v": "put"}),
            json!({"c": 2, "v": "cql"}),
            json!({"c": 3, "n": 5}),
            json!({"c": 4, "v": "doc"}),
        ];
        same("rows", &expected, &rows)?;
    }
    Ok(())
}

async fn values_are_by_place_or_by_name(world: Arc<World>) -> Result<()> {
    let place = place(&world, "by_name").await?;
    let done = place
        .best_effort([
            cql(
                "INSERT INTO by_name (p, c, v, l) VALUES (?, ?, ?, ?)",
                json!(["p", 1, "v", [1, 2]]),
            ),
            cql(
                "INSERT INTO by_name (p, c, v, l) VALUES (?, ?, ?, ?)",
                json!({"p": "p", "c": 2, "v": "v", "l": null}),
            ),
            cql(
                "INSERT INTO by_name (p, c, v) VALUES (:part, :row, :\"Va lue\")",
                json!({"Va lue": "v", "row": 3, "part": "p"}),
            ),
            cql(
                "UPDATE by_name SET v = :x, s = :x WHERE p = :p AND c = 4",
                json!({"x": "twice", "p": "p"}),
            ),
            cql("INSERT INTO by_name (p, c, v) VALUES ('p', 5, '?; -- :x')", json!([])),
            cql("insert into By_Name (P, C) values (?, ?);", json!(["p", 6])),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 6], &done.ends())?;
    let rows = place.rows("c, v, l FROM k.by_name").await?;
    let expected = vec![
        json!({"c": 1, "v": "v", "l": [1, 2]}),
        json!({"c": 2, "v": "v"}),
        json!({"c": 3, "v": "v"}),
        json!({"c": 4, "v": "twice"}),
        json!({"c": 5, "v": "?; -- :x"}),
        json!({"c": 6}),
    ];
    same("rows", &expected, &rows)
}

async fn a_statement_may_have_its_own_time(world: Arc<World>) -> Result<()> {
    let place = place(&world, "own_time").await?;
    let text = "UPDATE own_time USING TTL ? AND TIMESTAMP ? SET v = ? WHERE p = ? AND c = ?";
    let done = place
        .best_effort([
            cql(text, json!([3600, 200, "later", "p", 1])),
            cql(text, json!([3600, 100, "earlier", "p", 1])),
            cql(
                "INSERT INTO own_time (p, c, v) VALUES (?, ?, ?) USING TIMESTAMP 5",
                json!(["p", 2, "v"]),
            ),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 3], &done.ends())?;
    let rows = place.rows("c, v, writetime(v) AS t FROM k.own_time").await?;
    same(
        "rows",
        &vec![json!({"c": 1, "v": "later", "t": 200}), json!({"c": 2, "v": "v", "t": 5})],
        &rows,
    )?;
    let rows = place.rows("ttl(v) AS t FROM k.own_time WHERE p = 'p' AND c = 1").await?;
    same("ttl", &true, &rows[0]["t"].as_i64().is_some_and(|ttl| (3500..=3600).contains(&ttl)))
}

async fn batches_of_more_texts_than_are_kept_run_side_by_side(world: Arc<World>) -> Result<()> {
    let place = place(&world, "texts").await?;
    let batch = |from: i32| -> Result<Box<dyn Batch>> {
        let mut batch = place.store.batch(BatchOptions::new())?;
        for n in from..from + 700 {
            let text = format!("UPDATE texts SET n = {n} WHERE p = ? AND c = ?");
            batch.queue(crate::support::operation(cql(&text, json!(["p", n])))?)?;
        }
        Ok(batch)
    };
    let (mut one, mut other) = (batch(0)?, batch(1000)?);
    let (one, other) = tokio::join!(one.commit(), other.commit());
    same("applied", &[700; 2], &[one?.applied(), other?.applied()])
}

async fn a_condition_that_a_statement_cannot_have_is_no_lack_of_the_server(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "lacks").await?;
    for condition in [
        "DELETE FROM lacks WHERE p = ? AND c IN (1, 2) IF EXISTS",
        "UPDATE lacks SET v = 'v' WHERE p IN (?, 'q') AND c = 1 IF EXISTS",
        "DELETE FROM lacks WHERE p = ? AND c > 1 IF EXISTS",
    ] {
        same(condition, "InvalidOperation", &*place.end(cql(condition, json!(["p"]))).await?)?;
        same("conditions", &true, &place.store.capabilities().conditions)?;
    }
    Ok(())
}

async fn values_of_ones_own_types_are_beside_documents(world: Arc<World>) -> Result<()> {
    let place = place(&world, "typed").await?;
    let insert = place.store.prepare("INSERT INTO typed (p, c, v, l) VALUES (?, ?, ?, ?)").await?;
    let text = format!("UPDATE {}.typed_n SET n = n + ? WHERE p = ? AND c = ?", place.keyspace);
    let count = CqlStatement::new(place.store.session().prepare(text).await?)?;
    let unless =
        place.store.prepare("INSERT INTO typed (p, c, v) VALUES (?, ?, ?) IF NOT EXISTS").await?;
    let document = Operation::put("typed").key("p", "p").key("c", 2).doc(&json!({"v": "document"}));
    let done = commit(
        &place.store,
        BatchOptions::new(),
        [
            insert.bind(&("p", 1, "one", vec![1, 2])),
            document,
            insert.bind(&("p", 3, Some("three"), None::<Vec<i32>>)),
            count.bind(&(Counter(5), "p", 1)),
            unless.bind(&("p", 1, "taken")),
            unless.bind(&("p", 4, "free")),
            // On the key of the document: the later one wins.
            insert.bind(&("p", 2, "bound", vec![3])),
        ],
    )
    .await?;
    same(
        "ends",
        "applied applied applied applied ConditionFailed applied applied",
        &*done.ends().join(" "),
    )?;
    let rows = place.rows("c, v, l FROM k.typed").await?;
    let expected = vec![
        json!({"c": 1, "v": "one", "l": [1, 2]}),
        json!({"c": 2, "v": "bound", "l": [3]}),
        json!({"c": 3, "v": "three"}),
        json!({"c": 4, "v": "free"}),
    ];
    same("rows", &expected, &rows)?;
    same("counted", &vec![json!({"n": 5})], &place.rows("n FROM k.typed_n").await?)?;

    // As a whole, with a document of the same partition.
    let mut batch = place.store.cql_batch(BatchOptions::new().guarantee(WHOLE))?;
    let jobs = batch.queue_rows(&insert, (10..15).map(|c| ("p", c, "whole", vec![c])))?;
    batch.queue(Operation::delete("typed").key("p", "p").key("c", 1))?;
    let report = batch.commit().await?;
    same("applied", &6, &report.applied())?;
    same("jobs", &5, &jobs.len())?;
    same("rows", &8, &place.rows("c FROM k.typed").await?.len())
}

async fn wrong_values_of_ones_own_types_are_refused_when_they_are_queued(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "typed_wrong").await?;
    let insert = place.store.prepare("INSERT INTO typed_wrong (p, c, v) VALUES (?, ?, ?)").await?;
    let mut batch = place.store.cql_batch(BatchOptions::new())?;
    for (name, operation) in [
        ("a type", insert.bind(&("p", "one", "v"))),
        ("too few", insert.bind(&("p", 1))),
        ("too many", insert.bind(&("p", 1, "v", 1))),
    ] {
        let Err(rejected) = batch.queue(operation) else {
            return Err(format!("{name} is queued").into());
        };
        says(&rejected.error, ErrorKind::InvalidOperation, &["typed_wrong"])?;
    }
    // What only the server would refuse is refused before it is sent, and its neighbours are not.
    let null = batch.queue(insert.bind(&("p", None::<i32>, "v")))?;
    let good = batch.queue(insert.bind(&("p", 1, "v")))?;
    let empty = batch.queue(insert.bind(&("", 1, "v")))?;
    let long = "x".repeat(65_536);
    let long = batch.queue(insert.bind(&(&*long, 1, "v")))?;
    let report = batch.commit().await?;
    same(
        "ends",
        &["InvalidKey", "applied", "InvalidKey", "InvalidKey"],
        &[&*end(&null), &*end(&good), &*end(&empty), &*end(&long)],
    )?;
    for job in [null, empty, long] {
        says(&refusal(&job)?, ErrorKind::InvalidKey, &[])?;
    }
    same("attempts", &1, &report.attempts())
}

async fn deletions_of_several_rows_are_statements(world: Arc<World>) -> Result<()> {
    let place = place(&world, "ranges").await?;
    for c in 0..10 {
        place
            .run(&format!("INSERT INTO k.ranges (p, c, v, s) VALUES ('p', {c}, 'v', 's')"))
            .await?;
    }
    let done = place
        .commit(
            BatchOptions::new().guarantee(WHOLE),
            [
                cql("DELETE FROM ranges WHERE p = ? AND c >= ? AND c < ?", json!(["p", 2, 5])),
                cql("DELETE FROM ranges WHERE p = ? AND c IN ?", json!(["p", [7, 8]])),
                cql("DELETE v FROM ranges WHERE p = ? AND c = ?", json!(["p", 9])),
            ],
        )
        .await?;
    same("ends", &vec!["applied".to_owned(); 3], &done.ends())?;
    let rows = place.rows("c, v FROM k.ranges").await?;
    let row = |c: i32| json!({"c": c, "v": "v"});
    same("rows", &vec![row(0), row(1), row(5), row(6), json!({"c": 9})], &rows)?;
    let done = place.best_effort([cql("DELETE FROM ranges WHERE p = ?", json!(["p"]))]).await?;
    same("ends", &vec!["applied".to_owned()], &done.ends())?;
    same("rows", &vec![], &place.rows("* FROM k.ranges").await?)
}

async fn a_statement_and_a_document_on_one_key_are_not_one_whole(world: Arc<World>) -> Result<()> {
    let place = place(&world, "one_key").await?;
    let update =
        |v: &str| cql("UPDATE one_key SET v = ? WHERE p = ? AND c = ?", json!([v, "p", 1]));
    let document = |v: &str| put("one_key", "p", 1, json!({"v": v}));
    let mut wrongs = Wrongs::default();
    for (name, operations) in [
        ("after", vec![document("z"), update("a")]),
        ("before", vec![update("z"), document("a")]),
        ("statements", vec![update("z"), update("a")]),
        ("on two partitions", vec![update("z"), put("one_key", "q", 1, json!({})), document("a")]),
    ] {
        // Nothing orders them within one batch, so it is refused, and nothing of it is there.
        let whole = BatchOptions::new().guarantee(WHOLE);
        let result = match place.commit(whole, operations).await {
            Ok(done) => same("applied", &0, &done.report.applied()),
            Err(error) => match error.downcast_ref::<batch_core::Error>() {
                Some(error) => says(error, ErrorKind::Unsupported, &["one after another"]),
                None => Err(error),
            },
        };
        wrongs.note(name, result);
        wrongs.note(name, same("rows", &vec![], &place.rows("* FROM k.one_key").await?));
    }
    wrongs.into_result()
}

async fn a_statements_condition_rolls_its_batch_back(world: Arc<World>) -> Result<()> {
    let place = place(&world, "own_condition").await?;
    place.run("INSERT INTO k.own_condition (p, c, v) VALUES ('p', 1, 'old')").await?;
    let set = |c: i32, was: &str| {
        cql(
            "UPDATE own_condition SET v = 'new' WHERE p = ? AND c = ? IF v = ?",
            json!(["p", c, was]),
        )
    };
    let mut wrongs = Wrongs::default();
    for (name, operations, ends) in [
        (
            "false",
            vec![put("own_condition", "p", 2, json!({})), set(1, "other")],
            "RolledBack ConditionFailed",
        ),
        (
            "absent",
            vec![set(9, "old"), put("own_condition", "p", 2, json!({}))],
            "ConditionFailed RolledBack",
        ),
        ("true", vec![put("own_condition", "p", 2, json!({})), set(1, "old")], "applied applied"),
    ] {
        let done = place.commit(BatchOptions::new().guarantee(WHOLE), operations).await?;
        wrongs.note(name, same("ends", ends, &*done.ends().join(" ")));
        wrongs.note(name, same("mechanisms", &vec![("conditional batch", 1)], &done.mechanisms()));
        let expected = if name == "true" {
            vec![json!({"c": 1, "v": "new"}), json!({"c": 2})]
        } else {
            vec![json!({"c": 1, "v": "old"})]
        };
        wrongs.note(name, same("rows", &expected, &place.rows("c, v FROM k.own_condition").await?));
    }
    wrongs.into_result()
}

async fn the_servers_own_json_is_a_statement(world: Arc<World>) -> Result<()> {
    let place = place(&world, "own_json").await?;
    let text = "INSERT INTO own_json JSON ?";
    let done = place
        .best_effort([
            cql(text, json!([r#"{"p": "p", "c": 1, "v": "json"}"#])),
            cql(text, json!([r#"{"p": "p", "c": "one"}"#])),
            put("own_json", "p", 2, json!({"v": "document"})),
        ])
        .await?;
    same("ends", "applied InvalidOperation applied", &*done.ends().join(" "))?;
    let rows = place.rows("c, v FROM k.own_json").await?;
    same("rows", &vec![json!({"c": 1, "v": "json"}), json!({"c": 2, "v": "document"})], &rows)
}

/// The server refuses to prepare it, for good.
async fn a_statement_whose_table_or_column_is_gone_says_so_at_once(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "gone").await?;
    let texts = [
        "INSERT INTO gone (p, c, n) VALUES (?, ?, ?)",
        "UPDATE gone SET v = 'v', n = ? WHERE p = 'p' AND c = ?",
    ];
    let store = &place.store;
    let insert = store.prepare(texts[0]).await?;
    let update = store.prepare(texts[1]).await?;
    let operations =
        || [insert.bind(&("p", 1, 1)), update.bind(&(1, 2)), Operation::cql(texts[1], [1, 3])];
    let done = commit(store, BatchOptions::new(), operations()).await?;
    same("before", &vec!["applied".to_owned(); 3], &done.ends())?;
    for (change, left) in [("ALTER TABLE k.gone DROP v", 1), ("DROP TABLE k.gone", 0)] {
        place.run(change).await?;
        let mut batch = store.batch(BatchOptions::new())?;
        let jobs = batch.queue_all(operations())?;
        let report = batch.commit().await?;
        for job in &jobs[left..] {
            let error = refusal(job)?;
            assert!(
                matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidOperation),
                "{change}: {error}"
            );
        }
        assert!(report.attempts() < 8, "{change}: {report}");
        assert!(report.elapsed().as_secs() < 10, "{change}: {report}");
    }
    Ok(())
}
