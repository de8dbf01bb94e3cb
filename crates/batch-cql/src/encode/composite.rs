//! Values of any type out of a parser: collections, tuples, user-defined types and vectors, down
//! to the scalars in them.

use std::{borrow::Cow, cmp::Ordering, fmt, ops::Range};

use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType, UserDefinedType};
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
    order,
    scalar::{self, Scalar},
};
use crate::{
    row::Written,
    wire::{self, Fields},
};

/// Where bytes go, and the misfit that ends the writing.
pub(super) struct Sink<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) misfit: &'o mut Option<Box<Misfit>>,
    /// Whether integers too are read from their digits. The parser gives `-0`, `-0.0` and `-1e-400`
    /// alike, so what has one of them for an integer is read once more, with more care.
    pub(super) careful: bool,
}

impl Sink<'_> {
    fn reborrow(&mut self) -> Sink<'_> {
        Sink { out: self.out, misfit: self.misfit, careful: self.careful }
    }

    /// Keeps the misfit and gives the parser an error to stop with.
    fn refuse<E: de::Error>(&mut self, misfit: Box<Misfit>) -> E {
        *self.misfit = Some(misfit);
        E::custom("a value that does not fit")
    }

    /// Adds a place to the misfit that an error stopped the parser for.
    fn inside<E>(&mut self, place: impl fmt::Display, error: E) -> E {
        if let Some(misfit) = &mut self.misfit {
            misfit.inside(place);
        }
        error
    }

    fn scalar<E: de::Error>(
        &mut self,
        typ: &ColumnType<'_>,
        scalar: Scalar<'_>,
    ) -> Result<Written, E> {
        let result = match typ {
            ColumnType::Native(native) => scalar::write(native, scalar, self.out),
            typ => Err(wants(typ)),
        };
        match result {
            Ok(()) => Ok(Written::Value),
            Err(wants) => Err(self.refuse(Misfit::new(typ, wants, scalar))),
        }
    }

    /// Writes a value, if there is one, behind its length.
    fn sized<E: de::Error>(
        &mut self,
        write: impl FnOnce(Sink<'_>) -> Result<Option<Written>, E>,
    ) -> Result<Option<Written>, E> {
        let start = self.out.len();
        self.out.extend_from_slice(&NULL);
        let written = write(self.reborrow())?;
        match written {
            Some(Written::Value) => {
                let length = self.out.len() - start - NULL.len();
                self.set_number(start, length)?;
            }
            Some(Written::Null) => {}
            None => self.out.truncate(start),
        }
        Ok(written)
    }

    fn set_number<E: de::Error>(&mut self, start: usize, number: usize) -> Result<(), E> {
        let number = i32::try_from(number).map_err(|_| E::custom("a value of 2 GiB or more"))?;
        if let Some(place) = self.out.get_mut(start..start + NULL.len()) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        Ok(())
    }
}

const NO_NULL: &str = "no null here";

/// The length that means null.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Reads one value of a type.
pub(super) struct Value<'o, 't> {
    pub(super) typ: &'t ColumnType<'t>,
    pub(super) sink: Sink<'o>,
    /// Whether the value is the JSON in a string, which cannot be a string again.
    pub(super) in_string: bool,
}

/// What a type that is no scalar takes.
fn wants(typ: &ColumnType<'_>) -> &'static str {
    match typ {
        ColumnType::Native(native) => scalar::wants(native),
        ColumnType::Collection { typ: CollectionType::Map(..), .. }
        | ColumnType::UserDefinedType { .. } => "an object",
        _ => "an array",
    }
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

    fn map<'de, A: MapAccess<'de>>(
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
    fn fields<'de, A: MapAccess<'de>>(
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

/// Watches whether elements come in the order in which the server keeps them.
struct Order<'t> {
    typ: &'t ColumnType<'t>,
    last: Option<Range<usize>>,
    is_wrong: bool,
}

impl<'t> Order<'t> {
    fn new(typ: &'t ColumnType<'t>) -> Self {
        Self { typ, last: None, is_wrong: false }
    }

    /// Compares what stands behind its length at `next` with the one before.
    fn note(&mut self, out: &[u8], next: Range<usize>) -> Ordering {
        if self.is_wrong {
            return Ordering::Greater;
        }
        let bytes = |range: &Range<usize>| out.get(range.start + NULL.len()..range.end);
        let ordering = match (self.last.as_ref().and_then(bytes), bytes(&next)) {
            (Some(last), Some(next)) => order::compare(self.typ, next, last),
            _ => Ordering::Greater,
        };
        // One that is equal does not stay.
        if ordering != Ordering::Equal {
            self.last = Some(next);
        }
        self.is_wrong = ordering == Ordering::Less;
        ordering
    }

    /// Sorts the elements that stand from `start` on, keeps one of those that are equal, and
    /// counts them.
    fn sort_set(&self, out: &mut Vec<u8>, start: usize) -> usize {
        let given = out.split_off(start);
        let mut elements: Vec<&[u8]> = Fields(&given).flatten().collect();
        elements.sort_by(|one, other| order::compare(self.typ, one, other));
        elements.dedup_by(|one, other| order::compare(self.typ, one, other) == Ordering::Equal);
        elements.iter().for_each(|element| append(out, element));
        elements.len()
    }

    /// Sorts the entries that stand from `start` on; tells whether keys are equal.
    fn sort_map(&self, out: &mut Vec<u8>, start: usize) -> bool {
        let given = out.split_off(start);
        let mut fields = Fields(&given).flatten();
        let mut entries: Vec<(&[u8], &[u8])> =
            std::iter::from_fn(|| Some((fields.next()?, fields.next()?))).collect();
        entries.sort_by(|(one, _), (other, _)| order::compare(self.typ, one, other));
        for (key, value) in &entries {
            append(out, key);
            append(out, value);
        }
        let is_same = |pair: &[(&[u8], &[u8])]| match pair {
            [(one, _), (other, _)] => order::compare(self.typ, one, other) == Ordering::Equal,
            _ => false,
        };
        entries.windows(2).any(is_same)
    }
}

/// Appends bytes that were read from behind their length, and so have one.
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
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

/// How many elements are left.
fn rest<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<usize, A::Error> {
    let mut count = 0;
    while seq.next_element::<de::IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// A key of an object in an error, if its text is still at hand.
struct Name<'a>(Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => super::misfit::Quoted(name).fmt(f),
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
        misfit.needs_care = value == 0.0 && value.is_sign_negative();
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
