//! Stream transactions. By `RestTransactionHandler.cpp` and the documentation's chapter on them.

use serde_json::json;

use crate::support::{Client, keys, start};

async fn begin(client: &mut Client, declared: serde_json::Value) -> String {
    let answer = client.post("/_api/transaction/begin", json!({ "collections": declared })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["result"]["id"].as_str().unwrap().to_owned()
}

async fn within(client: &mut Client, id: &str, method: &str, path: &str, body: &str) -> (u16, u64) {
    let answer = client.send(method, path, &[("x-arango-trx-id", id)], body.to_owned()).await;
    (answer.status, answer.json()["errorNum"].as_u64().unwrap_or(0))
}

const C: &str = "/_api/document/c";

#[tokio::test]
async fn nobody_sees_a_transaction_before_its_commit_and_nobody_ever_after_its_abort() {
    for (end, left) in [("PUT", vec!["k"]), ("DELETE", vec![])] {
        let (emulator, mut client) = start("3.12.10").await;
        let id = begin(&mut client, json!({"write": ["c"]})).await;
        assert_eq!(within(&mut client, &id, "POST", C, r#"{"_key":"k"}"#).await, (202, 0));
        assert_eq!(within(&mut client, &id, "GET", "/_api/document/c/k", "").await, (200, 0));
        assert_eq!(client.get("/_api/document/c/k").await.status, 404);
        assert_eq!(keys(&emulator, "c").len(), 0);
        let path = format!("/_api/transaction/{id}");
        let status = if end == "PUT" { "committed" } else { "aborted" };
        // Once more in the same way is fine; the other way is not.
        for _ in 0..2 {
            assert_eq!(client.send(end, &path, &[], "").await.json()["result"]["status"], status);
        }
        let other = if end == "PUT" { "DELETE" } else { "PUT" };
        assert_eq!(client.send(other, &path, &[], "").await.error(), (400, 1653));
        assert_eq!(client.get(&path).await.json()["result"]["status"], status);
        assert_eq!(keys(&emulator, "c"), left);
    }
}

#[tokio::test]
async fn it_sees_what_was_there_at_its_begin() {
    let (_emulator, mut client) = start("3.12.10").await;
    let id = begin(&mut client, json!({"read": "c"})).await;
    client.post(C, json!({"_key": "later"})).await;
    assert_eq!(within(&mut client, &id, "GET", "/_api/document/c/later", "").await, (404, 1202));
    let count =
        client.send("GET", "/_api/collection/c/count", &[("x-arango-trx-id", &id)], "").await;
    assert_eq!(count.json()["count"], 0);
}

#[tokio::test]
async fn a_failed_operation_does_not_end_it() {
    let (emulator, mut client) = start("3.12.10").await;
    let id = begin(&mut client, json!({"write": "c"})).await;
    assert_eq!(within(&mut client, &id, "POST", C, r#"{"_key":"a"}"#).await.0, 202);
    assert_eq!(within(&mut client, &id, "POST", C, r#"{"_key":"a"}"#).await, (409, 1210));
    assert_eq!(within(&mut client, &id, "PATCH", "/_api/document/c/x", "{}").await, (404, 1202));
    client.send("PUT", &format!("/_api/transaction/{id}"), &[], "").await;
    assert_eq!(keys(&emulator, "c"), ["a"]);
}

#[tokio::test]
async fn two_that_write_one_key_conflict_and_the_first_one_stays() {
    let (emulator, mut client) = start("3.12.10").await;
    client.post(C, json!({"_key": "k", "v": 0})).await;
    let first = begin(&mut client, json!({"write": "c"})).await;
    let second = begin(&mut client, json!({"write": "c"})).await;
    assert_eq!(
        within(&mut client, &first, "PATCH", "/_api/document/c/k", r#"{"v":1}"#).await.0,
        202
    );
    assert_eq!(
        within(&mut client, &second, "PATCH", "/_api/document/c/k", r#"{"v":2}"#).await,
        (409, 1200)
    );
    // And so does one outside of transactions, and an insert of a key that is not to be seen yet.
    assert_eq!(client.patch("/_api/document/c/k", json!({"v": 3})).await.error(), (409, 1200));
    assert_eq!(within(&mut client, &first, "POST", C, r#"{"_key":"n"}"#).await.0, 202);
    assert_eq!(client.post(C, json!({"_key": "n"})).await.error(), (409, 1200));
    client.send("PUT", &format!("/_api/transaction/{first}"), &[], "").await;
    // What the second one saw is no longer so.
    assert_eq!(
        within(&mut client, &second, "PATCH", "/_api/document/c/k", r#"{"v":2}"#).await,
        (409, 1200)
    );
    let documents = emulator.documents("_system", "c").unwrap();
    assert!(documents.iter().any(|document| document["v"] == 1));
}

#[tokio::test]
async fn unique_values_of_two_transactions_conflict() {
    let (_emulator, mut client) = start("3.12.10").await;
    client
        .post(
            "/_api/index?collection=c",
            json!({"type": "persistent", "fields": ["n"], "unique": true}),
        )
        .await;
    let first = begin(&mut client, json!({"write": "c"})).await;
    let second = begin(&mut client, json!({"write": "c"})).await;
    assert_eq!(within(&mut client, &first, "POST", C, r#"{"_key":"a","n":1}"#).await.0, 202);
    assert_eq!(within(&mut client, &second, "POST", C, r#"{"_key":"b","n":1}"#).await, (409, 1200));
}

#[tokio::test]
async fn what_is_not_declared_is_not_written_and_is_read_unless_that_is_forbidden() {
    let (_emulator, mut client) = start("3.12.10").await;
    client.collection("d").await;
    let id = begin(&mut client, json!({"write": "d", "read": "c"})).await;
    assert_eq!(within(&mut client, &id, "POST", C, "{}").await, (400, 1652));
    client.collection("e").await;
    let lazy = begin(&mut client, json!({"write": "d"})).await;
    assert_eq!(within(&mut client, &lazy, "GET", "/_api/document/e/x", "").await, (404, 1202));
    let strict = json!({"collections": {"write": "d"}, "allowImplicit": false});
    let strict = client.post("/_api/transaction/begin", strict).await.json();
    let strict = strict["result"]["id"].as_str().unwrap().to_owned();
    assert_eq!(within(&mut client, &strict, "GET", "/_api/document/e/x", "").await, (400, 1652));
}

#[tokio::test]
async fn one_that_is_not_there_is_404_and_one_that_was_aborted_410() {
    let (emulator, mut client) = start("3.12.10").await;
    assert_eq!(within(&mut client, "4711", "GET", "/_api/document/c/k", "").await, (404, 1655));
    assert_eq!(within(&mut client, "x", "GET", "/_api/document/c/k", "").await, (400, 10));
    assert_eq!(client.get("/_api/transaction/4711").await.error(), (404, 1655));
    let id = begin(&mut client, json!({"write": "c"})).await;
    emulator.expire_transactions();
    assert_eq!(within(&mut client, &id, "POST", C, "{}").await, (410, 1654));
    assert_eq!(
        client.send("PUT", &format!("/_api/transaction/{id}"), &[], "").await.error(),
        (400, 1653)
    );
    assert_eq!(emulator.running_transactions().len(), 0);
}

/// `executeCommit` of the source asks for no body, so one that is there changes nothing.
#[tokio::test]
async fn a_commit_may_have_a_body() {
    for version in ["3.11.14", "3.12.10"] {
        let (emulator, mut client) = start(version).await;
        let id = begin(&mut client, json!({"write": ["c"]})).await;
        assert_eq!(within(&mut client, &id, "POST", C, r#"{"_key":"k"}"#).await, (202, 0));
        let answer = client.send("PUT", &format!("/_api/transaction/{id}"), &[], "{}").await;
        assert_eq!((answer.status, &answer.json()["result"]["status"]), (200, &json!("committed")));
        assert_eq!(keys(&emulator, "c"), ["k"]);
    }
}

#[tokio::test]
async fn who_waits_until_nothing_is_open_is_woken_by_each_way_to_end() {
    let (emulator, mut client) = start("3.12.10").await;
    for method in ["PUT", "DELETE"] {
        let id = begin(&mut client, json!({"write": ["c"]})).await;
        let path = format!("/_api/transaction/{id}");
        tokio::join!(emulator.until_nothing_is_open(), client.send(method, &path, &[], ""));
    }
    begin(&mut client, json!({"write": ["c"]})).await;
    tokio::join!(emulator.until_nothing_is_open(), async { emulator.expire_transactions() });
    let query = json!({"query": "FOR i IN 1..5 RETURN i", "batchSize": 2});
    client.post("/_api/cursor", query).await;
    assert_eq!(emulator.open_cursors(), 1);
    tokio::join!(emulator.until_nothing_is_open(), async { emulator.expire_cursors() });
}

#[tokio::test]
async fn one_that_nobody_uses_for_its_idle_time_is_gone() {
    let (emulator, mut client) = start("3.12.10").await;
    assert_eq!(emulator.settings().transaction_seconds, 60.0);
    let id = begin(&mut client, json!({"write": "c"})).await;
    assert_eq!(within(&mut client, &id, "POST", C, r#"{"_key":"k"}"#).await.0, 202);
    // Any time at all is longer than this.
    emulator.switch(|settings| settings.transaction_seconds = 0.0);
    assert_eq!(within(&mut client, &id, "GET", "/_api/document/c/k", "").await, (410, 1654));
    assert_eq!(keys(&emulator, "c").len(), 0);
}

#[tokio::test]
async fn one_that_grows_over_its_ceiling_is_error_32() {
    let (emulator, mut client) = start("3.12.10").await;
    emulator.switch(|settings| settings.transaction_bytes = Some(1000));
    let id = begin(&mut client, json!({"write": "c"})).await;
    let body = json!({"v": "x".repeat(600)}).to_string();
    assert_eq!(within(&mut client, &id, "POST", C, &body).await, (202, 0));
    assert_eq!(within(&mut client, &id, "POST", C, &body).await, (500, 32));
}

#[tokio::test]
async fn an_exclusive_one_keeps_writers_waiting() {
    let (emulator, mut client) = start("3.12.10").await;
    let id = begin(&mut client, json!({"exclusive": "c"})).await;
    let mut other = Client::new(&emulator).await;
    let writing = tokio::spawn(async move { other.post(C, json!({"_key": "k"})).await.status });
    emulator.until_seen(|seen| seen.iter().any(|seen| seen.target == C)).await;
    assert_eq!(keys(&emulator, "c").len(), 0);
    assert!(!writing.is_finished());
    client.send("PUT", &format!("/_api/transaction/{id}"), &[], "").await;
    assert_eq!(writing.await.unwrap(), 202);
}

#[tokio::test]
async fn running_ones_are_listed() {
    let (_emulator, mut client) = start("3.12.10").await;
    let id = begin(&mut client, json!({"write": "c"})).await;
    let listed = client.get("/_api/transaction").await.json();
    assert_eq!(listed, json!({"transactions": [{"id": id, "state": "running"}]}));
    assert_eq!(client.post("/_api/transaction/begin", json!({})).await.error(), (400, 10));
}

/// Graph routes and queries work within it too (documentation, "Stream transactions").
#[tokio::test]
async fn queries_and_truncates_work_within_it() {
    let (emulator, mut client) = start("3.12.10").await;
    client.post(C, json!([{"_key": "a"}, {"_key": "b"}])).await;
    let id = begin(&mut client, json!({"write": "c"})).await;
    let query = json!({"query": "FOR d IN c REMOVE d IN c"}).to_string();
    assert_eq!(within(&mut client, &id, "POST", "/_api/cursor", &query).await.0, 201);
    assert_eq!(keys(&emulator, "c").len(), 2);
    client.send("DELETE", &format!("/_api/transaction/{id}"), &[], "").await;
    let id = begin(&mut client, json!({"write": "c"})).await;
    assert_eq!(within(&mut client, &id, "PUT", "/_api/collection/c/truncate", "").await.0, 200);
    assert_eq!(keys(&emulator, "c").len(), 2);
    client.send("PUT", &format!("/_api/transaction/{id}"), &[], "").await;
    assert_eq!(keys(&emulator, "c").len(), 0);
}
