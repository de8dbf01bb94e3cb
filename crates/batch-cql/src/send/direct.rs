//! The short way: plain writes of which each is alone on its key, encoded when they were routed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batch_core::{
    OperationRef, Result, Verb,
    seam::{Answers, Chunk, KeyId},
};
use foldhash::fast::FixedState;
use scylla::statement::{batch::BatchStatement, prepared::PreparedStatement};

use super::{
    entry::{cell_of, push},
    once,
    request::{Kind, Request},
};
use crate::{
    backend::CqlBackend,
    plan::way::Way,
    row::Row,
    schema::{Form, Known, Using},
    statement::{Native, WireRow},
};

/// The target's number, the key's id (0 for none), and where the values are.
const HEAD: usize = 4 + 8 + 1;

/// Where the values are, and which statement takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Kept; for every column of the table.
    Insert,
    /// Kept; for the key's columns.
    Delete,
    /// Kept; for the native statement's markers.
    Native,
    /// In the operation itself, likewise.
    Typed,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Insert, Self::Delete, Self::Native, Self::Typed];
}

fn begin(number: u32, key: Option<KeyId>, shape: Shape, kept: &mut Vec<u8>) {
    kept.extend_from_slice(&number.to_le_bytes());
    kept.extend_from_slice(&key.map_or(0, KeyId::get).to_le_bytes());
    kept.push(shape as u8);
}

/// Keeps what a row was encoded to, if its operation is a plain one.
pub(crate) fn keep_row(
    known: &Known,
    operation: &OperationRef<'_>,
    key: KeyId,
    row: &Row,
    kept: &mut Vec<u8>,
) {
    let table = &known.table;
    let options = operation.options;
    if options.ttl.is_some() || options.timestamp.is_some() || !table.has_row(row) {
        return;
    }
    // Which of the partition's rows sets a static column is seen only beside the others.
    if known.has_shared && known.statics().any(|place| !row.is_unset(place)) {
        return;
    }
    let (shape, columns, whole) = match operation.verb {
        Verb::Put => (Shape::Insert, table.columns.len(), true),
        Verb::Upsert => (Shape::Insert, table.columns.len(), false),
        Verb::Delete => (Shape::Delete, table.key, false),
        _ => return,
    };
    kept.reserve(HEAD + columns * size_of::<i32>() + row.size());
    begin(known.number, Some(key), shape, kept);
    (0..columns).for_each(|column| push(kept, cell_of(known, row, column, whole)));
}

/// Keeps where the values of a plain native statement are, and the values themselves unless the operation holds them.
pub(crate) fn keep_native(native: &Native, key: Option<KeyId>, cells: &[u8], kept: &mut Vec<u8>) {
    if native.facts.conditional {
        return;
    }
    let (shape, cells) =
        if native.is_typed() { (Shape::Typed, &[][..]) } else { (Shape::Native, cells) };
    kept.reserve(HEAD + cells.len());
    begin(native.number, key, shape, kept);
    kept.extend_from_slice(cells);
}

/// An operation that was kept.
pub(crate) struct Kept<'c> {
    number: u32,
    shape: Shape,
    key: Option<KeyId>,
    cells: &'c [u8],
}

impl<'c> Kept<'c> {
    fn of(chunk: &Chunk<'c>, place: usize) -> Option<Self> {
        Self::read(chunk.kept(place)?, || chunk.operation(place))
    }

    /// Reads what was kept of an operation.
    pub(crate) fn read(
        kept: &'c [u8],
        operation: impl FnOnce() -> Option<OperationRef<'c>>,
    ) -> Option<Self> {
        let (head, cells) = kept.split_at_checked(HEAD)?;
        let (number, rest) = head.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let shape = *Shape::ALL.get(usize::from(*rest.first()?))?;
        let cells = if shape == Shape::Typed { operation()?.body } else { cells };
        let key = KeyId::from_number(u64::from_le_bytes(*key));
        Some(Self { number: u32::from_le_bytes(*number), shape, key, cells })
    }

    /// Tells apart, mostly, what cannot be sent together as it was kept.
    pub(crate) fn family(&self) -> u8 {
        let [number, ..] = self.number.to_le_bytes();
        number << 2 | self.shape as u8
    }

    /// The values, if they are those of the target that has this number.
    pub(crate) fn of_target(&self, number: u32) -> Option<&'c [u8]> {
        (self.number == number).then_some(self.cells)
    }
}

/// Asks the memory for both ends of what is read next, all of them at once. Rows of a chunk may lie
/// far apart: read one after the other, each would be waited for.
fn fetch<'c>(all: impl Iterator<Item = &'c [u8]>) {
    let ends = |bytes: &[u8]| Some(bytes.first()? ^ bytes.last()?);
    std::hint::black_box(all.filter_map(ends).fold(0, |fetched, ends| fetched ^ ends));
}

/// The keys of what was kept.
fn keys<'c>(chunk: &Chunk<'c>) -> impl Iterator<Item = KeyId> {
    (0..chunk.len()).filter_map(|place| Kept::of(chunk, place)?.key)
}

/// What a run of operations is written to.
enum Destination {
    Table(Arc<Known>),
    Native(Arc<Native>),
}

