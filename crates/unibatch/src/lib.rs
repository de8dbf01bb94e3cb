//! Batches that tell, for each operation, whether it is in the store: one API for ArangoDB,
//! Cassandra, ScyllaDB and an embedded memory store.
//!
//! ```
//! use serde_json::json;
//! use unibatch::prelude::*;
//!
//! // Queues only; knows nothing of the store.
//! fn enrol(batch: &mut dyn Batch) -> Result<Job> {
//!     batch.queue(Operation::insert("students").at("Abby").doc(&json!({"age": 20})))?;
//!     Ok(batch.queue(Operation::get("students").at("Abby"))?)
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let store = unibatch::connect("memory:").await?;
//! let mut batch = store.batch(BatchOptions::new())?;
//! let abby = enrol(&mut batch)?;
//!
//! let report = batch.commit().await?; // `Err` if and only if nothing was sent
//! assert_eq!((report.applied(), report.unknown()), (2, 0));
//! assert_eq!(abby.decode::<serde_json::Value>()?["age"], 20);
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```
//!
//! | terminal status | is it in the store? |
//! |---|---|
//! | [`JobStatus::Applied`] | yes |
//! | [`JobStatus::NotApplied`] | no, and it never will be by this commit |
//! | [`JobStatus::Accepted`] | it will be |
//! | [`JobStatus::Unknown`] | it cannot be told |
//!
//! [`Operation`] has the operations and what they mean, [`Guarantee`] what can be asked of a
//! batch, [`StoreUrl`] the URLs that [`connect`] takes.
//!
//! # Features
//!
//! | name | enables | brings |
//! |---|---|---|
//! | `memory` (default) | `memory:`, the embedded store, and the module `memory` with its switches for tests | nothing more |
//! | `arango` | `arango://…`, and the module `arango` with what only ArangoDB has | the HTTP client `reqwest` |
//! | `cql` | `cql://…`, and the module `cql` with what only CQL has | the driver `scylla` |
//! | `tls` | `arango+https://…` with `arango`, `cql+tls://…` with `cql` | rustls with AWS-LC, which needs a C compiler to build |
//!
//! A URL whose feature is off is refused with an error that names the feature.

mod backends;
pub mod prelude;
mod url;

pub use backends::connect;
#[cfg(feature = "arango")]
pub use batch_arango as arango;
pub use batch_core::{
    Batch, BatchExt, BatchOptions, BatchState, BatchType, BoxFuture, Callback, CallbackFailure,
    CallbackResult, Capabilities, Clock, Ended, Error, ErrorKind, Fate, FormError, Guarantee, Job,
    JobCallback, JobStatus, Jobs, JsonStatement, KEPT_ERRORS, Key, KeyRef, KeyValue, Language,
    MAX_PART_NAME, MechanismUse, NativeStatement, OnCancel, OnError, OpenBatch, Operation,
    OperationOptions, OperationRef, Outcome, Plan, PlannedChunk, Progress, QueueOptions, Rejected,
    Report, Result, Returning, Scoped, Server, Store, StoreExt, StoreOptions, SystemClock, Verb,
};
#[cfg(feature = "cql")]
pub use batch_cql as cql;
#[cfg(feature = "memory")]
pub use batch_memory as memory;
pub use url::{Host, Parameters, Scheme, StoreUrl};
