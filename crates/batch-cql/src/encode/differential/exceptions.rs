//! The values that are treated otherwise than by `INSERT … JSON`, each with its reason.

use std::collections::BTreeMap;

use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType};
use serde_json::value::RawValue;

use crate::encode;

/// How an exception shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// The server takes the value, this encoder refuses it.
    Refused,
    /// This encoder takes the value, the server refuses it.
    Taken,
    /// Both take it, and store different bytes.
    Otherwise,
}

pub(super) struct Exception {
    pub(super) shows: Shows,
    pub(super) reason: &'static str,
    /// Types and values.
    pub(super) examples: &'static [(&'static str, &'static str)],
    pub(super) applies: fn(&NativeType, &str) -> bool,
}

/// The exceptions among scalars. Those of collections are in [`has_exception`].
pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception {
        shows: Shows::Refused,
        reason: "an empty text is no value; the server stores it as one that is neither null nor readable",
        examples: &[("int", "\"\""), ("uuid", "\"\""), ("list<int>", "[\"\"]")],
        applies: |native, json| json == "\"\"" && !is_text(native),
    },
    Exception {
        shows: Shows::Refused,
        reason: "a number beyond the type's range would become infinite",
        examples: &[("double", "1e309"), ("float", "1e39"), ("float", "\"0x1p128\"")],
        applies: |native, json| {
            let text = inner(json);
            let text = text.trim().trim_end_matches(['f', 'F', 'd', 'D']);
            let exponent = text
                .to_ascii_lowercase()
                .split_once('p')
                .map_or(0, |(_, n)| n.parse().unwrap_or(0));
            match native {
                NativeType::Float => {
                    exponent > 40 || text.parse::<f32>().is_ok_and(f32::is_infinite)
                }
                NativeType::Double => {
                    exponent > 900 || text.parse::<f64>().is_ok_and(f64::is_infinite)
                }
                _ => false,
            }
        },
    },
    Exception {
        shows: Shows::Refused,
        reason: "a point in time that does not exist is moved to another one, so are years that have not four digits \
                 (-0001 becomes 2), and names of zones are looked up",
        examples: &[
            ("timestamp", "\"2023-02-30\""),
            ("timestamp", "\"2023-11-14T24:00\""),
            ("timestamp", "\"-0001-01-01\""),
            ("timestamp", "\"2023-11-14 CET\""),
            ("timestamp", "\"now\""),
        ],
        applies: |native, json| {
            let text = inner(json);
            let number = |from: usize| text.get(from..from + 2).and_then(|n| n.parse::<u32>().ok());
            let is_missing_day = matches!(
                (number(5), number(8)),
                (Some(2), Some(29..)) | (Some(4 | 6 | 9 | 11), Some(31))
            );
            let is_missing_time = number(11) == Some(24)
                || text.contains(".Z")
                || text.ends_with('.')
                || text.contains(". ")
                || text.contains(".+")
                || text.contains(".-");
            let is_odd_year = text
                .get(..5)
                .is_some_and(|year| !year.ends_with('-') || year.starts_with(['+', '-']));
            let is_named = text
                .replace("UTC", "")
                .replace("GMT", "")
                .contains(|c: char| c.is_alphabetic() && !matches!(c, 'T' | 'Z'));
            *native == NativeType::Timestamp
                && (is_missing_day || is_missing_time || is_odd_year || is_named)
        },
    },
    Exception {
        shows: Shows::Refused,
        reason: "names are looked up, short forms and leading zeros are read in several ways",
        examples: &[("inet", "\"localhost\""), ("inet", "\"1.2.3\""), ("inet", "\"1.2.3.04\"")],
        applies: |native, json| {
            *native == NativeType::Inet && inner(json).parse::<std::net::IpAddr>().is_err()
        },
    },
    Exception {
        shows: Shows::Refused,
        reason: "half of a character becomes a question mark",
        examples: &[("text", "\"\\ud800\"")],
        applies: |_, json| json.starts_with('"') && serde_json::from_str::<String>(json).is_err(),
    },
    Exception {
        shows: Shows::Refused,
        reason: "digits of other scripts are no digits here",
        examples: &[("int", "\"\u{661}\""), ("decimal", "\"\u{661}\"")],
        applies: |native, json| {
            !is_text(native) && inner(json).chars().any(|c| !c.is_ascii() && c.is_numeric())
        },
    },
    Exception {
        shows: Shows::Taken,
        reason: "any integer is a timestamp, not only one that does not fit an int",
        examples: &[("timestamp", "0"), ("timestamp", "-1")],
        applies: |native, json| *native == NativeType::Timestamp && json.parse::<i32>().is_ok(),
    },
    Exception {
        shows: Shows::Taken,
        reason: "a decimal number keeps its digits; the server reads it as a double first",
        examples: &[("decimal", "1e400")],
        applies: |native, json| {
            *native == NativeType::Decimal && json.parse::<f64>().is_ok_and(f64::is_infinite)
        },
    },
    Exception {
        shows: Shows::Otherwise,
        reason: "a decimal number keeps its digits; the server reads it as a double first",
        examples: &[("decimal", "1.10"), ("decimal", "1e2")],
        applies: |native, json| {
            *native == NativeType::Decimal
                && !json.starts_with('"')
                && json.contains(['.', 'e', 'E'])
        },
    },
];

