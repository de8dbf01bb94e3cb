//! Types and values for tests: JSON of which most fits its type, in all forms that are taken.

use std::{fmt::Write as _, sync::Arc};

use proptest::prelude::*;
use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType, UserDefinedType};

/// The native types whose values have an order.
pub(crate) const SCALARS: [NativeType; 18] = [
    NativeType::Ascii,
    NativeType::BigInt,
    NativeType::Blob,
    NativeType::Boolean,
    NativeType::Date,
    NativeType::Decimal,
    NativeType::Double,
    NativeType::Float,
    NativeType::Inet,
    NativeType::Int,
    NativeType::SmallInt,
    NativeType::Text,
    NativeType::Time,
    NativeType::Timestamp,
    NativeType::Timeuuid,
    NativeType::TinyInt,
    NativeType::Uuid,
    NativeType::Varint,
];

/// Types of columns, up to three levels deep.
pub(crate) fn types() -> BoxedStrategy<ColumnType<'static>> {
    let scalar = prop::sample::select(SCALARS.to_vec()).prop_map(ColumnType::Native);
    let any =
        prop_oneof![20 => scalar.clone(), 1 => Just(ColumnType::Native(NativeType::Duration))];
    any.prop_recursive(3, 12, 4, move |inner| {
        let collection = |typ| ColumnType::Collection { frozen: true, typ };
        // No durations: they have no order.
        let ordered = scalar.clone().boxed();
        let pair = (ordered.clone(), ordered.clone())
            .prop_map(|(one, two)| ColumnType::Tuple(vec![one, two]));
        let ordered = prop_oneof![4 => ordered, 1 => pair];
        prop_oneof![
            inner.clone().prop_map(move |of| collection(CollectionType::List(Box::new(of)))),
            ordered.clone().prop_map(move |of| collection(CollectionType::Set(Box::new(of)))),
            (ordered, inner.clone()).prop_map(move |(key, of)| collection(CollectionType::Map(
                Box::new(key),
                Box::new(of)
            ))),
            (inner.clone(), 1..4_u16)
                .prop_map(|(of, dimensions)| ColumnType::Vector { typ: Box::new(of), dimensions }),
            prop::collection::vec(inner.clone(), 1..4).prop_map(ColumnType::Tuple),
            prop::collection::vec(inner, 1..4).prop_map(|types| {
                let named = |(n, typ)| (format!("f{n}").into(), typ);
                let field_types = types.into_iter().enumerate().map(named).collect();
                let definition =
                    UserDefinedType { name: "t".into(), keyspace: "k".into(), field_types };
                ColumnType::UserDefinedType { frozen: true, definition: Arc::new(definition) }
            }),
        ]
    })
    .boxed()
}

/// JSON for a type: most of it fits, in one of the forms that are taken; some nearly does.
pub(crate) fn json_of(typ: &ColumnType<'static>) -> BoxedStrategy<String> {
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

/// Numbers of one size, and some of others.
fn mostly<N: std::fmt::Display>(
    numbers: impl Strategy<Value = N> + 'static,
) -> BoxedStrategy<String> {
    prop_oneof![6 => numbers.prop_map(|n| n.to_string()), 1 => integers()].boxed()
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
        NativeType::TinyInt => mostly(any::<i8>()),
        NativeType::SmallInt => mostly(any::<i16>()),
        NativeType::Int => mostly(any::<i32>()),
        NativeType::BigInt => mostly(any::<i64>()),
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
    prop_oneof![60 => fitting, 1 => wrong.prop_map(str::to_owned), 3 => changed].boxed()
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
