//! A row on its way to the driver: the bytes of each column's value, in the order of the table's columns.

use std::ops::Range;

/// One row, or the part of it that a key and a document give. Kept and used again, so that a
/// batch of rows asks for memory once.
#[derive(Debug, Default)]
pub(crate) struct Row {
    bytes: Vec<u8>,
    cells: Vec<Cell>,
}

/// What a row says of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Cell {
    /// Nothing: the column keeps what it has.
    #[default]
    Unset,
    /// The column has no value: a tombstone.
    Null,
    /// The value's bytes.
    Value(Range<usize>),
}

/// What was appended for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Nothing: the value is null.
    Null,
    /// Its bytes; none of them for an empty text.
    Value,
}

/// What a row says of a column, with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellRef<'a> {
    Unset,
    Null,
    Value(&'a [u8]),
}

impl Row {
    /// Empties the row and gives it so many columns.
    pub(crate) fn clear(&mut self, columns: usize) {
        self.bytes.clear();
        self.cells.clear();
        self.cells.resize(columns, Cell::Unset);
    }

    /// What the row says of the column at a place.
    pub(crate) fn cell(&self, place: usize) -> CellRef<'_> {
        match self.cells.get(place) {
            None | Some(Cell::Unset) => CellRef::Unset,
            Some(Cell::Null) => CellRef::Null,
            Some(Cell::Value(range)) => {
                CellRef::Value(self.bytes.get(range.clone()).unwrap_or_default())
            }
        }
    }

    /// Gives a column no value.
    pub(crate) fn set_null(&mut self, place: usize) {
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = Cell::Null;
        }
    }

    /// Takes back what was said of a column.
    pub(crate) fn unset(&mut self, place: usize) {
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = Cell::Unset;
        }
    }

    /// Gives a column a value.
    pub(crate) fn copy(&mut self, place: usize, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = Cell::Value(start..self.bytes.len());
        }
    }

    /// Gives a column what `write` appends or says, unless it fails.
    #[inline]
    pub(crate) fn set<E>(
        &mut self,
        place: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Written, E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        let cell = match written {
            Ok(Written::Value) => Cell::Value(start..self.bytes.len()),
            Ok(Written::Null) => Cell::Null,
            Err(_) => Cell::Unset,
        };
        if !matches!(cell, Cell::Value(_)) {
            self.bytes.truncate(start);
        }
        if let (Ok(_), Some(place)) = (&written, self.cells.get_mut(place)) {
            *place = cell;
        }
        written.map(drop)
    }

    /// Whether a column has the very value that `write` appends or says. Changes nothing.
    pub(crate) fn is_same<E>(
        &mut self,
        place: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Written, E>,
    ) -> Result<bool, E> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        let is_same = match (&written, self.cells.get(place)) {
            (Ok(Written::Value), Some(Cell::Value(range))) => {
                self.bytes.get(range.clone()) == self.bytes.get(start..)
            }
            (Ok(Written::Null), Some(Cell::Null)) => true,
            _ => false,
        };
        self.bytes.truncate(start);
        written.map(|_| is_same)
    }
}
