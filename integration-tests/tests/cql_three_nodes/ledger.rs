//! What was written and what the jobs say of it, against what all nodes say afterwards.

use std::{collections::HashMap, time::Duration};

use batch_core::{Job, JobStatus};
use futures_util::TryStreamExt as _;
use scylla::{
    client::session::Session,
    statement::{Consistency, Statement},
    value::Counter,
};
use unibatch_integration_tests::{Result, Write, connect, execute};

use crate::{KEYSPACE, World};

/// Longer than nodes take to carry out what is in their batch logs: they look every ten seconds.
const LONGEST_REPLAY: Duration = Duration::from_secs(60);
/// How often it is asked whether they have.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// Writes to rows of their own, counters of their own, and the jobs of each.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) writes: Vec<(Write, Job)>,
    pub(crate) counters: Vec<(String, Job)>,
}

impl Ledger {
    /// Waits until the nodes have nothing left to do, and reads everything on all of them.
    pub(crate) async fn holds(self, world: &World) -> Result<()> {
        let nodes: Vec<_> = {
            let ring = world.ring();
            ring.nodes().iter().map(unibatch_integration_tests::Node::address).collect()
        };
        let mut session = None;
        for node in nodes {
            // Its own batch log, not another's.
            let own = connect(node, None, true).await?;
            tokio::time::timeout(LONGEST_REPLAY, replayed(&own))
                .await
                .map_err(|_| format!("{node} does not carry out its batch log"))??;
            session = Some(own);
        }
        let session = session.ok_or("a ring has nodes")?;
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

async fn replayed(session: &Session) -> Result<()> {
    loop {
        let rows = execute(session, "SELECT count(*) FROM system.batches").await?;
        let (left,) = rows.into_rows_result()?.single_row::<(i64,)>()?;
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(ASKED_EVERY).await;
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
