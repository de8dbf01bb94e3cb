use std::fs;

use unibatch::{
    BatchExt as _, Guarantee, Operation, Store as _, StoreOptions,
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
    filled_with(store, BatchOptions::new(), lines)
}

fn filled_with(store: &MemoryStore, options: BatchOptions, lines: &[&str]) -> Box<dyn Batch> {
    let options = options.on_cancel(OnCancel::Settle);
    let mut batch = store.batch(options).unwrap();
    for line in lines {
        batch.queue(Operation::from_json(line).unwrap()).unwrap();
    }
    batch
}

/// What is told of a batch after its commit, as JSON, with the exit code and what is rejected.
fn told(batch: &dyn Batch, ended: &Ended) -> (serde_json::Value, Code, String) {
    let verdicts = Verdicts::OfBatch { batch, unsent: ended.unsent() };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "of an earlier run, and longer than this one's rejects may be\n")
        .unwrap();
    let (summary, code) = judge(verdicts, ended);
    let code = reject(verdicts, Rejects::open(file.path()).unwrap(), code);
    let mut printed = Vec::new();
    output::write_run(&mut printed, verdicts, &summary, Output::Json, None).unwrap();
    let rejects = fs::read_to_string(file.path()).unwrap();
    (serde_json::from_slice(&printed).unwrap(), code, rejects)
}

fn counts(printed: &serde_json::Value) -> [Option<u64>; 4] {
    let report = &printed["report"];
    ["applied", "not_applied", "accepted", "unknown"].map(|name| report[name].as_u64())
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

    let (printed, code, rejects) = told(&*batch, &ended);
    assert_eq!((code, rejects), (Code::Unknown, format!("{JOHN}\n")));
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
    assert!(matches!(ended, Ended::Stopped(elapsed) if elapsed == Duration::from_secs(60)));
    assert_eq!(statuses(&*batch), ["applied", "unknown", "not_applied"]);

    let (printed, code, rejects) = told(&*batch, &ended);
    assert_eq!((code.number(), rejects), (130, format!("{MARY}\n")));
    assert_eq!(counts(&printed), [Some(1), Some(1), Some(0), Some(1)]);
    let report = &printed["report"];
    assert_eq!(report["elapsed_ms"], 60_000);
    assert!(report["warnings"][0].as_str().unwrap().contains("Ctrl-C"));
    assert_eq!(
        report["errors_by_kind"],
        serde_json::json!([
            {"kind": "Cancelled", "status": "not_applied", "count": 1},
            {"kind": "Cancelled", "status": "unknown", "count": 1},
        ])
    );
}

/// Before anything is sent, by best effort and as a whole.
#[tokio::test(start_paused = true)]
async fn ctrl_c_before_anything_was_sent_tells_that_of_every_job_and_rejects_all_of_them() {
    for guarantee in [Guarantee::BestEffort, Guarantee::AllOrNothing { isolated: false }] {
        let faults = Faults::seeded(1, 1.0).only([Fault::Unreachable]);
        let store = MemoryStore::builder().faults(faults).build();
        let options = BatchOptions::new().guarantee(guarantee).deadline(Duration::from_secs(3600));
        let mut batch = filled_with(&store, options, &[ABBY, MARY]);
        let pressed = tokio::time::sleep(Duration::from_secs(60));
        let ended = commit(&mut *batch, pressed, &mut Meter::hidden()).await;
        assert!(matches!(ended, Ended::Unsent(_)), "{ended:?}");
        assert!(batch.jobs().all(|job| job.is_pending()));

        let (printed, code, rejects) = told(&*batch, &ended);
        assert_eq!((code.number(), rejects), (130, format!("{ABBY}\n{MARY}\n")));
        assert_eq!(counts(&printed), [Some(0), Some(2), Some(0), Some(0)]);
        for job in printed["jobs"].as_array().unwrap() {
            assert_eq!(
                (&job["status"], &job["error"]["kind"]),
                (&"not_applied".into(), &"Cancelled".into())
            );
        }
        let error = printed["report"]["error"]["message"].as_str().unwrap();
        assert!(error.contains("before the store could apply anything"), "{printed}");
    }
}

/// Once the answer to the whole may be lost, nobody is told that nothing happened.
#[tokio::test(start_paused = true)]
async fn ctrl_c_while_a_whole_batch_is_under_way_makes_all_of_it_unknown() {
    let store = MemoryStore::builder().faults([Fault::Delay(Duration::from_secs(3600))]).build();
    let whole = Guarantee::AllOrNothing { isolated: false };
    let options = BatchOptions::new().guarantee(whole).deadline(Duration::from_secs(86_400));
    let mut batch = filled_with(&store, options, &[ABBY, MARY]);
    let pressed = tokio::time::sleep(Duration::from_secs(60));
    let ended = commit(&mut *batch, pressed, &mut Meter::hidden()).await;
    let (printed, code, rejects) = told(&*batch, &ended);
    assert_eq!((code.number(), &*rejects), (130, ""));
    assert_eq!(counts(&printed), [Some(0), Some(0), Some(0), Some(2)]);
    assert!(printed["report"].get("error").is_none(), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_sent_nothing_tells_its_error_of_every_job_and_rejects_all_of_them() {
    let store = faulty(Faults::seeded(1, 1.0).only([Fault::Unreachable]));
    let options = BatchOptions::new().deadline(Duration::from_secs(9));
    let mut batch = filled_with(&store, options, &[ABBY, MARY]);
    let ended = commit(&mut *batch, std::future::pending(), &mut Meter::hidden()).await;
    let (printed, code, rejects) = told(&*batch, &ended);
    assert_eq!((code.number(), rejects), (4, format!("{ABBY}\n{MARY}\n")));
    assert_eq!(counts(&printed), [Some(0), Some(2), Some(0), Some(0)]);
    for told in [&printed["jobs"][0], &printed["jobs"][1], &printed["report"]] {
        assert_eq!(told["error"]["kind"], "Timeout", "{printed}");
    }
}

#[tokio::test]
async fn without_results_the_rejects_are_the_same() {
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new().results(false)).unwrap();
    for line in [ABBY, JOHN] {
        batch.queue(Operation::from_json(line).unwrap()).unwrap();
    }
    let ended = commit(&mut *batch, std::future::pending(), &mut Meter::hidden()).await;
    let (_, code, rejects) = told(&*batch, &ended);
    assert_eq!((code, rejects), (Code::NotApplied, format!("{JOHN}\n")));
}

#[tokio::test]
async fn rejects_that_cannot_be_written_are_a_failure_if_there_are_some() {
    for (lines, expected) in [(&[ABBY][..], 0), (&[ABBY, JOHN], 1)] {
        let store = MemoryStore::new();
        let mut batch = filled(&store, lines);
        let _ended = commit(&mut *batch, std::future::pending(), &mut Meter::hidden()).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        let verdicts = Verdicts::OfBatch { batch: &*batch, unsent: None };
        // The verdict of the jobs alone: what is not written is a failure by itself.
        let code = reject(verdicts, Rejects::read_only(file.path()), Code::Done);
        assert_eq!(code.number(), expected, "{lines:?}");
    }
}

#[test]
fn rejects_of_an_earlier_run_do_not_stay_while_this_one_runs() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), ABBY).unwrap();
    let _rejects = Rejects::open(file.path()).unwrap();
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "");
}
