//! The seam: what the code for one database supplies. Core queues, cuts, sends side by side,
//! retries, settles and calls back; a backend admits, resolves, routes and sends one chunk once.

use std::{
    borrow::Cow,
    fmt,
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    BatchType, Capabilities, Error, Fate, Guarantee, Key, OperationRef, Result, Server, Verb,
    commit::Work, key::KeyRef, operation::NativeStatement, plan::SLICE, queue::Queue,
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

/// May operations on one key stand together in a chunk?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Repeats {
    /// Yes: the chunk is applied whole or not at all, in order (a transaction).
    Together,
    /// Yes, and chunks need no order either: each write carries a timestamp that decides
    /// ([`Chunk::timestamp`]).
    Stamped,
    /// Yes, and under best effort they must: the backend makes one write of all operations on a
    /// key, and answers for each. They travel as the first of them is routed, and count as one of
    /// [`Mechanism::max_operations`]. Where a chunk cannot take all, or one on the key may not be
    /// folded, they travel each as it is routed: a later chunk takes the rest once the former is
    /// settled. Ids may collide: what is folded is compared by its key.
    Folded,
    /// No: one operation per key and chunk; the next waits until the former is settled.
    Apart,
}

/// How the operations of small chunks travel together, though their groups differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pooled {
    /// How they travel then; its ceilings hold.
    pub mechanism: MechanismId,
    /// The most groups in such a chunk.
    pub max_groups: u32,
    /// Chunks of fewer operations are small.
    pub below: u32,
}

impl Pooled {
    /// Chunks of fewer than `below` operations travel by `mechanism`, at most `max_groups` of them
    /// in one.
    #[must_use]
    pub const fn new(mechanism: MechanismId, max_groups: u32, below: u32) -> Self {
        Self { mechanism, max_groups, below }
    }
}

/// How chunks travel: a name for plans and reports, and what the core may put together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mechanism {
    /// The name in plans, reports and errors, such as `multipart call`.
    pub name: Cow<'static, str>,
    /// The most operations in a chunk.
    pub max_operations: usize,
    /// The most bytes in a chunk, as [`Route::bytes`], [`overhead`](Self::overhead) and
    /// [`per_operation`](Self::per_operation) count them.
    pub max_bytes: usize,
    /// The bytes that a chunk has over the sum of its operations.
    pub overhead: u32,
    /// The bytes that each operation has over its [`Route::bytes`] when it travels so: the head of a
    /// part. Not where operations are folded.
    pub per_operation: u32,
    /// Whether the bytes are exact; else they are an upper bound.
    pub exact_bytes: bool,
    /// Whether operations on one key may share a chunk.
    pub repeats: Repeats,
    /// Applied whole or not at all: needed for [`Guarantee::AllOrNothing`].
    pub atomic: bool,
    /// Stops by itself at the first operation that fails; without it, an ordered batch that stops
    /// has one operation per chunk.
    pub stops: bool,
    /// How a chunk of one operation travels, or of several that are made one write of
    /// ([`Repeats::Folded`]), if that has a name of its own. Not under all-or-nothing.
    pub alone: Option<MechanismId>,
    /// Under best effort, what becomes of chunks that are too small to be worth a request.
    pub pooled: Option<Pooled>,
    /// Why operations travel so, where the name alone does not say it: a sentence for those who
    /// read the plan.
    pub why: Option<Cow<'static, str>>,
}

impl Mechanism {
    /// A mechanism without ceilings, whose bytes are exact, one operation per key and chunk,
    /// neither atomic nor stopping.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            max_operations: usize::MAX,
            max_bytes: usize::MAX,
            overhead: 0,
            per_operation: 0,
            exact_bytes: true,
            repeats: Repeats::Apart,
            atomic: false,
            stops: false,
            alone: None,
            pooled: None,
            why: None,
        }
    }
}

impl Mechanism {
    /// The bytes that a chunk of so many operations has over the sum of their routes'.
    pub(crate) fn added(&self, operations: u64) -> u64 {
        u64::from(self.overhead) + u64::from(self.per_operation) * operations
    }
}

/// A backend's idea of which document an operation is about. Equal ids are never reordered; a
/// collision costs only parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(NonZeroU64);

