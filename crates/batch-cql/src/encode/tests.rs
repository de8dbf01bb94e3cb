//! What is taken and what is refused, value by value, without a server.

use std::sync::Arc;

use batch_core::{ErrorKind, Key};
use proptest::prelude::*;
use scylla::cluster::metadata::{
    CollectionType, ColumnKind, ColumnType, NativeType as N, UserDefinedType,
};

use super::{KeyPart, Written, arbitrary, document, key, value};
use crate::{
    row::{CellRef, Row},
    table::{Column, Table},
};

fn native(native: N) -> ColumnType<'static> {
    ColumnType::Native(native)
}

fn list(of: ColumnType<'static>, frozen: bool) -> ColumnType<'static> {
    ColumnType::Collection { frozen, typ: CollectionType::List(Box::new(of)) }
}

fn set(of: ColumnType<'static>) -> ColumnType<'static> {
    ColumnType::Collection { frozen: true, typ: CollectionType::Set(Box::new(of)) }
}

fn map(key: ColumnType<'static>, of: ColumnType<'static>) -> ColumnType<'static> {
    ColumnType::Collection { frozen: true, typ: CollectionType::Map(Box::new(key), Box::new(of)) }
}

fn vector(of: ColumnType<'static>, dimensions: u16) -> ColumnType<'static> {
    ColumnType::Vector { typ: Box::new(of), dimensions }
}

fn person() -> ColumnType<'static> {
    let fields =
        [("name", native(N::Text)), ("age", native(N::Int)), ("Tags", set(native(N::Int)))];
    let definition = UserDefinedType {
        name: "person".into(),
        keyspace: "school".into(),
        field_types: fields.into_iter().map(|(name, typ)| (name.into(), typ)).collect(),
    };
    ColumnType::UserDefinedType { frozen: true, definition: Arc::new(definition) }
}

/// The bytes in base 16, `null`, or why the value does not fit.
fn written(typ: &ColumnType<'_>, json: &str) -> String {
    let mut out = b"before".to_vec();
    let written = value(typ, json, &mut out);
    let bytes = out.strip_prefix(b"before").unwrap();
    match written {
        Ok(Written::Value) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Ok(Written::Null) => {
            assert_eq!(bytes, b"");
            "null".to_owned()
        }
        Err(misfit) => {
            assert_eq!(bytes, b"", "something is left of {json}");
            misfit.to_string()
        }
    }
}

const REFUSED: &str = "(refused)";

#[track_caller]
fn check(typ: &ColumnType<'_>, cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        let written = written(typ, json);
        let is_refused = written.contains(" takes ");
        match *expected {
            REFUSED => assert!(is_refused, "{json} gives {written}"),
            expected => assert_eq!(written, expected, "{json}"),
        }
    }
}

#[test]
fn integers_are_taken_as_numbers_and_as_digits_within_their_range() {
    check(
        &native(N::TinyInt),
        &[
            ("1", "01"),
            ("\"1\"", "01"),
            ("\"+1\"", "01"),
            ("\"-128\"", "80"),
            ("127", "7f"),
            ("128", "tinyint takes an integer from -128 to 127, not 128"),
            ("1.0", "tinyint takes an integer from -128 to 127, not 1.0"),
            ("1.50", "tinyint takes an integer from -128 to 127, not 1.50"),
            ("1e2", REFUSED),
            ("\" 1\"", "tinyint takes an integer from -128 to 127, not \" 1\""),
            ("\"0x10\"", REFUSED),
            ("\"\"", REFUSED),
            ("true", "tinyint takes an integer from -128 to 127, not true"),
            ("null", "null"),
            ("[1, 2]", "tinyint takes an integer from -128 to 127, not [1,2]"),
            ("{\"a\": 1}", "tinyint takes an integer from -128 to 127, not {\"a\":1}"),
        ],
    );
    check(&native(N::SmallInt), &[("32767", "7fff"), ("-32768", "8000"), ("32768", REFUSED)]);
    check(
        &native(N::Int),
        &[
            ("1", "00000001"),
            ("\"01\"", "00000001"),
            ("-0", "00000000"),
            ("2147483648", REFUSED),
            ("\"2147483648\"", REFUSED),
            ("1e3", REFUSED),
            ("-0.0", REFUSED),
            ("-1e-400", REFUSED),
            ("\"abc\"", REFUSED),
        ],
    );
    check(
        &native(N::BigInt),
        &[
            ("9007199254740993", "0020000000000001"),
            ("\"9007199254740993\"", "0020000000000001"),
            ("-9223372036854775808", "8000000000000000"),
            ("-0", "0000000000000000"),
            (
                "9223372036854775808",
                "bigint takes an integer from -9223372036854775808 to 9223372036854775807, not 9223372036854775808",
            ),
            (
                "99999999999999999999",
                "bigint takes an integer from -9223372036854775808 to 9223372036854775807, not 99999999999999999999",
            ),
        ],
    );
    check(&native(N::Counter), &[("-1", "ffffffffffffffff"), ("\"2\"", "0000000000000002")]);
}

