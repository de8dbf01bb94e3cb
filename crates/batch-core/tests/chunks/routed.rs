//! A backend that routes each operation as its document says, and sends as a test wants.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use batch_core::{
    Capabilities, Clock, Error, ErrorKind, Key, Operation, OperationRef, Result, Server,
    StoreOptions, Verb,
    seam::{
        Answers, Backend, Chunk, Engine, KeyId, MechanismId, Repeats, Route, Routes, Terms, View,
    },
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::mechanism;

/// How an operation is routed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct By {
    /// The number of its mechanism.
    pub(crate) way: usize,
    pub(crate) group: u64,
    pub(crate) pool: u16,
    pub(crate) bytes: u32,
    /// What it shares with others, if that is not 0.
    pub(crate) shared: u64,
    /// Where it lies, if that is known.
    pub(crate) position: Option<u64>,
}

/// A `put` of ten bytes by the first mechanism in group 0, unless it says otherwise.
pub(crate) fn put(key: &str) -> To {
    To { key: key.to_owned(), verb: Verb::Put, by: By { bytes: 10, ..By::default() } }
}

#[derive(Clone, Debug)]
pub(crate) struct To {
    key: String,
    verb: Verb,
    by: By,
}

impl To {
    pub(crate) fn way(mut self, way: usize) -> Self {
        self.by.way = way;
        self
    }

    pub(crate) fn group(mut self, group: u64) -> Self {
        self.by.group = group;
        self
    }

    pub(crate) fn pool(mut self, pool: u16) -> Self {
        self.by.pool = pool;
        self
    }

    pub(crate) fn bytes(mut self, bytes: u32) -> Self {
        self.by.bytes = bytes;
        self
    }

    pub(crate) fn sharing(mut self, shared: u64) -> Self {
        self.by.shared = shared;
        self
    }

    pub(crate) fn position(mut self, position: u64) -> Self {
        self.by.position = Some(position);
        self
    }

    /// An `insert` instead, which must not be sent twice.
    pub(crate) fn insert(mut self) -> Self {
        self.verb = Verb::Insert;
        self
    }
}

impl From<To> for Operation {
    fn from(to: To) -> Self {
        Self::on(to.verb, "t").at(to.key).doc(&to.by)
    }
}

/// What was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) mechanism: String,
    pub(crate) jobs: Vec<u32>,
    pub(crate) stamps: Vec<i64>,
    pub(crate) attempt: u32,
}

type Ways = dyn Fn(&mut Routes, u32) -> Vec<MechanismId> + Send + Sync;
type Send_ = dyn Fn(&Chunk<'_>, &mut Answers) -> Result<()> + Send + Sync;

pub(crate) struct Routed {
    ways: Box<Ways>,
    send: Box<Send_>,
    joins: bool,
    slow: Option<u32>,
    /// Refuses chunks of more operations itself.
    most: usize,
    anew: Mutex<u32>,
    sent: Mutex<Vec<Sent>>,
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed").finish_non_exhaustive()
    }
}

