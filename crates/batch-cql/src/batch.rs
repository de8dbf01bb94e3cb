//! A batch of a CQL store, for those who know that it is one.

use std::ops::{Deref, DerefMut};

use batch_core::{Batch, BatchExt as _, Job, Rejected};
use scylla::serialize::row::SerializeRow;

use crate::CqlStatement;

/// A batch of a CQL store: any [`Batch`], and short forms for statements of CQL.
#[derive(Debug)]
pub struct CqlBatch(Box<dyn Batch>);

impl CqlBatch {
    #[expect(dead_code, reason = "the store opens it")]
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
