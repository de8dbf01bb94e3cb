//! A request of HTTP becomes one of the server's, and its answer one of HTTP again; between them, what
//! was asked to go wrong does.

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode, Version as Protocol,
    body::Incoming,
    header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING},
};

use crate::{
    control,
    edit::edit,
    errors::Failure,
    fault::{Edit, Fault},
    log::Seen,
    payload::{Broken, Payload},
    reply::{Content, Reply},
    request::Request,
    server::{Server, StopAt, unauthorized},
    wire::{Head, Line, Then, Trouble},
};

type Answered = Result<Response<Payload>, Broken>;

/// What a request needs to be answered.
struct Exchange {
    server: Arc<Server>,
    line: Arc<Line>,
    request: Request,
    target: String,
    late: bool,
}

pub(crate) async fn serve(
    server: Arc<Server>,
    line: Arc<Line>,
    request: hyper::Request<Incoming>,
) -> Answered {
    let (parts, body) = request.into_parts();
    let late = parts.version == Protocol::HTTP_2;
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
    let exchange = Exchange { server, line, request, target, late };
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        drain(body).await?;
        let text = "Parsing for transfer-encoding of type chunked not implemented.";
        return Ok(exchange.respond(&Reply::of_connection(501, 9, text), true, None));
    }
    let length = parts.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    if length > exchange.server.state().settings.body_limit {
        drain(body).await?;
        let reply = Reply::of_connection(413, 413, "payload too large");
        return Ok(exchange.respond(&reply, true, None));
    }
    let mut exchange = exchange;
    exchange.request.body = body.collect().await?.to_bytes();
    if exchange.target.starts_with("/_emulator/") {
        let reply = control::handle(&exchange.server, &exchange.request);
        return Ok(exchange.respond(&reply.unwrap_or_else(Reply::from), false, None));
    }
    let seen = Seen {
        connection: exchange.line.number,
        protocol: format!("{:?}", parts.version),
        method: parts.method.as_str().to_owned(),
        target: exchange.target.clone(),
        headers,
        length: exchange.request.body.len(),
        body: exchange.request.body.clone(),
    };
    let fault = exchange.server.faults.strike(&seen);
    exchange.server.log.add(seen);
    exchange.answer(fault).await
}

/// Reads what is refused, so that the client is there to read why; then the connection ends, as the source
/// has it.
async fn drain(mut body: Incoming) -> Result<(), Broken> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

/// How an answer ends, if not as it should.
type Ending = Option<(usize, Then)>;

impl Exchange {
    async fn answer(self, fault: Option<Fault>) -> Answered {
        let Some(fault) = fault else {
            let reply = self.execute(None).await?;
            return Ok(self.respond(&reply, false, None));
        };
        match fault {
            Fault::ResetBefore => self.reset(),
            Fault::ResetAfter => {
                self.execute(None).await?;
                self.reset()
            }
            Fault::ResetAtPart { part, executed } => {
                self.execute(Some(StopAt { part, executed })).await?;
                self.reset()
            }
            Fault::CloseBefore => self.close(),
            Fault::CloseAfter => {
                self.execute(None).await?;
                self.close()
            }
            Fault::StallBefore => std::future::pending().await,
            Fault::StallAfter => {
                self.execute(None).await?;
                std::future::pending().await
            }
            Fault::Hold => {
                let released = self.server.released();
                let reply = self.execute(None).await?;
                released.await;
                Ok(self.respond(&reply, false, None))
            }
            // hyper tells the peer that the stream may be sent again.
            Fault::RefuseStream => Err(Box::new(h2::Error::from(h2::Reason::REFUSED_STREAM))),
            Fault::ResetStream { executed } => {
                if executed {
                    self.execute(None).await?;
                }
                Err(Box::new(h2::Error::from(h2::Reason::INTERNAL_ERROR)))
            }
            Fault::Garbage | Fault::Drip | Fault::CutHead { .. } => {
                let reply = self.execute(None).await?;
                self.line.arm(trouble(&fault));
                Ok(self.respond(&reply, false, None))
            }
            Fault::CutBody { after } => self.cut(after, Then::Close).await,
            Fault::StallBody { after } => self.cut(after, Then::Stall).await,
            Fault::CloseBehind => {
                let reply = self.execute(None).await?;
                if self.late {
                    self.line.leave().await;
                }
                Ok(self.respond(&reply, true, None))
            }
            Fault::CloseBehindSilently => {
                let reply = self.execute(None).await?;
                let (_, body) = reply.render(self.server.state().escapes());
                self.ends(body.len(), Then::Close);
                Ok(self.respond(&reply, false, None))
            }
            Fault::Edit { edit: how } => {
                let reply = self.execute(None).await?;
                let escape = self.server.state().escapes();
                let header = match &how {
                    Edit::Header { name, value } => Some((name.as_str(), value.as_deref())),
                    _ => None,
                };
                let mut response = self.respond(&edit(reply, &how, escape), false, None);
                if let Some((name, value)) = header {
                    set_header(&mut response, name, value)?;
                }
                Ok(response)
            }
            Fault::QueueFullAtPart { part } => {
                let reply = self.execute(Some(StopAt { part, executed: false })).await?;
                Ok(self.respond(&reply, false, None))
            }
            other => {
                if executes(&other) {
                    self.execute(None).await?;
                }
                Ok(self.respond(&self.refusal(&other), false, None))
            }
        }
    }

    /// On a task of its own: a client that goes away does not stop the server from finishing.
    async fn execute(&self, stop: Option<StopAt>) -> Result<Reply, Broken> {
        let request = self.request.clone();
        Ok(tokio::spawn(Arc::clone(&self.server).execute(request, stop)).await?)
    }

