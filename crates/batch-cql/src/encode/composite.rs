//! Values of any type out of a parser: collections, tuples, user-defined types and vectors, down
//! to the scalars in them.

use std::{cmp::Ordering, fmt};

use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType};
use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeSeed, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
        value::SeqAccessDeserializer,
    },
};
use serde_json::value::RawValue;

use super::{
    misfit::Misfit,
    object::Text,
    order::Order,
    scalar::{self, Scalar},
    sink::{NO_NULL, NULL, Sink, wants},
};
use crate::{row::Written, wire};

/// Reads one value of a type.
pub(super) struct Value<'o, 't> {
    pub(super) typ: &'t ColumnType<'t>,
    pub(super) sink: Sink<'o>,
    /// Whether the value is the JSON in a string, which cannot be a string again.
    pub(super) in_string: bool,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = Written;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Written, D::Error> {
        match self.typ {
            ColumnType::Native(native) if scalar::needs_digits(native, self.sink.careful) => {
                let text = <&RawValue>::deserialize(deserializer)?.get();
                self.digits(text)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Value<'_, '_> {
    /// Of a type that is read from a number's own digits.
    fn digits<E: de::Error>(&mut self, text: &str) -> Result<Written, E> {
        match text.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => self.sink.scalar(self.typ, Scalar::Number(text)),
            Some(b'n') => Ok(Written::Null),
            Some(b'"') => match serde_json::from_str::<Text<'_>>(text) {
                Ok(Text(text)) => self.sink.scalar(self.typ, Scalar::Text(&text)),
                Err(error) => Err(E::custom(error)),
            },
            _ => Err(self.sink.refuse(Misfit::new(self.typ, wants(self.typ), text))),
        }
    }

    fn refuse<E: de::Error>(&mut self, value: impl fmt::Display) -> E {
        self.sink.refuse(Misfit::new(self.typ, wants(self.typ), value))
    }

    fn nested<'n>(&'n mut self, typ: &'n ColumnType<'n>) -> Value<'n, 'n> {
        Value { typ, sink: self.sink.reborrow(), in_string: false }
    }

    /// An array of any number of elements behind their number.
    fn list<'de, A: SeqAccess<'de>>(
        mut self,
        mut seq: A,
        of: &ColumnType<'_>,
        is_set: bool,
    ) -> Result<Written, A::Error> {
        let start = self.sink.out.len();
        self.sink.out.extend_from_slice(&NULL);
        let (mut count, mut order) = (0_usize, Order::new(of));
        loop {
            let at = self.sink.out.len();
            let read =
                |sink: Sink<'_>| seq.next_element_seed(Value { typ: of, sink, in_string: false });
            match self.sink.sized(read) {
                Ok(Some(Written::Value)) => {}
                Ok(Some(Written::Null)) => {
                    let error = self.sink.refuse(Misfit::new(of, NO_NULL, "null"));
                    return Err(self.sink.inside(count, error));
                }
                Ok(None) => break,
                Err(error) => return Err(self.sink.inside(count, error)),
            }
            count += 1;
            if is_set && order.note(self.sink.out, at..self.sink.out.len()) == Ordering::Equal {
                self.sink.out.truncate(at);
                count -= 1;
            }
        }
        if order.is_wrong {
            count = order.sort_set(self.sink.out, start + NULL.len());
        }
        self.sink.set_number(start, count)?;
        Ok(Written::Value)
    }

    /// An array that has one element for each field, null or not.
    fn tuple<'de, A: SeqAccess<'de>>(
        mut self,
        mut seq: A,
        types: &[ColumnType<'_>],
    ) -> Result<Written, A::Error> {
        for (place, typ) in types.iter().enumerate() {
            let read =
                |sink: Sink<'_>| seq.next_element_seed(Value { typ, sink, in_string: false });
            match self.sink.sized(read) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(self.wrong_length(types.len(), place)),
                Err(error) => return Err(self.sink.inside(place, error)),
            }
        }
        let further = rest(seq)?;
        if further > 0 {
            return Err(self.wrong_length(types.len(), types.len() + further));
        }
        Ok(Written::Value)
    }

    fn wrong_length<E: de::Error>(&mut self, wanted: usize, given: usize) -> E {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let wants = format!("an array of {wanted} element{}", plural(wanted));
        let misfit = Misfit::new(self.typ, wants, format_args!("one of {given}"));
        self.sink.refuse(misfit)
    }

    fn vector<'de, A: SeqAccess<'de>>(
        mut self,
        mut seq: A,
        of: &ColumnType<'_>,
        dimensions: u16,
    ) -> Result<Written, A::Error> {
        let is_fixed = of.type_size_for_vector().is_some();
        let dimensions = usize::from(dimensions);
        for place in 0..dimensions {
            let start = self.sink.out.len();
            match seq.next_element_seed(self.nested(of)) {
                Ok(Some(Written::Value)) => {}
                Ok(Some(_)) => {
                    let error = self.sink.refuse(Misfit::new(of, NO_NULL, "null"));
                    return Err(self.sink.inside(place, error));
                }
                Ok(None) => return Err(self.wrong_length(dimensions, place)),
                Err(error) => return Err(self.sink.inside(place, error)),
            }
            if !is_fixed {
                // The length goes before what it is the length of.
                let end = self.sink.out.len();
                wire::write_unsigned((end - start) as u64, self.sink.out);
                let prefix = self.sink.out.len() - end;
                if let Some(element) = self.sink.out.get_mut(start..) {
                    element.rotate_right(prefix);
                }
            }
        }
        let further = rest(seq)?;
        if further > 0 {
            return Err(self.wrong_length(dimensions, dimensions + further));
        }
        Ok(Written::Value)
    }
}

/// How many elements are left.
fn rest<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<usize, A::Error> {
    let mut count = 0;
    while seq.next_element::<de::IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Reads a value that stands as JSON in a string.
pub(super) fn json_in_string<E: de::Error>(
    typ: &ColumnType<'_>,
    mut sink: Sink<'_>,
    text: &str,
) -> Result<Written, E> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Value { typ, sink: sink.reborrow(), in_string: true };
    let written = value.deserialize(&mut deserializer);
    match written.and_then(|written| deserializer.end().map(|()| written)) {
        Ok(written) => Ok(written),
        Err(error) if sink.misfit.is_some() => Err(E::custom(error)),
        Err(_) => Err(sink.refuse(Misfit::new(typ, wants(typ), Scalar::Text(text)))),
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(wants(self.typ))
    }

    fn visit_bool<E: de::Error>(mut self, value: bool) -> Result<Written, E> {
        self.sink.scalar(self.typ, Scalar::Bool(value))
    }

    #[inline]
    fn visit_i64<E: de::Error>(mut self, value: i64) -> Result<Written, E> {
        // What most columns are goes the short way.
        match (self.typ, i32::try_from(value)) {
            (ColumnType::Native(NativeType::Int), Ok(value)) => {
                self.sink.out.extend_from_slice(&value.to_be_bytes());
                return Ok(Written::Value);
            }
            (ColumnType::Native(NativeType::BigInt), _) => {
                self.sink.out.extend_from_slice(&value.to_be_bytes());
                return Ok(Written::Value);
            }
            _ => {}
        }
        self.sink.scalar(self.typ, Scalar::Integer(value.into()))
    }

    #[inline]
    fn visit_u64<E: de::Error>(mut self, value: u64) -> Result<Written, E> {
        if let Ok(value) = i64::try_from(value) {
            return self.visit_i64(value);
        }
        self.sink.scalar(self.typ, Scalar::Integer(value.into()))
    }

    fn visit_f64<E: de::Error>(mut self, value: f64) -> Result<Written, E> {
        let mut misfit = Misfit::new(self.typ, wants(self.typ), value);
        misfit.needs_care =
            matches!(self.typ, ColumnType::Native(native) if scalar::needs_digits(native, true));
        Err(self.sink.refuse(misfit))
    }

    #[inline]
    fn visit_str<E: de::Error>(mut self, text: &str) -> Result<Written, E> {
        if matches!(self.typ, ColumnType::Native(NativeType::Text)) {
            self.sink.out.extend_from_slice(text.as_bytes());
            return Ok(Written::Value);
        }
        if self.in_string || matches!(self.typ, ColumnType::Native(_)) {
            return self.sink.scalar(self.typ, Scalar::Text(text));
        }
        json_in_string(self.typ, self.sink, text)
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, seq: A) -> Result<Written, A::Error> {
        match self.typ {
            ColumnType::Collection { typ: CollectionType::List(of), .. } => {
                self.list(seq, of, false)
            }
            ColumnType::Collection { typ: CollectionType::Set(of), .. } => self.list(seq, of, true),
            ColumnType::Tuple(types) => self.tuple(seq, types),
            ColumnType::Vector { typ, dimensions } => self.vector(seq, typ, *dimensions),
            _ => {
                let value = serde_json::Value::deserialize(SeqAccessDeserializer::new(seq))?;
                Err(self.refuse(value))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<Written, A::Error> {
        match self.typ {
            ColumnType::Collection { typ: CollectionType::Map(key, value), .. } => {
                self.map(map, key, value)
            }
            ColumnType::UserDefinedType { definition, .. } => self.fields(map, definition),
            _ => {
                let value = serde_json::Value::deserialize(MapAccessDeserializer::new(map))?;
                Err(self.refuse(value))
            }
        }
    }
}
