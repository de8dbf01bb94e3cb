//! One part that is at fault, and what becomes of the rest.

use std::time::{Duration, Instant};

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, ErrorKind, Guarantee, JobStatus, Operation, Report,
    Store, StoreOptions,
};
use batch_cql::CqlStore;
use integration_tests::{FaultyNode, Result, execute};
use scylla::{
    errors::{DbError, WriteType},
    statement::Consistency,
};
use scylla_proxy::{Condition, RequestOpcode, RequestReaction, RequestRule};
use serde_json::json;

use crate::{KEYSPACE, World, trials};

trials!["faulty_part":
    a_row_that_no_replica_can_write_leaves_the_others_applied,
    where_all_writes_fail_a_chunk_is_not_cut_for_ever,
    a_type_that_the_driver_does_not_know_stops_no_store_on_other_keyspaces,
    a_batch_that_the_log_may_drop_before_it_is_written_is_not_accepted,
];

/// Requests with this text fail on the replica, as rows do that its indexes cannot take.
fn failing(text: &str) -> RequestRule {
    let (consistency, write_type) = (Consistency::LocalQuorum, WriteType::UnloggedBatch);
    let error =
        DbError::WriteFailure { consistency, received: 0, required: 1, numfailures: 1, write_type };
    let has_text = Condition::BodyContainsCaseSensitive(text.as_bytes().into());
    let is_batch = Condition::RequestOpcode(RequestOpcode::Batch);
    let is_write = is_batch.or(Condition::RequestOpcode(RequestOpcode::Execute));
    RequestRule(is_write.and(has_text), RequestReaction::forge_with_error(error))
}

/// So many rows of one partition; those at the places are `poison`.
fn rows(name: &str, count: i32, poison: &[i32]) -> impl Iterator<Item = Operation> {
    (0..count).map(move |place| {
        let text = if poison.contains(&place) { "poison" } else { "food" };
        let key = batch_core::Key::new().part("p", name).part("c", place);
        Operation::put("parts").at(key).doc(&json!({"v": text}))
    })
}

async fn parts(world: &World) -> Result<()> {
    let session = world.session().await?;
    let table = "parts (p text, c int, v text, PRIMARY KEY (p, c))";
    execute(&session, format!("CREATE TABLE IF NOT EXISTS {KEYSPACE}.{table}")).await?;
    Ok(())
}

async fn a_row_that_no_replica_can_write_leaves_the_others_applied(world: &World) -> Result<()> {
    parts(world).await?;
    let mut proxy = FaultyNode::before(world.address).await?;
    let store = proxy.store(KEYSPACE, StoreOptions::new()).await?;
    proxy.on_requests(&[failing("poison")]);
    for (name, poison) in [("one", &[0][..]), ("last", &[299]), ("some", &[3, 150, 151])] {
        let mut batch = store.batch(BatchOptions::new())?;
        let jobs = batch.queue_all(rows(name, 300, poison))?;
        let report = batch.commit().await?;
        for (place, job) in (0..).zip(&jobs) {
            let end = job.status();
            let expected = if poison.contains(&place) { "unknown" } else { "applied" };
            assert_eq!(end.as_str(), expected, "{name}, row {place}: {end:?}");
        }
        let session = world.session().await?;
        let count = format!("SELECT count(*) FROM {KEYSPACE}.parts WHERE p = '{name}'");
        let (found,) =
            execute(&session, count).await?.into_rows_result()?.single_row::<(i64,)>()?;
        assert_eq!(found, 300 - i64::try_from(poison.len())?, "{report}");
    }
    Ok(())
}

/// It may not be the rows that are at fault.
async fn where_all_writes_fail_a_chunk_is_not_cut_for_ever(world: &World) -> Result<()> {
    parts(world).await?;
    let mut proxy = FaultyNode::before(world.address).await?;
    let store = proxy.store(KEYSPACE, StoreOptions::new()).await?;
    proxy.on_requests(&[failing("food")]);
    let mut batch = store.batch(BatchOptions::new())?;
    let _ = batch.queue_all(rows("all", 5_000, &[]))?;
    let report = batch.commit().await?;
    assert_eq!(report.unknown(), 5_000, "{report}");
    assert!(report.attempts() < 250, "{report}");
    Ok(())
}

async fn put(store: &CqlStore, collection: &str) -> Result<(JobStatus, Report)> {
    let mut batch = store.batch(BatchOptions::new().deadline(Duration::from_secs(20)))?;
    let key = batch_core::Key::new().part("p", "odd").part("c", 1);
    let job = batch.queue(Operation::put(collection.to_owned()).at(key).doc(&json!({"v": "v"})))?;
    let report = batch.commit().await?;
    Ok((job.status(), report))
}

