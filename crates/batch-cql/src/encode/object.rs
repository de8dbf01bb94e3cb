//! Objects: maps, whose keys are of any type, and user-defined types.

use std::{borrow::Cow, cmp::Ordering, fmt, ops::Range};

use scylla::cluster::metadata::{ColumnType, UserDefinedType};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, Visitor},
};

use super::{
    composite::{Value, json_in_string},
    misfit::{Misfit, Quoted},
    order::Order,
    scalar::Scalar,
    sink::{NO_NULL, NULL, Sink},
};
use crate::row::Written;

impl Value<'_, '_> {
    /// An object of any number of entries behind their number.
    pub(super) fn map<'de, A: MapAccess<'de>>(
        mut self,
        mut map: A,
        key: &ColumnType<'_>,
        value: &ColumnType<'_>,
    ) -> Result<Written, A::Error> {
        let start = self.sink.out.len();
        self.sink.out.extend_from_slice(&NULL);
        let (mut count, mut order) = (0_usize, Order::new(key));
        loop {
            let at = self.sink.out.len();
            self.sink.out.extend_from_slice(&NULL);
            let seed = Key { typ: key, sink: self.sink.reborrow() };
            let Some(name) = map.next_key_seed(seed)? else {
                self.sink.out.truncate(at);
                break;
            };
            let end = self.sink.out.len();
            self.sink.set_number(at, end - at - NULL.len())?;
            if order.note(self.sink.out, at..end) == Ordering::Equal {
                let misfit = Misfit::new(self.typ, "each key once", Name(name));
                return Err(self.sink.refuse(misfit));
            }
            let read = |sink: Sink<'_>| {
                map.next_value_seed(Value { typ: value, sink, in_string: false }).map(Some)
            };
            match self.sink.sized(read) {
                Ok(Some(Written::Value)) => {}
                Ok(_) => {
                    let error = self.sink.refuse(Misfit::new(value, NO_NULL, "null"));
                    return Err(self.sink.inside(Name(name), error));
                }
                Err(error) => return Err(self.sink.inside(Name(name), error)),
            }
            count += 1;
        }
        if order.is_wrong && order.sort_map(self.sink.out, start + NULL.len()) {
            let misfit = Misfit::new(self.typ, "each key once", "two that are equal");
            return Err(self.sink.refuse(misfit));
        }
        self.sink.set_number(start, count)?;
        Ok(Written::Value)
    }

    /// An object of fields by name; those that are missing are null.
    pub(super) fn fields<'de, A: MapAccess<'de>>(
        mut self,
        mut map: A,
        definition: &UserDefinedType<'_>,
    ) -> Result<Written, A::Error> {
        let types = &definition.field_types;
        let start = self.sink.out.len();
        let mut places: Vec<Option<Range<usize>>> = vec![None; types.len()];
        while let Some(Text(name)) = map.next_key()? {
            let Some(place) = place_of(types, &name) else {
                let names: Vec<&str> = types.iter().map(|(name, _)| &**name).collect();
                let wants = format!("the fields {}", names.join(", "));
                let misfit = Misfit::new(self.typ, wants, Name(Some(&name)));
                return Err(self.sink.refuse(misfit));
            };
            let (Some((_, typ)), Some(slot)) = (types.get(place), places.get_mut(place)) else {
                continue;
            };
            if slot.is_some() {
                let misfit = Misfit::new(self.typ, "each field once", Name(Some(&name)));
                return Err(self.sink.refuse(misfit));
            }
            let at = self.sink.out.len();
            let read = |sink: Sink<'_>| {
                map.next_value_seed(Value { typ, sink, in_string: false }).map(Some)
            };
            if let Err(error) = self.sink.sized(read) {
                return Err(self.sink.inside(Name(Some(&name)), error));
            }
            *slot = Some(at..self.sink.out.len());
        }
        let mut next = start;
        let is_in_order = places.iter().all(|place| {
            place
                .as_ref()
                .is_some_and(|range| std::mem::replace(&mut next, range.end) == range.start)
        });
        if !is_in_order {
            let given = self.sink.out.split_off(start);
            for place in places {
                let field =
                    place.and_then(|range| given.get(range.start - start..range.end - start));
                self.sink.out.extend_from_slice(field.unwrap_or(&NULL));
            }
        }
        Ok(Written::Value)
    }
}

/// The place of a field by its exact name, or by the name in quotes, as the server writes it when
/// it has capital letters.
fn place_of(types: &[(Cow<'_, str>, ColumnType<'_>)], name: &str) -> Option<usize> {
    let exact = |name: &str| types.iter().position(|(field, _)| field == name);
    exact(name).or_else(|| exact(&unquoted(name)?))
}

/// A name without the quotes around it.
pub(super) fn unquoted(name: &str) -> Option<String> {
    let inner = name.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\"\"", "\""))
}

/// A key of an object in an error, if its text is still at hand.
struct Name<'a>(Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => Quoted(name).fmt(f),
            None => f.write_str("…"),
        }
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Reads a key of an object as a value of a type; gives its text, if that can be borrowed.
struct Key<'o, 't> {
    typ: &'t ColumnType<'t>,
    sink: Sink<'o>,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.visit_str(text).map(|_| Some(text))
    }

    fn visit_str<E: de::Error>(mut self, text: &str) -> Result<Self::Value, E> {
        let written = match self.typ {
            ColumnType::Native(_) => self.sink.scalar(self.typ, Scalar::Text(text)),
            typ => json_in_string(typ, self.sink.reborrow(), text),
        }?;
        if written == Written::Null {
            return Err(self.sink.refuse(Misfit::new(self.typ, NO_NULL, "null")));
        }
        Ok(None)
    }
}
