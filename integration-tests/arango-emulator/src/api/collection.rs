//! `/_api/collection`. By RestCollectionHandler.cpp and recorded answers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::{scope, wrong_method};
use crate::{
    errors::Failure,
    reply::{Answer, Content, Reply},
    request::Request,
    state::State,
    storage::Scope,
    version::Version,
};

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    match request.method.as_str() {
        // Whatever follows the path is ignored.
        "POST" => create(state, request),
        "GET" => read(state, request, rest),
        "PUT" => act(state, request, rest),
        "DELETE" => remove(state, request, rest),
        _ => wrong_method(),
    }
}

pub(crate) fn key_generators(version: &Version) -> Reply {
    let mut names = vec!["padded", "uuid", "autoincrement", "traditional"];
    if version.at_least(3, 12, 6) {
        names.insert(0, "upgrade");
    }
    Reply::json(200, json!({ "keyGenerators": names }))
}

/// The collection, in the words of this route.
fn find<'a>(
    state: &'a State,
    scope: &Scope,
    name: &str,
) -> Result<&'a crate::storage::Collection, Failure> {
    state.store.database(&scope.database)?.find(name).ok_or_else(|| Failure::new(1203))
}

fn create(state: &mut State, request: &Request) -> Answer {
    let body = request.json()?;
    if !body.is_object() {
        return Err(Failure::new(600));
    }
    let (version, sharded) = (state.version.clone(), state.sharded());
    let database =
        state.store.databases.get_mut(&request.database).ok_or_else(|| Failure::new(1228))?;
    let created = database.create(&body, &mut state.store.clock)?;
    Ok(Reply::fine(200, created.describe(&state.server_id, &version, sharded)))
}

fn remove(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    let [name] = rest else {
        return Err(Failure::bad("expected DELETE /_api/collection/<collection-name>"));
    };
    let scope = Scope { database: request.database.clone(), transaction: None };
    let collection = find(state, &scope, name)?;
    let id = collection.id;
    if collection.system && !request.flag("isSystem", false) {
        return Err(Failure::new(11).status(403));
    }
    state.store.transactions.free_of_exclusive(id, None)?;
    state.store.database_mut(&scope.database)?.drop_collection(id);
    Ok(Reply::fine(200, json!({"id": id.to_string()})))
}

fn read(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    let scope = scope(state, request)?;
    let (name, action) = match rest {
        [] => {
            let with_system = !request.flag("excludeSystem", false);
            let shown = state.store.database(&scope.database)?.collections();
            let shown = shown
                .filter(|collection| with_system || !collection.system)
                .map(|collection| collection.brief(&state.server_id));
            return Ok(Reply::result(200, shown.collect()));
        }
        [name] => {
            let collection = find(state, &scope, name)?;
            return Ok(Reply::fine(200, collection.brief(&state.server_id)));
        }
        [name, action] => (*name, *action),
        _ => {
            return Err(
                Failure::new(601).says("expect GET /_api/collection/<collection-name>/<method>")
            );
        }
    };
    let collection = find(state, &scope, name)?;
    let (id, revision) = (collection.id, collection.revision());
    let whole = collection.describe(&state.server_id, &state.version, state.sharded());
    let brief = collection.brief(&state.server_id);
    let more = match action {
        "properties" => json!({}),
        "count" => {
            state.store.transactions.reads(&scope, id, name)?;
            json!({"count": state.store.data(&scope, id)?.count()})
        }
        "figures" => figures(state, request, &scope, id)?,
        "revision" => json!({ "revision": revision }),
        "checksum" => {
            let (revisions, data) =
                (request.flag("withRevisions", false), request.flag("withData", false));
            let sum = checksum(state, &scope, id, revisions, data)?;
            let more = json!({"revision": revision, "checksum": sum.to_string()});
            return Ok(located(request, rest, both(brief, more)));
        }
        "shards" if state.sharded() => {
            return Ok(located(request, rest, both(whole, json!({"shards": [format!("s{id}")]}))));
        }
        _ => {
            return Err(Failure::new(404).says(
                "expecting one of the resources 'checksum', 'count', 'figures', 'properties', 'responsibleShard', 'revision', 'shards'",
            ));
        }
    };
    Ok(located(request, rest, both(whole, more)))
}

