//! The multipart call: many requests in one, carried out one after another, each for itself. Servers
//! from 3.12.3 on do not have it any more.

use std::sync::Arc;

use batch_core::{
    Error, ErrorKind, Guarantee, Result,
    seam::{Answers, Chunk},
};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};

use super::{
    SLICE,
    cursor::FirstPage,
    last_moment,
    run::{self, Encoded},
    set_all,
};
use crate::{
    backend::ArangoBackend,
    errors::{self, Scope},
    http::{Adopt, Call, Client, Reply},
    multipart::{self, Part, PartHead, Writer},
    server::answered,
};

impl ArangoBackend {
    pub(crate) async fn send_multipart(
        &self,
        chunk: &Chunk<'_>,
        answers: &mut Answers,
    ) -> Result<()> {
        let mut writer = Writer::with_capacity(usize::try_from(chunk.bytes()).unwrap_or(0));
        let mut runs: Vec<Encoded> = Vec::new();
        let mut body = Vec::new();
        let mut since = 0;
        let arrays = !matches!(chunk.terms().guarantee, Guarantee::Ordered { .. })
            || self.facts().writes_arrays_at_once();
        let mut next = run::next(chunk, 0, arrays);
        while let Some(range) = next {
            next = run::next(chunk, range.end, arrays);
            since += range.len();
            body.clear();
            let Some(run) = run::encode(chunk, range, &mut body, answers).await else { continue };
            let head = PartHead {
                method: run.request.method.as_str(),
                path: &run.request.path,
                if_match: run.request.if_match.as_deref(),
            };
            writer.part(runs.len(), &head, |out| out.extend_from_slice(&body));
            runs.push(run);
            if since >= SLICE {
                since = 0;
                tokio::task::yield_now().await;
            }
        }
        if runs.is_empty() {
            return Ok(());
        }
        let written = writer.finish();
        let kind = format!("multipart/form-data; boundary={}", written.boundary);
        let mut call = Call::new(Method::POST, "/_api/batch", written.body);
        call.content_type = HeaderValue::try_from(kind).ok();
        // A part that came whole is an answer, whatever became of those behind it.
        call.takes_cut = Some(last_moment(chunk));
        let queries: Vec<bool> = runs.iter().map(|run| run::is_query(chunk, run)).collect();
        if queries.contains(&true) {
            call.adopt = Some(forget(&self.client, queries, written.boundary.clone()));
        }
        let reply = self.client.call(&call, &|| chunk.sent()).await?;
        if !reply.is_success() {
            return Err(errors::refused(&answered(&reply, Scope::Envelope, false)));
        }
        self.settle_parts(chunk, &runs, &reply, &written.boundary, answers).await
    }

    async fn settle_parts(
        &self,
        chunk: &Chunk<'_>,
        runs: &[Encoded],
        reply: &Reply,
        boundary: &str,
        answers: &mut Answers,
    ) -> Result<()> {
        let mut parts: Vec<Option<Result<Part>>> = runs.iter().map(|_| None).collect();
        let mut surplus = 0;
        let mut doubled = Vec::new();
        let read =
            multipart::read(&reply.body, boundary, runs.len(), &mut |place, part| match parts
                .get_mut(place)
            {
                None => surplus += 1,
                Some(Some(_)) => doubled.push(place),
                Some(slot) => *slot = Some(part),
            });
        // From here on no cursor is forgotten, whatever is found wrong with the whole.
        let pages = self.first_pages(chunk, runs, reply.server, &parts);
        for place in doubled {
            if let Some(slot) = parts.get_mut(place) {
                *slot = Some(Err(unreadable("the server answered the request twice")));
            }
        }
        if surplus > 0 {
            return Err(unreadable("the server gave more answers than there were requests"));
        }
        check_failures(reply, &parts)?;
        let until = Some(last_moment(chunk));
        let mut queries = Vec::new();
        for ((run, part), page) in runs.iter().zip(parts).zip(pages) {
            match part {
                // What stands for it is the error of the whole, just below.
                None => {}
                // Why a part breaks off is better known from the connection.
                Some(Err(error)) => {
                    let cut = reply.cut.as_ref().filter(|_| error.is_transient());
                    set_all(answers, &run.places, cut.unwrap_or(&error));
                }
                Some(Ok(part)) => {
                    let reply = of_part(part, reply.server);
                    if run::decode(chunk, run, &reply, answers).is_some() {
                        queries.push((run, page));
                    }
                }
            }
        }
        for (run, page) in queries {
            let (Some(place), Some(page)) = (run.places.first(), page) else { continue };
            let answer = self.whole_result(page, None, until, answers).await;
            answers.set(*place, answer);
        }
        // So is why the whole does.
        read.map_err(|error| reply.cut.clone().unwrap_or(error))
    }

    /// The first page of each query among the parts.
    fn first_pages(
        &self,
        chunk: &Chunk<'_>,
        runs: &[Encoded],
        server: usize,
        parts: &[Option<Result<Part>>],
    ) -> Vec<Option<FirstPage>> {
        let page = |(run, part): (&Encoded, &Option<Result<Part>>)| {
            let Some(Ok(part)) = part else { return None };
            run::is_query(chunk, run)
                .then(|| FirstPage::new(&self.client, server, part.body.clone()))
        };
        runs.iter().zip(parts).map(page).collect()
    }
}

/// Removes the cursors of an answer that nobody waits for any more.
fn forget(client: &Arc<Client>, queries: Vec<bool>, boundary: Box<str>) -> Adopt {
    let owned = Arc::clone(client);
    Adopt::new(&client.cleaning, move |reply| {
        // What cannot be read has no cursors that could be known.
        let _ = multipart::read(&reply.body, &boundary, queries.len(), &mut |place, part| {
            if let (Some(true), Ok(part)) = (queries.get(place), part) {
                drop(FirstPage::new(&owned, reply.server, part.body));
            }
        });
    })
}

/// A part as if it had come by itself.
fn of_part(part: Part, server: usize) -> Reply {
    let mut headers = HeaderMap::new();
    let codes = part.error_codes.and_then(|codes| HeaderValue::from_maybe_shared(codes).ok());
    if let Some(codes) = codes {
        headers.insert("x-arango-error-codes", codes);
    }
    Reply { status: part.status, headers, body: part.body, server, cut: None }
}

/// The server counts the parts that failed. If all could be read, and it counts otherwise, some of
/// them are not what it meant.
fn check_failures(reply: &Reply, parts: &[Option<Result<Part>>]) -> Result<()> {
    let mut failed = 0;
    for part in parts {
        match part {
            Some(Ok(part)) => failed += u64::from(part.status >= 400),
            _ => return Ok(()),
        }
    }
    let told = reply.header("x-arango-errors").and_then(|text| std::str::from_utf8(text).ok());
    let told: u64 = told.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    if told == failed {
        return Ok(());
    }
    Err(unreadable(&format!(
        "the server says that {told} of its answers are failures, and {failed} are"
    )))
}

fn unreadable(what: &str) -> Error {
    let message = format!("{what}; read the documents to know what was applied");
    Error::new(ErrorKind::Protocol, message).unknown()
}
