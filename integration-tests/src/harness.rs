//! How the contract's cases reach a CQL store: tables made by the bare driver, stores by the builder.

use std::sync::Arc;

use batch_conformance::{Harness, async_trait};
use batch_core::{Error, ErrorKind, Result, Store, StoreOptions, seam::Backend};
use batch_cql::{CqlStore, Translate};
use scylla::client::session::Session;
use tokio::{runtime::Builder, sync::OnceCell};

use crate::{Cassandra, Source, execute, tell};

/// A keyspace of its own on a server, in which each case has its tables.
#[derive(Debug)]
pub struct CqlHarness {
    name: String,
    server: Arc<Cassandra>,
    keyspace: String,
    // Connected on the first use: connections belong to the runtime of the cases.
    session: OnceCell<Session>,
}

impl CqlHarness {
    /// A harness whose cases' names begin with `name`. It makes the keyspace `name_` and the number
    /// of this process.
    #[must_use]
    pub fn new(name: &str, server: Arc<Cassandra>) -> Self {
        let keyspace = format!("{name}_{}", std::process::id());
        Self { name: name.to_owned(), server, keyspace, session: OnceCell::new() }
    }

    /// The keyspace.
    #[must_use]
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }

    async fn connect(&self, options: StoreOptions) -> Result<CqlStore> {
        self.session().await?;
        connect_store(&self.server, &self.keyspace, options).await
    }

    async fn session(&self) -> Result<&Session> {
        let made = self.session.get_or_try_init(|| async {
            let session = self.server.session().await?;
            make_keyspace(&session, &self.keyspace, 1).await?;
            Ok::<_, crate::Error>(session)
        });
        made.await.map_err(failure)
    }

    async fn run(&self, statement: String) -> Result<()> {
        execute(self.session().await?, statement).await.map_err(failure)?;
        Ok(())
    }
}

/// Makes a keyspace whose rows are on so many nodes.
///
/// # Errors
/// What the server said.
pub async fn make_keyspace(session: &Session, name: &str, replicas: u8) -> crate::Result<()> {
    let statement = format!(
        "CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = \
         {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replicas}}}"
    );
    execute(session, statement).await?;
    Ok(())
}

/// Removes a keyspace from a cluster that is not ours; on one of ours it goes with the server.
pub fn remove_keyspace(server: &Cassandra, name: &str) {
    if !matches!(server.source(), Source::Url) {
        return;
    }
    let removed = Builder::new_current_thread().enable_all().build().map_err(crate::Error::from);
    let removed = removed.and_then(|runtime| {
        runtime.block_on(async {
            let session = server.session().await?;
            execute(&session, format!("DROP KEYSPACE IF EXISTS {name}")).await
        })
    });
    if let Err(error) = removed {
        tell(format_args!("the keyspace {name} is left behind: {error}"));
    }
}

/// A store on a server.
///
/// # Errors
/// What stood in the way.
pub async fn connect_store(
    server: &Cassandra,
    keyspace: &str,
    options: StoreOptions,
) -> Result<CqlStore> {
    let mut builder = CqlStore::builder()
        .contact_point(server.address().to_string())
        .keyspace(keyspace)
        .options(options);
    if let Some((user, password)) = server.login() {
        builder = builder.credentials(user, password);
    }
    if server.is_translated() {
        builder = builder.translate(Translate::ContactPoints);
    }
    builder.connect().await
}

fn failure(error: crate::Error) -> Error {
    Error::new(ErrorKind::Store, format!("the bare driver: {error}")).with_source(error)
}

#[async_trait]
impl Harness for CqlHarness {
    fn name(&self) -> &str {
        &self.name
    }

    fn string_form_keys(&self) -> bool {
        false
    }

    /// One partition is isolated, and each document is one.
    fn isolates_several(&self) -> bool {
        false
    }

    async fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.connect(options).await?))
    }

    async fn backend(&self, options: &StoreOptions) -> Result<Option<Arc<dyn Backend>>> {
        Ok(Some(self.connect(options.clone()).await?.backend()))
    }

    async fn prepare(&self, collection: &str) -> Result<()> {
        let keyspace = &self.keyspace;
        self.run(format!(
            "CREATE TABLE {keyspace}.{collection} (id text PRIMARY KEY, name text, age int, \
             email text, active boolean, tags list<text>)"
        ))
        .await
    }

    async fn clean(&self, collection: &str) -> Result<()> {
        self.run(format!("DROP TABLE IF EXISTS {}.{collection}", self.keyspace)).await
    }
}
