//! The ways in which chunks travel to a CQL server, with their names in plans and reports.

use batch_core::seam::{Mechanism, MechanismId, Pooled, Repeats, Routes};

use crate::cluster::server::Limits;

/// How a chunk travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One statement, by itself.
    Single,
    /// An unlogged batch of one partition, which is one mutation: applied whole, seen whole.
    Partition,
    /// An unlogged batch of several partitions.
    Spread,
    /// A batch through the batch log: all of it will be applied, or nothing is.
    Logged,
    /// One row with a condition on it.
    Condition,
    /// A batch of one partition with conditions, of which each must hold.
    Conditions,
    /// A batch of counter updates.
    Counter,
}

impl Way {
    const ALL: [Self; 7] = [
        Self::Single,
        Self::Partition,
        Self::Spread,
        Self::Logged,
        Self::Condition,
        Self::Conditions,
        Self::Counter,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Single => "single statement",
            Self::Partition => "single-partition batch",
            Self::Spread => "unlogged batch",
            Self::Logged => "logged batch",
            Self::Condition => "conditional statement",
            Self::Conditions => "conditional batch",
            Self::Counter => "counter batch",
        }
    }

    /// Whether it is for conditions.
    pub(crate) const fn is_conditional(self) -> bool {
        matches!(self, Self::Condition | Self::Conditions)
    }

    /// The way that a mechanism of this module stands for.
    pub(crate) fn of(mechanism: &Mechanism) -> Option<Self> {
        Self::ALL.into_iter().find(|way| mechanism.name == way.name())
    }
}

/// Statements in a batch of one partition. Of small rows, 500 take three quarters of the time and
/// two thirds of the client's processor that batches of 100 take; with more, throughput stays as
/// it is, and more is lost by one failure.
const PARTITION_STATEMENTS: usize = 500;
/// Their bytes: enough for the server's best throughput. With more, batches of one partition that
/// run side by side keep one another waiting, down to timeouts.
pub(crate) const PARTITION_BYTES: usize = 64 << 10;
/// With so many rows or fewer, four times as many requests are in flight: fewer packets take a fifth
/// of the client's processor off where rows are alone in their partition, and a tenth where fifty share
/// one. Larger batches of one partition gain nothing, and keep one another waiting.
const LIGHT: u32 = 50;
/// Statements in a batch of several partitions.
const SPREAD_STATEMENTS: usize = 100;
/// Counter updates in a batch: the server reads each counter before it writes it.
const COUNTER_STATEMENTS: usize = 100;
/// Groups smaller than this are put together: below it a request costs more than its rows.
const SMALL: u32 = 10;
/// From so many rows of a partition on, those that the server keeps beside one another travel
/// together: 5000 take two thirds of the time then, and 100,000 a third. With 1000 there was no
/// difference but the sorting, which costs some 60 ns a row.
const LARGE: u32 = 2000;
/// Why partitions share a batch.
const WHY_SPREAD: &str = "partitions with the same replicas and fewer than 10 writes each share a request: one request each would cost more than the writes";

/// Why plain writes travel through the batch log.
const WHY_LOGGED: &str = "the batch is forced to be logged, whatever its partitions";

/// What an operation asks of the request that it travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ride {
    /// Plain writes that are folded, of one partition.
    Plain,
    /// Plain writes of one partition, of which none shares a chunk with another on its key.
    Apart,
    /// All plain operations on one key, as one statement.
    FoldedSingle,
    /// One operation's statement, whatever it is.
    Single,
    /// All operations on one key, with a condition.
    Condition,
    /// A statement of the user's with a condition.
    NativeCondition,
    /// Counter updates of one partition.
    Counter,
    /// Deletions of what is counted, which do not commute with counting.
    Uncount,
}

/// The mechanisms of one plan, each made known when it is first asked for: most batches need one.
#[derive(Clone, Debug)]
pub(crate) struct Ways<'l> {
    limits: &'l Limits,
    /// Whether the batch log is forced on plain writes.
    logged: bool,
    /// Whether partitions may share a batch.
    spread: bool,
    known: [Option<MechanismId>; 8],
}

impl<'l> Ways<'l> {
    pub(crate) const fn new(limits: &'l Limits, logged: bool, spread: bool) -> Self {
        Self { limits, logged, spread, known: [None; 8] }
    }

    /// The mechanism of a ride.
    #[inline]
    pub(crate) fn of(&mut self, ride: Ride, routes: &mut Routes) -> MechanismId {
        match self.known(ride) {
            Some(known) => known,
            None => self.make_known(ride, routes),
        }
    }

    /// The mechanism of a ride, if somebody asked for it.
    #[inline]
    pub(crate) fn known(&self, ride: Ride) -> Option<MechanismId> {
        self.known.get(ride as usize).copied().flatten()
    }

