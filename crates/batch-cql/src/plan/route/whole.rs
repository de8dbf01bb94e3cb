//! All-or-nothing: the one way that takes all of a batch, or why there is none.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use batch_core::{
    BatchType, Error, ErrorKind, Guarantee, Result,
    seam::{Route, Routes, Terms},
};
use foldhash::fast::FixedState;

use super::{
    Router,
    likeness::like,
    swept::{Swept, swept},
};
use crate::plan::{
    size::PER_PARTITION,
    way::{Ride, Way, Ways, whole},
};

impl Router<'_> {
    /// The one way of an all-or-nothing batch, or why there is none.
    pub(super) fn together(
        &self,
        ways: &Ways<'_>,
        terms: Terms,
        routes: &mut Routes,
    ) -> Result<()> {
        if routes.iter().next().is_none() {
            return Ok(());
        }
        let Some(partitions) = partitions(routes) else {
            // Refused for that when it is cut, whatever else is wrong.
            let mechanism = routes.mechanism(whole(Way::Partition, true, self.limits));
            routes.join(mechanism);
            return Ok(());
        };
        let about = Whole::of(ways, routes);
        let way = self.way_of(&about, terms)?;
        check_keys(routes, way)?;
        if let Some(warning) = check_swept(routes, way)? {
            routes.warn(warning);
        }
        if about.has_condition
            && let Some((place, kind, why)) = never_holds(routes)
        {
            return Err(refused(
                kind,
                place,
                &format!("{why}, so that the whole can never be written; leave one of the two out"),
            ));
        }
        if terms.batch_type == Some(BatchType::Counter) {
            return unsupported(
                0,
                "a counter batch is not applied as a whole; use another guarantee",
            );
        }
        let mut mechanism = whole(way, about.other_partition.is_none(), self.limits);
        mechanism.stamped = !way.is_conditional() && !about.has_statements;
        mechanism.why = about.why(way);
        // The server counts a partition of a table once, and routes have none of it.
        mechanism.overhead = partitions.saturating_mul(PER_PARTITION);
        let bytes: u64 = routes.iter().map(|(_, route)| u64::from(route.bytes)).sum();
        let bytes = bytes + u64::from(mechanism.overhead);
        let warn = self.limits.warn_bytes;
        if way == Way::Logged
            && about.other_partition.is_some()
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

    /// The way that keeps what was asked for.
    fn way_of(&self, about: &Whole, terms: Terms) -> Result<Way> {
        let isolated = matches!(terms.guarantee, Guarantee::AllOrNothing { isolated: true });
        let one = |one: Way, several: Way| if about.operations == 1 { one } else { several };
        if let Some(place) = about.counter {
            return unsupported(
                place,
                "counter updates are applied one by one; use another guarantee",
            );
        }
        if about.has_condition {
            about.check_condition()?;
            return Ok(one(Way::Condition, Way::Conditions));
        }
        if isolated {
            let on_other_table =
                about.other_table.map(|place| (place, "it is on another table than the first"));
            if let Some((place, why)) = about.other_partition.or(on_other_table) {
                let only = "only one partition of one table can be written isolated";
                return unsupported(place, &format!("{why}, and {only}"));
            }
        }
        let forced = terms.batch_type;
        match about.other_partition {
            _ if forced == Some(BatchType::Logged) => Ok(Way::Logged),
            None => Ok(one(Way::Single, Way::Partition)),
            Some((place, why)) if forced == Some(BatchType::Unlogged) => unsupported(
                place,
                &format!(
                    "{why}, and an unlogged batch is whole on one partition only; leave the batch type out"
                ),
            ),
            Some((place, why)) if !self.logged => unsupported(
                place,
                &format!("{why}, and this server takes no logged batches; use another guarantee"),
            ),
            Some(_) => Ok(Way::Logged),
        }
    }
}

/// What decides on the way of a whole batch: the places of operations that ask for something.
struct Whole {
    operations: usize,
    has_condition: bool,
    /// Whether there are statements without a condition.
    has_statements: bool,
    counter: Option<usize>,
    own_time: Option<usize>,
    /// On another table than the first.
    other_table: Option<usize>,
    /// On another partition than the first, and how that is known.
    other_partition: Option<(usize, &'static str)>,
}

impl Whole {
    fn of(ways: &Ways<'_>, routes: &Routes) -> Self {
        let find = |is: &dyn Fn(&Route) -> bool| {
            routes.iter().find(|(_, route)| is(route)).map(|(place, _)| place)
        };
        let by = |ride: Ride| {
            let mechanism = ways.known(ride)?;
            find(&|route| route.mechanism == mechanism)
        };
        let is = |what: u16| find(&|route| route.pool & what != 0);
        let operations = routes.iter().count();
        let has_condition = by(Ride::Condition).or_else(|| by(Ride::NativeCondition)).is_some();
        // Of a condition by itself the server sees to it that it is on one partition.
        let spreads = is(like::SPREADS).filter(|_| operations > 1 || !has_condition);
        let first = routes.iter().next().map(|(_, route)| route.group);
        let other_partition = match spreads {
            Some(place) => Some((place, "its markers do not tell that it is on one partition")),
            None => find(&|route| Some(route.group) != first).map(|place| {
                let why = match is(like::STATEMENT) {
                    Some(_) => "it is on another partition than the first, as far as markers tell",
                    None => "it is on another partition than the first",
                };
                (place, why)
            }),
        };
        Self {
            operations,
            has_condition,
            has_statements: by(Ride::Apart).is_some(),
            counter: by(Ride::Counter),
            own_time: is(like::OWN_TIME),
            other_table: is(like::TABLE),
            other_partition,
        }
    }

