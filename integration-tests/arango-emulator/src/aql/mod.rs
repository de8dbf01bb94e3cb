//! A small AQL: what drivers send and batches use. Loops over collections, arrays and ranges with
//! `FILTER`, `LET`, `SORT`, `LIMIT`, `COLLECT … WITH COUNT INTO`, all five writes, and expressions with
//! the common functions. What is not there is refused, never guessed.

mod ast;
mod evaluate;
mod execute;
mod functions;
mod lexer;
mod parser;
mod plan;
mod value;
mod writes;

use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::{
    errors::Failure,
    storage::{Scope, Store},
    version::Version,
};

pub(crate) use parser::parse;
pub(crate) use plan::{check, collections, nodes};

/// What a query gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Value>,
    pub(crate) stats: Value,
}

/// How much a query read and wrote.
#[derive(Debug, Default)]
struct Stats {
    executed: u64,
    ignored: u64,
    scanned: u64,
    filtered: u64,
    /// Rows before the last `LIMIT`.
    full: Option<u64>,
}

/// Runs a query as one: all of it, or nothing.
pub(crate) fn run(
    store: &mut Store,
    scope: &Scope,
    version: &Version,
    text: &str,
    binds: &Map<String, Value>,
) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let parsing = |failure| while_parsing(version, failure);
    let query = parse(text).map_err(parsing)?;
    check(&query, binds).map_err(parsing)?;
    // Collections are looked up before anything runs.
    for (name, writes) in collections(&query, binds).map_err(parsing)? {
        let found = match writes {
            true => store.writing(scope, &name),
            false => store.reading(scope, &name),
        };
        match found {
            Ok(_) => {}
            Err(failure) if failure.number == 1203 => return Err(parsing(failure)),
            Err(failure) => return Err(failure),
        }
    }
    let (rows, stats) = store.as_one(scope, |store, scope| {
        execute::run(store, scope, &query, binds)
            .map_err(|(node, failure)| while_executing(version, &nodes(&query), node, failure))
    })?;
    Ok(Outcome { rows, stats: describe(&stats, version, started.elapsed().as_secs_f64()) })
}

/// Up to 3.12.1 these errors say when they came.
fn while_parsing(version: &Version, mut failure: Failure) -> Failure {
    if !version.at_least(3, 12, 2) {
        failure.message = format!("AQL: {} (while parsing)", failure.message);
    }
    failure
}

/// From 3.12.0 on these errors say where they came: the node, and those that wait for it.
fn while_executing(
    version: &Version,
    nodes: &[&'static str],
    node: usize,
    mut failure: Failure,
) -> Failure {
    let mut place = String::new();
    if version.at_least(3, 12, 0) {
        for (number, name) in nodes.iter().enumerate().skip(node) {
            place.push_str(&format!(" [node #{}: {name}]", number + 1));
        }
    }
    failure.message = format!("AQL: {}{place} (while executing)", failure.message);
    // An error of a query never carries a document.
    failure.stored = None;
    if failure.number == 1200 {
        failure.status = 409;
    }
    failure
}

fn describe(stats: &Stats, version: &Version, seconds: f64) -> Value {
    let mut shown = json!({
        "writesExecuted": stats.executed, "writesIgnored": stats.ignored,
        "scannedFull": stats.scanned, "scannedIndex": 0, "filtered": stats.filtered,
        "httpRequests": 0, "executionTime": seconds, "peakMemoryUsage": 32768,
    });
    if version.at_least(3, 11, 0) {
        for name in ["cursorsCreated", "cursorsRearmed", "cacheHits", "cacheMisses"] {
            shown[name] = 0.into();
        }
        shown["intermediateCommits"] = 0.into();
    }
    if version.at_least(3, 12, 0) {
        shown["documentLookups"] = 0.into();
        shown["seeks"] = 0.into();
    }
    if let Some(full) = stats.full {
        shown["fullCount"] = full.into();
    }
    shown
}
