//! The NDJSON form of operations: one JSON object each, read strictly.

use std::{borrow::Cow, fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
    ser::{self, SerializeStruct},
};
use serde_json::value::RawValue;

use super::{
    JsonStatement, Language, Operation, Returning, Verb, native,
    strict::{check_document, check_value},
};
use crate::{Error, ErrorKind, Key, json::Text};

/// Why a text is not an operation, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormError {
    message: String,
    line: usize,
    column: usize,
}

impl FormError {
    /// What is wrong and what was expected, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line within the text, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in bytes within the line, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.as_bytes().get(..offset).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        Self { message: message.into(), line, column: before.len() - start + 1 }
    }

    pub(super) fn from_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = text.strip_suffix(&place).unwrap_or(&text);
        let expected = match error.classify() {
            _ if message == "recursion limit exceeded" => {
                "; at most 127 levels of nesting are read, so make the document flatter"
            }
            _ if message == "number out of range" => {
                "; numbers are below about 1.8e308, so make it smaller, or a string where the column or attribute takes one"
            }
            serde_json::error::Category::Eof => "; expected one whole JSON object",
            serde_json::error::Category::Syntax => "; expected one JSON object and nothing else",
            _ => "",
        };
        Self {
            message: format!("{message}{expected}"),
            line: error.line().max(1),
            column: error.column().max(1),
        }
    }

    /// Moves an error within `part` to its place in `whole`, of which `part` is a slice.
    fn within(self, whole: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        let outer = Self::at(whole, start, "");
        if self.line == 1 {
            Self { line: outer.line, column: outer.column + self.column - 1, ..self }
        } else {
            Self { line: outer.line + self.line - 1, ..self }
        }
    }
}

impl From<FormError> for Error {
    fn from(error: FormError) -> Self {
        Self::new(ErrorKind::InvalidOperation, error.message.clone()).with_source(error)
    }
}

/// The words of the `op` field.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Insert,
    Put,
    Upsert,
    Replace,
    Update,
    Delete,
    DeleteExisting,
    Get,
    Aql,
    Cql,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum ReturningWord {
    New,
    Old,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an operation object")]
struct Line<'a> {
    #[serde(deserialize_with = "word")]
    op: Word,
    #[serde(borrow, default, deserialize_with = "text")]
    collection: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    key: Option<Key>,
    #[serde(borrow, default, deserialize_with = "present")]
    doc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    query: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    bind: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    statement: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    values: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    if_revision: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "seconds")]
    ttl: Option<u64>,
    #[serde(default, deserialize_with = "microseconds")]
    timestamp: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    returning: Option<ReturningWord>,
    #[serde(default, deserialize_with = "present")]
    idempotent: Option<bool>,
}

/// The `op` field, with an error that names the words also where it is no string.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    struct Op;
    impl Visitor<'_> for Op {
        type Value = Word;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of an operation, such as \"insert\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
            Word::deserialize(de::value::StrDeserializer::new(text))
        }
    }
    deserializer.deserialize_any(Op)
}

/// A field that is there has a value: `null` is a wrong type, not an absent field.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    integer(deserializer, "a time to live in whole seconds").map(Some)
}

fn microseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    integer(deserializer, "a time in whole microseconds since 1970").map(Some)
}

/// An integer of a field whose meaning says what was expected, where a type's name would not.
fn integer<'de, D: Deserializer<'de>, N: TryFrom<i64> + TryFrom<u64>>(
    deserializer: D,
    expected: &'static str,
) -> Result<N, D::Error> {
    struct Integer<N>(&'static str, PhantomData<N>);
    impl<N: TryFrom<i64> + TryFrom<u64>> Visitor<'_> for Integer<N> {
        type Value = N;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_i64<E: de::Error>(self, int: i64) -> Result<N, E> {
            N::try_from(int).map_err(|_| E::invalid_value(de::Unexpected::Signed(int), &self))
        }
        fn visit_u64<E: de::Error>(self, int: u64) -> Result<N, E> {
            N::try_from(int).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(int), &self))
        }
    }
    deserializer.deserialize_any(Integer(expected, PhantomData))
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Text::deserialize(deserializer).map(|Text(text)| Some(text))
}

