//! Sending: one chunk becomes one request, or one for each key that has a condition.

mod condition;
pub(crate) mod direct;
mod entry;
mod grace;
mod reply;
mod request;
mod shared;

use std::collections::HashMap;

use batch_core::{
    Error, ErrorKind, Fate as Certainty, Guarantee, Result,
    seam::{Answers, Chunk, KeyId, ROOM_FOR_ATTEMPTS},
};
use bytes::Bytes;
use foldhash::fast::FixedState;

pub(crate) use self::entry::key_cells;
use self::{
    entry::{Entries, Entry, Source},
    request::{Kind, Request},
    shared::leave_to_last,
};
use crate::{
    backend::CqlBackend,
    plan::{
        fold::{Effect, Fate, Walk},
        route::encode_operation,
        way::Way,
    },
    row::Row,
    schema::{Form, Known, Using},
};

/// All operations of a chunk on one key, in program order, as places among the entries.
type Unit = Vec<usize>;

/// As many operations, or bytes, are looked through in one poll.
const SLICE: usize = 4096;
const MOST_BYTES: usize = 1 << 20;

/// Lets others run, now and then, where all operations of a chunk are looked through.
async fn give_way(number: usize) {
    if number % SLICE == SLICE - 1 {
        tokio::task::yield_now().await;
    }
}

/// What becomes of an operation once the request that holds it has succeeded.
struct Outcome {
    place: usize,
    fate: Fate,
}

