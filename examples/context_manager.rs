//! The context manager: operations are queued inside a scope, and leaving the scope commits them.
//!
//! One operation in the middle fails. The others are applied all the same, and the failure is met
//! where its result is read. A scope that itself fails sends nothing.

use serde::Deserialize;
use serde_json::json;
use unibatch::prelude::*;

#[derive(Debug, Deserialize)]
struct Student {
    age: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let store = unibatch::connect("memory:").await?;

    let Scoped { value: jobs, report } = store
        .scope(BatchOptions::new(), async |batch| {
            // Nothing is sent here: `queue` gives a job in the place of a result.
            let kris = Operation::insert("students").at("Kris").doc(&json!({"age": 20}));
            let twin = Operation::insert("students").at("Kris").doc(&json!({"age": 99}));
            let rita = Operation::insert("students").at("Rita").doc(&json!({"age": 21}));
            let read = Operation::get("students").at("Rita");
            Ok::<_, Error>([
                batch.queue(kris)?,
                batch.queue(twin)?, // will fail: the key is taken
                batch.queue(rita)?,
                batch.queue(read)?,
            ])
        })
        .await?;

    assert!(store.get("students", "Kris").await?.is_some());
    assert!(store.get("students", "Rita").await?.is_some());
    for job in &jobs {
        println!("{}: {}", job.id(), job.status().as_str());
    }
    println!("{} applied, {} not applied", report.applied(), report.not_applied());

    let [_, twin, _, read] = jobs;
    let rita: Student = read.decode()?;
    println!("Rita is {}", rita.age);
    match twin.outcome() {
        Ok(outcome) => println!("unexpected: {outcome:?}"),
        Err(error) => println!("{}: {error}", error.kind()),
    }

    let failed: Result<Scoped<()>> = store
        .scope(BatchOptions::new(), async |batch| {
            batch.queue(Operation::put("students").at("Jake").doc(&json!({"age": 22})))?;
            Err(Error::new(ErrorKind::NotFound, "the class list has no more names"))
        })
        .await;
    if let Err(error) = failed {
        println!("scope failed: {error}");
    }
    assert!(store.get("students", "Jake").await?.is_none());
    Ok(())
}
