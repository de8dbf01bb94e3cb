//! Queries and edges of a graph in one ordered batch, as python-arango's batches have them.
//!
//! Needs a database, in which it makes the graph `unibatch_school` and its collections:
//!
//! ```text
//! UNIBATCH_ARANGO_URL=arango://root@localhost/school cargo run -p unibatch-examples --bin aql_and_edges
//! ```

use std::{env, error::Error};

use serde_json::json;
use unibatch::{
    StoreUrl,
    arango::{ArangoRequest, ArangoStore, reqwest},
    prelude::*,
};

const GRAPH: &str = "unibatch_school";

/// A URL gives any store; what only ArangoDB has comes from its own builder.
async fn connect(url: &StoreUrl) -> Result<ArangoStore> {
    let hosts = url.hosts().iter().map(|host| format!("http://{host}"));
    let mut builder = ArangoStore::builder().servers(hosts);
    if let Some(database) = url.path() {
        builder = builder.database(database);
    }
    if let Some(user) = url.user() {
        builder = builder.credentials(user, url.password().unwrap_or_default());
    }
    builder.connect().await
}

/// Graphs and collections are made by whatever a service has for that: here by a bare request.
async fn make_graph(url: &StoreUrl) -> std::result::Result<(), Box<dyn Error>> {
    let host = url.hosts().first().ok_or("the URL names no host")?;
    let database = url.path().unwrap_or("_system");
    let graph = json!({
        "name": GRAPH,
        "edgeDefinitions": [
            {"collection": "unibatch_teach", "from": ["unibatch_teachers"], "to": ["unibatch_lectures"]}
        ],
    });
    let mut request = reqwest::Client::new()
        .post(format!("http://{host}/_db/{database}/_api/gharial"))
        .body(graph.to_string());
    if let Some(user) = url.user() {
        request = request.basic_auth(user, url.password());
    }
    let status = request.send().await?.status();
    // 409: it is there from the last time.
    if status.is_success() || status.as_u16() == 409 {
        Ok(())
    } else {
        Err(status.to_string().into())
    }
}

/// What is told of a batch on the database of a URL.
pub async fn teach(url: &str) -> std::result::Result<Vec<String>, Box<dyn Error>> {
    let url = StoreUrl::parse(url)?;
    make_graph(&url).await?;
    let store = connect(&url).await?;
    // In the order of queueing, as the Python drivers' batches are; a failure stops nothing.
    let ordered = Guarantee::Ordered { on_error: OnError::Continue };
    let mut batch = store.arango_batch(BatchOptions::new().guarantee(ordered))?;
    batch.queue(Operation::put("unibatch_teachers").at("jon").doc(&json!({"name": "Jon"})))?;
    batch.queue(
        Operation::put("unibatch_lectures").at("MAT101").doc(&json!({"name": "Calculus"})),
    )?;
    batch.queue(Operation::delete("unibatch_teach").at("jon-MAT101"))?;
    let edge = ArangoRequest::post(format!("/_api/gharial/{GRAPH}/edge/unibatch_teach"));
    let edge = batch.request(edge.body(&json!({
        "_key": "jon-MAT101", "_from": "unibatch_teachers/jon", "_to": "unibatch_lectures/MAT101",
    })))?;
    let names = batch.aql(
        "FOR t IN @@teachers FILTER t.name == @name RETURN t.name",
        &json!({"@teachers": "unibatch_teachers", "name": "Jon"}),
    )?;
    let invalid = batch.aql("INVALID QUERY", &())?;

    let report = batch.commit().await?;
    let mut told = vec![
        format!("the edge is {}", if edge.status().is_applied() { "there" } else { "not there" }),
        format!("the query gives {:?}", names.decode::<Vec<String>>()?),
    ];
    if let Err(error) = invalid.outcome() {
        let number = error.details().find(|(name, _)| *name == "error_num");
        told.push(format!("{}: {:?}", error.kind(), number.map(|(_, value)| value.to_string())));
    }
    told.push(format!("{} applied, {} not applied", report.applied(), report.not_applied()));
    Ok(told)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let Ok(url) = env::var("UNIBATCH_ARANGO_URL") else {
        println!(
            "set UNIBATCH_ARANGO_URL to a database's URL, such as arango://root@localhost/school"
        );
        return Ok(());
    };
    teach(&url).await?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
