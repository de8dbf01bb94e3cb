//! A prepared statement with values of the caller's own types.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use batch_core::{Error, ErrorKind, NativeStatement, Operation, Result};
use scylla::{
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::prepared::PreparedStatement,
};

use super::text::Text;
use crate::errors::excerpt;
use crate::schema::Preparing;

/// A prepared INSERT, UPDATE or DELETE whose values are of the caller's own types: the native
/// operation of CQL stores. Cheap to clone.
///
/// [`bind`](Self::bind) writes the values as the driver does, once, into the operation, which is
/// queued beside portable ones. What the driver checks is checked there: that the types of the
/// values are those of the markers, and that there are as many. A mistake is kept in the operation
/// and returned by `queue`.
///
/// Make one for each statement and bind it many times: operations of one `CqlStatement` and its
/// clones are told to be alike by that alone. A request has one consistency and one timestamp for all that is in it:
/// those of the store and the batch. A statement that has its own is refused; its other settings (tracing, execution
/// profile, retries, load balancing, …) are not used.
///
/// ```no_run
/// # async fn example(store: batch_cql::CqlStore) -> Result<(), Box<dyn std::error::Error>> {
/// use batch_core::{BatchExt as _, BatchOptions, Operation, Store as _};
/// use batch_cql::CqlStatement;
/// use serde_json::json;
///
/// let text = "UPDATE school.students USING TTL ? SET age = ? WHERE id = ?";
/// let set_age = store.prepare(text).await?;
/// // The same, from a statement that the driver prepared:
/// let set_age = CqlStatement::new(store.session().prepare(text).await?)?;
///
/// let mut batch = store.batch(BatchOptions::new())?;
/// batch.queue(set_age.bind(&(3600, 20, "Abby")))?;
/// batch.queue(Operation::put("students").key("id", "John").doc(&json!({"age": 21})))?;
/// batch.commit().await?.into_result()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CqlStatement(Arc<Typed>);

/// What the clones of a statement share; what the backend gets.
pub(crate) struct Typed {
    prepared: PreparedStatement,
    idempotent: bool,
    /// The most bytes that values took so far, so that the next ones are written without growing.
    room: AtomicUsize,
}

impl CqlStatement {
    /// A statement that the driver has prepared. [`CqlStore::prepare`](crate::CqlStore::prepare)
    /// makes one from its text. It is idempotent if that one is said to be.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the statement cannot be in a batch: a read, a
    /// schema change. [`InvalidOperation`](ErrorKind::InvalidOperation) if it has a consistency or a timestamp of its
    /// own, and for a text that cannot be read.
    pub fn new(prepared: PreparedStatement) -> Result<Self> {
        Text::read(prepared.get_statement())?;
        let to_store = "give the store that one";
        let own = [
            (prepared.get_consistency().is_some(), "consistency", "unset_consistency", to_store),
            (
                prepared.get_serial_consistency().is_some(),
                "serial consistency",
                "unset_serial_consistency",
                to_store,
            ),
            (
                prepared.get_timestamp().is_some(),
                "timestamp",
                "set_timestamp",
                "write `USING TIMESTAMP ?` into it",
            ),
        ];
        if let Some((_, what, unset, instead)) = own.into_iter().find(|(is_set, ..)| *is_set) {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!(
                    "`{}` has a {what} of its own, and a request with several operations has one for all; take it away by `{unset}`, and {instead}",
                    excerpt(prepared.get_statement())
                ),
            ));
        }
        let idempotent = prepared.get_is_idempotent();
        Ok(Self(Arc::new(Typed { prepared, idempotent, room: AtomicUsize::new(0) })))
    }

    /// A statement that is prepared now, on a table of `keyspace` unless the text names another.
    pub(crate) async fn prepare(
        text: &str,
        keyspace: Option<&str>,
        preparing: Preparing<'_>,
    ) -> Result<Self> {
        let qualified = Text::read(text)?.qualified(keyspace, |_| None);
        Self::new(preparing.prepare(&qualified).await?)
    }

    /// Says whether the statement may be sent again although it may have been applied. It may not
    /// unless you say so: counters, appends to lists, conditions, `now()` and `uuid()` forbid it.
    #[must_use]
    pub fn idempotent(self, idempotent: bool) -> Self {
        let Typed { prepared, room, .. } = &*self.0;
        let room = AtomicUsize::new(room.load(Ordering::Relaxed));
        Self(Arc::new(Typed { prepared: prepared.clone(), idempotent, room }))
    }

    /// The statement's text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.prepared.get_statement()
    }

    /// The driver's statement.
    #[must_use]
    pub fn prepared(&self) -> &PreparedStatement {
        &self.0.prepared
    }

    /// The operation that carries out the statement with these values: a tuple in the order of
    /// the markers, a slice, a map by the markers' names, a type that derives
    /// [`SerializeRow`](scylla::SerializeRow).
    #[must_use]
    pub fn bind(&self, values: &(impl SerializeRow + ?Sized)) -> Operation {
        let typed = &*self.0;
        let room = typed.room.load(Ordering::Relaxed);
        let mut cells = Vec::with_capacity(room);
        let markers = typed.prepared.get_variable_col_specs();
        let context = RowSerializationContext::from_specs(markers.as_slice());
        let mut writer = RowWriter::new(&mut cells);
        let written = values.serialize(&context, &mut writer);
        let count = writer.value_count();
        if cells.len() > room {
            typed.room.fetch_max(cells.len(), Ordering::Relaxed);
        }
        let statement: Arc<dyn NativeStatement> = Arc::<Typed>::clone(&self.0);
        match written {
            Ok(()) if count == markers.len() => Operation::native(statement, cells),
            Ok(()) => {
                let message = format!("there are {count} values; give one for each of the markers");
                typed.mistake(statement, &message, None)
            }
            Err(error) => {
                let message = error.to_string();
                typed.mistake(statement, &message, Some(Box::new(error)))
            }
        }
    }
}

impl Typed {
    /// The driver's statement.
    pub(crate) fn prepared(&self) -> &PreparedStatement {
        &self.prepared
    }

    #[cold]
    fn mistake(
        &self,
        statement: Arc<dyn NativeStatement>,
        what: &str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Operation {
        let text = excerpt(self.prepared.get_statement());
        let mut error = Error::new(ErrorKind::InvalidOperation, format!("`{text}`: {what}"));
        if let Some(source) = source {
            error = error.with_source(source);
        }
        Operation::native(statement, Vec::new()).with_mistake(error)
    }
}

impl NativeStatement for Typed {
    fn store(&self) -> &'static str {
        "cql"
    }

    fn name(&self) -> &'static str {
        "cql"
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CqlStatement")
            .field("text", &self.prepared.get_statement())
            .field("idempotent", &self.idempotent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CqlStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
