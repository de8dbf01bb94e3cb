//! What routing says: how each operation travels, with which others, and in what order.

use std::{
    borrow::Cow,
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
};

use crate::{Error, ErrorKind, key::KeyRef, plan::SLICE};

/// May operations on one key stand together in a chunk?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Repeats {
    /// Yes: the chunk is applied whole or not at all, in order (a transaction).
    Together,
    /// Yes, and chunks need no order either: each write carries a timestamp that decides
    /// ([`Chunk::timestamp`](super::Chunk::timestamp)).
    Stamped,
    /// Yes, and chunks need no order either: what they do commutes, such as counting. They carry no timestamp.
    Commuting,
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
    /// Applied whole or not at all: needed for [`Guarantee::AllOrNothing`](crate::Guarantee::AllOrNothing).
    pub atomic: bool,
    /// Stops by itself at the first operation that fails; without it, an ordered batch that stops
    /// has one operation per chunk.
    pub stops: bool,
    /// How a chunk of one operation travels, or of several that are made one write of
    /// ([`Repeats::Folded`]), if that has a name of its own. Not under all-or-nothing.
    pub alone: Option<MechanismId>,
    /// Under best effort, what becomes of chunks that are too small to be worth a request.
    pub pooled: Option<Pooled>,
    /// A group of at least so many operations is large: those that nothing else orders travel with the
    /// ones beside them in the store ([`Backend::positions`](super::Backend::positions)). `None`: all
    /// travel as they were queued.
    pub by_position: Option<u32>,
    /// Under best effort, chunks of one group are sent one after another, though nothing orders them: the
    /// store would let them wait for one another all the same, and for longer.
    pub in_turn: bool,
    /// Chunks of at most so many operations are light: the server is done with one so soon that its way
    /// there and back takes longer, so four of them fly in the place of one, unless the user set
    /// [`max_in_flight`](crate::StoreOptions::max_in_flight). 0: none is.
    pub light: u32,
    /// Each write carries its [timestamp](super::Chunk::timestamp), and the latest one stands in whatever order
    /// they come: nobody waits for what a commit whose future was dropped has sent. Implied by
    /// [`Repeats::Stamped`], and meant by [`Repeats::Commuting`].
    pub stamped: bool,
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
            by_position: None,
            in_turn: false,
            light: 0,
            stamped: false,
            why: None,
        }
    }
}

impl Mechanism {
    /// Whether it does not matter which of its writes and those of another commit comes first: timestamps decide,
    /// or they commute.
    pub(crate) fn is_stamped(&self) -> bool {
        self.stamped || matches!(self.repeats, Repeats::Stamped | Repeats::Commuting)
    }

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
    /// Whether one of them was refused because what it rests on is gone.
    pub(crate) any_stale: bool,
    pub(crate) warnings: Vec<String>,
    pub(crate) kept: Kept,
}

/// What a backend worked out while it routed, to be used when it sends.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// One for each [`SLICE`] operations, whatever slices they are routed in.
    blocks: Vec<Block>,
    /// The operations of the queue; 0 where nothing is to be kept.
    operations: usize,
    /// The bytes of those operations of which more than [`SMALL`] are kept.
    large: usize,
}

/// The bytes that are kept of any operation.
const SMALL: usize = 96;
/// The bytes that are kept in all of operations with more. It is what a commit of many may hold
/// beside them, so that they are not encoded twice.
const LARGE: usize = 64 << 20;

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where the bytes of each operation end; none until something is kept.
    ends: Vec<u32>,
    /// How many operations there are.
    count: usize,
}

impl Kept {
    /// For a queue of so many operations.
    pub(crate) fn of(operations: usize) -> Self {
        Self { operations, ..Self::default() }
    }

    fn push(&mut self, place: usize, mut bytes: &[u8]) {
        let Some(left) = self.operations.checked_sub(place).filter(|left| *left > 0) else {
            return;
        };
        if place.is_multiple_of(SLICE as usize) {
            self.blocks.push(Block { count: left.min(SLICE as usize), ..Block::default() });
        }
        let Some(block) = self.blocks.last_mut() else { return };
        if bytes.len() > SMALL {
            match self.large.saturating_add(bytes.len()) {
                large if large <= LARGE => self.large = large,
                _ => bytes = &[],
            }
        }
        if block.ends.is_empty() && bytes.is_empty() {
            return;
        }
        if block.ends.is_empty() {
            block.ends.reserve_exact(block.count);
            block.ends.resize(place % SLICE as usize, 0);
            // Those that follow are likely to be as long: growing would copy all again and again.
            let others = block.count.saturating_sub(place % SLICE as usize);
            block.bytes.reserve(bytes.len().min(SMALL) * others);
        }
        block.bytes.extend_from_slice(bytes);
        block.ends.push(u32::try_from(block.bytes.len()).unwrap_or(u32::MAX));
    }

    pub(super) fn get(&self, index: u32) -> Option<&[u8]> {
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
    /// the whole batch, made when [`View::is_last`](super::View::is_last).
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

    /// Routes the next operation, and keeps bytes for [`Chunk::kept`](super::Chunk::kept): what it was encoded to, so
    /// that it is done once. They are held beside the operation until the commit ends: up to 96
    /// bytes of any operation, and more of one as long as those that are so large have at most
    /// 64 MiB together. What is not kept is encoded again by [`Backend::send`](super::Backend::send).
    pub fn push_with(&mut self, route: Route, bytes: &[u8]) {
        self.kept.push(self.routes.len(), bytes);
        self.routes.push(route);
    }

    /// Says that the operation that was routed last writes something besides what is its key's own,
    /// which operations on other keys write too: what the rows of a partition share. Those with
    /// one such id are kept in program order like those on one key. They share a chunk if their
    /// mechanism and group are the same, so its writes must leave what the last one leaves; what is
    /// in a later chunk gets a later timestamp. Once for an operation, and with one id for all of those on its key.
    /// Not for [`Repeats::Stamped`].
    pub fn share(&mut self, id: KeyId) {
        if let Some(place) = self.routes.len().checked_sub(1) {
            self.shared.push((u32::try_from(place).unwrap_or(u32::MAX), id));
        }
    }

    /// Refuses the next operation: its job alone ends `NotApplied`; under all-or-nothing the whole
    /// commit is refused.
    pub fn refuse(&mut self, error: Error) {
        let place = u32::try_from(self.routes.len()).unwrap_or(u32::MAX);
        self.any_stale |= error.kind() == ErrorKind::Stale;
        self.refused.push((place, error.certain()));
        self.push(Route::new(REFUSED, 0, None, 0));
    }

    /// Adds a warning to the plan and the report.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Lets all operations routed so far, refused ones aside, travel by one mechanism and in one
    /// group: for a choice that needs the whole batch, made when [`View::is_last`](super::View::is_last).
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

    /// What [`push_with`](Self::push_with) kept for an operation, by its [index](crate::OperationRef::index).
    #[must_use]
    pub fn kept(&self, index: u32) -> Option<&[u8]> {
        self.kept.get(index)
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
