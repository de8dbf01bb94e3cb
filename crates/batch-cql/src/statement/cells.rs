//! The values of a statement as the driver writes them: a length and the bytes, one value after another.

use std::fmt;

use scylla::serialize::{
    SerializationError,
    row::{RowSerializationContext, SerializeRow},
    writers::RowWriter,
};

use crate::row::CellRef;

/// The length that stands for no value.
const NULL: i32 = -1;
/// The length that stands for a value that was not given.
const UNSET: i32 = -2;

/// The values in their order. Bytes that are cut off end it early; [`WireRow`] tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cells<'a> {
    bytes: &'a [u8],
}

impl<'a> Cells<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether there is nothing left, not even bytes that cannot be read.
    pub(crate) fn is_at_end(self) -> bool {
        self.bytes.is_empty()
    }

    /// The value at a place.
    #[inline]
    pub(crate) fn at(mut self, place: u16) -> Option<CellRef<'a>> {
        for _ in 0..place {
            self.next()?;
        }
        self.next()
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = CellRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<CellRef<'a>> {
        let (length, rest) = self.bytes.split_first_chunk()?;
        let (cell, rest) = match i32::from_be_bytes(*length) {
            NULL => (CellRef::Null, rest),
            UNSET => (CellRef::Unset, rest),
            length => {
                let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (CellRef::Value(value), rest)
            }
        };
        self.bytes = rest;
        Some(cell)
    }
}

/// Values that are bytes already, for the driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireRow<'a> {
    pub(crate) cells: &'a [u8],
}

impl SerializeRow for WireRow<'_> {
    #[inline]
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let mut cells = Cells::new(self.cells);
        let before = writer.value_count();
        for cell in cells.by_ref() {
            let writer = writer.make_cell_writer();
            match cell {
                CellRef::Unset => writer.set_unset(),
                CellRef::Null => writer.set_null(),
                CellRef::Value(bytes) => {
                    writer.set_value(bytes).map_err(SerializationError::new)?
                }
            };
        }
        let mismatch = Mismatch {
            markers: context.columns().len(),
            values: writer.value_count() - before,
            whole: cells.is_at_end(),
        };
        if mismatch.markers == mismatch.values && mismatch.whole {
            Ok(())
        } else {
            Err(SerializationError::new(mismatch))
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

/// Values that are not those of the statement.
#[derive(Clone, Copy, Debug)]
struct Mismatch {
    markers: usize,
    values: usize,
    whole: bool,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { markers, values, whole } = self;
        let cut = if *whole { "" } else { ", and bytes after them that are none" };
        write!(f, "the statement has {markers} markers, and there are {values} values{cut}")
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use scylla::frame::response::result::{ColumnSpec, ColumnType, NativeType, TableSpec};

    use super::*;

    fn specs(count: usize) -> Vec<ColumnSpec<'static>> {
        let spec = |place| {
            let table = TableSpec::borrowed("school", "students");
            ColumnSpec::owned(format!("c{place}"), ColumnType::Native(NativeType::Blob), table)
        };
        (0..count).map(spec).collect()
    }

    fn rewritten(cells: &[u8], markers: usize) -> Result<Vec<u8>, String> {
        let specs = specs(markers);
        let mut out = Vec::new();
        let context = RowSerializationContext::from_specs(&specs);
        let row = WireRow { cells };
        row.serialize(&context, &mut RowWriter::new(&mut out)).map_err(|e| e.to_string())?;
        Ok(out)
    }

    const ROW: &[u8] = b"\0\0\0\x02ab\xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\0";

    #[test]
    fn the_driver_writes_what_was_written_before() {
        assert_eq!(rewritten(ROW, 4).as_deref(), Ok(ROW));
        assert_eq!(rewritten(&[], 0).as_deref(), Ok(&[] as &[u8]));
    }

    #[test]
    fn values_are_read_by_their_place() {
        let cells = Cells::new(ROW);
        let expected = [CellRef::Value(b"ab"), CellRef::Null, CellRef::Unset, CellRef::Value(b"")];
        assert_eq!(cells.collect::<Vec<_>>(), expected);
        assert_eq!(cells.at(2), Some(CellRef::Unset));
        assert_eq!(cells.at(4), None);
    }

    #[test]
    fn another_number_of_values_than_markers_is_an_error_with_both_counts() {
        let error = rewritten(ROW, 3).unwrap_err();
        assert!(error.contains("has 3 markers, and there are 4 values"), "{error}");
        let error = rewritten(ROW, 5).unwrap_err();
        assert!(error.contains("has 5 markers, and there are 4 values"), "{error}");
    }

    #[test]
    fn bytes_that_are_cut_off_or_no_length_are_an_error_and_never_a_panic() {
        for end in 0..ROW.len() {
            let cut = ROW.get(..end).unwrap();
            let whole = [0, 6, 10, 14].contains(&end);
            let values = Cells::new(cut).count();
            assert_eq!(rewritten(cut, values).is_ok(), whole, "{end}");
        }
        let error = rewritten(b"\xff\xff\xff\xfd", 0).unwrap_err();
        assert!(error.contains("bytes after them"), "{error}");
    }
}
