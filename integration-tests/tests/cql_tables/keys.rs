//! Keys of every shape, and names of every sort.

use std::sync::Arc;

use batch_core::{Batch as _, BatchExt as _, BatchOptions, ErrorKind, Store as _};
use integration_tests::Result;
use serde_json::{Map, Value, json};

use crate::support::{
    Place, WHOLE, World, Wrongs, end, merged, operation, refusal, same, says, tests,
};

tests!["keys":
    a_row_is_named_by_all_its_key_columns_in_any_order,
    clustering_columns_may_be_in_descending_order,
    a_part_is_as_the_type_of_its_column,
    a_key_that_names_no_row_is_refused_and_says_what_it_needs,
    the_longest_key_that_the_server_takes_is_taken,
    a_document_may_repeat_its_key_and_not_contradict_it,
    names_may_have_capitals_spaces_and_quotes,
    a_collection_may_be_in_another_keyspace,
    a_table_of_keys_alone_has_rows_that_come_and_go,
    a_table_of_keys_alone_refuses_update_and_replace_when_they_are_queued,
    a_table_of_keys_alone_that_is_newer_than_the_store_refuses_them_before_they_are_sent,
    an_empty_part_is_taken_where_the_server_takes_it,
    a_row_is_one_however_its_key_is_written,
];

const STREETS: &str = "CREATE TABLE k.streets (country text, city text, street text, house int, \
    owner text, PRIMARY KEY ((country, city), street, house)) \
    WITH CLUSTERING ORDER BY (street DESC, house ASC)";

async fn a_row_is_named_by_all_its_key_columns_in_any_order(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&STREETS.replace("streets", "named")]).await?;
    let put = |key: Value, owner: &str| json!({"op": "put", "collection": "named", "key": key, "doc": {"owner": owner}});
    let done = place
        .best_effort([
            put(json!({"country": "FR", "city": "Paris", "street": "A", "house": 1}), "Ann"),
            put(json!({"house": 2, "street": "A", "city": "Paris", "country": "FR"}), "Bob"),
            put(json!({"city": "Paris", "house": 1, "country": "TX", "street": "A"}), "Cy"),
            put(json!({"country": "FR", "city": "Lyon", "street": "A", "house": 1}), "Dee"),
            // The second again, whose parts come in another order.
            put(json!({"street": "A", "house": 2, "country": "FR", "city": "Paris"}), "Eve"),
            json!({"op": "delete", "collection": "named",
                "key": {"house": 1, "street": "A", "city": "Paris", "country": "TX"}}),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 6], &done.ends())?;
    let owner = |country: &str, city: &str, house: u8, owner: &str| json!({"country": country, "city": city, "street": "A", "house": house, "owner": owner});
    let expected = vec![
        owner("FR", "Lyon", 1, "Dee"),
        owner("FR", "Paris", 1, "Ann"),
        owner("FR", "Paris", 2, "Eve"),
    ];
    let mut found = place.rows("* FROM k.named").await?;
    found.sort_by_cached_key(|row| (row["city"].to_string(), row["house"].to_string()));
    same("rows", &expected, &found)?;
    let key = json!({"house": 2, "city": "Paris", "country": "FR", "street": "A"});
    let read = place.get("named", &key).await?;
    same("read", &Some(owner("FR", "Paris", 2, "Eve")), &read)
}

