//! The shapes in which operations travel.

use std::fmt;

use batch_core::{Batch, BatchExt as _, BatchOptions, BatchType, Guarantee, Job, Operation, Verb};
use integration_tests::{Result, Things, Write};

use crate::KEYSPACE;

/// How a chunk travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One plain write.
    Single,
    /// Plain writes to one partition.
    Partition,
    /// Plain writes to several partitions, without the batch log.
    Unlogged,
    /// Plain writes to several partitions, through the batch log.
    Logged,
    /// One conditional write.
    Condition,
    /// Conditional writes to one partition, as a whole.
    Conditions,
    /// One update of a counter.
    Counter,
}

impl Shape {
    pub(crate) const ALL: [Self; 7] = [
        Self::Single,
        Self::Partition,
        Self::Unlogged,
        Self::Logged,
        Self::Condition,
        Self::Conditions,
        Self::Counter,
    ];

    pub(crate) fn options(self) -> BatchOptions {
        let options = BatchOptions::new();
        match self {
            Self::Unlogged => options.batch_type(BatchType::Unlogged),
            Self::Logged => options.batch_type(BatchType::Logged),
            Self::Conditions => options.guarantee(Guarantee::AllOrNothing { isolated: false }),
            _ => options,
        }
    }

    fn verb(self) -> Verb {
        match self {
            Self::Condition | Self::Conditions => Verb::Insert,
            _ => Verb::Put,
        }
    }

    /// The rows that it writes; a counter has none.
    pub(crate) fn writes(self, id: &str) -> Vec<Write> {
        let in_partition =
            |partition: String, number| Write::new(partition, format!("{id}-{number}"), number);
        match self {
            Self::Single | Self::Condition => vec![in_partition(id.to_owned(), 1)],
            Self::Partition | Self::Conditions => {
                (1..=3).map(|number| in_partition(id.to_owned(), number)).collect()
            }
            Self::Unlogged | Self::Logged => {
                (1..=3).map(|number| in_partition(format!("{id}-{number}"), number)).collect()
            }
            Self::Counter => Vec::new(),
        }
    }

    /// Queues its operations, all of which carry `id`. Operations that are not to be repeated are
    /// sent once, so that the first answer decides.
    pub(crate) fn queue(
        self,
        batch: &mut dyn Batch,
        things: &Things,
        id: &str,
        repeatable: bool,
    ) -> Result<Vec<(Write, Job)>> {
        if self == Self::Counter {
            let update = format!("UPDATE {KEYSPACE}.counters SET n = n + 1 WHERE id = ?");
            let job = batch.queue(Operation::cql(update, [id]))?;
            return Ok(vec![(Write::new(id, id, 1), job)]);
        }
        let queued = self.writes(id).into_iter().map(|write| {
            let mut operation = things.operation(self.verb(), &write);
            if !repeatable {
                operation = operation.idempotent(false);
            }
            let job = batch.queue(operation)?;
            Ok((write, job))
        });
        queued.collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "a_single_write",
            Self::Partition => "writes_to_a_partition",
            Self::Unlogged => "an_unlogged_batch",
            Self::Logged => "a_logged_batch",
            Self::Condition => "a_condition",
            Self::Conditions => "conditions_together",
            Self::Counter => "a_counter",
        })
    }
}
