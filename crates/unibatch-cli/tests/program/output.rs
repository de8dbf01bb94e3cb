//! What is printed, where, and what happens if it cannot be.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use crate::{Place, each, inserts, ran};

const MIXED: &str = r#"{"op":"put","collection":"s","key":"a","doc":{}}
{"op":"update","collection":"s","key":"b","doc":{}}
{"op":"delete","collection":"s","key":"c"}
"#;

#[test]
fn show_chooses_the_jobs_and_never_changes_the_report() {
    for (args, ids) in [
        (&[][..], &[1, 2, 3][..]),
        (&["--show", "all"], &[1, 2, 3]),
        (&["--show", "failed"], &[2]),
        (&["--show", "none"], &[]),
    ] {
        let place = Place::new();
        place.write("f.ndjson", MIXED);
        let json =
            place.run(&[&["run", "--output", "json", "f.ndjson"], args].concat()).is(1).json();
        assert_eq!(each(&json, "id"), ids, "{args:?}");
        assert_eq!(
            (&json["report"]["applied"], &json["report"]["not_applied"]),
            (&2.into(), &1.into())
        );
        assert_eq!(json["report"]["errors_by_kind"][0]["kind"], "NotFound", "{args:?}");

        let ran = place.run(&[&["run", "f.ndjson"], args].concat()).is(1);
        assert_eq!(rows(&ran.out), ids, "{args:?}");
        assert!(ran.out.contains("2 applied, 1 not applied"), "{ran:?}");
    }
}

/// The job numbers of the printed table.
fn rows(table: &str) -> Vec<i32> {
    table
        .lines()
        .skip_while(|line| !line.starts_with("JOB "))
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

#[test]
fn a_table_shows_all_of_a_thousand_jobs_and_above_that_those_that_are_not_applied() {
    let place = Place::new();
    place.write("1000.ndjson", inserts(1000));
    let ran = place.run(&["run", "1000.ndjson"]).is(0);
    assert!(rows(&ran.out).into_iter().eq(1..=1000), "{}", ran.out);
    assert_eq!(ran.err, "");

    place.write("1001.ndjson", inserts(1000) + &inserts(1));
    let ran = place.run(&["run", "1001.ndjson"]).is(1);
    assert_eq!(rows(&ran.out), [1001]);
    assert!(ran.err.starts_with("note: 1 of 1001 jobs are shown"), "{}", ran.err);
    assert!(ran.err.contains("--show all"), "{}", ran.err);
    assert_eq!(
        each(&place.run(&["run", "--output", "json", "1001.ndjson"]).json(), "id").len(),
        1001
    );

    let ran = place.run(&["run", "--show", "all", "1001.ndjson"]).is(1);
    assert_eq!(ran.err, "");
    let printed = ran.out.lines().filter(|line| line.contains("  insert  ")).count();
    assert_eq!(printed, 1001);
}

#[test]
fn every_line_of_a_job_has_its_number_operation_collection_key_and_status() {
    let place = Place::new();
    place.write("f.ndjson", MIXED.replace("\"c\"", "{\"id\":\"c\",\"n\":1}"));
    let ran = place.run(&["run", "f.ndjson"]).is(1);
    let lines: Vec<Vec<_>> = ran.out.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["JOB", "OPERATION", "COLLECTION", "KEY", "STATUS", "OUTCOME"]);
    assert_eq!(lines[1][..5], ["1", "put", "s", "a", "applied"]);
    assert_eq!(lines[2][..7], ["2", "update", "s", "b", "not", "applied", "NotFound:"]);
    assert_eq!(lines[3][..5], ["3", "delete", "s", r#"{"id":"c","n":1}"#, "applied"]);
}

#[test]
fn colours_are_for_terminals_and_for_those_who_insist() {
    let place = Place::new();
    place.write("f.ndjson", MIXED);
    assert!(!place.run(&["run", "f.ndjson"]).out.contains('\u{1b}'));
    let mut command = place.command(&["run", "f.ndjson"]);
    command.env("CLICOLOR_FORCE", "1");
    let forced = ran(command, b"");
    assert!(forced.out.contains("\u{1b}["), "{forced:?}");
    // JSON has none, whoever insists.
    let mut command = place.command(&["run", "--output", "json", "f.ndjson"]);
    command.env("CLICOLOR_FORCE", "1");
    assert!(!ran(command, b"").out.contains('\u{1b}'));
}

#[test]
fn names_from_the_file_cannot_command_the_terminal() {
    let place = Place::new();
    place
        .write("f.ndjson", r#"{"op":"put","collection":"a\u001b[2Jb","key":"\u009bk\r","doc":{}}"#);
    let ran = place.run(&["run", "f.ndjson"]).is(0);
    assert!(ran.out.contains(r"a\u{1b}[2Jb") && ran.out.contains(r"\u{9b}k\r"), "{}", ran.out);
    assert!(!ran.out.contains(['\u{1b}', '\u{9b}', '\r']), "{:?}", ran.out);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    place.write("f.ndjson", inserts(20_000));
    for form in ["json", "table"] {
        let mut command = place.command(&["run", "--show", "all", "--output", form, "f.ndjson"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut start = [0; 10];
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut start).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{form}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{form}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_printed_is_a_failure_that_says_so() {
    let place = Place::new();
    place.write("f.ndjson", inserts(2));
    place.write("mixed.ndjson", MIXED);
    for (args, code) in [
        (&["run", "--output", "json", "f.ndjson"][..], 1),
        (&["run", "mixed.ndjson"], 1),
        (&["run", "--plan", "f.ndjson"], 1),
        (&["check"], 1),
        (&["man"], 1),
        (&["--help"], 1),
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command: Command = place.command(args);
        let output = command.stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
        assert!(err.contains("error: stdout cannot be written"), "{args:?}: {err}");
    }
}