async fn clustering_columns_may_be_in_descending_order(world: Arc<World>) -> Result<()> {
    let place = world.place(&[&STREETS.replace("streets", "descending")]).await?;
    let key = |street: &str, house: i32| json!({"country": "FR", "city": "Paris", "street": street, "house": house});
    let of = |op: &str, street: &str, house: i32| match op {
        "delete" | "delete_existing" => {
            json!({"op": op, "collection": "descending", "key": key(street, house)})
        }
        _ => json!({"op": op, "collection": "descending", "key": key(street, house),
            "doc": {"owner": format!("{op} {street}{house}")}}),
    };
    let done = place
        .best_effort([
            of("insert", "A", 1),
            of("put", "B", -1),
            of("upsert", "B", 2),
            of("insert", "C", 3),
            of("insert", "D", 3),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 5], &done.ends())?;
    let done = place
        .best_effort([
            of("insert", "A", 1),
            of("update", "B", -1),
            of("replace", "B", 2),
            of("delete_existing", "C", 3),
            of("delete", "D", 3),
            of("delete_existing", "E", 3),
        ])
        .await?;
    let ends = ["AlreadyExists", "applied", "applied", "applied", "applied", "NotFound"];
    same("ends", &ends.map(str::to_owned).to_vec(), &done.ends())?;
    let found = place.rows("street, house, owner FROM k.descending").await?;
    let row = |street: &str, house: i32, owner: &str| json!({"street": street, "house": house, "owner": owner});
    let mut expected =
        vec![row("A", 1, "insert A1"), row("B", -1, "update B-1"), row("B", 2, "replace B2")];
    expected.sort_by_cached_key(ToString::to_string);
    same("rows", &expected, &found)
}

/// A key column of each type, a part that it takes, and how the row's key reads.
const PARTS: &[(&str, &str, &str)] = &[
    ("int", "7", "7"),
    ("int", "\"7\"", "7"),
    ("bigint", "9007199254740993", "9007199254740993"),
    ("tinyint", "-128", "-128"),
    ("varint", "18446744073709551615", "18446744073709551615"),
    ("varint", "\"123456789012345678901234567890\"", "123456789012345678901234567890"),
    ("decimal", "\"1.10\"", "1.10"),
    ("boolean", "true", "true"),
    ("text", "\"\\u00e9\"", "\"\u{e9}\""),
    ("ascii", "\"a\"", "\"a\""),
    ("blob", "\"0x00ff\"", "\"0x00ff\""),
    (
        "uuid",
        "\"123E4567-e89b-12d3-a456-426614174000\"",
        "\"123e4567-e89b-12d3-a456-426614174000\"",
    ),
    (
        "timeuuid",
        "\"123e4567-e89b-12d3-a456-426614174000\"",
        "\"123e4567-e89b-12d3-a456-426614174000\"",
    ),
    ("inet", "\"127.0.0.1\"", "\"127.0.0.1\""),
    ("date", "\"2023-11-14\"", "\"2023-11-14\""),
    ("time", "\"22:13:20\"", "\"22:13:20.000000000\""),
    ("timestamp", "0", "\"1970-01-01 00:00:00.000Z\""),
    ("double", "\"1.5\"", "1.5"),
];

async fn a_part_is_as_the_type_of_its_column(world: Arc<World>) -> Result<()> {
    let types: Vec<&str> = PARTS.iter().map(|(typ, ..)| *typ).collect();
    let mut tables: Vec<String> = types
        .iter()
        .map(|typ| {
            format!("CREATE TABLE k.part_{typ} (p {typ}, c {typ}, v text, PRIMARY KEY (p, c))")
        })
        .collect();
    tables.dedup();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let place = world.place(&tables).await?;
    let mut wrongs = Wrongs::default();
    for (typ, part, read) in PARTS {
        let tried = async {
            let (part, read): (Value, Value) =
                (serde_json::from_str(part)?, serde_json::from_str(read)?);
            let table = format!("part_{typ}");
            let key = json!({"p": part, "c": part});
            let insert =
                json!({"op": "insert", "collection": table, "key": key, "doc": {"v": typ}});
            same("insert", &"applied".to_owned(), &place.end(insert).await?)?;
            let expected = json!({"p": read, "c": read, "v": typ});
            same("row", &vec![expected.clone()], &place.rows(&format!("* FROM k.{table}")).await?)?;
            // What `get` reads is what it was given; the server writes some of it otherwise.
            let found = place.get(&table, &key).await?.ok_or("it is not read")?;
            same("v", &json!(typ), &found["v"])?;
            let delete = json!({"op": "delete_existing", "collection": table, "key": key});
            same("delete", &"applied".to_owned(), &place.end(delete).await?)
        };
        wrongs.note(format!("{typ} {part}"), tried.await);
    }
    wrongs.into_result()
}

