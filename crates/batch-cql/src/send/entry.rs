//! The operations of a chunk as the driver's bytes.

use std::{ops::Range, sync::Arc};

use batch_core::{OperationRef, Result, Verb, seam::KeyId};

use crate::{
    backend::CqlBackend,
    plan::{
        key::{ids_of_row, shared_by_row},
        route::{Recent, Target, encode_operation},
    },
    row::{CellRef, Row},
    schema::{Form, Known, Marker, Using},
    statement::{Cells, Native},
};

/// An operation that fits its table or statement.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its place in the chunk.
    pub(crate) place: usize,
    pub(crate) verb: Verb,
    pub(crate) key: Option<KeyId>,
    /// What it writes in common with other rows of its partition: static columns.
    pub(crate) shared: Option<KeyId>,
    /// The static columns whose value a later entry of the request gives.
    pub(crate) left_out: Vec<usize>,
    pub(crate) source: Source,
    /// Its own, in seconds.
    pub(crate) ttl: Option<i32>,
    /// Its own.
    pub(crate) timestamp: Option<i64>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Row {
        known: Arc<Known>,
        /// How it is written if it is alone on its key.
        form: Form,
        /// A value for each column of the table.
        cells: Range<usize>,
        /// Where the values of the partition key end.
        partition_end: usize,
        /// Where the key's values end.
        key_end: usize,
    },
    Native {
        native: Arc<Native>,
        cells: Range<usize>,
    },
}

impl Entry {
    pub(crate) fn is_conditional(&self) -> bool {
        match &self.source {
            Source::Row { .. } => self.verb.is_conditional(),
            Source::Native { native, .. } => native.facts.conditional,
        }
    }

    /// The identities of all that it writes to.
    pub(crate) fn written(&self) -> impl Iterator<Item = KeyId> {
        self.key.into_iter().chain(self.shared)
    }

    /// Whether it may write to more than its keys tell: ranges, partitions, what rows share. Not where it counts,
    /// since what counts meets no other writes.
    pub(crate) fn is_unkeyed(&self) -> bool {
        match &self.source {
            Source::Row { .. } => false,
            Source::Native { native, .. } => native.is_unkeyed(),
        }
    }

    /// Whether it can be made one write of with others on its key.
    fn is_foldable(&self) -> bool {
        matches!(self.source, Source::Row { .. }) && self.ttl.is_none() && self.timestamp.is_none()
    }

    /// Whether its statement takes a timestamp of its own.
    pub(crate) fn can_be_stamped(&self) -> bool {
        matches!(self.source, Source::Row { .. })
    }
}

/// The operations of a chunk that are sent, with their bytes in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) list: Vec<Entry>,
    pub(crate) bytes: Vec<u8>,
    /// Whether one of them counts: counters take no timestamps.
    pub(super) has_counters: bool,
    row: Row,
    recent: Recent<Target>,
}

impl Entries {
    pub(crate) fn add(
        &mut self,
        backend: &CqlBackend,
        place: usize,
        operation: &OperationRef<'_>,
    ) -> Result<()> {
        let options = operation.options;
        let ttl = options.ttl.map(|ttl| i32::try_from(ttl.as_secs()).unwrap_or(i32::MAX));
        let timestamp = options.timestamp;
        let target = self.recent.of(operation, |operation| {
            backend.target_of(operation.collection, operation.statement)
        });
        let (key, shared, source) = match target.clone() {
            Target::Unusable(error) => return Err(error),
            Target::Table(known) => {
                encode_operation(&known, operation, &mut self.row)?;
                let (_, key) = ids_of_row(&known, &self.row);
                // A timestamp of its own decides by itself.
                let shared = shared_by_row(&known, &self.row).filter(|_| timestamp.is_none());
                let form = form(operation.verb, &known, &self.row);
                let whole = matches!(operation.verb, Verb::Put | Verb::Insert | Verb::Replace);
                let start = self.bytes.len();
                let (mut partition_end, mut key_end) = (start, start);
                for column in 0..known.table.columns.len() {
                    push(&mut self.bytes, cell_of(&known, &self.row, column, whole));
                    if column + 1 == known.table.partition {
                        partition_end = self.bytes.len();
                    }
                    if column + 1 == known.table.key {
                        key_end = self.bytes.len();
                    }
                }
                let cells = start..self.bytes.len();
                (Some(key), shared, Source::Row { known, form, cells, partition_end, key_end })
            }
            Target::Statement(native) => {
                let start = self.bytes.len();
                native.write_cells(operation, &mut self.bytes)?;
                let cells = start..self.bytes.len();
                let values = self.bytes.get(cells.clone()).unwrap_or_default();
                let (_, key) = native.ids_of(values);
                // What counts commutes, and what ends that is a request of its own.
                let counts = native.facts.counter;
                self.has_counters |= counts;
                let key = key.filter(|_| !counts);
                (key, None, Source::Native { native, cells })
            }
        };
        let (verb, left_out) = (operation.verb, Vec::new());
        self.list.push(Entry { place, verb, key, shared, left_out, source, ttl, timestamp });
        Ok(())
    }

