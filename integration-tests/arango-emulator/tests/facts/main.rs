//! What is known of the server, one fact a test. Where a fact comes from is said with it: a file of
//! arangod's source, one of its own tests, or a chapter of the public documentation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod aql;
mod arrays;
mod auth;
mod batch;
mod batch_verdicts;
mod documents;
mod graphs;
mod http;
mod routes;
#[path = "../support/mod.rs"]
mod support;
mod transactions;
