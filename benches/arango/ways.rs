//! The ways to write the same documents.

use std::path::PathBuf;

use batch_arango::{ArangoStore, reqwest};
use batch_core::{
    BatchExt as _, BatchOptions, Guarantee, OnError, Operation, Store as _, StoreOptions,
};
use futures_util::{StreamExt as _, stream};
use reqwest::Client;
use serde::Serialize;
use serde_json::{Value, json};

use unibatch_benches::{Clock, Cost};

use crate::{Outcome, python, server::Server};

/// As many as a store has, and as many documents as a call of its has.
const IN_FLIGHT: usize = 32;
const IN_A_CALL: u32 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ArrayByHand,
    Insert,
    InsertForgotten,
    Put,
    Ordered,
    Whole,
    SinglesByHand,
    Python,
}

impl Way {
    pub(crate) const ALL: [Self; 8] = [
        Self::ArrayByHand,
        Self::Insert,
        Self::InsertForgotten,
        Self::Put,
        Self::Ordered,
        Self::Whole,
        Self::SinglesByHand,
        Self::Python,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ArrayByHand => "by hand: array calls of 1000, 32 in flight, each element read",
            Self::Insert => "unibatch: insert",
            Self::InsertForgotten => "unibatch: insert, results(false)",
            Self::Put => "unibatch: put",
            Self::Ordered => "unibatch: insert, ordered",
            Self::Whole => "unibatch: insert, all or nothing",
            Self::SinglesByHand => "by hand: one request each, 32 in flight",
            Self::Python => "python-arango 7.6.2: batch",
        }
    }
}

#[derive(Serialize)]
struct Student {
    name: String,
    age: u32,
    active: bool,
}

#[derive(Serialize)]
struct Keyed {
    #[serde(rename = "_key")]
    key: String,
    #[serde(flatten)]
    student: Student,
}

fn key(number: u32) -> String {
    format!("k{number}")
}

fn student(number: u32) -> Student {
    Student {
        name: format!("student {number}"),
        age: number % 90,
        active: number.is_multiple_of(2),
    }
}

fn keyed(number: u32) -> Keyed {
    Keyed { key: key(number), student: student(number) }
}

pub(crate) struct Bench {
    url: String,
    client: Client,
    store: ArangoStore,
    documents: u32,
    python: Option<PathBuf>,
}

impl Bench {
    pub(crate) async fn connect(
        server: &Server,
        documents: u32,
        python: Option<PathBuf>,
    ) -> Outcome<Self> {
        let client = Client::builder().no_proxy().pool_max_idle_per_host(IN_FLIGHT).build()?;
        let made = client.post(format!("{}/_api/collection", server.url));
        made.body(json!({"name": "bench"}).to_string()).send().await?.error_for_status()?;
        let options = StoreOptions::new().timeout(std::time::Duration::from_secs(600));
        let store = ArangoStore::builder().server(&server.url).options(options).connect().await?;
        Ok(Self { url: server.url.clone(), client, store, documents, python })
    }

    pub(crate) fn has(&self, way: Way) -> bool {
        way != Way::Python || self.python.is_some()
    }

    pub(crate) async fn empty(&self) -> Outcome<()> {
        let path = format!("{}/_api/collection/bench/truncate", self.url);
        self.client.put(path).body("{}").send().await?.error_for_status()?;
        Ok(())
    }

    /// All documents are there.
    pub(crate) async fn check(&self) -> Outcome<()> {
        let path = format!("{}/_api/collection/bench/count", self.url);
        let answer = self.client.get(path).send().await?.bytes().await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        if answer["count"] == self.documents {
            Ok(())
        } else {
            Err(format!("{} documents, and {} are there", self.documents, answer["count"]).into())
        }
    }

    pub(crate) async fn run(&self, way: Way) -> Outcome<Cost> {
        let clock = Clock::start();
        match way {
            Way::ArrayByHand => self.arrays_by_hand().await?,
            Way::SinglesByHand => self.singles_by_hand().await?,
            Way::Insert => self.ours(Operation::insert, BatchOptions::new()).await?,
            Way::InsertForgotten => {
                self.ours(Operation::insert, BatchOptions::new().results(false)).await?;
            }
            Way::Put => self.ours(Operation::put, BatchOptions::new()).await?,
            Way::Ordered => {
                let ordered = Guarantee::Ordered { on_error: OnError::Continue };
                self.ours(Operation::insert, BatchOptions::new().guarantee(ordered)).await?;
            }
            Way::Whole => {
                let whole = Guarantee::AllOrNothing { isolated: true };
                self.ours(Operation::insert, BatchOptions::new().guarantee(whole)).await?;
            }
            Way::Python => {
                let python = self.python.as_deref().ok_or("there is no Python")?;
                return python::run(python, &self.url, self.documents);
            }
        }
        Ok(clock.stop())
    }

    async fn ours(
        &self,
        verb: fn(&'static str) -> Operation,
        options: BatchOptions,
    ) -> Outcome<()> {
        let mut batch = self.store.batch(options)?;
        for number in 0..self.documents {
            batch.queue(verb("bench").at(key(number)).doc(&student(number)))?;
        }
        let report = batch.commit().await?;
        if report.applied() == u64::from(self.documents) {
            Ok(())
        } else {
            Err(report.to_string().into())
        }
    }

    async fn arrays_by_hand(&self) -> Outcome<()> {
        let path = format!("{}/_api/document/bench", self.url);
        let calls = (0..self.documents.div_ceil(IN_A_CALL)).map(|call| {
            let first = call * IN_A_CALL;
            let last = self.documents.min(first + IN_A_CALL);
            let request = self.client.post(&path);
            async move {
                let documents: Vec<Keyed> = (first..last).map(keyed).collect();
                let body = serde_json::to_vec(&documents)?;
                let answer = request.body(body).send().await?.error_for_status()?.bytes().await?;
                let answers: Vec<Answer> = serde_json::from_slice(&answer)?;
                if answers.len() == documents.len() && answers.iter().all(|a| a.key.is_some()) {
                    Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
                } else {
                    Err("not all documents were written".into())
                }
            }
        });
        let mut calls = stream::iter(calls).buffer_unordered(IN_FLIGHT);
        while let Some(called) = calls.next().await {
            called?;
        }
        Ok(())
    }

    async fn singles_by_hand(&self) -> Outcome<()> {
        let path = format!("{}/_api/document/bench", self.url);
        let requests = (0..self.documents).map(|number| {
            let request = self.client.post(&path);
            async move {
                let body = serde_json::to_vec(&keyed(number))?;
                let answer = request.body(body).send().await?.error_for_status()?.bytes().await?;
                let _: Answer = serde_json::from_slice(&answer)?;
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            }
        });
        let mut requests = stream::iter(requests).buffer_unordered(IN_FLIGHT);
        while let Some(requested) = requests.next().await {
            requested?;
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(rename = "_key")]
    key: Option<String>,
    #[serde(rename = "_rev")]
    _revision: Option<String>,
}
