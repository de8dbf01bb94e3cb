//! Routing: which way each operation travels, and with which others.

mod likeness;
mod swept;
mod whole;

use std::sync::Arc;

use batch_core::{
    BatchType, Error, ErrorKind, Guarantee, NativeStatement, OperationRef, Result, Verb,
    seam::{KeyId, MechanismId, Route, Routes, Terms, View},
};
use scylla::cluster::metadata::ColumnKind;

use self::likeness::{Tables, likeness};
use crate::{
    backend::key_only,
    cluster::replicas::Replicas,
    encode::{self, KeyPart},
    errors::excerpt,
    plan::{
        key::{ids_of_row, shared_by_row},
        size::{self, PER_PARTITION},
        way::{PARTITION_BYTES, Ride, Ways},
    },
    row::{CellRef, Row},
    schema::Known,
    send::direct,
    statement::Native,
};

/// What the operations of one shape are about.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Table(Arc<Known>),
    Statement(Arc<Native>),
    Unusable(Error),
}

/// What was found for the shape of the last operation: they come in runs of one shape.
#[derive(Debug)]
pub(crate) struct Recent<T>(Option<(u32, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Recent<T> {
    pub(crate) fn of(
        &mut self,
        operation: &OperationRef<'_>,
        find: impl FnOnce(&OperationRef<'_>) -> T,
    ) -> &T {
        self.0.take_if(|(shape, _)| *shape != operation.shape);
        let (_, found) = self.0.get_or_insert_with(|| (operation.shape, find(operation)));
        found
    }
}

/// Where one operation goes, until the mechanism has a number.
struct Routed {
    ride: Ride,
    group: u64,
    /// The replica set; under all-or-nothing what [`together`](Router::together) has to know.
    pool: u16,
    key: Option<KeyId>,
    bytes: u32,
}

impl Routed {
    fn by(&self, mechanism: MechanismId) -> Route {
        Route::new(mechanism, self.group, self.key, self.bytes).in_pool(self.pool)
    }
}

/// What routing reads besides the operations.
pub(crate) struct Router<'a> {
    pub(crate) limits: &'a crate::cluster::server::Limits,
    /// Whether rows that are alone in their partition may share a batch.
    pub(crate) spread: bool,
    /// Whether the server takes logged batches.
    pub(crate) logged: bool,
    pub(crate) replicas: &'a Replicas,
    /// Whether counters may be deleted by the batch, so that counting is in order with that.
    pub(crate) deletes_counters: bool,
}

impl Router<'_> {
    /// The most bytes of a plain operation that shares a request with others. Above it is one by itself, which the
    /// server takes up to what a request has room for.
    fn most_beside(&self, terms: Terms) -> usize {
        match terms.batch_type {
            Some(BatchType::Logged) => self.limits.fail_bytes,
            _ => PARTITION_BYTES,
        }
    }

    pub(crate) fn route(
        &self,
        operations: View<'_>,
        terms: Terms,
        routes: &mut Routes,
        target: impl Fn(&str, Option<&Arc<dyn NativeStatement>>) -> Target,
    ) -> Result<()> {
        let logged = terms.batch_type == Some(BatchType::Logged);
        let all = matches!(terms.guarantee, Guarantee::AllOrNothing { .. });
        let mut ways = Ways::new(self.limits, logged, self.spread && !all);
        if all && routes.iter().next().is_some() {
            // What decides on the whole may stand in a former slice; a mechanism keeps its number.
            for ride in [Ride::Condition, Ride::NativeCondition, Ride::Counter, Ride::Apart] {
                ways.of(ride, routes);
            }
        }
        let (mut row, mut cells, mut kept) = (Row::default(), Vec::new(), Vec::new());
        // Those that have the shapes come in former slices as well.
        let tables = Tables::of(operations.shapes().take_while(|_| all), &target);
        let mut recent = Recent::<(Target, bool, u16)>::default();
        for operation in operations.iter() {
            let (target, differ, table) = recent.of(&operation, |operation| {
                let target = target(operation.collection, operation.statement);
                let keyspace = match &target {
                    Target::Table(known) => Some(&*known.table.keyspace),
                    Target::Statement(native) => Some(&*native.facts.keyspace),
                    Target::Unusable(_) => None,
                };
                let differ = keyspace.is_some_and(|keyspace| self.replicas.differ(keyspace));
                let table = tables.number(&target);
                (target, differ, table)
            });
            kept.clear();
            let routed = match target {
                Target::Table(known) => {
                    let routed = self.table(known, *differ, &operation, terms, &mut row);
                    if let Ok(Routed { key: Some(key), .. }) = &routed {
                        direct::keep_row(known, &operation, *key, &row, &mut kept);
                    }
                    routed
                }
                Target::Statement(native) => {
                    let routed = self.statement(native, *differ, &operation, terms, &mut cells);
                    if let Ok(routed) = &routed {
                        direct::keep_native(native, routed.key, &cells, &mut kept);
                    }
                    routed
                }
                Target::Unusable(error) => Err(error.clone()),
            };
            match routed {
                Ok(mut routed) => {
                    if all {
                        routed.pool = likeness(target, *table, &operation);
                        // Counted once for all of the partition, in the end.
                        routed.bytes = routed.bytes.saturating_sub(PER_PARTITION);
                    }
                    let mechanism = ways.of(routed.ride, routes);
                    routes.push_with(routed.by(mechanism), &kept);
                    if let Target::Table(known) = target
                        && known.has_shared
                        && operation.options.timestamp.is_none()
                        && let Some(shared) = shared_by_row(known, &row)
                    {
                        routes.share(shared);
                    }
                }
                Err(error) => routes.refuse(error),
            }
        }
        if all && operations.is_last() {
            return self.together(&ways, terms, routes);
        }
        Ok(())
    }

    /// Routes an operation on a table, and leaves its row encoded. `differ` if partitions differ in their replicas.
    fn table(
        &self,
        known: &Known,
        differ: bool,
        operation: &OperationRef<'_>,
        terms: Terms,
        row: &mut Row,
    ) -> Result<Routed> {
        let verb = operation.verb;
        encode_operation(known, operation, row)?;
        if matches!(verb, Verb::Put | Verb::Insert | Verb::Replace) {
            write_whole(known, row);
        }
        if terms.batch_type == Some(BatchType::Counter) {
            return Err(invalid(format!(
                "`{verb}` on {} is no counter update, and the batch is forced to be of counters; use `Operation::cql` with `UPDATE … SET c = c + ?`",
                known.name
            )));
        }
        let table = &known.table;
        let (partition, key) = ids_of_row(known, row);
        let options = operation.options;
        let bytes = match verb {
            Verb::Delete | Verb::DeleteExisting => size::delete_size(table, row),
            _ => size::row_size(table, row, options.ttl.is_some()),
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let own_options = options.ttl.is_some() || options.timestamp.is_some();
        let logged = terms.batch_type == Some(BatchType::Logged);
        let (ride, group) = if verb.is_conditional() && own_options {
            (Ride::NativeCondition, partition)
        } else if verb.is_conditional() {
            (Ride::Condition, partition)
        } else if bytes as usize > self.most_beside(terms) {
            (if own_options { Ride::Single } else { Ride::FoldedSingle }, key.get())
        } else {
            let ride = if own_options { Ride::Apart } else { Ride::Plain };
            (ride, if logged { 0 } else { partition })
        };
        let key = Some(key);
        // All-or-nothing looks at partitions and tables afterwards.
        if matches!(terms.guarantee, Guarantee::AllOrNothing { .. }) {
            let ride = if verb.is_conditional() { Ride::Condition } else { Ride::Plain };
            return Ok(Routed { ride, group: partition, pool: 0, key, bytes });
        }
        let pool = if differ && matches!(ride, Ride::Plain | Ride::Apart) {
            let key = (0..table.partition).map(|place| row.cell(place));
            self.replicas.of_partition(&table.keyspace, &table.name, key)
        } else {
            0
        };
        Ok(Routed { ride, group, pool, key, bytes })
    }

    /// Routes a statement, and leaves its values behind one another.
    fn statement(
        &self,
        native: &Native,
        differ: bool,
        operation: &OperationRef<'_>,
        terms: Terms,
        cells: &mut Vec<u8>,
    ) -> Result<Routed> {
        cells.clear();
        native.write_cells(operation, cells)?;
        let facts = &native.facts;
        let (partition, key) = native.ids_of(cells);
        // What counts commutes.
        let key = key.filter(|_| !facts.counter || self.deletes_counters);
        let bytes = u32::try_from(native.size(cells)).unwrap_or(u32::MAX);
        let forced = terms.batch_type;
        let is_large = bytes as usize > self.most_beside(terms);
        let logs = forced == Some(BatchType::Logged);
        let text = || excerpt(native.statement().get_statement());
        match (facts.counter, forced) {
            (true, Some(BatchType::Logged)) => {
                return Err(invalid(format!(
                    "`{}`: a logged batch holds no counter update; leave the batch type out, or force it to be of counters",
                    text()
                )));
            }
            (false, Some(BatchType::Counter)) => {
                return Err(invalid(format!(
                    "`{}`: the statement is no counter update, and the batch is forced to be of counters; leave the batch type out",
                    text()
                )));
            }
            _ => {}
        }
        // Something that is no other's: a statement by itself.
        let own = || KeyId::of(("own", operation.index)).get();
        // Nothing in a chunk tells which of its rows it is about, or which of them sets what they share.
        let meets_others = !facts.counter && (key.is_none() || facts.writes_shared);
        let is_alone = meets_others && matches!(terms.guarantee, Guarantee::Ordered { .. });
        if matches!(terms.guarantee, Guarantee::AllOrNothing { .. }) {
            let ride = match (facts.counter, facts.conditional) {
                (true, _) => Ride::Counter,
                (_, true) => Ride::NativeCondition,
                _ => Ride::Apart,
            };
            let group = partition.unwrap_or_else(own);
            return Ok(Routed { ride, group, pool: 0, key, bytes });
        }
        let (ride, group) = match partition {
            _ if facts.conditional => (Ride::NativeCondition, partition.unwrap_or_else(own)),
            // What is there may make the server refuse it, and its neighbours with it.
            _ if facts.alone => (Ride::Single, own()),
            _ if native.deletes_counters() => (Ride::Uncount, partition.unwrap_or_else(own)),
            Some(partition) if facts.counter => (Ride::Counter, partition),
            None if facts.counter => (Ride::Counter, own()),
            // The log of several partitions has a ceiling, also for one statement.
            _ if is_large && logs && native.may_spread() => (Ride::Apart, own()),
            _ if is_large => (Ride::Single, own()),
            _ if is_alone && logs => (Ride::Apart, own()),
            _ if is_alone => (Ride::Single, own()),
            _ if logs => (Ride::Apart, 0),
            Some(partition) => (Ride::Apart, partition),
            None => (Ride::Single, own()),
        };
        let pool = if differ
            && ride == Ride::Apart
            && let Some(key) = native.partition_cells(cells)
        {
            self.replicas.of_partition(&facts.keyspace, &facts.table, key)
        } else {
            0
        };
        Ok(Routed { ride, group, pool, key, bytes })
    }
}

/// Gives no value to what a row that is written whole leaves out: the server counts that as well.
fn write_whole(known: &Known, row: &mut Row) {
    let table = &known.table;
    if !table.has_row(row) {
        return;
    }
    for place in table.key..table.columns.len() {
        if row.is_unset(place) && known.is_of_row(place) {
            row.set_null(place);
        }
    }
}

/// A row's key and document as bytes, if they fit the table.
pub(crate) fn encode_operation(
    known: &Known,
    operation: &OperationRef<'_>,
    row: &mut Row,
) -> Result<()> {
    let table = &known.table;
    let verb = operation.verb;
    row.clear(table.columns.len());
    if known.has_counters {
        let instead =
            if verb.has_document() { "UPDATE … SET c = c + ?" } else { "DELETE FROM …" };
        return Err(invalid(format!(
            "{} counts, and what counts takes statements only, no `{verb}`; write `{instead}` as an operation of CQL",
            known.name
        )));
    }
    // Of a table that was not known when it was queued.
    if matches!(verb, Verb::Update | Verb::Replace) && known.is_key_only() {
        return Err(key_only(verb, known));
    }
    let part = encode::key(table, operation.key, row)?;
    if verb.has_document() {
        encode::document(table, operation.body, row)?;
    }
    if part == KeyPart::Whole {
        return Ok(());
    }
    if !matches!(verb, Verb::Put | Verb::Upsert) {
        return Err(Error::new(
            ErrorKind::InvalidKey,
            format!(
                "`{verb}` on {} needs the whole key, and the clustering key is missing; with the partition key alone only static columns are written, by `upsert` or `put`",
                known.name
            ),
        ));
    }
    let given = |place: usize| row.cell(place) != CellRef::Unset;
    let rest = table.columns.iter().enumerate().skip(table.key);
    for (place, column) in rest {
        if column.kind != ColumnKind::Static && given(place) {
            return Err(Error::new(
                ErrorKind::InvalidKey,
                format!(
                    "the column {} of {} belongs to a row, and the clustering key is missing; give the whole key, or static columns only",
                    column.name, known.name
                ),
            ));
        }
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
