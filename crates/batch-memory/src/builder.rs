//! Switches: what the store can do, what it takes, what goes wrong.

use std::sync::Arc;

use batch_core::{StoreOptions, seam::Backend};

use crate::{Faults, Instrumented, Log, MemoryBackend, MemoryStore, backend::Traits};

/// A store whose capabilities the memory store takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Imitation {
    /// ArangoDB: array calls per collection and verb, which run on after a failure.
    Arango,
    /// Cassandra and ScyllaDB: no reads, no revisions, nothing returned; a false condition refuses
    /// its neighbours; at most 65,535 operations and 16 MiB a chunk.
    Cql,
}

/// Makes a [`MemoryStore`]. Without a switch it can do everything and nothing goes wrong.
///
/// ```
/// use batch_core::{BatchOptions, ErrorKind, Guarantee, Store};
/// use batch_memory::MemoryStore;
///
/// let store = MemoryStore::builder().all_or_nothing(false).max_chunk_operations(100).build();
/// let options = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: false });
/// assert_eq!(store.batch(options).unwrap_err().kind(), ErrorKind::Unsupported);
/// ```
#[derive(Debug)]
#[must_use]
pub struct MemoryBuilder {
    options: StoreOptions,
    traits: Traits,
    faults: Option<Faults>,
    log: bool,
}

macro_rules! switches {
    ($($(#[$doc:meta])+ $name:ident: $type:ty;)+) => {
        $($(#[$doc])+
        pub fn $name(mut self, value: $type) -> Self {
            self.traits.$name = value.into();
            self
        })+
    };
}

impl MemoryBuilder {
    pub(crate) fn new() -> Self {
        Self {
            options: StoreOptions::new(),
            traits: Traits {
                reads: true,
                conditions: true,
                revisions: true,
                ttl: true,
                returning: true,
                all_or_nothing: true,
                isolated: true,
                stops: true,
                group_by_collection: false,
                conditions_refuse_neighbours: false,
                max_operation_bytes: None,
                max_chunk_operations: 1000,
                max_whole_operations: 10_000,
                max_chunk_bytes: usize::MAX,
                hidden_max_bytes: u64::MAX,
            },
            faults: None,
            log: false,
        }
    }

    /// Limits, deadline, backoff and clock.
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }

    /// Takes on another store's capabilities and ceilings.
    pub fn imitate(mut self, other: Imitation) -> Self {
        let traits = &mut self.traits;
        traits.stops = false;
        traits.group_by_collection = true;
        match other {
            Imitation::Arango => traits.ttl = false,
            Imitation::Cql => {
                traits.reads = false;
                traits.revisions = false;
                traits.returning = false;
                traits.conditions_refuse_neighbours = true;
                traits.max_chunk_operations = 65_535;
                traits.max_whole_operations = 65_535;
                traits.max_chunk_bytes = 16 << 20;
                traits.max_operation_bytes = Some(16 << 20);
            }
        }
        self
    }

    switches! {
        /// Whether `get` can be queued.
        reads: bool;
        /// Whether `insert`, `replace`, `update` and `delete_existing` can be queued.
        conditions: bool;
        /// Whether `.if_revision(…)` is understood.
        revisions: bool;
        /// Whether `.ttl(…)` is understood.
        ttl: bool;
        /// Whether `.returning(…)` is understood.
        returning: bool;
        /// Whether all-or-nothing is offered.
        all_or_nothing: bool;
        /// Whether all-or-nothing with isolation is offered.
        isolated: bool;
        /// Whether the ordered mechanism stops by itself at a failure, as a transaction script
        /// does; without it an ordered batch that stops sends one operation at a time.
        stops: bool;
        /// Whether a chunk holds one collection and verb only, as array calls do.
        group_by_collection: bool;
        /// Whether a false condition would refuse its neighbours, so that under best effort each
        /// conditional operation travels alone, as on CQL.
        conditions_refuse_neighbours: bool;
        /// The most bytes in a chunk; unbounded if not said.
        max_chunk_bytes: usize;
        /// A ceiling that the store does not declare: a larger chunk is refused with `TooLarge`
        /// once it was sent.
        hidden_max_bytes: u64;
        /// The most bytes of one operation.
        max_operation_bytes: Option<usize>;
    }

    /// The most operations in a chunk, also in an all-or-nothing one; 1,000 if not said, and
    /// 10,000 for all-or-nothing.
    pub fn max_chunk_operations(mut self, operations: usize) -> Self {
        self.traits.max_chunk_operations = operations;
        self.traits.max_whole_operations = operations;
        self
    }

    /// Injects faults: a list for the first requests in turn, or [`Faults::seeded`].
    pub fn faults(mut self, faults: impl Into<Faults>) -> Self {
        self.faults = Some(faults.into());
        self
    }

    /// Keeps a [log](MemoryStore::log) of every request. It grows with what is sent.
    pub fn log(mut self, log: bool) -> Self {
        self.log = log;
        self
    }

    /// The store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        let backend = Arc::new(MemoryBackend::new(self.traits, self.options.shared_clock()));
        let log = Log::default();
        let faults = self.faults.clone().unwrap_or_default();
        let outer: Arc<dyn Backend> = if self.log || self.faults.is_some() {
            let inner: Arc<dyn Backend> = Arc::<MemoryBackend>::clone(&backend);
            let mut outer = Instrumented::new(inner).with_faults(faults.clone());
            if self.log {
                outer = outer.with_log(log.clone());
            }
            Arc::new(outer)
        } else {
            Arc::<MemoryBackend>::clone(&backend)
        };
        MemoryStore::new_from(backend, outer, self.options, faults, self.log.then_some(log))
    }
}
