//! Under best effort each operation is for itself: what is wrong with one is told of that one,
//! before it is sent, and the others are applied.

use std::sync::Arc;

use batch_core::{Batch as _, BatchExt as _, BatchOptions, BatchState, ErrorKind, Store as _};
use integration_tests::Result;
use serde_json::{Value, json};

use crate::support::{Place, WHOLE, World, Wrongs, end, operation, refusal, same, says, tests};

tests!["neighbours":
    one_bad_document_fails_its_own_job_alone,
    one_bad_document_keeps_a_whole_batch_from_being_sent,
    one_bad_statement_fails_its_own_job_alone,
    what_is_no_write_is_refused_when_it_is_queued,
    a_false_condition_refuses_no_neighbour,
    many_bad_documents_among_many_good_ones_are_told_one_by_one,
    an_unknown_table_is_told_of_its_own_operations_alone,
];

const TABLE: &str = "CREATE TABLE k.NAME (p text, c int, small tinyint, n int, v text, d decimal, f float, \
    b blob, u uuid, tu timeuuid, at timestamp, day date, t time, du duration, ip inet, ok boolean, \
    l list<int>, s set<text>, m map<int, text>, fl frozen<list<text>>, pair tuple<int, text>, \
    place NAME_type, vec vector<float, 2>, a ascii, \"Mixed\" int, PRIMARY KEY (p, c))";

async fn place(world: &World, name: &str) -> Result<Place> {
    let typ = format!("CREATE TYPE k.{name}_type (street text, no int)");
    world.place(&[&typ, &TABLE.replace("NAME", name)]).await
}

fn put(table: &str, c: Value, doc: Value) -> Value {
    json!({"op": "put", "collection": table, "key": {"p": "p", "c": c}, "doc": doc})
}

