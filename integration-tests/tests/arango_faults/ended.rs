//! What ends a commit, or changes under it: its deadline, a cut answer, conflicts, a server that is
//! gone, a route that is.

use std::time::{Duration, Instant};

use arango_emulator::{Edit, Emulator, Fault, Rule};
use batch_arango::ArangoStore;
use batch_core::{
    BatchExt as _, BatchOptions, ErrorKind, Guarantee, JobStatus, OnError, Operation, Store as _,
    StoreExt as _, Verb,
};
use integration_tests::{Result, trial};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    on_servers,
    shapes::{Shape, What},
    world::{DATABASE, Wire, World},
};

const SHORT: Duration = Duration::from_millis(300);
/// Enough for an answer also where others use the machine.
const LONG: Duration = Duration::from_secs(1);
/// What a slow machine may add to a deadline.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) fn trials(wire: Wire) -> Vec<Trial> {
    vec![
        stalled(wire, "stalled_before", Fault::StallBefore),
        stalled(wire, "stalled_after", Fault::StallAfter),
        stalled(wire, "a_stalled_body", Fault::StallBody { after: 8 }),
        always(wire, "resets", Fault::ResetBefore),
        cut(wire),
        stalled_in_parts(wire),
        gone_before_the_commit(wire),
        stalled_pages(wire),
        cut_bodies_of_queries(wire),
    ]
}

/// Those in which the wire has no part.
pub(crate) fn trials_of_their_own() -> Vec<Trial> {
    vec![conflicts(), without_the_route(), refused()]
}

/// An answer that does not come ends with the commit's deadline.
fn stalled(wire: Wire, name: &str, fault: Fault) -> Trial {
    on_servers(wire, &format!("ended::{name}"), move |worlds| async move {
        for shape in Shape::direct() {
            let world = &worlds[shape.version()];
            let collection = shape.to_string();
            world.fill(shape, &collection).await?;
            let store = world.store().await?;
            let armed = world.fault(shape.aim(Rule::new(fault.clone()).times(0)));
            let begun = Instant::now();
            let ended = world.commit(&store, shape, &collection, Some(SHORT)).await?;
            let took = begun.elapsed();
            world.emulator().clear_faults();
            assert!(armed.fired() > 0, "{shape}");
            // Where the beginning of an answer is of use, it is judged before the deadline.
            let least = SHORT - SHORT / 8;
            assert!(took >= least && took < SHORT + GRACE, "{shape}: {took:?}");
            assert!(ended.report.is_ok(), "{shape}: {:?}", ended.report);
            let first = ended.jobs[0].1.status();
            assert!(matches!(first, JobStatus::Unknown(_)), "{shape}: {first:?}");
            let wrong = world.contradictions(&collection, shape.guarantee(), &ended.jobs)?;
            assert!(wrong.is_empty(), "{shape}: {wrong:?}");
            world.until_nothing_is_open().await?;
        }
        Ok(())
    })
}

/// What fails each time is tried until the deadline, if it may be, and no job is lost.
fn always(wire: Wire, name: &str, fault: Fault) -> Trial {
    on_servers(wire, &format!("ended::{name}_without_an_end"), move |worlds| async move {
        for shape in [
            Shape::Array(What::Verb(Verb::Put)),
            Shape::Single(What::Verb(Verb::Delete)),
            Shape::MultipartOfRepeatable,
        ] {
            let world = &worlds[shape.version()];
            let collection = shape.to_string();
            world.fill(shape, &collection).await?;
            let store = world.store().await?;
            let armed = world.fault(shape.aim(Rule::new(fault.clone()).times(0)));
            let ended = world.commit(&store, shape, &collection, Some(SHORT)).await?;
            world.emulator().clear_faults();
            assert!(armed.fired() > 1, "{shape} was not tried again");
            for (expected, job) in &ended.jobs {
                let status = job.status();
                assert!(matches!(status, JobStatus::Unknown(_)), "{expected:?}: {status:?}");
            }
            let wrong = world.contradictions(&collection, shape.guarantee(), &ended.jobs)?;
            assert!(wrong.is_empty(), "{shape}: {wrong:?}");
        }
        Ok(())
    })
}

