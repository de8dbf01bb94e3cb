//! What is in the store, read behind its back, against what its jobs say.

use std::collections::HashMap;

use batch_core::{Job, JobStatus, Key, Operation, Verb};
use futures_util::TryStreamExt as _;
use scylla::{
    client::session::Session,
    statement::{Consistency, Statement},
};

use crate::{Result, execute};

/// How often a read is tried again; each takes its seconds to time out.
const MORE_READS: usize = 20;

/// A table of rows with a partition, a name and a number, for tests of what becomes of writes.
#[derive(Clone, Debug)]
pub struct Things {
    keyspace: String,
    name: String,
}

/// A write to a row of its own, which nobody else writes.
#[derive(Clone, Debug)]
pub struct Write {
    partition: String,
    id: String,
    number: i32,
}

impl Things {
    /// Makes the table.
    ///
    /// # Errors
    /// What the server said.
    pub async fn make(session: &Session, keyspace: &str, name: &str) -> Result<Self> {
        let statement = format!(
            "CREATE TABLE {keyspace}.{name} (p text, id text, number int, PRIMARY KEY (p, id))"
        );
        execute(session, statement).await?;
        Ok(Self { keyspace: keyspace.to_owned(), name: name.to_owned() })
    }

    /// The table's name with its keyspace.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.keyspace, self.name)
    }

    /// An operation that makes the row of a write.
    #[must_use]
    pub fn operation(&self, verb: Verb, write: &Write) -> Operation {
        let key = Key::new().part("p", &*write.partition).part("id", &*write.id);
        Operation::on(verb, self.full_name())
            .at(key)
            .doc(&serde_json::json!({"number": write.number}))
    }

    /// The number of every row, by partition and name, read at a consistency.
    ///
    /// # Errors
    /// What the server said.
    pub async fn rows(
        &self,
        session: &Session,
        consistency: Consistency,
    ) -> Result<HashMap<(String, String), Option<i32>>> {
        let mut statement =
            Statement::new(format!("SELECT p, id, number FROM {}", self.full_name()));
        statement.set_consistency(consistency);
        let rows = session.query_iter(statement, ()).await?;
        let rows = rows.rows_stream::<(String, String, Option<i32>)>()?;
        Ok(rows.map_ok(|(p, id, number)| ((p, id), number)).try_collect().await?)
    }

    /// Every job whose answer contradicts what is in the store, in words.
    ///
    /// # Errors
    /// What the server said.
    pub async fn contradictions(
        &self,
        session: &Session,
        consistency: Consistency,
        jobs: impl IntoIterator<Item = (Write, Job)>,
    ) -> Result<Vec<String>> {
        // A read may time out too while a dead node is not yet known to be one.
        let mut rows = self.rows(session, consistency).await;
        for _ in 0..MORE_READS {
            if rows.is_ok() {
                break;
            }
            rows = self.rows(session, consistency).await;
        }
        let rows = rows?;
        let wrong = jobs.into_iter().filter_map(|(write, job)| {
            let Write { partition, id, number } = write;
            let found = rows.get(&(partition.clone(), id.clone()));
            let is_there = found == Some(&Some(number));
            let status = job.status();
            let holds = match &status {
                JobStatus::Applied(_) | JobStatus::Accepted => is_there,
                JobStatus::NotApplied(_) => found.is_none(),
                JobStatus::Unknown(_) => is_there || found.is_none(),
                _ => false,
            };
            (!holds).then(|| format!("{partition}/{id} is {status:?}, and its row is {found:?}"))
        });
        Ok(wrong.collect())
    }
}

impl Write {
    /// The write of a row that has this number.
    #[must_use]
    pub fn new(partition: impl Into<String>, id: impl Into<String>, number: i32) -> Self {
        Self { partition: partition.into(), id: id.into(), number }
    }
}
