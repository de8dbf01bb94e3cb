//! Routing: which way each operation travels, and with which others.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use batch_core::{
    BatchType, Error, ErrorKind, Guarantee, NativeStatement, OperationOptions, OperationRef,
    Result, Verb,
    seam::{KeyId, MechanismId, Route, Routes, Terms, View},
};
use foldhash::fast::FixedState;
use scylla::cluster::metadata::ColumnKind;

use crate::{
    backend::key_only,
    encode::{self, KeyPart},
    key::{ids_of_row, shared_by_row},
    native::Native,
    replicas::Replicas,
    row::{CellRef, Row},
    schema::Known,
    send::direct,
    size,
    way::{PARTITION_BYTES, Ride, Way, Ways, whole},
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

/// What an operation is like, as to whether it can be one whole with others.
mod like {
    /// Its table is another one than that of the first operation.
    pub(super) const OTHER_TABLE: u16 = 1;
    /// A statement, which is never made one write with others on its key.
    pub(super) const STATEMENT: u16 = 2;
    /// Has a time to live or a timestamp, and is not made one write where a condition is.
    pub(super) const OWN_OPTIONS: u16 = 4;
    /// Has a timestamp.
    pub(super) const OWN_TIME: u16 = 8;
    /// Tells its table from most others.
    pub(super) const TABLE: u16 = 0xFFF0;
}

/// What routing reads besides the operations.
pub(crate) struct Router<'a> {
    pub(crate) limits: &'a crate::server::Limits,
    /// Whether rows that are alone in their partition may share a batch.
    pub(crate) spread: bool,
    /// Whether the server takes logged batches.
    pub(crate) logged: bool,
    pub(crate) replicas: &'a Replicas,
    /// Whether counters may be deleted by the batch, so that counting is in order with that.
    pub(crate) deletes_counters: bool,
}

