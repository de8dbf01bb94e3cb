//! What the cluster is, what it takes, and what it was found to refuse.

mod limits;

use std::sync::atomic::{AtomicBool, Ordering};

use batch_core::{Error, Result, Server};
use futures_util::future::try_join;
use scylla::{
    client::session::Session,
    cluster::ClusterState,
    errors::ExecutionError,
    response::query_result::QueryRowsResult,
    statement::Statement,
    value::{CqlValue, Row},
};
use uuid::Uuid;

pub(crate) use self::limits::Limits;
use crate::{
    cluster::connection::Asking,
    errors::{self, Refusal},
};

/// Which product speaks CQL there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Cassandra,
    Scylla,
    /// DataStax Enterprise.
    Dse,
}

impl Product {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cassandra => "Cassandra",
            Self::Scylla => "ScyllaDB",
            Self::Dse => "DataStax Enterprise",
        }
    }

    /// Whether a counter is counted on one replica before it is looked for the others: then
    /// `Unavailable` does not say that nothing was done. (`mutate_counters` in ScyllaDB's
    /// `storage_proxy.cc`; Cassandra looks for all of them first.)
    pub(crate) const fn counts_first(self) -> bool {
        matches!(self, Self::Scylla)
    }

    /// Whether one write to two tables is two, also where they have the partition's key in common.
    /// (`mutation_equals_by_key` in ScyllaDB's `mutation.hh`; Cassandra makes one mutation of them.)
    pub(crate) const fn splits_by_table(self) -> bool {
        matches!(self, Self::Scylla)
    }
}

/// What a node says of itself and its cluster.
#[derive(Clone, Debug)]
pub(crate) struct ServerFacts {
    pub(crate) product: Product,
    pub(crate) version: String,
    pub(crate) limits: Limits,
    /// Whether it tells the version of its schema.
    pub(crate) has_schema_versions: bool,
    /// More of what it says, by name.
    facts: Vec<(&'static str, String)>,
}

/// The columns of `system.local` that are shown, and the names that they are shown by.
const FACTS: [(&str, &str); 4] = [
    ("cql_version", "CQL version"),
    ("partitioner", "partitioner"),
    ("cluster_name", "cluster"),
    ("data_center", "datacenter"),
];

impl ServerFacts {
    /// Asks a node.
    ///
    /// # Errors
    /// What stood in the way.
    pub(crate) async fn ask(session: &Session, asking: &Asking) -> Result<Self> {
        let local = Local::ask(session, asking);
        let (local, scylla) = try_join(local, scylla_version(session, asking)).await?;
        let dse = local.text("dse_version");
        let release = local.text("release_version").unwrap_or_else(|| "unknown".to_owned());
        let (product, version) = match (scylla, dse) {
            (Some(version), _) => (Product::Scylla, version),
            (None, Some(version)) => (Product::Dse, version),
            (None, None) => (Product::Cassandra, release),
        };
        let (limits, told) = Limits::ask(session, asking, product).await;
        let facts = FACTS.iter().filter_map(|(column, name)| {
            let value = local.text(column)?;
            // A partitioner is told by its whole class name.
            let short = value.rsplit('.').next().filter(|_| *column == "partitioner");
            Some((*name, short.map_or_else(|| value.clone(), str::to_owned)))
        });
        let assumed = (!told).then(|| {
            let of_product =
                format!("those that {} comes with; it does not tell its own", product.as_str());
            ("limits", of_product)
        });
        let has_schema_versions = local.uuid("schema_version").is_some();
        Ok(Self {
            product,
            version,
            limits,
            has_schema_versions,
            facts: facts.chain(assumed).collect(),
        })
    }

