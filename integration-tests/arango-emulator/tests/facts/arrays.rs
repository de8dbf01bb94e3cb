//! Arrays of documents. By `RestDocumentHandler.cpp`, `Transaction/Methods.cpp`, and the server's own
//! tests `document-babies-spec.js` and `document-operations-silent.js`.

use serde_json::{Value, json};

use crate::support::{keys, start};

const C: &str = "/_api/document/c";

#[tokio::test]
async fn each_element_has_its_answer_in_order_and_an_error_has_three_keys() {
    let (emulator, mut client) = start("3.11.14").await;
    let sent = json!([{"_key": "a"}, {"_key": "a"}, {"_key": "/"}, 1, null, {"_key": "b"}]);
    let answer = client.post(C, sent).await;
    assert_eq!(answer.status, 202);
    let body = answer.json();
    let numbers: Vec<u64> =
        body.as_array().unwrap().iter().map(|e| e["errorNum"].as_u64().unwrap_or(0)).collect();
    assert_eq!(numbers, [0, 1210, 1221, 1227, 1227, 0]);
    for element in body.as_array().unwrap().iter().filter(|element| element["error"] == true) {
        assert_eq!(element.as_object().unwrap().len(), 3, "{element}");
    }
    assert_eq!(answer.header("x-arango-error-codes"), Some(r#"{"1210":1,"1221":1,"1227":2}"#));
    assert_eq!((answer.header("etag"), answer.header("location")), (None, None));
    assert_eq!(keys(&emulator, "c"), ["a", "b"]);
}

#[tokio::test]
async fn answers_have_as_many_keys_as_were_asked_for() {
    let (_emulator, mut client) = start("3.11.14").await;
    for (method, query, body, expected) in [
        ("POST", "", json!([{"_key": "a"}]), 3),
        ("POST", "?returnNew=true", json!([{"_key": "b"}]), 4),
        ("PATCH", "", json!([{"_key": "a"}]), 4),
        ("PUT", "?returnOld=true", json!([{"_key": "a"}]), 5),
        ("PATCH", "?returnOld=1&returnNew=1", json!([{"_key": "a"}]), 6),
        ("DELETE", "?returnOld=true", json!(["a"]), 4),
    ] {
        let answer = client.send(method, &format!("{C}{query}"), &[], body.to_string()).await;
        assert_eq!(answer.json()[0].as_object().unwrap().len(), expected, "{method} {query}");
        assert_eq!(answer.header("x-arango-error-codes"), None);
    }
}

#[tokio::test]
async fn silent_leaves_the_errors_alone_or_nothing() {
    let (_emulator, mut client) = start("3.11.14").await;
    let path = format!("{C}?silent=true");
    assert_eq!(client.post(&path, json!([{"_key": "a"}])).await.json(), json!({}));
    let answer = client.post(&path, json!([{"_key": "b"}, {"_key": "a"}, {"_key": "c"}])).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 1);
    assert_eq!(answer.json()[0]["errorNum"], 1210);
    assert_eq!(answer.header("x-arango-error-codes"), Some(r#"{"1210":1}"#));
}

#[tokio::test]
async fn the_status_says_whether_it_was_synced() {
    let (_emulator, mut client) = start("3.11.14").await;
    client.post("/_api/collection", json!({"name": "s", "waitForSync": true})).await;
    for (method, path, body, expected) in [
        ("POST", "/_api/document/c", json!([{"_key": "a"}]), 202),
        ("POST", "/_api/document/c?waitForSync=true", json!([{"_key": "b"}]), 201),
        ("PATCH", "/_api/document/c?waitForSync=1", json!([{"_key": "b"}]), 201),
        ("DELETE", "/_api/document/c?waitForSync=true", json!(["b"]), 200),
        ("POST", "/_api/document/s", json!([{"_key": "a"}]), 201),
        ("DELETE", "/_api/document/s", json!(["a"]), 200),
        ("DELETE", "/_api/document/s", json!(["a"]), 202),
    ] {
        let answer = client.send(method, path, &[], body.to_string()).await;
        assert_eq!(answer.status, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn onlyget_reads_whatever_its_value_is_and_never_says_errors_in_a_header() {
    let (emulator, mut client) = start("3.11.14").await;
    client.post(C, json!([{"_key": "a", "error": true}, {"_key": "b"}])).await;
    for query in ["onlyget=true", "onlyget=false", "onlyget"] {
        let answer =
            client.put(&format!("{C}?{query}"), json!(["a", {"_key": "b"}, "none", "c/a"])).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.header("x-arango-error-codes"), None);
        let body = answer.json();
        let keys: Vec<&str> =
            body.as_array().unwrap().iter().map(|e| e["_key"].as_str().unwrap_or("-")).collect();
        assert_eq!(keys, ["a", "b", "-", "a"]);
        assert_eq!(body[2]["errorNum"], 1202);
    }
    assert_eq!(emulator.documents("_system", "c").unwrap()[0]["error"], true);
    // Without it, the same call replaces.
    client.put(C, json!([{"_key": "a"}])).await;
    let documents = emulator.documents("_system", "c").unwrap();
    let a = documents.iter().find(|document| document["_key"] == "a").unwrap();
    assert_eq!(a.get("error"), None);
}

#[tokio::test]
async fn revisions_count_where_they_are_not_ignored() {
    let (_emulator, mut client) = start("3.11.14").await;
    client.post(C, json!([{"_key": "a"}, {"_key": "b"}])).await;
    let sent = json!([{"_key": "a", "_rev": "_other"}, {"_key": "b"}]);
    for (method, query, expected) in [
        ("PATCH", "", vec![0, 0]),
        ("PATCH", "?ignoreRevs=true", vec![0, 0]),
        ("PATCH", "?ignoreRevs=false", vec![1200, 0]),
        ("PUT", "?ignoreRevs=0", vec![1200, 0]),
        ("PUT", "?onlyget=true&ignoreRevs=false", vec![1200, 0]),
        ("DELETE", "?ignoreRevs=false", vec![1200, 0]),
    ] {
        let answer =
            client.send(method, &format!("{C}{query}"), &[], sent.to_string()).await.json();
        let numbers: Vec<u64> = answer
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["errorNum"].as_u64().unwrap_or(0))
            .collect();
        assert_eq!(numbers, expected, "{method} {query}");
        if numbers[0] == 1200 {
            assert_eq!(answer[0]["errorMessage"], "conflict, _rev values do not match");
        }
    }
}

#[tokio::test]
async fn repeated_keys_are_written_in_order() {
    let (emulator, mut client) = start("3.11.14").await;
    let sent = json!([{"_key": "a", "v": 1}, {"_key": "a", "v": 2}, {"_key": "a", "w": 3}]);
    client.post(&format!("{C}?overwriteMode=update"), sent).await;
    let found = emulator.documents("_system", "c").unwrap();
    assert_eq!((found.len(), &found[0]["v"], &found[0]["w"]), (1, &json!(2), &json!(3)));
}

#[tokio::test]
async fn what_fails_as_a_whole_keeps_nothing() {
    let (emulator, mut client) = start("3.11.14").await;
    assert_eq!(client.post("/_api/document/none", json!([{}])).await.error(), (404, 1203));
    assert_eq!(client.send("POST", C, &[], "[{\"_key\":\"a\"},").await.error(), (400, 600));
    assert_eq!(client.patch(C, json!({"_key": "a"})).await.error(), (400, 1227));
    assert_eq!(keys(&emulator, "c").len(), 0);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(client.send(method, C, &[], "[]").await.json(), json!([]), "{method}");
    }
    let missing = client.patch(C, json!([{}, {"_key": 1}])).await.json();
    assert_eq!((&missing[0]["errorNum"], &missing[1]["errorNum"]), (&json!(1226), &json!(1221)));
    assert_eq!(client.post(C, json!([])).await.json(), Value::Array(Vec::new()));
}
