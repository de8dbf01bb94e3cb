//! The routes, and what each of them does.

mod admin;
mod array;
mod batch;
mod collection;
mod cursor;
mod database;
mod document;
mod graph;
mod import;
mod index;
mod job;
mod query;
mod simple;
mod transaction;

pub(crate) use batch::run as run_batch;
pub(crate) use cursor::Cursors;
pub(crate) use job::Jobs;

use crate::{errors::Failure, reply::Answer, request::Request, state::State, storage::Scope};

/// Answers a request that is allowed, in a database that is there.
pub(crate) fn handle(state: &mut State, request: &Request) -> Answer {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        _ if !request.path.starts_with('/') => unknown_path(request),
        ["_api", "version"] => admin::version(state, request),
        ["_api", "document", rest @ ..] => document::handle(state, request, rest),
        ["_api", "collection", rest @ ..] => collection::handle(state, request, rest),
        ["_api", "key-generators"] if state.version.at_least(3, 12, 0) => {
            Ok(collection::key_generators(&state.version))
        }
        ["_api", "transaction", rest @ ..] => transaction::handle(state, request, rest),
        ["_api", "cursor", rest @ ..] => cursor::handle(state, request, rest),
        ["_api", "database", rest @ ..] => database::handle(state, request, rest),
        ["_api", "job", rest @ ..] => job::handle(state, request, rest),
        ["_api", "index", rest @ ..] => index::handle(state, request, rest),
        ["_api", "gharial", rest @ ..] => graph::handle(state, request, rest),
        ["_api", "import"] => import::handle(state, request),
        ["_api", "query"] => query::parse(request),
        ["_api", "explain"] => query::explain(state, request),
        ["_api", "simple", what] => simple::handle(state, request, what),
        ["_api", "edges", collection] => simple::edges(state, request, collection),
        ["_api", "engine"] => Ok(admin::engine()),
        ["_api", "cluster", "health"] | ["_admin", "cluster", "health"]
            if state.settings.coordinator =>
        {
            Ok(admin::health())
        }
        ["_admin", rest @ ..] => admin::handle(state, request, rest),
        _ => unknown_path(request),
    }
}

/// What the router of the JavaScript actions answers where no route is.
pub(crate) fn unknown_path(request: &Request) -> Answer {
    Err(Failure::new(404).says(format!("unknown path '{}'", request.path)))
}

pub(crate) fn wrong_method() -> Answer {
    Err(Failure::new(405))
}

/// Where the request works: in its database, and in the transaction that it names.
pub(crate) fn scope(state: &mut State, request: &Request) -> Result<Scope, Failure> {
    let transaction = match request.header("x-arango-trx-id") {
        Some(id) => Some(state.store.transactions.enter(&request.database, id)?),
        None => None,
    };
    Ok(Scope { database: request.database.clone(), transaction })
}
