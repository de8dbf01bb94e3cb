//! Ctrl-C, as a terminal sends it.
#![cfg(unix)]

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use crate::{Place, Ran, each, inserts};

fn press_ctrl_c(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn ctrl_c_while_it_connects_tells_of_each_job_and_rejects_them_all() {
    for form in ["table", "json"] {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("arango://root@{}/school", silent.local_addr().unwrap());
        let place = Place::new();
        place.write("f.ndjson", inserts(2));
        place.write("r.ndjson", "dead letters");
        let line = ["run", "--output", form, "--rejects", "r.ndjson", "--store", &url, "f.ndjson"];
        let mut command = place.command(&line);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _connection = silent.accept().unwrap();
        press_ctrl_c(&child);

        let ran = ended(child).is(130);
        assert_eq!(place.read("r.ndjson"), inserts(2));
        assert!(ran.err.starts_with("error: stopped by Ctrl-C"), "{ran:?}");
        if form == "json" {
            assert_eq!(each(&ran.json(), "status"), ["not_applied"; 2]);
        } else {
            assert!(ran.out.contains("0 applied, 2 not applied"), "{ran:?}");
        }
    }
}

#[test]
fn ctrl_c_while_the_input_is_read_ends_the_program_and_leaves_the_rejects() {
    let place = Place::new();
    place.write("r.ndjson", "dead letters");
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut command = place.command(&["run", "--rejects", "r.ndjson", "pipe"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Open once the program has opened it too; it waits for lines then.
    let writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    press_ctrl_c(&child);
    let output = child.wait_with_output().unwrap();
    drop(writer);
    // Before it listens the system ends it.
    assert!(matches!(output.status.code(), Some(130) | None), "{output:?}");
    assert_eq!((place.read("r.ndjson").as_str(), &*output.stdout), ("dead letters", &b""[..]));
}
