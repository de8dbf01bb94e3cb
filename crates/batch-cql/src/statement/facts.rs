//! What planning needs to know of a prepared statement.

use batch_core::{Error, ErrorKind, Result};
use scylla::{
    cluster::metadata::{CollectionType, ColumnKind, ColumnType},
    frame::response::result::{ColumnSpec, PartitionKeyIndex},
    statement::prepared::PreparedStatement,
};

use super::{
    checks::{Check, Checks},
    text::{How, Kind, Role, Text, Write},
};
use crate::{
    errors::excerpt,
    schema::table::{self, Column, Table},
};

/// What planning needs to know of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) keyspace: Box<str>,
    pub(crate) table: Box<str>,
    pub(crate) kind: Kind,
    pub(crate) conditional: bool,
    pub(crate) counter: bool,
    /// It has a timestamp of its own.
    pub(crate) own_time: bool,
    /// It may write a whole list that is no frozen one, which is doubled if it is written twice at one time.
    pub(crate) writes_lists: bool,
    /// The server may refuse it because of what is there, and its whole batch with it: it names
    /// an element of a list by its index.
    pub(crate) alone: bool,
    /// It deletes all of the partition that its markers tell.
    pub(crate) deletes_partition: bool,
    /// It may write what the rows of a partition share.
    pub(crate) writes_shared: bool,
    /// The places of the markers that give the partition key, in the table's order; `None` unless
    /// each column is equal to one marker.
    pub(crate) partition: Option<Box<[u16]>>,
    /// The places of the markers that give the whole primary key, likewise.
    pub(crate) key: Option<Box<[u16]>>,
    checks: Checks,
    /// The markers that stand for a whole column's value.
    columns: Box<[(u16, Box<str>)]>,
}

impl Facts {
    /// Joins what the server says of a statement, what its text says, and what its table is, if
    /// that is known.
    ///
    /// # Errors
    /// `InvalidOperation` if nothing tells which keyspace it is about.
    pub(crate) fn of(
        statement: &PreparedStatement,
        text: &Text<'_>,
        table: Option<&Table>,
    ) -> Result<Self> {
        let markers = statement.get_variable_col_specs().as_slice();
        Self::join(markers, statement.get_variable_pk_indexes(), text, table)
    }

