//! A backend of one's own, whole and under 150 lines: an append-only file.
//!
//! Each chunk becomes one line: it is in the file or it is not, so all-or-nothing comes for free.
//! All else is the core's: queue, order, retries, callbacks. The tests run the conformance suite.

use std::{fs, io, io::Write as _, path::Path, sync::Arc};

use batch_core::seam::{
    Answers, Backend, Chunk, Engine, KeyId, Mechanism, Repeats, Route, Routes, Terms, View,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use unibatch::{Capabilities, KeyRef, OperationRef, Server, StoreOptions, Verb, prelude::*};

/// The file, and the documents that its lines add up to: by place, null if deleted.
#[derive(Debug)]
pub struct Journal(tokio::sync::Mutex<(fs::File, Map<String, Value>)>);

impl Journal {
    /// Opens or creates the file. A torn last line is cut off: its chunk was never applied.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = fs::OpenOptions::new().append(true).create(true).open(path)?;
        let (mut text, mut documents) = (fs::read(path)?, Map::new());
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)?;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            documents.append(&mut serde_json::from_slice(line)?);
        }
        Ok(Self(tokio::sync::Mutex::new((file, documents))))
    }
}

fn failed(error: impl Into<io::Error>) -> Error {
    let error = error.into();
    Error::new(ErrorKind::Store, format!("the journal failed: {error}")).with_source(error)
}

fn place(collection: &str, key: KeyRef<'_>) -> String {
    json!([collection, key.string_forms()]).to_string()
}

/// The document after an operation, with its key's parts as attributes.
fn after(operation: OperationRef<'_>, before: Option<&Value>) -> serde_json::Result<Value> {
    if operation.verb == Verb::Delete {
        return Ok(Value::Null);
    }
    let before = before.and_then(Value::as_object).filter(|_| operation.verb == Verb::Upsert);
    let mut document = before.cloned().unwrap_or_default();
    document.extend(serde_json::from_slice::<Map<_, _>>(operation.body)?);
    for (name, value) in operation.key.parts() {
        let name = if name.is_empty() { "_key" } else { name };
        document.insert(name.to_owned(), serde_json::to_value(value)?);
    }
    document.retain(|_, value| !value.is_null());
    Ok(Value::Object(document))
}

#[async_trait::async_trait]
impl Backend for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn capabilities(&self) -> Capabilities {
        // No reads and no conditions in a batch: what is not said to be possible is refused.
        let mut can = Capabilities::default();
        let line = Some("journal line".into());
        (can.best_effort, can.ordered) = (line.clone(), line.clone());
        (can.all_or_nothing, can.isolated) = (line.clone(), line);
        can
    }

    fn admit(&self, _operation: OperationRef<'_>, _terms: Terms) -> Result<()> {
        Ok(())
    }

    async fn resolve(&self, _operations: View<'_>, _stale: bool) -> Result<()> {
        Ok(()) // a file has no schema to read
    }

    fn route(&self, operations: View<'_>, _terms: Terms, routes: &mut Routes) -> Result<()> {
        let mut mechanism = Mechanism::new("journal line");
        (mechanism.atomic, mechanism.repeats) = (true, Repeats::Together);
        mechanism.exact_bytes = false;
        let mechanism = routes.mechanism(mechanism);
        for operation in operations.iter() {
            let key = KeyId::of_string_forms(operation.collection, operation.key);
            let size = operation.collection.len() + operation.key.size() + operation.body.len();
            let bytes = u32::try_from(2 * size + 16).unwrap_or(u32::MAX);
            let body: Map<_, _> = serde_json::from_slice(operation.body).unwrap_or_default();
            match operation.key.check_attributes("_key", |name| body.get(name).cloned()) {
                Ok(()) => routes.push(Route::new(mechanism, 0, key, bytes)),
                Err(error) => routes.refuse(error),
            }
        }
        Ok(())
    }

    fn positions(&self, _: View<'_>, _: &Routes, _: &mut Vec<u128>) {} // a file takes any order

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let (file, documents) = &mut *self.0.lock().await;
        let mut changed = Map::new();
        for operation in chunk.operations() {
            let place = place(operation.collection, operation.key);
            let before = changed.get(&place).or_else(|| documents.get(&place));
            changed.insert(place, after(operation, before).map_err(failed)?);
        }
        let line = serde_json::to_string(&changed).map_err(failed)? + "\n";
        let end = file.metadata().map_err(failed)?.len();
        chunk.sent(); // the point of no return
        if let Err(error) = file.write_all(line.as_bytes()).and_then(|()| file.sync_data()) {
            // Cut off again, the line is certainly not there; else it cannot be told.
            let cut_off = file.set_len(end).and_then(|()| file.sync_data());
            return Err(if cut_off.is_ok() { failed(error) } else { failed(error).unknown() });
        }
        documents.append(&mut changed);
        answers.all_applied();
        Ok(())
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        let found = self.0.lock().await.1.get(&place(collection, key.as_ref())).cloned();
        Ok(found.filter(|document| !document.is_null()).map(|d| d.to_string().into()))
    }

    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("journal", env!("CARGO_PKG_VERSION")))
    }

    async fn close(&self) -> Result<()> {
        self.0.lock().await.0.sync_all().map_err(failed)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("unibatch-journal-{}", std::process::id()));
    let open =
        || Ok::<_, io::Error>(Engine::new(Arc::new(Journal::open(&path)?), StoreOptions::new()));
    let whole = BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: true });
    let mut batch = open()?.batch(whole)?;
    batch.queue(Operation::put("students").at("Abby").doc(&json!({"age": 20})))?;
    batch.queue(Operation::upsert("students").at("Abby").doc(&json!({"class": "7b"})))?;
    println!("{} applied", batch.commit().await?.into_result()?.applied());
    let abby = open()?.get("students", "Abby").await?;
    println!("{}", abby.map_or(Ok(Value::Null), |outcome| outcome.decode())?);
    Ok(fs::remove_file(&path)?)
}
