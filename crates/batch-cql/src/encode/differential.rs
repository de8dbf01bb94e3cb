//! What `INSERT INTO … JSON` stores and what this encoder stores are the same bytes, and both
//! refuse the same values, but for the exceptions that are listed here. On a real server.

use std::{collections::BTreeMap, env, fmt::Write as _};

use futures_util::{StreamExt as _, stream};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    cluster::metadata::{CollectionType, ColumnKind, ColumnType, NativeType},
    deserialize::{
        FrameSlice,
        value::DeserializeValue,
        {DeserializationError, TypeCheckError},
    },
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::prepared::PreparedStatement,
};
use serde_json::value::RawValue;

use crate::{
    encode,
    row::{CellRef, Row},
    table::{Column, Table},
    typ::TypeName,
};

const KEYSPACE: &str = "encoding";

/// The types of the columns `c0`, `c1` and so on.
const TYPES: &[&str] = &[
    "ascii",
    "bigint",
    "blob",
    "boolean",
    "date",
    "decimal",
    "double",
    "duration",
    "float",
    "inet",
    "int",
    "smallint",
    "text",
    "time",
    "timestamp",
    "timeuuid",
    "tinyint",
    "uuid",
    "varint",
    "list<int>",
    "list<text>",
    "list<frozen<list<double>>>",
    "list<duration>",
    "set<int>",
    "set<text>",
    "set<uuid>",
    "set<timeuuid>",
    "set<double>",
    "set<inet>",
    "set<varint>",
    "set<decimal>",
    "set<boolean>",
    "set<smallint>",
    "set<timestamp>",
    "map<text, int>",
    "map<int, text>",
    "map<uuid, frozen<set<int>>>",
    "map<boolean, blob>",
    "map<frozen<tuple<int, text>>, double>",
    "map<frozen<list<int>>, float>",
    "map<timestamp, date>",
    "frozen<list<int>>",
    "frozen<set<bigint>>",
    "frozen<map<text, frozen<list<int>>>>",
    "tuple<int, text, double>",
    "tuple<frozen<set<int>>, frozen<map<text, int>>>",
    "tuple<frozen<set<decimal>>, frozen<set<varint>>>",
    "tuple<frozen<set<uuid>>, frozen<set<timeuuid>>, frozen<set<double>>, frozen<set<float>>>",
    "tuple<frozen<set<tinyint>>, frozen<set<date>>, frozen<set<time>>, frozen<set<ascii>>, frozen<set<blob>>>",
    "tuple<frozen<set<frozen<tuple<int, text>>>>, frozen<set<frozen<list<int>>>>, frozen<set<frozen<map<int, int>>>>>",
    "tuple<frozen<set<frozen<person>>>, frozen<set<frozen<set<int>>>>>",
    "tuple<frozen<set<frozen<vector<int, 2>>>>, frozen<set<frozen<vector<text, 2>>>>, frozen<set<frozen<vector<float, 2>>>>>",
    "person",
    "frozen<person>",
    "list<frozen<person>>",
    "frozen<outer>",
    "vector<float, 3>",
    "vector<text, 2>",
    "vector<int, 2>",
    "vector<smallint, 2>",
    "vector<frozen<set<int>>, 2>",
    "vector<frozen<vector<double, 2>>, 2>",
    "vector<frozen<tuple<int, text>>, 1>",
    "vector<boolean, 2>",
    "vector<time, 1>",
    "vector<uuid, 1>",
    "vector<decimal, 1>",
    "vector<duration, 1>",
];

/// How an exception shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// The server takes the value, this encoder refuses it.
    Refused,
    /// This encoder takes the value, the server refuses it.
    Taken,
    /// Both take it, and store different bytes.
    Otherwise,
}

struct Exception {
    shows: Shows,
    /// Why it is one.
    _reason: &'static str,
    applies: fn(&NativeType, &str) -> bool,
}

