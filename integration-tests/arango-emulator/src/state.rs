//! All that a server knows, behind one lock: requests are answered one at a time.

use std::time::Duration;

use crate::{
    api::{Cursors, Jobs},
    errors::Failure,
    reply::Reply,
    storage::Store,
    version::{BatchRoute, Version},
};

/// The server's own state.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) version: Version,
    pub(crate) store: Store,
    pub(crate) cursors: Cursors,
    pub(crate) jobs: Jobs<Reply>,
    pub(crate) settings: Settings,
    /// What starts a `globallyUniqueId`.
    pub(crate) server_id: String,
}

/// What can be switched while the server runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Overrides what the version has.
    pub(crate) batch_route: Option<bool>,
    /// `--server.harden`: the version is not told.
    pub(crate) harden: bool,
    pub(crate) coordinator: bool,
    pub(crate) one_shard: bool,
    pub(crate) body_limit: u64,
    /// `--server.session-timeout`
    pub(crate) token_lifetime: Duration,
    /// Whether `x-arango-trx-id` in a part of a batch is heard: the source says so, the
    /// documentation says not.
    pub(crate) transactions_in_batches: bool,
    /// Whether the server answers that it is starting, and nothing else.
    pub(crate) starting: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_route: None,
            harden: false,
            coordinator: false,
            one_shard: false,
            body_limit: 1 << 30,
            token_lifetime: Duration::from_secs(3600),
            transactions_in_batches: false,
            starting: false,
        }
    }
}

impl State {
    pub(crate) fn new(version: Version) -> Result<Self, Failure> {
        Ok(Self {
            version,
            store: Store::new()?,
            cursors: Cursors::default(),
            jobs: Jobs::default(),
            settings: Settings::default(),
            server_id: format!("h{:X}", fastrand::u64(1 << 40..)),
        })
    }

    pub(crate) fn batch_route(&self) -> BatchRoute {
        match (self.settings.batch_route, self.version.batch_route()) {
            (Some(false), _) => BatchRoute::Gone,
            (Some(true), BatchRoute::Gone) => BatchRoute::Late,
            (_, route) => route,
        }
    }

    /// The sharding of this server's collections, where they have one.
    pub(crate) fn sharded(&self) -> bool {
        self.settings.coordinator
    }

    /// Whether JSON is written in ASCII, as the early generation does.
    pub(crate) fn escapes(&self) -> bool {
        !self.version.at_least(3, 12, 0)
    }
}
