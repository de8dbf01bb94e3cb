//! A service that knows no database: it takes `Arc<dyn Store>`.
//!
//! The functions below name no backend. They run, byte for byte the same, on every store; here on
//! the memory store as it is and on two that imitate ArangoDB and CQL.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unibatch::{
    memory::{Imitation, MemoryStore},
    prelude::*,
};

#[derive(Debug, Deserialize, Serialize)]
struct Student {
    name: String,
    age: u32,
}

/// Queues only: it is the caller who decides what is committed together.
fn enrol(batch: &mut dyn Batch, students: &[Student]) -> Result<Vec<Job>> {
    let insert = |s: &Student| Operation::insert("students").key("id", &s.name).doc(s);
    students.iter().map(|student| Ok(batch.queue(insert(student))?)).collect()
}

struct School {
    store: Arc<dyn Store>,
}

impl School {
    /// All of the class or nobody.
    async fn open_class(&self, students: &[Student]) -> Result<Report> {
        let whole = Guarantee::AllOrNothing { isolated: false };
        let options = BatchOptions::new().guarantee(whole);
        let scoped = self.store.scope(options, async |batch| enrol(batch, students)).await?;
        Ok(scoped.report)
    }

    async fn student(&self, name: &str) -> Result<Option<Student>> {
        let found = self.store.get("students", [("id", name)]).await?;
        found.map(|outcome| outcome.decode()).transpose()
    }
}

async fn visit(title: &str, store: Arc<dyn Store>) -> Result<()> {
    let school = School { store };
    let class = |names: [&str; 2]| names.map(|name| Student { name: name.to_owned(), age: 20 });

    let first = school.open_class(&class(["Abby", "John"])).await?;
    let second = school.open_class(&class(["Rita", "Abby"])).await?;
    let rita = school.student("Rita").await?.map(|student| student.age);
    let abby = school.student("Abby").await?.map(|student| student.age);
    println!(
        "{title}: {} applied, then {} not applied; Abby {abby:?}, Rita {rita:?}",
        first.applied(),
        second.not_applied()
    );

    // A statement of one database is refused by the others when it is queued.
    let mut batch = school.store.batch(BatchOptions::new())?;
    let aql = Operation::aql("FOR s IN students RETURN s", ());
    if let Err(rejected) = batch.queue(aql) {
        println!("{title}: {}: {rejected}", rejected.error.kind());
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let like = |other| Arc::new(MemoryStore::builder().imitate(other).build());
    visit("memory", Arc::new(MemoryStore::new())).await?;
    visit("like ArangoDB", like(Imitation::Arango)).await?;
    visit("like CQL", like(Imitation::Cql)).await
}