impl KeyId {
    /// The id of anything that can be hashed, such as a partition key's bytes.
    pub fn of(identity: impl Hash) -> Self {
        // Fixed, so that a plan is the same in every run.
        let hash = foldhash::quality::FixedState::with_seed(0).hash_one(identity);
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }

    /// The id on a store without a schema: the collection and the key's string forms in the order
    /// of their names, so that `1` and `"1"` are the same. `None` without a key.
    #[must_use]
    pub fn of_string_forms(collection: &str, key: KeyRef<'_>) -> Option<Self> {
        let mut parts = key.string_parts();
        match (parts.next(), parts.next()) {
            (None, _) => None,
            // One part, which is nearly always: no list to sort.
            (Some((_, text)), None) => Some(Self::of((collection, text))),
            _ => Some(Self::of((collection, key.string_forms()))),
        }
    }

    /// The id that has this [number](Self::get); none has 0.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The id as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// The number of a mechanism within one [`Routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MechanismId(pub(crate) u8);

/// Where one operation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// How it travels.
    pub mechanism: MechanismId,
    /// Operations of one chunk share mechanism and group: a partition, a collection and verb.
    pub group: u64,
    /// Groups of one pool may share a chunk if they are small ([`Mechanism::pooled`]): a set of
    /// replicas.
    pub pool: u16,
    /// What it is ordered by; `None` if by nothing.
    pub key: Option<KeyId>,
    /// What it adds to its chunk's size.
    pub bytes: u32,
}

impl Route {
    /// The route of an operation: how it travels, what it shares a chunk with, what it is ordered
    /// by, and what it adds to its chunk's size.
    #[must_use]
    pub const fn new(mechanism: MechanismId, group: u64, key: Option<KeyId>, bytes: u32) -> Self {
        Self { mechanism, group, pool: 0, key, bytes }
    }

    /// Puts the operation's group into a pool; without it, into pool 0.
    #[must_use]
    pub const fn in_pool(mut self, pool: u16) -> Self {
        self.pool = pool;
        self
    }
}

/// Collects the route of each operation, in the order of the operations.
#[derive(Debug, Default)]
pub struct Routes {
    pub(crate) mechanisms: Vec<Mechanism>,
    pub(crate) routes: Vec<Route>,
    /// Places, and what they write besides what is their key's own.
    pub(crate) shared: Vec<(u32, KeyId)>,
    pub(crate) refused: Vec<(u32, Error)>,
    pub(crate) warnings: Vec<String>,
    pub(crate) kept: Kept,
}

/// What a backend worked out while it routed, to be used when it sends.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// One for each slice of the queue.
    blocks: Vec<Block>,
}

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where the bytes of each operation end; none until something is kept.
    ends: Vec<u32>,
    /// How many operations there are.
    count: usize,
}

impl Kept {
    /// A further slice of the queue is routed now, of so many operations.
    pub(crate) fn begin_slice(&mut self, count: usize) {
        self.blocks.push(Block { count, ..Block::default() });
    }

    fn push(&mut self, place: usize, bytes: &[u8]) {
        let Some(block) = self.blocks.last_mut() else { return };
        if block.ends.is_empty() && bytes.is_empty() {
            return;
        }
        if block.ends.is_empty() {
            block.ends.reserve_exact(block.count);
            block.ends.resize(place % SLICE as usize, 0);
        }
        block.bytes.extend_from_slice(bytes);
        block.ends.push(u32::try_from(block.bytes.len()).unwrap_or(u32::MAX));
    }

