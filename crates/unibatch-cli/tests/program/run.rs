//! Commit, plan, guarantees, exit codes.

use std::ffi::OsString;

use serde_json::json;

use crate::{Place, each, example, inserts, unibatch};

const ABBY: &str =
    r#"{"op":"insert","collection":"students","key":{"id":"Abby"},"doc":{"name":"Abby","age":20}}"#;
const NOBODY: &str = r#"{"op":"update","collection":"students","key":"Nobody","doc":{"age":99}}"#;

#[test]
fn the_first_example_shows_every_portable_operation_applied() {
    let ran = unibatch(&[OsString::from("run"), example("students.ndjson").into()]).is(0);
    assert_eq!(ran.err, "");
    for verb in ["insert", "put", "upsert", "replace", "update", "delete", "delete_existing", "get"]
    {
        let shown = ran.out.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.get(1) == Some(&verb) && words.get(4) == Some(&"applied")
        });
        assert!(shown, "no `{verb}` in {}", ran.out);
    }
    assert!(ran.out.contains("13 applied, 0 not applied, 0 accepted, 0 unknown"), "{}", ran.out);
}

#[test]
fn the_second_example_has_operations_that_are_not_applied() {
    let ran = unibatch(&[OsString::from("run"), example("mixed.ndjson").into()]).is(1);
    for word in ["AlreadyExists", "NotFound", "ConditionFailed"] {
        assert!(ran.out.contains(word), "no {word} in {}", ran.out);
    }
}

#[test]
fn the_exit_code_tells_what_came_of_it() {
    let refused = inserts(10_001);
    for (what, text, args, code) in [
        ("all applied", ABBY, &[][..], 0),
        ("one not applied", &format!("{ABBY}\n{NOBODY}"), &[], 1),
        ("an empty file", "", &[], 0),
        ("blank lines alone", "\n \r\n", &[], 0),
        ("a bad line", "{}", &[], 2),
        ("an unknown scheme", ABBY, &["--store", "mongo://h"], 2),
        ("an unknown parameter", ABBY, &["--store", "memory:?x=1"], 2),
        ("an unknown guarantee", ABBY, &["--guarantee", "exactly-once"], 2),
        ("an unknown option", ABBY, &["--fast"], 2),
        ("a store that cannot be reached", ABBY, &["--store", "cql://127.0.0.1:1/school"], 4),
        ("another one", ABBY, &["--store", "arango://root@127.0.0.1:1/school"], 4),
        ("a guarantee over the ceiling", &refused, &["--guarantee", "all-or-nothing"], 4),
    ] {
        let place = Place::new();
        place.write("f.ndjson", text);
        for form in ["table", "json"] {
            let ran = place.run(&[&["run", "f.ndjson", "--output", form], args].concat());
            assert_eq!(ran.code, code, "{what}: {ran:#?}");
            let is_empty = code == 2 || (code == 4 && form == "table");
            assert_eq!(ran.out.is_empty(), is_empty, "{what}: {ran:#?}");
            assert_eq!(ran.err.is_empty(), code < 2, "{what}: {ran:#?}");
        }
    }
}

#[test]
fn json_tells_of_each_job_also_where_nothing_was_sent() {
    let text = format!("{ABBY}\n{NOBODY}\n");
    let unreached = ["--store", "cql://127.0.0.1:1/school"];
    let limited = ["--store", "memory:?max_batch_operations=1", "--guarantee", "all-or-nothing"];
    for (args, kind) in [(&unreached[..], "Connection"), (&limited, "TooLarge")] {
        let place = Place::new();
        place.write("f.ndjson", &text);
        let ran = place.run(&[&["run", "--output", "json", "f.ndjson"], args].concat()).is(4);
        assert_eq!((ran.out.lines().count(), ran.err.lines().count()), (1, 1), "{ran:?}");
        let printed = ran.json();
        assert_eq!(each(&printed, "id"), [1, 2]);
        assert_eq!(each(&printed, "op"), ["insert", "update"]);
        assert_eq!(each(&printed, "status"), ["not_applied"; 2]);
        let report = &printed["report"];
        for told in [&printed["jobs"][0]["error"], &printed["jobs"][1]["error"], &report["error"]] {
            assert_eq!(told["kind"], kind, "{printed}");
        }
        assert_eq!((&report["applied"], &report["not_applied"]), (&json!(0), &json!(2)));
        assert!(report["warnings"][0].as_str().unwrap().contains("nothing was sent"), "{report}");

        let failed = [&["run", "--plan", "--output", "json", "f.ndjson"], args].concat();
        assert_eq!(place.run(&failed).is(4).out, "");
    }
}

#[test]
fn a_file_that_is_not_there_or_no_file_is_bad_input() {
    let place = Place::new();
    place.run(&["run", "absent.ndjson"]).fails(2, "absent.ndjson cannot be read");
    place.run(&["run", "."]).fails(2, ". cannot be read");
    // Looked at before the store is.
    place.run(&["run", "absent.ndjson", "--store", "cql://h"]).fails(2, "absent.ndjson");
}

