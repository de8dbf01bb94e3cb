//! Order on one key, where the store itself would not show that it was broken.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use batch_core::{
    BatchExt, BatchOptions, ErrorKind, Guarantee, JobStatus, OnError, Operation, Store,
};
use batch_memory::{Fault, MemoryStore};
use serde_json::json;

fn insert(key: &str) -> Operation {
    Operation::insert("t").at(key).doc(&json!({}))
}

fn put(key: &str, n: u32) -> Operation {
    Operation::put("t").at(key).doc(&json!({ "n": n }))
}

#[tokio::test(start_paused = true)]
async fn an_operation_behind_one_in_doubt_on_its_key_is_skipped_and_names_it() {
    for guarantee in [Guarantee::BestEffort, Guarantee::Ordered { on_error: OnError::Continue }] {
        // The first request holds the insert, whose answer is lost: it cannot be sent again.
        let store = MemoryStore::builder().faults([Fault::DropBefore]).log(true).build();
        let mut batch = store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
        let doubtful = batch.queue(insert("k")).unwrap();
        let behind = batch.queue(put("k", 1)).unwrap();
        let further = batch.queue(put("k", 2)).unwrap();
        let report = batch.commit().await.unwrap();
        assert!(matches!(doubtful.status(), JobStatus::Unknown(_)), "{guarantee}");
        for job in [behind, further] {
            let JobStatus::NotApplied(error) = job.status() else { unreachable!("{job:?}") };
            assert_eq!(error.kind(), ErrorKind::Skipped);
            assert!(error.message().contains("operation 1"), "{error}");
        }
        assert_eq!((report.unknown(), report.not_applied()), (1, 2));
        store.log().assert_sent_once("t", "k");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_in_doubt_on_another_key_is_in_nobodys_way() {
    let store = MemoryStore::builder().max_chunk_operations(1).faults([Fault::DropBefore]).build();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue_all([insert("a"), insert("b"), put("b", 1), put("b", 2)]).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.unknown(), report.applied()), (1, 3));
    assert_eq!(store.document("t", "b").unwrap()["n"], 2);
}

#[tokio::test(start_paused = true)]
async fn many_operations_on_few_keys_end_in_program_order_through_conflicts_and_delays() {
    let store = MemoryStore::builder().max_chunk_operations(3).build();
    for key in ["a", "b", "c"] {
        store.conflict_next("t", key, 5);
    }
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    for n in 0..60 {
        batch.queue(put(["a", "b", "c"][n as usize % 3], n)).unwrap();
    }
    assert!(batch.commit().await.unwrap().is_success());
    for (key, last) in [("a", 57), ("b", 58), ("c", 59)] {
        assert_eq!(store.document("t", key).unwrap()["n"], last);
    }
}