impl Router<'_> {
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
        // Under all-or-nothing the bytes are counted as the server counts them: a partition of a table once. More
        // operations than one request takes are refused anyway.
        let mut counted: HashSet<(u64, u16), FixedState> = match all {
            true => {
                routes.iter().take(MOST).map(|(_, r)| (r.group, r.pool & like::TABLE)).collect()
            }
            false => HashSet::default(),
        };
        if !counted.is_empty() {
            // What decides on the whole may stand in a former slice; a mechanism keeps its number.
            for ride in [Ride::Condition, Ride::NativeCondition, Ride::Counter, Ride::Apart] {
                ways.of(ride, routes);
            }
        }
        let (mut row, mut cells, mut kept) = (Row::default(), Vec::new(), Vec::new());
        // The operations of a slice come after those that have the first shape.
        let table_of_first = operations
            .shapes()
            .next()
            .filter(|_| all)
            .and_then(|first| table_hash(&target(first.collection, first.statement)));
        let mut recent = Recent::<(Target, bool)>::default();
        for operation in operations.iter() {
            let (target, differ) = recent.of(&operation, |operation| {
                let target = target(operation.collection, operation.statement);
                let keyspace = match &target {
                    Target::Table(known) => Some(&*known.table.keyspace),
                    Target::Statement(native) => Some(&*native.prepared.facts.keyspace),
                    Target::Unusable(_) => None,
                };
                let differ = keyspace.is_some_and(|keyspace| self.replicas.differ(keyspace));
                (target, differ)
            });
            kept.clear();
            let replicas = differ.then_some(self.replicas);
            let routed = match target {
                Target::Table(known) => {
                    let routed = portable(known, replicas, &operation, terms, &mut row);
                    if let Ok(Routed { key: Some(key), .. }) = &routed {
                        direct::keep_row(known, &operation, *key, &row, &mut kept);
                    }
                    routed
                }
                Target::Statement(native) => {
                    let deletes_counters = self.deletes_counters;
                    let routed = route_native(
                        native,
                        replicas,
                        deletes_counters,
                        &operation,
                        terms,
                        &mut cells,
                    );
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
                        routed.pool = likeness(target, table_of_first, operation.options);
                    }
                    let mut route = routed.by(ways.of(routed.ride, routes));
                    if all && !counted.insert((route.group, routed.pool & like::TABLE)) {
                        route.bytes = route.bytes.saturating_sub(PER_PARTITION);
                    }
                    routes.push_with(route, &kept);
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

    /// The one way of an all-or-nothing batch, or why there is none.
    fn together(&self, ways: &Ways<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        let isolated = matches!(terms.guarantee, Guarantee::AllOrNothing { isolated: true });
        let refuse = |place: usize, reason: &str| {
            Err(Error::new(
                ErrorKind::Unsupported,
                format!("all-or-nothing is refused on cql: operation {}: {reason}", place + 1),
            ))
        };
        let [condition, native_condition, counter] =
            [Ride::Condition, Ride::NativeCondition, Ride::Counter].map(|ride| ways.known(ride));
        let conditional = |id: MechanismId| [condition, native_condition].contains(&Some(id));
        let Some((_, first)) = routes.iter().next() else { return Ok(()) };
        let first = *first;
        if routes.iter().nth(MOST).is_some() {
            // Refused for that when it is cut, whatever else is wrong.
            let mechanism = routes.mechanism(whole(Way::Partition, self.limits));
            routes.join(mechanism);
            return Ok(());
        }
        let other_partition = routes.iter().find(|(_, route)| route.group != first.group);
        let other_partition = other_partition.map(|(place, _)| place);
        let is = |what: u16| routes.iter().find(|(_, route)| route.pool & what != 0);
        let other_table = is(like::OTHER_TABLE).map(|(place, _)| place);
        let count = routes.iter().count();
        if let Some((place, _)) = routes.iter().find(|(_, route)| Some(route.mechanism) == counter)
        {
            return refuse(place, "counter updates are applied one by one; use another guarantee");
        }
        let way = if routes.iter().any(|(_, route)| conditional(route.mechanism)) {
            if let Some(place) = other_table {
                return refuse(
                    place,
                    "conditions and writes of one batch are on one table; put those on others into a batch of their own",
                );
            }
            if let Some(place) = other_partition {
                return refuse(
                    place,
                    "conditions and writes of one batch are on one partition; put those on others into a batch of their own",
                );
            }
            if let Some((place, _)) = is(like::OWN_TIME) {
                return refuse(
                    place,
                    "it has a timestamp of its own, and a batch with a condition is written at the server's time; leave the timestamp out, or commit it in a batch of its own",
                );
            }
            if count == 1 { Way::Condition } else { Way::Conditions }
        } else if terms.batch_type == Some(BatchType::Logged) {
            if isolated && let Some(place) = other_partition.or(other_table) {
                return refuse(place, "only one partition of one table can be written isolated");
            }
            Way::Logged
        } else if other_partition.is_none() {
            if isolated && let Some(place) = other_table {
                return refuse(place, "only one partition of one table can be written isolated");
            }
            if count == 1 { Way::Single } else { Way::Partition }
        } else {
            let place = other_partition.unwrap_or_default();
            if isolated {
                return refuse(
                    place,
                    "it is on another partition than the first, and only one partition can be written isolated",
                );
            }
            if terms.batch_type == Some(BatchType::Unlogged) {
                return refuse(
                    place,
                    "it is on another partition than the first, and an unlogged batch is whole on one partition only; leave the batch type out",
                );
            }
            if !self.logged {
                return refuse(
                    place,
                    "it is on another partition than the first, and this server takes no logged batches",
                );
            }
            Way::Logged
        };
        let unfit = match way {
            Way::Condition | Way::Conditions => like::STATEMENT | like::OWN_OPTIONS,
            _ => like::STATEMENT,
        };
        if is(unfit).is_some()
            && let Some(place) = not_one_write(routes, unfit)
        {
            return refuse(
                place,
                "it meets another one on its key in this batch, and the two cannot be made one write; commit them one after another",
            );
        }
        if terms.batch_type == Some(BatchType::Counter) {
            return refuse(0, "a counter batch is not applied as a whole; use another guarantee");
        }
        let mut mechanism = whole(way, self.limits);
        let statements = ways.known(Ride::Apart);
        mechanism.stamped = !matches!(way, Way::Condition | Way::Conditions)
            && routes.iter().all(|(_, route)| Some(route.mechanism) != statements);
        mechanism.why = why_whole(way, other_partition, other_table);
        let bytes: u64 = routes.iter().map(|(_, route)| u64::from(route.bytes)).sum();
        if way == Way::Logged && bytes > u64::try_from(self.limits.warn_bytes).unwrap_or(u64::MAX) {
            let warn = self.limits.warn_bytes;
            routes.warn(format!(
                "the logged batch has {bytes} bytes, and the server warns of more than {warn}: such batches are a load on it"
            ));
        }
        let mechanism = routes.mechanism(mechanism);
        routes.join(mechanism);
        Ok(())
    }
}

/// Routes an operation on a table, and leaves its row encoded. `replicas` if partitions differ in theirs.
fn portable(
    known: &Known,
    replicas: Option<&Replicas>,
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
            "`{verb}` is no counter update, and the batch is forced to be of counters; use `Operation::cql` with `UPDATE … SET c = c + ?`"
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
    } else if bytes as usize > PARTITION_BYTES && !logged {
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
    let pool = match replicas {
        Some(replicas) if matches!(ride, Ride::Plain | Ride::Apart) => {
            let key = (0..table.partition).map(|place| row.cell(place));
            replicas.of_partition(&table.keyspace, &table.name, key)
        }
        _ => 0,
    };
    Ok(Routed { ride, group, pool, key, bytes })
}

/// Why an all-or-nothing batch travels so, where its name does not say it.
fn why_whole(
    way: Way,
    other_partition: Option<usize>,
    other_table: Option<usize>,
) -> Option<Cow<'static, str>> {
    let text = match (way, other_partition, other_table) {
        (Way::Logged, Some(place), _) => format!(
            "operation {} is on another partition than the first, and the batch log sees to it that all of it is written",
            place + 1
        ),
        (Way::Logged, None, _) => {
            "the batch is forced to be logged, though it is one partition".to_owned()
        }
        (Way::Partition, _, Some(place)) => format!(
            "operation {} is on another table, with the same partition key in the same keyspace, which is one mutation all the same",
            place + 1
        ),
        (Way::Conditions, ..) => {
            "a condition that is false keeps all of it from being written, as all-or-nothing asks"
                .to_owned()
        }
        _ => return None,
    };
    Some(text.into())
}

