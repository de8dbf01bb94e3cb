use std::fs;

use unibatch::{
    BatchExt as _, JobStatus, Operation, Store as _, StoreOptions,
    memory::{Fault, Faults, MemoryStore},
};

use super::*;
use crate::args::Output;

/// A store that sends one operation at a time and meets these faults.
fn faulty(faults: impl Into<Faults>) -> MemoryStore {
    MemoryStore::builder()
        .options(StoreOptions::new().max_in_flight(1).timeout(Duration::from_secs(86_400)))
        .max_chunk_operations(1)
        .faults(faults)
        .build()
}

fn filled(store: &MemoryStore, lines: &[&str]) -> Box<dyn Batch> {
    let options = BatchOptions::new().on_cancel(OnCancel::Settle);
    let mut batch = store.batch(options).unwrap();
    for line in lines {
        batch.queue(Operation::from_json(line).unwrap()).unwrap();
    }
    batch
}

fn statuses(batch: &dyn Batch) -> Vec<&'static str> {
    batch.jobs().map(|job| job.status().as_str()).collect()
}

const ABBY: &str = r#"{"op":"insert","collection":"students","key":"Abby","doc":{"age":20}}"#;
const JOHN: &str = r#"{"op":"update","collection":"students","key":"John","doc":{"age":21}}"#;
const MARY: &str = r#"{"op":"insert","collection":"students","key":"Mary","doc":{"age":22}}"#;

#[tokio::test(start_paused = true)]
async fn an_operation_of_which_it_cannot_be_told_makes_exit_code_3_and_is_no_reject() {
    let store = faulty([Fault::DropAfter]);
    let mut batch = filled(&store, &[ABBY, JOHN, MARY]);
    let ended = commit(&mut *batch, std::future::pending(), &mut Meter::hidden()).await;
    assert_eq!(statuses(&*batch), ["unknown", "not_applied", "applied"]);

    let file = tempfile::NamedTempFile::new().unwrap();
    let rejects = Rejects::open(file.path()).unwrap();
    let (summary, code) = judge(&*batch, ended, Some(rejects)).unwrap();
    assert_eq!(code, Code::Unknown);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), format!("{JOHN}\n"));

    let mut printed = Vec::new();
    output::write_run(&mut printed, &*batch, &summary, Output::Json, None).unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(printed["jobs"][0]["status"], "unknown");
    assert!(printed["jobs"][0]["error"]["kind"].is_string());
    assert_eq!(printed["report"]["unknown"], 1);
}

#[tokio::test(start_paused = true)]
async fn ctrl_c_settles_every_job_and_leaves_what_was_not_sent_in_the_rejects() {
    let store = faulty([Fault::None, Fault::Delay(Duration::from_secs(3600))]);
    let john = JOHN.replace("update", "put");
    let mut batch = filled(&store, &[ABBY, &john, MARY]);
    let pressed = tokio::time::sleep(Duration::from_secs(60));
    let ended = commit(&mut *batch, pressed, &mut Meter::hidden()).await;
    assert!(matches!(ended, Ok(Ended::Stopped(elapsed)) if elapsed == Duration::from_secs(60)));
    assert_eq!(statuses(&*batch), ["applied", "unknown", "not_applied"]);

    let file = tempfile::NamedTempFile::new().unwrap();
    let rejects = Rejects::open(file.path()).unwrap();
    let (summary, code) = judge(&*batch, ended, Some(rejects)).unwrap();
    assert_eq!(code.number(), 130);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), format!("{MARY}\n"));

    let mut printed = Vec::new();
    output::write_run(&mut printed, &*batch, &summary, Output::Json, None).unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    let report = &printed["report"];
    let counts =
        ["applied", "not_applied", "accepted", "unknown"].map(|name| report[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(0), Some(1)]);
    assert_eq!(report["elapsed_ms"], 60_000);
    assert!(report["warnings"][0].as_str().unwrap().contains("Ctrl-C"));
}

#[tokio::test(start_paused = true)]
async fn ctrl_c_before_anything_was_sent_leaves_the_rejects_alone() {
    let store = faulty(Faults::seeded(1, 1.0).only([Fault::Unreachable]));
    let mut batch = filled(&store, &[ABBY]);
    let pressed = tokio::time::sleep(Duration::from_secs(60));
    let ended = commit(&mut *batch, pressed, &mut Meter::hidden()).await;
    assert!(matches!(ended, Ok(Ended::Untouched)), "{ended:?}");

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "of an earlier run\n").unwrap();
    let failure = judge(&*batch, ended, Some(Rejects::open(file.path()).unwrap())).unwrap_err();
    assert_eq!(failure.code().number(), 130);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "of an earlier run\n");
    assert!(batch.jobs().all(|job| job.is_pending()));
}

#[tokio::test]
async fn without_results_the_rejects_are_the_same() {
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new().results(false)).unwrap();
    for line in [ABBY, JOHN] {
        batch.queue(Operation::from_json(line).unwrap()).unwrap();
    }
    let ended = commit(&mut *batch, std::future::pending(), &mut Meter::hidden()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let rejects = Rejects::open(file.path()).unwrap();
    let (_, code) = judge(&*batch, ended, Some(rejects)).unwrap();
    assert_eq!(code, Code::NotApplied);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), format!("{JOHN}\n"));
}

#[tokio::test]
async fn rejects_that_cannot_be_written_make_a_success_a_failure() {
    let store = MemoryStore::new();
    let mut batch = filled(&store, &[ABBY]);
    let ended = commit(&mut *batch, std::future::pending(), &mut Meter::hidden()).await;
    assert!(matches!(batch.jobs().next().map(|job| job.status()), Some(JobStatus::Applied(_))));
    let file = tempfile::NamedTempFile::new().unwrap();
    let (_, code) = judge(&*batch, ended, Some(Rejects::read_only(file.path()))).unwrap();
    assert_eq!(code.number(), 1);
}
