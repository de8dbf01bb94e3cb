//! All or nothing: what cannot be whole is refused before anything is sent, and what becomes of a batch
//! of which one condition does not hold.

use std::sync::Arc;

use batch_core::{Batch, BatchExt as _, BatchState, BatchType, ErrorKind, Store as _};
use integration_tests::Result;
use serde_json::{Value, json};

use crate::{
    guarantees::{LOGGED, PARTITION, left, of, operations, options, place, start},
    support::{Done, ISOLATED, WHOLE, World, Wrongs, operation, refusal, same, says, tests},
};

tests!["whole":
    what_cannot_be_whole_is_refused_before_anything_is_sent,
    a_statement_that_may_write_to_several_partitions_is_no_whole_by_itself,
    a_condition_that_fails_rolls_its_batch_back,
    what_stands_first_of_thousands_decides_for_the_whole,
    more_operations_than_a_request_takes_are_whole_where_keys_are_few,
    what_a_condition_would_take_from_its_batch_is_refused,
    of_several_statements_conditions_it_is_not_said_which_failed,
    what_an_operation_makes_impossible_for_a_later_one_is_not_sent,
    operations_on_one_key_are_whole_together,
    nothing_is_written_behind_a_statement_that_deletes_there_without_naming_the_row,
    what_is_inserted_and_deleted_where_rows_are_partitions_is_no_whole,
];

/// The plan and the commit say the same.
async fn is_refused(batch: &mut dyn Batch, kind: ErrorKind, words: &[&str]) -> Result<()> {
    let planned = batch.plan().await;
    for error in [planned.err(), batch.commit().await.err()] {
        says(&error.ok_or("it is not refused")?, kind, words)?;
    }
    Ok(())
}

async fn what_cannot_be_whole_is_refused_before_anything_is_sent(world: Arc<World>) -> Result<()> {
    let place = place(&world, "never").await?;
    let mut wrongs = Wrongs::default();
    for (guarantee, forced, words, named) in [
        (WHOLE, None, "insert a1, insert b1", "operation 2"),
        (WHOLE, None, "put a1, put b1, insert b2", "operation 2"),
        (WHOLE, None, "put a1, insert a2, update2 a1", "operation 3"),
        // Also where the condition is known to hold.
        (WHOLE, None, "put a1, update a1, put b1", "operation 3"),
        (WHOLE, None, "insert a1, delete_existing2 a1", "operation 2"),
        (WHOLE, None, "put a1, count a1", "operation 2"),
        (WHOLE, None, "count a1", "operation 1"),
        (WHOLE, None, "count a1, count a1", "operation 1"),
        (WHOLE, Some(BatchType::Unlogged), "put a1, put b1", "operation 2"),
        (WHOLE, Some(BatchType::Counter), "count a1", "counter"),
        (ISOLATED, None, "put a1, put a2, put b1", "operation 3"),
        (ISOLATED, None, "put a1, put2 a1", "operation 2"),
        (ISOLATED, None, "insert a1, insert b1", "operation 2"),
        (ISOLATED, Some(BatchType::Logged), "put a1, put b1", "operation 2"),
    ] {
        let tried = async {
            let mut batch = place.store.batch(options(guarantee, forced))?;
            for form in operations("never", words) {
                batch.queue(operation(form)?)?;
            }
            is_refused(&mut *batch, ErrorKind::Unsupported, &["cql", named]).await?;
            same("state", &BatchState::Open, &batch.state())?;
            same("pending", &true, &batch.jobs().all(|job| job.is_pending()))
        };
        wrongs.note(format!("{words} ({guarantee}, {forced:?})"), tried.await);
    }
    for table in ["never", "never_2", "never_n"] {
        let rows = place.rows(&format!("* FROM k.{table}")).await?;
        wrongs.note(table, same("rows", &vec![], &rows));
    }
    wrongs.into_result()
}

