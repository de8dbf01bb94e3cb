//! Documents: a JSON object's attributes to the columns of a table.

use std::fmt;

use batch_core::{Error, ErrorKind, Result};
use scylla::cluster::metadata::{CollectionType, ColumnKind, ColumnType};
use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, Visitor},
};

use super::{
    composite::Value,
    key::Named,
    misfit::{Misfit, shortened},
    object::unquoted,
    sink::Sink,
};
use crate::{
    row::{Row, Written},
    schema::{
        table::{Column, Table},
        type_name::TypeName,
    },
};

/// The most names of columns that an error lists.
const LISTED: usize = 20;

/// Writes a document, which is a JSON object's text, into the cells of its columns. Attributes
/// that belong to the key must say what the key has said.
///
/// # Errors
/// [`ErrorKind::InvalidOperation`], naming table, column, type and value.
pub(crate) fn document(table: &Table, document: &[u8], row: &mut Row) -> Result<()> {
    let read = |row: &mut Row, careful| match std::str::from_utf8(document) {
        Ok(text) => read(table, text, row, careful),
        Err(error) => Err(Problem::NoJson(error.to_string())),
    };
    let done = match read(row, false) {
        Err(Problem::Misfit(_, misfit)) if misfit.needs_care => {
            (table.key..table.columns.len()).for_each(|place| row.unset(place));
            read(row, true)
        }
        done => done,
    };
    done.map_err(|problem| problem.into_error(table))
}

fn read(table: &Table, text: &str, row: &mut Row, careful: bool) -> Result<(), Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let has_row = table.has_row(row);
    let (mut problem, mut misfit) = (None, None);
    let (problem_at, misfit_at) = (&mut problem, &mut misfit);
    let attributes =
        Attributes { table, row, has_row, careful, problem: problem_at, misfit: misfit_at };
    let read = attributes.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| problem.unwrap_or_else(|| Problem::NoJson(error.to_string())))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Why a document does not fit its table.
enum Problem {
    /// It is no JSON object, and why.
    NoJson(String),
    /// No column has this name.
    Unknown(String),
    /// The value of the column at a place does not fit.
    Misfit(usize, Box<Misfit>),
    /// The attribute of the column at a place stands twice.
    Doubled(usize),
    /// The key says something else of the column at a place.
    Key(usize),
    /// The column at a place counts.
    Counter(usize),
    /// The column at a place belongs to rows, and the key names none.
    NoRow(usize),
}

impl Problem {
    #[cold]
    fn into_error(self, table: &Table) -> Error {
        let column = |place: usize| match table.columns.get(place) {
            Some(Column { name, typ, .. }) => format!("column {name} of type {}", TypeName(typ)),
            None => String::new(),
        };
        let named = Named(table);
        invalid(match self {
            Self::NoJson(why) => format!("{named}: the document is no JSON object: {why}"),
            Self::Unknown(name) => {
                let known: Vec<&str> =
                    table.columns.iter().map(|column| &*column.name).take(LISTED).collect();
                let more = if table.columns.len() > LISTED { ", …" } else { "" };
                format!("{named} has no column {name}; its columns are {}{more}", known.join(", "))
            }
            Self::Misfit(place, misfit) => format!("{named}, {}: {misfit}", column(place)),
            Self::Doubled(place) => {
                format!("{named}, {}: the document has it twice; leave one out", column(place))
            }
            Self::Key(place) => format!(
                "{named}, {}: the document and the key say different things; leave it out of the document",
                column(place)
            ),
            Self::Counter(place) => format!(
                "{named}, {}: documents cannot count; queue a statement such as \"UPDATE {named} SET c = c + ? WHERE …\"",
                column(place)
            ),
            Self::NoRow(place) => format!(
                "{named}, {}: the key names a partition, where only static columns can be written; \
                 give the clustering columns too",
                column(place)
            ),
        })
    }
}

/// Reads the attributes of a document.
struct Attributes<'a> {
    table: &'a Table,
    row: &'a mut Row,
    /// Whether the key names a row.
    has_row: bool,
    /// As in [`Sink`].
    careful: bool,
    problem: &'a mut Option<Problem>,
    /// Kept for the writers of values: one for all.
    misfit: &'a mut Option<Box<Misfit>>,
}

