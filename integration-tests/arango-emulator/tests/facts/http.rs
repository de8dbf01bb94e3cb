//! HTTP itself. By `HttpCommTask.cpp`, `H2CommTask.cpp`, and the documentation's chapter "General
//! request handling".

use std::io::Write as _;

use arango_emulator::Emulator;
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Client, keys, post_bytes, raw, start};

const C: &str = "/_api/document/c";

#[tokio::test]
async fn names_of_headers_are_capitalised_and_the_fixed_ones_are_there() {
    let (emulator, _) = start("3.11.14").await;
    let request = b"GET /_api/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = String::from_utf8(raw(&emulator, request).await).unwrap();
    for line in [
        "Server: ArangoDB",
        "X-Content-Type-Options: nosniff",
        "X-Arango-Queue-Time-Seconds: 0.000000",
        "Content-Type: application/json; charset=utf-8",
        "Strict-Transport-Security: max-age=31536000 ; includeSubDomains",
    ] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line} in {answer}");
    }
    assert!(!answer.contains("\r\nDate:"));
}

#[tokio::test]
async fn a_body_without_its_length_is_refused() {
    let (emulator, _) = start("3.11.14").await;
    let request = format!(
        "POST {C} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{{\"_key\":\"k\"}}\r\n0\r\n\r\n"
    );
    let answer = String::from_utf8(raw(&emulator, request.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 501 Not Implemented\r\n"), "{answer}");
    assert_eq!(keys(&emulator, "c").len(), 0);
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_order() {
    let (emulator, _) = start("3.11.14").await;
    let mut both = post_bytes(C, r#"{"_key":"a"}"#);
    both.extend(b"GET /_api/document/c/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(raw(&emulator, &both).await).unwrap();
    let second = answer.find("HTTP/1.1 200 OK").unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 Accepted") && second > 0, "{answer}");
}

#[tokio::test]
async fn http_2_is_spoken_with_prior_knowledge() {
    let (emulator, _) = start("3.12.10").await;
    let mut client = Client::late(&emulator).await;
    let answer = client.post(C, json!({"_key": "k"})).await;
    assert_eq!((answer.status, answer.header("connection")), (202, None));
    assert_eq!(emulator.requests()[0].protocol, "HTTP/2.0");
}

/// `CommTask.cpp` undoes it before any handler runs, by the header's exact value.
#[tokio::test]
async fn a_body_may_be_compressed() {
    let (emulator, mut client) = start("3.12.10").await;
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(br#"{"_key":"k"}"#).unwrap();
    let body = writer.finish().unwrap();
    let answer = client.send("POST", C, &[("content-encoding", "gzip")], body.clone()).await;
    assert_eq!((answer.status, keys(&emulator, "c")), (202, vec!["k".to_owned()]));
    let broken = client.send("POST", C, &[("content-encoding", "gzip")], "no gzip").await;
    assert_eq!(broken.error(), (400, 10));
    let unknown = client.send("POST", C, &[("content-encoding", "br")], body).await;
    assert_eq!(unknown.error(), (400, 600));
}

/// `--http.compress-response-threshold` is 0 by default.
#[tokio::test]
async fn answers_are_compressed_where_that_is_switched_on_and_asked_for_in_one_word() {
    let (emulator, mut client) = start("3.12.10").await;
    let ask = |encoding| [("accept-encoding", encoding)];
    let plain = client.send("GET", "/_api/version", &ask("gzip"), "").await;
    assert_eq!(plain.header("content-encoding"), None);
    emulator.switch(|settings| settings.compress_threshold = 10);
    let whole = client.send("GET", "/_api/version", &ask("gzip, deflate"), "").await;
    assert_eq!(whole.header("content-encoding"), None);
    let small = client.send("GET", "/_api/version", &ask("gzip"), "").await;
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert_eq!(&small.body[..2], b"\x1f\x8b");
}

/// Documentation, "Overload": a limit in the request, for the queue as it was last.
#[tokio::test]
async fn a_queue_that_is_slower_than_allowed_refuses() {
    let (emulator, mut client) = start("3.12.10").await;
    emulator.switch(|settings| settings.queue_seconds = 2.5);
    let limit = |seconds| [("x-arango-queue-time-seconds", seconds)];
    let slow = client.send("POST", C, &limit("1"), "{}").await;
    assert_eq!(slow.error(), (412, 21004));
    assert_eq!(slow.header("x-arango-queue-time-seconds"), Some("2.500000"));
    for ignored in ["3", "0", "x"] {
        assert_eq!(client.send("POST", C, &limit(ignored), "{}").await.status, 202, "{ignored}");
    }
}

/// Documentation, "HTTP interface for jobs": a client that went away does not stop the server.
#[tokio::test]
async fn a_request_is_finished_though_its_client_went_away() {
    let (emulator, mut client) = start("3.11.14").await;
    let begun =
        client.post("/_api/transaction/begin", json!({"collections": {"exclusive": "c"}})).await;
    let id = begun.json()["result"]["id"].as_str().unwrap().to_owned();
    emulator.forget_requests();
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    socket.write_all(&post_bytes(C, r#"{"_key":"k"}"#)).await.unwrap();
    emulator.until_seen(|seen| !seen.is_empty()).await;
    drop(socket);
    client.send("PUT", &format!("/_api/transaction/{id}"), &[], "").await;
    while client.get("/_api/document/c/k").await.status != 200 {}
}

#[tokio::test]
async fn the_log_has_what_came_and_over_which_connection() {
    let (emulator, mut client) = start("3.11.14").await;
    client.send("post", "/_api/document/c?silent=1", &[("x-mine", "y")], "{}").await;
    Client::new(&emulator).await.get("/_api/version").await;
    let seen = emulator.requests();
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("post", "/_api/document/c?silent=1")
    );
    assert_eq!((seen[0].path(), seen[0].header("x-mine")), ("/_api/document/c", Some("y")));
    assert_eq!((&seen[0].body[..], seen[0].length), (&b"{}"[..], 2));
    assert_eq!(
        (seen[0].protocol.as_str(), seen[1].connection),
        ("HTTP/1.1", seen[0].connection + 1)
    );
}

#[tokio::test]
async fn tls_is_spoken_with_a_certificate_that_is_given() {
    use std::sync::Arc;

    use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::ServerName};

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let chain = vec![made.cert.der().clone()];
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let emulator = Emulator::builder().tls(Arc::new(config)).start().await.unwrap();
    assert!(emulator.url().starts_with("https://"));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let socket = TcpStream::connect(emulator.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream =
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    stream
        .write_all(b"GET /_api/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // The end may come without a farewell.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
}
