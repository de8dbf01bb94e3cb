//! Who may ask. By `CommTask.cpp`, `RestAuthHandler.cpp`, and the documentation's chapter on
//! authentication.

use arango_emulator::Emulator;
use serde_json::json;

use crate::support::{Client, MULTIPART, inserts, keys};

async fn start(version: &str) -> (Emulator, Client) {
    let emulator =
        Emulator::builder().version(version).auth("root", "passwd").start().await.unwrap();
    let client = Client::new(&emulator).await;
    (emulator, client)
}

const BASIC: (&str, &str) = ("authorization", "Basic cm9vdDpwYXNzd2Q=");

#[tokio::test]
async fn without_a_password_nothing_is_told_and_nothing_runs() {
    let (emulator, mut client) = start("3.11.14").await;
    client.send("POST", "/_api/collection", &[BASIC], r#"{"name":"c"}"#).await;
    for header in
        [("x-none", ""), ("authorization", "Basic cm9vdDp4"), ("authorization", "Bearer x.y.z")]
    {
        let answer =
            client.send("POST", "/_api/batch", &[MULTIPART, header], inserts(&["a"])).await;
        assert_eq!(answer.error(), (401, 11));
        let text = r#"{"error":true,"errorNum":11,"errorMessage":"not authorized to execute this request","code":401}"#;
        assert_eq!(answer.text(), text);
        let challenges = &answer.headers["www-authenticate"];
        assert_eq!(challenges[0], "Basic, realm=\"ArangoDB\"");
        assert_eq!(challenges[1], "Bearer, token_type=\"JWT\", realm=\"ArangoDB\"");
        let quiet = client
            .send("GET", "/_api/version", &[header, ("x-omit-www-authenticate", "1")], "")
            .await;
        assert_eq!((quiet.status, quiet.header("www-authenticate")), (401, None));
    }
    assert_eq!(keys(&emulator, "c").len(), 0);
    // Nobody learns which databases there are.
    assert_eq!(client.get("/_db/none/_api/version").await.error(), (401, 11));
    assert_eq!(
        client.send("GET", "/_db/none/_api/version", &[BASIC], "").await.error(),
        (404, 1228)
    );
}

#[tokio::test]
async fn some_paths_are_open() {
    let (_emulator, mut client) = start("3.11.14").await;
    assert_eq!(client.get("/_admin/server/availability").await.status, 200);
    assert_eq!(client.send("OPTIONS", "/_api/version", &[], "").await.status, 200);
    assert_eq!(client.get("/_api/version").await.status, 401);
}

#[tokio::test]
async fn a_token_is_good_until_its_end() {
    let (emulator, mut client) = start("3.11.14").await;
    let user = json!({"username": "root", "password": "passwd"});
    let token =
        client.post("/_open/auth", user.clone()).await.json()["jwt"].as_str().unwrap().to_owned();
    for scheme in ["Bearer", "bearer"] {
        let header = format!("{scheme} {token}");
        let answer = client.send("GET", "/_api/version", &[("authorization", &header)], "").await;
        assert_eq!(answer.status, 200);
    }
    emulator.expire_tokens();
    let header = format!("bearer {token}");
    assert_eq!(
        client.send("GET", "/_api/version", &[("authorization", &header)], "").await.error(),
        (401, 11)
    );
    emulator.switch(|settings| settings.token_seconds = -10.0);
    let ended = client.post("/_open/auth", user).await.json()["jwt"].as_str().unwrap().to_owned();
    let header = format!("bearer {ended}");
    assert_eq!(
        client.send("GET", "/_api/version", &[("authorization", &header)], "").await.error(),
        (401, 11)
    );
}

#[tokio::test]
async fn a_token_is_asked_for_as_the_handler_wants() {
    let (_emulator, mut client) = start("3.11.14").await;
    let wrong = client.post("/_open/auth", json!({"username": "root", "password": "x"})).await;
    assert_eq!(wrong.error(), (401, 401));
    assert_eq!(wrong.json()["errorMessage"], "Wrong credentials");
    assert_eq!(client.post("/_open/auth", json!({"username": "root"})).await.error(), (400, 400));
    assert_eq!(client.get("/_open/auth").await.error(), (405, 405));
    let open = Emulator::builder().start().await.unwrap();
    let mut client = Client::new(&open).await;
    assert_eq!(
        client.post("/_open/auth", json!({"username": "root", "password": ""})).await.status,
        404
    );
}

/// Recorded of 3.12.10.
#[tokio::test]
async fn access_tokens_are_passwords() {
    let (_emulator, mut client) = start("3.12.10").await;
    let made = client.send("POST", "/_api/token/root", &[BASIC], r#"{"name":"t"}"#).await;
    assert_eq!(made.status, 200);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let mut with = Client::new(&_emulator).await;
    let basic = base64_of(&format!(":{token}"));
    let header = [("authorization", basic.as_str())];
    assert_eq!(with.send("GET", "/_api/version", &header, "").await.status, 200);
    let listed = with.send("GET", "/_api/token/root", &header, "").await.json();
    assert_eq!(listed["tokens"][0].get("token"), None);
    let path = format!("/_api/token/root/{}", listed["tokens"][0]["id"]);
    let gone = with.send("DELETE", &path, &header, "").await;
    assert_eq!((gone.status, gone.body.len()), (200, 0));
    assert_eq!(with.send("GET", "/_api/version", &header, "").await.status, 401);
}

fn base64_of(text: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    format!("Basic {}", BASE64_STANDARD.encode(text))
}
