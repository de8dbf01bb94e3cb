//! What JSON text must be to be taken as a document: one object, no attribute twice, not too deep.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use super::form::FormError;
use crate::json::Text;

/// The most levels of nesting that are read.
const MOST_LEVELS: usize = 127;

/// Whether JSON text that serde has written is nested deeper than it can be read back.
pub(super) fn is_too_deep(json: &[u8]) -> bool {
    // Each level takes two bytes at least, so most documents need no look.
    if json.len() <= 2 * MOST_LEVELS || brackets(json) <= MOST_LEVELS {
        return false;
    }
    let (mut level, mut in_string, mut escaped) = (0_usize, false, false);
    json.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => level += 1,
            b'}' | b']' if !in_string => level = level.saturating_sub(1),
            _ => {}
        }
        level > MOST_LEVELS
    })
}

/// The opening brackets of the text, those in strings included: what the processor counts many at once.
fn brackets(json: &[u8]) -> usize {
    // `[` and `{` differ in one bit. A byte holds the count of a piece.
    let in_piece =
        |piece: &[u8]| piece.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    json.chunks(usize::from(u8::MAX)).map(|piece| usize::from(in_piece(piece))).sum()
}

/// Whether the text is one JSON object without repeated attributes.
pub(super) fn check_document(json: &str) -> Result<(), FormError> {
    check_value(json)?;
    if json.trim_ascii_start().starts_with('{') {
        Ok(())
    } else {
        Err(FormError::at(json, 0, "a document is a JSON object; wrap the value in one"))
    }
}

pub(super) fn check_value(json: &str) -> Result<(), FormError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Strict
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| FormError::from_json(&error))
}

/// Walks any JSON value and refuses an attribute that stands twice in one object.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            if names.has(&name) {
                return Err(de::Error::custom(format_args!("duplicate attribute `{name}`")));
            }
            names.insert(name);
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
}

/// More names than this are looked for in a set.
const FEW: usize = 16;

/// The names seen in one object: a short list first, which costs nothing to make and to drop, then a
/// set, where names that had to be unescaped are kept as well.
#[derive(Default)]
struct Names<'a> {
    few: [&'a str; FEW],
    count: usize,
    others: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    fn has(&self, name: &str) -> bool {
        self.few.iter().take(self.count).any(|other| *other == name)
            || self.others.as_ref().is_some_and(|others| others.contains(name))
    }

    fn insert(&mut self, name: Cow<'a, str>) {
        match (name, self.few.get_mut(self.count)) {
            (Cow::Borrowed(name), Some(free)) => {
                *free = name;
                self.count += 1;
            }
            (name, _) => {
                self.others.get_or_insert_default().insert(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    #[test]
    fn a_document_that_could_not_be_read_back_is_refused_when_it_is_written() {
        let nested = |levels| {
            (1..levels).fold(serde_json::json!({}), |inner, _| serde_json::json!({"a]}{": inner}))
        };
        let put = |levels| Operation::put("s").at("k").doc(&nested(levels));
        assert!(put(MOST_LEVELS).check().is_ok());
        assert!(
            Operation::put("s").at("k").doc_text(&nested(MOST_LEVELS).to_string()).check().is_ok()
        );
        assert!(put(MOST_LEVELS + 1).check().is_err());
        let deeper = nested(MOST_LEVELS + 1).to_string();
        assert!(Operation::put("s").at("k").doc_text(&deeper).check().is_err());
    }

    #[test]
    fn an_attribute_that_is_repeated_after_many_others_is_noticed() {
        let attributes: String = (0..40).map(|n| format!("\"a{n}\":{n},")).collect();
        assert!(check_document(&format!("{{{attributes}\"z\":1}}")).is_ok());
        assert!(check_document(&format!("{{{attributes}\"a0\":1}}")).is_err());
        assert!(check_document(&format!("{{{attributes}\"a39\":1}}")).is_err());
        assert!(check_document(r#"{"\u0061":1,"b":2,"a":3}"#).is_err());
        assert!(check_document(r#"{"a":1,"b":2,"\u0061":3}"#).is_err());
    }
}
