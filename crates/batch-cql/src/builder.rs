//! Settings to connect with.

mod point;
#[cfg(feature = "tls")]
mod tls;
mod translate;

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::{
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use batch_core::{Error, ErrorKind, Result, StoreOptions};
use scylla::{
    client::{
        Compression, PoolSize, execution_profile::ExecutionProfile, session::Session,
        session_builder::SessionBuilder,
    },
    policies::load_balancing::DefaultPolicy,
    statement::{Consistency, SerialConsistency},
};

use self::point::ContactPoint;
pub use self::translate::Translate;
use crate::{
    CqlStore,
    cluster::connection::{self, Connection, Habits, check_writes},
    errors,
};

/// A node that takes connections and then says nothing holds up the handshake, requests, and every
/// statement that is prepared anew, until it has not answered a question as to whether it is there:
/// this long after the former one, for this long. Nodes answer it before anything else.
const KEEPALIVE: Duration = Duration::from_secs(4);
/// More than it takes to find out twice that one hangs: as a contact point, and as a node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings to connect with; [`CqlStore::builder`] makes one.
///
/// ```no_run
/// # async fn example() -> batch_core::Result<()> {
/// use batch_cql::{Consistency, CqlStore};
///
/// let store = CqlStore::builder()
///     .contact_point("db1.example.org")
///     .contact_point("[2001:db8::7]:9142")
///     .keyspace("school")
///     .credentials("abby", "secret")
///     .local_datacenter("dc1")
///     .consistency(Consistency::LocalQuorum)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct CqlBuilder {
    /// The first mistake is kept, and told by `connect`.
    points: Result<Vec<ContactPoint>>,
    keyspace: Option<String>,
    credentials: Option<(String, String)>,
    #[cfg(feature = "tls")]
    trust: Option<tls::Trust>,
    #[cfg(feature = "tls")]
    server_name: Option<String>,
    compression: Option<Compression>,
    local_datacenter: Option<String>,
    consistency: Consistency,
    serial_consistency: SerialConsistency,
    translate: Option<Translate>,
    connect_timeout: Duration,
    connections: NonZeroUsize,
    habits: Habits,
    options: StoreOptions,
}

impl CqlBuilder {
    pub(crate) fn new() -> Self {
        Self {
            points: Ok(Vec::new()),
            keyspace: None,
            credentials: None,
            #[cfg(feature = "tls")]
            trust: None,
            #[cfg(feature = "tls")]
            server_name: None,
            compression: None,
            local_datacenter: None,
            consistency: Consistency::LocalQuorum,
            serial_consistency: SerialConsistency::LocalSerial,
            translate: None,
            connect_timeout: CONNECT_TIMEOUT,
            connections: NonZeroUsize::MIN,
            habits: Habits::default(),
            options: StoreOptions::new(),
        }
    }

    /// Adds a node to begin with: `host`, `host:port` or `[v6]:port`; the port is 9042 if not
    /// said. The other nodes are found through it, so several are needed only in case one is down.
    pub fn contact_point(mut self, point: impl Into<String>) -> Self {
        self.points = self.points.and_then(|mut points| {
            points.push(ContactPoint::parse(&point.into())?);
            Ok(points)
        });
        self
    }

    /// Adds several nodes to begin with.
    pub fn contact_points(self, points: impl IntoIterator<Item = impl Into<String>>) -> Self {
        points.into_iter().fold(self, Self::contact_point)
    }

    /// Where collections are that are named without a keyspace, in the case that it has. Without
    /// it each is named as `keyspace.table`.
    pub fn keyspace(mut self, keyspace: impl Into<String>) -> Self {
        self.keyspace = Some(keyspace.into());
        self
    }

