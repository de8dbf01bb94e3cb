//! Where rows lie in their partitions, which tells those of large partitions that share a chunk.
//!
//! The server keeps a partition sorted by its clustering columns. Rows that stand beside one
//! another there are merged in one place of it; those of a batch from all over the partition take
//! up to four times as long.

use batch_core::{
    OperationRef,
    seam::{Routes, View},
};

use crate::{
    backend::CqlBackend, encode, route::Target, row::Row, send::direct::Kept, statement::Cells,
};

/// Reads positions, from what routing kept where it kept it.
pub(crate) struct Positions<'b> {
    backend: &'b CqlBackend,
    /// The target of the last operation's shape: they come in runs.
    recent: Option<(u32, Target)>,
    row: Row,
    cells: Vec<u8>,
}

impl<'b> Positions<'b> {
    pub(crate) fn new(backend: &'b CqlBackend) -> Self {
        Self { backend, recent: None, row: Row::default(), cells: Vec::new() }
    }

    pub(crate) fn add(&mut self, operations: View<'_>, routes: &Routes, positions: &mut Vec<u128>) {
        positions.extend(operations.iter().map(|operation| {
            let kept =
                routes.kept(operation.index).and_then(|kept| Kept::read(kept, || Some(operation)));
            self.of(&operation, kept).unwrap_or(0)
        }));
    }

    /// `None` if its statement does not tell.
    fn of(&mut self, operation: &OperationRef<'_>, kept: Option<Kept<'_>>) -> Option<u128> {
        if self.recent.as_ref().is_none_or(|(shape, _)| *shape != operation.shape) {
            self.recent = Some((operation.shape, self.backend.target_of(operation)));
        }
        match &self.recent.as_ref()?.1 {
            Target::Table(known) => {
                let table = &known.table;
                if let Some(cells) = kept.and_then(|kept| kept.of_target(known.number)) {
                    return Some(table.position(Cells::new(cells).skip(table.partition)));
                }
                self.row.clear(table.columns.len());
                encode::key(table, operation.key, &mut self.row).ok()?;
                Some(table.position((table.partition..table.key).map(|place| self.row.cell(place))))
            }
            Target::Statement(native) => {
                if let Some(cells) = kept.and_then(|kept| kept.of_target(native.number)) {
                    return Some(native.position(cells));
                }
                self.cells.clear();
                native.write_cells(operation, &mut self.cells).ok()?;
                Some(native.position(&self.cells))
            }
            Target::Unusable(_) => None,
        }
    }
}
