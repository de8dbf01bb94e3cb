//! All-or-nothing: the one way that takes all of a batch, or why there is none.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use batch_core::{
    BatchType, Error, ErrorKind, Guarantee, NativeStatement, OperationRef, Result, Verb,
    seam::{MechanismId, Route, Routes, Shape, Terms},
};
use foldhash::fast::FixedState;

use super::{Router, Target};
use crate::{
    plan::{
        size::PER_PARTITION,
        way::{Ride, Way, Ways, whole},
    },
    statement::Kind,
};

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

impl Router<'_> {
    /// The one way of an all-or-nothing batch, or why there is none.
    pub(super) fn together(
        &self,
        ways: &Ways<'_>,
        terms: Terms,
        routes: &mut Routes,
    ) -> Result<()> {
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
        let Some(partitions) = partitions(routes) else {
            // Refused for that when it is cut, whatever else is wrong.
            let mechanism = routes.mechanism(whole(Way::Partition, true, self.limits));
            routes.join(mechanism);
            return Ok(());
        };
        let is = |what: u16| routes.iter().find(|(_, route)| route.pool & what != 0);
        let other_table = is(like::TABLE).map(|(place, _)| place);
        let count = routes.iter().count();
        let has_condition = routes.iter().any(|(_, route)| conditional(route.mechanism));
        // Of a condition by itself the server sees to it that it is on one partition.
        let spreads = is(like::SPREADS).filter(|_| count > 1 || !has_condition);
        let elsewhere = || routes.iter().find(|(_, route)| route.group != first.group);
        let other_partition = spreads.or_else(elsewhere).map(|(place, _)| place);
        let on_other = match spreads {
            Some(_) => "its markers do not tell that it is on one partition",
            None if is(like::STATEMENT).is_some() => {
                "it is on another partition than the first, as far as markers tell"
            }
            None => "it is on another partition than the first",
        };
        if let Some((place, _)) = routes.iter().find(|(_, route)| Some(route.mechanism) == counter)
        {
            return refuse(place, "counter updates are applied one by one; use another guarantee");
        }
        if isolated && !has_condition {
            let elsewhere = other_partition.map(|place| (place, on_other));
            let other_table =
                other_table.map(|place| (place, "it is on another table than the first"));
            if let Some((place, why)) = elsewhere.or(other_table) {
                let only = "only one partition of one table can be written isolated";
                return refuse(place, &format!("{why}, and {only}"));
            }
        }
        let way = if has_condition {
            if let Some(place) = other_table {
                return refuse(
                    place,
                    "conditions and writes of one batch are on one table; put those on others into a batch of their own",
                );
            }
            if let Some(place) = other_partition {
                return refuse(
                    place,
                    &format!(
                        "{on_other}, and conditions and writes of one batch are on one partition; put those on others into a batch of their own"
                    ),
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
            Way::Logged
        } else if other_partition.is_none() {
            if count == 1 { Way::Single } else { Way::Partition }
        } else {
            let place = other_partition.unwrap_or_default();
            if terms.batch_type == Some(BatchType::Unlogged) {
                return refuse(
                    place,
                    &format!(
                        "{on_other}, and an unlogged batch is whole on one partition only; leave the batch type out"
                    ),
                );
            }
            if !self.logged {
                return refuse(
                    place,
                    &format!(
                        "{on_other}, and this server takes no logged batches; use another guarantee"
                    ),
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
        let by_condition = matches!(way, Way::Condition | Way::Conditions);
        if let Some(Swept { place, by, is_told }) = swept(routes, by_condition) {
            let (number, deletes) = (place + 1, by + 1);
            if is_told && by_condition {
                let reason = format!(
                    "it deletes the partition that operation {number} writes to, and beside a condition that is done before all else; commit it in a batch of its own, behind that"
                );
                return refuse(by, &reason);
            }
            if is_told {
                let reason = format!(
                    "it writes to the partition that operation {deletes} deletes, and of what has one time a deletion wins; commit it in a batch of its own, behind that"
                );
                return refuse(place, &reason);
            }
            let wins = if by_condition {
                "before it writes, that stays: beside a condition the deletion is done first"
            } else {
                "behind it writes, the deletion wins, since both have one time"
            };
            routes.warn(format!(
                "operation {deletes} deletes what no key names: if that is what operation {number} or another one {wins}"
            ));
        }
        if has_condition && let Some((place, kind, why)) = never_holds(routes) {
            let message = format!(
                "all-or-nothing is refused on cql: operation {}: {why}, so that the whole can never be written; leave one of the two out",
                place + 1
            );
            return Err(Error::new(kind, message));
        }
        if terms.batch_type == Some(BatchType::Counter) {
            return refuse(0, "a counter batch is not applied as a whole; use another guarantee");
        }
        let mut mechanism = whole(way, other_partition.is_none(), self.limits);
        let statements = ways.known(Ride::Apart);
        mechanism.stamped = !matches!(way, Way::Condition | Way::Conditions)
            && routes.iter().all(|(_, route)| Some(route.mechanism) != statements);
        mechanism.why = why_whole(way, other_partition.map(|place| (place, on_other)), other_table);
        // The server counts a partition of a table once, and routes have none of it.
        mechanism.overhead = partitions.saturating_mul(PER_PARTITION);
        let bytes: u64 = routes.iter().map(|(_, route)| u64::from(route.bytes)).sum();
        let bytes = bytes + u64::from(mechanism.overhead);
        let warn = self.limits.warn_bytes;
        if way == Way::Logged
            && other_partition.is_some()
            && bytes > u64::try_from(warn).unwrap_or(u64::MAX)
        {
            routes.warn(format!(
                "the logged batch has {bytes} bytes, and the server warns of more than {warn}: such batches are a load on it"
            ));
        }
        let mechanism = routes.mechanism(mechanism);
        routes.join(mechanism);
        Ok(())
    }
}

/// In how many partitions of tables the operations are; `None` if they are more writes than one request takes. Those
/// on a key are made one.
fn partitions(routes: &Routes) -> Option<u32> {
    let mut partitions: HashSet<(u64, u16), FixedState> = HashSet::default();
    let mut keys: HashSet<u64, FixedState> = HashSet::default();
    let mut unkeyed = 0;
    for (_, route) in routes.iter() {
        partitions.insert((route.group, route.pool & like::TABLE));
        match route.key {
            Some(key) => _ = keys.insert(key.get()),
            None => unkeyed += 1,
        }
        if keys.len() + unkeyed > usize::from(u16::MAX) {
            return None;
        }
    }
    u32::try_from(partitions.len()).ok()
}

/// Why an all-or-nothing batch travels so, where its name does not say it.
fn why_whole(
    way: Way,
    other_partition: Option<(usize, &str)>,
    other_table: Option<usize>,
) -> Option<Cow<'static, str>> {
    let text = match (way, other_partition, other_table) {
        (Way::Logged, Some((place, on_other)), _) => format!(
            "operation {}: {on_other}, and the batch log sees to it that all of it is written",
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

/// The first operation that another one on its key makes fail, whatever is in the store, and how.
fn never_holds(routes: &Routes) -> Option<(usize, ErrorKind, &'static str)> {
    let mut is_there: HashMap<u64, bool, FixedState> = HashMap::default();
    routes.iter().find_map(|(place, route)| {
        let is = |what: u16| route.pool & what != 0;
        match is_there.insert(route.key?.get(), !is(like::DELETES))? {
            true if is(like::NEEDS_NO_ROW) => {
                Some((place, ErrorKind::AlreadyExists, "one before it takes its key"))
            }
            false if is(like::NEEDS_ROW) => {
                Some((place, ErrorKind::NotFound, "one before it deletes its row"))
            }
            _ => None,
        }
    })
}

/// An operation that writes where a statement deletes without naming the row, in the order in which one of the two is lost.
struct Swept {
    place: usize,
    by: usize,
    /// Whether all of the partition is deleted that it writes to; else it may be that the row is.
    is_told: bool,
}

/// The first one that is told to be swept, or else may be. Both have the request's timestamp, and a deletion wins over what
/// is written behind it. Where there is a condition it is the other way round: the server takes a microsecond from
/// deletions of partitions and ranges, so that what is written before them stays.
fn swept(routes: &Routes, by_condition: bool) -> Option<Swept> {
    let sweeps = |route: &Route| route.pool & like::SWEEPS == like::SWEEPS && route.key.is_none();
    if !routes.iter().any(|(_, route)| sweeps(route)) {
        return None;
    }
    let mut order: Vec<_> = routes.iter().collect();
    if by_condition {
        order.reverse();
    }
    // By partition and table: the first statement, and whether one of them deletes all of it.
    let mut in_partition: HashMap<(u64, u16), (usize, bool), FixedState> = HashMap::default();
    // By table: the first that may be about any partition, and the first of all.
    let mut anywhere: HashMap<u16, usize, FixedState> = HashMap::default();
    let mut any: HashMap<u16, usize, FixedState> = HashMap::default();
    let mut may_be = None;
    for (place, route) in order {
        let is = |what: u16| route.pool & what == what;
        let table = route.pool & like::TABLE;
        if is(like::OWN_TIME) {
            continue;
        }
        if sweeps(route) {
            any.entry(table).or_insert(place);
            if is(like::SPREADS) {
                anywhere.entry(table).or_insert(place);
                continue;
            }
            let whole = is(like::WHOLE_PARTITION);
            let known = in_partition.entry((route.group, table)).or_insert((place, whole));
            if whole && !known.1 {
                *known = (place, true);
            }
            continue;
        }
        if is(like::DELETES) || any.is_empty() {
            continue;
        }
        let of_partition = in_partition.get(&(route.group, table));
        if let Some((by, true)) = of_partition {
            return Some(Swept { place, by: *by, is_told: true });
        }
        // A statement's text may hold its key.
        let is_anywhere = is(like::STATEMENT) && route.key.is_none();
        let by = of_partition
            .map(|(by, _)| by)
            .or_else(|| anywhere.get(&table))
            .or_else(|| any.get(&table).filter(|_| is_anywhere));
        if may_be.is_none()
            && let Some(by) = by
        {
            may_be = Some(Swept { place, by: *by, is_told: false });
        }
    }
    may_be
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
