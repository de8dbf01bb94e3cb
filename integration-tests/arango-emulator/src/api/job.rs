//! `/_api/job`: what was asked for with `x-arango-async: store`. By RestJobHandler.cpp.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::wrong_method;
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
};

/// Jobs by id; one without an answer is pending.
#[derive(Debug)]
pub(crate) struct Jobs<T> {
    all: BTreeMap<u64, Option<T>>,
}

impl<T> Default for Jobs<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new() }
    }
}

impl<T> Jobs<T> {
    pub(crate) fn start(&mut self, id: u64) {
        self.all.insert(id, None);
    }

    /// Keeps an answer, if somebody can still fetch it.
    pub(crate) fn finish(&mut self, id: u64, answer: T) {
        if let Some(job) = self.all.get_mut(&id) {
            *job = Some(answer);
        }
    }

    fn ids(&self, done: bool) -> Vec<Value> {
        let ids = self.all.iter().filter(|(_, answer)| answer.is_some() == done);
        ids.map(|(id, _)| id.to_string().into()).collect()
    }
}

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("PUT", [id]) => {
            let id = find(state, id)?;
            match state.jobs.all.get(&id) {
                Some(None) => Ok(Reply::nothing(204)),
                _ => match state.jobs.all.remove(&id).flatten() {
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
            let done = state.jobs.all.get(&id).is_some_and(Option::is_some);
            Ok(Reply::nothing(if done { 200 } else { 204 }))
        }
        ("DELETE", ["all"]) => {
            state.jobs.all.clear();
            Ok(Reply::json(200, json!({"result": true})))
        }
        ("DELETE", ["expired"]) => match request.parameter("stamp") {
            Some(_) => Ok(Reply::json(200, json!({"result": true}))),
            None => Err(Failure::bad("bad parameter")),
        },
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
