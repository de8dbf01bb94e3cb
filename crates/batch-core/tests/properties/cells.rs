//! A store without order between requests, as CQL is: timestamps decide. What a commit does to a
//! key is made one write of, or each operation has its timestamp. It keeps watch over the core:
//! what a chunk may hold, and which timestamps are given.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use batch_core::{
    Capabilities, Clock, Error, ErrorKind, Guarantee, Key, KeyRef, OperationRef, Result, Server,
    Verb,
    seam::{
        Answers, Backend, Chunk, KeyId, Mechanism, MechanismId, Pooled, Repeats, Route, Routes,
        Terms, View,
    },
};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    case::{Doc, Habits},
    row::{Effect, Row, fold},
};

/// The server's clock, by which the client stamps too: no two looks at it are the same.
/// What an operation that travels by itself has over its own bytes.
pub(crate) const PER_OPERATION_OF_OWN: u32 = 3;

#[derive(Debug, Default)]
pub(crate) struct Ticking(AtomicI64);

impl Ticking {
    fn pass(&self, time: i64) {
        self.0.fetch_max(time, Ordering::SeqCst);
    }
}

impl Clock for Ticking {
    fn now_micros(&self) -> i64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

#[derive(Debug)]
pub(crate) struct Cells {
    habits: Habits,
    /// The most operations that a chunk may count.
    most: usize,
    seed: u64,
    pub(crate) clock: Arc<Ticking>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<u8, Row>,
    /// How often metadata was read anew: each time all groups change.
    anew: u64,
    drawn: u64,
    /// By which time each key was last written, by plain writes and by conditions.
    plain: BTreeMap<u8, i64>,
    conditional: BTreeMap<u8, i64>,
    /// The timestamp that an operation was sent with.
    given: HashMap<u32, i64>,
    /// What was in a request that was refused as a whole, and may get a later timestamp in a part of it.
    refused: HashSet<u32>,
    /// What the core did that it must not.
    wrong: Vec<String>,
}

/// The operations of a chunk that become one write.
struct Write {
    key: u8,
    steps: Vec<(usize, Verb, Map<String, Value>)>,
    /// None for one that the server stamps: it has a condition.
    stamp: Option<i64>,
}

impl Write {
    fn is_plain(&self) -> bool {
        self.steps.first().is_some_and(|(_, verb, _)| !verb.is_conditional())
    }

    fn fold(&self, exists: bool) -> (Effect, Vec<Option<ErrorKind>>) {
        fold(exists, self.steps.iter().map(|(_, verb, given)| (*verb, given)))
    }

