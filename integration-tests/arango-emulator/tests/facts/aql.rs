//! Queries and their cursors. By `RestCursorHandler.cpp` and the documentation's chapters on AQL.

use serde_json::{Value, json};

use crate::support::{Answer, Client, keys, start};

async fn query(client: &mut Client, text: &str, binds: Value) -> Answer {
    client.post("/_api/cursor", json!({"query": text, "bindVars": binds})).await
}

async fn result(client: &mut Client, text: &str, binds: Value) -> Value {
    let answer = query(client, text, binds).await;
    assert_eq!(answer.status, 201, "{text}: {}", answer.text());
    answer.json()["result"].take()
}

#[tokio::test]
async fn expressions_are_what_the_operators_say() {
    let (_emulator, mut client) = start("3.12.10").await;
    for (text, expected) in [
        ("1 + 2 * 3", json!(7)),
        ("(1 + 2) * 3", json!(9)),
        ("7 / 2", json!(3.5)),
        ("7 % 4", json!(3)),
        ("-2 + 1", json!(-1)),
        ("1 / 0", json!(null)),
        ("\"a\" + 1", json!(1)),
        ("1 < 2 && 2 < 3", json!(true)),
        ("null < false && false < 0 && 0 < \"\" && \"\" < [] && [] < {}", json!(true)),
        ("1 IN [1, 2] AND 3 NOT IN [1]", json!(true)),
        ("NOT true OR !false", json!(true)),
        ("\"foobar\" LIKE \"foo%\"", json!(true)),
        ("1 == 1.0 ? \"y\" : \"n\"", json!("y")),
        ("null ?: 5", json!(5)),
        ("1..3", json!([1, 2, 3])),
        ("[1, [2]][1][0]", json!(2)),
        ("[1, 2, 3][-1]", json!(3)),
        ("{a: {\"b\": 1}}.a.b", json!(1)),
        ("{a: 1}[\"a\"]", json!(1)),
        ("[{a: 1}, {a: 2}][*].a", json!([1, 2])),
        ("LENGTH([1, 2]) + LENGTH(\"ab\")", json!(4)),
        ("MERGE({a: 1}, {b: 2})", json!({"a": 1, "b": 2})),
        ("CONCAT(\"a\", 1, null, true)", json!("a1true")),
        ("(FOR i IN 1..3 FILTER i != 2 RETURN i * 10)", json!([10, 30])),
        ("@x.a[0]", json!(1)),
    ] {
        let binds = if text.contains("@x") { json!({"x": {"a": [1]}}) } else { json!({}) };
        assert_eq!(
            result(&mut client, &format!("RETURN {text}"), binds).await,
            json!([expected]),
            "{text}"
        );
    }
}

#[tokio::test]
async fn loops_filter_sort_limit_and_count() {
    let (_emulator, mut client) = start("3.12.10").await;
    let documents = json!([{"_key": "a", "v": 3}, {"_key": "b", "v": 1}, {"_key": "c", "v": 2}, {"_key": "d", "v": 2}]);
    client.post("/_api/document/c", documents).await;
    for (text, expected) in [
        ("FOR d IN c RETURN d._key", json!(["a", "b", "c", "d"])),
        ("FOR d IN c SORT d.v DESC, d._key DESC RETURN d._key", json!(["a", "d", "c", "b"])),
        ("FOR d IN c FILTER d.v >= 2 SORT d._key LIMIT 1, 2 RETURN d._key", json!(["c", "d"])),
        ("FOR d IN c SORT d._key LIMIT 0, null RETURN d.v", json!([3, 1, 2, 2])),
        ("FOR d IN c RETURN DISTINCT d.v", json!([3, 1, 2])),
        (
            "FOR d IN c COLLECT v = d.v WITH COUNT INTO n RETURN [v, n]",
            json!([[1, 1], [2, 2], [3, 1]]),
        ),
        ("FOR d IN c COLLECT WITH COUNT INTO n RETURN n", json!([4])),
        (
            "FOR i IN 1..2 FOR j IN [\"x\", \"y\"] LET k = CONCAT(i, j) RETURN k",
            json!(["1x", "1y", "2x", "2y"]),
        ),
        ("RETURN LENGTH(c)", json!([4])),
        ("RETURN DOCUMENT(\"c/b\").v", json!([1])),
        ("FOR d IN c /* all */ FILTER d._id == 'c/a' // one\n RETURN d.`v`", json!([3])),
    ] {
        assert_eq!(result(&mut client, text, json!({})).await, expected, "{text}");
    }
    let bound = "FOR d IN @@coll FILTER d.@field == @value SORT d._key RETURN d._key";
    let binds = json!({"@coll": "c", "field": "v", "value": 2});
    assert_eq!(result(&mut client, bound, binds).await, json!(["c", "d"]));
}

