//! JSON in and out, as the server's `VelocyPack` reads and writes it.

use std::{fmt, io};

use bytes::Bytes;
use serde::{Serialize as _, de};
use serde_json::{Map, Value, ser::Formatter};

/// A JSON text that the server refuses, in its words.
#[derive(Debug)]
pub(crate) struct Unreadable(&'static str);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VPackError error: {}", self.0)
    }
}

/// Reads one JSON value.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Unreadable> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = de::Deserialize::deserialize(&mut reader)
        .and_then(|Strict(value)| reader.end().map(|()| value));
    match value {
        Ok(value) => Ok(value),
        Err(error) if error.to_string().starts_with(DUPLICATE) => Err(Unreadable(DUPLICATE)),
        Err(_) => Err(Unreadable(crate::vpack::complaint(text))),
    }
}

const DUPLICATE: &str = "Duplicate attribute name";

/// A value whose objects name each attribute once.
struct Strict(Value);

impl<'de> de::Deserialize<'de> for Strict {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> de::Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(de::Error::custom(DUPLICATE));
            }
        }
        Ok(map.into())
    }
}

/// Writes a value without spaces, with the attributes in order; what is not ASCII is escaped if the
/// generation does so.
pub(crate) fn dump(value: &Value, escape: bool) -> Bytes {
    let mut text = Vec::with_capacity(128);
    let mut writer = serde_json::Serializer::with_formatter(&mut text, Dump { escape });
    // Values have string keys and the buffer grows: there is nothing to fail.
    let _ = value.serialize(&mut writer);
    text.into()
}

/// A value as text, for messages and for keys of maps.
pub(crate) fn text(value: &Value) -> String {
    String::from_utf8_lossy(&dump(value, false)).into_owned()
}

struct Dump {
    escape: bool,
}

impl Formatter for Dump {
    /// A whole number has no `.0` behind it.
    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        if value.fract() == 0.0 && value.abs() < 1e15 {
            write!(out, "{value:.0}")
        } else {
            write!(out, "{}", Value::from(value))
        }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if !self.escape || fragment.is_ascii() {
            return out.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if c.is_ascii() {
                write!(out, "{c}")?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04X}")?;
                }
            }
        }
        Ok(())
    }
}
