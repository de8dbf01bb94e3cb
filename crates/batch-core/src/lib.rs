//! Batches that tell, for each operation, whether it is in the store: the core of unibatch.
//!
//! A user's [`Store`] opens a [`Batch`]; operations are queued and committed together; each
//! [`Job`] ends in exactly one of four answers, and the [`Report`] counts them. The way of the
//! data is the order of the modules: queue, plan, commit (encode, send and decode are the
//! backend's), settle, callbacks.
//!
//! | terminal status | is it in the store? |
//! |---|---|
//! | [`JobStatus::Applied`] | yes |
//! | [`JobStatus::NotApplied`] | no, and it never will be by this commit |
//! | [`JobStatus::Accepted`] | it will be |
//! | [`JobStatus::Unknown`] | it cannot be told |
//!
//! | operation | means |
//! |---|---|
//! | [`insert`](Operation::insert) | create; `AlreadyExists` if the key is taken |
//! | [`put`](Operation::put) | create or replace whole |
//! | [`upsert`](Operation::upsert) | create or merge top-level attributes |
//! | [`replace`](Operation::replace) | replace whole; `NotFound` if absent |
//! | [`update`](Operation::update) | merge top-level attributes; `NotFound` if absent |
//! | [`delete`](Operation::delete) | absent afterwards; no error if it already was |
//! | [`delete_existing`](Operation::delete_existing) | absent afterwards; `NotFound` if it already was |
//! | [`get`](Operation::get) | read one |
//!
//! Null and absent read the same. Operations on one key are applied in program order, always.
//!
//! Authors of backends start at [`seam`].
//!
//! | feature | enables | brings |
//! |---|---|---|
//! | `metrics` | counters and histograms of commits | `metrics` |

mod backend;
mod batch;
mod callback;
mod capabilities;
mod commit;
mod engine;
mod error;
mod job;
mod json;
mod key;
mod metrics;
mod open;
mod operation;
mod options;
mod outcome;
mod plan;
mod queue;
mod report;
mod store;
mod table;

pub use batch::{Batch, BatchExt, BatchState, QueueOptions, Rejected};
pub use callback::{BoxFuture, Callback, CallbackResult, JobCallback};
pub use capabilities::{Capabilities, Server};
pub use error::{Error, ErrorKind, Fate, Result};
pub use job::{Ended, Job, JobStatus, Jobs, Progress};
pub use key::{Key, KeyRef, KeyValue, MAX_PART_NAME};
pub use operation::{
    FormError, JsonStatement, Language, NativeStatement, Operation, OperationOptions, OperationRef,
    Returning, Verb,
};
pub use options::{
    BatchOptions, BatchType, Clock, Guarantee, OnCancel, OnError, StoreOptions, SystemClock,
};
pub use outcome::Outcome;
pub use plan::{Plan, PlannedChunk};
pub use report::{CallbackFailure, KEPT_ERRORS, MechanismUse, Report};
pub use store::{OpenBatch, Scoped, Store, StoreExt};

/// What authors of backends need besides the types that users see.
///
/// Implement [`Backend`](seam::Backend), wrap it in an [`Engine`](seam::Engine), and run the
/// conformance suite on it. `batch-memory` is the backend to copy.
pub mod seam {
    pub use crate::backend::{
        Answers, Backend, Chunk, KeyId, Mechanism, MechanismId, Pooled, ROOM_FOR_ATTEMPTS, Repeats,
        Route, Routes, Shape, Terms, View,
    };
    pub use crate::engine::Engine;
}
