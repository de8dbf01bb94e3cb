//! Native statements in batches of a store on a server, which `UNIBATCH_CQL_URL` names.

use batch_core::{
    BatchExt as _, BatchOptions, BatchType, ErrorKind, Guarantee, Job, JobStatus, Operation,
    StoreExt as _,
};
use scylla::value::{Counter, CqlValue, MaybeUnset};
use serde_json::{Value, json};

use crate::{CqlBatch, CqlStore, on_server};

const KEYSPACE: &str = "native_in_store";

/// A store on a keyspace of the test's own.
async fn store(name: &str) -> CqlStore {
    let node = on_server::node();
    let keyspace = format!("{KEYSPACE}_{name}");
    let first = CqlStore::builder().contact_point(&node).connect().await.unwrap();
    for statement in [
        format!("DROP KEYSPACE IF EXISTS {keyspace}"),
        format!(
            "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        ),
        format!("CREATE TABLE {keyspace}.s (id text PRIMARY KEY, age int, l list<int>)"),
        format!("CREATE TABLE {keyspace}.n (id text PRIMARY KEY, n counter)"),
        format!(
            "CREATE TABLE {keyspace}.pairs (id text, pair frozen<tuple<int, int>>, age int, PRIMARY KEY (id, pair))"
        ),
    ] {
        first.session().query_unpaged(statement, &[]).await.unwrap();
    }
    CqlStore::builder().contact_point(node).keyspace(keyspace).connect().await.unwrap()
}

async fn row(store: &CqlStore, table: &str, id: &str) -> Option<Value> {
    let found = store.get(table, id).await.unwrap()?;
    let mut row: Value = found.decode().unwrap();
    row.as_object_mut().unwrap().remove("id");
    Some(row)
}

fn kind(job: &Job) -> Option<ErrorKind> {
    match job.status() {
        JobStatus::Applied(_) => None,
        other => Some(job.outcome().err().unwrap_or_else(|| panic!("{other:?}")).kind()),
    }
}

fn all_or_nothing() -> BatchOptions {
    BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: false })
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn typed_statements_json_statements_and_portable_operations_share_a_batch() {
    let store = store("share").await;
    let insert = store.prepare("INSERT INTO s (id, age, l) VALUES (?, ?, ?)").await.unwrap();
    for options in [BatchOptions::new(), all_or_nothing()] {
        let mut batch = store.cql_batch(options).unwrap();
        batch.queue_bound(&insert, &("typed", 1, vec![1, 2])).unwrap();
        batch.queue_bound(&insert, &("unset", 2, MaybeUnset::<Vec<i32>>::Unset)).unwrap();
        let by_name = json!({"id": "json", "age": 3, "l": [3]});
        let text = "INSERT INTO s (id, age, l) VALUES (:id, :age, :l)";
        batch.queue(Operation::cql(text, by_name)).unwrap();
        batch.queue(Operation::cql("DELETE FROM s WHERE id = 'nobody'", ())).unwrap();
        batch.queue(Operation::put("s").at("put").doc(&json!({"age": 4}))).unwrap();
        let report = batch.commit().await.unwrap();
        assert!(report.is_success(), "{report}");
        assert_eq!(row(&store, "s", "typed").await, Some(json!({"age": 1, "l": [1, 2]})));
        assert_eq!(row(&store, "s", "unset").await, Some(json!({"age": 2})));
        assert_eq!(row(&store, "s", "json").await, Some(json!({"age": 3, "l": [3]})));
        assert_eq!(row(&store, "s", "put").await, Some(json!({"age": 4})));
        store.session().query_unpaged(format!("TRUNCATE {KEYSPACE}_share.s"), &[]).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn operations_on_a_row_keep_their_order_whether_native_or_portable() {
    let store = store("order").await;
    let insert = store.prepare("INSERT INTO s (id, age) VALUES (?, ?)").await.unwrap();
    let delete = store.prepare("DELETE FROM s WHERE id = :key").await.unwrap();
    for round in 0..20 {
        let mut batch = store.cql_batch(BatchOptions::new()).unwrap();
        let id = format!("r{round}");
        batch.queue(Operation::put("s").at(&*id).doc(&json!({"age": 9}))).unwrap();
        batch.queue_bound(&delete, &(&id,)).unwrap();
        batch.queue_bound(&insert, &(&id, 7)).unwrap();
        let text = "UPDATE s SET age = ? WHERE id = ?";
        batch.queue(Operation::cql(text, (round, &id))).unwrap();
        let report = batch.commit().await.unwrap();
        assert!(report.is_success(), "{report}");
        assert_eq!(row(&store, "s", &id).await, Some(json!({"age": round})));
    }
}

/// Both forms are one row to the server. In one batch the larger value would stay, whichever comes last.
#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn a_key_without_its_last_field_is_the_row_in_which_that_is_null() {
    let store = store("pairs").await;
    let text = "INSERT INTO pairs (id, pair, age) VALUES (?, ?, ?)";
    let insert = store.prepare(text).await.unwrap();
    let half = CqlValue::Tuple(vec![Some(CqlValue::Int(1))]);
    let mut batch = store.cql_batch(BatchOptions::new()).unwrap();
    let put = Operation::put("pairs").key("id", "a").key("pair", "[1, null]");
    batch.queue(put.doc(&json!({"age": 9}))).unwrap();
    batch.queue_bound(&insert, &("a", &half, 2)).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    let count = format!("SELECT count(*), max(age) FROM {KEYSPACE}_pairs.pairs");
    let rows = store.session().query_unpaged(count, &[]).await.unwrap();
    let found = rows.into_rows_result().unwrap().single_row::<(i64, i32)>().unwrap();
    assert_eq!(found, (1, 2), "rows, and the later value");
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn counters_count_beside_other_operations_and_each_once() {
    let store = store("count").await;
    let count = store.prepare("UPDATE n SET n = n + ? WHERE id = ?").await.unwrap();
    for options in [BatchOptions::new(), BatchOptions::new().batch_type(BatchType::Counter)] {
        let forced = format!("{options:?}").contains("Some(Counter)");
        let mut batch = store.cql_batch(options).unwrap();
        for _ in 0..5 {
            batch.queue_bound(&count, &(Counter(2), "a")).unwrap();
            batch.queue(Operation::cql("UPDATE n SET n = n - 1 WHERE id = 'a'", ())).unwrap();
            batch.queue(Operation::cql("UPDATE n SET n += ? WHERE id = ?", (3, "b"))).unwrap();
        }
        if !forced {
            batch.queue(Operation::put("s").at("x").doc(&json!({"age": 4}))).unwrap();
        }
        let report = batch.commit().await.unwrap();
        assert!(report.is_success(), "{report}");
    }
    assert_eq!(row(&store, "n", "a").await, Some(json!({"n": 10})));
    assert_eq!(row(&store, "n", "b").await, Some(json!({"n": 30})));
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn a_condition_that_does_not_hold_is_the_answer_to_its_statement_alone() {
    let store = store("condition").await;
    let insert =
        store.prepare("INSERT INTO s (id, age) VALUES (?, ?) IF NOT EXISTS").await.unwrap();
    let mut batch = store.cql_batch(BatchOptions::new()).unwrap();
    let first = batch.queue_bound(&insert, &("a", 1)).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    let mut batch = store.cql_batch(BatchOptions::new()).unwrap();
    let taken = batch.queue_bound(&insert, &("a", 2)).unwrap();
    let free = batch.queue_bound(&insert, &("b", 2)).unwrap();
    let text = "UPDATE s SET age = ? WHERE id = 'a' IF age = ?";
    let differs = batch.queue(Operation::cql(text, (5, 7))).unwrap();
    let plain = batch.queue(Operation::put("s").at("c").doc(&json!({"age": 4}))).unwrap();
    assert!(!batch.commit().await.unwrap().is_success());
    let kinds = [&first, &taken, &free, &differs, &plain].map(kind);
    let failed = Some(ErrorKind::ConditionFailed);
    assert!(kinds[1] == failed || kinds[1] == Some(ErrorKind::AlreadyExists), "{kinds:?}");
    assert_eq!((kinds[0], kinds[2], kinds[3], kinds[4]), (None, None, failed, None));
    assert_eq!(row(&store, "s", "a").await, Some(json!({"age": 1})));
}

/// Queues one operation that is refused by planning, and a good one.
fn queue_bad(batch: &mut CqlBatch, bad: Operation) -> (Job, Job) {
    let bad = batch.queue(bad).unwrap();
    let good = batch.queue(Operation::put("s").at("good").doc(&json!({"age": 4}))).unwrap();
    (bad, good)
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn what_the_server_would_refuse_fails_alone_and_names_what_is_wrong() {
    let store = store("bad").await;
    let insert = store.prepare("INSERT INTO s (id, age) VALUES (?, ?)").await.unwrap();
    let slice = "UPDATE s SET age = ? WHERE id = ?";
    let cases = [
        (insert.bind(&(None::<&str>, 1)), ErrorKind::InvalidKey, "`id`: a part of the key is null"),
        (insert.bind(&("", 1)), ErrorKind::InvalidKey, "the partition key is empty"),
        (insert.bind(&("x".repeat(70_000), 1)), ErrorKind::InvalidKey, "more than 65,535 bytes"),
        (
            Operation::cql(slice, (1,)),
            ErrorKind::InvalidOperation,
            "2 markers, and there are 1 values",
        ),
        (
            Operation::cql(slice, ("x", "y")),
            ErrorKind::InvalidOperation,
            "marker 1 (`age`): int takes",
        ),
        (
            Operation::cql(slice, (1, None::<&str>)),
            ErrorKind::InvalidKey,
            "`id`: a part of the key",
        ),
        (
            Operation::cql("UPDATE s SET nosuch = ? WHERE id = ?", (1, "y")),
            ErrorKind::InvalidOperation,
            "nosuch",
        ),
        (Operation::cql("DELETE FROM nosuch WHERE id = ?", ("y",)), ErrorKind::NotFound, "nosuch"),
        (Operation::cql("DELETE FROM s", ()), ErrorKind::InvalidOperation, "mismatched input"),
    ];
    for (bad, expected, message) in cases {
        let mut batch = store.cql_batch(BatchOptions::new()).unwrap();
        let (bad, good) = queue_bad(&mut batch, bad);
        assert!(!batch.commit().await.unwrap().is_success());
        let error = bad.outcome().err().unwrap_or_else(|| panic!("{message}"));
        assert!(error.message().contains(message), "{message}: {error}");
        assert_eq!((error.kind(), kind(&good)), (expected, None), "{error}");
    }
    for (bad, message) in [
        (Operation::cql("SELECT * FROM s", ()), "reads cannot be batched"),
        (insert.bind(&("a", "b")), "INSERT INTO"),
    ] {
        let mut batch = store.cql_batch(BatchOptions::new()).unwrap();
        let rejected = batch.queue(bad).unwrap_err();
        assert!(rejected.error.message().contains(message), "{}", rejected.error);
    }
}
