//! The emulator as tests use it.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rustls::ServerConfig;
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    auth::Auth,
    connection::{self, Refuse},
    fault::{Armed, Rule},
    log::{Log, Seen},
    server::Server,
    state::{Settings, State},
    storage::Scope,
    version::Version,
};

/// How an emulator is started.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    version: String,
    auth: Option<(String, String)>,
    listen: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    keeps_bodies: bool,
}

impl Builder {
    /// The release that is emulated, such as `3.11.14`, `3.12.2` or `3.12.10`.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Lets in this user alone. Without, everybody is let in.
    pub fn auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.auth = Some((user.into(), password.into()));
        self
    }

    /// Where to listen. By default that is a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Speaks TLS, as this says. For HTTP/2 its `alpn_protocols` have to name `h2`.
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Keeps no bodies in the log of requests, so that it stays small.
    pub fn without_bodies(mut self) -> Self {
        self.keeps_bodies = false;
        self
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// If the version is none, or the address is not to be had.
    pub async fn start(self) -> io::Result<Emulator> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let version = Version::parse(&self.version).map_err(wrong)?;
        let state = State::new(version).map_err(|failure| wrong(failure.message))?;
        let server =
            Arc::new(Server::new(state, Auth::new(self.auth), Log::new(self.keeps_bodies)));
        let mut emulator =
            Emulator { server, address: self.listen, tls: self.tls, listening: None, refuse: None };
        emulator.start().await?;
        Ok(emulator)
    }
}

/// A server with ArangoDB's HTTP interface. It stops when it is dropped, and what it stored is gone.
pub struct Emulator {
    server: Arc<Server>,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    listening: Option<JoinHandle<()>>,
    refuse: Option<oneshot::Sender<Refuse>>,
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Emulator {
    /// An emulator of 3.11.14, without authentication, until the builder is told otherwise.
    pub fn builder() -> Builder {
        Builder {
            version: "3.11.14".into(),
            auth: None,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            keeps_bodies: true,
        }
    }

    /// Where it listens, such as `http://127.0.0.1:35001`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens again after [`stop`](Self::stop), on the same port, with all that was stored.
    ///
    /// # Errors
    /// If somebody else has the port by now.
    pub async fn start(&mut self) -> io::Result<()> {
        if self.listening.is_some() {
            return Ok(());
        }
        let (listener, address) = connection::listen(self.address).await?;
        self.address = address;
        let (refuse, refusing) = oneshot::channel();
        self.refuse = Some(refuse);
        let server = Arc::clone(&self.server);
        let accepting = connection::accept(listener, server, self.tls.clone(), refusing);
        self.listening = Some(tokio::spawn(accepting));
        Ok(())
    }

    /// Starts another coordinator of the same cluster, on a port of its own: what is stored, switched
    /// and open belongs to all of them, the faults, the log and the connections to each.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn beside(&self) -> io::Result<Self> {
        let server = Arc::new(self.server.beside(self.server.log.another()));
        let mut address = self.address;
        address.set_port(0);
        let mut other =
            Self { server, address, tls: self.tls.clone(), listening: None, refuse: None };
        other.start().await?;
        Ok(other)
    }

    /// Refuses new connections; those that are there go on. A [`stop`](Self::stop) and a start end it.
    pub async fn refuse_connections(&mut self) {
        let (refused, told) = oneshot::channel();
        if let Some(refuse) = self.refuse.take()
            && refuse.send(refused).is_ok()
        {
            // It was dropped if the emulator has stopped: that refuses, too.
            let _ = told.await;
        }
    }

    /// Ends all connections and refuses new ones. What was stored stays, and requests that run end
    /// by themselves; transactions are gone, as with a process that ends: also those that another
    /// coordinator began.
    pub async fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            // It was cancelled: that is what it says.
            let _ = listening.await;
        }
        self.server.state().store.transactions.expire_all();
        self.server.wake();
    }

    /// The documents of a collection as a reader outside of transactions sees them, in the order of
    /// their last writes. None where there is no such database or collection.
    #[must_use]
    pub fn documents(&self, database: &str, collection: &str) -> Option<Vec<Value>> {
        let state = self.server.state();
        let scope = Scope { database: database.to_owned(), transaction: None };
        let found = state.store.known(&scope, collection).ok()?;
        Some(found.data.iter().map(|document| document.show(&found.name).into()).collect())
    }

    /// Adds a fault. Rules are asked in the order in which they came; the first that has a fault for a
    /// request counts.
    #[must_use = "a test says that its fault has happened"]
    pub fn fault(&self, rule: Rule) -> Armed {
        self.server.faults.add(rule)
    }

    /// Lets all answers go that are [held](crate::Fault::Hold).
    pub fn release(&self) {
        self.server.release();
    }

    /// Removes all faults, and all conflicts.
    pub fn clear_faults(&self) {
        self.server.faults.clear();
        self.server.state().store.conflicts.clear();
    }

    /// The next `times` writes of a key meet another one: 409 with error 1200.
    pub fn conflict(&self, collection: impl Into<String>, key: impl Into<String>, times: u32) {
        self.server.state().store.conflicts.push((collection.into(), key.into(), times));
    }

    /// What is switched now.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.server.state().settings.clone()
    }

    /// Switches what `change` changes.
    pub fn switch(&self, change: impl FnOnce(&mut Settings)) {
        let mut state = self.server.state();
        let mut settings = state.settings.clone();
        change(&mut settings);
        state.change(settings);
    }

    /// Becomes another release, with all that is stored: a server that is changed under its clients.
    ///
    /// # Errors
    /// If `version` is none.
    pub fn become_version(&self, version: &str) -> io::Result<()> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        self.server.state().version = Version::parse(version).map_err(wrong)?;
        Ok(())
    }

    /// The requests that were seen since the last [`forget_requests`](Self::forget_requests).
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.server.log.all()
    }

    /// Starts the log of requests anew.
    pub fn forget_requests(&self) {
        self.server.log.clear();
    }

    /// Returns when the requests that were seen are enough.
    pub async fn until_seen(&self, enough: impl FnMut(&[Seen]) -> bool) {
        self.server.log.until(enough).await;
    }

    /// Ids of the stream transactions that run.
    #[must_use]
    pub fn running_transactions(&self) -> Vec<String> {
        let state = self.server.state();
        state.store.transactions.running().map(|(id, _)| id.to_string()).collect()
    }

    /// Ends all stream transactions, as their idle time does.
    pub fn expire_transactions(&self) {
        self.server.state().store.transactions.expire_all();
        self.server.wake();
    }

    /// How many cursors wait to be asked for more.
    #[must_use]
    pub fn open_cursors(&self) -> usize {
        self.server.state().cursors.count()
    }

    /// Returns when a cursor waits to be asked for more.
    pub async fn until_cursors_are_open(&self) {
        self.server.until(|state| state.cursors.count() > 0).await;
    }

    /// Ends all cursors, as their lifetime does.
    pub fn expire_cursors(&self) {
        self.server.state().cursors.expire_all();
        self.server.wake();
    }

    /// Returns when no stream transaction runs and no cursor waits: ended by a request, by this
    /// process, or by a stop. That their time has passed is noticed with the next request alone.
    pub async fn until_nothing_is_open(&self) {
        let is_closed = |state: &State| {
            state.store.transactions.running().next().is_none() && state.cursors.count() == 0
        };
        self.server.until(is_closed).await;
    }

    /// Ends all tokens that were given out, as their time does.
    pub fn expire_tokens(&self) {
        self.server.auth.end_tokens();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}
