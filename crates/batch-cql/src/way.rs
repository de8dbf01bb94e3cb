//! The ways in which chunks travel to a CQL server, with their names in plans and reports.

use batch_core::seam::{Mechanism, MechanismId, Pooled, Repeats, Routes};

use crate::server::Limits;

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

    /// The way that a mechanism of this module stands for.
    pub(crate) fn of(mechanism: &Mechanism) -> Option<Self> {
        Self::ALL.into_iter().find(|way| mechanism.name == way.name())
    }
}

/// Statements in a batch of one partition: with more, throughput stays as it is, and more is lost by one failure.
const PARTITION_STATEMENTS: usize = 100;
/// Their bytes: far from what a server refuses, and enough for its best throughput.
pub(crate) const PARTITION_BYTES: usize = 256 << 10;
/// Groups smaller than this are put together: below it a request costs more than its rows.
const SMALL: u32 = 10;
/// Why partitions share a batch.
const WHY_SPREAD: &str = "partitions with the same replicas and fewer than 10 writes each share a request: one request each would cost more than the writes";

/// The mechanisms of one plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// Plain writes that are folded, of one partition.
    pub(crate) plain: MechanismId,
    /// Plain writes of one partition, of which none shares a chunk with another on its key.
    pub(crate) apart: MechanismId,
    /// All plain operations on one key, as one statement.
    pub(crate) folded_single: MechanismId,
    /// One operation's statement, whatever it is.
    pub(crate) single: MechanismId,
    /// All operations on one key, with a condition.
    pub(crate) condition: MechanismId,
    /// A statement of the user's with a condition.
    pub(crate) native_condition: MechanismId,
    /// Counter updates of one partition.
    pub(crate) counter: MechanismId,
}

impl Ways {
    /// Under best effort and in order. `logged` forces the batch log on plain writes.
    pub(crate) fn register(
        routes: &mut Routes,
        limits: &Limits,
        logged: bool,
        spread: bool,
    ) -> Self {
        let frame = |way: Way| {
            let mut mechanism = Mechanism::new(way.name());
            mechanism.max_bytes = limits.request_bytes();
            mechanism.exact_bytes = false;
            mechanism
        };
        let single = |repeats| {
            let mut mechanism = frame(Way::Single);
            (mechanism.max_operations, mechanism.repeats) = (1, repeats);
            mechanism.atomic = true;
            mechanism
        };
        let folded_single = routes.mechanism(single(Repeats::Folded));
        let lone = routes.mechanism(single(Repeats::Apart));
        let mut plain = |repeats, alone| {
            if logged {
                let mut mechanism = frame(Way::Logged);
                mechanism.max_bytes = limits.fail_bytes;
                mechanism.why =
                    Some("the batch is forced to be logged, whatever its partitions".into());
                (mechanism.repeats, mechanism.atomic) = (repeats, true);
                return routes.mechanism(mechanism);
            }
            let mut mechanism = frame(Way::Partition);
            mechanism.max_operations = PARTITION_STATEMENTS;
            mechanism.max_bytes = PARTITION_BYTES.min(mechanism.max_bytes);
            (mechanism.repeats, mechanism.atomic) = (repeats, true);
            mechanism.alone = Some(alone);
            if spread {
                let mut several = frame(Way::Spread);
                several.max_operations = PARTITION_STATEMENTS;
                several.max_bytes = limits.warn_bytes;
                several.repeats = repeats;
                several.why = Some(WHY_SPREAD.into());
                let several = routes.mechanism(several);
                mechanism.pooled = Some(Pooled::new(several, limits.warn_partitions, SMALL));
            }
            routes.mechanism(mechanism)
        };
        let (plain, apart) = (plain(Repeats::Folded, folded_single), plain(Repeats::Apart, lone));
        let condition = |repeats| {
            let mut mechanism = frame(Way::Condition);
            (mechanism.max_operations, mechanism.repeats) = (1, repeats);
            mechanism.max_bytes = limits.mutation_bytes.min(mechanism.max_bytes);
            mechanism
        };
        let mut counter = frame(Way::Counter);
        counter.max_operations = PARTITION_STATEMENTS;
        counter.max_bytes = limits.warn_bytes;
        Self {
            plain,
            apart,
            folded_single,
            single: lone,
            condition: routes.mechanism(condition(Repeats::Folded)),
            native_condition: routes.mechanism(condition(Repeats::Apart)),
            counter: routes.mechanism(counter),
        }
    }
}

/// A mechanism that takes a whole all-or-nothing batch.
pub(crate) fn whole(way: Way, limits: &Limits) -> Mechanism {
    let mut mechanism = Mechanism::new(way.name());
    mechanism.max_operations = usize::from(u16::MAX);
    mechanism.max_bytes = match way {
        Way::Logged => limits.fail_bytes,
        Way::Condition | Way::Conditions => limits.mutation_bytes.min(limits.request_bytes()),
        _ => limits.request_bytes(),
    };
    (mechanism.repeats, mechanism.atomic, mechanism.exact_bytes) = (Repeats::Folded, true, false);
    mechanism
}
