//! ArangoDB for unibatch: batches over HTTP, on servers with and without the multipart call.
//!
//! Services use it through [`unibatch`](https://docs.rs/unibatch) and an `arango://` URL; this crate
//! has what only ArangoDB has: [`ArangoBuilder`], [`ArangoBatch`], [`ArangoQuery`], [`ArangoRequest`].
//!
//! # How operations travel
//!
//! | mechanism | used for | keeps |
//! |---|---|---|
//! | `array call` | documents of one collection, verb and options, up to 1000 or 4 MiB | each for itself: one that is refused leaves its neighbours |
//! | `multipart call` | an ordered batch, and groups of fewer than 16, on servers that have it (before 3.12.3) | each for itself, one after another |
//! | `single request` | one operation, a query, a request, what is larger than 4 MiB; an ordered batch that stops | |
//! | `stream transaction` | all-or-nothing | all or none; others see none of it before the commit |
//!
//! What a server can do is found out by asking it, when the store connects and when it answers
//! otherwise than it should. A server that has lost the multipart call is noticed, and what was
//! to go by it is routed anew.
//!
//! # Documents and keys
//!
//! | operation | request |
//! |---|---|
//! | `insert` | `POST`, in conflict with what is there |
//! | `put` | `POST` with `overwriteMode=replace` |
//! | `upsert` | `POST` with `overwriteMode=update`, top-level attributes merged, nulls kept |
//! | `replace` | `PUT` |
//! | `update` | `PATCH`, top-level attributes merged, nulls kept |
//! | `delete`, `delete_existing` | `DELETE` |
//! | `get` | `GET`, or `PUT` with `onlyget` for many |
//!
//! A bare key is the document's `_key`. The string forms of named parts are joined to one, in the
//! order of their names, and each part is an attribute of its own too. A document may repeat them and
//! may not contradict them. `_id` and `_rev` in a document are left out unread, so what was read can be written, also to
//! another collection.
//!
//! # What an answer says
//!
//! `NotApplied` is said only where the server's number proves it, or where nothing has left: a
//! request's body leaves only once a connection has asked for it, so a server that cannot be reached is no
//! doubt. An answer that is cut, doubled, missing, or about something else is `Unknown`. The
//! commit of a transaction whose answer was lost is asked for once more before it is.

mod array;
mod backend;
mod batch;
mod builder;
mod cleaning;
mod encode;
mod errors;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod key;
mod multipart;
mod route;
mod send;
mod server;
mod statement;
mod store;

pub use batch::ArangoBatch;
pub use builder::ArangoBuilder;
pub use errors::ServerError;
pub use http::Auth;
/// The HTTP client, for [`ArangoBuilder::client`].
pub use reqwest;
pub use statement::{ArangoQuery, ArangoRequest};
pub use store::ArangoStore;
