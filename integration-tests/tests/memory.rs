//! The contract on the embedded store: as it is, behind delays, and imitating others.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use batch_conformance::{Harness, Time, async_trait, conclude, trials};
use batch_core::{
    Clock, Key, Result, Store, StoreOptions, SystemClock,
    seam::{Backend, Engine},
};
use batch_memory::{Faults, Imitation, Instrumented, MemoryBuilder, MemoryStore};

/// The machine's time and what a case has let pass.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now_micros(&self) -> i64 {
        SystemClock.now_micros() + self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Memory {
    name: &'static str,
    store: MemoryStore,
    clock: Arc<Ahead>,
    /// The seed of delays before and after each request.
    delays: Option<u64>,
    time: Time,
    /// Whether the suite may have the backend to wrap.
    wrappable: bool,
}

impl Memory {
    fn new(name: &'static str, switches: impl FnOnce(MemoryBuilder) -> MemoryBuilder) -> Self {
        let clock = Arc::new(Ahead::default());
        let options = StoreOptions::new().clock(Arc::<Ahead>::clone(&clock));
        let store = switches(MemoryStore::builder().options(options)).build();
        Self { name, store, clock, delays: None, time: Time::Paused, wrappable: true }
    }

    fn delayed(mut self, seed: u64) -> Self {
        self.delays = Some(seed);
        self
    }

    /// As a store at the end of a wire is tested.
    fn in_real_time(mut self) -> Self {
        self.time = Time::Real;
        self
    }

    /// As a store of which the suite has no more than `Store`.
    fn sealed(mut self) -> Self {
        self.wrappable = false;
        self
    }

    fn outer(&self) -> Arc<dyn Backend> {
        let inner: Arc<dyn Backend> = self.store.backend();
        match self.delays {
            None => inner,
            Some(seed) => {
                let delays = Faults::seeded(seed, 0.0).delays(Duration::from_millis(50));
                Arc::new(Instrumented::new(inner).with_faults(delays))
            }
        }
    }
}

#[async_trait]
impl Harness for Memory {
    fn name(&self) -> &str {
        self.name
    }

    fn time(&self) -> Time {
        self.time
    }

    async fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(Engine::new(self.outer(), options)))
    }

    async fn backend(&self, _options: &StoreOptions) -> Result<Option<Arc<dyn Backend>>> {
        Ok(self.wrappable.then(|| self.outer()))
    }

    async fn clean(&self, collection: &str) -> Result<()> {
        self.store.drop_collection(collection);
        Ok(())
    }

    fn conflict_next(&self, collection: &str, key: &Key, times: u32) -> bool {
        self.store.conflict_next(collection, key.clone(), times);
        true
    }

    async fn let_pass(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.clock.0.fetch_add(micros, Ordering::SeqCst);
    }
}

/// Cassandra's ceiling of one operation is 16 MiB: too long to write again and again here.
fn as_cql(memory: MemoryBuilder) -> MemoryBuilder {
    memory.imitate(Imitation::Cql).max_operation_bytes(Some(64 << 10))
}

fn main() -> ExitCode {
    let stores = [
        Memory::new("memory", |memory| memory),
        Memory::new("memory_delayed", |memory| memory).delayed(1),
        Memory::new("memory_in_real_time", |memory| memory).in_real_time(),
        Memory::new("memory_sealed", |memory| memory).sealed(),
        Memory::new("memory_as_arango", |memory| memory.imitate(Imitation::Arango)),
        Memory::new("memory_as_arango_delayed", |memory| memory.imitate(Imitation::Arango))
            .delayed(2),
        Memory::new("memory_as_cql", as_cql),
        Memory::new("memory_as_cql_delayed", as_cql).delayed(3),
        Memory::new("memory_of_singles", |memory| {
            memory.all_or_nothing(false).isolated(false).max_chunk_operations(1)
        }),
        Memory::new("memory_that_runs_on", |memory| memory.stops(false)),
        Memory::new("memory_of_tiny_chunks", |memory| {
            memory.max_chunk_operations(4).max_chunk_bytes(400).max_operation_bytes(Some(300))
        }),
        Memory::new("memory_of_lone_conditions", |memory| {
            memory.conditions_refuse_neighbours(true)
        }),
        Memory::new("memory_that_only_writes", |memory| {
            memory
                .reads(false)
                .conditions(false)
                .revisions(false)
                .ttl(false)
                .returning(false)
                .all_or_nothing(false)
                .isolated(false)
        }),
    ];
    let documents: Vec<MemoryStore> = stores.iter().map(|memory| memory.store.clone()).collect();
    let code = conclude(stores.into_iter().flat_map(trials).collect());
    for store in documents {
        assert_eq!(store.collections(), Vec::<String>::new(), "each case removes what it made");
    }
    code
}
