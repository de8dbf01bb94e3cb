//! Conditions: the operations on a key whose first one looks at what is there.

use std::sync::Arc;

use batch_core::{
    Error, ErrorKind, Fate as Certainty, Result,
    seam::{Answers, Chunk, KeyId},
};
use bytes::Bytes;
use scylla::response::query_result::QueryResult;

use super::{
    Unit, derived,
    entry::{Entries, Entry, Source},
    give_way, later, not_one_write,
    reply::{Found, Reply},
    request::{Kind, Request},
    shared::leave_to_last,
    stamp_of, walk,
};
use crate::{
    backend::CqlBackend,
    plan::fold::{Effect, Fate, Walk},
    schema::{Form, Known, Using},
};

/// How often a row may change hands between one condition and its opposite.
const MOST_TURNS: usize = 4;

/// What is sent for one state that the row may be in.
enum Step {
    /// A statement whose condition holds in that state only.
    Send(Form),
    /// Nothing has to be written: that the other state's condition did not hold proves this one.
    Nothing,
    /// What has to be written without a condition: that the other state's one did not hold proves this one. To a
    /// row without columns of its own there is no statement with such a condition, and beside one a partition is not
    /// deleted.
    Plain,
}

fn step(known: &Known, exists: bool, walk: &Walk) -> Step {
    match (exists, walk.effect) {
        (false, Effect::Whole | Effect::Merge) => Step::Send(Form::InsertIfAbsent),
        // Inserted and deleted: the partition keeps what was given to it, and what was written before and has not
        // arrived yet is not to come back.
        (false, Effect::Delete) if known.table.deletes_rows() => Step::Send(Form::InsertIfAbsent),
        (true, Effect::Delete) => Step::Send(Form::DeleteIfPresent),
        (true, Effect::Whole | Effect::Merge) if !known.is_key_only() => {
            Step::Send(Form::UpdateIfPresent)
        }
        (true, Effect::Whole | Effect::Merge) | (false, Effect::Delete) => Step::Plain,
        (_, Effect::Nothing) => Step::Nothing,
    }
}

impl CqlBackend {
    /// The operations on one key, of which the first is a condition.
    pub(super) async fn send_conditional(
        &self,
        chunk: &Chunk<'_>,
        entries: &mut Entries,
        unit: &[usize],
        answers: &mut Answers,
    ) -> Result<()> {
        let Some(first) = entries.first(unit) else { return Ok(()) };
        if let Source::Native { native, cells } = &first.source {
            let (native, cells) = (Arc::clone(native), cells.clone());
            let [at] = unit else {
                return Err(not_one_write(entries, chunk, unit));
            };
            self.guard_conditional(entries, unit).await;
            let mut request = Request::new(Kind::Conditional, 1);
            request.add_native(&native, cells);
            let result = self.execute_conditional(request, entries, unit, chunk, answers).await;
            let reply = Reply::read(result?)?;
            let answer = if reply.applied {
                Ok(Bytes::new())
            } else {
                Err(with_row(condition_failed(), reply.rows.first()))
            };
            if let Some(place) = entries.place(*at) {
                answers.set(place, answer);
            }
            return Ok(());
        }
        let Some(known) = entries.first(unit).and_then(|_| entries.table(*unit.first()?)) else {
            return Ok(());
        };
        if !entries.is_one_write(unit) {
            return Err(not_one_write(entries, chunk, unit));
        }
        let walks =
            [walk(entries, chunk, unit, false).await?, walk(entries, chunk, unit, true).await?];
        // The state in which the first operation does something.
        let leaves_nothing = matches!(walks[0].effect, Effect::Nothing | Effect::Delete);
        let mut exists = leaves_nothing && !walks[0].writes_shared(&known);
        self.guard_conditional(entries, unit).await;
        let (mut seen, mut sent): (Option<Found>, bool) = (None, false);
        for _ in 0..MOST_TURNS {
            let walk = &walks[usize::from(exists)];
            let step = step(&known, exists, walk);
            let Step::Send(form) = step else {
                if sent {
                    if matches!(step, Step::Plain) {
                        let behind = self.send_behind(chunk, entries, unit, walk, answers).await;
                        behind.map_err(|error| only_once(error, unit))?;
                    }
                    settle(entries, unit, walk, seen.as_ref(), answers).await;
                    return Ok(());
                }
                // Neither state is written to: there is no such sequence.
                let message = "the operations on this key change nothing in any case; report it";
                return Err(Error::new(ErrorKind::Protocol, message));
            };
            let request = self.conditional_request(entries, unit, &known, form, walk).await?;
            sent = true;
            let result = self.execute_conditional(request, entries, unit, chunk, answers).await;
            // Several operations in one: none of them may be sent again alone.
            let mut reply = Reply::read(result.map_err(|error| only_once(error, unit))?)?;
            if reply.applied {
                settle(entries, unit, walk, seen.as_ref(), answers).await;
                return Ok(());
            }
            seen = reply.rows.pop().filter(Found::is_there);
            exists = !exists;
        }
        let message = "the row came and went between its conditions, because somebody else writes it; commit again";
        Err(Error::new(ErrorKind::Conflict, message).transient())
    }

