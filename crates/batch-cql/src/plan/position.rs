//! Where rows lie in their partitions, which tells those of large partitions that share a chunk.
//!
//! The server keeps a partition sorted by its clustering columns. Rows that stand beside one
//! another there are merged in one place of it; those of a batch from all over the partition take
//! up to four times as long.

use batch_core::seam::{Routes, View};

use crate::{
    backend::CqlBackend,
    encode,
    plan::route::{Recent, Target},
    row::Row,
    send::direct::Kept,
    statement::Cells,
};

/// Appends the position of each operation. What is written by one statement to one table comes
/// before what is written otherwise: a chunk of several would be encoded anew.
pub(crate) fn positions(
    backend: &CqlBackend,
    operations: View<'_>,
    routes: &Routes,
    positions: &mut Vec<u128>,
) {
    let mut recent = Recent::default();
    let mut row = Row::default();
    positions.extend(operations.iter().map(|operation| {
        let kept = routes.kept(operation.index);
        let kept = kept.and_then(|kept| Kept::read(kept, || Some(operation)));
        let target = recent.of(&operation, |operation| {
            backend.target_of(operation.collection, operation.statement)
        });
        let in_partition = match target {
            Target::Table(known) => {
                let table = &known.table;
                match kept.as_ref().and_then(|kept| kept.of_target(known.number)) {
                    Some(cells) => table.position(Cells::new(cells).skip(table.partition)),
                    None => {
                        row.clear(table.columns.len());
                        // Routing has refused what has no key.
                        let key = encode::key(table, operation.key, &mut row);
                        let clustering = (table.partition..table.key).map(|place| row.cell(place));
                        key.map_or(0, |_| table.position(clustering))
                    }
                }
            }
            // All of its values would have to be encoded for those of its key.
            Target::Statement(native) => kept
                .as_ref()
                .and_then(|kept| kept.of_target(native.number))
                .map_or(0, |cells| native.position(cells)),
            Target::Unusable(_) => 0,
        };
        u128::from(kept.map_or(0, |kept| kept.family())) << 120 | in_partition
    }));
}
