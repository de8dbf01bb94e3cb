//! What is written: small rows, spread over as many partitions as asked for, in shuffled order.

use std::borrow::Cow;

use scylla::SerializeRow;
use serde::{Deserialize, Serialize};

/// The table's columns, as CQL.
pub(crate) const COLUMNS: &str = "p bigint, c bigint, name text, age int, PRIMARY KEY (p, c)";

/// A row as a service holds it.
#[derive(Clone, Debug, Serialize, SerializeRow)]
#[scylla(flavor = "enforce_order")]
pub(crate) struct Row {
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

/// A row as a service gets it from others: the key, and the document as JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) p: i64,
    pub(crate) c: i64,
    pub(crate) text: String,
}

/// What code by hand reads a document into. It copies no text unless there is an escape in it.
#[derive(Debug, Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    age: i32,
}

/// A document that was read, as the driver takes it.
#[derive(Debug, SerializeRow)]
#[scylla(flavor = "enforce_order")]
pub(crate) struct ReadRow<'a> {
    p: i64,
    c: i64,
    name: Cow<'a, str>,
    age: i32,
}

/// What has a partition.
pub(crate) trait Partitioned {
    fn partition(&self) -> i64;
}

impl Partitioned for Row {
    fn partition(&self) -> i64 {
        self.p
    }
}

impl Partitioned for ReadRow<'_> {
    fn partition(&self) -> i64 {
        self.p
    }
}

impl Document {
    /// Parses the document.
    pub(crate) fn read(&self) -> serde_json::Result<ReadRow<'_>> {
        let Read { name, age } = serde_json::from_str(&self.text)?;
        Ok(ReadRow { p: self.p, c: self.c, name, age })
    }
}

/// One workload, in each of the shapes that programs have it in.
#[derive(Debug)]
pub(crate) struct Input {
    /// In order of arrival, which is no order.
    pub(crate) rows: Vec<Row>,
    /// The same, sorted by partition.
    pub(crate) sorted: Vec<Row>,
    /// The same as `rows`.
    pub(crate) documents: Vec<Document>,
}

impl Input {
    /// So many rows over so many partitions, the same in every run.
    pub(crate) fn new(count: u32, partitions: u32) -> serde_json::Result<Self> {
        let rows: Vec<Row> = shuffled(count).map(|number| row(number, count, partitions)).collect();
        let mut sorted = rows.clone();
        sorted.sort_unstable_by_key(Row::partition);
        let documents = rows
            .iter()
            .map(|row| Ok(Document { p: row.p, c: row.c, text: serde_json::to_string(row)? }));
        let documents = documents.collect::<serde_json::Result<_>>()?;
        Ok(Self { rows, sorted, documents })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// All numbers below `count` in an order without neighbours.
pub(crate) fn shuffled(count: u32) -> impl Iterator<Item = u32> {
    // A prime: it takes every number once unless `count` is a multiple of it.
    const STEP: u64 = 7919;
    (0..u64::from(count))
        .map(move |place| u32::try_from(place * STEP % u64::from(count)).unwrap_or(u32::MAX))
}

/// The row with a number: neighbours in number are neighbours in a partition.
pub(crate) fn row(number: u32, count: u32, partitions: u32) -> Row {
    let each = count.div_ceil(partitions.max(1)).max(1);
    Row {
        p: (number / each).into(),
        c: number.into(),
        name: format!("Abby{number:06}"),
        age: i32::try_from(18 + number % 80).unwrap_or(i32::MAX),
    }
}
