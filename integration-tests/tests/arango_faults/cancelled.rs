//! Commits that are dropped in the middle of a transaction: nothing is left open, and no job is
//! pending for ever.

use std::time::Duration;

use arango_emulator::{Fault, Rule};
use batch_arango::ArangoBatch;
use batch_core::{
    BatchExt as _, BatchOptions, ErrorKind, Guarantee, JobStatus, OnCancel, OnError, Store as _,
};
use integration_tests::Result;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    on_servers,
    shapes::{Expected, Shape},
    world::{Wire, World},
};

/// How long a commit that nobody waits for may take.
const DEADLINE: Duration = Duration::from_millis(800);

pub(crate) fn trials(wire: Wire) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, on_cancel) in [("detached", OnCancel::Detach), ("settled", OnCancel::Settle)] {
        let before = [
            ("begin", Rule::new(Fault::Drip).path("/_api/transaction/begin")),
            ("first_request", Rule::new(Fault::StallAfter).path("/_api/document/")),
            ("later_request", Rule::new(Fault::StallBefore).path("/_api/document/").nth(4)),
        ];
        for (step, rule) in before {
            let again = rule.clone();
            let trial = format!("cancelled::{name}_in_the_{step}");
            trials.push(on_servers(wire, &trial, move |worlds| async move {
                is_given_back(&worlds["3.12.10"], rule, on_cancel).await
            }));
            let trial = format!("cancelled::{name}_in_the_{step}_and_closed");
            trials.push(on_servers(wire, &trial, move |worlds| async move {
                is_ended_by_close(&worlds["3.12.10"], again, on_cancel).await
            }));
        }
        for (step, fault) in [("before", Fault::StallBefore), ("after", Fault::StallAfter)] {
            let rule = Rule::new(fault).method("PUT").path("/_api/transaction/");
            let trial = format!("cancelled::{name}_{step}_the_commit");
            trials.push(on_servers(wire, &trial, move |worlds| async move {
                is_settled(&worlds["3.12.10"], rule, on_cancel).await
            }));
        }
    }
    for (shape, version, guarantee) in [
        ("a_single_query", "3.12.10", Guarantee::BestEffort),
        ("a_multipart_call", "3.11.14", Guarantee::Ordered { on_error: OnError::Continue }),
        ("a_transaction", "3.12.10", Guarantee::AllOrNothing { isolated: true }),
    ] {
        let name = format!("cancelled::no_cursor_is_left_of_{shape}");
        trials.push(on_servers(wire, &name, move |worlds| async move {
            for on_cancel in [OnCancel::Detach, OnCancel::Settle] {
                for fault in [Fault::StallBefore, Fault::StallAfter, Fault::StallBody { after: 8 }]
                {
                    let what = format!("{on_cancel:?}, {fault:?}");
                    let left = leaves_no_cursor(&worlds[version], guarantee, fault, on_cancel);
                    left.await.map_err(|error| format!("{what}: {error}"))?;
                }
            }
            Ok(())
        }));
    }
    for (shape, version, guarantee) in [
        ("a_single_query", "3.12.10", Guarantee::BestEffort),
        ("a_multipart_call", "3.11.14", Guarantee::Ordered { on_error: OnError::Continue }),
    ] {
        let name = format!("cancelled::no_cursor_is_left_of_a_late_answer_of_{shape}");
        trials.push(on_servers(wire, &name, move |worlds| async move {
            for end in [Some(OnCancel::Detach), Some(OnCancel::Settle), None] {
                let left = leaves_no_cursor_of_a_late_answer(&worlds[version], guarantee, end);
                left.await.map_err(|error| format!("{end:?}: {error}"))?;
            }
            Ok(())
        }));
    }
    trials
}

/// Begins a commit, and drops it once a fault has struck.
async fn commit_until_struck(world: &World, batch: &mut ArangoBatch, rule: Rule) -> Result<()> {
    world.emulator().forget_requests();
    let armed = world.fault(rule);
    let struck = world.emulator().until_seen(|_| armed.fired() > 0);
    tokio::select! {
        report = batch.commit() => Err(format!("it ended: {report:?}").into()),
        () = struck => Ok(()),
    }
}

/// Before the commit of the transaction, the batch is given back and can be committed again.
async fn is_given_back(world: &World, rule: Rule, on_cancel: OnCancel) -> Result<()> {
    let shape = Shape::Transaction;
    world.fill(shape, "things").await?;
    let store = world.store().await?;
    let options = BatchOptions::new().guarantee(shape.guarantee()).on_cancel(on_cancel);
    let mut batch = store.arango_batch(options)?;
    let mut jobs: Vec<(Expected, _)> = Vec::new();
    for (operation, expected) in shape.operations("things") {
        jobs.push((expected, batch.queue(operation)?));
    }
    commit_until_struck(world, &mut batch, rule).await?;
    assert!(jobs.iter().all(|(_, job)| job.is_pending()), "{jobs:?}");
    world.until_nothing_is_open().await?;
    assert_eq!(world.contradictions("things", shape.guarantee(), &jobs)?, [""; 0]);
    batch.commit().await?.into_result().map(drop)?;
    assert!(jobs.iter().all(|(_, job)| job.status().is_applied()), "{jobs:?}");
    assert_eq!(world.contradictions("things", shape.guarantee(), &jobs)?, [""; 0]);
    world.until_nothing_is_open().await
}

