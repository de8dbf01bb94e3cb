//! What is particular to the memory store: its documents, its switches, its faults and its log.
//! What every store promises is in the conformance suite.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use batch_core::{
    BatchExt, BatchOptions, Clock, Error, ErrorKind, Guarantee, JobStatus, Key, Operation, Report,
    Returning, Store, StoreExt, StoreOptions, seam::Engine,
};
use batch_memory::{Fault, Faults, Imitation, Instrumented, Log, MemoryStore};
use serde_json::{Value, json};

async fn commit(store: &dyn Store, operations: impl IntoIterator<Item = Operation>) -> Report {
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    for operation in operations {
        batch.queue(operation).unwrap();
    }
    batch.commit().await.unwrap()
}

fn put(key: &str) -> Operation {
    Operation::put("t").at(key).doc(&json!({"x": 1}))
}

#[tokio::test]
async fn documents_can_be_read_back_and_listed_with_the_parts_of_their_keys() {
    let store = MemoryStore::new();
    let operations = [
        Operation::insert("students").key("id", "Abby").doc(&json!({"age": 20, "email": null})),
        Operation::insert("students").at("John").doc(&json!({"age": 21})),
        Operation::insert("rooms").key("floor", 2).key("door", 7).doc(&json!({})),
    ];
    assert!(commit(&store, operations).await.is_success());
    assert_eq!(store.collections(), ["rooms", "students"]);
    let students = [json!({"id": "Abby", "age": 20}), json!({"_key": "John", "age": 21})];
    assert_eq!(store.documents("students"), students);
    // The bare key of a named one is its string form.
    assert_eq!(store.document("students", "Abby"), Some(students[0].clone()));
    let room = Key::new().part("door", "7").part("floor", "2");
    assert_eq!(store.document("rooms", room), Some(json!({"floor": 2, "door": 7})));
    store.clear();
    assert!(store.documents("students").is_empty());
}

#[tokio::test]
async fn numbers_keep_the_digits_that_were_written() {
    let store = MemoryStore::new();
    let text = r#"{"n":12345678901234567890123,"f":1.10}"#;
    assert!(commit(&store, [Operation::put("t").at("k").doc_text(text)]).await.is_success());
    let read = store.get("t", "k").await.unwrap().unwrap();
    let read = std::str::from_utf8(read.json()).unwrap().to_owned();
    assert!(read.contains("12345678901234567890123") && read.contains("1.10"), "{read}");
}

#[tokio::test]
async fn a_document_may_repeat_its_key_but_not_contradict_it() {
    let store = MemoryStore::new();
    let report = commit(
        &store,
        [
            Operation::put("t").at("a").doc(&json!({"_key": "a"})),
            Operation::put("t").key("n", 1).doc(&json!({"n": "1"})),
            Operation::put("t").at("b").doc(&json!({"_key": "c"})),
        ],
    )
    .await;
    assert_eq!((report.applied(), report.not_applied()), (2, 1));
    let error = report.errors().next().unwrap();
    assert_eq!((error.kind(), error.job()), (ErrorKind::InvalidOperation, Some(3)));
}

#[tokio::test]
async fn writes_answer_with_the_revision_and_the_documents_that_were_asked_for() {
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let first = batch.queue(put("k")).unwrap();
    let new = Operation::upsert("t").at("k").doc(&json!({"y": 2})).returning(Returning::New);
    let new = batch.queue(new).unwrap();
    let old = Operation::delete("t").at("k").returning(Returning::Old);
    let old = batch.queue(old).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    let revision: Value = serde_json::from_slice(first.outcome().unwrap().json()).unwrap();
    assert_eq!(revision, json!({"_rev": "1"}));
    let after = json!({"_key": "k", "_rev": "2", "x": 1, "y": 2});
    assert_eq!(new.decode::<Value>().unwrap(), after);
    assert_eq!(old.decode::<Value>().unwrap(), after);
    assert_eq!(first.decode::<Value>().unwrap_err().kind(), ErrorKind::Decode);
}

#[tokio::test]
async fn a_revision_that_is_not_the_documents_refuses_the_write() {
    let store = MemoryStore::new();
    assert!(commit(&store, [put("k")]).await.is_success());
    let replace = |revision: &str| {
        Operation::replace("t").at("k").doc(&json!({"x": 2})).if_revision(revision)
    };
    let refused = commit(&store, [replace("7")]).await.into_result().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConditionFailed);
    assert!(commit(&store, [replace("1")]).await.is_success());
    assert_eq!(store.document("t", "k").unwrap()["x"], 2);
}

