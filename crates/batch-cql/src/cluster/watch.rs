//! Notices that somebody else has changed the schema.
//!
//! A server refuses what a change made wrong, but says nothing of a column that was added: a `put`
//! that does not know it would leave its value. The driver reads the schema again once a minute. So a
//! node is asked for the version of its schema, before a commit or a read and at most once a second, which
//! makes that a second and the time of the question.
//!
//! Nor does a server say anything of a user-defined type that was made again with other fields: statements
//! name it, and have its bytes. Before a commit that writes such types a node is asked each time, and nothing is
//! sent without its answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use batch_core::Result;
use scylla::{client::session::Session, statement::Statement};
use uuid::Uuid;

use crate::{cluster::server::ask, errors};

/// For so long a version is believed.
const KEPT: Duration = Duration::from_secs(1);
/// Asking must not hold a commit up.
const PATIENCE: Duration = Duration::from_millis(250);
/// Nor must waiting until all nodes have a change.
const MOST_AGREEING: Duration = Duration::from_secs(5);

/// The version of the schema that the driver's metadata are of.
#[derive(Debug)]
pub(crate) struct SchemaWatch {
    /// `None` if the service has no versions.
    seen: Mutex<Option<Seen>>,
    /// One asks, and the others go on: a node that hangs must not hold all of them up.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// `None` as long as it is not known that the metadata are of one.
    version: Option<Uuid>,
    /// `None` if nobody has asked.
    at: Option<Instant>,
}

impl Seen {
    fn is_due(&self) -> bool {
        self.at.is_none_or(|at| at.elapsed() >= KEPT)
    }
}

impl SchemaWatch {
    /// Begins with metadata that were read at some time, or of which nobody knows when. The version that a
    /// node has now says nothing of them: a change may lie between.
    pub(crate) fn new(has_versions: bool, read: Option<Instant>) -> Self {
        let seen = has_versions.then_some(Seen { version: None, at: read });
        Self { seen: Mutex::new(seen), asking: tokio::sync::Mutex::default() }
    }

    /// Whether a node has to be asked.
    pub(crate) fn is_due(&self) -> bool {
        self.seen().as_ref().is_some_and(Seen::is_due)
    }

    /// Asks a node, and has the metadata read again if its version is another one. An answer that does
    /// not come soon leaves what is known as it is. `now`: even if it was asked a moment ago, or is being asked,
    /// and however long it takes; the caller's time is the limit.
    ///
    /// # Errors
    /// Of reading the metadata, and with `now` of asking; the next commit tries it again.
    pub(crate) async fn look(
        &self,
        session: &Session,
        question: Statement,
        now: bool,
        refresh: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let begun = Instant::now();
        let _only = match self.asking.try_lock() {
            Ok(only) => only,
            Err(_) if !now => return Ok(()),
            Err(_) => self.asking.lock().await,
        };
        let is_due =
            |seen: &Seen| if now { seen.at.is_none_or(|at| at < begun) } else { seen.is_due() };
        let Some(before) = self.seen().filter(is_due) else { return Ok(()) };
        let at = Some(Instant::now());
        let asking = version(session, question);
        let told = match if now {
            Ok(asking.await)
        } else {
            tokio::time::timeout(PATIENCE, asking).await
        } {
            Ok(Ok(version)) => Some(version),
            Ok(Err(error)) if now => return Err(error),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the version of the schema cannot be read; what is known of it stays");
                None
            }
            Err(_) => {
                tracing::warn!(
                    "the server is slow to tell the version of its schema; what is known of it stays"
                );
                None
            }
        };
        if told.is_none_or(|version| before.version == Some(version)) {
            self.note(Seen { at, ..before });
            return Ok(());
        }
        // A node that has not heard of it would give the metadata of before.
        let agreeing = tokio::time::timeout(MOST_AGREEING, session.await_schema_agreement());
        let agreed = agreeing.await.ok().and_then(std::result::Result::ok);
        match refresh.await {
            Ok(()) => {
                tracing::debug!(version = ?agreed, "the schema was changed, and is read again")
            }
            Err(error) if now || error.is_transient() => return Err(error),
            // As long as it is what it is now, trying again would fail likewise; each report says so.
            Err(_) => {}
        }
        self.note(Seen { version: agreed, at });
        Ok(())
    }

    fn seen(&self) -> Option<Seen> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

async fn version(session: &Session, question: Statement) -> Result<Uuid> {
    const WHAT: &str = "its schema's version";
    let rows = ask(session, question, WHAT).await?;
    let (version,) =
        rows.single_row::<(Uuid,)>().map_err(|error| errors::unreadable(WHAT, error))?;
    Ok(version)
}
