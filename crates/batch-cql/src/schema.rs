//! The tables that are in use, with the statements prepared on them.

pub(crate) mod table;
pub(crate) mod type_name;

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use batch_core::{Error, ErrorKind, Result, seam::KeyId};
use foldhash::fast::FixedState;
use scylla::{
    client::{execution_profile::ExecutionProfileHandle, session::Session},
    cluster::{
        ClusterState,
        metadata::{CollectionType, ColumnKind, ColumnType},
    },
    statement::prepared::PreparedStatement,
};
use tokio::sync::OnceCell;

use self::{
    table::{Column, Table},
    type_name::QualifiedType,
};
use crate::errors;

/// A statement on a table, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Every column; absent ones are left unset or given no value by their cells.
    Insert,
    InsertIfAbsent,
    /// The static columns of a partition.
    InsertStatic,
    UpdateIfPresent,
    Delete,
    DeleteIfPresent,
    /// One row as JSON.
    Select,
}

/// What a statement says behind `USING`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Using {
    pub(crate) ttl: bool,
    pub(crate) timestamp: bool,
}

const FORMS: usize = 7;
const USINGS: usize = 4;

/// What a marker of a statement on a table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// The column at a place.
    Column(usize),
    Ttl,
    Timestamp,
}

/// A table with the statements on it, each prepared when it is needed first.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) table: Table,
    /// `keyspace.table`, for errors.
    pub(crate) name: Box<str>,
    /// Differs from that of any other table.
    pub(crate) hash: u64,
    /// What its partitions' identities start from: [`Schema::space`].
    pub(crate) space: u64,
    /// Differs from that of any other target of statements, also of the same table as it was before.
    pub(crate) number: u32,
    /// Whether a column is a list that is no frozen one: written twice at one time it is doubled.
    pub(crate) has_lists: bool,
    /// Whether it counts.
    pub(crate) has_counters: bool,
    /// Whether rows of a partition share columns.
    pub(crate) has_shared: bool,
    /// Whether a column has a user-defined type, or holds one.
    pub(crate) has_types: bool,
    statements: [OnceCell<PreparedStatement>; FORMS * USINGS],
}

impl Known {
    fn new(keyspace: &str, name: &str, space: u64, state: &ClusterState) -> Option<Self> {
        let meta = state.get_keyspace(keyspace)?.tables.get(name)?;
        let table = Table::of(keyspace, name, meta);
        let has = |of: fn(&Column) -> bool| table.columns.iter().any(of);
        let qualified = format!("{keyspace}.{name}");
        Some(Self {
            has_lists: has(Column::is_growing_list),
            has_counters: has(Column::is_counter),
            has_shared: has(|column| column.kind == ColumnKind::Static),
            has_types: has(|column| holds_type(&column.typ)),
            hash: std::hash::BuildHasher::hash_one(&FixedState::with_seed(3), &qualified),
            space,
            number: next_number(),
            name: qualified.into(),
            table,
            statements: [const { OnceCell::const_new() }; FORMS * USINGS],
        })
    }

    /// A column's type, as CQL writes it.
    pub(crate) fn type_of(&self, column: &str) -> Option<String> {
        let column = self.table.columns.get(self.table.place(column)?)?;
        Some(QualifiedType(&column.typ).to_string())
    }

    /// Whether a column belongs to a row, and not to its key or to the whole partition.
    pub(crate) fn is_of_row(&self, column: usize) -> bool {
        self.table.columns.get(column).is_some_and(|column| column.kind == ColumnKind::Regular)
    }

    /// Whether a column belongs to the whole partition.
    pub(crate) fn is_shared(&self, column: usize) -> bool {
        self.table.columns.get(column).is_some_and(|column| column.kind == ColumnKind::Static)
    }

    /// Whether all columns belong to the key or to the whole partition: a row has nothing to update.
    pub(crate) fn is_key_only(&self) -> bool {
        self.table.columns.iter().all(|column| column.kind != ColumnKind::Regular)
    }

    fn has_same_columns(&self, other: &Self) -> bool {
        self.table.partition == other.table.partition
            && self.table.key == other.table.key
            && self.table.columns.len() == other.table.columns.len()
            && self.table.columns.iter().zip(&other.table.columns).all(|(one, other)| {
                one.name == other.name && one.typ == other.typ && one.kind == other.kind
            })
    }

    /// The columns that a statement writes or finds its row by, and what else it is given, in the order of its markers.
    pub(crate) fn markers(&self, form: Form, using: Using) -> impl Iterator<Item = Marker> + use<> {
        let Table { partition, key, columns, .. } = &self.table;
        let (partition, key, all) = (*partition, *key, columns.len());
        let statics: Vec<usize> = match form {
            Form::InsertStatic => self.statics().collect(),
            _ => Vec::new(),
        };
        let ttl = using.ttl.then_some(Marker::Ttl);
        let options = ttl.into_iter().chain(using.timestamp.then_some(Marker::Timestamp));
        let (front, first, then, back) = match form {
            Form::Insert | Form::InsertIfAbsent => (false, 0..all, 0..0, true),
            Form::InsertStatic => (false, 0..partition, 0..0, true),
            Form::UpdateIfPresent => (true, key..all, 0..key, false),
            Form::Delete | Form::DeleteIfPresent => (true, 0..key, 0..0, false),
            Form::Select => (false, 0..key, 0..0, false),
        };
        let before = options.clone().filter(move |_| front);
        let behind = options.filter(move |_| back);
        let columns = first.chain(then).chain(statics).map(Marker::Column);
        before.chain(columns).chain(behind)
    }

