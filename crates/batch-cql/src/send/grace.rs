//! Whether what the batch log has will be written: it is played back without what is older than a table's
//! `gc_grace_seconds` (`BatchlogManager` of Cassandra).

use std::time::Duration;

use batch_core::{Error, Result};
use scylla::statement::batch::BatchStatement;

use crate::{backend::CqlBackend, cluster::server::ask, errors};

/// The seconds within which the log is played back, as a rule: it is looked at every ten.
const GRACE: i32 = 60 * 60;
/// The node that is asked may hang as well as the one that did not answer.
const PATIENCE: Duration = Duration::from_secs(1);

impl CqlBackend {
    /// That a batch is accepted, or that it may be dropped, if not all of its tables are known to be kept long enough.
    pub(super) async fn unless_dropped(
        &self,
        accepted: Error,
        statements: &[BatchStatement],
    ) -> Error {
        match tokio::time::timeout(PATIENCE, self.keeps_grace(statements)).await {
            Ok(true) => accepted,
            Ok(false) | Err(_) => may_be_dropped(&accepted),
        }
    }

    async fn keeps_grace(&self, statements: &[BatchStatement]) -> bool {
        let mut seen = Vec::new();
        for statement in statements {
            let BatchStatement::PreparedStatement(statement) = statement else { return false };
            let Some(table) = statement.get_table_spec() else { return false };
            let table = (table.ks_name(), table.table_name());
            if seen.contains(&table) {
                continue;
            }
            seen.push(table);
            match self.grace_of(table).await {
                Ok(Some(grace)) if grace >= GRACE => {}
                _ => return false,
            }
        }
        true
    }

    /// The `gc_grace_seconds` of a table, if it is there.
    async fn grace_of(&self, (keyspace, table): (&str, &str)) -> Result<Option<i32>> {
        const WHAT: &str = "a table's gc_grace_seconds";
        let literal = |name: &str| name.replace('\'', "''");
        let text = format!(
            "SELECT gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = '{}' AND table_name = '{}'",
            literal(keyspace),
            literal(table)
        );
        let rows = ask(&self.session, self.asking.statement(&text), WHAT).await?;
        let row = rows.maybe_first_row::<(i32,)>();
        Ok(row.map_err(|error| errors::unreadable(WHAT, error))?.map(|(grace,)| grace))
    }
}

/// What a table that is not kept for long makes of a batch that the log has.
fn may_be_dropped(accepted: &Error) -> Error {
    let message = format!(
        "{}; the batch log has it, but drops what is older than the gc_grace_seconds of a table, which are less than an hour or cannot be read",
        accepted.message()
    );
    Error::new(accepted.kind(), message).with_source(accepted.clone()).unknown().transient()
}
