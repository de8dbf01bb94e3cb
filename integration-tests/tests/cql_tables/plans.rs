//! Many rows: how they are put together, that the server has nothing to say against it, and that
//! what is planned is what leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchType, Key, Operation, Plan, Store as _,
    StoreOptions,
};
use batch_cql::CqlStore;
use integration_tests::{FaultyNode, Result};
use scylla_proxy::{Condition, Reaction as _, RequestOpcode, RequestReaction, RequestRule};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Done, WHOLE, World, Wrongs, commit, same, tests};

tests!["plans":
    the_server_has_nothing_to_say_against_many_rows,
    chunks_are_as_large_as_is_best,
    what_is_planned_is_what_leaves,
    a_later_write_wins_wherever_it_was_cut,
    rows_alone_in_their_partition_can_be_sent_alone,
    conditions_on_a_partition_wait_for_one_another_here_and_not_at_the_server,
    limits_of_the_store_are_kept,
    warnings_of_the_server_are_told,
    traces_are_told,
];

const ROWS: &str = "(p int, c int, v text, w int, PRIMARY KEY (p, c))";

/// A put of the row that stands at a place among others.
fn put(table: &str, p: usize, c: usize, doc: &Value) -> Operation {
    let key = Key::new().part("p", p as u64).part("c", c as u64);
    Operation::put(table.to_owned()).at(key).doc(doc)
}

/// So many partitions with so many rows each, in an order in which neighbours are never alike.
fn spread(partitions: usize, rows: usize) -> Vec<(usize, usize)> {
    (0..rows).flat_map(|c| (0..partitions).map(move |p| (p, c))).collect()
}

fn no_warnings(done: &Done) -> Result<()> {
    same("warnings", &[] as &[String], done.report.warnings())
}

/// Partitions, rows of each, bytes of each.
const SHAPES: &[(usize, usize, usize)] = &[
    (1, 3000, 10),
    (30, 100, 10),
    (3000, 1, 10),
    (500, 3, 10),
    (250, 12, 10),
    (1000, 1, 1000),
    (20, 20, 4000),
];

async fn the_server_has_nothing_to_say_against_many_rows(world: Arc<World>) -> Result<()> {
    let columns: Vec<String> = (0..30).map(|number| format!("c{number} text")).collect();
    let wide = format!(
        "CREATE TABLE k.wide (p int, {}, l list<int>, m map<int, int>, PRIMARY KEY (p))",
        columns.join(", ")
    );
    let place = world.place(&[&format!("CREATE TABLE k.many {ROWS}"), &wide]).await?;
    let mut wrongs = Wrongs::default();
    for (partitions, rows, bytes) in SHAPES {
        for forced in [None, Some(BatchType::Unlogged)] {
            place.run("TRUNCATE k.many").await?;
            let doc = json!({"v": "x".repeat(*bytes)});
            let operations = spread(*partitions, *rows);
            let all = operations.iter().map(|(p, c)| put("many", *p, *c, &doc));
            let options = forced.into_iter().fold(BatchOptions::new(), BatchOptions::batch_type);
            let done = commit(&place.store, options, all).await?;
            let part =
                format!("{partitions} partitions of {rows} rows of {bytes} bytes, {forced:?}");
            let count = u64::try_from(operations.len())?;
            wrongs.note(&part, same("applied", &count, &done.report.applied()));
            wrongs.note(&part, no_warnings(&done));
            wrongs.note(&part, fits(&done.plan, &operations));
            let found = place.rows("p, c FROM k.many").await?;
            wrongs.note(&part, same("rows", &operations.len(), &found.len()));
        }
    }
    // A whole row has a null for each column that its document leaves out.
    for doc in [json!({}), json!({"c3": "x", "l": [1], "m": {"1": 2}})] {
        let all = (0..300_u32).map(|p| Operation::put("wide").key("p", p).doc(&doc));
        let done = commit(&place.store, BatchOptions::new(), all).await?;
        wrongs.note(format!("wide {doc}"), same("applied", &300, &done.report.applied()));
        wrongs.note(format!("wide {doc}"), no_warnings(&done));
    }
    wrongs.into_result()
}

