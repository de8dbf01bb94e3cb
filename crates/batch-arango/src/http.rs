//! One request to one server, once: where it goes, who asks, and whether it may have been acted on.

mod auth;
mod gate;
mod orphan;

use std::{
    fmt,
    io::Write as _,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use batch_core::{Error, ErrorKind, Result};
use bytes::{Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
        HeaderValue, IF_MATCH,
    },
};
use tokio::time::{Instant, timeout_at};

pub use self::auth::Auth;
pub(crate) use self::{
    auth::Credentials,
    orphan::{Adopt, LONGEST_CLEANING},
};
use self::{auth::Token, gate::gated, orphan::Orphan};
use crate::cleaning::Cleaning;

/// The header that puts a request into a stream transaction.
const TRANSACTION: HeaderName = HeaderName::from_static("x-arango-trx-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// Smaller bodies gain nothing by compression.
const WORTH_COMPRESSION: usize = 1024;
/// Larger bodies are compressed beside the executor, which must not stand still for them.
const LONG_COMPRESSION: usize = 64 << 10;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Behind the database, with its query.
    pub(crate) path: &'a str,
    /// Empty for none.
    pub(crate) body: Bytes,
    /// JSON if there is nothing else.
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) transaction: Option<&'a str>,
    /// The one server that can answer: it has the transaction, or the cursor.
    pub(crate) server: Option<usize>,
    /// The most bytes of an answer.
    pub(crate) max_answer: usize,
    /// Where the beginning of an answer that breaks off is of use: until when the rest is waited for.
    pub(crate) takes_cut: Option<Instant>,
    /// Who takes the answer if nobody waits for it any more.
    pub(crate) adopt: Option<Adopt>,
    /// Whether the path is the server's, not the database's.
    of_server: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: &'a str, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            path,
            body: body.into(),
            content_type: None,
            if_match: None,
            transaction: None,
            server: None,
            max_answer: MAX_ANSWER,
            takes_cut: None,
            adopt: None,
            of_server: false,
        }
    }

    pub(crate) fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path, Bytes::new())
    }

    pub(crate) fn of_server(mut self) -> Self {
        self.of_server = true;
        self
    }

    pub(crate) fn at(mut self, server: usize) -> Self {
        self.server = Some(server);
        self
    }

    pub(crate) fn in_transaction(mut self, id: Option<&'a str>) -> Self {
        self.transaction = id;
        self
    }
}

/// The most bytes of an answer: above them its connection is given up, rather than this program.
pub(crate) const MAX_ANSWER: usize = 1 << 30;

/// What was answered, whole; or as far as it came, where that was [asked for](Call::takes_cut).
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Which server answered.
    pub(crate) server: usize,
    /// Why the body is not whole, if it is not.
    pub(crate) cut: Option<Error>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// How a request failed without an answer.
enum Failed {
    /// Before its body left, or before there was a connection: the server cannot act on it.
    Before(Error),
    /// After that.
    After(Error),
}

/// The way to the servers of one database.
pub(crate) struct Client {
    http: reqwest::Client,
    servers: Vec<Url>,
    /// The server that answered last.
    current: AtomicUsize,
    /// Whether another server answers than the one whose abilities are known.
    has_moved: AtomicBool,
    database: Box<str>,
    credentials: Credentials,
    compresses: bool,
    /// What is tidied up by this client.
    pub(crate) cleaning: Cleaning,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("servers", &self.names())
            .field("database", &self.database)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// `servers` are not empty and have neither user nor path; `database` is `/_db/` and its name,
    /// as a URL has it.
    pub(crate) fn new(
        http: reqwest::Client,
        servers: Vec<Url>,
        database: Box<str>,
        credentials: Credentials,
        compresses: bool,
    ) -> Self {
        Self {
            http,
            servers,
            current: AtomicUsize::new(0),
            has_moved: AtomicBool::new(false),
            database,
            credentials,
            compresses,
            cleaning: Cleaning::new(),
        }
    }

