//! From operations to requests: method, path, and a body for one or for many.

mod document;
#[cfg(test)]
mod tests;

use batch_core::{Error, ErrorKind, KeyRef, OperationRef, Result, Returning, Verb};
use reqwest::Method;
use serde_json::value::RawValue;

use crate::{
    key,
    statement::{Native, Query},
};

/// The longest `_key`.
const LONGEST_KEY: usize = 254;
/// The most bytes of the method and the path of a request to a document, less the names of
/// collection and key in it.
pub(crate) const LONGEST_HEAD: usize = 120;
/// The longest name of a collection, in bytes.
const LONGEST_NAME: usize = 256;
/// Cursors bring this many results at once: the server's own number, said so that it is known.
const PAGE: u32 = 1000;

/// What operations on documents have in common if they can share an array call: their request but
/// for its body. Both ways to delete can, since they differ in what an absence comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub(crate) verb: Verb,
    pub(crate) returning: Option<Returning>,
    pub(crate) has_revision: bool,
}

impl Form {
    /// The form of a portable operation; `None` of a native one.
    pub(crate) fn of(operation: OperationRef<'_>) -> Option<Self> {
        let verb = match operation.verb {
            Verb::Native => return None,
            Verb::DeleteExisting => Verb::Delete,
            verb => verb,
        };
        let options = operation.options;
        Some(Self {
            verb,
            returning: options.returning,
            has_revision: options.if_revision.is_some(),
        })
    }

    fn method(self, is_array: bool) -> Method {
        match self.verb {
            Verb::Insert | Verb::Put | Verb::Upsert => Method::POST,
            Verb::Replace => Method::PUT,
            Verb::Update => Method::PATCH,
            Verb::Get if is_array => Method::PUT,
            Verb::Get => Method::GET,
            _ => Method::DELETE,
        }
    }

    /// Appends the parameters behind `?`.
    fn parameters(self, is_array: bool, path: &mut String) {
        let mut first = true;
        let mut add = |text: &str| {
            path.push(if std::mem::take(&mut first) { '?' } else { '&' });
            path.push_str(text);
        };
        match self.verb {
            Verb::Put => add("overwriteMode=replace"),
            // Both said: the defaults differ between the routes, and between what is documented and what is done.
            Verb::Upsert => add("overwriteMode=update&keepNull=true&mergeObjects=false"),
            Verb::Update => add("keepNull=true&mergeObjects=false"),
            Verb::Get if is_array => add("onlyget=true"),
            _ => {}
        }
        match self.returning {
            Some(Returning::New) if self.verb != Verb::Delete => add("returnNew=true"),
            Some(Returning::Old) => add("returnOld=true"),
            _ => {}
        }
        if is_array && self.has_revision {
            add("ignoreRevs=false");
        }
    }
}

/// Refuses what no server takes. Cheap: done for each operation that is queued.
pub(crate) fn admit(operation: OperationRef<'_>) -> Result<()> {
    match operation.statement {
        None => {
            check_collection(operation.collection)?;
            document::check_names(operation.key)?;
            if let Some(revision) = &operation.options.if_revision {
                check_revision(revision)?;
            }
            // Three characters for one at most, so that short keys need no look.
            if operation.key.size() > LONGEST_KEY / 3 {
                key_of(operation)?;
            }
            Ok(())
        }
        Some(statement) => match Native::of(statement)? {
            Native::Query(query) if query.text.trim().is_empty() => {
                let message = "the query has no text; write one, such as `RETURN 1`";
                Err(Error::new(ErrorKind::InvalidOperation, message))
            }
            _ => Ok(()),
        },
    }
}

fn check_collection(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.len() > LONGEST_NAME {
        "is longer than 256 bytes"
    } else if name.chars().any(|c| matches!(c, '/' | ':') || c.is_control()) {
        "has `/`, `:` or a control character"
    } else if name.starts_with([' ', '.']) || name.ends_with(' ') || name == "." || name == ".." {
        "begins with a dot or a space, or ends with a space"
    } else {
        return Ok(());
    };
    let message = format!("the collection's name {name:?} {why}, which ArangoDB's names cannot");
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn check_revision(revision: &str) -> Result<()> {
    if !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let message =
        "the revision is empty or has characters that no revision has; give it as it was read";
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// An upper bound of the bytes that an operation adds to the body of its request. What is in its
/// path instead, a key and a revision in a header, is counted as if it was in the body.
pub(crate) fn size(operation: OperationRef<'_>) -> usize {
    let own = match operation.statement {
        None => document::added(operation),
        Some(statement) => match Native::of(statement) {
            Ok(Native::Query(query)) => {
                // Each character may have to be escaped.
                let options = query.options.map_or(0, |options| options.get().len());
                query.text.len() * 6 + options + UNDIVIDED.len() + 64
            }
            Ok(Native::Request(request)) => request.path.len(),
            Err(_) => 0,
        },
    };
    own + operation.body.len()
}

/// The bytes of the names in the path of a request to a document, as a part of a multipart call has it.
pub(crate) fn path_size(operation: OperationRef<'_>) -> usize {
    // Three characters for one that stands not for itself. A key is ASCII by then, and what is
    // escaped in it is escaped once more.
    let encoded = |text: &str| {
        text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 }).sum::<usize>()
    };
    match operation.statement {
        None => {
            let keys = operation.key.string_parts().map(|(_, text)| encoded(text) * 2 + 8);
            encoded(operation.collection) + keys.sum::<usize>()
        }
        Some(_) => 0,
    }
}