async fn a_statement_that_may_write_to_several_partitions_is_no_whole_by_itself(
    world: Arc<World>,
) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.over_several (id int PRIMARY KEY, v int)"]).await?;
    let mut wrongs = Wrongs::default();
    let several =
        |text: &str, values: Value| json!({"op": "cql", "statement": text, "values": values});
    for (number, (form, is_one)) in [
        (several("UPDATE over_several SET v = ? WHERE id IN ?", json!([1, [1, 2, 3]])), false),
        (several("UPDATE over_several SET v = ? WHERE id IN (1, 2)", json!([1])), false),
        (several("DELETE FROM over_several WHERE id IN ?", json!([[1, 2, 3]])), false),
        // It is one, but nothing tells.
        (several("UPDATE over_several SET v = ? WHERE id = 1", json!([1])), false),
        (several("UPDATE over_several SET v = ? WHERE id = ?", json!([1, 1])), true),
        (several("INSERT INTO over_several (id, v) VALUES (1, ?)", json!([1])), true),
        // The server sees to it.
        (several("UPDATE over_several SET v = ? WHERE id = 1 IF v = ?", json!([1, 1])), true),
    ]
    .into_iter()
    .enumerate()
    {
        for (guarantee, forced) in [
            (WHOLE, None),
            (WHOLE, Some(BatchType::Unlogged)),
            (ISOLATED, None),
            (ISOLATED, Some(BatchType::Logged)),
        ] {
            let part = format!("{number}: {} ({guarantee}, {forced:?})", form["statement"]);
            let mut batch = place.store.batch(options(guarantee, forced))?;
            batch.queue(operation(form.clone())?)?;
            let planned = batch.plan().await;
            let used = planned.map(|plan| plan.mechanisms().concat());
            batch.discard();
            let found = match used {
                Ok(used) if used == LOGGED => "logged",
                Ok(_) => "one",
                Err(error) => {
                    wrongs.note(
                        &part,
                        says(&error, ErrorKind::Unsupported, &["operation 1", "markers"]),
                    );
                    "refused"
                }
            };
            let expected = match (is_one, guarantee, forced) {
                (true, ISOLATED, Some(_)) if found == "logged" => "logged",
                (true, ..) => "one",
                (false, WHOLE, None) => "logged",
                (false, ..) => "refused",
            };
            wrongs.note(&part, same("it is", expected, found));
        }
        let done = place.commit(options(WHOLE, None), [form.clone()]).await?;
        let end = done.ends().concat();
        let fits =
            end == "applied" || (form.to_string().contains("IF v") && end == "ConditionFailed");
        wrongs.note(&form, same(&end, &true, &fits));
    }
    wrongs.into_result()
}

const CULPRITS: &[(&str, &str, &str)] = &[
    ("a2", "insert a1, insert a2, insert a3", "RolledBack AlreadyExists RolledBack"),
    ("a1, a3", "insert a1, insert a2, insert a3", "AlreadyExists RolledBack AlreadyExists"),
    ("a1", "update a1, update a2", "RolledBack NotFound"),
    ("a1", "update a1, insert a2, replace a3", "RolledBack RolledBack NotFound"),
    ("a1, a2", "update a1, insert a2, replace a3", "RolledBack AlreadyExists NotFound"),
    ("", "delete_existing a1, insert a2", "NotFound RolledBack"),
    ("a1", "put a2, insert a1, delete a3", "RolledBack AlreadyExists RolledBack"),
    ("a1", "put a1, update a2", "RolledBack NotFound"),
    ("", "update a1", "NotFound"),
    ("a1", "insert a1", "AlreadyExists"),
];

