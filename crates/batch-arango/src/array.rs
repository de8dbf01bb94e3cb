//! The answer to an array of documents: an array of as many elements, in the same order.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use batch_core::{Error, ErrorKind};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What the server says of one document.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    /// Its JSON text, a slice of the one buffer.
    pub(crate) text: Bytes,
    pub(crate) what: What,
}

/// What an element is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A document, or what the server says of one that it wrote.
    Document,
    /// An error of this document alone.
    Refused { number: u32, message: Box<str> },
    /// Neither, so that nothing is known of the document.
    Other,
}

/// Reads the elements of an array's answer and hands them over, in order. With `reading`, elements
/// are stored documents, which may have attributes named `error` and `errorNum` themselves.
///
/// # Errors
/// Why it is not the answer to `expected` documents. Then nothing was handed over, for not even
/// what looks right can be trusted to be in its place.
pub(crate) fn read(
    body: &Bytes,
    expected: usize,
    reading: bool,
    visit: &mut dyn FnMut(usize, Element),
) -> Result<(), Error> {
    let text = std::str::from_utf8(body).map_err(|error| unreadable("it is not UTF-8", error))?;
    let elements = elements(text, expected, reading)?;
    if elements.len() != expected {
        let relation = if elements.len() > expected { "more" } else { "fewer" };
        let why = format!("it has {relation} elements than the {expected} that were sent");
        return Err(doubtful(&why));
    }
    for (place, (text, what)) in elements.into_iter().enumerate() {
        visit(place, Element { text: body.slice_ref(text.as_bytes()), what });
    }
    Ok(())
}

/// What JSON may have between its tokens.
const BLANK: [char; 4] = [' ', '\n', '\r', '\t'];

/// Nearly always there is none.
fn skip_blank(text: &str) -> &str {
    match text.as_bytes().first() {
        Some(b' ' | b'\n' | b'\r' | b'\t') => text.trim_start_matches(BLANK),
        _ => text,
    }
}

/// The elements with what each is; one more than `most` if there are more.
fn elements(text: &str, most: usize, reading: bool) -> Result<Vec<(&str, What)>, Error> {
    let no_array = || doubtful("it is no array");
    let mut rest = skip_blank(text).strip_prefix('[').ok_or_else(no_array)?;
    // An element has at least one byte, and one behind it.
    let mut elements = Vec::with_capacity(most.min(rest.len() / 2));
    if let Some(rest) = skip_blank(rest).strip_prefix(']') {
        return if rest.trim_matches(BLANK).is_empty() { Ok(elements) } else { Err(no_array()) };
    }
    loop {
        let mut json = serde_json::Deserializer::from_str(rest).into_iter();
        let attributes: Attributes<'_> = match json.next() {
            Some(Ok(attributes)) => attributes,
            Some(Err(error)) => return Err(unreadable("an element is not JSON", error)),
            None => return Err(doubtful("it breaks off").transient()),
        };
        let (element, after) = rest.split_at_checked(json.byte_offset()).ok_or_else(no_array)?;
        elements.push((skip_blank(element), attributes.into_what(reading)));
        if elements.len() > most {
            return Ok(elements);
        }
        let after = skip_blank(after);
        match after.as_bytes().first() {
            Some(b',') => rest = after.get(1..).unwrap_or_default(),
            Some(b']') if after.trim_end_matches(BLANK).len() == 1 => return Ok(elements),
            None => return Err(doubtful("it breaks off").transient()),
            Some(_) => return Err(no_array()),
        }
    }
}

/// Compares the header `x-arango-error-codes`, such as `{"1210":2}`, with the errors among the
/// elements of a write, by number. Without it there should be none. Reads never have it.
///
/// # Errors
/// They contradict each other, so that the elements cannot be trusted.
pub(crate) fn check_codes(
    header: Option<&[u8]>,
    refused: &BTreeMap<u32, u32>,
) -> Result<(), Error> {
    let codes: BTreeMap<u32, u32> = match header {
        Some(header) => serde_json::from_slice(header)
            .map_err(|error| unreadable("its header `x-arango-error-codes` is no list", error))?,
        None => BTreeMap::new(),
    };
    if codes == *refused {
        return Ok(());
    }
    Err(doubtful(&format!(
        "its header `x-arango-error-codes` counts the errors {codes:?}, and its elements {refused:?}"
    )))
}

fn doubtful(why: &str) -> Error {
    let message = format!(
        "the server's answer to an array of documents cannot be relied on: {why}; read the documents to know whether they were written"
    );
    Error::new(ErrorKind::Protocol, message).unknown()
}

fn unreadable(why: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    doubtful(&format!("{why} ({error})")).with_source(error)
}