    fn get(&self, index: u32) -> Option<&[u8]> {
        let block = self.blocks.get((index / SLICE) as usize)?;
        let place = (index % SLICE) as usize;
        let end = *block.ends.get(place)? as usize;
        let before = place.checked_sub(1).and_then(|place| block.ends.get(place));
        let bytes = block.bytes.get(before.map_or(0, |end| *end as usize)..end)?;
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Drops it in steps.
    pub(crate) async fn free(mut self) {
        while let Some(block) = self.blocks.pop() {
            let is_large = !block.ends.is_empty();
            drop(block);
            if is_large && !self.blocks.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Stands for a refused operation among the routes.
pub(crate) const REFUSED: MechanismId = MechanismId(u8::MAX);

impl Routes {
    /// Makes a mechanism known; an equal one keeps its number. At most 255 are kept apart; from
    /// then on the last one's number is given.
    pub fn mechanism(&mut self, mechanism: Mechanism) -> MechanismId {
        let known = self.mechanisms.iter().position(|other| *other == mechanism);
        let place = known.unwrap_or_else(|| {
            if self.mechanisms.len() < usize::from(REFUSED.0) {
                self.mechanisms.push(mechanism);
            }
            self.mechanisms.len() - 1
        });
        MechanismId(u8::try_from(place).unwrap_or(REFUSED.0 - 1))
    }

    /// Replaces a mechanism for all operations that were routed by it: for a choice that needs
    /// the whole batch, made when [`View::is_last`].
    pub fn replace(&mut self, id: MechanismId, mechanism: Mechanism) {
        if let Some(place) = self.mechanisms.get_mut(usize::from(id.0)) {
            *place = mechanism;
        }
    }

    /// Routes the next operation.
    pub fn push(&mut self, route: Route) {
        self.kept.push(self.routes.len(), &[]);
        self.routes.push(route);
    }

    /// Routes the next operation, and keeps bytes for [`Chunk::kept`]: what it was encoded to, so
    /// that it is done once. They are held beside the operation until the commit ends, so keep
    /// few, below a hundred or so. A plan keeps none.
    pub fn push_with(&mut self, route: Route, bytes: &[u8]) {
        self.kept.push(self.routes.len(), bytes);
        self.routes.push(route);
    }

    /// Says that the operation that was routed last writes something besides what is its key's own,
    /// which operations on other keys write too: what the rows of a partition share. Those with
    /// one such id are kept in program order like those on one key. They share a chunk if their
    /// mechanism and group are the same, so its writes must leave what the last one leaves; what is
    /// in a later chunk gets a later timestamp. Not for [`Repeats::Stamped`].
    pub fn share(&mut self, id: KeyId) {
        if let Some(place) = self.routes.len().checked_sub(1) {
            self.shared.push((u32::try_from(place).unwrap_or(u32::MAX), id));
        }
    }

    /// Refuses the next operation: its job alone ends `NotApplied`; under all-or-nothing the whole
    /// commit is refused.
    pub fn refuse(&mut self, error: Error) {
        let place = u32::try_from(self.routes.len()).unwrap_or(u32::MAX);
        self.refused.push((place, error.certain()));
        self.push(Route::new(REFUSED, 0, None, 0));
    }

    /// Adds a warning to the plan and the report.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Lets all operations routed so far, refused ones aside, travel by one mechanism and in one
    /// group: for a choice that needs the whole batch, made when [`View::is_last`].
    pub fn join(&mut self, mechanism: MechanismId) {
        for route in self.routes.iter_mut().filter(|route| route.mechanism != REFUSED) {
            (route.mechanism, route.group) = (mechanism, 0);
        }
    }

    /// The operations routed so far, refused ones aside: place and route.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Route)> {
        let routes = self.routes.iter().enumerate();
        routes.filter(|(_, route)| route.mechanism != REFUSED)
    }

    /// Whether all operations routed so far, refused ones aside, share one group.
    #[must_use]
    pub fn is_one_group(&self) -> bool {
        let mut groups = self.iter().map(|(_, route)| route.group);
        match groups.next() {
            Some(first) => groups.all(|group| group == first),
            None => true,
        }
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

    /// What the queue's operations are about, each combination once: all that metadata needs,
    /// however many operations there are.
    pub fn shapes(self) -> impl Iterator<Item = Shape<'a>> {
        self.queue.shapes()
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

/// How many timestamps a write has before the next one on its key: a backend may take one higher
/// for each attempt, where doing it twice at one time leaves another state than doing it once.
pub const ROOM_FOR_ATTEMPTS: u32 = 16;

/// What is sent at once.
pub struct Chunk<'a> {
    pub(crate) work: &'a Work,
    pub(crate) operations: &'a [u32],
    pub(crate) mechanism: &'a Mechanism,
    pub(crate) attempt: u32,
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    pub(crate) sent: AtomicBool,
    /// What its timestamps are counted from; `i64::MIN` until the first is needed.
    pub(crate) base_timestamp: AtomicI64,
    pub(crate) kept: &'a Kept,
    /// Where its timestamps are its own: how many operations on a key come before those of it, in
    /// ascending order and each number once.
    pub(crate) own_ranks: OnceLock<Option<Arc<[u32]>>>,
}

impl<'a> Chunk<'a> {
    /// How it travels.
    #[must_use]
    pub fn mechanism(&self) -> &'a Mechanism {
        self.mechanism
    }

    /// What the batch asks for.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.work.terms
    }

    /// When the commit's time ends. The core drops a `send` that runs longer.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.work.deadline
    }

    /// From 1; higher if operations of it were sent before.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// From 1 in the order of sending within the commit.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its size as the routes counted it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Never: a chunk has at least one operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The operations, in program order. Their place here is the one that [`Answers`] counts by.
    pub fn operations(&self) -> impl ExactSizeIterator<Item = OperationRef<'a>> {
        let queue = self.work.queue();
        self.operations.iter().map(move |index| queue.get(*index))
    }