    /// Whether requests have gone to another server since this was asked last.
    pub(crate) fn take_moved(&self) -> bool {
        self.has_moved.swap(false, Ordering::Relaxed)
    }

    /// Lets it be asked again.
    pub(crate) fn note_moved(&self) {
        self.has_moved.store(true, Ordering::Relaxed);
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.servers.iter().map(name_of).collect();
        names.join(", ")
    }

    /// Asks, and gives the whole answer, whatever its status. `sent` is called right before bytes
    /// leave on which the server may act. What has certainly not been sent is sent to the next
    /// server; a token that was refused is renewed once, since nothing is done for one that is not valid.
    ///
    /// # Errors
    /// What stood in the way of an answer: not applied if it was before `sent`, else unknown.
    pub(crate) async fn call(&self, call: &Call<'_>, sent: &(dyn Fn() + Sync)) -> Result<Reply> {
        let encoded = self.compressed(&call.body).await;
        let is_encoded = encoded.is_some();
        let body = encoded.unwrap_or_else(|| call.body.clone());
        let mut authorization = self.authorization().await?;
        let mut renewed = false;
        loop {
            let send = Sending { call, body: &body, is_encoded, authorization: &authorization };
            let reply = self.over_servers(&send, sent).await?;
            if reply.status == 401
                && !renewed
                && let Credentials::Jwt { .. } = self.credentials
            {
                authorization = self.renewed(authorization.as_ref()).await?;
                renewed = true;
                continue;
            }
            return Ok(reply);
        }
    }

