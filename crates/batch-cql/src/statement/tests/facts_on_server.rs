//! What is worked out here agrees with what a server says and does, which `UNIBATCH_CQL_URL` names.

use batch_core::ErrorKind;
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    statement::prepared::PreparedStatement,
    value::{Counter, MaybeUnset},
};

use super::super::*;
use crate::{on_server, row::CellRef, schema::type_name::QualifiedType};

const KEYSPACE: &str = "native_statements";

/// A statement, the places of its partition key and of its whole key, and good values.
type Case = (&'static str, Option<&'static [u16]>, Option<&'static [u16]>, Vec<&'static [u8]>);

async fn session() -> Session {
    let session = SessionBuilder::new().known_node(on_server::node()).build().await.unwrap();
    for statement in [
        "DROP KEYSPACE IF EXISTS native_statements",
        "CREATE KEYSPACE native_statements WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE native_statements.t (a int, b text, c int, \"D\" int, v int, w int, l list<int>, m map<text, int>, st int static, PRIMARY KEY ((a, b), c, \"D\"))",
        "CREATE TABLE native_statements.k (id text PRIMARY KEY, v int)",
        "CREATE TABLE native_statements.c (id text, a text, b text, PRIMARY KEY (id, a, b))",
        "CREATE TABLE native_statements.n (id int PRIMARY KEY, n counter)",
    ] {
        session.query_unpaged(statement, &[]).await.unwrap();
    }
    session
}

async fn prepare(session: &Session, source: &str) -> (PreparedStatement, Facts) {
    let text = Text::read(source).unwrap();
    let statement = session.prepare(text.qualified(Some(KEYSPACE), |_| None).as_ref()).await;
    let statement = statement.unwrap_or_else(|error| panic!("{source}: {error}"));
    let table = on_server::table(session, KEYSPACE, &text.table);
    let facts = Facts::of(&statement, &text, Some(&table)).unwrap();
    let markers = statement.get_variable_col_specs();
    assert_eq!(text.markers.len(), markers.len(), "{source}");
    let type_of = |column: &str| {
        let column = table.columns.get(table.place(column)?)?;
        Some(QualifiedType(&column.typ).to_string())
    };
    let typed = text.qualified(Some(KEYSPACE), type_of);
    let typed = session.prepare(typed.as_ref()).await.unwrap_or_else(|e| panic!("{typed}: {e}"));
    let types = |statement: &PreparedStatement| {
        let markers = statement.get_variable_col_specs();
        markers.iter().map(|marker| format!("{:?}", marker.typ())).collect::<Vec<_>>()
    };
    assert_eq!(types(&typed), types(&statement), "{source}");
    let indexes =
        |statement: &PreparedStatement| format!("{:?}", statement.get_variable_pk_indexes());
    assert_eq!(indexes(&typed), indexes(&statement), "{source}");
    assert_eq!(facts.changed(markers.as_slice(), &table), None, "{source}");
    (statement, facts)
}

const ONE: &[u8] = &[0, 0, 0, 1];
const LIST: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1];
const MAP: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 1, b'm', 0, 0, 0, 4, 0, 0, 0, 1];
const KEYS: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 1, b'm'];
const STAMP: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 1];

