//! Keys: ordered lists of named parts, held as bytes that need no parsing to be compared.

mod attributes;
mod layout;

use std::{borrow::Cow, fmt};

use serde::{
    de::{self, Deserialize, Deserializer, MapAccess, Visitor},
    ser::{Serialize, SerializeMap, Serializer},
};

use crate::{Error, ErrorKind, Result, json::Text};

/// The most bytes that the name of a part may have: more than any store takes.
pub const MAX_PART_NAME: usize = u16::MAX as usize;

/// A value that a part of a key may have: a string, an integer or a boolean.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyValue<'a> {
    /// Text.
    Str(Cow<'a, str>),
    /// An integer between `i64::MIN` and `u64::MAX`.
    Int(i128),
    /// A boolean.
    Bool(bool),
}

impl fmt::Display for KeyValue<'_> {
    /// The string form: `1` and `"1"` have the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

macro_rules! key_value_from {
    ($($from:ty),+ => $variant:ident) => {
        $(impl From<$from> for KeyValue<'_> {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })+
    };
}
key_value_from!(i8, i16, i32, i64, u8, u16, u32, u64 => Int);
key_value_from!(bool => Bool);
key_value_from!(String => Str);

impl<'a> From<&'a str> for KeyValue<'a> {
    fn from(value: &'a str) -> Self {
        Self::Str(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a String> for KeyValue<'a> {
    fn from(value: &'a String) -> Self {
        Self::Str(Cow::Borrowed(value))
    }
}

impl TryFrom<usize> for KeyValue<'_> {
    type Error = std::num::TryFromIntError;
    fn try_from(value: usize) -> std::result::Result<Self, Self::Error> {
        Ok(Self::Int(u64::try_from(value)?.into()))
    }
}

impl TryFrom<&serde_json::Value> for KeyValue<'static> {
    type Error = Error;

    /// # Errors
    /// [`ErrorKind::InvalidKey`] for null, a number that is no integer, an array or an object.
    fn try_from(value: &serde_json::Value) -> Result<Self> {
        match value {
            serde_json::Value::String(text) => Ok(Self::Str(Cow::Owned(text.clone()))),
            serde_json::Value::Bool(value) => Ok(Self::Bool(*value)),
            serde_json::Value::Number(number) => number
                .as_i64()
                .map(i128::from)
                .or_else(|| number.as_u64().map(i128::from))
                .map(Self::Int)
                .ok_or_else(|| bad_part(&format!("the number {number}"))),
            serde_json::Value::Null => Err(bad_part("null")),
            serde_json::Value::Array(_) => Err(bad_part("an array")),
            serde_json::Value::Object(_) => Err(bad_part("an object")),
        }
    }
}

fn bad_part(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidKey,
        format!("a part of a key is a string, an integer or a boolean, not {what}"),
    )
}

/// What identifies a document in its collection: an ordered list of named parts, or a bare string.
///
/// A bare string stands for the store's single key attribute, named `_key` where a store has no schema.
///
/// ```
/// use batch_core::Key;
///
/// let bare = Key::from("Abby");
/// let named = Key::new().part("school", "north").part("number", 7);
/// assert_eq!(serde_json::to_string(&bare)?, r#""Abby""#);
/// assert_eq!(serde_json::to_string(&named)?, r#"{"school":"north","number":7}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Key {
    bytes: Vec<u8>,
    mistake: Option<KeyMistake>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum KeyMistake {
    RepeatedName,
    EmptyName,
    LongName,
    LongValue,
    IntegerRange,
    BareAndNamed,
}

