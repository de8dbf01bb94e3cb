//! Settings to connect with.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::{fmt, time::Duration};

use batch_core::{Error, ErrorKind, Result, StoreOptions};
use reqwest::{Url, redirect};

use crate::{
    ArangoStore,
    backend::{ArangoBackend, Ceilings},
    http::{Auth, Client, Credentials},
    key,
    route::LARGEST_REQUEST,
};

const PORT: u16 = 8529;
/// A server that does not take connections is given up for the next one after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server closes what has been idle for five minutes: this end does it earlier, so that no
/// request meets a connection that is being closed.
const IDLE: Duration = Duration::from_secs(60);
const MAX_RESULT_BYTES: usize = 64 << 20;
const DATABASE: &str = "_system";

/// Settings to connect with; [`ArangoStore::builder`] makes one.
///
/// ```no_run
/// # async fn example() -> batch_core::Result<()> {
/// use batch_arango::{ArangoStore, Auth};
///
/// let store = ArangoStore::builder()
///     .server("http://coordinator1:8529")
///     .server("http://coordinator2:8529")
///     .database("school")
///     .credentials("root", "secret")
///     .auth(Auth::Jwt)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ArangoBuilder {
    /// The first mistake is kept, and told by `connect`.
    servers: Result<Vec<Url>>,
    database: String,
    login: Option<(String, String)>,
    auth: Auth,
    token: Option<String>,
    /// The first mistake is kept here, too.
    client: Option<Result<reqwest::Client>>,
    #[cfg(feature = "tls")]
    authorities: Option<PathBuf>,
    http2: bool,
    compresses: bool,
    connect_timeout: Duration,
    ceilings: Ceilings,
    accepts_sharded: bool,
    options: StoreOptions,
}

