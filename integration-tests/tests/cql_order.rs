//! Order on a key, on a real node: random sequences of operations on few keys, one batch after
//! another, by clients whose clocks are wrong, against a model.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode, sync::Arc, time::Duration};

use batch_core::{
    BatchExt as _, BatchOptions, Clock, ErrorKind, Guarantee, Job, JobStatus, OnError, Operation,
    Store as _, StoreOptions, SystemClock, Verb,
};
use batch_cql::CqlStore;
use fastrand::Rng;
use integration_tests::{
    Cassandra, Result, Settings, conclude_serially, connect_store, execute, find_cassandra,
    ignored, is_listing, make_keyspace, missing, remove_keyspace, trial,
};
use libtest_mimic::Trial;
use scylla::client::session::Session;
use serde_json::{Map, Value, json};

/// How far a client's clock is ahead of the server's.
const SKEWS: [(&str, i64); 3] =
    [("ten_seconds_ahead", 10_000_000), ("ten_seconds_behind", -10_000_000), ("right", 0)];
const GUARANTEES: [Guarantee; 2] =
    [Guarantee::BestEffort, Guarantee::Ordered { on_error: OnError::Continue }];

/// Sequences of one trial: so many rounds with so many keys, each in so many batches.
const ROUNDS: usize = 30;
const KEYS: usize = 6;
const BATCHES: usize = 4;

const VERBS: [Verb; 7] = [
    Verb::Insert,
    Verb::Put,
    Verb::Upsert,
    Verb::Replace,
    Verb::Update,
    Verb::Delete,
    Verb::DeleteExisting,
];

/// The machine's clock, set wrong.
#[derive(Debug)]
struct Skewed(i64);

impl Clock for Skewed {
    fn now_micros(&self) -> i64 {
        SystemClock.now_micros() + self.0
    }
}

/// A document as it should be.
type Document = Option<Map<String, Value>>;

/// What an operation should end as: applied, or not applied for this reason.
type Expected = Option<ErrorKind>;

/// What the contract says of an operation on a document.
fn apply(verb: Verb, given: &Map<String, Value>, document: &mut Document) -> Expected {
    let refused = match (verb, &document) {
        (Verb::Insert, Some(_)) => Some(ErrorKind::AlreadyExists),
        (Verb::Replace | Verb::Update | Verb::DeleteExisting, None) => Some(ErrorKind::NotFound),
        _ => None,
    };
    if refused.is_some() {
        return refused;
    }
    match verb {
        Verb::Delete | Verb::DeleteExisting => *document = None,
        Verb::Upsert | Verb::Update => {
            let mut merged = document.take().unwrap_or_default();
            merged.extend(given.clone());
            *document = Some(merged);
        }
        _ => *document = Some(given.clone()),
    }
    // Null and absent are the same.
    if let Some(document) = document {
        document.retain(|_, value| !value.is_null());
    }
    None
}

/// Some attributes, some of them null. Values differ, so that a lost write is seen.
fn random_document(random: &mut Rng, number: usize) -> Map<String, Value> {
    let mut document = Map::new();
    for attribute in ["name", "age", "email"] {
        match random.u8(0..10) {
            0..3 => continue,
            3..5 => document.insert(attribute.to_owned(), Value::Null),
            _ if attribute == "age" => document.insert(attribute.to_owned(), json!(number)),
            _ => document.insert(attribute.to_owned(), json!(format!("{attribute} {number}"))),
        };
    }
    document
}

/// One key's life: what it should be, and what was done to it, to be shown if it is not.
#[derive(Default)]
struct Life {
    document: Document,
    story: String,
}

struct Round<'a> {
    store: &'a CqlStore,
    session: &'a Session,
    table: &'a str,
    guarantee: Guarantee,
    random: Rng,
    lives: BTreeMap<String, Life>,
}

