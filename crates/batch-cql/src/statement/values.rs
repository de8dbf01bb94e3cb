//! The values of a statement, from JSON to the driver's bytes.

use std::{borrow::Cow, fmt};

use batch_core::{Error, ErrorKind, Result};
use scylla::{cluster::metadata::ColumnType, frame::response::result::ColumnSpec};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::text::excerpt;

/// Appends the value of a column's type, and says whether there is one; or says why not.
type Encode<'e> = &'e dyn Fn(&ColumnType<'_>, &RawValue, &mut Vec<u8>) -> Result<bool, String>;

/// Appends the values, one for each marker: an array in the order of the markers, or an object by
/// their names.
fn encode_with(
    encode: Encode<'_>,
    statement: &str,
    markers: &[ColumnSpec<'_>],
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let list = Values { encode, statement, markers };
    let done = if json.first() == Some(&b'{') {
        list.by_name(json, out)
    } else {
        list.by_place(json, out)
    };
    if done.is_err() {
        out.truncate(start);
    }
    done
}

struct Values<'e> {
    encode: Encode<'e>,
    statement: &'e str,
    markers: &'e [ColumnSpec<'e>],
}

impl Values<'_> {
    fn wrong(&self, what: impl fmt::Display) -> Error {
        let text = excerpt(self.statement);
        Error::new(ErrorKind::InvalidOperation, format!("`{text}`: {what}"))
    }

    fn by_place(&self, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let values: Vec<&RawValue> = serde_json::from_slice(json).map_err(|error| {
            self.wrong(format_args!("the values are no JSON array: {error}")).with_source(error)
        })?;
        if values.len() != self.markers.len() {
            return Err(self.wrong(format_args!(
                "it has {} markers, and there are {} values",
                self.markers.len(),
                values.len()
            )));
        }
        self.markers
            .iter()
            .zip(values)
            .enumerate()
            .try_for_each(|(place, (marker, value))| self.cell(place, marker, value, out))
    }

    fn by_name(&self, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let Named(values) = serde_json::from_slice(json).map_err(|error| {
            self.wrong(format_args!("the values are no JSON object: {error}")).with_source(error)
        })?;
        let is_marker = |name: &str| self.markers.iter().any(|marker| marker.name() == name);
        for (place, (name, _)) in values.iter().enumerate() {
            if values.iter().take(place).any(|(before, _)| before == name) {
                return Err(self.wrong(format_args!("the value of `{name}` is given twice")));
            }
            if !is_marker(name) {
                let names: Vec<_> =
                    self.markers.iter().map(|marker| format!("`{}`", marker.name())).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(self.wrong(format_args!("it has no marker `{name}`, but {names}")));
            }
        }
        for (place, marker) in self.markers.iter().enumerate() {
            let value = values.iter().find(|(name, _)| name == marker.name());
            let Some((_, value)) = value else {
                let name = marker.name();
                return Err(self.wrong(format_args!("the value of `{name}` is missing")));
            };
            self.cell(place, marker, value, out)?;
        }
        Ok(())
    }

    fn cell(
        &self,
        place: usize,
        marker: &ColumnSpec<'_>,
        value: &RawValue,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        let given = (self.encode)(marker.typ(), value, out).map_err(|why| {
            self.wrong(format_args!("marker {} (`{}`): {why}", place + 1, marker.name()))
        })?;
        if given {
            let length = i32::try_from(out.len() - start - 4)
                .map_err(|_| self.wrong("a value has more than 2 GiB"))?;
            if let Some(place) = out.get_mut(start..start + 4) {
                place.copy_from_slice(&length.to_be_bytes());
            }
        } else {
            out.truncate(start + 4);
        }
        Ok(())
    }
}

/// A JSON object's attributes, in the order of the text.
struct Named<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Named<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Named<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some(entry) = map.next_entry::<Name<'de>, _>()? {
                    out.push((entry.0.0, entry.1));
                }
                Ok(Named(out))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