    pub(crate) fn statics(&self) -> impl Iterator<Item = usize> {
        let columns = self.table.columns.iter().enumerate();
        columns.filter(|(_, column)| column.kind == ColumnKind::Static).map(|(place, _)| place)
    }

    /// The statement's text. Each marker has its column's type, so that a server which has to
    /// prepare it again refuses it if a column has another type by then.
    fn text(&self, form: Form, using: Using, typed: bool) -> String {
        let columns = &self.table.columns;
        let marker = |place: usize| match columns.get(place) {
            Some(column) if typed => format!("({})?", QualifiedType(&column.typ)),
            _ => "?".to_owned(),
        };
        let name = |place: usize| columns.get(place).map_or(String::new(), |c| quoted(&c.name));
        let list = |places: &mut dyn Iterator<Item = usize>,
                    between: &str,
                    item: &dyn Fn(usize) -> String| {
            let items: Vec<String> = places.map(item).collect();
            items.join(between)
        };
        let equals = |place: usize| format!("{} = {}", name(place), marker(place));
        let key = list(&mut (0..self.table.key), " AND ", &equals);
        let on = format!("{}.{}", quoted(&self.table.keyspace), quoted(&self.table.name));
        let options: Vec<&str> = [(using.ttl, "TTL ?"), (using.timestamp, "TIMESTAMP ?")]
            .into_iter()
            .filter_map(|(given, text)| given.then_some(text))
            .collect();
        let using = match options.as_slice() {
            [] => String::new(),
            options => format!(" USING {}", options.join(" AND ")),
        };
        match form {
            Form::Insert | Form::InsertIfAbsent | Form::InsertStatic => {
                let places: Vec<usize> = match form {
                    Form::InsertStatic => (0..self.table.partition).chain(self.statics()).collect(),
                    _ => (0..columns.len()).collect(),
                };
                let names = list(&mut places.iter().copied(), ", ", &name);
                let values = list(&mut places.into_iter(), ", ", &marker);
                let condition = if form == Form::InsertIfAbsent { " IF NOT EXISTS" } else { "" };
                format!("INSERT INTO {on} ({names}) VALUES ({values}){condition}{using}")
            }
            Form::UpdateIfPresent => {
                let set = list(&mut (self.table.key..columns.len()), ", ", &equals);
                format!("UPDATE {on}{using} SET {set} WHERE {key} IF EXISTS")
            }
            Form::Delete => format!("DELETE FROM {on}{using} WHERE {key}"),
            Form::DeleteIfPresent => format!("DELETE FROM {on}{using} WHERE {key} IF EXISTS"),
            Form::Select => format!("SELECT * FROM {on} WHERE {key}"),
        }
    }

    /// The statement, prepared. Callers that need it at the same time share one request.
    pub(crate) async fn statement(
        &self,
        form: Form,
        using: Using,
        prepare: &Preparing<'_>,
    ) -> Result<&PreparedStatement> {
        let place =
            form as usize * USINGS + usize::from(using.ttl) * 2 + usize::from(using.timestamp);
        let Some(cell) = self.statements.get(place) else {
            let message = format!("there is no such statement on {}; report it", self.name);
            return Err(Error::new(ErrorKind::Protocol, message));
        };
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        // Needed once, so not a part of every request's future.
        let preparing = Box::pin(cell.get_or_try_init(|| async {
            match prepare.prepare(&self.text(form, using, true)).await {
                Err(error) if errors::is_about_schema(&error) => {
                    Err(Error::new(ErrorKind::Stale, error.message().to_owned()).with_source(error))
                }
                // A server that does not know typed markers: then a table that is made again with
                // other types is noticed only when the metadata is read again.
                Err(error) if error.kind() == ErrorKind::InvalidOperation => {
                    let plain = prepare.prepare(&self.text(form, using, false)).await;
                    plain.map_err(|_| error)
                }
                typed => typed,
            }
        }));
        preparing.await
    }
}

/// A number that no other target of statements has.
pub(crate) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What it takes to prepare a statement.
#[derive(Clone, Copy)]
pub(crate) struct Preparing<'a> {
    pub(crate) session: &'a Session,
    pub(crate) profile: &'a ExecutionProfileHandle,
    pub(crate) tracing: bool,
}

