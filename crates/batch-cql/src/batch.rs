//! A batch of a CQL store, for those who know that it is one.

use std::ops::{Deref, DerefMut};

use batch_core::{Batch, BatchExt as _, Job, Rejected};
use scylla::serialize::row::SerializeRow;

use crate::CqlStatement;

/// A batch of a CQL store: any [`Batch`], and short forms for statements of CQL.
///
/// [`CqlStore::cql_batch`](crate::CqlStore::cql_batch) opens it. Where `&mut dyn Batch` is asked
/// for, give `&mut *batch`.
///
/// # Coming from cqlengine
///
/// ```no_run
/// # async fn example() -> Result<(), batch_core::Error> {
/// use std::time::Duration;
///
/// use batch_core::{BatchExt as _, BatchOptions, BatchType, Operation};
/// use batch_cql::CqlStore;
/// use serde_json::json;
///
/// let store = CqlStore::builder().contact_point("localhost").keyspace("school").connect().await?;
/// // b = BatchQuery(batch_type=BatchType.Unlogged, timeout=3)
/// let options = BatchOptions::new().batch_type(BatchType::Unlogged).deadline(Duration::from_secs(3));
/// let mut batch = store.cql_batch(options)?;
/// // b.add_callback(print, "done")
/// batch.on_success(|report| println!("done: {report}"))?;
/// // Student.batch(b).ttl(3600).create(id="Abby", age=20)
/// let abby = Operation::upsert("students").key("id", "Abby").doc(&json!({"age": 20}));
/// batch.queue(abby.ttl(Duration::from_secs(3600)))?;
/// // Student.batch(b).if_not_exists().create(id="John", age=21)
/// let john = Operation::insert("students").key("id", "John").doc(&json!({"age": 21}));
/// let john = batch.queue(john)?;
/// // b.execute()
/// let report = batch.commit().await?;
/// // except LWTException
/// if let Err(error) = john.outcome() {
///     println!("{error}"); // the kind is AlreadyExists
/// }
/// # drop(report);
/// # Ok(())
/// # }
/// ```
///
/// | cqlengine | here |
/// |---|---|
/// | `with BatchQuery() as b:` | [`store.scope(options, async \|batch\| …)`](batch_core::StoreExt::scope) |
/// | `execute_on_exception=True` | [`BatchOptions::commit_on_error`](batch_core::BatchOptions::commit_on_error) |
/// | `BatchQuery()`: one logged batch, of any size | [`Guarantee::AllOrNothing`](batch_core::Guarantee::AllOrNothing): a logged batch, or an unlogged one on one partition; refused above the server's limit. Without a guarantee operations are sent in batches by partition, side by side |
/// | `batch_type=BatchType.Unlogged`, `.Counter` | [`BatchOptions::batch_type`](batch_core::BatchOptions::batch_type); counters are put into counter batches without it too |
/// | `timestamp=…` | [`Operation::timestamp`](batch_core::Operation::timestamp). Without it, later operations on a row win over earlier ones; there all of a batch have one timestamp |
/// | `timeout=…` | [`BatchOptions::deadline`](batch_core::BatchOptions::deadline), retries included |
/// | `consistency=…` | [`CqlBuilder::consistency`](crate::CqlBuilder::consistency), of the store |
/// | `b.add_callback(f, …)` | [`on_commit`](batch_core::BatchExt::on_commit), [`on_success`](batch_core::BatchExt::on_success), [`on_failure`](batch_core::BatchExt::on_failure): they get the report, and one that fails keeps none from running |
/// | `b.execute()` | [`commit`](Batch::commit). A second one is an error, where `execute` sends everything again |
/// | `Model.create(…)` | [`upsert`](batch_core::Operation::upsert): the given columns; [`put`](batch_core::Operation::put): the whole row |
/// | `model.save()`, `model.update(…)` | `upsert`, with null for a column that loses its value |
/// | `model.delete()` | [`delete`](batch_core::Operation::delete) |
/// | `.if_not_exists()`, `.if_exists()` | [`insert`](batch_core::Operation::insert); [`update`](batch_core::Operation::update), [`delete_existing`](batch_core::Operation::delete_existing). Each may fail without the others, unless the batch is all-or-nothing |
/// | `.iff(age=20)` | [`Operation::cql`](batch_core::Operation::cql) with `UPDATE … IF age = ?` |
/// | `LWTException` | the job of the operation is `NotApplied`, with `AlreadyExists`, `NotFound` or `ConditionFailed` |
/// | `model.hits += 1` in a counter model | `Operation::cql("UPDATE hits SET n = n + ? WHERE id = ?", (1, "Abby"))` |
/// | statements of one's own | [`Operation::cql`](batch_core::Operation::cql) with values as JSON; [`CqlStatement`] with values of Rust's types |
/// | a read in a batch: `CQLEngineException` | refused when it is queued |
///
/// What a batch came to is not one answer: each operation has a [`Job`] that tells whether it is in
/// the store, and the report counts them. `report.into_result()` is the one answer.
#[derive(Debug)]
pub struct CqlBatch(Box<dyn Batch>);

impl CqlBatch {
    pub(crate) fn new(batch: Box<dyn Batch>) -> Self {
        Self(batch)
    }

    /// Adds a statement with its values. No I/O.
    ///
    /// # Errors
    /// As [`Batch::queue_opts`]; above all, values whose types are not those of the markers.
    pub fn queue_bound(
        &mut self,
        statement: &CqlStatement,
        values: &(impl SerializeRow + ?Sized),
    ) -> Result<Job, Rejected> {
        self.queue(statement.bind(values))
    }

    /// Adds a statement with its values, one row after another, until one is refused; those before
    /// it stay queued. No I/O.
    ///
    /// # Errors
    /// As [`queue_bound`](Self::queue_bound), for the first row that is refused.
    pub fn queue_rows<R: SerializeRow>(
        &mut self,
        statement: &CqlStatement,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Job>, Rejected> {
        rows.into_iter().map(|row| self.queue_bound(statement, &row)).collect()
    }

    /// The batch as every store has it.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn Batch> {
        self.0
    }
}

impl From<CqlBatch> for Box<dyn Batch> {
    fn from(batch: CqlBatch) -> Self {
        batch.0
    }
}

impl Deref for CqlBatch {
    type Target = dyn Batch;
    fn deref(&self) -> &(dyn Batch + 'static) {
        &*self.0
    }
}

impl DerefMut for CqlBatch {
    fn deref_mut(&mut self) -> &mut (dyn Batch + 'static) {
        &mut *self.0
    }
}

impl AsMut<dyn Batch> for CqlBatch {
    fn as_mut(&mut self) -> &mut (dyn Batch + 'static) {
        &mut *self.0
    }
}
