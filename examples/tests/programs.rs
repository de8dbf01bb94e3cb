//! Runs every program and compares what it does with what it promises.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panics too")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

macro_rules! programs {
    ($($name:ident),+ $(,)?) => {
        const PROGRAMS: &[(&str, &str)] =
            &[$((stringify!($name), env!(concat!("CARGO_BIN_EXE_", stringify!($name))))),+];
    };
}

programs![
    any_store,
    aql_and_edges,
    batch_type,
    callbacks,
    choose_store,
    commit_on_error,
    context_manager,
    fire_and_forget,
    one_service,
    own_backend,
    queue_then_inspect,
    test_your_service,
    typed_cql,
];

fn start(program: &str, arguments: &[&str]) -> Output {
    let (_, path) = PROGRAMS.iter().find(|(name, _)| *name == program).unwrap();
    let mut command = Command::new(path);
    // What is printed here is the same on every machine.
    command.env_remove("UNIBATCH_PASSWORD").env_remove("UNIBATCH_CQL_URL");
    command.env_remove("UNIBATCH_ARANGO_URL");
    command.args(arguments).output().unwrap()
}

/// What a program prints; fails if an assertion of its own did not hold.
fn run(program: &str) -> String {
    run_with(program, &[])
}

fn run_with(program: &str, arguments: &[&str]) -> String {
    let output = start(program, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_program_is_run_here_and_listed_in_the_readme() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let names: BTreeSet<String> = PROGRAMS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, names);

    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    for name in names {
        assert_eq!(readme.matches(&format!("[`{name}`]({name}.rs)")).count(), 1, "{name}");
    }
}

#[test]
fn a_scope_commits_and_its_one_failure_is_met_where_the_result_is_read() {
    let expected = "\
        1: applied\n\
        2: not_applied\n\
        3: applied\n\
        4: applied\n\
        3 applied, 1 not applied\n\
        Rita is 21\n\
        AlreadyExists: operation 2 (insert on students): the key is taken; \
        use `put` or `upsert` to overwrite\n\
        scope failed: the class list has no more names\n";
    assert_eq!(run("context_manager"), expected);
}

#[test]
fn jobs_are_pending_before_the_commit_and_done_after_it() {
    let printed = run("queue_then_inspect");
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "before: pending pending pending pending");
    assert!(lines[1].starts_with("4 operations, "), "{printed}");
    assert!(lines[2].starts_with("NotReady: "), "{printed}");
    assert_eq!(lines[3], "after: done done done done");
    assert!(lines[4].starts_with("1 is in the store {"), "{printed}");
    assert!(lines[4].contains("\"age\":20"), "{printed}");
    let rest = [
        "2 is in the store null",
        "3 is not: AlreadyExists",
        "4 is in the store null",
        "left over: insert \"John\"",
    ];
    assert_eq!(lines[5..], rest);
}

#[test]
fn without_results_the_report_still_counts() {
    let printed = run("fire_and_forget");
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[..2], ["9990 applied, 10 not applied", "10 x AlreadyExists"]);
    assert!(lines[2].starts_with("first: operation 99"), "{printed}");
    assert_eq!(lines[3..], ["outcome: NotRecorded", "as a result: AlreadyExists"]);
}

#[test]
fn callbacks_run_in_order_and_only_if_the_batch_was_executed() {
    let expected = "\
        all went well:\n\
        \x20 Abby: applied\n\
        \x20 class 7b is complete, urgent: true\n\
        \x20 archived the report on 1 operations\n\
        callback 2 failed: the mail server is down\n\
        Abby is there already:\n\
        \x20 1 not applied\n\
        \x20 archived the report on 1 operations\n\
        the batch was not executed:\n";
    assert_eq!(run("callbacks"), expected);
}

#[test]
fn commit_on_error_keeps_what_was_queued_before_the_error() {
    let expected = "\
        commit on error: false\n\
        the body's error: invalid digit found in string\n\
        entry 1: absent\n\
        entry 2: absent\n\
        commit on error: true\n\
        committed 1 entries\n\
        the body's error: invalid digit found in string\n\
        entry 1: there\n\
        entry 2: absent\n";
    assert_eq!(run("commit_on_error"), expected);
}

