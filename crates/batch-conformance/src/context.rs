//! What a case works with: its own collections, the store, operations, and reading back.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use batch_core::{
    BatchExt as _, BatchOptions, Capabilities, Error, Guarantee, Job, Key, OnError, Operation,
    Report, Result, Store, StoreOptions, Verb,
    seam::{Backend, Engine},
};
use batch_memory::{Faults, Instrumented, Log};
use serde_json::{Value, json};

use crate::{Harness, Probe, Time, case::Facts, probe::Probed};

/// The attributes of a document besides its key.
pub(crate) const ATTRIBUTES: [&str; 5] = ["name", "age", "email", "active", "tags"];

/// What the messages of panics contain that cases or faults cause to see what comes of them.
pub(crate) const ON_PURPOSE: [&str; 3] =
    ["an injected panic", "a panic on purpose", "timers are disabled"];

/// A store whose requests can go wrong, be held up, and are logged.
#[derive(Clone, Debug)]
pub struct Wrapped {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What was sent.
    pub log: Log,
    /// What goes wrong; more can be pushed.
    pub faults: Faults,
    /// What holds requests up.
    pub probe: Probe,
}

/// One case's surroundings. A clone is another handle.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    harness: Arc<dyn Harness>,
    facts: Arc<Facts>,
    namespace: String,
    store: Arc<dyn Store>,
    prepared: Mutex<Vec<String>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("namespace", &self.inner.namespace).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) async fn new(harness: Arc<dyn Harness>, facts: Arc<Facts>) -> Result<Self> {
        static CASES_BEGUN: AtomicU32 = AtomicU32::new(1);
        let number = CASES_BEGUN.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("case_{}_{number}", std::process::id());
        let store = harness.open(quick()).await?;
        let prepared = Mutex::default();
        let inner = Inner { harness, facts, namespace, store, prepared };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a collection, and remembers to remove it.
    pub(crate) async fn prepare(&self, collection: String) -> Result<()> {
        // Noted first: a collection that was half made is removed too.
        self.prepared().push(collection.clone());
        self.inner.harness.prepare(&collection).await
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.inner.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn clean(&self) -> Result<()> {
        let prepared = std::mem::take(&mut *self.prepared());
        let mut result = Ok(());
        for collection in prepared {
            result = result.and(self.inner.harness.clean(&collection).await);
        }
        result.and(self.inner.store.close(Duration::from_secs(30)).await)
    }

    /// The case's collection.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.inner.namespace
    }

    /// A second collection, made now.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn second_collection(&self) -> String {
        let name = format!("{}_b", self.inner.namespace);
        self.prepare(name.clone()).await.expect("the second collection is made");
        name
    }

    /// What the store declares.
    #[must_use]
    pub fn can(&self) -> &Capabilities {
        &self.inner.facts.capabilities
    }

    /// On which clock the case runs.
    #[must_use]
    pub fn time(&self) -> Time {
        self.inner.harness.time()
    }

    /// The harness.
    #[must_use]
    pub fn harness(&self) -> &dyn Harness {
        &*self.inner.harness
    }

    /// Every guarantee that the store gives to several documents of a collection.
    pub fn guarantees(&self) -> impl Iterator<Item = Guarantee> {
        let several = self.harness().isolates_several();
        let all = Guarantee::ALL.iter().copied();
        all.filter(|guarantee| self.can().mechanism(*guarantee).is_some())
            .filter(move |guarantee| several || *guarantee != ISOLATED)
    }

    /// The store, with short backoffs and else default options.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The store with other options.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn open(&self, options: StoreOptions) -> Arc<dyn Store> {
        self.inner.harness.open(options).await.expect("the store opens")
    }

    /// The store, wrapped. Only for cases that require [`Faults`](crate::Requirement::Faults).
    ///
    /// # Panics
    /// If the harness has no backend to wrap.
    pub async fn wrap(&self, faults: impl Into<Faults>, options: StoreOptions) -> Wrapped {
        let backend = self.inner.harness.backend(&options).await.expect("the backend opens");
        let inner = backend.expect("the case requires a backend that can be wrapped");
        let (faults, log, probe) = (faults.into(), Log::default(), Probe::default());
        let probed: Arc<dyn Backend> = Arc::new(Probed { inner, probe: probe.clone() });
        let outer = Instrumented::new(probed).with_faults(faults.clone()).with_log(log.clone());
        let store: Arc<dyn Store> = Arc::new(Engine::new(Arc::new(outer), options));
        Wrapped { store, log, faults, probe }
    }

    /// The store with seeded delays, so that chunks finish in every order; without them where the
    /// backend cannot be wrapped.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn delayed(&self, seed: u64, options: StoreOptions) -> Arc<dyn Store> {
        if self.inner.facts.faults {
            let delays = Faults::seeded(seed, 0.0).delays(self.longest_delay());
            self.wrap(delays, options).await.store
        } else {
            self.open(options).await
        }
    }

    /// The longest delay to inject: nothing on a paused clock, so it can be long there.
    #[must_use]
    pub fn longest_delay(&self) -> Duration {
        match self.time() {
            Time::Paused => Duration::from_millis(50),
            Time::Real => Duration::from_millis(3),
        }
    }

    /// A deadline that a few requests keep, and that a case can wait for.
    #[must_use]
    pub fn short_deadline(&self) -> Duration {
        match self.time() {
            Time::Paused => Duration::from_secs(1),
            Time::Real => Duration::from_millis(500),
        }
    }

    /// An operation on the document `id`; documents are added with `.doc(…)`.
    #[must_use]
    pub fn on(&self, verb: Verb, id: &str) -> Operation {
        Operation::on(verb, self.inner.namespace.clone()).key("id", id)
    }

    /// A `put` of the document `id`.
    #[must_use]
    pub fn put(&self, id: &str, document: &Value) -> Operation {
        self.on(Verb::Put, id).doc(document)
    }

    /// An `insert` of the document `id`.
    #[must_use]
    pub fn insert(&self, id: &str, document: &Value) -> Operation {
        self.on(Verb::Insert, id).doc(document)
    }

    /// As many puts as asked for, on documents of their own: `p1`, `p2`, and so on, with that
    /// number as their age.
    pub fn puts(&self, count: u32) -> impl Iterator<Item = Operation> {
        (1..=count).map(|number| self.put(&format!("p{number}"), &aged(number)))
    }

    /// Makes sure that a document is there.
    ///
    /// # Panics
    /// If it cannot be written.
    pub async fn given(&self, id: &str, document: &Value) {
        let (_, report) = self.commit([self.put(id, document)]).await;
        assert!(report.is_success(), "the document that a case starts from: {report}");
    }

    /// Commits operations by best effort, in one batch.
    ///
    /// # Panics
    /// If one is refused at queue, or the commit fails.
    pub async fn commit(
        &self,
        operations: impl IntoIterator<Item = Operation>,
    ) -> (Vec<Job>, Report) {
        commit_on(&**self.store(), BatchOptions::new(), operations).await
    }

    /// A document, read back outside any batch.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn read(&self, id: &str) -> Option<Value> {
        self.read_key(&Key::new().part("id", id)).await
    }

    /// As [`read`](Self::read), with a key of any parts.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn read_key(&self, key: &Key) -> Option<Value> {
        let Inner { harness, store, namespace, .. } = &*self.inner;
        harness.read(&**store, namespace, key).await.expect("the document is read back")
    }

    /// The age of a document, read back; `None` if it is absent.
    ///
    /// # Panics
    /// If it cannot be read, or has no age.
    pub async fn age(&self, id: &str) -> Option<i64> {
        let document = self.read(id).await?;
        Some(document["age"].as_i64().expect("the document has an age"))
    }

    /// Asserts that a document is there with these attributes, and no other one of the schema's.
    ///
    /// # Panics
    /// If it is not.
    pub async fn expect(&self, id: &str, expected: &Value) {
        let found = self.read(id).await;
        let found = found.unwrap_or_else(|| panic!("`{id}` is absent, expected {expected}"));
        assert_same(id, &found, expected);
    }

    /// Asserts that a document is not there.
    ///
    /// # Panics
    /// If it is.
    pub async fn expect_absent(&self, id: &str) {
        let found = self.read(id).await;
        assert!(found.is_none(), "`{id}` is there: {found:?}");
    }
}

