//! What is taken and what is refused, value by value, without a server.

mod collections;
mod rows;
mod scalars;

use std::sync::Arc;

use proptest::prelude::*;
use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType as N, UserDefinedType};

use super::{Written, arbitrary, value};

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