    /// Who connects.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// Connects over TLS, with settings of your own: for certificates of clients, above all. A
    /// server's certificate has to name the address that it is reached by, unless the settings'
    /// verifier has it otherwise.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.trust = Some(tls::Trust::Given(config));
        self
    }

    /// Connects over TLS to servers whose certificates an authority has signed that this machine
    /// trusts.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_with_native_roots(mut self) -> Self {
        self.trust = Some(tls::Trust::Native);
        self
    }

    /// Connects over TLS to servers whose certificates an authority has signed that is in this PEM
    /// file, and no other.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_with_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.trust = Some(tls::Trust::File(path.into()));
        self
    }

    /// The name that the servers' certificates have to bear, all of them. Without it each has to
    /// bear the address that its server is reached by: the driver knows nodes by nothing else.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Compresses requests and answers, if the server can. Default: not.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// The datacenter whose nodes are asked. Others are not, so a name that no node has is an
    /// error. Default: all nodes are asked alike.
    pub fn local_datacenter(mut self, name: impl Into<String>) -> Self {
        self.local_datacenter = Some(name.into());
        self
    }

    /// The consistency of writes. Default: `LocalQuorum`.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    /// The consistency at which conditions are decided. Default: `LocalSerial`.
    pub fn serial_consistency(mut self, consistency: SerialConsistency) -> Self {
        self.serial_consistency = consistency;
        self
    }

    /// Reaches the nodes by other addresses than they tell: behind a port mapping or a tunnel.
    pub fn translate(mut self, translate: Translate) -> Self {
        self.translate = Some(translate);
        self
    }

    /// The time that [`connect`](Self::connect) has. It takes eight seconds to pass over a node that takes a
    /// connection and hangs, and up to five over one that does not answer at all; over TLS the driver waits for a
    /// node that hangs without end. Default: 20 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The connections to each node, or to each shard of ScyllaDB. Default: 1, which is enough for
    /// thousands of requests at a time.
    pub fn connections(mut self, connections: NonZeroUsize) -> Self {
        self.connections = connections;
        self
    }

    /// Whether rows that are alone in their partition may share a batch, which costs a fraction of
    /// a request for each. Its price: one answer for some ten of them, so that what becomes unknown
    /// becomes so for all. Default: `true`.
    pub fn batch_across_partitions(mut self, allowed: bool) -> Self {
        self.habits.spread = allowed;
        self
    }

    /// Whether the servers trace each request: for a look at a few of them, since it is slow. The
    /// ids come with the report's warnings. Default: `false`.
    pub fn tracing(mut self, tracing: bool) -> Self {
        self.habits.tracing = tracing;
        self
    }

    /// Limits, deadline, backoff and clock. The clock stands for this machine's: writes are stamped with the servers'
    /// time all the same, and each commit asks them for it anew if that clock does not go on evenly.
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }

    /// Connects, reads the schema, and asks what the server is and takes.
    ///
    /// # Errors
    /// [`Connection`](ErrorKind::Connection) if no contact point can be connected to,
    /// [`Timeout`](ErrorKind::Timeout) if that takes too long, [`Unauthorized`](ErrorKind::Unauthorized)
    /// if user or password are refused, [`NotFound`](ErrorKind::NotFound) for a keyspace that is
    /// not there, [`InvalidOperation`](ErrorKind::InvalidOperation) for settings that cannot be,
    /// [`Unsupported`](ErrorKind::Unsupported) and [`Protocol`](ErrorKind::Protocol) for a server that speaks
    /// otherwise, or has a type that the driver does not know.
    pub async fn connect(self) -> Result<CqlStore> {
        self.check()?;
        let points = point::list(self.points.as_deref().unwrap_or_default());
        let timeout = self.connect_timeout;
        let options = self.options.clone();
        let connected = tokio::time::timeout(timeout, self.connection()).await;
        let connection = connected.unwrap_or_else(|_| {
            let message = format!(
                "cannot connect to {points} within {timeout:?}; look whether the server is up, and answers"
            );
            Err(Error::new(ErrorKind::Timeout, message).transient())
        });
        Ok(CqlStore::new(connection?, options))
    }

    fn check(&self) -> Result<()> {
        check_writes(self.consistency)?;
        let invalid = |message| Err(Error::new(ErrorKind::InvalidOperation, message));
        if self.points.as_ref().map_err(Clone::clone)?.is_empty() {
            return invalid(
                "there is no contact point to connect to; name one, such as `localhost:9042`",
            );
        }
        #[cfg(feature = "tls")]
        if self.server_name.is_some() && self.trust.is_none() {
            return invalid(
                "a server's name is checked over TLS only; say who is trusted, or leave the name out",
            );
        }
        if self.keyspace.as_deref() == Some("") {
            return invalid("the keyspace has an empty name; leave it out, or correct it");
        }
        Ok(())
    }

    async fn connection(self) -> Result<Connection> {
        let points = self.points?;
        // Each is tried in turn, and the nodes that they tell of once more; what goes wrong there
        // says more than that the time is over.
        let steps = u32::try_from(points.len() + 1).unwrap_or(u32::MAX);
        let each = (self.connect_timeout / steps).min(Duration::from_secs(5));
        let policy = match &self.local_datacenter {
            Some(name) => DefaultPolicy::builder().prefer_datacenter(name.clone()),
            None => DefaultPolicy::builder(),
        };
        let profile = ExecutionProfile::builder()
            .consistency(self.consistency)
            .serial_consistency(Some(self.serial_consistency))
            .load_balancing_policy(policy.token_aware(true).build());
        let profile = connection::profile(profile);
        let mut builder = SessionBuilder::new()
            .known_nodes(points.iter().map(ToString::to_string))
            .compression(self.compression)
            .connection_timeout(each)
            .keepalive_interval(KEEPALIVE)
            .keepalive_timeout(KEEPALIVE)
            .pool_size(PoolSize::PerShard(self.connections))
            .default_execution_profile_handle(profile.clone().into_handle());
        if let Some((user, password)) = &self.credentials {
            builder = builder.user(user, password);
        }
        #[cfg(feature = "tls")]
        if let Some(trust) = &self.trust {
            let config = tls::config(trust, self.server_name.as_deref())?;
            builder = builder.tls_context(Some(config));
        }
        if let Some(translate) = self.translate {
            let translator = translate.translator(&points, &builder).await?;
            // The port of a node's shards is not behind the same mapping.
            builder = builder.address_translator(translator).disallow_shard_aware_port(true);
        }
        let keyspace = self.keyspace.as_deref();
        let connect = async |builder: &SessionBuilder| -> Result<Connection> {
            let schema_read = Some(Instant::now());
            let session = builder.build().await;
            let session =
                session.map_err(|error| errors::not_connected(&point::list(&points), &error))?;
            if let Some(name) = &self.local_datacenter {
                find_datacenter(&session, name)?;
            }
            find_connected(&session, self.translate)?;
            let (profile, clock) = (profile.clone(), self.options.shared_clock());
            let session = Arc::new(session);
            let connection =
                Connection::new(session, keyspace, profile, clock, self.habits).await?;
            Ok(Connection { schema_read, ..connection })
        };
        match (connect(&builder).await, keyspace) {
            // What stands in the way is likely in another keyspace, which the driver reads as well.
            (Err(error), Some(own)) if error.kind() == ErrorKind::Unsupported => {
                let narrow = builder.keyspaces_to_fetch([own]);
                let Ok(connection) = connect(&narrow).await else { return Err(error) };
                tracing::warn!(%error, keyspace = own, "only the store's own keyspace is known");
                Ok(Connection { narrowed: Some(error), ..connection })
            }
            (connected, _) => connected,
        }
    }
}

