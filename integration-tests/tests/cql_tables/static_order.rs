//! Which of a partition's rows sets their static columns: the last one in program order.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use batch_core::{
    BatchExt as _, BatchOptions, BatchType, Clock, Guarantee, Job, OnError, Operation, Store as _,
    StoreOptions, SystemClock, Verb,
};
use fastrand::Rng;
use integration_tests::Result;
use serde_json::{Map, Value, json};

use crate::support::{Place, WHOLE, World, Wrongs, end, operation, same, tests};

tests!["static_order":
    the_last_row_of_a_partition_that_sets_a_static_column_wins,
    it_wins_in_batches_of_several_partitions,
    it_wins_over_what_is_in_another_request,
    it_wins_when_conditions_and_plain_writes_follow_one_another,
    a_timestamp_of_an_operations_own_decides,
    an_ordered_batch_keeps_statements_in_order_with_rows,
    rows_that_share_a_static_column_share_a_request_if_it_takes_them,
    sequences_hold_with_a_clock_that_is_ten_seconds_ahead,
    sequences_hold_with_a_clock_that_is_ten_seconds_behind,
    sequences_hold_with_a_clock_that_is_right,
];

const TABLE: &str = "CREATE TABLE k.NAME (p text, c int, s text static, t int static, \
    l list<int> static, v text, PRIMARY KEY (p, c))";
const ORDERED: Guarantee = Guarantee::Ordered { on_error: OnError::Continue };

async fn place(world: &World, name: &str) -> Result<Place> {
    world.place(&[&TABLE.replace("NAME", name)]).await
}

/// An operation on a row, or on the partition if that is 0.
fn of(op: &str, table: &str, p: &str, c: u64, doc: &Value) -> Value {
    let key = if c == 0 { json!({"p": p}) } else { json!({"p": p, "c": c}) };
    let mut form = json!({"op": op, "collection": table, "key": key});
    if !doc.is_null() {
        form["doc"] = doc.clone();
    }
    form
}

/// What the partition's rows share, without what has no value.
async fn shared(place: &Place, table: &str, p: &str) -> Result<Value> {
    let select = format!("DISTINCT p, s, t, l FROM k.{table} WHERE p = '{p}'");
    let mut columns = place.rows(&select).await?.pop().unwrap_or_else(|| json!({}));
    columns.as_object_mut().map(|columns| columns.remove("p"));
    Ok(columns)
}

