//! `/_api/index`. By RestIndexHandler.cpp and a recorded answer.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::wrong_method;
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::{Collection, Index, Kind, Scope},
    version::Version,
};

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    let scope = Scope { database: request.database.clone(), transaction: None };
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let indexes = described(&state.version, find(state, &scope, request)?);
            let by_id = |index: &Value| (text(&index["id"]), index.clone());
            let by_id: Map<String, Value> = indexes.iter().map(by_id).collect();
            Ok(Reply::fine(200, json!({"indexes": indexes, "identifiers": by_id})))
        }
        ("GET", [collection, id]) => {
            let collection = named(state, &scope, collection)?;
            let wanted = format!("{}/{id}", collection.name);
            let mut indexes = described(&state.version, collection).into_iter();
            let same = |index: &Value| index["id"] == wanted.as_str() || index["name"] == *id;
            Ok(Reply::fine(200, indexes.find(same).ok_or_else(|| Failure::new(1212))?))
        }
        ("POST", []) => create(state, request, &scope),
        ("DELETE", [collection, id]) => remove(state, &scope, collection, id),
        ("GET" | "POST" | "DELETE", _) => Err(Failure::bad("bad parameter")),
        _ => wrong_method(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn named<'a>(state: &'a State, scope: &Scope, name: &str) -> Result<&'a Collection, Failure> {
    state.store.database(&scope.database)?.find(name).ok_or_else(|| Failure::new(1203))
}

fn find<'a>(state: &'a State, scope: &Scope, request: &Request) -> Result<&'a Collection, Failure> {
    named(state, scope, request.parameter("collection").unwrap_or_default())
}

/// All indexes, the primary one first.
fn described(version: &Version, collection: &Collection) -> Vec<Value> {
    let own = |id: u32, kind: &str, fields: Value, unique: bool| {
        let mut shown = json!({
            "id": format!("{}/{id}", collection.name), "name": kind, "type": kind,
            "fields": fields, "unique": unique, "sparse": false,
        });
        if version.at_least(3, 11, 0) || kind == "edge" {
            shown["selectivityEstimate"] = 1.into();
        }
        shown
    };
    let mut all = vec![own(0, "primary", json!(["_key"]), true)];
    if collection.kind == Kind::Edge {
        all.push(own(1, "edge", json!(["_from", "_to"]), false));
    }
    all.extend(collection.indexes.iter().map(|index| index.describe(&collection.name)));
    all
}

fn create(state: &mut State, request: &Request, scope: &Scope) -> Answer {
    let body = request.json()?;
    let id = find(state, scope, request)?.id;
    let kind = text(&body["type"]);
    let fields: Option<Vec<String>> = body["fields"]
        .as_array()
        .and_then(|fields| fields.iter().map(|field| field.as_str().map(str::to_owned)).collect());
    let Some(fields) = fields.filter(|fields| !fields.is_empty() && !kind.is_empty()) else {
        return Err(Failure::new(10));
    };
    let more = attributes(&kind, &body)?;
    let flag = |name: &str| body[name].as_bool().unwrap_or(false);
    let sparse = flag("sparse") || matches!(kind.as_str(), "ttl" | "geo" | "fulltext");
    let number = state.store.clock.tick();
    let collection = state.store.collection_mut(scope, id)?;
    let wanted = Index {
        id: number,
        name: body["name"].as_str().map_or_else(|| format!("idx_{number}"), str::to_owned),
        kind,
        fields,
        unique: flag("unique"),
        sparse,
        more,
    };
    let same = |known: &&Index| {
        (&known.kind, &known.fields, known.unique, known.sparse)
            == (&wanted.kind, &wanted.fields, wanted.unique, wanted.sparse)
    };
    if let Some(known) = collection.indexes.iter().find(same) {
        return Ok(shown(200, known, &collection.name, false));
    }
    if collection.indexes.iter().any(|known| known.name == wanted.name) {
        return Err(Failure::new(1207));
    }
    // Filled aside, so that one that cannot be leaves nothing behind.
    let mut data = Arc::clone(&collection.data);
    Arc::make_mut(&mut data).fill(&wanted)?;
    collection.data = data;
    let reply = shown(201, &wanted, &collection.name, true);
    collection.indexes.push(wanted);
    Ok(reply)
}

fn shown(status: u16, index: &Index, collection: &str, new: bool) -> Reply {
    let mut body = index.describe(collection);
    body["isNewlyCreated"] = new.into();
    Reply::fine(status, body)
}

/// What an index of a type has more than its fields.
fn attributes(kind: &str, body: &Value) -> Result<Map<String, Value>, Failure> {
    let defaults = match kind {
        "persistent" | "hash" | "skiplist" => json!({
            "deduplicate": true, "estimates": true, "cacheEnabled": false, "selectivityEstimate": 1,
        }),
        "ttl" => json!({"expireAfter": 0, "estimates": false, "selectivityEstimate": 1}),
        "geo" => json!({
            "geoJson": false, "bestIndexedLevel": 17, "worstIndexedLevel": 4,
            "maxNumCoverCells": 8, "legacyPolygons": false,
        }),
        "fulltext" => json!({"minLength": 2}),
        _ => return Err(Failure::new(10).says("invalid index type")),
    };
    let Value::Object(mut more) = defaults else { return Ok(Map::new()) };
    for (name, value) in &mut more {
        if let Some(given) = body.get(name) {
            *value = given.clone();
        }
    }
    if let Some(values) = body.get("storedValues") {
        more.insert("storedValues".into(), values.clone());
    }
    Ok(more)
}

fn remove(state: &mut State, scope: &Scope, collection: &str, id: &str) -> Answer {
    let found = named(state, scope, collection)?.id;
    let collection = state.store.collection_mut(scope, found)?;
    if matches!(id, "0" | "1") {
        return Err(Failure::new(11).status(403));
    }
    let place = collection
        .indexes
        .iter()
        .position(|index| index.id.to_string() == id || index.name == id)
        .ok_or_else(|| Failure::new(1212))?;
    let gone = collection.indexes.remove(place);
    Arc::make_mut(&mut collection.data).unique.retain(|(index, _), _| *index != gone.id);
    Ok(Reply::fine(200, json!({"id": format!("{}/{}", collection.name, gone.id)})))
}