fn find_datacenter(session: &Session, name: &str) -> Result<()> {
    let state = session.get_cluster_state();
    let mut known: Vec<&str> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    known.sort_unstable();
    known.dedup();
    // A cluster that tells of no datacenter at all may not have told yet.
    if known.is_empty() || known.contains(&name) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!("no node is in the datacenter `{name}`; the cluster has {}", known.join(", ")),
    ))
}

/// A contact point may answer, and its cluster be at addresses that do not exist here.
fn find_connected(session: &Session, translate: Option<Translate>) -> Result<()> {
    let state = session.get_cluster_state();
    let nodes = state.get_nodes_info();
    if nodes.iter().any(|node| node.is_connected()) {
        return Ok(());
    }
    let told: Vec<String> = nodes.iter().map(|node| node.address.to_string()).collect();
    let advice = match translate {
        None => {
            "if they are behind a port mapping or a tunnel, translate their addresses to the contact points"
        }
        Some(_) => "look whether the contact points lead to all of them",
    };
    Err(Error::new(
        ErrorKind::Connection,
        format!(
            "the nodes of the cluster say that they are at {}, and none of them can be connected to; {advice}",
            told.join(", ")
        ),
    )
    .transient())
}

impl fmt::Debug for CqlBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CqlBuilder");
        #[cfg(feature = "tls")]
        debug.field("tls", &self.trust);
        debug
            .field("contact_points", &self.points)
            .field("keyspace", &self.keyspace)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("compression", &self.compression)
            .field("local_datacenter", &self.local_datacenter)
            .field("consistency", &self.consistency)
            .field("serial_consistency", &self.serial_consistency)
            .field("translate", &self.translate)
            .field("connect_timeout", &self.connect_timeout)
            .field("connections", &self.connections)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
