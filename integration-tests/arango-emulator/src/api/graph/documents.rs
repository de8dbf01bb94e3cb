//! Vertices and edges of a named graph.

use serde_json::{Map, Value, json};

use super::{super::document::synced, super::scope, find, names, vertices};
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::{Graph, Modify, Options, Scope, Written},
};

pub(super) fn handle(
    state: &mut State,
    request: &Request,
    graph: &str,
    kind: &str,
    rest: &[&str],
) -> Answer {
    let graph = find(state, request, graph)?.clone();
    let (collection, key) = match rest {
        [collection] => (*collection, None),
        [collection, key] => (*collection, Some(*key)),
        _ => return Err(Failure::new(404)),
    };
    belongs(&graph, kind, collection)?;
    let options = Options {
        wait_for_sync: request.flag("waitForSync", false),
        return_old: request.flag("returnOld", false),
        return_new: request.flag("returnNew", false),
        keep_null: request.flag("keepNull", true),
        ..Options::default()
    };
    let scope = scope(state, request)?;
    let revision = request.revision("if-match").or_else(|| request.parameter("rev"));
    match (request.method.as_str(), key) {
        ("POST", None) => {
            let body = request.json()?;
            let id = state.store.writing(&scope, collection)?;
            if kind == "edge" {
                check_ends(state, &scope, &graph, collection, &body)?;
            }
            let written = state.store.insert(&scope, id, &body, &options)?;
            answer(state, &scope, id, kind, &written, &options)
        }
        ("GET", Some(key)) => read(state, request, &scope, kind, collection, key),
        ("PUT" | "PATCH", Some(key)) => {
            let Value::Object(body) = request.json()? else { return Err(Failure::new(1227)) };
            let id = state.store.writing(&scope, collection)?;
            let way = if request.method == "PUT" { Modify::Replace } else { Modify::Update };
            let written = state.store.modify(&scope, id, key, &body, revision, way, &options)?;
            answer(state, &scope, id, kind, &written, &options)
        }
        ("DELETE", Some(key)) => {
            let id = state.store.writing(&scope, collection)?;
            let written = state.store.as_one(&scope, |store, scope| {
                let written = store.remove(scope, id, key, revision)?;
                if kind == "vertex" {
                    remove_edges_of(store, scope, &graph, &format!("{collection}/{key}"))?;
                }
                Ok(written)
            })?;
            let status = if synced(state, &scope, id, &options)? { 200 } else { 202 };
            let mut body = json!({"removed": true});
            if options.return_old {
                body["old"] = written.document.show(collection).into();
            }
            Ok(Reply::fine(status, body))
        }
        _ => Err(Failure::new(405)),
    }
}

fn belongs(graph: &Graph, kind: &str, collection: &str) -> Result<(), Failure> {
    let known = match kind {
        "vertex" => vertices(graph).iter().any(|name| name == collection),
        _ => graph.edges.iter().any(|edge| edge["collection"] == collection),
    };
    if known { Ok(()) } else { Err(Failure::new(if kind == "vertex" { 1926 } else { 1930 })) }
}

/// Both ends of an edge are in collections that its definition names, and are there.
fn check_ends(
    state: &mut State,
    scope: &Scope,
    graph: &Graph,
    collection: &str,
    body: &Value,
) -> Result<(), Failure> {
    let definition = graph.edges.iter().find(|edge| edge["collection"] == collection);
    for (end, side) in [("_from", "from"), ("_to", "to")] {
        let Some((vertices, key)) = body[end].as_str().and_then(|id| id.split_once('/')) else {
            return Err(Failure::new(1233));
        };
        let allowed = definition.is_some_and(|d| names(&d[side]).iter().any(|n| n == vertices));
        if !allowed {
            return Err(Failure::new(1906).status(400).says("invalid edge between those vertices"));
        }
        let id = state.store.reading(scope, vertices)?;
        state.store.existing(scope, id, key, None)?;
    }
    Ok(())
}

/// With a vertex, its edges go.
fn remove_edges_of(
    store: &mut crate::storage::Store,
    scope: &Scope,
    graph: &Graph,
    vertex: &str,
) -> Result<(), Failure> {
    for definition in &graph.edges {
        let Some(collection) = definition["collection"].as_str() else { continue };
        let id = store.writing(scope, collection)?;
        let data = store.data(scope, id)?;
        let touches = |body: &Map<String, Value>| {
            ["_from", "_to"].iter().any(|end| body.get(*end).is_some_and(|id| id == vertex))
        };
        for edge in data.iter().filter(|edge| touches(&edge.body)) {
            store.remove(scope, id, &edge.key, None)?;
        }
    }
    Ok(())
}

fn read(
    state: &mut State,
    request: &Request,
    scope: &Scope,
    kind: &str,
    collection: &str,
    key: &str,
) -> Answer {
    let id = state.store.reading(scope, collection)?;
    let wanted = request.revision("if-match").or_else(|| request.parameter("rev"));
    let document = state.store.existing(scope, id, key, wanted)?;
    let etag = format!("\"{}\"", document.rev());
    if request.revision("if-none-match") == Some(&document.rev()) {
        return Ok(Reply::nothing(304).header("etag", etag));
    }
    let shown = Map::from_iter([(kind.to_owned(), document.show(collection).into())]);
    Ok(Reply::fine(200, shown.into()).header("etag", etag))
}

fn answer(
    state: &State,
    scope: &Scope,
    id: u64,
    kind: &str,
    written: &Written,
    options: &Options,
) -> Answer {
    let status = if synced(state, scope, id, options)? { 201 } else { 202 };
    let collection = &state.store.collection(scope, id)?.name;
    let mut shown = written.show(collection, options);
    let old_and_new = ["old", "new"].map(|name| shown.remove(name).map(|value| (name, value)));
    let mut body = Map::from_iter([(kind.to_owned(), Value::from(shown))]);
    body.extend(old_and_new.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
    let etag = format!("\"{}\"", written.document.rev());
    Ok(Reply::fine(status, body.into()).header("etag", etag))
}
