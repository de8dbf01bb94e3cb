//! The functions that queries of drivers and batches use.

use serde_json::{Map, Value, json};

use super::value::{compare, like, number, text, truth, whole};
use crate::errors::Failure;

/// Whether there is a function of that name, in capitals, with so many arguments.
pub(super) fn check(name: &str, arguments: usize) -> Result<(), Failure> {
    let Some((least, most)) = arity(name) else {
        return Err(Failure::new(1540).says(format!("usage of unknown function '{name}()'")));
    };
    if (least..=most).contains(&arguments) {
        return Ok(());
    }
    Err(Failure::new(1541).says(format!(
        "invalid number of arguments for function '{name}()', expected number of arguments: minimum: {least}, maximum: {most}"
    )))
}

/// Calls a function that was checked.
pub(super) fn call(name: &str, arguments: &[Value]) -> Value {
    let first = arguments.first().unwrap_or(&Value::Null);
    let second = arguments.get(1).unwrap_or(&Value::Null);
    match name {
        "LENGTH" | "COUNT" => length(first).into(),
        "FIRST" => items(first).first().cloned().unwrap_or_default(),
        "LAST" => items(first).last().cloned().unwrap_or_default(),
        "NTH" => {
            let place = usize::try_from(whole(second)).ok();
            place.and_then(|place| items(first).get(place).cloned()).unwrap_or_default()
        }
        "PUSH" => pushed(first, second, arguments.get(2)),
        "APPEND" => match second {
            Value::Array(more) => {
                more.iter().fold(first.clone(), |list, item| pushed(&list, item, arguments.get(2)))
            }
            one => pushed(first, one, arguments.get(2)),
        },
        "UNIQUE" => items(first)
            .iter()
            .fold(json!([]), |list, item| pushed(&list, item, Some(&true.into()))),
        "REVERSE" => match first {
            Value::Array(items) => items.iter().rev().cloned().collect(),
            other => text(other).chars().rev().collect::<String>().into(),
        },
        "SORTED" => {
            let mut items = items(first).to_vec();
            items.sort_by(compare);
            items.into()
        }
        "SUM" => items(first).iter().fold(json!(0), |sum, item| {
            super::value::arithmetic(&sum, item, i64::checked_add, |a, b| a + b).unwrap_or_default()
        }),
        "AVG" | "AVERAGE" => average(items(first)),
        "MIN" => items(first)
            .iter()
            .filter(|v| !v.is_null())
            .min_by(|a, b| compare(a, b))
            .cloned()
            .unwrap_or_default(),
        "MAX" => items(first).iter().max_by(|a, b| compare(a, b)).cloned().unwrap_or_default(),
        "RANGE" => (whole(first)..=whole(second)).collect(),
        "CONCAT" => match first {
            Value::Array(items) if arguments.len() == 1 => items.iter().map(text).collect(),
            _ => arguments.iter().map(text).collect::<String>().into(),
        },
        "UPPER" => text(first).to_uppercase().into(),
        "LOWER" => text(first).to_lowercase().into(),
        "TRIM" => text(first).trim().into(),
        "CONTAINS" => text(first).contains(&text(second)).into(),
        "STARTS_WITH" => text(first).starts_with(&text(second)).into(),
        "LIKE" => like(&text(first), &text(second)).into(),
        "SPLIT" => text(first).split(&text(second)).map(Value::from).collect(),
        "SUBSTRING" => {
            let start = usize::try_from(whole(second)).unwrap_or(0);
            let length = arguments
                .get(2)
                .map_or(usize::MAX, |length| usize::try_from(whole(length)).unwrap_or(0));
            text(first).chars().skip(start).take(length).collect::<String>().into()
        }
        "TO_STRING" => text(first).into(),
        "TO_NUMBER" => number(first),
        "TO_BOOL" => truth(first).into(),
        "TO_ARRAY" => match first {
            Value::Null => json!([]),
            Value::Array(_) => first.clone(),
            one => json!([one]),
        },
        "ABS" | "FLOOR" | "CEIL" | "ROUND" => rounded(name, first),
        "IS_NULL" => first.is_null().into(),
        "IS_BOOL" => first.is_boolean().into(),
        "IS_NUMBER" => first.is_number().into(),
        "IS_STRING" => first.is_string().into(),
        "IS_ARRAY" | "IS_LIST" => first.is_array().into(),
        "IS_OBJECT" | "IS_DOCUMENT" => first.is_object().into(),
        "NOT_NULL" | "FIRST_LIST" => {
            arguments.iter().find(|value| !value.is_null()).cloned().unwrap_or_default()
        }
        "HAS" => first.get(text(second)).is_some().into(),
        "ATTRIBUTES" | "KEYS" => object(first)
            .keys()
            .filter(|name| !hidden(second, name))
            .cloned()
            .map(Value::from)
            .collect(),
        "VALUES" => object(first)
            .iter()
            .filter(|(name, _)| !hidden(second, name))
            .map(|(_, value)| value.clone())
            .collect(),
        "MERGE" => merged(arguments).into(),
        "KEEP" | "UNSET" => {
            let names = names(&arguments[1..]);
            let keep = name == "KEEP";
            let kept = object(first).into_iter().filter(|(name, _)| names.contains(name) == keep);
            Value::Object(kept.collect())
        }
        "PARSE_IDENTIFIER" => {
            let id = first.get("_id").map_or_else(|| text(first), text);
            id.split_once('/').map_or(
                Value::Null,
                |(collection, key)| json!({"collection": collection, "key": key}),
            )
        }
        "PARSE_KEY" => text(first).split_once('/').map_or(Value::Null, |(_, key)| key.into()),
        "RAND" => json!(fastrand::f64()),
        _ => Value::Null,
    }
}

