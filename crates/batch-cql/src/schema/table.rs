//! What is known of a table: its columns in the order in which rows are held.

use std::{borrow::Cow, collections::HashMap};

use foldhash::fast::FixedState;
use scylla::cluster::metadata::{self, CollectionType, ColumnKind, ColumnType, NativeType};

use crate::{
    encode,
    row::{CellRef, Row},
};

/// The most bytes of a partition key, and of all clustering columns of a row.
pub(crate) const LONGEST_KEY: usize = u16::MAX as usize;
/// The longest time to live, in seconds: 20 years.
pub(crate) const LONGEST_TTL: u32 = 630_720_000;

/// A table of the cluster's schema.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) keyspace: Box<str>,
    pub(crate) name: Box<str>,
    /// The partition key, then the clustering key, each in the table's order, then the others by name.
    pub(crate) columns: Vec<Column>,
    /// How many of the columns are the partition key.
    pub(crate) partition: usize,
    /// How many of the columns are the key.
    pub(crate) key: usize,
    /// Whether rows can be one although their keys' bytes differ.
    pub(crate) has_loose_key: bool,
    places: HashMap<Box<str>, usize, FixedState>,
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: Box<str>,
    pub(crate) typ: ColumnType<'static>,
    pub(crate) kind: ColumnKind,
}

impl Column {
    /// Whether it is a list that grows if it is set twice at one time.
    pub(crate) fn is_growing_list(&self) -> bool {
        let ColumnType::Collection { frozen: false, typ } = &self.typ else { return false };
        matches!(typ, CollectionType::List(_))
    }

    /// Whether it counts.
    pub(crate) fn is_counter(&self) -> bool {
        is_counter(&self.typ)
    }
}

/// Whether values of a type count.
pub(crate) fn is_counter(typ: &ColumnType<'_>) -> bool {
    matches!(typ, ColumnType::Native(NativeType::Counter))
}

impl Table {
    /// A table as the driver's metadata has it.
    pub(crate) fn of(keyspace: &str, name: &str, meta: &metadata::Table) -> Self {
        let keys = meta.partition_key.iter().chain(&meta.clustering_key);
        let is_key = |column: &metadata::Column| {
            matches!(column.kind, ColumnKind::PartitionKey | ColumnKind::Clustering)
        };
        let others = meta.columns.iter().filter(|(_, column)| !is_key(column));
        let mut others: Vec<&String> = others.map(|(name, _)| name).collect();
        others.sort_unstable();
        let columns = keys.chain(others).filter_map(|name| {
            let column = meta.columns.get(name)?;
            let kind = column.kind.clone();
            Some(Column { name: name.as_str().into(), typ: column.typ.clone(), kind })
        });
        let partition = meta.partition_key.len();
        let key = partition + meta.clustering_key.len();
        Self::new(keyspace, name, columns.collect(), partition, key)
    }

    pub(crate) fn new(
        keyspace: &str,
        name: &str,
        columns: Vec<Column>,
        partition: usize,
        key: usize,
    ) -> Self {
        let named = |(place, column): (usize, &Column)| (column.name.clone(), place);
        let places = columns.iter().enumerate().map(named).collect();
        let mut clustering = columns.iter().take(key).skip(partition);
        let has_loose_key = clustering.any(|column| !encode::is_by_bytes(&column.typ));
        let (keyspace, name) = (keyspace.into(), name.into());
        Self { keyspace, name, columns, partition, key, has_loose_key, places }
    }

    /// Whether a key that was read into a row names a row, and not a whole partition.
    pub(crate) fn has_row(&self, row: &Row) -> bool {
        self.key == self.partition || !row.is_unset(self.partition)
    }

    /// Whether a row is deleted as such. If it is all of a partition, that is deleted, which has an earlier time than what
    /// is written beside it under a condition: Cassandra takes one from it (`Commit`, `updateAllTimestamp`).
    pub(crate) const fn deletes_rows(&self) -> bool {
        self.key > self.partition
    }

    /// Where the row with these values of the clustering columns lies in its partition.
    pub(crate) fn position<'c>(&self, clustering: impl Iterator<Item = CellRef<'c>>) -> u128 {
        encode::position(self.columns.get(self.partition..self.key).unwrap_or_default(), clustering)
    }

    /// What tells the value of the key's column at a place from others.
    pub(crate) fn identity<'v>(&self, place: usize, value: &'v [u8]) -> Cow<'v, [u8]> {
        if !self.has_loose_key || place < self.partition {
            return Cow::Borrowed(value);
        }
        let column = self.columns.get(place);
        column.map_or(Cow::Borrowed(value), |column| encode::unified(&column.typ, value))
    }

    /// The place of a column, by its exact name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}
