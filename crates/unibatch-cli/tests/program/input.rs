//! NDJSON in: what is fine, what is refused, and where.

use std::fs::File;

use serde_json::json;

use crate::{Place, each};

const PUT: &str = r#"{"op":"put","collection":"s","key":"a","doc":{"n":1}}"#;
const GET: &str = r#"{"op":"get","collection":"s","key":"a"}"#;

#[test]
fn line_ends_byte_order_mark_blank_lines_and_a_missing_last_line_end_are_fine() {
    for text in [
        format!("{PUT}\n{GET}\n"),
        format!("{PUT}\n{GET}"),
        format!("{PUT}\r\n{GET}\r\n"),
        format!("\u{feff}{PUT}\n{GET}\n"),
        format!("\u{feff}\r\n\r\n{PUT}\r\n \t \r\n{GET}"),
        format!("  {PUT}  \n\t{GET}\n\n\n"),
    ] {
        let place = Place::new();
        place.write("f.ndjson", &text);
        for (args, stdin) in [
            (["run", "--output", "json", "f.ndjson"], ""),
            (["run", "--output", "json", "-"], &text),
        ] {
            let printed = place.run_with(&args, stdin.as_bytes()).is(0).json();
            assert_eq!(each(&printed, "status"), ["applied", "applied"], "{text:?}");
            assert_eq!(printed["jobs"][1]["outcome"]["n"], 1, "{text:?}");
        }
    }
}

#[test]
fn stdin_may_be_a_file_and_its_mistakes_are_named_so() {
    let place = Place::new();
    let path = place.write("f.ndjson", format!("{PUT}\n{{\"op\":\"get\"}}\n"));
    let mut command = place.command(&["run", "-"]);
    command.stdin(File::open(path).unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.starts_with("error: <stdin>:2:1: "), "{err}");
}

