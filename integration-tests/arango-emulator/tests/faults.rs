//! Each fault: what the client sees of it, and what is in the store then.

mod support;

use arango_emulator::{Edit, Emulator, Fault, Rule};
use serde_json::json;
use support::{Client, MULTIPART, Result, inserts, keys, post_bytes, raw, start};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const INSERT: &str = r#"{"_key":"k"}"#;
const PATH: &str = "/_api/document/c";

/// Sends the insert of `k` with a fault, over HTTP/1.1 or HTTP/2.
async fn insert(fault: Fault, late: bool) -> (Result<support::Answer>, bool) {
    let (emulator, mut client) = start("3.11.14").await;
    if late {
        client = Client::late(&emulator).await;
    }
    let armed = emulator.fault(Rule::new(fault.clone()).path(PATH));
    let answer = client.try_send("POST", PATH, &[], INSERT).await;
    assert_eq!(armed.fired(), 1, "{fault:?}");
    (answer, !keys(&emulator, "c").is_empty())
}

#[tokio::test]
async fn a_connection_that_breaks_tells_nothing_and_the_store_says_whether_it_was_executed() {
    let cases = [
        (Fault::ResetBefore, false),
        (Fault::ResetAfter, true),
        (Fault::CloseBefore, false),
        (Fault::CloseAfter, true),
        (Fault::Garbage, true),
        (Fault::CutHead { after: 0 }, true),
        (Fault::CutHead { after: 20 }, true),
        (Fault::CutBody { after: 0 }, true),
        (Fault::CutBody { after: 7 }, true),
        (Fault::RefuseStream, false),
        (Fault::ResetStream { executed: false }, false),
        (Fault::ResetStream { executed: true }, true),
    ];
    for (fault, stored) in cases {
        for late in [false, true] {
            let (answer, found) = insert(fault.clone(), late).await;
            assert!(answer.is_err(), "{fault:?}, HTTP/2: {late}: {answer:?}");
            assert_eq!(found, stored, "{fault:?}, HTTP/2: {late}");
        }
    }
}

#[tokio::test]
async fn a_cut_body_has_as_many_bytes_as_were_asked_for() {
    for after in [0, 1, 30] {
        let (emulator, _) = start("3.11.14").await;
        let armed = emulator.fault(Rule::new(Fault::CutBody { after }));
        let answer = raw(&emulator, &post_bytes(PATH, INSERT)).await;
        assert_eq!(armed.fired(), 1);
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 202 Accepted\r\n"), "{head}");
        assert!(head.contains("Content-Length: 45"), "{head}");
        assert_eq!(body.len(), after);
    }
}

#[tokio::test]
async fn a_cut_head_has_as_many_bytes_as_were_asked_for() {
    let (emulator, _) = start("3.11.14").await;
    let armed = emulator.fault(Rule::new(Fault::CutHead { after: 12 }));
    assert_eq!(raw(&emulator, &post_bytes(PATH, INSERT)).await, b"HTTP/1.1 202");
    assert_eq!(armed.fired(), 1);
}

