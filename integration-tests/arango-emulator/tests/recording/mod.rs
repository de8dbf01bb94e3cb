//! Recorded cases, and how an answer is compared with what is expected.

mod compare;
mod parts;

use arango_emulator::Emulator;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::{Answer, Client, Error};
use compare::{Bound, fill};

/// A recorded case.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) versions: Vec<String>,
    #[serde(default)]
    collections: Vec<String>,
    #[serde(default)]
    setup: Vec<Request>,
    steps: Vec<Step>,
    #[serde(default)]
    cleanup: Vec<Request>,
    /// `auth`, if the server has to know who asks.
    needs: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: Map<String, Value>,
    /// As JSON, which may be null.
    #[serde(default, deserialize_with = "present")]
    body: Option<Value>,
    text: Option<String>,
    #[serde(default)]
    pause: bool,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    credentials: bool,
    bind: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Step {
    request: Request,
    expect: Expected,
}

#[derive(Clone, Debug, Deserialize)]
struct Expected {
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    open_headers: bool,
    #[serde(default, deserialize_with = "present")]
    body: Option<Value>,
    multipart: Option<parts::Expected>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Headers that are absent where they are not expected.
const TELLING: [&str; 5] =
    ["etag", "location", "x-arango-errors", "x-arango-error-codes", "x-arango-async-id"];

const USER: (&str, &str) = ("root", "passwd");

/// All recorded cases.
pub(crate) fn load() -> Result<Vec<Case>, Error> {
    let text = include_str!("../../recorded/exchanges.jsonl");
    text.lines().map(|line| serde_json::from_str(line).map_err(Error::from)).collect()
}

/// What differs, on an emulator of `version`.
pub(crate) async fn replay(case: &Case, version: &str) -> Vec<String> {
    let mut builder = Emulator::builder().version(version);
    if case.needs.as_deref() == Some("auth") {
        builder = builder.auth(USER.0, USER.1);
    }
    let emulator = match builder.start().await {
        Ok(emulator) => emulator,
        Err(error) => return vec![error.to_string()],
    };
    let mut client = Client::new(&emulator).await.with("accept", "application/json");
    run(case, &mut client).await.unwrap_or_else(|error| vec![error.to_string()])
}

async fn run(case: &Case, client: &mut Client) -> Result<Vec<String>, Error> {
    let mut bound = Bound::default();
    for collection in &case.collections {
        let system = if collection.starts_with('_') { "?isSystem=true" } else { "" };
        client.delete(&format!("/_api/collection/{collection}{system}")).await;
    }
    for request in &case.setup {
        let answer = send(client, request, &bound).await?;
        if answer.status >= 400 {
            return Ok(vec![format!("setup: {} {}", answer.status, answer.text())]);
        }
        if let Some(expected) = &request.bind {
            let differences = bound.compare(expected, &answer.json(), "setup");
            if !differences.is_empty() {
                return Ok(differences);
            }
        }
    }
    let mut differences = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let answer = send(client, &step.request, &bound).await?;
        differences.extend(step.expect.differs(&answer, &mut bound, &format!("step {number}")));
    }
    // Each case has a server of its own; what is left of it would be seen by nobody.
    for request in &case.cleanup {
        send(client, request, &bound).await?;
    }
    Ok(differences)
}

async fn send(client: &mut Client, request: &Request, bound: &Bound) -> Result<Answer, Error> {
    if request.pause {
        until_jobs_are_done(client).await;
    }
    let body = match (&request.text, &request.body) {
        _ if request.credentials => {
            serde_json::json!({"username": USER.0, "password": USER.1}).to_string()
        }
        (Some(text), _) => fill(text, bound)?,
        (None, Some(body)) => bound.fill_value(body)?.to_string(),
        (None, None) => String::new(),
    };
    let mut headers = Vec::new();
    if !request.anonymous {
        headers.push(("authorization".to_owned(), "Basic cm9vdDpwYXNzd2Q=".to_owned()));
    }
    for (name, value) in &request.headers {
        headers.push((name.clone(), fill(value.as_str().unwrap_or_default(), bound)?));
    }
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    client.try_send(&request.method, &fill(&request.path, bound)?, &headers, body).await
}

/// What runs in the background finishes by itself.
async fn until_jobs_are_done(client: &mut Client) {
    let none = Value::Array(Vec::new());
    while client.get("/_api/job/pending").await.json() != none {
        tokio::task::yield_now().await;
    }
}

impl Expected {
    fn differs(&self, answer: &Answer, bound: &mut Bound, at: &str) -> Vec<String> {
        let mut differences = Vec::new();
        if answer.status != self.status {
            let text: String = answer.text().chars().take(120).collect();
            differences.push(format!("{at}: {} for {}: {text}", answer.status, self.status));
        }
        for (name, value) in &self.headers {
            differences.extend(header_differs(name, value, answer, bound, at));
        }
        let more = TELLING.iter().filter(|name| {
            !self.open_headers
                && answer.header(name).is_some()
                && !self.headers.contains_key(**name)
        });
        differences.extend(more.map(|name| format!("{at}: header {name} where none belongs")));
        if let Some(expected) = &self.multipart {
            differences.extend(expected.differs(&answer.body, bound, at));
        }
        match &self.body {
            None => {}
            Some(Value::Null) if answer.body.is_empty() => {}
            Some(Value::Null) => differences.push(format!("{at}: a body: {}", answer.text())),
            Some(expected) => match serde_json::from_slice(&answer.body) {
                Ok(found) => differences.extend(bound.compare(expected, &found, at)),
                Err(error) => differences.push(format!("{at}: no JSON: {error}")),
            },
        }
        differences
    }
}

fn header_differs(
    name: &str,
    expected: &Value,
    answer: &Answer,
    bound: &mut Bound,
    at: &str,
) -> Vec<String> {
    let at = format!("{at}, {name}");
    match (name, answer.header(name)) {
        ("content-type", found) => {
            let media = found.unwrap_or_default().split(';').next().unwrap_or_default().trim();
            bound.compare(expected, &media.into(), &at)
        }
        (_, None) => vec![format!("{at}: no such header")],
        ("x-arango-error-codes", Some(found)) => {
            let read = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
            bound.compare(&read(expected.as_str().unwrap_or_default()), &read(found), &at)
        }
        (_, Some(found)) => bound.compare(expected, &found.into(), &at),
    }
}
