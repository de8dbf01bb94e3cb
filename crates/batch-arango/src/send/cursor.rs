//! The results of a query, whole: further pages are fetched, and no cursor is left behind.

use std::sync::Arc;

use batch_core::{Error, ErrorKind, Result, seam::Answers};
use bytes::{Bytes, BytesMut};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use crate::{
    backend::ArangoBackend,
    errors::{self, Scope},
    http::{Adopt, Call, Client, LONGEST_CLEANING, before},
    server::answered,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
    has_more: bool,
    #[serde(default)]
    extra: Extra,
}

/// Where more is to come from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct More<'a> {
    has_more: bool,
    #[serde(borrow)]
    id: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct Extra {
    #[serde(default)]
    warnings: Vec<Warning>,
    #[serde(default)]
    stats: Stats,
}

#[derive(Deserialize)]
struct Warning {
    code: u32,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    /// Told by every server; without it nothing is taken for a mere read.
    writes_executed: Option<u64>,
}

/// A cursor on the server, which is removed there unless it has come to its end.
struct Cursor {
    client: Arc<Client>,
    server: usize,
    id: String,
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let client = Arc::clone(&self.client);
        let (server, id) = (self.server, std::mem::take(&mut self.id));
        if id.is_empty() {
            return;
        }
        self.client.cleaning.spawn(async move {
            let path = format!("/_api/cursor/{id}");
            let call = Call::new(Method::DELETE, &path, Bytes::new()).at(server);
            let _ = timeout(LONGEST_CLEANING, client.call(&call, &|| ())).await;
        });
    }
}

/// The first page of a query's results. Its cursor, if more is to come, ends with it, whatever
/// becomes of the answer that it came in.
pub(super) struct FirstPage {
    body: Bytes,
    cursor: Option<Cursor>,
}

impl FirstPage {
    pub(super) fn new(client: &Arc<Client>, server: usize, body: Bytes) -> Self {
        let more = serde_json::from_slice::<More<'_>>(&body).ok().filter(|more| more.has_more);
        // It is put into paths.
        let id = more.and_then(|more| more.id).filter(|id| is_id(id));
        let cursor = id.map(|id| Cursor { client: Arc::clone(client), server, id: id.to_owned() });
        Self { body, cursor }
    }
}

/// Removes the cursor of an answer to a query that nobody waits for any more.
pub(super) fn forget(client: &Arc<Client>) -> Adopt {
    let owned = Arc::clone(client);
    Adopt::new(&client.cleaning, move |reply| {
        drop(FirstPage::new(&owned, reply.server, reply.body));
    })
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl ArangoBackend {
    /// The results of a query as one array, from its first page on. Further ones are waited for until
    /// a moment, if there is one.
    pub(super) async fn whole_result(
        &self,
        first: FirstPage,
        transaction: Option<&str>,
        until: Option<Instant>,
        answers: &mut Answers,
    ) -> Result<Bytes> {
        let FirstPage { body: first, cursor } = first;
        let page: Page<'_> = serde_json::from_slice(&first).map_err(|error| {
            let message =
                "the answer to the query cannot be read; look at the data to know what it did";
            Error::new(ErrorKind::Protocol, message).unknown().with_source(error)
        })?;
        for warning in &page.extra.warnings {
            answers.warn(format!("AQL warning {}: {}", warning.code, warning.message));
        }
        let result = first.slice_ref(page.result.get().as_bytes());
        if !page.has_more {
            return within(result, self.ceilings.result, &page);
        }
        let Some(mut cursor) = cursor else {
            return Err(lost(&page, "the server has more results, and did not say where"));
        };
        let mut all = BytesMut::from(&*result);
        loop {
            if all.len() > self.ceilings.result {
                return Err(too_large(self.ceilings.result, &page));
            }
            let path = format!("/_api/cursor/{}", cursor.id);
            let mut call = Call::new(Method::POST, &path, Bytes::new()).at(cursor.server);
            call.transaction = transaction;
            call.max_answer = self.ceilings.result.saturating_add(1 << 20);
            let reply = before(until, self.client.call(&call, &|| ())).await;
            let reply = reply.unwrap_or_else(|| Err(late()));
            let reply = reply.map_err(|error| of_page(&page, error))?;
            if reply.status != 200 {
                let error = errors::refused(&answered(&reply, Scope::Cursor, false));
                return Err(of_page(&page, error));
            }
            let next: Page<'_> = serde_json::from_slice(&reply.body)
                .map_err(|_| lost(&page, "a further page of the results cannot be read"))?;
            join(&mut all, next.result.get().as_bytes());
            if !next.has_more {
                // The last page ended it.
                cursor.id.clear();
                break;
            }
        }
        within(all.freeze(), self.ceilings.result, &page)
    }
}

/// Appends the elements of one array to another.
fn join(all: &mut BytesMut, page: &[u8]) {
    let inner = page.strip_prefix(b"[").and_then(|page| page.strip_suffix(b"]"));
    let inner = inner.unwrap_or_default().trim_ascii();
    if inner.is_empty() {
        return;
    }
    all.truncate(all.len().saturating_sub(1));
    if all.len() > 1 {
        all.extend_from_slice(b",");
    }
    all.extend_from_slice(inner);
    all.extend_from_slice(b"]");
}

fn within(result: Bytes, most: usize, page: &Page<'_>) -> Result<Bytes> {
    if result.len() > most { Err(too_large(most, page)) } else { Ok(result) }
}

/// A query that wrote nothing is not done if its results are not there; one that wrote is.
fn after(page: &Page<'_>, error: Error) -> Error {
    match page.extra.stats.writes_executed {
        Some(0) => error,
        _ => error.unknown(),
    }
}

fn too_large(most: usize, page: &Page<'_>) -> Error {
    let what = match page.extra.stats.writes_executed {
        Some(0) | None => String::new(),
        Some(writes) => format!(" The query was carried out, and wrote {writes} documents."),
    };
    let message = format!(
        "the results are larger than {most} bytes; raise `ArangoBuilder::max_result_bytes`, or return less.{what}"
    );
    after(page, Error::new(ErrorKind::TooLarge, message))
}

fn lost(page: &Page<'_>, what: &str) -> Error {
    let message = format!("{what}; the query itself was carried out");
    after(page, Error::new(ErrorKind::Protocol, message))
}

fn late() -> Error {
    let message = "the commit's deadline came first; give more time, or return less";
    Error::new(ErrorKind::Timeout, message)
}

fn of_page(page: &Page<'_>, error: Error) -> Error {
    let message =
        format!("the query was carried out, and not all of its results came: {}", error.message());
    after(page, Error::new(error.kind(), message).with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_joined_to_one_array() {
        for (pages, whole) in [
            (&["[1,2]", "[3]"][..], "[1,2,3]"),
            (&["[]", "[3]", "[]"], "[3]"),
            (&["[1]", "[ ]", "[ 2 ]"], "[1,2]"),
            (&["[]"], "[]"),
        ] {
            let mut all = BytesMut::from(pages[0].as_bytes());
            pages[1..].iter().for_each(|page| join(&mut all, page.as_bytes()));
            assert_eq!(&all[..], whole.as_bytes());
        }
    }
}
