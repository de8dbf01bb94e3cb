//! The reader, by answers of real servers and by what they vary.

use batch_core::{Error, ErrorKind, Fate};
use bytes::Bytes;

use super::*;

const BOUNDARY: &str = "b0a7c3d1e5f94a6c8d2e";

/// Composed from the layout that arangod's `RestBatchHandler` writes: an insertion, a HEAD and an
/// insertion of the same key.
const GOLDEN: &str = concat!(
    "--b0a7c3d1e5f94a6c8d2e\r\n",
    "Content-Type: application/x-arango-batchpart\r\n",
    "Content-Id: 0\r\n",
    "\r\n",
    "HTTP/1.1 202 Accepted\r\n",
    "Server: \r\n",
    "Etag: \"_l6zhVHK---\"\r\n",
    "Location: /_db/_system/_api/document/c/a\r\n",
    "Connection: Close \r\n",
    "Content-Type: application/json; charset=utf-8\r\n",
    "Content-Length: 45\r\n",
    "\r\n",
    "{\"_id\":\"c/a\",\"_key\":\"a\",\"_rev\":\"_l6zhVHK---\"}\r\n",
    "--b0a7c3d1e5f94a6c8d2e\r\n",
    "Content-Type: application/x-arango-batchpart\r\n",
    "Content-Id: 1\r\n",
    "\r\n",
    "HTTP/1.1 200 OK\r\n",
    "Server: \r\n",
    "Etag: \"_l6zhVHK---\"\r\n",
    "Connection: Close \r\n",
    "Content-Type: application/json; charset=utf-8\r\n",
    "Content-Length: 45\r\n",
    "\r\n",
    "\r\n",
    "--b0a7c3d1e5f94a6c8d2e\r\n",
    "Content-Type: application/x-arango-batchpart\r\n",
    "Content-Id: 2\r\n",
    "\r\n",
    "HTTP/1.1 409 Conflict\r\n",
    "Server: \r\n",
    "Connection: Close \r\n",
    "Content-Type: application/json; charset=utf-8\r\n",
    "Content-Length: 152\r\n",
    "\r\n",
    "{\"code\":409,\"error\":true,\"errorMessage\":\"unique constraint violated - in index primary",
    " of type primary over '_key'; conflicting key: a\",\"errorNum\":1210}\r\n",
    "--b0a7c3d1e5f94a6c8d2e--",
);

/// What 3.10 to 3.12.2 answered, to the byte, to parts without an id.
const RECORDED: &str = concat!(
    "--SomeBoundaryValue\r\n",
    "Content-Type: application/x-arango-batchpart\r\n",
    "\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "Server: \r\n",
    "Connection: Close \r\n",
    "Content-Type: application/json; charset=utf-8\r\n",
    "Content-Length: 87\r\n",
    "\r\n",
    "{\"code\":404,\"error\":true,\"errorMessage\":\"collection or view not found\",\"errorNum\":1203}\r\n",
    "--SomeBoundaryValue\r\n",
    "Content-Type: application/x-arango-batchpart\r\n",
    "\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "Server: \r\n",
    "Connection: Close \r\n",
    "Content-Type: application/json; charset=utf-8\r\n",
    "Content-Length: 101\r\n",
    "\r\n",
    "{\"code\":404,\"error\":true,\"errorMessage\":\"unknown path '_api/collection/nonexistent2'\",\"errorNum\":404}\r\n",
    "--SomeBoundaryValue--",
);

type Visits = Vec<(usize, Result<Part, Error>)>;

fn visits(text: &str, boundary: &str, parts: usize) -> (Visits, Result<(), Error>) {
    let (body, mut visits) = (Bytes::copy_from_slice(text.as_bytes()), Vec::new());
    let outcome = read(&body, boundary, parts, &mut |place, part| visits.push((place, part)));
    (visits, outcome)
}

/// Place and status of each visit; 0 for a part that cannot be read.
fn statuses(visits: &Visits) -> Vec<(usize, u16)> {
    let status = |part: &Result<Part, Error>| part.as_ref().map_or(0, |part| part.status);
    visits.iter().map(|(place, part)| (*place, status(part))).collect()
}

