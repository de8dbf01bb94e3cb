//! All-or-nothing: what a statement deletes without naming it, and another operation writes.

use std::collections::HashMap;

use batch_core::seam::{Route, Routes};
use foldhash::fast::FixedState;

use super::likeness::like;

/// An operation that writes where a statement deletes without naming the row, in the order in which one of the two is lost.
#[derive(Clone, Copy)]
pub(super) struct Swept {
    pub(super) place: usize,
    pub(super) by: usize,
    /// Whether all of the partition is deleted that it writes to; else it may be that the row is.
    pub(super) is_told: bool,
}

/// The first one that is told to be swept, or else may be. Both have the request's timestamp, and a deletion wins over what
/// is written behind it. Where there is a condition it is the other way round: the server takes a microsecond from
/// deletions of partitions and ranges, so that what is written before them stays.
pub(super) fn swept(routes: &Routes, by_condition: bool) -> Option<Swept> {
    if !routes.iter().any(|(_, route)| sweeps(route)) {
        return None;
    }
    let mut order: Vec<_> = routes.iter().collect();
    if by_condition {
        order.reverse();
    }
    let mut in_tables: HashMap<u16, InTable, FixedState> = HashMap::default();
    let mut may_be = None;
    for (place, route) in order {
        let table = route.pool & like::TABLE;
        if route.pool & like::OWN_TIME != 0 {
            continue;
        }
        if sweeps(route) {
            in_tables.entry(table).or_insert_with(|| InTable::new(place)).add(place, route);
        } else if route.pool & like::DELETES == 0
            && let Some((by, is_told)) = in_tables.get(&table).and_then(|known| known.by(route))
        {
            let swept = Swept { place, by, is_told };
            if is_told {
                return Some(swept);
            }
            may_be = may_be.or(Some(swept));
        }
    }
    may_be
}

/// Whether it is a statement that deletes without naming a row.
fn sweeps(route: &Route) -> bool {
    route.pool & like::SWEEPS == like::SWEEPS && route.key.is_none()
}

/// The places of the first statements that delete in a table.
struct InTable {
    first: usize,
    /// The first that may be about any partition.
    anywhere: Option<usize>,
    /// By partition, and whether one of them deletes all of it.
    partitions: HashMap<u64, (usize, bool), FixedState>,
}

impl InTable {
    fn new(first: usize) -> Self {
        Self { first, anywhere: None, partitions: HashMap::default() }
    }

    fn add(&mut self, place: usize, route: &Route) {
        if route.pool & like::SPREADS != 0 {
            self.anywhere.get_or_insert(place);
            return;
        }
        let whole = route.pool & like::WHOLE_PARTITION != 0;
        let known = self.partitions.entry(route.group).or_insert((place, whole));
        if whole && !known.1 {
            *known = (place, true);
        }
    }

    /// What deletes, or may delete, what an operation writes, and whether that is told.
    fn by(&self, route: &Route) -> Option<(usize, bool)> {
        let of_partition = self.partitions.get(&route.group).copied();
        // A statement's text may hold its key.
        let is_anywhere = route.pool & like::STATEMENT != 0 && route.key.is_none();
        let may_be = || self.anywhere.or(Some(self.first).filter(|_| is_anywhere));
        of_partition.or_else(|| may_be().map(|by| (by, false)))
    }
}