/// A store that is closed has ended what was begun: a program that ends then leaves nothing that
/// would stand in the way of the next one.
async fn is_ended_by_close(world: &World, rule: Rule, on_cancel: OnCancel) -> Result<()> {
    let shape = Shape::Transaction;
    world.fill(shape, "things").await?;
    let store = world.store().await?;
    let options = BatchOptions::new().guarantee(shape.guarantee()).on_cancel(on_cancel);
    let mut batch = store.arango_batch(options)?;
    batch.queue_all(shape.operations("things").map(|(operation, _)| operation))?;
    commit_until_struck(world, &mut batch, rule).await?;
    store.close(Duration::from_secs(3)).await?;
    assert_eq!(world.emulator().running_transactions().len(), 0);
    Ok(())
}

/// From its commit on, each job has an answer, which does not contradict what is there.
async fn is_settled(world: &World, rule: Rule, on_cancel: OnCancel) -> Result<()> {
    let shape = Shape::Transaction;
    world.fill(shape, "things").await?;
    let store = world.store().await?;
    let options = BatchOptions::new().guarantee(shape.guarantee());
    let options = options.on_cancel(on_cancel).deadline(DEADLINE);
    let mut batch = store.arango_batch(options)?;
    let mut jobs: Vec<(Expected, _)> = Vec::new();
    for (operation, expected) in shape.operations("things") {
        jobs.push((expected, batch.queue(operation)?));
    }
    commit_until_struck(world, &mut batch, rule).await?;
    if on_cancel == OnCancel::Settle {
        for (expected, job) in &jobs {
            let kind = job.status().error().map(batch_core::Error::kind);
            assert_eq!(kind, Some(ErrorKind::Cancelled), "{expected:?}");
        }
    }
    for (expected, job) in &jobs {
        let status = job.clone().await;
        assert!(matches!(status, JobStatus::Unknown(_)), "{expected:?}: {status:?}");
    }
    world.until_nothing_is_open().await?;
    assert_eq!(world.contradictions("things", shape.guarantee(), &jobs)?, [""; 0]);
    Ok(())
}

/// A commit that is dropped, or ends, while the first page of a query's result is on its way: the
/// answer comes when nobody waits for it any more.
async fn leaves_no_cursor_of_a_late_answer(
    world: &World,
    guarantee: Guarantee,
    on_cancel: Option<OnCancel>,
) -> Result<()> {
    let store = world.store().await?;
    let options = BatchOptions::new().guarantee(guarantee).deadline(DEADLINE);
    let options = options.on_cancel(on_cancel.unwrap_or(OnCancel::Detach));
    let mut batch = store.arango_batch(options)?;
    let query = "FOR i IN 1..@rows RETURN i";
    let jobs = [(); 2].map(|()| batch.aql(query, &json!({"rows": ROWS})));
    let rule = Rule::new(Fault::Hold).method("POST").path("/_api/").times(0);
    if on_cancel.is_some() {
        commit_until_struck(world, &mut batch, rule).await?;
    } else {
        let _armed = world.fault(rule);
        let _report = batch.commit().await?;
    }
    for job in jobs {
        // One that was not begun is not applied.
        assert!(!job?.await.is_applied());
    }
    world.emulator().clear_faults();
    world.emulator().until_cursors_are_open().await;
    world.emulator().release();
    world.until_nothing_is_open().await
}

/// One row more than a page has.
const ROWS: usize = 1001;
/// Enough for a first page also where others use the machine.
const LONG_DEADLINE: Duration = Duration::from_millis(1500);

/// A commit that is dropped while a further page of a query's result is on its way.
async fn leaves_no_cursor(
    world: &World,
    guarantee: Guarantee,
    fault: Fault,
    on_cancel: OnCancel,
) -> Result<()> {
    world.make_anew("rows").await?;
    let store = world.store().await?;
    let options = BatchOptions::new().guarantee(guarantee);
    let mut batch = store.arango_batch(options.on_cancel(on_cancel).deadline(LONG_DEADLINE))?;
    let query = "FOR i IN 1..@rows INSERT {number: i} INTO @@things RETURN i";
    let bind = json!({"rows": ROWS, "@things": "rows"});
    let jobs = [batch.aql(query, &bind)?, batch.aql(query, &bind)?];
    let rule = Rule::new(fault).method("POST").path("/_api/cursor/").times(0);
    commit_until_struck(world, &mut batch, rule).await?;
    let is_whole = matches!(guarantee, Guarantee::AllOrNothing { .. });
    if !is_whole {
        for job in &jobs {
            let status = job.clone().await;
            // It was carried out, and nobody has its result.
            assert!(matches!(status, JobStatus::Unknown(_)), "{}", status.is_applied());
        }
    }
    world.emulator().clear_faults();
    world.until_nothing_is_open().await?;
    let written = world.numbers("rows")?.len();
    if is_whole {
        assert!(jobs.iter().all(batch_core::Job::is_pending), "{jobs:?}");
        assert_eq!(written, 0);
        batch.commit().await?.into_result().map(drop)?;
        world.until_nothing_is_open().await?;
    } else {
        assert!(written >= ROWS, "{written}");
    }
    Ok(())
}
