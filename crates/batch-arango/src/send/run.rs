//! Runs: operations that follow one another and are one request, in a call or a transaction of several.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use batch_core::{
    Error, ErrorKind, OperationRef, Result, Verb,
    seam::{Answers, Chunk, KeyId},
};
use bytes::Bytes;
use foldhash::fast::FixedState;

use super::{SLICE, of_document, of_element, set_all};
use crate::{
    array,
    encode::{self, Form, Request},
    errors::{self, Scope},
    http::Reply,
    route::{MOST_BYTES, MOST_OPERATIONS},
    server::answered,
    statement::Native,
};

/// A run that is encoded.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) request: Request,
    pub(crate) is_array: bool,
    /// The places of its operations in the chunk.
    pub(crate) places: Vec<usize>,
}

/// The run of a chunk that begins at `start`: neighbours of one form and collection, each key
/// once, if `arrays` may be sent.
pub(crate) fn next(chunk: &Chunk<'_>, start: usize, arrays: bool) -> Option<Range<usize>> {
    let first = chunk.operation(start)?;
    let form = Form::of(first).filter(|_| arrays);
    let mut keys = HashSet::with_hasher(FixedState::default());
    let mut bytes = 0;
    let mut end = start;
    while let Some(operation) = chunk.operation(end) {
        let key = KeyId::of_string_forms(operation.collection, operation.key);
        bytes += encode::size(operation);
        let joins = end == start
            || form.is_some()
                && Form::of(operation) == form
                && operation.collection == first.collection
                && end - start < MOST_OPERATIONS
                && bytes <= MOST_BYTES
                && !key.is_some_and(|key| keys.contains(&key));
        if !joins {
            break;
        }
        keys.extend(key);
        end += 1;
    }
    Some(start..end)
}

/// Appends the body of a run. What cannot be encoded is answered, and left out; `None` if nothing
/// is left.
pub(crate) async fn encode(
    chunk: &Chunk<'_>,
    run: Range<usize>,
    out: &mut Vec<u8>,
    answers: &mut Answers,
) -> Option<Encoded> {
    if run.len() > 1 {
        return encode_array(chunk, run, out, answers).await;
    }
    let place = run.start;
    match encode::single_request(chunk.operation(place)?, out) {
        Ok(request) => Some(Encoded { request, is_array: false, places: vec![place] }),
        Err(error) => {
            answers.set(place, Err(error));
            None
        }
    }
}

/// As [`encode`], for a request that is all of a chunk. It has a body, since that is what is held back
/// until a connection is there to take it: a document is deleted, or read, by an array of one.
pub(crate) async fn encode_alone(
    chunk: &Chunk<'_>,
    out: &mut Vec<u8>,
    answers: &mut Answers,
) -> Option<Encoded> {
    match chunk.operation(0).and_then(Form::of) {
        Some(form) if matches!(form.verb, Verb::Delete | Verb::Get) => {
            encode_array(chunk, 0..1, out, answers).await
        }
        _ => encode(chunk, 0..1, out, answers).await,
    }
}

/// As [`encode`], as an array, however many there are. Gives way in between.
pub(crate) async fn encode_array(
    chunk: &Chunk<'_>,
    run: Range<usize>,
    out: &mut Vec<u8>,
    answers: &mut Answers,
) -> Option<Encoded> {
    let first = chunk.operation(run.start)?;
    let form = Form::of(first)?;
    let mut places = Vec::with_capacity(run.len());
    out.push(b'[');
    for place in run {
        let Some(operation) = chunk.operation(place) else { continue };
        let start = out.len();
        if !places.is_empty() {
            out.push(b',');
        }
        match encode::write_element(operation, out) {
            Ok(()) => places.push(place),
            Err(error) => {
                out.truncate(start);
                answers.set(place, Err(error));
            }
        }
        if place % SLICE == SLICE - 1 {
            tokio::task::yield_now().await;
        }
    }
    out.push(b']');
    if places.is_empty() {
        return None;
    }
    let request = encode::array_request(first.collection, form);
    Some(Encoded { request, is_array: true, places })
}

