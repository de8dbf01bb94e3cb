//! `/_api/job`: what was asked for with `x-arango-async: store`. By RestJobHandler.cpp.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::wrong_method;
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
};

/// Jobs by id, with the second in which they began; one without an answer is pending.
#[derive(Debug)]
pub(crate) struct Jobs<T> {
    all: BTreeMap<u64, (u64, Option<T>)>,
}

impl<T> Default for Jobs<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new() }
    }
}

impl<T> Jobs<T> {
    pub(crate) fn start(&mut self, id: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.all.insert(id, (now.as_secs(), None));
    }

    /// Keeps an answer, if somebody can still fetch it.
    pub(crate) fn finish(&mut self, id: u64, answer: T) {
        if let Some(job) = self.all.get_mut(&id) {
            job.1 = Some(answer);
        }
    }

    fn ids(&self, done: bool) -> Vec<Value> {
        let ids = self.all.iter().filter(|(_, answer)| answer.1.is_some() == done);
        ids.map(|(id, _)| id.to_string().into()).collect()
    }
}

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("PUT", [id]) => {
            let id = find(state, id)?;
            match state.jobs.all.get(&id) {
                Some((_, None)) => Ok(Reply::nothing(204)),
                _ => match state.jobs.all.remove(&id).and_then(|(_, answer)| answer) {
                    Some(reply) => Ok(reply.header("x-arango-async-id", id.to_string())),
                    None => Err(Failure::new(404)),
                },
            }
        }
        // The handler is gone where no thread waits for the answer of a cancelled job.
        ("PUT", [id, "cancel"]) => {
            find(state, id)?;
            Ok(Reply::json(200, json!({"result": true})))
        }
        ("GET", ["done"]) => Ok(Reply::json(200, state.jobs.ids(true).into())),
        ("GET", ["pending"]) => Ok(Reply::json(200, state.jobs.ids(false).into())),
        ("GET", [id]) => {
            let id = find(state, id)?;
            let done = state.jobs.all.get(&id).is_some_and(|(_, answer)| answer.is_some());
            Ok(Reply::nothing(if done { 200 } else { 204 }))
        }
        ("DELETE", ["all"]) => {
            state.jobs.all.clear();
            Ok(Reply::json(200, json!({"result": true})))
        }
        ("DELETE", ["expired"]) => {
            let stamp = request.parameter("stamp").and_then(|stamp| stamp.parse::<f64>().ok());
            let stamp = stamp.ok_or_else(|| Failure::bad("bad parameter"))?;
            let began = |second: u64| Duration::from_secs(second).as_secs_f64();
            state.jobs.all.retain(|_, (second, _)| began(*second) >= stamp);
            Ok(Reply::json(200, json!({"result": true})))
        }
        ("DELETE", [id]) => {
            let id = find(state, id)?;
            state.jobs.all.remove(&id);
            Ok(Reply::json(200, json!({"result": true})))
        }
        ("PUT" | "GET" | "DELETE", _) => Err(Failure::bad("bad parameter")),
        _ => wrong_method(),
    }
}

fn find(state: &State, text: &str) -> Result<u64, Failure> {
    let id = text.parse().ok().filter(|id| state.jobs.all.contains_key(id));
    id.ok_or_else(|| Failure::new(404))
}
