//! A client for the tests: one connection, over which hyper speaks HTTP, or nobody does.
#![allow(dead_code, reason = "each suite uses a part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "each suite has this as a module of its own")]

use std::{collections::BTreeMap, time::Duration};

use arango_emulator::Emulator;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longer than anything that is not stalled takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, Vec<String>>,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON: {error} in {:?}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status and `errorNum`.
    pub fn error(&self) -> (u16, u64) {
        (self.status, self.json()["errorNum"].as_u64().unwrap_or(0))
    }
}

enum Sender {
    Early(http1::SendRequest<Full<Bytes>>),
    Late(http2::SendRequest<Full<Bytes>>),
}

/// One connection.
pub struct Client {
    sender: Sender,
    authority: String,
    headers: Vec<(String, String)>,
}

impl Client {
    pub async fn new(emulator: &Emulator) -> Self {
        let io = TokioIo::new(TcpStream::connect(emulator.address()).await.unwrap());
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let authority = emulator.address().to_string();
        Self { sender: Sender::Early(sender), authority, headers: Vec::new() }
    }

    /// Over HTTP/2, with prior knowledge.
    pub async fn late(emulator: &Emulator) -> Self {
        let io = TokioIo::new(TcpStream::connect(emulator.address()).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let authority = emulator.address().to_string();
        Self { sender: Sender::Late(sender), authority, headers: Vec::new() }
    }

    /// Sends a header with each request.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends a request and reads its answer whole.
    pub async fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let body = body.into();
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let uri = match self.sender {
            Sender::Early(_) => path.to_owned(),
            Sender::Late(_) => format!("http://{}{path}", self.authority),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if matches!(self.sender, Sender::Early(_)) {
            request = request.header("host", &self.authority);
        }
        for (name, value) in own.chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        if !body.is_empty() || ["POST", "PUT", "PATCH"].contains(&method) {
            request = request.header("content-length", body.len());
        }
        let request = request.body(Full::new(body))?;
        let sending = async {
            let response = match &mut self.sender {
                Sender::Early(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Sender::Late(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let mut headers = BTreeMap::<String, Vec<String>>::new();
            for (name, value) in response.headers() {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                headers.entry(name.as_str().into()).or_default().push(value);
            }
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Answer { status, headers, body })
        };
        timeout(PATIENCE, sending).await?
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn delete(&mut self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], body.to_string()).await
    }

    pub async fn put(&mut self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[], body.to_string()).await
    }

    pub async fn patch(&mut self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[], body.to_string()).await
    }

    /// Makes a collection of documents.
    pub async fn collection(&mut self, name: &str) {
        let answer = self.post("/_api/collection", serde_json::json!({ "name": name })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Sends bytes over a connection of their own, and reads until it ends.
pub async fn raw(emulator: &Emulator, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap();
    // A reset is an end too.
    drop(read);
    answer
}

/// A POST as raw bytes.
pub fn post_bytes(path: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// An emulator of a release with a collection `c`, and a client.
pub async fn start(version: &str) -> (Emulator, Client) {
    let emulator = Emulator::builder().version(version).start().await.unwrap();
    let mut client = Client::new(&emulator).await;
    client.collection("c").await;
    emulator.forget_requests();
    (emulator, client)
}

/// The keys of a collection, sorted.
pub fn keys(emulator: &Emulator, collection: &str) -> Vec<String> {
    let documents = emulator.documents("_system", collection).unwrap();
    let mut keys: Vec<String> =
        documents.iter().map(|document| document["_key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    keys
}

/// A batch of inserts into `c`, whose keys are the ids too.
pub fn inserts(keys: &[&str]) -> String {
    let mut body = String::new();
    for key in keys {
        body.push_str(&format!(
            "--XXXboundaryXXX\r\nContent-Type: application/x-arango-batchpart\r\nContent-Id: {key}\r\n\r\nPOST /_api/document/c HTTP/1.1\r\n\r\n{{\"_key\":\"{key}\"}}\r\n"
        ));
    }
    body + "--XXXboundaryXXX--\r\n"
}

pub const MULTIPART: (&str, &str) =
    ("content-type", "multipart/form-data; boundary=XXXboundaryXXX");