async fn a_condition_that_fails_rolls_its_batch_back(world: Arc<World>) -> Result<()> {
    let place = place(&world, "culprits").await?;
    let mut wrongs = Wrongs::default();
    for guarantee in [WHOLE, ISOLATED] {
        for (there, words, ends) in CULPRITS {
            let rows = start(&place, "culprits", there).await?;
            let done =
                place.commit(options(guarantee, None), operations("culprits", words)).await?;
            let part = format!("{words} where {there} are ({guarantee})");
            wrongs.note(&part, same("ends", *ends, &*done.ends().join(" ")));
            wrongs.note(&part, same("rows", &rows, &left(&place, "culprits").await?));
            wrongs.note(&part, details(&done));
        }
    }
    wrongs.into_result()
}

fn details(done: &Done) -> Result<()> {
    for job in &done.jobs {
        let error = refusal(job)?;
        let row = error.details().find(|(name, _)| *name == "row").map(|(_, row)| row.clone());
        let shown = row.as_ref().map(|row| (row["v"].clone(), row["p"].clone()));
        let expected =
            (error.kind() == ErrorKind::AlreadyExists).then(|| (json!("old"), json!("a")));
        same("row", &expected, &shown)?;
        if error.kind() == ErrorKind::RolledBack {
            says(&error, ErrorKind::RolledBack, &["operation"])?;
        }
    }
    Ok(())
}

async fn what_a_condition_would_take_from_its_batch_is_refused(world: Arc<World>) -> Result<()> {
    let place = place(&world, "takes").await?;
    let with = |op: &str, row: &str, options: Value| {
        crate::support::merged(&of(op, "takes", row), &options)
    };
    let text = "UPDATE takes USING TIMESTAMP 5 SET v = 'v' WHERE p = ? AND c = ?";
    let mut wrongs = Wrongs::default();
    for (name, operations) in [
        ("a timestamp", vec![with("put", "a2", json!({"timestamp": 1000}))]),
        ("a deletion's", vec![with("delete", "a2", json!({"timestamp": 1000}))]),
        ("a text's", vec![json!({"op": "cql", "statement": text, "values": ["a", 2]})]),
        (
            "a time to live and another one on its key",
            vec![with("put", "a2", json!({"ttl": 5000})), of("put", "takes", "a2")],
        ),
    ] {
        let rows = start(&place, "takes", "a2").await?;
        let mut batch = place.store.batch(options(WHOLE, None))?;
        let number = operations.len() + 1;
        batch.queue(operation(of("insert", "takes", "a1"))?)?;
        for form in operations {
            batch.queue(operation(form)?)?;
        }
        let planned = batch.plan().await.err().ok_or_else(|| format!("{name}: it is planned"))?;
        let error = batch.commit().await.err().ok_or_else(|| format!("{name}: it is sent"))?;
        let named = format!("operation {number}: ");
        wrongs.note(name, says(&error, ErrorKind::Unsupported, &[&named]));
        wrongs.note(name, same("plan", error.message(), planned.message()));
        wrongs.note(name, same("state", &BatchState::Open, &batch.state()));
        batch.discard();
        wrongs.note(name, same("rows", &rows, &left(&place, "takes").await?));
    }
    wrongs.into_result()
}

async fn of_several_statements_conditions_it_is_not_said_which_failed(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "which").await?;
    let unless = |c: i32, v: &str| {
        let text = "UPDATE which SET v = 'new' WHERE p = ? AND c = ? IF v = ?";
        json!({"op": "cql", "statement": text, "values": ["a", c, v]})
    };
    let mut wrongs = Wrongs::default();
    for (several, forms) in [
        (true, vec![unless(1, "old"), unless(2, "other")]),
        (false, vec![of("put", "which", "a3"), unless(2, "other")]),
    ] {
        let rows = start(&place, "which", "a1, a2").await?;
        let done = place.commit(options(WHOLE, None), forms).await?;
        let error = refusal(&done.jobs[1])?;
        let part = format!("several: {several}");
        wrongs.note(&part, same("kind", &ErrorKind::ConditionFailed, &error.kind()));
        let shown = error.details().any(|(name, _)| name == "row");
        wrongs.note(&part, same("shows a row", &!several, &shown));
        let unsure = error.to_string().contains("does not say which");
        wrongs.note(&part, same("says that it is not said", &several, &unsure));
        wrongs.note(&part, same("rows", &rows, &left(&place, "which").await?));
    }
    wrongs.into_result()
}