/// An answer of parts: id, status line and headers, and what follows them.
fn answer(parts: &[(&str, &str, &str)]) -> String {
    let mut text = String::new();
    for (id, head, rest) in parts {
        text.push_str("--b0a7c3d1e5f94a6c8d2e\r\nContent-Type: application/x-arango-batchpart\r\n");
        if !id.is_empty() {
            text.push_str(&format!("Content-Id: {id}\r\n"));
        }
        text.push_str(&format!("\r\n{head}\r\n\r\n{rest}\r\n"));
    }
    text.push_str("--b0a7c3d1e5f94a6c8d2e--");
    text
}

const FINE: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 2";

#[test]
fn the_golden_answer_is_read_to_the_byte() {
    assert_eq!(GOLDEN.len(), 936 - "j1j2j3".len() + "012".len());
    let (visits, outcome) = visits(GOLDEN, BOUNDARY, 3);
    outcome.unwrap();
    assert_eq!(statuses(&visits), [(0, 202), (1, 200), (2, 409)]);
    let parts: Vec<_> = visits.into_iter().map(|(_, part)| part.unwrap()).collect();
    assert_eq!(parts[0].body, r#"{"_id":"c/a","_key":"a","_rev":"_l6zhVHK---"}"#);
    assert_eq!(parts[0].etag.as_deref(), Some(br#""_l6zhVHK---""#.as_slice()));
    assert_eq!((parts[1].body.len(), parts[2].body.len()), (0, 152));
    assert_eq!(parts[1].etag, parts[0].etag);
    assert_eq!(parts[2].etag, None);
}

#[test]
fn a_recorded_answer_without_ids_is_placed_by_its_order() {
    assert_eq!(RECORDED.len(), 598);
    let (visits, outcome) = visits(RECORDED, "SomeBoundaryValue", 2);
    outcome.unwrap();
    assert_eq!(statuses(&visits), [(0, 404), (1, 404)]);
    assert!(visits[1].1.as_ref().unwrap().body.ends_with(b"\"errorNum\":404}"));
}

#[test]
fn what_servers_vary_is_read_as_the_same() {
    let order: String = {
        let parts: Vec<_> = GOLDEN.split_inclusive("\r\n--b0a7c3d1e5f94a6c8d2e").collect();
        let inner = |part: &str| part.trim_end_matches("--b0a7c3d1e5f94a6c8d2e").to_owned();
        let first = inner(parts[0]);
        let first = first.trim_start_matches("--b0a7c3d1e5f94a6c8d2e");
        let marker = "--b0a7c3d1e5f94a6c8d2e";
        format!("{marker}{}{marker}{}{marker}{first}{marker}--", inner(parts[2]), inner(parts[1]))
    };
    for (what, text) in [
        ("LF only", GOLDEN.replace("\r\n", "\n")),
        ("other case", GOLDEN.replace("Content-", "content-").replace("Etag", "ETAG")),
        ("blank lines before a status", GOLDEN.replace("HTTP/1.1", "\r\n\r\nHTTP/1.1")),
        ("blank lines behind bodies", GOLDEN.replace("\r\n--", "\r\n\r\n\r\n--")),
        ("a blank line before it all", format!("\r\n{GOLDEN}")),
        ("a line end behind it all", format!("{GOLDEN}\r\n")),
        ("spaces behind a delimiter", GOLDEN.replace("8d2e\r\n", "8d2e \t\r\n")),
        ("no phrase", GOLDEN.replace(" Accepted", "").replace(" OK", "").replace(" Conflict", "")),
        ("no Server, no Connection", {
            GOLDEN.replace("Server: \r\n", "").replace("Connection: Close \r\n", "")
        }),
        ("another order", order),
    ] {
        let (mut visits, outcome) = visits(&text, BOUNDARY, 3);
        assert!(outcome.is_ok(), "{what}: {outcome:?}");
        visits.sort_by_key(|(place, _)| *place);
        assert_eq!(statuses(&visits), [(0, 202), (1, 200), (2, 409)], "{what}");
        let body = |place: usize| visits[place].1.as_ref().unwrap().body.len();
        assert_eq!((body(0), body(1), body(2)), (45, 0, 152), "{what}");
    }
}

#[test]
fn parts_of_unknown_place_make_no_answer() {
    for (what, ids, parts, placed) in [
        ("some have an id", ["0", "", "2"], 3, vec![(0, 202), (2, 202)]),
        ("the last has one", ["", "", "2"], 3, vec![(2, 202)]),
        ("fewer than were sent", ["", "", ""], 4, vec![]),
        ("more than were sent", ["", "", ""], 2, vec![]),
    ] {
        let text = answer(&ids.map(|id| (id, FINE, "{}")));
        let (visits, outcome) = visits(&text, BOUNDARY, parts);
        assert_eq!(statuses(&visits), placed, "{what}");
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Protocol, Fate::Unknown), "{what}");
    }
}

#[test]
fn surplus_parts_are_handed_over_to_be_told() {
    let ids = ["0", "0", "7", "j1", "01", "18446744073709551616"];
    let (visits, outcome) = visits(&answer(&ids.map(|id| (id, FINE, "{}"))), BOUNDARY, 1);
    outcome.unwrap();
    let places: Vec<_> = visits.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 0, 7, usize::MAX, usize::MAX, usize::MAX]);
}