    /// The answer to a ping.
    pub(crate) fn server(&self, state: &ClusterState) -> Server {
        let server = Server::new(self.product.as_str(), &self.version).with_fact("protocol", "4");
        let facts = self.facts.iter();
        let server = facts.fold(server, |server, (name, value)| server.with_fact(*name, value));
        let nodes = state.get_nodes_info();
        let up = nodes.iter().filter(|node| node.is_connected()).count();
        server.with_fact("nodes", format!("{} ({up} connected)", nodes.len()))
    }
}

/// A row of `system.local`, whatever columns the service has there.
struct Local {
    names: Vec<String>,
    values: Row,
}

impl Local {
    async fn ask(session: &Session, asking: &Asking) -> Result<Self> {
        let question = asking.statement("SELECT * FROM system.local WHERE key = 'local'");
        let rows = ask(session, question, "what it is").await?;
        let names = rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
        let values =
            rows.first_row::<Row>().map_err(|error| errors::unreadable("what it is", error))?;
        Ok(Self { names, values })
    }

    fn value(&self, name: &str) -> Option<&CqlValue> {
        let place = self.names.iter().position(|own| own == name)?;
        self.values.columns.get(place)?.as_ref()
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            CqlValue::Text(text) | CqlValue::Ascii(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn uuid(&self, name: &str) -> Option<Uuid> {
        match self.value(name)? {
            CqlValue::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }
}

/// ScyllaDB's version, if that is what answers: only ScyllaDB has the table.
async fn scylla_version(session: &Session, asking: &Asking) -> Result<Option<String>> {
    let text = "SELECT version FROM system.versions WHERE key = 'local'";
    let is_sharded =
        || session.get_cluster_state().get_nodes_info().iter().any(|n| n.sharder().is_some());
    let unknown = || is_sharded().then(|| "unknown".to_owned());
    match session.query_unpaged(asking.statement(text), ()).await {
        Ok(answer) => Ok(answer
            .into_rows_result()
            .ok()
            .and_then(|rows| rows.first_row::<(String,)>().ok())
            .map(|(version,)| version)
            .or_else(unknown)),
        Err(error) if errors::is_answer(&error) => Ok(unknown()),
        Err(error) => Err(errors::of_read(&error)),
    }
}

/// Asks a node for something that it tells in rows; `what` is how an error names it.
pub(crate) async fn ask(
    session: &Session,
    statement: Statement,
    what: &str,
) -> Result<QueryRowsResult> {
    let answer = session.query_unpaged(statement, ()).await;
    let answer = answer.map_err(|error| errors::of_read(&error))?;
    answer.into_rows_result().map_err(|error| errors::unreadable(what, error))
}

/// What the server was found never to take. Services that speak CQL may lack the batch log, or
/// conditions; that is found out by the first one, and then known.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    logged: AtomicBool,
    conditions: AtomicBool,
}

impl Refusals {
    /// Looks whether an error says that there is no such thing.
    pub(crate) fn learn(&self, error: &Error) {
        let native =
            std::error::Error::source(error).and_then(|e| e.downcast_ref::<ExecutionError>());
        match native.and_then(errors::refusal) {
            Some(Refusal::LoggedBatches) => self.logged.store(true, Ordering::Relaxed),
            Some(Refusal::Conditions) => self.conditions.store(true, Ordering::Relaxed),
            None => {}
        }
    }

    /// Whether logged batches are refused.
    pub(crate) fn logged(&self) -> bool {
        self.logged.load(Ordering::Relaxed)
    }

    /// Whether conditions are refused.
    pub(crate) fn conditions(&self) -> bool {
        self.conditions.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use scylla::errors::{DbError, RequestAttemptError};

    use super::*;
    use crate::errors::{Asked, verdict};

    #[test]
    fn what_a_server_never_takes_is_found_out_once() {
        let refusals = Refusals::default();
        let learn = |text: &str| {
            let native = RequestAttemptError::DbError(DbError::Invalid, text.to_owned());
            refusals.learn(&verdict(&native.into(), Asked::default()));
            (refusals.logged(), refusals.conditions())
        };
        assert_eq!(learn("Batch too large"), (false, false));
        assert_eq!(learn("Only UNLOGGED Batches are supported at this time."), (true, false));
        assert_eq!(learn("Lightweight transactions are not supported"), (true, true));
        assert_eq!(learn("Batch too large"), (true, true));
    }
}
