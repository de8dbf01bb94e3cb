//! A native statement as planning and sending use it.

use std::sync::Arc;

use batch_core::{Error, ErrorKind, OperationRef, Result, seam::KeyId};
use scylla::{
    client::execution_profile::ExecutionProfileHandle, statement::prepared::PreparedStatement,
};

use crate::{
    errors::excerpt,
    plan::{key::KeyHash, size},
    row::CellRef,
    schema::{Known, holds_type, next_number},
    statement::{Cells, Facts, Kind, encode_values},
};

/// A prepared statement, with the store's own settings on it.
#[derive(Debug)]
pub(crate) struct Native {
    statement: PreparedStatement,
    pub(crate) facts: Facts,
    /// Whether its values are the driver's bytes already; else they are JSON.
    typed: bool,
    /// Its table, if that is known.
    known: Option<Arc<Known>>,
    /// What its partition's identity starts from: [`Schema::space`](crate::schema::Schema::space).
    space: u64,
    /// Differs from that of any other target of statements.
    pub(crate) number: u32,
}

impl Native {
    pub(crate) fn new(
        mut statement: PreparedStatement,
        facts: Facts,
        typed: bool,
        known: Option<Arc<Known>>,
        space: u64,
        profile: &ExecutionProfileHandle,
        tracing: bool,
    ) -> Self {
        // The batch's settings count, not those that the statement came with.
        statement.set_execution_profile_handle(Some(profile.clone()));
        statement.unset_consistency();
        statement.unset_serial_consistency();
        statement.set_timestamp(None);
        statement.set_retry_policy(None);
        statement.set_load_balancing_policy(None);
        statement.set_tracing(tracing);
        Self { statement, facts, typed, known, space, number: next_number() }
    }

    pub(crate) fn statement(&self) -> &PreparedStatement {
        &self.statement
    }

    /// Whether its values are in the operation as the driver wants them.
    pub(crate) fn is_typed(&self) -> bool {
        self.typed
    }

    /// Appends an operation's values, if the server would take them.
    pub(crate) fn write_cells(
        &self,
        operation: &OperationRef<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        if self.typed {
            out.extend_from_slice(operation.body);
        } else {
            let statement = self.statement();
            let markers = statement.get_variable_col_specs();
            encode_values(statement.get_statement(), markers.as_slice(), operation.body, out)?;
        }
        self.facts.check(&self.statement, out.get(start..).unwrap_or_default())
    }

