use std::sync::Arc;

use scylla::{
    cluster::metadata::{ColumnKind, NativeType, UserDefinedType},
    frame::response::result::TableSpec,
};

use super::*;
use crate::schema::table::Column;
use batch_core::ErrorKind;

fn native(native: NativeType) -> ColumnType<'static> {
    ColumnType::Native(native)
}

fn int() -> ColumnType<'static> {
    native(NativeType::Int)
}

fn list(frozen: bool) -> ColumnType<'static> {
    ColumnType::Collection { frozen, typ: CollectionType::List(Box::new(int())) }
}

fn set() -> ColumnType<'static> {
    ColumnType::Collection { frozen: false, typ: CollectionType::Set(Box::new(int())) }
}

fn map(value: ColumnType<'static>) -> ColumnType<'static> {
    let typ = CollectionType::Map(Box::new(native(NativeType::Text)), Box::new(value));
    ColumnType::Collection { frozen: false, typ }
}

fn address(field: &'static str) -> ColumnType<'static> {
    ColumnType::UserDefinedType {
        frozen: false,
        definition: Arc::new(UserDefinedType {
            name: "address".into(),
            keyspace: "school".into(),
            field_types: vec![(field.into(), int())],
        }),
    }
}

fn table(columns: Vec<(&str, ColumnType<'static>)>) -> Table {
    let column = |(name, typ): (&str, ColumnType<'static>)| {
        let kind = match name {
            "a" | "b" => ColumnKind::PartitionKey,
            "c" | "D" => ColumnKind::Clustering,
            _ => ColumnKind::Regular,
        };
        Column { name: name.into(), typ, kind }
    };
    Table::new("school", "t", columns.into_iter().map(column).collect(), 2, 4)
}

/// `PRIMARY KEY ((a, b), c, "D")`
fn rows() -> Table {
    table(vec![
        ("a", int()),
        ("b", native(NativeType::Text)),
        ("c", int()),
        ("D", int()),
        ("fl", list(true)),
        ("l", list(false)),
        ("m", map(int())),
        ("s", set()),
        ("u", address("city")),
        ("v", int()),
    ])
}

fn counters() -> Table {
    let key = [("a", int()), ("b", int()), ("c", int()), ("D", int())];
    table(key.into_iter().chain([("n", native(NativeType::Counter))]).collect())
}

/// The markers as the server would describe them, all of them columns of a table.
fn specs(text: &Text<'_>, table: &Table) -> Vec<ColumnSpec<'static>> {
    let on = || TableSpec::borrowed("school", "t");
    let spec = |marker: &crate::statement::text::Marker<'_>| {
        let column = match &marker.role {
            Role::Value(column) | Role::Equal(column) => Some(column),
            _ => None,
        };
        let typ = column.and_then(|name| table.columns.get(table.place(name)?));
        let typ = typ.map_or(int(), |column| column.typ.clone());
        let name = marker.name.as_ref().or(column).map_or("other", |name| name);
        ColumnSpec::owned(name.to_owned(), typ, on())
    };
    text.markers.iter().map(spec).collect()
}

fn facts_of(source: &str, table: &Table) -> Facts {
    let text = Text::read(source).unwrap();
    Facts::join(&specs(&text, table), &[], &text, Some(table)).unwrap()
}

fn places(places: &[u16]) -> Option<Box<[u16]>> {
    Some(places.into())
}

fn cells(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        let length = value.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    }
    out
}

#[test]
fn the_key_is_found_where_each_column_of_it_is_one_marker() {
    let all = (places(&[0, 1]), places(&[0, 1, 2, 3]));
    let partition = (places(&[0, 1]), None);
    for (source, expected) in [
        ("INSERT INTO t (a, b, c, \"D\", v) VALUES (?, ?, ?, ?, ?)", all.clone()),
        (
            "INSERT INTO t (v, \"D\", b, c, a) VALUES (?, ?, ?, ?, ?)",
            (places(&[4, 2]), places(&[4, 2, 3, 1])),
        ),
        (
            "UPDATE t USING TTL ? SET v = ?, s = s + ? WHERE a = ? AND b = ? AND c = ? AND \"D\" = ?",
            (places(&[3, 4]), places(&[3, 4, 5, 6])),
        ),
        ("DELETE FROM t WHERE a = ? AND b = (text)? AND (c, \"D\") = (?, ?)", all.clone()),
        ("DELETE FROM t WHERE a = :d AND b = :c AND c = :b AND \"D\" = :a IF EXISTS", all),
        ("DELETE FROM t WHERE a = ? AND b = ?", partition.clone()),
        ("DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" > ?", partition.clone()),
        ("DELETE FROM t WHERE a = ? AND b = ? AND (c, \"D\") >= (?, ?)", partition.clone()),
        ("DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" IN (?)", partition.clone()),
        ("DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" IN ?", partition.clone()),
        ("DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" = 5", partition.clone()),
        ("DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" = f(?)", partition.clone()),
        // `d` is no column of the table.
        ("DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND d = ?", partition.clone()),
        (
            "DELETE FROM t WHERE a = ? AND b = ? AND c = ? AND \"D\" = ? AND c = ?",
            partition.clone(),
        ),
        ("INSERT INTO t (a, b, st) VALUES (?, ?, ?)", partition),
        ("UPDATE t SET v = ? WHERE a IN (?, ?) AND b = ? AND c = ? AND \"D\" = ?", (None, None)),
        ("UPDATE t SET v = ? WHERE a IN (?) AND b = ? AND c = ? AND \"D\" = ?", (None, None)),
        ("UPDATE t SET v = ? WHERE a = 5 AND b = ? AND c = ? AND \"D\" = ?", (None, None)),
        ("INSERT INTO t JSON ?", (None, None)),
    ] {
        let facts = facts_of(source, &rows());
        assert_eq!((facts.partition, facts.key), expected, "{source}");
    }
}

#[test]
fn without_the_table_the_server_says_what_the_partition_key_is_and_the_text_may_veto() {
    let index = |index, sequence| PartitionKeyIndex { index, sequence };
    for (source, server, expected) in [
        ("UPDATE t SET v = ? WHERE b = ? AND a = ?", vec![index(1, 1), index(2, 0)], Some([2, 1])),
        ("UPDATE t SET v = ? WHERE a = ? AND b IN (?, ?)", vec![index(1, 0), index(3, 1)], None),
        ("UPDATE t SET v = ? WHERE a = ? AND b = 5", vec![], None),
    ] {
        let text = Text::read(source).unwrap();
        let facts = Facts::join(&specs(&text, &rows()), &server, &text, None).unwrap();
        assert_eq!(facts.partition.as_deref(), expected.as_ref().map(<[u16; 2]>::as_slice));
        assert_eq!(facts.key, None, "{source}");
    }
}

#[test]
fn markers_of_one_name_may_be_one_marker_of_the_server() {
    let text = "UPDATE t SET v = :x WHERE a = :x AND b = ? AND c = :y AND \"D\" = :x";
    let text = Text::read(text).unwrap();
    let spec =
        |name: &str| ColumnSpec::owned(name.to_owned(), int(), TableSpec::borrowed("school", "t"));
    let facts = |names: &[&str]| {
        let specs: Vec<_> = names.iter().map(|name| spec(name)).collect();
        Facts::join(&specs, &[], &text, Some(&rows())).unwrap().key
    };
    assert_eq!(facts(&["x", "x", "b", "y", "x"]), places(&[1, 2, 3, 4]));
    assert_eq!(facts(&["x", "b", "y"]), places(&[0, 1, 2, 0]));
    assert_eq!(facts(&["x", "b"]), None);
}

#[test]
fn the_table_has_its_name_from_whoever_knows_it() {
    let of = |source: &str, table: Option<&Table>| {
        let text = Text::read(source).unwrap();
        Facts::join(&specs(&text, &rows()), &[], &text, table)
            .map(|facts| (String::from(facts.keyspace), String::from(facts.table)))
    };
    let named = |keyspace: &str, table: &str| (keyspace.to_owned(), table.to_owned());
    assert_eq!(of("DELETE FROM t WHERE a = ?", None).unwrap(), named("school", "t"));
    assert_eq!(of("DELETE FROM t WHERE a = 1", Some(&rows())).unwrap(), named("school", "t"));
    assert_eq!(of("DELETE FROM \"Ks\".t WHERE a = 1", None).unwrap(), named("Ks", "t"));
    let error = of("DELETE FROM t WHERE a = 1", None).unwrap_err();
    assert!(error.message().contains("`DELETE FROM t WHERE a = 1`"), "{error}");
    assert!(error.message().contains("`keyspace.t`"), "{error}");
}

#[test]
fn whole_lists_are_seen_whatever_else_a_statement_does() {
    let key = "WHERE a = ? AND b = ? AND c = ? AND \"D\" = ?";
    for (source, expected) in [
        (
            "INSERT INTO t (a, b, c, \"D\", v, s, m, fl, u) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                .to_owned(),
            false,
        ),
        ("INSERT INTO t (a, b, c, \"D\", l) VALUES (?, ?, ?, ?, ?)".to_owned(), true),
        ("INSERT INTO t (a, b, c, \"D\", l) VALUES (?, ?, ?, ?, null)".to_owned(), false),
        (
            "INSERT INTO t (a, b, c, \"D\", l, v) VALUES (?, ?, ?, ?, ?, toText(now()))".to_owned(),
            true,
        ),
        (
            "INSERT INTO t (a, b, c, \"D\", l) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?".to_owned(),
            true,
        ),
        ("INSERT INTO t JSON ?".to_owned(), true),
        (
            format!(
                "UPDATE t SET v = ?, s = s + ?, s = s - {{1}}, m = m + ?, m['a'] = ?, u.city = ? {key}"
            ),
            false,
        ),
        (format!("UPDATE t SET l = ? {key}"), true),
        (format!("UPDATE t SET l = l + ? {key}"), false),
        (format!("UPDATE t SET l[0] = ? {key}"), false),
        (format!("DELETE v, l, m['a'] FROM t {key}"), false),
    ] {
        assert_eq!(facts_of(&source, &rows()).writes_lists, expected, "{source}");
    }
}

#[test]
fn what_is_not_known_of_a_table_may_be_a_list() {
    let writes_lists = |source| {
        let text = Text::read(source).unwrap();
        Facts::join(&specs(&text, &rows()), &[], &text, None).unwrap().writes_lists
    };
    assert!(writes_lists("UPDATE k.t SET v = ? WHERE a = ?"));
    assert!(writes_lists("INSERT INTO k.t JSON ?"));
    assert!(!writes_lists("DELETE v FROM k.t WHERE a = ?"));
    assert!(!writes_lists("UPDATE k.t SET v = v + ? WHERE a = ?"));
}

#[test]
fn counters_are_known_by_the_table_or_by_what_is_done_with_them() {
    let source = "UPDATE t SET n = n + ? WHERE a = ? AND b = ? AND c = ? AND \"D\" = ?";
    let facts = facts_of(source, &counters());
    assert!(facts.counter);
    assert!(facts_of("DELETE n FROM t WHERE a = ?", &counters()).counter);
    assert!(!facts_of("UPDATE t SET s = s + ? WHERE a = ?", &rows()).counter);
    let alone = |source| {
        let text = Text::read(source).unwrap();
        Facts::join(&[], &[], &text, None).unwrap().counter
    };
    assert!(alone("UPDATE k.t SET n = n + 1 WHERE a = 1"));
    assert!(!alone("UPDATE k.t SET n = n + [1] WHERE a = 1"));
}

/// What `check` says of each value in place of a marker's own, or `-`.
fn mistakes(facts: &Facts, good: &[&[u8]], value: Option<&[u8]>) -> Vec<&'static str> {
    let refusal = |place: usize| {
        let mut values: Vec<_> = good.iter().map(|value| Some(*value)).collect();
        if let Some(own) = values.get_mut(place) {
            *own = value;
        }
        match facts.checks.check(&cells(&values)) {
            Ok(()) => "-",
            Err(mistake) => {
                let own = mistake.marker.is_none_or(|marker| usize::from(marker) == place);
                assert!(own || good.len() < 2, "{mistake:?}");
                mistake.what
            }
        }
    };
    (0..good.len()).map(refusal).collect()
}

#[test]
fn values_that_the_server_would_refuse_are_refused_by_their_marker() {
    let source = "UPDATE t USING TTL ? AND TIMESTAMP ? SET v = ? WHERE a = ? AND b = ? AND c = ? AND \"D\" > ? IF v = ?";
    let facts = facts_of(source, &rows());
    let good: [&[u8]; 8] = [&[0, 0, 0, 1], &[0; 8], b"v", b"a", b"b", b"c", b"d", b"v"];
    assert_eq!(mistakes(&facts, &good, Some(&[0, 0, 0, 9])), ["-"; 8]);
    let key = "a part of the key is null; give a value";
    let given = "null is compared with a part of the key; give a value";
    let stamp = "a timestamp cannot be null; leave it unset or give microseconds";
    assert_eq!(mistakes(&facts, &good, None), ["-", stamp, "-", key, key, given, given, "-"]);
    let refused = |place: usize, value: &[u8]| {
        let mut values: Vec<_> = good.iter().map(|value| Some(*value)).collect();
        *values.get_mut(place).unwrap() = Some(value);
        facts
            .checks
            .check(&cells(&values))
            .err()
            .map(|mistake| (mistake.kind, mistake.marker, mistake.what))
    };
    let ttl = "a time to live is 0 to 630,720,000 seconds (20 years)";
    let ttl = Some((ErrorKind::InvalidOperation, Some(0), ttl));
    assert_eq!(refused(0, &630_720_000_i32.to_be_bytes()), None);
    assert_eq!(refused(0, &630_720_001_i32.to_be_bytes()), ttl);
    assert_eq!(refused(0, &(-1_i32).to_be_bytes()), ttl);
    let bounds = Some((
        ErrorKind::InvalidOperation,
        Some(1),
        "the timestamp is below what the server takes; give a later one",
    ));
    assert_eq!(refused(1, &i64::MIN.to_be_bytes()), bounds);
    assert_eq!(refused(1, &i64::MAX.to_be_bytes()), None);
    let long = "a part of the key has more than 65,535 bytes; shorten it";
    let long = Some((ErrorKind::InvalidKey, Some(3), long));
    assert_eq!(refused(3, &[0; 65_536]), long);
    // A composite key counts three bytes more for each part: 65,535 - 6 - 1 are left.
    assert_eq!(refused(3, &[0; 65_528]), None);
    let sum = "the parts of the partition key have more than 65,535 bytes in sum; shorten them";
    assert_eq!(refused(3, &[0; 65_529]), Some((ErrorKind::InvalidKey, Some(3), sum)));
    assert_eq!(refused(3, b""), None);
}

#[test]
fn a_value_that_is_not_given_is_refused_where_something_is_compared_with_it() {
    let source =
        "UPDATE t USING TTL ? AND TIMESTAMP ? SET v = ? WHERE a = ? AND b = ? AND c > ? IF v = ?";
    let facts = facts_of(source, &rows());
    let refused: Vec<bool> = (0..7)
        .map(|place| {
            let mut values = cells(&[Some(b"x".as_slice()); 7]);
            let start = place * 5;
            values.splice(start..start + 5, (-2_i32).to_be_bytes());
            facts.checks.check(&values).is_err()
        })
        .collect();
    assert_eq!(refused, [false, false, false, true, true, true, true]);
}

#[test]
fn an_empty_partition_key_is_refused_and_a_counter_cannot_count_by_null() {
    let columns = ["id", "n"].map(|name| Column {
        name: name.into(),
        typ: if name == "n" { native(NativeType::Counter) } else { int() },
        kind: ColumnKind::Regular,
    });
    let table = Table::new("school", "hits", columns.into(), 1, 1);
    let text = Text::read("UPDATE hits SET n = n + ? WHERE id = ?").unwrap();
    let on = || TableSpec::borrowed("school", "hits");
    let specs = [
        ColumnSpec::borrowed("n", native(NativeType::Counter), on()),
        ColumnSpec::borrowed("id", int(), on()),
    ];
    let facts = Facts::join(&specs, &[], &text, Some(&table)).unwrap();
    let refusal =
        |values: &[Option<&[u8]>]| facts.checks.check(&cells(values)).err().map(|m| m.what);
    assert_eq!(refusal(&[Some(&[0; 8]), Some(b"a")]), None);
    assert_eq!(
        refusal(&[Some(&[0; 8]), Some(b"")]),
        Some("the partition key is empty; give a value")
    );
    let null = Some("a counter cannot count by null; give a number");
    assert_eq!(refusal(&[None, Some(b"a")]), null);
}

#[test]
fn a_statement_travels_alone_if_what_is_there_may_have_it_refused() {
    for (source, alone) in [
        ("UPDATE t SET l[0] = ? WHERE a = ?", true),
        ("DELETE l[?] FROM t WHERE a = ?", true),
        ("UPDATE t SET m['a'] = ?, u.city = ?, l = l + ? WHERE a = ?", false),
        ("DELETE m['a'], l FROM t WHERE a = ?", false),
    ] {
        assert_eq!(facts_of(source, &rows()).alone, alone, "{source}");
    }
}

#[test]
fn another_number_of_values_than_markers_is_refused() {
    let facts = facts_of("DELETE FROM t WHERE a = ? AND b = ?", &rows());
    let refused = |cells: &[u8]| facts.checks.check(cells).is_err();
    assert!(!refused(&cells(&[Some(b"a"), Some(b"b")])));
    assert!(refused(&cells(&[Some(b"a")])));
    assert!(refused(&cells(&[Some(b"a"), Some(b"b"), Some(b"c")])));
    let mut cut = cells(&[Some(b"a"), Some(b"b")]);
    cut.pop();
    assert!(refused(&cut));
}

#[test]
fn a_table_made_again_with_other_types_is_noticed_whether_types_are_frozen_or_not() {
    let source = "UPDATE t SET v = ?, fl = ?, u = ?, m = ?, s = s + ? WHERE a = ? AND b = ? AND c = ? AND \"D\" = ?";
    let text = Text::read(source).unwrap();
    let markers = specs(&text, &rows());
    let facts = Facts::join(&markers, &[], &text, Some(&rows())).unwrap();
    let with = |name: &str, typ: Option<ColumnType<'static>>| {
        let own = rows().columns.into_iter().filter_map(|column| {
            let typ = if *column.name == *name { typ.clone()? } else { column.typ };
            Some((String::from(column.name), typ))
        });
        let own: Vec<_> = own.collect();
        let now = table(own.iter().map(|(name, typ)| (name.as_str(), typ.clone())).collect());
        facts.changed(&markers, &now).map(str::to_owned)
    };
    assert_eq!(with("v", Some(int())), None);
    assert_eq!(with("fl", Some(list(false))), None);
    assert_eq!(with("v", Some(native(NativeType::Text))), Some("v".to_owned()));
    assert_eq!(with("v", None), Some("v".to_owned()));
    assert_eq!(with("fl", Some(set())), Some("fl".to_owned()));
    assert_eq!(with("m", Some(map(list(true)))), Some("m".to_owned()));
    assert_eq!(with("u", Some(address("street"))), Some("u".to_owned()));
    assert_eq!(with("a", Some(native(NativeType::BigInt))), Some("a".to_owned()));
    assert_eq!(with("l", Some(int())), None);
}