/// How few and how many arguments a function takes; none if there is no such function.
fn arity(name: &str) -> Option<(usize, usize)> {
    const ANY: usize = 1000;
    Some(match name {
        "LENGTH" | "COUNT" | "FIRST" | "LAST" | "UNIQUE" | "REVERSE" | "SORTED" | "SUM" | "AVG"
        | "AVERAGE" | "MIN" | "MAX" | "UPPER" | "LOWER" | "TO_STRING" | "TO_NUMBER" | "TO_BOOL"
        | "TO_ARRAY" | "ABS" | "FLOOR" | "CEIL" | "ROUND" | "IS_NULL" | "IS_BOOL" | "IS_NUMBER"
        | "IS_STRING" | "IS_ARRAY" | "IS_LIST" | "IS_OBJECT" | "IS_DOCUMENT"
        | "PARSE_IDENTIFIER" | "PARSE_KEY" => (1, 1),
        "RAND" => (0, 0),
        "NTH" | "RANGE" | "CONTAINS" | "STARTS_WITH" | "SPLIT" | "HAS" => (2, 2),
        "PUSH" | "APPEND" | "LIKE" | "SUBSTRING" => (2, 3),
        "TRIM" | "DOCUMENT" | "ATTRIBUTES" | "KEYS" | "VALUES" => (1, 2),
        "CONCAT" | "NOT_NULL" | "FIRST_LIST" | "MERGE" => (1, ANY),
        "KEEP" | "UNSET" => (2, ANY),
        _ => return None,
    })
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        Value::Bool(value) => usize::from(*value),
        other => text(other).chars().count(),
    }
}

/// A list with one more; with `unique`, only if it is not in it.
fn pushed(list: &Value, item: &Value, unique: Option<&Value>) -> Value {
    let mut items = items(list).to_vec();
    let known = unique.is_some_and(truth) && items.iter().any(|other| compare(other, item).is_eq());
    if !known {
        items.push(item.clone());
    }
    items.into()
}

fn average(items: &[Value]) -> Value {
    let numbers: Vec<f64> = items.iter().filter_map(Value::as_f64).collect();
    let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    if count == 0 { Value::Null } else { json!(numbers.iter().sum::<f64>() / f64::from(count)) }
}

fn rounded(name: &str, value: &Value) -> Value {
    let value = number(value);
    if let Some(whole) = value.as_i64() {
        return if name == "ABS" { whole.abs().into() } else { whole.into() };
    }
    let float = value.as_f64().unwrap_or(0.0);
    json!(match name {
        "ABS" => float.abs(),
        "FLOOR" => float.floor(),
        "CEIL" => float.ceil(),
        _ => (float + 0.5).floor(),
    })
}

/// Whether a system attribute is left out.
fn hidden(without_system: &Value, name: &str) -> bool {
    truth(without_system) && name.starts_with('_')
}

fn merged(arguments: &[Value]) -> Map<String, Value> {
    let parts = match arguments {
        [Value::Array(parts)] => parts,
        parts => parts,
    };
    parts.iter().flat_map(object).collect()
}

/// Names that are given one by one, or as a list.
fn names(arguments: &[Value]) -> Vec<String> {
    arguments
        .iter()
        .flat_map(|argument| match argument {
            Value::Array(names) => names.iter().map(text).collect(),
            one => vec![text(one)],
        })
        .collect()
}