async fn a_key_that_names_no_row_is_refused_and_says_what_it_needs(
    world: Arc<World>,
) -> Result<()> {
    let place = world
        .place(&[
            &STREETS.replace("streets", "needy"),
            "CREATE TABLE k.lone (id int PRIMARY KEY, v text)",
        ])
        .await?;
    let full = json!({"country": "FR", "city": "Paris", "street": "A", "house": 1});
    let with = |name: &str, value: Value| {
        let mut key = full.clone();
        key[name] = value;
        key
    };
    let without = |name: &str| {
        let mut key = full.clone();
        if let Value::Object(parts) = &mut key {
            parts.remove(name);
        }
        key
    };
    let long = "x".repeat(65_536);
    let rows: &[(&str, Value, &[&str])] = &[
        ("needy", without("house"), &["needy", "house"]),
        ("needy", without("city"), &["needy", "city"]),
        ("needy", without("street"), &["needy", "street"]),
        ("needy", json!("Paris"), &["needy", "country", "city", "street", "house"]),
        ("needy", with("zip", json!("75000")), &["needy", "zip"]),
        ("needy", with("owner", json!("Ann")), &["needy", "owner"]),
        ("needy", with("House", json!(1)), &["needy", "House"]),
        ("needy", with("house", json!("one")), &["needy", "house", "int", "one"]),
        ("needy", with("house", json!(true)), &["needy", "house", "int", "true"]),
        (
            "needy",
            with("house", json!(2_147_483_648_u32)),
            &["needy", "house", "int", "2147483648"],
        ),
        ("needy", with("city", json!(75)), &["needy", "city", "text", "75"]),
        ("needy", with("city", json!(long)), &["needy", "65535"]),
        ("needy", with("street", json!(long)), &["needy", "clustering", "65540", "65535"]),
        ("lone", json!({"ID": 1}), &["lone", "ID"]),
        ("lone", json!("one"), &["lone", "id", "int", "one"]),
        ("lone", json!({"id": "1.0"}), &["lone", "id", "int", "1.0"]),
    ];
    let mut wrongs = Wrongs::default();
    for (table, key, words) in rows {
        for (op, doc) in [
            ("put", true),
            ("insert", true),
            ("update", true),
            ("delete", false),
            ("delete_existing", false),
        ] {
            let mut form = json!({"op": op, "collection": table, "key": key});
            if doc {
                form["doc"] = json!({});
            }
            let tried = async {
                let done = place.best_effort([form]).await?;
                let error = refusal(&done.jobs[0])?;
                same("attempts", &0, &done.report.attempts())?;
                says(&error, ErrorKind::InvalidKey, words)
            };
            let name = key.to_string();
            wrongs.note(format!("{op} on {table} {name:.80}"), tried.await);
        }
        let read = place.get(table, key).await;
        let name = key.to_string();
        wrongs.note(
            format!("get from {table} {name:.80}"),
            match read {
                Ok(read) => Err(format!("it reads {read:?}").into()),
                Err(error) => match error.downcast_ref::<batch_core::Error>() {
                    Some(error) => says(error, ErrorKind::InvalidKey, words),
                    None => Err(error),
                },
            },
        );
    }
    // A bare key stands for the single key column, of whatever type it is.
    let put = json!({"op": "put", "collection": "lone", "key": "7", "doc": {"v": "seven"}});
    wrongs.note("bare", same("put", &"applied".to_owned(), &place.end(put).await?));
    let expected = vec![json!({"id": 7, "v": "seven"})];
    wrongs.note("bare", same("rows", &expected, &place.rows("* FROM k.lone").await?));
    wrongs.note("others", same("rows", &vec![], &place.rows("* FROM k.needy").await?));
    wrongs.into_result()
}