#[tokio::test]
async fn the_five_writes_have_old_and_new() {
    let (_emulator, mut client) = start("3.12.10").await;
    let docs = json!({"docs": [{"_key": "a", "v": 1}, {"_key": "b", "v": 2}], "@c": "c"});
    let inserted =
        result(&mut client, "FOR d IN @docs INSERT d INTO @@c RETURN NEW._key", docs).await;
    assert_eq!(inserted, json!(["a", "b"]));
    for (text, expected) in [
        ("UPDATE \"a\" WITH {w: 1} IN c RETURN [OLD.w, NEW.v, NEW.w]", json!([[null, 1, 1]])),
        ("FOR d IN c FILTER d.v == 2 UPDATE d WITH {v: d.v + 1} IN c RETURN NEW.v", json!([3])),
        (
            "UPDATE {_key: \"a\", w: null} IN c OPTIONS {keepNull: false} RETURN HAS(NEW, \"w\")",
            json!([false]),
        ),
        ("REPLACE \"a\" WITH {x: 1} IN c RETURN [NEW.v, NEW.x]", json!([[null, 1]])),
        (
            "UPSERT {x: 1} INSERT {y: 0} UPDATE {x: OLD.x + 1} IN c RETURN [OLD.x, NEW.x]",
            json!([[1, 2]]),
        ),
        (
            "UPSERT {x: 99} INSERT {_key: \"n\"} UPDATE {} IN c RETURN [OLD, NEW._key]",
            json!([[null, "n"]]),
        ),
        (
            "INSERT {_key: \"a\", z: 1} INTO c OPTIONS {overwriteMode: \"update\"} RETURN NEW.x",
            json!([2]),
        ),
        ("INSERT {_key: \"a\"} INTO c OPTIONS {ignoreErrors: true} RETURN NEW", json!([null])),
        ("REMOVE \"n\" IN c RETURN OLD._key", json!(["n"])),
        ("REMOVE {_key: \"b\"} IN c", json!([])),
    ] {
        assert_eq!(result(&mut client, text, json!({})).await, expected, "{text}");
    }
}

/// A query is one transaction on a single server (documentation, "Limitations of transactions").
#[tokio::test]
async fn a_query_that_fails_has_written_nothing() {
    let (emulator, mut client) = start("3.11.14").await;
    let text = "FOR d IN @docs INSERT d INTO c";
    let docs = json!({"docs": [{"_key": "a"}, {"_key": "b"}, {"_key": "a"}]});
    let answer = query(&mut client, text, docs).await;
    assert_eq!(answer.error(), (409, 1210));
    assert_eq!(
        answer.json()["errorMessage"],
        "AQL: unique constraint violated - in index primary of type primary over '_key'; conflicting key: a (while executing)"
    );
    assert_eq!(keys(&emulator, "c").len(), 0);
}

