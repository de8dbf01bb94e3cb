//! What the server says about itself.

use serde_json::{Value, json};

use super::{unknown_path, wrong_method};
use crate::{
    reply::{Answer, Reply},
    request::Request,
    state::State,
};

/// `/_api/version`: any method up to 3.12, `GET` alone in 4.0.
pub(crate) fn version(state: &State, request: &Request) -> Answer {
    if state.version.at_least(4, 0, 0) && request.method != "GET" {
        return wrong_method();
    }
    let mut body = json!({"server": "arango", "license": "enterprise"});
    if !state.settings.harden {
        body["version"] = state.version.as_str().into();
    }
    if state.version.at_least(3, 12, 8) {
        let api = if state.version.at_least(4, 0, 0) { "v1" } else { "v0" };
        body["apiVersions"] = json!([api]);
        body["deprecatedApiVersions"] = json!([]);
        body["requestedApiVersion"] = api.into();
    }
    if request.flag("details", false) && !state.settings.harden {
        body["details"] = json!({
            "architecture": "64bit", "mode": "server", "role": role(state),
            "server-version": state.version.as_str(), "platform": "linux",
        });
    }
    Ok(Reply::json(200, body))
}

fn role(state: &State) -> &'static str {
    if state.settings.coordinator { "COORDINATOR" } else { "SINGLE" }
}

/// `/_admin/…`
pub(crate) fn handle(state: &State, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", ["server", "role"]) => {
            Ok(Reply::fine(200, json!({"role": role(state), "mode": "default"})))
        }
        ("GET", ["server", "availability" | "mode"]) => {
            Ok(Reply::fine(200, json!({"mode": "default"})))
        }
        ("GET", ["server", "id"]) if state.settings.coordinator => {
            Ok(Reply::fine(200, json!({"id": "CRDN-0001"})))
        }
        ("GET", ["status"]) => Ok(Reply::json(200, status(state))),
        ("GET", ["time"]) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Ok(Reply::fine(200, json!({"time": now.unwrap_or_default().as_secs_f64()})))
        }
        ("GET", ["license"]) => Ok(Reply::json(200, json!({"license": "none"}))),
        _ => unknown_path(request),
    }
}

pub(crate) fn engine() -> Reply {
    Reply::json(
        200,
        json!({"name": "rocksdb", "supports": {"indexes": ["primary", "edge", "persistent"]}}),
    )
}

/// Of a cluster with one coordinator, which this is.
pub(crate) fn health() -> Reply {
    let coordinator = json!({
        "Role": "Coordinator", "Status": "GOOD", "CanBeDeleted": false, "ShortName": "Coordinator0001",
    });
    let health = json!({"CRDN-0001": coordinator});
    Reply::fine(200, json!({"ClusterId": "emulated", "Health": health}))
}

fn status(state: &State) -> Value {
    let mut body = json!({
        "server": "arango", "license": "enterprise", "mode": "server", "operationMode": "server",
        "foxxApi": true, "host": "localhost", "pid": std::process::id(),
        "serverInfo": {
            "progress": {"phase": "in wait", "feature": "", "recoveryTick": 0},
            "maintenance": false, "role": role(state), "writeOpsEnabled": true, "readOnly": false,
        },
    });
    if !state.settings.harden {
        body["version"] = state.version.as_str().into();
    }
    if state.settings.coordinator {
        body["coordinator"] = json!({"foxxmaster": "CRDN-0001", "isFoxxmaster": true});
    }
    body
}