    /// Refuses what the server does not take beside a condition.
    fn check_condition(&self) -> Result<()> {
        if let Some(place) = self.other_table {
            return unsupported(
                place,
                "conditions and writes of one batch are on one table; put those on others into a batch of their own",
            );
        }
        if let Some((place, why)) = self.other_partition {
            return unsupported(
                place,
                &format!(
                    "{why}, and conditions and writes of one batch are on one partition; put those on others into a batch of their own"
                ),
            );
        }
        if let Some(place) = self.own_time {
            return unsupported(
                place,
                "it has a timestamp of its own, and a batch with a condition is written at the server's time; leave the timestamp out, or commit it in a batch of its own",
            );
        }
        Ok(())
    }

    /// Why the batch travels so, where the way's name does not say it.
    fn why(&self, way: Way) -> Option<Cow<'static, str>> {
        let text = match (way, self.other_partition, self.other_table) {
            (Way::Logged, Some((place, why)), _) => format!(
                "operation {}: {why}, and the batch log sees to it that all of it is written",
                place + 1
            ),
            (Way::Logged, None, _) => {
                return Some("the batch is forced to be logged, though it is one partition".into());
            }
            (Way::Partition, _, Some(place)) => format!(
                "operation {} is on another table, with the same partition key in the same keyspace, which is one mutation all the same",
                place + 1
            ),
            (Way::Conditions, ..) => {
                return Some("a condition that is false keeps all of it from being written, as all-or-nothing asks".into());
            }
            _ => return None,
        };
        Some(text.into())
    }
}

fn refused(kind: ErrorKind, place: usize, reason: &str) -> Error {
    Error::new(kind, format!("all-or-nothing is refused on cql: operation {}: {reason}", place + 1))
}

fn unsupported<T>(place: usize, reason: &str) -> Result<T> {
    Err(refused(ErrorKind::Unsupported, place, reason))
}

/// Refuses operations on one key that cannot be made one write.
fn check_keys(routes: &Routes, way: Way) -> Result<()> {
    let unfit =
        if way.is_conditional() { like::STATEMENT | like::OWN_OPTIONS } else { like::STATEMENT };
    if !routes.iter().any(|(_, route)| route.pool & unfit != 0) {
        return Ok(());
    }
    match not_one_write(routes, unfit) {
        None => Ok(()),
        Some(place) => unsupported(
            place,
            "it meets another one on its key in this batch, and the two cannot be made one write; commit them one after another",
        ),
    }
}

/// Refuses what is certainly deleted by a statement of the batch, and warns of what may be.
fn check_swept(routes: &Routes, way: Way) -> Result<Option<String>> {
    let by_condition = way.is_conditional();
    let Some(Swept { place, by, is_told }) = swept(routes, by_condition) else { return Ok(None) };
    let (number, deletes) = (place + 1, by + 1);
    if is_told && by_condition {
        return unsupported(
            by,
            &format!(
                "it deletes the partition that operation {number} writes to, and beside a condition that is done before all else; commit it in a batch of its own, behind that"
            ),
        );
    }
    if is_told {
        return unsupported(
            place,
            &format!(
                "it writes to the partition that operation {deletes} deletes, and of what has one time a deletion wins; commit it in a batch of its own, behind that"
            ),
        );
    }
    let wins = if by_condition {
        "before it writes, that stays: beside a condition the deletion is done first"
    } else {
        "behind it writes, the deletion wins, since both have one time"
    };
    Ok(Some(format!(
        "operation {deletes} deletes what no key names: if that is what operation {number} or another one {wins}"
    )))
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

/// The last operation on a key that cannot be made one write of with another, if one is like this.
fn not_one_write(routes: &Routes, unfit: u16) -> Option<usize> {
    let mut on_key: HashMap<u64, bool, FixedState> = HashMap::default();
    routes.iter().find_map(|(place, route)| {
        let is_unfit = route.pool & unfit != 0;
        let before = on_key.insert(route.key?.get(), is_unfit);
        before.filter(|before| *before || is_unfit).map(|_| place)
    })
}