#[test]
fn one_part_that_cannot_be_read_leaves_its_neighbours_alone() {
    for (what, head, rest) in [
        ("a garbage status", "HTPP 20", "{}"),
        ("a garbage status with a length", "what?\r\nContent-Length: 2", "{}"),
        ("no class of status", "HTTP/1.1 002 A\r\nContent-Length: 2", "{}"),
        ("a status of words", "HTTP/1.1 fine\r\nContent-Length: 2", "{}"),
        ("too long a length", "HTTP/1.1 202 A\r\nContent-Length: 3", "{}"),
        ("far too long a length", "HTTP/1.1 202 A\r\nContent-Length: 18446744073709551615", "{}"),
        ("too short a length", "HTTP/1.1 202 A\r\nContent-Length: 1", "{}"),
        ("the length of the next part, too", "HTTP/1.1 202 A\r\nContent-Length: 150", "{}"),
        ("a length of words", "HTTP/1.1 202 A\r\nContent-Length: two", "{}"),
        ("a signed length", "HTTP/1.1 202 A\r\nContent-Length: +2", "{}"),
        ("two lengths", "HTTP/1.1 202 A\r\nContent-Length: 2\r\nContent-Length: 1", "{}"),
        ("no length", "HTTP/1.1 202 A", "{}"),
        ("HTML", "<html>", "</html>"),
    ] {
        let text = answer(&[("0", FINE, "{}"), ("1", head, rest), ("2", FINE, "[]")]);
        let (visits, outcome) = visits(&text, BOUNDARY, 3);
        assert_eq!(statuses(&visits), [(0, 202), (1, 0), (2, 202)], "{what}");
        assert!(outcome.is_ok(), "{what}: {outcome:?}");
        let error = visits[1].1.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Protocol, Fate::Unknown), "{what}");
        assert!(!error.is_transient(), "{what}");
    }
}

#[test]
fn the_text_of_a_delimiter_within_a_document_is_none() {
    let fake = concat!(
        "{\"a\":\"--b0a7c3d1e5f94a6c8d2e\",\"b\":\"\n--b0a7c3d1e5f94a6c8d2e\r\nContent-Id: 1\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}\r\n--b0a7c3d1e5f94a6c8d2e--\"}",
    );
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", fake.len());
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 2";
    let (visits, outcome) =
        visits(&answer(&[("0", &head, fake), ("1", missing, "{}")]), BOUNDARY, 2);
    outcome.unwrap();
    assert_eq!(statuses(&visits), [(0, 200), (1, 404)]);
    assert_eq!(visits[0].1.as_ref().unwrap().body, fake);
}

#[test]
fn a_longer_word_that_begins_like_a_delimiter_is_none() {
    let longer = "HTTP/1.1 202 Accepted\r\nContent-Length: 2";
    let text = answer(&[("0", longer, "{}")]).replace("8d2e--", "8d2emore\r\n");
    let (visits, outcome) = visits(&text, BOUNDARY, 1);
    assert_eq!(statuses(&visits), [(0, 0)]);
    assert!(outcome.is_err());
}

