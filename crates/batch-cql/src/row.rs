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

    /// Gives a column the value that `write` appends, unless it fails.
    pub(crate) fn set_value<E>(
        &mut self,
        place: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = Cell::Value(start..self.bytes.len());
        }
        Ok(())
    }
}