    fn join(
        specs: &[ColumnSpec<'_>],
        partition: &[PartitionKeyIndex],
        text: &Text<'_>,
        table: Option<&Table>,
    ) -> Result<Self> {
        let spec = specs.first().map(ColumnSpec::table_spec);
        let keyspace = match (spec, table, &text.keyspace) {
            (Some(spec), ..) => spec.ks_name(),
            (_, Some(table), _) => &table.keyspace,
            (_, _, Some(keyspace)) => keyspace,
            (None, None, None) => {
                let message = format!(
                    "`{}`: nothing says which keyspace it is in; write `keyspace.{}`, or give the store a keyspace",
                    excerpt(&text.qualified(None, |_| None)),
                    text.table
                );
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        };
        let roles = Roles::of(specs, text);
        let counter = is_counter(specs, text, table);
        let partition = roles.partition(partition, table);
        let key = table.and_then(|table| roles.columns(table, table.key));
        let checks = Checks::new(roles.checks, partition.as_deref(), key.as_deref());
        Ok(Self {
            keyspace: keyspace.into(),
            table: text.table.as_ref().into(),
            kind: text.kind,
            conditional: text.conditional,
            counter,
            own_time: text.own_time,
            writes_lists: writes_lists(text, table),
            alone: names_elements_of_lists(text, table),
            deletes_partition: text.kind == Kind::Delete
                && text.writes.is_empty()
                && partition.as_ref().is_some_and(|places| places.len() == text.relations),
            writes_shared: writes_shared(text, table),
            partition,
            key,
            checks,
            columns: roles.columns.into(),
        })
    }

    /// Refuses values of this statement that the server would refuse, and their whole batch with them.
    ///
    /// # Errors
    /// `InvalidKey` or `InvalidOperation`, naming statement, marker and column.
    pub(crate) fn check(&self, statement: &PreparedStatement, cells: &[u8]) -> Result<()> {
        self.checks.check(cells).map_err(|mistake| {
            let markers = statement.get_variable_col_specs();
            let name = mistake.marker.and_then(|place| markers.get_by_index(place.into()));
            let name = name.map_or(String::new(), |spec| format!("`{}`: ", spec.name()));
            let text = excerpt(statement.get_statement());
            Error::new(mistake.kind, format!("`{text}`: {name}{}", mistake.what))
        })
    }

    /// The column whose type is no longer that of its marker: the table is not the one that the
    /// statement was prepared on.
    pub(crate) fn changed<'t>(
        &'t self,
        markers: &[ColumnSpec<'_>],
        table: &Table,
    ) -> Option<&'t str> {
        let changed = |(place, column): &&(u16, Box<str>)| {
            let now = table.place(column).and_then(|place| table.columns.get(place));
            match (markers.get(usize::from(*place)), now) {
                (Some(marker), Some(now)) => !is_same_type(marker.typ(), &now.typ),
                _ => true,
            }
        };
        self.columns.iter().find(changed).map(|(_, column)| &**column)
    }
}

/// What the server's markers are for, by their place.
struct Roles<'s, 'a> {
    /// The role of each of the text's markers, with the place of the server's marker.
    text: Vec<(u16, &'s Role<'a>)>,
    checks: Vec<Check>,
    columns: Vec<(u16, Box<str>)>,
}

impl<'s, 'a> Roles<'s, 'a> {
    fn of(specs: &[ColumnSpec<'_>], text: &'s Text<'a>) -> Self {
        let places = places(specs, text);
        let text: Vec<_> =
            places.into_iter().zip(text.markers.iter().map(|marker| &marker.role)).collect();
        let mut checks = vec![Check::FREE; specs.len()];
        let mut columns = Vec::new();
        for (place, role) in &text {
            if let Role::Value(column) | Role::Equal(column) = role {
                columns.push((*place, column.as_ref().into()));
            }
            let place = usize::from(*place);
            let check = Check::of(role, specs.get(place).map(ColumnSpec::typ));
            if let Some(own) = checks.get_mut(place)
                && check != Check::FREE
            {
                *own = check;
            }
        }
        Self { text, checks, columns }
    }

    /// The marker that a column is equal to, or gets its value from, if it is only one.
    fn column(&self, name: &str) -> Option<u16> {
        let is_of = |role: &Role<'_>| matches!(role, Role::Value(column) | Role::Equal(column) if *column == *name);
        let mut places = self.text.iter().filter(|(_, role)| is_of(role)).map(|(place, _)| *place);
        let place = places.next()?;
        places.next().is_none().then_some(place)
    }

    /// The markers of the table's first columns.
    fn columns(&self, table: &Table, count: usize) -> Option<Box<[u16]>> {
        table.columns.iter().take(count).map(|column| self.column(&column.name)).collect()
    }

    /// The markers of the partition key. The server names the last of several markers on a
    /// column (`IN (?, ?)`), so the text must agree.
    fn partition(&self, server: &[PartitionKeyIndex], table: Option<&Table>) -> Option<Box<[u16]>> {
        if let Some(table) = table {
            return self.columns(table, table.partition);
        }
        let mut server = server.to_vec();
        server.sort_unstable_by_key(|part| part.sequence);
        let places: Box<[u16]> = server.iter().map(|part| part.index).collect();
        let is_whole = |place: &u16| {
            self.text
                .iter()
                .any(|(own, role)| own == place && matches!(role, Role::Value(_) | Role::Equal(_)))
        };
        (!places.is_empty() && places.iter().all(is_whole)).then_some(places)
    }
}

/// The place of the server's marker for each marker of the text. ScyllaDB makes one of those that
/// have the same name. Empty if the server counts otherwise.
fn places(specs: &[ColumnSpec<'_>], text: &Text<'_>) -> Vec<u16> {
    let mut names = Vec::new();
    let mut places = Vec::with_capacity(text.markers.len());
    let one_each = specs.len() == text.markers.len();
    for marker in &text.markers {
        let before = match &marker.name {
            Some(name) if !one_each => names.iter().position(|own| *own == Some(name)),
            _ => None,
        };
        let place = before.unwrap_or(names.len());
        if before.is_none() {
            names.push(marker.name.as_ref());
        }
        places.push(u16::try_from(place).unwrap_or(u16::MAX));
    }
    if names.len() == specs.len() { places } else { Vec::new() }
}

fn writes_shared(text: &Text<'_>, table: Option<&Table>) -> bool {
    let Some(table) = table else { return false };
    let mut shared = table.columns.iter().filter(|column| column.kind == ColumnKind::Static);
    shared.any(|column| text.json || text.writes.iter().any(|write| write.column == *column.name))
}

fn is_counter(specs: &[ColumnSpec<'_>], text: &Text<'_>, table: Option<&Table>) -> bool {
    match table {
        Some(table) => table.columns.iter().any(Column::is_counter),
        None => {
            specs.iter().any(|spec| table::is_counter(spec.typ()))
                || text.writes.iter().any(|write| write.how == How::Count)
        }
    }
}

fn names_elements_of_lists(text: &Text<'_>, table: Option<&Table>) -> bool {
    text.writes.iter().any(|write| {
        let place = table.and_then(|table| table.place(&write.column));
        let column = place.and_then(|place| table?.columns.get(place));
        write.how == How::Part && column.is_none_or(Column::is_growing_list)
    })
}

/// What is not known may be a list.
fn writes_lists(text: &Text<'_>, table: Option<&Table>) -> bool {
    let Some(table) = table else {
        return text.json || text.writes.iter().any(|write| write.how == How::Whole);
    };
    let mut lists = table.columns.iter().filter(|column| column.is_growing_list());
    lists.any(|column| {
        let sets = |write: &Write<'_>| write.how == How::Whole && write.column == *column.name;
        text.json || text.writes.iter().any(sets)
    })
}

/// Whether values of both types have the same bytes: of markers it is not told whether they are
/// frozen.
fn is_same_type(one: &ColumnType<'_>, other: &ColumnType<'_>) -> bool {
    use ColumnType as T;
    let all = |one: &[ColumnType<'_>], other: &[ColumnType<'_>]| {
        one.len() == other.len()
            && one.iter().zip(other).all(|(one, other)| is_same_type(one, other))
    };
    match (one, other) {
        (T::Native(one), T::Native(other)) => one == other,
        (T::Collection { typ: one, .. }, T::Collection { typ: other, .. }) => match (one, other) {
            (CollectionType::List(one), CollectionType::List(other))
            | (CollectionType::Set(one), CollectionType::Set(other)) => is_same_type(one, other),
            (CollectionType::Map(k1, v1), CollectionType::Map(k2, v2)) => {
                is_same_type(k1, k2) && is_same_type(v1, v2)
            }
            _ => false,
        },
        (T::Vector { typ: one, dimensions: own }, T::Vector { typ: other, dimensions }) => {
            own == dimensions && is_same_type(one, other)
        }
        (
            T::UserDefinedType { definition: one, .. },
            T::UserDefinedType { definition: other, .. },
        ) => {
            let fields = one.field_types.iter().zip(&other.field_types);
            one.field_types.len() == other.field_types.len()
                && fields.into_iter().all(|((n1, t1), (n2, t2))| n1 == n2 && is_same_type(t1, t2))
        }
        (T::Tuple(one), T::Tuple(other)) => all(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