/// A request to one or more documents, or a native one.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) if_match: Option<Box<str>>,
}

/// The `_key` of an operation's document.
pub(crate) fn key_of(operation: OperationRef<'_>) -> Result<String> {
    let mut text = String::new();
    key::write_key(operation.collection, operation.key, &mut text)?;
    Ok(text)
}

/// The request for an array of operations of one form.
pub(crate) fn array_request(collection: &str, form: Form) -> Request {
    let mut path = String::with_capacity(96);
    path.push_str("/_api/document/");
    key::push_path_segment(collection, &mut path);
    form.parameters(true, &mut path);
    Request { method: form.method(true), path, if_match: None }
}

/// Appends one operation to the body of an array.
///
/// # Errors
/// If the operation cannot be sent; nothing is appended then.
pub(crate) fn write_element(operation: OperationRef<'_>, out: &mut Vec<u8>) -> Result<()> {
    let revision = operation.options.if_revision.as_deref();
    if operation.verb.has_document() {
        return document::write(operation, revision, out);
    }
    let key = key_of(operation)?;
    match revision {
        None => {
            out.push(b'"');
            out.extend_from_slice(key.as_bytes());
            out.push(b'"');
        }
        Some(revision) => {
            let both = serde_json::json!({"_key": key, "_rev": revision}).to_string();
            out.extend_from_slice(both.as_bytes());
        }
    }
    Ok(())
}

/// Whether an operation can be encoded: for what must be known before a request of several leaves.
///
/// # Errors
/// What encoding would say.
pub(crate) fn check(operation: OperationRef<'_>) -> Result<()> {
    if operation.verb.has_document() {
        return document::check(operation);
    }
    Ok(())
}

/// The request for one operation, with its body appended to `out`.
///
/// # Errors
/// If the operation cannot be sent; nothing is appended then.
pub(crate) fn single_request(operation: OperationRef<'_>, out: &mut Vec<u8>) -> Result<Request> {
    match operation.statement {
        Some(statement) => match Native::of(statement)? {
            Native::Query(query) => {
                write_query(query, operation.body, out)?;
                let path = "/_api/cursor".to_owned();
                Ok(Request { method: Method::POST, path, if_match: None })
            }
            Native::Request(request) => {
                out.extend_from_slice(operation.body);
                Ok(Request {
                    method: request.method.clone(),
                    path: request.path.to_string(),
                    if_match: request.if_match.clone(),
                })
            }
        },
        None => document_request(operation, out),
    }
}

fn document_request(operation: OperationRef<'_>, out: &mut Vec<u8>) -> Result<Request> {
    let Some(form) = Form::of(operation) else {
        let message = "the operation names no statement and no document; build it anew";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    };
    let key = key_of(operation)?;
    if operation.verb.has_document() {
        document::write(operation, None, out)?;
    }
    let mut path = String::with_capacity(96 + key.len());
    path.push_str("/_api/document/");
    key::push_path_segment(operation.collection, &mut path);
    if !matches!(operation.verb, Verb::Insert | Verb::Put | Verb::Upsert) {
        path.push('/');
        key::push_path_segment(&key, &mut path);
    }
    form.parameters(false, &mut path);
    let if_match = operation.options.if_revision.as_ref();
    let if_match = if_match.map(|revision| format!("\"{revision}\"").into_boxed_str());
    Ok(Request { method: form.method(false), path, if_match })
}

/// Without these a query that writes much is committed in between, and one that fails has written
/// all the same (documentation of HTTP cursors, options).
const UNDIVIDED: &str =
    r#""intermediateCommitCount":9007199254740991,"intermediateCommitSize":9007199254740991"#;

/// Whether a query's own options let the server commit a part of it.
pub(crate) fn may_commit_between(options: Option<&RawValue>) -> bool {
    options.is_some_and(|options| options.get().contains("intermediateCommit"))
}

fn write_query(query: Query<'_>, bind: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(br#"{"query":"#);
    serde_json::to_writer(&mut *out, query.text).map_err(|error| {
        let message = format!("the query cannot be written: {error}");
        Error::new(ErrorKind::InvalidOperation, message).with_source(error)
    })?;
    out.extend_from_slice(br#","bindVars":"#);
    out.extend_from_slice(bind);
    out.extend_from_slice(format!(r#","batchSize":{PAGE},"options":{{"#).as_bytes());
    let given = query.options.map(|options| options.get().trim_ascii());
    let given = given.and_then(|options| options.strip_prefix('{')?.strip_suffix('}'));
    let given = given.unwrap_or_default().trim_ascii();
    if !may_commit_between(query.options) {
        out.extend_from_slice(UNDIVIDED.as_bytes());
        if !given.is_empty() {
            out.push(b',');
        }
    }
    out.extend_from_slice(given.as_bytes());
    out.extend_from_slice(b"}}");
    Ok(())
}

/// The request that reads one document: path, body, and the `_key` that the answer must have.
pub(crate) fn read_request(collection: &str, key: KeyRef<'_>) -> Result<(String, Vec<u8>, String)> {
    check_collection(collection)?;
    document::check_names(key)?;
    let mut text = String::new();
    key::write_key(collection, key, &mut text)?;
    let mut path = String::from("/_api/document/");
    key::push_path_segment(collection, &mut path);
    path.push_str("?onlyget=true");
    let body = format!("[\"{text}\"]").into_bytes();
    Ok((path, body, text))
}
