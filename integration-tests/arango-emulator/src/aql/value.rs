//! What AQL's operators make of JSON values. By the public documentation's "Type and value order".

use std::cmp::Ordering;

use serde_json::{Value, json};

/// All values are in one order: null, booleans, numbers, strings, arrays, objects.
pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => {
            let whole = left.as_i64().zip(right.as_i64()).map(|(left, right)| left.cmp(&right));
            let float = || left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal);
            whole.unwrap_or_else(float)
        }
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let longest = left.len().max(right.len());
            let at = |list: &[Value], place| list.get(place).cloned().unwrap_or(Value::Null);
            (0..longest)
                .map(|place| compare(&at(left, place), &at(right, place)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        }
        (Value::Object(left), Value::Object(right)) => {
            let mut names: Vec<&String> = left.keys().chain(right.keys()).collect();
            names.sort_unstable();
            names.dedup();
            // What is missing compares as null.
            let at = |map: &serde_json::Map<String, Value>, name| {
                map.get(name).cloned().unwrap_or(Value::Null)
            };
            names
                .into_iter()
                .map(|name| compare(&at(left, name), &at(right, name)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// A value as a number; what has none is 0.
pub(super) fn number(value: &Value) -> Value {
    match value {
        Value::Number(_) => value.clone(),
        Value::Bool(value) => i64::from(*value).into(),
        Value::String(text) => {
            let text = text.trim();
            let whole = text.parse::<i64>().map(Value::from);
            whole.or_else(|_| text.parse::<f64>().map(|number| json!(number))).unwrap_or(0.into())
        }
        Value::Array(items) if items.len() == 1 => number(&items[0]),
        Value::Null | Value::Array(_) | Value::Object(_) => 0.into(),
    }
}

/// A value as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => crate::json::text(other),
    }
}

/// `+`, `-`, `*`, `%` and `/`: whole where both are and it fits. None for a division by zero.
pub(super) fn arithmetic(
    left: &Value,
    right: &Value,
    whole: fn(i64, i64) -> Option<i64>,
    float: fn(f64, f64) -> f64,
) -> Option<Value> {
    let (left, right) = (number(left), number(right));
    if let Some(result) =
        left.as_i64().zip(right.as_i64()).and_then(|(left, right)| whole(left, right))
    {
        return Some(result.into());
    }
    let result = float(left.as_f64().unwrap_or(0.0), right.as_f64().unwrap_or(0.0));
    result.is_finite().then(|| json!(result))
}

/// A number as a whole one, cut.
pub(super) fn whole(value: &Value) -> i64 {
    let value = number(value);
    value.as_i64().unwrap_or_else(|| {
        let cut = value.as_f64().unwrap_or(0.0).trunc();
        format!("{cut:.0}").parse().unwrap_or(0)
    })
}

/// `LIKE`: `_` is one character, `%` any number of them, `\` takes either literally.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    fn matches(text: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|skip| matches(&text[skip..], rest)),
            ['_', rest @ ..] => !text.is_empty() && matches(&text[1..], rest),
            ['\\', literal @ ('%' | '_' | '\\'), rest @ ..] | [literal, rest @ ..] => {
                text.first() == Some(literal) && matches(&text[1..], rest)
            }
        }
    }
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    matches(&chars(text), &chars(pattern))
}