    #[cold]
    fn make_known(&mut self, ride: Ride, routes: &mut Routes) -> MechanismId {
        let id = match ride {
            Ride::Plain => {
                let alone = self.of(Ride::FoldedSingle, routes);
                self.plain(Repeats::Folded, alone, routes)
            }
            Ride::Apart => {
                let alone = self.of(Ride::Single, routes);
                self.plain(Repeats::Apart, alone, routes)
            }
            Ride::FoldedSingle => routes.mechanism(self.single(Repeats::Folded)),
            Ride::Single => routes.mechanism(self.single(Repeats::Apart)),
            Ride::Condition => routes.mechanism(self.condition(Repeats::Folded)),
            Ride::NativeCondition => routes.mechanism(self.condition(Repeats::Apart)),
            Ride::Counter | Ride::Uncount => {
                let mut counter = self.frame(Way::Counter);
                counter.max_operations = COUNTER_STATEMENTS;
                if ride == Ride::Counter {
                    // They commute, so that none has to wait for another on its key.
                    counter.repeats = Repeats::Commuting;
                }
                routes.mechanism(counter)
            }
        };
        if let Some(known) = self.known.get_mut(ride as usize) {
            *known = Some(id);
        }
        id
    }

    fn frame(&self, way: Way) -> Mechanism {
        let mut mechanism = Mechanism::new(way.name());
        mechanism.max_bytes = self.limits.request_bytes();
        mechanism.exact_bytes = false;
        mechanism
    }

    fn single(&self, repeats: Repeats) -> Mechanism {
        let mut mechanism = self.frame(if self.logged { Way::Logged } else { Way::Single });
        mechanism.why = self.logged.then_some(WHY_LOGGED.into());
        (mechanism.max_operations, mechanism.repeats) = (1, repeats);
        (mechanism.atomic, mechanism.light) = (true, if self.logged { 0 } else { LIGHT });
        mechanism.stamped = is_stamped(repeats);
        mechanism
    }

    fn condition(&self, repeats: Repeats) -> Mechanism {
        let mut mechanism = self.frame(Way::Condition);
        (mechanism.max_operations, mechanism.repeats) = (1, repeats);
        // The server decides those on one partition one by one: side by side, each is tried again and
        // again, and eight take thirty times as long.
        mechanism.in_turn = true;
        mechanism
    }

    fn plain(&self, repeats: Repeats, alone: MechanismId, routes: &mut Routes) -> MechanismId {
        if self.logged {
            let mut mechanism = self.frame(Way::Logged);
            mechanism.max_bytes = self.limits.fail_bytes;
            mechanism.why = Some(WHY_LOGGED.into());
            (mechanism.repeats, mechanism.atomic) = (repeats, true);
            mechanism.stamped = is_stamped(repeats);
            return routes.mechanism(mechanism);
        }
        let mut mechanism = self.frame(Way::Partition);
        mechanism.max_operations = PARTITION_STATEMENTS;
        mechanism.max_bytes = PARTITION_BYTES.min(mechanism.max_bytes);
        (mechanism.repeats, mechanism.atomic) = (repeats, true);
        mechanism.stamped = is_stamped(repeats);
        mechanism.alone = Some(alone);
        (mechanism.by_position, mechanism.light) = (Some(LARGE), LIGHT);
        if self.spread {
            let mut several = self.frame(Way::Spread);
            several.max_operations = SPREAD_STATEMENTS;
            several.max_bytes = self.limits.warn_bytes;
            (several.repeats, several.light) = (repeats, LIGHT);
            several.stamped = is_stamped(repeats);
            several.why = Some(WHY_SPREAD.into());
            let several = routes.mechanism(several);
            mechanism.pooled = Some(Pooled::new(several, self.limits.warn_partitions, SMALL));
        }
        routes.mechanism(mechanism)
    }
}

/// Plain writes that are folded are those whose timestamps decide. Statements of the user's may do
/// what depends on when they come, such as a list that grows.
fn is_stamped(plain: Repeats) -> bool {
    plain == Repeats::Folded
}

/// A mechanism that takes a whole all-or-nothing batch, of one partition or of several.
pub(crate) fn whole(way: Way, is_one: bool, limits: &Limits) -> Mechanism {
    let mut mechanism = Mechanism::new(way.name());
    mechanism.max_operations = usize::from(u16::MAX);
    mechanism.max_bytes = match way {
        // Of one partition the server takes what a request has room for.
        Way::Logged if !is_one => limits.fail_bytes,
        _ => limits.request_bytes(),
    };
    mechanism.light = if matches!(way, Way::Single | Way::Partition) { LIGHT } else { 0 };
    (mechanism.repeats, mechanism.atomic, mechanism.exact_bytes) = (Repeats::Folded, true, false);
    mechanism
}
