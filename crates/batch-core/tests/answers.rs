//! What errors and reports may be taken to say, at the edges where it is easy to say too much.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use batch_core::{
    BatchExt, BatchOptions, BatchState, Error, ErrorKind, Fate, Guarantee, JobStatus, Operation,
    Returning, Store, StoreOptions,
};
use batch_memory::{Fault, MemoryStore};
use serde_json::{Value, json};

fn put(key: &str, n: u32) -> Operation {
    Operation::put("t").at(key).doc(&json!({ "n": n }))
}

#[tokio::test]
async fn an_error_that_is_not_about_the_write_is_never_safe_to_retry() {
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let written = batch.queue(put("k", 1)).unwrap();
    let not_ready = written.outcome().unwrap_err();
    assert!(batch.commit().await.unwrap().is_success());
    let no_document = written.decode::<Value>().unwrap_err();
    let mut batch = store.batch(BatchOptions::new().results(false)).unwrap();
    let unrecorded = batch.queue(put("k", 2)).unwrap();
    let refused = batch.queue(Operation::insert("t").at("k").doc(&json!({}))).unwrap();
    assert_eq!(batch.commit().await.unwrap().applied(), 1);
    let not_recorded = unrecorded.outcome().unwrap_err();
    for (error, kind) in [
        (not_ready, ErrorKind::NotReady),
        (no_document, ErrorKind::Decode),
        (not_recorded, ErrorKind::NotRecorded),
    ] {
        assert_eq!(error.kind(), kind);
        assert!(!error.is_retry_safe(), "{error:?}");
        assert_eq!(error.job(), Some(1), "{error:?}");
    }
    // That it was not applied is known without the reason.
    let error = refused.outcome().unwrap_err();
    assert_eq!((error.kind(), error.is_retry_safe()), (ErrorKind::NotRecorded, true));
}

#[tokio::test(start_paused = true)]
async fn the_one_error_of_a_report_says_unknown_if_any_operation_is() {
    let options = StoreOptions::new().max_batch_operations(1).max_in_flight(1);
    let refused = Fault::Refuse(ErrorKind::Unauthorized);
    let faults = [vec![refused; 20], vec![Fault::DropAfter], vec![refused; 20]].concat();
    let store = MemoryStore::builder().options(options).faults(faults).build();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    for n in 0..41 {
        batch.queue(Operation::insert("t").at(format!("k{n}")).doc(&json!({}))).unwrap();
    }
    let report = batch.commit().await.unwrap();
    assert_eq!((report.unknown(), report.not_applied()), (1, 40));
    let error = report.into_result().unwrap_err();
    assert_eq!((error.fate(), error.kind()), (Fate::Unknown, ErrorKind::Connection));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_gives_back_the_old_document_is_not_sent_twice() {
    for (returning, sent) in [(Returning::Old, 1), (Returning::New, 2)] {
        let store = MemoryStore::builder().faults([Fault::DropAfter]).log(true).build();
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        let job = batch.queue(put("k", 2).returning(returning)).unwrap();
        let report = batch.commit().await.unwrap();
        assert_eq!(store.log().times_sent("t", "k"), sent, "{returning:?}: {report}");
        assert_eq!(matches!(job.status(), JobStatus::Unknown(_)), sent == 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_cut_smaller_although_one_of_it_was_refused_before() {
    let store = MemoryStore::builder().hidden_max_bytes(200).build();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    for n in 0..30 {
        batch.queue(put(&format!("k{n}"), n)).unwrap();
    }
    let contradicts = Operation::put("t").at("a").doc(&json!({"_key": "b"}));
    let refused = batch.queue(contradicts).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.applied(), report.not_applied()), (30, 1), "{report}");
    assert_eq!(refused.status().error().map(Error::kind), Some(ErrorKind::InvalidOperation));
}

#[tokio::test(start_paused = true)]
async fn a_size_that_was_refused_is_not_sent_again_whatever_was_in_the_chunk() {
    for guarantee in [Guarantee::BestEffort, Guarantee::AllOrNothing { isolated: false }] {
        let store = MemoryStore::builder().hidden_max_bytes(200).log(true).build();
        for (round, sent) in [(1, 1), (2, 1)] {
            let mut batch = store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
            let large = json!({ "text": "x".repeat(300) });
            batch.queue(Operation::put("t").at("k").doc(&large)).unwrap();
            let kind = match batch.commit().await {
                Ok(report) => report.errors().next().unwrap().kind(),
                Err(error) => error.kind(),
            };
            assert_eq!(kind, ErrorKind::TooLarge);
            assert_eq!(store.log().chunks().len(), sent, "{guarantee}, round {round}");
            batch.discard();
        }
    }
}

#[tokio::test]
async fn an_all_or_nothing_batch_with_an_operation_that_cannot_be_encoded_stays_open() {
    let store = MemoryStore::builder().log(true).build();
    let options = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: false });
    let mut batch = store.batch(options).unwrap();
    batch.queue(put("a", 1)).unwrap();
    batch.queue(Operation::put("t").at("b").doc(&json!({"_key": "c"}))).unwrap();
    let error = batch.commit().await.unwrap_err();
    assert!(error.message().contains("operation 2"), "{error}");
    assert_eq!((batch.state(), batch.len()), (BatchState::Open, 2));
    assert!(store.log().chunks().iter().all(|chunk| !chunk.left));
    batch.discard();
}

