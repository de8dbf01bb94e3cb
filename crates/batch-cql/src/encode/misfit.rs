//! A value that its type does not take, and why.

use std::{borrow::Cow, fmt};

use scylla::cluster::metadata::ColumnType;

use super::scalar::Scalar;
use crate::schema::type_name::TypeName;

/// The most characters of a value that an error shows.
const SHOWN: usize = 60;

/// Why a JSON value cannot be written as a type. Who asked adds what it was for: a column, a marker.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// Where in the value, from the outside in; empty for the value itself.
    place: String,
    typ: String,
    wants: Cow<'static, str>,
    value: String,
    /// Whether it may fit when it is read with [more care](super::sink::Sink::careful).
    pub(super) needs_care: bool,
}

impl Misfit {
    pub(super) fn new(
        typ: &ColumnType<'_>,
        wants: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
    ) -> Box<Self> {
        let typ = TypeName(typ).to_string();
        Box::new(Self {
            place: String::new(),
            typ,
            wants: wants.into(),
            value: shortened(value),
            needs_care: false,
        })
    }

    /// Says that the value stands at a place of a larger one.
    pub(super) fn inside(&mut self, place: impl fmt::Display) {
        self.place = format!("[{place}]{}", self.place);
    }
}

impl fmt::Display for Misfit {
    /// Reads on from the name of what the value was for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, typ, wants, value, .. } = self;
        if place.is_empty() {
            write!(f, "{typ} takes {wants}, not {value}")
        } else {
            write!(f, "at {place}, {typ} takes {wants}, not {value}")
        }
    }
}

/// The beginning of a value.
pub(crate) fn shortened(value: impl fmt::Display) -> String {
    let mut text = Short { text: String::new(), left: SHOWN };
    // What ends it early is that there is more than is shown.
    let _ = fmt::write(&mut text, format_args!("{value}"));
    text.text
}

struct Short {
    text: String,
    left: usize,
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.left == 0 {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.left -= 1;
            self.text.push(character);
        }
        Ok(())
    }
}

/// A text as JSON writes it.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The beginning is enough for any reader, and a value may be large.
        let end = self.0.char_indices().nth(SHOWN + 1).map_or(self.0.len(), |(end, _)| end);
        let start = self.0.get(..end).unwrap_or_default();
        f.write_str(&serde_json::to_string(start).unwrap_or_default())
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => Quoted(text).fmt(f),
        }
    }
}
