//! The values of a statement, from JSON to the driver's bytes.

use std::{borrow::Cow, fmt};

use batch_core::{Error, ErrorKind, Result};
use scylla::frame::response::result::ColumnSpec;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::errors::excerpt;
use crate::{encode, row::Written};

/// Appends the values, one for each marker: an array in the order of the markers, or an object by
/// their names. If one does not fit, nothing is appended.
///
/// # Errors
/// `InvalidOperation`, naming the statement, the marker, its type and the value.
pub(crate) fn encode_values(
    statement: &str,
    markers: &[ColumnSpec<'_>],
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let values = Values { statement, markers };
    let done = match json.first() {
        None => values.by_place(b"[]", out),
        Some(b'{') => values.by_name(json, out),
        Some(_) => values.by_place(json, out),
    };
    if done.is_err() {
        out.truncate(start);
    }
    done
}

struct Values<'e> {
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
        let written = encode::value(marker.typ(), value.get(), out).map_err(|misfit| {
            self.wrong(format_args!("marker {} (`{}`): {misfit}", place + 1, marker.name()))
        })?;
        if written == Written::Value {
            let length = i32::try_from(out.len() - start - 4)
                .map_err(|_| self.wrong("a value has more than 2 GiB"))?;
            if let Some(place) = out.get_mut(start..start + 4) {
                place.copy_from_slice(&length.to_be_bytes());
            }
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

#[cfg(test)]
mod tests {
    use scylla::{
        cluster::metadata::{CollectionType, ColumnType, NativeType},
        frame::response::result::TableSpec,
    };

    use super::*;

    fn markers() -> Vec<ColumnSpec<'static>> {
        let native = ColumnType::Native;
        let list = CollectionType::List(Box::new(native(NativeType::Int)));
        let list = ColumnType::Collection { frozen: false, typ: list };
        [
            ("n", native(NativeType::Counter)),
            ("name", native(NativeType::Text)),
            ("in(l)", list),
            ("n", native(NativeType::Counter)),
        ]
        .map(|(name, typ)| {
            ColumnSpec::owned(name.to_owned(), typ, TableSpec::borrowed("school", "hits"))
        })
        .into()
    }

    const STATEMENT: &str = "UPDATE hits\n  SET n = n + ? …";

    fn encoded(json: &str) -> Result<Vec<u8>, String> {
        let mut out = b"before".to_vec();
        let done = encode_values(STATEMENT, &markers(), json.as_bytes(), &mut out);
        let written = out.strip_prefix(b"before").map(<[u8]>::to_vec);
        match done {
            Ok(()) => Ok(written.unwrap()),
            Err(error) => {
                assert_eq!(written.as_deref(), Some(&[] as &[u8]), "{error}");
                assert_eq!(error.kind(), ErrorKind::InvalidOperation);
                Err(error.message().to_owned())
            }
        }
    }

    #[test]
    fn values_are_written_by_place_or_by_name() {
        let expected = b"\0\0\0\x08\0\0\0\0\0\0\0\x05\xff\xff\xff\xff\0\0\0\x04\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x05";
        for json in [
            r#"[5, null, [], "5"]"#,
            r#" [ 5 ,null, [ ],5 ] "#,
            r#"{"n": 5, "name": null, "in(l)": []}"#,
            r#"{"in(l)": [], "name": null, "\u006e": 5}"#,
        ] {
            assert_eq!(encoded(json).as_deref(), Ok(expected.as_slice()), "{json}");
        }
        let empty = encoded(r#"[1, "", [7], 2]"#).unwrap();
        assert_eq!(empty.get(12..16), Some([0; 4].as_slice()));
    }

    #[test]
    fn no_values_are_the_values_of_a_statement_without_markers() {
        for json in ["[]", "{}", ""] {
            let mut out = Vec::new();
            encode_values("DELETE …", &[], json.as_bytes(), &mut out).unwrap();
            assert!(out.is_empty());
        }
    }

    #[test]
    fn an_error_names_statement_marker_type_and_value() {
        for (json, expected) in [
            ("[1, null, []]", "it has 4 markers, and there are 3 values"),
            ("[1, null, [], 1, 1]", "it has 4 markers, and there are 5 values"),
            ("[]", "it has 4 markers, and there are 0 values"),
            (r#"[1, 7, [], 1]"#, "marker 2 (`name`): text takes"),
            (r#"[1, 7, [], 1]"#, "not 7"),
            (r#"[1.5, null, [], 1]"#, "marker 1 (`n`): counter takes"),
            (r#"[1, null, [1, "x"], 1]"#, "marker 3 (`in(l)`): at [1], int takes"),
            (r#"{"n": 1, "in(l)": []}"#, "the value of `name` is missing"),
            (
                r#"{"n": 1, "name": null, "in(l)": [], "N": 1}"#,
                "it has no marker `N`, but `n`, `name`",
            ),
            (r#"{"n": 1, "name": null, "in(l)": [], "n": 1}"#, "the value of `n` is given twice"),
            ("7", "the values are no JSON array"),
            ("[1, null, [], 1", "the values are no JSON array"),
            ("{\"n\": 1", "the values are no JSON object"),
            ("[1, null, [], 1] 5", "the values are no JSON array"),
        ] {
            let message = encoded(json).unwrap_err();
            assert!(message.contains(expected), "{json}: {message}");
            assert!(message.starts_with("`UPDATE hits SET n = n + ? …`: "), "{message}");
        }
    }
}
