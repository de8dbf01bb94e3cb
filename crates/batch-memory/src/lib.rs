//! The embedded store of unibatch: a real store for small needs, the reference that other backends
//! are measured by, and a place to test your own service against what goes wrong.
//!
//! It has every portable operation and every guarantee. [`MemoryStore::builder`] lets it imitate
//! another store's capabilities and ceilings, keeps a log of what was sent, and injects [faults](Fault).
//!
//! ```
//! use batch_core::{BatchExt, BatchOptions, JobStatus, Operation, Store};
//! use batch_memory::{Fault, MemoryStore};
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! // The first request is applied, but its answer is lost.
//! let store = MemoryStore::builder().faults([Fault::DropAfter]).build();
//! let mut batch = store.batch(BatchOptions::new())?;
//! let job = batch.queue(Operation::insert("students").at("Abby").doc(&json!({"age": 20})))?;
//! batch.commit().await?;
//!
//! assert!(matches!(job.status(), JobStatus::Unknown(_)));
//! assert_eq!(store.document("students", "Abby"), Some(json!({"_key": "Abby", "age": 20})));
//! # Ok::<(), batch_core::Error>(())
//! # }).unwrap();
//! ```
//!
//! This crate uses only the core's public API. To write a backend, copy it: `backend.rs` is the
//! table of contents, `encode.rs` and `tables.rs` are what your database replaces.

mod backend;
mod builder;
mod encode;
mod fault;
mod instrumented;
mod log;
mod store;
mod tables;

pub use backend::MemoryBackend;
pub use builder::{Imitation, MemoryBuilder};
pub use fault::{Fault, Faults};
pub use instrumented::Instrumented;
pub use log::{Log, LoggedOperation, SentChunk};
pub use store::MemoryStore;
