//! Sizes: by the server's count to the byte where it counts, and never over what a request may have.

use std::sync::Arc;

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchState, BatchType, ErrorKind, Guarantee, Job,
    OnError, Store as _,
};
use futures_util::future::try_join_all;
use integration_tests::{Result, execute};
use serde_json::{Value, json};

use crate::support::{
    ISOLATED, Place, WHOLE, World, Wrongs, end, operation, refusal, same, says, tests,
};

tests!["sizes":
    a_logged_batch_takes_what_the_server_takes_to_the_byte,
    one_partition_takes_fifteen_megabytes_as_a_whole,
    a_batch_over_the_frame_is_refused_and_harms_no_neighbour,
    an_operation_over_the_frame_is_refused_and_harms_no_neighbour,
    what_is_shorter_on_the_wire_than_in_json_is_taken,
    conditions_are_kept_below_what_a_mutation_may_have,
    long_keys_that_fill_a_request_say_nothing_of_other_tables,
    keys_do_not_count_for_statements,
    a_forced_log_takes_of_one_partition_what_a_request_takes,
];

/// What a server takes in a batch of several partitions, unless it is told otherwise.
const LIMIT: usize = 51_200;
const MIB: usize = 1 << 20;
/// What a request may have, less a little for its head.
const REQUEST: &str = "16776192";

/// A way to fill a batch, both as CQL and as operations, with a text of some length in it.
struct Filling {
    name: &'static str,
    /// Whether it is counted here as the server counts it; else as somewhat more.
    is_exact: bool,
    tables: &'static [&'static str],
    cql: fn(&str) -> Vec<String>,
    operations: fn(&str) -> Vec<Value>,
}

fn put(table: &str, key: Value, doc: Value) -> Value {
    json!({"op": "put", "collection": table, "key": key, "doc": doc})
}

fn upsert(table: &str, key: Value, doc: Value) -> Value {
    json!({"op": "upsert", "collection": table, "key": key, "doc": doc})
}

