//! What is told of each operation, also where no batch can tell it.

use unibatch::{Batch, Error, JobStatus, Operation, OperationRef};

/// The operations of a run, and what is told of each. A copy is another view.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdicts<'a> {
    /// What the batch's jobs say. Those that pend, because nothing was sent, have this error.
    OfBatch { batch: &'a dyn Batch, unsent: Option<&'a Error> },
    /// No batch could be opened, so that nothing was sent of any of them.
    OfNone { operations: &'a [Operation], unsent: &'a Error },
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    pub(crate) id: u32,
    pub(crate) operation: Option<OperationRef<'a>>,
    pub(crate) status: JobStatus,
}

impl<'a> Verdicts<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::OfBatch { batch, .. } => batch.len(),
            Self::OfNone { operations, .. } => operations.len(),
        }
    }

    pub(crate) fn iter(self) -> Box<dyn Iterator<Item = Verdict<'a>> + 'a> {
        match self {
            Self::OfBatch { batch, unsent } => Box::new(batch.jobs().map(move |job| {
                let status = match (job.status(), unsent) {
                    (JobStatus::Pending, Some(error)) => JobStatus::NotApplied(error.clone()),
                    (status, _) => status,
                };
                Verdict { id: job.id(), operation: batch.operation(&job), status }
            })),
            Self::OfNone { operations, unsent } => {
                Box::new((1..).zip(operations).map(|(id, operation)| Verdict {
                    id,
                    operation: Some(operation.as_ref()),
                    status: JobStatus::NotApplied(unsent.clone()),
                }))
            }
        }
    }
}