impl Round<'_> {
    async fn run(mut self, number: usize) -> Result<()> {
        let keys: Vec<String> = (0..KEYS).map(|key| format!("{number}-{key}")).collect();
        let mut done = 0;
        for batch in 0..BATCHES {
            let mut expected: Vec<(String, Verb, Expected, Job)> = Vec::new();
            let mut open = self.store.batch(BatchOptions::new().guarantee(self.guarantee))?;
            for _ in 0..self.random.usize(1..=3 * KEYS) {
                done += 1;
                let key = &keys[self.random.usize(..KEYS)];
                let verb = VERBS[self.random.usize(..VERBS.len())];
                let given = random_document(&mut self.random, done);
                let mut operation = Operation::on(verb, self.table.to_owned()).key("id", &**key);
                if verb.has_document() {
                    operation = operation.doc(&given);
                }
                let life = self.lives.entry(key.clone()).or_default();
                let outcome = apply(verb, &given, &mut life.document);
                let given = Value::Object(given);
                write!(life.story, "\n    batch {batch}: {verb} {given}: expected {outcome:?}")?;
                expected.push((key.clone(), verb, outcome, open.queue(operation)?));
            }
            let report = open.commit().await?;
            for (key, verb, outcome, job) in expected {
                let ended = match job.status() {
                    JobStatus::Applied(_) => None,
                    JobStatus::NotApplied(error) => Some(error.kind()),
                    other => return Err(format!("{key}: {verb} is {other:?}").into()),
                };
                let story = &self.lives[&key].story;
                assert_eq!(
                    ended,
                    outcome,
                    "{key}: operation {}, {verb}:{story}\n{report}",
                    job.id()
                );
            }
        }
        for (key, life) in &self.lives {
            let found = read(self.session, self.table, key).await?;
            assert_eq!(found, life.document, "{key} in the end:{}", life.story);
        }
        Ok(())
    }
}

async fn read(session: &Session, table: &str, key: &str) -> Result<Document> {
    let select = format!("SELECT name, age, email FROM {table} WHERE id = '{key}'");
    let rows = execute(session, select).await?.into_rows_result()?;
    let row = rows.maybe_first_row::<(Option<String>, Option<i32>, Option<String>)>()?;
    let Some((name, age, email)) = row else { return Ok(None) };
    let document = json!({"name": name, "age": age, "email": email});
    let Value::Object(mut document) = document else { return Err("an object was made".into()) };
    document.retain(|_, value| !value.is_null());
    Ok(Some(document))
}

async fn sequences(
    server: Arc<Cassandra>,
    keyspace: String,
    skew: i64,
    guarantee: Guarantee,
) -> Result<()> {
    let session = server.session().await?;
    make_keyspace(&session, &keyspace, 1).await?;
    let table = format!("{keyspace}.t{}_{}", skew.unsigned_abs(), fastrand::u32(..));
    execute(
        &session,
        format!("CREATE TABLE {table} (id text PRIMARY KEY, name text, age int, email text)"),
    )
    .await?;
    let options = StoreOptions::new().clock(Arc::new(Skewed(skew)));
    let store = connect_store(&server, &keyspace, options).await?;
    for number in 0..ROUNDS {
        let seed = fastrand::u64(..);
        let round = Round {
            store: &store,
            session: &session,
            table: &table,
            guarantee,
            random: Rng::with_seed(seed),
            lives: BTreeMap::new(),
        };
        round.run(number).await?;
    }
    store.close(Duration::from_secs(10)).await?;
    Ok(())
}

fn main() -> ExitCode {
    let names = SKEWS.iter().flat_map(|(name, skew)| {
        GUARANTEES.map(|guarantee| {
            (
                format!("order::sequences_by_{guarantee}_hold_with_a_clock_that_is_{name}"),
                *skew,
                guarantee,
            )
        })
    });
    let names: Vec<_> = names.collect();
    let all_ignored =
        |why: &str| names.iter().map(|(name, ..)| ignored(name, why)).collect::<Vec<_>>();
    if is_listing() {
        return conclude_serially(all_ignored("no server is started to list its tests"));
    }
    let server = match find_cassandra(&Settings::new()) {
        Ok(server) => Arc::new(server),
        Err(error) => return conclude_serially(missing("order", &error.to_string(), all_ignored)),
    };
    let keyspace = format!("order_{}", std::process::id());
    let trials: Vec<Trial> = names
        .into_iter()
        .map(|(name, skew, guarantee)| {
            let body = sequences(Arc::clone(&server), keyspace.clone(), skew, guarantee);
            trial(name, body)
        })
        .collect();
    let code = conclude_serially(trials);
    remove_keyspace(&server, &keyspace);
    code
}