const FILLINGS: &[Filling] = &[
    Filling {
        name: "two partitions",
        is_exact: true,
        tables: &["CREATE TABLE k.fill_1 (id text PRIMARY KEY, v text, w int)"],
        cql: |pad| {
            vec![
                format!("INSERT INTO k.fill_1 (id, v, w) VALUES ('a', '{pad}', 1)"),
                "INSERT INTO k.fill_1 (id, v, w) VALUES ('b', 'x', null)".to_owned(),
            ]
        },
        operations: |pad| {
            vec![
                put("fill_1", json!("a"), json!({"v": pad, "w": 1})),
                put("fill_1", json!("b"), json!({"v": "x"})),
            ]
        },
    },
    Filling {
        name: "rows of two partitions, some columns",
        is_exact: true,
        tables: &["CREATE TABLE k.fill_2 (p text, c text, d int, v text, w int, x bigint, \
            PRIMARY KEY (p, c, d))"],
        cql: |pad| {
            let row = |p: &str, c: usize| {
                let long = "c".repeat(c);
                format!(
                    "INSERT INTO k.fill_2 (p, c, d, w, x) VALUES ('{p}', '{long}', {c}, 7, null)"
                )
            };
            let mut all: Vec<String> = (0..20).map(|c| row("a", c)).collect();
            all.extend((0..20).map(|c| row("b", c)));
            all.push(format!("INSERT INTO k.fill_2 (p, c, d, v) VALUES ('c', 'c', 1, '{pad}')"));
            all
        },
        operations: |pad| {
            let row = |p: &str, c: usize| {
                let key = json!({"p": p, "c": "c".repeat(c), "d": c});
                upsert("fill_2", key, json!({"w": 7, "x": null}))
            };
            let mut all: Vec<Value> = (0..20).map(|c| row("a", c)).collect();
            all.extend((0..20).map(|c| row("b", c)));
            all.push(upsert("fill_2", json!({"p": "c", "c": "c", "d": 1}), json!({"v": pad})));
            all
        },
    },
    Filling {
        name: "two tables, deletions",
        is_exact: true,
        tables: &[
            "CREATE TABLE k.fill_3 (p text, c int, v text, PRIMARY KEY (p, c))",
            "CREATE TABLE k.fill_4 (id int PRIMARY KEY, v text)",
        ],
        cql: |pad| {
            vec![
                format!("INSERT INTO k.fill_3 (p, c, v) VALUES ('a', 1, '{pad}')"),
                "DELETE FROM k.fill_3 WHERE p = 'a' AND c = 2".to_owned(),
                "DELETE FROM k.fill_3 WHERE p = 'b' AND c = 2".to_owned(),
                "INSERT INTO k.fill_4 (id, v) VALUES (1, 'v')".to_owned(),
                "DELETE FROM k.fill_4 WHERE id = 2".to_owned(),
            ]
        },
        operations: |pad| {
            vec![
                put("fill_3", json!({"p": "a", "c": 1}), json!({"v": pad})),
                json!({"op": "delete", "collection": "fill_3", "key": {"p": "a", "c": 2}}),
                json!({"op": "delete", "collection": "fill_3", "key": {"p": "b", "c": 2}}),
                put("fill_4", json!({"id": 1}), json!({"v": "v"})),
                json!({"op": "delete", "collection": "fill_4", "key": {"id": 2}}),
            ]
        },
    },
    Filling {
        name: "two tables, the same keys",
        is_exact: true,
        tables: &[
            "CREATE TABLE k.fill_9 (p text, c int, v text, PRIMARY KEY (p, c))",
            "CREATE TABLE k.fill_10 (p text, c int, v text, PRIMARY KEY (p, c))",
        ],
        cql: |pad| {
            let row = |table: &str, p: usize, c: usize| {
                format!("INSERT INTO k.{table} (p, c, v) VALUES ('{p}', {c}, 'v')")
            };
            let of_both =
                |p: usize| [row("fill_9", p, 1), row("fill_10", p, 1), row("fill_10", p, 2)];
            let mut all: Vec<String> = (0..30).flat_map(of_both).collect();
            all.push(format!("INSERT INTO k.fill_9 (p, c, v) VALUES ('a', 1, '{pad}')"));
            all
        },
        operations: |pad| {
            let row = |table: &str, p: usize, c: usize| {
                put(table, json!({"p": p.to_string(), "c": c}), json!({"v": "v"}))
            };
            let of_both =
                |p: usize| [row("fill_9", p, 1), row("fill_10", p, 1), row("fill_10", p, 2)];
            let mut all: Vec<Value> = (0..30).flat_map(of_both).collect();
            all.push(put("fill_9", json!({"p": "a", "c": 1}), json!({"v": pad})));
            all
        },
    },
    Filling {
        name: "collections",
        is_exact: true,
        tables: &[
            "CREATE TYPE k.fill_type (x int, y text)",
            "CREATE TABLE k.fill_5 (id int PRIMARY KEY, l list<int>, s set<text>, m map<text, int>, \
             f frozen<map<int, text>>, u fill_type, t tuple<int, text>, v text)",
        ],
        cql: |pad| {
            vec![
            format!(
                "INSERT INTO k.fill_5 (id, l, s, m, f, u, t, v) VALUES (1, [1, 2, 3], {{'a', 'bb'}}, \
                 {{'k': 1, 'kk': 2}}, {{1: 'x'}}, {{x: 1, y: 'yy'}}, (1, 'z'), '{pad}')"
            ),
            "INSERT INTO k.fill_5 (id, l, s, m, f, u, t, v) VALUES (2, null, {}, null, {}, null, null, null)"
                .to_owned(),
        ]
        },
        operations: |pad| {
            vec![
                put(
                    "fill_5",
                    json!(1.to_string()),
                    json!({"l": [1, 2, 3], "s": ["bb", "a"],
                "m": {"kk": 2, "k": 1}, "f": {"1": "x"}, "u": {"x": 1, "y": "yy"}, "t": [1, "z"],
                "v": pad}),
                ),
                put("fill_5", json!({"id": 2}), json!({"s": [], "f": {}})),
            ]
        },
    },
    Filling {
        name: "static columns and times to live",
        is_exact: true,
        tables: &[
            "CREATE TABLE k.fill_6 (p int, c int, s text static, v text, PRIMARY KEY (p, c))",
        ],
        cql: |pad| {
            vec![
                format!("INSERT INTO k.fill_6 (p, c, v) VALUES (1, 1, '{pad}') USING TTL 3600"),
                "INSERT INTO k.fill_6 (p, c, s, v) VALUES (2, 1, 'static', 'v')".to_owned(),
                "INSERT INTO k.fill_6 (p, s) VALUES (3, 'static')".to_owned(),
            ]
        },
        operations: |pad| {
            let long = put("fill_6", json!({"p": 1, "c": 1}), json!({"v": pad}));
            vec![
                crate::support::merged(&long, &json!({"ttl": 3600})),
                put("fill_6", json!({"p": 2, "c": 1}), json!({"s": "static", "v": "v"})),
                upsert("fill_6", json!({"p": 3}), json!({"s": "static"})),
            ]
        },
    },
    Filling {
        name: "several writes to a row",
        is_exact: false,
        tables: &["CREATE TABLE k.fill_7 (id int PRIMARY KEY, v text, w int)"],
        cql: |pad| {
            vec![
                format!("INSERT INTO k.fill_7 (id, v, w) VALUES (1, '{pad}', 2)"),
                "INSERT INTO k.fill_7 (id, v) VALUES (2, 'v')".to_owned(),
            ]
        },
        operations: |pad| {
            vec![
                upsert("fill_7", json!({"id": 1}), json!({"w": 1})),
                upsert("fill_7", json!({"id": 2}), json!({"v": "v"})),
                upsert("fill_7", json!({"id": 1}), json!({"v": pad, "w": 2})),
            ]
        },
    },
    Filling {
        name: "statements of one's own",
        is_exact: false,
        tables: &["CREATE TABLE k.fill_8 (id int PRIMARY KEY, v text, w int)"],
        cql: |pad| {
            vec![
                format!("UPDATE k.fill_8 SET v = '{pad}' WHERE id = 1"),
                "INSERT INTO k.fill_8 (id, v, w) VALUES (2, 'v', null)".to_owned(),
                "DELETE FROM k.fill_8 WHERE id = 3".to_owned(),
            ]
        },
        operations: |pad| {
            vec![
                json!({"op": "cql", "statement": "UPDATE fill_8 SET v = ? WHERE id = ?", "values": [pad, 1]}),
                json!({"op": "cql", "statement": "INSERT INTO fill_8 (id, v, w) VALUES (?, ?, ?)",
                "values": [2, "v", null]}),
                json!({"op": "cql", "statement": "DELETE FROM fill_8 WHERE id = ?", "values": [3]}),
            ]
        },
    },
];

