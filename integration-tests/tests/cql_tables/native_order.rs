//! Statements of one's own in order: on their key, with documents and conditions, and with what counts.

use std::sync::Arc;

use batch_core::{BatchOptions, Guarantee};
use integration_tests::Result;
use serde_json::{Value, json};

use crate::{
    native::{cql, place, put},
    support::{WHOLE, World, Wrongs, same, tests},
};

tests!["native_order":
    statements_keep_the_order_on_their_key,
    counters_count_once,
    whatever_counts_on_a_row_shares_a_batch,
    deletions_of_counters_are_in_order_with_counting,
    what_has_no_whole_key_is_in_order_with_conditions_under_ordered,
    statements_on_a_key_keep_their_order_beside_others,
    a_statement_comes_after_what_its_row_had_whatever_it_travels_with,
];

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

async fn counters_count_once(world: Arc<World>) -> Result<()> {
    let place = place(&world, "count_once").await?;
    let text = "UPDATE count_once_n SET n = n + ? WHERE p = ? AND c = ?";
    let all = (0..500).map(|number| cql(text, json!([number % 3, "p", number % 7])));
    let others = (0..50).map(|number| put("count_once", "p", number, json!({"n": number})));
    let done = place.best_effort(all.chain(others)).await?;
    same("applied", &550, &done.report.applied())?;
    // They are told by their first answer.
    let mut used: Vec<&str> = done.mechanisms().into_iter().map(|(name, _)| name).collect();
    used.sort_unstable();
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

async fn deletions_of_counters_are_in_order_with_counting(world: Arc<World>) -> Result<()> {
    let place = place(&world, "uncount").await?;
    let count = |n: i64, p: &str| {
        cql("UPDATE uncount_n SET n = n + ? WHERE p = ? AND c = ?", json!([n, p, 1]))
    };
    // A key is whole if markers give it.
    let deletes = [
        ("row", "DELETE FROM uncount_n WHERE p = ? AND c = ?"),
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
            let values = if name == "row" { json!([p, 1]) } else { json!([p]) };
            let delete = || cql(delete, values.clone());
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
