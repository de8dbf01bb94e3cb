//! `unibatch check`.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::json;

use crate::unibatch;

#[test]
fn check_prints_server_version_capabilities_and_the_mechanism_of_each_guarantee() {
    let ran = unibatch(&["check"]).is(0);
    assert_eq!(ran.err, "");
    for expected in [
        ["store", "memory:"],
        ["get in a batch", "yes"],
        ["timestamp", "no"],
        ["best-effort", "memory call"],
        ["ordered-stop", "memory serial call"],
        ["all-or-nothing-isolated", "memory transaction"],
    ] {
        let found = ran.out.lines().any(|line| {
            line.strip_prefix(expected[0]).is_some_and(|rest| rest.trim() == expected[1])
        });
        assert!(found, "no {expected:?} in {}", ran.out);
    }
}

#[test]
fn check_prints_one_json_object() {
    let ran = unibatch(&["check", "--store", "memory:?max_in_flight=4", "--output", "json"]).is(0);
    let printed = ran.json();
    assert_eq!((&printed["store"], &printed["url"]), (&json!("memory"), &json!("memory:")));
    assert!(printed["server"]["name"].is_string() && printed["server"]["version"].is_string());
    assert!(printed["server"]["facts"].is_object());
    assert_eq!(printed["capabilities"]["reads"], true);
    assert_eq!(printed["capabilities"]["timestamps"], false);
    assert_eq!(
        printed["guarantees"],
        json!({
            "best-effort": "memory call",
            "ordered": "memory serial call",
            "ordered-stop": "memory serial call",
            "all-or-nothing": "memory transaction",
            "all-or-nothing-isolated": "memory transaction",
        })
    );
}

#[test]
fn a_store_that_cannot_be_reached_or_a_bad_url_has_its_exit_code() {
    unibatch(&["check", "--store", "cql://127.0.0.1:1"]).fails(4, "cannot connect");
    unibatch(&["check", "--store", "arango+https://127.0.0.1:1"]).fails(4, "cannot connect");
    unibatch(&["check", "--store", "memory:?timeout=0s"]).fails(2, "`timeout`");
    unibatch(&["check", "--store", "redis://h"]).fails(2, "`cql://` and `cql+tls://` are known");
}

/// The port of a server without TLS, which gives this answer to whatever it is told.
fn plain_server(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the tests.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 4096];
            // A client that has gone is none of the server's business.
            let _ = stream.read(&mut asked).and_then(|_| stream.write_all(answer));
        }
    });
    port
}

#[test]
fn a_server_that_speaks_no_tls_is_told_with_the_scheme_to_use() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], b""] {
        let port = plain_server(answer);
        for (scheme, instead) in [("arango+https", "`arango://`"), ("cql+tls", "`cql://`")] {
            let url = format!("{scheme}://127.0.0.1:{port}/school");
            let ran = unibatch(&["check", "--store", &url]).fails(4, "speak no TLS");
            assert!(ran.err.contains(instead), "{ran:?}");
        }
    }
}
