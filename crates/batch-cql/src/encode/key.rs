//! Keys: named parts to the columns of a table's key.

use batch_core::{Error, ErrorKind, KeyRef, KeyValue, Result};
use scylla::cluster::metadata::{ColumnKind, ColumnType};

use super::{
    composite,
    misfit::shortened,
    scalar::{self, Scalar},
    sink::Sink,
};
use crate::{
    row::{CellRef, Row, Written},
    schema::{
        table::{Column, LONGEST_KEY, Table},
        type_name::TypeName,
    },
};

/// How much of a table's key a key gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyPart {
    /// All of it: a row.
    Whole,
    /// The partition key alone, of a table that has static columns and clustering columns.
    Partition,
}

/// Writes a key into the row's first cells. A bare key is the only column of the table's key.
///
/// # Errors
/// [`ErrorKind::InvalidKey`], naming table, column, type and value: a part that is missing, unknown
/// or does not fit, an empty partition key, one that is too long.
pub(crate) fn key(table: &Table, key: KeyRef<'_>, row: &mut Row) -> Result<KeyPart> {
    let mut given = 0_usize;
    for (name, value) in key.parts() {
        let scalar = match &value {
            KeyValue::Str(text) => Scalar::Text(text),
            KeyValue::Int(integer) => Scalar::Integer(*integer),
            KeyValue::Bool(value) => Scalar::Bool(*value),
            _ => return Err(unknown(table, name)),
        };
        // Parts mostly come in the table's order.
        let next = table.columns.get(given).filter(|column| *column.name == *name);
        let place = match next {
            Some(_) => given,
            None if name.is_empty() && table.key == 1 => 0,
            None if name.is_empty() => return Err(not_bare(table, scalar)),
            None => table.place(name).unwrap_or(usize::MAX),
        };
        let Some(column) = table.columns.get(place).filter(|_| place < table.key) else {
            return Err(unknown(table, name));
        };
        row.set(place, |out| part(table, column, scalar, out).map(|()| Written::Value))?;
        given += 1;
    }
    if given == table.key {
        check(table, row)?;
        return Ok(KeyPart::Whole);
    }
    let is_given = |place: usize| !row.is_unset(place);
    let is_partition = given == table.partition && (0..table.partition).all(is_given);
    if is_partition && table.columns.iter().any(|column| column.kind == ColumnKind::Static) {
        check(table, row)?;
        return Ok(KeyPart::Partition);
    }
    let missing = (0..table.key).filter(|place| !is_given(*place));
    Err(incomplete(table, missing))
}

fn part(table: &Table, column: &Column, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<()> {
    let misfit = match (&column.typ, scalar) {
        (ColumnType::Native(native), scalar) => match scalar::write(native, scalar, out) {
            Ok(()) => return Ok(()),
            Err(wants) => format!("takes {wants}, not {}", shortened(scalar)),
        },
        (typ, Scalar::Text(text)) => match of_text(typ, text, out) {
            Ok(()) => return Ok(()),
            Err(misfit) => misfit,
        },
        (_, scalar) => format!("takes its JSON text, not {}", shortened(scalar)),
    };
    Err(invalid(format!(
        "{}: the key's column {} of type {} {misfit}",
        Named(table),
        column.name,
        TypeName(&column.typ),
    )))
}

/// A collection, tuple or user-defined type, from JSON in the part's string.
fn of_text(typ: &ColumnType<'_>, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut misfit = None;
    let sink = Sink { out, misfit: &mut misfit, careful: true };
    let written = composite::json_in_string::<serde_json::Error>(typ, sink, text);
    match (written, misfit) {
        (Ok(Written::Value), _) => Ok(()),
        (Ok(Written::Null), _) => Err("takes no null".to_owned()),
        (Err(_), Some(misfit)) => Err(format!("does not fit: {misfit}")),
        (Err(error), None) => Err(format!("does not fit: {error}")),
    }
}

/// Refuses lengths that the server refuses.
fn check(table: &Table, row: &Row) -> Result<()> {
    let length = |place: usize| match row.cell(place) {
        CellRef::Value(bytes) => bytes.len(),
        CellRef::Unset | CellRef::Null => 0,
    };
    let (partition, what) = match table.partition {
        1 if length(0) == 0 => {
            let name = table.columns.first().map_or("", |column| &column.name);
            return Err(invalid(format!(
                "{}: the partition key {name} is empty, which no store takes",
                Named(table)
            )));
        }
        1 => (length(0), ""),
        // Each part is kept behind its length and before an end mark.
        parts => ((0..parts).map(|place| length(place) + 3).sum(), ", three of them for each part"),
    };
    let clustering: usize = (table.partition..table.key).map(length).sum();
    if partition > LONGEST_KEY || clustering > LONGEST_KEY {
        let what = if partition > LONGEST_KEY {
            format!("partition key has {partition} bytes{what}")
        } else {
            format!("clustering columns have {clustering} bytes")
        };
        let table = Named(table);
        return Err(invalid(format!(
            "{table}: the key's {what}; the store takes {LONGEST_KEY}, so shorten it"
        )));
    }
    Ok(())
}

#[cold]
fn not_bare(table: &Table, key: Scalar<'_>) -> Error {
    invalid(format!(
        "{} has a key of {} columns, so the bare key {} does not say which row; give {} by name",
        Named(table),
        table.key,
        shortened(key),
        names(table, 0..table.key),
    ))
}

#[cold]
fn unknown(table: &Table, name: &str) -> Error {
    invalid(format!(
        "{} has no key column {}; its key is {}",
        Named(table),
        shortened(name),
        names(table, 0..table.key),
    ))
}

#[cold]
fn incomplete(table: &Table, missing: impl Iterator<Item = usize>) -> Error {
    invalid(format!(
        "{}: the key lacks {}; a row is found by {}",
        Named(table),
        names(table, missing),
        names(table, 0..table.key),
    ))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidKey, message)
}

fn names(table: &Table, places: impl Iterator<Item = usize>) -> String {
    let names: Vec<&str> =
        places.filter_map(|place| table.columns.get(place)).map(|c| &*c.name).collect();
    names.join(", ")
}

/// `keyspace.table`
pub(super) struct Named<'a>(pub(super) &'a Table);

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0.keyspace, self.0.name)
    }
}
