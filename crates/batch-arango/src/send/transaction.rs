//! The stream transaction: begun, filled request by request, committed. Until the commit nothing
//! has happened; a failure or an end in between aborts it, and so does whoever drops it.

use std::{collections::BTreeSet, sync::Arc};

use batch_core::{
    Error, ErrorKind, Fate, Result, Verb,
    seam::{Answers, Chunk},
};
use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use tokio::{
    sync::oneshot,
    time::{timeout, timeout_at},
};

use super::{SLICE, cursor::FirstPage, run};
use crate::{
    backend::ArangoBackend,
    encode,
    errors::{self, Scope},
    http::{Call, Client, LONGEST_CLEANING, Reply},
    server::answered,
    statement::Native,
};

/// A transaction that is open on a server. Dropped, it is aborted there.
struct Transaction {
    client: Arc<Client>,
    server: usize,
    id: String,
    is_open: bool,
}

#[derive(Deserialize)]
struct StateAnswer {
    result: State,
}

#[derive(Deserialize)]
struct State {
    id: String,
    status: String,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let (client, server, id) = (Arc::clone(&self.client), self.server, self.path());
        self.client.cleaning.spawn(async move {
            let call = Call::new(Method::DELETE, &id, Bytes::new()).at(server);
            let _ = timeout(LONGEST_CLEANING, client.call(&call, &|| ())).await;
        });
    }
}

impl Transaction {
    async fn begin(client: &Arc<Client>, body: Vec<u8>) -> Result<Self> {
        let call = Call::new(Method::POST, "/_api/transaction/begin", body);
        let reply = client.call(&call, &|| ()).await?;
        if reply.status != 201 {
            return Err(errors::refused(&answered(&reply, Scope::Begin, false)));
        }
        let state = state(&reply).ok_or_else(|| {
            let message = "the answer to the begin of a transaction cannot be read; look whether the URL is ArangoDB's";
            Error::new(ErrorKind::Protocol, message)
        })?;
        let client = Arc::clone(client);
        Ok(Self { client, server: reply.server, id: state.id, is_open: true })
    }

    fn path(&self) -> String {
        format!("/_api/transaction/{}", self.id)
    }

    async fn abort(mut self) {
        self.is_open = self.ask(Method::DELETE).await.is_none();
        // A second try would not fare better: the server ends it when it has been idle.
        self.is_open = false;
    }

    /// The status that a server tells within a second.
    async fn ask(&self, method: Method) -> Option<String> {
        let path = self.path();
        let call = Call::new(method, &path, Bytes::new()).at(self.server);
        let reply = timeout(LONGEST_CLEANING, self.client.call(&call, &|| ())).await.ok()?.ok()?;
        let state = state(&reply).filter(|_| reply.status == 200)?;
        (state.id == self.id).then_some(state.status)
    }

    /// Commits.
    ///
    /// # Errors
    /// Why it is not committed, or that it cannot be told. A lost answer is asked for: the server
    /// remembers what became of a transaction.
    async fn commit(&mut self, sent: &(dyn Fn() + Sync)) -> Result<()> {
        let path = self.path();
        // The server asks for no body. There is one because that is what is held back until a connection
        // is there: without, it could not be told that a commit has not left.
        let body = Bytes::from_static(b"{}");
        let call = Call::new(Method::PUT, &path, body).at(self.server);
        let answered = self.client.call(&call, sent).await;
        let error = match answered {
            Ok(reply) => match state(&reply) {
                Some(state)
                    if reply.status == 200
                        && state.id == self.id
                        && state.status == "committed" =>
                {
                    self.is_open = false;
                    return Ok(());
                }
                _ if reply.is_success() => unclear(),
                _ => errors::refused(&answered_commit(&reply)),
            },
            Err(error) => error,
        };
        if error.fate() == Fate::NotApplied {
            return Err(error);
        }
        let status = match self.ask(Method::GET).await {
            // The commit has not come, or is under way: whichever of the two comes first holds.
            Some(status) if status == "running" => self.ask(Method::DELETE).await,
            status => status,
        };
        match status.as_deref() {
            Some("committed") => {
                self.is_open = false;
                Ok(())
            }
            Some("aborted") => {
                self.is_open = false;
                let message = format!("the transaction was not committed: {}", error.message());
                Err(Error::new(error.kind(), message).transient().with_source(error))
            }
            _ => Err(error),
        }
    }
}

