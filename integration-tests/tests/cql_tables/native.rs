//! Statements of one's own: how they travel with and without a whole key, in order, with values as
//! JSON and of one's own types, beside documents.

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
    statements_keep_the_order_on_their_key,
    values_are_by_place_or_by_name,
    a_statement_may_have_its_own_time,
    counters_count_once,
    whatever_counts_on_a_row_shares_a_batch,
    deletions_of_counters_are_in_order_with_counting,
    what_has_no_whole_key_is_in_order_with_conditions_under_ordered,
    statements_on_a_key_keep_their_order_beside_others,
    a_statement_comes_after_what_its_row_had_whatever_it_travels_with,
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

async fn place(world: &World, name: &str) -> Result<Place> {
    world
        .place(&[
            &format!("CREATE TABLE k.{name} (p text, c int, v text, n int, l list<int>, s text static, PRIMARY KEY (p, c))"),
            &format!("CREATE TABLE k.{name}_n (p text, c int, n counter, PRIMARY KEY (p, c))"),
        ])
        .await
}

fn cql(statement: &str, values: Value) -> Value {
    json!({"op": "cql", "statement": statement, "values": values})
}

fn put(table: &str, p: &str, c: i32, doc: Value) -> Value {
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

async fn statements_keep_the_order_on_their_key(world: Arc<World>) -> Result<()> {
    let place = place(&world, "in_order").await?;
    let insert =
        |v: &str| cql("INSERT INTO in_order (p, c, v) VALUES (?, ?, ?)", json!(["p", 1, v]));
    let update =
        |v: &str| cql("UPDATE in_order SET v = ? WHERE p = ? AND c = ?", json!([v, "p", 1]));
    let delete = || cql("DELETE FROM in_order WHERE p = ? AND c = ?", json!(["p", 1]));
    let unless = |v: &str| {
        cql("INSERT INTO in_order (p, c, v) VALUES (?, ?, ?) IF NOT EXISTS", json!(["p", 1, v]))
    };
    let document = |v: &str| put("in_order", "p", 1, json!({"v": v}));
    let gone =
        || json!({"op": "delete_existing", "collection": "in_order", "key": {"p": "p", "c": 1}});
    let mut wrongs = Wrongs::default();
    for (name, operations, ends, left) in [
        (
            "values",
            vec![insert("z"), update("y"), insert("x"), update("a")],
            "applied applied applied applied",
            Some("a"),
        ),
        ("deleted", vec![insert("z"), delete()], "applied applied", None),
        (
            "made again",
            vec![insert("z"), delete(), insert("a")],
            "applied applied applied",
            Some("a"),
        ),
        ("a document after", vec![insert("z"), document("a")], "applied applied", Some("a")),
        ("a document before", vec![document("z"), update("a")], "applied applied", Some("a")),
        (
            "a document between",
            vec![update("z"), document("m"), insert("a")],
            "applied applied applied",
            Some("a"),
        ),
        ("a condition after", vec![insert("z"), unless("a")], "applied ConditionFailed", Some("z")),
        ("a condition before", vec![unless("z"), update("a")], "applied applied", Some("a")),
        (
            "conditions",
            vec![unless("z"), delete(), unless("a")],
            "applied applied applied",
            Some("a"),
        ),
        (
            "a document's condition",
            vec![insert("z"), gone(), unless("a"), update("b")],
            "applied applied applied applied",
            Some("b"),
        ),
    ] {
        for guarantee in
            [Guarantee::BestEffort, Guarantee::Ordered { on_error: batch_core::OnError::Continue }]
        {
            place.run("TRUNCATE k.in_order").await?;
            let options = BatchOptions::new().guarantee(guarantee);
            let done = place.commit(options, operations.clone()).await?;
            let part = format!("{name} ({guarantee})");
            wrongs.note(&part, same("ends", ends, &*done.ends().join(" ")));
            let rows = place.rows("v FROM k.in_order").await?;
            let expected = Vec::from_iter(left.map(|v| json!({"v": v})));
            wrongs.note(&part, same("rows", &expected, &rows));
        }
    }
    wrongs.into_result()
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

async fn counters_count_once(world: Arc<World>) -> Result<()> {
    let place = place(&world, "count_once").await?;
    let text = "UPDATE count_once_n SET n = n + ? WHERE p = ? AND c = ?";
    let all = (0..500).map(|number| cql(text, json!([number % 3, "p", number % 7])));
    let others = (0..50).map(|number| put("count_once", "p", number, json!({"n": number})));
    let done = place.best_effort(all.chain(others)).await?;
    same("applied", &550, &done.report.applied())?;
    let used: Vec<&str> = done.mechanisms().into_iter().map(|(name, _)| name).collect();
    same("mechanisms", &vec!["counter batch", "single-partition batch"], &used)?;
    same("warnings", &[] as &[String], done.report.warnings())?;
    let rows = place.rows("c, n FROM k.count_once_n").await?;
    let sum =
        |c: i64| (0..500).filter(|number| number % 7 == c).map(|number| number % 3).sum::<i64>();
    let expected: Vec<Value> = (0..7).map(|c| json!({"c": c, "n": sum(c)})).collect();
    same("counters", &expected, &rows)
}

async fn a_statement_comes_after_what_its_row_had_whatever_it_travels_with(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "travels").await?;
    let mut lost = [0; 2];
    for round in 0..60 {
        let update = cql("UPDATE travels SET n = ? WHERE p = ? AND c = ?", json!([2, "p", round]));
        let other = |c: i32| put("travels", "p", c, json!({"n": 0}));
        let mut own = other(1000);
        own["timestamp"] = json!(5);
        // One has a timestamp of its own, and one the second on its key.
        let beside = [
            (BatchOptions::new(), vec![own, update.clone()]),
            (BatchOptions::new().guarantee(WHOLE), vec![other(1000), other(1000), update]),
        ];
        for ((options, operations), lost) in beside.into_iter().zip(&mut lost) {
            same(
                "before",
                "applied",
                &*place.end(put("travels", "p", round, json!({"n": 1}))).await?,
            )?;
            let done = place.commit(options, operations).await?;
            same(
                "ends",
                &done.jobs.len(),
                &done.ends().iter().filter(|end| *end == "applied").count(),
            )?;
            let rows =
                place.rows(&format!("n FROM k.travels WHERE p = 'p' AND c = {round}")).await?;
            *lost += usize::from(rows != [json!({"n": 2})]);
        }
    }
    same("lost", &[0; 2], &lost)
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

async fn deletions_of_counters_are_in_order_with_counting(world: Arc<World>) -> Result<()> {
    let place = place(&world, "uncount").await?;
    let count = |n: i64, p: &str| {
        cql("UPDATE uncount_n SET n = n + ? WHERE p = ? AND c = 1", json!([n, p]))
    };
    let deletes = [
        ("row", "DELETE FROM uncount_n WHERE p = ? AND c = 1"),
        ("partition", "DELETE FROM uncount_n WHERE p = ?"),
    ];
    let ordered = Guarantee::Ordered { on_error: batch_core::OnError::Continue };
    let mut wrongs = Wrongs::default();
    for (name, delete) in deletes {
        for guarantee in [Guarantee::BestEffort, ordered] {
            // Without a whole key there is no order but under `Ordered`.
            if name == "partition" && guarantee == Guarantee::BestEffort {
                continue;
            }
            let p = format!("{name} {guarantee}");
            let delete = || cql(delete, json!([p]));
            // What was counted on a row that was deleted is not counted from nothing again, on any server.
            let options = BatchOptions::new().guarantee(guarantee);
            let done = place.commit(options, vec![delete(), count(5, &p), count(2, &p)]).await?;
            wrongs.note(&p, same("ends", "applied applied applied", &*done.ends().join(" ")));
            let rows = place.rows(&format!("n FROM k.uncount_n WHERE p = '{p}'")).await?;
            wrongs.note(&p, same("counted", &vec![json!({"n": 7})], &rows));
            let options = BatchOptions::new().guarantee(guarantee);
            let done = place.commit(options, vec![count(1, &p), delete()]).await?;
            wrongs.note(&p, same("ends", "applied applied", &*done.ends().join(" ")));
            let rows = place.rows(&format!("n FROM k.uncount_n WHERE p = '{p}'")).await?;
            wrongs.note(&p, same("deleted", &vec![], &rows));
        }
    }
    wrongs.into_result()
}

/// Two operations, with `@P` for the partition in texts, and what is left of row 1.
async fn what_has_no_whole_key_is_in_order_with_conditions_under_ordered(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "no_key").await?;
    let on = |op: &str, p: &str, doc: Value| {
        let mut form = json!({"op": op, "collection": "no_key", "key": {"p": p, "c": 1}});
        if !op.starts_with("delete") {
            form["doc"] = doc;
        }
        form
    };
    let text = |text: &str, p: &str| cql(&text.replace("@P", &format!("'{p}'")), json!([]));
    type Pair<'f> =
        (&'static str, Box<dyn Fn(&str) -> [Value; 2] + Send + Sync + 'f>, Option<Value>);
    let pairs: Vec<Pair<'_>> = vec![
        (
            "put, condition as text",
            Box::new(|p| {
                [
                    on("put", p, json!({"n": 0})),
                    text("UPDATE no_key SET n = 1 WHERE p = @P AND c = 1 IF n = 0", p),
                ]
            }),
            Some(json!({"n": 1})),
        ),
        (
            "put, deletion as text",
            Box::new(|p| {
                [
                    on("put", p, json!({"n": 0})),
                    text("DELETE FROM no_key WHERE p = @P AND c = 1 IF EXISTS", p),
                ]
            }),
            None,
        ),
        (
            "deletion of the partition, insert",
            Box::new(|p| {
                [text("DELETE FROM no_key WHERE p = @P", p), on("insert", p, json!({"n": 1}))]
            }),
            Some(json!({"n": 1})),
        ),
        (
            "several rows, update",
            Box::new(|p| {
                [
                    text("UPDATE no_key SET n = 0 WHERE p = @P AND c IN (1, 2)", p),
                    on("update", p, json!({"n": 1})),
                ]
            }),
            Some(json!({"n": 1})),
        ),
        (
            "text, delete_existing",
            Box::new(|p| {
                [
                    text("INSERT INTO no_key (p, c, n) VALUES (@P, 1, 0)", p),
                    on("delete_existing", p, json!({})),
                ]
            }),
            None,
        ),
        (
            "condition as text, put",
            Box::new(|p| {
                [
                    text("INSERT INTO no_key (p, c, n) VALUES (@P, 1, 0) IF NOT EXISTS", p),
                    on("put", p, json!({"n": 1})),
                ]
            }),
            Some(json!({"n": 1})),
        ),
        (
            "what rows share",
            Box::new(|p| {
                [
                    on("put", p, json!({"n": 1, "s": "0"})),
                    text("UPDATE no_key SET s = '1' WHERE p = @P IF s = '0'", p),
                ]
            }),
            Some(json!({"n": 1, "s": "1"})),
        ),
    ];
    let mut wrongs = Wrongs::default();
    for (name, pair, left) in &pairs {
        for one_batch in [true, false] {
            let mut wrong = 0;
            for round in 0..25 {
                let p = format!("{name} {one_batch} {round}");
                let options = || {
                    let ordered = Guarantee::Ordered { on_error: batch_core::OnError::Continue };
                    BatchOptions::new().guarantee(ordered)
                };
                let [first, second] = pair(&p);
                let ends = if one_batch {
                    place.commit(options(), [first, second]).await?.ends()
                } else {
                    let mut ends = place.commit(options(), [first]).await?.ends();
                    ends.extend(place.commit(options(), [second]).await?.ends());
                    ends
                };
                let rows =
                    place.rows(&format!("n, s FROM k.no_key WHERE p = '{p}' AND c = 1")).await?;
                let expected = Vec::from_iter(left.clone());
                wrong += usize::from(ends != ["applied", "applied"] || rows != expected);
            }
            wrongs.note(format!("{name}, in one batch: {one_batch}"), same("wrong", &0, &wrong));
        }
    }
    wrongs.into_result()
}