async fn the_longest_key_that_the_server_takes_is_taken(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TABLE k.long_lone (a text, v text, PRIMARY KEY (a))",
            "CREATE TABLE k.long_parts (a text, b text, v text, PRIMARY KEY ((a, b)))",
            "CREATE TABLE k.long_rows (a text, b text, c int, v text, PRIMARY KEY (a, b, c))",
        ])
        .await?;
    let mut wrongs = Wrongs::default();
    for (table, long, others, most) in [
        ("long_lone", "a", json!({}), 65_535),
        ("long_parts", "b", json!({"a": "x"}), 65_535 - 3 - 1 - 3),
        ("long_rows", "b", json!({"a": "x", "c": 1}), 65_535 - 4),
    ] {
        for (length, fits) in [(most, true), (most + 1, false)] {
            let key = merged(&others, &json!({long: "k".repeat(length)}));
            let tried = async {
                let columns: Vec<&String> =
                    key.as_object().into_iter().flat_map(Map::keys).collect();
                let values: Vec<String> = key
                    .as_object()
                    .into_iter()
                    .flat_map(Map::values)
                    .map(|part| part.to_string().replace('"', "'"))
                    .collect();
                let columns =
                    columns.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                let text = format!(
                    "INSERT INTO k.{table} ({columns}, v) VALUES ({}, 'theirs')",
                    values.join(", ")
                );
                same("the server takes it", &fits, &place.run(&text).await.is_ok())?;
                let put =
                    json!({"op": "put", "collection": table, "key": key, "doc": {"v": "ours"}});
                let expected = if fits { "applied" } else { "InvalidKey" };
                same("end", &expected.to_owned(), &place.end(put).await?)
            };
            wrongs.note(format!("{table} with {length}"), tried.await);
        }
        let rows = place.rows(&format!("v FROM k.{table}")).await?;
        wrongs.note(table, same("rows", &vec![json!({"v": "ours"})], &rows));
    }
    wrongs.into_result()
}

async fn a_document_may_repeat_its_key_and_not_contradict_it(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&["CREATE TABLE k.repeats (p int, c text, v text, PRIMARY KEY (p, c))"])
        .await?;
    let mut wrongs = Wrongs::default();
    for op in ["put", "insert", "upsert", "replace", "update"] {
        place.run("TRUNCATE k.repeats").await?;
        if op == "replace" || op == "update" {
            place.run("INSERT INTO k.repeats (p, c, v) VALUES (1, 'a', 'old')").await?;
        }
        let of = |doc: Value| json!({"op": op, "collection": "repeats", "key": {"p": 1, "c": "a"}, "doc": doc});
        let tried = async {
            let agrees = place.end(of(json!({"p": 1, "c": "a", "v": "new"}))).await?;
            same("repeated", &"applied".to_owned(), &agrees)?;
            let row = vec![json!({"p": 1, "c": "a", "v": "new"})];
            same("row", &row, &place.rows("* FROM k.repeats").await?)?;
            for (doc, words) in [
                (json!({"p": 2, "v": "worse"}), ["repeats", "p"]),
                (json!({"c": "b", "v": "worse"}), ["repeats", "c"]),
                (json!({"c": null, "v": "worse"}), ["repeats", "c"]),
            ] {
                let done = place.best_effort([of(doc)]).await?;
                says(&refusal(&done.jobs[0])?, ErrorKind::InvalidOperation, &words)?;
            }
            same("row", &row, &place.rows("* FROM k.repeats").await?)
        };
        wrongs.note(op, tried.await);
    }
    wrongs.into_result()
}

async fn names_may_have_capitals_spaces_and_quotes(world: Arc<World>) -> Result<()> {
    let keyspace = format!("Odd_{}", std::process::id());
    let tables = ["MyTable", "select", "table"];
    let columns = "(\"The Key\" text, \"c\"\"c\" int, \"CamelCase\" text, camelcase text, \
        \"with space\" int, \"qu\"\"ote\" text, \"select\" int, \"a.b\" text, \"\u{e9}\" text, \
        \"?\" text, PRIMARY KEY (\"The Key\", \"c\"\"c\"))";
    let made = tables.map(|table| format!("CREATE TABLE k.\"{table}\" {columns}"));
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    let quoted = format!("\"{keyspace}\"");
    let own = world.place_in(quoted.clone(), &keyspace, &made).await?;
    let others = world.place_in(quoted, "system", &[]).await?;
    let mut wrongs = Wrongs::default();
    for (place, prefix) in [(&own, String::new()), (&others, format!("{keyspace}."))] {
        for table in tables {
            let collection = format!("{prefix}{table}");
            let done = live(place, table, &collection).await;
            wrongs.note(collection, done);
        }
    }
    wrongs.into_result()
}