#[tokio::test]
async fn errors_have_the_servers_numbers_and_texts() {
    let (_emulator, mut client) = start("3.11.14").await;
    for (text, binds, expected, message) in [
        ("", json!({}), (400, 1502), "query is empty"),
        (
            "FOR i IN 1..100 FILTER i = 1 LIMIT 2 RETURN i * 3",
            json!({}),
            (400, 1501),
            "AQL: syntax error, unexpected assignment near '= 1 LIMIT 2 RETURN i * 3' at position 1:26 (while parsing)",
        ),
        (
            "RETURN @x",
            json!({}),
            (400, 1551),
            "AQL: no value specified for declared bind parameter 'x' (while parsing)",
        ),
        (
            "RETURN 1",
            json!({"x": 1}),
            (400, 1552),
            "AQL: bind parameter 'x' was not declared in the query (while parsing)",
        ),
        (
            "FOR d IN @@c RETURN d",
            json!({"@c": 1}),
            (400, 1553),
            "AQL: bind parameter '@c' has an invalid value or type (while parsing)",
        ),
        (
            "FOR d IN unknowncoll RETURN d",
            json!({}),
            (404, 1203),
            "AQL: collection or view not found: unknowncoll (while parsing)",
        ),
        (
            "RETURN NOPE(1)",
            json!({}),
            (400, 1540),
            "AQL: usage of unknown function 'NOPE()' (while parsing)",
        ),
        (
            "LET a = 1 LET a = 2 RETURN a",
            json!({}),
            (400, 1511),
            "AQL: variable 'a' is assigned multiple times (while parsing)",
        ),
        (
            "INSERT {} INTO c FOR d IN c RETURN d",
            json!({}),
            (400, 1579),
            "AQL: access after data-modification by collection 'c' (while parsing)",
        ),
        ("REMOVE \"x\" IN c", json!({}), (404, 1202), "AQL: document not found (while executing)"),
    ] {
        let answer = query(&mut client, text, binds).await;
        assert_eq!(answer.error(), expected, "{text}");
        assert_eq!(answer.json()["errorMessage"], message);
    }
    let zero = client.post("/_api/cursor", json!({"query": "RETURN 1", "batchSize": 0})).await;
    assert_eq!(zero.status, 400);
}

#[tokio::test]
async fn pages_come_until_there_are_no_more() {
    let (emulator, mut client) = start("3.11.14").await;
    let body = json!({"query": "FOR i IN 1..5 RETURN i", "batchSize": 2, "count": true});
    let first = client.post("/_api/cursor", body).await.json();
    assert_eq!(
        (&first["result"], &first["count"], &first["hasMore"]),
        (&json!([1, 2]), &json!(5), &json!(true))
    );
    let path = format!("/_api/cursor/{}", first["id"].as_str().unwrap());
    assert_eq!(client.send("PUT", &path, &[], "").await.json()["result"], json!([3, 4]));
    let last = client.send("POST", &path, &[], "").await.json();
    assert_eq!(
        (&last["result"], last.get("id"), last.get("nextBatchId")),
        (&json!([5]), None, None)
    );
    assert_eq!(client.send("POST", &path, &[], "").await.error(), (404, 1600));
    assert_eq!(emulator.open_cursors(), 0);
}

#[tokio::test]
async fn a_cursor_can_be_deleted_and_ends_by_itself() {
    let (emulator, mut client) = start("3.11.14").await;
    let body = json!({"query": "FOR i IN 1..5 RETURN i", "batchSize": 2});
    for end in ["deleted", "expired"] {
        let id = client.post("/_api/cursor", body.clone()).await.json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("/_api/cursor/{id}");
        if end == "deleted" {
            let answer = client.delete(&path).await;
            assert_eq!(
                (answer.status, answer.json()),
                (202, json!({"id": id, "error": false, "code": 202}))
            );
        } else {
            emulator.expire_cursors();
        }
        assert_eq!(client.send("POST", &path, &[], "").await.error(), (404, 1600), "{end}");
        assert_eq!(client.delete(&path).await.error(), (404, 1600));
    }
}

#[tokio::test]
async fn a_page_can_be_had_again_where_that_was_asked_for() {
    let (_emulator, mut client) = start("3.12.10").await;
    let body =
        json!({"query": "FOR i IN 1..3 RETURN i", "batchSize": 2, "options": {"allowRetry": true}});
    let first = client.post("/_api/cursor", body).await.json();
    let path = format!("/_api/cursor/{}", first["id"].as_str().unwrap());
    for _ in 0..2 {
        let page = client.send("POST", &format!("{path}/2"), &[], "").await.json();
        assert_eq!((&page["result"], &page["hasMore"]), (&json!([3]), &json!(false)));
    }
    assert_eq!(client.delete(&path).await.status, 202);
}
