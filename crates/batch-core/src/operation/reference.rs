//! A queued operation, read in its place.

use std::{borrow::Cow, sync::Arc};

use super::{NativeStatement, Operation, OperationOptions, Returning, Verb};
use crate::key::KeyRef;

/// A queued operation, as a backend reads it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OperationRef<'a> {
    /// Its place in the batch, from 0; the job's id is one more.
    pub index: u32,
    /// What it does.
    pub verb: Verb,
    /// The collection's name; empty for a native operation that names none.
    pub collection: &'a str,
    /// Equal for operations with equal verb and collection, or with the same statement.
    pub shape: u32,
    /// The key; empty for a native operation that declares none.
    pub key: KeyRef<'a>,
    /// The document's JSON text, or a native statement's values.
    pub body: &'a [u8],
    /// The statement of a native operation.
    pub statement: Option<&'a Arc<dyn NativeStatement>>,
    /// The options that were set.
    pub options: &'a OperationOptions,
}

impl OperationRef<'_> {
    /// Whether the operation may be sent again although it may have been applied.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.options.idempotent.unwrap_or_else(|| match self.statement {
            Some(statement) => statement.is_idempotent(),
            // Done twice, a write gives back what it left itself as the old document.
            None => {
                self.verb.is_idempotent()
                    && self.options.if_revision.is_none()
                    && self.options.returning != Some(Returning::Old)
            }
        })
    }

    /// Whether the store must look at what is there before it writes.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        self.verb.is_conditional() || self.options.if_revision.is_some()
    }

    /// The name in reports and errors: the verb, or the language of a native statement.
    #[must_use]
    pub fn name(&self) -> &'static str {
        operation_name(self.verb, self.statement)
    }

    /// A copy that can be queued again.
    #[must_use]
    pub fn to_operation(&self) -> Operation {
        let mut text = self.key.as_bytes().to_vec();
        let key_len = text.len();
        text.extend_from_slice(self.body);
        Operation {
            verb: self.verb,
            collection: Cow::Owned(self.collection.to_owned()),
            text,
            key_len,
            statement: self.statement.cloned(),
            options: (self.options != OperationOptions::NONE)
                .then(|| Box::new(self.options.clone())),
            mistake: None,
        }
    }
}

pub(crate) fn operation_name(
    verb: Verb,
    statement: Option<&Arc<dyn NativeStatement>>,
) -> &'static str {
    match statement {
        Some(statement) => statement.name(),
        None => verb.as_str(),
    }
}
