//! `/_api/transaction`: stream transactions. By RestTransactionHandler.cpp.

use serde_json::{Value, json};

use super::wrong_method;
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::{Mode, Scope, TransactionState},
};

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("POST", ["begin"]) => begin(state, request),
        ("POST", []) => Err(Failure::new(9).says("JavaScript transactions are not emulated")),
        ("GET", []) => {
            state.store.transactions.expire();
            let running = state.store.transactions.running();
            let shown = running
                .filter(|(_, transaction)| transaction.database == request.database)
                .map(|(id, _)| json!({"id": id.to_string(), "state": "running"}));
            Ok(Reply::json(200, json!({"transactions": shown.collect::<Vec<_>>()})))
        }
        ("GET", [id]) => {
            let id = number(id)?;
            match state.store.transactions.state(id) {
                Some(found) => Ok(status(200, id, found)),
                None => Err(Failure::new(1655)),
            }
        }
        ("PUT", [id]) => end(state, number(id)?, TransactionState::Committed),
        ("DELETE", ["write"]) => {
            state.store.transactions.expire_all();
            Ok(Reply::result(200, true.into()))
        }
        ("DELETE", [id]) => end(state, number(id)?, TransactionState::Aborted),
        ("POST" | "GET" | "PUT" | "DELETE", _) => Err(Failure::bad("bad parameter")),
        _ => wrong_method(),
    }
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| Failure::new(10).says("bad transaction ID"))
}

fn status(code: u16, id: u64, state: TransactionState) -> Reply {
    Reply::result(code, json!({"id": id.to_string(), "status": state.name()}))
}

fn end(state: &mut State, id: u64, wanted: TransactionState) -> Answer {
    match state.store.transactions.state(id) {
        None => return Err(Failure::new(1655)),
        Some(TransactionState::Running) if wanted == TransactionState::Committed => {
            state.store.commit(id)?;
        }
        Some(TransactionState::Running) => state.store.transactions.abort(id),
        // To end it once more in the same way is fine.
        Some(ended) if ended == wanted => {}
        Some(ended) => {
            return Err(Failure::new(1653)
                .says(format!("operation not allowed: transaction already {}", ended.name())));
        }
    }
    Ok(status(200, id, wanted))
}

fn begin(state: &mut State, request: &Request) -> Answer {
    let body = request.json()?;
    let Value::Object(collections) = &body["collections"] else {
        return Err(Failure::new(10).says("missing/invalid collections definition for transaction"));
    };
    let scope = Scope { database: request.database.clone(), transaction: None };
    let mut declared = Vec::new();
    for (name, mode) in
        [("read", Mode::Read), ("write", Mode::Write), ("exclusive", Mode::Exclusive)]
    {
        let names = match collections.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(names)) => names.clone(),
            Some(one) => vec![one.clone()],
        };
        for name in names {
            let Some(name) = name.as_str() else {
                return Err(Failure::new(10).says("collection names must be strings"));
            };
            declared.push((state.store.known(&scope, name)?.id, mode));
        }
    }
    for (id, mode) in &declared {
        if *mode >= Mode::Write {
            state.store.transactions.free_of_exclusive(*id, None)?;
        }
        if *mode == Mode::Exclusive {
            state.store.transactions.free_of_writers(*id)?;
        }
    }
    let ceiling = state.transaction_ceiling();
    let given = body["maxTransactionSize"].as_u64().and_then(|size| usize::try_from(size).ok());
    let id = state.store.clock.tick();
    let database =
        state.store.databases.get(&request.database).ok_or_else(|| Failure::new(1228))?;
    let transaction = state.store.transactions.begin(id, database, Mode::Read);
    for (collection, mode) in declared {
        let most = transaction.declared.entry(collection).or_insert(mode);
        *most = mode.max(*most);
    }
    transaction.allow_implicit = body["allowImplicit"].as_bool().unwrap_or(true);
    transaction.wait_for_sync = body["waitForSync"].as_bool().unwrap_or(false);
    transaction.ceiling = given.map_or(ceiling, |given| given.min(ceiling));
    Ok(status(201, id, TransactionState::Running))
}
