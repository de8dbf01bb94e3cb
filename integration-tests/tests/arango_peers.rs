//! Clients that others wrote run their programs on the emulator; and the programs of the Python
//! drivers' batch pages, told in Rust, give the same answers.

use std::{process::ExitCode, sync::Arc};

use batch_arango::{ArangoRequest, ArangoStore};
use batch_core::{
    BatchExt as _, BatchOptions, Guarantee, Job, JobStatus, OnError, Operation, StoreExt as _, Verb,
};
use integration_tests::{
    ArangoServer, Peer, Result, conclude_serially, ignored, is_listing, missing, trial,
};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Map, Value, json};

macro_rules! text {
    ($path:literal) => {
        include_str!(concat!("../peers/", $path))
    };
}

const PAGE: (&str, &str) = ("batch_page.py", text!("batch_page.py"));
const PAGE_AIO: (&str, &str) = ("batch_page_aio.py", text!("batch_page_aio.py"));
const DOCUMENTS: (&str, &str) = ("documents.py", text!("documents.py"));
const DOCUMENTS_JS: (&str, &str) = ("documents.mjs", text!("arangojs/documents.mjs"));

/// A client with what it needs, the releases that it is run on, and its programs.
struct Client {
    name: &'static str,
    needs: &'static str,
    is_python: bool,
    releases: &'static [&'static str],
    programs: &'static [(&'static str, &'static str)],
}

const CLIENTS: &[Client] = &[
    Client {
        name: "python-arango-7",
        needs: text!("python-arango-7/requirements.txt"),
        is_python: true,
        // It batches by the multipart call alone.
        releases: &["3.11.14", "3.12.0"],
        programs: &[PAGE, DOCUMENTS],
    },
    Client {
        name: "aioarango",
        needs: text!("aioarango/requirements.txt"),
        is_python: true,
        releases: &["3.11.14", "3.12.0"],
        programs: &[PAGE_AIO],
    },
    Client {
        name: "python-arango-8",
        needs: text!("python-arango-8/requirements.txt"),
        is_python: true,
        releases: &["3.11.14", "3.12.10"],
        programs: &[PAGE, DOCUMENTS],
    },
    Client {
        name: "arangojs",
        needs: text!("arangojs/package.json"),
        is_python: false,
        releases: &["3.11.14", "3.12.10"],
        programs: &[DOCUMENTS_JS],
    },
];

impl Client {
    fn names(&self) -> impl Iterator<Item = (&'static str, &'static (&'static str, &'static str))> {
        self.releases
            .iter()
            .flat_map(|release| self.programs.iter().map(move |program| (*release, program)))
    }

    fn trial_name(&self, release: &str, program: &str) -> String {
        let told = if program.starts_with("batch_page") { "_as_in_rust" } else { "" };
        format!("{}::{program}_on_{release}{told}", self.name)
    }

    fn ignored(&self, why: &str) -> Vec<Trial> {
        let name = |(release, program): (&str, &(&str, &str))| {
            ignored(&self.trial_name(release, program.0), why)
        };
        self.names().map(name).collect()
    }

    fn trials(&self) -> Vec<Trial> {
        let peer = if self.is_python {
            Peer::python(self.name, self.needs)
        } else {
            Peer::node(self.name, self.needs)
        };
        let peer = match peer {
            Ok(peer) => Arc::new(peer),
            Err(error) => return missing(self.name, &error.to_string(), |why| self.ignored(why)),
        };
        let trial_of = |(release, program): (&'static str, &'static (&str, &str))| {
            let peer = Arc::clone(&peer);
            trial(self.trial_name(release, program.0), async move {
                run(&peer, release, program.0, program.1).await
            })
        };
        self.names().map(trial_of).collect()
    }
}

async fn run(peer: &Peer, release: &str, name: &str, text: &str) -> Result<()> {
    let server = ArangoServer::emulator(release)?;
    let theirs = peer.run(name, text, &[server.base(), "theirs"])?;
    let ours = match name {
        "batch_page.py" => page(&server, "ours").await?,
        "batch_page_aio.py" => page_aio(&server, "ours").await?,
        _ => return Ok(()),
    };
    if ours == theirs { Ok(()) } else { Err(format!("{name}: {theirs}\nin Rust: {ours}").into()) }
}

async fn store(server: &ArangoServer, database: &str) -> Result<ArangoStore> {
    server.make_database(database).await?;
    server.make_collection(database, "students").await?;
    let (user, password) = server.login().ok_or("the emulator asks for a login")?;
    let builder = ArangoStore::builder().server(server.base()).database(database);
    Ok(builder.credentials(user, password).connect().await?)
}

fn in_order() -> BatchOptions {
    BatchOptions::new().guarantee(Guarantee::Ordered { on_error: OnError::Continue })
}

fn student(verb: Verb, key: &str) -> Operation {
    Operation::on(verb, "students").at(key)
}

fn query(text: &str, bind: &Value) -> Operation {
    Operation::aql(text, bind)
}

