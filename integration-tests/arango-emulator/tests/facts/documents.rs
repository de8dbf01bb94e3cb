//! Single documents. By `RestDocumentHandler.cpp`, `RestVocbaseBaseHandler.cpp`, and the chapters
//! "Documents" of the HTTP interface and of the concepts.

use serde_json::{Value, json};

use crate::support::{Client, keys, start};

async fn rev(client: &mut Client, key: &str) -> String {
    client.get(&format!("/_api/document/c/{key}")).await.json()["_rev"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn keys_are_what_the_naming_rules_allow() {
    let (_emulator, mut client) = start("3.12.10").await;
    let long = "x".repeat(254);
    for good in ["a", "A9", "_-.@()+,=;$!*':%", long.as_str()] {
        let answer = client.post("/_api/document/c", json!({"_key": good})).await;
        assert_eq!(answer.status, 202, "{good}");
        let location = answer.header("location").unwrap().to_owned();
        assert_eq!(client.get(&location).await.json()["_key"], *good, "{location}");
    }
    let too_long = "x".repeat(255);
    let bad = [
        json!(""),
        json!("a/b"),
        json!("ä"),
        json!("a b"),
        json!("a\"b"),
        json!("a#b"),
        json!(too_long),
        json!(null),
        json!(1),
        json!(true),
        json!({}),
        json!([]),
    ];
    for key in bad {
        let answer = client.post("/_api/document/c", json!({"_key": key})).await;
        assert_eq!(answer.error(), (400, 1221), "{key}");
        assert_eq!(answer.json()["errorMessage"], "illegal document key");
    }
}

#[tokio::test]
async fn a_collection_can_make_its_keys_alone() {
    let (emulator, mut client) = start("3.12.10").await;
    let options = json!({"name": "own", "keyOptions": {"allowUserKeys": false, "type": "autoincrement", "increment": 5, "offset": 2}});
    client.post("/_api/collection", options).await;
    assert_eq!(client.post("/_api/document/own", json!({"_key": "a"})).await.error(), (400, 1222));
    for _ in 0..3 {
        client.post("/_api/document/own", json!({})).await;
    }
    assert_eq!(keys(&emulator, "own"), ["12", "2", "7"]);
    client.post("/_api/collection", json!({"name": "p", "keyOptions": {"type": "padded"}})).await;
    client.post("/_api/collection", json!({"name": "u", "keyOptions": {"type": "uuid"}})).await;
    client.post("/_api/document/p", json!({})).await;
    client.post("/_api/document/u", json!({})).await;
    assert_eq!(keys(&emulator, "p")[0].len(), 16);
    assert_eq!(keys(&emulator, "u")[0].len(), 36);
}

#[tokio::test]
async fn what_the_server_keeps_itself_is_ignored_in_a_body() {
    let (_emulator, mut client) = start("3.12.10").await;
    let sent = json!({"_key": "a", "_id": "other/b", "_rev": "_x", "v": 1});
    client.post("/_api/document/c", sent).await;
    let found = client.get("/_api/document/c/a").await.json();
    assert_eq!((&found["_id"], &found["v"]), (&json!("c/a"), &json!(1)));
    assert_ne!(found["_rev"], "_x");
}

#[tokio::test]
async fn edges_need_two_ends() {
    let (_emulator, mut client) = start("3.12.10").await;
    client.post("/_api/collection", json!({"name": "e", "type": 3})).await;
    for (from, to, expected) in [
        (json!("c/a"), json!("c/b"), 0),
        (json!("a"), json!("c/b"), 1233),
        (json!("c/a"), json!(null), 1233),
        (json!(1), json!("c/b"), 1233),
    ] {
        let answer = client.post("/_api/document/e", json!({"_from": from, "_to": to})).await;
        assert_eq!(answer.json()["errorNum"].as_u64().unwrap_or(0), expected, "{from} {to}");
    }
}

#[tokio::test]
async fn a_failed_precondition_is_412_and_names_what_is_there() {
    let (_emulator, mut client) = start("3.11.14").await;
    client.post("/_api/document/c", json!({"_key": "a"})).await;
    let stored = rev(&mut client, "a").await;
    let other = [("if-match", "\"_other\"")];
    for (method, path, body) in [
        ("PUT", "/_api/document/c/a", "{}"),
        ("PATCH", "/_api/document/c/a", "{}"),
        ("DELETE", "/_api/document/c/a", ""),
        ("GET", "/_api/document/c/a", ""),
    ] {
        let answer = client.send(method, path, &other, body).await;
        assert_eq!(answer.error(), (412, 1200), "{method}");
        let body = answer.json();
        assert_eq!(
            (&body["_key"], &body["_rev"], &body["_id"]),
            (&json!("a"), &json!(stored), &json!("c/a"))
        );
        assert_eq!(answer.header("etag"), Some(format!("\"{stored}\"").as_str()));
        assert_eq!(answer.header("location"), None);
    }
    // In the body it counts where it is said so, and is 412 too.
    let body = json!({"_rev": "_other"});
    assert_eq!(client.patch("/_api/document/c/a", body.clone()).await.status, 202);
    assert_eq!(
        client.patch("/_api/document/c/a?ignoreRevs=false", body).await.error(),
        (412, 1200)
    );
}

#[tokio::test]
async fn quotes_around_a_revision_may_be_missing() {
    let (_emulator, mut client) = start("3.11.14").await;
    client.post("/_api/document/c", json!({"_key": "a"})).await;
    for quote in ["", "\"", "'"] {
        let rev = rev(&mut client, "a").await;
        let header = format!("{quote}{rev}{quote}");
        let answer =
            client.send("PATCH", "/_api/document/c/a", &[("if-match", &header)], "{}").await;
        assert_eq!(answer.status, 202, "{header}");
    }
}

#[tokio::test]
async fn a_document_that_is_known_is_304_without_a_body() {
    let (_emulator, mut client) = start("3.11.14").await;
    client.post("/_api/document/c", json!({"_key": "a"})).await;
    let rev = format!("\"{}\"", rev(&mut client, "a").await);
    for method in ["GET", "HEAD"] {
        let answer =
            client.send(method, "/_api/document/c/a", &[("if-none-match", &rev)], "").await;
        assert_eq!((answer.status, answer.body.len()), (304, 0));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("etag"), Some(rev.as_str()));
        let answer =
            client.send(method, "/_api/document/c/a", &[("if-none-match", "\"_x\"")], "").await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_head_says_how_long_the_body_would_be() {
    let (_emulator, mut client) = start("3.11.14").await;
    client.post("/_api/document/c", json!({"_key": "a", "v": "x"})).await;
    let whole = client.get("/_api/document/c/a").await;
    let head = client.send("HEAD", "/_api/document/c/a", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    assert_eq!(client.send("HEAD", "/_api/document/c/none", &[], "").await.status, 404);
}

#[tokio::test]
async fn an_insert_can_overwrite_in_each_of_its_ways() {
    for (mode, status, stored) in [
        ("overwriteMode=conflict", 409, json!({"a": 1, "n": {"x": 1}})),
        ("overwriteMode=ignore", 202, json!({"a": 1, "n": {"x": 1}})),
        ("overwriteMode=replace", 202, json!({"b": 2, "n": {"y": null}})),
        ("overwrite=true", 202, json!({"b": 2, "n": {"y": null}})),
        // The source's default of keepNull, not the documentation's.
        ("overwriteMode=update", 202, json!({"a": 1, "b": 2, "n": {"x": 1}})),
        (
            "overwriteMode=update&keepNull=true",
            202,
            json!({"a": 1, "b": 2, "n": {"x": 1, "y": null}}),
        ),
        (
            "overwriteMode=update&keepNull=1&mergeObjects=0",
            202,
            json!({"a": 1, "b": 2, "n": {"y": null}}),
        ),
        ("overwriteMode=whatever", 409, json!({"a": 1, "n": {"x": 1}})),
        ("overwriteMode=whatever&overwrite=1", 202, json!({"b": 2, "n": {"y": null}})),
    ] {
        let (emulator, mut client) = start("3.12.10").await;
        let first = client
            .post("/_api/document/c", json!({"_key": "k", "a": 1, "n": {"x": 1}}))
            .await
            .json();
        let second = json!({"_key": "k", "b": 2, "n": {"y": null}});
        let answer = client
            .post(&format!("/_api/document/c?{mode}&returnOld=true&returnNew=true"), second)
            .await;
        assert_eq!(answer.status, status, "{mode}");
        let mut found = emulator.documents("_system", "c").unwrap().remove(0);
        let map = found.as_object_mut().unwrap();
        map.retain(|name, _| !name.starts_with('_'));
        assert_eq!(found, stored, "{mode}");
        let answer = answer.json();
        if mode.contains("ignore") {
            assert_eq!((&answer["_rev"], &answer["new"]), (&first["_rev"], &Value::Null));
            assert!(answer.get("_oldRev").is_none() && answer.get("old").is_none());
        } else if status == 202 {
            assert_eq!(
                (&answer["_oldRev"], &answer["old"]["a"]),
                (&first["_rev"], &json!(1)),
                "{mode}"
            );
        }
    }
}

/// Changelog of 4.0: `overwrite` is gone.
#[tokio::test]
async fn from_4_0_on_overwrite_is_ignored() {
    let (_emulator, mut client) = start("4.0.0").await;
    client.post("/_api/document/c", json!({"_key": "k"})).await;
    assert_eq!(
        client.post("/_api/document/c?overwrite=true", json!({"_key": "k"})).await.error(),
        (409, 1210)
    );
}

#[tokio::test]
async fn a_version_attribute_keeps_out_what_is_older() {
    let (emulator, mut client) = start("3.12.10").await;
    client.post("/_api/document/c", json!({"_key": "k", "v": 5})).await;
    let path = "/_api/document/c/k?versionAttribute=v";
    let late = client.patch(path, json!({"v": 5, "x": 1})).await.json();
    assert_eq!(late["_rev"], late["_oldRev"]);
    let new = client.patch(path, json!({"v": 6})).await.json();
    assert_ne!(new["_rev"], new["_oldRev"]);
    assert_eq!(emulator.documents("_system", "c").unwrap()[0].get("x"), None);
    // Before 3.12 nobody knew of it.
    emulator.become_version("3.11.14").unwrap();
    let old = client.patch(path, json!({"v": 1})).await.json();
    assert_ne!(old["_rev"], old["_oldRev"]);
}

#[tokio::test]
async fn silent_is_an_empty_object_or_the_error() {
    let (_emulator, mut client) = start("3.11.14").await;
    let answer = client.post("/_api/document/c?silent=true", json!({"_key": "k"})).await;
    assert_eq!((answer.status, answer.json()), (202, json!({})));
    assert_eq!(
        client.post("/_api/document/c?silent=true", json!({"_key": "k"})).await.error(),
        (409, 1210)
    );
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    let (_emulator, mut client) = start("3.11.14").await;
    client.post("/_api/document/c", json!({"_key": "k"})).await;
    for (method, path, body, expected) in [
        ("POST", "/_api/document/c", "1", (400, 1227)),
        ("POST", "/_api/document/c", "\"x\"", (400, 1227)),
        ("POST", "/_api/document/c", "{\"a\":", (400, 600)),
        ("POST", "/_api/document/c", "{\"a\":1,\"a\":2}", (400, 600)),
        ("POST", "/_api/document/c", "{\"a\":\"\\ud800\"}", (400, 600)),
        ("PUT", "/_api/document/c/k", "[]", (400, 1227)),
        ("PATCH", "/_api/document/c/k", "1", (400, 1227)),
        ("PUT", "/_api/document/c", "{}", (400, 1227)),
        ("DELETE", "/_api/document/c", "\"k\"", (400, 400)),
        ("POST", "/_api/document/c/k", "{}", (400, 601)),
        ("POST", "/_api/document", "{}", (400, 1204)),
        ("PATCH", "/_api/document/c/none", "{}", (404, 1202)),
        ("DELETE", "/_api/document/none/k", "", (404, 1203)),
    ] {
        let answer = client.send(method, path, &[], body).await;
        assert_eq!(answer.error(), expected, "{method} {path} {body}");
    }
    // The legacy way to say the collection.
    assert_eq!(client.post("/_api/document?collection=c", json!({})).await.status, 202);
}

/// velocypack's `Parser.cpp`, in its words.
#[tokio::test]
async fn broken_json_is_refused_in_velocypacks_words() {
    let (_emulator, mut client) = start("3.11.14").await;
    for (text, words) in [
        ("{1:2}", "Expecting '\"' or '}'"),
        ("{\"a\" 1}", "Expecting ':'"),
        ("{\"a\":1", "Expecting ',' or '}'"),
        ("[1 2]", "Expecting ',' or ']'"),
        ("{} x", "Expecting EOF"),
        ("{\"a\":x}", "Expecting digit"),
        ("{\"a\":-}", "Expecting digit"),
        ("{\"a\":1.}", "Incomplete number"),
        ("{\"a\":tru}", "Expecting 'true'"),
        ("{\"a\":\"x", "Unfinished string"),
        ("{\"a\":\"\u{1}\"}", "Unexpected control character"),
        ("{\"a\":\"\\x\"}", "Invalid escape sequence"),
        ("\r\n", "Expecting item"),
    ] {
        let answer = client.send("POST", "/_api/document/c", &[], text).await;
        assert_eq!(answer.json()["errorMessage"], format!("VPackError error: {words}"), "{text}");
    }
}

/// `VelocyPack` prints a number with a whole value without a fraction.
#[tokio::test]
async fn numbers_come_back_as_velocypack_prints_them() {
    let (_emulator, mut client) = start("3.12.10").await;
    let body =
        r#"{"_key":"n","a":1.0,"b":0.5,"c":18446744073709551615,"d":-9007199254740993,"e":1e3}"#;
    client.send("POST", "/_api/document/c", &[], body).await;
    let text = client.get("/_api/document/c/n").await.text();
    for part in [
        r#""a":1,"#,
        r#""b":0.5"#,
        r#""c":18446744073709551615"#,
        r#""d":-9007199254740993"#,
        r#""e":1000}"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// `HttpResponse.cpp` of the early generation escapes what is not ASCII.
#[tokio::test]
async fn text_that_is_not_ascii_is_escaped_up_to_3_11() {
    for (version, written) in
        [("3.11.14", r#""v":"\u00E4\uD83D\uDE00""#), ("3.12.10", "\"v\":\"ä😀\"")]
    {
        let (_emulator, mut client) = start(version).await;
        client.post("/_api/document/c", json!({"_key": "u", "v": "ä😀"})).await;
        let answer = client.get("/_api/document/c/u").await;
        assert!(answer.text().contains(written), "{}", answer.text());
        assert_eq!(answer.json()["v"], "ä😀");
    }
}
