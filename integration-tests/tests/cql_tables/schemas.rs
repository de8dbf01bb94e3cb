//! Schemas that others change while a store is in use.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batch_core::{Batch as _, BatchExt as _, BatchOptions, Store as _};
use integration_tests::Result;
use serde_json::{Value, json};

use crate::support::{Place, World, operation, same, tests};

tests!["schemas":
    what_others_add_is_known_to_commits_a_moment_later,
    a_table_that_changes_takes_nothing_from_batches_on_others,
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