/// One row's life in a table of odd columns.
async fn live(place: &Place, table: &str, collection: &str) -> Result<()> {
    let key = json!({"The Key": "k", "c\"c": 1});
    let whole = json!({"CamelCase": "C", "camelcase": "c", "with space": 1, "qu\"ote": "q",
        "select": 2, "a.b": "ab", "\u{e9}": "e", "?": "?"});
    let row = |changed: Value| merged(&merged(&whole, &key), &changed);
    for (op, doc, expected) in [
        ("put", Some(whole.clone()), Some(row(json!({})))),
        ("delete", None, None),
        ("insert", Some(whole.clone()), Some(row(json!({})))),
        ("update", Some(json!({"camelcase": "new"})), Some(row(json!({"camelcase": "new"})))),
        ("replace", Some(whole.clone()), Some(row(json!({})))),
        ("upsert", Some(json!({"CamelCase": "new"})), Some(row(json!({"CamelCase": "new"})))),
        ("delete_existing", None, None),
    ] {
        let mut form = json!({"op": op, "collection": collection, "key": key});
        if let Some(doc) = doc {
            form["doc"] = doc;
        }
        same(op, &"applied".to_owned(), &place.end(form).await?)?;
        let found = place.rows(&format!("* FROM k.\"{table}\"")).await?;
        same(op, &Vec::from_iter(expected.clone()), &found)?;
        same("read", &expected, &place.get(collection, &key).await?)?;
    }
    Ok(())
}

async fn a_collection_may_be_in_another_keyspace(world: Arc<World>) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.twice (id text PRIMARY KEY, v text)"]).await?;
    let other = format!("other_{}", std::process::id());
    world.keyspace(&place.session, &other).await?;
    place.run(&format!("CREATE TABLE {other}.twice (id text PRIMARY KEY, v text)")).await?;
    place.run(&format!("CREATE TABLE {other}.once (id text PRIMARY KEY, v text)")).await?;
    let own = format!("{}.twice", place.keyspace);
    let (theirs, once) = (format!("{other}.twice"), format!("{other}.once"));
    let put = |collection: &str, v: &str| json!({"op": "put", "collection": collection, "key": "a", "doc": {"v": v}});
    // The same table by both its names is one key's table: the later write wins.
    let done = place
        .best_effort([
            put("twice", "first"),
            put(&theirs, "theirs"),
            put(&own, "own"),
            put(&once, "once"),
        ])
        .await?;
    same("ends", &vec!["applied".to_owned(); 4], &done.ends())?;
    same("own", &vec![json!({"id": "a", "v": "own"})], &place.rows("* FROM k.twice").await?)?;
    let found = place.rows(&format!("* FROM {theirs}")).await?;
    same("theirs", &vec![json!({"id": "a", "v": "theirs"})], &found)?;
    let done = place
        .best_effort([put("once", "lost"), put("nosuch.twice", "lost"), put("twice", "there")])
        .await?;
    says(&refusal(&done.jobs[0])?, ErrorKind::NotFound, &["once", &place.keyspace])?;
    says(&refusal(&done.jobs[1])?, ErrorKind::NotFound, &["nosuch.twice"])?;
    same("neighbour", &"applied".to_owned(), &done.ends()[2])
}

