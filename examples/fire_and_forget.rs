//! Fire and forget: no results are kept, so a job costs one byte.
//!
//! Forgetting the results is not forgetting the failures. The report still counts every answer and
//! keeps the first and the last ten errors, and a job still knows whether it is done.

use serde_json::json;
use unibatch::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let store = unibatch::connect("memory:").await?;
    let mut batch = store.batch(BatchOptions::new().results(false))?;

    let seats = (0..10_000).map(|number| {
        let seat = number % 9_990; // the last ten are taken by then
        Operation::insert("seats").key("number", seat).doc(&json!({"free": true}))
    });
    for seat in seats {
        batch.queue(seat)?;
    }
    let last = batch.jobs().next_back();
    let report = batch.commit().await?;

    println!("{} applied, {} not applied", report.applied(), report.not_applied());
    for (kind, _fate, count) in report.errors_by_kind() {
        println!("{count} x {kind}");
    }
    if let Some(error) = report.errors().next() {
        println!("first: {error}");
    }
    if let Some(job) = last {
        assert!(job.is_done());
        println!("outcome: {}", job.outcome().map_or_else(|e| e.kind().as_str(), |_| "kept"));
    }

    // One `?` for those who want every failure to be an error.
    if let Err(error) = report.into_result() {
        println!("as a result: {}", error.kind());
    }
    Ok(())
}