/// What the server says of the filling as a logged batch: taken with warnings, or refused.
async fn ask(place: &Place, filling: &Filling, length: usize) -> Result<Vec<String>> {
    let statements = (filling.cql)(&"x".repeat(length)).join("; ");
    let text = format!("BEGIN BATCH {statements}; APPLY BATCH");
    let text = text.replace(" k.", &format!(" {}.", place.keyspace));
    let result = execute(&place.session, text).await?;
    Ok(result.warnings().map(ToOwned::to_owned).collect())
}

/// The length at which the filling has the limit's size, by the server's own count of another.
async fn longest(place: &Place, filling: &Filling) -> Result<usize> {
    let tried = 20_000;
    let warnings = ask(place, filling, tried).await?;
    let size = warnings.iter().find_map(|warning| {
        let (_, rest) = warning.split_once("is of size ")?;
        rest.split(',').next()?.parse::<usize>().ok()
    });
    let size = size.ok_or_else(|| format!("no size in {warnings:?}"))?;
    let longest = tried + LIMIT - size;
    ask(place, filling, longest).await?;
    match ask(place, filling, longest + 1).await {
        Err(error) if error.to_string().contains("Batch too large") => Ok(longest),
        other => Err(format!("the server on one byte more: {other:?}").into()),
    }
}

async fn a_logged_batch_takes_what_the_server_takes_to_the_byte(world: Arc<World>) -> Result<()> {
    let definitions = FILLINGS.iter().flat_map(|filling| filling.tables).copied();
    let place = world.place(&definitions.collect::<Vec<_>>()).await?;
    let mut wrongs = Wrongs::default();
    for filling in FILLINGS {
        wrongs.note(filling.name, fill(&place, filling).await);
    }
    wrongs.into_result()
}

