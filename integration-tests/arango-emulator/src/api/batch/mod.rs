//! `POST /_api/batch`: parts of a multipart message, run one after another. By RestBatchHandler.cpp of
//! both generations: each part is read only when the one before it has run.

mod boundary;
mod early;
mod embedded;
mod late;

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use memchr::memmem;

use crate::{
    errors::Failure,
    reply::{Content, Reply, reason},
    request::Request,
    server::{Server, StopAt},
    version::BatchRoute,
};

/// A part of the message: its bytes, its `Content-Id` as it is echoed, and where the next one starts.
#[derive(Debug)]
struct Part<'a> {
    id: Option<&'a [u8]>,
    /// The HTTP request, up to the next delimiter.
    bytes: &'a [u8],
    /// Where the HTTP request ends its header and starts its body, within `bytes`.
    split: Option<(usize, usize)>,
    /// Where the next delimiter is; none after the last part.
    next: Option<usize>,
}

/// Runs a batch. Where it is to stop, there is no room in the server's queue for more.
pub(crate) fn run(
    server: Arc<Server>,
    request: Request,
    stop: Option<StopAt>,
) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
    // A part can be a batch again.
    Box::pin(async move {
        let route = server.state().batch_route();
        run_parts(&server, &request, route, stop).await.unwrap_or_else(Reply::from)
    })
}

async fn run_parts(
    server: &Arc<Server>,
    request: &Request,
    route: BatchRoute,
    stop: Option<StopAt>,
) -> Result<Reply, Failure> {
    if request.method != "POST" && request.method != "PUT" {
        return Err(Failure::new(405));
    }
    let delimiter = boundary::find(request, route)
        .ok_or_else(|| Failure::bad("invalid content-type or boundary received"))?;
    // What the early parser's string functions see: up to a NUL.
    let visible = memchr::memchr(0, &request.body).unwrap_or(request.body.len());
    let mut answer = Vec::new();
    let (mut errors, mut start, mut number) = (0, Some(0), 0);
    while let Some(place) = start {
        let part = match route {
            BatchRoute::Early => early::part(&request.body, visible, &delimiter, place),
            BatchRoute::Late | BatchRoute::Gone => late::part(&request.body, &delimiter, place),
        };
        // What ran before this stays, but its results are lost.
        let part = part.ok_or_else(|| Failure::bad("invalid multipart message received"))?;
        number += 1;
        let stops = stop.filter(|stop| stop.part == number);
        if stops.is_some_and(|stop| !stop.executed) {
            return Err(Failure::new(21003));
        }
        let inner = embedded::request(server, request, &part);
        let head = inner.method == "HEAD";
        let reply = if inner.path == "/_api/batch" {
            run(Arc::clone(server), inner, None).await
        } else {
            server.answer(&inner).await
        };
        if stops.is_some() {
            return Err(Failure::new(21003));
        }
        if reply.status >= 400 {
            errors += 1;
        }
        let escape = server.state().escapes();
        write(&mut answer, &delimiter, part.id, &reply, head, escape);
        start = part.next;
    }
    answer.extend_from_slice(&delimiter);
    answer.extend_from_slice(b"--");
    let content = Content::Bytes(boundary::echo(request), answer.into());
    let reply = Reply { status: 200, headers: Vec::new(), content };
    Ok(if errors > 0 { reply.header("x-arango-errors", errors.to_string()) } else { reply })
}

/// Writes the answer of one part, by HttpResponse.cpp.
fn write(
    out: &mut Vec<u8>,
    delimiter: &[u8],
    id: Option<&[u8]>,
    reply: &Reply,
    head: bool,
    escape: bool,
) {
    let (kind, body): (String, Bytes) = reply.render(escape);
    out.extend_from_slice(delimiter);
    out.extend_from_slice(b"\r\nContent-Type: application/x-arango-batchpart");
    if let Some(id) = id {
        out.extend_from_slice(b"\r\nContent-Id: ");
        out.extend_from_slice(id);
    }
    let mut lines = format!("\r\n\r\nHTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    lines.push_str("Server: \r\n");
    for (name, value) in &reply.headers {
        lines.push_str(&format!("{}: {value}\r\n", capitalised(name)));
    }
    lines.push_str(&format!(
        "Connection: Close \r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    out.extend_from_slice(lines.as_bytes());
    if !head {
        out.extend_from_slice(&body);
    }
    out.extend_from_slice(b"\r\n");
}

/// `x-arango-errors` as `X-Arango-Errors`.
pub(crate) fn capitalised(name: &str) -> String {
    let mut first = true;
    let capital = |c: char| {
        let shown = if first { c.to_ascii_uppercase() } else { c };
        first = c == '-';
        shown
    };
    name.chars().map(capital).collect()
}

/// Where `what` is in `text`, from `start` on.
fn search(text: &[u8], what: &[u8], start: usize) -> Option<usize> {
    memmem::find(text.get(start..)?, what).map(|place| start + place)
}