impl Operation {
    /// Reads an operation from its NDJSON form: one JSON object, whose unknown fields, repeated
    /// attributes and nesting of more than 127 levels are errors.
    ///
    /// ```
    /// use batch_core::Operation;
    ///
    /// let line = r#"{"op":"get","collection":"students","key":"Abby"}"#;
    /// assert_eq!(serde_json::to_string(&Operation::from_json(line)?)?, line);
    ///
    /// let error = Operation::from_json(r#"{"op":"get","colection":"students"}"#).unwrap_err();
    /// assert_eq!(error.column(), 23);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What was expected, and where.
    pub fn from_json(text: &str) -> Result<Self, FormError> {
        // Serde would take an array as the fields in order.
        if text.trim_ascii_start().starts_with('[') {
            return Err(FormError::at(
                text,
                0,
                "invalid type: array, expected an operation object; one a line, with no array around them",
            ));
        }
        let mut line: Line<'_> =
            serde_json::from_str(text).map_err(|error| FormError::from_json(&error))?;
        let verb = match line.op {
            Word::Insert => Verb::Insert,
            Word::Put => Verb::Put,
            Word::Upsert => Verb::Upsert,
            Word::Replace => Verb::Replace,
            Word::Update => Verb::Update,
            Word::Delete => Verb::Delete,
            Word::DeleteExisting => Verb::DeleteExisting,
            Word::Get => Verb::Get,
            Word::Aql | Word::Cql => Verb::Native,
        };
        let operation = match line.op {
            Word::Aql => statement(text, &line, Language::Aql)?,
            Word::Cql => statement(text, &line, Language::Cql)?,
            _ => portable(text, &mut line, verb)?,
        };
        Ok(options(operation, &line))
    }
}

fn portable(text: &str, line: &mut Line<'_>, verb: Verb) -> Result<Operation, FormError> {
    let missing = |field: &str| Err(FormError::at(text, 0, format!("`{verb}` needs `{field}`")));
    let foreign = [
        ("query", line.query.is_some()),
        ("bind", line.bind.is_some()),
        ("statement", line.statement.is_some()),
        ("values", line.values.is_some()),
        ("doc", line.doc.is_some() && !verb.has_document()),
    ];
    refuse_fields(text, verb.as_str(), &foreign)?;
    let Some(collection) = &line.collection else {
        return missing("collection");
    };
    let Some(key) = line.key.take() else {
        return missing("key");
    };
    let mut operation = Operation::on(verb, collection.clone().into_owned());
    let doc = match line.doc {
        Some(doc) => {
            check_document(doc.get()).map_err(|error| error.within(text, doc.get()))?;
            doc.get()
        }
        None if verb.has_document() => return missing("doc"),
        None => "",
    };
    // The key's buffer has room for a small document.
    operation.text = key.into_bytes();
    operation.key_len = operation.text.len();
    operation.text.extend_from_slice(doc.as_bytes());
    Ok(operation)
}

fn statement(text: &str, line: &Line<'_>, language: Language) -> Result<Operation, FormError> {
    let (own, values, foreign) = match language {
        Language::Aql => (
            (&line.query, "query"),
            (line.bind, "bind"),
            [("statement", line.statement.is_some()), ("values", line.values.is_some())],
        ),
        Language::Cql => (
            (&line.statement, "statement"),
            (line.values, "values"),
            [("query", line.query.is_some()), ("bind", line.bind.is_some())],
        ),
    };
    refuse_fields(text, language.as_str(), &foreign)?;
    refuse_fields(text, language.as_str(), &[("doc", line.doc.is_some())])?;
    let (Some(statement), _) = own else {
        let message = format!("`{}` needs `{}`", language.as_str(), own.1);
        return Err(FormError::at(text, 0, message));
    };
    let body = match values.0 {
        Some(value) => {
            let raw = value.get();
            check_value(raw).map_err(|error| error.within(text, raw))?;
            let fits = match language {
                Language::Aql => raw.starts_with('{'),
                Language::Cql => raw.starts_with(['[', '{']),
            };
            if !fits {
                let expected = match language {
                    Language::Aql => r#"an object of the query's variables, such as {"age":20}"#,
                    Language::Cql => {
                        r#"an array of the statement's values, such as ["Abby"], or an object of them by name"#
                    }
                };
                let message =
                    format!("`{}` is {expected}; leave it out if there are none", values.1);
                return Err(FormError::at(raw, 0, message).within(text, raw));
            }
            raw
        }
        None => language.no_values(),
    };
    let statement = JsonStatement::shared(language, statement.clone().into_owned());
    let mut operation = Operation::native(statement, body.as_bytes().to_vec());
    if let Some(collection) = &line.collection {
        operation = operation.collection(collection.clone().into_owned());
    }
    if let Some(key) = &line.key {
        operation = operation.at(key.clone());
    }
    Ok(operation)
}