impl CqlBackend {
    pub(crate) async fn send_chunk(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let way = Way::of(chunk.mechanism()).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "the chunk has no mechanism of this store; report it")
        })?;
        if self.send_direct(way, chunk, answers).await? {
            return Ok(());
        }
        // Its future is larger than what most chunks need.
        Box::pin(self.send_encoded(way, chunk, answers)).await
    }

    /// Sends a chunk whose operations are encoded first.
    async fn send_encoded(&self, way: Way, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let mut entries = Entries::default();
        let mut bytes = 0;
        for place in 0..chunk.len() {
            let Some(operation) = chunk.operation(place) else { continue };
            if entries.bytes.len() - bytes > MOST_BYTES {
                bytes = entries.bytes.len();
                tokio::task::yield_now().await;
            }
            give_way(place).await;
            if let Err(error) = entries.add(self, place, &operation) {
                if error.kind() == ErrorKind::Stale {
                    return Err(error);
                }
                answers.set(place, Err(error));
            }
        }
        let whole = matches!(chunk.terms().guarantee, Guarantee::AllOrNothing { .. });
        if entries.list.is_empty() || (whole && entries.list.len() < chunk.len()) {
            return Ok(());
        }
        let units = units(&entries, chunk).await;
        let (conditional, plain): (Vec<Unit>, Vec<Unit>) = units
            .into_iter()
            .partition(|unit| entries.first(unit).is_some_and(Entry::is_conditional));
        if whole {
            return self.send_whole(way, chunk, &mut entries, &plain, &conditional, answers).await;
        }
        if !plain.is_empty() {
            let sent = self.send_plain(way, chunk, &mut entries, &plain, answers).await;
            if let Err(error) = sent {
                if conditional.is_empty() {
                    return Err(error);
                }
                for place in plain.iter().flatten().filter_map(|at| entries.place(*at)) {
                    answers.set(place, Err(error.clone()));
                }
            }
        }
        for unit in &conditional {
            let result = self.send_conditional(chunk, &mut entries, unit, answers).await;
            if let Err(error) = result {
                for place in unit.iter().filter_map(|at| entries.place(*at)) {
                    answers.set(place, Err(error.clone()));
                }
            }
        }
        Ok(())
    }

    /// Plain writes, in one request.
    async fn send_plain(
        &self,
        way: Way,
        chunk: &Chunk<'_>,
        entries: &mut Entries,
        units: &[Unit],
        answers: &mut Answers,
    ) -> Result<()> {
        leave_to_last(entries, chunk, units.iter().collect()).await?;
        self.guard_plain(chunk, entries).await;
        let mut outcomes = Vec::with_capacity(chunk.len());
        let mut request = Request::new(Kind::of_plain(way), units.len());
        self.write_plain(chunk, entries, units, &mut request, &mut outcomes).await?;
        self.note_plain(chunk, entries);
        let sent = self.execute(request, &entries.bytes, chunk, answers).await;
        sent.map_err(|error| once(error, entries.sets_lists_at_own_times()))?;
        for Outcome { place, fate } in outcomes {
            answers.set(place, derived(fate));
        }
        Ok(())
    }

    /// Adds the writes of plain units to a request.
    async fn write_plain(
        &self,
        chunk: &Chunk<'_>,
        entries: &mut Entries,
        units: &[Unit],
        request: &mut Request,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        // One timestamp for all of them is the batch's; else each statement has its own, but for
        // those of the user's texts: theirs is the batch's then, the latest of them.
        let later = later(chunk, entries.sets_lists())?;
        // What has a timestamp of its own has that one in all attempts.
        let own_of =
            |entries: &Entries, at: usize| entries.list.get(at).and_then(|entry| entry.timestamp);
        let stamp = |entries: &Entries, unit: &[usize]| {
            let own = unit.last().and_then(|at| own_of(entries, *at));
            own.unwrap_or_else(|| stamp_of(chunk, entries, unit).saturating_add(later))
        };
        let mut stamps = units.iter().map(|unit| stamp(entries, unit));
        let common = stamps.next();
        let same = stamps.all(|stamp| Some(stamp) == common)
            && units.iter().all(|unit| entries.is_one_write(unit));
        let of_request = if same {
            common
        } else {
            let natives = units.iter().filter(|unit| entries.is_native(unit));
            natives.map(|unit| stamp(entries, unit)).max()
        };
        if !entries.has_counters {
            request.timestamp = of_request;
        }
        for unit in units {
            let own = (!same).then(|| stamp(entries, unit));
            if !entries.is_one_write(unit) {
                for at in unit {
                    let Some(entry) = entries.list.get(*at) else { continue };
                    if entry.is_conditional() || !entry.can_be_stamped() {
                        return Err(not_one_write(entries, chunk, std::slice::from_ref(at)));
                    }
                    let stamp = stamp(entries, std::slice::from_ref(at));
                    self.write_entry(entries, *at, Some(stamp), request).await?;
                    outcomes
                        .push(Outcome { place: entry_place(entries, *at), fate: Fate::Applied });
                }
                continue;
            }
            match unit.as_slice() {
                [at] => {
                    let own = own.or(own_of(entries, *at));
                    self.write_entry(entries, *at, own, request).await?;
                    outcomes
                        .push(Outcome { place: entry_place(entries, *at), fate: Fate::Applied });
                }
                several => {
                    let walk = walk(entries, chunk, several, true).await?;
                    for (at, fate) in several.iter().zip(&walk.fates) {
                        outcomes.push(Outcome { place: entry_place(entries, *at), fate: *fate });
                    }
                    self.write_walk(entries, several, &walk, own, request).await?;
                }
            }
        }
        Ok(())
    }

    /// Adds one operation's statement, which is no conditional one.
    async fn write_entry(
        &self,
        entries: &mut Entries,
        at: usize,
        stamp: Option<i64>,
        request: &mut Request,
    ) -> Result<()> {
        let Some(entry) = entries.list.get(at) else { return Ok(()) };
        match &entry.source {
            Source::Row { known, form, .. } => {
                let using = Using {
                    ttl: entry.ttl.is_some(),
                    timestamp: stamp.is_some() || entry.timestamp.is_some(),
                };
                let known = std::sync::Arc::clone(known);
                let statement = known.statement(*form, using, &self.preparing()).await?;
                let cells = entries.cells_for(at, &known, *form, using, stamp);
                request.add(statement, cells);
            }
            Source::Native { native, cells } => {
                request.add_native(native, cells.clone());
            }
        }
        Ok(())
    }

    /// Adds what a plain walk comes to.
    async fn write_walk(
        &self,
        entries: &mut Entries,
        unit: &[usize],
        walk: &Walk,
        stamp: Option<i64>,
        request: &mut Request,
    ) -> Result<()> {
        let Some(known) = unit.first().and_then(|at| entries.table(*at)) else { return Ok(()) };
        let using = Using { ttl: false, timestamp: stamp.is_some() };
        let form = match walk.effect {
            Effect::Nothing => return Ok(()),
            Effect::Delete => Form::Delete,
            Effect::Merge | Effect::Whole => {
                unit.first().map_or(Form::Insert, |at| entries.insert_form(*at))
            }
        };
        let statement = known.statement(form, using, &self.preparing()).await?;
        let whole = walk.effect == Effect::Whole;
        let key = unit.first().copied().unwrap_or_default();
        let cells = entries.cells_of(key, &walk.row, &known, form, using, whole, None, stamp);
        request.add(statement, cells);
        if form == Form::Delete {
            self.write_shared(entries, key, walk, &known, stamp, request).await?;
        }
        Ok(())
    }

    /// Adds what a walk that ends with a deletion leaves to the whole partition.
    async fn write_shared(
        &self,
        entries: &mut Entries,
        at: usize,
        walk: &Walk,
        known: &Known,
        stamp: Option<i64>,
        request: &mut Request,
    ) -> Result<()> {
        if !walk.writes_shared(known) {
            return Ok(());
        }
        let (form, using) = (Form::InsertStatic, Using { ttl: false, timestamp: stamp.is_some() });
        let statement = known.statement(form, using, &self.preparing()).await?;
        let cells = entries.cells_of(at, &walk.row, known, form, using, false, None, stamp);
        request.add(statement, cells);
        Ok(())
    }

    /// An all-or-nothing batch: one request.
    async fn send_whole(
        &self,
        way: Way,
        chunk: &Chunk<'_>,
        entries: &mut Entries,
        plain: &[Unit],
        conditional: &[Unit],
        answers: &mut Answers,
    ) -> Result<()> {
        if !conditional.is_empty() {
            return self.send_conditions(chunk, entries, plain, conditional, answers).await;
        }
        // What can be derived to fail makes the whole fail, and nothing is sent: the plan has refused it, unless the
        // table is another one now.
        let mut failed = false;
        for unit in plain.iter().filter(|unit| entries.is_folded(unit)) {
            let walk = walk(entries, chunk, unit, true).await?;
            failed |= set_failed(entries, unit, &walk, answers);
        }
        if failed {
            return Ok(());
        }
        self.send_plain(way, chunk, entries, plain, answers).await
    }

    /// Lets time pass until a plain write comes after the conditions on its key that ended before.
    async fn guard_plain(&self, chunk: &Chunk<'_>, entries: &Entries) {
        if chunk.has_left() || entries.has_counters {
            return;
        }
        let unstamped = entries.list.iter().filter(|entry| entry.timestamp.is_none());
        let latest = unstamped
            .flat_map(|entry| {
                let unkeyed = entry.is_unkeyed().then(|| self.guard.before_any_plain()).flatten();
                let keyed = entry.written().filter_map(|key| self.guard.before_plain(key));
                keyed.chain(unkeyed).map(|ended| (entry.place, ended))
            })
            .filter(|(place, ended)| self.clock.is_too_soon(chunk.timestamp(*place), *ended))
            .map(|(_, ended)| ended)
            .max();
        if let Some(ended) = latest {
            self.clock.pass(ended.saturating_add(self.clock.guard_micros())).await;
            chunk.lift_timestamps();
        }
    }

    /// Remembers the timestamps of plain writes.
    fn note_plain(&self, chunk: &Chunk<'_>, entries: &Entries) {
        if entries.has_counters {
            return;
        }
        for entry in entries.list.iter().filter(|entry| entry.timestamp.is_none()) {
            for key in entry.written() {
                self.guard.plain(key, chunk.timestamp(entry.place));
            }
            if entry.is_unkeyed() {
                self.guard.plain_unkeyed(chunk.timestamp(entry.place));
            }
        }
    }
}