async fn a_table_of_keys_alone_has_rows_that_come_and_go(world: Arc<World>) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.tags (p text, c int, PRIMARY KEY (p, c))"]).await?;
    let of = |op: &str, c: i32| {
        let mut form = json!({"op": op, "collection": "tags", "key": {"p": "p", "c": c}});
        if !op.starts_with("delete") {
            form["doc"] = json!({});
        }
        form
    };
    let row = |c: i32| json!({"p": "p", "c": c});
    let mut wrongs = Wrongs::default();
    for (number, (op, end, left)) in [
        ("insert", "applied", vec![row(1)]),
        ("insert", "AlreadyExists", vec![row(1)]),
        ("delete_existing", "applied", vec![]),
        ("delete_existing", "NotFound", vec![]),
        ("put", "applied", vec![row(1)]),
        ("delete", "applied", vec![]),
        ("upsert", "applied", vec![row(1)]),
        ("put", "applied", vec![row(1)]),
        ("delete", "applied", vec![]),
        ("delete", "applied", vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let part = format!("{number} {op}");
        wrongs.note(&part, same("end", &end.to_owned(), &place.end(of(op, 1)).await?));
        wrongs.note(&part, same("rows", &left, &place.rows("* FROM k.tags").await?));
        let read = place.get("tags", &json!({"p": "p", "c": 1})).await?;
        wrongs.note(&part, same("read", &left.first().cloned(), &read));
    }
    wrongs.into_result()
}

async fn a_table_of_keys_alone_refuses_update_and_replace_when_they_are_queued(
    world: Arc<World>,
) -> Result<()> {
    let place = world.place(&["CREATE TABLE k.bare (p text, c int, PRIMARY KEY (p, c))"]).await?;
    for op in ["update", "replace"] {
        let form = json!({"op": op, "collection": "bare", "key": {"p": "p", "c": 1}, "doc": {}});
        let mut batch = place.store.batch(BatchOptions::new())?;
        let Err(rejected) = batch.queue(operation(form)?) else {
            return Err(format!("{op} is queued").into());
        };
        says(&rejected.error, ErrorKind::Unsupported, &["bare", op])?;
        // The batch stays usable.
        let put = json!({"op": "put", "collection": "bare", "key": {"p": op, "c": 1}, "doc": {}});
        let job = batch.queue(operation(put)?)?;
        let report = batch.commit().await?;
        same("put", &(1, "applied".to_owned()), &(report.applied(), end(&job)))?;
    }
    Ok(())
}

async fn a_table_of_keys_alone_that_is_newer_than_the_store_refuses_them_before_they_are_sent(
    world: Arc<World>,
) -> Result<()> {
    let place = world.place(&[]).await?;
    for (number, op) in ["update", "replace"].into_iter().enumerate() {
        // By another session: the store hears of it only when it has to plan.
        let table = format!("later{number}");
        place.run(&format!("CREATE TABLE k.{table} (p text, c int, PRIMARY KEY (p, c))")).await?;
        let of = |op: &str, c: i32| json!({"op": op, "collection": table, "key": {"p": op, "c": c}, "doc": {}});
        let mut batch = place.store.batch(BatchOptions::new())?;
        let refused = match batch.queue(operation(of(op, 1))?) {
            Ok(job) => Ok(job),
            // The driver has heard of it already.
            Err(rejected) => Err(rejected.error),
        };
        let put = batch.queue(operation(of("put", 2))?)?;
        let plan = batch.plan().await?;
        same("planned", &1, &plan.operations())?;
        let report = batch.commit().await?;
        same("put", &(1, "applied".to_owned()), &(report.applied(), end(&put)))?;
        let error = match refused {
            Ok(job) => refusal(&job)?,
            Err(error) => error,
        };
        says(&error, ErrorKind::Unsupported, &[&table, op])?;
        let found = place.rows(&format!("* FROM k.{table}")).await?;
        same("rows", &vec![json!({"p": "put", "c": 2})], &found)?;
    }
    Ok(())
}