    async fn over_servers(&self, send: &Sending<'_>, sent: &(dyn Fn() + Sync)) -> Result<Reply> {
        let first = send.call.server.unwrap_or_else(|| self.current.load(Ordering::Relaxed));
        let tries = if send.call.server.is_some() { 1 } else { self.servers.len() };
        let mut last = None;
        for step in 0..tries {
            let place = (first + step) % self.servers.len();
            let Some(server) = self.servers.get(place) else { continue };
            match self.once(place, server, send, sent).await {
                Ok(reply) => {
                    if step > 0 {
                        self.current.store(place, Ordering::Relaxed);
                        self.note_moved();
                    }
                    return Ok(reply);
                }
                Err(Failed::After(error)) => {
                    // What follows need not wait for a server that may be gone.
                    if send.call.server.is_none() && self.servers.len() > 1 {
                        self.current.store((place + 1) % self.servers.len(), Ordering::Relaxed);
                        self.note_moved();
                    }
                    return Err(error.unknown());
                }
                Err(Failed::Before(error)) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::new(ErrorKind::Connection, "the store has no server to ask; give one")
        }))
    }

    async fn once(
        &self,
        place: usize,
        server: &Url,
        send: &Sending<'_>,
        sent: &(dyn Fn() + Sync),
    ) -> Result<Reply, Failed> {
        let Sending { call, body, is_encoded, authorization } = *send;
        let database = if call.of_server { "" } else { &*self.database };
        let base = server.as_str().trim_end_matches('/');
        let url = Url::parse(&[base, database, call.path].concat()).map_err(|error| {
            Failed::Before(
                Error::new(ErrorKind::InvalidOperation, format!("the path is none: {error}"))
                    .with_source(error),
            )
        })?;
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(id) = call.transaction {
            request = request.header(TRANSACTION, id);
        }
        if let Some(revision) = call.if_match {
            request = request.header(IF_MATCH, revision);
        }
        if body.is_empty() {
            if call.method != Method::GET && call.method != Method::DELETE {
                // Without it the server does not know where the request ends.
                request = request.header(CONTENT_LENGTH, 0);
            }
        } else {
            let kind = call.content_type.clone();
            request = request.header(CONTENT_TYPE, kind.unwrap_or(JSON));
        }
        if is_encoded {
            request = request.header(CONTENT_ENCODING, GZIP);
        }
        let mut released = false;
        let answered = if body.is_empty() {
            sent();
            released = true;
            let mut answer = Orphan::new(answer(place, server.clone(), request, call));
            answer.adopted(call.adopt.clone());
            answer.await
        } else {
            let (gate, gated) = gated(body.clone());
            let request = request.body(reqwest::Body::wrap(gated));
            let mut answer = Orphan::new(answer(place, server.clone(), request, call));
            tokio::select! {
                biased;
                answered = &mut answer => answered,
                asked = gate.asked => {
                    if asked.is_ok() {
                        sent();
                        released = gate.release.send(()).is_ok();
                        answer.adopted(call.adopt.clone());
                    }
                    answer.await
                }
            }
        };
        answered.map_err(|broken| match broken {
            // Without a connection nothing has left, whatever `sent` was told.
            Broken::Sending(error) if error.is_connect() || !released => {
                Failed::Before(not_reached(server, error))
            }
            Broken::Sending(error) => Failed::After(self::broken(server, error)),
            Broken::Reading(error) => Failed::After(error),
        })
    }

    /// What the body is compressed to, where that is wanted and worth it.
    async fn compressed(&self, body: &Bytes) -> Option<Bytes> {
        if !self.compresses || body.len() < WORTH_COMPRESSION {
            return None;
        }
        if body.len() < LONG_COMPRESSION {
            return compress(body);
        }
        let body = body.clone();
        // A body that could not be compressed is sent as it is.
        tokio::task::spawn_blocking(move || compress(&body)).await.ok()?
    }

    /// The `Authorization` that is valid now.
    async fn authorization(&self) -> Result<Option<HeaderValue>> {
        match &self.credentials {
            Credentials::None => Ok(None),
            Credentials::Fixed(header) => Ok(Some(header.clone())),
            Credentials::Jwt { login, token } => {
                // One logs in, the others wait for its token.
                let mut token = token.lock().await;
                if let Some(token) = token.as_ref().filter(|token| Instant::now() < token.renew_at)
                {
                    return Ok(token.header.clone());
                }
                self.log_in(login, &mut token).await
            }
        }
    }

    /// Another one than `refused`.
    async fn renewed(&self, refused: Option<&HeaderValue>) -> Result<Option<HeaderValue>> {
        let Credentials::Jwt { login, token } = &self.credentials else { return Ok(None) };
        let mut token = token.lock().await;
        match token.as_ref() {
            // Somebody else was told the same, and has got one.
            Some(token) if token.header.as_ref() != refused => Ok(token.header.clone()),
            _ => self.log_in(login, &mut token).await,
        }
    }

    async fn log_in(&self, login: &[u8], token: &mut Option<Token>) -> Result<Option<HeaderValue>> {
        *token = None;
        let call =
            Call::new(Method::POST, "/_open/auth", Bytes::copy_from_slice(login)).of_server();
        let send =
            Sending { call: &call, body: &call.body, is_encoded: false, authorization: &None };
        // Nothing is in doubt if no answer came: a token was not used.
        let answered = self.over_servers(&send, &|| ()).await;
        let reply = answered.map_err(|error| {
            let message = format!("the login failed: {}", error.message());
            Error::new(error.kind(), message).transient().with_source(error)
        })?;
        match reply.status {
            200 => {
                let new = token.insert(Token::of_answer(&reply.body)?);
                Ok(new.header.clone())
            }
            404 => {
                *token = Some(Token::none());
                Ok(None)
            }
            status => {
                let message = match status {
                    401 => "the server refuses the user or the password; correct them".to_owned(),
                    status => format!("the server answers the login with the status {status}"),
                };
                let error =
                    Error::new(ErrorKind::Unauthorized, message).with_detail("http_status", status);
                Err(if status == 503 { error.transient() } else { error })
            }
        }
    }
}

/// A call, and what goes with each try of it.
#[derive(Clone, Copy)]
struct Sending<'a> {
    call: &'a Call<'a>,
    body: &'a Bytes,
    is_encoded: bool,
    authorization: &'a Option<HeaderValue>,
}

fn compress(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body).ok()?;
    Some(encoder.finish().ok()?.into())
}

