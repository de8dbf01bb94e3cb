//! The job table of a batch: one status byte an operation, results only where there are any.
//!
//! Readers of a status take no lock. One writer at a time (the queue, then the commit) settles.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence},
    },
    task::Waker,
};

use bytes::Bytes;

use crate::{Error, ErrorKind, JobStatus, Outcome, outcome::DocumentAt};

/// An operation's state as one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Queued = 0,
    /// On its way, or sent and without a verdict. Never taken back once doubtful.
    Sent = 1,
    Applied = 2,
    NotApplied = 3,
    Accepted = 4,
    Unknown = 5,
}

impl Status {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Queued,
            1 => Self::Sent,
            2 => Self::Applied,
            3 => Self::NotApplied,
            4 => Self::Accepted,
            _ => Self::Unknown,
        }
    }

    pub(crate) const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Sent)
    }
}

/// How one operation ended.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Applied(Bytes),
    NotApplied(Error),
    Accepted(Error),
    Unknown(Error),
}

impl Verdict {
    pub(crate) const fn status(&self) -> Status {
        match self {
            Self::Applied(_) => Status::Applied,
            Self::NotApplied(_) => Status::NotApplied,
            Self::Accepted(_) => Status::Accepted,
            Self::Unknown(_) => Status::Unknown,
        }
    }

    pub(crate) const fn error(&self) -> Option<&Error> {
        match self {
            Self::Applied(_) => None,
            Self::NotApplied(error) | Self::Accepted(error) | Self::Unknown(error) => Some(error),
        }
    }
}

const FIRST_BUCKET: usize = 16;
const BUCKETS: usize = 28;

/// Status bytes in buckets of 16, 32, 64 and so on, so that they grow without moving.
#[derive(Debug)]
struct StatusBytes {
    buckets: [OnceLock<Box<[AtomicU8]>>; BUCKETS],
}

impl StatusBytes {
    const fn new() -> Self {
        Self { buckets: [const { OnceLock::new() }; BUCKETS] }
    }

    const fn place(index: u32) -> (usize, usize) {
        let shifted = index as usize + FIRST_BUCKET;
        let bucket = (shifted.ilog2() - FIRST_BUCKET.ilog2()) as usize;
        (bucket, shifted - (FIRST_BUCKET << bucket))
    }

    fn grow_to(&self, index: u32) {
        let (bucket, _) = Self::place(index);
        if let Some(cell) = self.buckets.get(bucket) {
            cell.get_or_init(|| (0..FIRST_BUCKET << bucket).map(|_| AtomicU8::new(0)).collect());
        }
    }

    fn byte(&self, index: u32) -> Option<&AtomicU8> {
        let (bucket, offset) = Self::place(index);
        self.buckets.get(bucket)?.get()?.get(offset)
    }
}

/// What an ended operation left behind.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Body {
        body: Bytes,
        document: DocumentAt,
    },
    Error {
        error: Error,
        shape: u32,
        chunk: u32,
    },
}

const SLOTS: usize = 1024;

/// Results in blocks that are made when the first operation of a block leaves something behind.
#[derive(Debug, Default)]
struct Results {
    blocks: Vec<Option<Box<[Slot]>>>,
}

impl Results {
    fn set(&mut self, index: u32, slot: Slot) {
        let (block, offset) = (index as usize / SLOTS, index as usize % SLOTS);
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, || None);
        }
        // A batch that fits one block gets a small one, so that a batch of one stays small.
        let size = if block == 0 { (offset + 1).next_power_of_two() } else { SLOTS };
        if let Some(cell) = self.blocks.get_mut(block) {
            let slots = cell.get_or_insert_default();
            if slots.len() <= offset {
                let mut grown: Vec<Slot> = std::mem::take(slots).into_vec();
                grown.resize_with(size, Slot::default);
                *slots = grown.into_boxed_slice();
            }
            if let Some(place) = slots.get_mut(offset) {
                *place = slot;
            }
        }
    }

    fn get(&self, index: u32) -> Option<&Slot> {
        self.blocks.get(index as usize / SLOTS)?.as_ref()?.get(index as usize % SLOTS)
    }
}

