//! What the tests share: a keyspace, a store and the bare driver on it, and words for what became of
//! operations.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use batch_core::{
    Batch, BatchExt as _, BatchOptions, ErrorKind, Guarantee, Job, JobStatus, Operation, Plan,
    Report, Store as _, StoreExt as _,
};
use batch_cql::{CqlBuilder, CqlStore, Translate};
use integration_tests::{Cassandra, Result, execute, make_keyspace};
use scylla::client::session::Session;
use serde_json::{Map, Value};

/// A test, and what it is listed as.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<World>) -> Body,
}

pub(crate) type Body = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The tests of a module: functions of the [`World`].
macro_rules! tests {
    ($area:literal: $($name:ident),+ $(,)?) => {
        pub(crate) const TESTS: &[crate::support::Test] = &[$(crate::support::Test {
            name: concat!($area, "::", stringify!($name)),
            run: |world| Box::pin($name(world)),
        }),+];
    };
}
pub(crate) use tests;

/// The whole batch or nothing of it.
pub(crate) const WHOLE: Guarantee = Guarantee::AllOrNothing { isolated: false };
/// The same, and nobody sees a part of it.
pub(crate) const ISOLATED: Guarantee = Guarantee::AllOrNothing { isolated: true };

/// A server, and the keyspaces that tests made there.
pub(crate) struct World {
    server: Cassandra,
    keyspaces: Mutex<Vec<String>>,
}

impl World {
    pub(crate) fn new(server: Cassandra) -> Self {
        Self { server, keyspaces: Mutex::default() }
    }

    pub(crate) fn server(&self) -> &Cassandra {
        &self.server
    }

    pub(crate) fn keyspaces(&self) -> Vec<String> {
        self.keyspaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Settings of a store on the server.
    pub(crate) fn builder(&self, keyspace: &str) -> CqlBuilder {
        let mut builder =
            CqlStore::builder().contact_point(self.server.address().to_string()).keyspace(keyspace);
        if let Some((user, password)) = self.server.login() {
            builder = builder.credentials(user, password);
        }
        if self.server.is_translated() {
            builder = builder.translate(Translate::ContactPoints);
        }
        builder
    }

    /// Makes a keyspace; `name` as CQL writes it.
    pub(crate) async fn keyspace(&self, session: &Session, name: &str) -> Result<()> {
        make_keyspace(session, name, 1).await?;
        let mut keyspaces = self.keyspaces.lock().unwrap_or_else(PoisonError::into_inner);
        if !keyspaces.iter().any(|known| known == name) {
            keyspaces.push(name.to_owned());
        }
        Ok(())
    }

    /// A place with these tables and types, whose names begin with `k.` for the keyspace.
    pub(crate) async fn place(&self, definitions: &[&str]) -> Result<Place> {
        let keyspace = format!("tables_{}", std::process::id());
        self.place_in(keyspace.clone(), &keyspace, definitions).await
    }

    /// As [`place`](Self::place), in a keyspace as CQL writes it; the store's own one is `own`.
    pub(crate) async fn place_in(
        &self,
        keyspace: String,
        own: &str,
        definitions: &[&str],
    ) -> Result<Place> {
        let session = self.server.session().await?;
        self.keyspace(&session, &keyspace).await?;
        for definition in definitions {
            execute(&session, in_keyspace(definition, &keyspace)).await?;
        }
        let store = self.builder(own).connect().await?;
        Ok(Place { session, store, keyspace })
    }
}

fn in_keyspace(statement: &str, keyspace: &str) -> String {
    statement.replace(" k.", &format!(" {keyspace}.")).replace("<k.", &format!("<{keyspace}."))
}

/// A keyspace, with a store on it and the bare driver.
pub(crate) struct Place {
    pub(crate) session: Session,
    pub(crate) store: CqlStore,
    pub(crate) keyspace: String,
}

impl Place {
    /// Has the bare driver carry out a statement, in which ` k.` stands for the keyspace. The
    /// server stamps it by the millisecond, so what the store does before or after it is done in
    /// other ones.
    pub(crate) async fn run(&self, statement: &str) -> Result<()> {
        self.pass_milliseconds().await?;
        execute(&self.session, in_keyspace(statement, &self.keyspace)).await?;
        self.pass_milliseconds().await
    }

    /// Waits until the server's clock is two milliseconds further.
    async fn pass_milliseconds(&self) -> Result<()> {
        let begun = self.server_time().await?;
        while self.server_time().await? < begun + 2 {}
        Ok(())
    }

    /// In milliseconds.
    async fn server_time(&self) -> Result<i64> {
        let select = "SELECT toUnixTimestamp(now()) FROM system.local".to_owned();
        let rows = execute(&self.session, select).await?.into_rows_result()?;
        let (time,) = rows.single_row::<(i64,)>()?;
        Ok(time)
    }

    /// What the bare driver reads with `SELECT JSON …`, sorted, null columns left out.
    pub(crate) async fn rows(&self, select: &str) -> Result<Vec<Value>> {
        let select = in_keyspace(&format!("SELECT JSON {select}"), &self.keyspace);
        let rows = execute(&self.session, select).await?.into_rows_result()?;
        let mut found = Vec::new();
        for row in rows.rows::<(String,)>()? {
            let columns: Map<String, Value> = serde_json::from_str(&row?.0)?;
            let given = columns.into_iter().filter(|(_, value)| !value.is_null());
            found.push(given.map(|(name, value)| (unquoted(name), value)).collect());
        }
        found.sort_by_cached_key(ToString::to_string);
        Ok(found)
    }