#[test]
fn answers_without_a_body_have_none() {
    let next = answer(&[("1", FINE, "{}")]).find("\r\n--b0a7").unwrap() + 2;
    // As long as the part behind it, so that a delimiter follows there, too.
    let as_long = format!("HTTP/1.1 200 OK\r\nContent-Length: {next}");
    for head in [
        "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 0",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 200 OK\r\nContent-Length: 45",
        &as_long,
    ] {
        let text = answer(&[("0", head, ""), ("1", FINE, "{}")]);
        let (visits, outcome) = visits(&text, BOUNDARY, 2);
        outcome.unwrap();
        assert_eq!(visits.len(), 2, "{head}");
        assert!(visits[0].1.as_ref().unwrap().body.is_empty(), "{head}");
    }
}

#[test]
fn wherever_an_answer_breaks_off_what_was_whole_before_stands() {
    // Where the body of each part and the line behind it have ended; the HEAD needs its delimiter.
    let ends: Vec<_> = GOLDEN.match_indices("\r\n--b0a7").map(|(at, _)| at + 2).collect();
    let stands = [ends[0], ends[1] + BOUNDARY.len() + 4, ends[2]];
    for length in 0..GOLDEN.len() {
        let (visits, outcome) = visits(&GOLDEN[..length], BOUNDARY, 3);
        for (place, part) in &visits {
            assert_eq!(part.is_ok(), stands[*place] <= length, "part {place} of {length} bytes");
        }
        let fine = visits.iter().filter(|(_, part)| part.is_ok()).count();
        assert_eq!(fine, stands.iter().filter(|end| **end <= length).count(), "{length} bytes");
        let broken = visits.iter().filter_map(|(_, part)| part.as_ref().err());
        assert!(broken.into_iter().all(Error::is_transient), "{length} bytes");
        let error = outcome.expect_err("an answer without an end is not whole");
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Protocol, Fate::Unknown));
        assert!(error.is_transient(), "{length} bytes: {error}");
    }
}

#[test]
fn a_body_that_lost_its_end_is_not_filled_up_with_the_delimiter_before_a_cut() {
    let whole = answer(&[("0", FINE, "{}")]);
    let body = whole.find("{}").unwrap();
    let delimiter = whole[body + 2..].strip_suffix("--").unwrap();
    let text = format!("{}{{{delimiter}", &whole[..body]);
    // What is left and the delimiter behind it are as long as the body is said to be.
    for end in ["", "\r\n", "\r\n--b0"] {
        let length = format!("Content-Length: {}", 1 + delimiter.len());
        let text = text.replace("Content-Length: 2", &length) + end;
        let (visits, outcome) = visits(&text, BOUNDARY, 1);
        assert_eq!(statuses(&visits), [(0, 0)], "{text}");
        assert!(outcome.is_err());
    }
}

#[test]
fn fewer_parts_than_requests_are_told() {
    let (visits, outcome) = visits(&answer(&[("1", FINE, "{}")]), BOUNDARY, 2);
    assert_eq!(statuses(&visits), [(1, 202)]);
    let error = outcome.unwrap_err();
    assert!(error.message().contains("1 parts for 2 requests"), "{error}");
    assert_eq!(error.fate(), Fate::Unknown);
}

#[test]
fn what_is_no_multipart_answer_is_told_as_that() {
    for text in ["", "\r\n", "<html></html>", "{\"error\":true}", &GOLDEN.replace("8d2e", "8d2f")] {
        let (visits, outcome) = visits(text, BOUNDARY, 3);
        assert!(visits.is_empty(), "{text}");
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Protocol, Fate::Unknown), "{text}");
    }
}

#[test]
fn errors_among_elements_are_handed_on() {
    let head = "HTTP/1.1 202 A\r\nX-Arango-Error-Codes: {\"1202\":2} \r\nContent-Length: 2";
    let (visits, _) = visits(&answer(&[("0", head, "[]")]), BOUNDARY, 1);
    let codes = visits[0].1.as_ref().unwrap().error_codes.clone();
    assert_eq!(codes.as_deref(), Some(br#"{"1202":2}"#.as_slice()));
}
