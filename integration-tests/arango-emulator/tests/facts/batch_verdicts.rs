//! Which messages both generations of the parser take, and how many parts run before they refuse. By
//! `RestBatchHandler.cpp` of 3.8 and of 3.12.

use crate::support::{Client, start};

const B: &str = "--XXXboundaryXXX";
const TYPE: &str = "Content-Type: application/x-arango-batchpart";

/// The insert of a key as a part, with CRLF and the delimiter in front.
fn part(mime: &str, key: &str) -> String {
    format!("{B}\r\n{mime}\r\n\r\nPOST /_api/document/c HTTP/1.1\r\n\r\n{{\"_key\":\"{key}\"}}\r\n")
}

/// Status, and parts that ran: the documents that are there.
async fn verdict(version: &str, body: &str) -> (u16, usize) {
    let (emulator, mut client) = start(version).await;
    let answer = send(&mut client, body).await;
    if answer.0 == 400 {
        assert!(answer.1.contains("\"errorMessage\":\"invalid "), "{}", answer.1);
    }
    (answer.0, emulator.documents("_system", "c").unwrap().len())
}

async fn send(client: &mut Client, body: &str) -> (u16, String) {
    let kind = [("content-type", "multipart/form-data; boundary=XXXboundaryXXX")];
    let answer = client.send("POST", "/_api/batch", &kind, body.to_owned()).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn each_message_is_taken_or_refused_where_the_generation_does() {
    let a = part(TYPE, "a");
    let b = part(TYPE, "b");
    let end = format!("{B}--");
    let lf = |text: &str| text.replace("\r\n", "\n");
    let mixed =
        format!("{B}\n{TYPE}\n\nPOST /_api/document/c HTTP/1.1\r\n\r\n{{\"_key\":\"a\"}}\r\n{end}");
    let typed = |kind: &str| part(&format!("Content-Type: {kind}"), "a") + &end;
    // (what, message, up to 3.11, from 3.12 on): status and parts that ran.
    let cases: Vec<(&str, String, (u16, usize), (u16, usize))> = vec![
        ("plain", format!("{a}{b}{end}"), (200, 2), (200, 2)),
        ("with CRLF at the end", format!("{a}{b}{end}\r\n"), (200, 2), (200, 2)),
        ("with more at the end", format!("{a}{b}{end}more, {B}\r\n"), (200, 2), (200, 2)),
        ("CRLF first", format!("\r\n{a}{end}"), (400, 0), (400, 0)),
        ("text first", format!("hello{a}{end}"), (400, 0), (400, 0)),
        ("LF alone", lf(&format!("{a}{b}{end}")), (200, 2), (200, 2)),
        ("LF, then CRLF", mixed, (200, 1), (400, 0)),
        (
            "an id with colons",
            part(&format!("{TYPE}\r\nContent-Id: urn:uuid:1"), "a") + &end,
            (200, 1),
            (400, 0),
        ),
        (
            "a header with two colons",
            part(&format!("{TYPE}\r\nX-Foo: a:b"), "a") + &end,
            (200, 1),
            (400, 0),
        ),
        (
            "a header with one colon",
            part(&format!("{TYPE}\r\nX-Foo: ab"), "a") + &end,
            (200, 1),
            (200, 1),
        ),
        (
            "a line without a colon",
            part(&format!("{TYPE}\r\nX-Foo"), "a") + &end,
            (400, 0),
            (400, 0),
        ),
        (
            "a type with a charset",
            typed("application/x-arango-batchpart; charset=utf-8"),
            (400, 0),
            (400, 0),
        ),
        ("a type in capitals", typed("APPLICATION/X-ARANGO-BATCHPART"), (400, 0), (400, 0)),
        (
            "the name of the type in capitals",
            part("CONTENT-TYPE: application/x-arango-batchpart", "a") + &end,
            (200, 1),
            (200, 1),
        ),
        (
            "the second part without a type",
            format!("{a}{}{end}", part("Content-Id: x", "b")),
            (400, 1),
            (400, 1),
        ),
        ("no end", format!("{a}{b}{B}"), (400, 1), (400, 2)),
        ("no end, but a line", format!("{a}{b}{B}\r\n"), (400, 2), (400, 2)),
        (
            "a delimiter within a body",
            format!("{}{end}", a.replace("\"a\"}", &format!("\"a\"}} {B}x"))),
            (400, 1),
            (400, 1),
        ),
        (
            "NUL within a body",
            format!("{}{end}", a.replace("\"a\"}", "\"a\",\"x\":\"\u{0}\"}")),
            (400, 0),
            (200, 0),
        ),
        (
            "a part without an empty line",
            format!("{B}\r\n{TYPE}\r\n\r\nPOST /_api/document/c HTTP/1.1\r\n{end}"),
            (200, 1),
            (200, 1),
        ),
        ("the end alone", end.clone(), (400, 0), (400, 0)),
        ("nothing", String::new(), (400, 0), (400, 0)),
        (
            "blanks behind the delimiter",
            format!("{}{end}", a.replacen(B, &format!("{B}  "), 1)),
            (200, 1),
            (200, 1),
        ),
    ];
    for (what, body, early, late) in cases {
        for (version, expected) in
            [("3.9.6", early), ("3.11.14", early), ("3.12.0", late), ("3.12.2", late)]
        {
            assert_eq!(verdict(version, &body).await, expected, "{what}, {version}");
        }
    }
}

/// The id of the one part in an answer.
async fn echo(version: &str, id: &str) -> Option<String> {
    let (_emulator, mut client) = start(version).await;
    let body = part(&format!("{TYPE}\r\nContent-Id:{id}"), "a") + B + "--";
    let (status, text) = send(&mut client, &body).await;
    assert_eq!(status, 200, "{text}");
    text.split("\r\n").find_map(|line| line.strip_prefix("Content-Id: ")).map(str::to_owned)
}

#[tokio::test]
async fn ids_are_echoed_as_they_came_but_for_blanks() {
    for (id, early, late) in [
        (" x1", Some("x1"), Some("x1")),
        ("    a b  ", Some("a b  "), Some("a b")),
        ("", Some(""), None),
    ] {
        assert_eq!(echo("3.11.14", id).await.as_deref(), early, "{id:?}");
        assert_eq!(echo("3.12.2", id).await.as_deref(), late, "{id:?}");
    }
}
