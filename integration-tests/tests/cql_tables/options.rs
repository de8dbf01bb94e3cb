//! Times to live and timestamps, as the server has them afterwards.

use std::{sync::Arc, time::Duration};

use batch_core::{BatchExt as _, BatchOptions, Clock as _, Store as _, StoreOptions, SystemClock};
use integration_tests::{FaultyNode, Result};
use scylla_proxy::{Condition, Reaction as _, ResponseOpcode, ResponseReaction, ResponseRule};
use serde_json::{Value, json};

use crate::support::{World, Wrongs, commit, operation, same, tests};

tests!["options":
    a_time_to_live_is_the_servers,
    a_time_to_live_is_of_one_write_alone,
    a_timestamp_of_ones_own_is_the_servers,
    timestamps_decide_and_not_the_order_of_queueing,
    a_row_that_is_put_behind_a_condition_is_there_by_itself,
    a_row_without_columns_that_is_put_behind_a_condition_outlives_the_former_one,
    what_is_inserted_and_deleted_hides_what_was_written_before,
    a_condition_takes_no_timestamp,
    a_write_without_a_timestamp_has_the_time_of_the_server,
    a_later_write_has_a_later_timestamp,
    a_list_is_not_doubled_by_a_second_attempt,
    options_are_refused_where_they_cannot_be,
];

const TABLE: &str = "CREATE TABLE k.NAME (p text, c int, v text, w int, l list<int>, s text static, \
    PRIMARY KEY (p, c))";

fn of(op: &str, table: &str, p: &str, doc: Value, options: Value) -> Value {
    let mut form = json!({"op": op, "collection": table, "key": {"p": p, "c": 1}});
    if !op.starts_with("delete") {
        form["doc"] = doc;
    }
    crate::support::merged(&form, &options)
}

async fn a_time_to_live_is_the_servers(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "lives")]).await?;
    let mut wrongs = Wrongs::default();
    for op in ["insert", "put", "upsert", "replace", "update"] {
        for (ttl, p) in [(3600, format!("{op} hour")), (31_536_000, format!("{op} year"))] {
            if op == "replace" || op == "update" {
                place.run(&format!("INSERT INTO k.lives (p, c, w) VALUES ('{p}', 1, 1)")).await?;
            }
            let form = of(op, "lives", &p, json!({"v": "v", "s": "s"}), json!({"ttl": ttl}));
            let ended = place.end(form).await?;
            wrongs.note(&p, same("end", &"applied".to_owned(), &ended));
            let select =
                format!("ttl(v) AS v, ttl(s) AS s, ttl(w) AS w FROM k.lives WHERE p = '{p}'");
            let rows = place.rows(&select).await?;
            let left = |name: &str| rows.first().and_then(|row| row[name].as_i64());
            for name in ["v", "s"] {
                let fits = left(name).is_some_and(|left| (ttl - 60..=ttl).contains(&left));
                wrongs.note(format!("{p}: {name} lives {rows:?}"), same("fits", &true, &fits));
            }
            wrongs.note(format!("{p}: w lives {rows:?}"), same("w", &None, &left("w")));
        }
    }
    wrongs.into_result()
}

async fn a_time_to_live_is_of_one_write_alone(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "mixed_lives")]).await?;
    let none = json!({});
    let hour = json!({"ttl": 3600});
    let done = place
        .best_effort([
            of("put", "mixed_lives", "a", json!({"v": "1"}), none.clone()),
            of("put", "mixed_lives", "b", json!({"v": "1"}), hour.clone()),
            of("put", "mixed_lives", "c", json!({"v": "1"}), none.clone()),
            // On one key: the later write wins, with its own time to live or with none.
            of("put", "mixed_lives", "d", json!({"v": "1"}), hour.clone()),
            of("put", "mixed_lives", "d", json!({"v": "2"}), none.clone()),
            of("put", "mixed_lives", "e", json!({"v": "1"}), none.clone()),
            of("put", "mixed_lives", "e", json!({"v": "2"}), hour.clone()),
            of("put", "mixed_lives", "f", json!({"v": "1", "w": 1}), none),
            of("upsert", "mixed_lives", "f", json!({"v": "2"}), hour),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 9], &done.ends())?;
    let mut wrongs = Wrongs::default();
    for (p, v, lives, w_lives) in [
        ("a", "1", false, false),
        ("b", "1", true, false),
        ("c", "1", false, false),
        ("d", "2", false, false),
        ("e", "2", true, false),
        ("f", "2", true, false),
    ] {
        let select = format!("v, ttl(v) AS tv, ttl(w) AS tw FROM k.mixed_lives WHERE p = '{p}'");
        let rows = place.rows(&select).await?;
        let found =
            rows.first().map(|row| (row["v"].as_str(), row["tv"].is_i64(), row["tw"].is_i64()));
        wrongs.note(p, same("row", &Some((Some(v), lives, w_lives)), &found));
    }
    wrongs.into_result()
}

