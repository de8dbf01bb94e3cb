//! Arrays of documents: each element by itself, in order; what fails is skipped.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    document::{revision_of, synced},
    scope,
};
use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::{Modify, Options, Scope, Written},
};

pub(crate) fn insert(
    state: &mut State,
    scope: &Scope,
    collection: &str,
    bodies: &[Value],
    options: &Options,
) -> Answer {
    let id = state.store.writing(scope, collection)?;
    let results = bodies.iter().map(|body| state.store.insert(scope, id, body, options));
    let results: Vec<_> = results.collect();
    written(state, scope, id, &results, options, 201)
}

pub(crate) fn modify(
    state: &mut State,
    scope: &Scope,
    collection: &str,
    bodies: &[Value],
    way: Modify,
    options: &Options,
) -> Answer {
    let id = state.store.writing(scope, collection)?;
    let one = |body: &Value| {
        let Value::Object(body) = body else { return Err(Failure::new(1227)) };
        let key = match body.get("_key") {
            Some(Value::String(key)) => key,
            Some(_) => return Err(Failure::new(1221)),
            None => return Err(Failure::new(1226)),
        };
        let revision = revision_of(body, options);
        state.store.modify(scope, id, key, body, revision, way, options)
    };
    let results: Vec<_> = bodies.iter().map(one).collect();
    written(state, scope, id, &results, options, 201)
}

pub(crate) fn remove(
    state: &mut State,
    scope: &Scope,
    collection: &str,
    selectors: &[Value],
    options: &Options,
) -> Answer {
    let id = state.store.writing(scope, collection)?;
    let name = state.store.collection(scope, id)?.name.clone();
    let one = |selector: &Value| {
        let (key, revision) = select(&name, selector, options)?;
        state.store.remove(scope, id, key, revision)
    };
    let results: Vec<_> = selectors.iter().map(one).collect();
    written(state, scope, id, &results, options, 200)
}

/// `PUT …?onlyget`: reads, whatever the parameter's value.
pub(crate) fn read(state: &mut State, request: &Request, collection: &str) -> Answer {
    let Value::Array(selectors) = request.json()? else { return Err(Failure::new(1227)) };
    let options = Options { ignore_revs: request.flag("ignoreRevs", true), ..Options::default() };
    let scope = scope(state, request)?;
    let id = state.store.reading(&scope, collection)?;
    let name = state.store.collection(&scope, id)?.name.clone();
    let one = |selector: &Value| {
        let (key, revision) = select(&name, selector, &options)?;
        let document = state.store.existing(&scope, id, key, revision)?;
        Ok(Value::from(document.show(&name)))
    };
    // Reads never say in a header what failed.
    let shown = |selector| one(selector).unwrap_or_else(|failure: Failure| failure.element());
    Ok(Reply::json(200, selectors.iter().map(shown).collect()))
}

/// The key of a selector, which is a key, an id, or an object with `_key` or `_id`; and its revision.
fn select<'a>(
    collection: &str,
    selector: &'a Value,
    options: &Options,
) -> Result<(&'a str, Option<&'a str>), Failure> {
    let none = Map::new();
    let (text, object) = match selector {
        Value::String(text) => (Some(text.as_str()), &none),
        Value::Object(object) => {
            let key = object.get("_key").or_else(|| object.get("_id"));
            (key.and_then(Value::as_str), object)
        }
        _ => (None, &none),
    };
    let text = text.ok_or_else(|| Failure::new(1205))?;
    let revision = match selector {
        Value::Object(_) if !options.ignore_revs => object.get("_rev").and_then(Value::as_str),
        _ => None,
    };
    match text.split_once('/') {
        None => Ok((text, revision.map(|_| revision_in(selector)))),
        Some((named, key)) if named == collection => {
            Ok((key, revision.map(|_| revision_in(selector))))
        }
        // A document of another collection is not found in this one.
        Some(_) => Err(Failure::new(1202)),
    }
}

fn revision_in(selector: &Value) -> &str {
    selector["_rev"].as_str().unwrap_or_default()
}

/// The answer to an array of writes.
fn written(
    state: &State,
    scope: &Scope,
    id: u64,
    results: &[Result<Written, Failure>],
    options: &Options,
    when_synced: u16,
) -> Answer {
    // What waits for others has written nothing yet: the whole is tried again.
    if let Some(Err(failure)) = results.iter().find(|r| matches!(r, Err(f) if f.waits)) {
        return Err(failure.clone());
    }
    let mut codes = BTreeMap::<u32, u64>::new();
    for failure in results.iter().filter_map(|result| result.as_ref().err()) {
        *codes.entry(failure.number).or_default() += 1;
    }
    let name = &state.store.collection(scope, id)?.name;
    let failed = codes.values().sum::<u64>();
    // Nothing was written where all failed, so there was nothing to wait for.
    let wrote = results.iter().any(Result::is_ok);
    let status = if wrote && synced(state, scope, id, options)? { when_synced } else { 202 };
    let shown = |result: &Result<Written, Failure>| match result {
        Ok(_) if options.silent => None,
        Ok(written) => Some(written.show(name, options).into()),
        Err(failure) => Some(failure.element()),
    };
    let body: Vec<Value> = results.iter().filter_map(shown).collect();
    let body = if options.silent && failed == 0 { json!({}) } else { body.into() };
    let reply = Reply::json(status, body);
    if failed == 0 {
        return Ok(reply);
    }
    let codes: Map<String, Value> =
        codes.into_iter().map(|(number, count)| (number.to_string(), count.into())).collect();
    Ok(reply.header("x-arango-error-codes", crate::json::text(&codes.into())))
}