/// Routes a statement, and leaves its values behind one another.
fn route_native(
    native: &Native,
    replicas: Option<&Replicas>,
    deletes_counters: bool,
    operation: &OperationRef<'_>,
    terms: Terms,
    cells: &mut Vec<u8>,
) -> Result<Routed> {
    cells.clear();
    native.write_cells(operation, cells)?;
    let facts = &native.prepared.facts;
    let (partition, key) = native.ids_of(cells);
    // What counts commutes.
    let key = key.filter(|_| !facts.counter || deletes_counters);
    let bytes = u32::try_from(native.size(cells)).unwrap_or(u32::MAX);
    let forced = terms.batch_type;
    match (facts.counter, forced) {
        (true, Some(BatchType::Logged)) => {
            return Err(invalid(
                "a logged batch holds no counter update; leave the batch type out, or force it to be of counters".to_owned(),
            ));
        }
        (false, Some(BatchType::Counter)) => {
            return Err(invalid(
                "the statement is no counter update, and the batch is forced to be of counters; leave the batch type out".to_owned(),
            ));
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
        _ if is_alone && forced == Some(BatchType::Logged) => (Ride::Apart, own()),
        _ if is_alone => (Ride::Single, own()),
        _ if forced == Some(BatchType::Logged) => (Ride::Apart, 0),
        Some(partition) if bytes as usize <= PARTITION_BYTES => (Ride::Apart, partition),
        _ => (Ride::Single, own()),
    };
    let pool = match (replicas, native.partition_cells(cells)) {
        (Some(replicas), Some(key)) if ride == Ride::Apart => {
            replicas.of_partition(&facts.keyspace, &facts.table, key)
        }
        _ => 0,
    };
    Ok(Routed { ride, group, pool, key, bytes })
}

/// What the server counts for a partition, however many rows of it are written.
const PER_PARTITION: u32 = 29;
/// The most statements in one request.
const MOST: usize = u16::MAX as usize;

fn likeness(target: &Target, table_of_first: Option<u64>, options: &OperationOptions) -> u16 {
    let facts = match target {
        Target::Statement(native) => Some(&native.prepared.facts),
        Target::Table(_) | Target::Unusable(_) => None,
    };
    let [.., low, high] = table_hash(target).unwrap_or_default().to_ne_bytes();
    let table = u16::from_ne_bytes([low, high]) & like::TABLE;
    let own_time = options.timestamp.is_some() || facts.is_some_and(|facts| facts.stamped);
    [
        (table_hash(target) != table_of_first, like::OTHER_TABLE),
        (facts.is_some(), like::STATEMENT),
        (options.ttl.is_some() || options.timestamp.is_some(), like::OWN_OPTIONS),
        (own_time, like::OWN_TIME),
    ]
    .into_iter()
    .fold(table, |likeness, (is, what)| likeness | if is { what } else { 0 })
}

/// The last operation on a key that cannot be made one write of with another, if one is like this.
fn not_one_write(routes: &Routes, unfit: u16) -> Option<usize> {
    let mut on_key: HashMap<u64, bool, FixedState> = HashMap::default();
    routes.iter().find_map(|(place, route)| {
        let is_unfit = route.pool & unfit != 0;
        let before = on_key.insert(route.key?.get(), is_unfit);
        before.filter(|before| *before || is_unfit).map(|_| place)
    })
}

/// Tells tables apart.
fn table_hash(target: &Target) -> Option<u64> {
    match target {
        Target::Table(known) => Some(known.hash),
        Target::Statement(native) => Some(native.table_hash()),
        Target::Unusable(_) => None,
    }
}

/// Gives no value to what a row that is written whole leaves out: the server counts that as well.
fn write_whole(known: &Known, row: &mut Row) {
    let table = &known.table;
    for place in table.key..table.columns.len() {
        if table.has_row(row) && row.is_unset(place) && known.is_of_row(place) {
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
        return Err(invalid(format!(
            "{} counts, and counters take no documents; use `Operation::cql` with `UPDATE … SET c = c + ?`",
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
                "`{verb}` on {} needs the whole key, and the clustering key is missing; with the partition key alone only static columns are written, by `upsert`",
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