/// The program of python-arango's batch page, and what its users queue besides.
async fn page(server: &ArangoServer, database: &str) -> Result<Value> {
    let store = store(server, database).await?;
    let nothing = json!({});
    let operations = [
        student(Verb::Insert, "Kris").doc(&nothing),
        student(Verb::Insert, "Rita").doc(&nothing),
        query("RETURN 100000", &nothing),
        query("INVALID QUERY", &nothing),
        student(Verb::Insert, "Rita").doc(&nothing),
        // A key that is no `_key` would be escaped, so it is sent as it is.
        ArangoRequest::post("/_api/document/students").body(&json!({"_key": "not/legal"})).into(),
        student(Verb::Put, "Abby").doc(&json!({"age": 20})),
        student(Verb::Upsert, "Abby").doc(&json!({"name": "A"})),
        student(Verb::Get, "Abby"),
        student(Verb::Update, "Kris").doc(&json!({"age": 21})),
        student(Verb::Replace, "Rita").doc(&json!({"age": 22})),
        student(Verb::Update, "Nobody").doc(&json!({"age": 1})),
        student(Verb::DeleteExisting, "Rita"),
        query("FOR s IN students SORT s._key RETURN s._key", &nothing),
        query(
            "FOR s IN @@c FILTER s.age == @age RETURN s.name",
            &json!({"@c": "students", "age": 20}),
        ),
        query("FOR i IN 1..2500 RETURN i", &nothing),
    ];
    let jobs = commit(&store, operations).await?;
    forgotten(&store).await?;
    never_sent(&store).await?;
    Ok(json!({"jobs": jobs, "documents": documents(server, database).await?}))
}

/// The program of python-aioarango's batch page.
async fn page_aio(server: &ArangoServer, database: &str) -> Result<Value> {
    let store = store(server, database).await?;
    let nothing = json!({});
    let operations = [
        student(Verb::Insert, "Kris").doc(&nothing),
        student(Verb::Insert, "Rita").doc(&nothing),
        query("RETURN 100000", &nothing),
        query("INVALID QUERY", &nothing),
        student(Verb::Insert, "Rita").doc(&nothing),
        student(Verb::Get, "Rita"),
        student(Verb::Update, "Kris").doc(&json!({"age": 21})),
        student(Verb::DeleteExisting, "Rita"),
    ];
    let jobs = commit(&store, operations).await?;
    forgotten(&store).await?;
    Ok(json!({"jobs": jobs, "documents": documents(server, database).await?}))
}

async fn commit<const N: usize>(
    store: &ArangoStore,
    operations: [Operation; N],
) -> Result<Vec<Value>> {
    let queries: Vec<bool> =
        operations.iter().map(|operation| operation.verb() == Verb::Native).collect();
    let mut batch = store.arango_batch(in_order())?;
    let jobs = batch.queue_all(operations).map_err(|rejected| rejected.to_string())?;
    assert!(jobs.iter().all(|job| job.status().is_pending()));
    let _report = batch.commit().await?;
    assert!(jobs.iter().all(|job| job.status().is_done()));
    jobs.iter().zip(queries).map(|(job, is_query)| told(job, is_query)).collect()
}

/// What a job came to, as the Python programs tell it.
fn told(job: &Job, is_query: bool) -> Result<Value> {
    let outcome = match job.status() {
        JobStatus::Applied(outcome) => outcome,
        JobStatus::NotApplied(error) => {
            let details: Map<String, Value> = error
                .details()
                .filter_map(|(name, value)| {
                    let name = match name {
                        "http_status" => "http_code",
                        "error_num" => "error_code",
                        _ => return None,
                    };
                    Some((name.to_owned(), value.clone()))
                })
                .collect();
            return Ok(Value::Object(details));
        }
        other => return Err(format!("{other:?}").into()),
    };
    let value: Value = serde_json::from_slice(outcome.json())?;
    Ok(if is_query { json!({"rows": value}) } else { json!({"result": plain(value)}) })
}

/// What does not differ from run to run.
fn plain(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| !matches!(name.as_str(), "_rev" | "_oldRev"));
    }
    value
}

/// Without results.
async fn forgotten(store: &ArangoStore) -> Result<()> {
    let mut batch = store.arango_batch(in_order().results(false))?;
    for key in ["Jake", "Jill"] {
        batch.queue(student(Verb::Insert, key).doc(&json!({})))?;
    }
    assert!(batch.commit().await?.is_success());
    assert!(batch.commit().await.is_err(), "a batch is committed once");
    Ok(())
}

/// What is not committed is not sent.
async fn never_sent(store: &ArangoStore) -> Result<()> {
    let mut batch = store.arango_batch(in_order())?;
    let job = batch.queue(student(Verb::Insert, "never").doc(&json!({})))?;
    drop(batch);
    assert!(matches!(job.status(), JobStatus::NotApplied(_)));
    assert!(store.get("students", "never").await?.is_none());
    Ok(())
}

async fn documents(server: &ArangoServer, database: &str) -> Result<Vec<Value>> {
    let query = json!({"query": "FOR s IN students SORT s._key RETURN s"});
    let path = format!("/_db/{database}/_api/cursor");
    let answer = server.must(Method::POST, &path, Some(&query)).await?;
    let found = answer["result"].as_array().ok_or("no result")?;
    Ok(found.iter().cloned().map(plain).collect())
}

fn main() -> ExitCode {
    let trials = CLIENTS.iter().flat_map(|client| {
        if is_listing() {
            client.ignored("nothing is installed to list its programs")
        } else {
            client.trials()
        }
    });
    conclude_serially(trials.collect())
}