/// The exceptions among scalars. Those of collections are in [`has_exception`].
const EXCEPTIONS: &[Exception] = &[
    Exception {
        shows: Shows::Refused,
        _reason: "an empty text is no value; the server stores it as one that is neither null nor readable",
        applies: |native, json| json == "\"\"" && !is_text(native),
    },
    Exception {
        shows: Shows::Refused,
        _reason: "a number beyond the type's range would become infinite",
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
        _reason: "a point in time that does not exist is moved to another one, so are years that have not four digits \
                 (-0001 becomes 2), and names of zones are looked up",
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
        _reason: "names are looked up, short forms and leading zeros are read in several ways",
        applies: |native, json| {
            *native == NativeType::Inet && inner(json).parse::<std::net::IpAddr>().is_err()
        },
    },
    Exception {
        shows: Shows::Refused,
        _reason: "half of a character becomes a question mark",
        applies: |_, json| json.starts_with('"') && serde_json::from_str::<String>(json).is_err(),
    },
    Exception {
        shows: Shows::Refused,
        _reason: "digits of other scripts are no digits here",
        applies: |native, json| {
            !is_text(native) && inner(json).chars().any(|c| !c.is_ascii() && c.is_numeric())
        },
    },
    Exception {
        shows: Shows::Taken,
        _reason: "any integer is a timestamp, not only one that does not fit an int",
        applies: |native, json| *native == NativeType::Timestamp && json.parse::<i32>().is_ok(),
    },
    Exception {
        shows: Shows::Taken,
        _reason: "a duration of the fewest nanoseconds can be written",
        applies: |native, json| {
            *native == NativeType::Duration && json.contains("-9223372036854775808ns")
        },
    },
    Exception {
        shows: Shows::Taken,
        _reason: "a decimal number keeps its digits; the server reads it as a double first",
        applies: |native, json| {
            *native == NativeType::Decimal && json.parse::<f64>().is_ok_and(f64::is_infinite)
        },
    },
    Exception {
        shows: Shows::Otherwise,
        _reason: "a decimal number keeps its digits; the server reads it as a double first",
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
fn has_exception(shows: Shows, typ: &ColumnType<'_>, json: &str) -> bool {
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

/// JSON for a type: most of it fits, in one of the forms that are taken; some nearly does.
fn json_of(typ: &ColumnType<'static>) -> BoxedStrategy<String> {
    match typ {
        ColumnType::Native(native) => native_json(native),
        ColumnType::Collection {
            typ: CollectionType::List(of) | CollectionType::Set(of), ..
        } => in_string_at_times(array(prop::collection::vec(json_of(of), 0..5))),
        ColumnType::Collection { typ: CollectionType::Map(key, value), .. } => {
            let key = json_of(key).prop_map(|key| match serde_json::from_str::<String>(&key) {
                Ok(_) => key,
                Err(_) => serde_json::to_string(&key).unwrap(),
            });
            in_string_at_times(object(prop::collection::vec((key, json_of(value)), 0..4)))
        }
        ColumnType::Vector { typ, dimensions } => {
            let exact = usize::from(*dimensions);
            let length = prop_oneof![20 => Just(exact), 1 => 0..exact + 2];
            let of = json_of(typ);
            in_string_at_times(array(
                length.prop_flat_map(move |length| prop::collection::vec(of.clone(), length)),
            ))
        }
        ColumnType::Tuple(types) => {
            let exact: Vec<_> = types
                .iter()
                .map(|typ| prop_oneof![9 => json_of(typ), 1 => Just("null".to_owned())])
                .collect();
            let cut = prop_oneof![20 => Just(types.len()), 1 => 0..types.len() + 2];
            let cut = (exact, cut).prop_map(|(mut items, length)| {
                items.resize(length, "null".to_owned());
                items
            });
            in_string_at_times(array(cut))
        }
        ColumnType::UserDefinedType { definition, .. } => {
            let fields: Vec<_> = definition
                .field_types
                .iter()
                .map(|(name, typ)| {
                    // With capital letters the server wants quotes in the quotes.
                    let name = if name.contains(char::is_uppercase) {
                        format!("\"{name}\"")
                    } else {
                        name.to_string()
                    };
                    let name = serde_json::to_string(&name).unwrap();
                    prop::option::weighted(
                        0.8,
                        prop_oneof![9 => json_of(typ), 1 => Just("null".to_owned())],
                    )
                    .prop_map(move |value| value.map(|value| (name.clone(), value)))
                })
                .collect();
            let fields = fields
                .prop_map(|fields| fields.into_iter().flatten().collect::<Vec<_>>())
                .prop_shuffle();
            in_string_at_times(object(fields))
        }
        _ => Just("null".to_owned()).boxed(),
    }
}

fn array(
    items: impl Strategy<Value = Vec<String>> + 'static,
) -> impl Strategy<Value = String> + 'static {
    items.prop_map(|items| format!("[{}]", items.join(",")))
}

/// No name twice: that is refused, but taken by the server.
fn object(
    fields: impl Strategy<Value = Vec<(String, String)>> + 'static,
) -> impl Strategy<Value = String> + 'static {
    fields.prop_map(|fields| {
        let mut text = String::from("{");
        let mut names: Vec<String> = Vec::new();
        for (name, value) in fields {
            if names.contains(&name) {
                continue;
            }
            let comma = if names.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{name}:{value}");
            names.push(name);
        }
        text + "}"
    })
}

fn in_string_at_times(json: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    let wrong = prop::sample::select(vec![
        "1",
        "true",
        "\"x\"",
        "[]",
        "{}",
        "null",
        "[null]",
        "{\"a\":null}",
        "\"\"",
        "[[]]",
    ]);
    (json, wrong, 0..100)
        .prop_map(|(json, wrong, chance)| match chance {
            0..8 => serde_json::to_string(&json).unwrap(),
            8..12 => wrong.to_owned(),
            _ => json,
        })
        .boxed()
}

fn quoted(text: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    text.prop_map(|text| serde_json::to_string(&text).unwrap()).boxed()
}

/// Numbers, and sometimes the same as a string.
fn integers() -> BoxedStrategy<String> {
    let number = prop_oneof![
        (-200..200_i64).prop_map(|n| n.to_string()),
        (-40_000..40_000_i64).prop_map(|n| n.to_string()),
        (-3_000_000_000..3_000_000_000_i64).prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<i128>().prop_map(|n| n.to_string()),
        "-?[1-9][0-9]{18,60}",
        prop::sample::select(vec![
            "0",
            "-0",
            "127",
            "128",
            "-128",
            "-129",
            "32767",
            "32768",
            "-32768",
            "-32769",
            "2147483647",
            "2147483648",
            "-2147483648",
            "-2147483649",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "-0.0",
            "1.0",
            "1e3",
            "1E2",
            "-1e-400"
        ])
        .prop_map(str::to_owned),
    ];
    (number, 0..10)
        .prop_map(|(n, chance)| match chance {
            0 => format!("\"{n}\""),
            1 => format!("\"+{}\"", n.trim_start_matches('-')),
            2 => format!("\"0{n}\""),
            _ => n,
        })
        .boxed()
}

fn reals() -> BoxedStrategy<String> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        any::<f32>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        (-1e6..1e6).prop_map(|n: f64| format!("{n}")),
        "-?[0-9]\\.[0-9]{1,30}(e[-+]?[0-9]{1,2})?",
        "\"[-+]?[0-9]{0,3}\\.?[0-9]{0,3}([eE][-+]?[0-9]{1,3})?[fFdD]?\"",
        "\" {0,2}-?[0-9]{1,3} {0,2}\"",
        "\"-?0x[0-9a-f]{0,18}\\.?[0-9a-f]{0,3}[pP]-?[0-9]{1,3}\"",
        integers(),
        prop::sample::select(vec![
            "\"NaN\"",
            "\"Infinity\"",
            "\"-Infinity\"",
            "\"+NaN\"",
            "\"nan\"",
            "\"inf\"",
            "\"infinity\"",
            "1e39",
            "1e309",
            "16777217",
            "1e-46"
        ])
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn times_of_day() -> BoxedStrategy<String> {
    prop_oneof![
        "[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,10})?",
        "[0-9]:[0-9]:[0-9]",
        "[0-9]{1,15}"
    ]
    .boxed()
}

fn days() -> BoxedStrategy<String> {
    prop_oneof![
        (1..9999, 1..13, 1..29).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}")),
        "[12][0-9]{3}-[01][0-9]-[0-3][0-9]",
        "[-+]?[0-9]{4,7}-[01][0-9]-[0-3][0-9]",
    ]
    .boxed()
}