/// The driver reads no schema at all then.
async fn a_type_that_the_driver_does_not_know_stops_no_store_on_other_keyspaces(
    world: &World,
) -> Result<()> {
    parts(world).await?;
    let session = world.session().await?;
    let open = async |keyspace: Option<&str>| {
        let builder = CqlStore::builder().contact_point(world.address.to_string());
        let builder = match keyspace {
            Some(keyspace) => builder.keyspace(keyspace),
            None => builder,
        };
        builder.connect().await
    };
    let before = open(Some(KEYSPACE)).await?;
    let (end, _) = put(&before, "parts").await?;
    assert!(matches!(end, JobStatus::Applied(_)), "{end:?}");
    for statement in ["TYPE known (x int)", "TABLE typed (p text PRIMARY KEY, v frozen<known>)"] {
        let (what, name) = statement.split_once(' ').unwrap_or_default();
        execute(
            &session,
            format!(
                "CREATE {what} {KEYSPACE}.{}",
                name.replace("<known", &format!("<{KEYSPACE}.known"))
            ),
        )
        .await?;
    }
    let typed = async || {
        let mut batch = before.batch(BatchOptions::new())?;
        let doc = json!({"v": {"x": 1}});
        let _ = batch.queue(Operation::put("typed").at([("p", "a")]).doc(&doc))?;
        batch.commit().await
    };
    assert!(typed().await?.is_success());
    let odd = "'org.apache.cassandra.db.marshal.CompositeType(UTF8Type,Int32Type)'";
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    execute(&session, format!("CREATE KEYSPACE odd WITH replication = {replication}")).await?;
    let table = format!("CREATE TABLE odd.c (p text, c int, v {odd}, PRIMARY KEY (p, c))");
    let made = execute(&session, table).await.err().ok_or("the driver reads what it has made")?;
    assert!(made.to_string().contains("Failed to parse a CQL type"), "{made}");
    // One that was connected before goes on, and says what it cannot know any more.
    let begun = Instant::now();
    loop {
        let (end, report) = put(&before, "parts").await?;
        assert!(matches!(end, JobStatus::Applied(_)), "{end:?}");
        if report.warnings().iter().any(|warning| warning.contains("odd.c.v")) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no warning: {report}");
    }
    // Nothing that has a type is sent: nobody knows whether it is what it was.
    let error = typed().await.err().ok_or("it is sent")?;
    assert!(error.message().contains("odd.c.v"), "{error}");
    // One that connects now knows its own keyspace, and says why it knows no more.
    let narrow = open(Some(KEYSPACE)).await?;
    let (end, report) = put(&narrow, "parts").await?;
    assert!(matches!(end, JobStatus::Applied(_)), "{end:?}");
    assert!(report.warnings().is_empty(), "{report}");
    let refused = |end: JobStatus| {
        let JobStatus::NotApplied(error) = end else { return Err(format!("{end:?}").into()) };
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("odd.c.v"), "{error}");
        Ok::<_, integration_tests::Error>(())
    };
    refused(put(&narrow, "odd.c").await?.0)?;
    // One that has no keyspace knows nothing.
    let none = open(None).await?;
    refused(put(&none, &format!("{KEYSPACE}.parts")).await?.0)?;
    let error = open(Some("odd")).await.err().ok_or("it connects")?;
    assert!(error.message().contains("odd.c.v"), "{error}");
    execute(&session, "DROP KEYSPACE odd".to_owned()).await?;
    // What was connected knows all again.
    let begun = Instant::now();
    while !put(&before, "parts").await?.1.warnings().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the warning stays");
    }
    Ok(())
}

/// The log is played back without what is older than the table's `gc_grace_seconds`.
async fn a_batch_that_the_log_may_drop_before_it_is_written_is_not_accepted(
    world: &World,
) -> Result<()> {
    let session = world.session().await?;
    for (table, grace) in [("kept_long", 864_000), ("Kept_short", 0)] {
        let columns = "(p text PRIMARY KEY, v text)";
        let text = format!(
            "CREATE TABLE IF NOT EXISTS {KEYSPACE}.\"{table}\" {columns} WITH gc_grace_seconds = {grace}"
        );
        execute(&session, text).await?;
    }
    let mut proxy = FaultyNode::before(world.address).await?;
    let store = proxy.store(KEYSPACE, StoreOptions::new()).await?;
    let (consistency, write_type) = (Consistency::LocalQuorum, WriteType::Batch);
    let error = DbError::WriteTimeout { consistency, received: 0, required: 1, write_type };
    let is_batch = Condition::RequestOpcode(RequestOpcode::Batch);
    proxy.on_requests(&[RequestRule(is_batch, RequestReaction::forge_with_error(error))]);
    for (tables, expected) in [
        (["kept_long", "kept_long"], "accepted"),
        (["kept_long", "Kept_short"], "unknown"),
        (["Kept_short", "Kept_short"], "unknown"),
    ] {
        let options = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: false });
        let mut batch = store.batch(options.deadline(Duration::from_secs(2)))?;
        for (key, table) in tables.into_iter().enumerate() {
            let put = Operation::put(table).at(format!("{key}")).doc(&json!({"v": "v"}));
            batch.queue(put.idempotent(false))?;
        }
        let report = batch.commit().await?;
        let ends: Vec<_> = batch.jobs().map(|job| job.status().as_str()).collect();
        assert_eq!(ends, [expected; 2], "{tables:?}: {report}");
        if expected == "unknown" {
            let error = report.errors().next().ok_or("there is no error")?;
            assert!(error.message().contains("gc_grace_seconds"), "{error}");
        }
    }
    Ok(())
}
