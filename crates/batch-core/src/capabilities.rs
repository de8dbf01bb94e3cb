//! What a store can do, as data that can be asked before anything is queued.

use std::borrow::Cow;

use crate::{BatchType, Guarantee, OnError};

/// What a store can do. The conformance suite proves each declared one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// `get` can be queued.
    pub reads: bool,
    /// `insert`, `replace`, `update` and `delete_existing` can be queued.
    pub conditions: bool,
    /// `.if_revision(…)` is understood.
    pub revisions: bool,
    /// `.ttl(…)` is understood.
    pub ttl: bool,
    /// `.timestamp(…)` is understood.
    pub timestamps: bool,
    /// `.returning(…)` is understood.
    pub returning: bool,
    /// The kinds of batch that can be forced.
    pub batch_types: Cow<'static, [BatchType]>,
    /// The mechanism for [`Guarantee::BestEffort`].
    pub best_effort: Option<Cow<'static, str>>,
    /// The mechanism for [`Guarantee::Ordered`].
    pub ordered: Option<Cow<'static, str>>,
    /// The mechanism for [`Guarantee::Ordered`] that stops, where it is another one.
    pub ordered_stop: Option<Cow<'static, str>>,
    /// The mechanism for [`Guarantee::AllOrNothing`]; `None` if it is refused.
    pub all_or_nothing: Option<Cow<'static, str>>,
    /// The mechanism for [`Guarantee::AllOrNothing`] with `isolated`; `None` if it is refused.
    pub isolated: Option<Cow<'static, str>>,
    /// The most bytes (key and document, or values) of one operation, where a limit is known.
    pub max_operation_bytes: Option<usize>,
}

impl Capabilities {
    /// The mechanism that would give a guarantee, or `None` if the store refuses it. A plan names
    /// the one that a batch really gets.
    #[must_use]
    pub fn mechanism(&self, guarantee: Guarantee) -> Option<&str> {
        match guarantee {
            Guarantee::BestEffort => self.best_effort.as_deref(),
            Guarantee::Ordered { on_error: OnError::Stop } => {
                self.ordered_stop.as_deref().or(self.ordered.as_deref())
            }
            Guarantee::Ordered { .. } => self.ordered.as_deref(),
            Guarantee::AllOrNothing { isolated: false } => self.all_or_nothing.as_deref(),
            Guarantee::AllOrNothing { isolated: true } => self.isolated.as_deref(),
        }
    }
}

/// What answered a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// The product, such as `Cassandra`.
    pub name: String,
    /// Its version as it says itself.
    pub version: String,
    /// More facts, such as the protocol, by name.
    pub facts: Vec<(String, String)>,
}

impl Server {
    /// A server with no further facts.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), facts: Vec::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }
}
