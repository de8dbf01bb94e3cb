//! The backend in one view: what it can do, how operations travel, what one request does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use batch_core::{
    Capabilities, Clock, Error, ErrorKind, Guarantee, Key, OnError, OperationRef, Result, Server,
    seam::{Answers, Backend, Chunk, KeyId, Mechanism, Repeats, Route, Routes, Terms, View},
};
use bytes::Bytes;

use crate::{
    encode::{Change, encode, identity},
    tables::{Tables, Undo},
};

const CALL: &str = "memory call";
const SERIAL_CALL: &str = "memory serial call";
const TRANSACTION: &str = "memory transaction";

/// How many operations are encoded or applied before the executor gets its turn back. Small,
/// because all the chunks in flight are polled together.
const SLICE: usize = 128;

/// What the store imitates; [`MemoryBuilder`](crate::MemoryBuilder) sets it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each set by name")]
pub(crate) struct Traits {
    pub(crate) reads: bool,
    pub(crate) conditions: bool,
    pub(crate) revisions: bool,
    pub(crate) ttl: bool,
    pub(crate) returning: bool,
    pub(crate) all_or_nothing: bool,
    pub(crate) isolated: bool,
    pub(crate) stops: bool,
    pub(crate) group_by_collection: bool,
    pub(crate) conditions_refuse_neighbours: bool,
    pub(crate) max_operation_bytes: Option<usize>,
    pub(crate) max_chunk_operations: usize,
    /// The same of a chunk that is applied as a whole.
    pub(crate) max_whole_operations: usize,
    pub(crate) max_chunk_bytes: usize,
    pub(crate) hidden_max_bytes: u64,
}

/// The backend of [`MemoryStore`](crate::MemoryStore): to be wrapped, or opened by an
/// [`Engine`](batch_core::seam::Engine) of your own.
#[derive(Debug)]
pub struct MemoryBackend {
    traits: Traits,
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
    conflicts: Mutex<HashMap<(String, String), u32>>,
}

impl MemoryBackend {
    pub(crate) fn new(traits: Traits, clock: Arc<dyn Clock>) -> Self {
        Self { traits, clock, tables: Mutex::default(), conflicts: Mutex::default() }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conflicts(&self) -> MutexGuard<'_, HashMap<(String, String), u32>> {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_micros()
    }

    pub(crate) fn add_conflicts(&self, collection: &str, key: &Key, times: u32) {
        let place = (collection.to_owned(), identity(key.as_ref()));
        *self.conflicts().entry(place).or_insert(0) += times;
    }

