//! A stream transaction, of which each request has its own way to fail: until the commit nothing has
//! happened, and a commit whose answer was lost is asked for.

use std::time::Duration;

use arango_emulator::{Fault, Rule};
use batch_core::{BatchExt as _, BatchOptions, ErrorKind, JobStatus, Operation};
use integration_tests::{Result, ignored};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    on_servers,
    shapes::Shape,
    table::{body, formless, proxy, refuse, refuse_after},
    world::{Ended, Wire, World},
};

/// Which request of the transaction it is that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Begin,
    /// The first of those that fill it.
    First,
    /// One behind that.
    Later,
    Commit,
}
use Step::{Begin, Commit, First, Later};

pub(crate) const STEPS: [Step; 4] = [Begin, First, Later, Commit];

impl Step {
    pub(crate) fn aim(self, fault: Fault) -> Rule {
        let rule = Rule::new(fault);
        match self {
            Begin => rule.path("/_api/transaction/begin"),
            First => rule.path("/_api/document/"),
            Later => rule.path("/_api/document/").nth(3),
            Commit => rule.method("PUT").path("/_api/transaction/"),
        }
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Applied,
    /// Nothing of it is there, and each job says so, or the batch was given back.
    Undone,
}

type Row = (&'static str, Fault, [End; 4]);

fn table() -> Vec<Row> {
    use End::{Applied, Undone};
    let redirect = Fault::Redirect { status: 307, location: String::new() };
    let edit = |text| Fault::Edit { edit: body(text) };
    let other = r#"{"code":200,"error":false,"result":{"id":"1","status":"committed"}}"#;
    let lost = [Applied; 4];
    let refused = [Undone; 4];
    // The commit is asked for, or made once more.
    let doubted = [Undone, Undone, Undone, Applied];
    vec![
        ("reset_before", Fault::ResetBefore, lost),
        ("reset_after", Fault::ResetAfter, lost),
        ("closed_before", Fault::CloseBefore, lost),
        ("closed_after", Fault::CloseAfter, lost),
        ("a_cut_head", Fault::CutHead { after: 20 }, lost),
        ("a_cut_body", Fault::CutBody { after: 8 }, lost),
        ("a_garbage_status_line", Fault::Garbage, lost),
        ("a_stream_reset_before", Fault::ResetStream { executed: false }, lost),
        ("a_stream_reset_after", Fault::ResetStream { executed: true }, lost),
        ("a_refused_stream", Fault::RefuseStream, lost),
        ("a_slow_drip", Fault::Drip, lost),
        ("closed_behind_silently", Fault::CloseBehindSilently, lost),
        ("a_bad_gateway_before", proxy(502, false), lost),
        ("a_bad_gateway_after", proxy(502, true), lost),
        ("a_gateway_timeout_after", proxy(504, true), lost),
        ("a_full_queue", refuse(503, 21003), lost),
        ("an_expired_transaction", refuse(410, 1654), lost),
        ("an_unknown_transaction", refuse(404, 1655), lost),
        ("no_authorization", Fault::Unauthorized, refused),
        ("a_redirect", redirect, doubted),
        ("html_with_a_success", proxy(200, true), doubted),
        ("html_with_a_failure_before", proxy(500, false), doubted),
        ("html_with_a_failure_after", proxy(500, true), doubted),
        ("a_failure_within", refuse_after(500, 4), doubted),
        ("no_body", edit(""), doubted),
        ("another_answer", edit("{}"), doubted),
        // At the begin it is a transaction that is not there, and it is found out.
        ("another_transaction", edit(other), [Applied, Undone, Undone, Applied]),
    ]
}

pub(crate) fn trials(wire: Wire) -> Vec<Trial> {
    let rows = table().into_iter().map(|row| {
        let name = format!("transaction::{}", row.0);
        if let Some(reason) = formless(&row.1, wire) {
            return ignored(&wire.name(&name), reason);
        }
        on_servers(wire, &name, move |worlds| async move {
            let mut wrong = Vec::new();
            for (step, end) in STEPS.into_iter().zip(row.2) {
                if let Err(error) =
                    happens(&worlds[Shape::Transaction.version()], &row.1, step, end).await
                {
                    wrong.push(format!("{step:?}: {error}"));
                }
            }
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
        })
    });
    let others = [
        on_one(wire, "one_that_expires_at_once_is_not_applied", |world| async move {
            anew(&world).await?;
            world.emulator().switch(|settings| settings.transaction_seconds = 0.0);
            let ended = commit(&world, Some(Duration::from_millis(400))).await?;
            all_are(&ended, |status| {
                matches!(status, JobStatus::NotApplied(_) | JobStatus::Pending)
            })
        }),
        on_one(wire, "a_commit_that_cannot_be_asked_for_is_unknown", |world| async move {
            for fault in [Fault::ResetAfter, Fault::ResetBefore] {
                anew(&world).await?;
                let armed = world.fault(Commit.aim(fault));
                let asked = world.fault(
                    Rule::new(Fault::ResetBefore).method("GET").path("/_api/transaction/").times(0),
                );
                let ended = commit(&world, None).await?;
                assert_eq!((armed.fired(), asked.fired()), (1, 1));
                all_are(&ended, |status| {
                    let kind = status.error().map(batch_core::Error::kind);
                    matches!(status, JobStatus::Unknown(_)) && kind == Some(ErrorKind::Connection)
                })?;
                world.emulator().clear_faults();
            }
            Ok(())
        }),
        on_one(wire, "a_commit_that_stalls_is_unknown_at_the_deadline", |world| async move {
            for fault in [Fault::StallBefore, Fault::StallAfter] {
                anew(&world).await?;
                let armed = world.fault(Commit.aim(fault));
                let ended = commit(&world, Some(Duration::from_millis(400))).await?;
                assert_eq!(armed.fired(), 1);
                all_are(&ended, |status| matches!(status, JobStatus::Unknown(_)))?;
            }
            Ok(())
        }),
        on_one(
            wire,
            "a_request_that_stalls_before_the_commit_gives_the_batch_back",
            |world| async move {
                for step in [First, Later] {
                    for fault in [Fault::StallBefore, Fault::StallAfter] {
                        anew(&world).await?;
                        let armed = world.fault(step.aim(fault));
                        let ended = commit(&world, Some(Duration::from_millis(400))).await?;
                        assert_eq!(armed.fired(), 1);
                        let error = ended.report.as_ref().err().map(batch_core::Error::kind);
                        assert_eq!(error, Some(ErrorKind::Timeout), "{:?}", ended.report);
                    }
                }
                Ok(())
            },
        ),
        on_one(wire, "a_begin_that_is_answered_late_is_ended_all_the_same", |world| async move {
            anew(&world).await?;
            let armed = world.fault(Begin.aim(Fault::Hold));
            let ended = commit(&world, Some(Duration::from_millis(400))).await?;
            assert_eq!(armed.fired(), 1);
            let error = ended.report.as_ref().err().map(batch_core::Error::kind);
            assert_eq!(error, Some(ErrorKind::Timeout), "{:?}", ended.report);
            assert_eq!(world.emulator().running_transactions().len(), 1);
            world.emulator().release();
            Ok(())
        }),
        on_one(wire, "a_page_that_is_lost_gives_the_batch_back", |world| async move {
            anew(&world).await?;
            let store = world.store().await?;
            let page = Rule::new(Fault::ResetBefore).method("POST").path("/_api/cursor/");
            let armed = world.fault(page);
            let options = BatchOptions::new().guarantee(Shape::Transaction.guarantee());
            let mut batch = store.arango_batch(options)?;
            let job = batch.aql("FOR i IN 1..1001 RETURN i", &())?;
            batch.queue(Operation::put("things").at("a").doc(&json!({})))?;
            let error = batch.commit().await.err().ok_or("a page was lost")?;
            assert_eq!((armed.fired(), error.kind()), (1, ErrorKind::Connection), "{error}");
            assert!(job.is_pending());
            world.until_nothing_is_open().await?;
            batch.commit().await?.into_result().map(drop)?;
            Ok(())
        }),
        on_one(wire, "a_conflict_with_another_write_is_tried_again", |world| async move {
            anew(&world).await?;
            world.emulator().conflict("things", "k2", 2);
            let ended = commit(&world, None).await?;
            all_are(&ended, |status| status.is_applied())
        }),
    ];
    rows.chain(others).collect()
}

/// A trial on the server of transactions; at its end nothing is open there.
fn on_one<F>(
    wire: Wire,
    name: &'static str,
    body: impl FnOnce(std::sync::Arc<World>) -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    on_servers(wire, &format!("transaction::{name}"), move |mut worlds| async move {
        let world = worlds.remove(Shape::Transaction.version()).ok_or("no such server")?;
        let world = std::sync::Arc::new(world);
        body(std::sync::Arc::clone(&world)).await?;
        world.until_nothing_is_open().await
    })
}

/// Makes the collection anew, before a fault can meet that.
async fn anew(world: &World) -> Result<()> {
    // A collection that a transaction has cannot be removed: what is left open is to be told as that.
    world.until_nothing_is_open().await?;
    world.fill_anew(Shape::Transaction, "things").await
}

/// Commits on a collection that was made anew, and looks at what is there.
async fn commit(world: &World, deadline: Option<Duration>) -> Result<Ended> {
    let shape = Shape::Transaction;
    let store = world.store().await?;
    world.emulator().forget_requests();
    let ended = world.commit(&store, shape, "things", deadline).await?;
    let wrong = world.contradictions("things", shape.guarantee(), &ended.jobs)?;
    if wrong.is_empty() { Ok(ended) } else { Err(wrong.join("; ").into()) }
}

fn all_are(ended: &Ended, fits: impl Fn(&JobStatus) -> bool) -> Result<()> {
    let wrong = ended.jobs.iter().find(|(_, job)| !fits(&job.status()));
    match wrong {
        None => Ok(()),
        Some((expected, job)) => Err(format!("{expected:?} is {:?}", job.status()).into()),
    }
}

async fn happens(world: &World, fault: &Fault, step: Step, end: End) -> Result<()> {
    anew(world).await?;
    let armed = world.fault(step.aim(fault.clone()));
    let ended = commit(world, None).await;
    world.emulator().clear_faults();
    let ended = ended?;
    if armed.fired() != 1 {
        return Err(format!("the fault happened {} times", armed.fired()).into());
    }
    all_are(&ended, |status| match end {
        End::Applied => status.is_applied(),
        End::Undone => matches!(status, JobStatus::NotApplied(_) | JobStatus::Pending),
    })?;
    if step == Begin && world.emulator().running_transactions().len() == 1 {
        // Nobody was told its number: only its time ends it.
        world.emulator().expire_transactions();
    }
    world.until_nothing_is_open().await
}
