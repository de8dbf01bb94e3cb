//! Each row of the table, for each shape: the jobs end as it says, and what is there bears them out.

use std::collections::HashMap;

use arango_emulator::{Fault, Rule};
use batch_core::{Error, Job, JobStatus};
use integration_tests::{Result, ignored};
use libtest_mimic::Trial;

use crate::{
    on_servers,
    shapes::{Expected, Shape},
    table::{End, Row, formless, table},
    world::{Ended, Wire, World},
};

pub(crate) fn trials(wire: Wire) -> Vec<Trial> {
    table().into_iter().map(|row| trial(wire, row)).collect()
}

fn trial(wire: Wire, row: Row) -> Trial {
    let name = format!("direct::{}", row.name);
    if let Some(reason) = formless(&row.fault, wire) {
        return ignored(&wire.name(&name), reason);
    }
    on_servers(wire, &name, move |worlds| async move {
        let mut wrong = Vec::new();
        for (shape, end) in &row.ends {
            match happens(&worlds, &row, *shape, *end).await {
                Ok(()) => {}
                Err(error) => wrong.push(format!("{shape}: {error}")),
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    })
}

async fn happens(
    worlds: &HashMap<&'static str, World>,
    row: &Row,
    shape: Shape,
    end: End,
) -> Result<()> {
    let world = worlds.get(shape.version()).ok_or("no such server")?;
    let collection = format!("{shape}");
    world.fill(shape, &collection).await?;
    let store = world.store().await?;
    let armed = world.fault(shape.aim(Rule::new(row.fault.clone())));
    world.emulator().forget_requests();
    let ended = world.commit(&store, shape, &collection, None).await;
    world.emulator().clear_faults();
    let ended = ended?;
    let most = if matches!(row.fault, Fault::Redirect { .. }) { 1 } else { usize::MAX };
    let asked = world.emulator().requests();
    if asked.len() > most {
        return Err(format!("the redirect was followed: {asked:?}").into());
    }
    if world.strays() > 0 {
        return Err(format!("another protocol was spoken: {asked:?}").into());
    }
    if armed.fired() != 1 {
        return Err(format!("the fault happened {} times", armed.fired()).into());
    }
    let mut wrong = world.contradictions(&collection, shape.guarantee(), &ended.jobs)?;
    wrong.extend(judge(&ended, shape, end));
    let report = ended.report?;
    let (first, mechanisms) = (shape.mechanism(), report.mechanisms());
    if !mechanisms.iter().any(|it| it.name == first) {
        wrong.push(format!("it did not travel by {first}: {mechanisms:?}"));
    }
    world.until_nothing_is_open().await?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ").into()) }
}

/// Every job that has not ended as it should.
pub(crate) fn judge(ended: &Ended, shape: Shape, end: End) -> Vec<String> {
    // Of those that go one after another, the fault hits the first, and what follows depends on it.
    let hit = if shape == Shape::Singles && end != End::Applied { 1 } else { ended.jobs.len() };
    let judged = ended.jobs.iter().take(hit).enumerate();
    let wrong = judged.filter(|(place, (expected, job))| !fits(shape, end, *place, expected, job));
    wrong
        .map(|(_, (expected, job))| format!("{expected:?} is not {end:?}, but {:?}", job.status()))
        .collect()
}

fn fits(shape: Shape, end: End, place: usize, expected: &Expected, job: &Job) -> bool {
    let status = job.status();
    let is_kind = |error: &Error, kind| error.kind() == kind;
    match (end, &status) {
        (End::UnknownAt(unknown), JobStatus::Applied(_)) => {
            // What may be sent again, is where nothing behind it is in the way.
            place != unknown || (shape != Shape::Multipart && expected.is_repeatable())
        }
        (End::UnknownAt(unknown), JobStatus::Unknown(_)) => place == unknown,
        (End::True, _) | (End::Applied, JobStatus::Applied(_)) => true,
        (End::NotApplied(kind), JobStatus::NotApplied(error)) => is_kind(error, kind),
        (End::Unknown(kind), JobStatus::Unknown(error)) => {
            kind.is_none_or(|kind| is_kind(error, kind))
        }
        (End::Repeated, JobStatus::Applied(_)) => expected.is_repeatable(),
        // In order, nothing is sent again behind what may have run.
        (End::Repeated, JobStatus::Unknown(_)) => {
            !expected.is_repeatable() || shape == Shape::Multipart
        }
        _ => false,
    }
}