/// Of a multipart answer that breaks off, the parts that came whole are answers.
fn cut(wire: Wire) -> Trial {
    let name = "ended::the_whole_parts_of_a_cut_answer_are_applied_and_the_rest_is_unknown";
    on_servers(wire, name, |worlds| async move {
        let steps = (0..4000).step_by(120);
        let cut = |after| Fault::CutBody { after };
        let counts = whole_parts(&worlds[Shape::Multipart.version()], steps, cut, None).await?;
        assert_eq!(counts.first(), Some(&0), "{counts:?}");
        assert!(counts.len() > 8 && counts.contains(&1), "parts were not read: {counts:?}");
        Ok(())
    })
}

/// So are those of one that stalls until the deadline.
fn stalled_in_parts(wire: Wire) -> Trial {
    let name = "ended::the_whole_parts_of_a_stalled_answer_are_applied_at_the_deadline";
    on_servers(wire, name, |worlds| async move {
        let stall = |after| Fault::StallBody { after };
        let world = &worlds[Shape::Multipart.version()];
        let counts = whole_parts(world, (0..3000).step_by(500), stall, Some(LONG)).await?;
        assert_eq!(counts.first(), Some(&0), "{counts:?}");
        assert!(counts.last() > Some(&1), "parts were not read: {counts:?}");
        Ok(())
    })
}

/// How many of those that are sent once are applied, if the answer ends after so many bytes.
async fn whole_parts(
    world: &World,
    steps: impl Iterator<Item = usize>,
    fault: impl Fn(usize) -> Fault,
    deadline: Option<Duration>,
) -> Result<Vec<usize>> {
    let shape = Shape::Multipart;
    let store = world.store().await?;
    let mut before = 0;
    let mut counts = Vec::new();
    for after in steps {
        world.fill_anew(shape, "cut").await?;
        let armed = world.fault(shape.aim(Rule::new(fault(after))));
        let ended = world.commit(&store, shape, "cut", deadline).await?;
        assert_eq!(armed.fired(), 1);
        let wrong = world.contradictions("cut", shape.guarantee(), &ended.jobs)?;
        assert!(wrong.is_empty(), "ended after {after}: {wrong:?}");
        let unknown = ended.jobs.iter().filter_map(|(_, job)| job.status().error().cloned());
        let kind = if deadline.is_some() { ErrorKind::Timeout } else { ErrorKind::Connection };
        let other: Vec<_> = unknown.filter(|error| error.kind() != kind).collect();
        assert!(other.is_empty(), "ended after {after}: {other:?}");
        // What they say is what the first answer said.
        let once = ended.jobs.iter().filter(|(expected, _)| !expected.is_repeatable());
        let once: Vec<bool> = once.map(|(_, job)| job.status().is_applied()).collect();
        let applied = once.iter().take_while(|applied| **applied).count();
        assert!(!once[applied..].contains(&true), "ended after {after}: {once:?}");
        assert!(applied >= before, "ended after {after}: {once:?}, and {before} before");
        before = applied;
        counts.push(applied);
        if ended.jobs.iter().all(|(_, job)| job.status().is_applied()) {
            break;
        }
    }
    Ok(counts)
}

/// A cursor that came with an answer which is not believed is removed all the same.
fn cut_bodies_of_queries(wire: Wire) -> Trial {
    let name = "ended::no_cursor_is_left_by_an_answer_that_is_not_believed";
    on_servers(wire, name, |worlds| async move {
        let pages = |route: &str| Rule::new(Fault::ResetBefore).method("POST").path(route);
        for (what, version, rule) in [
            ("a surplus part", "3.11.14", Rule::new(Fault::Edit { edit: Edit::PartMore })),
            (
                "another count",
                "3.11.14",
                Rule::new(Fault::Edit { edit: crate::table::header("x-arango-errors", "3") }),
            ),
            ("a page that is lost", "3.11.14", pages("/_api/cursor/")),
            ("a page that is lost, of a single query", "3.12.10", pages("/_api/cursor/")),
        ] {
            let world = &worlds[version];
            let store = world.store().await?;
            let rule = if rule.when.path.is_none() { rule.path("/_api/batch") } else { rule };
            let armed = world.fault(rule.method("POST"));
            let order = Guarantee::Ordered { on_error: OnError::Continue };
            let mut batch = store.arango_batch(BatchOptions::new().guarantee(order))?;
            let query = "FOR i IN 1..2500 RETURN i";
            let jobs = [batch.aql(query, &())?, batch.aql(query, &())?];
            let _report = batch.commit().await?;
            assert_eq!(armed.fired(), 1, "{what}");
            let applied = jobs.iter().filter(|job| job.status().is_applied()).count();
            assert!(applied < 2, "{what}: {jobs:?}");
            world.until_nothing_is_open().await.map_err(|error| format!("{what}: {error}"))?;
        }
        Ok(())
    })
}