/// What sets a whole list at a time that is given is not sent again in doubt: it cannot be a later time.
fn once(error: Error, sets_lists_at_own_times: bool) -> Error {
    match error.fate() {
        Certainty::Unknown if sets_lists_at_own_times => error.lasting(),
        _ => error,
    }
}

/// What is added to the timestamps of an attempt: a whole list that is no frozen one is doubled by
/// a second write at the same time, and is right if each is later than the one before.
fn later(chunk: &Chunk<'_>, has_lists: bool) -> Result<i64> {
    if !has_lists {
        return Ok(0);
    }
    // What was certainly not applied cannot be doubled.
    let doubts = chunk.doubts();
    if doubts >= ROOM_FOR_ATTEMPTS {
        let message = "a whole list of this chunk was sent so often that one more attempt could double it; read the row to know whether it was applied";
        return Err(Error::new(ErrorKind::Timeout, message));
    }
    Ok(doubts.into())
}

/// When the operations of a unit are written, by its last one.
fn stamp_of(chunk: &Chunk<'_>, entries: &Entries, unit: &[usize]) -> i64 {
    if entries.has_counters {
        // The server's, so that none is needed.
        return i64::MIN;
    }
    let last = unit.last().and_then(|at| entries.place(*at));
    last.map_or(i64::MIN, |place| chunk.timestamp(place))
}

