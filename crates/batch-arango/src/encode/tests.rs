//! The requests that operations become, byte for byte.

use batch_core::{ErrorKind, Key, Operation, Returning};
use serde_json::{Value, json};

use super::*;
use crate::{ArangoQuery, ArangoRequest};

fn single(operation: &Operation) -> (String, Option<String>, String) {
    let mut body = Vec::new();
    let request = single_request(operation.as_ref(), &mut body).unwrap();
    let head = format!("{} {}", request.method, request.path);
    (head, request.if_match.map(Into::into), String::from_utf8(body).unwrap())
}

fn element(operation: &Operation) -> (String, String) {
    let form = Form::of(operation.as_ref()).unwrap();
    let request = array_request(operation.collection_name(), form);
    let mut body = Vec::new();
    write_element(operation.as_ref(), &mut body).unwrap();
    (format!("{} {}", request.method, request.path), String::from_utf8(body).unwrap())
}

fn on(verb: Verb) -> Operation {
    let operation = Operation::on(verb, "students").at("Abby");
    if verb.has_document() { operation.doc(&json!({"age": 20})) } else { operation }
}

const DOC: &str = r#"{"_key":"Abby","age":20}"#;

#[test]
fn each_verb_has_a_request_of_its_own_and_one_for_many() {
    let upsert = "?overwriteMode=update&keepNull=true&mergeObjects=false";
    for (verb, alone, body, many, element_of) in [
        (
            Verb::Insert,
            "POST /_api/document/students".into(),
            DOC,
            "POST /_api/document/students".into(),
            DOC,
        ),
        (
            Verb::Put,
            "POST /_api/document/students?overwriteMode=replace".into(),
            DOC,
            "POST /_api/document/students?overwriteMode=replace".into(),
            DOC,
        ),
        (
            Verb::Upsert,
            format!("POST /_api/document/students{upsert}"),
            DOC,
            format!("POST /_api/document/students{upsert}"),
            DOC,
        ),
        (
            Verb::Replace,
            "PUT /_api/document/students/Abby".into(),
            DOC,
            "PUT /_api/document/students".into(),
            DOC,
        ),
        (
            Verb::Update,
            "PATCH /_api/document/students/Abby?keepNull=true&mergeObjects=false".into(),
            DOC,
            "PATCH /_api/document/students?keepNull=true&mergeObjects=false".into(),
            DOC,
        ),
        (
            Verb::Delete,
            "DELETE /_api/document/students/Abby".into(),
            "",
            "DELETE /_api/document/students".into(),
            r#""Abby""#,
        ),
        (
            Verb::DeleteExisting,
            "DELETE /_api/document/students/Abby".into(),
            "",
            "DELETE /_api/document/students".into(),
            r#""Abby""#,
        ),
        (
            Verb::Get,
            "GET /_api/document/students/Abby".into(),
            "",
            "PUT /_api/document/students?onlyget=true".into(),
            r#""Abby""#,
        ),
    ] {
        let (alone, many): (String, String) = (alone, many);
        assert_eq!(single(&on(verb)), (alone, None, body.to_owned()), "{verb}");
        assert_eq!(element(&on(verb)), (many, element_of.to_owned()), "{verb}");
    }
}

#[test]
fn options_are_parameters_a_header_or_an_attribute() {
    let update = || on(Verb::Update).if_revision("_a1").returning(Returning::New);
    assert_eq!(
        single(&update()),
        (
            "PATCH /_api/document/students/Abby?keepNull=true&mergeObjects=false&returnNew=true"
                .into(),
            Some("\"_a1\"".into()),
            DOC.into()
        )
    );
    assert_eq!(
        element(&update()),
        (
            "PATCH /_api/document/students?keepNull=true&mergeObjects=false&returnNew=true&ignoreRevs=false".into(),
            r#"{"_key":"Abby","_rev":"_a1","age":20}"#.into()
        )
    );
    let delete = on(Verb::DeleteExisting).if_revision("_a1").returning(Returning::Old);
    assert_eq!(
        element(&delete),
        (
            "DELETE /_api/document/students?returnOld=true&ignoreRevs=false".into(),
            r#"{"_key":"Abby","_rev":"_a1"}"#.into()
        )
    );
    // What is deleted has no new state.
    assert_eq!(
        single(&on(Verb::Delete).returning(Returning::New)).0,
        "DELETE /_api/document/students/Abby"
    );
}

