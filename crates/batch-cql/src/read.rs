//! Reading one row outside any batch.

use batch_core::{Error, ErrorKind, Key, Result};
use bytes::Bytes;
use scylla::deserialize::row::ColumnIterator;

use crate::{
    backend::CqlBackend,
    cluster::connection::of_reads,
    decode,
    encode::{self, KeyPart},
    errors,
    row::Row,
    schema::{Form, Using},
    send::key_cells,
    statement::WireRow,
};

impl CqlBackend {
    /// The row as a document that can be written again; columns without a value are left out.
    pub(crate) async fn read_row(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        if let Err(error) = self.watch_schema(false).await {
            tracing::warn!(%error, "a row is read by what is known of its table");
        }
        let row = match self.try_to_read(collection, key).await {
            Err(error) if error.kind() == ErrorKind::Stale => match self.renew(collection).await {
                Ok(()) => self.try_to_read(collection, key).await,
                Err(error) => Err(error),
            },
            row => row,
        };
        row.map_err(|error| {
            let kind = match error.kind() {
                // It changes all the time.
                ErrorKind::Stale => ErrorKind::Conflict,
                kind => kind,
            };
            let message = format!("`get` on {collection}: {}", error.message());
            let transient = error.is_transient() || kind == ErrorKind::Conflict;
            let details = error.details().map(|(name, value)| (name, value.clone()));
            let named = details.fold(Error::new(kind, message), |named, (name, value)| {
                named.with_detail(name, value)
            });
            let named = named.with_source(error.clone());
            if transient { named.transient() } else { named }
        })
    }

    async fn try_to_read(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
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
        let Some(row) = rows.maybe_first_row::<ColumnIterator<'_, '_>>().map_err(unreadable)?
        else {
            return Ok(None);
        };
        let columns = row.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let columns = columns.iter().map(|column| {
            let bytes = column.slice.map(|slice| slice.as_slice());
            (column.spec.name(), column.spec.typ(), bytes)
        });
        Ok(Some(decode::raw_document(columns).to_string().into()))
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the server's row cannot be read; look at it with another client",
    )
    .with_source(error)
}