    pub(crate) fn first(&self, unit: &[usize]) -> Option<&Entry> {
        self.list.get(*unit.first()?)
    }

    pub(crate) fn place(&self, at: usize) -> Option<usize> {
        self.list.get(at).map(|entry| entry.place)
    }

    pub(crate) fn table(&self, at: usize) -> Option<Arc<Known>> {
        match &self.list.get(at)?.source {
            Source::Row { known, .. } => Some(Arc::clone(known)),
            Source::Native { .. } => None,
        }
    }

    /// How columns of this entry's key are written: a row, or what its partition shares.
    pub(crate) fn insert_form(&self, at: usize) -> Form {
        match self.list.get(at).map(|entry| &entry.source) {
            Some(Source::Row { form: Form::InsertStatic, .. }) => Form::InsertStatic,
            _ => Form::Insert,
        }
    }

    /// Whether two entries are about one row: their keys' ids may be the same although they are not.
    pub(crate) fn have_same_key(&self, one: usize, other: usize) -> bool {
        let key = |at: usize| match &self.list.get(at)?.source {
            Source::Row { known, cells, key_end, .. } => {
                let key = self.bytes.get(cells.start..*key_end)?;
                Some((&**known, Cells::new(key).collect()))
            }
            Source::Native { native, cells } => native.key_cells(self.bytes.get(cells.clone())?),
        };
        let (Some((known, one)), Some((of_other, other))) = (key(one), key(other)) else {
            return false;
        };
        let is_same =
            |(place, (one, other)): (usize, (&CellRef<'_>, &CellRef<'_>))| match (one, other) {
                (CellRef::Value(one), CellRef::Value(other)) => {
                    one == other
                        || known.table.identity(place, one) == known.table.identity(place, other)
                }
                _ => one == other,
            };
        known.name == of_other.name
            && one.len() == other.len()
            && one.iter().zip(&other).enumerate().all(is_same)
    }

    /// The bytes of each column of an entry's key.
    pub(crate) fn key_cells(&self, at: usize) -> Vec<&[u8]> {
        let Some(Source::Row { cells, key_end, .. }) = self.list.get(at).map(|entry| &entry.source)
        else {
            return Vec::new();
        };
        let key = Cells::new(self.bytes.get(cells.start..*key_end).unwrap_or_default());
        key.map(|cell| match cell {
            CellRef::Value(bytes) => bytes,
            CellRef::Null | CellRef::Unset => &[],
        })
        .collect()
    }

    /// Whether the operations of a unit are one write, or can be made one.
    pub(super) fn is_one_write(&self, unit: &[usize]) -> bool {
        let foldable = |at: &usize| self.list.get(*at).is_some_and(Entry::is_foldable);
        unit.len() == 1 || unit.iter().all(foldable)
    }

    /// Whether several operations are made one write.
    pub(super) fn is_folded(&self, unit: &[usize]) -> bool {
        unit.len() > 1 && self.is_one_write(unit)
    }

    /// Whether a unit is a statement of the user's own text.
    pub(super) fn is_native(&self, unit: &[usize]) -> bool {
        self.first(unit).is_some_and(|entry| matches!(entry.source, Source::Native { .. }))
    }

    /// Whether some operation sets a whole list that is doubled if it is written twice at one time.
    pub(super) fn sets_lists(&self) -> bool {
        self.list.iter().any(|entry| self.sets_list(entry))
    }

    /// Whether one does that whose time is given.
    pub(super) fn sets_lists_at_own_times(&self) -> bool {
        self.list.iter().any(|entry| match &entry.source {
            Source::Row { .. } => entry.timestamp.is_some() && self.sets_list(entry),
            Source::Native { native, .. } => native.writes_lists_at_own_time(),
        })
    }

    fn sets_list(&self, entry: &Entry) -> bool {
        match &entry.source {
            Source::Row { known, cells, .. } if known.has_lists => {
                let cells = Cells::new(self.bytes.get(cells.clone()).unwrap_or_default());
                let mut columns = known.table.columns.iter().zip(cells);
                columns.any(|(column, cell)| {
                    column.is_growing_list() && matches!(cell, CellRef::Value(_))
                })
            }
            Source::Row { .. } => false,
            Source::Native { native, .. } => native.writes_lists(),
        }
    }