/// Whether a run is a query.
pub(crate) fn is_query(chunk: &Chunk<'_>, run: &Encoded) -> bool {
    let operation = run.places.first().and_then(|place| chunk.operation(*place));
    let statement = operation.and_then(|operation| operation.statement);
    !run.is_array && matches!(statement.map(Native::of), Some(Ok(Native::Query(_))))
}

/// Sets the answers to a run's operations but for those of queries, which may have more to come:
/// their first page is given back.
pub(crate) fn decode(
    chunk: &Chunk<'_>,
    run: &Encoded,
    reply: &Reply,
    answers: &mut Answers,
) -> Option<Bytes> {
    if run.is_array {
        decode_array(chunk, run, reply, answers);
        return None;
    }
    let (Some(place), Some(operation)) =
        (run.places.first().copied(), run.places.first().and_then(|place| chunk.operation(*place)))
    else {
        return None;
    };
    match operation.statement.map(Native::of) {
        Some(Ok(Native::Query(_))) if reply.is_success() => return Some(reply.body.clone()),
        Some(_) => answers.set(place, of_request(operation, reply)),
        None => {
            let answer = encode::key_of(operation);
            answers.set(place, answer.and_then(|key| of_document(operation, &key, reply)));
        }
    }
    None
}

/// The status of an answer that has no body on purpose.
const NO_CONTENT: u16 = 204;

/// The answer to a native request: its text, if it is a success.
fn of_request(operation: OperationRef<'_>, reply: &Reply) -> Result<Bytes> {
    let (has_revision, may_be_partly_done) = match operation.statement.map(Native::of) {
        Some(Ok(Native::Request(request))) => (request.if_match.is_some(), false),
        Some(Ok(Native::Query(query))) => (false, encode::may_commit_between(query.options)),
        _ => (false, false),
    };
    if !reply.is_success() {
        let error = errors::refused(&answered(reply, Scope::Single, has_revision));
        return Err(if may_be_partly_done { error.unknown() } else { error });
    }
    let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&reply.body).is_ok();
    if is_json || (reply.status == NO_CONTENT && reply.body.is_empty()) {
        return Ok(reply.body.clone());
    }
    let message =
        "the answer to the request is no JSON; look at the server to know what became of it";
    Err(Error::new(ErrorKind::Protocol, message).unknown())
}

fn decode_array(chunk: &Chunk<'_>, run: &Encoded, reply: &Reply, answers: &mut Answers) {
    if let Err(error) = array_answers(chunk, run, reply, answers) {
        set_all(answers, &run.places, &error);
    }
}

/// The answers to an array call.
///
/// # Errors
/// What stands for all of its operations; none is answered then.
pub(crate) fn array_answers(
    chunk: &Chunk<'_>,
    run: &Encoded,
    reply: &Reply,
    answers: &mut Answers,
) -> Result<()> {
    let operation = |index: usize| {
        let place = run.places.get(index).copied()?;
        Some((place, chunk.operation(place)?))
    };
    let (has_revision, is_read) = operation(0).map_or((false, false), |(_, operation)| {
        let form = Form::of(operation);
        (operation.options.if_revision.is_some(), form.is_some_and(|form| form.verb == Verb::Get))
    });
    if !reply.is_success() {
        let error = errors::refused(&answered(reply, Scope::Call, has_revision));
        return Err(error);
    }
    let mut refused = BTreeMap::new();
    let mut elements = Vec::with_capacity(run.places.len());
    array::read(&reply.body, run.places.len(), is_read, &mut |index, element| {
        if let array::What::Refused { number, .. } = &element.what {
            *refused.entry(*number).or_insert(0) += 1;
        }
        elements.push((index, element));
    })?;
    if !is_read {
        array::check_codes(reply.header("x-arango-error-codes"), &refused)?;
    }
    let mut key = String::new();
    for (index, element) in elements {
        let Some((place, operation)) = operation(index) else { continue };
        key.clear();
        let answer = crate::key::write_key(operation.collection, operation.key, &mut key)
            .and_then(|()| of_element(operation, &key, element));
        answers.set(place, answer);
    }
    Ok(())
}
