//! A backend that does nothing: what remains is the library's own part.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use batch_core::{
    Capabilities, Error, Key, OperationRef, Result, Server, StoreOptions,
    seam::{
        Answers, Backend, Chunk, Engine, KeyId, Mechanism, Pooled, Repeats, Route, Routes, Terms,
        View,
    },
};
use bytes::Bytes;

use crate::{Lap, Stopwatch};

/// What it answers for every operation.
#[derive(Clone, Debug)]
pub enum Says {
    /// Applied, in one word for the whole chunk.
    AllApplied,
    /// Applied, each with a slice of this text.
    Body(Bytes),
    /// Not applied, each for the same reason.
    Refused(Error),
}

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Habits {
    /// What it answers.
    pub says: Says,
    /// Whether a key may stand twice in a chunk.
    pub repeats: Repeats,
    /// Whether every operation is a group of its own, and so a chunk; else all are one group.
    pub group_each: bool,
    /// How many groups travel together, if they are small.
    pub pooled: Option<u32>,
    /// Whether operations lie somewhere, in another order than that of the queue.
    pub has_positions: bool,
}

impl Default for Habits {
    /// Applies everything, a key once in a chunk, one group.
    fn default() -> Self {
        Self {
            says: Says::AllApplied,
            repeats: Repeats::Apart,
            group_each: false,
            pooled: None,
            has_positions: false,
        }
    }
}

/// Sends chunks of at most 100 operations and 256 KiB nowhere, and has its answer at once.
#[derive(Debug)]
pub struct Idle {
    habits: Habits,
    mechanism: Mechanism,
    /// Runs from the call of [`Self::begin`]; what it showed when the first chunk came.
    first_send: Mutex<(Option<Stopwatch>, Option<Lap>)>,
}

impl Idle {
    /// The most operations in a chunk.
    pub const CHUNK: usize = 100;

    /// The most bytes in a chunk.
    pub const CHUNK_BYTES: usize = 256 << 10;

    /// A backend with these habits.
    #[must_use]
    pub fn new(habits: Habits) -> Arc<Self> {
        let mut mechanism = Mechanism::new("nothing");
        mechanism.max_operations = Self::CHUNK;
        mechanism.max_bytes = Self::CHUNK_BYTES;
        mechanism.repeats = habits.repeats;
        mechanism.by_position = habits.has_positions.then_some(1);
        Arc::new(Self { habits, mechanism, first_send: Mutex::default() })
    }

    /// A store over it.
    #[must_use]
    pub fn store(self: &Arc<Self>) -> Engine {
        // The deadline is no part of the measurement, also where ten million operations swap.
        let options = StoreOptions::new().timeout(Duration::from_secs(3600));
        Engine::new(Arc::clone(self) as Arc<dyn Backend>, options)
    }

    /// Starts the watch that the first chunk of a commit stops.
    pub fn begin(&self, watch: Stopwatch) {
        *self.first_send() = (Some(watch), None);
    }

    /// How long the commit took to come to its first chunk.
    #[must_use]
    pub fn until_first_send(&self) -> Option<Lap> {
        self.first_send().1
    }

    fn first_send(&self) -> MutexGuard<'_, (Option<Stopwatch>, Option<Lap>)> {
        self.first_send.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.best_effort = Some("nothing".into());
        can
    }

    fn admit(&self, _: OperationRef<'_>, _: Terms) -> Result<()> {
        Ok(())
    }

    async fn resolve(&self, _: View<'_>, _: bool) -> Result<()> {
        Ok(())
    }

    fn route(&self, operations: View<'_>, _: Terms, routes: &mut Routes) -> Result<()> {
        let mut mechanism = self.mechanism.clone();
        if let Some(groups) = self.habits.pooled {
            let mut several = self.mechanism.clone();
            several.name = "nothing together".into();
            mechanism.pooled = Some(Pooled::new(routes.mechanism(several), groups, 10));
        }
        let mechanism = routes.mechanism(mechanism);
        for operation in operations.iter() {
            let key = KeyId::of_string_forms(operation.collection, operation.key);
            let group = if self.habits.group_each { operation.index.into() } else { 0 };
            let bytes = u32::try_from(operation.body.len()).unwrap_or(u32::MAX);
            routes.push(Route::new(mechanism, group, key, bytes));
        }
        Ok(())
    }

    /// Every second one far from the others, and neighbours in the queue never beside one another.
    fn positions(&self, operations: View<'_>, _: &Routes, positions: &mut Vec<u128>) {
        positions.extend(operations.iter().map(|operation| {
            let scrambled = operation.index.wrapping_mul(0x9E37_79B1);
            u128::from(operation.index % 2) << 100 | u128::from(scrambled)
        }));
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        if chunk.number() == 1 {
            let mut first = self.first_send();
            first.1 = first.0.as_ref().map(Stopwatch::lap);
        }
        chunk.sent();
        match &self.habits.says {
            Says::AllApplied => answers.all_applied(),
            Says::Body(text) => {
                (0..chunk.len()).for_each(|place| answers.set(place, Ok(text.clone())));
            }
            Says::Refused(error) => return Err(error.clone()),
        }
        Ok(())
    }

    async fn get(&self, _: &str, _: &Key) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("idle", "0"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