#[test]
fn a_forced_batch_type_is_refused_by_memory() {
    let printed = run("batch_type");
    for batch_type in ["logged", "unlogged", "counter"] {
        let line = format!(
            "{batch_type}: Unsupported: the batch type {batch_type} is refused by the store memory"
        );
        assert!(printed.contains(&line), "{printed}");
    }
    assert!(printed.contains("all-or-nothing: memory transaction"), "{printed}");
}

#[test]
fn one_service_does_the_same_on_every_store() {
    let printed = run("any_store");
    for store in ["memory", "like ArangoDB", "like CQL"] {
        let line = format!(
            "{store}: 2 applied, then 2 not applied; Abby Some(20), Rita None\n\
             {store}: Unsupported: `aql` is an operation of the store arango"
        );
        assert!(printed.contains(&line), "{printed}");
    }
}

/// On a server: `cql_examples` and `arango_examples` of the integration tests.
#[test]
fn what_needs_a_server_says_so_and_does_the_rest() {
    let expected = "\
        set UNIBATCH_CQL_URL to see the same on Cassandra or ScyllaDB\n\
        set UNIBATCH_ARANGO_URL to see the same on ArangoDB\n\
        memory: 2 applied, then 2 not applied\n\
        memory: not in the class: Rita\n\
        memory: Abby: Some(1)\n\
        memory: John: Some(3)\n\
        memory: Rita: None\n\
        memory: a class is entered by memory transaction\n";
    assert_eq!(run("one_service"), expected);
    let expected = "set UNIBATCH_CQL_URL to a server's URL, such as cql://localhost\n";
    assert_eq!(run("typed_cql"), expected);
    let expected =
        "set UNIBATCH_ARANGO_URL to a database's URL, such as arango://root@localhost/school\n";
    assert_eq!(run("aql_and_edges"), expected);
}

#[test]
fn a_store_is_chosen_by_feature_or_by_url() {
    for arguments in [&[][..], &["memory:"], &["memory:?max_in_flight=4&timeout=3s"]] {
        let printed = run_with("choose_store", arguments);
        assert!(printed.starts_with("1 on unibatch memory "), "{arguments:?}: {printed}");
    }
    for (url, says) in [
        ("memory:?colour=red", &["max_in_flight"][..]),
        ("mongo://localhost", &["mongo"]),
        // Nobody listens on port 1: refused whether or not this build can speak to the store.
        ("arango://root:hunter2@127.0.0.1:1/school", &["arango", "127.0.0.1:1"]),
        ("cql://root:hunter2@127.0.0.1:1/school", &["cql", "cassandra", "127.0.0.1:1"]),
    ] {
        let output = start("choose_store", &[url]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{url}");
        let lower = errors.to_lowercase();
        assert!(says.iter().any(|word| lower.contains(word)), "{url}: {errors}");
        assert!(!errors.contains("hunter2"), "{url}: {errors}");
    }
}

#[test]
fn a_service_is_tested_against_unknown_outcomes() {
    let expected = "\
        answer lost:  Enrolled { applied: 0, found: 2, sent_again: 0 }\n\
        request lost: Enrolled { applied: 2, found: 0, sent_again: 2 }\n\
        busy server:  Enrolled { applied: 2, found: 0, sent_again: 0 }\n\
        half answer:  Enrolled { applied: 1, found: 1, sent_again: 0 }\n";
    assert_eq!(run("test_your_service"), expected);
}

#[test]
fn a_backend_of_ones_own_takes_under_150_lines_and_commits() {
    assert!(include_str!("../own_backend.rs").lines().count() < 150);
    let expected = "2 applied\n{\"_key\":\"Abby\",\"age\":20,\"class\":\"7b\"}\n";
    assert_eq!(run("own_backend"), expected);
}