#[derive(Debug)]
struct HandClock(AtomicI64);
impl Clock for HandClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_document_vanishes_after_its_time_to_live() {
    let clock = Arc::new(HandClock(AtomicI64::new(0)));
    let options = StoreOptions::new().clock(Arc::<HandClock>::clone(&clock));
    let store = MemoryStore::builder().options(options).build();
    let short = put("k").ttl(Duration::from_secs(60));
    assert!(commit(&store, [short, put("stays")]).await.is_success());
    clock.0.store(59_999_999, Ordering::Relaxed);
    assert!(store.document("t", "k").is_some());
    clock.0.store(60_000_000, Ordering::Relaxed);
    assert_eq!(store.document("t", "k"), None);
    assert_eq!(store.documents("t").len(), 1);
    assert!(commit(&store, [Operation::insert("t").at("k").doc(&json!({}))]).await.is_success());
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_the_answer_that_is_true_of_it() {
    // What one insert ends as, and whether its row is there.
    let cases: [(Fault, &str, Option<ErrorKind>, bool); 13] = [
        (Fault::None, "applied", None, true),
        (Fault::Unreachable, "applied", None, true),
        (Fault::Busy, "applied", None, true),
        (Fault::RouteVanishes, "applied", None, true),
        (Fault::Delay(Duration::from_secs(5)), "applied", None, true),
        (
            Fault::Refuse(ErrorKind::Unauthorized),
            "not_applied",
            Some(ErrorKind::Unauthorized),
            false,
        ),
        (Fault::DropBefore, "unknown", Some(ErrorKind::Connection), false),
        (Fault::DropAfter, "unknown", Some(ErrorKind::Connection), true),
        (Fault::AcceptOnly, "accepted", None, true),
        (Fault::MissingAnswer, "unknown", Some(ErrorKind::Protocol), true),
        (Fault::DoubledAnswer, "unknown", Some(ErrorKind::Protocol), true),
        (Fault::SurplusAnswer, "unknown", Some(ErrorKind::Protocol), true),
        (Fault::PanicAfter, "unknown", Some(ErrorKind::Panicked), true),
    ];
    for (fault, status, kind, there) in cases {
        let store = MemoryStore::builder().faults([fault]).build();
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        let job = batch.queue(Operation::insert("t").at("k").doc(&json!({}))).unwrap();
        let report = batch.commit().await.unwrap();
        assert_eq!(job.status().as_str(), status, "{fault:?}: {report:?}");
        assert_eq!(job.status().error().map(Error::kind), kind, "{fault:?}");
        assert_eq!(store.document("t", "k").is_some(), there, "{fault:?}");
    }
    let store = MemoryStore::builder().faults([Fault::PanicBefore]).build();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(put("k")).unwrap();
    // Nothing has left, so the batch is whole and can be committed again.
    assert_eq!(batch.commit().await.unwrap_err().kind(), ErrorKind::Panicked);
    assert!(batch.commit().await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn an_injected_conflict_stands_in_the_way_as_often_as_was_asked() {
    let store = MemoryStore::builder().log(true).build();
    store.conflict_next("t", "a", 3);
    let report = commit(&store, [put("a"), put("b")]).await;
    assert!(report.is_success());
    assert_eq!(store.log().times_sent("t", "a"), 4);
    store.log().assert_sent_once("t", "b");
    store.conflict_next("t", "a", 1);
    let options = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: true });
    let mut batch = store.batch(options).unwrap();
    batch.queue_all([put("a"), put("b")]).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.applied(), report.retries()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn seeded_faults_are_the_same_for_the_same_seed() {
    let run = async |seed: u64| {
        let options = StoreOptions::new().max_batch_operations(1).max_in_flight(1).backoff_seed(1);
        let faults = Faults::seeded(seed, 0.5).only([Fault::Busy, Fault::DropAfter]);
        let store = MemoryStore::builder().options(options).faults(faults).log(true).build();
        let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
        let _ = commit(&store, keys.iter().map(|key| put(key))).await;
        store.log().chunks().iter().map(|chunk| chunk.fault).collect::<Vec<_>>()
    };
    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test]
async fn the_log_tells_what_left_and_in_what_order() {
    let store = MemoryStore::builder().faults([Fault::Unreachable]).log(true).build();
    let operations = [put("a"), Operation::get("t").at("b"), put("a")];
    let report = commit(&store, operations).await;
    assert_eq!((report.applied(), report.not_applied()), (2, 1));
    let log = store.log();
    let chunks = log.chunks();
    let left: Vec<bool> = chunks.iter().map(|chunk| chunk.left).collect();
    assert!(!left[0] && left[1..].iter().all(|left| *left), "{chunks:#?}");
    assert_eq!(chunks.iter().map(|chunk| chunk.attempt).max(), Some(2));
    log.clear();
    log.assert_nothing_sent();
    log.assert_chunks(0);
}

#[tokio::test]
async fn an_imitation_refuses_what_its_model_refuses() {
    let cql = MemoryStore::builder().imitate(Imitation::Cql).log(true).build();
    let mut batch = cql.batch(BatchOptions::new()).unwrap();
    let rejected = batch.queue(Operation::get("t").at("k")).unwrap_err();
    assert_eq!(rejected.error.kind(), ErrorKind::Unsupported);
    // Conditions travel alone, so that a false one refuses no neighbour.
    let insert = |key: &str| Operation::insert("t").at(key).doc(&json!({}));
    batch.queue_all([put("a"), insert("b"), insert("c"), put("d")]).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    let mut sizes: Vec<_> = cql.log().chunks().iter().map(|c| c.operations.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 2]);
    let arango = MemoryStore::builder().imitate(Imitation::Arango).log(true).build();
    assert!(
        commit(&arango, [put("a"), Operation::delete("t").at("b"), put("c")]).await.is_success()
    );
    arango.log().assert_chunks(2);
}

#[tokio::test]
async fn any_backend_can_be_wrapped_in_log_and_faults() {
    let memory = MemoryStore::new();
    let log = Log::default();
    let backend =
        Instrumented::new(memory.backend()).with_log(log.clone()).with_faults([Fault::DropAfter]);
    let store = Engine::new(Arc::new(backend), StoreOptions::new());
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(Operation::insert("t").at("k").doc(&json!({}))).unwrap();
    let _ = batch.commit().await.unwrap();
    assert!(matches!(job.status(), JobStatus::Unknown(_)));
    log.assert_chunks(1);
    assert!(memory.document("t", "k").is_some());
}
