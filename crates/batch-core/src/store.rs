//! A connection to a database that opens batches.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    Batch, BatchOptions, BatchState, Callback, Capabilities, Error, ErrorKind, Job, Jobs, Key,
    Operation, OperationRef, Outcome, Plan, Progress, QueueOptions, Rejected, Report, Result,
    Server,
};

/// A connection to a database that opens batches. See [`StoreExt`] for the short forms.
///
/// Object safe, used as `Arc<dyn Store>`.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The backend's name: `memory`, `arango`, `cql`.
    fn name(&self) -> &'static str;

    /// What the store can do, as far as it is known now. No I/O.
    fn capabilities(&self) -> Capabilities;

    /// Opens a batch. No I/O.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the store cannot give what the options ask
    /// for, [`InvalidState`](crate::ErrorKind::InvalidState) if it is closed.
    fn batch(&self, options: BatchOptions) -> Result<Box<dyn Batch>>;

    /// Reads one document outside any batch; `None` if it is absent.
    ///
    /// # Errors
    /// What the store says, and [`Timeout`](crate::ErrorKind::Timeout) after the store's deadline.
    async fn read(&self, collection: &str, key: &Key) -> Result<Option<Outcome>>;

    /// Asks the server whether it is there, and which it is.
    ///
    /// # Errors
    /// What stood in the way.
    async fn ping(&self) -> Result<Server>;

    /// Refuses new batches and commits, and waits until the running commits have ended, detached
    /// ones included. A second call waits likewise. In a callback it would wait for the commit that
    /// runs it.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout) if commits still run after `deadline`; they go on to
    /// their own deadlines.
    async fn close(&self, deadline: Duration) -> Result<()>;
}

macro_rules! forward_store {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Store + ?Sized> Store for $pointer {
            fn name(&self) -> &'static str {
                (**self).name()
            }
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
            fn batch(&self, options: BatchOptions) -> Result<Box<dyn Batch>> {
                (**self).batch(options)
            }
            async fn read(&self, collection: &str, key: &Key) -> Result<Option<Outcome>> {
                (**self).read(collection, key).await
            }
            async fn ping(&self) -> Result<Server> {
                (**self).ping().await
            }
            async fn close(&self, deadline: Duration) -> Result<()> {
                (**self).close(deadline).await
            }
        }
    )+};
}

forward_store!(Box<T>, Arc<T>, &T);

/// The batch of a [`scope`](StoreExt::scope), which notices if the body commits it. With `&mut dyn Batch` in its
/// place, `scope` would not compile inside `tokio::spawn`.
#[derive(Debug)]
pub struct OpenBatch {
    batch: Box<dyn Batch>,
    report: Option<Report>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Batch for OpenBatch {
    fn queue_opts(&mut self, operation: Operation, options: QueueOptions) -> Result<Job, Rejected> {
        self.batch.queue_opts(operation, options)
    }

    fn register(&mut self, callback: Callback) -> Result<()> {
        self.batch.register(callback)
    }

    fn state(&self) -> BatchState {
        self.batch.state()
    }

    fn len(&self) -> usize {
        self.batch.len()
    }

    fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    fn jobs(&self) -> Jobs {
        self.batch.jobs()
    }

    fn progress(&self) -> Progress {
        self.batch.progress()
    }

    fn operation(&self, job: &Job) -> Option<OperationRef<'_>> {
        self.batch.operation(job)
    }

    async fn plan(&mut self) -> Result<Plan> {
        self.batch.plan().await
    }

    /// Commits before the body ends; the scope then gives this report and commits nothing itself.
    async fn commit(&mut self) -> Result<Report> {
        let report = self.batch.commit().await?;
        self.report = Some(report.clone());
        Ok(report)
    }

    fn discard(&mut self) {
        self.batch.discard();
    }

    fn take(&mut self) -> Vec<Operation> {
        self.batch.take()
    }
}

/// What a scope gives: the body's value, and the commit's report.
#[derive(Clone, Debug)]
#[must_use = "per-operation failures are in the report; `report.into_result()` turns it into one `?`"]
pub struct Scoped<T> {
    /// What the body returned.
    pub value: T,
    /// What the commit did.
    pub report: Report,
}

/// Short forms for every [`Store`]. Not to be implemented.
pub trait StoreExt: Store {
    /// Reads one document outside any batch; `None` if it is absent.
    ///
    /// # Errors
    /// As [`Store::read`], and [`InvalidKey`](crate::ErrorKind::InvalidKey) for a key with a mistake.
    fn get(
        &self,
        collection: &str,
        key: impl Into<Key>,
    ) -> impl Future<Output = Result<Option<Outcome>>> + Send {
        let key = key.into();
        async move {
            key.check()?;
            self.read(collection, &key).await
        }
    }

    /// The context manager: opens a batch, runs `body` with it, and commits if the body returns
    /// `Ok`. An `Err`, a panic or a drop discards the batch, unless the options say
    /// [`commit_on_error`](BatchOptions::commit_on_error): then what was queued is committed, the
    /// report goes to the callbacks, and the body's error is returned.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use batch_core::*;
    /// # use serde_json::json;
    /// # async fn example(store: Arc<dyn Store>) -> Result<()> {
    /// let Scoped { value: job, report } = store
    ///     .scope(BatchOptions::new(), async |batch| {
    ///         Ok::<_, Error>(batch.queue(Operation::put("students").at("Abby").doc(&json!({})))?)
    ///     })
    ///     .await?;
    /// assert!(job.is_done());
    /// println!("{report}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The body's error, or the commit's if nothing was sent. [`Cancelled`](crate::ErrorKind::Cancelled), of
    /// unknown fate, if the body dropped a commit of its own that had sent something.
    fn scope<T, E: From<Error>, F: AsyncFnOnce(&mut OpenBatch) -> Result<T, E>>(
        &self,
        options: BatchOptions,
        body: F,
    ) -> impl Future<Output = Result<Scoped<T>, E>> {
        async move {
            let commit_on_error = options.commit_on_error;
            let mut batch = OpenBatch { batch: self.batch(options)?, report: None };
            match body(&mut batch).await {
                Ok(value) => {
                    let report = match (batch.report.take(), batch.state()) {
                        (Some(report), _) => report,
                        (None, BatchState::Committing | BatchState::Committed) => {
                            Err(left_behind())?
                        }
                        (None, _) => batch.commit().await?,
                    };
                    Ok(Scoped { value, report })
                }
                Err(error) => {
                    if batch.state() != BatchState::Open {
                        // The body has committed or discarded by itself.
                    } else if !commit_on_error {
                        batch.discard();
                    } else if let Err(refused) = batch.commit().await {
                        // The body's error is the one that is returned, so this one is told here.
                        tracing::error!(error = %refused, "the commit on error sent nothing");
                    }
                    Err(error)
                }
            }
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// The body dropped a commit that had sent something, and so its report.
fn left_behind() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the body of the scope dropped its own commit, which goes on by itself or was ended; the jobs tell what came of each operation",
    )
    .unknown()
}
