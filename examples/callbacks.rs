//! Callbacks: work that follows a commit, only if the batch was executed.
//!
//! A closure captures its arguments, so there is no argument list to pass along. Callbacks run
//! after every job has ended: those of operations first, then the batch's in the order in which
//! they were added. One that fails is recorded in the report; its siblings still run, and the
//! commit's result is unchanged.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use unibatch::prelude::*;

/// What the callbacks have to say, in the order in which they say it.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.into());
    }

    fn print(&self, title: &str) {
        println!("{title}");
        for line in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            println!("  {line}");
        }
    }
}

fn notify(journal: &Journal, class: &str, urgent: bool) {
    journal.add(format!("class {class} is complete, urgent: {urgent}"));
}

fn add_callbacks(batch: &mut dyn Batch, journal: &Journal) -> Result<()> {
    let class = "7b".to_owned();
    let (own, other, third) = (journal.clone(), journal.clone(), journal.clone());
    batch.on_success(move |_| notify(&own, &class, true))?;
    batch.on_success(|_| Err::<(), _>("the mail server is down"))?;
    batch.on_failure(move |report| other.add(format!("{} not applied", report.not_applied())))?;
    // An async callback owns its clone of the report.
    batch.on_commit_async(move |report: Report| async move {
        tokio::task::yield_now().await;
        third.add(format!("archived the report on {} operations", report.total()));
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let store = unibatch::connect("memory:").await?;
    let journal = Journal::default();
    let abby = || Operation::insert("students").at("Abby").doc(&json!({"age": 20}));

    let mut batch = store.batch(BatchOptions::new())?;
    add_callbacks(&mut *batch, &journal)?;
    let own = journal.clone();
    batch.queue_with(abby(), move |job| own.add(format!("Abby: {}", job.status().as_str())))?;
    let report = batch.commit().await?;
    journal.print("all went well:");
    assert!(report.is_success());
    for failure in report.callback_failures() {
        println!("callback {} failed: {}", failure.place, failure.reason);
    }

    let mut batch = store.batch(BatchOptions::new())?;
    add_callbacks(&mut *batch, &journal)?;
    batch.queue(abby())?;
    let report = batch.commit().await?;
    journal.print("Abby is there already:");
    assert!(report.callback_failures().is_empty());

    let mut batch = store.batch(BatchOptions::new())?;
    add_callbacks(&mut *batch, &journal)?;
    batch.queue(abby())?;
    batch.discard();
    journal.print("the batch was not executed:");
    Ok(())
}
