//! The seam: what the code for one database supplies. Core queues, cuts, sends side by side,
//! retries, settles and calls back; a backend admits, resolves, routes and sends one chunk once.

mod chunk;
mod route;

use std::{collections::HashSet, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use self::{
    chunk::{Answer, OwnRanks},
    route::{Kept, REFUSED},
};
pub use self::{
    chunk::{Answers, Chunk, ROOM_FOR_ATTEMPTS},
    route::{KeyId, Mechanism, MechanismId, Pooled, Repeats, Route, Routes},
};
use crate::{
    BatchType, Capabilities, Guarantee, Key, OperationRef, Result, Server, Verb,
    operation::NativeStatement, queue::Queue,
};

/// What a batch asks of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// The forced kind of batch; only given to a backend whose capabilities list it.
    pub batch_type: Option<BatchType>,
}

impl Terms {
    pub(crate) const fn new(guarantee: Guarantee, batch_type: Option<BatchType>) -> Self {
        Self { guarantee, batch_type }
    }
}

#[derive(Clone, Copy, Debug)]
enum Places<'a> {
    Range(u32, u32),
    List(&'a [u32]),
}

/// Operations to be resolved or routed: the queue, a part of it, or what is left of a chunk.
#[derive(Clone, Copy)]
pub struct View<'a> {
    queue: &'a Queue,
    places: Places<'a>,
    last: bool,
}

impl<'a> View<'a> {
    pub(crate) fn range(queue: &'a Queue, start: u32, end: u32) -> Self {
        View { queue, places: Places::Range(start, end), last: end == queue.len() }
    }

    pub(crate) fn list(queue: &'a Queue, list: &'a [u32]) -> Self {
        View { queue, places: Places::List(list), last: true }
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self.places {
            Places::Range(start, end) => (end - start) as usize,
            Places::List(list) => list.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether these are the last ones to be routed. Long queues are routed in several calls.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.last
    }

    /// The operations, in program order.
    pub fn iter(self) -> impl Iterator<Item = OperationRef<'a>> {
        let (range, list) = match self.places {
            Places::Range(start, end) => (start..end, [].as_slice()),
            Places::List(list) => (0..0, list),
        };
        range.chain(list.iter().copied()).map(move |index| self.queue.get(index))
    }

    /// What the operations are about, each combination once: all that metadata needs, however many
    /// operations there are. Of a slice of the queue it is what the whole queue is about.
    pub fn shapes(self) -> impl Iterator<Item = Shape<'a>> {
        let used: Option<HashSet<u32>> = match self.places {
            Places::Range(..) => None,
            Places::List(list) => {
                Some(list.iter().map(|index| self.queue.get(*index).shape).collect())
            }
        };
        let is_used =
            move |shape: &Shape<'a>| used.as_ref().is_none_or(|all| all.contains(&shape.id));
        self.queue.shapes().filter(is_used)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What many operations have in common.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shape<'a> {
    /// The number that [`OperationRef::shape`] refers to.
    pub id: u32,
    /// What they do.
    pub verb: Verb,
    /// The collection's name; empty for a native operation that names none.
    pub collection: &'a str,
    /// The statement of native operations.
    pub statement: Option<&'a Arc<dyn NativeStatement>>,
}

impl<'a> Shape<'a> {
    pub(crate) fn new(
        id: u32,
        verb: Verb,
        collection: &'a str,
        statement: Option<&'a Arc<dyn NativeStatement>>,
    ) -> Self {
        Shape { id, verb, collection, statement }
    }
}

/// The code for one database. A contract with authors of backends: no method has a default, and
/// users never call one.
///
/// # Errors and what they mean
/// A backend's error table decides every verdict, so it MUST follow these rules:
/// - an [`Error`](crate::Error) says `NotApplied` unless made [`unknown`](crate::Error::unknown) or
///   [`accepted`](crate::Error::accepted). If it cannot be proved that an operation was not applied, the
///   error MUST be `unknown`.
/// - [`transient`](crate::Error::transient) says that the same request may succeed later. The core
///   retries what is transient and certainly not applied, and what is transient, unknown and idempotent.
/// - [`TooLarge`](crate::ErrorKind::TooLarge) for a whole chunk makes the core cut smaller, if the
///   guarantee allows.
/// - [`Stale`](crate::ErrorKind::Stale) says that what routing rested on is gone; the core calls
///   [`resolve`](Self::resolve) with `stale` and routes those operations again.
/// - no message may hold a password or a token.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The name in errors, plans and reports, which native statements are compared with.
    fn name(&self) -> &'static str;

    /// What is known now. No I/O.
    fn capabilities(&self) -> Capabilities;

    /// May this be queued? No I/O. MUST refuse what no server of this kind could take. The core
    /// has already refused what the capabilities exclude and what is larger than they allow.
    ///
    /// # Errors
    /// The reason, which `queue` returns with the operation.
    fn admit(&self, operation: OperationRef<'_>, terms: Terms) -> Result<()>;

    /// Reads and caches what routing needs: schema, prepared statements, what the server can do.
    /// MUST NOT touch data. Called before each plan and commit (free when warm), and with `stale`
    /// after an error of kind `Stale`.
    ///
    /// # Errors
    /// What stood in the way; the commit is refused with it, or retries if it is transient.
    async fn resolve(&self, operations: View<'_>, stale: bool) -> Result<()>;

    /// Pure: equal operations, metadata and limits give equal routes. One push or refusal for each
    /// operation, in order. A long queue comes in several calls with the same `routes`;
    /// [`View::is_last`] marks the last.
    ///
    /// # Errors
    /// Refuses the whole batch before a byte is sent, naming operation and reason.
    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()>;

    /// Where operations of large groups lie in the store, for mechanisms that ask for it
    /// ([`Mechanism::by_position`]): a position for each, in the order of the view, or none at all
    /// where they are not known, which count as equal. Positions are compared within a group; a wrong
    /// one costs only speed. Pure, no I/O. The view is in no order, and one operation may come twice.
    fn positions(&self, operations: View<'_>, routes: &Routes, positions: &mut Vec<u128>);

    /// Encodes and sends one chunk once: no retries, no splitting, no waiting for a turn. MUST call
    /// [`Chunk::sent`] before bytes leave that the store may act on. May be dropped at any await,
    /// and MUST then leave nothing open on the server (a transaction's guard spawns its abort).
    /// An answer set before `sent` is a refusal of that operation alone; a mechanism that stops by
    /// itself stops at it too, and answers `Skipped` for those behind it.
    ///
    /// # Errors
    /// The verdict on every operation that has no answer.
    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()>;

    /// Reads one document outside any batch, as JSON text; `None` if it is absent.
    ///
    /// # Errors
    /// What the store says.
    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>>;

    /// Asks the server whether it is there, and which it is.
    ///
    /// # Errors
    /// What stood in the way.
    async fn ping(&self) -> Result<Server>;

    /// Closes connections. Called once every commit has ended; again if the store is closed again.
    ///
    /// # Errors
    /// What could not be closed.
    async fn close(&self) -> Result<()>;
}
