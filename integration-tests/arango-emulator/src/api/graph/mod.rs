//! `/_api/gharial`: named graphs, as drivers use them. By RestGraphHandler.cpp and GraphManager.cpp.

mod documents;

use serde_json::{Value, json};

use super::wrong_method;
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::{Graph, Scope, revision_text},
};

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let graphs = state.store.database(&request.database)?.graphs.values();
            Ok(Reply::fine(200, json!({"graphs": graphs.map(show).collect::<Vec<_>>()})))
        }
        ("POST", []) => create(state, request),
        ("GET", [name]) => {
            Ok(Reply::fine(200, json!({"graph": show(find(state, request, name)?)})))
        }
        ("DELETE", [name]) => remove(state, request, name),
        ("GET", [name, "vertex"]) => {
            Ok(Reply::fine(200, json!({"collections": vertices(find(state, request, name)?)})))
        }
        ("GET", [name, "edge"]) => {
            let edges = find(state, request, name)?.edges.iter();
            let mut names: Vec<Value> = edges.map(|edge| edge["collection"].clone()).collect();
            names.sort_by_key(Value::to_string);
            Ok(Reply::fine(200, json!({"collections": names})))
        }
        ("POST", [name, "vertex"]) => add_vertices(state, request, name),
        ("DELETE", [name, "vertex", collection]) => {
            remove_vertices(state, request, name, collection)
        }
        ("POST", [name, "edge"]) => add_edges(state, request, name),
        ("PUT", [name, "edge", collection]) => replace_edges(state, request, name, collection),
        ("DELETE", [name, "edge", collection]) => remove_edges(state, request, name, collection),
        (_, [name, kind @ ("vertex" | "edge"), rest @ ..]) => {
            documents::handle(state, request, name, kind, rest)
        }
        ("GET" | "POST" | "PUT" | "PATCH" | "DELETE", _) => Err(Failure::new(404)),
        _ => wrong_method(),
    }
}

fn find<'a>(state: &'a State, request: &Request, name: &str) -> Result<&'a Graph, Failure> {
    let graphs = &state.store.database(&request.database)?.graphs;
    graphs.get(name).ok_or_else(|| Failure::new(1924).says(format!("graph '{name}' not found")))
}

fn find_mut<'a>(
    state: &'a mut State,
    request: &Request,
    name: &str,
) -> Result<&'a mut Graph, Failure> {
    let graphs = &mut state.store.database_mut(&request.database)?.graphs;
    graphs.get_mut(name).ok_or_else(|| Failure::new(1924).says(format!("graph '{name}' not found")))
}

fn show(graph: &Graph) -> Value {
    let mut shown = json!({
        "_id": format!("_graphs/{}", graph.name), "_key": graph.name, "_rev": graph.rev,
        "name": graph.name, "edgeDefinitions": graph.edges, "orphanCollections": graph.orphans,
    });
    if let (Some(shown), Value::Object(options)) = (shown.as_object_mut(), graph.options.clone()) {
        shown.extend(options);
    }
    shown
}

