//! One request to the server: a statement or a batch of them.

use std::{ops::Range, time::Duration};

use batch_core::{
    Error, ErrorKind, Fate, Result,
    seam::{Answers, Chunk},
};
use scylla::{
    response::query_result::QueryResult,
    statement::{
        batch::{Batch, BatchStatement, BatchType},
        prepared::PreparedStatement,
    },
};
use tokio::time::Instant;

use crate::{
    backend::CqlBackend,
    errors::{self, Asked},
    plan::way::Way,
    statement::{Native, WireRow},
};

/// How several statements travel in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One partition, without the batch log.
    Partition,
    /// Several partitions, without the batch log.
    Spread,
    Logged,
    Counter,
    /// One partition, with conditions.
    Conditional,
}

impl Kind {
    /// How plain writes travel: also those that are left of conditions which are derived to hold.
    pub(crate) const fn of_plain(way: Way) -> Self {
        match way {
            Way::Single | Way::Partition | Way::Condition | Way::Conditions => Self::Partition,
            Way::Spread => Self::Spread,
            Way::Logged => Self::Logged,
            Way::Counter => Self::Counter,
        }
    }
}

/// Statements with the places of their values in the entries' bytes.
pub(crate) struct Request {
    kind: Kind,
    pub(super) statements: Vec<BatchStatement>,
    cells: Vec<Range<usize>>,
    /// For statements without one of their own.
    pub(crate) timestamp: Option<i64>,
    /// Whether one statement of it may write to several partitions.
    pub(super) spreads: bool,
}

/// What a batch has over its statements: the frame's header, kind, count, consistencies, flags, timestamp.
const BATCH_OVERHEAD: usize = 9 + 1 + 2 + 2 + 1 + 2 + 8;
/// What a statement has over its values: kind, id with its length, count.
const STATEMENT_OVERHEAD: usize = 1 + 2 + 16 + 2;
/// The driver's own time limit only frees what a lost request holds; the commit's deadline rules.
const LONGER_THAN_THE_COMMIT: Duration = Duration::from_secs(5);

impl Request {
    pub(crate) fn new(kind: Kind, room: usize) -> Self {
        Self {
            kind,
            statements: Vec::with_capacity(room),
            cells: Vec::with_capacity(room),
            timestamp: None,
            spreads: false,
        }
    }

    pub(crate) fn add(&mut self, statement: &PreparedStatement, cells: Range<usize>) {
        self.statements.push(BatchStatement::PreparedStatement(statement.clone()));
        self.cells.push(cells);
    }

    pub(crate) fn add_native(&mut self, native: &Native, cells: Range<usize>) {
        self.spreads |= native.may_spread();
        self.add(native.statement(), cells);
    }

    /// Takes in another's statements.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.spreads |= other.spreads;
        self.statements.append(&mut other.statements);
        self.cells.append(&mut other.cells);
    }
}

impl CqlBackend {
    /// Sends a request, once, with the values of its statements in `bytes`. Nothing is sent for one
    /// without statements.
    pub(crate) async fn execute(
        &self,
        request: Request,
        bytes: &[u8],
        chunk: &Chunk<'_>,
        answers: &mut Answers,
    ) -> Result<Option<QueryResult>> {
        let cells = request.cells.iter().map(|cells| bytes.get(cells.clone()).unwrap_or_default());
        let rows: Vec<WireRow<'_>> = cells.map(|cells| WireRow { cells }).collect();
        self.execute_rows(request, &rows, chunk, answers).await.0
    }

    /// Whether a node is connected, as far as the driver has noticed.
    fn is_reachable(&self) -> bool {
        let cluster = self.session.get_cluster_state();
        cluster.get_nodes_info().iter().any(|node| node.is_connected())
    }

    /// Sends a request, once, and gives its statements back.
    pub(super) async fn execute_rows(
        &self,
        mut request: Request,
        rows: &[WireRow<'_>],
        chunk: &Chunk<'_>,
        answers: &mut Answers,
    ) -> (Result<Option<QueryResult>>, Vec<BatchStatement>) {
        if rows.is_empty() {
            return (Ok(None), request.statements);
        }
        let values: usize = rows.iter().map(|row| row.cells.len()).sum();
        let size = BATCH_OVERHEAD + rows.len() * STATEMENT_OVERHEAD + values;
        let limit = self.server.limits.request_bytes_of(rows.len());
        if size > limit {
            // Sent all the same, it would take the neighbours on its connection with it, or fail on the replicas.
            let error = Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the request has {size} bytes, and the server takes at most {limit}; make the documents smaller, or put fewer into one batch"
                ),
            );
            return (Err(error), request.statements);
        }
        if !self.is_reachable() {
            // Known beforehand, so that nothing passes for sent.
            let error = Error::new(
                ErrorKind::Connection,
                "no node is connected, so nothing was sent; connections are made anew by themselves once a node is up",
            );
            return (Err(error.transient()), request.statements);
        }
        let limit = chunk.deadline().saturating_duration_since(Instant::now());
        let limit = Some(limit.saturating_add(LONGER_THAN_THE_COMMIT));
        let conditional = request.kind == Kind::Conditional;
        let alone = rows.len() == 1 && !matches!(request.kind, Kind::Logged | Kind::Counter);
        let result = if alone
            && let (Some(BatchStatement::PreparedStatement(statement)), Some(row)) =
                (request.statements.first_mut(), rows.first())
        {
            statement.set_timestamp(request.timestamp);
            statement.set_request_timeout(limit);
            chunk.sent();
            self.session.execute_unpaged(statement, row).await
        } else {
            let kind = match request.kind {
                // A condition is decided with all that stands behind it, and needs no log.
                Kind::Partition | Kind::Spread | Kind::Conditional => BatchType::Unlogged,
                Kind::Logged => BatchType::Logged,
                Kind::Counter => BatchType::Counter,
            };
            let statements = std::mem::take(&mut request.statements);
            let mut batch = Batch::new_with_statements(kind, statements);
            batch.set_execution_profile_handle(Some(self.profile.clone()));
            batch.set_timestamp(request.timestamp);
            batch.set_request_timeout(limit);
            batch.set_tracing(self.habits.tracing);
            chunk.sent();
            let result = self.session.batch(&batch, rows).await;
            request.statements = batch.statements;
            result
        };
        let result = match result {
            Ok(result) => {
                for warning in result.warnings() {
                    answers.warn(warning);
                }
                if let Some(id) = result.tracing_id() {
                    answers.warn(format!("chunk {} was traced as {id}", chunk.number()));
                }
                Ok(Some(result))
            }
            Err(error) => {
                let asked = Asked {
                    logged: request.kind == Kind::Logged,
                    several_partitions: request.kind == Kind::Spread || request.spreads,
                    conditional,
                    counter: request.kind == Kind::Counter,
                    counts_first: self.server.product.counts_first(),
                };
                let failed = errors::is_write_failure(&error);
                let mut error = self.learn(errors::verdict(&error, asked));
                if error.fate() == Fate::Accepted {
                    // Rare, so not a part of every commit's future.
                    error = Box::pin(self.unless_dropped(error, &request.statements)).await;
                }
                let refused = error.fate() == Fate::NotApplied && !error.is_transient();
                let may_be_of_some = (refused || (failed && !asked.counter)) && !conditional;
                let may_be_of_some = may_be_of_some && error.kind() != ErrorKind::Stale;
                // One statement is enough for the server to refuse all of them, or for a replica to fail.
                Err(if may_be_of_some && rows.len() > 1 { error.of_some() } else { error })
            }
        };
        (result, request.statements)
    }
}