fn native_json(native: &NativeType) -> BoxedStrategy<String> {
    let fitting = match native {
        NativeType::Ascii => prop_oneof![quoted("[ -~]{0,20}"), quoted(any::<String>())].boxed(),
        NativeType::Text => prop_oneof![
            quoted(any::<String>()),
            quoted("[a-z]{0,8}"),
            "\"(\\\\u[0-9a-cA-C][0-9a-f]{3}|\\\\n|\\\\\"|\\\\ud83d\\\\ude0[0-9]){0,4}\"",
        ]
        .boxed(),
        NativeType::Blob => {
            prop_oneof!["\"0x([0-9a-fA-F]{2}){0,20}\"", "\"0?[xX]?[0-9a-f]{0,5}\""].boxed()
        }
        NativeType::Boolean => prop::sample::select(vec![
            "true",
            "false",
            "\"true\"",
            "\"TRUE\"",
            "\"False\"",
            "\"yes\"",
            "1",
            "0",
            "\"1\"",
        ])
        .prop_map(str::to_owned)
        .boxed(),
        NativeType::Date => quoted(prop_oneof![days(), "[0-9]{1,11}".boxed()]),
        NativeType::Time => quoted(times_of_day()),
        NativeType::Timestamp => {
            let point = (
                days(),
                prop::option::of((prop::sample::select(vec!["T", " ", "t"]), times_of_day())),
                prop::sample::select(vec![
                    "", "Z", "z", "+0100", "-01:30", "+01", " +0100", " UTC", "UTC", " Z", "+1",
                    "+19:00",
                ]),
            )
                .prop_map(|(day, time, zone)| {
                    format!(
                        "{day}{}{zone}",
                        time.map_or(String::new(), |(between, time)| format!("{between}{time}"))
                    )
                });
            prop_oneof![quoted(point), integers()].boxed()
        }
        NativeType::Decimal => {
            prop_oneof![reals(), quoted("-?[0-9]{0,50}\\.?[0-9]{0,20}([eE][-+]?[0-9]{1,4})?")]
                .boxed()
        }
        NativeType::Double | NativeType::Float => reals(),
        NativeType::Varint => integers(),
        NativeType::Duration => {
            let counts = prop::collection::vec(prop::option::weighted(0.4, 0..100_u32), 10);
            let plain = (counts, any::<bool>()).prop_map(|(counts, negative)| {
                let units = ["y", "mo", "w", "d", "h", "m", "s", "ms", "us", "ns"];
                let parts: String = counts
                    .iter()
                    .zip(units)
                    .filter_map(|(n, unit)| n.map(|n| format!("{n}{unit}")))
                    .collect();
                format!("{}{parts}", if negative { "-" } else { "" })
            });
            quoted(prop_oneof![
                plain,
                "-?P([0-9]{1,3}Y)?([0-9]{1,3}M)?([0-9]{1,3}D)?(T([0-9]{1,3}H)?([0-9]{1,3}M)?([0-9]{1,3}S)?)?",
                "-?P[0-9]{1,4}W",
                "P[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}",
                "-?[0-9]{1,3}[YMOWDHSNUmywdhsnu]{1,2}[0-9]{0,2}[ymwdhs]?",
                "-?[0-9]{8,20}(y|mo|d|w|h|ns)",
            ])
        }
        NativeType::Inet => prop_oneof![
            quoted(any::<std::net::Ipv4Addr>().prop_map(|a| a.to_string())),
            quoted(any::<std::net::Ipv6Addr>().prop_map(|a| a.to_string())),
            quoted("::ffff:[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}"),
        ]
        .boxed(),
        NativeType::Uuid => {
            quoted("[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-fA-F]{12}")
        }
        NativeType::Timeuuid => quoted(
            prop_oneof![20 => "[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", 1 => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"],
        ),
        _ => integers(),
    };
    let wrong = prop::sample::select(vec![
        "null", "true", "1", "1.5", "\"abc\"", "\"\"", "[]", "{}", "[1]", "\" 1\"", "\"null\"",
    ]);
    let changed = (
        fitting.clone(),
        any::<prop::sample::Index>(),
        prop::sample::select(vec!['0', '9', '-', '+', ':', ' ', 'x', '.', 'T']),
    )
        .prop_map(|(json, place, new)| change(&json, place, new));
    prop_oneof![30 => fitting, 1 => wrong.prop_map(str::to_owned), 4 => changed].boxed()
}

/// Changes one character inside a string.
fn change(json: &str, place: prop::sample::Index, new: char) -> String {
    match serde_json::from_str::<String>(json) {
        Ok(text) if !text.is_empty() => {
            let mut characters: Vec<char> = text.chars().collect();
            let place = place.index(characters.len());
            characters[place] = new;
            serde_json::to_string(&characters.into_iter().collect::<String>()).unwrap()
        }
        _ => json.to_owned(),
    }
}

/// The bytes of a value as they are stored.
#[derive(Debug, PartialEq)]
struct Stored(Option<Vec<u8>>);

impl<'frame, 'metadata> DeserializeValue<'frame, 'metadata> for Stored {
    fn type_check(_: &ColumnType<'_>) -> Result<(), TypeCheckError> {
        Ok(())
    }

    fn deserialize(
        _: &'metadata ColumnType<'metadata>,
        value: Option<FrameSlice<'frame>>,
    ) -> Result<Self, DeserializationError> {
        Ok(Self(value.map(|value| value.as_slice().to_vec())))
    }
}

/// A row's cells as they are.
struct Cells<'a>(&'a Row);