/// Panics, with a message that is not printed.
pub(crate) fn panic_on_purpose(where_it_is: &str) {
    panic!("a panic on purpose, {where_it_is}");
}

/// Options with short backoffs that are the same in every run.
pub(crate) fn quick() -> StoreOptions {
    let (first, longest) = (Duration::from_millis(1), Duration::from_millis(5));
    StoreOptions::new().backoff(first, longest).backoff_seed(7)
}

/// Commits operations in one batch of a store.
///
/// # Panics
/// If one is refused at queue, or the commit fails.
pub(crate) async fn commit_on(
    store: &dyn Store,
    options: BatchOptions,
    operations: impl IntoIterator<Item = Operation>,
) -> (Vec<Job>, Report) {
    let mut batch = store.batch(options).expect("the batch opens");
    let jobs = batch.queue_all(operations).expect("the operations are queued");
    let report = batch.commit().await.expect("something was sent");
    (jobs, report)
}

/// The options of a batch that asks for a guarantee.
pub(crate) fn asking(guarantee: Guarantee) -> BatchOptions {
    BatchOptions::new().guarantee(guarantee)
}

pub(crate) const CONTINUE: Guarantee = Guarantee::Ordered { on_error: OnError::Continue };
pub(crate) const STOP: Guarantee = Guarantee::Ordered { on_error: OnError::Stop };
pub(crate) const WHOLE: Guarantee = Guarantee::AllOrNothing { isolated: false };
pub(crate) const ISOLATED: Guarantee = Guarantee::AllOrNothing { isolated: true };

