//! Schemas that others change while a store is in use.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batch_core::{Batch as _, BatchExt as _, BatchOptions, Store as _, StoreOptions};
use batch_cql::CqlStore;
use integration_tests::Result;
use serde_json::{Value, json};

use crate::support::{Place, World, Wrongs, commit, operation, same, tests};

tests!["schemas":
    what_others_add_is_known_to_commits_a_moment_later,
    a_table_that_changes_takes_nothing_from_batches_on_others,
    a_type_that_is_made_again_does_not_get_the_bytes_of_the_old_one,
    a_session_that_is_older_than_a_change_writes_what_is_there_now,
    a_row_is_read_from_the_table_that_is_there_now,
];

/// The driver alone reads the schema again after a minute.
const MOMENT: Duration = Duration::from_secs(20);

/// Commits an operation again and again until it is applied. Without a plan: between that and the
/// commit the store may come to know of what was changed.
async fn until_applied(place: &Place, form: &Value) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mut batch = place.store.batch(BatchOptions::new())?;
        batch.queue(operation(form.clone())?)?;
        let report = batch.commit().await?;
        if report.is_success() {
            return Ok(());
        }
        if begun.elapsed() > MOMENT {
            return Err(format!("{form} is not applied after {MOMENT:?}: {report}").into());
        }
    }
}

/// Makes the type and its table, anew if they are there.
async fn make(place: &Place, fields: &str, column: &str) -> Result<()> {
    for statement in [
        "DROP TABLE IF EXISTS k.made".to_owned(),
        "DROP TYPE IF EXISTS k.part".to_owned(),
        format!("CREATE TYPE k.part ({fields})"),
        format!("CREATE TABLE k.made (id int PRIMARY KEY, u {column})"),
    ] {
        place.run(&statement).await?;
    }
    Ok(())
}

/// Statements name a type, so that no server refuses the bytes of another one of that name.
async fn a_type_that_is_made_again_does_not_get_the_bytes_of_the_old_one(
    world: Arc<World>,
) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.others (id int PRIMARY KEY)"]).await?;
    let put = |id: i32, u: Value| json!({"op": "put", "collection": "made", "key": {"id": id}, "doc": {"u": u}});
    let text = |id: i32, u: Value| json!({"op": "cql", "statement": "INSERT INTO made (id, u) VALUES (?, ?)", "values": [id, u]});
    let mut wrongs = Wrongs::default();
    for column in ["frozen<k.part>", "k.part", "list<frozen<k.part>>"] {
        for (before, after) in [
            ("x text, y text", "y text, x text"),
            ("x int, y int", "x text, y int"),
            ("x int, y int", "x float, y int"),
        ] {
            make(&place, before, column).await?;
            let is_text = before.contains("text");
            let one = if is_text { json!({"x": "xx", "y": "yy"}) } else { json!({"x": 1, "y": 2}) };
            let value = if column.starts_with("list") { json!([one]) } else { one };
            for form in [put(1, value.clone()), text(2, value.clone())] {
                let end = place.end(form).await?;
                same("before", "applied", &*end)?;
            }
            make(&place, after, column).await?;
            for (id, form) in [(3, put(3, value.clone())), (4, text(4, value.clone()))] {
                let part = format!("{column}, {before}, then {after}, row {id}");
                let end = place.end(form).await?;
                let rows = place.rows(&format!("u FROM k.made WHERE id = {id}")).await?;
                // What fits the new fields as JSON is written by them, and all else is refused.
                let told = rows.first().map(|row| row["u"].to_string().replace(".0", ""));
                let given = (end == "applied").then(|| value.to_string());
                wrongs.note(&part, same(&format!("read, since it is {end}"), &given, &told));
            }
        }
    }
    wrongs.into_result()
}