/// Whether each chunk has a size and a place in which the server likes it.
fn fits(plan: &Plan, operations: &[(usize, usize)]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for chunk in &plan.chunks {
        let places = chunk.operations.iter().map(|id| *id as usize - 1);
        let partitions: BTreeSet<usize> =
            places.clone().filter_map(|place| Some(operations.get(place)?.0)).collect();
        let (count, partitions) = (chunk.operations.len(), partitions.len());
        let fits = match &*chunk.mechanism {
            "single statement" => count == 1,
            "single-partition batch" => partitions == 1 && count <= 500 && chunk.bytes <= 65_536,
            "unlogged batch" => partitions <= 10 && chunk.bytes <= 5120,
            _ => false,
        };
        same(
            &format!("{} of {count}, on {partitions}, {} bytes", chunk.mechanism, chunk.bytes),
            &true,
            &fits,
        )?;
        seen.extend(places);
    }
    same("operations", &operations.len(), &seen.len())
}

async fn chunks_are_as_large_as_is_best(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&format!("CREATE TABLE k.best {ROWS}")]).await?;
    let mut wrongs = Wrongs::default();
    for (partitions, rows, mechanism, largest, chunks) in [
        (1, 2000, "single-partition batch", 500, 4),
        (10, 500, "single-partition batch", 500, 10),
        // Small rows of ten partitions are put together.
        (1000, 1, "unlogged batch", 10, 100),
    ] {
        let doc = json!({"w": 1});
        let all = spread(partitions, rows).into_iter().map(|(p, c)| put("best", p, c, &doc));
        let done = commit(&place.store, BatchOptions::new(), all).await?;
        let part = format!("{partitions} partitions of {rows} rows");
        // One more may be begun, and what is in it may be alone.
        let used = done.mechanisms();
        let all: u64 = used.iter().map(|(_, chunks)| chunks).sum();
        let fits = used.iter().any(|(name, of_it)| *name == mechanism && *of_it >= chunks)
            && all <= chunks + 1;
        wrongs.note(format!("{part}: {used:?}"), same("fits", &true, &fits));
        let sizes = done.plan.chunks.iter().map(|chunk| chunk.operations.len());
        wrongs.note(&part, same("largest", &Some(largest), &sizes.max()));
    }
    wrongs.into_result()
}