impl SerializeRow for Cells<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        for place in 0..context.columns().len() {
            let cell = writer.make_cell_writer();
            match self.0.cell(place) {
                CellRef::Unset => cell.set_unset(),
                CellRef::Null => cell.set_null(),
                CellRef::Value(bytes) => cell.set_value(bytes).map_err(SerializationError::new)?,
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        false
    }
}

struct Server {
    session: Session,
    table: Table,
    as_json: PreparedStatement,
    as_cells: PreparedStatement,
    read: Vec<PreparedStatement>,
}

impl Server {
    async fn connect() -> Self {
        let url = env::var("UNIBATCH_CQL_URL").expect("UNIBATCH_CQL_URL says where the server is");
        let session = SessionBuilder::new()
            .known_node(url.trim_start_matches("cql://"))
            .build()
            .await
            .unwrap();
        let run = async |text: &str| session.query_unpaged(text, ()).await.unwrap();
        run(&format!("DROP KEYSPACE IF EXISTS {KEYSPACE}")).await;
        run(&format!("CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")).await;
        run(&format!("CREATE TYPE {KEYSPACE}.person (name text, age int, tags frozen<set<int>>)"))
            .await;
        run(&format!("CREATE TYPE {KEYSPACE}.outer (one frozen<person>, many frozen<map<int, frozen<person>>>, \"Two\" double)")).await;
        let columns: Vec<String> = TYPES
            .iter()
            .enumerate()
            .map(|(n, typ)| {
                let typ = typ
                    .replace("person", &format!("{KEYSPACE}.person"))
                    .replace("outer", &format!("{KEYSPACE}.outer"));
                format!("c{n} {typ}")
            })
            .collect();
        run(&format!("CREATE TABLE {KEYSPACE}.t (id bigint PRIMARY KEY, {})", columns.join(", ")))
            .await;
        let state = session.get_cluster_state();
        let meta = state.get_keyspace(KEYSPACE).unwrap().tables.get("t").unwrap();
        let column = |name: &str, kind| Column {
            name: name.into(),
            typ: meta.columns[name].typ.clone(),
            kind,
        };
        let mut columns = vec![column("id", ColumnKind::PartitionKey)];
        columns.extend((0..TYPES.len()).map(|n| column(&format!("c{n}"), ColumnKind::Regular)));
        let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
        let prepare = async |text: String| session.prepare(text).await.unwrap();
        let as_json = prepare(format!("INSERT INTO {KEYSPACE}.t JSON ? DEFAULT UNSET")).await;
        let markers = vec!["?"; names.len()].join(", ");
        let as_cells =
            prepare(format!("INSERT INTO {KEYSPACE}.t ({}) VALUES ({markers})", names.join(", ")))
                .await;
        let mut read = Vec::new();
        for n in 0..TYPES.len() {
            read.push(prepare(format!("SELECT c{n} FROM {KEYSPACE}.t WHERE id = ?")).await);
        }
        let table = Table::new(KEYSPACE, "t", columns, 1, 1);
        drop(state);
        Self { session, table, as_json, as_cells, read }
    }

