//! A cluster whose first coordinator refuses, or dies: the other one gets what was certainly not sent,
//! and what may be sent again. Both have one store, which is read.

use std::time::Duration;

use arango_emulator::{Emulator, Fault, Rule};
use batch_core::{JobStatus, Verb};
use integration_tests::Result;
use libtest_mimic::Trial;
use tokio::sync::oneshot;

use crate::{
    direct, on_servers,
    shapes::{Shape, What},
    table::{End, proxy},
    transaction::{STEPS, Step},
    world::{Ended, Wire, World},
};

const SHORT: Duration = Duration::from_millis(400);

const SHAPES: [Shape; 10] = [
    Shape::Array(What::Verb(Verb::Insert)),
    Shape::Array(What::Verb(Verb::Put)),
    Shape::Array(What::Verb(Verb::Get)),
    Shape::Single(What::Verb(Verb::Insert)),
    Shape::Single(What::Verb(Verb::Update)),
    Shape::Single(What::Verb(Verb::Delete)),
    Shape::Single(What::Query),
    Shape::Singles,
    Shape::Multipart,
    Shape::MultipartOfRepeatable,
];

pub(crate) fn trials(wire: Wire) -> Vec<Trial> {
    let mut trials = vec![refused(wire), stalled(wire)];
    for (name, fault) in [
        ("before_it_executes", Fault::ResetBefore),
        ("after_it_executed", Fault::ResetAfter),
        ("in_its_answer", Fault::CutBody { after: 8 }),
        ("behind_its_proxy", proxy(502, true)),
    ] {
        trials.push(dies(wire, name, fault));
    }
    for (name, fault) in
        [("before_it_executes", Fault::ResetBefore), ("after_it_executed", Fault::ResetAfter)]
    {
        for step in STEPS {
            trials.push(dies_in_a_transaction(wire, name, fault.clone(), step));
        }
    }
    trials
}

/// Runs a shape on two coordinators, and does harm to the first of them, which says by dropping the
/// sender when the commit may begin.
async fn commit<F>(
    world: &World,
    shape: Shape,
    deadline: Option<Duration>,
    harm: impl FnOnce(Emulator, oneshot::Sender<()>) -> F,
) -> Result<Ended>
where
    F: Future<Output = Result<Emulator>>,
{
    let collection = shape.to_string();
    world.fill(shape, &collection).await?;
    let first = world.emulator().beside().await?;
    // No connection is left that the harm could meet by chance: a request that a dead one took is in doubt.
    let closed = first.fault(Rule::new(Fault::CloseBehind).method("GET").path("/_api/batch"));
    let store = world.store_behind(&first).await?;
    assert_eq!(closed.fired(), 1);
    world.emulator().forget_requests();
    let (begin, begun) = oneshot::channel();
    let committing = async {
        // It says nothing, and is dropped.
        let _ = begun.await;
        world.commit(&store, shape, &collection, deadline).await
    };
    let (harmed, ended) = tokio::join!(harm(first, begin), committing);
    let (_first, ended) = (harmed?, ended?);
    let mut wrong = world.contradictions(&collection, shape.guarantee(), &ended.jobs)?;
    wrong.extend(twice(world, &ended));
    world.until_nothing_is_open().await?;
    if wrong.is_empty() { Ok(ended) } else { Err(wrong.join("; ").into()) }
}

/// What may have been carried out by the first, is not known, and was sent to the second all the same.
fn twice(world: &World, ended: &Ended) -> Vec<String> {
    let seen = world.emulator().requests();
    let unknown = ended.jobs.iter().filter(|(expected, job)| {
        matches!(job.status(), JobStatus::Unknown(_)) && !expected.is_repeatable()
    });
    let named = |key: &str| {
        let (quoted, last) = (format!("\"{key}\""), format!("/{key}"));
        seen.iter().any(|seen| {
            String::from_utf8_lossy(&seen.body).contains(&quoted) || seen.path().ends_with(&last)
        })
    };
    let twice = unknown.filter(|(expected, _)| named(expected.key()));
    twice.map(|(expected, _)| format!("{expected:?} was sent twice: {seen:?}")).collect()
}

