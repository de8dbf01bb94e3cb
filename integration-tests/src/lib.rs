//! The suites that need more than one crate or a server: the contract's cases on every store, and
//! what real servers do when they stop, die and come back. The suites are in `tests`; this library
//! has what they share.
//!
//! # Servers
//!
//! A test that says CQL works talked to a real node. [`find_cassandra`] picks one, by itself:
//!
//! 1. the cluster that the environment variable `UNIBATCH_CQL_URL` names;
//! 2. the image `cassandra:5.0`, where a container engine has it or can pull it;
//! 3. a process, where there are JDK 17 and Maven, which downloads Cassandra's jars once.
//!
//! `UNIBATCH_CQL_SERVER=url`, `container` or `process` forces one of them. Where there is none, the
//! suites are listed as ignored, with what to install; under `CI` or with
//! `UNIBATCH_REQUIRE_SERVERS=1` they fail. Suites that stop and kill nodes start processes, always.
//!
//! ArangoDB is published as images alone, so its suites run on an emulator: [`ArangoServer`]. The same
//! suites run on the images where an engine has them or can pull them, and on the server that
//! `UNIBATCH_ARANGO_URL` names.
//!
//! Whatever is started ends with the program that started it, however that ends, and its data with it.

mod arango;
mod arango_harness;
mod cache;
mod certified;
mod container;
mod driver;
mod harness;
mod jars;
mod loopback;
mod node;
mod peers;
mod proxy;
mod ring;
mod source;
mod suite;
mod truth;
mod watchdog;

pub use arango::ArangoServer;
pub use arango_harness::ArangoHarness;
pub use certified::Certified;
pub use container::Container;
pub use driver::{connect, execute};
pub use harness::{CqlHarness, connect_store, make_keyspace, remove_keyspace};
pub use node::{Node, Settings};
pub use peers::Peer;
pub use proxy::FaultyNode;
pub use ring::Ring;
pub use source::{Cassandra, Source, find_cassandra, find_process, find_scylla};
pub use suite::{conclude_serially, ignored, is_listing, missing, trial};
pub use truth::{Things, Write};

/// What went wrong with a server, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of something done to a server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[expect(clippy::print_stderr, reason = "who waits for a download or a server sees why")]
pub(crate) fn tell(what: impl std::fmt::Display) {
    eprintln!("servers: {what}");
}
