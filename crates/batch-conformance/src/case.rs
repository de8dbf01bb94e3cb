//! A case: a sentence of the contract, what a store must declare for it, and the proof.

use std::fmt;

use batch_core::{BoxFuture, Capabilities, Guarantee, OnError};

use crate::Context;

/// One case of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The topic and a sentence of behaviour, such as `verbs::delete_of_what_is_absent_is_applied`.
    pub name: &'static str,
    /// The sentence of the contract that it proves.
    pub doc: &'static str,
    /// What the store must declare, or the harness supply; else the case is ignored.
    pub requires: &'static [Requirement],
    /// Panics if the sentence does not hold.
    pub run: fn(Context) -> BoxFuture<'static, ()>,
}

/// What a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// [`Capabilities::reads`].
    Reads,
    /// [`Capabilities::conditions`].
    Conditions,
    /// [`Capabilities::revisions`].
    Revisions,
    /// [`Capabilities::ttl`].
    Ttl,
    /// [`Capabilities::timestamps`].
    Timestamps,
    /// No [`Capabilities::timestamps`]: nothing but the order of sending keeps the order on a key.
    NoTimestamps,
    /// [`Capabilities::returning`].
    Returning,
    /// [`Capabilities::ordered`].
    Ordered,
    /// [`Capabilities::all_or_nothing`].
    AllOrNothing,
    /// [`Capabilities::isolated`].
    Isolated,
    /// [`Harness::string_form_keys`](crate::Harness::string_form_keys).
    StringFormKeys,
    /// [`Harness::backend`](crate::Harness::backend).
    Faults,
    /// [`Harness::conflict_next`](crate::Harness::conflict_next).
    Conflicts,
    /// [`Time::Paused`](crate::Time::Paused).
    PausedClock,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reads => "reads",
            Self::Conditions => "conditions",
            Self::Revisions => "revisions",
            Self::Ttl => "times to live",
            Self::Timestamps => "write timestamps",
            Self::NoTimestamps => "no write timestamps",
            Self::Returning => "returning",
            Self::Ordered => "ordered",
            Self::AllOrNothing => "all-or-nothing",
            Self::Isolated => "isolation",
            Self::StringFormKeys => "keys by string form",
            Self::Faults => "a backend that can be wrapped",
            Self::Conflicts => "conflicts on demand",
            Self::PausedClock => "a paused clock",
        })
    }
}

/// What is known of a store before any case runs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) capabilities: Capabilities,
    pub(crate) string_form_keys: bool,
    pub(crate) faults: bool,
    pub(crate) conflicts: bool,
    pub(crate) paused_clock: bool,
}

impl Facts {
    pub(crate) fn meet(&self, requirement: Requirement) -> bool {
        let can = &self.capabilities;
        let gives = |guarantee| can.mechanism(guarantee).is_some();
        match requirement {
            Requirement::Reads => can.reads,
            Requirement::Conditions => can.conditions,
            Requirement::Revisions => can.revisions,
            Requirement::Ttl => can.ttl,
            Requirement::Timestamps => can.timestamps,
            Requirement::NoTimestamps => !can.timestamps,
            Requirement::Returning => can.returning,
            Requirement::Ordered => gives(Guarantee::Ordered { on_error: OnError::Stop }),
            Requirement::AllOrNothing => gives(Guarantee::AllOrNothing { isolated: false }),
            Requirement::Isolated => gives(Guarantee::AllOrNothing { isolated: true }),
            Requirement::StringFormKeys => self.string_form_keys,
            Requirement::Faults => self.faults,
            Requirement::Conflicts => self.conflicts,
            Requirement::PausedClock => self.paused_clock,
        }
    }
}

/// A row of a topic's table: `case!(topic, function, [requirements], "sentence")`.
macro_rules! case {
    ($topic:ident, $name:ident, [$($requirement:ident),*], $doc:expr $(,)?) => {
        $crate::Case {
            name: concat!(stringify!($topic), "::", stringify!($name)),
            doc: $doc,
            requires: &[$($crate::Requirement::$requirement),*],
            run: |context| Box::pin($name(context)),
        }
    };
}
pub(crate) use case;
