//! `/_api/query` and `/_api/explain`: whether a query can be read, and what it would do.

use serde_json::{Map, Value, json};

use super::wrong_method;
use crate::{
    aql,
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
};

/// `POST /_api/query`. What it says of a syntax error is without a phase, unlike a cursor's.
pub(crate) fn parse(request: &Request) -> Answer {
    if request.method != "POST" {
        return wrong_method();
    }
    let body = request.json()?;
    let query = aql::parse(body["query"].as_str().unwrap_or_default())?;
    let plain = query.binds.iter().filter(|name| !name.starts_with('@'));
    let none: Map<String, Value> =
        query.binds.iter().map(|name| (name.clone(), name.clone().into())).collect();
    let collections = aql::collections(&query, &none)?.into_iter().map(|(name, _)| name);
    let collections: Vec<String> = collections.filter(|name| !name.starts_with('@')).collect();
    let body = json!({
        "parsed": true, "collections": collections, "bindVars": plain.collect::<Vec<_>>(),
        "ast": [{"type": "root"}],
    });
    Ok(Reply::fine(200, body))
}

/// `POST /_api/explain`: the nodes alone, without costs.
pub(crate) fn explain(state: &State, request: &Request) -> Answer {
    if request.method != "POST" {
        return wrong_method();
    }
    let body = request.json()?;
    let query = aql::parse(body["query"].as_str().unwrap_or_default())?;
    let none = Map::new();
    let binds = body["bindVars"].as_object().unwrap_or(&none);
    aql::check(&query, binds)?;
    let mut collections = Vec::new();
    for (name, writes) in aql::collections(&query, binds)? {
        if state.store.database(&request.database)?.find(&name).is_none() {
            return Err(Failure::new(1203).about(format_args!(": {name}")));
        }
        collections.push(json!({"name": name, "type": if writes { "write" } else { "read" }}));
    }
    let nodes = aql::nodes(&query).into_iter().enumerate().map(|(place, name)| {
        let before: Vec<usize> =
            place.checked_sub(1).map(|before| before + 1).into_iter().collect();
        json!({
            "type": name, "id": place + 1, "dependencies": before,
            "estimatedCost": place + 1, "estimatedNrItems": 1,
        })
    });
    let nodes: Vec<Value> = nodes.collect();
    let plan = json!({
        "estimatedCost": nodes.len(), "estimatedNrItems": 1, "nodes": nodes, "rules": [],
        "collections": collections, "variables": [], "isModificationQuery": collections.iter().any(|c| c["type"] == "write"),
    });
    let mut shown = json!({"warnings": [], "stats": {"rulesExecuted": 0, "rulesSkipped": 0, "plansCreated": 1}});
    if body["options"]["allPlans"] == true {
        shown["plans"] = json!([plan]);
    } else {
        shown["plan"] = plan;
        shown["cacheable"] = true.into();
    }
    Ok(Reply::fine(200, shown))
}