    /// The plain write that a walk comes to, behind a condition that did not hold.
    async fn send_behind(
        &self,
        chunk: &Chunk<'_>,
        entries: &mut Entries,
        unit: &[usize],
        walk: &Walk,
        answers: &mut Answers,
    ) -> Result<()> {
        let keys = written(entries, unit);
        if let Some(ended) = keys.filter_map(|key| self.guard.before_plain(key)).max() {
            self.clock.pass(ended.saturating_add(self.clock.guard_micros())).await;
            // In a former attempt it may have been another statement that left.
            chunk.lift_timestamps();
        }
        let mut request = Request::new(Kind::Partition, 1);
        let stamp = stamp_of(chunk, entries, unit);
        request.timestamp = Some(stamp.saturating_add(later(chunk, entries.sets_lists())?));
        self.write_walk(entries, unit, walk, None, &mut request).await?;
        self.note_plain(chunk, entries);
        self.execute(request, &entries.bytes, chunk, answers).await.map(drop)
    }

    async fn conditional_request(
        &self,
        entries: &mut Entries,
        unit: &[usize],
        known: &Arc<Known>,
        form: Form,
        walk: &Walk,
    ) -> Result<Request> {
        let at = unit.first().copied().unwrap_or_default();
        let ttl = entries.list.get(at).and_then(|entry| entry.ttl);
        let using = Using { ttl: ttl.is_some(), timestamp: false };
        let statement = known.statement(form, using, &self.preparing()).await?;
        let whole = walk.effect == Effect::Whole;
        let cells = entries.cells_of(at, &walk.row, known, form, using, whole, ttl, None);
        let mut request = Request::new(Kind::Conditional, 1);
        request.add(statement, cells);
        match form {
            Form::InsertIfAbsent if walk.effect == Effect::Delete => {
                let (form, using) = (Form::Delete, Using::default());
                let statement = known.statement(form, using, &self.preparing()).await?;
                let cells = entries.cells_of(at, &walk.row, known, form, using, false, None, None);
                request.add(statement, cells);
            }
            Form::DeleteIfPresent => {
                self.write_shared(entries, at, walk, known, None, &mut request).await?;
            }
            // An update leaves the row's marker as it is: there by its columns alone, or for as long as it had.
            Form::UpdateIfPresent if walk.is_marked => {
                let (form, using) = (Form::Insert, Using::default());
                let statement = known.statement(form, using, &self.preparing()).await?;
                let none = Walk::from(true, known.table.columns.len()).row;
                let cells = entries.cells_of(at, &none, known, form, using, false, None, None);
                request.add(statement, cells);
            }
            _ => {}
        }
        Ok(request)
    }

