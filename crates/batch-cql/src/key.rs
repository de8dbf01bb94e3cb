//! The ids of keys and partitions, which tell what must keep its order and what may travel together.

use batch_core::seam::KeyId;

use crate::{
    row::{CellRef, Row},
    schema::Known,
    table::Table,
};

/// A key's identity, column by column.
pub(crate) struct KeyHash(foldhash::quality::FoldHasher<'static>);

impl KeyHash {
    /// Of a row in the table that has this number.
    pub(crate) fn of_table(table: u64) -> Self {
        use std::hash::{BuildHasher as _, Hasher as _};
        let mut hasher = foldhash::quality::FixedState::with_seed(1).build_hasher();
        hasher.write_u64(table);
        Self(hasher)
    }

    /// The value of the key's next column, which is at this place of the table.
    #[inline]
    pub(crate) fn add_part(&mut self, table: &Table, place: usize, cell: CellRef<'_>) {
        match cell {
            CellRef::Value(bytes) if table.has_loose_key => {
                self.add(CellRef::Value(&table.identity(place, bytes)));
            }
            cell => self.add(cell),
        }
    }

    /// The next column's value, of which its bytes alone count.
    pub(crate) fn add(&mut self, cell: CellRef<'_>) {
        use std::hash::{Hash as _, Hasher as _};
        match cell {
            CellRef::Value(bytes) => bytes.hash(&mut self.0),
            CellRef::Null | CellRef::Unset => self.0.write_u8(0),
        }
    }

    pub(crate) fn finish(self) -> KeyId {
        use std::hash::Hasher as _;
        KeyId::of(self.0.finish())
    }
}

/// The identity of what the rows of a partition share, if this one sets some of it.
pub(crate) fn shared_by_row(known: &Known, row: &Row) -> Option<KeyId> {
    if !known.has_shared || known.statics().all(|place| row.is_unset(place)) {
        return None;
    }
    let mut hash = KeyHash::of_table(known.hash);
    (0..known.table.partition).for_each(|place| hash.add(row.cell(place)));
    Some(hash.finish())
}

/// The identity of a row.
pub(crate) fn key_of_row(known: &Known, row: &Row) -> KeyId {
    let mut hash = KeyHash::of_table(known.hash);
    (0..known.table.key).for_each(|place| hash.add_part(&known.table, place, row.cell(place)));
    hash.finish()
}