/// Lists of one statement many times, to be used again: the driver wants it once for each row.
#[derive(Default)]
pub(crate) struct Repeated(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    of_each: HashMap<(u32, u8), Vec<Vec<BatchStatement>>, FixedState>,
    /// The statements in all of them.
    kept: usize,
}

/// The most statements in the lists that are kept: some 10 MB. As many chunks may be in flight.
const KEPT: usize = 65_536;

impl Repeated {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(
        &self,
        id: (u32, u8),
        statement: &PreparedStatement,
        count: usize,
    ) -> Vec<BatchStatement> {
        let mut lists = self.lock();
        let mut list = lists.of_each.get_mut(&id).and_then(Vec::pop).unwrap_or_default();
        lists.kept -= list.len();
        drop(lists);
        list.truncate(count);
        let more = count - list.len();
        let again = || BatchStatement::PreparedStatement(statement.clone());
        list.extend(std::iter::repeat_with(again).take(more));
        list
    }

    fn give_back(&self, id: (u32, u8), list: Vec<BatchStatement>) {
        let mut lists = self.lock();
        if lists.kept + list.len() > KEPT {
            // Those of another statement make room: it may not be used any more.
            let other = lists.of_each.keys().find(|other| **other != id).copied();
            let others = other.and_then(|other| lists.of_each.remove(&other)).unwrap_or_default();
            lists.kept -= others.iter().map(Vec::len).sum::<usize>();
            drop(lists);
            return;
        }
        lists.kept += list.len();
        lists.of_each.entry(id).or_default().push(list);
    }
}

impl CqlBackend {
    /// Whether a condition on one of its keys ended so lately that this chunk has to wait for it.
    fn follows_condition(&self, chunk: &Chunk<'_>) -> bool {
        let Some(last) = self.guard.before_any_plain() else { return false };
        let timestamp = chunk.timestamp(0);
        let is_lately = |ended| self.clock.is_too_soon(timestamp, ended);
        is_lately(last)
            && keys(chunk).any(|key| self.guard.before_plain(key).is_some_and(is_lately))
    }

    /// Sends a chunk as it was kept; says whether that was possible.
    pub(super) async fn send_direct(
        &self,
        way: Way,
        chunk: &Chunk<'_>,
        answers: &mut Answers,
    ) -> Result<bool> {
        let kind = Kind::of_plain(way);
        // The pause after a condition is made on the long way.
        if way.is_conditional()
            || chunk.may_repeat()
            || (kind != Kind::Counter && self.follows_condition(chunk))
        {
            return Ok(false);
        }
        fetch((0..chunk.len()).filter_map(|place| chunk.kept(place)));
        let Some(first) = Kept::of(chunk, 0) else { return Ok(false) };
        let (number, shape) = (first.number, first.shape);
        let mut rows = Vec::with_capacity(chunk.len());
        for place in 0..chunk.len() {
            match Kept::of(chunk, place) {
                Some(kept) if (kept.number, kept.shape) == (number, shape) => {
                    rows.push(WireRow { cells: kept.cells });
                }
                // Several statements in one chunk are seldom enough.
                _ => return Ok(false),
            }
        }
        if shape == Shape::Typed {
            fetch(rows.iter().map(|row| row.cells));
        }
        let destination = match shape {
            Shape::Insert | Shape::Delete => self.table_by_number(number).map(Destination::Table),
            Shape::Native | Shape::Typed => self.native_by_number(number).map(Destination::Native),
        };
        // Gone meanwhile: the operations are encoded anew.
        let Some(destination) = destination else { return Ok(false) };
        let mut request = Request::new(kind, 0);
        let mut at_own_times = false;
        let (statement, has_lists) = match &destination {
            Destination::Table(known) => {
                let form = if shape == Shape::Insert { Form::Insert } else { Form::Delete };
                let statement = known.statement(form, Using::default(), &self.preparing()).await?;
                (statement, known.has_lists)
            }
            Destination::Native(native) => {
                if native.is_unkeyed() {
                    let (lately, stamp) = (self.guard.before_any_plain(), chunk.timestamp(0));
                    if lately.is_some_and(|ended| self.clock.is_too_soon(stamp, ended)) {
                        return Ok(false);
                    }
                    self.guard.plain_unkeyed(stamp);
                }
                request.spreads = native.may_spread();
                at_own_times = native.writes_lists_at_own_time();
                (native.statement(), native.writes_lists())
            }
        };
        if kind != Kind::Counter {
            let timestamp = chunk.timestamp(0).saturating_add(super::later(chunk, has_lists)?);
            let far = timestamp.saturating_sub(self.clock.now()) > self.clock.guard_micros();
            self.guard.plain_rows(keys(chunk), timestamp, far);
            request.timestamp = Some(timestamp);
        }
        let id = (number, shape as u8);
        request.statements = self.repeated.take(id, statement, rows.len());
        let (result, list) = self.execute_rows(request, &rows, chunk, answers).await;
        self.repeated.give_back(id, list);
        result.map_err(|error| once(error, at_own_times))?;
        answers.all_applied();
        Ok(true)
    }
}
