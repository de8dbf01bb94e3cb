//! JSON is compared by structure and value; placeholders stand for what differs between servers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Error;

/// What the names of placeholders stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound {
    names: BTreeMap<String, Value>,
}

/// A piece of a text: as it is, or a placeholder with its type and its name.
enum Piece<'a> {
    Text(&'a str),
    Hole { kind: &'a str, name: &'a str },
}

const KINDS: [&str; 12] =
    ["rev", "key", "id", "guid", "version", "decimal", "jwt", "str", "int", "num", "bool", "any"];

/// The pieces of a text.
fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(open) = text[start..].find('<').map(|place| start + place) {
        let hole = text[open..].find('>').map(|length| &text[open + 1..open + length]);
        let parts = hole.map(|hole| hole.split_once(':').unwrap_or((hole, "")));
        match parts.filter(|(kind, _)| KINDS.contains(kind)) {
            Some((kind, name)) => {
                pieces.push(Piece::Text(&text[..open]));
                pieces.push(Piece::Hole { kind, name });
                let length = kind.len() + if name.is_empty() { 0 } else { name.len() + 1 };
                text = &text[open + length + 2..];
                start = 0;
            }
            None => start = open + 1,
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}

/// A text with its placeholders filled in.
pub(crate) fn fill(text: &str, bound: &Bound) -> Result<String, Error> {
    let mut filled = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Hole { name, .. } => {
                let value = bound.names.get(name).ok_or(format!("nothing is bound to {name}"))?;
                filled.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
    }
    Ok(filled)
}

/// How many bytes at the start of `text` are of a kind, at most.
fn most(kind: &str, text: &str) -> usize {
    let run = |allowed: fn(char) -> bool| text.find(|c| !allowed(c)).unwrap_or(text.len());
    match kind {
        "rev" => run(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'),
        "key" => run(|c| c.is_ascii_alphanumeric() || "_-.@()+,=;$!*':%".contains(c)),
        "id" | "int" => run(|c| c.is_ascii_digit() || c == '-'),
        "guid" => run(|c| c.is_ascii_digit() || ('A'..='F').contains(&c) || c == 'h'),
        "decimal" => run(|c| c.is_ascii_digit() || c == '.'),
        "version" => run(|c| c.is_ascii_alphanumeric() || ".+-_".contains(c)),
        "jwt" => run(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
        _ => text.len(),
    }
}

/// Whether a text is of a kind, as a whole.
fn is(kind: &str, text: &str) -> bool {
    let fits = match kind {
        "rev" => text.starts_with('_') && (6..=21).contains(&text.len()),
        "guid" => text.starts_with('h') && text.len() > 1,
        "decimal" => text.split('.').count() == 2,
        "version" => text.split('.').count() >= 3,
        "jwt" => text.split('.').count() == 3,
        "id" => !text.contains('-'),
        _ => true,
    };
    fits && (kind == "str" || !text.is_empty()) && most(kind, text) == text.len()
}

impl Bound {
    pub(crate) fn fill_value(&self, value: &Value) -> Result<Value, Error> {
        Ok(match value {
            Value::String(text) => fill(text, self)?.into(),
            Value::Array(items) => {
                items.iter().map(|item| self.fill_value(item)).collect::<Result<_, _>>()?
            }
            Value::Object(map) => map
                .iter()
                .map(|(name, value)| Ok((name.clone(), self.fill_value(value)?)))
                .collect::<Result<serde_json::Map<_, _>, Error>>()?
                .into(),
            other => other.clone(),
        })
    }

    /// What differs between what is expected and what was found; binds names on the way.
    pub(crate) fn compare(&mut self, expected: &Value, found: &Value, at: &str) -> Vec<String> {
        match (expected, found) {
            (Value::String(expected), found) => self.compare_text(expected, found, at),
            (Value::Object(expected), Value::Object(found)) => {
                let open = expected.contains_key("...");
                let mut differences = Vec::new();
                for (name, value) in expected.iter().filter(|(name, _)| *name != "...") {
                    match found.get(name) {
                        Some(found) => {
                            differences.extend(self.compare(value, found, &format!("{at}.{name}")));
                        }
                        None => differences.push(format!("{at}: no {name}")),
                    }
                }
                let more = found.keys().filter(|name| !open && !expected.contains_key(*name));
                differences.extend(more.map(|name| format!("{at}: {name}, which no server sends")));
                differences
            }
            (Value::Array(expected), Value::Array(found)) => match expected.split_first() {
                Some((first, rest)) if first == "..." => {
                    rest.iter().filter_map(|one| self.among(one, found, at)).collect()
                }
                _ if expected.len() == found.len() => expected
                    .iter()
                    .zip(found)
                    .enumerate()
                    .flat_map(|(place, (one, found))| {
                        self.compare(one, found, &format!("{at}[{place}]"))
                    })
                    .collect(),
                _ => vec![format!("{at}: {} elements for {}", found.len(), expected.len())],
            },
            (Value::Number(expected), Value::Number(found))
                if expected.as_f64() == found.as_f64() =>
            {
                Vec::new()
            }
            (expected, found) if expected == found => Vec::new(),
            (expected, found) => vec![format!("{at}: {found} for {expected}")],
        }
    }

    fn among(&mut self, expected: &Value, found: &[Value], at: &str) -> Option<String> {
        for one in found {
            let mut bound = self.clone();
            if bound.compare(expected, one, at).is_empty() {
                *self = bound;
                return None;
            }
        }
        Some(format!("{at}: no element {expected}"))
    }

    fn compare_text(&mut self, expected: &str, found: &Value, at: &str) -> Vec<String> {
        let differs = || vec![format!("{at}: {found} for {expected:?}")];
        if let [Piece::Text(""), Piece::Hole { kind, name }, Piece::Text("")] = pieces(expected)[..]
        {
            let fits = match (kind, found) {
                ("any", _) | ("bool", Value::Bool(_)) | ("num", Value::Number(_)) => true,
                ("int", Value::Number(number)) => !number.is_f64(),
                ("int" | "num" | "bool", _) => false,
                (kind, Value::String(text)) => is(kind, text),
                _ => false,
            };
            return if fits && self.binds(name, found) { Vec::new() } else { differs() };
        }
        let Value::String(mut rest) = found.clone() else { return differs() };
        let pieces = pieces(expected);
        for (place, piece) in pieces.iter().enumerate() {
            let length = match piece {
                Piece::Text(text) if rest.starts_with(text) => text.len(),
                Piece::Text(_) => return differs(),
                Piece::Hole { kind, name } => {
                    let next = match pieces.get(place + 1) {
                        Some(Piece::Text(text)) => *text,
                        _ => "",
                    };
                    let Some(length) = self.hole(kind, name, next, &rest) else { return differs() };
                    length
                }
            };
            rest.drain(..length);
        }
        if rest.is_empty() { Vec::new() } else { differs() }
    }

    /// How many bytes a placeholder takes, so that what is next follows.
    fn hole(&mut self, kind: &str, name: &str, next: &str, rest: &str) -> Option<usize> {
        let most = most(kind, rest);
        for length in (0..=most).rev().filter(|length| rest.is_char_boundary(*length)) {
            let follows = if next.is_empty() {
                length == rest.len()
            } else {
                rest[length..].starts_with(next)
            };
            if follows && is(kind, &rest[..length]) && self.binds(name, &rest[..length].into()) {
                return Some(length);
            }
        }
        None
    }

    /// Whether a name stands for a value, from now on if it stood for none.
    fn binds(&mut self, name: &str, value: &Value) -> bool {
        name.is_empty()
            || *self.names.entry(name.to_owned()).or_insert_with(|| value.clone()) == *value
    }
}