/// A document that is refused, and what is said of it.
const BAD: &[(&str, &[&str])] = &[
    // Of another type.
    (r#"{"n": "one"}"#, &["n", "int", "one"]),
    (r#"{"n": 1.5}"#, &["n", "int", "1.5"]),
    (r#"{"n": true}"#, &["n", "int", "true"]),
    (r#"{"n": [1]}"#, &["n", "int", "[1]"]),
    (r#"{"n": 2147483648}"#, &["n", "int", "2147483648"]),
    (r#"{"small": 128}"#, &["small", "tinyint", "128"]),
    (r#"{"v": 1}"#, &["v", "text", "1"]),
    (r#"{"v": {"a": 1}}"#, &["v", "text"]),
    (r#"{"a": "\u00e9"}"#, &["a", "ascii", "\u{e9}"]),
    (r#"{"d": "1,5"}"#, &["d", "decimal", "1,5"]),
    (r#"{"f": 1e39}"#, &["f", "float", "1e39"]),
    (r#"{"b": "00ff"}"#, &["b", "blob", "00ff"]),
    (r#"{"u": "abc"}"#, &["u", "uuid", "abc"]),
    (r#"{"tu": "123e4567-e89b-42d3-a456-426614174000"}"#, &["tu", "timeuuid"]),
    (r#"{"at": "now"}"#, &["at", "timestamp", "now"]),
    (r#"{"day": "2023-02-30"}"#, &["day", "date", "2023-02-30"]),
    (r#"{"t": "24:00:00"}"#, &["t", "time", "24:00:00"]),
    (r#"{"du": "soon"}"#, &["du", "duration", "soon"]),
    (r#"{"ip": "localhost"}"#, &["ip", "inet", "localhost"]),
    (r#"{"ok": "yes"}"#, &["ok", "boolean", "yes"]),
    (r#"{"n": ""}"#, &["n", "int"]),
    // Not so inside.
    (r#"{"l": [1, "x"]}"#, &["l", "list<int>", "x"]),
    (r#"{"l": [1, null]}"#, &["l", "list<int>", "null"]),
    (r#"{"l": 1}"#, &["l", "list<int>", "1"]),
    (r#"{"s": {"a": 1}}"#, &["s", "set<text>"]),
    (r#"{"m": {"one": "x"}}"#, &["m", "map<int, text>", "one"]),
    (r#"{"m": {"1": null}}"#, &["m", "map<int, text>", "null"]),
    (r#"{"fl": ["a", 1]}"#, &["fl", "frozen<list<text>>", "1"]),
    (r#"{"pair": [1]}"#, &["pair", "tuple<int, text>", "1"]),
    (r#"{"pair": [1, "x", 2]}"#, &["pair", "tuple<int, text>"]),
    (r#"{"place": {"street": 1}}"#, &["place", "1"]),
    (r#"{"place": {"zip": "1"}}"#, &["place", "zip"]),
    (r#"{"vec": [1.0]}"#, &["vec", "vector<float, 2>"]),
    (r#"{"vec": [1.0, null]}"#, &["vec", "vector<float, 2>", "null"]),
    // No column of the table.
    (r#"{"nosuch": 1}"#, &["nosuch"]),
    (r#"{"N": 1}"#, &["N"]),
    (r#"{"mixed": 1}"#, &["mixed"]),
    (r#"{"": 1}"#, &["column"]),
    // Twice, null or otherwise.
    (r#"{"n": 1, "n": 2}"#, &["n", "twice"]),
    (r#"{"v": "\ud800"}"#, &["v"]),
    // A key column that is not the key.
    (r#"{"c": 2147483647}"#, &["c", "int", "key"]),
    (r#"{"p": null}"#, &["p"]),
];

async fn one_bad_document_fails_its_own_job_alone(world: Arc<World>) -> Result<()> {
    let place = place(&world, "bad").await?;
    let mut wrongs = Wrongs::default();
    for op in ["put", "insert", "upsert", "update"] {
        for (text, words) in BAD {
            place.run("TRUNCATE k.bad").await?;
            let mut batch = place.store.batch(BatchOptions::new())?;
            let good = |c: i32| operation(put("bad", json!(c), json!({"v": "good"})));
            // As text: what is given twice is there twice.
            let form = format!(
                r#"{{"op": "{op}", "collection": "bad", "key": {{"p": "p", "c": 5}}, "doc": {text}}}"#
            );
            let tried = async {
                let first = batch.queue(good(1)?)?;
                let bad = match serde_json::from_str(&form) {
                    Ok(bad) => batch.queue(bad),
                    // No JSON that can be kept: refused with the line of the file.
                    Err(_) => return Ok(()),
                };
                let second = batch.queue(good(6)?)?;
                let report = batch.commit().await?;
                let error = match bad {
                    Ok(job) => refusal(&job)?,
                    Err(rejected) => rejected.error,
                };
                same("neighbours", &["applied", "applied"], &[&*end(&first), &*end(&second)])?;
                same("applied", &2, &report.applied())?;
                says(&error, ErrorKind::InvalidOperation, words)?;
                let rows = place.rows("c, v FROM k.bad").await?;
                let row = |c: i32| json!({"c": c, "v": "good"});
                same("rows", &vec![row(1), row(6)], &rows)
            };
            wrongs.note(format!("{op} {text}"), tried.await);
        }
    }
    wrongs.into_result()
}

async fn one_bad_document_keeps_a_whole_batch_from_being_sent(world: Arc<World>) -> Result<()> {
    let place = place(&world, "bad_whole").await?;
    let mut wrongs = Wrongs::default();
    let bad = [
        (put("bad_whole", json!(2), json!({"n": "one"})), ErrorKind::InvalidOperation, "int"),
        (put("bad_whole", json!("two"), json!({})), ErrorKind::InvalidKey, "two"),
        (put("nosuch", json!(2), json!({})), ErrorKind::NotFound, "nosuch"),
        (
            json!({"op": "cql", "statement": "INSERT INTO bad_whole (p, c, n) VALUES (?, ?, ?)",
            "values": ["p", 2]}),
            ErrorKind::InvalidOperation,
            "2",
        ),
    ];
    for (form, kind, word) in bad {
        let mut batch = place.store.batch(BatchOptions::new().guarantee(WHOLE))?;
        let tried = async {
            batch.queue(operation(put("bad_whole", json!(1), json!({"v": "good"})))?)?;
            batch.queue(operation(form.clone())?)?;
            let error = batch.commit().await.err().ok_or("it is sent")?;
            says(&error, kind, &[word, "operation 2"])?;
            same("state", &BatchState::Open, &batch.state())
        };
        wrongs.note(&form, tried.await);
    }
    wrongs.note("rows", same("rows", &vec![], &place.rows("* FROM k.bad_whole").await?));
    wrongs.into_result()
}

async fn one_bad_statement_fails_its_own_job_alone(world: Arc<World>) -> Result<()> {
    let place = place(&world, "bad_cql").await?;
    let mut wrongs = Wrongs::default();
    for (statement, values, kind, words) in [
        (
            "INSERT INTO bad_cql (p, c, n) VALUES (?, ?, ?)",
            json!(["p", 1]),
            ErrorKind::InvalidOperation,
            &["2", "3"] as &[&str],
        ),
        (
            "INSERT INTO bad_cql (p, c, n) VALUES (?, ?, ?)",
            json!(["p", 1, 2, 3]),
            ErrorKind::InvalidOperation,
            &["4", "3"],
        ),
        (
            "INSERT INTO bad_cql (p, c, n) VALUES (?, ?, ?)",
            json!(["p", 1, "one"]),
            ErrorKind::InvalidOperation,
            &["n", "int", "one"],
        ),
        (
            "INSERT INTO bad_cql (p, c, n) VALUES (:p, :c, :n)",
            json!({"p": "p", "c": 1}),
            ErrorKind::InvalidOperation,
            &["n"],
        ),
        (
            "INSERT INTO bad_cql (p, c, n) VALUES (:p, :c, :n)",
            json!({"p": "p", "c": 1, "n": 1, "x": 1}),
            ErrorKind::InvalidOperation,
            &["x"],
        ),
        (
            "INSERT INTO bad_cql (p, c, n) VALUES (?, ?, ?)",
            json!(["p", null, 1]),
            ErrorKind::InvalidKey,
            &["c"],
        ),
        (
            "INSERT INTO bad_cql (p, n) VALUES (?, ?)",
            json!(["p", 1]),
            ErrorKind::InvalidOperation,
            &["c"],
        ),
        (
            "INSERT INTO bad_cql (p, c, nosuch) VALUES (?, ?, ?)",
            json!(["p", 1, 1]),
            ErrorKind::InvalidOperation,
            &["nosuch"],
        ),
        ("UPDATE bad_cql SET n = 1 WHERE c = ?", json!([1]), ErrorKind::InvalidOperation, &["p"]),
        ("UPDATE nosuch SET n = 1 WHERE c = ?", json!([1]), ErrorKind::NotFound, &["nosuch"]),
        (
            "INSERT INTO nokey.bad_cql (p, c) VALUES (?, ?)",
            json!(["p", 1]),
            ErrorKind::NotFound,
            &["nokey"],
        ),
        (
            "UPDATE bad_cql SET n = n + 1 WHERE p = ? AND c = ?",
            json!(["p", 1]),
            ErrorKind::InvalidOperation,
            &["n"],
        ),
    ] {
        place.run("TRUNCATE k.bad_cql").await?;
        let form = json!({"op": "cql", "statement": statement, "values": values});
        let good = |c: i32| put("bad_cql", json!(c), json!({"v": "good"}));
        let mut batch = place.store.batch(BatchOptions::new())?;
        let tried = async {
            let first = batch.queue(operation(good(10))?)?;
            let bad = batch.queue(operation(form)?);
            let second = batch.queue(operation(good(11))?)?;
            let report = batch.commit().await?;
            let error = match bad {
                Ok(job) => refusal(&job)?,
                Err(rejected) => rejected.error,
            };
            same("neighbours", &["applied", "applied"], &[&*end(&first), &*end(&second)])?;
            same("applied", &2, &report.applied())?;
            says(&error, kind, words)?;
            same("rows", &2, &place.rows("c FROM k.bad_cql").await?.len())
        };
        wrongs.note(format!("{statement} {values}"), tried.await);
    }
    wrongs.into_result()
}

async fn what_is_no_write_is_refused_when_it_is_queued(world: Arc<World>) -> Result<()> {
    let place = place(&world, "no_write").await?;
    let mut batch = place.store.batch(BatchOptions::new())?;
    let mut wrongs = Wrongs::default();
    for statement in [
        "SELECT * FROM no_write",
        "  select json * from no_write where p = 'INSERT'",
        "CREATE TABLE other (id int PRIMARY KEY)",
        "ALTER TABLE no_write ADD x int",
        "DROP TABLE no_write",
        "TRUNCATE no_write",
        "TRUNCATE TABLE no_write",
        "USE system",
        "BEGIN BATCH INSERT INTO no_write (p, c) VALUES ('p', 1); APPLY BATCH",
        "GRANT SELECT ON no_write TO nobody",
        "LIST ROLES",
        "",
        "-- nothing",
        "INSERT INTO no_write (p, c) VALUES ('p', 1); DROP TABLE no_write",
        "what is this",
    ] {
        let form = json!({"op": "cql", "statement": statement, "values": []});
        let queued = operation(form).map(|operation| batch.queue(operation));
        let refused = match queued {
            Ok(Err(rejected)) => {
                let kind = rejected.error.kind();
                let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidOperation];
                same(&format!("{:?}", rejected.error), &true, &kinds.contains(&kind))
            }
            Ok(Ok(_)) => Err("it is queued".into()),
            Err(error) => Err(error),
        };
        wrongs.note(statement, refused);
    }
    // Also with values of one's own types.
    for statement in ["SELECT * FROM no_write", "TRUNCATE no_write"] {
        let refused = match place.store.prepare(statement).await {
            Err(error) => says(&error, ErrorKind::Unsupported, &[]),
            Ok(_) => Err("it is prepared".into()),
        };
        wrongs.note(statement, refused);
    }
    let job = batch.queue(operation(put("no_write", json!(1), json!({"v": "v"})))?)?;
    let report = batch.commit().await?;
    wrongs.note("a write", same("end", &(1, "applied".to_owned()), &(report.total(), end(&job))));
    wrongs.into_result()
}

async fn a_false_condition_refuses_no_neighbour(world: Arc<World>) -> Result<()> {
    let place = place(&world, "untrue").await?;
    place.run("INSERT INTO k.untrue (p, c, v, n) VALUES ('p', 1, 'old', 1)").await?;
    let of = |op: &str, c: i32| {
        let mut form = json!({"op": op, "collection": "untrue", "key": {"p": "p", "c": c}});
        if op != "delete_existing" {
            form["doc"] = json!({"v": op});
        }
        form
    };
    let cql = |text: &str, c: i32| json!({"op": "cql", "statement": text, "values": [c]});
    let done = place
        .best_effort([
            of("insert", 1),
            of("put", 2),
            of("insert", 3),
            of("update", 4),
            of("replace", 5),
            of("delete_existing", 6),
            of("put", 7),
            cql("UPDATE untrue SET v = 'cql' WHERE p = 'p' AND c = ? IF n = 2", 1),
            cql("UPDATE untrue SET v = 'cql' WHERE p = 'p' AND c = ? IF n = 1", 1),
            cql("DELETE FROM untrue WHERE p = 'p' AND c = ? IF EXISTS", 8),
            cql("INSERT INTO untrue (p, c, v) VALUES ('p', ?, 'cql') IF NOT EXISTS", 9),
        ])
        .await?;
    let ends = "AlreadyExists applied applied NotFound NotFound NotFound applied ConditionFailed applied \
        ConditionFailed applied";
    same("ends", ends, &*done.ends().join(" "))?;
    let row = |c: i32, v: &str| json!({"c": c, "v": v});
    let expected =
        vec![row(1, "cql"), row(2, "put"), row(3, "insert"), row(7, "put"), row(9, "cql")];
    same("rows", &expected, &place.rows("c, v FROM k.untrue").await?)
}

async fn many_bad_documents_among_many_good_ones_are_told_one_by_one(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "among").await?;
    let bad = |number: usize| number % 7 == 3;
    let all = (0..700).map(|number| {
        let doc = if bad(number) { json!({"n": "bad"}) } else { json!({"n": number}) };
        put("among", json!(number), doc)
    });
    let done = place.best_effort(all).await?;
    same("counts", &(600, 100), &(done.report.applied(), done.report.not_applied()))?;
    for (number, job) in done.jobs.iter().enumerate() {
        let expected = if bad(number) { "InvalidOperation" } else { "applied" };
        same(&format!("{number}"), expected, &*end(job))?;
    }
    same("refused", &100, &done.plan.refused.len())?;
    same("chunks", &5, &done.plan.chunks.len())?;
    same("rows", &600, &place.rows("c FROM k.among").await?.len())
}

async fn an_unknown_table_is_told_of_its_own_operations_alone(world: Arc<World>) -> Result<()> {
    let place = place(&world, "known").await?;
    let done = place
        .best_effort([
            put("known", json!(1), json!({"v": "v"})),
            put("unknown", json!(1), json!({"v": "v"})),
            put("Known", json!(1), json!({"v": "v"})),
            put("nosuch.known", json!(1), json!({"v": "v"})),
            put("a.b.c", json!(1), json!({"v": "v"})),
            put("known", json!(2), json!({"v": "v"})),
        ])
        .await?;
    let ends = "applied NotFound NotFound NotFound NotFound applied";
    same("ends", ends, &*done.ends().join(" "))?;
    for (job, name) in done.jobs.iter().skip(1).zip(["unknown", "Known", "nosuch.known", "a.b.c"]) {
        says(&refusal(job)?, ErrorKind::NotFound, &[name])?;
    }
    same("rows", &2, &place.rows("c FROM k.known").await?.len())
}
