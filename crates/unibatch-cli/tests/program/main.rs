//! The program as its users meet it: the built binary, its exit codes, its two streams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not #[test] functions")]

mod check;
mod input;
mod output;
mod rejects;
mod run;
mod stop;
mod usage;

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// What a run of the program left.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// Stdout as the one JSON object that it must be.
    fn json(&self) -> Value {
        let value: Value =
            serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(value.is_object(), "{self:?}");
        value
    }

    #[track_caller]
    fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Asserts that it failed before it had a result: nothing on stdout, one line on stderr.
    #[track_caller]
    fn fails(self, code: i32, message: &str) -> Self {
        let ran = self.is(code);
        assert_eq!(ran.out, "", "{ran:#?}");
        assert!(ran.err.starts_with("error: ") && ran.err.ends_with('\n'), "{ran:#?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:#?}");
        assert!(ran.err.contains(message), "expected {message:?} in {ran:#?}");
        ran
    }
}

/// A directory of its own, in which the program runs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = command(args);
        command.current_dir(self.0.path());
        command
    }

    /// Runs the program with nothing on stdin.
    fn run(&self, args: &[impl AsRef<OsStr>]) -> Ran {
        ran(self.command(args), b"")
    }

    fn run_with(&self, args: &[impl AsRef<OsStr>], stdin: &[u8]) -> Ran {
        ran(self.command(args), stdin)
    }
}

fn command(args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unibatch"));
    command.args(args);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "UNIBATCH_PASSWORD"] {
        command.env_remove(name);
    }
    command
}

fn unibatch(args: &[impl AsRef<OsStr>]) -> Ran {
    ran(command(args), b"")
}

fn ran(mut command: Command, stdin: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // Written beside the reading, or both sides might wait for each other. A program that does
    // not read its stdin closes it, which is no mistake of the test.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file of the repository's examples.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data").join(name)
}

/// As many inserts, with keys from 1.
fn inserts(count: usize) -> String {
    (1..=count)
        .map(|n| {
            format!(
                "{{\"op\":\"insert\",\"collection\":\"s\",\"key\":\"{n}\",\"doc\":{{\"n\":{n}}}}}\n"
            )
        })
        .collect()
}

/// The values of one attribute of all printed jobs.
fn each<'a>(printed: &'a Value, name: &str) -> Vec<&'a Value> {
    printed["jobs"].as_array().unwrap().iter().map(|job| &job[name]).collect()
}
