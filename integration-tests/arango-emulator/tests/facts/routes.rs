//! Collections, databases, versions and jobs.

use serde_json::json;

use crate::support::{Client, start};

#[tokio::test]
async fn collections_have_names_by_the_rules_and_only_once() {
    let (_emulator, mut client) = start("3.11.14").await;
    for (body, expected) in [
        (json!({"name": "c"}), (409, 1207)),
        (json!({"name": ""}), (400, 1208)),
        (json!({"name": "1c"}), (400, 1208)),
        (json!({"name": "_c"}), (400, 1208)),
        (json!({"name": "a/b"}), (400, 1208)),
        (json!({}), (400, 1208)),
    ] {
        assert_eq!(client.post("/_api/collection", body.clone()).await.error(), expected, "{body}");
    }
    assert_eq!(client.delete("/_api/collection/none").await.error(), (404, 1203));
    assert_eq!(client.get("/_api/collection/none/count").await.error(), (404, 1203));
    assert_eq!(client.delete("/_api/collection/_graphs").await.error(), (403, 11));
}

#[tokio::test]
async fn a_collection_is_found_by_its_id_and_answers_where_it_was_asked() {
    let (_emulator, mut client) = start("3.11.14").await;
    let id = client.get("/_api/collection/c").await.json()["id"].as_str().unwrap().to_owned();
    let answer = client.get(&format!("/_api/collection/{id}/count")).await;
    assert_eq!((&answer.json()["name"], &answer.json()["count"]), (&json!("c"), &json!(0)));
    let location = format!("/_db/_system/_api/collection/{id}/count");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    let changed = client.put("/_api/collection/c/properties", json!({"waitForSync": true})).await;
    assert_eq!(changed.json()["waitForSync"], true);
    assert_eq!(client.post("/_api/document/c", json!({"_key": "5"})).await.status, 201);
    let properties = client.get("/_api/collection/c/properties").await.json();
    assert_eq!(properties["keyOptions"]["lastValue"], 5);
    client.put("/_api/collection/c/rename", json!({"name": "d"})).await;
    assert_eq!(client.get("/_api/document/d/5").await.json()["_id"], "d/5");
    client.put("/_api/collection/d/truncate", json!({})).await;
    assert_eq!(client.get("/_api/collection/d/count").await.json()["count"], 0);
}

#[tokio::test]
async fn databases_are_apart_and_are_made_in_the_system_database() {
    let (emulator, mut client) = start("3.11.14").await;
    assert_eq!(client.post("/_api/database", json!({"name": "other"})).await.status, 201);
    assert_eq!(client.post("/_api/database", json!({"name": "other"})).await.error(), (409, 1207));
    assert_eq!(
        client.post("/_db/other/_api/database", json!({"name": "x"})).await.error(),
        (403, 1230)
    );
    assert_eq!(client.get("/_db/other/_api/document/c/k").await.error(), (404, 1203));
    assert_eq!(
        client.get("/_db/other/_api/database/current").await.json()["result"]["name"],
        "other"
    );
    assert_eq!(client.get("/_api/database").await.json()["result"], json!(["_system", "other"]));
    assert_eq!(client.delete("/_api/database/other").await.json()["result"], true);
    assert_eq!(client.get("/_db/other/_api/version").await.error(), (404, 1228));
    assert_eq!(emulator.documents("other", "c"), None);
}

#[tokio::test]
async fn the_version_is_told_as_each_release_does() {
    for (version, keys) in [("3.11.14", 3), ("3.12.7", 3), ("3.12.8", 6), ("4.0.0-devel", 6)] {
        let (_emulator, mut client) = start(version).await;
        let body = client.get("/_api/version").await.json();
        assert_eq!((&body["version"], body.as_object().unwrap().len()), (&json!(version), keys));
    }
    let (_emulator, mut client) = start("4.0.0").await;
    assert_eq!(client.send("PUT", "/_api/version", &[], "").await.status, 405);
    assert_eq!(client.send("PUT", "/_api/cursor/1", &[], "").await.status, 405);
}

#[tokio::test]
async fn a_server_can_be_a_coordinator_or_be_starting() {
    let (emulator, mut client) = start("3.12.10").await;
    assert_eq!(client.get("/_admin/server/role").await.json()["role"], "SINGLE");
    assert_eq!(client.get("/_api/cluster/health").await.error(), (404, 404));
    emulator.switch(|settings| settings.coordinator = true);
    assert_eq!(client.get("/_admin/server/role").await.json()["role"], "COORDINATOR");
    assert_eq!(client.get("/_api/cluster/health").await.status, 200);
    let properties = client.get("/_api/collection/c/properties").await.json();
    assert_eq!(properties["numberOfShards"], 3);
    assert_eq!(client.get("/_api/database/current").await.json()["result"]["sharding"], "");
    emulator.switch(|settings| settings.one_shard = true);
    assert_eq!(client.get("/_api/database/current").await.json()["result"]["sharding"], "single");
    emulator.switch(|settings| settings.starting = true);
    assert_eq!(client.get("/_api/document/c/k").await.error(), (503, 503));
    assert_eq!(client.get("/_api/version").await.status, 200);
}

async fn done(client: &mut Client) {
    while client.get("/_api/job/pending").await.json() != json!([]) {}
}

/// Documentation, "HTTP interface for jobs".
#[tokio::test]
async fn a_job_keeps_its_answer_until_it_is_fetched() {
    let (_emulator, mut client) = start("3.11.14").await;
    let stored = [("x-arango-async", "store")];
    let started = client.send("POST", "/_api/document/c", &stored, r#"{"_key":"k"}"#).await;
    assert_eq!((started.status, started.body.len()), (202, 0));
    let id = started.header("x-arango-async-id").unwrap().to_owned();
    done(&mut client).await;
    assert_eq!(client.get("/_api/job/done").await.json(), json!([id]));
    let path = format!("/_api/job/{id}");
    assert_eq!(client.get(&path).await.status, 200);
    let fetched = client.send("PUT", &path, &[], "").await;
    assert_eq!((fetched.status, fetched.header("x-arango-async-id")), (202, Some(id.as_str())));
    assert_eq!(
        (fetched.json()["_key"].as_str(), fetched.header("etag").is_some()),
        (Some("k"), true)
    );
    assert_eq!(client.send("PUT", &path, &[], "").await.error(), (404, 404));
}

#[tokio::test]
async fn a_job_can_be_forgotten_at_once() {
    let (emulator, mut client) = start("3.11.14").await;
    let started = client
        .send("POST", "/_api/document/c", &[("x-arango-async", "true")], r#"{"_key":"k"}"#)
        .await;
    assert_eq!((started.status, started.header("x-arango-async-id")), (202, None));
    while emulator.documents("_system", "c").unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}
