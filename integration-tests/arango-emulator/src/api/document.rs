//! `/_api/document`: single documents, and the way to arrays of them. By RestDocumentHandler.cpp and
//! RestVocbaseBaseHandler.cpp.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{array, scope, wrong_method};
use crate::{
    errors::Failure,
    reply::{Answer, Content, Reply},
    request::Request,
    state::State,
    storage::{Modify, Options, Overwrite, Scope, Written},
};

/// What `Location` escapes in a key.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(crate) fn handle(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    match request.method.as_str() {
        "POST" => insert(state, request, rest),
        "GET" | "HEAD" => read(state, request, rest),
        "PUT" if rest.len() <= 1 && request.parameter("onlyget").is_some() => {
            let collection = target(request, rest)?;
            array::read(state, request, &collection)
        }
        "PUT" => modify(state, request, rest, Modify::Replace),
        "PATCH" => modify(state, request, rest, Modify::Update),
        "DELETE" => remove(state, request, rest),
        _ => wrong_method(),
    }
}

fn insert(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    if rest.len() > 1 {
        let expected = "superfluous suffix, expecting /_api/document?collection=<identifier>";
        return Err(Failure::new(601).says(expected));
    }
    let Some(name) = rest.first().copied().or_else(|| request.parameter("collection")) else {
        return Err(Failure::new(1204).says(
            "'collection' is missing, expecting /_api/document/<collection> or query parameter 'collection'",
        ));
    };
    let body = request.json()?;
    let options = options_of_insert(state, request);
    let scope = scope(state, request)?;
    if let Value::Array(bodies) = &body {
        return array::insert(state, &scope, name, bodies, &options);
    }
    let id = state.store.writing(&scope, name)?;
    let written = state.store.insert(&scope, id, &body, &options)?;
    answer(state, &scope, id, &written, &options)
}

fn modify(state: &mut State, request: &Request, rest: &[&str], way: Modify) -> Answer {
    let options = options_of_change(state, request);
    if rest.len() <= 1 {
        let name = target(request, rest)?;
        let Value::Array(bodies) = request.json()? else { return Err(Failure::new(1227)) };
        let scope = scope(state, request)?;
        return array::modify(state, &scope, &name, &bodies, way, &options);
    }
    let [name, key] = rest else {
        let verb = if way == Modify::Update { "PATCH" } else { "UPDATE" };
        return Err(Failure::bad(format!(
            "expecting {verb} /_api/document/<collection> or /_api/document/<document-handle> or /_api/document and query parameter 'collection'"
        )));
    };
    let Value::Object(body) = request.json()? else { return Err(Failure::new(1227)) };
    let scope = scope(state, request)?;
    let id = state.store.writing(&scope, name)?;
    // A revision in the header comes before one in the body.
    let revision = request.revision("if-match").or_else(|| revision_of(&body, &options));
    let written = state.store.modify(&scope, id, key, &body, revision, way, &options)?;
    answer(state, &scope, id, &written, &options)
}

fn remove(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    let options = options_of_change(state, request);
    match rest {
        [name, key] => {
            let scope = scope(state, request)?;
            let id = state.store.writing(&scope, name)?;
            let revision = request.revision("if-match");
            let written = state.store.remove(&scope, id, key, revision)?;
            answer_removed(state, &scope, id, &written, &options)
        }
        [name] => match request.json()? {
            Value::Array(selectors) => {
                let scope = scope(state, request)?;
                array::remove(state, &scope, name, &selectors, &options)
            }
            Value::Object(selector) => {
                let scope = scope(state, request)?;
                let id = state.store.writing(&scope, name)?;
                let Some(Value::String(key)) = selector.get("_key") else {
                    return Err(Failure::new(1221));
                };
                let revision = revision_of(&selector, &options);
                let written = state.store.remove(&scope, id, key, revision)?;
                answer_removed(state, &scope, id, &written, &options)
            }
            _ => Err(Failure::bad("Request body not parseable")),
        },
        _ => Err(Failure::bad(
            "expecting DELETE /_api/document/<collection>/<key> or /_api/document/<collection> with a body",
        )),
    }
}

