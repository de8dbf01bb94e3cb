//! Where a server comes from: named, in a container, or as a process.

use std::{
    env, fmt,
    net::{SocketAddr, ToSocketAddrs as _},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use scylla::client::session::Session;
use unibatch::{Scheme, StoreUrl};

use crate::{Container, Node, Result, Settings, container::Published, driver, tell};

const URL: &str = "UNIBATCH_CQL_URL";
const FORCED: &str = "UNIBATCH_CQL_SERVER";

/// What a server runs as.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// Somebody else's, named by `UNIBATCH_CQL_URL`.
    Url,
    /// A container.
    Container(Box<Container>),
    /// A process.
    Process(Box<Node>),
}

/// A server that can be had here. What was started for it ends when it is dropped.
#[derive(Debug)]
pub struct Cassandra {
    source: Source,
    address: SocketAddr,
    login: Option<(String, String)>,
}

impl Cassandra {
    /// What it runs as.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The user and the password, where it asks for them.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (&**user, &**password))
    }

    /// Whether it may tell clients an address where they cannot find it: behind a mapped port.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        matches!(self.source, Source::Container(_))
    }

    /// The URL of a store on it.
    #[must_use]
    pub fn url(&self, keyspace: &str) -> String {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let login = self
            .login()
            .map(|(user, password)| format!("{}:{}@", encoded(user), encoded(password)));
        let translate = if self.is_translated() { "?translate=contact-points" } else { "" };
        format!("cql://{}{}/{keyspace}{translate}", login.unwrap_or_default(), self.address)
    }

    /// A session of the bare driver.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn session(&self) -> Result<Session> {
        driver::connect(self.address, self.login(), self.is_translated()).await
    }
}

impl fmt::Display for Cassandra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.source {
            Source::Url => "the cluster of the environment",
            Source::Container(_) => "a container",
            Source::Process(_) => "a process",
        };
        write!(f, "{what}, at {}", self.address)
    }
}

/// The cluster to run a suite on. A process has the `settings`; a container their Java arguments.
///
/// # Errors
/// Why there is none, and what to install.
pub fn find_cassandra(settings: &Settings) -> Result<Cassandra> {
    let forced = env::var(FORCED).ok().filter(|name| !name.is_empty());
    let found = match forced.as_deref() {
        Some("url") => named()?.ok_or_else(|| format!("{URL} names no cluster"))?,
        Some("container") => in_container(&Published::cassandra(settings.java_arguments()))?,
        Some("process") => as_process(settings)?,
        Some(other) => {
            return Err(
                format!("{FORCED} is `url`, `container` or `process`, not `{other}`").into()
            );
        }
        None => match named()? {
            Some(named) => named,
            None => in_container(&Published::cassandra(settings.java_arguments())).or_else(
                |engine| as_process(settings).map_err(|process| format!("{process} ({engine})")),
            )?,
        },
    };
    tell(format_args!("the suite runs on {found}"));
    Ok(found)
}

/// A node of one's own, to be stopped and killed.
///
/// # Errors
/// Why there is none, and what to install.
pub fn find_process(settings: Settings) -> Result<Node> {
    Node::start(settings)
}

/// ScyllaDB in a container, where an engine has its published image or can pull it.
///
/// # Errors
/// Why there is none.
pub fn find_scylla() -> Result<Cassandra> {
    let found = in_container(&Published::scylla())?;
    tell(format_args!("ScyllaDB runs in {found}"));
    Ok(found)
}

fn named() -> Result<Option<Cassandra>> {
    let Ok(text) = env::var(URL) else { return Ok(None) };
    let url = StoreUrl::parse(&text).map_err(|error| format!("{URL}: {error}"))?;
    let (Scheme::Cql, Some(host)) = (url.scheme(), url.hosts().first()) else {
        return Err(format!("{URL} is to begin with `cql://`, and to name a host").into());
    };
    let address = (host.name.as_str(), host.port).to_socket_addrs()?.next();
    let login = url.user().map(|user| (user.to_owned(), url.password().unwrap_or("").to_owned()));
    let address = address.ok_or_else(|| format!("{URL}: {host} has no address"))?;
    Ok(Some(Cassandra { source: Source::Url, address, login }))
}

fn in_container(image: &Published) -> Result<Cassandra> {
    let container = Container::start(image).map_err(|error| {
        tell(format_args!("{image} cannot be had: {error}"));
        format!("needs a container engine that has {image} or can pull it")
    })?;
    let address = container.address();
    Ok(Cassandra { source: Source::Container(Box::new(container)), address, login: None })
}

fn as_process(settings: &Settings) -> Result<Cassandra> {
    let node = Node::start(settings.clone())?;
    let address = node.address();
    Ok(Cassandra { source: Source::Process(Box::new(node)), address, login: None })
}