async fn a_table_that_changes_takes_nothing_from_batches_on_others(
    world: Arc<World>,
) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TABLE k.stays (id int PRIMARY KEY, v int)",
            "CREATE TABLE k.shrinks (id int PRIMARY KEY, v int, x int)",
        ])
        .await?;
    let on = |op: &str, table: &str, id: i32| json!({"op": op, "collection": table, "key": {"id": id}, "doc": {"v": 1}});
    same("before", "applied", &*place.end(on("put", "shrinks", 1)).await?)?;
    // One request for each, so that the commit still runs when the other table has changed.
    let mut batch = place.store.batch(BatchOptions::new())?;
    for id in 0..3000 {
        batch.queue(operation(on("insert", "stays", id))?)?;
    }
    let first = batch.jobs().next().ok_or("no job")?;
    let others = async {
        first.await;
        place.run("ALTER TABLE k.shrinks DROP x").await?;
        until_applied(&place, &on("put", "shrinks", 2)).await
    };
    let (report, others) = tokio::join!(batch.commit(), others);
    others?;
    same("applied", &3000, &report?.applied())
}

async fn what_others_add_is_known_to_commits_a_moment_later(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TYPE k.grown_part (x int)",
            "CREATE TABLE k.grown (id int PRIMARY KEY, a int, f frozen<k.grown_part>)",
        ])
        .await?;
    let put = |id: i32, doc: Value| json!({"op": "put", "collection": "grown", "key": {"id": id}, "doc": doc});
    same("before", "applied", &*place.end(put(1, json!({"a": 1, "f": {"x": 1}}))).await?)?;
    place.run("ALTER TABLE k.grown ADD c text").await?;
    place.run("INSERT INTO k.grown (id, a, c) VALUES (2, 1, 'old')").await?;
    until_applied(&place, &put(3, json!({"c": "new"}))).await?;
    // What is put replaces all that is there, what was added included.
    same("after", "applied", &*place.end(put(2, json!({"a": 2}))).await?)?;
    same(
        "the row",
        &vec![json!({"id": 2, "a": 2})],
        &place.rows("* FROM k.grown WHERE id = 2").await?,
    )?;
    place.run("ALTER TYPE k.grown_part ADD y int").await?;
    until_applied(&place, &put(4, json!({"f": {"x": 1, "y": 2}}))).await
}

/// The version that a node tells when the store is made says nothing of what its session read before.
async fn a_session_that_is_older_than_a_change_writes_what_is_there_now(
    world: Arc<World>,
) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.older (id int PRIMARY KEY, a int)"]).await?;
    let session = Arc::new(world.server().session().await?);
    place.run("ALTER TABLE k.older ADD c text").await?;
    place.run("INSERT INTO k.older (id, a, c) VALUES (1, 1, 'old')").await?;
    let options = StoreOptions::new();
    let store = CqlStore::from_session(session, Some(&place.keyspace), options).await?;
    let put = json!({"op": "put", "collection": "older", "key": {"id": 1}, "doc": {"a": 2}});
    let done = commit(&store, BatchOptions::new(), [operation(put)?]).await?;
    same("end", &vec!["applied".to_owned()], &done.ends())?;
    let rows = place.rows("* FROM k.older").await?;
    same("the row", &vec![json!({"id": 1, "a": 2})], &rows)
}

async fn a_row_is_read_from_the_table_that_is_there_now(world: Arc<World>) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.reread (id int PRIMARY KEY, a int)"]).await?;
    let key = json!({"id": 1});
    place.run("INSERT INTO k.reread (id, a) VALUES (1, 1)").await?;
    same("before", &Some(json!({"id": 1, "a": 1})), &place.get("reread", &key).await?)?;
    // The server refuses the key's bytes, since the statement says of which type they are.
    place.run("DROP TABLE k.reread").await?;
    place.run("CREATE TABLE k.reread (id bigint PRIMARY KEY, b int)").await?;
    place.run("INSERT INTO k.reread (id, b) VALUES (1, 2)").await?;
    same("after", &Some(json!({"id": 1, "b": 2})), &place.get("reread", &key).await?)
}