impl Preparing<'_> {
    /// Prepares a text, with the store's own settings on the statement.
    pub(crate) async fn prepare(&self, text: &str) -> Result<PreparedStatement> {
        let prepared = self.session.prepare(text).await;
        let mut prepared = prepared.map_err(|error| errors::not_prepared(text, &error))?;
        prepared.set_execution_profile_handle(Some(self.profile.clone()));
        prepared.set_tracing(self.tracing);
        Ok(prepared)
    }
}

/// The tables in use.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Whether one partition key in two tables is two partitions.
    splits_by_table: bool,
    tables: RwLock<HashMap<Box<str>, Arc<Known>, FixedState>>,
    /// The metadata that the tables were last compared with.
    compared: RwLock<Weak<ClusterState>>,
}

impl Schema {
    pub(crate) fn new(splits_by_table: bool) -> Self {
        Self { splits_by_table, tables: RwLock::default(), compared: RwLock::default() }
    }

    /// What the identities of a table's partitions start from. Tables with the same have a partition in common
    /// where they have its key in common: those of a keyspace, if the server makes one write of writes to them.
    pub(crate) fn space(&self, keyspace: &str, table: &str) -> u64 {
        KeyId::of((keyspace, self.splits_by_table.then_some(table))).get()
    }

    /// Reads a table in the driver's metadata. One that is just being made has no columns there.
    fn read(&self, keyspace: &str, table: &str, state: &ClusterState) -> Option<Known> {
        let known = Known::new(keyspace, table, self.space(keyspace, table), state);
        known.filter(|known| known.table.partition > 0)
    }

    /// The table of a collection, if it was looked up.
    pub(crate) fn table(&self, collection: &str) -> Option<Arc<Known>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).get(collection).map(Arc::clone)
    }

    /// The table that has this number, if it is still in use.
    pub(crate) fn by_number(&self, number: u32) -> Option<Arc<Known>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.values().find(|known| known.number == number).map(Arc::clone)
    }

    /// Looks a collection up in the driver's metadata. No I/O.
    pub(crate) fn look_up(
        &self,
        collection: &str,
        keyspace: Option<&str>,
        session: &Session,
    ) -> Option<Arc<Known>> {
        self.compare(session);
        if let Some(known) = self.table(collection) {
            return Some(known);
        }
        let (keyspace, name) = full_name(collection, keyspace)?;
        let mut tables = self.tables_to_write();
        if let Some(known) = tables.get(collection) {
            return Some(Arc::clone(known));
        }
        let known = Arc::new(self.read(keyspace, name, &session.get_cluster_state())?);
        tables.insert(collection.into(), Arc::clone(&known));
        Some(known)
    }

    /// Looks a collection up as if it had not been known, with statements that are prepared anew. Others
    /// that use the table get what it is now. No I/O.
    pub(crate) fn renew(&self, collection: &str, keyspace: Option<&str>, session: &Session) {
        self.compare(session);
        let mut tables = self.tables_to_write();
        let state = session.get_cluster_state();
        let fresh = full_name(collection, keyspace)
            .and_then(|(keyspace, name)| self.read(keyspace, name, &state));
        match fresh {
            Some(fresh) => tables.insert(collection.into(), Arc::new(fresh)),
            None => tables.remove(collection),
        };
    }

    /// Takes tables for what they are now, and forgets those that are gone.
    fn compare(&self, session: &Session) {
        let now = Arc::downgrade(&session.get_cluster_state());
        if self.compared.read().unwrap_or_else(PoisonError::into_inner).ptr_eq(&now) {
            return;
        }
        let mut tables = self.tables_to_write();
        let state = session.get_cluster_state();
        tables.retain(|_, known| {
            let fresh = self.read(&known.table.keyspace, &known.table.name, &state);
            let Some(fresh) = fresh else { return false };
            if !known.has_same_columns(&fresh) {
                *known = Arc::new(fresh);
            }
            true
        });
        *self.compared.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&state);
    }

    /// The metadata are to be taken once this is held: those of before would put back what somebody else has
    /// renewed meanwhile.
    fn tables_to_write(&self) -> RwLockWriteGuard<'_, HashMap<Box<str>, Arc<Known>, FixedState>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keyspace and the name of a collection, which is in `keyspace` unless it names another.
pub(crate) fn full_name<'n>(
    collection: &'n str,
    keyspace: Option<&'n str>,
) -> Option<(&'n str, &'n str)> {
    collection.split_once('.').or_else(|| Some((keyspace?, collection)))
}

/// An identifier as CQL reads it exactly.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether a type is a user-defined one, or holds one.
pub(crate) fn holds_type(typ: &ColumnType<'_>) -> bool {
    match typ {
        ColumnType::UserDefinedType { .. } => true,
        ColumnType::Collection { typ, .. } => match typ {
            CollectionType::List(of) | CollectionType::Set(of) => holds_type(of),
            CollectionType::Map(key, value) => holds_type(key) || holds_type(value),
            _ => false,
        },
        ColumnType::Vector { typ, .. } => holds_type(typ),
        ColumnType::Tuple(types) => types.iter().any(holds_type),
        _ => false,
    }
}