#[tokio::test]
async fn a_deadline_that_has_passed_sends_nothing() {
    for deadline in [Duration::ZERO, Duration::from_nanos(1)] {
        let store = MemoryStore::builder().log(true).build();
        let mut batch = store.batch(BatchOptions::new().deadline(deadline)).unwrap();
        batch.queue(put("k", 1)).unwrap();
        assert_eq!(batch.commit().await.unwrap_err().kind(), ErrorKind::Timeout);
        store.log().assert_nothing_sent();
        batch.discard();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_again_is_not_counted_as_sent_again() {
    let options = StoreOptions::new().backoff(Duration::from_secs(10), Duration::from_secs(10));
    let store = MemoryStore::builder().options(options).faults(vec![Fault::Busy; 9]).build();
    let options = BatchOptions::new().deadline(Duration::from_secs(1));
    let mut batch = store.batch(options).unwrap();
    batch.queue(put("k", 1)).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.attempts(), report.retries(), report.deviations()), (1, 0, 0));
}

#[tokio::test]
async fn a_panic_that_panics_again_when_it_is_dropped_stays_with_its_callback() {
    struct Twice;
    impl Drop for Twice {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "once more");
        }
    }
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(put("k", 1)).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    batch.on_commit(|_| -> () { std::panic::panic_any(Twice) }).unwrap();
    batch.on_commit(move |report| sender.send(report.applied())).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!(report.callback_failures().len(), 1);
    assert_eq!(receiver.recv().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_dropped_while_callbacks_run_does_not_open_again_though_nothing_was_sent() {
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let refused = batch.queue(Operation::put("t").at("a").doc(&json!({"_key": "b"}))).unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    batch
        .on_commit_async(async move |report| {
            tokio::time::sleep(Duration::from_secs(5)).await;
            sender.send(report.not_applied()).map_err(|_| "nobody waits")
        })
        .unwrap();
    let dropped = tokio::time::timeout(Duration::from_secs(1), batch.commit()).await;
    assert!(dropped.is_err(), "the callback takes longer");
    assert_eq!(batch.state(), BatchState::Committed);
    assert!(refused.is_done());
    assert_eq!(batch.commit().await.unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(receiver.await.unwrap(), 1, "the callback finishes detached");
}

fn does_not_fit(key: &str) -> Operation {
    Operation::put("t").at(key).doc(&json!({"_key": "another"}))
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_before_the_request_is_not_applied_whatever_becomes_of_that() {
    let options = StoreOptions::new().timeout(Duration::from_secs(1));
    let hangs = Fault::Delay(Duration::from_secs(60));
    let store = MemoryStore::builder().options(options).faults([hangs]).build();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let refused = batch.queue(does_not_fit("a")).unwrap();
    let sent = batch.queue(put("b", 1)).unwrap();
    let report = batch.commit().await.unwrap();
    assert_eq!((report.not_applied(), report.unknown()), (1, 1), "{report}");
    assert!(matches!(sent.status(), JobStatus::Unknown(_)));
    let JobStatus::NotApplied(error) = refused.status() else { panic!("{:?}", refused.status()) };
    assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_a_clock_can_show_ends_at_the_deadline() {
    for pause in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
        let options = StoreOptions::new().timeout(Duration::from_secs(5)).max_batch_operations(1);
        let options = options.max_in_flight(1).backoff(pause, pause);
        let faults = [Fault::None, Fault::BusyFor(pause), Fault::Busy];
        let store = MemoryStore::builder().options(options).faults(faults).build();
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        for n in 0..4 {
            batch.queue(put(&format!("k{n}"), n)).unwrap();
        }
        let report = batch.commit().await.unwrap();
        assert_eq!((report.applied(), report.not_applied()), (2, 2), "{report}");
        let error = report.errors().next().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}

#[test]
fn a_native_operation_takes_no_option_that_its_statement_has_to_say() {
    for operation in [
        Operation::aql("RETURN 1", json!({})).if_revision("7"),
        Operation::aql("RETURN 1", json!({})).returning(Returning::Old),
    ] {
        let error = operation.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOperation);
        assert!(error.message().contains("write that into the statement"), "{error}");
    }
}
