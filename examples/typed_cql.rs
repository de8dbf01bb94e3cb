//! Statements of CQL with values of Rust's own types, in one batch with other operations.
//!
//! Needs a server, on which it makes the keyspace `unibatch_examples`:
//!
//! ```text
//! UNIBATCH_CQL_URL=cql://localhost cargo run -p unibatch-examples --bin typed_cql
//! ```

use std::{env, error::Error};

use serde_json::json;
use unibatch::{
    StoreUrl,
    cql::{CqlStore, Translate},
    prelude::*,
};

const SCHEMA: [&str; 4] = [
    "CREATE KEYSPACE IF NOT EXISTS unibatch_examples WITH replication = \
     {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}",
    "CREATE TABLE IF NOT EXISTS unibatch_examples.readings \
     (sensor text, at bigint, celsius double, PRIMARY KEY (sensor, at))",
    "CREATE TABLE IF NOT EXISTS unibatch_examples.sensors (id text PRIMARY KEY, latest double)",
    "CREATE TABLE IF NOT EXISTS unibatch_examples.counts (sensor text PRIMARY KEY, n counter)",
];

/// A URL gives any store; what only CQL has comes from its own builder.
async fn connect(url: &StoreUrl) -> Result<CqlStore> {
    let hosts = url.hosts().iter().map(ToString::to_string);
    let mut builder = CqlStore::builder().contact_points(hosts);
    if let Some(user) = url.user() {
        builder = builder.credentials(user, url.password().unwrap_or_default());
    }
    if url.parameters().translate.is_some() {
        builder = builder.translate(Translate::ContactPoints);
    }
    builder.connect().await
}

/// What is told of a batch of readings on the server of a URL.
pub async fn load(url: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let store = connect(&StoreUrl::parse(url)?).await?;
    // The driver's session is there for whatever is not batching.
    for statement in SCHEMA {
        store.session().query_unpaged(statement, ()).await?;
    }

    let text = "INSERT INTO unibatch_examples.readings (sensor, at, celsius) VALUES (?, ?, ?)";
    // Twice the same row is the same row: it may be sent again if an answer is lost.
    let insert = store.prepare(text).await?.idempotent(true);
    let mut batch = store.cql_batch(BatchOptions::new())?;
    // Written as the driver's bytes at once. Rows of one sensor share a request.
    batch.queue_rows(&insert, (0..250).map(|at: i64| ("roof", at, 20.0)))?;
    let sensor = Operation::put("unibatch_examples.sensors").key("id", "roof");
    batch.queue(sensor.doc(&json!({"latest": 20.0})))?;
    let count = "UPDATE unibatch_examples.counts SET n = n + ? WHERE sensor = ?";
    batch.queue(Operation::cql(count, (250, "roof")))?;
    let mut told = Vec::new();
    if let Err(rejected) = batch.queue_bound(&insert, &("roof", "noon", 20.0)) {
        told.push(format!("{}: a text is no bigint", rejected.error.kind()));
    }

    for chunk in batch.plan().await?.chunks {
        told.push(format!("{} by {}", chunk.operations.len(), chunk.mechanism));
    }
    told.push(format!("{} applied", batch.commit().await?.into_result()?.applied()));
    Ok(told)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match env::var("UNIBATCH_CQL_URL") {
        Ok(url) => load(&url).await?.iter().for_each(|line| println!("{line}")),
        Err(_) => println!("set UNIBATCH_CQL_URL to a server's URL, such as cql://localhost"),
    }
    Ok(())
}
