//! What the tests on a real server share.

use std::env;

use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    cluster::metadata::ColumnKind,
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
};

use crate::{
    row::{CellRef, Row, Written},
    schema::table::{Column, Table},
    wire::Fields,
};

/// The host and the port of the server that the environment names.
pub(crate) fn node() -> String {
    let url = env::var("UNIBATCH_CQL_URL").expect("UNIBATCH_CQL_URL says where the server is");
    url.trim_start_matches("cql://").to_owned()
}

/// A session with the server that the environment names, and an empty keyspace.
pub(crate) async fn session(keyspace: &str) -> Session {
    let session = SessionBuilder::new().known_node(node()).build().await.unwrap();
    run(&session, &format!("DROP KEYSPACE IF EXISTS {keyspace}")).await;
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    run(&session, &format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}")).await;
    session
}

pub(crate) async fn run(session: &Session, statement: &str) {
    session.query_unpaged(statement, ()).await.unwrap();
}

/// A table as the driver's metadata has it.
pub(crate) fn table(session: &Session, keyspace: &str, name: &str) -> Table {
    let state = session.get_cluster_state();
    let meta = &state.get_keyspace(keyspace).unwrap().tables[name];
    Table::of(keyspace, name, meta)
}

/// The columns of a table by name, in its order.
pub(crate) fn names(table: &Table, of: impl Fn(&Column) -> bool) -> Vec<&str> {
    table.columns.iter().filter(|column| of(column)).map(|column| &*column.name).collect()
}

/// `INSERT` of every column, or of the partition key and the static columns.
pub(crate) fn insert(table: &Table, of: impl Fn(&Column) -> bool) -> String {
    let names = names(table, of);
    let markers = vec!["?"; names.len()].join(", ");
    format!(
        "INSERT INTO {}.{} ({}) VALUES ({markers})",
        table.keyspace,
        table.name,
        names.join(", ")
    )
}

pub(crate) fn is_static(column: &Column) -> bool {
    matches!(column.kind, ColumnKind::Static | ColumnKind::PartitionKey)
}

/// The cells of a row for the markers of a statement, by their names.
pub(crate) struct Cells<'a>(pub(crate) &'a Table, pub(crate) &'a Row);

impl SerializeRow for Cells<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        for marker in context.columns() {
            let cell = writer.make_cell_writer();
            match self.1.cell(self.0.place(marker.name()).unwrap()) {
                CellRef::Unset => cell.set_unset(),
                CellRef::Null => cell.set_null(),
                CellRef::Value(bytes) => cell.set_value(bytes).map_err(SerializationError::new)?,
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// Values for the markers of a statement in their order, each behind its length.
#[derive(Default)]
pub(crate) struct Values(pub(crate) Vec<u8>);

impl Values {
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Written) {
        let mut value = Vec::new();
        let length = match write(&mut value) {
            Written::Null => -1,
            Written::Value => i32::try_from(value.len()).unwrap(),
        };
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(&value);
    }
}

impl SerializeRow for Values {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        for value in Fields(&self.0) {
            let cell = writer.make_cell_writer();
            match value {
                Some(bytes) => cell.set_value(bytes).map_err(SerializationError::new)?,
                None => cell.set_null(),
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        false
    }
}
