//! Statements of one store, which an operation carries as they are.

use std::{any::Any, fmt, hash::BuildHasher as _, sync::Arc};

/// A statement of one store, shared by all operations that use it: a prepared statement, the text
/// of a query. The values are the operation's body. `queue` refuses it on any other store.
///
/// Backends reach their own type by upcasting to [`Any`].
pub trait NativeStatement: Any + fmt::Debug + Send + Sync {
    /// The [name](crate::seam::Backend::name) of the backend that understands it.
    fn store(&self) -> &'static str;
    /// The operation's name in reports and errors, such as `aql`.
    fn name(&self) -> &'static str;
    /// Whether the statement may be sent again although it may have been applied.
    fn is_idempotent(&self) -> bool;
}

/// The languages whose statements the core itself can carry, with values as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// ArangoDB's query language.
    Aql,
    /// The Cassandra query language.
    Cql,
}

impl Language {
    /// The name of the backend that speaks it.
    #[must_use]
    pub const fn store(self) -> &'static str {
        match self {
            Self::Aql => "arango",
            Self::Cql => "cql",
        }
    }

    /// The language's name, which is the operation's name too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aql => "aql",
            Self::Cql => "cql",
        }
    }

    pub(crate) const fn no_values(self) -> &'static str {
        match self {
            Self::Aql => "{}",
            Self::Cql => "[]",
        }
    }
}

/// The text of a statement whose values are JSON: what `Operation::aql` and `Operation::cql` make.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonStatement {
    language: Language,
    text: Box<str>,
}

impl JsonStatement {
    pub(crate) fn shared(language: Language, text: String) -> Arc<dyn NativeStatement> {
        Arc::new(Self { language, text: text.into_boxed_str() })
    }

    /// The language of the text.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// The statement's text, with its markers or bind variables.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl NativeStatement for JsonStatement {
    fn store(&self) -> &'static str {
        self.language.store()
    }

    fn name(&self) -> &'static str {
        self.language.as_str()
    }

    /// Never by itself: the text may count, append or draw random numbers.
    fn is_idempotent(&self) -> bool {
        false
    }
}

/// The JSON statement behind a native one, if it is one.
pub(crate) fn as_json(statement: &Arc<dyn NativeStatement>) -> Option<&JsonStatement> {
    let any: &dyn Any = &**statement;
    any.downcast_ref()
}

/// Whether two operations use the same statement: the same object, or the same text.
pub(crate) fn shared_statement(
    one: &Arc<dyn NativeStatement>,
    other: &Arc<dyn NativeStatement>,
) -> bool {
    Arc::ptr_eq(one, other)
        || matches!((as_json(one), as_json(other)), (Some(one), Some(other)) if one == other)
}

/// A number that is equal for statements that [`shared_statement`] finds the same.
pub(crate) fn statement_hash(statement: &Arc<dyn NativeStatement>) -> u64 {
    match as_json(statement) {
        Some(json) => foldhash::fast::FixedState::with_seed(2).hash_one(json),
        None => Arc::as_ptr(statement).addr() as u64,
    }
}