#[test]
fn the_json_object_has_jobs_and_report_in_the_promised_form() {
    let place = Place::new();
    let again = r#"{"op":"get","collection":"students","key":{"id":"Abby"}}"#;
    place.write("f.ndjson", format!("{ABBY}\n{ABBY}\n{again}\n"));
    let ran = place.run(&["run", "--output", "json", "f.ndjson"]).is(1);
    assert_eq!(ran.err, "");
    assert_eq!((ran.out.lines().count(), ran.out.ends_with("}\n")), (1, true));
    let printed = ran.json();
    assert_eq!(printed.as_object().unwrap().keys().collect::<Vec<_>>(), ["jobs", "report"]);

    let [insert, second, get] = printed["jobs"].as_array().unwrap().as_slice() else {
        panic!("{printed}")
    };
    assert_eq!(
        (&insert["id"], &insert["op"], &insert["collection"], &insert["status"]),
        (&json!(1), &json!("insert"), &json!("students"), &json!("applied"))
    );
    assert!(insert["outcome"].is_object() && insert.get("error").is_none(), "{insert}");
    assert_eq!((&second["id"], &second["status"]), (&json!(2), &json!("not_applied")));
    assert_eq!(second["error"]["kind"], "AlreadyExists");
    assert!(second["error"]["message"].as_str().unwrap().contains("`put` or `upsert`"));
    assert!(second.get("outcome").is_none(), "{second}");
    assert_eq!((&get["outcome"]["name"], &get["outcome"]["age"]), (&json!("Abby"), &json!(20)));

    let report = &printed["report"];
    let counts = ["applied", "not_applied", "accepted", "unknown"].map(|name| &report[name]);
    assert_eq!(counts, [&json!(2), &json!(1), &json!(0), &json!(0)]);
    assert_eq!(report["mechanism"], json!(["memory call"]));
    assert_eq!(report["warnings"], json!([]));
    assert!(report["elapsed_ms"].is_u64());
    assert_eq!(
        report["errors_by_kind"],
        json!([{"kind": "AlreadyExists", "status": "not_applied", "count": 1}])
    );
}

#[test]
fn an_empty_file_has_an_empty_report() {
    let place = Place::new();
    place.write("f.ndjson", "");
    let printed = place.run(&["run", "--output", "json", "f.ndjson"]).is(0).json();
    assert_eq!(printed["jobs"], json!([]));
    assert_eq!(
        (&printed["report"]["applied"], &printed["report"]["attempts"]),
        (&json!(0), &json!(0))
    );
    let ran = place.run(&["run", "f.ndjson"]).is(0);
    assert!(ran.out.starts_with("0 applied, 0 not applied, 0 accepted, 0 unknown"), "{ran:?}");
}

#[test]
fn each_guarantee_means_what_its_name_says() {
    let text = format!("{ABBY}\n{NOBODY}\n{}\n", ABBY.replace("Abby", "Mary"));
    for (name, statuses, last) in [
        ("best-effort", ["applied", "not_applied", "applied"], None),
        ("ordered", ["applied", "not_applied", "applied"], None),
        ("ordered-stop", ["applied", "not_applied", "not_applied"], Some("Skipped")),
        ("all-or-nothing", ["not_applied"; 3], Some("RolledBack")),
        ("all-or-nothing-isolated", ["not_applied"; 3], Some("RolledBack")),
    ] {
        let place = Place::new();
        place.write("f.ndjson", &text);
        let args = ["run", "--output", "json", "--guarantee", name, "f.ndjson"];
        let printed = place.run(&args).is(1).json();
        assert_eq!(each(&printed, "status"), statuses, "{name}: {printed}");
        assert_eq!(printed["jobs"][2]["error"]["kind"].as_str(), last, "{name}: {printed}");
        assert_eq!(printed["report"]["guarantee"], name);
    }
}

#[test]
fn a_plan_shows_what_would_be_sent_and_sends_nothing() {
    let place = Place::new();
    // Would not be applied if it were sent, and would be refused by a second insert of the key.
    place.write("f.ndjson", format!("{ABBY}\n{ABBY}\n{NOBODY}\n"));
    let ran = place.run(&["run", "--plan", "--output", "json", "f.ndjson"]).is(0);
    assert_eq!(ran.err, "");
    let printed = ran.json();
    assert_eq!(printed.as_object().unwrap().keys().collect::<Vec<_>>(), ["plan"]);
    let plan = &printed["plan"];
    assert_eq!(plan["operations"], 3);
    assert_eq!(plan["mechanism"], json!(["memory call"]));
    let mut planned: Vec<u64> = plan["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|chunk| chunk["operations"].as_array().unwrap())
        .map(|id| id.as_u64().unwrap())
        .collect();
    planned.sort_unstable();
    assert_eq!(planned, [1, 2, 3]);
    assert!(plan["chunks"][0]["bytes"].is_u64() && plan["chunks"][0]["exact_bytes"].is_boolean());

    let ran = place.run(&["run", "--plan", "f.ndjson"]).is(0);
    assert!(ran.out.contains("3 operations") && ran.out.contains("memory call"), "{ran:?}");
    assert!(!ran.out.contains("applied"), "{ran:?}");
    assert_eq!(ran.err, "note: nothing was sent\n");
}

#[test]
fn a_plan_that_is_refused_is_a_failure_of_the_batch() {
    let place = Place::new();
    place.write("f.ndjson", inserts(10_001));
    let args = ["run", "--plan", "--guarantee", "all-or-nothing", "f.ndjson"];
    place.run(&args).fails(4, "10000");
    place.run(&["run", "--plan", "--rejects", "r", "f.ndjson"]).is(2);
    assert!(!place.path("r").exists());
}

#[test]
fn the_limits_of_the_url_cut_the_batch() {
    let place = Place::new();
    place.write("f.ndjson", inserts(10));
    let store = ["--store", "memory:?max_batch_operations=3"];
    let printed = place
        .run(&[&["run", "--plan", "--output", "json", "f.ndjson"][..], &store].concat())
        .is(0)
        .json();
    let sizes: Vec<_> = printed["plan"]["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| chunk["operations"].as_array().unwrap().len())
        .collect();
    assert!(sizes.iter().all(|size| (1..=3).contains(size)), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 10);
}
