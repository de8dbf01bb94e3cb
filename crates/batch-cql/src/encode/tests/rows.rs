//! Keys and documents.

use batch_core::{ErrorKind, Key};
use scylla::cluster::metadata::{ColumnKind, ColumnType, NativeType as N};

use super::{list, native};
use crate::{
    encode::{KeyPart, document, key},
    row::{CellRef, Row},
    schema::table::{Column, Table},
};

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
            "ks.small: the key's partition key has 65536 bytes; the store takes 65535, so shorten it",
        ),
        (
            table(),
            Key::new().part("school", &long[..65_530]).part("class", 1),
            "ks.t: the key's partition key has 65540 bytes, three of them for each part; the store takes 65535, so shorten it",
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
        Err("ks.wide: the key's clustering columns have 65536 bytes; the store takes 65535, so shorten it"
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
        (
            r#"{"name":"a","name":"b"}"#,
            "ks.t, column name of type text: the document has it twice; leave one out",
        ),
        (
            r#"{"class":7,"class":7}"#,
            "ks.t, column class of type int: the document has it twice; leave one out",
        ),
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