/// Operations on rows of one partition, and what its static columns are in the end. Larger values
/// come first, because the server solves ties by the larger one.
const SEQUENCES: &[(&str, &str)] = &[
    (r#"[["put", 1, {"s": "zz"}], ["put", 2, {"s": "aa"}]]"#, r#"{"s": "aa"}"#),
    (r#"[["put", 1, {"t": 5}], ["upsert", 2, {"t": -5}]]"#, r#"{"t": -5}"#),
    (r#"[["put", 1, {"s": "zz"}], ["put", 2, {"s": null}]]"#, "{}"),
    (r#"[["put", 1, {"s": null}], ["put", 2, {"s": "aa"}]]"#, r#"{"s": "aa"}"#),
    // A whole list is no value, but a deletion and an element for each of its own.
    (r#"[["put", 1, {"l": [9, 8]}], ["put", 2, {"l": [1]}]]"#, r#"{"l": [1]}"#),
    // Each column by itself.
    (
        r#"[["put", 1, {"s": "zz", "t": 9}], ["put", 2, {"s": "yy"}], ["put", 3, {"t": 1}]]"#,
        r#"{"s": "yy", "t": 1}"#,
    ),
    (
        r#"[["put", 1, {"s": "zz", "v": "1"}], ["put", 2, {"v": "2"}], ["put", 3, {"s": "aa"}]]"#,
        r#"{"s": "aa"}"#,
    ),
    // The partition alone, of which nothing may be left to write.
    (r#"[["put", 1, {"s": "zz"}], ["upsert", 0, {"s": "aa"}]]"#, r#"{"s": "aa"}"#),
    (r#"[["upsert", 0, {"s": "zz"}], ["put", 1, {"s": "aa"}]]"#, r#"{"s": "aa"}"#),
    (r#"[["put", 0, {"s": "zz", "t": 9}], ["put", 1, {"s": "aa"}]]"#, r#"{"s": "aa", "t": 9}"#),
    (
        r#"[["upsert", 0, {"s": "zz"}], ["upsert", 0, {"s": "yy"}], ["put", 1, {"s": "aa"}]]"#,
        r#"{"s": "aa"}"#,
    ),
    // Several operations on a row.
    (
        r#"[["put", 1, {"s": "zz"}], ["put", 2, {"s": "mm"}], ["upsert", 1, {"s": "aa"}]]"#,
        r#"{"s": "aa"}"#,
    ),
    (
        r#"[["put", 1, {"s": "zz"}], ["put", 2, {"s": "mm"}], ["upsert", 1, {"v": "1"}]]"#,
        r#"{"s": "mm"}"#,
    ),
    (
        r#"[["put", 1, {"s": "zz"}], ["put", 2, {"s": "mm"}], ["delete", 1, null]]"#,
        r#"{"s": "mm"}"#,
    ),
    (
        r#"[["put", 1, {"s": "mm"}], ["put", 2, {"s": "aa"}], ["delete", 2, null]]"#,
        r#"{"s": "aa"}"#,
    ),
    // Conditions.
    (r#"[["insert", 1, {"s": "zz"}], ["insert", 2, {"s": "aa"}]]"#, r#"{"s": "aa"}"#),
    (r#"[["insert", 1, {"s": "zz"}], ["put", 2, {"s": "aa"}]]"#, r#"{"s": "aa"}"#),
    (r#"[["put", 1, {"s": "zz"}], ["insert", 2, {"s": "aa"}]]"#, r#"{"s": "aa"}"#),
    (
        r#"[["put", 1, {"s": "zz"}], ["insert", 2, {"s": "mm"}], ["put", 3, {"s": "aa"}]]"#,
        r#"{"s": "aa"}"#,
    ),
    (
        r#"[["insert", 1, {"s": "zz"}], ["update", 1, {"s": "yy"}], ["upsert", 0, {"s": "aa"}]]"#,
        r#"{"s": "aa"}"#,
    ),
    (
        r#"[["insert", 1, {"s": "zz"}], ["put", 2, {"s": "yy"}], ["replace", 1, {"s": "aa"}]]"#,
        r#"{"s": "aa"}"#,
    ),
    (
        r#"[["insert", 1, {"s": "zz"}], ["put", 2, {"s": "aa"}], ["delete_existing", 1, null]]"#,
        r#"{"s": "aa"}"#,
    ),
];

async fn the_last_row_of_a_partition_that_sets_a_static_column_wins(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "tied").await?;
    let mut wrongs = Wrongs::default();
    for (number, (operations, expected)) in SEQUENCES.iter().enumerate() {
        let operations: Vec<(String, u64, Value)> = serde_json::from_str(operations)?;
        let expected: Value = serde_json::from_str(expected)?;
        for guarantee in [Guarantee::BestEffort, ORDERED, WHOLE] {
            for ttl in [false, true] {
                if ttl && guarantee == WHOLE {
                    // What has a time to live is not made one write of with others.
                    continue;
                }
                let p = format!("{number} {guarantee} {ttl}");
                let forms = operations.iter().map(|(op, c, doc)| {
                    let mut form = of(op, "tied", &p, *c, doc);
                    if ttl && !doc.is_null() {
                        form["ttl"] = json!(1000);
                    }
                    form
                });
                let done = place.commit(BatchOptions::new().guarantee(guarantee), forms).await?;
                let part = format!("{operations:?}, {guarantee}, ttl: {ttl}");
                let applied = vec!["applied".to_owned(); operations.len()];
                wrongs.note(&part, same("ends", &applied, &done.ends()));
                wrongs.note(&part, same("shared", &expected, &shared(&place, "tied", &p).await?));
            }
        }
    }
    // What is derived to fail sets nothing.
    let forms = [
        of("put", "tied", "fails", 1, &json!({"s": "mm"})),
        of("put", "tied", "fails", 2, &json!({"s": "zz"})),
        of("insert", "tied", "fails", 1, &json!({"s": "aa"})),
    ];
    let done = place.best_effort(forms).await?;
    same("ends", "applied applied AlreadyExists", &*done.ends().join(" "))?;
    wrongs.note(
        "derived",
        same("shared", &json!({"s": "zz"}), &shared(&place, "tied", "fails").await?),
    );
    wrongs.into_result()
}

async fn it_wins_in_batches_of_several_partitions(world: Arc<World>) -> Result<()> {
    let place = place(&world, "several").await?;
    let mut wrongs = Wrongs::default();
    let logged = BatchOptions::new().batch_type(BatchType::Logged);
    let whole = BatchOptions::new().guarantee(WHOLE);
    for (name, options) in [("spread", BatchOptions::new()), ("logged", logged), ("whole", whole)] {
        let p = |number: u64| format!("{name} {number}");
        let forms = (0..40_u64).map(|number| {
            // Descending, partition by partition in turn.
            let doc = json!({"s": format!("{:02}", 99 - number), "v": "v"});
            of("put", "several", &p(number % 8), 1 + number / 8, &doc)
        });
        place.commit(options, forms).await?;
        for partition in 0..8 {
            let expected = json!({"s": format!("{:02}", 99 - (32 + partition))});
            let found = shared(&place, "several", &p(partition)).await?;
            wrongs.note(p(partition), same("shared", &expected, &found));
        }
    }
    wrongs.into_result()
}

async fn it_wins_over_what_is_in_another_request(world: Arc<World>) -> Result<()> {
    let place = place(&world, "requests").await?;
    let mut wrongs = Wrongs::default();
    let put = |p: &str, c: u64, s: &str| of("put", "requests", p, c, &json!({"s": s, "v": "v"}));
    for guarantee in [Guarantee::BestEffort, ORDERED] {
        for attempt in 0..5 {
            let p = format!("many {guarantee} {attempt}");
            // Descending, so that any request but the last one would win by its value.
            let mut forms: Vec<Value> =
                (1..=1100).map(|c| put(&p, c, &format!("{:04}", 9999 - c))).collect();
            // A row of the first request again: its write must not take the last one with it.
            forms.push(put(&p, 1, "0000"));
            forms.push(of("delete", "requests", &p, 1100, &Value::Null));
            let done = place.commit(BatchOptions::new().guarantee(guarantee), forms).await?;
            wrongs.note(&p, same("requests", &true, &(done.plan.chunks.len() >= 3)));
            let found = shared(&place, "requests", &p).await?;
            wrongs.note(&p, same("shared", &json!({"s": "0000"}), &found));
            let rows = place.rows(&format!("c FROM k.requests WHERE p = '{p}'")).await?;
            wrongs.note(&p, same("rows", &1099, &rows.len()));
        }
    }
    wrongs.into_result()
}

async fn it_wins_when_conditions_and_plain_writes_follow_one_another(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "guarded").await?;
    let mut wrongs = Wrongs::default();
    for round in 0..20 {
        for (number, (first, second)) in [
            (("put", 1), ("insert", 2)),
            (("insert", 1), ("put", 2)),
            (("insert", 1), ("upsert", 0)),
            (("upsert", 0), ("insert", 1)),
            (("insert", 1), ("insert", 2)),
            (("put", 1), ("put", 2)),
        ]
        .into_iter()
        .enumerate()
        {
            let p = format!("{round} {number}");
            // A batch each, as fast as they go.
            for ((op, c), s) in [(first, "zz"), (second, "aa")] {
                let form = of(op, "guarded", &p, c, &json!({"s": s}));
                let mut batch = place.store.batch(BatchOptions::new())?;
                batch.queue(operation(form)?)?;
                batch.commit().await?.into_result().map(drop)?;
            }
            let part = format!("{p}: {first:?}, {second:?}");
            let found = shared(&place, "guarded", &p).await?;
            wrongs.note(&part, same("shared", &json!({"s": "aa"}), &found));
        }
    }
    wrongs.into_result()
}

async fn a_timestamp_of_an_operations_own_decides(world: Arc<World>) -> Result<()> {
    let place = place(&world, "own").await?;
    let later = SystemClock.now_micros() + 60_000_000;
    let mut first = of("put", "own", "p", 1, &json!({"s": "aa"}));
    first["timestamp"] = json!(later);
    let second = of("put", "own", "p", 2, &json!({"s": "zz"}));
    let done = place.best_effort([first, second]).await?;
    same("ends", "applied applied", &*done.ends().join(" "))?;
    same("shared", &json!({"s": "aa"}), &shared(&place, "own", "p").await?)
}

/// What a statement is about is not said by its key here, or not by that alone.
async fn an_ordered_batch_keeps_statements_in_order_with_rows(world: Arc<World>) -> Result<()> {
    let place = place(&world, "statements").await?;
    let table = format!("{}.statements", place.keyspace);
    let set = |p: &str, s: &str| {
        let statement = format!("UPDATE {table} SET s = ? WHERE p = ?");
        json!({"op": "cql", "statement": statement, "values": [s, p]})
    };
    let literal = |p: &str, s: &str| {
        let statement = format!("UPDATE {table} SET s = '{s}' WHERE p = '{p}'");
        json!({"op": "cql", "statement": statement})
    };
    let row = |p: &str, c: u64, s: &str| {
        let statement = format!("INSERT INTO {table} (p, c, s) VALUES (?, ?, ?)");
        json!({"op": "cql", "statement": statement, "values": [p, c, s]})
    };
    let put = |p: &str, s: &str| of("put", "statements", p, 3, &json!({"s": s}));
    let mut wrongs = Wrongs::default();
    for (p, forms) in [
        ("literals", [literal("literals", "zz"), literal("literals", "aa")]),
        ("partition", [set("partition", "zz"), set("partition", "aa")]),
        ("rows", [row("rows", 1, "zz"), row("rows", 2, "aa")]),
        ("put first", [put("put first", "zz"), set("put first", "aa")]),
        ("put last", [row("put last", 1, "zz"), put("put last", "aa")]),
    ] {
        for batch_type in [None, Some(BatchType::Logged)] {
            let mut options = BatchOptions::new().guarantee(ORDERED);
            if let Some(batch_type) = batch_type {
                options = options.batch_type(batch_type);
            }
            let part = format!("{p}, {batch_type:?}");
            let done = place.commit(options, forms.clone()).await?;
            wrongs.note(&part, same("ends", "applied applied", &*done.ends().join(" ")));
            let found = shared(&place, "statements", p).await?;
            wrongs.note(&part, same("shared", &json!({"s": "aa"}), &found));
        }
    }
    // A deletion and a write at one time leave nothing.
    let delete = format!("DELETE FROM {table} WHERE p = 'deleted'");
    let forms = [json!({"op": "cql", "statement": delete}), put("deleted", "s")];
    place.commit(BatchOptions::new().guarantee(ORDERED), forms).await?;
    let found = shared(&place, "statements", "deleted").await?;
    wrongs.note("deleted", same("shared", &json!({"s": "s"}), &found));
    wrongs.into_result()
}

async fn rows_that_share_a_static_column_share_a_request_if_it_takes_them(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "taken").await?;
    let row = |p: &str, c: u64| of("put", "taken", p, c, &json!({"s": format!("{}", 9 - c)}));
    let done = place.best_effort((1..=9).map(|c| row("p", c))).await?;
    same("mechanisms", &vec![("single-partition batch", 1)], &done.mechanisms())?;
    let done = place.best_effort((1..=100).map(|c| row("q", c % 9))).await?;
    same("mechanisms", &vec![("single-partition batch", 1)], &done.mechanisms())?;
    // Small partitions still travel together.
    let rows = (0..10).flat_map(|p| (1..=4).map(move |c| row(&format!("r{p}"), c)));
    let done = place.best_effort(rows).await?;
    same("mechanisms", &vec![("unlogged batch", 1)], &done.mechanisms())?;
    for p in 0..10 {
        let found = shared(&place, "taken", &format!("r{p}")).await?;
        same("shared", &json!({"s": "5"}), &found)?;
    }
    Ok(())
}

/// The machine's clock, set wrong.
#[derive(Debug)]
struct Skewed(i64);

impl Clock for Skewed {
    fn now_micros(&self) -> i64 {
        SystemClock.now_micros() + self.0
    }
}

async fn sequences_hold_with_a_clock_that_is_ten_seconds_ahead(world: Arc<World>) -> Result<()> {
    sequences(world, "ahead", 10_000_000).await
}

async fn sequences_hold_with_a_clock_that_is_ten_seconds_behind(world: Arc<World>) -> Result<()> {
    sequences(world, "behind", -10_000_000).await
}

async fn sequences_hold_with_a_clock_that_is_right(world: Arc<World>) -> Result<()> {
    sequences(world, "right", 0).await
}

const ROUNDS: usize = 40;
const BATCHES: usize = 3;
const PARTITIONS: u64 = 2;
const ROWS: u64 = 3;

const VERBS: [Verb; 7] = [
    Verb::Put,
    Verb::Upsert,
    Verb::Delete,
    Verb::Insert,
    Verb::Replace,
    Verb::Update,
    Verb::DeleteExisting,
];

/// What the contract says of a partition.
#[derive(Default)]
struct Partition {
    shared: Map<String, Value>,
    /// The value of each row.
    rows: BTreeMap<u64, Value>,
    story: String,
}

impl Partition {
    /// Does an operation, on the partition alone if `c` is 0. Gives how it ends.
    fn apply(&mut self, verb: Verb, c: u64, given: &Map<String, Value>) -> &'static str {
        let exists = self.rows.contains_key(&c);
        let end = match (verb, exists) {
            (Verb::Insert, true) => "AlreadyExists",
            (Verb::Replace | Verb::Update | Verb::DeleteExisting, false) => "NotFound",
            _ => "applied",
        };
        let _ = write!(self.story, "\n    {verb} {c} {}: {end}", Value::Object(given.clone()));
        if end != "applied" {
            return end;
        }
        if matches!(verb, Verb::Delete | Verb::DeleteExisting) {
            self.rows.remove(&c);
            return end;
        }
        for (name, value) in given {
            if name != "v" {
                self.shared.insert(name.clone(), value.clone());
            }
        }
        self.shared.retain(|_, value| !value.is_null());
        if c != 0 {
            let value = given.get("v").cloned();
            let row = self.rows.entry(c).or_default();
            let merges = matches!(verb, Verb::Upsert | Verb::Update);
            *row = value.unwrap_or(if merges { row.take() } else { Value::Null });
        }
        end
    }

    /// Its rows, as the server shows them.
    fn shown(&self, p: &str) -> Vec<Value> {
        let row = |c: Option<u64>, v: &Value| {
            let mut row = self.shared.clone();
            row.insert("p".to_owned(), json!(p));
            row.extend(c.map(|c| ("c".to_owned(), json!(c))));
            row.extend((!v.is_null()).then(|| ("v".to_owned(), v.clone())));
            Value::Object(row)
        };
        if self.rows.is_empty() && !self.shared.is_empty() {
            return vec![row(None, &Value::Null)];
        }
        let mut rows: Vec<_> = self.rows.iter().map(|(c, v)| row(Some(*c), v)).collect();
        rows.sort_by_cached_key(ToString::to_string);
        rows
    }
}

/// Some columns, some of them null. The values neither rise nor fall.
fn random_document(random: &mut Rng, is_row: bool, number: usize) -> Map<String, Value> {
    let mut document = Map::new();
    for column in ["s", "t", "v"] {
        if column == "v" && !is_row {
            continue;
        }
        let value = match random.u8(0..10) {
            0..4 => continue,
            4 => Value::Null,
            _ if column == "t" => json!(random.i32(-99..99)),
            _ => json!(format!("{}{number}", random.lowercase())),
        };
        document.insert(column.to_owned(), value);
    }
    document
}

fn random_operation(random: &mut Rng, number: usize) -> (Verb, u64, Map<String, Value>) {
    let c = random.u64(0..=ROWS);
    // Mostly plain writes, and the partition alone takes no others.
    let among = if c == 0 {
        2
    } else if random.bool() {
        3
    } else {
        VERBS.len()
    };
    let verb = VERBS[random.usize(..among)];
    let given =
        if verb.has_document() { random_document(random, c != 0, number) } else { Map::new() };
    (verb, c, given)
}

async fn sequences(world: Arc<World>, table: &str, skew: i64) -> Result<()> {
    let mut place = place(&world, table).await?;
    let options = StoreOptions::new().clock(Arc::new(Skewed(skew)));
    place.store = world.builder(&place.keyspace).options(options).connect().await?;
    let mut wrongs = Wrongs::default();
    for round in 0..ROUNDS {
        let mut random = Rng::with_seed(fastrand::u64(..));
        let guarantee = [Guarantee::BestEffort, ORDERED][round % 2];
        let mut partitions: BTreeMap<String, Partition> = BTreeMap::new();
        let mut number = 0;
        for _ in 0..BATCHES {
            let mut batch = place.store.batch(BatchOptions::new().guarantee(guarantee))?;
            let mut expected: Vec<(&str, Job)> = Vec::new();
            for _ in 0..random.usize(1..=12) {
                number += 1;
                let p = format!("{round} {}", random.u64(..PARTITIONS));
                let (verb, c, given) = random_operation(&mut random, number);
                let mut operation = Operation::on(verb, table.to_owned()).key("p", &*p);
                if c != 0 {
                    operation = operation.key("c", i64::try_from(c)?);
                }
                if verb.has_document() {
                    operation = operation.doc(&given);
                }
                let end = partitions.entry(p).or_default().apply(verb, c, &given);
                expected.push((end, batch.queue(operation)?));
            }
            let report = batch.commit().await?;
            for (expected, job) in expected {
                let what = format!("round {round}, {report}, operation {}", job.id());
                wrongs.note(what, same("end", expected, &*end(&job)));
            }
            for partition in partitions.values_mut() {
                partition.story.push_str("\n    committed");
            }
        }
        for (p, partition) in &partitions {
            let rows = place.rows(&format!("* FROM k.{table} WHERE p = '{p}'")).await?;
            let what = format!("{p}, {guarantee}:{}\n   ", partition.story);
            wrongs.note(what, same("rows", &partition.shown(p), &rows));
        }
    }
    place.store.close(Duration::from_secs(10)).await?;
    wrongs.into_result()
}