/// Why there is no answer, as far as the request alone tells.
enum Broken {
    Sending(reqwest::Error),
    Reading(Error),
}

/// Sends a request and reads its answer, on its own.
fn answer(
    place: usize,
    server: Url,
    request: RequestBuilder,
    call: &Call<'_>,
) -> impl Future<Output = Result<Reply, Broken>> + Send + use<> {
    let (most, takes_cut) = (call.max_answer, call.takes_cut);
    async move {
        let response = request.send().await.map_err(Broken::Sending)?;
        read(place, &server, response, most, takes_cut).await.map_err(Broken::Reading)
    }
}

/// Host and port.
fn name_of(server: &Url) -> String {
    let host = server.host_str().unwrap_or_default();
    format!("{host}:{}", server.port_or_known_default().unwrap_or_default())
}

/// The innermost reason: what the outer ones say is that a request failed.
fn reason(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn not_reached(server: &Url, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let name = name_of(server);
    let reason = reason(&error);
    let message = if server.scheme() == "https" && is_no_tls(&reason) {
        format!(
            "cannot connect to {name}: it seems to speak no TLS ({reason}); connect by `arango://` instead, or by `http://` as a server of the builder, or correct the port"
        )
    } else {
        format!("cannot connect to {name}: {reason}; look whether ArangoDB listens there")
    };
    Error::new(ErrorKind::Connection, message).transient().with_source(error)
}

/// Whether the greeting of TLS was answered by something else, or by nothing. rustls has no place
/// in what reqwest shows, so its words decide.
fn is_no_tls(reason: &str) -> bool {
    reason.contains("InvalidContentType") || reason == "tls handshake eof"
}

fn broken(server: &Url, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let message = format!(
        "the connection to {} broke before the answer was there: {}; read the documents to know what was applied",
        name_of(server),
        reason(&error)
    );
    let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Connection };
    Error::new(kind, message).transient().with_source(error)
}

fn late(server: &Url) -> Error {
    let message = format!(
        "the rest of the answer of {} did not come in time; read the documents to know what was applied",
        name_of(server)
    );
    Error::new(ErrorKind::Timeout, message).transient()
}

/// What comes before a moment, if there is one.
pub(crate) async fn before<T>(moment: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match moment {
        Some(moment) => timeout_at(moment, what).await.ok(),
        None => Some(what.await),
    }
}

/// The whole answer, or as much of it as the call takes.
async fn read(
    place: usize,
    server: &Url,
    mut response: Response,
    most: usize,
    takes_cut: Option<Instant>,
) -> Result<Reply> {
    let too_long = || {
        let message = format!(
            "the answer is larger than {most} bytes, and was not read to its end; ask for less at once"
        );
        Error::new(ErrorKind::TooLarge, message)
    };
    let told = response.content_length().and_then(|length| usize::try_from(length).ok());
    if told.is_some_and(|told| told > most) {
        return Err(too_long());
    }
    let mut body = Bytes::new();
    let mut joined = BytesMut::new();
    let mut cut = None;
    // An answer that begins behind that moment is read for what it has opened, and so whole.
    let moment = takes_cut.filter(|moment| Instant::now() < *moment);
    loop {
        let more = match before(moment, response.chunk()).await {
            Some(Ok(Some(more))) => more,
            Some(Ok(None)) => break,
            failed => {
                let error = match failed {
                    Some(Err(error)) => broken(server, error),
                    _ => late(server),
                };
                if takes_cut.is_none() || !response.status().is_success() {
                    return Err(error);
                }
                cut = Some(error.unknown());
                break;
            }
        };
        if body.len() + joined.len() + more.len() > most {
            return Err(too_long());
        }
        if body.is_empty() && joined.is_empty() {
            body = more;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(told.unwrap_or(body.len() + more.len()).min(most));
            joined.extend_from_slice(&std::mem::take(&mut body));
        }
        joined.extend_from_slice(&more);
    }
    if !joined.is_empty() {
        body = joined.freeze();
    }
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    Ok(Reply { status, headers, body, server: place, cut })
}