    /// Plans operations in the program's form, commits them, and compares both.
    pub(crate) async fn commit(
        &self,
        options: BatchOptions,
        operations: impl IntoIterator<Item = Value>,
    ) -> Result<Done> {
        let operations: Result<Vec<_>> = operations.into_iter().map(operation).collect();
        commit(&self.store, options, operations?).await
    }

    /// As [`commit`](Self::commit), under best effort.
    pub(crate) async fn best_effort(
        &self,
        operations: impl IntoIterator<Item = Value>,
    ) -> Result<Done> {
        self.commit(BatchOptions::new(), operations).await
    }

    /// One operation, and how it ended.
    pub(crate) async fn end(&self, operation: Value) -> Result<String> {
        let done = self.best_effort([operation]).await?;
        Ok(done.ends().concat())
    }

    /// The document that the store reads.
    pub(crate) async fn get(&self, collection: &str, key: &Value) -> Result<Option<Value>> {
        let key: batch_core::Key = serde_json::from_str(&key.to_string())?;
        match self.store.get(collection, key).await? {
            Some(outcome) => Ok(Some(outcome.decode()?)),
            None => Ok(None),
        }
    }
}

/// A name without the quotes that it has where it is no plain identifier.
fn unquoted(name: String) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name,
    }
}

/// An operation from the program's form.
pub(crate) fn operation(form: Value) -> Result<Operation> {
    serde_json::from_str(&form.to_string()).map_err(|error| format!("{form}: {error}").into())
}

/// What became of a batch.
pub(crate) struct Done {
    pub(crate) plan: Plan,
    pub(crate) report: Report,
    pub(crate) jobs: Vec<Job>,
}

impl Done {
    /// How each job ended, in the order of queueing.
    pub(crate) fn ends(&self) -> Vec<String> {
        self.jobs.iter().map(end).collect()
    }

    /// The mechanisms that were used, with the requests of each.
    pub(crate) fn mechanisms(&self) -> Vec<(&str, u64)> {
        self.report.mechanisms().iter().map(|used| (&*used.name, used.chunks)).collect()
    }
}

/// Plans and commits. What the plan says is what is sent.
pub(crate) async fn commit(
    store: &CqlStore,
    options: BatchOptions,
    operations: impl IntoIterator<Item = Operation>,
) -> Result<Done> {
    let mut batch = store.batch(options)?;
    let jobs = batch.queue_all(operations)?;
    let plan = batch.plan().await?;
    let report = batch.commit().await?;
    let stopped = report.errors().any(|error| error.kind() == ErrorKind::Skipped);
    if report.deviations() == 0 && !stopped {
        let mut planned = BTreeMap::<&str, (u64, u64)>::new();
        for chunk in &plan.chunks {
            let (chunks, operations) = planned.entry(&chunk.mechanism).or_default();
            *chunks += 1;
            *operations += u64::try_from(chunk.operations.len())?;
        }
        let sent = report.mechanisms().iter();
        let sent = sent.map(|used| (&*used.name, (used.chunks, used.operations))).collect();
        same("what was sent", &planned, &sent)?;
    }
    Ok(Done { plan, report, jobs })
}

/// How a job ended: `applied`, `accepted`, the kind of the error if it is not applied, and `unknown`
/// before that if it cannot be told.
pub(crate) fn end(job: &Job) -> String {
    match job.status() {
        JobStatus::NotApplied(error) => error.kind().to_string(),
        JobStatus::Unknown(error) => format!("unknown {}", error.kind()),
        other => other.as_str().to_owned(),
    }
}

/// An error unless both are the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    what: &str,
    left: &T,
    right: &T,
) -> Result<()> {
    if left == right {
        return Ok(());
    }
    Err(format!("{what}:\n    {left:?} was expected,\n    {right:?} it is").into())
}

/// An error unless the error is of this kind and says all of this.
pub(crate) fn says(error: &batch_core::Error, kind: ErrorKind, words: &[&str]) -> Result<()> {
    let text = error.to_string();
    match words.iter().find(|word| !text.contains(**word)) {
        _ if error.kind() != kind => Err(format!("{kind} was expected, not {error:?}").into()),
        Some(word) => Err(format!("`{word}` is not said: {error:?}").into()),
        None => Ok(()),
    }
}

/// The error of a job that is not applied.
pub(crate) fn refusal(job: &Job) -> Result<batch_core::Error> {
    match job.status() {
        JobStatus::NotApplied(error) => Ok(error),
        other => Err(format!("operation {} is {other:?}", job.id()).into()),
    }
}

/// All that went wrong, as one error.
#[derive(Default)]
pub(crate) struct Wrongs(Vec<String>);

impl Wrongs {
    /// Keeps what went wrong in a part of the test that has this name.
    pub(crate) fn note(&mut self, part: impl std::fmt::Display, result: Result<()>) {
        if let Err(error) = result {
            self.0.push(format!("{part}: {error}"));
        }
    }

    pub(crate) fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(format!("{} parts went wrong\n{}", self.0.len(), self.0.join("\n")).into())
    }
}

/// A document with the attributes of another, which win.
pub(crate) fn merged(document: &Value, other: &Value) -> Value {
    let mut merged = document.clone();
    if let (Value::Object(into), Value::Object(from)) = (&mut merged, other) {
        into.extend(from.clone());
    }
    merged
}