/// The name of a shape in errors: the operation's and the collection's.
pub(crate) type ShapeName = (&'static str, Option<Arc<str>>);

/// What is needed to settle one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) shape: u32,
    pub(crate) document: DocumentAt,
    /// From 1 in the order of sending; 0 if it was never sent.
    pub(crate) chunk: u32,
}

impl Place {
    /// Of an operation that is applied, and of which the store said nothing more.
    pub(crate) const fn without_answer(index: u32, chunk: u32) -> Self {
        Self { index, shape: 0, document: DocumentAt::Nowhere, chunk }
    }
}

#[derive(Debug, Default)]
struct Waiters {
    next_id: u64,
    by_job: HashMap<u32, Vec<(u64, Waker)>>,
}

/// The jobs of one batch, shared by the batch, its commit and all its handles.
#[derive(Debug)]
pub(crate) struct JobTable {
    store: &'static str,
    record: bool,
    statuses: StatusBytes,
    len: AtomicU32,
    sent: AtomicU32,
    settled: AtomicU32,
    results: RwLock<Results>,
    shapes: RwLock<Vec<ShapeName>>,
    has_waiters: AtomicBool,
    waiters: Mutex<Waiters>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here panics while it holds a lock, so a poisoned one is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl JobTable {
    pub(crate) fn new(store: &'static str, record: bool) -> Self {
        Self {
            store,
            record,
            statuses: StatusBytes::new(),
            len: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            settled: AtomicU32::new(0),
            results: RwLock::default(),
            shapes: RwLock::default(),
            has_waiters: AtomicBool::new(false),
            waiters: Mutex::default(),
        }
    }

    /// Adds a queued job at the end.
    pub(crate) fn push(&self, index: u32) {
        self.statuses.grow_to(index);
        self.len.store(index + 1, Ordering::Release);
    }

    pub(crate) fn push_shape(&self, name: ShapeName) {
        self.shapes.write().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn settled(&self) -> u32 {
        self.settled.load(Ordering::Relaxed)
    }

    pub(crate) fn status(&self, index: u32) -> Status {
        self.statuses
            .byte(index)
            .map_or(Status::Queued, |byte| Status::from_byte(byte.load(Ordering::Acquire)))
    }

    /// Marks operations as possibly executed.
    pub(crate) fn mark_sent(&self, indices: &[u32]) {
        let mut first_time = 0;
        for &index in indices {
            if let Some(byte) = self.statuses.byte(index)
                && byte.load(Ordering::Relaxed) == Status::Queued as u8
            {
                byte.store(Status::Sent as u8, Ordering::Release);
                first_time += 1;
            }
        }
        self.sent.fetch_add(first_time, Ordering::Relaxed);
    }

    /// Takes the mark back from an operation that was certainly not applied and will be sent again.
    pub(crate) fn unmark_sent(&self, index: u32) {
        if let Some(byte) = self.statuses.byte(index)
            && byte.load(Ordering::Relaxed) == Status::Sent as u8
        {
            byte.store(Status::Queued as u8, Ordering::Release);
            self.sent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Settles operations: each at most once, whatever is asked. Returns how many were settled now.
    pub(crate) fn settle(&self, verdicts: impl Iterator<Item = (Place, Verdict)>) -> u32 {
        let mut ended = Vec::new();
        let mut count = 0;
        let watched = {
            let mut results = None;
            for (place, verdict) in verdicts {
                let Some(byte) = self.statuses.byte(place.index) else {
                    continue;
                };
                let status = verdict.status();
                if Status::from_byte(byte.load(Ordering::Relaxed)).is_terminal() {
                    tracing::error!(
                        job = place.index + 1,
                        ?status,
                        "an ended job was settled again; the first verdict stands"
                    );
                    continue;
                }
                let slot = match verdict {
                    Verdict::Applied(body) if body.is_empty() => Slot::Empty,
                    Verdict::Applied(body) => Slot::Body { body, document: place.document },
                    Verdict::NotApplied(error)
                    | Verdict::Accepted(error)
                    | Verdict::Unknown(error) => {
                        Slot::Error { error, shape: place.shape, chunk: place.chunk }
                    }
                };
                if self.record && !matches!(slot, Slot::Empty) {
                    // One lock for all the verdicts of a call, taken when the first one needs it.
                    results
                        .get_or_insert_with(|| {
                            self.results.write().unwrap_or_else(PoisonError::into_inner)
                        })
                        .set(place.index, slot);
                }
                byte.store(status as u8, Ordering::Release);
                count += 1;
                ended.push(place.index);
            }
            fence(Ordering::SeqCst);
            self.has_waiters.load(Ordering::Relaxed)
        };
        self.settled.fetch_add(count, Ordering::Relaxed);
        if watched {
            self.wake(&ended);
        }
        count
    }

    /// As [`settle`](Self::settle), for operations that are applied and of which the store said
    /// nothing more: nearly all are, so nothing is built for each. Those that have ended stay so.
    pub(crate) fn settle_applied(&self, indices: &[u32]) -> u32 {
        let mut count = 0;
        for byte in indices.iter().filter_map(|index| self.statuses.byte(*index)) {
            if !Status::from_byte(byte.load(Ordering::Relaxed)).is_terminal() {
                byte.store(Status::Applied as u8, Ordering::Release);
                count += 1;
            }
        }
        fence(Ordering::SeqCst);
        let watched = self.has_waiters.load(Ordering::Relaxed);
        self.settled.fetch_add(count, Ordering::Relaxed);
        if watched {
            self.wake(indices);
        }
        count
    }

    fn wake(&self, ended: &[u32]) {
        let mut wakers = Vec::new();
        {
            let mut waiters = lock(&self.waiters);
            for index in ended {
                wakers.extend(waiters.by_job.remove(index).unwrap_or_default());
            }
        }
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    /// Registers a waker, or replaces the one that `id` registered before; `None` if the job has
    /// ended. Registers first and looks then, so that no end is missed between the two.
    pub(crate) fn watch(&self, index: u32, id: Option<u64>, waker: &Waker) -> Option<u64> {
        // Wakers are made and dropped outside the lock: those of other executors may run code then.
        let mut waker = Some(waker.clone());
        let id = {
            let mut waiters = lock(&self.waiters);
            let new = waiters.next_id + 1;
            waiters.next_id = new;
            let list = waiters.by_job.entry(index).or_default();
            let known = id.and_then(|id| list.iter_mut().find(|(other, _)| *other == id));
            let id = match known {
                Some((id, old)) => {
                    waker = waker.map(|waker| std::mem::replace(old, waker));
                    *id
                }
                None => {
                    list.extend(waker.take().map(|waker| (new, waker)));
                    new
                }
            };
            self.has_waiters.store(true, Ordering::Relaxed);
            id
        };
        drop(waker);
        fence(Ordering::SeqCst);
        if self.status(index).is_terminal() {
            self.unwatch(index, id);
            return None;
        }
        Some(id)
    }

    pub(crate) fn unwatch(&self, index: u32, id: u64) {
        let mut waiters = lock(&self.waiters);
        let Some(list) = waiters.by_job.get_mut(&index) else { return };
        let place = list.iter().position(|(other, _)| *other == id);
        let removed = place.map(|place| list.swap_remove(place));
        if list.is_empty() {
            waiters.by_job.remove(&index);
        }
        drop(waiters);
        drop(removed);
    }

    /// The status with what was recorded, as users see it.
    pub(crate) fn job_status(&self, index: u32) -> JobStatus {
        let status = self.status(index);
        let error = || self.error(index, status);
        match status {
            Status::Queued | Status::Sent => JobStatus::Pending,
            Status::Applied => JobStatus::Applied(self.outcome(index)),
            Status::NotApplied => JobStatus::NotApplied(error()),
            Status::Accepted => JobStatus::Accepted,
            Status::Unknown => JobStatus::Unknown(error()),
        }
    }

    pub(crate) fn records(&self) -> bool {
        self.record
    }

    fn outcome(&self, index: u32) -> Outcome {
        let results = self.results.read().unwrap_or_else(PoisonError::into_inner);
        match results.get(index) {
            Some(Slot::Body { body, document }) => Outcome::new(body.clone(), *document),
            _ => Outcome::new(Bytes::new(), DocumentAt::Nowhere),
        }
    }

    /// The recorded error with its context, of a job whose status has one.
    pub(crate) fn error(&self, index: u32, status: Status) -> Error {
        let results = self.results.read().unwrap_or_else(PoisonError::into_inner);
        match results.get(index) {
            Some(Slot::Error { error, shape, chunk }) => {
                self.with_context(error, index, Some(*shape), *chunk)
            }
            _ => {
                let error = Error::new(
                    ErrorKind::NotRecorded,
                    "the reason was not recorded; open the batch with `results(true)` to keep it",
                );
                // Without the reason, only the answer "no" makes it safe to send again.
                let error = match status {
                    Status::NotApplied => error,
                    Status::Accepted => error.accepted(),
                    _ => error.unknown(),
                };
                self.with_context(&error, index, None, 0)
            }
        }
    }

    pub(crate) fn with_context(
        &self,
        error: &Error,
        index: u32,
        shape: Option<u32>,
        chunk: u32,
    ) -> Error {
        let shapes = self.shapes.read().unwrap_or_else(PoisonError::into_inner);
        let name = shape.and_then(|shape| shapes.get(shape as usize).cloned());
        error.with_job(self.store, name, index + 1, (chunk > 0).then_some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn place(index: u32) -> Place {
        Place { index, shape: 0, document: DocumentAt::Nowhere, chunk: 1 }
    }

    fn table(jobs: u32) -> JobTable {
        let table = JobTable::new("test", true);
        (0..jobs).for_each(|index| table.push(index));
        table
    }

    #[test]
    fn every_index_has_a_byte_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for index in (0..5000).chain([u32::MAX >> 4]) {
            let (bucket, offset) = StatusBytes::place(index);
            assert!(offset < FIRST_BUCKET << bucket, "{index}");
            assert!(seen.insert((bucket, offset)), "{index}");
        }
    }

    #[test]
    fn an_ended_job_keeps_its_first_verdict() {
        let table = table(1);
        let error = Error::new(ErrorKind::Conflict, "late");
        assert_eq!(table.settle([(place(0), Verdict::Applied(Bytes::new()))].into_iter()), 1);
        assert_eq!(table.settle([(place(0), Verdict::NotApplied(error))].into_iter()), 0);
        assert_eq!((table.status(0), table.settled()), (Status::Applied, 1));
    }

    #[test]
    fn a_waiter_that_registers_after_the_end_is_told_so_and_leaves_nothing_behind() {
        let table = table(1);
        table.settle([(place(0), Verdict::Applied(Bytes::new()))].into_iter());
        assert_eq!(table.watch(0, None, Waker::noop()), None);
        assert!(lock(&table.waiters).by_job.is_empty());
    }

    /// Trap 6: the end that comes between the look at the status and the registering.
    #[test]
    fn a_waiter_that_registers_while_its_job_ends_is_woken_or_told() {
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        for _ in 0..2000 {
            let table = Arc::new(table(1));
            let count = Arc::new(Count(AtomicUsize::new(0)));
            let settler = std::thread::spawn({
                let table = Arc::clone(&table);
                move || table.settle([(place(0), Verdict::Applied(Bytes::new()))].into_iter())
            });
            let registered = table.watch(0, None, &Waker::from(Arc::clone(&count)));
            settler.join().unwrap();
            assert!(registered.is_none() || count.0.load(Ordering::SeqCst) == 1);
        }
    }
}