async fn fill(place: &Place, filling: &Filling) -> Result<()> {
    let longest = longest(place, filling).await?;
    let all = |length: usize| (filling.operations)(&"x".repeat(length));
    let whole = BatchOptions::new().guarantee(WHOLE);

    let mut over = place.store.batch(whole.clone())?;
    for form in all(longest + 1) {
        over.queue(operation(form)?)?;
    }
    let words: &[&str] = if filling.is_exact { &["51201", "51200"] } else { &["51200"] };
    for error in [over.plan().await.err(), over.commit().await.err()] {
        let error = error.ok_or("one byte more is not refused")?;
        says(&error, ErrorKind::TooLarge, words)?;
    }
    same("state", &BatchState::Open, &over.state())?;

    let most = if filling.is_exact { longest } else { longest - 200 };
    let done = place.commit(whole, all(most)).await?;
    same("ends", &vec!["applied".to_owned(); done.jobs.len()], &done.ends())?;
    same("mechanisms", &vec![("logged batch", 1)], &done.mechanisms())?;
    let planned = usize::try_from(done.plan.bytes())?;
    let counted = LIMIT - (longest - most);
    same("planned", &true, &(counted..counted + 200).contains(&planned))?;
    let told = done.report.warnings().iter().any(|warning| warning.contains(&counted.to_string()));
    same("the server's warning is told", &true, &told)
}

async fn large(name: &str, world: &World) -> Result<Place> {
    world
        .place(&[&format!(
            "CREATE TABLE k.{name} (p text, c int, b blob, v text, l list<int>, PRIMARY KEY (p, c))"
        )])
        .await
}

fn megabyte(table: &str, p: &str, c: usize) -> Value {
    put(table, json!({"p": p, "c": c}), json!({"v": "x".repeat(MIB)}))
}

async fn one_partition_takes_fifteen_megabytes_as_a_whole(world: Arc<World>) -> Result<()> {
    let place = large("fifteen", &world).await?;
    for guarantee in [WHOLE, ISOLATED] {
        let options = BatchOptions::new().guarantee(guarantee);
        let all = (0..15).map(|c| megabyte("fifteen", guarantee.as_str(), c));
        let done = place.commit(options, all).await?;
        same("ends", &vec!["applied".to_owned(); 15], &done.ends())?;
        same("mechanisms", &vec![("single-partition batch", 1)], &done.mechanisms())?;
        let bytes = done.plan.bytes();
        let fits = (15 * MIB as u64..16 * MIB as u64).contains(&bytes);
        same(&format!("{bytes} bytes are planned"), &true, &fits)?;
    }
    let rows = place.rows("p, c FROM k.fifteen").await?;
    same("rows", &30, &rows.len())
}

/// Small writes that go on as long as a commit beside them.
async fn beside<T>(place: &Place, table: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let writers = (0..8).map(|writer| async move {
        let mut jobs = Vec::<Job>::new();
        for number in 0..20 {
            let mut batch = place.store.batch(BatchOptions::new())?;
            let key = json!({"p": format!("beside {writer}"), "c": number});
            jobs.push(batch.queue(operation(put(table, key, json!({"v": "v"})))?)?);
            let report = batch.commit().await?;
            same("applied", &1, &report.applied())?;
        }
        Ok::<_, integration_tests::Error>(jobs)
    });
    let (done, jobs) = futures_util::future::try_join(work, try_join_all(writers)).await?;
    let ends: Vec<String> = jobs.iter().flatten().map(end).collect();
    same("neighbours", &vec!["applied".to_owned(); 160], &ends)?;
    Ok(done)
}

async fn a_batch_over_the_frame_is_refused_and_harms_no_neighbour(world: Arc<World>) -> Result<()> {
    let place = large("frame", &world).await?;
    let refused = async {
        for guarantee in [WHOLE, ISOLATED] {
            let mut batch = place.store.batch(BatchOptions::new().guarantee(guarantee))?;
            for c in 0..16 {
                batch.queue(operation(megabyte("frame", "whole", c))?)?;
            }
            let error = batch.commit().await.err().ok_or("it is sent")?;
            says(&error, ErrorKind::TooLarge, &[REQUEST])?;
            same("state", &BatchState::Open, &batch.state())?;
        }
        Ok(())
    };
    beside(&place, "frame", refused).await?;
    same("rows", &vec![], &place.rows("c FROM k.frame WHERE p = 'whole'").await?)?;

    // Under best effort it is cut.
    let all = (0..20).map(|c| megabyte("frame", "cut", c));
    let done = beside(&place, "frame", place.best_effort(all)).await?;
    same("ends", &vec!["applied".to_owned(); 20], &done.ends())?;
    let largest = done.plan.chunks.iter().map(|chunk| chunk.bytes).max().unwrap_or_default();
    same(&format!("chunks of at most {largest} bytes"), &true, &(largest < 16 * MIB as u64))?;
    let cut = place.rows("c FROM k.frame WHERE p = 'cut'").await?;
    same("rows", &20, &cut.len())
}

