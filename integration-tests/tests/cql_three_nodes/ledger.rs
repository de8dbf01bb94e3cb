//! What was written and what the jobs say of it, against what all nodes say afterwards.

use std::{collections::HashMap, sync::Arc};

use batch_core::{Job, JobStatus};
use futures_util::TryStreamExt as _;
use integration_tests::{Result, Write, connect};
use scylla::{
    client::session::Session,
    statement::{Consistency, Statement},
    value::Counter,
};

use crate::{KEYSPACE, World};

/// Writes to rows of their own, counters of their own, and the jobs of each.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) writes: Vec<(Write, Job)>,
    pub(crate) counters: Vec<(String, Job)>,
}

impl Ledger {
    /// Waits until the nodes have carried out what they had logged, and reads everything on all.
    pub(crate) async fn holds(self, world: &Arc<World>) -> Result<()> {
        let waiter = Arc::clone(world);
        tokio::task::spawn_blocking(move || waiter.ring().replay()).await??;
        let first = world.ring().address(0)?;
        let session = connect(first, None, false).await?;
        let writes = self.writes.len();
        let mut wrong =
            world.things.contradictions(&session, Consistency::All, self.writes).await?;
        wrong.extend(miscounted(&session, self.counters).await?);
        assert!(
            wrong.is_empty(),
            "{} of {writes}: {:#?}",
            wrong.len(),
            wrong.get(..20).unwrap_or(&wrong)
        );
        Ok(())
    }
}

/// Every counter that is not what its job says: each was counted up once, if at all.
async fn miscounted(session: &Session, jobs: Vec<(String, Job)>) -> Result<Vec<String>> {
    let mut statement = Statement::new(format!("SELECT id, n FROM {KEYSPACE}.counters"));
    statement.set_consistency(Consistency::All);
    let rows = session.query_iter(statement, ()).await?.rows_stream::<(String, Counter)>()?;
    let counts: HashMap<String, i64> =
        rows.map_ok(|(id, counter)| (id, counter.0)).try_collect().await?;
    let wrong = jobs.into_iter().filter_map(|(id, job)| {
        let count = counts.get(&id).copied().unwrap_or(0);
        let status = job.status();
        let holds = match &status {
            JobStatus::Applied(_) => count == 1,
            JobStatus::NotApplied(_) => count == 0,
            JobStatus::Unknown(_) => count == 0 || count == 1,
            _ => false,
        };
        (!holds).then(|| format!("{id} is {status:?}, and its count is {count}"))
    });
    Ok(wrong.collect())
}