impl Routed {
    /// With these mechanisms, which are made known in each call of `route`; the number is how
    /// often metadata was read anew. Applies everything.
    pub(crate) fn new(
        ways: impl Fn(&mut Routes, u32) -> Vec<MechanismId> + Send + Sync + 'static,
    ) -> Self {
        Self {
            ways: Box::new(ways),
            send: Box::new(|_, answers| {
                answers.all_applied();
                Ok(())
            }),
            joins: false,
            slow: None,
            most: usize::MAX,
            anew: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// Answers so.
    pub(crate) fn sending(
        mut self,
        send: impl Fn(&Chunk<'_>, &mut Answers) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.send = Box::new(send);
        self
    }

    /// Lets all operations travel by the first mechanism at the last call.
    pub(crate) fn joining(mut self) -> Self {
        self.joins = true;
        self
    }

    /// Lets the first request with this job take longer than all others: it asks for its
    /// timestamps at once, and is answered when the others were.
    pub(crate) fn slow(mut self, job: u32) -> Self {
        self.slow = Some(job);
        self
    }

    /// Refuses chunks of more operations as too large, without sending them.
    pub(crate) fn refusing_above(mut self, operations: usize) -> Self {
        self.most = operations;
        self
    }

    pub(crate) fn open(self, options: StoreOptions) -> (Arc<Self>, Engine) {
        let backend = Arc::new(self);
        let store = Engine::new(Arc::clone(&backend) as Arc<dyn Backend>, options);
        (backend, store)
    }

    /// What was sent since it was asked last.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }
}

#[async_trait]
impl Backend for Routed {
    fn name(&self) -> &'static str {
        "routed"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.best_effort = Some("routed".into());
        can.ordered = Some("routed".into());
        can.all_or_nothing = Some("routed".into());
        (can.conditions, can.timestamps) = (true, true);
        can
    }

    fn admit(&self, _: OperationRef<'_>, _: Terms) -> Result<()> {
        Ok(())
    }

    async fn resolve(&self, _: View<'_>, stale: bool) -> Result<()> {
        *self.anew.lock().unwrap() += u32::from(stale);
        Ok(())
    }

    fn route(&self, operations: View<'_>, _: Terms, routes: &mut Routes) -> Result<()> {
        let ways = (self.ways)(routes, *self.anew.lock().unwrap());
        for operation in operations.iter() {
            let By { way, group, pool, bytes, shared, .. } =
                serde_json::from_slice(operation.body).unwrap();
            let key = KeyId::of_string_forms(operation.collection, operation.key);
            routes.push(Route::new(ways[way], group, key, bytes).in_pool(pool));
            if let Some(shared) = KeyId::from_number(shared) {
                routes.share(shared);
            }
        }
        if self.joins && operations.is_last() {
            routes.join(ways[0]);
        }
        Ok(())
    }

    fn positions(&self, operations: View<'_>, _: &Routes, positions: &mut Vec<u128>) {
        positions.extend(operations.iter().filter_map(|operation| {
            let by: By = serde_json::from_slice(operation.body).unwrap();
            by.position.map(u128::from)
        }));
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        if chunk.len() > self.most {
            return Err(Error::new(ErrorKind::TooLarge, "more than a request holds"));
        }
        chunk.sent();
        let jobs: Vec<u32> = chunk.operations().map(|operation| operation.index + 1).collect();
        let slow = chunk.attempt() == 1 && self.slow.is_some_and(|job| jobs.contains(&job));
        let before = chunk.timestamp(0);
        // From the next poll on the store may act: others send meanwhile.
        for _ in 0..if slow { 100 } else { 1 } {
            tokio::task::yield_now().await;
        }
        assert!(chunk.timestamp(0) == before, "another chunk lifted the timestamps of this one");
        let result = (self.send)(chunk, answers);
        self.sent.lock().unwrap().push(Sent {
            mechanism: chunk.mechanism().name.to_string(),
            jobs,
            stamps: (0..chunk.len()).map(|place| chunk.timestamp(place)).collect(),
            attempt: chunk.attempt(),
        });
        result
    }

    async fn get(&self, _: &str, _: &Key) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn ping(&self) -> Result<Server> {
        Ok(Server::new("routed", "1"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub(crate) struct Stands(Mutex<i64>);

impl Stands {
    pub(crate) fn at(time: i64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(time)))
    }

    pub(crate) fn set(&self, time: i64) {
        *self.0.lock().unwrap() = time;
    }
}

impl Clock for Stands {
    fn now_micros(&self) -> i64 {
        *self.0.lock().unwrap()
    }
}

/// Plain writes, conditions with one key a chunk, and writes that are not folded.
pub(crate) fn folding(most: usize, most_bytes: usize) -> Routed {
    Routed::new(move |routes, _| {
        vec![
            routes.mechanism(mechanism("plain", Repeats::Folded, most, most_bytes)),
            routes.mechanism(mechanism("condition", Repeats::Folded, 1, most_bytes)),
            routes.mechanism(mechanism("apart", Repeats::Apart, most, most_bytes)),
        ]
    })
}