fn is_text(native: &NativeType) -> bool {
    matches!(native, NativeType::Text | NativeType::Ascii)
}

fn inner(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

/// Whether anything in a value is an exception.
pub(super) fn has_exception(shows: Shows, typ: &ColumnType<'_>, json: &str) -> bool {
    let has = |typ: &ColumnType<'_>, json: &str| has_exception(shows, typ, json);
    // A collection may stand in a string.
    let inside = inner(json);
    match typ {
        ColumnType::Native(native) => EXCEPTIONS
            .iter()
            .any(|exception| exception.shows == shows && (exception.applies)(native, json)),
        // Which of two equal decimals a set keeps is up to the server's order of hashes.
        ColumnType::Collection { typ: CollectionType::Set(of), .. }
            if **of == ColumnType::Native(NativeType::Decimal) && shows == Shows::Otherwise =>
        {
            true
        }
        ColumnType::Collection {
            typ: CollectionType::List(of) | CollectionType::Set(of), ..
        }
        | ColumnType::Vector { typ: of, .. } => {
            items(&inside).iter().any(|item| has(of, item.get()))
        }
        ColumnType::Tuple(types) => {
            items(&inside).iter().zip(types).any(|(item, typ)| has(typ, item.get()))
        }
        ColumnType::Collection { typ: CollectionType::Map(key, value), .. } => {
            let is_one = |(name, item): &Entry| {
                has(key, &serde_json::to_string(name).unwrap()) || has(value, item.get())
            };
            // Where a key stands twice, in two forms, the server keeps one of the two values.
            entries(&inside).iter().any(is_one)
                || shows == Shows::Refused && has_equal_keys(key, &inside)
        }
        ColumnType::UserDefinedType { definition, .. } => {
            entries(&inside).iter().any(|(name, item)| {
                let field = definition
                    .field_types
                    .iter()
                    .find(|(field, _)| field == name.trim_matches('"'));
                field.is_some_and(|(_, typ)| has(typ, item.get()))
            })
        }
        _ => false,
    }
}

fn has_equal_keys(typ: &ColumnType<'_>, json: &str) -> bool {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    entries(json).iter().any(|(name, _)| {
        let mut bytes = Vec::new();
        let written = encode::value(typ, &serde_json::to_string(name).unwrap(), &mut bytes);
        let is_known = written.is_ok() && keys.contains(&bytes);
        keys.push(bytes);
        is_known
    })
}

type Entry = (String, Box<RawValue>);

fn items(json: &str) -> Vec<Box<RawValue>> {
    serde_json::from_str(json).unwrap_or_default()
}

fn entries(json: &str) -> Vec<Entry> {
    let map: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).unwrap_or_default();
    map.into_iter().collect()
}