/// A page that does not come takes neither the other answers of its call with it, nor certainty of what
/// only reads.
fn stalled_pages(wire: Wire) -> Trial {
    let name = "ended::a_page_that_stalls_until_the_deadline_is_lost_alone";
    on_servers(wire, name, |worlds| async move {
        let (calls, singles) = (&worlds["3.11.14"], &worlds["3.12.10"]);
        for world in [calls, singles] {
            world.make_anew("rows").await?;
            let store = world.store().await?;
            let page = Rule::new(Fault::StallBefore).method("POST").path("/_api/cursor/").times(0);
            let armed = world.fault(page);
            let order = Guarantee::Ordered { on_error: OnError::Continue };
            let options = BatchOptions::new().guarantee(order).deadline(LONG);
            let mut batch = store.arango_batch(options)?;
            let put = batch.queue(Operation::put("rows").at("a").doc(&json!({})))?;
            let read = batch.aql("FOR i IN 1..1001 RETURN i", &())?;
            let report = batch.commit().await?;
            assert!(armed.fired() > 0, "{report:?}");
            assert!(put.status().is_applied(), "{:?}", put.status());
            let status = read.status();
            let is_late = |error: &batch_core::Error| error.kind() == ErrorKind::Timeout;
            assert!(
                matches!(&status, JobStatus::NotApplied(error) if is_late(error)),
                "{status:?}"
            );
            world.until_nothing_is_open().await?;
        }
        Ok(())
    })
}

/// A conflict with another write is no refusal: it is tried again, where that keeps the order.
fn conflicts() -> Trial {
    on_servers(Wire::Http1, "ended::write_write_conflicts_are_tried_again", |worlds| async move {
        for shape in Shape::direct() {
            let world = &worlds[shape.version()];
            let collection = shape.to_string();
            world.fill(shape, &collection).await?;
            let store = world.store().await?;
            world.emulator().conflict(&collection, "k0", 2);
            let ended = world.commit(&store, shape, &collection, None).await?;
            let status = ended.jobs[0].1.status();
            let wrong = world.contradictions(&collection, shape.guarantee(), &ended.jobs)?;
            assert!(wrong.is_empty(), "{shape}: {wrong:?}");
            match shape {
                // The later ones have run by then.
                Shape::Multipart => {
                    let kind = status.error().map(batch_core::Error::kind);
                    assert_eq!(kind, Some(ErrorKind::Conflict), "{status:?}");
                }
                _ => assert!(status.is_applied(), "{shape}: {status:?}"),
            }
        }
        Ok(())
    })
}

/// A server that was upgraded under the store: what was to go by the call goes otherwise.
fn without_the_route() -> Trial {
    let name = "ended::a_multipart_call_that_is_gone_is_noticed";
    on_servers(Wire::Http1, name, |worlds| async move {
        for shape in Shape::MULTIPARTS {
            let world = &worlds[shape.version()];
            let collection = shape.to_string();
            world.fill(shape, &collection).await?;
            let store = world.store().await?;
            world.emulator().switch(|settings| settings.batch = Some(false));
            let ended = world.commit(&store, shape, &collection, None).await?;
            world.emulator().switch(|settings| settings.batch = None);
            for (expected, job) in &ended.jobs {
                assert!(job.status().is_applied(), "{expected:?}: {:?}", job.status());
            }
            let wrong = world.contradictions(&collection, shape.guarantee(), &ended.jobs)?;
            assert!(wrong.is_empty(), "{shape}: {wrong:?}");
            let report = ended.report?;
            assert!(report.deviations() > 0 && !report.warnings().is_empty(), "{report:?}");
            let ordered = store.capabilities().ordered;
            assert_eq!(ordered.as_deref(), Some("array call"), "it is remembered");
        }
        Ok(())
    })
}

