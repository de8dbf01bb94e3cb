//! Commit on error: what was queued before a failure is committed all the same.
//!
//! A scope whose body fails sends nothing, and that is mostly right. Log entries are different:
//! those before the failure are the ones that will be read. The body's error is returned; the
//! report of the commit goes to the callbacks.

use std::error::Error as StdError;

use serde_json::json;
use unibatch::prelude::*;

fn mystery_function() -> Result<(), std::num::ParseIntError> {
    "forty-two".parse::<u32>().map(drop)
}

type LogResult = Result<Report, Box<dyn StdError>>;

async fn log_entries(store: &dyn Store, options: BatchOptions) -> LogResult {
    let entry =
        |step: u32, text: &str| Operation::put("log").key("step", step).doc(&json!({"text": text}));
    let done = store
        .scope(options, async |batch| {
            batch.on_commit(|report| println!("committed {} entries", report.applied()))?;
            batch.queue(entry(1, "before the mystery"))?;
            mystery_function()?;
            batch.queue(entry(2, "after the mystery"))?;
            Ok::<_, Box<dyn StdError>>(())
        })
        .await?;
    Ok(done.report)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    for commit_on_error in [false, true] {
        println!("commit on error: {commit_on_error}");
        let store = unibatch::connect("memory:").await?;
        let options = BatchOptions::new().commit_on_error(commit_on_error);
        if let Err(error) = log_entries(&*store, options).await {
            println!("the body's error: {error}");
        }
        for step in [1, 2] {
            let entry = store.get("log", [("step", step)]).await?;
            println!("entry {step}: {}", if entry.is_some() { "there" } else { "absent" });
        }
    }
    Ok(())
}
