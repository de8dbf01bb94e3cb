//! A request as the handlers see it: from a connection, or embedded in a batch.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use percent_encoding::percent_decode;
use serde_json::Value;

use crate::{errors::Failure, json};

/// A request's parts, with the database split off its path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// In capitals.
    pub(crate) method: String,
    pub(crate) database: String,
    /// Behind `/_db/<name>`, not decoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// By names in small letters; of a name that comes twice, the last.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

impl Request {
    /// Of a method and a target, which may lead into a database.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: method.to_ascii_uppercase(),
            database: "_system".into(),
            path: collapse(path),
            query: read_query(query),
            ..Self::default()
        };
        let inner = request.path.strip_prefix("/_db/").map(str::to_owned);
        if let Some(inner) = inner {
            let (name, rest) = inner.split_once('/').unwrap_or((&inner, ""));
            request.database = decode(name);
            request.path = format!("/{rest}");
        }
        request
    }

    /// The path's segments, decoded after they were split.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
    }

    /// The last one of that name, as the server's own map keeps it.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean of the query: `true`, `yes`, `on`, `y` and `1` are true, all else is false.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.parameter(name).map_or(default, |value| {
            matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "y" | "1")
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A revision of a header, without one quote at each end.
    pub(crate) fn revision(&self, name: &str) -> Option<&str> {
        let text = self.header(name)?.trim();
        let quotes: &[char] = &['"', '\''];
        let text = text.strip_prefix(quotes).unwrap_or(text);
        Some(text.strip_suffix(quotes).unwrap_or(text))
    }

    /// The body as JSON; an empty one is an empty object, as the server has it.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        json::parse(&self.body).map_err(|error| Failure::new(600).says(error.to_string()))
    }
}

/// Percent-decoded; bytes that are no UTF-8 are replaced.
pub(crate) fn decode(text: &str) -> String {
    percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned()
}

fn read_query(text: &str) -> Vec<(String, String)> {
    let plain = |text: &str| decode(&text.replace('+', " "));
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name), plain(value))
        })
        .collect()
}

/// One slash for each run of them.
fn collapse(path: &str) -> String {
    let mut path = Cow::Borrowed(path);
    while path.contains("//") {
        path = Cow::Owned(path.replace("//", "/"));
    }
    path.into_owned()
}