    fn reset(&self) -> Answered {
        self.line.arm(Trouble::Reset);
        Err("reset".into())
    }

    fn close(&self) -> Answered {
        self.line.arm(Trouble::Until { head: None, left: 0, then: Then::Close });
        Err("closed".into())
    }

    /// The connection ends so many bytes behind the head of the answer.
    fn ends(&self, left: usize, then: Then) {
        if !self.late {
            self.line.arm(Trouble::Until { head: Some(Head::default()), left, then });
        }
    }

    async fn cut(self, after: usize, then: Then) -> Answered {
        let reply = self.execute(None).await?;
        self.ends(after, then);
        // The streams of HTTP/2 end each by itself, within the connection.
        Ok(self.respond(&reply, false, self.late.then_some((after, then))))
    }

    /// What is answered instead.
    fn refusal(&self, fault: &Fault) -> Reply {
        match fault {
            Fault::Proxy { status, .. } => {
                let reason = crate::reply::reason(*status);
                let page = format!(
                    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
                );
                let content = Content::Bytes("text/html".into(), page.into());
                Reply { status: *status, headers: Vec::new(), content }
            }
            Fault::Refuse { status, number, message, retry_after } => {
                let reply = error(*status, *number, message);
                match retry_after {
                    Some(seconds) => reply.header("retry-after", seconds.to_string()),
                    None => reply,
                }
            }
            Fault::RefuseAfter { status, number, message } => error(*status, *number, message),
            Fault::Redirect { status, location } => {
                let location = if location.is_empty() { &self.target } else { location };
                Reply::nothing(*status).header("location", location.clone())
            }
            // 401 is what is left.
            _ => unauthorized(&self.request),
        }
    }
}

fn executes(fault: &Fault) -> bool {
    matches!(fault, Fault::Proxy { executed: true, .. } | Fault::RefuseAfter { .. })
}

fn error(status: u16, number: u32, message: &str) -> Reply {
    let failure = Failure::new(number).status(status);
    let failure = if message.is_empty() { failure } else { failure.says(message) };
    failure.into()
}

fn trouble(fault: &Fault) -> Trouble {
    match fault {
        Fault::Drip => Trouble::Drip { rested: false },
        Fault::CutHead { after } => Trouble::Until { head: None, left: *after, then: Then::Close },
        _ => Trouble::Instead(b"\x15\x03HTP/one 2OO perhaps\r\n\r\n".to_vec()),
    }
}

fn set_header(
    response: &mut Response<Payload>,
    name: &str,
    value: Option<&str>,
) -> Result<(), Broken> {
    let name = HeaderName::from_bytes(name.as_bytes())?;
    match value {
        Some(value) => response.headers_mut().insert(name, HeaderValue::from_str(value)?),
        None => response.headers_mut().remove(name),
    };
    Ok(())
}

/// The headers of every answer; the last five came with 3.10.
const FIXED: [(&str, &str); 7] = [
    ("server", "ArangoDB"),
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

impl Exchange {
    fn respond(&self, reply: &Reply, closes: bool, ending: Ending) -> Response<Payload> {
        let (early, escape, queue, threshold) = {
            let state = self.server.state();
            let threshold = state.settings.compress_threshold;
            let early = !state.version.at_least(3, 10, 0);
            (early, state.escapes(), state.settings.queue_seconds, threshold)
        };
        let (kind, body) = reply.render(escape);
        let (encoding, body) = self.compressed(&kind, body, threshold);
        let shown = if self.request.method == "HEAD" { Bytes::new() } else { body.clone() };
        let payload = Payload::new(shown);
        let mut response = Response::new(match ending {
            Some((bytes, then)) => {
                payload.until(bytes, then, Box::pin(self.line.gone(bytes.min(body.len()))))
            }
            None => payload,
        });
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
        let headers = response.headers_mut();
        for (name, value) in if early { &FIXED[..2] } else { &FIXED[..] } {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let mut set = |name: HeaderName, value: &str| {
            // What no header can hold came from a client; it is left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(name, value);
            }
        };
        set(HeaderName::from_static("x-arango-queue-time-seconds"), &format!("{queue:.6}"));
        if !self.late {
            // Within HTTP/2 there is no such header.
            let value = if closes { "Close" } else { "Keep-Alive" };
            set(HeaderName::from_static("connection"), value);
        }
        for (name, value) in &reply.headers {
            set(HeaderName::from_static(name), value);
        }
        if let Some(encoding) = encoding {
            set(HeaderName::from_static("content-encoding"), encoding);
        }
        set(HeaderName::from_static("content-type"), &kind);
        // Of a HEAD, what the body would have.
        headers.insert("content-length", HeaderValue::from(body.len()));
        response
    }

    /// From 3.12 on, answers over a threshold are compressed, but those of batches never are. It is off
    /// until it is said, and `Accept-Encoding` has to be one word.
    fn compressed(
        &self,
        kind: &str,
        body: Bytes,
        threshold: usize,
    ) -> (Option<&'static str>, Bytes) {
        let fits = threshold > 0 && body.len() >= threshold && kind.starts_with("application/json");
        let finished = match self.request.header("accept-encoding").filter(|_| fits) {
            Some("gzip") => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
                writer.write_all(&body).and_then(|()| writer.finish()).map(|bytes| ("gzip", bytes))
            }
            Some("deflate") => {
                let mut writer = ZlibEncoder::new(Vec::new(), Compression::fast());
                writer.write_all(&body).and_then(|()| writer.finish()).map(|b| ("deflate", b))
            }
            _ => return (None, body),
        };
        // Into memory, nothing fails.
        finished.map_or((None, body), |(name, bytes)| (Some(name), bytes.into()))
    }
}
