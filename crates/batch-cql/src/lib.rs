//! Cassandra and ScyllaDB for unibatch, over the native protocol.
//!
//! [`CqlStore::builder`] connects. A [`CqlStore`] takes every portable operation but reads in a
//! batch, statements of CQL as [`Operation::cql`](batch_core::Operation::cql), and statements
//! with values of your own types as [`CqlStatement`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use batch_core::{BatchExt, BatchOptions, Operation, Store};
//! use batch_cql::CqlStore;
//! use serde_json::json;
//!
//! let store = CqlStore::builder().contact_point("localhost").keyspace("school").connect().await?;
//! let mut batch = store.batch(BatchOptions::new())?;
//! batch.queue(Operation::insert("students").key("id", "Abby").doc(&json!({"age": 20})))?;
//! let report = batch.commit().await?; // `Err` if and only if nothing was sent
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | name | enables | brings |
//! |---|---|---|
//! | `tls` | connections over TLS | rustls with AWS-LC, which needs a C compiler to build |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod batch;
mod builder;
mod clock;
mod connection;
mod decode;
mod encode;
mod errors;
mod fold;
mod guard;
mod native;
#[cfg(test)]
mod on_server;
mod read;
mod replicas;
mod route;
mod row;
mod schema;
mod send;
mod server;
mod size;
mod statement;
mod store;
mod table;
mod typ;
mod way;
mod wire;

pub use batch::CqlBatch;
pub use builder::{CqlBuilder, Translate};
#[cfg(feature = "tls")]
pub use rustls;
pub use scylla::{
    client::{Compression, session::Session},
    statement::{Consistency, SerialConsistency},
};
pub use statement::CqlStatement;
pub use store::CqlStore;
