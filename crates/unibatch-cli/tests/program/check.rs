//! `unibatch check`.

use serde_json::json;

use crate::unibatch;

#[test]
fn check_prints_server_version_capabilities_and_the_mechanism_of_each_guarantee() {
    let ran = unibatch(&["check"]).is(0);
    assert_eq!(ran.err, "");
    for expected in [
        ["store", "memory:"],
        ["get in a batch", "yes"],
        ["timestamp", "no"],
        ["best-effort", "memory call"],
        ["ordered-stop", "memory serial call"],
        ["all-or-nothing-isolated", "memory transaction"],
    ] {
        let found = ran.out.lines().any(|line| {
            line.strip_prefix(expected[0]).is_some_and(|rest| rest.trim() == expected[1])
        });
        assert!(found, "no {expected:?} in {}", ran.out);
    }
}

#[test]
fn check_prints_one_json_object() {
    let ran = unibatch(&["check", "--store", "memory:?max_in_flight=4", "--output", "json"]).is(0);
    let printed = ran.json();
    assert_eq!((&printed["store"], &printed["url"]), (&json!("memory"), &json!("memory:")));
    assert!(printed["server"]["name"].is_string() && printed["server"]["version"].is_string());
    assert!(printed["server"]["facts"].is_object());
    assert_eq!(printed["capabilities"]["reads"], true);
    assert_eq!(printed["capabilities"]["timestamps"], false);
    assert_eq!(
        printed["guarantees"],
        json!({
            "best-effort": "memory call",
            "ordered": "memory serial call",
            "ordered-stop": "memory serial call",
            "all-or-nothing": "memory transaction",
            "all-or-nothing-isolated": "memory transaction",
        })
    );
}

#[test]
fn a_store_that_cannot_be_reached_or_a_bad_url_has_its_exit_code() {
    unibatch(&["check", "--store", "cql://127.0.0.1:1"]).fails(4, "cannot connect");
    unibatch(&["check", "--store", "arango+https://127.0.0.1:1"]).fails(4, "cannot connect");
    unibatch(&["check", "--store", "memory:?timeout=0s"]).fails(2, "`timeout`");
    unibatch(&["check", "--store", "redis://h"]).fails(2, "`cql://` and `cql+tls://` are known");
}