#[test]
fn numbers_of_any_size_keep_all_their_digits() {
    check(
        &native(N::Varint),
        &[
            ("0", "00"),
            ("-0", "00"),
            ("127", "7f"),
            ("128", "0080"),
            ("-128", "80"),
            ("-129", "ff7f"),
            ("\"+255\"", "00ff"),
            ("340282366920938463463374607431768211456", "0100000000000000000000000000000000"),
            ("\"-340282366920938463463374607431768211456\"", "ff00000000000000000000000000000000"),
            ("1.0", REFUSED),
            ("1e3", REFUSED),
            ("\"1e3\"", REFUSED),
            ("\"\"", REFUSED),
            ("\"-\"", REFUSED),
            ("true", REFUSED),
        ],
    );
    check(
        &native(N::Decimal),
        &[
            ("1", "0000000001"),
            ("1.10", "000000026e"),
            ("\"1.10\"", "000000026e"),
            ("-0.5", "00000001fb"),
            ("1e3", "fffffffd01"),
            ("1e400", "fffffe7001"),
            ("\"1E-400\"", "0000019001"),
            ("\".5\"", "0000000105"),
            ("\"5.\"", "0000000005"),
            ("\"1e2147483648\"", "8000000001"),
            ("\"1e2147483649\"", REFUSED),
            ("\"1e99999999999\"", REFUSED),
            ("\".\"", REFUSED),
            ("\"1,5\"", REFUSED),
            ("\" 1\"", REFUSED),
            ("\"NaN\"", REFUSED),
            ("\"\"", REFUSED),
            ("true", REFUSED),
        ],
    );
    let long = "1234567890".repeat(4);
    assert_eq!(
        written(&native(N::Decimal), &format!("0.{long}")),
        format!("00000028{}", written(&native(N::Varint), &long))
    );
    for typ in [N::Varint, N::Decimal].map(native) {
        assert!(!written(&typ, &"9".repeat(20_000)).contains("takes"));
        assert!(written(&typ, &"9".repeat(20_001)).contains("at most 20000 digits"));
    }
}

#[test]
fn numbers_with_fractions_are_the_nearest_there_are_and_never_infinite_by_themselves() {
    check(
        &native(N::Double),
        &[
            ("1", "3ff0000000000000"),
            ("-0", "0000000000000000"),
            ("-0.0", "8000000000000000"),
            ("0.1", "3fb999999999999a"),
            // Read exactly, where a quick parser is off by one.
            ("2.2250738585072011e-308", "000fffffffffffff"),
            ("9007199254740993", "4340000000000000"),
            ("\"1.5\"", "3ff8000000000000"),
            ("\" 1.5d \"", "3ff8000000000000"),
            ("\"0x1.8p3\"", "4028000000000000"),
            ("\"-0x.8P-2\"", "bfc0000000000000"),
            ("\"0x1.fffffffffffff8p0\"", "4000000000000000"),
            ("\"0x1p-1074\"", "0000000000000001"),
            ("\"NaN\"", "7ff8000000000000"),
            ("\"-Infinity\"", "fff0000000000000"),
            ("1e309", REFUSED),
            ("\"0x1p1024\"", REFUSED),
            ("\"inf\"", REFUSED),
            ("\"nan\"", REFUSED),
            ("\"+-1\"", REFUSED),
            ("\"0x1\"", REFUSED),
            ("\"0xp1\"", REFUSED),
            ("\"\"", REFUSED),
            ("true", REFUSED),
            ("[]", REFUSED),
        ],
    );
    check(
        &native(N::Float),
        &[
            ("0.1", "3dcccccd"),
            ("16777217", "4b800000"),
            ("1e-46", "00000000"),
            ("\"1f\"", "3f800000"),
            ("\"0x1p-149\"", "00000001"),
            ("\"NaN\"", "7fc00000"),
            (
                "1e39",
                "float takes a number within its range, as it is or in a string, or \"NaN\", \"Infinity\", \"-Infinity\", not 1e39",
            ),
            ("3.4028236e38", REFUSED),
        ],
    );
}

