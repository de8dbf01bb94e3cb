//! A node that stops, dies and comes back in the middle of commits, and one whose writes fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchState, ErrorKind, Job, JobStatus, OnCancel,
    Store as _, StoreOptions, Verb,
};
use batch_cql::CqlStore;
use integration_tests::{Result, Write, execute};
use scylla::statement::Consistency;

use crate::{KEYSPACE, LONGEST_MENDING, World, outcomes::check, shapes::Shape, trials};

trials!["node":
    a_stopped_node_leaves_it_unknown_and_no_answer_is_wrong,
    a_dropped_commit_to_a_stopped_node_is_unknown,
    a_stopped_node_is_not_connected_to_for_ever,
    writes_that_fail_are_unknown_in_every_shape,
    a_batch_that_fails_in_one_keyspace_contradicts_nothing,
    a_dead_node_gets_nothing_and_the_batch_is_committed_when_it_is_back,
    commits_outlive_a_node_that_dies_and_comes_back,
];

async fn store(world: &World) -> Result<CqlStore> {
    let address = world.address.to_string();
    let builder = CqlStore::builder().contact_point(address).keyspace(KEYSPACE);
    Ok(builder.options(StoreOptions::new()).connect().await?)
}

/// Writes to rows of their own, over a few partitions.
fn writes(name: &str, count: i32) -> Vec<Write> {
    let name = format!("{name}-{:08x}", fastrand::u32(..));
    let write = |number| Write::new(format!("{name}-{}", number % 50), format!("{number}"), number);
    (0..count).map(write).collect()
}

fn queue(
    world: &World,
    batch: &mut dyn batch_core::Batch,
    writes: Vec<Write>,
    repeatable: bool,
) -> Result<Vec<(Write, Job)>> {
    let queued = writes.into_iter().map(|write| {
        let mut operation = world.things.operation(Verb::Put, &write);
        if !repeatable {
            operation = operation.idempotent(false);
        }
        let job = batch.queue(operation)?;
        Ok((write, job))
    });
    queued.collect()
}

/// One write, so that what follows has nothing left to find out.
async fn warm(world: &World, store: &CqlStore) -> Result<()> {
    let mut batch = store.batch(BatchOptions::new().deadline(LONGEST_MENDING))?;
    queue(world, &mut *batch, writes("warm", 1), true)?;
    let report = batch.commit().await?;
    assert!(report.is_success(), "{report}");
    Ok(())
}