fn cases() -> Vec<Case> {
    let key: Vec<&[u8]> = vec![ONE, b"b", ONE, ONE];
    let with_key = |before: &[&'static [u8]], after: &[&'static [u8]]| {
        [before, key.as_slice(), after].concat()
    };
    let where_ = Some([1, 2].as_slice());
    let whole = Some([1, 2, 3, 4].as_slice());
    vec![
        ("INSERT INTO k (id, v) VALUES (?, ?)", Some(&[0]), Some(&[0]), vec![b"x", ONE]),
        (
            "INSERT INTO k (v, id) VALUES (:id, :v) USING TTL ? AND TIMESTAMP ?",
            Some(&[1]),
            Some(&[1]),
            vec![ONE, b"x", ONE, STAMP],
        ),
        ("INSERT INTO k (id, v) VALUES ((text)?, (int)?)", Some(&[0]), Some(&[0]), vec![b"x", ONE]),
        (
            "INSERT INTO c (id, b, a) VALUES (?, ?, ?)",
            Some(&[0]),
            Some(&[0, 2, 1]),
            vec![b"x", b"x", b"b"],
        ),
        ("INSERT INTO k JSON ?", None, None, vec![br#"{"id":"x"}"#]),
        (
            "INSERT INTO k (id, v) VALUES (?, ?) IF NOT EXISTS USING TTL ?",
            Some(&[0]),
            Some(&[0]),
            vec![b"x", ONE, ONE],
        ),
        (
            "INSERT INTO t (a, b, c, \"D\", v) VALUES (?, ?, ?, ?, ?)",
            Some(&[0, 1]),
            Some(&[0, 1, 2, 3]),
            with_key(&[], &[ONE]),
        ),
        ("INSERT INTO t (b, a, st) VALUES (?, ?, ?)", Some(&[1, 0]), None, vec![b"b", ONE, ONE]),
        (
            "UPDATE t SET v = ? WHERE (a = ?) AND b = (text)? AND (c, \"D\") = (?, ?)",
            where_,
            whole,
            with_key(&[ONE], &[]),
        ),
        (
            "UPDATE t USING TIMESTAMP ? SET m[?] = ?, l = l + ? WHERE \"D\" = :x AND b = ? AND c = ? AND a = :x",
            Some(&[7, 5]),
            Some(&[7, 5, 6, 4]),
            vec![STAMP, b"m", ONE, LIST, ONE, b"b", ONE, ONE],
        ),
        (
            "UPDATE t SET v = ? WHERE a = ? AND b = ? AND c = ? AND \"D\" = ? IF v = ? AND w IN (?, ?) AND m[?] = ? AND w >= ? AND w IN ?",
            where_,
            whole,
            with_key(&[ONE], &[ONE, ONE, ONE, b"m", ONE, ONE, LIST]),
        ),
        (
            "UPDATE t SET v = ? WHERE a = ? AND b IN (?, ?) AND c = ? AND \"D\" = ?",
            None,
            None,
            vec![ONE, ONE, b"b", b"b", ONE, ONE],
        ),
        (
            "UPDATE t SET v = ? WHERE a = ? AND b = ? AND c = ? AND \"D\" IN ?",
            where_,
            None,
            vec![ONE, ONE, b"b", ONE, LIST],
        ),
        (
            "DELETE v, m[?] FROM t USING TIMESTAMP ? WHERE a = ? AND b = ? AND c = ? AND \"D\" = ?",
            Some(&[2, 3]),
            Some(&[2, 3, 4, 5]),
            with_key(&[b"m", STAMP], &[]),
        ),
        (
            "DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" > ? AND \"D\" <= ?",
            Some(&[0, 1]),
            None,
            vec![ONE, b"b", ONE, ONE, ONE],
        ),
        (
            "DELETE FROM t WHERE a = ? AND b = ? AND (c, \"D\") > (?, ?)",
            Some(&[0, 1]),
            None,
            with_key(&[], &[]),
        ),
        ("DELETE FROM k WHERE id IN ?", None, None, vec![&[0, 0, 0, 1, 0, 0, 0, 1, b'x']]),
        (
            "DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" = ? IF EXISTS",
            Some(&[0, 1]),
            Some(&[0, 1, 2, 3]),
            with_key(&[], &[]),
        ),
        (
            "DELETE l[?] FROM t WHERE a = 2 AND b = 'b' AND c = 1 AND \"D\" = 1",
            None,
            None,
            vec![&[0; 4]],
        ),
        (
            "UPDATE t SET l[?] = ? WHERE a = 2 AND b = 'b' AND c = 1 AND \"D\" = 1",
            None,
            None,
            vec![&[0; 4], ONE],
        ),
        (
            "UPDATE t SET l = ? + l, m = m + ? WHERE a = 2 AND b = 'b' AND c = 1 AND \"D\" = 1",
            None,
            None,
            vec![LIST, MAP],
        ),
        (
            "UPDATE t SET l = l - ?, m = m - ? WHERE a = 2 AND b = 'b' AND c = 1 AND \"D\" = 1",
            None,
            None,
            vec![LIST, KEYS],
        ),
        (
            "UPDATE t SET l += ?, m['x'] = ? WHERE a = 2 AND b = 'b' AND c = 1 AND \"D\" = 1",
            None,
            None,
            vec![LIST, ONE],
        ),
        ("UPDATE n SET n = n + ? WHERE id = ?", Some(&[1]), Some(&[1]), vec![STAMP, ONE]),
        ("UPDATE n SET n -= ? WHERE id = ?", Some(&[1]), Some(&[1]), vec![STAMP, ONE]),
        ("UPDATE n SET n=n-1 WHERE id = ?", Some(&[0]), Some(&[0]), vec![ONE]),
    ]
}

const UNSET: CellRef<'static> = CellRef::Unset;

/// Where the server is of another mind, and why that is not followed.
const EXCEPTIONS: &[(&str, usize, CellRef<'static>, &str)] = &[
    (
        "\"D\" > ? AND \"D\" <= ?",
        4,
        CellRef::Null,
        "taken beside another bound, and WriteFailure alone",
    ),
    ("l[?] FROM", 0, UNSET, "deletes nothing, which an unset key of a map may not"),
    ("b IN (?, ?)", 2, CellRef::Value(LONGEST), "only in sum with the other part is it too long"),
    ("b IN (?, ?)", 3, CellRef::Value(LONGEST), "only in sum with the other part is it too long"),
];

const LONGEST: &[u8] = &[b'x'; 65_535];

/// Values worth trying in place of a marker's own, of the same type.
fn tries(good: &[u8], name: &str) -> Vec<CellRef<'static>> {
    let long: &'static [u8] = &[b'x'; 65_536];
    let mut tries = vec![CellRef::Null, CellRef::Unset];
    match name {
        "[ttl]" => {
            tries.extend([
                CellRef::Value(&[0xff, 0xff, 0xff, 0xff]),
                CellRef::Value(&[0, 0, 0, 0]),
                // One second more than 20 years.
                CellRef::Value(&[0x25, 0x98, 0x06, 0x01]),
            ]);
        }
        "[timestamp]" => tries.extend([
            CellRef::Value(&[0x80, 0, 0, 0, 0, 0, 0, 0]),
            CellRef::Value(&[0x80, 0, 0, 0, 0, 0, 0, 1]),
        ]),
        _ if good == b"x" || good == b"b" => {
            tries.extend([CellRef::Value(b""), CellRef::Value(long), CellRef::Value(LONGEST)]);
        }
        _ => {}
    }
    tries
}

fn written(cells: &[CellRef<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = scylla::serialize::writers::RowWriter::new(&mut out);
    for cell in cells {
        let writer = writer.make_cell_writer();
        match cell {
            CellRef::Null => writer.set_null(),
            CellRef::Unset => writer.set_unset(),
            CellRef::Value(bytes) => writer.set_value(bytes).unwrap(),
        };
    }
    out
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn a_server_agrees_on_keys_and_on_the_values_it_refuses() {
    let session = session().await;
    let mut wrong = Vec::new();
    for (source, partition, key, good) in cases() {
        let (statement, facts) = prepare(&session, source).await;
        assert_eq!(facts.partition.as_deref(), partition, "{source}");
        assert_eq!(facts.key.as_deref(), key, "{source}");
        assert_eq!((&*facts.keyspace, facts.counter), (KEYSPACE, source.contains(" n ")));
        let mut server: Vec<_> = statement.get_variable_pk_indexes().to_vec();
        server.sort_by_key(|index| index.sequence);
        let server: Vec<_> = server.into_iter().map(|index| index.index).collect();
        if let Some(partition) = partition {
            assert_eq!(server, partition, "{source}");
        }
        let good: Vec<_> = good.into_iter().map(CellRef::Value).collect();
        let markers = statement.get_variable_col_specs();
        let all = good.iter().enumerate().flat_map(|(place, cell)| {
            let name = markers.get_by_index(place).map_or("", |spec| spec.name());
            let CellRef::Value(bytes) = cell else { return Vec::new() };
            tries(bytes, name).into_iter().map(|other| (place, other)).collect()
        });
        let all: Vec<_> = all.collect();
        let cells = written(&good);
        facts.check(&statement, &cells).unwrap();
        // Conditions that do not hold keep the server from looking at the rest.
        let before = match source {
            _ if source.contains("l[?]") => Some(
                "UPDATE native_statements.t SET l = [1] WHERE a = 2 AND b = 'b' AND c = 1 AND \"D\" = 1",
            ),
            _ if !source.contains(" IF ") => None,
            _ if source.contains("IF NOT EXISTS") => {
                Some("DELETE FROM native_statements.k WHERE id = 'x' IF EXISTS")
            }
            _ => Some(
                "UPDATE native_statements.t SET v = 1, w = 1, m = {'m': 1} WHERE a = 1 AND b = 'b' AND c = 1 AND \"D\" = 1 IF v != 9",
            ),
        };
        let hold = async || {
            if let Some(before) = before {
                session.query_unpaged(before, &[]).await.unwrap();
            }
        };
        hold().await;
        session.execute_unpaged(&statement, WireRow { cells: &cells }).await.unwrap();
        for (place, other) in all {
            let is_exception = EXCEPTIONS
                .iter()
                .any(|(text, at, cell, _)| source.contains(text) && *at == place && *cell == other);
            hold().await;
            let mut values = good.clone();
            *values.get_mut(place).unwrap() = other;
            let cells = written(&values);
            let own = facts.check(&statement, &cells);
            let theirs = session.execute_unpaged(&statement, WireRow { cells: &cells }).await;
            if is_exception != (own.is_err() != theirs.is_err()) {
                let theirs = theirs.map(|_| ()).map_err(|error| error.to_string());
                let other = format!("{other:?}").chars().take(40).collect::<String>();
                wrong.push(format!("{source}, {place} {other}: {own:?} but {theirs:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn typed_values_are_written_as_the_driver_writes_them() {
    let session = session().await;
    let insert = "INSERT INTO native_statements.t (a, b, c, \"D\", v, l) VALUES (?, ?, ?, ?, ?, ?)";
    let statement = CqlStatement::new(session.prepare(insert).await.unwrap()).unwrap();
    let unset = MaybeUnset::<i32>::Unset;
    let operation = statement.bind(&(1, "x", 2, 3, unset, None::<Vec<i32>>));
    operation.check().unwrap();
    let expected = written(&[
        CellRef::Value(ONE),
        CellRef::Value(b"x"),
        CellRef::Value(&[0, 0, 0, 2]),
        CellRef::Value(&[0, 0, 0, 3]),
        CellRef::Unset,
        CellRef::Null,
    ]);
    assert_eq!(operation.body(), expected);
    let row = WireRow { cells: operation.body() };
    session.execute_unpaged(statement.prepared(), row).await.unwrap();
    let count = "SELECT count(*) FROM native_statements.t WHERE a = 1 AND b = 'x'";
    let count = session.query_unpaged(count, &[]).await.unwrap().into_rows_result().unwrap();
    assert_eq!(count.single_row::<(i64,)>().unwrap(), (1,));

    let named = std::collections::HashMap::from([("id", 5), ("n", 7)]);
    let text = "UPDATE native_statements.n SET n = n + ? WHERE id = ?";
    let counter = CqlStatement::new(session.prepare(text).await.unwrap()).unwrap();
    for (operation, expected) in [
        (counter.bind(&(Counter(7), 5)), None),
        (counter.bind(&named), Some("Failed to type check")),
        (counter.bind(&(7_i64, 5)), Some("Failed to type check")),
        (counter.bind(&(Counter(7),)), Some("wrong column count")),
    ] {
        let error = operation.check().err();
        let message = error.as_ref().map(|error| error.message().to_lowercase());
        match (message, expected) {
            (None, None) => {}
            (Some(message), Some(expected)) => {
                assert!(message.contains(&expected.to_lowercase()), "{message}");
                assert!(message.contains("`update native_statements.n set"), "{message}");
                assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidOperation));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn prepared_statements_that_no_batch_can_hold_are_refused() {
    let session = session().await;
    for source in [
        "SELECT * FROM native_statements.t WHERE a = ? AND b = ?",
        "BEGIN BATCH UPDATE native_statements.k SET v = ? WHERE id = ?; APPLY BATCH",
        "TRUNCATE native_statements.t",
    ] {
        let prepared = session.prepare(source).await.unwrap();
        let refused = CqlStatement::new(prepared).err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::Unsupported), "{source}");
    }
}
