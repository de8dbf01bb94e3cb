//! The ids of keys and partitions, which tell what must keep its order and what may travel together.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use batch_core::seam::KeyId;
use foldhash::quality::{FixedState, FoldHasher};

use crate::{
    row::{CellRef, Row},
    schema::{Known, table::Table},
};

/// A key's identity, column by column: the partition's first, which tables of one keyspace may have
/// in common, then the table's own.
pub(crate) struct KeyHash(FoldHasher<'static>);

impl KeyHash {
    /// Of a partition, by its key's values, among those that [start](crate::schema::Schema::space) likewise.
    pub(crate) fn of_partition<'c>(space: u64, cells: impl Iterator<Item = CellRef<'c>>) -> Self {
        let mut hasher = FixedState::with_seed(1).build_hasher();
        hasher.write_u64(space);
        let mut hash = Self(hasher);
        cells.for_each(|cell| hash.add(cell));
        hash
    }

    /// The next column's value, of which its bytes alone count.
    fn add(&mut self, cell: CellRef<'_>) {
        match cell {
            CellRef::Value(bytes) => bytes.hash(&mut self.0),
            // The hasher may take no notice of a last zero.
            CellRef::Null | CellRef::Unset => self.0.write_u8(u8::MAX),
        }
    }

    /// The partition, as long as no table is named.
    pub(crate) fn partition(&self) -> u64 {
        self.0.clone().finish()
    }

    /// The table whose clustering columns follow.
    pub(crate) fn in_table(&mut self, table: u64) {
        self.0.write_u64(table);
    }

    /// The value of the next clustering column, which is at this place of the table.
    #[inline]
    pub(crate) fn add_clustering(&mut self, table: &Table, place: usize, cell: CellRef<'_>) {
        match cell {
            CellRef::Value(bytes) if table.has_loose_key => {
                self.add(CellRef::Value(&table.identity(place, bytes)));
            }
            cell => self.add(cell),
        }
    }

    pub(crate) fn finish(self) -> KeyId {
        let hash = self.0.finish();
        KeyId::from_number(hash).unwrap_or_else(|| KeyId::of(hash))
    }
}

fn partition_of_row(known: &Known, row: &Row) -> KeyHash {
    let cells = (0..known.table.partition).map(|place| row.cell(place));
    KeyHash::of_partition(known.space, cells)
}

/// The partition of a row, and the row's own identity.
pub(crate) fn ids_of_row(known: &Known, row: &Row) -> (u64, KeyId) {
    let table = &known.table;
    let mut hash = partition_of_row(known, row);
    let partition = hash.partition();
    hash.in_table(known.hash);
    (table.partition..table.key)
        .for_each(|place| hash.add_clustering(table, place, row.cell(place)));
    (partition, hash.finish())
}

/// The identity of what the rows of a partition share, if this one sets some of it.
pub(crate) fn shared_by_row(known: &Known, row: &Row) -> Option<KeyId> {
    if !known.has_shared || known.statics().all(|place| row.is_unset(place)) {
        return None;
    }
    let mut hash = partition_of_row(known, row);
    hash.in_table(known.hash);
    Some(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::server::Product, schema::Schema};

    #[test]
    fn tables_of_a_keyspace_share_partitions_where_the_server_makes_one_write_of_theirs() {
        let [cassandra, scylla] = [Product::Cassandra, Product::Scylla]
            .map(|product| Schema::new(product.splits_by_table()));
        assert_eq!(cassandra.space("k", "a"), cassandra.space("k", "b"));
        assert_ne!(scylla.space("k", "a"), scylla.space("k", "b"));
        for schema in [cassandra, scylla] {
            assert_eq!(schema.space("k", "a"), schema.space("k", "a"));
            assert_ne!(schema.space("k", "a"), schema.space("l", "a"));
        }
    }

    #[test]
    fn what_a_partition_shares_has_another_id_than_a_row_without_clustering_columns() {
        for (partition, clustering) in (1..5).flat_map(|p| (1..5).map(move |c| (p, c))) {
            let shared = |clustering: usize| {
                let cells = (0..partition).map(|_| CellRef::Value(&[0, 0, 0, 1]));
                let mut hash = KeyHash::of_partition(7, cells);
                hash.in_table(9);
                (0..clustering).for_each(|_| hash.add(CellRef::Unset));
                hash.finish()
            };
            assert_ne!(shared(0), shared(clustering), "{partition} and {clustering} columns");
        }
    }
}
