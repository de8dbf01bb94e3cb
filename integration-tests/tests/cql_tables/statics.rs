//! Static columns: they belong to a partition, and its rows share them.

use std::sync::Arc;

use batch_core::{Batch as _, BatchExt as _, BatchOptions, ErrorKind, Store as _, StoreExt as _};
use integration_tests::Result;
use serde_json::{Value, json};

use crate::support::{Place, WHOLE, World, Wrongs, operation, refusal, same, says, tests};

tests!["statics":
    a_row_is_written_with_the_static_columns_that_are_given,
    a_put_leaves_static_columns_alone_unless_they_are_given,
    static_columns_alone_are_written_by_the_partition_key_alone,
    a_condition_needs_a_row_and_a_plain_write_does_not,
    a_partition_key_alone_names_no_row,
    rows_are_not_lost_with_what_is_static,
    rows_and_static_columns_of_a_partition_are_one_batch,
    static_columns_stay_as_one_operation_after_another_leaves_them,
    rows_without_columns_of_their_own_are_inserted_and_deleted_but_not_updated,
];

const TABLE: &str = "CREATE TABLE k.NAME (p text, c int, s text static, t int static, v text, w int, \
    PRIMARY KEY (p, c))";

async fn place(world: &World, name: &str) -> Result<Place> {
    world.place(&[&TABLE.replace("NAME", name)]).await
}

fn of(op: &str, table: &str, key: Value, doc: Option<Value>) -> Value {
    let mut form = json!({"op": op, "collection": table, "key": key});
    if let Some(doc) = doc {
        form["doc"] = doc;
    }
    form
}

async fn rows_without_columns_of_their_own_are_inserted_and_deleted_but_not_updated(
    world: Arc<World>,
) -> Result<()> {
    let place = world
        .place(&["CREATE TABLE k.bare_rows (p int, c int, s int static, PRIMARY KEY (p, c))"])
        .await?;
    let on = |op: &str, p: i32, s: i32| {
        of(
            op,
            "bare_rows",
            json!({"p": p, "c": 1}),
            (op != "delete_existing").then(|| json!({"s": s})),
        )
    };
    let mut wrongs = Wrongs::default();
    for op in ["update", "replace"] {
        let part = format!("{op} is refused when it is queued");
        let mut batch = place.store.batch(BatchOptions::new())?;
        // The table is known from here on.
        place.end(on("put", 0, 0)).await?;
        let refused = batch.queue(operation(on(op, 1, 1))?).err().map(|rejected| rejected.error);
        let told = refused.as_ref().map(ToString::to_string).unwrap_or_default();
        wrongs.note(part, same("told", &true, &told.contains("to the whole partition")));
        batch.discard();
    }
    // Whether such a row is there or not.
    for (number, (first, second, there, ends)) in [
        ("insert", "put", false, "applied applied"),
        ("insert", "upsert", true, "AlreadyExists applied"),
        ("delete_existing", "insert", true, "applied applied"),
        ("delete_existing", "insert", false, "NotFound applied"),
        ("put", "upsert", true, "applied applied"),
    ]
    .into_iter()
    .enumerate()
    {
        let p = i32::try_from(number)? + 10;
        if there {
            place.end(on("put", p, 0)).await?;
        }
        // Without a look at the plan, which cannot know what is there.
        let mut batch = place.store.batch(BatchOptions::new())?;
        let first_job = batch.queue(operation(on(first, p, 1))?)?;
        let second_job = batch.queue(operation(on(second, p, 2))?)?;
        batch.commit().await?.into_result().ok();
        let told = [first_job, second_job].map(|job| crate::support::end(&job)).join(" ");
        let part = format!("{first}, {second} where it is there: {there}");
        wrongs.note(&part, same("ends", ends, &*told));
        let rows = place.rows(&format!("s FROM k.bare_rows WHERE p = {p}")).await?;
        wrongs.note(&part, same("rows", &vec![json!({"s": 2})], &rows));
    }
    wrongs.into_result()
}

