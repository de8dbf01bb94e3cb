//! The table, row by row.

use std::error::Error as StdError;

use batch_core::Fate;

use super::{
    Scope::{Begin, Call, Commit, Cursor, Envelope, Single},
    *,
};

/// A row's name in short.
fn says(error: &Error) -> Says {
    match (error.fate(), error.is_transient()) {
        (Fate::NotApplied, false) => Says::Refused,
        (Fate::NotApplied, true) => Says::Later,
        (Fate::Accepted, _) => panic!("ArangoDB promises nothing: {error}"),
        (Fate::Unknown, false) => Says::Unknown,
        (Fate::Unknown, true) => Says::UnknownLater,
    }
}

fn answered<'a>(scope: Scope, status: u16, body: &'a str) -> Answered<'a> {
    let body = body.as_bytes();
    Answered { status, body, content_type: None, retry_after: None, scope, has_revision: false }
}

fn body(status: u16, number: u32, message: &str) -> String {
    format!(r#"{{"code":{status},"error":true,"errorMessage":"{message}","errorNum":{number}}}"#)
}

const EVERY: &[Scope] = &[Single, Envelope, Call, Begin, Commit, Cursor];
const ALONE: &[Scope] = &[Single, Call, Cursor, Begin];
const OTHERS: &[Scope] = &[Single, Call, Cursor, Begin];
const NOTHING_STAYS: &[Scope] = &[Begin];

/// Status, number, scopes, kind, and what the row says. Each row ends what it says of its scopes.
#[expect(clippy::too_many_lines, reason = "one table, one row a line")]
fn numbered() -> Vec<(u16, u32, &'static [Scope], ErrorKind, Says)> {
    use ErrorKind as K;
    use Says::{Later, Refused, Unknown, UnknownLater};
    vec![
        (500, 4, &[Single, Call, Cursor, Commit, Envelope], K::Store, Unknown),
        (500, 4, NOTHING_STAYS, K::Store, Refused),
        (400, 10, ALONE, K::InvalidOperation, Refused),
        (401, 11, EVERY, K::Unauthorized, Refused),
        (401, 401, EVERY, K::Unauthorized, Refused),
        (403, 11, ALONE, K::Unauthorized, Refused),
        (403, 11, &[Commit], K::Unauthorized, Refused),
        (403, 11, &[Envelope], K::Store, Unknown),
        (500, 18, ALONE, K::Conflict, Later),
        (500, 28, ALONE, K::Conflict, Later),
        (500, 29, ALONE, K::Conflict, Later),
        (500, 28, &[Commit], K::Conflict, UnknownLater),
        (503, 30, &[Single, Cursor, Begin], K::Overloaded, Later),
        (503, 30, &[Call, Commit, Envelope], K::Overloaded, UnknownLater),
        (500, 32, ALONE, K::TooLarge, Refused),
        (500, 32, &[Commit], K::TooLarge, Unknown),
        (400, 400, ALONE, K::InvalidOperation, Refused),
        (400, 400, &[Envelope], K::Protocol, Unknown),
        (413, 413, EVERY, K::TooLarge, Refused),
        (414, 414, EVERY, K::InvalidOperation, Refused),
        (431, 431, EVERY, K::InvalidOperation, Refused),
        (400, 400, &[Commit], K::RolledBack, Refused),
        (404, 404, ALONE, K::Unsupported, Refused),
        (404, 404, &[Envelope], K::Stale, Refused),
        (404, 404, &[Commit], K::Unsupported, Unknown),
        (405, 405, EVERY, K::Unsupported, Refused),
        (412, 412, ALONE, K::ConditionFailed, Refused),
        (503, 503, &[Single, Call, Cursor, Begin, Commit], K::Overloaded, Later),
        (503, 503, &[Envelope], K::Overloaded, UnknownLater),
        (400, 600, ALONE, K::InvalidOperation, Refused),
        (400, 601, ALONE, K::InvalidOperation, Refused),
        (403, 1004, ALONE, K::Store, Refused),
        (503, 1004, &[Single, Cursor, Begin], K::Store, Later),
        (503, 1004, &[Call, Commit, Envelope], K::Store, UnknownLater),
        (409, 1200, ALONE, K::Conflict, Later),
        (409, 1200, &[Commit], K::Conflict, UnknownLater),
        (412, 1200, ALONE, K::ConditionFailed, Refused),
        (404, 1202, ALONE, K::NotFound, Refused),
        (404, 1203, ALONE, K::NotFound, Refused),
        (404, 1203, &[Envelope], K::NotFound, Refused),
        (400, 1204, ALONE, K::InvalidOperation, Refused),
        (400, 1205, ALONE, K::InvalidKey, Refused),
        (409, 1207, ALONE, K::AlreadyExists, Refused),
        (400, 1208, ALONE, K::InvalidOperation, Refused),
        (409, 1210, ALONE, K::AlreadyExists, Refused),
        (409, 1210, &[Envelope], K::Store, Unknown),
        (409, 1210, &[Commit], K::AlreadyExists, Unknown),
        (400, 1216, ALONE, K::TooLarge, Refused),
        (400, 1221, ALONE, K::InvalidKey, Refused),
        (400, 1222, ALONE, K::InvalidKey, Refused),
        (500, 1225, ALONE, K::Store, Refused),
        (400, 1226, ALONE, K::InvalidKey, Refused),
        (400, 1227, ALONE, K::InvalidOperation, Refused),
        (404, 1228, EVERY, K::NotFound, Refused),
        (400, 1233, ALONE, K::InvalidOperation, Refused),
        (503, 1429, &[Single, Cursor, Begin], K::Connection, Later),
        (403, 1429, &[Single, Call], K::Connection, Later),
        (503, 1429, &[Call, Commit, Envelope], K::Connection, UnknownLater),
        (500, 1457, &[Single, Call, Cursor, Commit], K::Timeout, UnknownLater),
        (500, 1464, &[Single, Call, Cursor, Commit], K::Timeout, UnknownLater),
        (500, 1457, NOTHING_STAYS, K::Timeout, Later),
        (400, 1466, ALONE, K::InvalidOperation, Refused),
        (400, 1468, ALONE, K::InvalidOperation, Refused),
        (400, 1469, ALONE, K::InvalidOperation, Refused),
        (503, 1478, &[Single, Call, Cursor, Commit, Envelope], K::Connection, UnknownLater),
        (503, 1491, &[Single, Call], K::Connection, UnknownLater),
        (503, 1495, &[Single, Call], K::Connection, UnknownLater),
        (503, 1496, &[Single, Call], K::Connection, UnknownLater),
        (410, 1500, ALONE, K::Store, Refused),
        (400, 1501, ALONE, K::InvalidOperation, Refused),
        (400, 1502, ALONE, K::InvalidOperation, Refused),
        (400, 1551, ALONE, K::InvalidOperation, Refused),
        (400, 1552, ALONE, K::InvalidOperation, Refused),
        (400, 1553, ALONE, K::InvalidOperation, Refused),
        (400, 1579, ALONE, K::InvalidOperation, Refused),
        (404, 1591, &[Cursor], K::NotFound, Unknown),
        (404, 1600, &[Cursor], K::NotFound, Unknown),
        (409, 1601, &[Cursor], K::Conflict, UnknownLater),
        (400, 1620, ALONE, K::InvalidOperation, Refused),
        (500, 1650, ALONE, K::Store, Refused),
        (400, 1651, ALONE, K::InvalidOperation, Refused),
        (400, 1652, ALONE, K::InvalidOperation, Refused),
        (400, 1653, ALONE, K::InvalidOperation, Refused),
        (400, 1653, &[Commit], K::RolledBack, Refused),
        (410, 1654, &[Single, Call, Cursor, Begin, Commit], K::RolledBack, Later),
        (404, 1655, &[Single, Call, Cursor, Begin], K::RolledBack, Later),
        // Perhaps this commit came twice, and the first was forgotten by then.
        (404, 1655, &[Commit], K::RolledBack, UnknownLater),
        (503, 21003, &[Single, Call, Cursor, Begin, Commit], K::Overloaded, Later),
        (503, 21003, &[Envelope], K::Overloaded, UnknownLater),
        (412, 21004, EVERY, K::Overloaded, Later),
        // Not in the table.
        (400, 1540, OTHERS, K::InvalidOperation, Refused),
        (403, 9999, OTHERS, K::Unauthorized, Refused),
        (404, 9999, OTHERS, K::NotFound, Refused),
        (409, 9999, OTHERS, K::Conflict, Refused),
        (412, 9999, OTHERS, K::ConditionFailed, Refused),
        (410, 9999, &[Single, Call, Cursor, Commit, Envelope], K::Store, Unknown),
        (500, 9999, &[Single, Call, Cursor, Commit, Envelope], K::Store, Unknown),
        (503, 9999, &[Single, Cursor], K::Store, Unknown),
        (503, 9999, &[Envelope], K::Overloaded, UnknownLater),
        (404, 9999, &[Envelope], K::Store, Unknown),
        // A good status with an error in it, and a redirect.
        (200, 1210, &[Single, Call, Cursor, Commit, Envelope], K::Protocol, Unknown),
    ]
}

#[test]
fn every_number_has_the_verdict_of_its_row() {
    for (status, number, scopes, kind, expected) in numbered() {
        for scope in scopes {
            let body = body(status, number, "the server's words");
            let error = refused(&answered(*scope, status, &body));
            let found = (error.kind(), says(&error));
            assert_eq!(found, (kind, expected), "{status}/{number} {scope:?}: {error}");
            let details: Vec<_> =
                error.details().map(|(name, value)| (name, value.clone())).collect();
            assert_eq!(details, [("http_status", status.into()), ("error_num", number.into())]);
            assert!(error.message().contains("the server's words"), "{error}");
            let source = error.source().and_then(|source| source.downcast_ref::<ServerError>());
            assert_eq!(
                source.map(|source| (source.status, source.number)),
                Some((status, Some(number)))
            );
        }
    }
}

/// Status, body, scopes, kind, and what the row says.
fn unnumbered() -> Vec<(u16, &'static str, &'static [Scope], ErrorKind, Says)> {
    use ErrorKind as K;
    use Says::{Later, Refused, Unknown, UnknownLater};
    const HTML: &str = "<html><h1>no</h1></html>";
    const DOUBTED: &[Scope] = &[Single, Call, Cursor, Commit, Envelope];
    vec![
        (200, "", DOUBTED, K::Protocol, Unknown),
        (202, "{\"_key\"", DOUBTED, K::Protocol, Unknown),
        (201, HTML, DOUBTED, K::Protocol, Unknown),
        (201, HTML, NOTHING_STAYS, K::Protocol, Refused),
        (301, "", DOUBTED, K::Protocol, Unknown),
        (302, HTML, DOUBTED, K::Protocol, Unknown),
        (307, "", NOTHING_STAYS, K::Protocol, Refused),
        (400, HTML, DOUBTED, K::Protocol, Unknown),
        (400, "", DOUBTED, K::Protocol, Unknown),
        (401, "", EVERY, K::Unauthorized, Refused),
        (401, HTML, EVERY, K::Unauthorized, Refused),
        (403, HTML, DOUBTED, K::Protocol, Unknown),
        (403, "", &[Single, Call, Cursor], K::Unauthorized, Refused),
        (403, "", &[Commit, Envelope], K::Unauthorized, Unknown),
        // HEAD
        (404, "", &[Single], K::NotFound, Refused),
        (404, "", &[Envelope], K::Stale, Refused),
        (404, "", &[Commit], K::NotFound, Unknown),
        (404, HTML, DOUBTED, K::Protocol, Unknown),
        (405, "", &[Single, Call, Cursor, Envelope], K::Unsupported, Refused),
        (407, HTML, &[Single, Call, Envelope], K::Unauthorized, Refused),
        (408, HTML, DOUBTED, K::Timeout, UnknownLater),
        (409, "", DOUBTED, K::Protocol, Unknown),
        // No condition was sent.
        (412, "", &[Single, Call, Cursor, Commit, Envelope], K::Protocol, Unknown),
        (413, "", EVERY, K::TooLarge, Refused),
        (413, HTML, EVERY, K::TooLarge, Refused),
        (414, HTML, EVERY, K::InvalidOperation, Refused),
        (431, HTML, EVERY, K::InvalidOperation, Refused),
        (429, "", DOUBTED, K::Overloaded, UnknownLater),
        (500, HTML, DOUBTED, K::Protocol, Unknown),
        (500, "", DOUBTED, K::Protocol, Unknown),
        (502, HTML, DOUBTED, K::Connection, UnknownLater),
        (503, HTML, DOUBTED, K::Overloaded, UnknownLater),
        (503, "", NOTHING_STAYS, K::Overloaded, Later),
        (504, HTML, DOUBTED, K::Timeout, UnknownLater),
        (100, "", DOUBTED, K::Protocol, Unknown),
        (599, "", DOUBTED, K::Protocol, Unknown),
        // Something else that is JSON.
        (404, "{\"message\":\"no Route matched\"}", DOUBTED, K::Protocol, Unknown),
        (409, "{\"error\":false,\"errorNum\":1210}", DOUBTED, K::Protocol, Unknown),
        (409, "{\"error\":true,\"errorNum\":\"1210\"}", DOUBTED, K::Protocol, Unknown),
        (409, "[1210]", DOUBTED, K::Protocol, Unknown),
    ]
}

#[test]
fn an_element_has_the_verdict_of_its_number_or_none_that_is_known() {
    for (number, kind, expected) in [
        (1210, ErrorKind::AlreadyExists, Says::Refused),
        (1202, ErrorKind::NotFound, Says::Refused),
        (28, ErrorKind::Conflict, Says::Later),
        (4, ErrorKind::Store, Says::Unknown),
        (1540, ErrorKind::Store, Says::Unknown),
    ] {
        let error = element(number, "the server's words", false);
        assert_eq!((error.kind(), says(&error)), (kind, expected), "{number}: {error}");
    }
}

#[test]
fn every_answer_without_a_number_has_the_verdict_of_its_row() {
    for (status, body, scopes, kind, expected) in unnumbered() {
        for scope in scopes {
            let error = refused(&answered(*scope, status, body));
            let found = (error.kind(), says(&error));
            assert_eq!(found, (kind, expected), "{status} {body} {scope:?}: {error}");
            let (name, value) = error.details().next().expect("the status is kept");
            assert_eq!((name, value), ("http_status", &status.into()));
        }
    }
}

#[test]
fn recorded_errors_are_read_whatever_the_order_of_their_attributes() {
    use ErrorKind as K;
    use Says::{Later, Refused, Unknown};
    for (scope, status, body, kind, expected) in [
        (
            Single,
            412,
            r#"{"_id":"products/1","_key":"1","_rev":"_l6zhVHK---","code":412,"error":true,"errorMessage":"conflict, _rev values do not match","errorNum":1200}"#,
            K::ConditionFailed,
            Refused,
        ),
        (
            Envelope,
            401,
            r#"{"error":true,"errorNum":11,"errorMessage":"not authorized to execute this request","code":401}"#,
            K::Unauthorized,
            Refused,
        ),
        (
            Envelope,
            404,
            r#"{"error":true,"code":404,"errorNum":404,"errorMessage":"unknown path '/_api/batch'"}"#,
            K::Stale,
            Refused,
        ),
        (
            Call,
            404,
            r#"{"code":404,"error":true,"errorMessage":"collection or view not found: products","errorNum":1203}"#,
            K::NotFound,
            Refused,
        ),
        (
            Begin,
            409,
            r#"{"code":409,"error":true,"errorMessage":"write-write conflict","errorNum":1200}"#,
            K::Conflict,
            Later,
        ),
        (
            Cursor,
            500,
            r#"{"code":500,"error":true,"errorMessage":"AQL: query would use more memory than allowed (while executing)","errorNum":32}"#,
            K::TooLarge,
            Refused,
        ),
        (
            Cursor,
            404,
            r#"{"code":404,"error":true,"errorMessage":"cursor not found","errorNum":1600}"#,
            K::NotFound,
            Unknown,
        ),
    ] {
        let error = refused(&answered(scope, status, body));
        assert_eq!((error.kind(), says(&error)), (kind, expected), "{error}");
    }
}

#[test]
fn an_envelope_without_parts_proves_that_none_was_run() {
    let words = "invalid content-type or boundary received";
    let error = refused(&answered(Envelope, 400, &body(400, 400, words)));
    assert_eq!((error.kind(), says(&error)), (ErrorKind::Protocol, Says::Refused));
    let words = "invalid multipart message received";
    let error = refused(&answered(Envelope, 400, &body(400, 400, words)));
    assert_eq!((error.kind(), says(&error)), (ErrorKind::Protocol, Says::Unknown));
}

#[test]
fn elements_have_the_verdicts_of_single_documents() {
    use ErrorKind as K;
    use Says::{Later, Refused, Unknown, UnknownLater};
    for (number, has_revision, status, kind, expected) in [
        (1210, false, 409, K::AlreadyExists, Refused),
        (1200, false, 409, K::Conflict, Later),
        (1200, true, 412, K::ConditionFailed, Refused),
        (1202, false, 404, K::NotFound, Refused),
        (1221, false, 400, K::InvalidKey, Refused),
        (1222, false, 400, K::InvalidKey, Refused),
        (1226, false, 400, K::InvalidKey, Refused),
        (1227, false, 400, K::InvalidOperation, Refused),
        (1233, false, 400, K::InvalidOperation, Refused),
        (1620, false, 400, K::InvalidOperation, Refused),
        (28, false, 500, K::Conflict, Later),
        (1429, false, 503, K::Connection, Later),
        (1478, false, 503, K::Connection, UnknownLater),
        (1457, false, 500, K::Timeout, UnknownLater),
        (4, false, 500, K::Store, Unknown),
        (9999, false, 500, K::Store, Unknown),
        (0, false, 500, K::Store, Unknown),
    ] {
        let error = element(number, "words", has_revision);
        assert_eq!((error.kind(), says(&error)), (kind, expected), "{number}: {error}");
        let details: Vec<_> = error.details().map(|(_, value)| value.clone()).collect();
        assert_eq!(details, [serde_json::json!(status), serde_json::json!(number)]);
    }
}

#[test]
fn the_status_of_each_number_is_the_one_that_its_rows_came_with() {
    for (status, number, scopes, ..) in numbered() {
        let other = matches!((status, number), (401, 11) | (503, 1004) | (403, 1429) | (200, _));
        if scopes.contains(&Single) && !other && number::verdict(number, status).is_some() {
            let found = number::status(number, status == 412);
            assert_eq!(found, status, "{number}");
        }
    }
}

#[test]
fn messages_say_what_the_server_said_and_what_to_do() {
    let words = "unique constraint violated - in index primary";
    let error = refused(&answered(Single, 409, &body(409, 1210, words)));
    assert_eq!(
        error.message(),
        "the key, or a value that must be unique, is taken (error 1210: unique constraint violated - in index primary); choose another, or use `put`"
    );
    let html = Answered { content_type: Some("text/html"), ..answered(Single, 500, "<html>") };
    assert_eq!(
        refused(&html).message(),
        "the answer is not one of ArangoDB's: it is of type `text/html` (HTTP status 500); read the documents to know whether they were written"
    );
    for number in [21003, 1429] {
        let error = refused(&answered(Single, 503, &body(503, number, "")));
        assert!(error.message().ends_with("; nothing was written, so try again later"), "{error}");
    }
    let long = refused(&answered(Single, 400, &body(400, 600, &"wo rd\\n ".repeat(10_000))));
    assert!(long.message().len() < 700 && !long.message().contains('\n'));
}

#[test]
fn a_false_condition_needs_no_body() {
    let head = Answered { has_revision: true, ..answered(Single, 412, "") };
    let error = refused(&head);
    assert_eq!((error.kind(), says(&error)), (ErrorKind::ConditionFailed, Says::Refused));
}

#[test]
fn the_time_to_wait_is_kept() {
    let body = body(503, 21003, "queue full");
    let after = Some(Duration::from_secs(2));
    let error = refused(&Answered { retry_after: after, ..answered(Single, 503, &body) });
    let details: Vec<_> = error.details().collect();
    assert_eq!(details.last(), Some(&("retry_after_ms", &2000.into())));
}