#[test]
fn texts_are_taken_as_they_are() {
    check(
        &native(N::Text),
        &[
            ("\"\"", ""),
            ("\"a\\u0000\\\"\\u00e9\"", "610022c3a9"),
            ("\"\\ud83d\\ude00\"", "f09f9880"),
            ("1", "text takes a string, not 1"),
            ("true", "text takes a string, not true"),
            ("{}", "text takes a string, not {}"),
            ("[]", "text takes a string, not []"),
        ],
    );
    assert!(written(&native(N::Text), "\"\\ud800\"").contains("well-formed"));
    check(
        &native(N::Ascii),
        &[("\"~\"", "7e"), ("\"\\u00e9\"", REFUSED), ("\"\\u0080\"", REFUSED)],
    );
    check(
        &native(N::Boolean),
        &[
            ("true", "01"),
            ("\"TRUE\"", "01"),
            ("\"False\"", "00"),
            ("\"\"", REFUSED),
            ("\"yes\"", REFUSED),
            ("\"1\"", REFUSED),
            ("1", "boolean takes true or false, not 1"),
            ("0", REFUSED),
        ],
    );
    check(
        &native(N::Blob),
        &[
            ("\"0x\"", ""),
            ("\"0x00fF\"", "00ff"),
            ("\"0X00ff\"", REFUSED),
            ("\"00ff\"", REFUSED),
            ("\"\"", REFUSED),
            ("\"0xf\"", REFUSED),
            ("\"0xzz\"", REFUSED),
            ("\"0x\u{e9}\"", REFUSED),
            ("\"AP8=\"", REFUSED),
            ("1", REFUSED),
        ],
    );
}

