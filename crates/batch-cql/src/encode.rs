//! From JSON and keys to the bytes that the server stores, by the type of each column.
//!
//! The forms are those of the server's own `INSERT INTO … JSON`, less what loses data or depends
//! on the server: an empty string is no number, date or address; numbers that are too large for a
//! `float` or `double` are refused; a `decimal` keeps the digits that were written; any integer is a
//! `timestamp`, and a time without a zone is UTC; names of hosts are not looked up; names of
//! columns are taken as they are written.

#[cfg(test)]
pub(crate) mod arbitrary;
mod composite;
#[cfg(test)]
mod differential;
mod document;
mod duration;
mod identity;
mod key;
mod least;
mod misfit;
mod number;
mod object;
mod order;
mod position;
mod scalar;
mod sink;
#[cfg(test)]
mod tests;
mod time;

use scylla::cluster::metadata::ColumnType;
use serde::de::DeserializeSeed as _;

pub(crate) use document::document;
pub(crate) use identity::{is_by_bytes, unified};
pub(crate) use key::{KeyPart, key};
pub(crate) use least::least_bytes;
pub(crate) use misfit::{Misfit, shortened};
pub(crate) use position::position;

use crate::row::Written;

/// The texts that values of some types are written as, and read from.
pub(crate) mod text {
    pub(crate) use super::{
        duration::text as duration,
        time::{date_text as date, time_text as time, timestamp_text as timestamp},
    };
}

/// Appends the bytes of one JSON value, which is given as its text, by the type that it is for.
/// After a misfit nothing is appended.
pub(crate) fn value(
    typ: &ColumnType<'_>,
    json: &str,
    out: &mut Vec<u8>,
) -> Result<Written, Box<Misfit>> {
    let start = out.len();
    let written = match read(typ, json, out, false) {
        Err(misfit) if misfit.needs_care => {
            out.truncate(start);
            read(typ, json, out, true)
        }
        done => done,
    };
    written.inspect_err(|_| out.truncate(start))
}

fn read(
    typ: &ColumnType<'_>,
    json: &str,
    out: &mut Vec<u8>,
    careful: bool,
) -> Result<Written, Box<Misfit>> {
    let mut misfit = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let sink = sink::Sink { out, misfit: &mut misfit, careful };
    let written = composite::Value { typ, sink, in_string: false }.deserialize(&mut deserializer);
    written.and_then(|written| deserializer.end().map(|()| written)).map_err(|error| {
        misfit.unwrap_or_else(|| {
            let value = format_args!("{} ({error})", shortened(json));
            Misfit::new(typ, "well-formed JSON", value)
        })
    })
}