async fn an_operation_over_the_frame_is_refused_and_harms_no_neighbour(
    world: Arc<World>,
) -> Result<()> {
    let place = large("single", &world).await?;
    let key = |c: usize| json!({"p": "p", "c": c});
    let mut batch = place.store.batch(BatchOptions::new())?;
    let long = put("single", key(1), json!({"v": "x".repeat(16 * MIB)}));
    let Err(rejected) = batch.queue(operation(long)?) else {
        return Err("16 MiB are queued".into());
    };
    says(&rejected.error, ErrorKind::TooLarge, &[REQUEST])?;
    // Each number of the text is four times as long on the wire.
    let wide = put("single", key(2), json!({"l": vec![1; 2_200_000]}));
    let mut jobs = Vec::new();
    for form in [put("single", key(3), json!({"v": "v"})), wide, megabyte("single", "p", 4)] {
        jobs.push(batch.queue(operation(form)?)?);
    }
    let report = beside(&place, "single", async { Ok(batch.commit().await?) }).await?;
    let ends: Vec<String> = jobs.iter().map(end).collect();
    same("ends", &["applied", "TooLarge", "applied"].map(str::to_owned).to_vec(), &ends)?;
    same("unknown", &0, &report.unknown())?;
    says(&refusal(&jobs[1])?, ErrorKind::TooLarge, &[REQUEST])
}

async fn what_is_shorter_on_the_wire_than_in_json_is_taken(world: Arc<World>) -> Result<()> {
    let place = large("shorter", &world).await?;
    // 14 MiB of text, 7 MiB of bytes.
    let blob = format!("0x{}", "ab".repeat(7 * MIB));
    let done = place
        .best_effort([
            put("shorter", json!({"p": "p", "c": 1}), json!({"b": blob})),
            put("shorter", json!({"p": "p", "c": 2}), json!({"v": "v"})),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 2], &done.ends())?;
    let rows = place.session.query_unpaged(
        format!("SELECT b FROM {}.shorter WHERE p = 'p' AND c = 1", place.keyspace),
        (),
    );
    let (stored,) = rows.await?.into_rows_result()?.single_row::<(Vec<u8>,)>()?;
    same("bytes", &(7 * MIB, true), &(stored.len(), stored.iter().all(|byte| *byte == 0xab)))
}

async fn conditions_are_kept_below_what_a_mutation_may_have(world: Arc<World>) -> Result<()> {
    let place = large("cas", &world).await?;
    let insert = |c: usize, length: usize| json!({"op": "insert", "collection": "cas", "key": {"p": "p", "c": c}, "doc": {"v": "x".repeat(length)}});
    // The server would not answer it before its time is over.
    let wide = json!({"op": "insert", "collection": "cas", "key": {"p": "p", "c": 2},
        "doc": {"l": vec![1; 2_200_000]}});
    let done = place.best_effort([insert(1, MIB), wide, insert(3, 10)]).await?;
    let ends = ["applied", "TooLarge", "applied"].map(str::to_owned);
    same("ends", &ends.to_vec(), &done.ends())?;
    same("chunks", &2, &done.plan.chunks.len())?;
    let options = || BatchOptions::new().guarantee(WHOLE);
    let mut batch = place.store.batch(options())?;
    for c in 10..26 {
        batch.queue(operation(insert(c, MIB))?)?;
    }
    let error = batch.commit().await.err().ok_or("16 MiB of conditions are sent")?;
    says(&error, ErrorKind::TooLarge, &["bytes"])?;
    let done = place.commit(options(), (30..32).map(|c| insert(c, MIB))).await?;
    same("ends", &vec!["applied".to_owned(); 2], &done.ends())?;
    same("mechanisms", &vec![("conditional batch", 1)], &done.mechanisms())
}

/// The server counts no partition key, and a request holds it once for each row.
async fn long_keys_that_fill_a_request_say_nothing_of_other_tables(
    world: Arc<World>,
) -> Result<()> {
    let place = large("long_keys", &world).await?;
    let long = "p".repeat(40_000);
    let rows = (0..450).map(|c| put("long_keys", json!({"p": long, "c": c}), json!({"v": "v"})));
    let done = place.best_effort(rows).await?;
    same("ends", &vec!["applied".to_owned(); 450], &done.ends())?;
    same("cut", &true, &(done.report.deviations() > 0))?;
    let wide =
        |c: usize| put("long_keys", json!({"p": "p", "c": c}), json!({"v": "x".repeat(60_000)}));
    let done = place.best_effort((0..3).map(wide)).await?;
    same("ends", &vec!["applied".to_owned(); 3], &done.ends())
}