impl Key {
    /// A key without parts, to be filled by [`part`](Self::part).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_buffer(bytes: Vec<u8>) -> Self {
        Self { bytes, mistake: None }
    }

    /// Adds a named part at the end. A mistake (an empty or repeated name) is kept and
    /// returned when the key is used.
    #[must_use]
    pub fn part<'v>(mut self, name: &str, value: impl Into<KeyValue<'v>>) -> Self {
        self.push(name, &value.into());
        self
    }

    pub(crate) fn push(&mut self, name: &str, value: &KeyValue<'_>) {
        let mistake = if name.is_empty() {
            Some(KeyMistake::EmptyName)
        } else {
            let mut names = self.as_ref().raw_parts().map(|(_, name, _)| name);
            names.find_map(|other| match other {
                "" => Some(KeyMistake::BareAndNamed),
                _ => (other == name).then_some(KeyMistake::RepeatedName),
            })
        };
        self.mistake = self.mistake.or(mistake);
        self.push_raw(name, value);
    }

    #[inline]
    pub(crate) fn push_bare(&mut self, text: &str) {
        if !self.bytes.is_empty() {
            self.mistake = self.mistake.or(Some(KeyMistake::BareAndNamed));
        }
        self.push_text(TAG_STR, "", text);
    }

    fn push_raw(&mut self, name: &str, value: &KeyValue<'_>) {
        match value {
            KeyValue::Str(text) => self.push_text(TAG_STR, name, text),
            KeyValue::Bool(true) => self.push_text(TAG_BOOL, name, "true"),
            KeyValue::Bool(false) => self.push_text(TAG_BOOL, name, "false"),
            KeyValue::Int(int) => {
                if *int < i128::from(i64::MIN) || *int > i128::from(u64::MAX) {
                    self.mistake = self.mistake.or(Some(KeyMistake::IntegerRange));
                }
                // 128 bits are slow to write, and none but the largest need them.
                let mut digits = itoa::Buffer::new();
                let text = match i64::try_from(*int) {
                    Ok(int) => digits.format(int),
                    Err(_) => digits.format(*int),
                };
                self.push_text(TAG_INT, name, text);
            }
        }
    }

    fn push_text(&mut self, tag: u8, name: &str, text: &str) {
        let mistake = if name.len() > MAX_PART_NAME {
            KeyMistake::LongName
        } else if u32::try_from(text.len()).is_err() {
            KeyMistake::LongValue
        } else {
            let room = if self.bytes.is_empty() { ROOM_FOR_DOCUMENT } else { 0 };
            self.bytes.reserve(layout::most_bytes(name, text) + room);
            return layout::push(&mut self.bytes, tag, name, text);
        };
        self.mistake = self.mistake.or(Some(mistake));
    }

    /// The first mistake that was made while building the key, or that it has no part at all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`], with what to do.
    #[inline]
    pub fn check(&self) -> Result<()> {
        if self.mistake.is_none() && !self.bytes.is_empty() {
            return Ok(());
        }
        Err(self.mistake_error())
    }

    #[cold]
    fn mistake_error(&self) -> Error {
        let message = match self.mistake {
            None => "the key has no part; give one with `.key(name, value)` or `.at(text)`",
            Some(KeyMistake::RepeatedName) => "the key names the same part twice",
            Some(KeyMistake::EmptyName) => {
                "a part of the key has an empty name; for a bare key use `.at(text)`"
            }
            Some(KeyMistake::LongName) => "a part of the key has a name of more than 65,535 bytes",
            Some(KeyMistake::LongValue) => "a part of the key has a value of 4 GiB or more",
            Some(KeyMistake::IntegerRange) => {
                "an integer in the key is outside the range of 64 bits; give it as a string"
            }
            Some(KeyMistake::BareAndNamed) => {
                "the key is a bare string and has named parts; use `.at(text)` or `.key(name, value)`, not both"
            }
        };
        Error::new(ErrorKind::InvalidKey, message)
    }

    /// The parts, to be read.
    #[must_use]
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { bytes: &self.bytes }
    }

    #[inline]
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl From<&str> for Key {
    #[inline]
    fn from(text: &str) -> Self {
        let mut key = Self::default();
        key.push_bare(text);
        key
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Key {
    #[inline]
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<KeyRef<'_>> for Key {
    fn from(key: KeyRef<'_>) -> Self {
        Self { bytes: key.bytes.to_vec(), mistake: None }
    }
}

impl<'v, V: Into<KeyValue<'v>>, const N: usize> From<[(&str, V); N]> for Key {
    fn from(parts: [(&str, V); N]) -> Self {
        let mut key = Self::new();
        for (name, value) in parts {
            key.push(name, &value.into());
        }
        key
    }
}

/// The key's buffer becomes the operation's, so a small document finds room in it.
pub(crate) const ROOM_FOR_DOCUMENT: usize = 64;

const TAG_STR: u8 = b's';
const TAG_INT: u8 = b'i';
const TAG_BOOL: u8 = b'b';

/// A key that is borrowed from an operation.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct KeyRef<'a> {
    bytes: &'a [u8],
}

impl<'a> KeyRef<'a> {
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes that the key takes in a batch.
    #[must_use]
    pub fn size(self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no key: a native operation that declares none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The text of a bare key; `None` if the parts are named.
    #[must_use]
    pub fn bare(self) -> Option<&'a str> {
        match self.raw_parts().next() {
            Some((_, "", text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the key is a bare string. Costs less than to read it.
    #[must_use]
    pub fn is_bare(self) -> bool {
        layout::begins_unnamed(self.bytes)
    }

    /// Name and value of each part, in order. A bare key is one part with an empty name.
    pub fn parts(self) -> impl Iterator<Item = (&'a str, KeyValue<'a>)> {
        self.raw_parts().map(|(tag, name, text)| {
            let value = match tag {
                TAG_INT => KeyValue::Int(match text.parse::<i64>() {
                    Ok(int) => int.into(),
                    Err(_) => text.parse().unwrap_or_default(),
                }),
                TAG_BOOL => KeyValue::Bool(text == "true"),
                _ => KeyValue::Str(Cow::Borrowed(text)),
            };
            (name, value)
        })
    }

    /// Name and string form of each part, in order: what stores without a schema compare.
    pub fn string_parts(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.raw_parts().map(|(_, name, text)| (name, text))
    }

    /// The string forms in the order of their names: the identity of a key on a store without a schema.
    #[must_use]
    pub fn string_forms(self) -> Vec<&'a str> {
        let mut parts: Vec<_> = self.string_parts().collect();
        parts.sort_by_key(|(name, _)| *name);
        parts.into_iter().map(|(_, text)| text).collect()
    }

    /// Tag, name and string form of each part.
    fn raw_parts(self) -> impl Iterator<Item = (u8, &'a str, &'a str)> {
        layout::parts(self.bytes)
    }
}

impl fmt::Debug for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bare() {
            Some(text) => fmt::Debug::fmt(text, f),
            None => f.debug_map().entries(self.parts()).finish(),
        }
    }
}

impl Serialize for KeyValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bool(value) => serializer.serialize_bool(*value),
            // JSON writers take i128 too, but 64 bits is what every reader of JSON has.
            Self::Int(int) => match (i64::try_from(*int), u64::try_from(*int)) {
                (Ok(int), _) => serializer.serialize_i64(int),
                (_, Ok(int)) => serializer.serialize_u64(int),
                _ => Err(serde::ser::Error::custom("an integer outside the range of 64 bits")),
            },
        }
    }
}