async fn an_empty_part_is_taken_where_the_server_takes_it(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TABLE k.empty_lone (id text PRIMARY KEY, v text)",
            "CREATE TABLE k.empty_parts (a text, b text, c text, v text, PRIMARY KEY ((a, b), c))",
        ])
        .await?;
    let put = |table: &str, key: Value| json!({"op": "put", "collection": table, "key": key, "doc": {"v": "v"}});
    let done = place
        .best_effort([
            put("empty_lone", json!({"id": ""})),
            put("empty_parts", json!({"a": "", "b": "", "c": ""})),
            put("empty_lone", json!({"id": "a"})),
        ])
        .await?;
    says(&refusal(&done.jobs[0])?, ErrorKind::InvalidKey, &["empty_lone", "id", "empty"])?;
    same("others", &["applied", "applied"].map(str::to_owned)[..], &done.ends()[1..])?;
    let read = place.get("empty_parts", &json!({"a": "", "b": "", "c": ""})).await?;
    same("read", &Some(json!({"a": "", "b": "", "c": "", "v": "v"})), &read)
}

/// Clustering columns are compared as what they are, partitions by their bytes.
async fn a_row_is_one_however_its_key_is_written(world: Arc<World>) -> Result<()> {
    let place = world
        .place(&[
            "CREATE TABLE k.prices (p text, c decimal, v text, PRIMARY KEY (p, c))",
            "CREATE TABLE k.pairs (p text, c frozen<tuple<int, decimal>>, v text, \
             PRIMARY KEY (p, c))",
            "CREATE TABLE k.parts (c decimal, v text, PRIMARY KEY (c))",
        ])
        .await?;
    let mut wrongs = Wrongs::default();
    for (table, around) in [("prices", ["", ""]), ("pairs", ["[7, \"", "\"]"])] {
        let of = |op: &str, p: &str, c: &str, v: &str| {
            let key = json!({"p": p, "c": around.join(c)});
            match op {
                "delete" => json!({"op": op, "collection": table, "key": key}),
                _ => json!({"op": op, "collection": table, "key": key, "doc": {"v": v}}),
            }
        };
        // Which of two writes at one time stays is decided by their bytes.
        let done = place
            .best_effort([
                of("put", "plain", "1.0", "z"),
                of("put", "plain", "1.00", "a"),
                of("put", "gone", "-20", "z"),
                of("delete", "gone", "-2E+1", ""),
                of("put", "again", "3", "z"),
                of("delete", "again", "3.000", ""),
                of("upsert", "again", "30E-1", "b"),
                of("insert", "taken", "0", "first"),
                of("insert", "taken", "0.00", "second"),
                of("update", "taken", "0E+5", "third"),
                of("put", "others", "1", "one"),
                of("put", "others", "10", "ten"),
                of("put", "others", "-1", "less"),
            ])
            .await?;
        let mut ends = vec!["applied"; 13];
        ends[8] = "AlreadyExists";
        wrongs.note(table, same("ends", &ends.join(" "), &done.ends().join(" ")));
        let rows = place.rows(&format!("p, v FROM k.{table}")).await?;
        let expected = [
            json!({"p": "again", "v": "b"}),
            json!({"p": "others", "v": "less"}),
            json!({"p": "others", "v": "one"}),
            json!({"p": "others", "v": "ten"}),
            json!({"p": "plain", "v": "a"}),
            json!({"p": "taken", "v": "third"}),
        ];
        wrongs.note(table, same("rows", &expected[..], &rows));
        // The server shows a row that stands in the way as it was written.
        let whole = BatchOptions::new().guarantee(WHOLE);
        let operations = [of("insert", "taken", "9", ""), of("insert", "taken", "0.0", "")];
        let done = place.commit(whole, operations).await?;
        wrongs.note(table, same("whole", "RolledBack AlreadyExists", &done.ends().join(" ")));
    }
    let part = |c: &str, v: &str| json!({"op": "put", "collection": "parts", "key": {"c": c}, "doc": {"v": v}});
    let done = place.best_effort([part("1.0", "one"), part("1.00", "two")]).await?;
    wrongs.note("parts", same("ends", "applied applied", &done.ends().join(" ")));
    let rows = place.rows("v FROM k.parts").await?;
    wrongs.note("parts", same("rows", &[json!({"v": "one"}), json!({"v": "two"})][..], &rows));
    wrongs.into_result()
}
