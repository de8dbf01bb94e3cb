//! What all-or-nothing has to know of each operation: it stands in its route instead of the replicas.

use std::sync::Arc;

use batch_core::{NativeStatement, OperationRef, Verb, seam::Shape};

use super::Target;
use crate::statement::Kind;

/// What an operation is like, as to whether it can be one whole with others.
pub(super) mod like {
    /// A statement, which is never made one write with others on its key.
    pub(in crate::plan::route) const STATEMENT: u16 = 1;
    /// Has a time to live or a timestamp, and is not made one write where a condition is.
    pub(in crate::plan::route) const OWN_OPTIONS: u16 = 2;
    /// Has a timestamp.
    pub(in crate::plan::route) const OWN_TIME: u16 = 4;
    /// May write to several partitions, since its markers tell none.
    pub(in crate::plan::route) const SPREADS: u16 = 8;
    /// Asks that its row is not there.
    pub(in crate::plan::route) const NEEDS_NO_ROW: u16 = 16;
    /// Asks that its row is there.
    pub(in crate::plan::route) const NEEDS_ROW: u16 = 32;
    /// Leaves no row, or no value of some column.
    pub(in crate::plan::route) const DELETES: u16 = 64;
    /// Of a statement, which asks for no row: deletes all of its partition.
    pub(in crate::plan::route) const WHOLE_PARTITION: u16 = NEEDS_ROW;
    /// What a statement is like that deletes; without a key it deletes what it does not name.
    pub(in crate::plan::route) const SWEEPS: u16 = STATEMENT | DELETES;
    /// The number of its table: 0 for that of the first operation.
    pub(in crate::plan::route) const TABLE: u16 = 0xFF80;
    pub(in crate::plan::route) const TABLE_SHIFT: u32 = TABLE.trailing_zeros();
}

/// The tables of a batch, numbered as they come.
pub(super) struct Tables(Vec<Option<u64>>);

impl Tables {
    pub(super) fn of<'q>(
        shapes: impl Iterator<Item = Shape<'q>>,
        target: &impl Fn(&str, Option<&Arc<dyn NativeStatement>>) -> Target,
    ) -> Self {
        let mut tables = Vec::new();
        for shape in shapes {
            let table = table_hash(&target(shape.collection, shape.statement));
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        Self(tables)
    }

    /// The number of a table; the last one for all further ones.
    pub(super) fn number(&self, target: &Target) -> u16 {
        const LAST: u16 = like::TABLE >> like::TABLE_SHIFT;
        let table = table_hash(target);
        let number = self.0.iter().position(|known| *known == table);
        number.and_then(|number| u16::try_from(number).ok()).map_or(LAST, |number| number.min(LAST))
    }
}

/// What an operation is like.
pub(super) fn likeness(target: &Target, table: u16, operation: &OperationRef<'_>) -> u16 {
    let OperationRef { verb, options, .. } = operation;
    let facts = match target {
        Target::Statement(native) => Some(&native.facts),
        Target::Table(_) | Target::Unusable(_) => None,
    };
    let own_time = options.timestamp.is_some() || facts.is_some_and(|facts| facts.own_time);
    [
        (facts.is_some(), like::STATEMENT),
        (options.ttl.is_some() || options.timestamp.is_some(), like::OWN_OPTIONS),
        (own_time, like::OWN_TIME),
        (matches!(target, Target::Statement(native) if native.may_spread()), like::SPREADS),
        (*verb == Verb::Insert, like::NEEDS_NO_ROW),
        (verb.is_conditional() && *verb != Verb::Insert, like::NEEDS_ROW),
        (facts.is_some_and(|facts| facts.deletes_partition), like::WHOLE_PARTITION),
        (
            facts.map_or(matches!(verb, Verb::Delete | Verb::DeleteExisting), |facts| {
                facts.kind == Kind::Delete
            }),
            like::DELETES,
        ),
    ]
    .into_iter()
    .fold(table << like::TABLE_SHIFT, |likeness, (is, what)| likeness | if is { what } else { 0 })
}

/// Tells tables apart.
fn table_hash(target: &Target) -> Option<u64> {
    match target {
        Target::Table(known) => Some(known.hash),
        Target::Statement(native) => Some(native.table_hash()),
        Target::Unusable(_) => None,
    }
}