    /// What its values say of the partition's key, if they say all of it.
    pub(crate) fn partition_cells<'c>(
        &self,
        cells: &'c [u8],
    ) -> Option<impl ExactSizeIterator<Item = CellRef<'c>>> {
        Some(values(self.facts.partition.as_deref()?, cells))
    }

    /// The partition that it writes to, and the key whose operations it keeps in order with, as far
    /// as its values say which.
    pub(crate) fn ids_of(&self, cells: &[u8]) -> (Option<u64>, Option<KeyId>) {
        let facts = &self.facts;
        let Some(places) = facts.partition.as_deref() else { return (None, None) };
        let mut hash = KeyHash::of_partition(self.space, values(places, cells));
        let partition = Some(hash.partition());
        let (Some(places), Some(known)) = (facts.key.as_deref(), self.known.as_deref()) else {
            return (partition, None);
        };
        hash.in_table(known.hash);
        let first = known.table.partition;
        let clustering = values(places.get(first..).unwrap_or_default(), cells);
        (first..).zip(clustering).for_each(|(place, value)| {
            hash.add_clustering(&known.table, place, value);
        });
        (partition, Some(hash.finish()))
    }

    /// Where the row that its values tell lies in its partition; 0 if they do not tell it.
    pub(crate) fn position(&self, cells: &[u8]) -> u128 {
        match (self.facts.key.as_deref(), self.known.as_deref()) {
            (Some(places), Some(known)) => {
                let clustering = places.get(known.table.partition..).unwrap_or_default();
                known.table.position(values(clustering, cells))
            }
            _ => 0,
        }
    }

    /// Its table, and what its values say of each column of that table's key.
    pub(crate) fn key_cells<'c>(&self, cells: &'c [u8]) -> Option<(&Known, Vec<CellRef<'c>>)> {
        let (places, known) = (self.facts.key.as_deref()?, self.known.as_deref()?);
        Some((known, values(places, cells).collect()))
    }

    /// Whether it may write to several partitions: nothing tells that it is one.
    pub(crate) fn may_spread(&self) -> bool {
        let facts = &self.facts;
        facts.partition.is_none() && facts.kind != Kind::Insert
    }

    /// Whether a value of it has a user-defined type, or holds one.
    pub(crate) fn has_types(&self) -> bool {
        let markers = self.statement().get_variable_col_specs();
        markers.iter().any(|marker| holds_type(marker.typ()))
    }

    /// Whether it may write to more than a key tells.
    pub(crate) fn is_unkeyed(&self) -> bool {
        let facts = &self.facts;
        let has_key = facts.key.is_some() && self.known.is_some();
        !facts.counter && (!has_key || facts.writes_shared)
    }

    /// Whether it deletes what is counted, which does not commute with counting.
    pub(crate) fn deletes_counters(&self) -> bool {
        self.facts.counter && self.facts.kind == Kind::Delete
    }

    /// Tells its table from others.
    pub(crate) fn table_hash(&self) -> u64 {
        let facts = &self.facts;
        match &self.known {
            Some(known) => known.hash,
            None => KeyId::of((&*facts.keyspace, &*facts.table)).get(),
        }
    }

    /// At most what the server counts for a row written with these values, unless the statement's
    /// own text holds more of them.
    pub(crate) fn size(&self, cells: &[u8]) -> usize {
        let markers = self.statement.get_variable_col_specs();
        let partition = self.facts.partition.as_deref().unwrap_or_default();
        size::native_size(markers.as_slice(), partition, cells)
    }

    /// Whether it may write a whole list that is no frozen one.
    pub(crate) fn writes_lists(&self) -> bool {
        self.facts.writes_lists
    }

    /// Whether it does that at a time of its own, so that a second attempt cannot be a later one.
    pub(crate) fn writes_lists_at_own_time(&self) -> bool {
        self.facts.writes_lists && self.facts.own_time
    }

    /// Whether its table is still the one that it was prepared on, or as little known as it was then.
    pub(crate) fn is_current(&self, look_up: impl Fn(&str) -> Option<Arc<Known>>) -> bool {
        match &self.known {
            Some(known) => look_up(&known.name).is_some_and(|now| Arc::ptr_eq(&now, known)),
            None => {
                let facts = &self.facts;
                look_up(&format!("{}.{}", facts.keyspace, facts.table)).is_none()
            }
        }
    }

    /// Whether nothing is known of its table but that the server has it.
    pub(crate) const fn lacks_table(&self) -> bool {
        self.known.is_none()
    }

    /// Refuses a statement that was prepared on another table than the one that is there.
    pub(crate) fn unchanged(self) -> Result<Self> {
        match self.changed() {
            None => Ok(self),
            Some(column) => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!(
                    "`{}`: the column {column} of {}.{} has another type than when the statement was prepared; prepare it again, or commit again if its values are JSON",
                    excerpt(self.statement().get_statement()),
                    self.facts.keyspace,
                    self.facts.table,
                ),
            )),
        }
    }

    /// The column whose type is not that of its marker any more.
    pub(crate) fn changed(&self) -> Option<&str> {
        let known = self.known.as_deref()?;
        let markers = self.statement().get_variable_col_specs();
        self.facts.changed(markers.as_slice(), &known.table)
    }
}

fn values<'c>(places: &[u16], cells: &'c [u8]) -> impl ExactSizeIterator<Item = CellRef<'c>> {
    places.iter().map(move |place| Cells::new(cells).at(*place).unwrap_or(CellRef::Unset))
}