impl fmt::Debug for ArangoBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither what is secret nor what may hold it.
        f.debug_struct("ArangoBuilder")
            .field("database", &self.database)
            .field("auth", &self.auth)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl ArangoBuilder {
    pub(crate) fn new() -> Self {
        Self {
            servers: Ok(Vec::new()),
            database: DATABASE.to_owned(),
            login: None,
            auth: Auth::Basic,
            token: None,
            client: None,
            #[cfg(feature = "tls")]
            authorities: None,
            http2: false,
            compresses: false,
            connect_timeout: CONNECT_TIMEOUT,
            ceilings: Ceilings { request: LARGEST_REQUEST, result: MAX_RESULT_BYTES },
            accepts_sharded: false,
            options: StoreOptions::new(),
        }
    }

    /// Adds a server, or a coordinator of a cluster, such as `http://localhost:8529`; the port is
    /// 8529 if not said. Requests go to one of them, and to the next when it cannot be reached:
    /// only what has certainly not been sent goes to another one.
    pub fn server(mut self, url: impl AsRef<str>) -> Self {
        self.servers = self.servers.and_then(|mut servers| {
            servers.push(parse(url.as_ref())?);
            Ok(servers)
        });
        self
    }

    /// Adds several servers.
    pub fn servers(self, urls: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        urls.into_iter().fold(self, Self::server)
    }

    /// The database. Default: `_system`.
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = name.into();
        self
    }

    /// Who connects. Without it nobody is named, which is for servers that ask nobody.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// How user and password are proved. Default: [`Auth::Basic`].
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// A token of your own instead of user and password. It is not renewed.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A client of your own, with its pool, proxies and certificates. It must follow no redirects, and
    /// is refused by [`connect`](Self::connect) if it might: a redirect can make a read of a write, and
    /// the document that it finds looks like the answer to the write. Let it repeat nothing either:
    /// attempts are counted by the core. What reqwest logs with `connection_verbose` holds passwords
    /// and tokens. The settings for TLS, HTTP/2 and the connect timeout of this builder have no
    /// effect then.
    ///
    /// ```
    /// # fn main() -> Result<(), reqwest::Error> {
    /// let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    /// let settings = batch_arango::ArangoStore::builder().client(http);
    /// # drop(settings);
    /// # Ok(())
    /// # }
    /// ```
    pub fn client(mut self, http: reqwest::Client) -> Self {
        self.client = Some(following_nothing(http));
        self
    }

    /// As [`client`](Self::client), of a client that is still to be made: it will follow no redirects
    /// and repeat nothing, whatever it was told.
    ///
    /// ```
    /// let http = reqwest::Client::builder().user_agent("registrar");
    /// let settings = batch_arango::ArangoStore::builder().client_builder(http);
    /// # drop(settings);
    /// ```
    pub fn client_builder(mut self, http: reqwest::ClientBuilder) -> Self {
        self.client = Some(built(http));
        self
    }

    /// Trusts the authorities in a PEM file, and no others, to say which server it is. Without it
    /// those that this machine trusts.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_with_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.authorities = Some(path.into());
        self
    }

    /// Speaks HTTP/2: side by side on one connection, of which the server takes 32 requests at once.
    /// Default: HTTP/1.1, on a connection for each request that is under way.
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Compresses requests of a kilobyte and more, and asks for compressed answers. For slow
    /// networks: it costs more time than it saves on fast ones. Default: no.
    pub fn compression(mut self, compression: bool) -> Self {
        self.compresses = compression;
        self
    }

    /// The longest to wait for a connection to one server. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The most bytes that the results of one query may have: they are fetched whole. Above it the
    /// job's error is [`TooLarge`](ErrorKind::TooLarge). Default: 64 MiB.
    pub fn max_result_bytes(mut self, bytes: usize) -> Self {
        self.ceilings.result = bytes;
        self
    }

    /// The most bytes of a request's body: what the server, or a proxy before it, takes. A document
    /// that is larger is refused when it is queued. Default: the server's own limit of 1 GiB, less a
    /// megabyte for what is around it.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.ceilings.request = bytes.clamp(1, LARGEST_REQUEST);
        self
    }

    /// Takes a transaction over several shards for all-or-nothing. On a cluster, unless the
    /// database is OneShard, a server that fails during the commit can leave a part of it; without
    /// this such batches are refused. `isolated` ones are, always. Default: no.
    pub fn accept_sharded_transactions(mut self, accept: bool) -> Self {
        self.accepts_sharded = accept;
        self
    }

    /// Limits and habits of the store.
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }

    /// Connects: asks the server what it is, and whether the database is there.
    ///
    /// # Errors
    /// [`Connection`](ErrorKind::Connection) if no server can be reached,
    /// [`Unauthorized`](ErrorKind::Unauthorized), [`NotFound`](ErrorKind::NotFound) without the database,
    /// [`Timeout`](ErrorKind::Timeout) after the deadline of the options;
    /// [`InvalidOperation`](ErrorKind::InvalidOperation) for a mistake in the settings.
    pub async fn connect(self) -> Result<ArangoStore> {
        let timeout = self.options.default_timeout();
        let options = self.options.clone();
        let (ceilings, accepts) = (self.ceilings, self.accepts_sharded);
        let client = self.to_client()?;
        let connecting = ArangoBackend::connect(client, ceilings, accepts);
        let backend = tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| {
            let message = format!(
                "no answer to what a store has to know within {timeout:?}; look whether the server is up"
            );
            Err(Error::new(ErrorKind::Timeout, message).transient())
        });
        Ok(ArangoStore::new(backend?, options))
    }

    fn to_client(&self) -> Result<Client> {
        let mut servers = self.servers.clone()?;
        if servers.is_empty() {
            servers.push(parse(&format!("http://localhost:{PORT}"))?);
        }
        if self.database.is_empty() {
            return Err(invalid("the database's name is empty; leave it out for `_system`"));
        }
        let mut database = String::from("/_db/");
        key::push_path_segment(&self.database, &mut database);
        let credentials = match (&self.token, &self.login) {
            (Some(_), Some(_)) => {
                return Err(invalid("give a token, or user and password, not both"));
            }
            (Some(token), None) => Credentials::bearer(token)?,
            (None, login) => {
                let login = login.as_ref().map(|(user, password)| (&**user, &**password));
                Credentials::new(self.auth, login)?
            }
        };
        let secured = servers.iter().find(|server| server.scheme() == "https");
        if self.client.is_none()
            && cfg!(not(feature = "tls"))
            && let Some(server) = secured
        {
            let message =
                format!("this build cannot connect to {server}; build it with the feature `tls`");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let compresses = self.compresses;
        let http = match self.client.clone() {
            Some(client) => client?,
            None => self.http_client(secured.is_some())?,
        };
        Ok(Client::new(http, servers, database.into_boxed_str(), credentials, compresses))
    }

    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_variables, reason = "without TLS none is secured")
    )]
    fn http_client(&self, is_secured: bool) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("unibatch/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .gzip(self.compresses)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(64);
        builder = if self.http2 { builder.http2_prior_knowledge() } else { builder.http1_only() };
        #[cfg(feature = "tls")]
        if let Some(path) = &self.authorities {
            builder = builder.tls_certs_only(authorities(path)?);
        } else if !is_secured {
            // Nobody is to be trusted, so this machine's authorities need not be read.
            builder = builder.tls_certs_only([]);
        }
        built(builder)
    }
}