    /// The operation at a place.
    #[must_use]
    pub fn operation(&self, place: usize) -> Option<OperationRef<'a>> {
        self.operations.get(place).map(|index| self.work.queue().get(*index))
    }

    /// What [`Routes::push_with`] kept for the operation at a place, if that was done when it was
    /// routed first. It may be older than the metadata that is resolved by now.
    #[must_use]
    pub fn kept(&self, place: usize) -> Option<&'a [u8]> {
        self.kept.get(*self.operations.get(place)?)
    }

    /// The write timestamp of the operation at a place, in microseconds: its own if it has one,
    /// else one that is fixed for all attempts. The n-th write to a key in a commit gets the
    /// commit's base + n × [`ROOM_FOR_ATTEMPTS`] (not base + place, which would put the millionth
    /// operation seconds into the future), and bases increase strictly per store. Each chunk of an
    /// ordered batch, and of operations that [share](Routes::share) something with others, has a
    /// base of its own, later than all timestamps of the one before, and n counts within it.
    #[must_use]
    pub fn timestamp(&self, place: usize) -> i64 {
        let Some(index) = self.operations.get(place) else {
            return self.base_timestamp();
        };
        let own = self.work.queue().get(*index).options.timestamp;
        own.unwrap_or_else(|| {
            let before = self.work.earlier(*index);
            let writes = match self.own_ranks() {
                Some(ranks) => ranks.partition_point(|rank| *rank < before).try_into(),
                None => Ok(before),
            };
            let above = i64::from(writes.unwrap_or(before)) * i64::from(ROOM_FOR_ATTEMPTS);
            self.base_timestamp().saturating_add(above)
        })
    }

    fn own_ranks(&self) -> Option<&[u32]> {
        let ranks = self.own_ranks.get_or_init(|| self.work.own_ranks(self.operations));
        ranks.as_deref()
    }

    fn base_timestamp(&self) -> i64 {
        match self.base_timestamp.load(Ordering::Acquire) {
            i64::MIN => {
                let base = match self.own_ranks() {
                    Some(ranks) => self.work.own_base_timestamp(ranks.len()),
                    None => self.work.base_timestamp(),
                };
                self.base_timestamp.fetch_max(base, Ordering::AcqRel).max(base)
            }
            base => base,
        }
    }

    /// Lifts the timestamps of this chunk, and of what the commit has not begun to send, above all
    /// that the store has given so far and above its clock: for a write that must come after one
    /// whose timestamp the server made. Other chunks that were begun keep theirs in all attempts.
    /// Not for a backend that leaves the order on a key to timestamps ([`Repeats::Stamped`]): a
    /// former write may be lifted over a later one that is under way.
    pub fn lift_timestamps(&self) {
        self.base_timestamp.fetch_max(self.work.lift_timestamps(), Ordering::AcqRel);
    }

    /// Whether some key occurs more than once in the commit.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        self.work.repeated().is_some()
    }

    /// The point of no return: from the next poll on the store may apply this chunk. For a
    /// transaction of several requests this is its commit. Must be called before the bytes leave:
    /// a chunk lost before it is `NotApplied`, after it `Unknown`.
    pub fn sent(&self) {
        if !self.sent.swap(true, Ordering::Relaxed) {
            self.work.mark_sent(self.operations);
        }
    }

    /// Whether [`sent`](Self::sent) was called: for backends that wrap another.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("number", &self.number)
            .field("mechanism", &self.mechanism.name)
            .field("operations", &self.operations.len())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The answers to one chunk, by place. What is not set, or set twice, is never taken as success.
