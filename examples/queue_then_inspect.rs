//! Queue first, inspect later: a batch without a scope, committed by hand.
//!
//! A job can be asked at any time. Before the commit it is pending; afterwards it is done, whether
//! its operation was applied or not, and its outcome can be read as often as you like.

use serde_json::json;
use unibatch::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let store = unibatch::connect("memory:").await?;
    let mut batch = store.batch(BatchOptions::new())?;

    let abby = Operation::put("students").at("Abby").doc(&json!({"age": 20}));
    batch.queue(abby.returning(Returning::New))?;
    batch.queue(Operation::insert("students").at("John").doc(&json!({"age": 21})))?;
    batch.queue(Operation::insert("students").at("John").doc(&json!({"age": 22})))?;
    batch.queue(Operation::delete("students").at("Nobody"))?;

    print_jobs("before", &*batch);
    println!("{}", batch.plan().await?);
    let first = batch.jobs().next();
    if let Some(Err(error)) = first.map(|job| job.outcome()) {
        println!("{}: {}", error.kind(), error.message());
    }

    let report = batch.commit().await?;

    print_jobs("after", &*batch);
    for job in report.jobs() {
        match job.status() {
            JobStatus::Applied(outcome) => {
                let stored: Option<serde_json::Value> = outcome.decode().ok();
                println!("{} is in the store {}", job.id(), stored.unwrap_or_default());
            }
            JobStatus::Accepted => println!("{} will be in the store", job.id()),
            JobStatus::NotApplied(error) => println!("{} is not: {}", job.id(), error.kind()),
            JobStatus::Unknown(error) => println!("{}: cannot be told: {error}", job.id()),
            other => println!("{} is {}", job.id(), other.as_str()),
        }
    }

    // A committed batch is over; what was not applied can be taken out of it and mended.
    assert!(batch.commit().await.is_err_and(|error| error.kind() == ErrorKind::InvalidState));
    for operation in batch.take() {
        println!("left over: {} {:?}", operation.verb(), operation.key_parts());
    }
    Ok(())
}

fn print_jobs(when: &str, batch: &dyn Batch) {
    let words = batch.jobs().map(|job| if job.is_pending() { "pending" } else { "done" });
    println!("{when}: {}", words.collect::<Vec<_>>().join(" "));
}
