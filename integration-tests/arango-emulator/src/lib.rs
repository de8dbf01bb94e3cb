//! A server that answers as ArangoDB's HTTP interface does: the same routes, bytes, errors and
//! limits, real storage behind them, and every fault that a test can ask for.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! use arango_emulator::Emulator;
//!
//! let server = Emulator::builder().version("3.11.14").auth("root", "passwd").start().await?;
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! It knows nothing of the library that it tests. What it does is what the public documentation, the
//! server's source and recordings of real servers say; where these are silent or disagree, the code
//! says so.
//!
//! # Faults
//!
//! A [`Rule`] names a [`Fault`] and the requests that have it; [`Armed::fired`] says whether it happened.
//! What is not of one request is switched: [`Emulator::switch`], [`Emulator::become_version`],
//! [`Emulator::conflict`], [`Emulator::stop`]. Clients that are not in this process do the same over HTTP:
//!
//! | request | does |
//! |---|---|
//! | `POST /_emulator/faults` | adds a rule, or each of an array |
//! | `GET`, `DELETE /_emulator/faults` | shows the rules and how often each fired; removes all |
//! | `POST /_emulator/release` | lets the answers go that are held |
//! | `GET`, `PATCH /_emulator/settings` | shows the [`Settings`] and the version; switches what is given |
//! | `POST /_emulator/conflicts` | `{"collection", "key", "times"}`: the next writes meet another one |
//! | `POST /_emulator/expire` | ends what is named: `{"transactions": true, "cursors": true, "tokens": true}` |
//! | `GET`, `DELETE /_emulator/requests` | shows the requests that were seen; forgets them |
//!
//! A rule is such as `{"fault": {"kind": "cut-body", "after": 10}, "when": {"path": "/_api/batch"}, "times": 2}`.
//! These requests need no password, have no faults themselves, and are not in the log.
//!
//! # The way of a request
//!
//! `connection` accepts, `wire` is the socket and its troubles, `service` turns HTTP into a request,
//! `server` looks at who asks and where, `api` has the routes, `storage` keeps what they write.

mod api;
mod aql;
mod auth;
mod connection;
mod control;
mod edit;
mod emulator;
mod errors;
mod fault;
mod frames;
mod json;
mod log;
mod payload;
mod reply;
mod request;
mod server;
mod service;
mod state;
mod storage;
mod version;
mod vpack;
mod wire;

pub use emulator::{Builder, Emulator};
pub use fault::{Armed, Edit, Fault, Rule, When};
pub use log::Seen;
pub use state::Settings;
pub use version::Version;