    /// The values for an entry's own statement.
    pub(crate) fn cells_for(
        &mut self,
        at: usize,
        known: &Known,
        form: Form,
        using: Using,
        stamp: Option<i64>,
    ) -> Range<usize> {
        let Some(entry) = self.list.get(at) else { return 0..0 };
        let Source::Row { cells, key_end, .. } = &entry.source else { return 0..0 };
        let (cells, key_end) = (cells.clone(), *key_end);
        let ttl = entry.ttl;
        let start = self.bytes.len();
        match form {
            // As they stand.
            Form::Insert | Form::InsertIfAbsent if using == Using::default() => return cells,
            Form::Delete | Form::DeleteIfPresent if using == Using::default() => {
                return cells.start..key_end;
            }
            Form::InsertStatic => {
                for marker in known.markers(form, using) {
                    match marker {
                        Marker::Column(column) => self.copy_cell(&cells, column),
                        Marker::Ttl => push_ttl(&mut self.bytes, ttl),
                        Marker::Timestamp => push_stamp(&mut self.bytes, stamp),
                    }
                }
            }
            Form::Insert | Form::InsertIfAbsent => {
                self.bytes.extend_from_within(cells);
                push_using(&mut self.bytes, using, ttl, stamp);
            }
            Form::UpdateIfPresent => {
                push_using(&mut self.bytes, using, ttl, stamp);
                self.bytes.extend_from_within(key_end..cells.end);
                self.bytes.extend_from_within(cells.start..key_end);
            }
            Form::Delete | Form::DeleteIfPresent | Form::Select => {
                push_using(&mut self.bytes, using, ttl, stamp);
                self.bytes.extend_from_within(cells.start..key_end);
            }
        }
        start..self.bytes.len()
    }

    /// Copies the value of a column out of a row's.
    fn copy_cell(&mut self, cells: &Range<usize>, column: usize) {
        let mut at = cells.start;
        for number in 0..=column {
            let end = cell_end(&self.bytes, at);
            if number == column {
                self.bytes.extend_from_within(at..end);
                return;
            }
            at = end;
        }
    }

    /// The values for a statement on an entry's key, with the columns of `row`.
    #[expect(
        clippy::too_many_arguments,
        reason = "a statement's values come from this many places"
    )]
    pub(crate) fn cells_of(
        &mut self,
        at: usize,
        row: &Row,
        known: &Known,
        form: Form,
        using: Using,
        whole: bool,
        ttl: Option<i32>,
        stamp: Option<i64>,
    ) -> Range<usize> {
        let Some(Source::Row { cells, .. }) = self.list.get(at).map(|entry| &entry.source) else {
            return 0..0;
        };
        let cells = cells.clone();
        let start = self.bytes.len();
        for marker in known.markers(form, using) {
            match marker {
                Marker::Column(column) if column < known.table.key => {
                    self.copy_cell(&cells, column)
                }
                Marker::Column(column) => push(&mut self.bytes, cell_of(known, row, column, whole)),
                Marker::Ttl => push_ttl(&mut self.bytes, ttl),
                Marker::Timestamp => push_stamp(&mut self.bytes, stamp),
            }
        }
        start..self.bytes.len()
    }
}

/// The statement of an operation that is alone on its key.
fn form(verb: Verb, known: &Known, row: &Row) -> Form {
    match verb {
        Verb::Insert => Form::InsertIfAbsent,
        Verb::Replace | Verb::Update => Form::UpdateIfPresent,
        Verb::Delete => Form::Delete,
        Verb::DeleteExisting => Form::DeleteIfPresent,
        _ if !known.table.has_row(row) => Form::InsertStatic,
        _ => Form::Insert,
    }
}

/// What is written to a column: where the whole row is, what was not given has no value. What a
/// partition's rows share is not part of a row.
pub(super) fn cell_of<'r>(known: &Known, row: &'r Row, column: usize, whole: bool) -> CellRef<'r> {
    match row.cell(column) {
        CellRef::Unset if whole && known.is_of_row(column) => CellRef::Null,
        cell => cell,
    }
}

/// Where the value that begins at a place ends.
pub(super) fn cell_end(bytes: &[u8], at: usize) -> usize {
    let length = bytes.get(at..at + 4).and_then(|length| length.try_into().ok());
    at + 4 + usize::try_from(length.map_or(-1, i32::from_be_bytes)).unwrap_or(0)
}

#[inline]
pub(super) fn push(bytes: &mut Vec<u8>, cell: CellRef<'_>) {
    match cell {
        CellRef::Null => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        CellRef::Unset => bytes.extend_from_slice(&(-2_i32).to_be_bytes()),
        CellRef::Value(value) => {
            // No value is longer: `queue` refuses operations that are.
            let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(value);
        }
    }
}

fn push_using(bytes: &mut Vec<u8>, using: Using, ttl: Option<i32>, stamp: Option<i64>) {
    if using.ttl {
        push_ttl(bytes, ttl);
    }
    if using.timestamp {
        push_stamp(bytes, stamp);
    }
}

fn push_ttl(bytes: &mut Vec<u8>, ttl: Option<i32>) {
    match ttl {
        Some(ttl) => push(bytes, CellRef::Value(&ttl.to_be_bytes())),
        None => push(bytes, CellRef::Unset),
    }
}

fn push_stamp(bytes: &mut Vec<u8>, stamp: Option<i64>) {
    match stamp {
        Some(stamp) => push(bytes, CellRef::Value(&stamp.to_be_bytes())),
        None => push(bytes, CellRef::Unset),
    }
}

/// Appends the values of a row's key.
pub(crate) fn key_cells(known: &Known, row: &Row, bytes: &mut Vec<u8>) {
    (0..known.table.key).for_each(|place| push(bytes, row.cell(place)));
}
