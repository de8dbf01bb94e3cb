//! A row on its way to the driver: the bytes of each column's value, in the order of the table's columns.

/// The bytes that a row has room for from the start.
const SMALL: usize = 64;

/// One row, or the part of it that a key and a document give. Kept and used again, so that a
/// batch of rows asks for memory once.
#[derive(Debug, Default)]
pub(crate) struct Row {
    bytes: Vec<u8>,
    cells: Vec<Cell>,
    /// The columns of the last document's attributes, in its order: the next one is likely to have
    /// the same.
    pub(crate) order: Vec<usize>,
}

/// What a row says of a column: where the value's bytes are, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    start: usize,
    end: usize,
}

impl Cell {
    /// Nothing: the column keeps what it has.
    const UNSET: Self = Self { start: usize::MAX, end: 0 };
    /// The column has no value: a tombstone.
    const NULL: Self = Self { start: usize::MAX, end: 1 };
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
        self.bytes.reserve(SMALL);
        self.cells.clear();
        self.cells.resize(columns, Cell::UNSET);
    }

    /// Says nothing any more but of the columns that are kept.
    pub(crate) fn keep(&mut self, kept: impl Fn(usize) -> bool) {
        for (place, cell) in self.cells.iter_mut().enumerate() {
            if !kept(place) {
                *cell = Cell::UNSET;
            }
        }
    }

    /// What the row says of the column at a place.
    #[inline]
    pub(crate) fn cell(&self, place: usize) -> CellRef<'_> {
        let cell = self.cells.get(place).copied().unwrap_or(Cell::UNSET);
        // The places of what is no value are none.
        match self.bytes.get(cell.start..cell.end) {
            Some(bytes) => CellRef::Value(bytes),
            None if cell == Cell::NULL => CellRef::Null,
            None => CellRef::Unset,
        }
    }

    /// The bytes of all its values.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the row says nothing of the column at a place.
    #[inline]
    pub(crate) fn is_unset(&self, place: usize) -> bool {
        matches!(self.cells.get(place), None | Some(&Cell::UNSET))
    }

    /// Gives a column no value.
    pub(crate) fn set_null(&mut self, place: usize) {
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = Cell::NULL;
        }
    }

    /// Takes back what was said of a column.
    pub(crate) fn unset(&mut self, place: usize) {
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = Cell::UNSET;
        }
    }

    /// Gives a column a value.
    pub(crate) fn copy(&mut self, place: usize, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = Cell { start, end: self.bytes.len() };
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
            Ok(Written::Value) => Cell { start, end: self.bytes.len() },
            Ok(Written::Null) => Cell::NULL,
            Err(error) => {
                self.bytes.truncate(start);
                return Err(error);
            }
        };
        if let Some(place) = self.cells.get_mut(place) {
            *place = cell;
        }
        Ok(())
    }

    /// Whether a column has the very value that `write` appends or says. Changes nothing.
    pub(crate) fn is_same<E>(
        &mut self,
        place: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Written, E>,
    ) -> Result<bool, E> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        let is_same = match (&written, self.cell(place)) {
            (Ok(Written::Value), CellRef::Value(bytes)) => Some(bytes) == self.bytes.get(start..),
            (Ok(Written::Null), CellRef::Null) => true,
            _ => false,
        };
        self.bytes.truncate(start);
        written.map(|_| is_same)
    }
}
