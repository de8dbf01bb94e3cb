//! Keys: which are the same, which are not, which are refused.

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, Error, ErrorKind, Key, KeyValue, Operation, Verb,
};
use serde_json::{Value, json};

use crate::{
    Case, Context,
    case::case,
    context::{abby, aged, assert_applied, commit_on},
};

pub(super) const CASES: &[Case] = &[
    case!(
        keys,
        a_bare_string_is_the_single_part,
        [],
        "A bare string is the single part, named `_key` where the store has no schema."
    ),
    case!(
        keys,
        any_text_is_a_key_of_its_own,
        [],
        "A key is an ordered list of named parts: strings, integers, booleans."
    ),
    case!(
        keys,
        a_number_and_its_text_are_one_key,
        [StringFormKeys],
        "By string form (`1` and `\"1\"`) is the rule on memory and ArangoDB."
    ),
    case!(
        keys,
        lists_of_parts_with_other_string_forms_are_other_keys,
        [StringFormKeys],
        "The string forms joined with an escaping that is one-to-one on lists of string forms."
    ),
    case!(
        keys,
        the_order_in_which_parts_are_named_does_not_matter,
        [StringFormKeys],
        "A key's parts are taken by attribute name where there is no schema."
    ),
    case!(
        keys,
        the_parts_of_the_key_are_attributes_of_the_document,
        [],
        "The key's attributes themselves are stored too."
    ),
    case!(
        keys,
        a_document_may_repeat_its_key_and_not_contradict_it,
        [],
        "The key's attributes themselves are stored too, so a document may not say others."
    ),
    case!(
        keys,
        the_attribute_of_bare_keys_may_not_contradict_a_named_key,
        [StringFormKeys],
        "A bare string is the single part, named `_key` where the store has no schema."
    ),
    case!(
        keys,
        a_key_with_a_mistake_is_refused_at_queue,
        [],
        "Strings, integers, booleans; anything else is `InvalidKey`."
    ),
];

async fn a_bare_string_is_the_single_part(context: Context) {
    context.given("a", &abby()).await;
    let collection = context.collection().to_owned();
    let bare = Operation::upsert(collection.clone()).at("a").doc(&aged(21));
    let (jobs, _) = context.commit([bare]).await;
    assert_applied(&jobs);
    let mut merged = abby();
    merged["age"] = 21.into();
    context.expect("a", &merged).await;
    let (jobs, _) = context.commit([Operation::delete(collection).at("a")]).await;
    assert_applied(&jobs);
    context.expect_absent("a").await;
}

async fn any_text_is_a_key_of_its_own(context: Context) {
    let ids = [
        "a", "A", "a b", "a/b", "a~1b", "a~b", "a:b", "a%20b", "a+b", "a%2Fb", "ü", "u\u{308}",
        "日本", "😀", "'", "\"", "\\", "{}", "_", ".", "..", "0", "-1", "null", "true", "a\nb",
    ];
    let puts = ids.iter().zip(0..).map(|(id, age)| context.put(id, &aged(age)));
    let (jobs, _) = context.commit(puts.collect::<Vec<_>>()).await;
    assert_applied(&jobs);
    for (id, age) in ids.iter().zip(0..) {
        assert_eq!(context.age(id).await, Some(age), "{id:?}");
    }
}

async fn a_number_and_its_text_are_one_key(context: Context) {
    let on = |value: KeyValue<'static>, age: i64| {
        Operation::put(context.collection().to_owned()).key("id", value).doc(&aged(age))
    };
    let operations = [
        on(1.into(), 1),
        on("1".into(), 2),
        on(true.into(), 1),
        on("true".into(), 2),
        on("-7".into(), 1),
        on((-7).into(), 2),
    ];
    let (jobs, _) = context.commit(operations).await;
    assert_applied(&jobs);
    for value in [KeyValue::from(1), "1".into(), true.into(), "true".into(), (-7).into()] {
        let found = context.read_key(&Key::new().part("id", value.clone())).await;
        assert_eq!(found.expect("the document is there")["age"], 2, "{value:?}");
    }
}

async fn lists_of_parts_with_other_string_forms_are_other_keys(context: Context) {
    let keys = [
        Key::new().part("a", "x").part("b", "y"),
        Key::new().part("a", "y").part("b", "x"),
        Key::new().part("a", "x/y"),
        Key::new().part("a", "x:y"),
        Key::new().part("a", "x,y"),
        Key::new().part("a", "x~1y"),
        Key::new().part("a", "x%y"),
        Key::new().part("a", "x").part("b", "y").part("c", "z"),
        Key::new().part("a", "x").part("b", "yz"),
        Key::new().part("a", "xy").part("b", "z"),
    ];
    let puts = keys.iter().zip(0..).map(|(key, age): (_, i64)| {
        Operation::put(context.collection().to_owned()).at(key.clone()).doc(&aged(age))
    });
    let (jobs, _) = context.commit(puts.collect::<Vec<_>>()).await;
    assert_applied(&jobs);
    for (key, age) in keys.iter().zip(0..) {
        let found = context.read_key(key).await.expect("the document is there");
        assert_eq!(found["age"], age, "{key:?}");
    }
}

