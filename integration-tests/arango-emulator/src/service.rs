//! A request of HTTP becomes one of the server's, and its answer one of HTTP again.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Response, StatusCode, Version as Protocol,
    body::Incoming,
    header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING},
};

use crate::{log::Seen, reply::Reply, request::Request, server::Server, wire::Line};

/// Why a connection ends without an answer.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;

pub(crate) async fn serve(
    server: Arc<Server>,
    line: Arc<Line>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Broken> {
    let head = request.method() == "HEAD";
    let (parts, body) = request.into_parts();
    let late = parts.version == Protocol::HTTP_2;
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        let text = "Parsing for transfer-encoding of type chunked not implemented.";
        return Ok(respond(&server, &Reply::of_connection(501, 9, text), false, late, true));
    }
    let length =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.unwrap_or(0) > server.state().settings.body_limit {
        let reply = Reply::of_connection(413, 413, "request body too large");
        return Ok(respond(&server, &reply, false, late, true));
    }
    let body = body.collect().await?.to_bytes();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let mut request = Request::new(parts.method.as_str(), &target);
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    request.headers = headers.iter().cloned().collect();
    request.body = body.clone();
    server.log.add(Seen {
        connection: line.number,
        protocol: format!("{:?}", parts.version),
        method: parts.method.as_str().to_owned(),
        target,
        headers,
        length: body.len(),
        body,
    });
    // On a task of its own: a client that goes away does not stop the server from finishing.
    let reply = tokio::spawn(Arc::clone(&server).execute(request, None)).await?;
    Ok(respond(&server, &reply, head, late, false))
}

/// The headers of every answer; the last five came with 3.10.
const FIXED: [(&str, &str); 8] = [
    ("server", "ArangoDB"),
    ("x-arango-queue-time-seconds", "0.000000"),
    ("x-content-type-options", "nosniff"),
    (
        "cache-control",
        "no-cache, no-store, must-revalidate, pre-check=0, post-check=0, max-age=0, s-maxage=0",
    ),
    ("content-security-policy", "frame-ancestors 'self'; form-action 'self';"),
    ("expires", "0"),
    ("pragma", "no-cache"),
    ("strict-transport-security", "max-age=31536000 ; includeSubDomains"),
];

fn respond(
    server: &Server,
    reply: &Reply,
    head: bool,
    late: bool,
    closes: bool,
) -> Response<Full<Bytes>> {
    let (early, escape) = {
        let state = server.state();
        (!state.version.at_least(3, 10, 0), state.escapes())
    };
    let (kind, body) = reply.render(escape);
    let mut response = Response::new(Full::new(if head { Bytes::new() } else { body.clone() }));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    let headers = response.headers_mut();
    let fixed = if early { &FIXED[..3] } else { &FIXED[..] };
    for (name, value) in fixed {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    if !late {
        // Within HTTP/2 there is no such header.
        let value = if closes { "Close" } else { "Keep-Alive" };
        headers.insert("connection", HeaderValue::from_static(value));
    }
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert("content-type", kind);
    }
    // Of a HEAD, what the body would have.
    headers.insert("content-length", HeaderValue::from(body.len()));
    response
}
