//! The embedded store behind a switchable backend, for tests of the suite itself.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use batch_conformance::{CASES, Case, Harness, Time, async_trait};
use batch_core::{
    Clock, Error, ErrorKind, Result, Store, StoreOptions, SystemClock,
    seam::{Backend, Engine},
};
use batch_memory::{MemoryBuilder, MemoryStore};

/// Turns the store's backend into the one that is tested.
pub(crate) type Around = fn(Arc<dyn Backend>) -> Arc<dyn Backend>;

/// The machine's time and what a case has let pass.
#[derive(Debug, Default)]
pub(crate) struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now_micros(&self) -> i64 {
        SystemClock.now_micros() + self.0.load(Ordering::SeqCst)
    }
}

/// The suite on the embedded store, with something wrong if asked for.
pub(crate) struct Subject {
    pub(crate) store: MemoryStore,
    pub(crate) around: Around,
    /// Whether documents end after their time.
    pub(crate) clock_goes: bool,
    clock: Arc<Ahead>,
    pub(crate) opens: bool,
    pub(crate) prepared: Arc<Mutex<Vec<String>>>,
    pub(crate) prepares: Arc<AtomicBool>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Subject {
    pub(crate) fn new(switches: fn(MemoryBuilder) -> MemoryBuilder) -> Self {
        let clock = Arc::new(Ahead::default());
        let options = StoreOptions::new().clock(Arc::<Ahead>::clone(&clock));
        Self {
            store: switches(MemoryStore::builder().options(options)).build(),
            clock,
            clock_goes: true,
            around: |backend| backend,
            opens: true,
            prepared: Arc::default(),
            prepares: Arc::new(AtomicBool::new(true)),
        }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        (self.around)(self.store.backend())
    }
}

#[async_trait]
impl Harness for Subject {
    fn name(&self) -> &str {
        "subject"
    }

    fn time(&self) -> Time {
        Time::Paused
    }

    async fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        if !self.opens {
            return Err(Error::new(ErrorKind::Connection, "nobody listens"));
        }
        Ok(Arc::new(Engine::new(self.backend(), options)))
    }

    async fn backend(&self, _options: &StoreOptions) -> Result<Option<Arc<dyn Backend>>> {
        Ok(Some(self.backend()))
    }

    async fn prepare(&self, collection: &str) -> Result<()> {
        self.prepared.lock().unwrap().push(collection.to_owned());
        if self.prepares.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unauthorized, "no right to make collections"))
        }
    }

    async fn clean(&self, collection: &str) -> Result<()> {
        self.prepared.lock().unwrap().retain(|name| name != collection);
        self.store.drop_collection(collection);
        Ok(())
    }

    async fn let_pass(&self, time: Duration) {
        if self.clock_goes {
            let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
            self.clock.0.fetch_add(micros, Ordering::SeqCst);
        }
    }
}

/// Changes nothing.
pub(crate) fn as_it_is(memory: MemoryBuilder) -> MemoryBuilder {
    memory
}

/// A case of the suite by its name.
pub(crate) fn case(name: &str) -> &'static Case {
    let found = CASES.iter().copied().flatten().find(|case| case.name == name);
    found.unwrap_or_else(|| panic!("the suite has no case `{name}`"))
}