fn answered_commit(reply: &Reply) -> errors::Answered<'_> {
    answered(reply, Scope::Commit, false)
}

fn state(reply: &Reply) -> Option<State> {
    let answer: StateAnswer = serde_json::from_slice(&reply.body).ok()?;
    // It is put into paths.
    let is_number = !answer.result.id.is_empty()
        && answer.result.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_number.then_some(answer.result)
}

fn unclear() -> Error {
    let message =
        "the answer to the commit cannot be read; read the documents to know whether it was made";
    Error::new(ErrorKind::Protocol, message).unknown()
}

/// What happened before the commit has changed nothing.
fn uncommitted(error: Error) -> Error {
    if error.fate() == Fate::NotApplied {
        return error;
    }
    let is_transient = error.is_transient();
    let message = format!("before the transaction was committed: {}", error.message());
    let mut certain = Error::new(error.kind(), message);
    for (name, value) in error.details() {
        certain = certain.with_detail(name, value.clone());
    }
    if is_transient {
        certain = certain.transient();
    }
    certain.with_source(error)
}

impl ArangoBackend {
    pub(crate) async fn send_transaction(
        &self,
        chunk: &Chunk<'_>,
        answers: &mut Answers,
    ) -> Result<()> {
        if !check_all(chunk, answers).await {
            return Ok(());
        }
        let mut transaction = match self.begin(chunk).await {
            Ok(transaction) => transaction,
            Err(error) => {
                return match missing_collection(chunk, &error) {
                    Some(place) => {
                        answers.set(place, Err(error));
                        Ok(())
                    }
                    None => Err(error),
                };
            }
        };
        let mut bodies = Vec::with_capacity(chunk.len());
        let mut next = run::next(chunk, 0, true);
        while let Some(range) = next {
            next = run::next(chunk, range.end, true);
            match self.fill(chunk, range, &transaction, answers).await {
                Ok(more) => bodies.extend(more),
                Err(Stopped { place, error }) => {
                    transaction.abort().await;
                    let error = uncommitted(error);
                    return match place {
                        Some(place) => {
                            // The store has decided: there is nothing left to be given back for.
                            chunk.sent();
                            // The others were undone with it, as core tells them.
                            answers.set(place, Err(error));
                            Ok(())
                        }
                        None => Err(error),
                    };
                }
            }
        }
        transaction.commit(&|| chunk.sent()).await?;
        for (place, body) in bodies {
            answers.set(place, Ok(body));
        }
        Ok(())
    }

    /// Begins a transaction on a task of its own: if nobody waits for it any more, or its answer comes
    /// late, it is ended as soon as its number is known.
    async fn begin(&self, chunk: &Chunk<'_>) -> Result<Transaction> {
        let collections = declared(chunk)?;
        let client = Arc::clone(&self.client);
        let deadline = chunk.deadline();
        let (tell, told) = oneshot::channel();
        self.client.cleaning.spawn(async move {
            let beginning = Transaction::begin(&client, collections);
            if let Ok(begun) = timeout_at(deadline + LONGEST_CLEANING, beginning).await {
                // Where nobody listens it is dropped, and by that aborted.
                let _ = tell.send(begun);
            }
        });
        let begun =
            timeout_at(deadline, told).await.ok().and_then(Result::ok).unwrap_or_else(|| {
                let message = "no transaction was begun before the deadline; give more time";
                Err(Error::new(ErrorKind::Timeout, message).transient())
            });
        begun.map_err(uncommitted)
    }

