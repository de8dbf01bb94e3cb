//! The contract of unibatch as a table of cases, to be run on any backend.
//!
//! Each [`Case`] is a sentence of the contract with its proof. A case that needs what a store does
//! not declare is listed as ignored, with what is missing; a declared capability that does not
//! hold fails. The author of a backend supplies a [`Harness`] and a test without libtest:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```no_run
//! use std::{process::ExitCode, sync::Arc};
//!
//! use batch_conformance::{Harness, async_trait};
//! use batch_core::{Result, Store, StoreOptions, seam::{Backend, Engine}};
//! use batch_memory::MemoryStore;
//!
//! #[derive(Debug)]
//! struct Mine(MemoryStore);
//!
//! #[async_trait]
//! impl Harness for Mine {
//!     fn name(&self) -> &str {
//!         "mine"
//!     }
//!     async fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
//!         Ok(Arc::new(Engine::new(self.0.backend(), options)))
//!     }
//!     async fn backend(&self, _: &StoreOptions) -> Result<Option<Arc<dyn Backend>>> {
//!         Ok(Some(self.0.backend()))
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     batch_conformance::run(Mine(MemoryStore::new()))
//! }
//! ```
//!
//! A store with a schema also makes and removes the collections, see [`Harness`]. A store that
//! needs a server which cannot be had lists its cases by [`absent`].

mod case;
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by a panic, which the runner turns into its report"
)]
mod cases;
#[expect(clippy::expect_used, clippy::panic, reason = "a case fails by a panic")]
mod context;
mod harness;
mod probe;
mod runner;

pub use async_trait::async_trait;
pub use case::{Case, Requirement};
pub use cases::CASES;
pub use context::{Context, Wrapped};
pub use harness::{Harness, Time};
pub use probe::{Point, Probe};
pub use runner::{absent, conclude, prove, run, trials, trials_of};
