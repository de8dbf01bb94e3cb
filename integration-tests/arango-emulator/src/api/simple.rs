//! `/_api/simple` and `/_api/edges`, which older drivers use: each is a query. Gone in 4.0.

use serde_json::{Map, Value, json};

use super::{cursor, scope, unknown_path, wrong_method};
use crate::{
    aql,
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::Scope,
};

type Binds = Map<String, Value>;

pub(crate) fn handle(state: &mut State, request: &Request, what: &str) -> Answer {
    if state.version.at_least(4, 0, 0) {
        return unknown_path(request);
    }
    if request.method != "PUT" {
        return wrong_method();
    }
    let body = request.json()?;
    let Some(name) = body["collection"].as_str() else {
        return Err(Failure::bad("expecting string for <collection>"));
    };
    let scope = scope(state, request)?;
    // A collection that is not there is answered in the words of the documents' routes.
    state.store.reading(&scope, name)?;
    let mut binds = Binds::from_iter([("@collection".to_owned(), name.into())]);
    let limit = limit(&body, &mut binds);
    match what {
        "all" => page(state, &scope, &body, &format!("{EACH} {limit} RETURN doc"), &binds),
        "all-keys" => {
            let shown = match body["type"].as_str() {
                Some("key") => "doc._key".to_owned(),
                Some("id") => "doc._id".to_owned(),
                _ => {
                    let prefix = format!("/_db/{}/_api/document/", scope.database);
                    binds.insert("prefix".into(), prefix.into());
                    "CONCAT(@prefix, doc._id)".to_owned()
                }
            };
            page(state, &scope, &body, &format!("{EACH} RETURN {shown}"), &binds)
        }
        "by-example" => {
            let filter = filter(&body["example"], &mut binds)?;
            page(state, &scope, &body, &format!("{EACH} {filter} {limit} RETURN doc"), &binds)
        }
        "first-example" => {
            let filter = filter(&body["example"], &mut binds)?;
            let rows = rows(state, &scope, &format!("{EACH} {filter} LIMIT 1 RETURN doc"), &binds)?;
            let first =
                rows.into_iter().next().ok_or_else(|| Failure::new(404).says("no match"))?;
            Ok(Reply::fine(200, json!({"document": first})))
        }
        "any" => {
            let mut rows = rows(state, &scope, &format!("{EACH} RETURN doc"), &binds)?;
            let chosen = if rows.is_empty() {
                Value::Null
            } else {
                rows.swap_remove(fastrand::usize(..rows.len()))
            };
            Ok(Reply::fine(200, json!({"document": chosen})))
        }
        "lookup-by-keys" => {
            binds.insert("keys".into(), body["keys"].clone());
            let query = format!("{EACH} FILTER doc._key IN @keys || doc._id IN @keys RETURN doc");
            let found = rows(state, &scope, &query, &binds)?;
            Ok(Reply::fine(200, json!({"documents": found})))
        }
        "remove-by-keys" => {
            binds.insert("keys".into(), body["keys"].clone());
            let wanted = body["keys"].as_array().map_or(0, Vec::len);
            let query =
                format!("{EACH} FILTER doc._key IN @keys REMOVE doc IN @@collection RETURN 1");
            let removed = rows(state, &scope, &query, &binds)?.len();
            Ok(Reply::fine(200, json!({"removed": removed, "ignored": wanted - removed})))
        }
        "remove-by-example" => {
            changed(state, &scope, &body, binds, "deleted", &limit, "REMOVE doc IN @@collection")
        }
        "replace-by-example" => {
            let write = "REPLACE doc WITH @new IN @@collection";
            changed(state, &scope, &body, binds, "replaced", &limit, write)
        }
        "update-by-example" => {
            let options = json!({
                "keepNull": body["keepNull"].as_bool().unwrap_or(true),
                "mergeObjects": body["mergeObjects"].as_bool().unwrap_or(true),
            });
            binds.insert("options".into(), options);
            let write = "UPDATE doc WITH @new IN @@collection OPTIONS @options";
            changed(state, &scope, &body, binds, "updated", &limit, write)
        }
        _ => unknown_path(request),
    }
}

/// `GET /_api/edges/<collection>?vertex=…&direction=…`
pub(crate) fn edges(state: &mut State, request: &Request, collection: &str) -> Answer {
    let Some(vertex) = request.parameter("vertex") else {
        return Err(Failure::bad("illegal document handle"));
    };
    let scope = scope(state, request)?;
    state.store.reading(&scope, collection)?;
    let binds = Binds::from_iter([
        ("@collection".to_owned(), collection.into()),
        ("vertex".to_owned(), vertex.into()),
    ]);
    let filter = match request.parameter("direction") {
        Some("in") => "doc._to == @vertex",
        Some("out") => "doc._from == @vertex",
        _ => "doc._from == @vertex || doc._to == @vertex",
    };
    let found = rows(state, &scope, &format!("{EACH} FILTER {filter} RETURN doc"), &binds)?;
    let stats = json!({"scannedIndex": found.len(), "filtered": 0});
    Ok(Reply::fine(200, json!({"edges": found, "stats": stats})))
}

const EACH: &str = "FOR doc IN @@collection";

fn limit(body: &Value, binds: &mut Binds) -> String {
    let (skip, limit) = (body["skip"].as_u64(), body["limit"].as_u64());
    if skip.is_none() && limit.is_none() {
        return String::new();
    }
    binds.insert("skip".into(), skip.unwrap_or(0).into());
    binds.insert("limit".into(), limit.unwrap_or(1 << 40).into());
    "LIMIT @skip, @limit".into()
}

/// The condition of an example: paths with dots, and values.
fn filter(example: &Value, binds: &mut Binds) -> Result<String, Failure> {
    let Value::Object(example) = example else {
        return Err(Failure::bad("expecting object for <example>"));
    };
    let mut filter = String::new();
    for (place, (path, value)) in example.iter().enumerate() {
        let mut names = Vec::new();
        for (depth, part) in path.split('.').enumerate() {
            let name = format!("a{place}x{depth}");
            names.push(format!("@{name}"));
            binds.insert(name, part.into());
        }
        binds.insert(format!("v{place}"), value.clone());
        filter.push_str(&format!(" FILTER doc.{} == @v{place}", names.join(".")));
    }
    Ok(filter)
}

fn rows(
    state: &mut State,
    scope: &Scope,
    query: &str,
    binds: &Binds,
) -> Result<Vec<Value>, Failure> {
    let version = state.version.clone();
    Ok(aql::run(&mut state.store, scope, &version, query, binds)?.rows)
}

fn page(state: &mut State, scope: &Scope, body: &Value, query: &str, binds: &Binds) -> Answer {
    let options = json!({"count": true, "batchSize": body["batchSize"], "ttl": body["ttl"]});
    cursor::open(state, scope, query, binds, &options)
}

fn changed(
    state: &mut State,
    scope: &Scope,
    body: &Value,
    mut binds: Binds,
    name: &str,
    limit: &str,
    write: &str,
) -> Answer {
    let filter = filter(&body["example"], &mut binds)?;
    if name != "deleted" {
        binds.insert("new".into(), body["newValue"].clone());
    }
    let query = format!("{EACH} {filter} {limit} {write} RETURN 1");
    let count = rows(state, scope, &query, &binds)?.len();
    Ok(Reply::fine(200, Value::Object(Map::from_iter([(name.to_owned(), count.into())]))))
}