async fn a_timestamp_of_ones_own_is_the_servers(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "stamps")]).await?;
    let mut wrongs = Wrongs::default();
    for op in ["put", "upsert"] {
        for stamp in [1, 1_700_000_000_000_000_i64, -5, 9_000_000_000_000_000] {
            let p = format!("{op} {stamp}");
            let doc = json!({"v": "v", "l": [1, 2], "s": "s"});
            let form = of(op, "stamps", &p, doc, json!({"timestamp": stamp}));
            wrongs.note(&p, same("end", &"applied".to_owned(), &place.end(form).await?));
            let select =
                format!("writetime(v) AS v, writetime(s) AS s, l FROM k.stamps WHERE p = '{p}'");
            let expected = vec![json!({"v": stamp, "s": stamp, "l": [1, 2]})];
            wrongs.note(&p, same("row", &expected, &place.rows(&select).await?));
        }
    }
    wrongs.into_result()
}

async fn timestamps_decide_and_not_the_order_of_queueing(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "decided")]).await?;
    let at = |op: &str, p: &str, doc: Value, timestamp: i64| {
        of(op, "decided", p, doc, json!({"timestamp": timestamp}))
    };
    let done = place
        .best_effort([
            at("put", "a", json!({"v": "later"}), 200),
            at("put", "a", json!({"v": "earlier"}), 100),
            at("put", "b", json!({"v": "kept"}), 200),
            at("delete", "b", json!({}), 100),
            at("delete", "c", json!({}), 200),
            at("put", "c", json!({"v": "lost"}), 100),
            at("put", "d", json!({"v": "1", "w": 1}), 100),
            at("upsert", "d", json!({"v": "2"}), 200),
            at("put", "e", json!({"v": "old"}), 100),
            of("put", "decided", "e", json!({"v": "now"}), json!({})),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 10], &done.ends())?;
    let row = |p: &str, v: &str| json!({"p": p, "c": 1, "v": v});
    let mut found = place.rows("p, c, v FROM k.decided").await?;
    found.sort_by_cached_key(|row| row["p"].to_string());
    same("rows", &vec![row("a", "later"), row("b", "kept"), row("d", "2"), row("e", "now")], &found)
}

/// Written twice at one time, a list has its elements twice.
async fn a_list_is_not_doubled_by_a_second_attempt(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "doubled")]).await?;
    let mut node = FaultyNode::before(world.server().address()).await?;
    let store = node.store(&place.keyspace, StoreOptions::new()).await?;
    let mut wrongs = Wrongs::default();
    // What has a time of its own keeps it, and so a list that is set then cannot be set again.
    let list = json!({"l": [1, 2]});
    let upsert = |doc: &Value, options: Value| of("upsert", "doubled", "P", doc.clone(), options);
    let text = |values: &str, using: &str| {
        json!({"op": "cql", "statement": format!("INSERT INTO doubled (p, c, l, w) VALUES (?, 1, ?, {values}){using}"),
            "values": ["P", [1, 2]], "idempotent": true})
    };
    let at_its_time = || json!({"timestamp": 1_000_000});
    let words = json!({"v": "v"});
    for (name, doc, form, end) in [
        ("list", &list, upsert(&list, json!({})), "applied"),
        ("list at its time", &list, upsert(&list, at_its_time()), "unknown Connection"),
        ("text at its time", &words, upsert(&words, at_its_time()), "applied"),
        ("list of a statement", &list, text("1", ""), "applied"),
        (
            "list of a statement that draws a value",
            &list,
            text("cast(toUnixTimestamp(now()) AS int)", ""),
            "applied",
        ),
        (
            "list of a statement at its time",
            &list,
            text("1", " USING TIMESTAMP 1000000"),
            "unknown Connection",
        ),
    ] {
        let of_key = |p: &str| {
            let text = form.to_string().replace("\"P\"", &json!(p).to_string());
            operation(serde_json::from_str(&text)?)
        };
        // The answer that is lost may be one to a question of the driver's.
        for round in 0.. {
            let p = format!("{name} {round}");
            // The statement is prepared, so that what comes next is one request.
            commit(&store, BatchOptions::new(), [of_key("before")?]).await?;
            // Once the node has answered, so that it has written.
            let answers = Condition::ResponseOpcode(ResponseOpcode::Result)
                .and(Condition::not(Condition::ConnectionRegisteredAnyEvent))
                .and(Condition::TrueForLimitedTimes(1));
            node.on_answers(&[ResponseRule(answers, ResponseReaction::drop_connection())]);
            let done = commit(&store, BatchOptions::new(), [of_key(&p)?]).await?;
            let report = &done.report;
            let again =
                if end.starts_with("unknown") { report.unknown() } else { report.retries() } > 0;
            let expected = if again { end } else { "applied" };
            wrongs.note(&p, same("end", &expected.to_owned(), &done.ends().concat()));
            let rows = place.rows(&format!("l, v FROM k.doubled WHERE p = '{p}'")).await?;
            wrongs.note(&p, same("the row", &vec![doc.clone()], &rows));
            if doc == &words {
                let select = format!("writetime(v) AS t FROM k.doubled WHERE p = '{p}'");
                let rows = place.rows(&select).await?;
                wrongs.note(&p, same("the time", &vec![json!({"t": 1_000_000})], &rows));
            }
            if again {
                break;
            }
            same("rounds without a second attempt", &true, &(round < 20))?;
        }
    }
    wrongs.into_result()
}

