//! All that a server knows, behind one lock: requests are answered one at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// What can be switched while an emulator runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Whether there is `/_api/batch`; none is as the version has it.
    pub batch: Option<bool>,
    /// `--server.harden`: the version is not told.
    pub harden: bool,
    /// The server says that it is a coordinator, and its collections that they are sharded.
    pub coordinator: bool,
    /// All shards of a database are on one server.
    pub one_shard: bool,
    /// Bytes of the largest body; a larger one is refused with 413.
    pub body_limit: u64,
    /// `--server.session-timeout`, in seconds.
    pub token_seconds: f64,
    /// `--transaction.streaming-idle-timeout`, in seconds.
    pub transaction_seconds: f64,
    /// `--transaction.streaming-max-transaction-size`; none is as the version has it.
    pub transaction_bytes: Option<usize>,
    /// Whether `x-arango-trx-id` in a part of a batch is heard: the source says so, the
    /// documentation says not.
    pub transactions_in_batches: bool,
    /// The server is starting: it answers its version and its status alone.
    pub starting: bool,
    /// What is said of the time that requests waited, in seconds.
    pub queue_seconds: f64,
    /// `--http.compress-response-threshold`; 0 is off.
    pub compress_threshold: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: None,
            harden: false,
            coordinator: false,
            one_shard: false,
            body_limit: 1 << 30,
            token_seconds: 3600.0,
            transaction_seconds: 60.0,
            transaction_bytes: None,
            transactions_in_batches: false,
            starting: false,
            queue_seconds: 0.0,
            compress_threshold: 0,
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

    /// Takes on other settings.
    pub(crate) fn change(&mut self, settings: Settings) {
        let idle = Duration::try_from_secs_f64(settings.transaction_seconds);
        self.store.transactions.idle = idle.unwrap_or(Duration::MAX);
        self.settings = settings;
    }

    pub(crate) fn batch_route(&self) -> BatchRoute {
        match (self.settings.batch, self.version.batch_route()) {
            (Some(false), _) => BatchRoute::Gone,
            (Some(true), BatchRoute::Gone) => BatchRoute::Late,
            (_, route) => route,
        }
    }

    pub(crate) fn transaction_ceiling(&self) -> usize {
        self.settings.transaction_bytes.unwrap_or(self.version.transaction_ceiling())
    }

    /// Whether this server's collections have shards.
    pub(crate) fn sharded(&self) -> bool {
        self.settings.coordinator
    }

    /// Whether JSON is written in ASCII, as the early generation does.
    pub(crate) fn escapes(&self) -> bool {
        !self.version.at_least(3, 12, 0)
    }
}