impl<'de> DeserializeSeed<'de> for Attributes<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Attributes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        // The places of the key's columns that were met; a key has few.
        let mut met = 0_u64;
        let mut number = 0;
        loop {
            let guess = self.row.order.get(number).copied();
            let name = Name { table: self.table, guess, problem: self.problem };
            let Some(place) = map.next_key_seed(name)? else { break };
            if guess != Some(place) {
                self.row.order.truncate(number);
                self.row.order.push(place);
            }
            number += 1;
            let Some(column) = self.table.columns.get(place) else {
                return Err(de::Error::custom("an unknown column"));
            };
            if place < self.table.key {
                let bit = u32::try_from(place)
                    .ok()
                    .and_then(|place| 1_u64.checked_shl(place))
                    .unwrap_or(0);
                if met & bit != 0 {
                    return Err(self.stop(Problem::Doubled(place)));
                }
                met |= bit;
                self.compare(place, column, &mut map)?;
            } else {
                self.write(place, column, &mut map)?;
            }
        }
        Ok(())
    }
}

impl Attributes<'_> {
    #[cold]
    fn stop<E: de::Error>(&mut self, problem: Problem) -> E {
        *self.problem = Some(problem);
        E::custom("a document that does not fit")
    }

    /// Names the column of the misfit that stopped the parser, if one did.
    #[cold]
    fn misfit<E: de::Error>(&mut self, place: usize, error: E) -> E {
        match self.misfit.take() {
            Some(misfit) => self.stop(Problem::Misfit(place, misfit)),
            None => error,
        }
    }

    /// Writes the value that comes next into a cell.
    #[inline]
    fn write<'de, A: MapAccess<'de>>(
        &mut self,
        place: usize,
        column: &Column,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if !self.row.is_unset(place) {
            return Err(self.stop(Problem::Doubled(place)));
        }
        if !self.has_row && column.kind != ColumnKind::Static {
            return Err(self.stop(Problem::NoRow(place)));
        }
        if column.is_counter() {
            return Err(self.stop(Problem::Counter(place)));
        }
        let (careful, misfit) = (self.careful, &mut *self.misfit);
        let written = self.row.set(place, |out| {
            let start = out.len();
            let sink = Sink { out: &mut *out, misfit, careful };
            let value = Value { typ: &column.typ, sink, in_string: false };
            let written = map.next_value_seed(value)?;
            let is_empty = is_multi_cell(&column.typ) && out.get(start..) == Some(&[0; 4]);
            Ok(if is_empty { Written::Null } else { written })
        });
        written.map_err(|error| self.misfit(place, error))
    }

    /// Compares the value that comes next with the key's.
    fn compare<'de, A: MapAccess<'de>>(
        &mut self,
        place: usize,
        column: &Column,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let (careful, misfit) = (self.careful, &mut *self.misfit);
        let is_same = self.row.is_same(place, |out| {
            let sink = Sink { out, misfit, careful };
            let value = Value { typ: &column.typ, sink, in_string: false };
            map.next_value_seed(value)
        });
        match is_same {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.stop(Problem::Key(place))),
            Err(error) => Err(self.misfit(place, error)),
        }
    }
}

/// Whether an empty value of the type is stored as none.
fn is_multi_cell(typ: &ColumnType<'_>) -> bool {
    matches!(
        typ,
        ColumnType::Collection {
            frozen: false,
            typ: CollectionType::List(_) | CollectionType::Set(_) | CollectionType::Map(..)
        }
    )
}

/// Reads an attribute's name as the place of its column; past the last one if there is none.
struct Name<'a> {
    table: &'a Table,
    /// The place that it probably is.
    guess: Option<usize>,
    problem: &'a mut Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column")
    }

    #[inline]
    fn visit_str<E: de::Error>(self, name: &str) -> Result<usize, E> {
        if let Some(place) = self.guess
            && self.table.columns.get(place).is_some_and(|column| *column.name == *name)
        {
            return Ok(place);
        }
        Ok(self.table.place(name).unwrap_or_else(|| {
            // The server writes names with capital letters in quotes.
            let place = unquoted(name).and_then(|name| self.table.place(&name));
            place.unwrap_or_else(|| {
                *self.problem = Some(Problem::Unknown(shortened(name)));
                usize::MAX
            })
        }))
    }
}
