//! `/_api/import`: many documents, of which nothing comes back but numbers. By RestImportHandler.cpp
//! and recorded answers.

use serde_json::{Map, Value, json};

use super::{scope, wrong_method};
use crate::{
    errors::Failure,
    json::parse,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    storage::{Kind, Options, Overwrite, Scope, Store},
};

/// What an import did.
#[derive(Default)]
struct Counts {
    created: u64,
    errors: u64,
    empty: u64,
    updated: u64,
    ignored: u64,
    details: Vec<String>,
}

/// Where an import writes, and how.
struct Target {
    id: u64,
    options: Options,
    complete: bool,
    from_prefix: String,
    to_prefix: String,
}

/// A row: a document, or why there is none.
type Row = Result<Value, String>;

pub(crate) fn handle(state: &mut State, request: &Request) -> Answer {
    if request.method != "POST" {
        return wrong_method();
    }
    let Some(name) = request.parameter("collection").filter(|name| !name.is_empty()) else {
        return Err(Failure::new(1204)
            .says("'collection' is missing, expecting /_api/import?collection=<identifier>"));
    };
    let kind = request.parameter("type");
    let mut counts = Counts::default();
    let rows = match kind {
        Some("documents") => lines(&request.body, &mut counts),
        Some("list" | "array") => list(&request.body)?,
        Some("auto") => match request.body.trim_ascii_start().first() {
            Some(b'[') => list(&request.body)?,
            _ => lines(&request.body, &mut counts),
        },
        Some(kind) if !kind.is_empty() && state.version.at_least(3, 12, 6) => {
            return Err(Failure::bad(format!("invalid value for type: {kind}")));
        }
        _ => table(&request.body, request.flag("ignoreMissing", false), &mut counts)?,
    };
    let scope = scope(state, request)?;
    let id = state.store.writing(&scope, name)?;
    if request.flag("overwrite", false) {
        state.store.truncate(&scope, id)?;
    }
    let overwrite = match request.parameter("onDuplicate") {
        Some("update") => Overwrite::Update,
        Some("replace") => Overwrite::Replace,
        Some("ignore") => Overwrite::Ignore,
        _ => Overwrite::Conflict,
    };
    let prefix = |name| request.parameter(name).unwrap_or_default().to_owned();
    let target = Target {
        id,
        options: Options { overwrite, ..Options::default() },
        complete: request.flag("complete", false),
        from_prefix: prefix("fromPrefix"),
        to_prefix: prefix("toPrefix"),
    };
    state.store.as_one(&scope, |store, scope| import(store, scope, &target, rows, &mut counts))?;
    let mut body = json!({
        "error": false, "created": counts.created, "errors": counts.errors, "empty": counts.empty,
        "updated": counts.updated, "ignored": counts.ignored,
    });
    if request.flag("details", false) {
        body["details"] = json!(counts.details);
    }
    Ok(Reply::json(201, body))
}

/// Writes the rows; a complete import ends with its first error.
fn import(
    store: &mut Store,
    scope: &Scope,
    target: &Target,
    rows: Vec<Row>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let edges = store.collection(scope, target.id)?.kind == Kind::Edge;
    for (place, row) in rows.into_iter().enumerate() {
        let document = match row {
            Ok(document @ Value::Object(_)) => document,
            Ok(other) => {
                let text = crate::json::text(&other);
                let why = format!(
                    "invalid JSON type (expecting object, probably parse error), offending context: {text}"
                );
                skip(target, counts, place, &why)?;
                continue;
            }
            Err(why) => {
                skip(target, counts, place, &why)?;
                continue;
            }
        };
        let document = if edges { prefixed(document, target) } else { document };
        match store.insert(scope, target.id, &document, &target.options) {
            Ok(written) if written.ignored => counts.ignored += 1,
            Ok(written) if written.old.is_some() => counts.updated += 1,
            Ok(_) => counts.created += 1,
            Err(failure) if target.complete || failure.waits => {
                // In short: the row is in the details alone.
                return Err(Failure::new(failure.number));
            }
            Err(failure) => {
                let why = Failure::new(failure.number).message;
                let text = crate::json::text(&document);
                let why = format!(
                    "creating document failed with error '{why}', offending document: {text}"
                );
                skip(target, counts, place, &why)?;
            }
        }
    }
    Ok(())
}

fn skip(target: &Target, counts: &mut Counts, place: usize, why: &str) -> Result<(), Failure> {
    if target.complete {
        return Err(Failure::bad(format!("at position {place}: {why}")));
    }
    counts.errors += 1;
    counts.details.push(format!("at position {place}: {why}"));
    Ok(())
}

/// An edge's ends, with the collections that the request names for them.
fn prefixed(mut document: Value, target: &Target) -> Value {
    for (name, prefix) in [("_from", &target.from_prefix), ("_to", &target.to_prefix)] {
        if !prefix.is_empty()
            && let Some(end) = document[name].as_str()
            && !end.contains('/')
        {
            document[name] = format!("{prefix}/{end}").into();
        }
    }
    document
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// One JSON value a line.
fn lines(body: &[u8], counts: &mut Counts) -> Vec<Row> {
    let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    // Behind the last line end there is no line.
    lines.pop_if(|line| is_blank(line));
    let mut rows = Vec::new();
    for line in lines {
        if is_blank(line) {
            counts.empty += 1;
        } else {
            rows.push(parse(line.trim_ascii()).map_err(|error| error.to_string()));
        }
    }
    rows
}

fn list(body: &[u8]) -> Result<Vec<Row>, Failure> {
    match parse(body) {
        Ok(Value::Array(items)) => Ok(items.into_iter().map(Ok).collect()),
        Ok(_) => Err(Failure::bad("expecting a JSON array in the request")),
        Err(error) => Err(Failure::new(600).says(error.to_string())),
    }
}

/// Arrays, one a line; the first one has the names.
fn table(body: &[u8], ignores_missing: bool, counts: &mut Counts) -> Result<Vec<Row>, Failure> {
    let end = body.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Failure::bad("no JSON array found in second line"))?;
    let Ok(Value::Array(names)) = parse(&body[..end]) else {
        return Err(Failure::bad("no JSON array found in first line"));
    };
    let names: Option<Vec<String>> =
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    let names = names.ok_or_else(|| Failure::bad("no JSON string array found in first line"))?;
    let row = |row: Row| match row? {
        Value::Array(values) if values.len() == names.len() || ignores_missing => {
            let entries = names.iter().cloned().zip(values);
            // A name without a value, or with null, is no attribute.
            let entries = entries.filter(|(_, value)| !value.is_null());
            Ok(Value::Object(entries.collect::<Map<_, _>>()))
        }
        Value::Array(values) => Err(format!(
            "wrong number of JSON values (got {}, expected {})",
            values.len(),
            names.len()
        )),
        _ => Err("no JSON array found".to_owned()),
    };
    Ok(lines(&body[end + 1..], counts).into_iter().map(row).collect())
}
