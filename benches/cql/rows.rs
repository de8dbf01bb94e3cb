//! What is written: rows spread over as many partitions as asked for, in shuffled order.

mod small;
mod wide;

use scylla::serialize::row::SerializeRow;
use serde::Serialize;

pub(crate) use small::Small;
pub(crate) use wide::Wide;

/// A row as a service holds it; serde writes its document, which is without the key.
pub(crate) trait Row: Clone + Send + Sync + Serialize + SerializeRow + Partitioned {
    /// The table's name.
    const TABLE: &'static str;
    /// Its columns with their types, after those of the key, which are `p` and `c`.
    const COLUMNS: &'static [(&'static str, &'static str)];

    /// What code by hand parses a document into. It copies no text unless there is an escape in it.
    type Read<'a>: Send + Sync + SerializeRow + Partitioned;

    /// The row with a number.
    fn new(p: i64, c: i64, number: u32) -> Self;

    /// The place in the partition.
    fn place(&self) -> i64;

    /// Parses a document.
    fn read(p: i64, c: i64, text: &str) -> serde_json::Result<Self::Read<'_>>;
}

/// What has a partition.
pub(crate) trait Partitioned {
    fn partition(&self) -> i64;
}

/// A row as a service gets it from others: the key, and the document as JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) p: i64,
    pub(crate) c: i64,
    pub(crate) text: String,
}

/// One workload, in each of the shapes that programs have it in.
#[derive(Debug)]
pub(crate) struct Input<R> {
    /// In order of arrival, which is no order.
    pub(crate) rows: Vec<R>,
    /// The same, sorted by partition.
    pub(crate) sorted: Vec<R>,
    /// The same as `rows`.
    pub(crate) documents: Vec<Document>,
}

impl<R: Row> Input<R> {
    /// So many rows over so many partitions, the same in every run.
    pub(crate) fn new(count: u32, partitions: u32) -> serde_json::Result<Self> {
        let rows: Vec<R> = shuffled(count).map(|number| row(number, count, partitions)).collect();
        let mut sorted = rows.clone();
        sorted.sort_unstable_by_key(R::partition);
        let documents = rows.iter().map(|row| {
            let text = serde_json::to_string(row)?;
            Ok(Document { p: row.partition(), c: row.place(), text })
        });
        let documents = documents.collect::<serde_json::Result<_>>()?;
        Ok(Self { rows, sorted, documents })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes of a document, on average.
    pub(crate) fn document_bytes(&self) -> usize {
        let bytes: usize = self.documents.iter().map(|document| document.text.len()).sum();
        bytes / self.documents.len().max(1)
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
pub(crate) fn row<R: Row>(number: u32, count: u32, partitions: u32) -> R {
    let each = count.div_ceil(partitions.max(1)).max(1);
    R::new((number / each).into(), number.into(), number)
}