#[tokio::test]
async fn garbage_is_what_comes_and_all_of_it() {
    let (emulator, _) = start("3.11.14").await;
    let armed = emulator.fault(Rule::new(Fault::Garbage));
    assert_eq!(
        raw(&emulator, &post_bytes(PATH, INSERT)).await,
        b"\x15\x03HTP/one 2OO perhaps\r\n\r\n"
    );
    assert_eq!(armed.fired(), 1);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_end() {
    let (emulator, _) = start("3.11.14").await;
    let armed = emulator.fault(Rule::new(Fault::ResetAfter));
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    socket.write_all(&post_bytes(PATH, INSERT)).await.unwrap();
    let error = socket.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(armed.fired(), 1);
}

#[tokio::test]
async fn a_stalled_answer_never_comes_and_the_connection_stays() {
    for (fault, stored) in [
        (Fault::StallBefore, false),
        (Fault::StallAfter, true),
        (Fault::StallBody { after: 5 }, true),
    ] {
        for late in [false, true] {
            let (emulator, mut client) = start("3.11.14").await;
            if late {
                client = Client::late(&emulator).await;
            }
            let armed = emulator.fault(Rule::new(fault.clone()).path(PATH));
            let mut sending = Box::pin(client.try_send("POST", PATH, &[], INSERT));
            // Nothing else is to be waited for: the request came, and was executed or not.
            tokio::select! {
                answer = &mut sending => panic!("{fault:?}: {answer:?}"),
                () = emulator.until_seen(|seen| !seen.is_empty()) => {}
            }
            let mut other = Client::new(&emulator).await;
            while stored && other.get("/_api/document/c/k").await.status != 200 {}
            assert_eq!(keys(&emulator, "c").len(), usize::from(stored), "{fault:?}");
            assert_eq!(armed.fired(), 1);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_held_comes_when_it_is_let_go() {
    for late in [false, true] {
        let (emulator, mut client) = start("3.11.14").await;
        if late {
            client = Client::late(&emulator).await;
        }
        let armed = emulator.fault(Rule::new(Fault::Hold).path(PATH));
        let mut sending = Box::pin(client.try_send("POST", PATH, &[], INSERT));
        tokio::select! {
            answer = &mut sending => panic!("{answer:?}"),
            () = emulator.until_seen(|seen| !seen.is_empty()) => {}
        }
        assert_eq!(armed.fired(), 1);
        emulator.release();
        assert_eq!(sending.await.unwrap().status, 202);
        assert_eq!(keys(&emulator, "c"), ["k"]);
    }
}

#[tokio::test]
async fn a_slow_answer_is_whole() {
    let (answer, stored) = insert(Fault::Drip, false).await;
    assert_eq!(answer.unwrap().json()["_key"], "k");
    assert!(stored);
}

#[tokio::test]
async fn refusals_say_what_was_asked_for() {
    let refuse = |status, number, retry_after| Fault::Refuse {
        status,
        number,
        message: String::new(),
        retry_after,
    };
    for (fault, status, number, stored) in [
        (refuse(503, 21003, None), 503, 21003, false),
        (refuse(503, 503, Some(1)), 503, 503, false),
        (refuse(503, 1429, None), 503, 1429, false),
        (Fault::RefuseAfter { status: 500, number: 4, message: "oh".into() }, 500, 4, true),
        (Fault::Unauthorized, 401, 11, false),
    ] {
        for late in [false, true] {
            let (answer, found) = insert(fault.clone(), late).await;
            let answer = answer.unwrap();
            assert_eq!(answer.error(), (status, number), "{fault:?}");
            assert_eq!(found, stored, "{fault:?}");
            let retry = matches!(&fault, Fault::Refuse { retry_after: Some(_), .. });
            assert_eq!(answer.header("retry-after"), retry.then_some("1"));
        }
    }
}

#[tokio::test]
async fn a_proxy_answers_in_html_and_may_have_passed_the_request_on() {
    for executed in [false, true] {
        let (answer, stored) = insert(Fault::Proxy { status: 502, executed }, false).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/html")));
        assert!(answer.text().contains("<h1>502 Bad Gateway</h1>"));
        assert_eq!(stored, executed);
    }
}

#[tokio::test]
async fn a_redirect_names_the_place_and_executes_nothing() {
    for status in [301, 302, 307, 308] {
        let (answer, stored) =
            insert(Fault::Redirect { status, location: String::new() }, false).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("location")), (status, Some(PATH)));
        assert!(!stored);
    }
}

#[tokio::test]
async fn a_connection_that_ends_behind_its_answer_is_not_used_again() {
    for (fault, said) in [(Fault::CloseBehind, "Close"), (Fault::CloseBehindSilently, "Keep-Alive")]
    {
        let (emulator, _) = start("3.11.14").await;
        let armed = emulator.fault(Rule::new(fault));
        // The second request is in the socket already.
        let mut both = post_bytes(PATH, INSERT);
        both.extend(post_bytes(PATH, r#"{"_key":"second"}"#));
        let answer = String::from_utf8(raw(&emulator, &both).await).unwrap();
        assert!(answer.contains(&format!("Connection: {said}\r\n")), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert_eq!(keys(&emulator, "c"), ["k"]);
        assert_eq!(armed.fired(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_leaves_its_connection_and_a_goaway_does_not() {
    for (fault, stays) in [
        (Fault::ResetStream { executed: false }, true),
        (Fault::ResetStream { executed: true }, true),
        (Fault::RefuseStream, true),
        (Fault::CutBody { after: 7 }, true),
        (Fault::CloseBehind, false),
    ] {
        let (emulator, _) = start("3.11.14").await;
        let mut client = Client::late(&emulator).await;
        let armed = emulator.fault(Rule::new(fault.clone()).path(PATH));
        let first = client.try_send("POST", PATH, &[], INSERT).await;
        assert_eq!((armed.fired(), first.is_ok()), (1, !stays), "{fault:?}");
        // The client's half may learn of the end after the answer.
        let mut second = client.try_send("GET", "/_api/version", &[], "").await;
        while !stays && second.is_ok() {
            second = client.try_send("GET", "/_api/version", &[], "").await;
        }
        assert_eq!(second.is_ok(), stays, "{fault:?}");
    }
}

#[tokio::test]
async fn refused_connections_leave_those_that_are_there_alone() {
    let (mut emulator, mut client) = start("3.11.14").await;
    emulator.refuse_connections().await;
    assert_eq!(client.get("/_api/version").await.status, 200);
    let error = TcpStream::connect(emulator.address()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    emulator.stop().await;
    emulator.start().await.unwrap();
    assert_eq!(Client::new(&emulator).await.get("/_api/version").await.status, 200);
}

#[tokio::test]
async fn at_a_part_of_a_batch_the_parts_before_it_are_in_the_store() {
    for (fault, stored) in [
        (Fault::QueueFullAtPart { part: 1 }, 0),
        (Fault::QueueFullAtPart { part: 3 }, 2),
        (Fault::ResetAtPart { part: 2, executed: false }, 1),
        (Fault::ResetAtPart { part: 2, executed: true }, 2),
    ] {
        let (emulator, mut client) = start("3.11.14").await;
        let armed = emulator.fault(Rule::new(fault.clone()).path("/_api/batch"));
        let answer =
            client.try_send("POST", "/_api/batch", &[MULTIPART], inserts(&["a", "b", "c"])).await;
        match fault {
            Fault::QueueFullAtPart { .. } => assert_eq!(answer.unwrap().error(), (503, 21003)),
            _ => assert!(answer.is_err()),
        }
        assert_eq!(keys(&emulator, "c").len(), stored);
        assert_eq!(armed.fired(), 1);
    }
}

/// A batch of three inserts, its answer edited.
async fn edited(edit: Edit) -> support::Answer {
    let (emulator, mut client) = start("3.11.14").await;
    let armed = emulator.fault(Rule::new(Fault::Edit { edit }).path("/_api/batch"));
    let answer = client.send("POST", "/_api/batch", &[MULTIPART], inserts(&["a", "b", "c"])).await;
    assert_eq!((armed.fired(), keys(&emulator, "c").len()), (1, 3));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    answer
}

/// The ids of the parts as they come; what has none is `-`.
fn ids(text: &str) -> Vec<&str> {
    let parts = text.split("application/x-arango-batchpart").skip(1);
    parts
        .map(|part| {
            part.split("\r\n").find_map(|line| line.strip_prefix("Content-Id: ")).unwrap_or("-")
        })
        .collect()
}

#[tokio::test]
async fn parts_come_in_another_order_twice_not_at_all_or_from_nobody() {
    for (edit, expected) in [
        (Edit::PartsReversed, vec!["c", "b", "a"]),
        (Edit::PartTwice { part: 0 }, vec!["a", "b", "c", "a"]),
        (Edit::PartMissing { part: 1 }, vec!["a", "c"]),
        (Edit::PartMore, vec!["a", "b", "c", "nobodys"]),
        (Edit::WithoutIds, vec!["-", "-", "-"]),
        (Edit::WithoutId { part: 1 }, vec!["a", "-", "c"]),
    ] {
        let answer = edited(edit.clone()).await;
        assert_eq!(ids(&answer.text()), expected, "{edit:?}");
        assert!(answer.text().ends_with("\r\n--XXXboundaryXXX--"), "{edit:?}");
    }
}

#[tokio::test]
async fn the_bytes_of_parts_are_changed_as_asked_for() {
    let whole = edited(Edit::Status { status: 200 }).await.text();
    assert_eq!(ids(&whole), ["a", "b", "c"]);
    let text = edited(Edit::LinesWithLf).await.text();
    assert!(!text.contains('\r') && text.matches('\n').count() == whole.matches("\r\n").count());
    let text = edited(Edit::SmallHeaders).await.text();
    assert!(text.contains("\r\ncontent-id: a\r\n\r\nHTTP/1.1 202 Accepted\r\n"), "{text}");
    let text = edited(Edit::LargeHeaders).await.text();
    assert!(text.contains("\r\nCONTENT-ID: a\r\n\r\nHTTP/1.1 202 Accepted\r\n"), "{text}");
    let text = edited(Edit::OtherBoundary).await.text();
    assert!(text.ends_with("--XXXboundaryXXXOther--"), "{text}");
    let text = edited(Edit::WithoutEnd).await.text();
    assert!(text.ends_with("}\r\n"), "{text}");
    let text = edited(Edit::BlankLines).await.text();
    assert!(text.starts_with("\r\n--XXX") && text.contains("}\r\n\r\n--XXX"), "{text}");
    let text = edited(Edit::WithoutLengths).await.text();
    assert!(!text.contains("Content-Length"), "{text}");
    let text = edited(Edit::LengthOff { part: 0, by: 3 }).await.text();
    assert!(text.contains("Content-Length: 48\r\n"), "{text}");
    let text = edited(Edit::BadStatusLine { part: 2 }).await.text();
    assert!(text.contains("Content-Id: c\r\n\r\nHTTP/1.1 two hundred\r\n"), "{text}");
    let text = edited(Edit::BadJson { part: 2 }).await.text();
    assert!(text.ends_with("{\"_key\":\r\n--XXXboundaryXXX--"), "{text}");
    let text = edited(Edit::HeadersReversed).await.text();
    assert!(
        text.contains("Content-Id: a\r\nContent-Type: application/x-arango-batchpart"),
        "{text}"
    );
    let header =
        Edit::Header { name: "content-type".into(), value: Some("multipart/form-data".into()) };
    assert_eq!(edited(header).await.header("content-type"), Some("multipart/form-data"));
    let header = Edit::Header { name: "content-type".into(), value: None };
    assert_eq!(edited(header).await.header("content-type"), None);
}

#[tokio::test]
async fn elements_of_an_array_are_missing_more_or_in_another_order() {
    for (edit, expected) in [
        (Edit::ElementMissing { element: 0 }, vec!["b"]),
        (Edit::ElementMore, vec!["a", "b", "b"]),
        (Edit::ElementsReversed, vec!["b", "a"]),
    ] {
        let (emulator, mut client) = start("3.12.10").await;
        let armed = emulator.fault(Rule::new(Fault::Edit { edit }).method("POST"));
        let answer = client.post(PATH, json!([{"_key": "a"}, {"_key": "b"}])).await.json();
        let found: Vec<&str> =
            answer.as_array().unwrap().iter().map(|e| e["_key"].as_str().unwrap()).collect();
        assert_eq!((found, armed.fired()), (expected, 1));
        assert_eq!(keys(&emulator, "c"), ["a", "b"]);
    }
}

#[tokio::test]
async fn rules_count_and_choose_their_requests() {
    let (emulator, mut client) = start("3.11.14").await;
    let fault =
        || Fault::Refuse { status: 503, number: 21003, message: String::new(), retry_after: None };
    let second = emulator.fault(Rule::new(fault()).method("GET").path("/a").nth(2).times(2));
    let body = emulator.fault(Rule::new(fault()).body("needle").times(0));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(client.get("/_api/document/c/a").await.status);
    }
    assert_eq!(statuses, [404, 503, 503, 404, 404]);
    assert_eq!(client.get("/_api/document/c/b").await.status, 404);
    for _ in 0..3 {
        assert_eq!(client.post(PATH, json!({"x": "needle"})).await.status, 503);
    }
    assert_eq!((second.fired(), body.fired()), (2, 3));
    emulator.clear_faults();
    assert_eq!(client.post(PATH, json!({"x": "needle"})).await.status, 202);
}

#[tokio::test]
async fn writes_of_a_key_meet_another_one_so_many_times() {
    let (emulator, mut client) = start("3.11.14").await;
    client.post(PATH, json!({"_key": "k"})).await;
    emulator.conflict("c", "k", 2);
    for _ in 0..2 {
        assert_eq!(client.patch("/_api/document/c/k", json!({"a": 1})).await.error(), (409, 1200));
    }
    assert_eq!(client.patch("/_api/document/c/k", json!({"a": 1})).await.status, 202);
}

#[tokio::test]
async fn a_server_changes_under_its_clients() {
    let (emulator, mut client) = start("3.11.14").await;
    let batch = inserts(&["a"]);
    emulator.become_version("3.12.5").unwrap();
    assert_eq!(
        client.send("POST", "/_api/batch", &[MULTIPART], batch.clone()).await.error(),
        (404, 404)
    );
    emulator.become_version("3.11.14").unwrap();
    emulator.switch(|settings| settings.batch = Some(false));
    assert_eq!(
        client.send("POST", "/_api/batch", &[MULTIPART], batch.clone()).await.error(),
        (404, 404)
    );
    emulator.switch(|settings| settings.batch = None);
    assert_eq!(client.send("POST", "/_api/batch", &[MULTIPART], batch).await.status, 200);
    emulator.switch(|settings| settings.harden = true);
    assert_eq!(client.get("/_api/version").await.json().get("version"), None);
    emulator.switch(|settings| settings.body_limit = 10);
    assert_eq!(client.post(PATH, json!({"_key": "too-long"})).await.error(), (413, 413));
}

#[tokio::test]
async fn a_server_that_stopped_refuses_and_has_its_documents_when_it_is_back() {
    let (mut emulator, mut client) = start("3.11.14").await;
    client.post(PATH, json!({"_key": "k"})).await;
    let address = emulator.address();
    emulator.stop().await;
    assert!(client.try_send("GET", "/_api/document/c/k", &[], "").await.is_err());
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    emulator.start().await.unwrap();
    assert_eq!(emulator.address(), address);
    assert_eq!(Client::new(&emulator).await.get("/_api/document/c/k").await.status, 200);
}

#[tokio::test]
async fn faults_settings_and_the_log_are_there_over_http() {
    let emulator = Emulator::builder().auth("root", "passwd").start().await.unwrap();
    let mut client = Client::new(&emulator).await;
    let rule = json!({"fault": {"kind": "refuse", "status": 503, "number": 21003}, "when": {"path": "/_api/version"}});
    assert_eq!(client.post("/_emulator/faults", json!([rule])).await.status, 200);
    assert_eq!(client.get("/_api/version").await.error(), (503, 21003));
    assert_eq!(client.get("/_emulator/faults").await.json()[0]["fired"], 1);
    assert_eq!(client.get("/_api/version").await.error(), (401, 11));
    let wrong = client.post("/_emulator/faults", json!({"fault": {"kind": "no-such-thing"}})).await;
    assert_eq!(wrong.status, 400);
    let settings =
        client.patch("/_emulator/settings", json!({"version": "3.12.10", "harden": true})).await;
    assert_eq!(
        (&settings.json()["version"], &settings.json()["harden"]),
        (&json!("3.12.10"), &json!(true))
    );
    assert_eq!(client.patch("/_emulator/settings", json!({"hardn": true})).await.status, 400);
    let seen = client.get("/_emulator/requests").await.json();
    assert_eq!(seen.as_array().unwrap().len(), 2);
    assert_eq!(seen[0]["target"], "/_api/version");
    client.delete("/_emulator/requests").await;
    client.delete("/_emulator/faults").await;
    assert_eq!(client.get("/_emulator/requests").await.json(), json!([]));
    assert_eq!(client.get("/_emulator/faults").await.json(), json!([]));
}