#[derive(Debug)]
pub struct Answers {
    pub(crate) len: usize,
    pub(crate) all_applied: bool,
    pub(crate) list: Vec<Answer>,
    pub(crate) surplus: usize,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) enum Answer {
    #[default]
    Missing,
    Applied(Bytes),
    Failed(Error),
    Doubled,
}

impl Answers {
    /// No answer yet, for a chunk of `len` operations. The core makes the one that `send` gets;
    /// a backend that wraps another makes one to look at what the inner one answers.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { len, all_applied: false, list: Vec::new(), surplus: 0, warnings: Vec::new() }
    }

    /// The answer that was set at a place; `None` if it is missing or doubled.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<Result<&Bytes, &Error>> {
        static NOTHING: Bytes = Bytes::new();
        if self.all_applied && place < self.len {
            return Some(Ok(&NOTHING));
        }
        match self.list.get(place)? {
            Answer::Applied(body) => Some(Ok(body)),
            Answer::Failed(error) => Some(Err(error)),
            Answer::Missing | Answer::Doubled => None,
        }
    }

    /// Every operation is applied, and the store said nothing more.
    pub fn all_applied(&mut self) {
        if self.list.is_empty() && !self.all_applied {
            self.all_applied = true;
        } else {
            (0..self.len).for_each(|place| self.set(place, Ok(Bytes::new())));
        }
    }

    /// Sets the answer of the operation at `place`, at most once each, in any order: the store's
    /// JSON text (the document of a `get`; an object with `new` or `old` for a write that returns
    /// them; empty if it said nothing), or why it is not applied. Text that is a slice of the
    /// answer's one buffer costs nothing more. An answer to a place that the chunk does not have
    /// makes all of them `Unknown`, and so does a second one to its place.
    pub fn set(&mut self, place: usize, answer: Result<Bytes>) {
        if self.all_applied {
            self.all_applied = false;
            self.list = (0..self.len).map(|_| Answer::Applied(Bytes::new())).collect();
        }
        if self.list.is_empty() {
            self.list.resize_with(self.len, Answer::default);
        }
        match self.list.get_mut(place) {
            None => self.surplus += 1,
            Some(slot @ Answer::Missing) => {
                *slot = match answer {
                    Ok(body) => Answer::Applied(body),
                    Err(error) => Answer::Failed(error),
                };
            }
            Some(slot) => *slot = Answer::Doubled,
        }
    }

    /// Adds a warning of the server to the report.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Whether bytes may have left although the backend did not say so: anything but refusals
    /// was answered, or nothing at all. One refusal is enough for a chunk that is `whole`.
    pub(crate) fn in_doubt(&self, result: &Result<()>, whole: bool) -> bool {
        let certain = |error: &Error| error.fate() == Fate::NotApplied;
        let met = self.all_applied
            || self.surplus > 0
            || self.list.iter().any(|answer| match answer {
                Answer::Applied(_) | Answer::Doubled => true,
                Answer::Failed(error) => !certain(error),
                Answer::Missing => false,
            });
        let refused = self.list.iter().any(|answer| matches!(answer, Answer::Failed(_)));
        let missing = self.list.iter().any(|answer| matches!(answer, Answer::Missing));
        met || match result {
            Err(error) => !certain(error),
            Ok(()) => self.list.is_empty() || (missing && !(whole && refused)),
        }
    }
}

/// The code for one database. A contract with authors of backends: no method has a default, and
/// users never call one.
///
/// # Errors and what they mean
/// A backend's error table decides every verdict, so it MUST follow these rules:
/// - an [`Error`] says `NotApplied` unless made [`unknown`](Error::unknown) or
///   [`accepted`](Error::accepted). If it cannot be proved that an operation was not applied, the
///   error MUST be `unknown`.
/// - [`transient`](Error::transient) says that the same request may succeed later. The core
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