    async fn stored(&self, column: usize, id: i64) -> Option<Stored> {
        let rows = self.session.execute_unpaged(&self.read[column], (id,)).await.unwrap();
        let rows = rows.into_rows_result().unwrap();
        rows.maybe_first_row::<(Stored,)>().unwrap().map(|(stored,)| stored)
    }

    /// Writes a value both ways; says what is wrong if the ways differ and may not.
    async fn compare(&self, column: usize, json: &str, id: i64) -> Result<bool, String> {
        let typ = &self.table.columns[column + 1].typ;
        let by_server = self
            .session
            .execute_unpaged(&self.as_json, (format!("{{\"id\":{id},\"c{column}\":{json}}}"),))
            .await;
        let mut row = Row::default();
        row.clear(self.table.columns.len());
        let key = batch_core::Key::new().part("id", id + 1);
        encode::key(&self.table, key.as_ref(), &mut row).unwrap();
        let document = format!("{{\"c{column}\":{json}}}");
        let by_us = encode::document(&self.table, document.as_bytes(), &mut row);
        let is = |shows| has_exception(shows, typ, json);
        let say = |what: &str| format!("{} {json}: {what}", TypeName(typ));
        match (by_server, by_us) {
            (Err(_), Err(_)) => Ok(false),
            (Err(_), Ok(())) if is(Shows::Taken) => Ok(true),
            (Err(error), Ok(())) => Err(say(&format!("only the server refuses it: {error}"))),
            (Ok(_), Err(_)) if is(Shows::Refused) => Ok(true),
            (Ok(_), Err(error)) => Err(say(&format!("only we refuse it: {error}"))),
            (Ok(_), Ok(())) => {
                let written = self.session.execute_unpaged(&self.as_cells, Cells(&row)).await;
                written.map_err(|error| {
                    say(&format!("the server does not take our bytes: {error}"))
                })?;
                let (server, ours) =
                    (self.stored(column, id).await, self.stored(column, id + 1).await);
                if server != ours && !is(Shows::Otherwise) {
                    return Err(say(&format!(
                        "stored as {server:02x?} by the server, {ours:02x?} by us"
                    )));
                }
                Ok(true)
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn what_insert_json_stores_is_what_is_stored() {
    let server = Server::connect().await;
    let rounds: usize = env::var("UNIBATCH_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    let strategies: Vec<_> =
        server.table.columns[1..].iter().map(|column| json_of(&column.typ)).collect();
    let mut runner = TestRunner::default();
    let mut cases = Vec::new();
    for round in 0..rounds {
        for (column, strategy) in strategies.iter().enumerate() {
            let json = strategy.new_tree(&mut runner).unwrap().current();
            let id = i64::try_from((round * strategies.len() + column) * 2).unwrap();
            cases.push((column, json, id));
        }
    }
    let results: Vec<_> = stream::iter(&cases)
        .map(|(column, json, id)| server.compare(*column, json, *id))
        .buffer_unordered(32)
        .collect()
        .await;
    let taken = results.iter().filter(|result| matches!(result, Ok(true))).count();
    let mut wrong: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    wrong.sort_unstable();
    let listed: String = wrong.iter().take(60).map(|wrong| format!("{wrong}\n")).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{listed}", wrong.len(), cases.len());
    // Else the generated values would say little.
    assert!(taken * 2 > cases.len(), "only {taken} of {} were taken", cases.len());
}
