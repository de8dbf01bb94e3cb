//! `/_api/cursor`: the pages of a query's result. By RestCursorHandler.cpp.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{scope, wrong_method};
use crate::{
    aql,
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::Scope,
};

/// Cursors that can be asked for more.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    all: BTreeMap<u64, Cursor>,
}

/// The rest of a result.
#[derive(Debug)]
struct Cursor {
    database: String,
    rows: std::vec::IntoIter<Value>,
    size: usize,
    total: Option<usize>,
    stats: Value,
    /// Whether the last page can be asked for again; then the cursor stays until it is deleted.
    retry: bool,
    /// The number of the page that was given last, and the page.
    page: u64,
    given: Vec<Value>,
    lifetime: Duration,
    last_used: Instant,
}

impl Cursors {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// Forgets all, as their lifetime does.
    pub(crate) fn expire_all(&mut self) {
        self.all.clear();
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.all.retain(|_, cursor| now.duration_since(cursor.last_used) <= cursor.lifetime);
    }
}

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    state.cursors.expire();
    match (request.method.as_str(), rest) {
        ("POST", []) => create(state, request),
        ("POST", [id]) => next(state, request, id, None),
        ("POST", [id, page]) => next(state, request, id, Some(page)),
        ("POST", _) => Err(Failure::bad("expecting POST /_api/cursor")),
        ("PUT", _) if state.version.at_least(4, 0, 0) => wrong_method(),
        ("PUT", [id]) => next(state, request, id, None),
        ("PUT", _) => Err(Failure::bad("expecting POST /_api/cursor/<cursor-id>")),
        ("DELETE", [text]) => {
            let id = find(state, request, text)?;
            state.cursors.all.remove(&id);
            Ok(Reply::fine(202, json!({ "id": text })))
        }
        ("DELETE", _) => Err(Failure::bad("expecting DELETE /_api/cursor/<cursor-id>")),
        _ => wrong_method(),
    }
}

fn find(state: &State, request: &Request, text: &str) -> Result<u64, Failure> {
    let id = text.parse().ok().filter(|id| {
        state.cursors.all.get(id).is_some_and(|cursor| cursor.database == request.database)
    });
    id.ok_or_else(|| Failure::new(1600))
}

fn create(state: &mut State, request: &Request) -> Answer {
    let body = request.json()?;
    let Some(query) = body["query"].as_str().filter(|query| !query.is_empty()) else {
        return Err(Failure::new(1502));
    };
    let none = Map::new();
    let binds = match &body["bindVars"] {
        Value::Null => &none,
        Value::Object(binds) => binds,
        _ => return Err(Failure::new(17).status(400).says("expecting object for <bindVars>")),
    };
    let scope = scope(state, request)?;
    open(state, &scope, query, binds, &body)
}

/// Runs a query and gives its first page; `body` has the options.
pub(super) fn open(
    state: &mut State,
    scope: &Scope,
    query: &str,
    binds: &Map<String, Value>,
    body: &Value,
) -> Answer {
    let size = match &body["batchSize"] {
        Value::Null => 1000,
        size => match size.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) if size > 0 => size,
            _ => {
                let text = "expecting non-zero value for 'batchSize'";
                return Err(Failure::new(17).status(400).says(text));
            }
        },
    };
    let version = state.version.clone();
    let mut outcome = aql::run(&mut state.store, scope, &version, query, binds)?;
    let options = &body["options"];
    if options["fullCount"] != true
        && let Some(stats) = outcome.stats.as_object_mut()
    {
        stats.remove("fullCount");
    }
    let counted = body["count"] == true && options["stream"] != true;
    // One that lives for seconds alone, as on a single server, unless it is said.
    let default = if state.settings.coordinator { 600.0 } else { 30.0 };
    let seconds = body["ttl"].as_f64().filter(|seconds| *seconds > 0.0).unwrap_or(default);
    let mut cursor = Cursor {
        database: scope.database.clone(),
        total: counted.then_some(outcome.rows.len()),
        rows: outcome.rows.into_iter(),
        size,
        stats: outcome.stats,
        retry: options["allowRetry"] == true && state.version.at_least(3, 11, 0),
        page: 0,
        given: Vec::new(),
        lifetime: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        last_used: Instant::now(),
    };
    let id = state.store.clock.tick();
    cursor.turn();
    let reply = cursor.show(state, 201, id);
    if cursor.has_more() || (cursor.retry && cursor.page > 1) {
        state.cursors.all.insert(id, cursor);
    }
    Ok(reply)
}

fn next(state: &mut State, request: &Request, text: &str, page: Option<&str>) -> Answer {
    let id = find(state, request, text)?;
    let Some(mut cursor) = state.cursors.all.remove(&id) else { return Err(Failure::new(1600)) };
    let wanted = page.map_or(Some(cursor.page + 1), |page| page.parse().ok());
    let again = wanted == Some(cursor.page) && cursor.retry;
    if !again {
        // A cursor that is kept for a retry alone has no more pages.
        let more = wanted == Some(cursor.page + 1) && cursor.has_more();
        if !more {
            state.cursors.all.insert(id, cursor);
            return Err(Failure::new(1600).says("batch not found"));
        }
        cursor.turn();
    }
    cursor.last_used = Instant::now();
    let reply = cursor.show(state, 200, id);
    if cursor.has_more() || cursor.retry {
        state.cursors.all.insert(id, cursor);
    }
    Ok(reply)
}

impl Cursor {
    fn has_more(&self) -> bool {
        self.rows.len() > 0
    }

    /// Takes the next page.
    fn turn(&mut self) {
        self.given = self.rows.by_ref().take(self.size).collect();
        self.page += 1;
    }

    fn show(&self, state: &State, status: u16, id: u64) -> Reply {
        let mut body = json!({
            "result": self.given, "hasMore": self.has_more(), "cached": false,
            "extra": {"warnings": [], "stats": self.stats},
        });
        if let Some(total) = self.total {
            body["count"] = total.into();
        }
        if self.has_more() || (self.retry && self.page > 1) {
            body["id"] = id.to_string().into();
        }
        if self.has_more() && state.version.at_least(3, 11, 0) {
            body["nextBatchId"] = (self.page + 1).to_string().into();
        }
        Reply::fine(status, body)
    }
}