    fn last(&self) -> usize {
        self.steps.last().map_or(0, |(place, ..)| *place)
    }
}

struct Ways {
    plain: MechanismId,
    own: MechanismId,
    condition: MechanismId,
    whole: MechanismId,
}

fn key_number(key: KeyRef<'_>) -> u8 {
    let text = key.bare().unwrap_or_default();
    text.strip_prefix('k').and_then(|number| number.parse().ok()).unwrap()
}

fn size(operation: &OperationRef<'_>) -> u32 {
    u32::try_from(operation.key.size() + operation.body.len()).unwrap()
}

/// Some keys share a group.
fn group(key: u8, anew: u64) -> u64 {
    (u64::from(key) + anew) % 5
}

fn pool(group: u64) -> u16 {
    u16::from(group % 2 == 1)
}

fn refused(kind: ErrorKind) -> Error {
    Error::new(kind, "the condition does not hold")
}

impl Cells {
    pub(crate) fn new(habits: Habits, most: usize, seed: u64) -> Self {
        let (clock, state) = (Arc::default(), Mutex::default());
        Self { habits, most, seed, clock, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn document(&self, key: u8) -> Doc {
        self.state().rows.get(&key).and_then(Row::document)
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.state().rows.is_empty()
    }

    /// What the core did that it must not.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.state().wrong.clone()
    }

    fn ways(&self, routes: &mut Routes, anew: u64) -> Ways {
        let plain_repeats = if self.habits.folds { Repeats::Folded } else { Repeats::Stamped };
        let made = |name: &'static str, overhead, repeats| {
            let mut mechanism = Mechanism::new(name);
            mechanism.max_bytes = self.habits.max_bytes;
            (mechanism.overhead, mechanism.repeats) = (overhead, repeats);
            mechanism
        };
        let mut own = made("own", 7, Repeats::Apart);
        own.per_operation = PER_OPERATION_OF_OWN;
        if anew % 2 == 1 {
            // Comes first, so that all others have other numbers than before.
            routes.mechanism(own.clone());
        }
        let mut single = made("single", 5, plain_repeats);
        single.max_operations = 1;
        let single = routes.mechanism(single);
        let mut plain = made("partition", 10, plain_repeats);
        plain.alone = Some(single);
        plain.by_position = Some(3);
        if let Some((groups, below, operations, bytes)) = self.habits.pooled {
            let mut several = made("several", 20, plain_repeats);
            several.max_operations = operations;
            several.max_bytes = bytes.min(several.max_bytes);
            let several = routes.mechanism(several);
            plain.pooled = Some(Pooled::new(several, groups, below));
        }
        let mut condition = made("condition", 8, Repeats::Folded);
        (condition.max_operations, condition.in_turn) = (1, true);
        let mut whole = made("whole", 10, Repeats::Folded);
        whole.atomic = true;
        Ways {
            plain: routes.mechanism(plain),
            own: routes.mechanism(own),
            condition: routes.mechanism(condition),
            whole: routes.mechanism(whole),
        }
    }

    /// Looks whether the chunk is one that the mechanisms allow.
    fn look_at(&self, chunk: &Chunk<'_>, state: &mut State) {
        let mechanism = chunk.mechanism();
        let all: Vec<(u32, u8, u32)> =
            chunk.operations().map(|o| (o.index, key_number(o.key), size(&o))).collect();
        let keys: BTreeSet<u8> = all.iter().map(|(_, key, _)| *key).collect();
        let mut latest = BTreeMap::new();
        let in_order = all.iter().all(|(index, key, _)| latest.insert(*key, *index) < Some(*index));
        let counted = if mechanism.repeats == Repeats::Folded { keys.len() } else { all.len() };
        let bytes = all.iter().map(|(.., size)| u64::from(*size)).sum::<u64>();
        let groups: BTreeSet<u64> = keys.iter().map(|key| group(*key, 0)).collect();
        let pools: BTreeSet<u16> = groups.iter().map(|group| pool(*group)).collect();
        let is_whole = mechanism.name == "whole";
        let apart = chunk.operations().filter(|operation| operation.options.ttl.is_some()).count();
        let own = mechanism.name == "own";
        let one_group = match (&*mechanism.name, self.habits.pooled) {
            ("whole", _) => true,
            ("several", Some((most, ..))) => groups.len() <= most as usize && pools.len() == 1,
            ("condition", _) => keys.len() == 1,
            _ => groups.len() == 1,
        };
        for (holds, what) in [
            (is_whole || apart == if own { all.len() } else { 0 }, "not as it is routed"),
            (in_order, "operations on a key are not in program order"),
            (mechanism.repeats != Repeats::Apart || keys.len() == all.len(), "a key stands twice"),
            (counted <= mechanism.max_operations.min(self.most), "too many operations"),
            (
                chunk.bytes()
                    == bytes
                        + u64::from(mechanism.overhead)
                        + u64::from(mechanism.per_operation) * all.len() as u64,
                "bytes do not add up",
            ),
            (chunk.bytes() <= mechanism.max_bytes as u64, "too many bytes"),
            // Groups are others after metadata was read anew.
            (one_group || state.anew > 0, "groups are mixed"),
            (is_whole || chunk.len() > 1 || mechanism.alone.is_none(), "it has another name alone"),
        ] {
            if !holds {
                state.wrong.push(format!("{what}: {mechanism:?} {all:?} {}", chunk.bytes()));
            }
        }
    }

