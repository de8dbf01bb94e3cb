//! What the server says of conditions.

use batch_core::{Error, ErrorKind, Result};
use scylla::{
    cluster::metadata::ColumnType, deserialize::row::ColumnIterator,
    response::query_result::QueryResult,
};
use serde_json::Value;

use crate::{decode, schema::table::Table};

/// A row that stood in the way: the bytes of its columns.
pub(crate) struct Found {
    columns: Vec<(String, ColumnType<'static>, Option<Vec<u8>>)>,
}

/// The answer to a request with conditions.
pub(crate) struct Reply {
    pub(crate) applied: bool,
    /// The rows that the server showed because the conditions did not all hold.
    pub(crate) rows: Vec<Found>,
}

const APPLIED: &str = "[applied]";

impl Reply {
    /// Reads the answer. Anything but a clear `[applied]` is an error: whether the request was
    /// applied cannot be told then.
    pub(crate) fn read(result: Option<QueryResult>) -> Result<Self> {
        let unclear = |what: &str| {
            let message = format!("{what}; read the row to know whether the condition held");
            Error::new(ErrorKind::Protocol, message).unknown()
        };
        let Some(result) = result else { return Err(unclear("nothing was sent")) };
        let rows = result.into_rows_result().map_err(|error| {
            unclear("the server did not say whether the condition held").with_source(error)
        })?;
        let broken = |error| unclear("the server's answer cannot be read").with_source(error);
        let all = rows.rows::<ColumnIterator<'_, '_>>();
        let all = all
            .map_err(|error| broken(Box::new(error) as Box<dyn std::error::Error + Send + Sync>))?;
        let (mut applied, mut found) = (None, Vec::new());
        for row in all {
            let row = row.map_err(|error| broken(Box::new(error)))?;
            let mut columns = Vec::new();
            let mut own = None;
            for column in row {
                let column = column.map_err(|error| broken(Box::new(error)))?;
                let bytes = column.slice.map(|slice| slice.as_slice().to_vec());
                if column.spec.name() == APPLIED {
                    own = bytes.map(|bytes| bytes != [0]);
                } else {
                    let name = column.spec.name().to_owned();
                    columns.push((name, column.spec.typ().clone().into_owned(), bytes));
                }
            }
            let Some(own) = own else {
                return Err(unclear(
                    "a row of the server's answer does not say whether the condition held",
                ));
            };
            if *applied.get_or_insert(own) != own {
                return Err(unclear(
                    "the server says both that the conditions held and that they did not",
                ));
            }
            found.push(Found { columns });
        }
        let applied = applied.ok_or_else(|| unclear("the server's answer is empty"))?;
        Ok(Self { applied, rows: found })
    }
}

impl Found {
    /// Whether it is the row with this key, of which each column's bytes are given. A row without
    /// a key stands for one that is not there.
    pub(crate) fn has_key<'k>(&self, table: &Table, key: impl Iterator<Item = &'k [u8]>) -> bool {
        table.columns.iter().take(table.key).zip(key).enumerate().all(|(place, (column, bytes))| {
            let own = self.columns.iter().find(|(name, ..)| **name == *column.name);
            own.and_then(|(.., own)| own.as_deref())
                .is_some_and(|own| table.identity(place, own) == table.identity(place, bytes))
        })
    }

    /// Whether it shows any value: the server shows none of a row that is not there.
    pub(crate) fn is_there(&self) -> bool {
        self.columns.iter().any(|(.., bytes)| bytes.is_some())
    }

    /// The row as JSON, for the error's details.
    pub(crate) fn to_json(&self) -> Value {
        let columns =
            self.columns.iter().map(|(name, typ, bytes)| (&**name, typ, bytes.as_deref()));
        decode::raw_document(columns)
    }
}