async fn statements_on_a_key_keep_their_order_beside_others(world: Arc<World>) -> Result<()> {
    let place = place(&world, "beside_others").await?;
    let mut wrong = 0;
    for round in 0..60 {
        let p = format!("p{round}");
        let ordered = Guarantee::Ordered { on_error: batch_core::OnError::Continue };
        let operations = [
            cql("INSERT INTO beside_others (p, c, n) VALUES (?, ?, ?)", json!([p, 2, 991])),
            cql("UPDATE beside_others SET n = ? WHERE p = ? AND c = ?", json!([990, p, 2])),
            cql("INSERT INTO beside_others (p, c, n) VALUES (?, ?, ?)", json!([p, 0, 989])),
        ];
        let done = place.commit(BatchOptions::new().guarantee(ordered), operations).await?;
        same("ends", "applied applied applied", &*done.ends().join(" "))?;
        let rows = place.rows(&format!("n FROM k.beside_others WHERE p = '{p}'")).await?;
        wrong += usize::from(rows != [json!({"n": 989}), json!({"n": 990})]);
    }
    same("wrong", &0, &wrong)
}

async fn whatever_counts_on_a_row_shares_a_batch(world: Arc<World>) -> Result<()> {
    let place = place(&world, "count_both").await?;
    let count = |step: &str, values: Value| {
        cql(&format!("UPDATE count_both_n SET n = n {step} WHERE p = ? AND c = ?"), values)
    };
    // Documents that meet on their key are made one write of, and counters are not.
    for others in [vec![], vec![put("count_both", "p", 1, json!({"n": 1})); 2]] {
        place.run("TRUNCATE k.count_both_n").await?;
        let counts = [
            count("+ 1", json!(["p", 1])),
            count("+ ?", json!([10, "p", 1])),
            count("- 3", json!(["p", 1])),
            count("+ ?", json!([100, "p", 1])),
        ];
        let done = place.best_effort(counts.into_iter().chain(others)).await?;
        same("ends", &vec!["applied".to_owned(); done.jobs.len()], &done.ends())?;
        same(
            "counter batches",
            &1,
            &done.mechanisms().iter().filter(|used| **used == ("counter batch", 1)).count(),
        )?;
        same("counted", &vec![json!({"n": 108})], &place.rows("n FROM k.count_both_n").await?)?;
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