/// Does the harm of a rule once, and then the coordinator is gone.
async fn die(mut first: Emulator, begin: oneshot::Sender<()>, rule: Rule) -> Result<Emulator> {
    let armed = first.fault(rule);
    drop(begin);
    first.until_seen(|_| armed.fired() > 0).await;
    first.stop().await;
    Ok(first)
}

fn refused(wire: Wire) -> Trial {
    let name = "coordinators::one_that_refuses_leaves_all_to_the_other";
    on_servers(wire, name, |worlds| async move {
        for shape in SHAPES.into_iter().chain([Shape::Transaction]) {
            let world = &worlds[shape.version()];
            let ended = commit(world, shape, None, |mut first, begin| async move {
                first.stop().await;
                drop(begin);
                Ok(first)
            });
            let ended = ended.await.map_err(|error| format!("{shape}: {error}"))?;
            for (expected, job) in &ended.jobs {
                assert!(job.status().is_applied(), "{shape}: {expected:?} is {:?}", job.status());
            }
            let sent = world.emulator().requests();
            assert!(sent.iter().any(|seen| seen.method != "GET"), "{shape}: {sent:?}");
        }
        Ok(())
    })
}

fn stalled(wire: Wire) -> Trial {
    let name = "coordinators::one_that_stalls_keeps_what_it_has_from_the_other";
    on_servers(wire, name, |worlds| async move {
        for shape in SHAPES {
            let world = &worlds[shape.version()];
            let rule = shape.aim(Rule::new(Fault::StallAfter).times(0));
            let ended = commit(world, shape, Some(SHORT), |first, begin| async move {
                let armed = first.fault(rule);
                drop(begin);
                first.until_seen(|_| armed.fired() > 0).await;
                Ok(first)
            });
            let ended = ended.await.map_err(|error| format!("{shape}: {error}"))?;
            let status = ended.jobs[0].1.status();
            assert!(matches!(status, JobStatus::Unknown(_)), "{shape}: {status:?}");
            let sent = world.emulator().requests();
            assert!(sent.is_empty(), "{shape}: the other one was sent {sent:?}");
        }
        Ok(())
    })
}

fn dies(wire: Wire, name: &str, fault: Fault) -> Trial {
    let name = format!("coordinators::one_that_dies_{name}_leaves_what_may_be_repeated");
    on_servers(wire, &name, move |worlds| async move {
        for shape in SHAPES {
            let world = &worlds[shape.version()];
            let rule = shape.aim(Rule::new(fault.clone()));
            let ended = commit(world, shape, None, |first, begin| die(first, begin, rule)).await;
            let ended = ended.map_err(|error| format!("{shape}: {error}"))?;
            let wrong = direct::judge(&ended, shape, End::Repeated);
            assert!(wrong.is_empty(), "{shape}: {wrong:?}");
        }
        Ok(())
    })
}

fn dies_in_a_transaction(wire: Wire, name: &str, fault: Fault, step: Step) -> Trial {
    let name = format!("coordinators::one_that_dies_{name}_the_{step:?}_of_a_transaction");
    on_servers(wire, &name.to_lowercase(), move |worlds| async move {
        let shape = Shape::Transaction;
        let world = &worlds[shape.version()];
        let harm = |first, begin| die(first, begin, step.aim(fault));
        let ended = commit(world, shape, None, harm).await?;
        for (expected, job) in &ended.jobs {
            let status = job.status();
            let holds = match step {
                // Who could be asked what became of it is gone.
                Step::Commit => matches!(status, JobStatus::Unknown(_)),
                Step::Begin | Step::First | Step::Later => status.is_applied(),
            };
            assert!(holds, "{expected:?} is {status:?}");
        }
        Ok(())
    })
}
