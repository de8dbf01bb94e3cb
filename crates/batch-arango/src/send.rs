//! One chunk, once: encode, send, decode.

mod array;
mod cursor;
mod multipart;
mod read;
mod run;
mod single;
mod transaction;

use std::{sync::LazyLock, time::Duration};

use batch_core::{
    Error, ErrorKind, OperationRef, Result, Verb,
    seam::{Answers, Chunk},
};
use bytes::Bytes;
use memchr::memmem;
use tokio::time::Instant;

use crate::errors::Scope;
use crate::{
    array::{Element, What},
    errors,
    http::Reply,
    server::answered,
};

/// How many operations are encoded before the executor gets its turn back.
const SLICE: usize = 128;

/// What judging takes at most of a commit's time, and of what is left of it.
const JUDGING: Duration = Duration::from_millis(100);
const PART_FOR_JUDGING: u32 = 8;

/// Until when more is waited for where what has come is of use: at the deadline itself the core drops
/// it all.
fn last_moment(chunk: &Chunk<'_>) -> Instant {
    let left = chunk.deadline().saturating_duration_since(Instant::now());
    chunk.deadline() - JUDGING.min(left / PART_FOR_JUDGING)
}

/// What one operation came to, by the answer to it alone.
pub(crate) fn verdict(operation: OperationRef<'_>, answer: Result<Bytes>) -> Result<Bytes> {
    match answer {
        // Absent afterwards, as was asked.
        Err(error)
            if operation.verb == Verb::Delete
                && error.kind() == ErrorKind::NotFound
                && is_of_document(&error) =>
        {
            Ok(Bytes::new())
        }
        answer => answer,
    }
}

/// The number of "document not found"; a collection that is not there has another one.
const DOCUMENT_NOT_FOUND: u32 = 1202;

fn is_of_document(error: &Error) -> bool {
    error.details().any(|(name, value)| {
        name == "error_num" && value.as_u64() == Some(DOCUMENT_NOT_FOUND.into())
    })
}

/// What the element of an array says about its operation.
pub(crate) fn of_element(
    operation: OperationRef<'_>,
    key: &str,
    element: Element,
) -> Result<Bytes> {
    let has_revision = operation.options.if_revision.is_some();
    let answer = match element.what {
        What::Document if has_key(&element.text, key) => Ok(element.text),
        What::Refused { number, message } => Err(errors::element(number, &message, has_revision)),
        What::Document | What::Other => Err(another(&element.text)),
    };
    verdict(operation, answer)
}

/// What an answer to a single operation on a document says.
pub(crate) fn of_document(operation: OperationRef<'_>, key: &str, reply: &Reply) -> Result<Bytes> {
    let has_revision = operation.options.if_revision.is_some();
    let answer = if !reply.is_success() {
        Err(errors::refused(&answered(reply, Scope::Single, has_revision)))
    } else if has_key(&reply.body, key) {
        Ok(reply.body.clone())
    } else {
        Err(another(&reply.body))
    };
    verdict(operation, answer)
}

/// What stands before the key in an answer. Made once: that takes longer than to look for it.
static KEY_ATTRIBUTE: LazyLock<memmem::Finder<'_>> =
    LazyLock::new(|| memmem::Finder::new(br#""_key":"#));

/// Whether an answer is about the document that was asked for: an object that has the key near its
/// beginning. A key needs no escaping.
fn has_key(text: &[u8], key: &str) -> bool {
    let ends = text.first() == Some(&b'{') && text.last() == Some(&b'}');
    ends && KEY_ATTRIBUTE.find_iter(text).any(|at| {
        let value = text.get(at + KEY_ATTRIBUTE.needle().len()..).unwrap_or_default();
        let value = value.trim_ascii_start().strip_prefix(b"\"");
        let rest = value.and_then(|value| value.strip_prefix(key.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&b'"'))
    })
}

fn another(text: &[u8]) -> Error {
    let start = String::from_utf8_lossy(text.get(..text.len().min(60)).unwrap_or_default());
    let message = format!(
        "the answer is not about the document that was asked for: `{}`; read the document to know",
        start.escape_debug()
    );
    Error::new(ErrorKind::Protocol, message).unknown()
}

/// Sets one error for many places.
pub(crate) fn set_all(answers: &mut Answers, places: &[usize], error: &Error) {
    for place in places {
        answers.set(*place, Err(error.clone()));
    }
}
