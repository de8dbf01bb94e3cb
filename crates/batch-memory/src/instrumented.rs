//! A backend around any backend: logs what is sent, and lets it go wrong.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batch_core::{
    Capabilities, Error, ErrorKind, Key, OperationRef, Result, Server,
    seam::{Answers, Backend, Chunk, Routes, Terms, View},
};
use bytes::Bytes;

use crate::{Fault, Faults, Log};

/// Wraps any backend: every request meets the next fault of a schedule and is written to a log.
#[derive(Debug)]
pub struct Instrumented {
    inner: Arc<dyn Backend>,
    faults: Faults,
    log: Option<Log>,
}

impl Instrumented {
    /// A wrapper that changes nothing yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, faults: Faults::default(), log: None }
    }

    /// Lets requests meet faults.
    #[must_use]
    pub fn with_faults(mut self, faults: impl Into<Faults>) -> Self {
        self.faults = faults.into();
        self
    }

    /// Writes requests to a log.
    #[must_use]
    pub fn with_log(mut self, log: Log) -> Self {
        self.log = Some(log);
        self
    }

    /// Carries the request out, and gives back what was answered.
    async fn reach(&self, chunk: &Chunk<'_>) -> (Answers, Result<()>) {
        let mut answers = Answers::new(chunk.len());
        let result = self.inner.send(chunk, &mut answers).await;
        (answers, result)
    }

    async fn misbehave(
        &self,
        fault: Fault,
        chunk: &Chunk<'_>,
        answers: &mut Answers,
    ) -> Result<()> {
        let lost = || {
            let message = "the connection broke before the answer came; read the row to know whether it was applied";
            Err(Error::new(ErrorKind::Connection, message).unknown().transient())
        };
        match fault {
            Fault::None | Fault::Delay(_) => {
                let result = self.inner.send(chunk, answers).await;
                if let Fault::Delay(delay) = fault {
                    tokio::time::sleep(delay).await;
                }
                result
            }
            Fault::Unreachable => {
                let message = "the server cannot be reached; look whether it is up";
                Err(Error::new(ErrorKind::Connection, message).transient())
            }
            Fault::Refuse(kind) => {
                chunk.sent();
                Err(Error::new(kind, "the server refused the request, by an injected fault"))
            }
            Fault::Busy | Fault::BusyFor(_) => {
                chunk.sent();
                let message = "the server is busy; the same request may succeed later";
                let error = Error::new(ErrorKind::Overloaded, message);
                Err(match fault {
                    Fault::BusyFor(pause) => error.transient_after(pause),
                    _ => error.transient(),
                })
            }
            Fault::DropBefore => {
                chunk.sent();
                tokio::task::yield_now().await;
                lost()
            }
            Fault::DropAfter | Fault::AcceptOnly => match self.reach(chunk).await {
                // A request that was refused has no answer to lose, and nothing is promised of it.
                (seen, Ok(())) if refused_all(&seen, chunk.len()) => {
                    give(&seen, chunk, answers);
                    Ok(())
                }
                (seen, Ok(())) if fault == Fault::AcceptOnly && applied_all(&seen, chunk.len()) => {
                    let message = "the server has logged the request and will apply it";
                    Err(Error::new(ErrorKind::Timeout, message).accepted())
                }
                _ => lost(),
            },
            Fault::MissingAnswer | Fault::DoubledAnswer | Fault::SurplusAnswer => {
                let (seen, result) = self.reach(chunk).await;
                if refused_all(&seen, chunk.len()) {
                    give(&seen, chunk, answers);
                    return result;
                }
                let last = chunk.len().saturating_sub(1);
                for place in 0..chunk.len() {
                    if fault == Fault::MissingAnswer && place == last {
                        continue;
                    }
                    copy(&seen, place, answers);
                    if fault == Fault::DoubledAnswer && place == 0 {
                        copy(&seen, place, answers);
                    }
                }
                if fault == Fault::SurplusAnswer {
                    answers.set(chunk.len(), Ok(Bytes::new()));
                }
                result
            }
            Fault::RouteVanishes => {
                let message = "the route of this request is gone; it is resolved anew";
                Err(Error::new(ErrorKind::Stale, message))
            }
            Fault::PanicBefore => panic_by_order("before anything left"),
            Fault::PanicAfter => {
                let _ = self.reach(chunk).await;
                panic_by_order("after the request")
            }
        }
    }
}

#[expect(clippy::panic, reason = "the fault that was asked for")]
fn panic_by_order(when: &str) -> Result<()> {
    panic!("an injected panic {when}")
}

fn refused_all(seen: &Answers, len: usize) -> bool {
    (0..len).all(|place| matches!(seen.get(place), Some(Err(_))))
}

fn applied_all(seen: &Answers, len: usize) -> bool {
    (0..len).all(|place| matches!(seen.get(place), Some(Ok(_))))
}

fn copy(seen: &Answers, place: usize, answers: &mut Answers) {
    if let Some(answer) = seen.get(place) {
        answers.set(place, answer.cloned().map_err(Clone::clone));
    }
}

fn give(seen: &Answers, chunk: &Chunk<'_>, answers: &mut Answers) {
    (0..chunk.len()).for_each(|place| copy(seen, place, answers));
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Instrumented {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn admit(&self, operation: OperationRef<'_>, terms: Terms) -> Result<()> {
        self.inner.admit(operation, terms)
    }

    async fn resolve(&self, operations: View<'_>, stale: bool) -> Result<()> {
        self.inner.resolve(operations, stale).await
    }

    fn route(&self, operations: View<'_>, terms: Terms, routes: &mut Routes) -> Result<()> {
        self.inner.route(operations, terms, routes)
    }

    fn positions(&self, operations: View<'_>, routes: &Routes, positions: &mut Vec<u128>) {
        self.inner.positions(operations, routes, positions);
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let (fault, before, after) = self.faults.next();
        let _entry = self.log.as_ref().map(|log| log.begin(chunk, fault));
        if before > Duration::ZERO {
            tokio::time::sleep(before).await;
        }
        let result = self.misbehave(fault, chunk, answers).await;
        if after > Duration::ZERO {
            tokio::time::sleep(after).await;
        }
        result
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        self.inner.get(collection, key).await
    }

    async fn ping(&self) -> Result<Server> {
        self.inner.ping().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
