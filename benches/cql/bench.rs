//! The server, the table, and what each way of writing needs, made before anything is measured.

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

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

use crate::{Outcome, rows::Row};

/// The most statements in a batch of code by hand.
const LARGEST_BATCH: usize = 500;

/// The table of one kind of rows on one server, over one driver session that all ways share.
pub(crate) struct Bench<R> {
    pub(crate) keyspace: String,
    pub(crate) session: Arc<Session>,
    pub(crate) store: CqlStore,
    pub(crate) insert: PreparedStatement,
    pub(crate) bound: CqlStatement,
    /// Ready batches of code by hand, by the number of their statements.
    batches: Vec<OnceLock<Batch>>,
    rows: PhantomData<fn() -> R>,
}

impl<R: Row> Bench<R> {
    pub(crate) async fn connect(
        server: &Cassandra,
        keyspace: &str,
        options: StoreOptions,
    ) -> Outcome<Self> {
        let session = Arc::new(server.session().await?);
        make_keyspace(&session, keyspace, 1).await?;
        let table = R::TABLE;
        let columns: Vec<String> =
            R::COLUMNS.iter().map(|(name, typ)| format!("{name} {typ}")).collect();
        let columns = columns.join(", ");
        let text = format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.{table} (p bigint, c bigint, {columns}, PRIMARY KEY (p, c))"
        );
        execute(&session, text).await?;
        let store = CqlStore::from_session(Arc::clone(&session), Some(keyspace), options).await?;
        let names = R::COLUMNS.iter().map(|(name, _)| *name);
        let names: Vec<&str> = ["p", "c"].into_iter().chain(names).collect();
        let markers = vec!["?"; names.len()].join(", ");
        let names = names.join(", ");
        let text = format!("INSERT INTO {keyspace}.{table} ({names}) VALUES ({markers})");
        let insert = session.prepare(text).await?;
        let bound = CqlStatement::new(insert.clone())?;
        let batches = (0..=LARGEST_BATCH).map(|_| OnceLock::new()).collect();
        let keyspace = keyspace.to_owned();
        Ok(Self { keyspace, session, store, insert, bound, batches, rows: PhantomData })
    }

    /// The ready batch of so many inserts.
    pub(crate) fn batch_of(&self, count: usize) -> Outcome<&Batch> {
        let batch = self.batches.get(count).ok_or_else(|| format!("a batch of {count}"))?;
        Ok(batch.get_or_init(|| {
            let mut batch = Batch::new(BatchType::Unlogged);
            (0..count).for_each(|_| batch.append_statement(self.insert.clone()));
            batch
        }))
    }

    /// Empties the table.
    pub(crate) async fn empty(&self) -> Outcome<()> {
        execute(&self.session, format!("TRUNCATE {}.{}", self.keyspace, R::TABLE)).await?;
        Ok(())
    }

    /// The rows that are in the table.
    pub(crate) async fn count(&self) -> Outcome<u64> {
        let text = format!("SELECT count(*) FROM {}.{}", self.keyspace, R::TABLE);
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
