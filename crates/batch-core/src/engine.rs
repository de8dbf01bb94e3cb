//! What all batches of one store share: the backend, its limits, what was learned about sizes,
//! and which commits run.

pub(crate) mod learned;
pub(crate) mod turns;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, Sleep},
};

use crate::{
    Batch, BatchOptions, Capabilities, Error, ErrorKind, Key, Outcome, Result, Server, Store,
    StoreOptions,
    backend::{Backend, Terms},
    commit::DetachedCommits,
    engine::{learned::Learned, turns::Turns},
    open::OpenedBatch,
    plan::Limits,
};

/// A [`Store`] over any [`Backend`]: what a backend crate wraps to make its own store type.
///
/// A clone is another handle of the same store.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// The store's part of every batch and commit.
pub(crate) struct Shared {
    pub(crate) name: &'static str,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) options: StoreOptions,
    pub(crate) turns: Turns,
    pub(crate) learned: Learned,
    pub(crate) detached: DetachedCommits,
    last_timestamp: AtomicI64,
    closed: AtomicBool,
    commits: AtomicUsize,
    idle: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("backend", &self.backend)
            .field("commits", &self.commits)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// Counts a running commit until it is dropped.
#[derive(Debug)]
pub(crate) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.commits.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Shared {
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            let message = "the store is closed; connect again";
            return Err(Error::new(ErrorKind::InvalidState, message));
        }
        Ok(())
    }

    pub(crate) fn begin_commit(self: &Arc<Self>) -> Result<Running> {
        // Counted first and looked at then, so that `close` cannot miss it.
        self.commits.fetch_add(1, Ordering::AcqRel);
        let running = Running(Arc::clone(self));
        self.check_open()?;
        Ok(running)
    }

    pub(crate) fn limits(&self) -> Limits<'_> {
        Limits {
            places: self.options.places(),
            max_operations: self.options.max_batch_operations,
            max_bytes: self.options.max_batch_bytes,
            learned: &self.learned,
        }
    }

    /// Reserves `count` microseconds that no other commit of the store gets.
    pub(crate) fn reserve_timestamps(&self, count: u32) -> i64 {
        let now = self.options.clock.now_micros();
        let mut base = now;
        let next = |last: i64| {
            base = now.max(last.saturating_add(1));
            Some(base.saturating_add(count.into()))
        };
        // The closure never says no.
        let _ = self.last_timestamp.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        base
    }
}

impl Engine {
    /// A store over `backend`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, options: StoreOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                name: backend.name(),
                turns: Turns::new(&options),
                learned: Learned::default(),
                detached: DetachedCommits::default(),
                last_timestamp: AtomicI64::new(i64::MIN),
                closed: AtomicBool::new(false),
                commits: AtomicUsize::new(0),
                idle: Notify::new(),
                backend,
                options,
            }),
        }
    }

    /// The limits and habits it was made with.
    pub fn options(&self) -> &StoreOptions {
        &self.shared.options
    }

    async fn in_time<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.shared.check_open()?;
        timed_runtime(what)?;
        let timeout = self.shared.options.timeout;
        tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
            let message =
                format!("no answer to `{what}` within {timeout:?}; look whether the server is up");
            Err(Error::new(ErrorKind::Timeout, message).transient())
        })
    }
}

/// The runtime that the caller is in, if it has a timer.
pub(crate) fn timed_runtime(what: &str) -> Result<Handle> {
    timer(what, Instant::now()).map(|(runtime, _)| runtime)
}

/// The runtime that the caller is in, and a timer of it.
pub(crate) fn timer(what: &str, until: Instant) -> Result<(Handle, Sleep)> {
    // Tokio has no question for it: making a timer panics where there is none, and that is a
    // mistake to report, not to die of.
    let timed = |runtime: Handle| {
        let timer = std::panic::catch_unwind(|| tokio::time::sleep_until(until)).ok()?;
        Some((runtime, timer))
    };
    Handle::try_current().ok().and_then(timed).ok_or_else(|| {
        let message =
            format!("`{what}` needs a tokio runtime with time enabled; call it inside one");
        Error::new(ErrorKind::InvalidState, message)
    })
}

#[async_trait]
impl Store for Engine {
    fn name(&self) -> &'static str {
        self.shared.name
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.backend.capabilities()
    }

    fn batch(&self, options: BatchOptions) -> Result<Box<dyn Batch>> {
        self.shared.check_open()?;
        let capabilities = self.capabilities();
        let unsupported = |what: String| {
            Err(Error::new(
                ErrorKind::Unsupported,
                format!("{what} is refused by the store {}; ask for another", self.shared.name),
            ))
        };
        if capabilities.mechanism(options.guarantee).is_none() {
            return unsupported(format!("the guarantee {}", options.guarantee));
        }
        if let Some(batch_type) = options.batch_type
            && !capabilities.batch_types.contains(&batch_type)
        {
            return unsupported(format!("the batch type {}", batch_type.as_str()));
        }
        let terms = Terms::new(options.guarantee, options.batch_type);
        Ok(Box::new(OpenedBatch::new(Arc::clone(&self.shared), terms, options, capabilities)))
    }

    async fn read(&self, collection: &str, key: &Key) -> Result<Option<Outcome>> {
        key.check()?;
        let document = self.in_time("get", self.shared.backend.get(collection, key)).await?;
        Ok(document.map(Outcome::of_document))
    }

    async fn ping(&self) -> Result<Server> {
        self.in_time("ping", self.shared.backend.ping()).await
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        timed_runtime("close")?;
        self.shared.closed.store(true, Ordering::Release);
        let drained = async {
            loop {
                let idle = self.shared.idle.notified();
                tokio::pin!(idle);
                // Registered before the look, so that the last commit's end is not missed.
                idle.as_mut().enable();
                if self.shared.commits.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle.await;
            }
        };
        let ended = tokio::time::timeout(deadline, async {
            drained.await;
            self.shared.backend.close().await
        });
        ended.await.unwrap_or_else(|_| {
            let what = match self.shared.commits.load(Ordering::Acquire) {
                0 => "the connections are not closed".to_owned(),
                running => format!("{running} commits still run"),
            };
            let message = format!("{what} after {deadline:?}; close again to wait longer");
            Err(Error::new(ErrorKind::Timeout, message))
        })
    }
}