#[test]
fn identifiers_and_addresses_are_taken_in_their_full_form() {
    check(
        &native(N::Uuid),
        &[
            ("\"123E4567-e89b-42d3-a456-426614174000\"", "123e4567e89b42d3a456426614174000"),
            ("\"123e4567e89b42d3a456426614174000\"", REFUSED),
            ("\"{123e4567-e89b-42d3-a456-426614174000}\"", REFUSED),
            ("\"abc\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
    check(
        &native(N::Timeuuid),
        &[
            ("\"50554d6e-29bb-11e5-b345-feff819cdc9f\"", "50554d6e29bb11e5b345feff819cdc9f"),
            ("\"123e4567-e89b-42d3-a456-426614174000\"", REFUSED),
            ("\"now\"", REFUSED),
        ],
    );
    check(
        &native(N::Inet),
        &[
            ("\"192.0.2.1\"", "c0000201"),
            ("\"::ffff:1.2.3.4\"", "01020304"),
            ("\"::1\"", "00000000000000000000000000000001"),
            ("\"2001:DB8::1\"", "20010db8000000000000000000000001"),
            ("\"localhost\"", REFUSED),
            ("\"1.2.3\"", REFUSED),
            ("\"01.2.3.4\"", REFUSED),
            ("\"256.1.1.1\"", REFUSED),
            ("\"1.2.3.4/8\"", REFUSED),
            ("\"fe80::1%lo\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
}

#[test]
fn points_in_time_exist_and_depend_on_no_server() {
    check(
        &native(N::Timestamp),
        &[
            ("0", "0000000000000000"),
            ("-1", "ffffffffffffffff"),
            ("1700000000000", "0000018bcfe56800"),
            ("\"1700000000000\"", "0000018bcfe56800"),
            ("\"20231114\"", "000000000134b3ca"),
            ("\"2023-11-14\"", "0000018bcb20b400"),
            ("\"2023-11-14T22:13\"", "0000018bcfe519e0"),
            ("\"2023-11-14 22:13:20\"", "0000018bcfe56800"),
            ("\"2023-11-14T22:13:20.1Z\"", "0000018bcfe56864"),
            ("\"2023-11-14T22:13:20.123456Z\"", "0000018bcfe5687b"),
            ("\"2023-11-14T23:13:20+0100\"", "0000018bcfe56800"),
            ("\"2023-11-14T23:13:20+01:00\"", "0000018bcfe56800"),
            ("\"2023-11-14T23:13:20 +01\"", "0000018bcfe56800"),
            ("\"2023-11-14 22:13:20 UTC\"", "0000018bcfe56800"),
            ("\"2023-02-30\"", REFUSED),
            ("\"2023-11-14T24:00\"", REFUSED),
            ("\"2023-11-14T22:13:60\"", REFUSED),
            ("\"2023-11-14T22:13:20+19:00\"", REFUSED),
            ("\"2023-11-14T22:13:20 CET\"", REFUSED),
            ("\"0000-01-01\"", REFUSED),
            ("\"10000-01-01T00:00:00Z\"", REFUSED),
            ("\"Tue, 14 Nov 2023 22:13:20 GMT\"", REFUSED),
            ("\"now\"", REFUSED),
            ("\"\"", REFUSED),
            ("1.5", REFUSED),
            ("9223372036854775808", REFUSED),
        ],
    );
    check(
        &native(N::Date),
        &[
            ("\"1970-01-01\"", "80000000"),
            ("\"2023-11-14\"", "80004cdb"),
            ("\"-0001-01-01\"", "7ff503eb"),
            ("\"2147483648\"", "80000000"),
            ("\"4294967296\"", REFUSED),
            ("\"2023-02-30\"", REFUSED),
            ("\"2023-1-2\"", REFUSED),
            ("\"10000-01-01\"", REFUSED),
            ("\"2023-11-14T00:00:00Z\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
    check(
        &native(N::Time),
        &[
            ("\"22:13:20\"", "000048c273950000"),
            ("\"00:00:00.000000001\"", "0000000000000001"),
            ("\"1:2:3\"", "00000362d417ae00"),
            ("\"22:13\"", REFUSED),
            ("\"24:00:00\"", REFUSED),
            ("\"22:13:60\"", REFUSED),
            ("\"-1:00:00\"", REFUSED),
            ("\"00:00:00.\"", REFUSED),
            ("\"00:00:00.0000000001\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
    check(
        &native(N::Duration),
        &[
            ("\"1h30m\"", "0000fc09d29229e000"),
            ("\"1y2mo3w4d\"", "1c3200"),
            ("\"-1d\"", "000100"),
            ("\"PT1.5S\"", REFUSED),
            ("\"1 h\"", REFUSED),
            ("\"\"", REFUSED),
            ("60", REFUSED),
        ],
    );
}

#[test]
fn collections_are_laid_out_behind_their_lengths_and_in_the_servers_order() {
    let ints = list(native(N::Int), false);
    check(
        &ints,
        &[
            ("[1,\"2\"]", "0000000200000004000000010000000400000002"),
            ("\"[1]\"", "000000010000000400000001"),
            ("[]", "00000000"),
            ("null", "null"),
            ("[1,null]", "at [1], int takes no null here, not null"),
            ("[1,2.5]", "at [1], int takes an integer from -2147483648 to 2147483647, not 2.5"),
            ("{}", "list<int> takes an array, not {}"),
            ("\"[1\"", "list<int> takes an array, not \"[1\""),
            ("\"\\\"[1]\\\"\"", REFUSED),
            ("1", "list<int> takes an array, not 1"),
            ("\"\"", REFUSED),
        ],
    );
    check(
        &set(native(N::Int)),
        &[
            ("[2,1,2]", "0000000200000004000000010000000400000002"),
            ("[2,2,1,-1,2]", "0000000300000004ffffffff00000004000000010000000400000002"),
            ("[1,1]", "000000010000000400000001"),
        ],
    );
    check(
        &map(native(N::Int), native(N::Text)),
        &[
            (
                "{\"2\":\"b\",\"1\":\"a\"}",
                "00000002000000040000000100000001610000000400000002000000 0162"
                    .replace(' ', "")
                    .as_str(),
            ),
            ("{}", "00000000"),
            ("\"{}\"", "00000000"),
            ("{\"1\":null}", "at [\"1\"], text takes no null here, not null"),
            (
                "{\"1\":\"a\",\"01\":\"b\"}",
                "frozen<map<int, text>> takes each key once, not \"01\"",
            ),
            ("{\"2\":\"a\",\"1\":\"a\",\"02\":\"b\"}", REFUSED),
            ("{\"x\":\"a\"}", "int takes an integer from -2147483648 to 2147483647, not \"x\""),
            ("[]", "frozen<map<int, text>> takes an object, not []"),
            ("[[\"1\",\"a\"]]", REFUSED),
        ],
    );
    let pair = ColumnType::Tuple(vec![native(N::Int), native(N::Text)]);
    check(
        &map(pair, native(N::Boolean)),
        &[("{\"[1, null]\":true}", "000000010000000c0000000400000001ffffffff0000000101")],
    );
}

#[test]
fn tuples_types_and_vectors_have_their_parts_in_place() {
    let triple =
        ColumnType::Tuple(vec![native(N::Int), native(N::Text), list(native(N::Int), true)]);
    check(
        &triple,
        &[
            ("[1,null,[]]", "0000000400000001ffffffff0000000400000000"),
            (
                "[1,\"a\"]",
                "tuple<int, text, frozen<list<int>>> takes an array of 3 elements, not one of 2",
            ),
            (
                "[1,\"a\",[],null]",
                "tuple<int, text, frozen<list<int>>> takes an array of 3 elements, not one of 4",
            ),
            ("{}", REFUSED),
            (
                "[1,\"a\",[true]]",
                "at [2][0], int takes an integer from -2147483648 to 2147483647, not true",
            ),
        ],
    );
    check(
        &person(),
        &[
            ("{}", "ffffffffffffffffffffffff"),
            ("{\"age\":1,\"name\":\"a\"}", "00000001610000000400000001ffffffff"),
            (
                "{\"name\":\"a\",\"age\":1,\"Tags\":[1]}",
                "000000016100000004000000010000000c000000010000000400000001",
            ),
            ("{\"\\\"Tags\\\"\":null}", "ffffffffffffffffffffffff"),
            ("{\"zz\":1}", "frozen<person> takes the fields name, age, Tags, not \"zz\""),
            ("{\"tags\":[1]}", REFUSED),
            ("{\"age\":1,\"age\":1}", "frozen<person> takes each field once, not \"age\""),
            (
                "{\"age\":\"x\"}",
                "at [\"age\"], int takes an integer from -2147483648 to 2147483647, not \"x\"",
            ),
            ("[]", "frozen<person> takes an object, not []"),
        ],
    );
    check(
        &vector(native(N::Float), 2),
        &[
            ("[1,\"NaN\"]", "3f8000007fc00000"),
            ("\"[1,2]\"", "3f80000040000000"),
            ("[1]", "vector<float, 2> takes an array of 2 elements, not one of 1"),
            ("[1,2,3]", "vector<float, 2> takes an array of 2 elements, not one of 3"),
            ("[1,null]", "at [1], float takes no null here, not null"),
            ("[]", REFUSED),
        ],
    );
    // Of elements whose size the server does not count on, each stands behind its own.
    check(&vector(native(N::Text), 2), &[("[\"a\",\"\"]", "016100")]);
    check(&vector(native(N::SmallInt), 1), &[("[1]", "020001")]);
    let long = "x".repeat(300);
    assert!(written(&vector(native(N::Text), 1), &format!("[{long:?}]")).starts_with("812c7878"));
}

#[test]
fn a_value_that_is_not_json_is_refused() {
    for json in ["", "{", "[1", "nul", "1 2", "\"", "\u{0}"] {
        assert!(written(&native(N::Int), json).contains("well-formed"), "{json}");
    }
}

#[test]
fn an_error_shows_the_beginning_of_a_long_value() {
    let long = format!("\"{}\"", "é".repeat(100));
    let message = written(&native(N::Int), &long);
    assert!(message.ends_with(&format!("not \"{}…", "é".repeat(59))), "{message}");
}

fn column(name: &str, typ: ColumnType<'static>, kind: ColumnKind) -> Column {
    Column { name: name.into(), typ, kind }
}

/// `(school, class), day, no` with columns, static ones among them.
fn table() -> Table {
    let columns = vec![
        column("school", native(N::Text), ColumnKind::PartitionKey),
        column("class", native(N::Int), ColumnKind::PartitionKey),
        column("day", native(N::Date), ColumnKind::Clustering),
        column("no", native(N::BigInt), ColumnKind::Clustering),
        column("Mixed", native(N::Text), ColumnKind::Regular),
        column("marks", list(native(N::Int), false), ColumnKind::Regular),
        column("name", native(N::Text), ColumnKind::Regular),
        column("teacher", native(N::Text), ColumnKind::Static),
    ];
    Table::new("ks", "t", columns, 2, 4)
}

fn small(typ: ColumnType<'static>) -> Table {
    let columns = vec![
        column("id", typ, ColumnKind::PartitionKey),
        column("hits", native(N::Counter), ColumnKind::Regular),
    ];
    Table::new("ks", "small", columns, 1, 1)
}

fn row_of(table: &Table) -> Row {
    let mut row = Row::default();
    row.clear(table.columns.len());
    row
}

fn whole() -> Key {
    Key::new().part("school", "north").part("class", 7).part("day", "1970-01-01").part("no", "5")
}

#[test]
fn a_key_fills_the_cells_of_the_keys_columns_whatever_the_order_of_its_parts() {
    let table = table();
    let other = Key::new()
        .part("no", 5)
        .part("day", "2147483648")
        .part("class", "7")
        .part("school", "north");
    for given in [whole(), other] {
        let mut row = row_of(&table);
        assert_eq!(key(&table, given.as_ref(), &mut row).unwrap(), KeyPart::Whole);
        assert_eq!(row.cell(0), CellRef::Value(b"north"));
        assert_eq!(row.cell(1), CellRef::Value(&[0, 0, 0, 7]));
        assert_eq!(row.cell(2), CellRef::Value(&[0x80, 0, 0, 0]));
        assert_eq!(row.cell(3), CellRef::Value(&[0, 0, 0, 0, 0, 0, 0, 5]));
        assert_eq!(row.cell(4), CellRef::Unset);
    }
    let mut row = row_of(&table);
    let partition = Key::new().part("class", 7).part("school", "");
    assert_eq!(key(&table, partition.as_ref(), &mut row).unwrap(), KeyPart::Partition);
}

#[test]
fn a_bare_key_is_the_only_column_of_the_tables_key() {
    let mut row = row_of(&small(native(N::Int)));
    assert_eq!(
        key(&small(native(N::Int)), Key::from("7").as_ref(), &mut row).unwrap(),
        KeyPart::Whole
    );
    assert_eq!(row.cell(0), CellRef::Value(&[0, 0, 0, 7]));
    let pair = ColumnType::Tuple(vec![native(N::Int), native(N::Boolean)]);
    let mut row = row_of(&small(pair.clone()));
    key(&small(pair), Key::from("[1,true]").as_ref(), &mut row).unwrap();
    assert_eq!(row.cell(0), CellRef::Value(&[0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 1]));
}

#[test]
fn a_key_that_is_none_of_the_table_is_refused_with_what_would_be_one() {
    let long = "x".repeat(65_536);
    let blob = || small(native(N::Blob));
    let without_statics = || {
        let columns = vec![
            column("p", native(N::Int), ColumnKind::PartitionKey),
            column("c", native(N::Int), ColumnKind::Clustering),
        ];
        Table::new("ks", "plain", columns, 1, 2)
    };
    for (table, given, message) in [
        (
            table(),
            Key::from("x"),
            "ks.t has a key of 4 columns, so the bare key \"x\" does not say which row; give school, class, day, no by name",
        ),
        (
            table(),
            whole().part("nam", 1),
            "ks.t has no key column nam; its key is school, class, day, no",
        ),
        (
            table(),
            whole().part("name", 1),
            "ks.t has no key column name; its key is school, class, day, no",
        ),
        (
            table(),
            Key::new().part("school", "a").part("day", "1970-01-01"),
            "ks.t: the key lacks class, no; a row is found by school, class, day, no",
        ),
        (
            without_statics(),
            Key::new().part("p", 1),
            "ks.plain: the key lacks c; a row is found by p, c",
        ),
        (
            table(),
            Key::new().part("school", 7),
            "ks.t: the key's column school of type text takes a string, not 7",
        ),
        (
            table(),
            Key::new().part("class", true),
            "ks.t: the key's column class of type int takes an integer from -2147483648 to 2147483647, not true",
        ),
        (
            table(),
            Key::new().part("class", 1_u64 << 31),
            "ks.t: the key's column class of type int takes an integer from -2147483648 to 2147483647, not 2147483648",
        ),
        (
            table(),
            Key::new().part("day", ""),
            "ks.t: the key's column day of type date takes a day that exists, such as \"2023-11-14\", not \"\"",
        ),
        (
            small(native(N::Text)),
            Key::from(""),
            "ks.small: the partition key id is empty, which no store takes",
        ),
        (blob(), Key::from("0x"), "ks.small: the partition key id is empty, which no store takes"),
        (
            small(native(N::Text)),
            Key::from(&long),
            "ks.small: the key's partition key has 65536 bytes; the store takes 65535",
        ),
        (
            table(),
            Key::new().part("school", &long[..65_530]).part("class", 1),
            "ks.t: the key's partition key has 65540 bytes, three of them for each part; the store takes 65535",
        ),
        (
            small(list(native(N::Int), true)),
            Key::new().part("id", 1),
            "ks.small: the key's column id of type frozen<list<int>> takes its JSON text, not 1",
        ),
        (
            small(list(native(N::Int), true)),
            Key::from("[1,\"x\"]"),
            "ks.small: the key's column id of type frozen<list<int>> does not fit: at [1], int takes an integer from -2147483648 to 2147483647, not \"x\"",
        ),
        (
            small(list(native(N::Int), true)),
            Key::from("null"),
            "ks.small: the key's column id of type frozen<list<int>> takes no null",
        ),
    ] {
        let error = key(&table, given.as_ref(), &mut row_of(&table)).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidKey, message));
    }
    let columns = vec![
        column("p", native(N::Int), ColumnKind::PartitionKey),
        column("a", native(N::Text), ColumnKind::Clustering),
        column("b", native(N::Text), ColumnKind::Clustering),
    ];
    let table = Table::new("ks", "wide", columns, 1, 3);
    let sized = |a: usize, b: usize| {
        let given = Key::new().part("p", 1).part("a", &long[..a]).part("b", &long[..b]);
        key(&table, given.as_ref(), &mut row_of(&table)).map_err(|error| error.message().to_owned())
    };
    assert_eq!(sized(65_000, 535), Ok(KeyPart::Whole));
    assert_eq!(
        sized(65_000, 536),
        Err("ks.wide: the key's clustering columns have 65536 bytes; the store takes 65535"
            .to_owned())
    );
}

#[test]
fn a_document_fills_the_cells_of_its_columns_and_no_others() {
    let table = table();
    let mut row = row_of(&table);
    key(&table, whole().as_ref(), &mut row).unwrap();
    let text = r#"{"class": 7, "name": null, "\"Mixed\"": "x", "day": "1970-01-01", "marks": []}"#;
    // Twice, since the second time the order of the columns is known.
    for _ in 0..2 {
        row.clear(table.columns.len());
        key(&table, whole().as_ref(), &mut row).unwrap();
        document(&table, text.as_bytes(), &mut row).unwrap();
        let cells: Vec<CellRef<'_>> = (4..8).map(|place| row.cell(place)).collect();
        let (null, unset) = (CellRef::Null, CellRef::Unset);
        assert_eq!(cells, [CellRef::Value(b"x"), null, null, unset]);
    }
    row.clear(table.columns.len());
    key(&table, whole().as_ref(), &mut row).unwrap();
    document(&table, br#"{"marks":[-0,1],"Mixed":"y"}"#, &mut row).unwrap();
    assert_eq!(
        row.cell(5),
        CellRef::Value(&[0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1])
    );
    assert_eq!((row.cell(4), row.cell(6)), (CellRef::Value(b"y"), CellRef::Unset));
}

#[test]
fn a_document_of_a_partition_has_static_columns_alone() {
    let table = table();
    let mut row = row_of(&table);
    key(&table, Key::new().part("school", "a").part("class", 1).as_ref(), &mut row).unwrap();
    document(&table, br#"{"teacher":"Ms N"}"#, &mut row).unwrap();
    assert_eq!(row.cell(7), CellRef::Value(b"Ms N"));
    let refused = document(&table, br#"{"name":"x"}"#, &mut row).unwrap_err();
    assert!(refused.message().contains("only static columns"), "{refused}");
}

#[test]
fn a_document_that_does_not_fit_is_refused_with_table_column_type_and_value() {
    let table = table();
    for (text, message) in [
        (
            "[]",
            "ks.t: the document is no JSON object: invalid type: sequence, expected an object at line 1 column 0",
        ),
        (
            r#"{"nosuch":1}"#,
            "ks.t has no column nosuch; its columns are school, class, day, no, Mixed, marks, name, teacher",
        ),
        (
            r#"{"mixed":"x"}"#,
            "ks.t has no column mixed; its columns are school, class, day, no, Mixed, marks, name, teacher",
        ),
        (r#"{"name":7}"#, "ks.t, column name of type text: text takes a string, not 7"),
        (
            r#"{"marks":[1,[2]]}"#,
            "ks.t, column marks of type list<int>: at [1], int takes an integer from -2147483648 to 2147483647, not [2]",
        ),
        (r#"{"name":"a","name":"b"}"#, "ks.t, column name of type text: the document has it twice"),
        (r#"{"class":7,"class":7}"#, "ks.t, column class of type int: the document has it twice"),
        (
            r#"{"class":8}"#,
            "ks.t, column class of type int: the document and the key say different things; leave it out of the document",
        ),
        (
            r#"{"class":null}"#,
            "ks.t, column class of type int: the document and the key say different things; leave it out of the document",
        ),
    ] {
        let mut row = row_of(&table);
        key(&table, whole().as_ref(), &mut row).unwrap();
        let error = document(&table, text.as_bytes(), &mut row).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidOperation, message));
    }
    let table = small(native(N::Int));
    let mut row = row_of(&table);
    key(&table, Key::from("1").as_ref(), &mut row).unwrap();
    let error = document(&table, br#"{"hits":1}"#, &mut row).unwrap_err();
    assert!(
        error
            .message()
            .starts_with("ks.small, column hits of type counter: documents cannot count"),
        "{error}"
    );
    assert!(document(&table, b"{\"id\":1}\xff", &mut row).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_a_misfit_leaves_nothing(
        typ in arbitrary::types(),
        text in "[-\\[\\]{}\",:0-9a-z.\\\\ ]{0,40}",
    ) {
        let _ = written(&typ, &text);
    }

    #[test]
    fn values_of_another_type_make_no_panic(typ in arbitrary::types(), other in arbitrary::types().prop_flat_map(|typ| arbitrary::json_of(&typ))) {
        let _ = written(&typ, &other);
    }
}