    /// Whether an injected conflict stands in the way of this write, this time.
    fn meets_conflict(&self, change: &Change) -> bool {
        let mut conflicts = self.conflicts();
        if conflicts.is_empty() {
            return false;
        }
        match conflicts.get_mut(&(change.collection.clone(), change.identity.clone())) {
            Some(times) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    fn mechanism(&self, terms: Terms) -> Mechanism {
        let mut mechanism = match terms.guarantee {
            Guarantee::AllOrNothing { .. } => Mechanism::new(TRANSACTION),
            Guarantee::Ordered { .. } => Mechanism::new(SERIAL_CALL),
            _ => Mechanism::new(CALL),
        };
        mechanism.max_operations = self.traits.max_chunk_operations;
        mechanism.max_bytes = self.traits.max_chunk_bytes;
        match terms.guarantee {
            Guarantee::AllOrNothing { .. } => {
                mechanism.atomic = true;
                mechanism.max_operations = self.traits.max_whole_operations;
                mechanism.repeats = Repeats::Together;
            }
            Guarantee::Ordered { on_error: OnError::Stop } => mechanism.stops = self.traits.stops,
            _ => {}
        }
        mechanism
    }

    fn apply(&self, change: Change) -> Result<Bytes> {
        if self.meets_conflict(&change) {
            return Err(conflict());
        }
        let now = self.now();
        self.tables().apply(change, now, None)
    }
}

fn not_run() -> Error {
    let message = "the store stopped at a failure before it; commit it again";
    Error::new(ErrorKind::Skipped, message)
}

fn conflict() -> Error {
    let message = "another writer was in the way; the same operation may succeed later";
    Error::new(ErrorKind::Conflict, message).transient()
}

#[async_trait]
impl Backend for MemoryBackend {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        let traits = &self.traits;
        let mut can = Capabilities::default();
        can.reads = traits.reads;
        can.conditions = traits.conditions;
        can.revisions = traits.revisions;
        can.ttl = traits.ttl;
        can.returning = traits.returning;
        can.best_effort = Some(CALL.into());
        can.ordered = Some(SERIAL_CALL.into());
        can.all_or_nothing = traits.all_or_nothing.then(|| TRANSACTION.into());
        can.isolated = traits.isolated.then(|| TRANSACTION.into());
        can.max_operation_bytes = traits.max_operation_bytes;
        can
    }

    fn admit(&self, operation: OperationRef<'_>, _terms: Terms) -> Result<()> {
        // The core has refused what the capabilities exclude. A statement that says it is for this
        // store is none that it knows.
        if operation.statement.is_some() {
            let message = "the memory store has no statements of its own; use a portable operation";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    async fn resolve(&self, _operations: View<'_>, _stale: bool) -> Result<()> {
        // Collections have no schema and come into being by their first write.
        Ok(())
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        let mechanism = routes.mechanism(self.mechanism(terms));
        for operation in operations.iter() {
            let alone = self.traits.conditions_refuse_neighbours
                && operation.is_conditional()
                && terms.guarantee == Guarantee::BestEffort;
            let group = if alone {
                u64::from(operation.index) + (1 << 32)
            } else if self.traits.group_by_collection && terms.guarantee == Guarantee::BestEffort {
                u64::from(operation.shape)
            } else {
                0
            };
            let size = operation.key.size() + operation.body.len();
            routes.push(Route::new(
                mechanism,
                group,
                KeyId::of_string_forms(operation.collection, operation.key),
                u32::try_from(size).unwrap_or(u32::MAX),
            ));
        }
        Ok(())
    }

    /// A map takes what comes in any order.
    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let stops = chunk.mechanism().stops;
        let mut changes = Vec::with_capacity(chunk.len());
        let mut refused = false;
        for (place, operation) in chunk.operations().enumerate() {
            if refused && stops {
                answers.set(place, Err(not_run()));
                continue;
            }
            match encode(operation) {
                Ok(change) => changes.push((place, change)),
                Err(error) => {
                    refused = true;
                    answers.set(place, Err(error));
                }
            }
            if place % SLICE == SLICE - 1 {
                tokio::task::yield_now().await;
            }
        }
        let atomic = chunk.mechanism().atomic;
        if changes.is_empty() || (atomic && changes.len() < chunk.len()) {
            return Ok(());
        }
        chunk.sent();
        // From the next poll on the store may act, as with a server at the end of a wire.
        tokio::task::yield_now().await;
        if chunk.bytes() > self.traits.hidden_max_bytes {
            let message = format!("{} bytes are more than this server takes", chunk.bytes());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if atomic {
            self.apply_whole(changes, answers);
        } else {
            self.apply_each(changes, stops, answers).await;
        }
        Ok(())
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        let now = self.now();
        self.tables().read(collection, &identity(key.as_ref()), now)
    }

    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("unibatch memory", env!("CARGO_PKG_VERSION")))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl MemoryBackend {
    /// Applies operations one by one; if `stops`, those after the first failure are not run.
    async fn apply_each(&self, changes: Vec<(usize, Change)>, stops: bool, answers: &mut Answers) {
        let mut failed = false;
        for (done, (place, change)) in changes.into_iter().enumerate() {
            if failed && stops {
                answers.set(place, Err(not_run()));
                continue;
            }
            let answer = self.apply(change);
            failed |= answer.is_err();
            answers.set(place, answer);
            if done % SLICE == SLICE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Applies all operations or none, and lets nobody see a part: one lock, no await.
    fn apply_whole(&self, changes: Vec<(usize, Change)>, answers: &mut Answers) {
        let now = self.now();
        let mut tables = self.tables();
        let mut undo = Undo::default();
        let mut bodies = Vec::with_capacity(changes.len());
        for (place, change) in changes {
            let answer = if self.meets_conflict(&change) {
                Err(conflict())
            } else {
                tables.apply(change, now, Some(&mut undo))
            };
            match answer {
                Ok(body) => bodies.push((place, body)),
                Err(error) => {
                    tables.roll_back(undo);
                    // The core tells the others that they were undone with this one.
                    answers.set(place, Err(error));
                    return;
                }
            }
        }
        for (place, body) in bodies {
            answers.set(place, Ok(body));
        }
    }
}
