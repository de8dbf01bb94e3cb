//! What is put together and how, for each guarantee and each forced kind of batch.

use std::{collections::BTreeMap, sync::Arc};

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchType, ErrorKind, Guarantee, OnError, Store as _,
};
use integration_tests::Result;
use serde_json::{Value, json};

use crate::support::{
    ISOLATED, Place, WHOLE, World, Wrongs, operation, refusal, same, says, tests,
};

tests!["guarantees":
    each_shape_has_its_mechanism,
    a_plan_says_why_partitions_share_a_batch,
    counters_share_no_batch_with_others_that_is_forced,
    an_ordered_batch_stops_at_its_first_refusal,
];

const ORDERED: Guarantee = Guarantee::Ordered { on_error: OnError::Continue };

const ROWS: &str = "(p text, c int, v text, PRIMARY KEY (p, c))";

pub(crate) async fn place(world: &World, name: &str) -> Result<Place> {
    let tables = [
        format!("CREATE TABLE k.{name} {ROWS}"),
        format!("CREATE TABLE k.{name}_2 {ROWS}"),
        format!("CREATE TABLE k.{name}_n (p text, c int, n counter, PRIMARY KEY (p, c))"),
    ];
    world.place(&tables.each_ref().map(String::as_str)).await
}

/// An operation on the row `pc`, such as `a1`, of a table.
pub(crate) fn of(op: &str, table: &str, row: &str) -> Value {
    let (p, c) = row.split_at(1);
    let key = json!({"p": p, "c": c.parse::<i32>().unwrap_or_default()});
    let mut form = json!({"op": op, "collection": table, "key": key});
    if !op.starts_with("delete") {
        form["doc"] = json!({"v": op});
    }
    form
}

fn count(table: &str, row: &str) -> Value {
    let (p, c) = row.split_at(1);
    let statement = format!("UPDATE {table}_n SET n = n + 1 WHERE p = ? AND c = ?");
    json!({"op": "cql", "statement": statement, "values": [p, c.parse::<i32>().unwrap_or_default()]})
}

/// `put a1` is a put of that row; `put2 a1` one of the other table's row; `count a1` counts.
pub(crate) fn operations(table: &str, words: &str) -> Vec<Value> {
    let operation = |word: &str| {
        let (op, row) = word.trim().split_once(' ').unwrap_or_default();
        match op.strip_suffix('2') {
            _ if op == "count" => count(table, row),
            Some(op) => of(op, &format!("{table}_2"), row),
            None => of(op, table, row),
        }
    };
    words.split(',').map(operation).collect()
}

const SINGLE: &str = "single statement";
pub(crate) const PARTITION: &str = "single-partition batch";
const SPREAD: &str = "unlogged batch";
pub(crate) const LOGGED: &str = "logged batch";
const CONDITION: &str = "conditional statement";
const CONDITIONS: &str = "conditional batch";
const COUNTER: &str = "counter batch";

