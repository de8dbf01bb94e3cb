//! A document as ArangoDB takes it: the text that was queued, with the attributes of its key.

use std::{borrow::Cow, fmt};

use batch_core::{Error, ErrorKind, KeyRef, KeyValue, OperationRef, Result};
use memchr::memmem;
use serde::{
    Deserializer as _,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::key;

/// The attributes that the server makes itself. Read back and written again they are nothing new.
const OWN: [&str; 2] = ["_id", "_rev"];
const KEY: &str = "_key";

/// Refuses parts of a key that the server has attributes of its own for.
pub(super) fn check_names(key: KeyRef<'_>) -> Result<()> {
    if key.is_bare() {
        return Ok(());
    }
    let several = key.string_parts().nth(1).is_some();
    for (name, _) in key.string_parts() {
        if OWN.contains(&name) || (several && name == KEY) {
            let message = format!(
                "`{name}` is an attribute of ArangoDB's own; name the part of the key otherwise"
            );
            return Err(Error::new(ErrorKind::InvalidKey, message));
        }
    }
    Ok(())
}

/// An upper bound of what [`write`] adds to the document's own text.
pub(super) fn added(operation: OperationRef<'_>) -> usize {
    let parts = operation.key.string_parts().map(|(name, text)| {
        let attribute = if name.is_empty() { 0 } else { quoted(name) + quoted(text) + 2 };
        attribute + key::most_bytes(text)
    });
    let revision = operation.options.if_revision.as_deref().map_or(0, quoted);
    parts.sum::<usize>() + revision + r#"{"_key":"","_rev":,}"#.len()
}

/// The bytes of a text as JSON.
fn quoted(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    2 + escaped.sum::<usize>()
}

/// Writes the document: `_key`, a revision to compare, the parts of the key, and what was queued.
///
/// # Errors
/// If the document contradicts its key; nothing is written then.
pub(super) fn write(
    operation: OperationRef<'_>,
    revision: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let written = write_all(operation, revision, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_all(operation: OperationRef<'_>, revision: Option<&str>, out: &mut Vec<u8>) -> Result<()> {
    // Neither needs escaping: a key has none of the characters, and a revision was checked.
    out.extend_from_slice(br#"{"_key":""#);
    let key_start = out.len();
    key::write_key(operation.collection, operation.key, out)?;
    let key_end = out.len();
    out.push(b'"');
    if let Some(revision) = revision {
        out.extend_from_slice(br#","_rev":"#);
        json(&revision, out)?;
    }
    if !operation.key.is_bare() {
        for (name, value) in operation.key.parts().filter(|(name, _)| *name != KEY) {
            out.push(b',');
            json(&name, out)?;
            out.push(b':');
            json(&value, out)?;
        }
    }
    let body = operation.body;
    if is_plain(operation.key, body) {
        let inner = body.get(1..).unwrap_or_default().trim_ascii_start();
        if inner != b"}" {
            out.push(b',');
        }
        out.extend_from_slice(inner);
        return Ok(());
    }
    let text = String::from_utf8_lossy(out.get(key_start..key_end).unwrap_or_default());
    let text = text.into_owned();
    rewrite(operation.key, &text, body, Some(out))?;
    out.push(b'}');
    Ok(())
}

/// Whether the document may be written: what can be said before anything is.
pub(super) fn check(operation: OperationRef<'_>) -> Result<()> {
    if is_plain(operation.key, operation.body) {
        return Ok(());
    }
    let mut text = String::new();
    key::write_key(operation.collection, operation.key, &mut text)?;
    rewrite(operation.key, &text, operation.body, None)
}

fn json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(|error| {
        Error::new(ErrorKind::InvalidKey, format!("the key cannot be written: {error}"))
            .with_source(error)
    })
}

/// Whether the text surely has none of the attributes that are written by themselves: the key's parts,
/// and the server's own, which begin with `_`. A name can be written with escapes, so a text that has
/// any is looked through.
fn is_plain(key: KeyRef<'_>, body: &[u8]) -> bool {
    let begins = |at: usize| at.checked_sub(1).and_then(|at| body.get(at)) == Some(&b'"');
    let tells = |at: usize| body.get(at) == Some(&b'\\') || begins(at);
    !memchr::memchr2_iter(b'\\', b'_', body).any(tells)
        && (key.is_bare() || key.string_parts().all(|(name, _)| !mentions(body, name)))
}

/// Whether the text has the name in quotes.
fn mentions(body: &[u8], name: &str) -> bool {
    memmem::find_iter(body, name.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|at| body.get(at));
        before == Some(&b'"') && body.get(at + name.len()) == Some(&b'"')
    })
}

/// Copies the attributes but for those of the key, which have to agree with it, and the server's own.
fn rewrite(key: KeyRef<'_>, text: &str, body: &[u8], out: Option<&mut Vec<u8>>) -> Result<()> {
    let mut contradiction = None;
    let copy = Copying { key, text, out, contradiction: &mut contradiction };
    let read = serde_json::Deserializer::from_slice(body).deserialize_map(copy);
    if let Some(error) = contradiction {
        return Err(error);
    }
    read.map_err(|error| {
        let message = format!("the document cannot be read: {error}");
        Error::new(ErrorKind::InvalidOperation, message).with_source(error)
    })
}

struct Copying<'a> {
    key: KeyRef<'a>,
    text: &'a str,
    out: Option<&'a mut Vec<u8>>,
    contradiction: &'a mut Option<Error>,
}

impl<'de> Visitor<'de> for Copying<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let value: &'de RawValue = map.next_value()?;
            let part = self.key.parts().find(|(part, _)| *part == name);
            let agrees = if OWN.contains(&&*name) {
                true
            } else if name == KEY {
                is_same(value, &KeyValue::from(self.text))
                    || only_part(self.key).is_some_and(|key| is_same(value, &key))
            } else if let Some((_, key)) = part {
                is_same(value, &key)
            } else {
                if let Some(out) = self.out.as_mut() {
                    out.push(b',');
                    serde_json::to_writer(&mut **out, &name).map_err(de::Error::custom)?;
                    out.push(b':');
                    out.extend_from_slice(value.get().as_bytes());
                }
                true
            };
            if !agrees && self.contradiction.is_none() {
                let message = format!(
                    "the document's attribute `{name}` contradicts the key; leave it out of the document"
                );
                *self.contradiction = Some(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }
}

fn only_part(key: KeyRef<'_>) -> Option<KeyValue<'_>> {
    let mut parts = key.parts();
    let (_, only) = parts.next()?;
    parts.next().is_none().then_some(only)
}

/// Whether an attribute is the part of a key, by its string form; null is as absent.
fn is_same(value: &RawValue, key: &KeyValue<'_>) -> bool {
    match serde_json::from_str::<serde_json::Value>(value.get()) {
        Ok(serde_json::Value::Null) => true,
        Ok(serde_json::Value::String(text)) => text == key.to_string(),
        Ok(other) => format!("{other}") == format!("{key}"),
        Err(_) => false,
    }
}