async fn the_order_in_which_parts_are_named_does_not_matter(context: Context) {
    let on = |key: Key, age: i64| {
        Operation::put(context.collection().to_owned()).at(key).doc(&aged(age))
    };
    let one = Key::new().part("a", "x").part("b", "y");
    let other = Key::new().part("b", "y").part("a", "x");
    let (jobs, _) = context.commit([on(one.clone(), 1), on(other.clone(), 2)]).await;
    assert_applied(&jobs);
    for key in [one, other] {
        assert_eq!(context.read_key(&key).await.expect("it is there")["age"], 2, "{key:?}");
    }
}

async fn the_parts_of_the_key_are_attributes_of_the_document(context: Context) {
    context.given("a", &json!({"name": "Abby"})).await;
    let found = context.read("a").await.expect("it is there");
    assert_eq!(found["id"], "a", "{found}");
}

/// Commits puts of documents beside keys, each by itself, and says which are refused for what they say.
async fn assert_contradict(context: &Context, puts: impl IntoIterator<Item = (Key, Value, bool)>) {
    for (key, document, contradicts) in puts {
        let put = Operation::put(context.collection().to_owned()).at(key.clone()).doc(&document);
        let (jobs, report) = context.commit([put]).await;
        let found = context.read_key(&key).await;
        let part = format!("{key:?} {document}");
        if contradicts {
            let kind = report.errors().next().map(Error::kind);
            assert_eq!(kind, Some(ErrorKind::InvalidOperation), "{part}");
            assert!(found.is_none(), "{part}: {found:?}");
        } else {
            assert_applied(&jobs);
            assert!(found.is_some(), "{part}");
        }
    }
}

async fn a_document_may_repeat_its_key_and_not_contradict_it(context: Context) {
    let id = |text: &str| Key::new().part("id", text);
    let puts = [(id("a"), json!({"id": "a"}), false), (id("b"), json!({"id": "another"}), true)];
    assert_contradict(&context, puts).await;
}

async fn the_attribute_of_bare_keys_may_not_contradict_a_named_key(context: Context) {
    let id = |text: &str| Key::new().part("id", text);
    let puts = [
        (Key::from("a"), json!({"_key": "a"}), false),
        (Key::from("b"), json!({"_key": "another"}), true),
        (id("c"), json!({"_key": "c"}), false),
        (id("d e/f"), json!({"_key": "d e/f"}), false),
        (id("g"), json!({"id": null, "_key": null}), false),
        (id("h"), json!({"_key": "another"}), true),
        (id("i"), json!({"id": "i", "_key": 1}), true),
        (Key::new().part("id", 7), json!({"_key": "7"}), false),
        (id("j").part("n", 1), json!({"_key": "j"}), true),
        (id("k").part("n", 1), json!({"_key": null}), false),
    ];
    assert_contradict(&context, puts).await;
}

async fn a_key_with_a_mistake_is_refused_at_queue(context: Context) {
    let on = || Operation::put(context.collection().to_owned()).doc(&aged(1));
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let mistakes = [
        ("no part", on()),
        ("an empty name", on().key("", "a")),
        ("a name twice", on().key("id", "a").key("id", "b")),
        ("bare and named", on().at("a").key("id", "a")),
        ("named and bare", on().key("id", "a").at("a")),
        ("no part in a read", Operation::on(Verb::Delete, context.collection().to_owned())),
        ("too large", on().key("id", KeyValue::Int(i128::from(u64::MAX) + 1))),
        ("too small", on().key("id", KeyValue::Int(i128::from(i64::MIN) - 1))),
    ];
    for (mistake, operation) in mistakes {
        let rejected = batch.queue(operation).expect_err(mistake);
        assert_eq!(rejected.error.kind(), ErrorKind::InvalidKey, "{mistake}");
    }
    for value in [json!(null), json!(1.5), json!([1]), json!({"a": 1})] {
        let error = KeyValue::try_from(&value).expect_err("not a part of a key");
        assert_eq!(error.kind(), ErrorKind::InvalidKey, "{value}");
    }
    assert!(batch.is_empty());
    // The batch stays usable, and only what was accepted is sent.
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied([&job]);
    let reader = context.store().read(context.collection(), &Key::new()).await;
    assert_eq!(reader.expect_err("no key").kind(), ErrorKind::InvalidKey);
    let (jobs, _) =
        commit_on(&**context.store(), BatchOptions::new(), [context.put("b", &aged(1))]).await;
    assert_applied(&jobs);
}
