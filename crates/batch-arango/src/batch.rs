//! A batch of an ArangoDB store, for those who know that it is one.

use std::ops::{Deref, DerefMut};

use batch_core::{Batch, BatchExt as _, Job, Operation, Rejected};
use serde::Serialize;

use crate::{ArangoQuery, ArangoRequest};

/// A batch of an ArangoDB store: any [`Batch`], and short forms for what only ArangoDB has.
///
/// [`ArangoStore::arango_batch`](crate::ArangoStore::arango_batch) opens it. Where `&mut dyn Batch` is
/// asked for, give `&mut *batch`.
///
/// # Coming from python-arango
///
/// ```no_run
/// # async fn example() -> Result<(), batch_core::Error> {
/// use batch_arango::ArangoStore;
/// use batch_core::{BatchExt as _, BatchOptions, Guarantee, OnError, Operation};
/// use serde_json::json;
///
/// // db = client.db("test", username="root", password="passwd")
/// let store = ArangoStore::builder()
///     .server("http://localhost:8529")
///     .database("test")
///     .credentials("root", "passwd")
///     .connect()
///     .await?;
/// // batch_db = db.begin_batch_execution(return_result=True)
/// let options = BatchOptions::new().guarantee(Guarantee::Ordered { on_error: OnError::Continue });
/// let mut batch = store.arango_batch(options)?;
/// // job1 = batch_db.collection("students").insert({"_key": "Kris"})
/// let job1 = batch.queue(Operation::insert("students").at("Kris").doc(&json!({})))?;
/// // job2 = batch_db.aql.execute("RETURN 100000")
/// let job2 = batch.aql("RETURN 100000", &())?;
/// // job3 = batch_db.aql.execute("INVALID QUERY")
/// let job3 = batch.aql("INVALID QUERY", &())?;
/// // batch_db.commit()
/// let report = batch.commit().await?;
/// // cursor = job2.result(); cursor.next()
/// let rows: Vec<u64> = job2.decode()?;
/// // except AQLQueryExecuteError as err: err.error_code == 1501
/// if let Err(error) = job3.outcome() {
///     println!("{error}");
/// }
/// # let _ = (job1, rows, report);
/// # Ok(())
/// # }
/// ```
///
/// | python-arango, python-aioarango | here |
/// |---|---|
/// | `with db.begin_batch_execution() as batch_db:` | [`store.scope(options, async \|batch\| …)`](batch_core::StoreExt::scope) |
/// | one after another, in the order of queueing | [`Guarantee::Ordered`](batch_core::Guarantee::Ordered). Without it the order on each key is kept, and the rest is sent side by side |
/// | `return_result=False` | [`BatchOptions::results(false)`](batch_core::BatchOptions::results): errors are counted all the same |
/// | `batch_db.collection(c).insert({"_key": k, …})` | [`Operation::insert`] with the key by [`at`](Operation::at) |
/// | `insert(…, overwrite=True)` | [`Operation::put`] |
/// | `insert(…, overwrite_mode="update")` | [`Operation::upsert`] |
/// | `insert({…})` with a key of the server's | [`ArangoRequest::post`] to `/_api/document/c` |
/// | `update`, `replace`, `delete`, `get` | the operations of these names; [`delete_existing`](Operation::delete_existing) where absence is an error |
/// | `check_rev=True` | [`Operation::if_revision`] |
/// | `return_new=True`, `return_old=True` | [`Operation::returning`] |
/// | `batch_db.aql.execute(query, bind_vars=…)` | [`aql`](Self::aql); the job's outcome is the whole result, no cursor |
/// | indexes, vertices, edges | [`request`](Self::request) |
/// | `batch_db.commit()` | [`commit`](Batch::commit). A second one is an error, as there |
/// | `job.status()`: `pending`, `done` | [`Job::status`], [`is_pending`](batch_core::JobStatus::is_pending), [`is_done`](batch_core::JobStatus::is_done) |
/// | `job.result()` | [`Job::outcome`], [`Job::decode`] |
/// | `err.http_code`, `err.error_code` | [`Error::details`](batch_core::Error::details): `http_status`, `error_num` |
/// | `BatchExecuteError`: jobs stay pending for ever | each job has its answer, `Unknown` where it cannot be told |
#[derive(Debug)]
pub struct ArangoBatch(Box<dyn Batch>);

impl ArangoBatch {
    pub(crate) fn new(batch: Box<dyn Batch>) -> Self {
        Self(batch)
    }

    /// Adds an AQL query with its bind variables, a JSON object (`&()` for none). No I/O. The job's
    /// outcome is the whole result as an array.
    ///
    /// # Errors
    /// As [`Batch::queue_opts`].
    pub fn aql(
        &mut self,
        query: impl Into<String>,
        variables: &(impl Serialize + ?Sized),
    ) -> Result<Job, Rejected> {
        self.queue(Operation::aql(query, variables))
    }

    /// Adds a query that says more than its text. No I/O.
    ///
    /// # Errors
    /// As [`Batch::queue_opts`].
    pub fn query(
        &mut self,
        query: &ArangoQuery,
        variables: &(impl Serialize + ?Sized),
    ) -> Result<Job, Rejected> {
        self.queue(query.bind(variables))
    }

    /// Adds a request as it is. No I/O.
    ///
    /// # Errors
    /// As [`Batch::queue_opts`].
    pub fn request(&mut self, request: ArangoRequest) -> Result<Job, Rejected> {
        self.queue(request.operation())
    }

    /// The batch as every store has it.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn Batch> {
        self.0
    }
}

impl From<ArangoBatch> for Box<dyn Batch> {
    fn from(batch: ArangoBatch) -> Self {
        batch.0
    }
}

impl Deref for ArangoBatch {
    type Target = dyn Batch;
    fn deref(&self) -> &(dyn Batch + 'static) {
        &*self.0
    }
}

impl DerefMut for ArangoBatch {
    fn deref_mut(&mut self) -> &mut (dyn Batch + 'static) {
        &mut *self.0
    }
}

impl AsMut<dyn Batch> for ArangoBatch {
    fn as_mut(&mut self) -> &mut (dyn Batch + 'static) {
        &mut *self.0
    }
}
