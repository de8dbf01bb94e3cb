//! ArangoDB: the emulator, a container of a published image, or a server that is named; asked
//! behind the library's back by requests of a bare HTTP client.

use std::{env, fmt, thread};

use arango_emulator::Emulator;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use unibatch::{Scheme, StoreUrl};

use crate::{Container, Result, container::Published, tell};

const URL: &str = "UNIBATCH_ARANGO_URL";
const USER: &str = "root";
const PASSWORD: &str = "passwd";

/// What a server runs as.
enum Source {
    Emulator(Box<Emulator>),
    /// Held for its end.
    Container {
        _container: Box<Container>,
    },
    Url,
}

/// An ArangoDB that can be had here. What was started for it ends when it is dropped.
pub struct ArangoServer {
    source: Source,
    /// Where an emulator runs.
    runtime: Option<Runtime>,
    /// Scheme, host and port.
    base: String,
    login: Option<(String, String)>,
}

impl fmt::Debug for ArangoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArangoServer").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Drop for ArangoServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last handle may be dropped in a test's own runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}

impl ArangoServer {
    /// An emulator that answers as this release does, in this process, on a runtime of its own. It
    /// asks for a login.
    ///
    /// # Errors
    /// What the system says.
    pub fn emulator(version: &str) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let emulator = Emulator::builder().version(version).auth(USER, PASSWORD);
        // On a thread of its own: a test that starts one is on a runtime already.
        let started =
            thread::scope(|scope| scope.spawn(|| runtime.block_on(emulator.start())).join());
        let emulator = started.map_err(|_| "the emulator's start panicked")??;
        let base = emulator.url();
        let source = Source::Emulator(Box::new(emulator));
        Ok(Self {
            source,
            runtime: Some(runtime),
            base,
            login: Some((USER.to_owned(), PASSWORD.to_owned())),
        })
    }

    /// A published image in a container.
    ///
    /// # Errors
    /// Why there is none.
    pub fn image(tag: &'static str) -> Result<Self> {
        let image = Published::arango(tag, PASSWORD);
        let container = Container::start(&image).map_err(|error| {
            tell(format_args!("{image} cannot be had: {error}"));
            format!("needs a container engine that has {image} or can pull it")
        })?;
        let base = format!("http://{}", container.address());
        let source = Source::Container { _container: Box::new(container) };
        Ok(Self {
            source,
            runtime: None,
            base,
            login: Some((USER.to_owned(), PASSWORD.to_owned())),
        })
    }

    /// The server that the environment variable `UNIBATCH_ARANGO_URL` names, if it is set.
    ///
    /// # Errors
    /// If it is none.
    pub fn named() -> Result<Option<Self>> {
        let Ok(text) = env::var(URL) else { return Ok(None) };
        let url = StoreUrl::parse(&text).map_err(|error| format!("{URL}: {error}"))?;
        let (Scheme::Arango, Some(host)) = (url.scheme(), url.hosts().first()) else {
            return Err(format!("{URL} is to begin with `arango://`, and to name a host").into());
        };
        let login =
            url.user().map(|user| (user.to_owned(), url.password().unwrap_or("").to_owned()));
        Ok(Some(Self { source: Source::Url, runtime: None, base: format!("http://{host}"), login }))
    }

    /// The emulator, if it is one.
    #[must_use]
    pub fn as_emulator(&self) -> Option<&Emulator> {
        match &self.source {
            Source::Emulator(emulator) => Some(emulator),
            Source::Container { .. } | Source::Url => None,
        }
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The user and the password, where it asks for them.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (&**user, &**password))
    }

    /// The URL of a store on one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let login = self
            .login()
            .map(|(user, password)| format!("{}:{}@", encoded(user), encoded(password)));
        let host = self.base.trim_start_matches("http://");
        format!("arango://{}{host}/{database}", login.unwrap_or_default())
    }

    /// Asks the server, and gives the status and the JSON of the answer, null if it has none.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let mut request = Client::new().request(method, format!("{}{path}", self.base));
        if let Some((user, password)) = self.login() {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// As [`ask`](Self::ask), and what is not a success is an error.
    ///
    /// # Errors
    /// What the server says.
    pub async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let asked = format!("{method} {path}");
        match self.ask(method, path, body).await? {
            (200..300, answer) => Ok(answer),
            (status, answer) => Err(format!("{asked}: {status} {answer}").into()),
        }
    }

    /// Makes a database.
    ///
    /// # Errors
    /// What the server says.
    pub async fn make_database(&self, name: &str) -> Result<()> {
        self.must(Method::POST, "/_api/database", Some(&json!({"name": name}))).await.map(drop)
    }

    /// Removes a database.
    ///
    /// # Errors
    /// What the server says.
    pub async fn remove_database(&self, name: &str) -> Result<()> {
        self.must(Method::DELETE, &format!("/_api/database/{name}"), None).await.map(drop)
    }

    /// Makes a collection of documents.
    ///
    /// # Errors
    /// What the server says.
    pub async fn make_collection(&self, database: &str, name: &str) -> Result<()> {
        let path = format!("/_db/{database}/_api/collection");
        self.must(Method::POST, &path, Some(&json!({"name": name}))).await.map(drop)
    }

    /// A document as it is; `None` if it is absent.
    ///
    /// # Errors
    /// What the server says.
    pub async fn document(
        &self,
        database: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Value>> {
        let path = format!("/_db/{database}/_api/document/{collection}/{key}");
        match self.ask(Method::GET, &path, None).await? {
            (200, document) => Ok(Some(document)),
            (404, _) => Ok(None),
            (status, answer) => Err(format!("GET {path}: {status} {answer}").into()),
        }
    }
}