async fn a_row_is_written_with_the_static_columns_that_are_given(world: Arc<World>) -> Result<()> {
    let place = place(&world, "given").await?;
    let mut wrongs = Wrongs::default();
    for (number, op) in ["put", "insert", "upsert", "replace", "update"].into_iter().enumerate() {
        let p = format!("p{number}");
        if op == "replace" || op == "update" {
            place.run(&format!("INSERT INTO k.given (p, c, v) VALUES ('{p}', 1, 'old')")).await?;
        }
        let doc = json!({"s": op, "t": 7, "v": "v", "w": 1});
        let end = place.end(of(op, "given", json!({"p": p, "c": 1}), Some(doc))).await?;
        wrongs.note(op, same("end", &"applied".to_owned(), &end));
        let expected = vec![json!({"p": p, "c": 1, "s": op, "t": 7, "v": "v", "w": 1})];
        let rows = place.rows(&format!("* FROM k.given WHERE p = '{p}'")).await?;
        wrongs.note(op, same("rows", &expected, &rows));
    }
    wrongs.into_result()
}

async fn a_put_leaves_static_columns_alone_unless_they_are_given(world: Arc<World>) -> Result<()> {
    let place = place(&world, "alone").await?;
    let mut wrongs = Wrongs::default();
    for op in ["put", "insert", "upsert", "replace", "update"] {
        for (doc, s) in [
            (json!({"w": 2}), Some("old")),
            (json!({"w": 2, "s": "new"}), Some("new")),
            (json!({"w": 2, "s": null}), None),
        ] {
            place.run("TRUNCATE k.alone").await?;
            place.run("INSERT INTO k.alone (p, s, t) VALUES ('p', 'old', 1)").await?;
            if op != "insert" {
                place.run("INSERT INTO k.alone (p, c, v, w) VALUES ('p', 1, 'v', 1)").await?;
            }
            let end =
                place.end(of(op, "alone", json!({"p": "p", "c": 1}), Some(doc.clone()))).await?;
            let mut row = json!({"p": "p", "c": 1, "t": 1, "w": 2});
            if let Some(s) = s {
                row["s"] = json!(s);
            }
            if op == "upsert" || op == "update" {
                row["v"] = json!("v");
            }
            let part = format!("{op} {doc}");
            wrongs.note(&part, same("end", &"applied".to_owned(), &end));
            wrongs.note(&part, same("rows", &vec![row], &place.rows("* FROM k.alone").await?));
        }
    }
    wrongs.into_result()
}

async fn static_columns_alone_are_written_by_the_partition_key_alone(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "shared").await?;
    let done = place
        .best_effort([
            of("upsert", "shared", json!({"p": "a"}), Some(json!({"s": "one", "t": 1}))),
            of("upsert", "shared", json!({"p": "a"}), Some(json!({"s": "two"}))),
            of("put", "shared", json!({"p": "b", "c": 1}), Some(json!({"v": "v"}))),
            of("put", "shared", json!({"p": "b"}), Some(json!({"s": "alone"}))),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 4], &done.ends())?;
    // A partition without rows reads as one row without clustering columns.
    let expected = vec![
        json!({"p": "a", "s": "two", "t": 1}),
        json!({"c": 1, "p": "b", "s": "alone", "v": "v"}),
    ];
    let mut found = place.rows("* FROM k.shared").await?;
    found.sort_by_cached_key(|row| row["p"].to_string());
    same("rows", &expected, &found)?;
    // What is read is a row.
    match place.store.get("shared", [("p", "a")]).await {
        Err(error) => says(&error, ErrorKind::InvalidKey, &["shared", "clustering"]),
        Ok(read) => Err(format!("it reads {read:?}").into()),
    }
}

async fn a_condition_needs_a_row_and_a_plain_write_does_not(world: Arc<World>) -> Result<()> {
    let place = place(&world, "meanings").await?;
    let refused = json!({"p": "p", "s": "old", "t": 1});
    let written = json!({"p": "p", "s": "new", "t": 1});
    let mut wrongs = Wrongs::default();
    for (op, end, left) in [
        ("put", "applied", &written),
        ("upsert", "applied", &written),
        ("insert", "InvalidKey", &refused),
        ("replace", "InvalidKey", &refused),
        ("update", "InvalidKey", &refused),
    ] {
        place.run("INSERT INTO k.meanings (p, s, t) VALUES ('p', 'old', 1)").await?;
        let form = of(op, "meanings", json!({"p": "p"}), Some(json!({"s": "new"})));
        let ended = place.end(form).await?;
        wrongs.note(op, same("end", &end.to_owned(), &ended));
        let rows = place.rows("* FROM k.meanings").await?;
        wrongs.note(op, same("rows", &vec![left.clone()], &rows));
    }
    wrongs.into_result()
}