/// What is asked for, the operations, and the mechanisms with the chunks of each.
type Shape = (Guarantee, Option<BatchType>, &'static str, &'static [(&'static str, u64)]);

const BEST: Guarantee = Guarantee::BestEffort;

const SHAPES: &[Shape] = &[
    // Each for itself.
    (BEST, None, "put a1", &[(SINGLE, 1)]),
    (BEST, None, "put a1, put a2, delete a3", &[(PARTITION, 1)]),
    (BEST, None, "put a1, put a1, put a1", &[(SINGLE, 1)]),
    (BEST, None, "put a1, put b1", &[(SPREAD, 1)]),
    (BEST, None, "put a1, put2 a1", &[(PARTITION, 1)]),
    (BEST, None, "insert a1, insert a2, insert b1", &[(CONDITION, 3)]),
    (BEST, None, "insert a1, put a2, put a3", &[(CONDITION, 1), (PARTITION, 1)]),
    (BEST, None, "insert a1, update a1, put a1", &[(CONDITION, 1)]),
    (BEST, None, "count a1", &[(COUNTER, 1)]),
    (BEST, None, "count a1, count a2", &[(COUNTER, 1)]),
    (BEST, None, "count a1, count b1, put a1", &[(COUNTER, 2), (SINGLE, 1)]),
    (BEST, Some(BatchType::Logged), "put a1, put b1, put c1", &[(LOGGED, 1)]),
    (BEST, Some(BatchType::Logged), "put a1", &[(LOGGED, 1)]),
    (BEST, Some(BatchType::Unlogged), "put a1, put b1, put c1", &[(SPREAD, 1)]),
    (BEST, Some(BatchType::Unlogged), "put a1, put a2", &[(PARTITION, 1)]),
    (BEST, Some(BatchType::Unlogged), "insert a1, put b1", &[(CONDITION, 1), (SINGLE, 1)]),
    (BEST, Some(BatchType::Counter), "count a1, count a2", &[(COUNTER, 1)]),
    // One after another.
    (ORDERED, None, "put a1, put a2", &[(PARTITION, 1)]),
    (ORDERED, None, "put a1, put b1", &[(SINGLE, 2)]),
    (ORDERED, None, "insert a1, put a2, insert a3", &[(CONDITION, 2), (SINGLE, 1)]),
    // The whole or nothing.
    (WHOLE, None, "put a1", &[(SINGLE, 1)]),
    (WHOLE, None, "insert a1", &[(CONDITION, 1)]),
    (WHOLE, None, "put a1, put a2, upsert a3, delete a4", &[(PARTITION, 1)]),
    (WHOLE, None, "put a1, put b1", &[(LOGGED, 1)]),
    (WHOLE, None, "put a1, put2 a1", &[(PARTITION, 1)]),
    (WHOLE, None, "put a1, put2 b1", &[(LOGGED, 1)]),
    (WHOLE, None, "insert a1, insert a2", &[(CONDITIONS, 1)]),
    (WHOLE, None, "insert a1, put a2, delete a3", &[(CONDITIONS, 1)]),
    (WHOLE, Some(BatchType::Logged), "put a1, put a2", &[(LOGGED, 1)]),
    (WHOLE, Some(BatchType::Unlogged), "put a1, put a2", &[(PARTITION, 1)]),
    (ISOLATED, None, "put a1", &[(SINGLE, 1)]),
    (ISOLATED, None, "put a1, put a2", &[(PARTITION, 1)]),
    (ISOLATED, None, "insert a1, insert a2", &[(CONDITIONS, 1)]),
];

pub(crate) fn options(guarantee: Guarantee, forced: Option<BatchType>) -> BatchOptions {
    let options = BatchOptions::new().guarantee(guarantee);
    forced.into_iter().fold(options, BatchOptions::batch_type)
}

pub(crate) async fn left(place: &Place, table: &str) -> Result<BTreeMap<String, String>> {
    let rows = place.rows(&format!("* FROM k.{table}")).await?;
    let row = |row: &Value| {
        let name = format!("{}{}", row["p"].as_str().unwrap_or_default(), row["c"]);
        (name, row["v"].as_str().unwrap_or_default().to_owned())
    };
    Ok(rows.iter().map(row).collect())
}

pub(crate) async fn start(
    place: &Place,
    table: &str,
    rows: &str,
) -> Result<BTreeMap<String, String>> {
    place.run(&format!("TRUNCATE k.{table}")).await?;
    let names = rows.split(", ").filter(|name| !name.is_empty());
    for name in names.clone() {
        let (p, c) = name.split_at(1);
        place.run(&format!("INSERT INTO k.{table} (p, c, v) VALUES ('{p}', {c}, 'old')")).await?;
    }
    Ok(names.map(|name| (name.to_owned(), "old".to_owned())).collect())
}

async fn each_shape_has_its_mechanism(world: Arc<World>) -> Result<()> {
    let place = place(&world, "shapes").await?;
    let mut wrongs = Wrongs::default();
    for (guarantee, forced, words, expected) in SHAPES {
        place.run("TRUNCATE k.shapes").await?;
        let forms = operations("shapes", words);
        let part = format!("{words} ({guarantee}, {forced:?})");
        let done = place.commit(options(*guarantee, *forced), forms).await;
        let result = done.and_then(|done| {
            same("ends", &vec!["applied".to_owned(); done.jobs.len()], &done.ends())?;
            let sorted = |mut used: Vec<(&str, u64)>| {
                used.sort_unstable();
                used.into_iter().map(|(name, chunks)| (name.to_owned(), chunks)).collect::<Vec<_>>()
            };
            same("mechanisms", &sorted(expected.to_vec()), &sorted(done.mechanisms()))?;
            same("guarantee", guarantee, &done.report.guarantee())
        });
        wrongs.note(part, result);
    }
    wrongs.into_result()
}

async fn a_plan_says_why_partitions_share_a_batch(world: Arc<World>) -> Result<()> {
    let place = place(&world, "why").await?;
    let mut wrongs = Wrongs::default();
    for (guarantee, forced, words, reasons) in [
        (Guarantee::BestEffort, None, "put a1", &[] as &[_]),
        (Guarantee::BestEffort, None, "put a1, put a2, insert a3", &[]),
        (Guarantee::BestEffort, None, "put a1, put b1", &[(SPREAD, "fewer than 10 writes")]),
        (Guarantee::BestEffort, Some(BatchType::Logged), "put a1", &[(LOGGED, "forced")]),
        (ORDERED, None, "put a1, put b1", &[]),
        (WHOLE, None, "put a1, put a2", &[]),
        (
            WHOLE,
            None,
            "put a1, put a2, put b1",
            &[(LOGGED, "operation 3: it is on another partition")],
        ),
        (WHOLE, None, "put a1, put2 a1", &[(PARTITION, "operation 2 is on another table")]),
        (WHOLE, Some(BatchType::Logged), "put a1, put a2", &[(LOGGED, "forced")]),
        (WHOLE, None, "insert a1, insert a2", &[(CONDITIONS, "condition that is false")]),
    ] {
        let part = format!("{words} ({guarantee}, {forced:?})");
        let mut batch = place.store.batch(options(guarantee, forced))?;
        for form in operations("why", words) {
            batch.queue(operation(form)?)?;
        }
        let plan = batch.plan().await?;
        batch.discard();
        let fits = plan.reasons.len() == reasons.len()
            && plan.reasons.iter().zip(reasons).all(|((mechanism, why), (expected, words))| {
                mechanism == expected && why.contains(words)
            });
        let said = plan.reasons.iter().all(|(_, why)| plan.to_string().contains(why));
        wrongs.note(part, same(&format!("{:?}", plan.reasons), &(true, true), &(fits, said)));
    }
    wrongs.into_result()
}

/// Nothing but a statement's markers tells where it writes, and several partitions are not written at once.
async fn counters_share_no_batch_with_others_that_is_forced(world: Arc<World>) -> Result<()> {
    let place = place(&world, "forced").await?;
    let mut wrongs = Wrongs::default();
    for (forced, words, ends) in [
        (BatchType::Counter, "count a1, put a1, count a1", "applied InvalidOperation applied"),
        (BatchType::Counter, "put a1", "InvalidOperation"),
        (BatchType::Counter, "insert a1, delete a2", "InvalidOperation InvalidOperation"),
        (BatchType::Logged, "put a1, count a1, put b1", "applied InvalidOperation applied"),
        (BatchType::Unlogged, "put a1, count a1, put a2", "applied applied applied"),
    ] {
        for table in ["forced", "forced_n"] {
            place.run(&format!("TRUNCATE k.{table}")).await?;
        }
        let done = place.commit(options(BEST, Some(forced)), operations("forced", words)).await?;
        let part = format!("{words} ({})", forced.as_str());
        wrongs.note(&part, same("ends", ends, &*done.ends().join(" ")));
        for (job, form) in done.jobs.iter().zip(operations("forced", words)) {
            if let Ok(error) = refusal(job) {
                wrongs.note(&part, says(&error, ErrorKind::InvalidOperation, &["counter"]));
            }
            let applied = job.status().is_applied();
            let written = match form.get("values") {
                Some(_) => !place.rows("n FROM k.forced_n").await?.is_empty(),
                None => place.get("forced", &form["key"]).await?.is_some(),
            };
            wrongs.note(&part, same("written", &applied, &written));
        }
    }
    wrongs.into_result()
}

/// The rows that are there, the operations of a whole batch, and how they end.
/// Makes these rows the only ones of the table, with `old` in them.
/// Who found a row in the way shows it; who was rolled back tells because of whom.
/// The server writes a batch with a condition at its own time, whatever its statements say.
/// Long queues are routed in slices, and a whole batch is one thing all the same.
/// Operations on one key are one write.
async fn an_ordered_batch_stops_at_its_first_refusal(world: Arc<World>) -> Result<()> {
    let place = place(&world, "stops").await?;
    let mut wrongs = Wrongs::default();
    let stop = Guarantee::Ordered { on_error: OnError::Stop };
    for (guarantee, there, words, ends, after) in [
        (
            stop,
            "a2",
            "put a1, insert a2, put a3",
            "applied AlreadyExists Skipped",
            "a1 put, a2 old",
        ),
        (
            ORDERED,
            "a2",
            "put a1, insert a2, put a3",
            "applied AlreadyExists applied",
            "a1 put, a2 old, a3 put",
        ),
        (stop, "", "put a1, update b1, count a1", "applied NotFound Skipped", "a1 put"),
        (
            stop,
            "a1",
            "put a2, put b1, delete_existing a1, update a1, put a3",
            "applied applied applied NotFound Skipped",
            "a2 put, b1 put",
        ),
    ] {
        start(&place, "stops", there).await?;
        let done = place.commit(options(guarantee, None), operations("stops", words)).await?;
        let part = format!("{words} where {there} is ({guarantee})");
        wrongs.note(&part, same("ends", ends, &*done.ends().join(" ")));
        let found = left(&place, "stops").await?;
        let found: Vec<_> = found.iter().map(|(row, v)| format!("{row} {v}")).collect();
        wrongs.note(&part, same("rows", after, &*found.join(", ")));
    }
    wrongs.into_result()
}