impl Serialize for KeyRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if let Some(text) = self.bare() {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.parts() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.as_ref().serialize(serializer)
    }
}

struct PartValue<'a>(KeyValue<'a>);

impl<'de> Deserialize<'de> for PartValue<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Part;
        impl<'de> Visitor<'de> for Part {
            type Value = PartValue<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer or a boolean as a part of the key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(PartValue(KeyValue::Str(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(PartValue(KeyValue::Str(Cow::Owned(text.to_owned()))))
            }
            fn visit_i64<E: de::Error>(self, int: i64) -> std::result::Result<Self::Value, E> {
                Ok(PartValue(KeyValue::Int(int.into())))
            }
            fn visit_u64<E: de::Error>(self, int: u64) -> std::result::Result<Self::Value, E> {
                Ok(PartValue(KeyValue::Int(int.into())))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> std::result::Result<Self::Value, E> {
                // Its digits may be others than those that were written.
                Err(E::custom(format_args!(
                    "a number in a key is an integer from {} to {}, without point and exponent; give any other as a string",
                    i64::MIN,
                    u64::MAX
                )))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> std::result::Result<Self::Value, E> {
                Ok(PartValue(KeyValue::Bool(value)))
            }
        }
        deserializer.deserialize_any(Part)
    }
}

impl<'de> Deserialize<'de> for Key {
    /// A string, or an object of strings, integers and booleans.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key: a string, or an object of strings, integers and booleans")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Key, E> {
                let key = Key::from(text);
                key.check().map_err(de::Error::custom)?;
                Ok(key)
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Key, A::Error> {
                let mut key = Key::new();
                while let Some(Text(name)) = map.next_key()? {
                    if name.is_empty() {
                        return Err(de::Error::custom("a part of the key has an empty name"));
                    }
                    if key.as_ref().string_parts().any(|(other, _)| other == name) {
                        return Err(de::Error::custom(format_args!(
                            "duplicate attribute `{name}` in the key"
                        )));
                    }
                    let PartValue(value) = map.next_value()?;
                    key.push(&name, &value);
                }
                if key.as_ref().is_empty() {
                    return Err(de::Error::custom("the key has no part; name at least one"));
                }
                key.check().map_err(de::Error::custom)?;
                Ok(key)
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_way_to_json_and_back() {
        for text in [
            r#""Abby""#,
            r#"{"id":"Abby"}"#,
            r#"{"b":1,"a":true}"#,
            r#"{"n":-9223372036854775808,"m":18446744073709551615}"#,
            r#"{"quote":"\"\\\u0000"}"#,
        ] {
            let key: Key = serde_json::from_str(text).unwrap();
            key.check().unwrap();
            assert_eq!(serde_json::to_string(&key).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        for (text, reason) in [
            ("1", "a key: a string, or an object"),
            ("{}", "no part"),
            (r#"{"a":null}"#, "a string, an integer or a boolean"),
            (r#"{"a":1.5}"#, "a number in a key is an integer"),
            (r#"{"a":1e20}"#, "from -9223372036854775808 to 18446744073709551615"),
            (r#"{"a":18446744073709551616}"#, "give any other as a string"),
            (r#"{"a":[1]}"#, "a string, an integer or a boolean"),
            (r#"{"":1}"#, "empty name"),
            (r#"{"a":1,"a":2}"#, "duplicate attribute `a`"),
        ] {
            let error = serde_json::from_str::<Key>(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for key in [Key::new(), Key::new().part("", 1), Key::new().part("a", 1).part("a", 2)] {
            assert_eq!(key.check().unwrap_err().kind(), ErrorKind::InvalidKey, "{key:?}");
        }
        assert!(Key::from("a").part("b", 1).check().is_err());
    }

    #[test]
    fn a_part_that_cannot_be_held_is_refused_and_not_left_out() {
        let long = "n".repeat(MAX_PART_NAME + 1);
        let text = format!(r#"{{"{long}":"x","id":"Abby"}}"#);
        let error = serde_json::from_str::<Key>(&text).unwrap_err().to_string();
        assert!(error.contains("65,535"), "{error}");
    }

    #[test]
    fn parts_of_any_length_read_back_as_they_were_given() {
        let lengths = [1, 63, 64, 65, 4095, 4096, 4097, MAX_PART_NAME];
        for (name, value) in lengths.iter().flat_map(|name| {
            lengths.iter().chain(&[0, 262_143, 262_144]).map(move |value| (*name, *value))
        }) {
            let (name, value) = ("n".repeat(name), "é".repeat(value / 2) + &"v".repeat(value % 2));
            let key = Key::new().part(&name, &value).part("é", "").part("last", -7);
            key.check().unwrap();
            let parts: Vec<_> = key.as_ref().string_parts().collect();
            assert_eq!(parts, [(&*name, &*value), ("é", ""), ("last", "-7")]);
        }
    }

    #[test]
    fn a_key_is_bare_where_it_has_the_text_of_a_bare_one() {
        let named = Key::new().part("a", "");
        for key in [Key::new(), Key::from(""), Key::from("é"), named, Key::new().part("b", true)] {
            assert_eq!(key.as_ref().is_bare(), key.as_ref().bare().is_some(), "{key:?}");
        }
    }

    #[test]
    fn string_forms_follow_the_order_of_the_names() {
        let key = Key::new().part("b", 1).part("a", "x");
        assert_eq!(key.as_ref().string_forms(), ["x", "1"]);
        assert_eq!(Key::from("1").as_ref().string_forms(), ["1"]);
    }
}
