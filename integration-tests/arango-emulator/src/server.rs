//! What all connections share, and the way of a request from its bytes to its answer.

use std::{
    io::Read as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::{
    api,
    auth::{Auth, Caller},
    errors::Failure,
    fault::Faults,
    log::Log,
    reply::{Answer, Reply},
    request::Request,
    state::State,
    version::BatchRoute,
};

/// How long a request waits for what another transaction has.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The server behind all its connections.
#[derive(Debug)]
pub(crate) struct Server {
    // What all coordinators of a cluster have together comes first.
    state: Arc<Mutex<State>>,
    /// Something ended that others may wait for.
    changed: Arc<Notify>,
    pub(crate) auth: Arc<Auth>,
    connections: AtomicU64,
    pub(crate) log: Log,
    pub(crate) faults: Faults,
    /// How often answers that were held were let go.
    releases: watch::Sender<u64>,
}

/// Where a batch ends early, because of a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopAt {
    /// Counted from one.
    pub(crate) part: usize,
    /// Whether that part is executed too.
    pub(crate) executed: bool,
}

impl Server {
    pub(crate) fn new(state: State, auth: Auth, log: Log) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(Notify::new()),
            auth: Arc::new(auth),
            connections: AtomicU64::new(0),
            log,
            faults: Faults::default(),
            releases: watch::Sender::new(0),
        }
    }

    /// Another one over the same store, with faults and a log of its own.
    pub(crate) fn beside(&self, log: Log) -> Self {
        Self {
            state: Arc::clone(&self.state),
            changed: Arc::clone(&self.changed),
            auth: Arc::clone(&self.auth),
            connections: AtomicU64::new(0),
            log,
            faults: Faults::default(),
            releases: watch::Sender::new(0),
        }
    }

    /// Lets all answers go that are held now.
    pub(crate) fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// What returns when answers that are held from now on are let go.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut releases = self.releases.subscribe();
        async move {
            // The server lives as long as its connections.
            let _ = releases.changed().await;
        }
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The state, for a moment: nothing waits while it is held.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A handler that panicked has failed its test; what it left is still there to be seen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one request within its database, without what only the envelope is looked at for.
    pub(crate) async fn answer(&self, request: &Request) -> Reply {
        let answer = timeout(LOCK_TIMEOUT, self.patiently(request)).await;
        answer.unwrap_or_else(|_| Err(Failure::new(18))).unwrap_or_else(Reply::from)
    }

    async fn patiently(&self, request: &Request) -> Answer {
        loop {
            // Registered before the state is looked at, so that no change is missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let answer = api::handle(&mut self.state(), request);
            match answer {
                Err(failure) if failure.waits => changed.await,
                answer => {
                    self.changed.notify_waiters();
                    return answer;
                }
            }
        }
    }

    /// Runs a request as it came over a connection.
    pub(crate) async fn execute(
        self: Arc<Self>,
        mut request: Request,
        stop: Option<StopAt>,
    ) -> Reply {
        if request.method == "OPTIONS" {
            return Reply::nothing(200)
                .header("allow", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
        }
        if let Some(reply) = self.refused(&request) {
            return reply;
        }
        match decoded(&request) {
            Ok(body) => request.body = body,
            Err(reply) => return reply,
        }
        match request.headers.remove("x-arango-async").as_deref() {
            Some("store") => self.in_background(request, true),
            Some("true") => self.in_background(request, false),
            _ => self.route(request, stop).await,
        }
    }

    async fn route(self: Arc<Self>, request: Request, stop: Option<StopAt>) -> Reply {
        if request.path == "/_open/auth" {
            return self.auth.open(&self.state(), &request).unwrap_or_else(Reply::from);
        }
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let ["_api", "token", rest @ ..] = segments.as_slice()
            && self.state().version.at_least(3, 12, 5)
        {
            return self.auth.access_tokens(&request, rest).unwrap_or_else(Reply::from);
        }
        let batch = request.path == "/_api/batch";
        if batch && self.state().batch_route() != BatchRoute::Gone {
            return api::run_batch(self, request, stop).await;
        }
        self.answer(&request).await
    }

    /// What the layer that speaks HTTP refuses by itself: it looks at who asks, and for which database.
    fn refused(&self, request: &Request) -> Option<Reply> {
        let state = self.state();
        if state.settings.starting
            && !matches!(request.path.as_str(), "/_api/version" | "/_admin/status")
        {
            return Some(Reply::of_connection(503, 503, "service unavailable"));
        }
        match self.auth.check(request) {
            Caller::Allowed => {}
            Caller::Unknown => return Some(unauthorized(request)),
        }
        let limit = request.header("x-arango-queue-time-seconds");
        let limit = limit.and_then(|limit| limit.trim().parse::<f64>().ok());
        if limit.is_some_and(|limit| limit > 0.0 && state.settings.queue_seconds > limit) {
            return Some(Reply::of_connection(412, 21004, "queue time violated"));
        }
        if !state.store.databases.contains_key(&request.database) {
            return Some(Reply::of_connection(404, 1228, "database not found"));
        }
        None
    }

    fn in_background(self: Arc<Self>, request: Request, stored: bool) -> Reply {
        let reply = Reply::nothing(202);
        if !stored {
            tokio::spawn(self.route(request, None));
            return reply;
        }
        let id = {
            let mut state = self.state();
            let id = state.store.clock.tick();
            state.jobs.start(id);
            id
        };
        tokio::spawn(async move {
            let reply = Arc::clone(&self).route(request, None).await;
            self.state().jobs.finish(id, reply);
        });
        reply.header("x-arango-async-id", id.to_string())
    }

    /// Returns when `holds` does. It is asked after each request that was answered.
    pub(crate) async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            // Registered before the state is looked at, so that no change is missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// Something changed from outside of requests.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }
}

/// 401, with the ways to say who one is.
pub(crate) fn unauthorized(request: &Request) -> Reply {
    let reply = Reply::of_connection(401, 11, "not authorized to execute this request");
    if request.header("x-omit-www-authenticate").is_some() {
        return reply;
    }
    reply
        .header("www-authenticate", "Basic, realm=\"ArangoDB\"")
        .header("www-authenticate", "Bearer, token_type=\"JWT\", realm=\"ArangoDB\"")
}

/// The body without its Content-Encoding, which is named exactly.
fn decoded(request: &Request) -> Result<Bytes, Reply> {
    let mut body = Vec::new();
    let read = match request.header("content-encoding") {
        Some("gzip") => GzDecoder::new(&*request.body).read_to_end(&mut body),
        Some("deflate") => ZlibDecoder::new(&*request.body).read_to_end(&mut body),
        _ => return Ok(request.body.clone()),
    };
    match read {
        Ok(_) => Ok(body.into()),
        Err(_) => {
            Err(Reply::of_connection(400, 10, "decoding error: a corrupted message was received"))
        }
    }
}