/// A row that an `UPDATE` made is there by its columns alone, and one that has a time to live for that long:
/// `put` and `upsert` end both, whatever they stand behind.
async fn a_row_that_is_put_behind_a_condition_is_there_by_itself(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "marked")]).await?;
    let mut wrongs = Wrongs::default();
    let step = |op: &str, p: &str, doc: Value| of(op, "marked", p, doc, json!({}));
    for guarantee in [batch_core::Guarantee::BestEffort, crate::support::WHOLE] {
        for (name, first, then, is_there) in [
            ("put", "update", ("put", json!({})), true),
            ("put with columns", "update", ("put", json!({"w": 3})), true),
            ("upsert", "update", ("upsert", json!({"v": null})), true),
            ("replaced before", "replace", ("put", json!({})), true),
            ("deleted before", "delete_existing", ("put", json!({"w": 3})), true),
            ("inserted before", "insert", ("put", json!({})), true),
            ("no put", "update", ("update", json!({"v": null})), false),
        ] {
            if first == "insert" && guarantee == crate::support::WHOLE {
                // The row is there, so nothing is written.
                continue;
            }
            let p = format!("{name} {guarantee}");
            place.run(&format!("UPDATE k.marked SET w = 1 WHERE p = '{p}' AND c = 1")).await?;
            let operations = [step(first, &p, json!({"w": 2})), step(then.0, &p, then.1)];
            let done = place.commit(BatchOptions::new().guarantee(guarantee), operations).await?;
            wrongs.note(&p, same("last", &Some("applied".to_owned()), &done.ends().pop()));
            place
                .run(&format!(
                    "UPDATE k.marked SET v = null, w = null, l = null WHERE p = '{p}' AND c = 1"
                ))
                .await?;
            let rows = place.rows(&format!("c FROM k.marked WHERE p = '{p}'")).await?;
            wrongs.note(&p, same("rows", &usize::from(is_there), &rows.len()));
        }
    }
    wrongs.into_result()
}

async fn a_row_without_columns_that_is_put_behind_a_condition_outlives_the_former_one(
    world: Arc<World>,
) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TABLE k.outlives (p text, c int, PRIMARY KEY (p, c))",
            "CREATE TABLE k.outlives_s (p text, c int, s text static, PRIMARY KEY (p, c))",
        ])
        .await?;
    let mut wrongs = Wrongs::default();
    let step = |op: &str, table: &str, p: &str, options: Value| {
        let doc = if table == "outlives_s" { json!({"s": op}) } else { json!({}) };
        of(op, table, p, doc, options)
    };
    let (tables, firsts) = (["outlives", "outlives_s"], ["delete_existing", "insert"]);
    let each = || tables.into_iter().flat_map(|table| firsts.map(|first| (table, first)));
    for (table, first) in each() {
        for p in [first, "sentinel"] {
            let end = place.end(step("put", table, p, json!({"ttl": 2}))).await?;
            wrongs.note(first, same("end", &"applied".to_owned(), &end));
        }
        for then in ["put", "upsert"] {
            let operations = [first, then].map(|op| step(op, table, first, json!({})));
            let done = place.best_effort(operations).await?;
            wrongs.note(first, same("put", &Some("applied".to_owned()), &done.ends().pop()));
            if table == "outlives_s" {
                let rows = place.rows(&format!("s FROM k.{table} WHERE p = '{first}'")).await?;
                wrongs.note(first, same("shared", &vec![json!({"s": then})], &rows));
            }
        }
    }
    for (table, first) in each() {
        // What was written together with it is gone.
        let begun = std::time::Instant::now();
        while !place.rows(&format!("c FROM k.{table} WHERE p = 'sentinel'")).await?.is_empty() {
            same("gone in time", &true, &(begun.elapsed() < Duration::from_secs(60)))?;
        }
        let rows = place.rows(&format!("c FROM k.{table} WHERE p = '{first}'")).await?;
        wrongs.note(format!("{table}, {first}"), same("rows", &1, &rows.len()));
    }
    wrongs.into_result()
}

