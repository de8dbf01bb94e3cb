//! The server, the table, and what each way of writing needs, made before anything is measured.

use std::sync::Arc;

use batch_core::StoreOptions;
use batch_cql::{CqlStatement, CqlStore};
use integration_tests::{Cassandra, execute, make_keyspace};
use scylla::{
    client::session::Session,
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};

use crate::{Outcome, rows::COLUMNS};

/// The most statements in a batch of code by hand.
pub(crate) const LARGEST_BATCH: usize = 100;

/// One table on one server, over one driver session that all ways share.
pub(crate) struct Bench {
    pub(crate) keyspace: String,
    pub(crate) session: Arc<Session>,
    pub(crate) store: CqlStore,
    pub(crate) insert: PreparedStatement,
    pub(crate) bound: CqlStatement,
    /// Ready batches of code by hand, by the number of their statements.
    batches: Vec<Batch>,
}

/// The table that all ways write to.
pub(crate) const TABLE: &str = "rows";

impl Bench {
    pub(crate) async fn connect(
        server: &Cassandra,
        keyspace: &str,
        options: StoreOptions,
    ) -> Outcome<Self> {
        let session = Arc::new(server.session().await?);
        make_keyspace(&session, keyspace, 1).await?;
        execute(&session, format!("CREATE TABLE IF NOT EXISTS {keyspace}.{TABLE} ({COLUMNS})"))
            .await?;
        let store = CqlStore::from_session(Arc::clone(&session), Some(keyspace), options).await?;
        let text = format!("INSERT INTO {keyspace}.{TABLE} (p, c, name, age) VALUES (?, ?, ?, ?)");
        let insert = session.prepare(text.as_str()).await?;
        let bound = CqlStatement::new(insert.clone())?;
        let batches = (0..=LARGEST_BATCH)
            .map(|count| {
                let mut batch = Batch::new(BatchType::Unlogged);
                (0..count).for_each(|_| batch.append_statement(insert.clone()));
                batch
            })
            .collect();
        let keyspace = keyspace.to_owned();
        Ok(Self { keyspace, session, store, insert, bound, batches })
    }

    /// The ready batch of so many inserts.
    pub(crate) fn batch_of(&self, count: usize) -> Outcome<&Batch> {
        self.batches.get(count).ok_or_else(|| format!("a batch of {count}").into())
    }

    /// Empties the table.
    pub(crate) async fn empty(&self) -> Outcome<()> {
        execute(&self.session, format!("TRUNCATE {}.{TABLE}", self.keyspace)).await?;
        Ok(())
    }

    /// The rows that are in the table.
    pub(crate) async fn count(&self) -> Outcome<u64> {
        let text = format!("SELECT count(*) FROM {}.{TABLE}", self.keyspace);
        let mut rows = self.session.query_iter(text, ()).await?.rows_stream::<(i64,)>()?;
        let mut count = 0;
        while let Some((some,)) = futures_util::TryStreamExt::try_next(&mut rows).await? {
            count += u64::try_from(some)?;
        }
        Ok(count)
    }

    /// Fails unless so many rows are in the table.
    pub(crate) async fn expect(&self, rows: usize, by: &str) -> Outcome<()> {
        let there = self.count().await?;
        if there == u64::try_from(rows)? {
            return Ok(());
        }
        Err(format!("{by}: {there} rows are in the table, and not {rows}").into())
    }
}
