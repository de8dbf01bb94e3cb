//! What is known of a table: its columns in the order in which rows are held.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use scylla::cluster::metadata::{ColumnKind, ColumnType};

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
    places: HashMap<Box<str>, usize, FixedState>,
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: Box<str>,
    pub(crate) typ: ColumnType<'static>,
    pub(crate) kind: ColumnKind,
}

impl Table {
    pub(crate) fn new(
        keyspace: &str,
        name: &str,
        columns: Vec<Column>,
        partition: usize,
        key: usize,
    ) -> Self {
        let named = |(place, column): (usize, &Column)| (column.name.clone(), place);
        let places = columns.iter().enumerate().map(named).collect();
        Self { keyspace: keyspace.into(), name: name.into(), columns, partition, key, places }
    }

    /// The place of a column, by its exact name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}