fn read(state: &mut State, request: &Request, rest: &[&str]) -> Answer {
    let [name, key] = rest else {
        let expected = "expecting GET /_api/document/<collection>/<key>";
        let failure = if rest.len() < 2 { Failure::new(1202) } else { Failure::new(601) };
        return Err(failure.says(expected));
    };
    let scope = scope(state, request)?;
    let id = state.store.reading(&scope, name)?;
    let document = state.store.existing(&scope, id, key, request.revision("if-match"))?;
    let etag = format!("\"{}\"", document.rev());
    if request.revision("if-none-match") == Some(&document.rev()) {
        return Ok(Reply::nothing(304).header("etag", etag));
    }
    let collection = &state.store.collection(&scope, id)?.name;
    Ok(Reply::json(200, document.show(collection).into()).header("etag", etag))
}

/// The collection of an array's write: in the path, or as a parameter.
fn target(request: &Request, rest: &[&str]) -> Result<String, Failure> {
    rest.first().copied().or_else(|| request.parameter("collection")).map(str::to_owned).ok_or_else(
        || {
            Failure::bad(
                "collection must be given in URL path or query parameter 'collection' must be specified",
            )
        },
    )
}

/// The `_rev` of a body, where it counts.
pub(crate) fn revision_of<'a>(body: &'a Map<String, Value>, options: &Options) -> Option<&'a str> {
    if options.ignore_revs { None } else { body.get("_rev").and_then(Value::as_str) }
}

fn options_of_insert(state: &State, request: &Request) -> Options {
    let by_name = match request.parameter("overwriteMode") {
        Some("ignore") => Some(Overwrite::Ignore),
        Some("replace") => Some(Overwrite::Replace),
        Some("update") => Some(Overwrite::Update),
        Some("conflict") => Some(Overwrite::Conflict),
        // Any other text is ignored.
        _ => None,
    };
    let old_form = !state.version.at_least(4, 0, 0) && request.flag("overwrite", false);
    let by_flag = if old_form { Overwrite::Replace } else { Overwrite::Conflict };
    let overwrite = by_name.unwrap_or(by_flag);
    let update = overwrite == Overwrite::Update;
    let common = options_of_change(state, request);
    Options {
        overwrite,
        return_old: common.return_old
            && matches!(overwrite, Overwrite::Update | Overwrite::Replace),
        // The source's default differs from that of PATCH and from the documentation.
        keep_null: if update { request.flag("keepNull", false) } else { true },
        merge_objects: if update { request.flag("mergeObjects", true) } else { true },
        ..common
    }
}

fn options_of_change(state: &State, request: &Request) -> Options {
    let versioned = state.version.at_least(3, 12, 0);
    Options {
        wait_for_sync: request.flag("waitForSync", false),
        return_old: request.flag("returnOld", false),
        return_new: request.flag("returnNew", false),
        silent: request.flag("silent", false),
        overwrite: Overwrite::Conflict,
        keep_null: request.flag("keepNull", true),
        merge_objects: request.flag("mergeObjects", true),
        ignore_revs: request.flag("ignoreRevs", true),
        version_attribute: request
            .parameter("versionAttribute")
            .filter(|name| versioned && !name.is_empty())
            .map(str::to_owned),
    }
}

/// Whether a write that happened is on disk when it is answered.
pub(crate) fn synced(
    state: &State,
    scope: &Scope,
    id: u64,
    options: &Options,
) -> Result<bool, Failure> {
    let collection = state.store.collection(scope, id)?;
    let waits = state.store.transactions.waits_for_sync(scope);
    Ok(options.wait_for_sync || collection.wait_for_sync || waits)
}

fn answer(state: &State, scope: &Scope, id: u64, written: &Written, options: &Options) -> Answer {
    let status = if synced(state, scope, id, options)? { 201 } else { 202 };
    single(state, scope, id, status, written, options)
}

fn answer_removed(
    state: &State,
    scope: &Scope,
    id: u64,
    written: &Written,
    options: &Options,
) -> Answer {
    let status = if synced(state, scope, id, options)? { 200 } else { 202 };
    single(state, scope, id, status, written, options)
}

fn single(
    state: &State,
    scope: &Scope,
    id: u64,
    status: u16,
    written: &Written,
    options: &Options,
) -> Answer {
    let mut reply = Reply::json(status, Value::Object(Map::new()));
    if options.silent {
        return Ok(reply);
    }
    let collection = &state.store.collection(scope, id)?.name;
    reply.content = Content::Json(written.show(collection, options).into());
    let location = format!(
        "/_db/{}/_api/document/{collection}/{}",
        utf8_percent_encode(&scope.database, ESCAPED),
        utf8_percent_encode(&written.document.key, ESCAPED)
    );
    Ok(reply.header("etag", format!("\"{}\"", written.document.rev())).header("location", location))
}
