//! The cluster that a store is connected to: what it is, what it takes, what time it has, and when its schema changes.

pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod replicas;
pub(crate) mod server;
pub(crate) mod watch;