/// Such as a write that had no answer, and arrives late.
async fn what_is_inserted_and_deleted_hides_what_was_written_before(
    world: Arc<World>,
) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "never_back")]).await?;
    let mut wrongs = Wrongs::default();
    for delete in ["delete", "delete_existing"] {
        let forms = [
            of("insert", "never_back", delete, json!({"v": "x"}), json!({})),
            of(delete, "never_back", delete, json!({}), json!({})),
        ];
        let done = place.best_effort(forms).await?;
        wrongs.note(delete, same("ends", &"applied applied".to_owned(), &done.ends().join(" ")));
        let before = SystemClock.now_micros() - 5_000_000;
        let late = format!(
            "INSERT INTO k.never_back (p, c, v) VALUES ('{delete}', 1, 'late') USING TIMESTAMP {before}"
        );
        place.run(&late).await?;
        let there = place.rows("* FROM k.never_back").await?;
        wrongs.note(delete, same("rows", &Vec::<Value>::new(), &there));
    }
    wrongs.into_result()
}

async fn a_condition_takes_no_timestamp(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "stampless")]).await?;
    let mut batch = place.store.batch(BatchOptions::new())?;
    for op in ["insert", "replace", "update", "delete_existing"] {
        let form = of(op, "stampless", "a", json!({"v": "v"}), json!({"timestamp": 5}));
        let Err(rejected) = batch.queue(operation(form)?) else {
            return Err(format!("{op} is queued with a timestamp").into());
        };
        crate::support::says(&rejected.error, batch_core::ErrorKind::Unsupported, &[op])?;
    }
    Ok(())
}

async fn a_write_without_a_timestamp_has_the_time_of_the_server(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "now")]).await?;
    let before = SystemClock.now_micros();
    for op in ["put", "upsert", "insert"] {
        let form = of(op, "now", op, json!({"v": "v"}), json!({}));
        same(op, &"applied".to_owned(), &place.end(form).await?)?;
    }
    let after = SystemClock.now_micros();
    // A server elsewhere has a clock of its own.
    let slack = 5_000_000;
    for row in place.rows("writetime(v) AS t FROM k.now").await? {
        let time = row["t"].as_i64().unwrap_or_default();
        same("in time", &true, &(before - slack..=after + slack).contains(&time))?;
    }
    Ok(())
}

async fn a_later_write_has_a_later_timestamp(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "later")]).await?;
    let mut last = 0;
    for number in 0..20 {
        let form = of("put", "later", "a", json!({"w": number}), json!({}));
        same("put", &"applied".to_owned(), &place.end(form).await?)?;
        let rows = place.rows("w, writetime(w) AS t FROM k.later").await?;
        let time = rows[0]["t"].as_i64().unwrap_or_default();
        same("value", &json!(number), &rows[0]["w"])?;
        same("later", &true, &(time > last))?;
        last = time;
    }
    Ok(())
}

async fn options_are_refused_where_they_cannot_be(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&TABLE.replace("NAME", "limits")]).await?;
    let mut wrongs = Wrongs::default();
    for form in [
        of("put", "limits", "a", json!({}), json!({"ttl": 0})),
        of("put", "limits", "a", json!({}), json!({"ttl": 630_720_001_u32})),
        of("put", "limits", "a", json!({}), json!({"timestamp": i64::MIN})),
        of("delete", "limits", "a", json!({}), json!({"ttl": 5})),
        json!({"op": "cql", "statement": "UPDATE limits SET v = 'v' WHERE p = 'a' AND c = 1", "values": [], "ttl": 5}),
    ] {
        let mut batch = place.store.batch(BatchOptions::new())?;
        let ended = match operation(form.clone()).map(|operation| batch.queue(operation)) {
            // The program's form is refused, or the operation when it is queued.
            Err(_) | Ok(Err(_)) => continue,
            Ok(Ok(job)) => {
                let report = batch.commit().await?;
                (report.not_applied(), report.attempts(), job.status())
            }
        };
        let refused = (ended.0, ended.1) == (1, 0);
        wrongs.note(format!("{form}: {:?}", ended.2), same("refused", &true, &refused));
    }
    wrongs.note("rows", same("rows", &vec![], &place.rows("* FROM k.limits").await?));
    wrongs.into_result()
}
