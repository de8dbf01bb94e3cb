//! Named graphs and indexes, as drivers use them.

use serde_json::json;

use crate::support::{Client, keys, start};

async fn graph(client: &mut Client) {
    let definition = json!({"name": "g", "edgeDefinitions": [{"collection": "e", "from": ["v"], "to": ["v"]}], "orphanCollections": ["o"]});
    let answer = client.post("/_api/gharial", definition).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[tokio::test]
async fn vertices_and_edges_are_written_read_and_removed() {
    let (emulator, mut client) = start("3.11.14").await;
    graph(&mut client).await;
    for key in ["a", "b"] {
        let answer =
            client.post("/_api/gharial/g/vertex/v?returnNew=true", json!({"_key": key})).await;
        assert_eq!(
            (answer.status, &answer.json()["vertex"]["_key"], &answer.json()["new"]["_id"]),
            (202, &json!(key), &json!(format!("v/{key}")))
        );
        assert!(answer.header("etag").is_some());
    }
    let edge = json!({"_key": "e1", "_from": "v/a", "_to": "v/b"});
    assert_eq!(client.post("/_api/gharial/g/edge/e", edge).await.json()["edge"]["_key"], "e1");
    assert_eq!(client.get("/_api/gharial/g/edge/e/e1").await.json()["edge"]["_from"], "v/a");
    let patched = client.patch("/_api/gharial/g/vertex/v/a", json!({"x": 1})).await.json();
    assert!(patched["vertex"].get("_oldRev").is_some());
    let stale = client.send("PUT", "/_api/gharial/g/vertex/v/a", &[("if-match", "_x")], "{}").await;
    assert_eq!(stale.error(), (412, 1200));
    for (body, expected) in [
        (json!({"_from": "v/none", "_to": "v/b"}), (404, 1202)),
        (json!({"_from": "c/a", "_to": "v/b"}), (400, 1906)),
        (json!({"_to": "v/b"}), (400, 1233)),
    ] {
        assert_eq!(client.post("/_api/gharial/g/edge/e", body).await.error(), expected);
    }
    // With a vertex, its edges go.
    assert_eq!(client.delete("/_api/gharial/g/vertex/v/a").await.json()["removed"], true);
    assert_eq!(keys(&emulator, "e").len(), 0);
    assert_eq!(client.get("/_api/gharial/g/vertex/none/a").await.error(), (404, 1926));
    assert_eq!(client.get("/_api/gharial/none/vertex/v/a").await.error(), (404, 1924));
}

#[tokio::test]
async fn a_graph_is_defined_and_dropped() {
    let (emulator, mut client) = start("3.11.14").await;
    graph(&mut client).await;
    assert_eq!(client.post("/_api/gharial", json!({"name": "g"})).await.error(), (409, 1925));
    assert_eq!(client.get("/_api/gharial/g/vertex").await.json()["collections"], json!(["o", "v"]));
    assert_eq!(client.post("/_api/gharial/g/vertex", json!({"collection": "p"})).await.status, 202);
    assert_eq!(client.delete("/_api/gharial/g/vertex/p").await.status, 202);
    let more = json!({"collection": "f", "from": ["v"], "to": ["w"]});
    assert_eq!(client.post("/_api/gharial/g/edge", more).await.status, 202);
    assert_eq!(client.delete("/_api/gharial/g/edge/f").await.status, 202);
    assert_eq!(client.delete("/_api/gharial/g?dropCollections=true").await.json()["removed"], true);
    assert_eq!(client.get("/_api/gharial").await.json()["graphs"], json!([]));
    assert_eq!(emulator.documents("_system", "e"), None);
}

#[tokio::test]
async fn a_unique_index_refuses_what_is_there() {
    let (emulator, mut client) = start("3.11.14").await;
    let index = json!({"type": "persistent", "fields": ["n"], "unique": true, "name": "by_n"});
    let path = "/_api/index?collection=c";
    let made = client.post(path, index.clone()).await;
    assert_eq!((made.status, &made.json()["isNewlyCreated"]), (201, &json!(true)));
    let again = client.post(path, index.clone()).await;
    assert_eq!((again.status, &again.json()["isNewlyCreated"]), (200, &json!(false)));
    client.post("/_api/document/c", json!({"_key": "a", "n": 1})).await;
    let refused = client.post("/_api/document/c", json!({"_key": "b", "n": 1})).await;
    assert_eq!(refused.error(), (409, 1210));
    assert_eq!(
        refused.json()["errorMessage"],
        "unique constraint violated - in index by_n of type persistent over 'n'; conflicting key: a"
    );
    // What is changed or removed makes room.
    client.patch("/_api/document/c/a", json!({"n": 2})).await;
    assert_eq!(client.post("/_api/document/c", json!({"_key": "b", "n": 1})).await.status, 202);
    client.delete("/_api/document/c/b").await;
    assert_eq!(client.patch("/_api/document/c/a", json!({"n": 1})).await.status, 202);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(client.delete(&format!("/_api/index/{id}")).await.status, 200);
    assert_eq!(client.post("/_api/document/c", json!({"_key": "b", "n": 1})).await.status, 202);
    // And now there is no such index to be made.
    assert_eq!(client.post(path, index).await.error(), (409, 1210));
    assert_eq!(keys(&emulator, "c"), ["a", "b"]);
    assert_eq!(client.get(path).await.json()["indexes"].as_array().unwrap().len(), 1);
}
