//! Reading one row outside any batch.

use std::collections::BTreeMap;

use batch_core::{Error, ErrorKind, Key, Result};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    backend::CqlBackend,
    connection::of_reads,
    encode::{self, KeyPart},
    errors,
    row::Row,
    schema::{Form, Known, Using},
    send::key_cells,
    statement::WireRow,
};

impl CqlBackend {
    /// The row's columns as the server writes them in JSON; those without a value are left out.
    pub(crate) async fn read_row(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        let known = self.table(collection).await?;
        let mut row = Row::default();
        row.clear(known.table.columns.len());
        if encode::key(&known.table, key.as_ref(), &mut row)? != KeyPart::Whole {
            let message = format!(
                "a row of {} is read by its whole key, and the clustering key is missing",
                known.name
            );
            return Err(Error::new(ErrorKind::InvalidKey, message));
        }
        let mut cells = Vec::new();
        key_cells(&known, &row, &mut cells);
        let statement = known.statement(Form::Select, Using::default(), &self.preparing()).await?;
        let mut statement = statement.clone();
        statement.set_consistency(of_reads(self.profile.to_profile().get_consistency()));
        let result = self.session.execute_unpaged(&statement, WireRow { cells: &cells }).await;
        let result = result.map_err(|error| errors::of_read(&error))?;
        let rows = result.into_rows_result().map_err(unreadable)?;
        let text = rows.maybe_first_row::<(String,)>().map_err(unreadable)?;
        text.map(|(text,)| document(&known, &text)).transpose()
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the server's row cannot be read; look at it with another client",
    )
    .with_source(error)
}

/// The server quotes names that are not all in lower case, and says null where there is no value.
fn document(known: &Known, text: &str) -> Result<Bytes> {
    let columns: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(unreadable)?;
    let columns: BTreeMap<&str, &RawValue> = columns
        .iter()
        .filter(|(_, value)| value.get() != "null")
        .map(|(name, value)| {
            let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            let inner = inner.filter(|inner| known.table.place(inner).is_some());
            (inner.unwrap_or(name), *value)
        })
        .collect();
    serde_json::to_vec(&columns).map(Bytes::from).map_err(unreadable)
}
