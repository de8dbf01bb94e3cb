//! What a program that queues and commits uses: `use unibatch::prelude::*;`.
//!
//! [`Result`] has this library's [`Error`] as its default error and still takes another one.

pub use batch_core::{
    Batch, BatchExt, BatchOptions, BatchState, BatchType, Error, ErrorKind, Guarantee, Job,
    JobStatus, Key, OnCancel, OnError, Operation, Outcome, Plan, Report, Result, Returning, Scoped,
    Store, StoreExt,
};
