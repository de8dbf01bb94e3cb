//! What was sent, to be looked at and asserted on by tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use batch_core::{Key, Verb, seam::Chunk};

use crate::{Fault, encode::identity};

/// One operation of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedOperation {
    /// Its job's id, from 1.
    pub job: u32,
    /// What it does.
    pub verb: Verb,
    /// Its collection.
    pub collection: String,
    /// Its key.
    pub key: Key,
}

/// One request, as it was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentChunk {
    /// How it travels.
    pub mechanism: String,
    /// From 1; higher if operations of it were sent before.
    pub attempt: u32,
    /// Its size.
    pub bytes: u64,
    /// Its operations, in the order of sending.
    pub operations: Vec<LoggedOperation>,
    /// The fault that it met.
    pub fault: Fault,
    /// Whether it left: a request that could not be sent, or that the client itself refused, did not.
    pub left: bool,
}

/// Every request in the order of sending, attempts included. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    chunks: Vec<SentChunk>,
    /// How often the log was cleared: entries from before are gone.
    cleared: u64,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin<'a>(&'a self, chunk: &'a Chunk<'a>, fault: Fault) -> Entry<'a> {
        let operations = chunk.operations().map(|operation| LoggedOperation {
            job: operation.index + 1,
            verb: operation.verb,
            collection: operation.collection.to_owned(),
            key: operation.key.into(),
        });
        let mut entries = self.lock();
        entries.chunks.push(SentChunk {
            mechanism: chunk.mechanism().name.clone().into_owned(),
            attempt: chunk.attempt(),
            bytes: chunk.bytes(),
            operations: operations.collect(),
            fault,
            left: false,
        });
        Entry { log: self, chunk, place: entries.chunks.len() - 1, cleared: entries.cleared }
    }

    /// The requests so far.
    #[must_use]
    pub fn chunks(&self) -> Vec<SentChunk> {
        self.lock().chunks.clone()
    }

    /// How often operations on a document were sent.
    #[must_use]
    pub fn times_sent(&self, collection: &str, key: impl Into<Key>) -> usize {
        let wanted = identity(key.into().as_ref());
        let entries = self.lock();
        let all = entries.chunks.iter().flat_map(|chunk| &chunk.operations);
        all.filter(|o| o.collection == collection && identity(o.key.as_ref()) == wanted).count()
    }

    /// Forgets what was sent so far.
    pub fn clear(&self) {
        let mut entries = self.lock();
        entries.chunks.clear();
        entries.cleared += 1;
    }

    /// Asserts that no request was begun.
    ///
    /// # Panics
    /// If one was, with the log.
    #[track_caller]
    pub fn assert_nothing_sent(&self) {
        let chunks = self.chunks();
        assert!(chunks.is_empty(), "expected nothing to be sent, but: {chunks:#?}");
    }

    /// Asserts how many requests were begun.
    ///
    /// # Panics
    /// If it were more or fewer, with the log.
    #[track_caller]
    pub fn assert_chunks(&self, expected: usize) {
        let chunks = self.chunks();
        assert_eq!(chunks.len(), expected, "requests sent: {chunks:#?}");
    }

    /// Asserts that a document was written or read exactly once.
    ///
    /// # Panics
    /// If it was not, with the log.
    #[track_caller]
    pub fn assert_sent_once(&self, collection: &str, key: impl Into<Key>) {
        let key = key.into();
        let times = self.times_sent(collection, key.clone());
        assert_eq!(times, 1, "{collection} {key:?} was sent {times} times: {:#?}", self.chunks());
    }
}

/// The entry of a request under way: notes at its end, or when it is dropped, whether it left.
pub(crate) struct Entry<'a> {
    log: &'a Log,
    chunk: &'a Chunk<'a>,
    place: usize,
    cleared: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut entries = self.log.lock();
        if entries.cleared == self.cleared
            && let Some(entry) = entries.chunks.get_mut(self.place)
        {
            entry.left = self.chunk.was_sent();
        }
    }
}