/// The kind and the number of statements of each request.
type Sent = BTreeMap<(&'static str, usize), usize>;

async fn what_is_planned_is_what_leaves(world: Arc<World>) -> Result<()> {
    let counters = "CREATE TABLE k.wire_n (p int, c int, n counter, PRIMARY KEY (p, c))";
    let place = world.place(&[&format!("CREATE TABLE k.wire {ROWS}"), counters]).await?;
    let mut proxy = FaultyNode::before(world.server().address()).await?;
    let store = proxy.store(&place.keyspace, StoreOptions::new()).await?;
    let mut wrongs = Wrongs::default();
    for (name, options, operations) in [
        ("one partition", BatchOptions::new(), spread(1, 250)),
        ("ten partitions", BatchOptions::new(), spread(10, 25)),
        ("many partitions", BatchOptions::new(), spread(77, 1)),
        ("one row", BatchOptions::new(), spread(1, 1)),
        ("a logged batch", BatchOptions::new().guarantee(WHOLE), spread(20, 2)),
        ("a whole partition", BatchOptions::new().guarantee(WHOLE), spread(1, 300)),
    ] {
        for verb in ["put", "insert", "count"] {
            if verb == "insert" && operations.len() > 30
                || verb == "count" && name.contains('a') && name != "many partitions"
            {
                continue;
            }
            let mark = format!("{verb} {name} {:08x}", fastrand::u32(..));
            let doc = json!({"v": mark});
            let all = operations.iter().map(|(p, c)| match verb {
                "count" => {
                    let text = "UPDATE wire_n SET n = n + ? WHERE p = ? AND c = ?";
                    Operation::cql(text, (1_234_567_890_123_456_789_i64, *p, *c))
                }
                "insert" => {
                    let key = Key::new().part("p", *p as u64).part("c", *c as u64);
                    Operation::insert("wire").at(key).doc(&doc)
                }
                _ => put("wire", *p, *c, &doc),
            });
            place.run("TRUNCATE k.wire").await?;
            let mark = if verb == "count" {
                1_234_567_890_123_456_789_i64.to_be_bytes().to_vec()
            } else {
                mark.into_bytes()
            };
            let (frames, mut seen) = unbounded_channel();
            let ours = Condition::RequestOpcode(RequestOpcode::Batch)
                .or(Condition::RequestOpcode(RequestOpcode::Execute))
                .and(Condition::BodyContainsCaseSensitive(mark.into()));
            let watched = RequestReaction::noop().with_feedback_when_performed(frames);
            proxy.on_requests(&[RequestRule(ours, watched)]);
            let done = commit(&store, options.clone(), all).await?;
            proxy.on_requests(&[]);
            let part = format!("{verb} {name}");
            let count = u64::try_from(operations.len())?;
            wrongs.note(&part, same("applied", &count, &done.report.applied()));
            let mut sent = Sent::new();
            while let Ok((frame, _)) = seen.try_recv() {
                let of = match (frame.opcode, frame.body.first_chunk()) {
                    (RequestOpcode::Batch, Some([kind, high, low])) => {
                        let kind = ["logged", "unlogged", "counter"].get(usize::from(*kind));
                        (*kind.unwrap_or(&"?"), usize::from(u16::from_be_bytes([*high, *low])))
                    }
                    _ => ("single", 1),
                };
                *sent.entry(of).or_default() += 1;
            }
            wrongs.note(&part, same("requests", &planned(&done.plan), &sent));
        }
    }
    wrongs.into_result()
}

/// What a plan lets leave.
fn planned(plan: &Plan) -> Sent {
    let mut planned = Sent::new();
    for chunk in &plan.chunks {
        let kind = match (&*chunk.mechanism, chunk.operations.len()) {
            ("logged batch" | "conditional batch", _) => "logged",
            ("counter batch", _) => "counter",
            (_, 1) => "single",
            _ => "unlogged",
        };
        *planned.entry((kind, chunk.operations.len())).or_default() += 1;
    }
    planned
}

async fn a_later_write_wins_wherever_it_was_cut(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&format!("CREATE TABLE k.cut {ROWS}")]).await?;
    let mut wrongs = Wrongs::default();
    for (partitions, rows) in [(1, 250), (7, 60), (300, 1), (40, 12)] {
        place.run("TRUNCATE k.cut").await?;
        let mut operations = Vec::new();
        // Of two writes at one time the larger value would win, and a deletion over both.
        for (round, v) in ["z", "y", "x"].into_iter().enumerate() {
            for (place, (p, c)) in spread(partitions, rows).into_iter().enumerate() {
                match (place + round) % 5 {
                    0 => {}
                    1 if round < 2 => operations.push((p, c, None)),
                    _ => operations.push((p, c, Some(v))),
                }
            }
        }
        let mut expected = BTreeMap::new();
        for (p, c, v) in &operations {
            match v {
                Some(v) => expected.insert((*p, *c), *v),
                None => expected.remove(&(*p, *c)),
            };
        }
        let all = operations.iter().map(|(p, c, v)| match v {
            Some(v) => put("cut", *p, *c, &json!({"v": v})),
            None => {
                Operation::delete("cut").at(Key::new().part("p", *p as u64).part("c", *c as u64))
            }
        });
        let done = commit(&place.store, BatchOptions::new(), all).await?;
        let part = format!("{partitions} partitions of {rows} rows");
        let count = u64::try_from(operations.len())?;
        wrongs.note(&part, same("applied", &count, &done.report.applied()));
        wrongs.note(&part, no_warnings(&done));
        let found = place.rows("p, c, v FROM k.cut").await?;
        let number =
            |row: &Value, name: &str| row[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let found: BTreeMap<(usize, usize), &str> = found
            .iter()
            .filter_map(|row| Some(((number(row, "p")?, number(row, "c")?), row["v"].as_str()?)))
            .collect();
        wrongs.note(&part, same("rows", &expected, &found));
    }
    wrongs.into_result()
}

async fn rows_alone_in_their_partition_can_be_sent_alone(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&format!("CREATE TABLE k.alone_rows {ROWS}")]).await?;
    let builder = world.builder(&place.keyspace).batch_across_partitions(false);
    let store: CqlStore = builder.connect().await?;
    let doc = json!({"w": 1});
    let mut operations = spread(50, 1);
    operations.extend((0..30).map(|c| (99, c)));
    let all = operations.iter().map(|(p, c)| put("alone_rows", *p, *c, &doc));
    let done = commit(&store, BatchOptions::new(), all).await?;
    let mut used = done.mechanisms();
    used.sort_unstable();
    same("mechanisms", &vec![("single statement", 50), ("single-partition batch", 1)], &used)
}