async fn holds(world: &World, jobs: Vec<(Write, Job)>) -> Result<()> {
    let session = world.session().await?;
    let wrong = world.things.contradictions(&session, Consistency::All, jobs).await?;
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

async fn a_stopped_node_leaves_it_unknown_and_no_answer_is_wrong(world: &World) -> Result<()> {
    for shape in Shape::ALL {
        let store = store(world).await?;
        let name = format!("stopped {shape} {:08x}", fastrand::u32(..));
        let mut warm = store.batch(shape.options())?;
        shape.queue(&mut *warm, &world.things, &format!("warm {name}"), true)?;
        assert!(warm.commit().await?.is_success());
        let mut tries = 0;
        let (id, jobs, report) = loop {
            tries += 1;
            let id = format!("{name} {tries}");
            let mut batch = store.batch(shape.options().deadline(Duration::from_millis(700)))?;
            let jobs = shape.queue(&mut *batch, &world.things, &id, true)?;
            world.node().pause()?;
            let committed = batch.commit().await;
            world.node().resume()?;
            match committed {
                Ok(report) => break (id, jobs, report),
                // The machine was too busy to send it in time.
                Err(error) => assert!(error.is_retry_safe() && tries < 20, "{shape}: {error}"),
            }
        };
        assert_eq!(report.unknown(), report.total(), "{shape}: {report}");
        for (_, job) in &jobs {
            let JobStatus::Unknown(error) = job.status() else { continue };
            assert_eq!(error.kind(), ErrorKind::Timeout, "{shape}: {error}");
        }
        check(&world.session().await?, world, shape, &id, jobs).await?;
    }
    Ok(())
}

async fn a_dropped_commit_to_a_stopped_node_is_unknown(world: &World) -> Result<()> {
    let store = store(world).await?;
    warm(world, &store).await?;
    let mut batch = store.batch(BatchOptions::new().on_cancel(OnCancel::Settle))?;
    let jobs = queue(world, &mut *batch, writes("dropped", 20), true)?;
    world.node().pause()?;
    let progress = batch.progress();
    let left = async {
        while progress.sent() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::select! {
        _ = batch.commit() => true,
        () = left => false,
    };
    drop(batch);
    let mut statuses = Vec::new();
    for (_, job) in &jobs {
        statuses.push(job.clone().await);
    }
    world.node().resume()?;
    assert!(!ended, "nobody answers");
    let unknown = |status: &JobStatus| matches!(status, JobStatus::Unknown(_));
    assert!(statuses.iter().any(unknown), "{statuses:?}");
    let sent_or_not = statuses
        .iter()
        .all(|status| status.error().is_some_and(|error| error.kind() == ErrorKind::Cancelled));
    assert!(sent_or_not, "{statuses:?}");
    holds(world, jobs).await
}

async fn a_stopped_node_is_not_connected_to_for_ever(world: &World) -> Result<()> {
    let address = world.address.to_string();
    world.node().pause()?;
    let begun = Instant::now();
    let connected = CqlStore::builder()
        .contact_point(&*address)
        .connect_timeout(Duration::from_secs(1))
        .connect()
        .await;
    let took = begun.elapsed();
    world.node().resume()?;
    let Err(error) = connected else { return Err("nobody answers".into()) };
    // On a busy machine a second is more; without a limit it would wait until the node goes on.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!([ErrorKind::Timeout, ErrorKind::Connection].contains(&error.kind()), "{error}");
    assert!(error.to_string().contains(&address), "names the contact point: {error}");
    Ok(())
}

async fn writes_that_fail_are_unknown_in_every_shape(world: &World) -> Result<()> {
    let session = world.session().await?;
    for shape in Shape::ALL.into_iter().filter(|shape| *shape != Shape::Counter) {
        let store = store(world).await?;
        let id = format!("fails {shape} {:08x}", fastrand::u32(..));
        let mut batch = store.batch(shape.options())?;
        let jobs = shape.queue(&mut *batch, &world.broken, &id, false)?;
        let report = batch.commit().await?;
        assert_eq!(report.unknown(), report.total(), "{shape}: {report}");
        let wrong = world.broken.contradictions(&session, Consistency::All, jobs).await?;
        assert!(wrong.is_empty(), "{shape}: {wrong:#?}");
    }
    Ok(())
}

/// The part in the other keyspace is written, by a logged batch as by an unlogged one.
async fn a_batch_that_fails_in_one_keyspace_contradicts_nothing(world: &World) -> Result<()> {
    let session = world.session().await?;
    for shape in [Shape::Unlogged, Shape::Logged] {
        let store = store(world).await?;
        let id = format!("half {shape} {:08x}", fastrand::u32(..));
        let mut batch = store.batch(shape.options())?;
        let good = shape.queue(&mut *batch, &world.things, &id, false)?;
        let bad = shape.queue(&mut *batch, &world.broken, &id, false)?;
        let report = batch.commit().await?;
        assert!(report.unknown() >= bad.len() as u64, "{shape}: {report}");
        let wrong = world.things.contradictions(&session, Consistency::All, good).await?;
        assert!(wrong.is_empty(), "{shape}: {wrong:#?}");
        let wrong = world.broken.contradictions(&session, Consistency::All, bad).await?;
        assert!(wrong.is_empty(), "{shape}: {wrong:#?}");
    }
    Ok(())
}

async fn a_dead_node_gets_nothing_and_the_batch_is_committed_when_it_is_back(
    world: &World,
) -> Result<()> {
    let store = store(world).await?;
    warm(world, &store).await?;
    // A node would remember what it had prepared.
    execute(&world.session().await?, "TRUNCATE system.prepared_statements").await?;
    world.node().kill()?;
    let options = BatchOptions::new().deadline(Duration::from_secs(3));
    let mut lost = Vec::new();
    let (mut batch, jobs, refused) = loop {
        let mut batch = store.batch(options.clone())?;
        let jobs = queue(world, &mut *batch, writes("dead", 20), true)?;
        match batch.commit().await {
            Err(refused) => break (batch, jobs, refused),
            // It was sent before the connection was seen to be broken.
            Ok(report) => {
                assert_eq!(report.applied() + report.accepted(), 0, "{report}");
                lost.extend(jobs);
            }
        }
    };
    let state = batch.state();
    world.node().start_again()?;
    assert_eq!((refused.kind(), state), (ErrorKind::Timeout, BatchState::Open), "{refused}");
    assert!(refused.is_retry_safe(), "nothing was sent: {refused}");
    // The session mends itself some seconds after the node is back; what it has to find out anew
    // is not this batch's to wait for.
    warm(world, &store).await?;
    let report = batch.commit().await?;
    assert!(report.is_success(), "{report}");
    holds(world, jobs).await?;
    holds(world, lost).await
}

/// Of two commits in whose middle the node dies, the one that may repeat what it sent ends well.
async fn commits_outlive_a_node_that_dies_and_comes_back(world: &Arc<World>) -> Result<()> {
    let options = StoreOptions::new().max_in_flight(4).max_batch_operations(10);
    let builder = CqlStore::builder().contact_point(world.address.to_string()).keyspace(KEYSPACE);
    let store = builder.options(options).connect().await?;
    warm(world, &store).await?;
    // A node that is killed after the last answer proves nothing.
    while !die_in_the_middle(world, &store).await? {}
    Ok(())
}

/// Says whether both commits met it.
async fn die_in_the_middle(world: &Arc<World>, store: &CqlStore) -> Result<bool> {
    let mut running = Vec::new();
    for repeatable in [true, false] {
        let mut batch = store.batch(BatchOptions::new().deadline(LONGEST_MENDING))?;
        let jobs = queue(world, &mut *batch, writes("killed", 20_000), repeatable)?;
        let commit = tokio::spawn(async move { batch.commit().await });
        running.push((jobs, commit));
    }
    for (jobs, _) in &running {
        let (_, early) = jobs.get(200).ok_or("there are as many")?;
        early.clone().await;
    }
    let killer = Arc::clone(world);
    let killed = tokio::task::spawn_blocking(move || {
        let mut node = killer.node();
        node.kill()?;
        node.start_again()
    });
    killed.await??;
    let mut met = true;
    for ((jobs, commit), repeatable) in running.into_iter().zip([true, false]) {
        let report = commit.await??;
        met &= report.retries() > 0;
        assert_eq!(report.not_applied() + report.accepted(), 0, "{report}");
        // What may not be repeated is unknown if it was under way when the node died.
        assert!(report.unknown() == 0 || !repeatable, "{report}");
        holds(world, jobs).await?;
    }
    Ok(met)
}
