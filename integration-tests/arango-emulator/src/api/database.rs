//! `/_api/database`. By RestDatabaseHandler.cpp.

use serde_json::{Value, json};

use super::wrong_method;
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
};

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", ["current"]) => current(state, request),
        ("GET", [] | ["user"]) => {
            if rest.is_empty() {
                only_in_system(request)?;
            }
            Ok(Reply::result(200, state.store.databases.keys().cloned().collect()))
        }
        ("POST", []) => {
            only_in_system(request)?;
            let body = request.json()?;
            let Some(name) = body["name"].as_str() else { return Err(Failure::new(1229)) };
            state.store.create_database(name, body["options"].clone())?;
            Ok(Reply::result(201, true.into()))
        }
        ("DELETE", [name]) => {
            only_in_system(request)?;
            if *name == "_system" {
                return Err(Failure::new(11).status(403));
            }
            state.store.databases.remove(*name).ok_or_else(|| Failure::new(1228))?;
            Ok(Reply::result(200, true.into()))
        }
        ("GET" | "POST" | "DELETE", _) => Err(Failure::bad("bad parameter")),
        _ => wrong_method(),
    }
}

fn only_in_system(request: &Request) -> Result<(), Failure> {
    if request.database == "_system" { Ok(()) } else { Err(Failure::new(1230)) }
}

fn current(state: &State, request: &Request) -> Answer {
    let database = state.store.database(&request.database)?;
    let mut shown = json!({
        "name": database.name, "id": database.id.to_string(), "path": "none",
        "isSystem": database.name == "_system",
    });
    if state.settings.coordinator {
        let one = state.settings.one_shard || database.options["sharding"] == "single";
        shown["path"] = Value::from("");
        shown["sharding"] = if one { "single" } else { "" }.into();
        let factor = &database.options["replicationFactor"];
        shown["replicationFactor"] = if factor.is_null() { 1.into() } else { factor.clone() };
        shown["writeConcern"] = 1.into();
    }
    Ok(Reply::result(200, shown))
}