/// Names the last operation of those on a key that cannot be made one write of.
fn not_one_write(entries: &Entries, chunk: &Chunk<'_>, unit: &[usize]) -> Error {
    let place = unit.last().and_then(|at| entries.place(*at));
    let operation = place.and_then(|place| chunk.operation(place));
    // As users count.
    let number = operation.map_or(0, |operation| operation.index + 1);
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "operation {number} meets another one on its key in this batch, and the two cannot be made one write; commit them one after another"
        ),
    )
}

fn entry_place(entries: &Entries, at: usize) -> usize {
    entries.place(at).unwrap_or(usize::MAX)
}

/// Puts the operations on one key together, in the order of the first of each key.
async fn units(entries: &Entries, chunk: &Chunk<'_>) -> Vec<Unit> {
    if !chunk.may_repeat() {
        return (0..entries.list.len()).map(|at| vec![at]).collect();
    }
    // By the key's id; of different keys with one id, the later ones have the next free number.
    let mut of_key: HashMap<u64, usize, FixedState> = HashMap::default();
    let mut units: Vec<Unit> = Vec::with_capacity(entries.list.len());
    for (at, entry) in entries.list.iter().enumerate() {
        give_way(at).await;
        let Some(mut id) = entry.key.map(KeyId::get) else {
            units.push(vec![at]);
            continue;
        };
        loop {
            let Some(unit) = of_key.get(&id).and_then(|unit| units.get_mut(*unit)) else {
                of_key.insert(id, units.len());
                units.push(vec![at]);
                break;
            };
            if unit.first().is_some_and(|first| entries.have_same_key(*first, at)) {
                unit.push(at);
                break;
            }
            id = id.wrapping_add(1);
        }
    }
    units
}

/// Walks through a unit's operations from one state of the row.
async fn walk(entries: &Entries, chunk: &Chunk<'_>, unit: &[usize], exists: bool) -> Result<Walk> {
    let Some(known) = unit.first().and_then(|at| entries.table(*at)) else {
        return Err(Error::new(ErrorKind::Protocol, "a statement cannot be folded; report it"));
    };
    let columns = known.table.columns.len();
    let mut walk = Walk::from(exists, columns);
    let mut row = Row::default();
    let mut bytes = 0;
    for (number, at) in unit.iter().enumerate() {
        give_way(number).await;
        let operation = entries.place(*at).and_then(|place| chunk.operation(place));
        let Some(operation) = operation else { continue };
        bytes += operation.body.len();
        if bytes > MOST_BYTES / 2 {
            bytes = 0;
            tokio::task::yield_now().await;
        }
        encode_operation(&known, &operation, &mut row)?;
        if let Some(entry) = entries.list.get(*at) {
            entry.left_out.iter().for_each(|column| row.unset(*column));
        }
        walk.step(operation.verb, columns, &row, &known);
    }
    Ok(walk)
}

/// Sets the answers of operations that a walk derives to fail; says whether there is one.
fn set_failed(entries: &Entries, unit: &[usize], walk: &Walk, answers: &mut Answers) -> bool {
    let mut failed = false;
    for (at, fate) in unit.iter().zip(&walk.fates) {
        if *fate != Fate::Applied
            && let Some(place) = entries.place(*at)
        {
            answers.set(place, derived(*fate));
            failed = true;
        }
    }
    failed
}

/// The answer to an operation of which the client knows what came of it.
fn derived(fate: Fate) -> Result<Bytes> {
    match fate {
        Fate::Applied => Ok(Bytes::new()),
        Fate::AlreadyExists => Err(Error::new(
            ErrorKind::AlreadyExists,
            "the key is taken; use `put` or `upsert`, or another key",
        )),
        Fate::NotFound => Err(Error::new(
            ErrorKind::NotFound,
            "there is no row with this key; use `upsert` to write it all the same, or `delete` where it may be absent",
        )),
    }
}