fn act(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    let [name, action] = rest else {
        return Err(Failure::bad("expected PUT /_api/collection/<collection-name>/<action>"));
    };
    let body = request.json()?;
    let scope = scope(state, request)?;
    let id = find(state, &scope, name)?.id;
    let more = match *action {
        "load" => match body["count"].as_bool().unwrap_or(true) {
            true => json!({"count": state.store.data(&scope, id)?.count()}),
            false => json!({}),
        },
        "unload" | "compact" => json!({}),
        "truncate" => {
            state.store.writing(&scope, name)?;
            state.store.truncate(&scope, id)?;
            json!({})
        }
        "rename" => {
            let Some(new) = body["name"].as_str() else {
                return Err(Failure::new(1208).says("name is empty"));
            };
            state.store.database_mut(&scope.database)?.rename(id, new)?;
            json!({})
        }
        "properties" => {
            state.store.collection_mut(&scope, id)?.change(&body);
            let collection = state.store.collection(&scope, id)?;
            let whole = collection.describe(&state.server_id, &state.version, state.sharded());
            return Ok(located(request, rest, whole));
        }
        "loadIndexesIntoMemory" => return Ok(located(request, rest, json!({"result": true}))),
        "recalculateCount" => {
            let count = state.store.data(&scope, id)?.count();
            return Ok(located(request, rest, json!({"result": true, "count": count})));
        }
        "responsibleShard" if state.sharded() => {
            return Ok(located(request, rest, json!({"shardId": format!("s{id}")})));
        }
        _ => {
            return Err(Failure::new(404).says(
                "expecting one of the actions 'load', 'unload', 'truncate', 'properties', 'compact', 'rename', 'loadIndexesIntoMemory'",
            ));
        }
    };
    let brief = state.store.collection(&scope, id)?.brief(&state.server_id);
    Ok(located(request, rest, both(brief, more)))
}

fn figures(state: &State, request: &Request, scope: &Scope, id: u64) -> Result<Value, Failure> {
    let collection = state.store.collection(scope, id)?;
    let data = state.store.data(scope, id)?;
    let count = data.count();
    let size: usize = data.iter().map(|document| document.bytes).sum();
    let mut figures = json!({
        "indexes": {"count": 1 + collection.indexes.len(), "size": 32 * count},
        "documentsSize": size, "cacheInUse": false, "cacheSize": 0, "cacheUsage": 0,
    });
    if request.flag("details", false) {
        let mut indexes = vec![json!({"type": "primary", "id": 0, "count": count})];
        indexes.extend(
            collection
                .indexes
                .iter()
                .map(|index| json!({"type": index.kind, "id": index.id, "count": count})),
        );
        figures["engine"] = json!({"documents": count, "indexes": indexes});
    }
    Ok(json!({"count": count, "figures": figures}))
}

fn checksum(
    state: &State,
    scope: &Scope,
    id: u64,
    revisions: bool,
    data: bool,
) -> Result<u64, Failure> {
    // The order of the documents does not count.
    let one = |document: &std::sync::Arc<crate::storage::Document>| {
        let mut hash = DefaultHasher::new();
        document.key.hash(&mut hash);
        if revisions {
            document.revision.hash(&mut hash);
        }
        if data {
            crate::json::text(&document.body.clone().into()).hash(&mut hash);
        }
        hash.finish()
    };
    Ok(state.store.data(scope, id)?.iter().map(one).fold(0, |sum, hash| sum ^ hash))
}

fn both(mut first: Value, second: Value) -> Value {
    if let (Some(first), Value::Object(second)) = (first.as_object_mut(), second) {
        first.extend(second);
    }
    first
}

/// An answer about a collection says where it came from, with the collection as it was asked for.
fn located(request: &Request, rest: &[&str], body: Value) -> Reply {
    let mut reply = Reply::fine(200, body);
    if let Content::Json(body) = &mut reply.content
        && body.get("result").is_some()
        && let Some(body) = body.as_object_mut()
    {
        body.remove("id");
    }
    let location = format!("/_db/{}/_api/collection/{}", request.database, rest.join("/"));
    reply.header("location", location)
}