#[test]
fn a_bad_line_is_told_with_file_line_and_column_and_nothing_is_sent() {
    let deep = format!(
        r#"{{"op":"put","collection":"s","key":"a","doc":{{"a":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for (line, column, expected) in [
        ("{", 1, "EOF"),
        ("students", 1, "expected value"),
        ("[]", 1, "no array around them"),
        ("{} {}", 2, "missing field `op`"),
        (&format!("{PUT} {GET}"), 55, "trailing characters"),
        (r#"{"op":"shout","collection":"s","key":"a"}"#, 13, "expected one of `insert`"),
        (
            r#"{"op":"get","colection":"s","key":"a"}"#,
            23,
            "unknown field `colection`, expected one of `op`",
        ),
        (r#"{"op":"get","collection":7,"key":"a"}"#, 26, "expected a string"),
        (r#"{"op":"get","collection":"s","key":["a"]}"#, 36, "expected a key"),
        (r#"{"op":"get","collection":"s","key":{"id":1.5}}"#, 44, "integer"),
        (
            r#"{"op":"get","collection":"s","collection":"t","key":"a"}"#,
            41,
            "duplicate field `collection`",
        ),
        (
            r#"{"op":"put","collection":"s","key":"a","doc":{"a":1,"a":2}}"#,
            55,
            "duplicate attribute `a`",
        ),
        (
            r#"{"op":"put","collection":"s","key":"a","doc":{"b":[{"a":1,"a":2}]}}"#,
            61,
            "duplicate attribute `a`",
        ),
        (r#"{"op":"put","collection":"s","key":"a","doc":[1]}"#, 46, "a document is a JSON object"),
        (
            r#"{"op":"put","collection":"s","key":"a","doc":null}"#,
            46,
            "a document is a JSON object",
        ),
        (r#"{"op":"put","collection":"s","key":"a"}"#, 1, "`put` needs `doc`"),
        (r#"{"op":"put","collection":"s","key":"a","doc":{},"ttl":"1h"}"#, 58, "whole seconds"),
        (r#"{"op":"get","collection":"s","key":{"id":1e20}}"#, 45, "give any other as a string"),
        (r#"{"op":"aql","query":"RETURN 1","bind":null}"#, 39, "`bind` is an object"),
        (r#"{"op":"cql","statement":"x","values":null}"#, 38, "leave it out if there are none"),
        (&deep, 177, "recursion limit"),
    ] {
        let place = Place::new();
        // Behind good lines, a blank one and a carriage return.
        place.write("f.ndjson", format!("\u{feff}{PUT}\r\n\n{line}\r\n{PUT}\n"));
        let ran = place.run(&["run", "--rejects", "r", "f.ndjson"]).is(2);
        let start = format!("error: f.ndjson:3:{column}: ");
        assert!(ran.err.starts_with(&start), "{line}: {start:?} {ran:#?}");
        ran.fails(2, expected);
        assert!(!place.path("r").exists());
    }
}

#[test]
fn a_mistake_in_the_first_line_is_counted_without_the_byte_order_mark() {
    let place = Place::new();
    place.write("f.ndjson", "\u{feff}x");
    place.run(&["run", "f.ndjson"]).fails(2, "f.ndjson:1:1: expected value");
}

#[test]
fn text_that_is_not_utf_8_is_refused_at_its_byte() {
    for (bytes, place_of) in [
        (&b"{\"op\":\"get\",\"collection\":\"s\xff\"}"[..], "f.ndjson:1:28: "),
        (b"\n{\"op\":\"\xc3\"", "f.ndjson:2:8: "),
        (b"\xff\xfe{\x00", "f.ndjson:1:1: "),
    ] {
        let place = Place::new();
        place.write("f.ndjson", bytes);
        let ran = place.run(&["run", "f.ndjson"]).fails(2, "UTF-8");
        assert!(ran.err.contains(place_of), "{ran:?}");
    }
}

#[test]
fn an_operation_that_the_queue_refuses_is_bad_input_with_its_line() {
    let long =
        format!(r#"{{"op":"put","collection":"s","key":"a","doc":{{"a":"{}"}}}}"#, "x".repeat(999));
    for (line, store, expected) in [
        (r#"{"op":"cql","statement":"SELECT 1","values":[]}"#, "memory:", "cql"),
        (r#"{"op":"aql","query":"RETURN 1"}"#, "memory:", "arango"),
        (
            r#"{"op":"put","collection":"s","key":"a","doc":{},"timestamp":1}"#,
            "memory:",
            "`timestamp`",
        ),
        (r#"{"op":"put","collection":"s","key":"a","doc":{},"ttl":0}"#, "memory:", "seconds"),
        (r#"{"op":"put","collection":"","key":"a","doc":{}}"#, "memory:", "collection"),
        (r#"{"op":"put","collection":"s","key":{},"doc":{}}"#, "memory:", "key"),
        (r#"{"op":"get","collection":"s","key":"a","returning":"new"}"#, "memory:", "`returning`"),
        (&long, "memory:?max_batch_bytes=100", "at most 100"),
    ] {
        let place = Place::new();
        place.write("f.ndjson", format!("{PUT}\n{line}\n{PUT}\n"));
        let ran = place.run(&["run", "--store", store, "f.ndjson"]).fails(2, expected);
        assert!(ran.err.starts_with("error: f.ndjson:2:"), "{line}: {ran:#?}");
    }
}

#[test]
fn what_a_message_repeats_of_the_input_cannot_command_the_terminal() {
    let place = Place::new();
    place.write("f.ndjson", r#"{"op":"get","\u001b[2J\u001b]0;owned\u0007":1}"#);
    let ran = place.run(&["run", "f.ndjson"]).fails(2, r"\u{1b}[2J");
    assert!(!ran.err.contains(['\u{1b}', '\u{7}']), "{ran:?}");
}

#[test]
fn a_key_keeps_its_type_and_a_document_its_text() {
    let place = Place::new();
    // A number that a floating-point one cannot hold.
    let put = r#"{"op":"put","collection":"s","key":{"n":7},"doc":{"big":12345678901234567890}}"#;
    let get = r#"{"op":"get","collection":"s","key":{"n":7}}"#;
    place.write("f.ndjson", format!("{put}\n{get}"));
    let ran = place.run(&["run", "--output", "json", "f.ndjson"]).is(0);
    assert!(ran.out.contains("\"big\":12345678901234567890"), "{}", ran.out);
    assert_eq!(ran.json()["jobs"][1]["outcome"]["n"], json!(7));
}