    /// Gives each plain write its timestamp, above those of conditions that were met before.
    fn stamp(&self, chunk: &Chunk<'_>, writes: &mut [Write], state: &mut State) {
        let plain = |write: &&Write| write.is_plain();
        let is_behind = |write: &Write, state: &State| {
            let other = state.conditional.get(&write.key);
            other.is_some_and(|time| *time >= chunk.timestamp(write.last()))
        };
        let lifts = writes.iter().filter(plain).any(|write| is_behind(write, state));
        if lifts {
            chunk.lift_timestamps();
        }
        for write in writes {
            if !write.is_plain() {
                // The server's own time must be past what it may have been given.
                self.clock.pass(state.plain.get(&write.key).copied().unwrap_or(i64::MIN));
                continue;
            }
            write.stamp = Some(chunk.timestamp(write.last()));
            if is_behind(write, state) {
                state.wrong.push(format!("lifted not high enough: {:?}", write.stamp));
            }
            for (place, ..) in &write.steps {
                let index = chunk.operation(*place).map_or(0, |operation| operation.index);
                let stamp = chunk.timestamp(*place);
                let before = state.given.insert(index, stamp);
                // What was certainly not applied may have been routed apart.
                let may_rise = lifts || chunk.doubts() == 0 || state.refused.contains(&index);
                if before.is_some_and(|before| stamp < before || (stamp != before && !may_rise)) {
                    state.wrong.push(format!("operation {}: {before:?}, {stamp}", index + 1));
                }
            }
        }
    }

    fn meets_another(&self, state: &mut State) -> bool {
        state.drawn += 1;
        KeyId::of((self.seed, state.drawn)).get() % 100 < self.habits.conflicts
    }

    fn apply(&self, write: &Write, state: &mut State, answers: &mut Answers) {
        if self.meets_another(state) {
            for (place, ..) in &write.steps {
                answers.set(*place, Err(conflict()));
            }
            return;
        }
        let row = state.rows.entry(write.key).or_default();
        let (effect, fates) = write.fold(row.exists());
        let stamp = write.stamp.unwrap_or_else(|| self.clock.now_micros());
        row.write(effect, stamp);
        let latest = if write.is_plain() { &mut state.plain } else { &mut state.conditional };
        let latest = latest.entry(write.key).or_insert(stamp);
        *latest = stamp.max(*latest);
        for ((place, ..), fate) in write.steps.iter().zip(fates) {
            answers.set(*place, fate.map_or(Ok(Bytes::new()), |kind| Err(refused(kind))));
        }
    }