/// Names of an array of strings, or of one string.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::String(name) => vec![name.clone()],
        Value::Array(names) => {
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// The vertex collections, sorted.
fn vertices(graph: &Graph) -> Vec<String> {
    let of_edges =
        graph.edges.iter().flat_map(|edge| [names(&edge["from"]), names(&edge["to"])].concat());
    let mut all: Vec<String> = of_edges.chain(graph.orphans.iter().cloned()).collect();
    all.sort();
    all.dedup();
    all
}

fn create(state: &mut State, request: &Request) -> Answer {
    let body = request.json()?;
    let Some(name) = body["name"].as_str().filter(|name| !name.is_empty()) else {
        return Err(Failure::new(1936).says("missing graph name"));
    };
    if state.store.database(&request.database)?.graphs.contains_key(name) {
        return Err(Failure::new(1925));
    }
    let edges = match &body["edgeDefinitions"] {
        Value::Array(edges) => edges.iter().map(definition).collect::<Result<Vec<_>, _>>()?,
        _ => Vec::new(),
    };
    let mut options = json!({});
    if state.sharded() {
        let given = |name: &str, default: Value| match &body["options"][name] {
            Value::Null => default,
            given => given.clone(),
        };
        options = json!({
            "isSmart": false, "isDisjoint": false, "isSatellite": false,
            "numberOfShards": given("numberOfShards", 1.into()),
            "replicationFactor": given("replicationFactor", 1.into()), "writeConcern": 1,
        });
    }
    let rev = revision_text(state.store.clock.revision());
    let orphans = names(&body["orphanCollections"]);
    let graph = Graph { name: name.to_owned(), rev, edges, orphans, options };
    make_collections(state, request, &graph)?;
    let shown = show(&graph);
    state.store.database_mut(&request.database)?.graphs.insert(graph.name.clone(), graph);
    Ok(defined(request, &shown))
}

fn defined(request: &Request, graph: &Value) -> Reply {
    let status = if request.flag("waitForSync", false) { 201 } else { 202 };
    let etag = format!("\"{}\"", graph["_rev"].as_str().unwrap_or_default());
    Reply::fine(status, json!({ "graph": graph })).header("etag", etag)
}

fn definition(given: &Value) -> Result<Value, Failure> {
    let (from, to) = (names(&given["from"]), names(&given["to"]));
    match given["collection"].as_str() {
        Some(collection) if !from.is_empty() && !to.is_empty() => {
            Ok(json!({"collection": collection, "from": from, "to": to}))
        }
        _ => Err(Failure::new(1936)),
    }
}

/// Makes the collections of a graph that are not there.
fn make_collections(state: &mut State, request: &Request, graph: &Graph) -> Result<(), Failure> {
    let edges = graph.edges.iter().filter_map(|edge| edge["collection"].as_str());
    let wanted: Vec<(String, u8)> = edges
        .map(|name| (name.to_owned(), 3))
        .chain(vertices(graph).into_iter().map(|name| (name, 2)))
        .collect();
    for (name, kind) in wanted {
        let clock = &mut state.store.clock;
        let database =
            state.store.databases.get_mut(&request.database).ok_or_else(|| Failure::new(1228))?;
        if database.find(&name).is_none() {
            database.create(&json!({"name": name, "type": kind}), clock)?;
        }
    }
    Ok(())
}

fn remove(state: &mut State, request: &Request, name: &str) -> Answer {
    let graph = find(state, request, name)?.clone();
    let database = state.store.database_mut(&request.database)?;
    database.graphs.remove(name);
    if request.flag("dropCollections", false) {
        let edges = graph.edges.iter().filter_map(|edge| edge["collection"].as_str());
        for name in edges.map(str::to_owned).chain(vertices(&graph)) {
            // Another graph may still need it.
            let needed = database.graphs.values().any(|other| uses(other, &name));
            if let (false, Some(found)) = (needed, database.find(&name).map(|found| found.id)) {
                database.drop_collection(found);
            }
        }
    }
    let status = if request.flag("waitForSync", false) { 201 } else { 202 };
    Ok(Reply::fine(status, json!({"removed": true})))
}

fn uses(graph: &Graph, collection: &str) -> bool {
    vertices(graph).iter().any(|name| name == collection)
        || graph.edges.iter().any(|edge| edge["collection"] == collection)
}

/// Changes a graph's definition, and shows it.
fn change(
    state: &mut State,
    request: &Request,
    name: &str,
    change: impl FnOnce(&mut Graph) -> Result<(), Failure>,
) -> Answer {
    let mut graph = find(state, request, name)?.clone();
    change(&mut graph)?;
    graph.rev = revision_text(state.store.clock.revision());
    make_collections(state, request, &graph)?;
    let shown = show(&graph);
    *find_mut(state, request, name)? = graph;
    Ok(defined(request, &shown))
}

fn add_vertices(state: &mut State, request: &Request, name: &str) -> Answer {
    let body = request.json()?;
    let Some(collection) = body["collection"].as_str() else { return Err(Failure::new(10)) };
    change(state, request, name, |graph| {
        if vertices(graph).iter().any(|known| known == collection) {
            return Err(Failure::new(1938)
                .status(400)
                .says("collection is already part of the graph"));
        }
        graph.orphans.push(collection.to_owned());
        Ok(())
    })
}

fn remove_vertices(state: &mut State, request: &Request, name: &str, collection: &str) -> Answer {
    let reply = change(state, request, name, |graph| {
        let Some(place) = graph.orphans.iter().position(|known| known == collection) else {
            return Err(Failure::new(if uses(graph, collection) { 1928 } else { 1926 }).status(404));
        };
        graph.orphans.remove(place);
        Ok(())
    })?;
    drop_if_asked(state, request, collection, "dropCollection")?;
    Ok(reply)
}

fn drop_if_asked(
    state: &mut State,
    request: &Request,
    collection: &str,
    parameter: &str,
) -> Result<(), Failure> {
    let scope = Scope { database: request.database.clone(), transaction: None };
    if request.flag(parameter, false) {
        let id = state.store.known(&scope, collection)?.id;
        state.store.database_mut(&request.database)?.drop_collection(id);
    }
    Ok(())
}

fn add_edges(state: &mut State, request: &Request, name: &str) -> Answer {
    let added = definition(&request.json()?)?;
    change(state, request, name, |graph| {
        if graph.edges.iter().any(|edge| edge["collection"] == added["collection"]) {
            return Err(Failure::new(1920)
                .status(400)
                .says("multi use of edge collection in edge def"));
        }
        graph.edges.push(added);
        Ok(())
    })
}

fn edge_place(graph: &Graph, collection: &str) -> Result<usize, Failure> {
    let place = graph.edges.iter().position(|edge| edge["collection"] == collection);
    place.ok_or_else(|| Failure::new(1930))
}

fn replace_edges(state: &mut State, request: &Request, name: &str, collection: &str) -> Answer {
    let new = definition(&request.json()?)?;
    change(state, request, name, |graph| {
        let place = edge_place(graph, collection)?;
        graph.edges[place] = new;
        Ok(())
    })
}

fn remove_edges(state: &mut State, request: &Request, name: &str, collection: &str) -> Answer {
    let reply = change(state, request, name, |graph| {
        let place = edge_place(graph, collection)?;
        let gone = graph.edges.remove(place);
        // Vertex collections that no definition has any more stay as orphans.
        let left = vertices(graph);
        let before = [names(&gone["from"]), names(&gone["to"])].concat();
        for name in before {
            if !left.contains(&name) && !graph.orphans.contains(&name) {
                graph.orphans.push(name);
            }
        }
        Ok(())
    })?;
    drop_if_asked(state, request, collection, "dropCollections")?;
    Ok(reply)
}