fn refuse_fields(text: &str, op: &str, fields: &[(&str, bool)]) -> Result<(), FormError> {
    match fields.iter().find(|(_, given)| *given) {
        Some((field, _)) => {
            Err(FormError::at(text, 0, format!("`{op}` takes no `{field}`; leave it out")))
        }
        None => Ok(()),
    }
}

fn options(mut operation: Operation, line: &Line<'_>) -> Operation {
    if let Some(revision) = &line.if_revision {
        operation = operation.if_revision(revision.as_ref());
    }
    if let Some(seconds) = line.ttl {
        operation = operation.ttl(Duration::from_secs(seconds));
    }
    if let Some(timestamp) = line.timestamp {
        operation = operation.timestamp(timestamp);
    }
    if let Some(word) = line.returning {
        operation = operation.returning(match word {
            ReturningWord::New => Returning::New,
            ReturningWord::Old => Returning::Old,
        });
    }
    if let Some(idempotent) = line.idempotent {
        operation = operation.idempotent(idempotent);
    }
    operation
}

/// JSON text as one line of NDJSON. Line breaks stand between its tokens only: within a string
/// they are escaped.
fn on_one_line(json: &str) -> String {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json.to_owned() }
}

impl Serialize for Operation {
    /// The NDJSON form. Fails for a typed native statement, whose values have no JSON form, and
    /// for an operation that holds a mistake.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(mistake) = &self.mistake {
            return Err(ser::Error::custom(mistake));
        }
        let raw = |text| -> Result<Box<RawValue>, S::Error> {
            let text = std::str::from_utf8(text).map_err(ser::Error::custom)?;
            RawValue::from_string(on_one_line(text)).map_err(ser::Error::custom)
        };
        let json = self.statement.as_ref().map(|statement| {
            native::as_json(statement).ok_or_else(|| {
                ser::Error::custom(
                    "a typed native operation has no JSON form; queue it again instead",
                )
            })
        });
        let json = json.transpose()?;
        let mut out = serializer.serialize_struct("Operation", 5)?;
        out.serialize_field("op", super::operation_name(self.verb, self.statement.as_ref()))?;
        if !self.collection.is_empty() {
            out.serialize_field("collection", &self.collection)?;
        }
        if self.key_len > 0 {
            out.serialize_field("key", &self.key_parts())?;
        }
        match json {
            Some(statement) => {
                let (text, values) = match statement.language() {
                    Language::Aql => ("query", "bind"),
                    Language::Cql => ("statement", "values"),
                };
                out.serialize_field(text, statement.text())?;
                out.serialize_field(values, &raw(self.body())?)?;
            }
            None if self.body().is_empty() => {}
            None => out.serialize_field("doc", &raw(self.body())?)?,
        }
        let options = self.options();
        if let Some(revision) = &options.if_revision {
            out.serialize_field("if_revision", revision)?;
        }
        if let Some(ttl) = options.ttl {
            out.serialize_field("ttl", &ttl.as_secs())?;
        }
        if let Some(timestamp) = options.timestamp {
            out.serialize_field("timestamp", &timestamp)?;
        }
        if let Some(returning) = options.returning {
            let word = match returning {
                Returning::New => ReturningWord::New,
                Returning::Old => ReturningWord::Old,
            };
            out.serialize_field("returning", &word)?;
        }
        if let Some(idempotent) = options.idempotent {
            out.serialize_field("idempotent", &idempotent)?;
        }
        out.end()
    }
}