async fn conditions_on_a_partition_wait_for_one_another_here_and_not_at_the_server(
    world: Arc<World>,
) -> Result<()> {
    let place = world.place(&[&format!("CREATE TABLE k.waiting {ROWS}")]).await?;
    let native = "INSERT INTO waiting (p, c, v) VALUES (?, ?, ?) IF NOT EXISTS";
    let insert = |p: usize, c: usize| json!({"op": "insert", "collection": "waiting", "key": {"p": p, "c": c}, "doc": {"v": "x"}});
    let in_text = |c: usize| json!({"op": "cql", "statement": native, "values": [1, c, "x"]});
    let operations = (0..6).map(|c| insert(1, c)).chain([in_text(7), in_text(8)]);
    let operations = operations.chain((2..10).map(|p| insert(p, 0)));
    let done = place.best_effort(operations).await?;
    same("ends", &vec!["applied".to_owned(); 16], &done.ends())?;
    let lanes: BTreeMap<u32, u32> = done
        .plan
        .chunks
        .iter()
        .flat_map(|chunk| chunk.operations.iter().map(|operation| (*operation, chunk.lane)))
        .collect();
    let of = |operations: RangeInclusive<u32>| -> BTreeSet<Option<&u32>> {
        operations.map(|operation| lanes.get(&operation)).collect()
    };
    same("lanes of the partition", &1, &of(1..=8).len())?;
    // Some may happen to share a lane, but hardly half of the nine partitions.
    same("others are beside it", &true, &(of(1..=16).len() > 4))
}

async fn limits_of_the_store_are_kept(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&format!("CREATE TABLE k.limited {ROWS}")]).await?;
    let mut wrongs = Wrongs::default();
    for (name, options, most) in [
        ("operations", StoreOptions::new().max_batch_operations(7), 7),
        ("bytes", StoreOptions::new().max_batch_bytes(1000), 100),
        ("one in flight", StoreOptions::new().max_in_flight(1), 100),
    ] {
        let store = world.builder(&place.keyspace).options(options).connect().await?;
        let doc = json!({"v": "x".repeat(50)});
        let all = spread(10, 30);
        let all = all.into_iter().map(|(p, c)| put("limited", p, c, &doc));
        let done = commit(&store, BatchOptions::new(), all).await?;
        wrongs.note(name, same("applied", &300, &done.report.applied()));
        let largest = done.plan.chunks.iter().map(|chunk| chunk.operations.len()).max();
        wrongs.note(
            format!("{name}: {largest:?} in a chunk"),
            same("fits", &true, &(largest <= Some(most))),
        );
        let bytes = done.plan.chunks.iter().map(|chunk| chunk.bytes).max();
        let fits = name != "bytes" || bytes <= Some(1000);
        wrongs.note(format!("{name}: {bytes:?} bytes in a chunk"), same("fits", &true, &fits));
    }
    wrongs.into_result()
}

async fn warnings_of_the_server_are_told(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&format!("CREATE TABLE k.warned {ROWS}")]).await?;
    // Whole, so it cannot be cut below the size that the server warns of.
    let doc = json!({"v": "x".repeat(1000)});
    let all = spread(10, 1);
    let all = all.into_iter().map(|(p, c)| put("warned", p, c, &doc));
    let done = commit(&place.store, BatchOptions::new().guarantee(WHOLE), all).await?;
    same("applied", &10, &done.report.applied())?;
    let told = done.report.warnings().iter();
    let told = told.filter(|told| told.contains("exceeding specified threshold")).count();
    same(&format!("warnings {:?}", done.report.warnings()), &1, &told)
}

async fn traces_are_told(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&format!("CREATE TABLE k.traced {ROWS}")]).await?;
    let store = world.builder(&place.keyspace).tracing(true).connect().await?;
    let mut wrongs = Wrongs::default();
    for (name, operations) in
        [("single", spread(1, 1)), ("batch", spread(1, 5)), ("spread", spread(5, 1))]
    {
        let doc = json!({"w": 1});
        let mut batch = store.batch(BatchOptions::new())?;
        for (p, c) in operations {
            batch.queue(put("traced", p, c, &doc))?;
        }
        let report = batch.commit().await?;
        let words = report
            .warnings()
            .iter()
            .flat_map(|warning| warning.split(|c: char| !c.is_ascii_hexdigit() && c != '-'));
        let ids: Vec<uuid::Uuid> = words.filter_map(|word| word.parse().ok()).collect();
        wrongs.note(format!("{name}: {:?}", report.warnings()), same("ids", &1, &ids.len()));
        for id in ids {
            let traced = place.session.get_tracing_info(&id).await;
            let result = match traced {
                Ok(traced) => same("the server has it", &true, &traced.request.is_some()),
                Err(error) => Err(error.into()),
            };
            wrongs.note(name, result);
        }
    }
    wrongs.into_result()
}
