//! The backend: what core asks of an ArangoDB store.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use batch_core::{
    Capabilities, Error, ErrorKind, Key, OperationRef, Result, Server,
    seam::{Answers, Backend, Chunk, Routes, Terms, View},
};
use bytes::Bytes;

use crate::{
    encode,
    http::Client,
    route::{ARRAY, MULTIPART, Router, SINGLE, TRANSACTION},
    server::Facts,
    statement::STORE,
};

/// The most bytes of what is sent and what comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceilings {
    /// Of a request's body.
    pub(crate) request: usize,
    /// Of the results of a query.
    pub(crate) result: usize,
}

/// A connection to a database, as the core uses it.
pub(crate) struct ArangoBackend {
    pub(crate) client: Arc<Client>,
    pub(crate) ceilings: Ceilings,
    accepts_sharded: bool,
    facts: RwLock<Arc<Facts>>,
}

impl fmt::Debug for ArangoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArangoBackend").field("client", &self.client).finish_non_exhaustive()
    }
}

impl ArangoBackend {
    /// Asks the server what it is, and whether the database is there.
    pub(crate) async fn connect(
        client: Client,
        ceilings: Ceilings,
        accepts_sharded: bool,
    ) -> Result<Self> {
        let facts = RwLock::new(Arc::new(Facts::ask(&client).await?));
        Ok(Self { client: Arc::new(client), ceilings, accepts_sharded, facts })
    }

    pub(crate) fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask_again(&self) -> Result<Arc<Facts>> {
        let facts = Arc::new(Facts::ask(&self.client).await?);
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&facts);
        Ok(facts)
    }
}

#[async_trait]
impl Backend for ArangoBackend {
    fn name(&self) -> &'static str {
        STORE
    }

    fn capabilities(&self) -> Capabilities {
        let facts = self.facts();
        let whole = facts.has_whole_transactions();
        let mut can = Capabilities::default();
        can.reads = true;
        can.conditions = true;
        can.revisions = true;
        can.returning = true;
        can.best_effort = Some(ARRAY.into());
        can.ordered = Some(match (facts.multipart, whole) {
            (true, _) => MULTIPART.into(),
            (false, true) => ARRAY.into(),
            (false, false) => SINGLE.into(),
        });
        can.ordered_stop = Some(SINGLE.into());
        can.all_or_nothing = (whole || self.accepts_sharded).then(|| TRANSACTION.into());
        can.isolated = whole.then(|| TRANSACTION.into());
        can.max_operation_bytes = Some(self.ceilings.request);
        can
    }

    fn admit(&self, operation: OperationRef<'_>, _terms: Terms) -> Result<()> {
        encode::admit(operation)
    }

    async fn resolve(&self, _operations: View<'_>, stale: bool) -> Result<()> {
        // Collections need no metadata. What servers can do is asked again when it turned out to be
        // otherwise, and when another server answers.
        if !self.client.take_moved() && !stale {
            return Ok(());
        }
        let asked = self.ask_again().await;
        if asked.is_err() {
            self.client.note_moved();
        }
        asked.map(drop)
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        let facts = self.facts();
        let router = Router {
            facts: &facts,
            accepts_sharded: self.accepts_sharded,
            most_bytes: self.ceilings.request,
        };
        router.route(operations, terms, routes)
    }

    /// Documents are taken in any order; nothing is known to be gained by another one.
    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {}

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        match &*chunk.mechanism().name {
            ARRAY => self.send_array(chunk, answers).await,
            MULTIPART => self.send_multipart(chunk, answers).await,
            TRANSACTION => self.send_transaction(chunk, answers).await,
            SINGLE => self.send_single(chunk, answers).await,
            other => {
                let message = format!("`{other}` is no way in which this store sends");
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        self.read_document(collection, key).await
    }

    async fn ping(&self) -> Result<Server> {
        Ok(self.ask_again().await?.server())
    }

    async fn close(&self) -> Result<()> {
        // Else a program that ends here would leave transactions that stand in others' way.
        self.client.cleaning.ended().await;
        // Connections end with the client's last handle, or when they have been idle.
        Ok(())
    }
}