    /// An all-or-nothing batch of one partition in which each condition must hold.
    pub(super) async fn send_conditions(
        &self,
        chunk: &Chunk<'_>,
        entries: &mut Entries,
        plain: &[Unit],
        conditional: &[Unit],
        answers: &mut Answers,
    ) -> Result<()> {
        if let Some(unit) = plain.iter().find(|unit| !entries.is_one_write(unit)) {
            return Err(not_one_write(entries, chunk, unit));
        }
        leave_to_last(entries, chunk, plain.iter().chain(conditional).collect()).await?;
        let mut request = Request::new(Kind::Conditional, chunk.len());
        let mut expected = Vec::with_capacity(conditional.len());
        let mut failed = false;
        for unit in conditional {
            let Some(first) = entries.first(unit) else { continue };
            if let Source::Native { native, cells } = &first.source {
                if unit.len() > 1 {
                    return Err(not_one_write(entries, chunk, unit));
                }
                request.add_native(native, cells.clone());
                expected.push((unit, None));
                continue;
            }
            if !entries.is_one_write(unit) {
                return Err(not_one_write(entries, chunk, unit));
            }
            // The one state in which the first operation succeeds, and so may the batch.
            let exists = first.verb != batch_core::Verb::Insert;
            let walk = walk(entries, chunk, unit, exists).await?;
            failed |= super::set_failed(entries, unit, &walk, answers);
            let Some(known) = unit.first().and_then(|at| entries.table(*at)) else { continue };
            match step(&known, exists, &walk) {
                Step::Send(form) => {
                    let one = self.conditional_request(entries, unit, &known, form, &walk).await?;
                    request.join(one);
                }
                Step::Plain if !exists => {
                    let message = "what is inserted and deleted by one batch with a condition stays there, on a table whose rows are partitions; leave both operations out";
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
                Step::Nothing | Step::Plain => {
                    let message = "a table whose rows have no columns of their own has no condition that a row is there without deleting it; leave the operations on this key out of the batch";
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
            }
            expected.push((unit, Some((known, exists))));
        }
        for unit in plain.iter().filter(|unit| entries.is_folded(unit)) {
            let walk = walk(entries, chunk, unit, true).await?;
            failed |= super::set_failed(entries, unit, &walk, answers);
        }
        if failed {
            return Ok(());
        }
        let mut outcomes = Vec::new();
        self.write_plain(chunk, entries, plain, &mut request, &mut outcomes).await?;
        request.timestamp = None;
        let all: Vec<usize> = (0..entries.list.len()).collect();
        self.guard_conditional(entries, &all).await;
        let result = self.execute_conditional(request, entries, &all, chunk, answers).await;
        let reply = Reply::read(result?)?;
        if reply.applied {
            answers.all_applied();
            return Ok(());
        }
        // Which condition failed is not said, but follows from the rows that are shown.
        let mut culprits = 0;
        for (unit, expected) in &expected {
            let Some(at) = unit.first().copied() else { continue };
            let Some(place) = entries.place(at) else { continue };
            let Some((known, exists)) = expected else { continue };
            let key = entries.key_cells(at);
            let row = reply.rows.iter().find(|row| row.has_key(&known.table, key.iter().copied()));
            if row.is_some() != *exists {
                let fate = if *exists { Fate::NotFound } else { Fate::AlreadyExists };
                let error = derived(fate).err();
                answers.set(place, Err(with_row(error.unwrap_or_else(condition_failed), row)));
                culprits += 1;
            }
        }
        if culprits == 0 {
            let natives = expected.iter().filter(|(_, expected)| expected.is_none());
            let mut places: Vec<usize> =
                natives.filter_map(|(unit, _)| entries.place(*unit.first()?)).collect();
            if places.is_empty() {
                places
                    .extend(expected.iter().filter_map(|(unit, _)| entries.place(*unit.first()?)));
            }
            // With several it is not said which of them, nor whose row comes first.
            let one = places.len() == 1;
            for place in places {
                let error = if one {
                    with_row(condition_failed(), reply.rows.first())
                } else {
                    condition_failed_among()
                };
                answers.set(place, Err(error));
            }
        }
        Ok(())
    }

    /// Sends a request with the conditions of a unit, and remembers its end, whatever it is.
    async fn execute_conditional(
        &self,
        request: Request,
        entries: &Entries,
        unit: &[usize],
        chunk: &Chunk<'_>,
        answers: &mut Answers,
    ) -> Result<Option<QueryResult>> {
        let keys = written(entries, unit).collect();
        let _under_way = UnderWay { backend: self, keys, unkeyed: is_unkeyed(entries, unit) };
        self.execute(request, &entries.bytes, chunk, answers).await
    }

    /// Lets time pass until a condition comes after the plain writes to its key that went before.
    async fn guard_conditional(&self, entries: &Entries, unit: &[usize]) {
        let keys = written(entries, unit);
        let unkeyed = is_unkeyed(entries, unit).then(|| self.guard.begin_conditional_unkeyed());
        let keyed = keys.filter_map(|key| self.guard.begin_conditional(key));
        if let Some(stamp) = keyed.chain(unkeyed.flatten()).max() {
            self.clock.pass(stamp.saturating_add(self.clock.guard_micros())).await;
        }
    }
}

/// The identities of all that a unit writes to.
fn written(entries: &Entries, unit: &[usize]) -> impl Iterator<Item = KeyId> {
    unit.iter().filter_map(|at| entries.list.get(*at)).flat_map(Entry::written)
}

/// Whether something that a unit writes to is not told by its keys.
fn is_unkeyed(entries: &Entries, unit: &[usize]) -> bool {
    unit.iter().filter_map(|at| entries.list.get(*at)).any(Entry::is_unkeyed)
}

/// A request with conditions. Its end is remembered when this is dropped: also where the commit's
/// time ended before the request did.
struct UnderWay<'a> {
    backend: &'a CqlBackend,
    keys: Vec<KeyId>,
    unkeyed: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let now = self.backend.clock.now();
        self.keys.iter().for_each(|key| self.backend.guard.conditional(*key, now));
        if self.unkeyed {
            self.backend.guard.conditional_unkeyed(now);
        }
    }
}

fn condition_failed() -> Error {
    let message = "the statement's condition did not hold; read the row, and decide anew";
    Error::new(ErrorKind::ConditionFailed, message)
}

fn condition_failed_among() -> Error {
    let message = "this condition or another one of its batch did not hold, and the server does not say which; read the rows, and decide anew";
    Error::new(ErrorKind::ConditionFailed, message)
}

fn with_row(error: Error, row: Option<&Found>) -> Error {
    match row {
        Some(row) if row.is_there() => error.with_detail("row", row.to_json()),
        _ => error,
    }
}

fn only_once(error: Error, unit: &[usize]) -> Error {
    if unit.len() > 1 && error.fate() == Certainty::Unknown { error.lasting() } else { error }
}

/// Sets the answers of a walk that is known to be the true one.
async fn settle(
    entries: &Entries,
    unit: &[usize],
    walk: &Walk,
    seen: Option<&Found>,
    answers: &mut Answers,
) {
    for (number, (at, fate)) in unit.iter().zip(&walk.fates).enumerate() {
        give_way(number).await;
        let Some(place) = entries.place(*at) else { continue };
        let answer = derived(*fate).map_err(|error| match fate {
            Fate::AlreadyExists => with_row(error, seen),
            Fate::Applied | Fate::NotFound => error,
        });
        answers.set(place, answer);
    }
}
