//! One service on three stores: on memory, on Cassandra or ScyllaDB, and on ArangoDB.
//!
//! The service takes `Arc<dyn Store>` and names no database. All that a table asks of it is in the
//! keys: `class` is the partition key, so a whole class can be entered under conditions; `student`
//! tells its rows apart. On ArangoDB the two are one `_key`, and a collection `marks` is all it takes.
//! Without a server the program runs on memory alone; this is the table for CQL:
//!
//! ```text
//! CREATE TABLE school.marks (class text, student text, mark int, PRIMARY KEY (class, student));
//! UNIBATCH_CQL_URL=cql://localhost/school cargo run -p unibatch-examples --bin one_service
//! UNIBATCH_ARANGO_URL=arango://root@localhost/school cargo run -p unibatch-examples --bin one_service
//! ```

use std::{env, sync::Arc};

use serde::{Deserialize, Serialize};
use unibatch::prelude::*;

#[derive(Deserialize, Serialize)]
struct Entry {
    mark: u32,
}

/// A student of a class, as every store has it.
fn key(class: &str, student: &str) -> Key {
    Key::from([("class", class), ("student", student)])
}

struct Register {
    store: Arc<dyn Store>,
}

impl Register {
    /// Enters all students, or none if one of them is in the class already.
    async fn enter(&self, class: &str, students: &[&str]) -> Result<Report> {
        let whole = Guarantee::AllOrNothing { isolated: false };
        let mut batch = self.store.batch(BatchOptions::new().guarantee(whole))?;
        for student in students {
            let entry = Entry { mark: 0 };
            batch.queue(Operation::insert("marks").at(key(class, student)).doc(&entry))?;
        }
        batch.commit().await
    }

    /// Gives marks, each for itself; returns those who are not in the class.
    async fn mark<'a>(&self, class: &str, marks: &[(&'a str, u32)]) -> Result<Vec<&'a str>> {
        let mut batch = self.store.batch(BatchOptions::new())?;
        for (student, mark) in marks {
            let entry = Entry { mark: *mark };
            batch.queue(Operation::update("marks").at(key(class, student)).doc(&entry))?;
        }
        let report = batch.commit().await?;
        let mut strangers = Vec::new();
        for ((student, _), job) in marks.iter().zip(report.jobs()) {
            match job.outcome() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => strangers.push(*student),
                Err(error) => return Err(error),
            }
        }
        Ok(strangers)
    }

    async fn mark_of(&self, class: &str, student: &str) -> Result<Option<u32>> {
        let found = self.store.get("marks", key(class, student)).await?;
        let entry: Option<Entry> = found.map(|outcome| outcome.decode()).transpose()?;
        Ok(entry.map(|entry| entry.mark))
    }

    async fn remove(&self, class: &str, students: &[&str]) -> Result<()> {
        let mut batch = self.store.batch(BatchOptions::new())?;
        batch.queue_all(students.iter().map(|s| Operation::delete("marks").at(key(class, s))))?;
        batch.commit().await?.into_result().map(drop)
    }
}

/// What a visit comes to: the same on every store, and how the store did it.
pub async fn visit(store: Arc<dyn Store>) -> Result<(Vec<String>, String)> {
    let register = Register { store };
    register.remove("7b", &["Abby", "John", "Rita"]).await?;
    let first = register.enter("7b", &["Abby", "John"]).await?;
    let second = register.enter("7b", &["Rita", "Abby"]).await?;
    let strangers = register.mark("7b", &[("Abby", 1), ("Rita", 2), ("John", 3)]).await?;
    let mut told = vec![
        format!("{} applied, then {} not applied", first.applied(), second.not_applied()),
        format!("not in the class: {}", strangers.join(", ")),
    ];
    for student in ["Abby", "John", "Rita"] {
        told.push(format!("{student}: {:?}", register.mark_of("7b", student).await?));
    }
    let mechanisms: Vec<&str> = first.mechanisms().iter().map(|used| &*used.name).collect();
    Ok((told, mechanisms.join(", ")))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut stores = vec![unibatch::connect("memory:").await?];
    for (variable, databases) in
        [("UNIBATCH_CQL_URL", "Cassandra or ScyllaDB"), ("UNIBATCH_ARANGO_URL", "ArangoDB")]
    {
        match env::var(variable) {
            Ok(url) => stores.push(unibatch::connect(&url).await?),
            Err(_) => println!("set {variable} to see the same on {databases}"),
        }
    }
    for store in stores {
        let name = store.name();
        let (told, mechanism) = visit(store).await?;
        told.iter().for_each(|line| println!("{name}: {line}"));
        println!("{name}: a class is entered by {mechanism}");
    }
    Ok(())
}