async fn keys_do_not_count_for_statements(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TABLE k.counted_keys (p text, c text, n counter, PRIMARY KEY (p, c))",
            "CREATE TABLE k.stated_keys (id text PRIMARY KEY, v int)",
        ])
        .await?;
    let mut wrongs = Wrongs::default();
    let ordered = Guarantee::Ordered { on_error: OnError::Continue };
    for length in [5000, 6000, 60_000] {
        let long = "k".repeat(length);
        let statement = "UPDATE counted_keys SET n = n + 1 WHERE p = ? AND c = ?";
        let count =
            |p: &str, c: &str| json!({"op": "cql", "statement": statement, "values": [p, c]});
        for (name, options) in [
            ("best effort", BatchOptions::new()),
            ("ordered", BatchOptions::new().guarantee(ordered)),
            ("forced", BatchOptions::new().batch_type(BatchType::Counter)),
        ] {
            let all = [count(&long, "c"), count("p", &long), count("p", "c"), count(&long, &long)];
            let done = place.commit(options, all).await?;
            let part = format!("{name}, {length} bytes");
            wrongs.note(part, same("ends", &vec!["applied".to_owned(); 4], &done.ends()));
        }
        let put = |p: &str| {
            json!({"op": "cql", "statement": "INSERT INTO stated_keys (id, v) VALUES (?, ?)",
            "values": [format!("{p}{long}"), 1]})
        };
        let whole = BatchOptions::new().guarantee(WHOLE);
        let done = place.commit(whole, [put("a"), put("b")]).await?;
        wrongs.note(length, same("mechanisms", &vec![("logged batch", 1)], &done.mechanisms()));
        wrongs.note(length, same("warnings", &0, &done.report.warnings().len()));
    }
    wrongs.into_result()
}

/// The server checks batches of several partitions alone.
async fn a_forced_log_takes_of_one_partition_what_a_request_takes(world: Arc<World>) -> Result<()> {
    let place = large("log", &world).await?;
    let row = |p: &str, c: usize, length: usize| {
        put("log", json!({"p": p, "c": c}), json!({"v": "x".repeat(length)}))
    };
    let text = |p: &str, length: usize| {
        json!({"op": "cql", "statement": "INSERT INTO log (p, c, v) VALUES (?, 0, ?)",
        "values": [p, "x".repeat(length)]})
    };
    let mut wrongs = Wrongs::default();
    let best_effort = Guarantee::BestEffort;
    for (name, guarantee, all, chunks) in [
        ("one row", best_effort, vec![row("a", 1, 60_000)], 1),
        ("one statement", best_effort, vec![text("a", 60_000)], 1),
        (
            "a large one among small ones",
            best_effort,
            vec![row("a", 1, 10), row("b", 1, 200_000), row("c", 1, 10), text("d", 200_000)],
            3,
        ),
        ("whole", WHOLE, vec![row("a", 1, 40_000), row("a", 2, 40_000)], 1),
        ("isolated", ISOLATED, vec![row("a", 1, 2 * MIB), row("a", 2, 40_000)], 1),
    ] {
        let options = BatchOptions::new().guarantee(guarantee).batch_type(BatchType::Logged);
        let count = all.len();
        let done = place.commit(options, all).await?;
        wrongs.note(name, same("ends", &vec!["applied".to_owned(); count], &done.ends()));
        wrongs.note(name, same("mechanisms", &vec![("logged batch", chunks)], &done.mechanisms()));
    }
    let several = json!({"op": "cql", "statement": "UPDATE log SET v = ? WHERE p IN ('a', 'b') AND c = 0",
        "values": ["x".repeat(60_000)]});
    let logged = BatchOptions::new().batch_type(BatchType::Logged);
    let done = place.commit(logged, [several, row("a", 1, 10)]).await?;
    let ends = ["TooLarge", "applied"].map(str::to_owned).to_vec();
    wrongs.note("several partitions", same("ends", &ends, &done.ends()));
    wrongs.note("several partitions", same("requests", &1, &done.report.attempts()));
    wrongs.into_result()
}
