//! A node whose answers take their time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, Clock, JobStatus, Operation, Store as _, StoreOptions,
    SystemClock,
};
use batch_cql::CqlStore;
use integration_tests::{FaultyNode, Result, execute};
use scylla_proxy::{Condition, Reaction as _, RequestReaction, RequestRule};
use serde_json::json;

use crate::{KEYSPACE, World, trials};

trials!["far":
    a_type_is_asked_for_however_long_the_answer_takes,
    a_clock_that_is_set_does_not_stop_commits_to_a_server_that_is_far_away,
];

/// Requests with this text take so long.
fn slow(text: &str, time: Duration) -> RequestRule {
    let has_text = Condition::BodyContainsCaseSensitive(text.as_bytes().into());
    RequestRule(has_text, RequestReaction::delay(time))
}

async fn end(store: &CqlStore, operation: Operation) -> Result<JobStatus> {
    let mut batch = store.batch(BatchOptions::new().deadline(Duration::from_secs(10)))?;
    let job = batch.queue(operation)?;
    let _ = batch.commit().await?;
    Ok(job.status())
}

/// Its fields' bytes would be taken for those of the new one.
async fn a_type_is_asked_for_however_long_the_answer_takes(world: &World) -> Result<()> {
    let session = world.session().await?;
    let make = async |fields: &str| {
        for text in [
            format!("DROP TABLE IF EXISTS {KEYSPACE}.far"),
            format!("DROP TYPE IF EXISTS {KEYSPACE}.part"),
            format!("CREATE TYPE {KEYSPACE}.part ({fields})"),
            format!("CREATE TABLE {KEYSPACE}.far (id int PRIMARY KEY, u frozen<part>)"),
        ] {
            execute(&session, text).await?;
        }
        Ok::<_, integration_tests::Error>(())
    };
    make("x int, y int").await?;
    let mut proxy = FaultyNode::before(world.address).await?;
    let store = proxy.store(KEYSPACE, StoreOptions::new()).await?;
    let put = || Operation::put("far").at([("id", 1)]).doc(&json!({"u": {"x": 1, "y": 2}}));
    let before = end(&store, put()).await?;
    assert!(matches!(before, JobStatus::Applied(_)), "{before:?}");
    proxy.on_requests(&[slow("SELECT schema_version", Duration::from_millis(600))]);
    make("x text, y int").await?;
    let after = end(&store, put()).await?;
    assert!(matches!(after, JobStatus::NotApplied(_)), "{after:?}");
    Ok(())
}

/// The machine's clock, set forwards or back.
#[derive(Debug, Default)]
struct Set(AtomicI64);

impl Clock for Set {
    fn now_micros(&self) -> i64 {
        SystemClock.now_micros() + self.0.load(Ordering::Relaxed)
    }
}

async fn a_clock_that_is_set_does_not_stop_commits_to_a_server_that_is_far_away(
    world: &World,
) -> Result<()> {
    let mut proxy = FaultyNode::before(world.address).await?;
    let clock = Arc::new(Set::default());
    let options = StoreOptions::new().clock(Arc::<Set>::clone(&clock) as _);
    let store = proxy.store(KEYSPACE, options).await?;
    proxy.on_requests(&[slow("SELECT now()", Duration::from_millis(400))]);
    for seconds in [10, -10] {
        clock.0.store(seconds * 1_000_000, Ordering::Relaxed);
        let write = integration_tests::Write::new("far".to_owned(), format!("{seconds}"), 1);
        let end = end(&store, world.things.operation(batch_core::Verb::Put, &write)).await?;
        assert!(matches!(end, JobStatus::Applied(_)), "{end:?}");
    }
    Ok(())
}
