//! Static columns within a request. All that it writes to a partition has one timestamp, or is
//! one mutation of several, and of two values at one time the server keeps the larger. So only
//! the last operation that sets a static column gives its value.

use std::collections::HashSet;

use batch_core::{Result, seam::Chunk};
use foldhash::fast::FixedState;

use super::{
    Unit,
    entry::{Entries, Entry, Source, cell_end, push},
    walk,
};
use crate::{plan::fold::Fate, row::CellRef, statement::Cells};

/// Takes the value of a static column from all entries of these units but the last one, in program
/// order, that sets it in its partition.
pub(super) async fn leave_to_last(
    entries: &mut Entries,
    chunk: &Chunk<'_>,
    units: Vec<&Unit>,
) -> Result<()> {
    if entries.list.iter().filter(|entry| entry.shared.is_some()).nth(1).is_none() {
        return Ok(());
    }
    let mut applied = Vec::with_capacity(entries.list.len());
    for unit in units {
        applied.extend(applied_of(entries, chunk, unit).await?);
    }
    applied.sort_unstable();
    for (at, column) in entries.set_again(&applied) {
        if let Some(entry) = entries.list.get_mut(at) {
            entry.left_out.push(column);
        }
    }
    (0..entries.list.len()).for_each(|at| entries.leave_out(at));
    Ok(())
}

/// The entries of a unit that do something: what is derived to fail sets nothing.
async fn applied_of(entries: &Entries, chunk: &Chunk<'_>, unit: &Unit) -> Result<Vec<usize>> {
    if !entries.is_folded(unit) || entries.first(unit).is_some_and(Entry::is_conditional) {
        return Ok(unit.clone());
    }
    let walk = walk(entries, chunk, unit, true).await?;
    let fates = unit.iter().zip(walk.fates);
    Ok(fates.filter(|(_, fate)| *fate == Fate::Applied).map(|(at, _)| *at).collect())
}

impl Entries {
    /// Entries and their static columns that a later one of these sets again.
    fn set_again(&self, among: &[usize]) -> Vec<(usize, usize)> {
        let mut set: HashSet<(&str, &[u8], usize), FixedState> = HashSet::default();
        let mut again = Vec::new();
        for at in among.iter().rev() {
            let Some(Entry {
                shared: Some(_),
                source: Source::Row { known, cells, partition_end, .. },
                ..
            }) = self.list.get(*at)
            else {
                continue;
            };
            let partition = self.bytes.get(cells.start..*partition_end).unwrap_or_default();
            let values = Cells::new(self.bytes.get(cells.clone()).unwrap_or_default());
            for (column, cell) in values.enumerate() {
                if cell != CellRef::Unset
                    && known.is_shared(column)
                    && !set.insert((&known.name, partition, column))
                {
                    again.push((*at, column));
                }
            }
        }
        again
    }

    /// Writes an entry's values anew, without those that are left out.
    fn leave_out(&mut self, at: usize) {
        let Self { list, bytes, .. } = self;
        let Some(Entry { left_out, source, .. }) = list.get_mut(at) else { return };
        let Source::Row { cells, partition_end, key_end, .. } = source else { return };
        if left_out.is_empty() {
            return;
        }
        let (old, start) = (cells.clone(), bytes.len());
        let mut from = old.start;
        for column in 0.. {
            if from >= old.end {
                break;
            }
            let to = cell_end(bytes, from);
            match left_out.contains(&column) {
                true => push(bytes, CellRef::Unset),
                false => bytes.extend_from_within(from..to),
            }
            from = to;
        }
        // The key stands in front, and stays as it is.
        for end in [partition_end, key_end] {
            *end += start - old.start;
        }
        *cells = start..bytes.len();
    }
}
