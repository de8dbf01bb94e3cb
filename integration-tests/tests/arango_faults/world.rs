//! A server that a trial does harm to, a store on it, and what is there, read behind the store's back.

use std::{collections::BTreeMap, time::Duration};

use arango_emulator::{Armed, Emulator, Rule};
use batch_arango::{ArangoBuilder, ArangoStore};
use batch_core::{BatchExt as _, BatchOptions, Guarantee, Job, JobStatus, Report, StoreOptions};
use integration_tests::{ArangoServer, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::shapes::{Expected, Shape};

pub(crate) const DATABASE: &str = "faults";
/// Longer than any answer of a server that is well, and than its pauses.
const DEADLINE: Duration = Duration::from_secs(10);
/// What is not ended by then is left open.
const LONGEST_CLEANING: Duration = Duration::from_secs(3);

/// What requests travel by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    Http2,
}

impl Wire {
    /// The name of a trial on this wire.
    pub(crate) fn name(self, name: &str) -> String {
        match self {
            Self::Http1 => name.to_owned(),
            Self::Http2 => format!("http2::{name}"),
        }
    }

    /// As the log of requests has it.
    fn protocol(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

pub(crate) struct World {
    server: ArangoServer,
    wire: Wire,
}

/// A commit that has ended: what each job says, and what would bear it out.
pub(crate) struct Ended {
    /// An error if nothing was sent: then the batch was given back.
    pub(crate) report: batch_core::Result<Report>,
    pub(crate) jobs: Vec<(Expected, Job)>,
}

impl World {
    /// Starts a server. It must not be called on a runtime.
    pub(crate) fn new(version: &str, wire: Wire) -> Result<Self> {
        Ok(Self { server: ArangoServer::emulator(version)?, wire })
    }

    pub(crate) async fn prepare(&self) -> Result<()> {
        self.server.make_database(DATABASE).await
    }

    #[expect(clippy::expect_used, reason = "`new` starts nothing else")]
    pub(crate) fn emulator(&self) -> &Emulator {
        self.server.as_emulator().expect("it was started as one")
    }

    pub(crate) async fn store(&self) -> Result<ArangoStore> {
        self.store_of([self.server.base()], None).await
    }

    /// A store that asks this server when it cannot reach another coordinator of its cluster.
    pub(crate) async fn store_behind(&self, first: &Emulator) -> Result<ArangoStore> {
        // One that was dialled while another was given back would be idle, whatever the server closes.
        let fresh = || reqwest::Client::builder().pool_max_idle_per_host(0);
        let fresh = (self.wire == Wire::Http1).then(fresh);
        self.store_of([&*first.url(), self.server.base()], fresh).await
    }

    async fn store_of(
        &self,
        servers: impl IntoIterator<Item = &str>,
        client: Option<reqwest::ClientBuilder>,
    ) -> Result<ArangoStore> {
        let (user, password) = self.server.login().ok_or("the emulator asks for a login")?;
        let builder = ArangoStore::builder()
            .servers(servers)
            .database(DATABASE)
            .credentials(user, password)
            .http2(self.wire == Wire::Http2)
            .options(StoreOptions::new().timeout(DEADLINE));
        let builder = client.into_iter().fold(builder, ArangoBuilder::client_builder);
        Ok(builder.connect().await?)
    }

    /// Makes the collection of a shape, with the documents that its operations meet.
    pub(crate) async fn fill(&self, shape: Shape, collection: &str) -> Result<()> {
        self.server.make_collection(DATABASE, collection).await?;
        let there: Vec<Value> = shape.before().collect();
        let path = format!("/_db/{DATABASE}/_api/document/{collection}");
        self.server.must(Method::POST, &path, Some(&Value::Array(there))).await.map(drop)
    }

    /// The same, whether or not the collection is there.
    pub(crate) async fn fill_anew(&self, shape: Shape, collection: &str) -> Result<()> {
        self.remove(collection).await?;
        self.fill(shape, collection).await
    }

    /// An empty collection, whether or not it is there.
    pub(crate) async fn make_anew(&self, collection: &str) -> Result<()> {
        self.remove(collection).await?;
        self.server.make_collection(DATABASE, collection).await
    }

    async fn remove(&self, collection: &str) -> Result<()> {
        let path = format!("/_db/{DATABASE}/_api/collection/{collection}");
        match self.server.ask(Method::DELETE, &path, None).await? {
            (200 | 404, _) => Ok(()),
            (status, answer) => Err(format!("DELETE {path}: {status} {answer}").into()),
        }
    }

    /// The requests since the last `forget_requests` that travelled by the other wire.
    pub(crate) fn strays(&self) -> usize {
        let seen = self.emulator().requests();
        seen.iter().filter(|seen| seen.protocol != self.wire.protocol()).count()
    }

    pub(crate) fn fault(&self, rule: Rule) -> Armed {
        self.emulator().fault(rule)
    }

    /// Queues what a shape has, and commits.
    pub(crate) async fn commit(
        &self,
        store: &ArangoStore,
        shape: Shape,
        collection: &str,
        deadline: Option<Duration>,
    ) -> Result<Ended> {
        let mut options = BatchOptions::new().guarantee(shape.guarantee());
        if let Some(deadline) = deadline {
            options = options.deadline(deadline);
        }
        let mut batch = store.arango_batch(options)?;
        let mut jobs = Vec::new();
        for (operation, expected) in shape.operations(collection) {
            let job = batch.queue(operation).map_err(|rejected| rejected.to_string())?;
            jobs.push((expected, job));
        }
        let report = batch.commit().await;
        for (expected, job) in &jobs {
            if report.is_err() != job.is_pending() {
                let what = format!("{expected:?} is {:?} after {report:?}", job.status());
                return Err(what.into());
            }
        }
        Ok(Ended { report, jobs })
    }

    /// The number of each document, by its key.
    pub(crate) fn numbers(&self, collection: &str) -> Result<BTreeMap<String, i64>> {
        let found = self.emulator().documents(DATABASE, collection).ok_or("no such collection")?;
        let numbers = found.iter().map(|document| {
            let key = document["_key"].as_str().unwrap_or_default().to_owned();
            (key, document["number"].as_i64().unwrap_or(i64::MIN))
        });
        Ok(numbers.collect())
    }

    /// Everything that contradicts what is there, in words.
    pub(crate) fn contradictions(
        &self,
        collection: &str,
        guarantee: Guarantee,
        jobs: &[(Expected, Job)],
    ) -> Result<Vec<String>> {
        let found = self.numbers(collection)?;
        let mut wrong = Vec::new();
        let mut written = Vec::new();
        for (expected, job) in jobs {
            let is_done = expected.is_done(&found);
            let is_undone = expected.is_undone(&found);
            let status = job.status();
            let holds = match &status {
                JobStatus::Applied(outcome) => is_done && expected.is_told(outcome),
                // A batch that was given back has sent nothing.
                JobStatus::NotApplied(_) | JobStatus::Pending => is_undone,
                JobStatus::Unknown(_) => is_done || is_undone,
                _ => false,
            };
            if !holds {
                let number = expected.number(&found);
                wrong.push(format!("{expected:?} is {status:?}, and there is {number:?}"));
            }
            if expected.writes() {
                written.push(is_done);
            }
        }
        let is_whole = matches!(guarantee, Guarantee::AllOrNothing { .. });
        if is_whole && written.iter().any(|done| *done != written[0]) {
            wrong.push(format!("a part of a whole is there: {found:?}"));
        }
        let stranger = found.keys().find(|key| !jobs.iter().any(|(it, _)| it.key() == **key));
        if let Some(key) = stranger {
            wrong.push(format!("there is a document `{key}` that nobody wrote"));
        }
        Ok(wrong)
    }

    /// Waits until no transaction runs and no cursor waits on the server.
    pub(crate) async fn until_nothing_is_open(&self) -> Result<()> {
        // What was dropped is ended on a task of its own, by a request: that is what is waited for.
        let emulator = self.emulator();
        let ended = emulator.until_nothing_is_open();
        tokio::time::timeout(LONGEST_CLEANING, ended).await.map_err(|_| {
            let (transactions, cursors) =
                (emulator.running_transactions(), emulator.open_cursors());
            format!("left open: the transactions {transactions:?}, and {cursors} cursors")
        })?;
        Ok(())
    }
}

/// A document of a number.
pub(crate) fn numbered(key: &str, number: i64) -> Value {
    json!({"_key": key, "number": number})
}