async fn what_stands_first_of_thousands_decides_for_the_whole(world: Arc<World>) -> Result<()> {
    let place = place(&world, "thousands").await?;
    let mut wrongs = Wrongs::default();
    for (there, first, expected) in [
        ("a1", "insert a1", "AlreadyExists"),
        ("a1", "update a1", "applied"),
        ("", "insert a1", "applied"),
        ("", "insert b1", "Unsupported"),
        ("", "insert2 a1", "Unsupported"),
        ("", "count a1", "Unsupported"),
    ] {
        let rows = start(&place, "thousands", there).await?;
        let others = (2..=5000).map(|c| of("put", "thousands", &format!("a{c}")));
        let forms = operations("thousands", first).into_iter().chain(others);
        let mut batch = place.store.batch(options(WHOLE, None))?;
        for form in forms {
            batch.queue(operation(form)?)?;
        }
        let jobs: Vec<_> = batch.jobs().collect();
        let end = match batch.commit().await {
            Ok(_) => crate::support::end(&jobs[0]),
            Err(error) => {
                batch.discard();
                error.kind().to_string()
            }
        };
        let part = format!("{first} where {there} is");
        wrongs.note(&part, same("end", expected, &*end));
        let all = if expected == "applied" { 5000 } else { rows.len() };
        wrongs.note(&part, same("rows", &all, &left(&place, "thousands").await?.len()));
    }
    wrongs.into_result()
}

async fn more_operations_than_a_request_takes_are_whole_where_keys_are_few(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "few_keys").await?;
    let mut wrongs = Wrongs::default();
    for (guarantee, rows, expected) in [
        (WHOLE, ["a1", "a2"], PARTITION),
        (ISOLATED, ["a1", "a2"], PARTITION),
        (WHOLE, ["a1", "b1"], "TooLarge"),
        (ISOLATED, ["a1", "b1"], "Unsupported"),
    ] {
        let rows_before = start(&place, "few_keys", "").await?;
        let mut batch = place.store.batch(options(guarantee, None))?;
        for row in rows.into_iter().cycle().take(70_000) {
            batch.queue(operation(of("put", "few_keys", row))?)?;
        }
        let planned = match batch.plan().await {
            Ok(plan) => plan.mechanisms().concat(),
            Err(error) => error.kind().to_string(),
        };
        let sent = batch.commit().await;
        let part = format!("{rows:?} ({guarantee})");
        wrongs.note(&part, same("planned", expected, &*planned));
        let ended = match sent {
            Ok(report) => report.mechanisms().iter().map(|used| &*used.name).collect::<String>(),
            Err(error) => error.kind().to_string(),
        };
        wrongs.note(&part, same("sent", expected, &*ended));
        let there = left(&place, "few_keys").await?.len();
        let count = if expected == PARTITION { 2 } else { rows_before.len() };
        wrongs.note(&part, same("rows", &count, &there));
        batch.discard();
    }
    wrongs.into_result()
}

