//! `/_emulator/…`: faults, settings and the log, for clients that are not in this process. The crate's
//! documentation lists them.

use serde_json::{Value, json};

use crate::{
    errors::Failure,
    fault::Rule,
    reply::{Answer, Reply},
    request::Request,
    server::Server,
    state::Settings,
    version::Version,
};

fn unreadable(why: impl std::fmt::Display) -> Failure {
    Failure::bad(why.to_string())
}

pub(crate) fn handle(server: &Server, request: &Request) -> Answer {
    let body = request.json()?;
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/_emulator/faults") => {
            let rules = match body {
                Value::Array(rules) => rules,
                one => vec![one],
            };
            let rules = rules.into_iter().map(serde_json::from_value::<Rule>);
            let rules: Vec<Rule> = rules.collect::<Result<_, _>>().map_err(unreadable)?;
            for rule in rules {
                server.faults.add(rule);
            }
            faults(server)
        }
        ("GET", "/_emulator/faults") => faults(server),
        ("DELETE", "/_emulator/faults") => {
            server.faults.clear();
            server.state().store.conflicts.clear();
            faults(server)
        }
        ("POST", "/_emulator/release") => {
            server.release();
            Ok(Reply::json(200, json!({})))
        }
        ("GET", "/_emulator/settings") => settings(server),
        ("PATCH", "/_emulator/settings") => {
            change(server, body)?;
            settings(server)
        }
        ("POST", "/_emulator/conflicts") => {
            let (Some(collection), Some(key)) = (body["collection"].as_str(), body["key"].as_str())
            else {
                return Err(Failure::bad("a conflict needs a collection and a key"));
            };
            let times = body["times"].as_u64().and_then(|times| u32::try_from(times).ok());
            let conflict = (collection.to_owned(), key.to_owned(), times.unwrap_or(1));
            server.state().store.conflicts.push(conflict);
            Ok(Reply::json(200, json!({})))
        }
        ("POST", "/_emulator/expire") => {
            if body["transactions"] == true {
                server.state().store.transactions.expire_all();
                server.wake();
            }
            if body["cursors"] == true {
                server.state().cursors.expire_all();
                server.wake();
            }
            if body["tokens"] == true {
                server.auth.end_tokens();
            }
            Ok(Reply::json(200, json!({})))
        }
        ("GET", "/_emulator/requests") => {
            let shown = server.log.all().into_iter().map(|seen| {
                json!({
                    "connection": seen.connection, "protocol": seen.protocol,
                    "method": seen.method, "target": seen.target, "headers": seen.headers,
                    "body": String::from_utf8_lossy(&seen.body), "length": seen.length,
                })
            });
            Ok(Reply::json(200, shown.collect()))
        }
        ("DELETE", "/_emulator/requests") => {
            server.log.clear();
            Ok(Reply::json(200, json!({})))
        }
        _ => Err(Failure::new(404)),
    }
}

fn faults(server: &Server) -> Answer {
    let shown = server.faults.all().into_iter().map(|(rule, fired)| {
        serde_json::to_value(rule).map(|rule| json!({"rule": rule, "fired": fired}))
    });
    let shown: Vec<Value> = shown.collect::<Result<_, _>>().map_err(unreadable)?;
    Ok(Reply::json(200, shown.into()))
}

fn settings(server: &Server) -> Answer {
    let state = server.state();
    let mut shown = serde_json::to_value(&state.settings).map_err(unreadable)?;
    shown["version"] = state.version.as_str().into();
    Ok(Reply::json(200, shown))
}

fn change(server: &Server, body: Value) -> Result<(), Failure> {
    let Value::Object(mut given) = body else { return Err(Failure::bad("settings are an object")) };
    let version = match given.remove("version") {
        Some(Value::String(version)) => Some(Version::parse(&version).map_err(Failure::bad)?),
        _ => None,
    };
    let mut state = server.state();
    let mut all = serde_json::to_value(&state.settings).map_err(unreadable)?;
    if let Some(all) = all.as_object_mut() {
        all.extend(given);
    }
    state.change(serde_json::from_value::<Settings>(all).map_err(unreadable)?);
    if let Some(version) = version {
        state.version = version;
    }
    Ok(())
}