async fn a_partition_key_alone_names_no_row(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            &TABLE.replace("NAME", "lonely"),
            "CREATE TABLE k.plain (p text, c int, v text, PRIMARY KEY (p, c))",
        ])
        .await?;
    let mut wrongs = Wrongs::default();
    for (table, op, doc, kinds, words) in [
        // A regular column needs a row.
        ("lonely", "put", Some(json!({"v": "v"})), ErrorKind::InvalidOperation, ["lonely", "v"]),
        (
            "lonely",
            "upsert",
            Some(json!({"s": "s", "v": "v"})),
            ErrorKind::InvalidOperation,
            ["lonely", "v"],
        ),
        (
            "lonely",
            "update",
            Some(json!({"w": null})),
            ErrorKind::InvalidOperation,
            ["lonely", "w"],
        ),
        ("plain", "put", Some(json!({})), ErrorKind::InvalidKey, ["plain", "c"]),
        ("plain", "upsert", Some(json!({"v": "v"})), ErrorKind::InvalidKey, ["plain", "c"]),
        ("plain", "delete", None, ErrorKind::InvalidKey, ["plain", "c"]),
        ("plain", "delete_existing", None, ErrorKind::InvalidKey, ["plain", "c"]),
    ] {
        let done = place.best_effort([of(op, table, json!({"p": "p"}), doc.clone())]).await?;
        let result = match refusal(&done.jobs[0]) {
            Ok(error) => says(&error, kinds, &words),
            Err(error) => Err(error),
        };
        wrongs.note(format!("{op} {doc:?} on {table}"), result);
    }
    for table in ["lonely", "plain"] {
        let rows = place.rows(&format!("* FROM k.{table}")).await?;
        wrongs.note(table, same("rows", &vec![], &rows));
    }
    wrongs.into_result()
}

async fn rows_are_not_lost_with_what_is_static(world: Arc<World>) -> Result<()> {
    let place = place(&world, "kept").await?;
    let row = json!({"p": "p", "c": 1, "s": "s", "v": "v"});
    let mut wrongs = Wrongs::default();
    for op in ["delete", "delete_existing"] {
        place.run("INSERT INTO k.kept (p, c, s, v) VALUES ('p', 1, 's', 'v')").await?;
        // The partition key names what is static, which a deletion of rows would not be about.
        let done = place.best_effort([of(op, "kept", json!({"p": "p"}), None)]).await?;
        let rows = place.rows("p, c, v FROM k.kept").await?;
        let expected = vec![json!({"p": "p", "c": 1, "v": "v"})];
        wrongs.note(op, same("rows", &expected, &rows));
        let result = match refusal(&done.jobs[0]) {
            Ok(error) => says(&error, ErrorKind::InvalidKey, &["kept", "c"]),
            Err(error) => Err(error),
        };
        wrongs.note(op, result);
    }
    // And a row's deletion leaves what is static.
    let done = place.best_effort([of("delete", "kept", json!({"p": "p", "c": 1}), None)]).await?;
    wrongs.note("a row", same("ends", &vec!["applied".to_owned()], &done.ends()));
    let left = json!({"p": row["p"], "s": row["s"]});
    wrongs.note("a row", same("rows", &vec![left], &place.rows("* FROM k.kept").await?));
    wrongs.into_result()
}