    /// Sends one request of a transaction, and gives the answers of its operations.
    async fn fill(
        &self,
        chunk: &Chunk<'_>,
        range: std::ops::Range<usize>,
        transaction: &Transaction,
        answers: &mut Answers,
    ) -> Result<Vec<(usize, Bytes)>, Stopped> {
        let mut body = Vec::new();
        let mut own = Answers::new(chunk.len());
        let whole = |error| Stopped { place: None, error };
        let Some(run) = run::encode(chunk, range.clone(), &mut body, &mut own).await else {
            return Err(first_failure(&own, range).unwrap_or_else(|| whole(unclear())));
        };
        let call = Call::new(run.request.method.clone(), &run.request.path, body);
        let mut call = call.at(transaction.server).in_transaction(Some(&transaction.id));
        call.if_match = run.request.if_match.as_deref();
        let reply = self.client.call(&call, &|| ()).await.map_err(whole)?;
        if let Some(page) = run::decode(chunk, &run, &reply, &mut own) {
            let id = Some(&*transaction.id);
            let page = FirstPage::new(&self.client, reply.server, page);
            let result = self.whole_result(page, id, None, answers).await;
            match (run.places.first(), result) {
                // That is about the query; what else a page may lack says nothing of an operation.
                (Some(place), Err(error)) if error.kind() == ErrorKind::TooLarge => {
                    own.set(*place, Err(error));
                }
                (Some(place), result) => own.set(*place, Ok(result.map_err(whole)?)),
                (None, _) => {}
            }
        }
        if let Some(failed) = first_failure(&own, range) {
            return Err(failed);
        }
        let bodies = run.places.iter().map(|place| match own.get(*place) {
            Some(Ok(body)) => Ok((*place, body.clone())),
            _ => Err(whole(unclear())),
        });
        bodies.collect()
    }
}

/// Why a transaction was not filled, and because of which operation, if it was one.
struct Stopped {
    place: Option<usize>,
    error: Error,
}

fn first_failure(answers: &Answers, range: std::ops::Range<usize>) -> Option<Stopped> {
    range.into_iter().find_map(|place| match answers.get(place) {
        Some(Err(error)) => Some(Stopped { place: Some(place), error: error.clone() }),
        _ => None,
    })
}

/// The number of "collection or view not found".
const COLLECTION_NOT_FOUND: u32 = 1203;

/// The first operation on the collection that a begin did not find, as far as the server names it.
fn missing_collection(chunk: &Chunk<'_>, error: &Error) -> Option<usize> {
    let source = std::error::Error::source(error)?.downcast_ref::<errors::ServerError>()?;
    let named = source
        .message
        .rsplit(' ')
        .next()
        .filter(|_| source.number == Some(COLLECTION_NOT_FOUND))?;
    chunk.operations().position(|operation| operation.collection == named)
}

/// Answers what cannot be encoded, and says whether all can be.
async fn check_all(chunk: &Chunk<'_>, answers: &mut Answers) -> bool {
    let mut fine = true;
    for (place, operation) in chunk.operations().enumerate() {
        if let Err(error) = encode::check(operation) {
            answers.set(place, Err(error));
            fine = false;
        }
        if place % SLICE == SLICE - 1 {
            tokio::task::yield_now().await;
        }
    }
    fine
}

/// The body of the request to begin: the collections that are written and read.
fn declared(chunk: &Chunk<'_>) -> Result<Vec<u8>> {
    let (mut writes, mut reads) = (BTreeSet::new(), BTreeSet::new());
    let mut known = None;
    for operation in chunk.operations() {
        if operation.statement.is_none() && known.replace(operation.shape) == Some(operation.shape)
        {
            continue;
        }
        if !operation.collection.is_empty() {
            let collection = operation.collection.to_owned();
            if operation.verb == Verb::Get {
                reads.insert(collection)
            } else {
                writes.insert(collection)
            };
        }
        match operation.statement.map(Native::of).transpose()? {
            Some(Native::Query(query)) => {
                writes.extend(query.writes.iter().map(ToString::to_string));
                writes.extend(bound_collections(operation.body));
            }
            Some(Native::Request(request)) => {
                writes.extend(request.writes.iter().map(ToString::to_string));
            }
            None => {}
        }
    }
    let reads: Vec<_> = reads.difference(&writes).collect();
    let body = serde_json::json!({"collections": {"write": writes, "read": reads}});
    Ok(body.to_string().into_bytes())
}

/// The collections that bind variables name: their names begin with `@`.
fn bound_collections(variables: &[u8]) -> Vec<String> {
    let read: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(variables).unwrap_or_default();
    let named = read.into_iter().filter(|(name, _)| name.starts_with('@'));
    named.filter_map(|(_, value)| value.as_str().map(ToOwned::to_owned)).collect()
}
