//! A small row: two columns besides the key.

use std::borrow::Cow;

use scylla::SerializeRow;
use serde::{Deserialize, Serialize};

use super::{Partitioned, Row};

/// The row.
#[derive(Clone, Debug, Serialize, SerializeRow)]
#[scylla(flavor = "enforce_order")]
pub(crate) struct Small {
    /// The partition; no attribute of the document.
    #[serde(skip)]
    pub(crate) p: i64,
    /// The place in it; no attribute of the document.
    #[serde(skip)]
    pub(crate) c: i64,
    /// Ten characters.
    pub(crate) name: String,
    pub(crate) age: i32,
}

/// The same, read from a document, as the driver takes it.
#[derive(Debug, Deserialize, SerializeRow)]
#[scylla(flavor = "enforce_order")]
pub(crate) struct ReadSmall<'a> {
    #[serde(skip)]
    p: i64,
    #[serde(skip)]
    c: i64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    age: i32,
}

impl Row for Small {
    const TABLE: &'static str = "rows";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[("name", "text"), ("age", "int")];

    type Read<'a> = ReadSmall<'a>;

    fn new(p: i64, c: i64, number: u32) -> Self {
        let age = i32::try_from(18 + number % 80).unwrap_or(i32::MAX);
        Self { p, c, name: format!("Abby{number:06}"), age }
    }

    fn place(&self) -> i64 {
        self.c
    }

    fn read(p: i64, c: i64, text: &str) -> serde_json::Result<Self::Read<'_>> {
        Ok(ReadSmall { p, c, ..serde_json::from_str(text)? })
    }
}

impl Partitioned for Small {
    fn partition(&self) -> i64 {
        self.p
    }
}

impl Partitioned for ReadSmall<'_> {
    fn partition(&self) -> i64 {
        self.p
    }
}