async fn rows_and_static_columns_of_a_partition_are_one_batch(world: Arc<World>) -> Result<()> {
    let place = place(&world, "together").await?;
    let operations = [
        of("put", "together", json!({"p": "p", "c": 1}), Some(json!({"v": "one"}))),
        of("upsert", "together", json!({"p": "p"}), Some(json!({"s": "s", "t": 5}))),
        of("put", "together", json!({"p": "p", "c": 2}), Some(json!({"v": "two"}))),
    ];
    for options in [BatchOptions::new(), BatchOptions::new().guarantee(WHOLE)] {
        place.run("TRUNCATE k.together").await?;
        let done = place.commit(options, operations.clone()).await?;
        same("ends", &vec!["applied".to_owned(); 3], &done.ends())?;
        same("mechanisms", &vec![("single-partition batch", 1)], &done.mechanisms())?;
        let row = |c: i32, v: &str| json!({"p": "p", "c": c, "s": "s", "t": 5, "v": v});
        let rows = place.rows("* FROM k.together").await?;
        same("rows", &vec![row(1, "one"), row(2, "two")], &rows)?;
    }
    Ok(())
}

/// Operations on one row, one after another: `doc` is null for those that have none.
const SEQUENCES: &[(&str, &str)] = &[
    (r#"[["put", {"s": "s", "v": "1"}], ["put", {"v": "2"}]]"#, r#"{"s": "s", "c": 1, "v": "2"}"#),
    (
        r#"[["put", {"s": "s", "v": "1"}], ["put", {"s": "t", "v": "2"}]]"#,
        r#"{"s": "t", "c": 1, "v": "2"}"#,
    ),
    (r#"[["put", {"s": "s", "v": "1"}], ["put", {"s": null, "v": "2"}]]"#, r#"{"c": 1, "v": "2"}"#),
    (r#"[["put", {"s": "s", "v": "1"}], ["delete", null]]"#, r#"{"s": "s"}"#),
    (
        r#"[["upsert", {"s": "s"}], ["delete", null], ["put", {"v": "2"}]]"#,
        r#"{"s": "s", "c": 1, "v": "2"}"#,
    ),
    (r#"[["insert", {"s": "s"}], ["replace", {"v": "2"}]]"#, r#"{"s": "s", "c": 1, "v": "2"}"#),
    (
        r#"[["insert", {"s": "s"}], ["delete_existing", null], ["insert", {"v": "2"}]]"#,
        r#"{"s": "s", "c": 1, "v": "2"}"#,
    ),
    (r#"[["insert", {"s": "s", "t": 1}], ["delete", null]]"#, r#"{"s": "s", "t": 1}"#),
    (r#"[["delete", null], ["upsert", {"s": "s"}], ["delete", null]]"#, r#"{"s": "s"}"#),
    (
        r#"[["put", {"s": "s"}], ["update", {"s": "t", "v": "2"}], ["delete_existing", null]]"#,
        r#"{"s": "t"}"#,
    ),
];

async fn static_columns_stay_as_one_operation_after_another_leaves_them(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "sequences").await?;
    let mut wrongs = Wrongs::default();
    for (number, (operations, expected)) in SEQUENCES.iter().enumerate() {
        let operations: Vec<(String, Option<Value>)> = serde_json::from_str(operations)?;
        let expected: Value = serde_json::from_str(expected)?;
        for (together, whole) in [(false, false), (true, false), (true, true)] {
            let p = format!("{number} {together} {whole}");
            let key = json!({"p": p, "c": 1});
            let forms = operations.iter();
            let forms = forms.map(|(op, doc)| of(op, "sequences", key.clone(), doc.clone()));
            let part = format!("{operations:?}, together: {together}, whole: {whole}");
            let ends = if together {
                let options = BatchOptions::new();
                let options = if whole { options.guarantee(WHOLE) } else { options };
                place.commit(options, forms).await?.ends()
            } else {
                let mut ends = Vec::new();
                for form in forms {
                    ends.push(place.end(form).await?);
                }
                ends
            };
            wrongs.note(&part, same("ends", &vec!["applied".to_owned(); operations.len()], &ends));
            let mut row = expected.clone();
            row["p"] = json!(p);
            let rows = place.rows(&format!("* FROM k.sequences WHERE p = '{p}'")).await?;
            wrongs.note(&part, same("rows", &vec![row], &rows));
        }
    }
    wrongs.into_result()
}