/// A document with every attribute.
pub(crate) fn abby() -> Value {
    json!({"name": "Abby", "age": 20, "email": "a@b.org", "active": true, "tags": ["x", "y"]})
}

/// A document with an age alone.
pub(crate) fn aged(age: impl Into<i64>) -> Value {
    json!({"age": age.into()})
}

/// Compares the schema's attributes; null and absent are the same.
#[track_caller]
pub(crate) fn assert_same(id: &str, found: &Value, expected: &Value) {
    for name in ATTRIBUTES {
        let (found_one, expected_one) = (&found[name], &expected[name]);
        assert_eq!(found_one, expected_one, "`{name}` of `{id}`, which is {found}");
    }
}

/// The error of a job that is not applied.
#[track_caller]
pub(crate) fn not_applied(job: &Job) -> Error {
    match job.status() {
        batch_core::JobStatus::NotApplied(error) => error,
        other => panic!("operation {} is {other:?}, expected not applied", job.id()),
    }
}

/// The error of a job of which it is unknown whether it was applied.
#[track_caller]
pub(crate) fn unknown(job: &Job) -> Error {
    match job.status() {
        batch_core::JobStatus::Unknown(error) => error,
        other => panic!("operation {} is {other:?}, expected unknown", job.id()),
    }
}

#[track_caller]
pub(crate) fn assert_applied<'j>(jobs: impl IntoIterator<Item = &'j Job>) {
    for job in jobs {
        let status = job.status();
        assert!(status.is_applied(), "operation {} is {status:?}, expected applied", job.id());
    }
}

#[track_caller]
pub(crate) fn assert_pending<'j>(jobs: impl IntoIterator<Item = &'j Job>) {
    for job in jobs {
        assert!(job.is_pending(), "operation {} is {:?}, expected pending", job.id(), job.status());
    }
}

/// Job by job, the report says what the jobs say.
#[track_caller]
pub(crate) fn assert_agree(report: &Report, jobs: &[Job]) {
    let mut counts = [0; 4];
    for job in jobs {
        let place = match job.status() {
            batch_core::JobStatus::Applied(_) => 0,
            batch_core::JobStatus::NotApplied(_) => 1,
            batch_core::JobStatus::Accepted => 2,
            batch_core::JobStatus::Unknown(_) => 3,
            other => panic!("operation {} is {other:?} after its commit", job.id()),
        };
        counts[place] += 1;
    }
    let reported = [report.applied(), report.not_applied(), report.accepted(), report.unknown()];
    assert_eq!(reported, counts, "applied, not applied, accepted, unknown: report and jobs");
    assert_eq!(report.total(), counts.iter().sum::<u64>());
}