/// What was not asked to be committed is given back, although all of it was sent.
fn gone_before_the_commit(wire: Wire) -> Trial {
    let name = "ended::a_server_that_is_gone_before_a_commit_gives_the_transaction_back";
    trial(wire.name(name), async move {
        let mut emulator = Emulator::builder().version("3.12.10").start().await?;
        make_collection(&emulator).await?;
        // The connection that is there fills the transaction, and ends with that.
        let last = Rule::new(Fault::CloseBehind).method("POST").path("/_api/document/");
        let armed = emulator.fault(last);
        // One that was dialled while another was given back would be idle as well.
        let one = reqwest::Client::builder().pool_max_idle_per_host(1);
        let builder = ArangoStore::builder().server(emulator.url()).client_builder(one);
        let store = builder.http2(wire == Wire::Http2).connect().await?;
        emulator.refuse_connections().await;
        let whole = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: true });
        let mut batch = store.arango_batch(whole.deadline(LONG))?;
        let put = |key: &str| Operation::put("things").at(key).doc(&json!({"number": 2}));
        let jobs = [batch.queue(put("a"))?, batch.queue(put("b"))?];
        emulator.forget_requests();
        let error = batch.commit().await.err().ok_or("it was told to be sent")?;
        assert!(matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout), "{error}");
        assert_eq!(armed.fired(), 1);
        assert!(jobs.iter().all(batch_core::Job::is_pending), "{jobs:?}");
        let asked: Vec<_> = emulator.requests().into_iter().map(|seen| seen.method).collect();
        assert_eq!(asked, ["POST", "POST"], "begun and filled, and no more");
        // With the process its transactions end.
        emulator.stop().await;
        emulator.start().await?;
        batch.commit().await?.into_result().map(drop)?;
        assert_eq!(emulator.documents("_system", "things").map(|all| all.len()), Some(2));
        Ok(())
    })
}

/// The collection of the trials that have a server of their own.
async fn make_collection(emulator: &Emulator) -> Result<()> {
    let url = format!("{}/_api/collection", emulator.url());
    let made = reqwest::Client::new().post(url).body(r#"{"name":"things"}"#).send().await?;
    made.error_for_status()?;
    Ok(())
}

/// Without a connection nothing has left, so nothing is in doubt.
fn refused() -> Trial {
    trial("ended::a_refused_connection_leaves_no_doubt", async {
        let mut emulator = Emulator::builder().version("3.12.10").start().await?;
        let store =
            ArangoStore::builder().server(emulator.url()).database("_system").connect().await?;
        make_collection(&emulator).await?;
        let put = |key: &str| Operation::put("things").at(key).doc(&json!({"number": 2}));
        let whole = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: true });
        let query = || Operation::aql("RETURN 1", json!({}));
        let mut batches = Vec::new();
        for (operations, options) in [
            (vec![put("a")], BatchOptions::new()),
            (vec![put("b"), put("c")], BatchOptions::new()),
            (vec![put("d"), put("e")], whole),
            (vec![Operation::get("things").at("a")], BatchOptions::new()),
            (vec![Operation::delete("things").at("f")], BatchOptions::new()),
            (vec![query()], BatchOptions::new()),
        ] {
            let mut batch = store.arango_batch(options.deadline(SHORT))?;
            let jobs = operations.into_iter().map(|operation| batch.queue(operation));
            let jobs: Vec<_> = jobs.collect::<Result<_, _>>()?;
            batches.push((batch, jobs));
        }
        emulator.stop().await;
        for (batch, jobs) in &mut batches {
            let Err(error) = batch.commit().await else { return Err("nobody listens".into()) };
            assert!(matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout), "{error}");
            assert!(jobs.iter().all(batch_core::Job::is_pending), "{jobs:?}");
        }
        emulator.start().await?;
        for (batch, jobs) in &mut batches {
            batch.commit().await?.into_result().map(drop)?;
            assert!(jobs.iter().all(|job| job.status().is_applied()), "{jobs:?}");
        }
        assert_eq!(emulator.documents("_system", "things").map(|all| all.len()), Some(5));
        let read = store.get("things", "a").await?;
        assert!(read.is_some(), "{DATABASE}");
        Ok(())
    })
}
