//! How does your service behave when nobody can tell whether a write arrived?
//!
//! The memory store loses requests and answers on order and keeps a log of what was sent, so the
//! worst day of a service is a test of three lines. The service here inserts students, looks at
//! the rows of which it cannot be told, and sends again only what is not there.

use serde_json::json;
use unibatch::{
    memory::{Fault, MemoryStore},
    prelude::*,
};

#[derive(Debug, Default, PartialEq)]
struct Enrolled {
    applied: usize,
    found: usize,
    sent_again: usize,
}

/// The service under test. Inserts are not idempotent, so the library never repeats one by itself
/// after its answer was lost: whether to do so is decided here.
async fn enrol(store: &dyn Store, names: &[&str]) -> Result<Enrolled> {
    let mut done = Enrolled::default();
    let mut left = names.to_vec();
    let mut round = 0;
    while !left.is_empty() {
        let insert = |name: &str| Operation::insert("students").at(name).doc(&json!({"age": 20}));
        let mut batch = store.batch(BatchOptions::new())?;
        let jobs = batch.queue_all(left.iter().map(|name| insert(name)))?;
        let report = batch.commit().await?;
        done.sent_again += if round > 0 { left.len() } else { 0 };
        round += 1;

        let mut absent = Vec::new();
        for (name, job) in left.into_iter().zip(jobs) {
            match job.status() {
                JobStatus::Applied(_) | JobStatus::Accepted => done.applied += 1,
                JobStatus::Unknown(_) if store.get("students", name).await?.is_some() => {
                    done.found += 1;
                }
                JobStatus::Unknown(_) if round < 3 => absent.push(name),
                _ => return Err(report.into_result().err().unwrap_or_else(still_unknown)),
            }
        }
        left = absent;
    }
    Ok(done)
}

fn still_unknown() -> Error {
    Error::new(ErrorKind::Timeout, "three rounds, and it still cannot be told").unknown()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // The write arrives, its answer does not: the row is found, and nothing is sent twice.
    let store = MemoryStore::builder().log(true).faults([Fault::DropAfter]).build();
    println!("answer lost:  {:?}", enrol(&store, &["Abby", "John"]).await?);
    store.log().assert_sent_once("students", "Abby");
    assert_eq!(store.documents("students").len(), 2);

    // The write is lost on its way: the row is not there, so it is sent again.
    let store = MemoryStore::builder().log(true).faults([Fault::DropBefore]).build();
    println!("request lost: {:?}", enrol(&store, &["Abby", "John"]).await?);
    assert_eq!(store.log().times_sent("students", "Abby"), 2);
    assert_eq!(store.documents("students").len(), 2);

    // Certainly not applied, and it may help to try again: that the library does by itself.
    let store = MemoryStore::builder().log(true).faults([Fault::Unreachable, Fault::Busy]).build();
    println!("busy server:  {:?}", enrol(&store, &["Abby", "John"]).await?);
    store.log().assert_chunks(3);

    // An answer for one operation is missing: the others are not dragged into doubt.
    let store = MemoryStore::builder().log(true).faults([Fault::MissingAnswer]).build();
    println!("half answer:  {:?}", enrol(&store, &["Abby", "John"]).await?);
    store.log().assert_chunks(1);
    Ok(())
}
