//! A row as a service of users may hold it: 14 columns besides the key, of many types.

use std::{borrow::Cow, collections::HashMap};

use scylla::{SerializeRow, value::CqlTimestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Partitioned, Row};

/// The row.
#[derive(Clone, Debug, Serialize, SerializeRow)]
#[scylla(flavor = "enforce_order")]
pub(crate) struct Wide {
    /// The partition; no attribute of the document.
    #[serde(skip)]
    p: i64,
    /// The place in it; no attribute of the document.
    #[serde(skip)]
    c: i64,
    name: String,
    email: String,
    street: String,
    city: String,
    country: String,
    phone: String,
    note: String,
    age: i32,
    visits: i64,
    score: f64,
    active: bool,
    #[serde(serialize_with = "millis")]
    seen: CqlTimestamp,
    tags: Vec<String>,
    limits: HashMap<String, i32>,
}

/// The same, read from a document, as the driver takes it.
#[derive(Debug, Deserialize, SerializeRow)]
#[scylla(flavor = "enforce_order")]
pub(crate) struct ReadWide<'a> {
    #[serde(skip)]
    p: i64,
    #[serde(skip)]
    c: i64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
    #[serde(borrow)]
    street: Cow<'a, str>,
    #[serde(borrow)]
    city: Cow<'a, str>,
    #[serde(borrow)]
    country: Cow<'a, str>,
    #[serde(borrow)]
    phone: Cow<'a, str>,
    #[serde(borrow)]
    note: Cow<'a, str>,
    age: i32,
    visits: i64,
    score: f64,
    active: bool,
    #[serde(deserialize_with = "timestamp")]
    seen: CqlTimestamp,
    // Serde borrows no text inside a list or a map of `Cow`.
    tags: Vec<String>,
    limits: HashMap<String, i32>,
}

impl Row for Wide {
    const TABLE: &'static str = "wide_rows";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("name", "text"),
        ("email", "text"),
        ("street", "text"),
        ("city", "text"),
        ("country", "text"),
        ("phone", "text"),
        ("note", "text"),
        ("age", "int"),
        ("visits", "bigint"),
        ("score", "double"),
        ("active", "boolean"),
        ("seen", "timestamp"),
        ("tags", "set<text>"),
        ("limits", "map<text, int>"),
    ];

    type Read<'a> = ReadWide<'a>;

    fn new(p: i64, c: i64, number: u32) -> Self {
        let text = |start: &str| format!("{start} {number:06}");
        Self {
            p,
            c,
            name: text("Abigail Marguerite"),
            email: format!("abigail.{number:06}@mail.example.org"),
            street: text("Upper Harbour Street"),
            city: text("Newcastle upon Tyne"),
            country: "United Kingdom".to_owned(),
            phone: format!("+44 191 {number:06}"),
            note: text(
                "Prefers to be called in the morning, pays at the end of the month, asked twice for the new catalogue, and has a dog; last order",
            ),
            age: i32::try_from(18 + number % 80).unwrap_or(i32::MAX),
            visits: i64::from(number) * 17,
            score: f64::from(number) / 7.0,
            active: number.is_multiple_of(3),
            seen: CqlTimestamp(1_700_000_000_000 + i64::from(number) * 1000),
            tags: vec!["customer".to_owned(), "newsletter".to_owned(), text("group")],
            limits: HashMap::from([("credit".to_owned(), 2500), ("orders".to_owned(), 12)]),
        }
    }

    fn place(&self) -> i64 {
        self.c
    }

    fn read(p: i64, c: i64, text: &str) -> serde_json::Result<Self::Read<'_>> {
        Ok(ReadWide { p, c, ..serde_json::from_str(text)? })
    }
}

impl Partitioned for Wide {
    fn partition(&self) -> i64 {
        self.p
    }
}

impl Partitioned for ReadWide<'_> {
    fn partition(&self) -> i64 {
        self.p
    }
}

/// A timestamp as JSON has it for the server: a number of milliseconds.
fn millis<S: Serializer>(timestamp: &CqlTimestamp, serializer: S) -> Result<S::Ok, S::Error> {
    timestamp.0.serialize(serializer)
}

/// The same, read.
fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CqlTimestamp, D::Error> {
    i64::deserialize(deserializer).map(CqlTimestamp)
}