async fn what_an_operation_makes_impossible_for_a_later_one_is_not_sent(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "impossible").await?;
    let mut wrongs = Wrongs::default();
    // What a statement leaves is not known here.
    let delete = json!({"op": "cql", "statement": "DELETE FROM impossible WHERE p = ? AND c = ?", "values": ["a", 1]});
    for forms in [
        [delete.clone(), of("insert", "impossible", "a1")],
        [of("put", "impossible", "a1"), delete],
    ] {
        let mut batch = place.store.batch(options(WHOLE, None))?;
        let part = format!("{forms:?}");
        for form in forms {
            batch.queue(operation(form)?)?;
        }
        let error = batch.plan().await.err().ok_or("it is not refused")?;
        wrongs.note(part, says(&error, ErrorKind::Unsupported, &["operation 2", "its key"]));
        batch.discard();
    }
    for (there, words, kind, named) in [
        ("", "put a1, insert a1", ErrorKind::AlreadyExists, "operation 2"),
        ("a1", "put a1, put a2, insert a2", ErrorKind::AlreadyExists, "operation 3"),
        ("a1", "delete a1, update a1", ErrorKind::NotFound, "operation 2"),
        ("a1", "put a2, delete a1, replace a1", ErrorKind::NotFound, "operation 3"),
        ("a1", "delete a1, put a2, delete_existing a1", ErrorKind::NotFound, "operation 3"),
    ] {
        let rows = start(&place, "impossible", there).await?;
        let tried = async {
            let mut batch = place.store.batch(options(WHOLE, None))?;
            for form in operations("impossible", words) {
                batch.queue(operation(form)?)?;
            }
            is_refused(&mut *batch, kind, &["cql", named]).await?;
            same("state", &BatchState::Open, &batch.state())
        };
        let part = format!("{words} where {there} is");
        wrongs.note(&part, tried.await);
        wrongs.note(&part, same("rows", &rows, &left(&place, "impossible").await?));
    }
    wrongs.into_result()
}

async fn operations_on_one_key_are_whole_together(world: Arc<World>) -> Result<()> {
    let place = place(&world, "whole_keys").await?;
    let mut wrongs = Wrongs::default();
    for (there, words, ends, after) in [
        ("", "insert a1, delete a1", "applied applied", ""),
        ("a1", "insert a1, delete a1", "AlreadyExists RolledBack", "a1 old"),
        ("", "insert a1, update a1, put a2", "applied applied applied", "a1 update, a2 put"),
        ("", "insert a1, delete a1, insert a1", "applied applied applied", "a1 insert"),
        ("a1", "update a1, delete_existing a1, put a2", "applied applied applied", "a2 put"),
        ("", "update a1, put a1", "NotFound RolledBack", ""),
        ("a1", "delete a1, insert a1", "applied applied", "a1 insert"),
        ("a1", "put a1, update a1, put a2", "applied applied applied", "a1 update, a2 put"),
        (
            "a1",
            "delete_existing a1, insert a1, put a3",
            "applied applied applied",
            "a1 insert, a3 put",
        ),
        ("", "delete_existing a1, insert a1, put a3", "NotFound RolledBack RolledBack", ""),
    ] {
        for guarantee in [WHOLE, ISOLATED] {
            if guarantee == ISOLATED && words.contains('b') {
                continue;
            }
            start(&place, "whole_keys", there).await?;
            let forms = operations("whole_keys", words);
            let done = place.commit(options(guarantee, None), forms).await;
            let part = format!("{words} where {there} is ({guarantee})");
            match done {
                Err(error) => wrongs.note(&part, Err(error)),
                Ok(done) => wrongs.note(&part, same("ends", ends, &*done.ends().join(" "))),
            }
            let found = left(&place, "whole_keys").await?;
            let found: Vec<_> = found.iter().map(|(row, v)| format!("{row} {v}")).collect();
            wrongs.note(&part, same("rows", after, &*found.join(", ")));
        }
    }
    wrongs.into_result()
}