/// The attributes that tell what an element is.
#[derive(Debug, Default)]
struct Attributes<'a> {
    /// `_key` or `_id`.
    key: bool,
    error: Value<'a>,
    number: Value<'a>,
    message: Value<'a>,
    /// One of them occurs twice.
    repeated: bool,
}

impl Attributes<'_> {
    fn into_what(self, reading: bool) -> What {
        let number = match self.number {
            Value::Number(number) if self.error == Value::Bool(true) => u32::try_from(number).ok(),
            _ => None,
        };
        let message = match self.message {
            Value::Text(message) => message.into(),
            _ => Box::default(),
        };
        let is_fine = reading || matches!(self.error, Value::Absent | Value::Bool(false));
        match number {
            _ if self.repeated => What::Other,
            _ if self.key && is_fine => What::Document,
            Some(number) => What::Refused { number, message },
            None => What::Other,
        }
    }
}

impl<'de> Deserialize<'de> for Attributes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributesVisitor)
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Attributes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes<'de>, A::Error> {
        let mut found = Attributes::default();
        while let Some(name) = map.next_key()? {
            let slot = match name {
                Name::Key => {
                    found.key |= matches!(map.next_value()?, Value::Text(_));
                    continue;
                }
                Name::Error => &mut found.error,
                Name::Number => &mut found.number,
                Name::Message => &mut found.message,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            found.repeated |= *slot != Value::Absent;
            *slot = map.next_value()?;
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Attributes<'de>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Attributes::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Attributes<'de>, E> {
        Ok(Attributes::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Attributes<'de>, E> {
        Ok(Attributes::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Attributes<'de>, E> {
        Ok(Attributes::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Attributes<'de>, E> {
        Ok(Attributes::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Attributes<'de>, E> {
        Ok(Attributes::default())
    }

    fn visit_unit<E>(self) -> Result<Attributes<'de>, E> {
        Ok(Attributes::default())
    }
}

/// The name of an attribute.
#[derive(Clone, Copy, Debug)]
enum Name {
    Key,
    Error,
    Number,
    Message,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an attribute")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "_key" | "_id" => Name::Key,
                    "error" => Name::Error,
                    "errorNum" => Name::Number,
                    "errorMessage" => Name::Message,
                    _ => Name::Other,
                })
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// The value of an attribute, as far as it can tell something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Value<'a> {
    #[default]
    Absent,
    Bool(bool),
    Number(u64),
    Text(Cow<'a, str>),
    Other,
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value<'de>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Value<'de>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use batch_core::Fate;

    use super::*;

    fn refused(number: u32, message: &str) -> What {
        What::Refused { number, message: message.into() }
    }

    fn elements_of(text: &str, expected: usize, reading: bool) -> Result<Vec<Element>, Error> {
        let (body, mut found) = (Bytes::copy_from_slice(text.as_bytes()), Vec::new());
        read(&body, expected, reading, &mut |place, element| {
            assert_eq!(place, found.len());
            found.push(element);
        })?;
        Ok(found)
    }

    fn one(text: &str, reading: bool) -> What {
        elements_of(&format!("[{text}]"), 1, reading).unwrap().remove(0).what
    }

    #[test]
    fn elements_are_slices_in_order_with_what_they_are() {
        // As recorded from 3.10 to 3.12.
        let text = concat!(
            r#"[{"_id":"products/1","_key":"1","_rev":"_l6zhVDW---"} ,"#,
            r#"{"error":true,"errorMessage":"document not found","errorNum":1202}, "#,
            "\n",
            r#"{"_key":"3","new":{"a":[{"b":"},{"}]}}] "#,
        );
        let found = elements_of(text, 3, false).unwrap();
        let texts: Vec<_> = found.iter().map(|element| element.text.as_ref()).collect();
        assert_eq!(
            texts,
            [
                br#"{"_id":"products/1","_key":"1","_rev":"_l6zhVDW---"}"#.as_slice(),
                br#"{"error":true,"errorMessage":"document not found","errorNum":1202}"#,
                br#"{"_key":"3","new":{"a":[{"b":"},{"}]}}"#,
            ]
        );
        let whats: Vec<_> = found.into_iter().map(|element| element.what).collect();
        assert_eq!(whats, [What::Document, refused(1202, "document not found"), What::Document]);
    }

    #[test]
    fn an_element_is_what_it_proves_to_be_and_nothing_else() {
        let error = r#""error":true,"errorNum":1210,"errorMessage":"taken""#;
        let taken = || refused(1210, "taken");
        for (text, writing, reading) in [
            (r#"{"_key":"a"}"#, What::Document, What::Document),
            (r#"{"_id":"c/a","error":false}"#, What::Document, What::Document),
            (r#"{"\u005fkey":"a"}"#, What::Document, What::Document),
            (&format!("{{{error}}}"), taken(), taken()),
            // A stored document may have such attributes; what the server says of one has not.
            (&format!(r#"{{"_key":"a",{error}}}"#), taken(), What::Document),
            (r#"{"_key":"a","error":"yes"}"#, What::Other, What::Document),
            (r#"{"_key":"a","error":true}"#, What::Other, What::Document),
            (r#"{"error":true,"errorNum":"1210"}"#, What::Other, What::Other),
            (r#"{"error":true,"errorNum":4294967296}"#, What::Other, What::Other),
            (r#"{"error":true,"errorNum":-1}"#, What::Other, What::Other),
            (r#"{"error":false,"errorNum":1210}"#, What::Other, What::Other),
            (r#"{"error":true,"error":false,"_key":"a"}"#, What::Other, What::Other),
            (r#"{"_key":1}"#, What::Other, What::Other),
            (r#"{"new":{"_key":"a"}}"#, What::Other, What::Other),
            ("{}", What::Other, What::Other),
            ("null", What::Other, What::Other),
            ("[1,2]", What::Other, What::Other),
            (r#""_key""#, What::Other, What::Other),
            ("-1.5e3", What::Other, What::Other),
            ("-1", What::Other, What::Other),
            ("1", What::Other, What::Other),
            ("true", What::Other, What::Other),
        ] {
            assert_eq!(one(text, false), writing, "writing: {text}");
            assert_eq!(one(text, true), reading, "reading: {text}");
        }
    }

    #[test]
    fn an_answer_that_is_not_to_what_was_sent_is_told_as_nothing_else() {
        for (text, expected) in [
            ("[]", 1),
            (r#"[{"_key":"a"}]"#, 2),
            (r#"[{"_key":"a"},{"_key":"b"}]"#, 1),
            ("{}", 1),
            ("", 0),
            ("[", 0),
            (r#"[{"_key":"a"}"#, 1),
            (r#"[{"_key":"a"},"#, 1),
            (r#"[{"_key":"a"},]"#, 1),
            (r#"[{"_key":"a"}]]"#, 1),
            (r#"[{"_key":"a"}] {}"#, 1),
            (r#"[{"_key":"a"} {"_key":"b"}]"#, 2),
            (r#"[{"_key":"a"]"#, 1),
            ("[] []", 0),
            ("<html>", 1),
            ("\u{c}[1]", 1),
            ("[1]\u{c}", 1),
            ("[1\u{a0}]", 1),
        ] {
            let error = elements_of(text, expected, false).expect_err(text);
            assert_eq!(
                (error.kind(), error.fate()),
                (ErrorKind::Protocol, Fate::Unknown),
                "{text}"
            );
        }
        let not_text = Bytes::from_static(b"[\"\xff\"]");
        let error = read(&not_text, 1, false, &mut |_, _| panic!("nothing is told")).unwrap_err();
        assert_eq!(error.fate(), Fate::Unknown);
        assert!(elements_of(" [ ] ", 0, false).unwrap().is_empty());
    }

    #[test]
    fn depth_and_number_of_elements_cost_no_stack_and_no_memory() {
        let deep =
            format!(r#"[{{"_key":"a","new":{}{}}}]"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(elements_of(&deep, 1, false).unwrap().remove(0).what, What::Document);
        let many = format!("[{}1]", "1,".repeat(100_000));
        assert_eq!(
            elements(&many, 10, false).unwrap().len(),
            11,
            "it stops where there are too many"
        );
    }

    #[test]
    fn errors_are_counted_in_two_places_and_must_agree() {
        let counted = |list: &[(u32, u32)]| list.iter().copied().collect::<BTreeMap<_, _>>();
        for (header, refused, agree) in [
            (None, counted(&[]), true),
            (Some("{}"), counted(&[]), true),
            (Some(r#"{"1202":2}"#), counted(&[(1202, 2)]), true),
            (Some(r#"{"1221":1,"1210":2}"#), counted(&[(1210, 2), (1221, 1)]), true),
            (None, counted(&[(1202, 2)]), false),
            (Some(r#"{"1202":2}"#), counted(&[]), false),
            (Some(r#"{"1202":2}"#), counted(&[(1202, 1)]), false),
            (Some(r#"{"1202":2}"#), counted(&[(1210, 2)]), false),
            (Some(""), counted(&[]), false),
            (Some("1200:17"), counted(&[(1200, 17)]), false),
        ] {
            let outcome = check_codes(header.map(str::as_bytes), &refused);
            assert_eq!(outcome.is_ok(), agree, "{header:?} {refused:?}");
        }
        let error = check_codes(Some(b"{\"1\":1}"), &BTreeMap::new()).unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Protocol, Fate::Unknown));
    }
}
