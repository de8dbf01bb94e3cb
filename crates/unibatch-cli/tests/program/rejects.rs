//! The dead-letter file.

use std::fs::{self, File};

use crate::{Place, each, inserts};

const DUPLICATES: &str = r#"{"op":"insert","collection":"s","key":{"id":"a","n":1},"doc":{"v":1}}
{"op":"insert","collection":"s","key":{"id":"a","n":1},"doc":{"v":2.50},"returning":"new"}
{"op":"get","collection":"s","key":{"id":"a","n":1}}
{"op":"delete_existing","collection":"s","key":"absent","if_revision":"7"}
"#;

/// The second and the fourth.
fn rejected() -> String {
    DUPLICATES.lines().skip(1).step_by(2).map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_was_not_applied_is_written_as_it_was_read_and_can_be_run_again() {
    let place = Place::new();
    place.write("f.ndjson", DUPLICATES);
    let ran = place.run(&["run", "--output", "json", "--rejects", "r.ndjson", "f.ndjson"]).is(1);
    assert_eq!(ran.err, "note: 2 not applied, written to r.ndjson\n");
    assert_eq!(each(&ran.json(), "id").len(), 4);
    assert_eq!(place.read("r.ndjson"), rejected());

    // A fresh store has no `a`, so one of the two is applied now.
    let ran = place.run(&["run", "--output", "json", "--rejects", "r2.ndjson", "r.ndjson"]).is(1);
    assert_eq!(each(&ran.json(), "status"), ["applied", "not_applied"]);
    assert_eq!(
        place.read("r2.ndjson"),
        rejected().lines().skip(1).map(|l| format!("{l}\n")).collect::<String>()
    );
}

#[test]
fn the_rejects_are_the_same_whatever_is_printed() {
    for show in ["all", "failed", "none"] {
        let place = Place::new();
        place.write("f.ndjson", DUPLICATES);
        place.run(&["run", "--show", show, "--rejects", "r.ndjson", "f.ndjson"]).is(1);
        assert_eq!(place.read("r.ndjson"), rejected(), "{show}");
    }
}

#[test]
fn without_rejects_the_file_is_empty() {
    let place = Place::new();
    place.write("f.ndjson", inserts(2));
    place.write("r.ndjson", "of an earlier run, and longer than what comes");
    let ran = place.run(&["run", "--rejects", "r.ndjson", "f.ndjson"]).is(0);
    assert_eq!((place.read("r.ndjson").as_str(), ran.err.as_str()), ("", ""));
}

const UNREACHED: [&str; 2] = ["--store", "cql://127.0.0.1:1"];
const WHOLE: [&str; 2] = ["--guarantee", "all-or-nothing"];

#[test]
fn a_run_that_sends_nothing_rejects_everything_in_place_of_what_an_earlier_one_left() {
    for (text, args) in [(DUPLICATES.to_owned(), UNREACHED), (inserts(10_001), WHOLE)] {
        for form in ["table", "json"] {
            let place = Place::new();
            place.write("f.ndjson", &text);
            place.write("r.ndjson", "dead letters");
            let line = ["run", "--output", form, "--rejects", "r.ndjson", "f.ndjson"];
            let ran = place.run(&[&line[..], &args].concat()).is(4);
            assert_eq!(place.read("r.ndjson"), text, "{args:?}");
            let note = format!("note: {} not applied, written to r.ndjson\n", text.lines().count());
            assert!(ran.err.starts_with("error: ") && ran.err.ends_with(&note), "{ran:?}");
        }
    }
}

#[test]
fn bad_input_leaves_the_rejects_of_an_earlier_run_also_if_the_store_cannot_be_reached() {
    for args in [&[][..], &UNREACHED] {
        let place = Place::new();
        place.write("f.ndjson", inserts(1) + "{}\n");
        place.write("r.ndjson", "dead letters");
        let line = ["run", "--output", "json", "--rejects", "r.ndjson", "f.ndjson"];
        let ran = place.run(&[&line[..], args].concat()).is(2);
        assert!(ran.err.contains("error: f.ndjson:2:"), "{ran:?}");
        assert_eq!((place.read("r.ndjson").as_str(), ran.out.as_str()), ("dead letters", ""));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let place = Place::new();
    place.write("f.ndjson", inserts(1));
    for path in [".", "no/such/directory/r.ndjson"] {
        place.run(&["run", "--rejects", path, "f.ndjson"]).fails(2, "nothing was sent");
    }
    place.run(&["run", "--rejects", "-", "f.ndjson"]).fails(2, "name a file");
    assert!(!place.path("-").exists());
}

#[test]
fn the_input_is_never_truncated() {
    let place = Place::new();
    let input = place.write("f.ndjson", DUPLICATES);
    fs::hard_link(&input, place.path("hard.ndjson")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&input, place.path("soft.ndjson")).unwrap();
    #[cfg(not(unix))]
    fs::hard_link(&input, place.path("soft.ndjson")).unwrap();
    for name in ["f.ndjson", "./f.ndjson", "hard.ndjson", "soft.ndjson"] {
        place.run(&["run", "--rejects", name, "f.ndjson"]).fails(2, "is the input");

        let mut command = place.command(&["run", "--rejects", name, "-"]);
        let output = command.stdin(File::open(&input).unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert_eq!(place.read("f.ndjson"), DUPLICATES, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_from_start_to_end_beside_rejects_that_exist() {
    let place = Place::new();
    place.write("r.ndjson", "of an earlier run");
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn(move || fs::write(pipe, DUPLICATES));
    let ran = place.run(&["run", "--output", "json", "--rejects", "r.ndjson", "pipe"]);
    writer.join().unwrap().unwrap();
    assert_eq!(each(&ran.is(1).json(), "id").len(), 4);
    assert_eq!(place.read("r.ndjson"), rejected());
}