/// A request has one time, and of two writes at one time the deletion wins.
async fn nothing_is_written_behind_a_statement_that_deletes_there_without_naming_the_row(
    world: Arc<World>,
) -> Result<()> {
    let place = place(&world, "swept").await?;
    let cql = |text: &str, values: Value| json!({"op": "cql", "statement": text, "values": values});
    let partition = |p: &str| cql("DELETE FROM swept WHERE p = ?", json!([p]));
    let range = || cql("DELETE FROM swept WHERE p = ? AND c > ?", json!(["a", 0]));
    let literal = || cql("DELETE FROM swept WHERE p = 'a'", json!([]));
    let text = || cql("INSERT INTO swept (p, c, v) VALUES ('a', 1, 'v')", json!([]));
    let column = || cql("DELETE v FROM swept WHERE p = ? AND c = 1", json!(["a"]));
    let put = |row: &str| of("put", "swept", row);
    let mut wrongs = Wrongs::default();
    let many = (0..20).map(|n| partition(&format!("p{n}"))).collect::<Vec<_>>();
    for (name, forms, left_there) in [
        ("partition, row", vec![partition("a"), put("a1")], None),
        // Beside a condition it is done first.
        ("partition, condition", vec![partition("a"), of("insert", "swept", "a1")], Some("a1")),
        ("condition, partition", vec![of("insert", "swept", "a1"), partition("a")], None),
        (
            "row, partition, condition",
            vec![put("a1"), partition("a"), of("insert", "swept", "a2")],
            None,
        ),
        ("range, partition, row", vec![range(), partition("a"), put("a1")], None),
        ("many partitions, row", [many, vec![partition("a"), put("a1")]].concat(), None),
        ("row, partition", vec![put("a1"), partition("a")], Some("")),
        ("partition, another one's row", vec![partition("b"), put("a1")], Some("a1")),
        (
            "partition, another table's row",
            vec![partition("a"), of("put", "swept_2", "a1")],
            Some(""),
        ),
        ("partition, deletion", vec![partition("a"), of("delete", "swept", "a1")], Some("")),
        // It may be there, which is said.
        ("perhaps: as text, another row", vec![literal(), put("b1")], Some("b1")),
        ("perhaps: partition, as text", vec![partition("b"), text()], Some("a1")),
        ("perhaps: range, row below", vec![range(), put("a0")], Some("a0")),
        ("perhaps: column, row", vec![column(), put("a1")], Some("a1")),
    ] {
        start(&place, "swept", "").await?;
        let tried = async {
            let mut batch = place.store.batch(options(WHOLE, None))?;
            let count = forms.len();
            for form in forms {
                batch.queue(operation(form)?)?;
            }
            let Some(expected) = left_there else {
                let named = if name == "row, partition, condition" { 2 } else { count };
                let words = [&*format!("operation {named}"), "deletes", "of its own"];
                is_refused(&mut *batch, ErrorKind::Unsupported, &words).await?;
                batch.discard();
                return Ok(());
            };
            let report = batch.commit().await?;
            same("success", &true, &report.is_success())?;
            let warned = report.warnings().iter().any(|warning| warning.contains("no key names"));
            same("warned", &name.starts_with("perhaps"), &warned)?;
            let there: Vec<String> = left(&place, "swept").await?.into_keys().collect();
            same("rows", &expected.to_owned(), &there.join(", "))
        };
        wrongs.note(name, tried.await);
    }
    wrongs.into_result()
}

/// Beside a condition the server deletes partitions first: the row would stay.
async fn what_is_inserted_and_deleted_where_rows_are_partitions_is_no_whole(
    world: Arc<World>,
) -> Result<()> {
    let place =
        world.place(&["CREATE TABLE k.lone_partition (p text PRIMARY KEY, v text)"]).await?;
    let form = |op: &str| {
        let mut form = json!({"op": op, "collection": "lone_partition", "key": "a"});
        if op == "insert" {
            form["doc"] = json!({"v": "v"});
        }
        form
    };
    let forms = || [form("insert"), form("delete")];
    let mut batch = place.store.batch(options(WHOLE, None))?;
    for form in forms() {
        batch.queue(operation(form)?)?;
    }
    let error = batch.commit().await.err().ok_or("it is not refused")?;
    says(&error, ErrorKind::Unsupported, &["inserted and deleted"])?;
    same("state", &BatchState::Open, &batch.state())?;
    batch.discard();
    let done = place.best_effort(forms()).await?;
    same("ends", &"applied applied".to_owned(), &done.ends().join(" "))?;
    same("rows", &Vec::<Value>::new(), &place.rows("* FROM k.lone_partition").await?)
}