impl<'de> Deserialize<'de> for Operation {
    /// From the NDJSON form; [`Operation::from_json`] is faster and tells the column of a mistake.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(raw.get()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_as_it_was_written() {
        for line in [
            r#"{"op":"insert","collection":"students","key":{"id":"Abby"},"doc":{"name":"Abby","age":20}}"#,
            r#"{"op":"upsert","collection":"students","key":"John","doc":{"age":21}}"#,
            r#"{"op":"get","collection":"students","key":"Abby"}"#,
            r#"{"op":"delete_existing","collection":"s","key":{"a":1,"b":true},"if_revision":"7"}"#,
            r#"{"op":"put","collection":"s","key":"k","doc":{},"ttl":60,"timestamp":-1,"returning":"old","idempotent":false}"#,
            r#"{"op":"aql","query":"RETURN 100000","bind":{}}"#,
            r#"{"op":"cql","collection":"hits","key":"Abby","statement":"UPDATE hits SET n = n + 1 WHERE id = ?","values":["Abby"]}"#,
        ] {
            let operation = Operation::from_json(line).unwrap();
            assert_eq!(serde_json::to_string(&operation).unwrap(), line);
            let again: Operation = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&again).unwrap(), line);
        }
    }

    #[test]
    fn a_text_that_is_no_operation_is_refused_with_column_and_expectation() {
        let deep = format!(
            r#"{{"op":"put","collection":"s","key":"k","doc":{{"a":{}{}}}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        for (line, column, reason) in [
            ("", 1, "EOF"),
            ("[1]", 1, "invalid type"),
            (r#"{"op":"shout"}"#, 13, "unknown variant `shout`, expected one of `insert`"),
            (r#"{"op":"get","x":1}"#, 15, "unknown field `x`, expected one of"),
            (r#"{"op":"get","op":"get"}"#, 16, "duplicate field `op`"),
            (r#"{"op":"get","collection":7,"key":"k"}"#, 26, "expected a string"),
            (r#"{"op":"get","collection":"s","key":[1]}"#, 36, "expected a key"),
            (r#"{"op":"get","collection":"s","key":null}"#, 39, "expected a key"),
            (
                r#"{"op":"put","collection":"s","key":"k","doc":[1]}"#,
                46,
                "a document is a JSON object",
            ),
            (
                r#"{"op":"put","collection":"s","key":"k","doc":{"a":1,"a":2}}"#,
                55,
                "duplicate attribute `a`",
            ),
            (
                r#"{"op":"put","collection":"s","key":"k","doc":{"b":{"a":1,"a":2}}}"#,
                60,
                "duplicate attribute `a`",
            ),
            (r#"{"op":"put","collection":"s","key":"k"}"#, 1, "`put` needs `doc`"),
            (r#"{"op":"get","collection":"s"}"#, 1, "`get` needs `key`"),
            (r#"{"op":"get","key":"k"}"#, 1, "`get` needs `collection`"),
            (r#"{"op":"get","collection":"s","key":"k","doc":{}}"#, 1, "`get` takes no `doc`"),
            (r#"{"op":"aql","statement":"x"}"#, 1, "`aql` takes no `statement`"),
            (r#"{"op":"aql"}"#, 1, "`aql` needs `query`"),
            (r#"{"op":"aql","query":"x","bind":[]}"#, 32, "`bind` is an object"),
            (r#"{"op":"cql","statement":"x","values":7}"#, 38, "`values` is an array"),
            (r#"{"op":"aql","query":"x","bind":null}"#, 32, "leave it out if there are none"),
            (r#"{"op":"put","collection":"s","key":"k","ttl":-1}"#, 47, "in whole seconds"),
            (r#"{"op":"put","collection":"s","key":"k","ttl":1.5}"#, 48, "in whole seconds"),
            (
                r#"{"op":"put","collection":"s","key":"k","timestamp":9223372036854775808}"#,
                70,
                "in whole microseconds",
            ),
            (r#"{"op":"put","collection":"s","key":"k","doc":{"a":1e999}}"#, 55, "a string where"),
            (&deep, 177, "recursion limit exceeded"),
        ] {
            let error = Operation::from_json(line).unwrap_err();
            assert!(error.message().contains(reason), "{line}: {error}");
            assert_eq!((error.line(), error.column()), (1, column), "{line}: {error}");
        }
    }

    #[test]
    fn the_form_is_one_line_whatever_the_document_was_written_like() {
        let text = "{\n  \"a\": \"x\\ny\",\r\n  \"b\": [1,\n 2]\n}";
        let line = serde_json::to_string(&Operation::put("s").at("k").doc_text(text)).unwrap();
        assert!(!line.contains(['\n', '\r']), "{line}");
        let again = Operation::from_json(&line).unwrap();
        let (was, is): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(text).unwrap(), serde_json::from_slice(again.body()).unwrap());
        assert_eq!(was, is);
    }
}