    /// All writes or none.
    fn apply_whole(&self, writes: &[Write], answers: &mut Answers) {
        let mut state = self.state();
        if self.meets_another(&mut state) {
            answers.set(0, Err(conflict()));
            return;
        }
        let exists = |write: &Write| state.rows.get(&write.key).is_some_and(Row::exists);
        let folded: Vec<_> = writes.iter().map(|write| write.fold(exists(write))).collect();
        let fates = writes.iter().zip(&folded).flat_map(|(write, (_, fates))| {
            write.steps.iter().zip(fates).map(|((place, ..), fate)| (*place, *fate))
        });
        let fates: BTreeMap<usize, Option<ErrorKind>> = fates.collect();
        if let Some((place, kind)) = fates.iter().find_map(|(place, fate)| Some((place, (*fate)?)))
        {
            answers.set(*place, Err(refused(kind)));
            return;
        }
        // One condition is enough for the server to stamp all.
        let all_plain = writes.iter().all(Write::is_plain);
        for (write, (effect, _)) in writes.iter().zip(folded) {
            let stamp = write.stamp.filter(|_| all_plain);
            let stamp = stamp.unwrap_or_else(|| self.clock.now_micros());
            state.rows.entry(write.key).or_default().write(effect, stamp);
        }
        answers.all_applied();
    }
}

fn conflict() -> Error {
    Error::new(ErrorKind::Conflict, "another writer was in the way").transient()
}

#[async_trait]
impl Backend for Cells {
    fn name(&self) -> &'static str {
        "cells"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.conditions, can.ttl) = (true, true);
        can.best_effort = Some("partition".into());
        can.ordered = Some("partition".into());
        can.all_or_nothing = Some("whole".into());
        can.isolated = Some("whole".into());
        can
    }

    fn admit(&self, _: OperationRef<'_>, _: Terms) -> Result<()> {
        Ok(())
    }

    async fn resolve(&self, _: View<'_>, stale: bool) -> Result<()> {
        self.state().anew += u64::from(stale);
        Ok(())
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        let anew = self.state().anew;
        let ways = self.ways(routes, anew);
        for operation in operations.iter() {
            let number = key_number(operation.key);
            let group = group(number, anew);
            let (way, group) = if operation.options.ttl.is_some() {
                (ways.own, group)
            } else if operation.is_conditional() {
                (ways.condition, 1 << 32 | group)
            } else {
                (ways.plain, group)
            };
            let key = KeyId::of_string_forms(operation.collection, operation.key);
            routes.push(Route::new(way, group, key, size(&operation)).in_pool(pool(group)));
        }
        if operations.is_last() && matches!(terms.guarantee, Guarantee::AllOrNothing { .. }) {
            routes.join(ways.whole);
        }
        Ok(())
    }

    /// In another order than that of the queue.
    fn positions(&self, operations: View<'_>, _: &Routes, positions: &mut Vec<u128>) {
        let position = |operation: OperationRef<'_>| KeyId::of((self.seed, operation.index)).get();
        positions.extend(operations.iter().map(|operation| u128::from(position(operation))));
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let folds = chunk.mechanism().repeats == Repeats::Folded;
        let mut writes: Vec<Write> = Vec::new();
        let (mut refuses, mut forbidden) = (false, false);
        for (place, operation) in chunk.operations().enumerate() {
            let document: Map<String, Value> =
                serde_json::from_slice(operation.body).unwrap_or_default();
            if document.contains_key("_key") {
                let message = "the document contradicts its key";
                answers.set(place, Err(Error::new(ErrorKind::InvalidOperation, message)));
                refuses = true;
                continue;
            }
            forbidden |= document.contains_key("forbidden");
            let key = key_number(operation.key);
            let step = (place, operation.verb, document);
            match writes.iter_mut().find(|write| folds && write.key == key) {
                Some(write) => write.steps.push(step),
                None => writes.push(Write { key, steps: vec![step], stamp: None }),
            }
        }
        let whole = chunk.mechanism().atomic;
        {
            let mut state = self.state();
            self.look_at(chunk, &mut state);
            if writes.is_empty() || (whole && refuses) {
                return Ok(());
            }
            self.stamp(chunk, &mut writes, &mut state);
        }
        if whole {
            // What fails wherever it starts need not be asked of the server.
            for write in writes.iter().filter(|write| write.is_plain()) {
                let steps = write.steps.iter().zip(write.fold(false).1);
                if let Some(((place, ..), Some(kind))) =
                    steps.into_iter().find(|(_, f)| f.is_some())
                {
                    answers.set(*place, Err(refused(kind)));
                    return Ok(());
                }
            }
        }
        chunk.sent();
        tokio::task::yield_now().await;
        let too_large = chunk.bytes() > self.habits.hidden_max_bytes;
        if too_large || forbidden {
            self.state().refused.extend(chunk.operations().map(|operation| operation.index));
        }
        if too_large {
            return Err(Error::new(ErrorKind::TooLarge, "more than this server takes"));
        }
        if forbidden {
            let message = "some operation of the request is not for you";
            return Err(Error::new(ErrorKind::Unauthorized, message).of_some());
        }
        if whole {
            self.apply_whole(&writes, answers);
            return Ok(());
        }
        // In no order that anyone may rely on.
        for write in writes.iter().rev() {
            self.apply(write, &mut self.state(), answers);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn get(&self, _: &str, key: &Key) -> Result<Option<Bytes>> {
        let document = self.document(key_number(key.as_ref()));
        Ok(document.map(|document| Value::Object(document).to_string().into()))
    }

    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("cells", "1"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
