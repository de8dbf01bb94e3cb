//! What the server keeps: databases with collections, and the transactions over them.

mod clock;
mod collection;
mod data;
mod database;
mod index;
mod keys;
mod scope;
mod transaction;
mod write;

pub(crate) use clock::revision_text;
pub(crate) use collection::{Collection, Kind};
pub(crate) use data::Document;
pub(crate) use database::Graph;
pub(crate) use index::Index;
pub(crate) use scope::{Scope, Store};
pub(crate) use transaction::{Mode, State as TransactionState};
pub(crate) use write::{Modify, Options, Overwrite, Written};
