//! The HTTP request within a part. By HttpRequest.cpp.

use bytes::Bytes;

use super::Part;
use crate::{request::Request, server::Server};

/// The request of a part, in the database and with the rights of the envelope.
pub(super) fn request(server: &Server, envelope: &Request, part: &Part<'_>) -> Request {
    let (head, body) = match part.split {
        Some((end, start)) => (&part.bytes[..end], &part.bytes[start..]),
        None => (part.bytes, &[][..]),
    };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    // The version may be anything, or missing; the method may be in small letters.
    let mut words = lines.next().unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::new(method, target);
    // A database in the part's path is dropped, and not looked at.
    request.database.clone_from(&envelope.database);
    request.body = Bytes::copy_from_slice(body);
    for line in lines {
        if let Some((name, value)) = line.split_once(':') {
            request.headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    if !server.state().settings.transactions_in_batches {
        request.headers.remove("x-arango-trx-id");
    }
    request
}
