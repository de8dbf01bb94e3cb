//! Help, completions, manual pages, and what no message shows.

use std::process::Command;

use crate::{Place, command, ran, unibatch};

#[test]
fn help_has_examples_and_goes_to_stdout() {
    for args in [&["--help"][..], &["run", "--help"], &["check", "--help"], &["run", "-h"]] {
        let ran = unibatch(args).is(0);
        assert_eq!(ran.err, "", "{args:?}");
        assert!(ran.out.contains("Examples:\n  unibatch "), "{args:?}: {}", ran.out);
    }
    let help = unibatch(&["run", "--help"]).out;
    for word in [
        "best-effort, ordered, ordered-stop, all-or-nothing",
        "--rejects",
        "UNIBATCH_PASSWORD",
        "one in the URL",
        "Exit status:",
        "delete_existing",
        r#"{"op":"get","collection":"students","key":"Abby"}"#,
    ] {
        assert!(help.contains(word), "no {word:?} in {help}");
    }
    assert_eq!(
        unibatch(&["--version"]).is(0).out,
        concat!("unibatch ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn without_a_command_the_help_goes_to_stderr() {
    let ran = unibatch(&[""; 0]).is(2);
    assert!(ran.out.is_empty() && ran.err.contains("Usage: unibatch <COMMAND>"), "{ran:?}");
}

#[test]
fn there_is_a_completion_script_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = unibatch(&["completions", shell]).is(0).out;
        assert!(script.contains("rejects") && script.contains("completions"), "{shell}");
    }
    unibatch(&["completions", "csh"]).is(2);
}

#[test]
fn there_is_a_manual_page_for_the_program_and_each_command() {
    for (args, title, word) in [
        (&["man"][..], ".TH unibatch 1", "unibatch\\-run(1)"),
        (&["man", "run"], ".TH unibatch-run 1", "all\\-or\\-nothing"),
        (&["man", "check"], ".TH unibatch-check 1", "\\-\\-store"),
        (&["man", "completions"], ".TH unibatch-completions 1", "zsh"),
        (&["man", "man"], ".TH unibatch-man 1", "COMMAND"),
    ] {
        let page = unibatch(args).is(0).out;
        assert!(page.contains(title), "{args:?}: {page}");
        assert!(page.contains(word), "{args:?}: {page}");
    }
    unibatch(&["man", "commit"]).fails(2, "there are run, check, completions, man");
}

/// Runs that fail, each with this URL somewhere.
fn failing_runs(url: &str) -> Vec<Vec<String>> {
    let line = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect();
    vec![
        line(&["check", "--store", url]),
        line(&["run", "--store", url, "f.ndjson"]),
        line(&["check", &format!("--store={url}")]),
        // In the wrong place, where a usage error or a file error repeats it.
        line(&["check", url]),
        line(&["run", url]),
        line(&["run", "f.ndjson", url]),
        line(&["check", &format!("--stor={url}")]),
        line(&["run", "--guarantee", url, "f.ndjson"]),
        line(&["run", "--output", url, "f.ndjson"]),
        line(&["run", "--rejects", &format!("{url}/absent"), "f.ndjson"]),
        line(&[url]),
    ]
}

#[test]
fn no_message_shows_a_password() {
    let place = Place::new();
    place.write("f.ndjson", "");
    for url in [
        "cql://abby:hunter2@127.0.0.1:1/school",
        "arango://abby:hunter2@127.0.0.1:1/school",
        "arango+https://abby:hunter2@localhost:port/school",
        "cql://abby:hun@hunter2@localhost",
        "cql://abby:hun/hunter2@localhost",
        "cql://abby:hun?hunter2@localhost",
        "cql://abby:hun#hunter2@localhost",
        "cql://abby:hun%hunter2@localhost",
        "cql://abby:hun hunter2@localhost",
        "cql://abby:hunter2@localhost?hunter=1",
        "cql://abby:hunter2@localhost:99999",
        "cql:abby:hunter2@localhost",
        "http://abby:hunter2@localhost",
        "memory://abby:hunter2@localhost",
    ] {
        for args in failing_runs(url) {
            for forced in [false, true] {
                let mut command: Command = place.command(&args);
                if forced {
                    command.env("CLICOLOR_FORCE", "1");
                }
                let ran = ran(command, b"");
                assert!(ran.code == 2 || ran.code == 4, "{args:?}: {ran:#?}");
                for stream in [&ran.out, &ran.err] {
                    assert!(!stream.contains("hunter2"), "{args:?}: {stream}");
                }
            }
        }
    }
}

#[test]
fn a_password_from_the_environment_is_not_shown_either() {
    let mut command = command(&["check", "--store", "cql://abby@127.0.0.1:1/school"]);
    command.env("UNIBATCH_PASSWORD", "hunter2");
    let ran = ran(command, b"").fails(4, "cannot connect");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn a_password_from_the_environment_that_is_not_utf_8_is_refused_and_not_shown() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let mut command = command(&["check", "--store", "cql://abby@127.0.0.1:1/school"]);
    command.env("UNIBATCH_PASSWORD", OsStr::from_bytes(b"hunter2\xff"));
    let ran = ran(command, b"").fails(4, "UNIBATCH_PASSWORD is not UTF-8");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
}