/// A client that says of itself that it follows no redirects. There is no question for it but its
/// debug text, and one that does not say so may follow them.
fn following_nothing(http: reqwest::Client) -> Result<reqwest::Client> {
    if format!("{http:?}").contains("redirect_policy: \"Policy(None)\"") {
        return Ok(http);
    }
    Err(invalid(
        "the client of your own may follow redirects, and then an answer may be about something else; make it with `.redirect(reqwest::redirect::Policy::none())`, or give its builder to `client_builder`",
    ))
}

fn built(http: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    // Attempts are counted in one place, which is not this.
    let http = http.redirect(redirect::Policy::none()).retry(reqwest::retry::never());
    http.build().map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, format!("HTTP cannot be set up: {error}"))
            .with_source(error)
    })
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

#[cfg(feature = "tls")]
fn authorities(path: &std::path::Path) -> Result<Vec<reqwest::Certificate>> {
    let wrong = |why: String| {
        let message = format!(
            "the certificates of authorities in {} cannot be read: {why}; give a PEM file",
            path.display()
        );
        Error::new(ErrorKind::InvalidOperation, message)
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&text);
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(found) }
}

/// A server's URL, which is nothing but that. An error shows nothing that could be a password.
fn parse(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        let message = format!(
            "a server's URL {why}; write it as `http://localhost:8529`, and give database and user by their own settings"
        );
        Error::new(ErrorKind::InvalidOperation, message)
    };
    let mut url = Url::parse(text).map_err(|_| wrong("cannot be read"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("begins with neither `http://` nor `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has parameters"));
    }
    if url.host_str().is_none() {
        return Err(wrong("has no host"));
    }
    // A port that is the scheme's own is not shown by `port`, so the text is looked at.
    let authority = text.split("://").nth(1).unwrap_or_default();
    let authority = authority.split('/').next().unwrap_or_default();
    let after_host = authority.rsplit(']').next().unwrap_or_default();
    if !after_host.contains(':') {
        url.set_port(Some(PORT)).map_err(|()| wrong("takes no port"))?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_url_has_the_servers_port_unless_it_says_another() {
        for (text, expected) in [
            ("http://localhost", "http://localhost:8529/"),
            ("http://localhost:80", "http://localhost/"),
            ("https://db.example.org:443/", "https://db.example.org/"),
            ("http://[::1]", "http://[::1]:8529/"),
            ("http://[::1]:9000", "http://[::1]:9000/"),
            ("http://proxy:80/arango/", "http://proxy/arango/"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn mistakes_in_the_settings_are_told_by_connect_and_show_no_password() {
        let builder = ArangoStore::builder;
        for (mistaken, says) in [
            (builder().server("ftp://h"), "neither"),
            (builder().server("http://root:hunter2@h"), "user or a password"),
            (builder().server("hunter2"), "cannot be read"),
            (builder().server("http://h/?password=hunter2"), "parameters"),
            (builder().database(""), "name is empty"),
            (builder().token("hunter2").credentials("root", "hunter2"), "not both"),
            (builder().token("hunter2\n"), "no header"),
        ] {
            let print = format!("{mistaken:?}");
            let error = mistaken.connect().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{error}");
            assert!(error.message().contains(says), "{error}");
            assert!(!format!("{print} {error:?}").contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn servers_that_cannot_be_reached_are_named_without_the_password() {
        let builder = ArangoStore::builder().credentials("root", "hunter2");
        for auth in [Auth::Basic, Auth::Jwt] {
            let builder = builder.clone().auth(auth).server("http://127.0.0.1:1");
            let error = builder.connect().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
            assert!(error.message().contains("127.0.0.1:1"), "{error}");
            assert!(!format!("{error:?} {error}").contains("hunter2"));
        }
    }
}