#[test]
fn the_parts_of_a_key_are_attributes_before_the_documents_own() {
    let key = || Key::new().part("school", "north/1").part("number", 7).part("active", true);
    let put = Operation::put("students").at(key()).doc_text(r#" { "age" : 20 } "#);
    let (_, body) = element(&put);
    assert_eq!(
        body,
        r#"{"_key":"true!.7!.north!2F1","school":"north/1","number":7,"active":true,"age" : 20 }"#
    );
    let (head, ..) = single(&Operation::get("students").at(key()));
    assert_eq!(head, "GET /_api/document/students/true%21.7%21.north%212F1");
    let empty = Operation::put("s").key("id", "a").doc_text("{}");
    assert_eq!(element(&empty).1, r#"{"_key":"a","id":"a"}"#);
}

#[test]
fn a_document_may_repeat_its_key_and_the_servers_attributes() {
    for text in [
        r#"{"id":"a","age":1}"#,
        r#"{"age":1,"id":null}"#,
        r#"{"_id":"students/a","_key":"a","_rev":"_x","age":1}"#,
        r#"{"\u0069d":"a","\u005frev":1,"age":1}"#,
        r#"{"age":1,"id":"a"}"#,
    ] {
        let put = Operation::put("students").key("id", "a").doc_text(text);
        check(put.as_ref()).unwrap();
        assert_eq!(element(&put).1, r#"{"_key":"a","id":"a","age":1}"#, "{text}");
    }
    // By its string form, as the key itself.
    let put = Operation::put("students").key("id", 7).doc_text(r#"{"id":"7"}"#);
    assert_eq!(element(&put).1, r#"{"_key":"7","id":7}"#);
    // `_key` may say the part itself, or what the server makes of it.
    for text in [r#"{"_key":"a b"}"#, r#"{"_key":"a!20b"}"#] {
        let put = Operation::put("students").key("id", "a b").doc_text(text);
        assert_eq!(element(&put).1, r#"{"_key":"a!20b","id":"a b"}"#, "{text}");
    }
    // Values that only look like the name change nothing.
    let put =
        Operation::put("students").key("id", "a").doc_text(r#"{"x":"id","y":{"id":2,"_key":"z"}}"#);
    assert_eq!(element(&put).1, r#"{"_key":"a","id":"a","x":"id","y":{"id":2,"_key":"z"}}"#);
}

#[test]
fn a_document_that_contradicts_its_key_is_refused_and_leaves_nothing_behind() {
    for (key, text) in [
        (Key::new().part("id", "a"), r#"{"id":"b"}"#),
        (Key::new().part("id", 1), r#"{"id":1.5}"#),
        (Key::new().part("id", "a"), r#"{"\u0069d":"b"}"#),
        (Key::from("a"), r#"{"_key":"b"}"#),
        (Key::new().part("id", "a"), r#"{"_key":"b"}"#),
    ] {
        let put = Operation::put("students").at(key).doc_text(text);
        let mut body = b"[".to_vec();
        for error in
            [check(put.as_ref()).unwrap_err(), write_element(put.as_ref(), &mut body).unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{text}");
            assert!(error.message().contains("contradicts"), "{error}");
        }
        assert_eq!(body, b"[", "{text}");
    }
}

#[test]
fn what_no_server_takes_is_refused_when_it_is_queued() {
    let put = |collection: &'static str| Operation::put(collection).at("a").doc_text("{}");
    let long = "x".repeat(255);
    for (operation, kind, says) in [
        (put("a/b"), ErrorKind::InvalidOperation, "collection's name"),
        (put("a:b"), ErrorKind::InvalidOperation, "collection's name"),
        (put("a\nb"), ErrorKind::InvalidOperation, "collection's name"),
        (put(".."), ErrorKind::InvalidOperation, "collection's name"),
        (put(" a"), ErrorKind::InvalidOperation, "collection's name"),
        (Operation::put("s").key("_rev", "a").doc_text("{}"), ErrorKind::InvalidKey, "`_rev`"),
        (
            Operation::put("s").key("_key", "a").key("b", 1).doc_text("{}"),
            ErrorKind::InvalidKey,
            "`_key`",
        ),
        (Operation::put("s").at(&long).doc_text("{}"), ErrorKind::InvalidKey, "254"),
        (on(Verb::Update).if_revision("a\r\nX-Evil: 1"), ErrorKind::InvalidOperation, "revision"),
        (Operation::aql(" ", ()), ErrorKind::InvalidOperation, "no text"),
        (Operation::cql("SELECT 1", ()), ErrorKind::InvalidOperation, "no kind"),
    ] {
        let error = admit(operation.as_ref()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
    for name in ["students", "_system", "Ünïcödé", "a.b", "x-1"] {
        admit(put(name).as_ref()).unwrap();
    }
    assert_eq!(
        single(&put("Ünï cödé")).0,
        "POST /_api/document/%C3%9Cn%C3%AF%20c%C3%B6d%C3%A9?overwriteMode=replace"
    );
}

#[test]
fn queries_and_requests_are_as_they_were_given() {
    let (head, _, body) = single(&Operation::aql("RETURN \"@a\"\n", json!({"a": [1]})));
    assert_eq!(head, "POST /_api/cursor");
    let read: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        read,
        json!({
            "query": "RETURN \"@a\"\n", "bindVars": {"a": [1]}, "batchSize": 1000,
            "options": {
                "intermediateCommitCount": 9_007_199_254_740_991_u64,
                "intermediateCommitSize": 9_007_199_254_740_991_u64,
            },
        })
    );
    let query = ArangoQuery::new("RETURN 1").options(&json!({"maxRuntime": 3}));
    let (_, _, body) = single(&query.bind(&()));
    let read: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(read["options"]["maxRuntime"], 3);
    assert_eq!(read["options"]["intermediateCommitCount"], 9_007_199_254_740_991_u64);
    let own = ArangoQuery::new("RETURN 1").options(&json!({"intermediateCommitCount": 7}));
    let read: Value = serde_json::from_str(&single(&own.bind(&())).2).unwrap();
    assert_eq!(read["options"], json!({"intermediateCommitCount": 7}));
    assert_eq!(read["bindVars"], json!({}));
    let request = ArangoRequest::put("/_api/document/s/a?returnOld=true").body(&json!({"b": 1}));
    assert_eq!(
        single(&request.if_match("\"_x\"").operation()),
        (
            "PUT /_api/document/s/a?returnOld=true".into(),
            Some("\"_x\"".into()),
            r#"{"b":1}"#.into()
        )
    );
}

#[test]
fn a_size_is_never_less_than_what_is_sent() {
    let awkward = "\u{1}\"\\/ä".repeat(8);
    for operation in [
        on(Verb::Put),
        on(Verb::Delete),
        on(Verb::Get),
        on(Verb::Update).if_revision("_abcdefgh---").returning(Returning::Old),
        Operation::put("Ünïcödé").at(&awkward).doc(&json!({"a": awkward})),
        Operation::put("s").key(&awkward, &*awkward).key("b", 1).doc_text("{}"),
        Operation::update("s").key("id", &*awkward).doc(&json!({"id": awkward})),
        Operation::aql(awkward.clone(), json!({"a": awkward})),
        ArangoQuery::new("RETURN 1").options(&json!({"a": awkward})).bind(&()),
        ArangoRequest::delete("/_api/document/s/a").operation(),
    ] {
        let (head, _, body) = single(&operation);
        let size = size(operation.as_ref());
        assert!(body.len() <= size, "{} of {size}: {head} {body}", body.len());
        if Form::of(operation.as_ref()).is_some() {
            // With what parts it from the next one.
            let (_, body) = element(&operation);
            assert!(body.len() < size, "{} of {size}: {body}", body.len());
            let names = path_size(operation.as_ref());
            assert!(head.len() <= LONGEST_HEAD + names, "{head}: {} with {names}", head.len());
        }
    }
}
