//! What is queued: a verb on a document, or a store's own statement.

mod form;
mod native;
mod reference;
mod strict;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use serde::Serialize;

pub use form::FormError;
pub use native::{JsonStatement, Language, NativeStatement};
pub(crate) use native::{shared_statement, statement_hash};
pub use reference::OperationRef;
pub(crate) use reference::operation_name;

use crate::{
    Error, ErrorKind, Key, Result,
    key::{KeyRef, KeyValue, ROOM_FOR_DOCUMENT},
};

/// What an operation does to its document. The table in the [crate documentation](crate) has the exact meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Verb {
    /// Create; `AlreadyExists` if the key is taken.
    Insert,
    /// Create or replace whole.
    Put,
    /// Create or merge top-level attributes.
    Upsert,
    /// Replace whole; `NotFound` if absent.
    Replace,
    /// Merge top-level attributes; `NotFound` if absent.
    Update,
    /// Absent afterwards; no error if it already was.
    Delete,
    /// Absent afterwards; `NotFound` if it already was.
    DeleteExisting,
    /// Read one document.
    Get,
    /// A statement of the store's own.
    Native,
}

impl Verb {
    /// The verbs that every store shares.
    pub const PORTABLE: &'static [Self] = &[
        Self::Insert,
        Self::Put,
        Self::Upsert,
        Self::Replace,
        Self::Update,
        Self::Delete,
        Self::DeleteExisting,
        Self::Get,
    ];

    /// The name in reports, errors and the program's NDJSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Put => "put",
            Self::Upsert => "upsert",
            Self::Replace => "replace",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::DeleteExisting => "delete_existing",
            Self::Get => "get",
            Self::Native => "native",
        }
    }

    /// Whether the operation carries a document.
    #[must_use]
    pub const fn has_document(self) -> bool {
        matches!(self, Self::Insert | Self::Put | Self::Upsert | Self::Replace | Self::Update)
    }

    /// Whether the store must look at what is there before it writes.
    #[must_use]
    pub const fn is_conditional(self) -> bool {
        matches!(self, Self::Insert | Self::Replace | Self::Update | Self::DeleteExisting)
    }

    /// Whether doing it twice leaves what doing it once leaves, and answers the same.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        matches!(self, Self::Put | Self::Upsert | Self::Delete | Self::Get)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which state of the document a write gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Returning {
    /// The document after the write.
    New,
    /// The document before the write.
    Old,
}

/// The options of one operation, as a backend reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationOptions {
    /// Apply only if the document has this revision.
    pub if_revision: Option<Box<str>>,
    /// The document vanishes after this time.
    pub ttl: Option<Duration>,
    /// The write's timestamp in microseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// Give back the document.
    pub returning: Option<Returning>,
    /// Whether the operation may be sent twice; overrides what the verb says.
    pub idempotent: Option<bool>,
}

impl OperationOptions {
    /// No option set: what most operations have.
    pub const NONE: &'static Self =
        &Self { if_revision: None, ttl: None, timestamp: None, returning: None, idempotent: None };
}

/// One operation of a batch: a verb on the document of a collection that a key names, or a store's own statement.
///
/// The document is held as JSON text from the start, in one allocation with its key. The first
/// mistake made while building is kept and returned by `queue`, so a chain needs one `?`.
///
/// ```
/// use batch_core::{Operation, Returning};
/// use serde_json::json;
///
/// let insert = Operation::insert("students").key("id", "Abby").doc(&json!({"name": "Abby", "age": 20}));
/// let update = Operation::update("students").at("John").doc(&json!({"age": 21})).returning(Returning::New);
/// assert_eq!(
///     serde_json::to_string(&insert)?,
///     r#"{"op":"insert","collection":"students","key":{"id":"Abby"},"doc":{"age":20,"name":"Abby"}}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Operation {
    pub(crate) verb: Verb,
    pub(crate) collection: Cow<'static, str>,
    /// The key's bytes, then the document's text or the statement's values.
    pub(crate) text: Vec<u8>,
    pub(crate) key_len: usize,
    pub(crate) statement: Option<Arc<dyn NativeStatement>>,
    pub(crate) options: Option<Box<OperationOptions>>,
    pub(crate) mistake: Option<Error>,
}

macro_rules! verbs {
    ($($(#[$doc:meta])+ $name:ident => $verb:ident;)+) => {
        $($(#[$doc])+
        #[must_use]
        pub fn $name(collection: impl Into<Cow<'static, str>>) -> Self {
            Self::on(Verb::$verb, collection)
        })+
    };
}

impl Operation {
    verbs! {
        /// Creates a document; `AlreadyExists` if the key is taken.
        insert => Insert;
        /// Creates a document or replaces it whole.
        put => Put;
        /// Creates a document or merges the given top-level attributes into it.
        upsert => Upsert;
        /// Replaces a document whole; `NotFound` if it is absent.
        replace => Replace;
        /// Merges the given top-level attributes into a document; `NotFound` if it is absent.
        update => Update;
        /// Makes sure that a document is absent; no error if it already was.
        delete => Delete;
        /// Deletes a document; `NotFound` if it is absent.
        delete_existing => DeleteExisting;
        /// Reads a document; `NotFound` if it is absent.
        get => Get;
    }

    /// The operation of a portable verb. `Verb::Native` makes an operation that `queue` refuses:
    /// use [`native`](Self::native).
    #[must_use]
    #[inline]
    pub fn on(verb: Verb, collection: impl Into<Cow<'static, str>>) -> Self {
        Self {
            verb,
            collection: collection.into(),
            text: Vec::new(),
            key_len: 0,
            statement: None,
            options: None,
            mistake: None,
        }
    }

    /// An AQL query with its bind variables (a JSON object; `()` for none). Only for ArangoDB.
    #[must_use]
    pub fn aql(query: impl Into<String>, bind: impl Serialize) -> Self {
        Self::json_statement(Language::Aql, query.into(), &bind)
    }

    /// A CQL statement with its values (a JSON array in the order of the markers, or an object by
    /// name; `()` for none). Only for CQL stores.
    #[must_use]
    pub fn cql(statement: impl Into<String>, values: impl Serialize) -> Self {
        Self::json_statement(Language::Cql, statement.into(), &values)
    }

    fn json_statement(language: Language, text: String, values: &impl Serialize) -> Self {
        let mut operation = Self::native(JsonStatement::shared(language, text), Vec::new());
        operation.write_body(values);
        let fits = match operation.body().first() {
            Some(b'n') => {
                operation.text.truncate(operation.key_len);
                operation.text.extend_from_slice(language.no_values().as_bytes());
                true
            }
            Some(b'{') => true,
            Some(b'[') => language == Language::Cql,
            _ => false,
        };
        if !fits {
            let what = match language {
                Language::Aql => "bind variables are a JSON object, such as `{\"age\": 20}`",
                Language::Cql => "values are a JSON array, or an object by the markers' names",
            };
            operation.keep(Error::new(ErrorKind::InvalidOperation, what));
        }
        operation
    }

    /// A statement of one store, with its values in the form that the store's backend reads.
    /// Backend crates have typed constructors for it.
    #[must_use]
    pub fn native(statement: Arc<dyn NativeStatement>, values: Vec<u8>) -> Self {
        let mut operation = Self::on(Verb::Native, "");
        operation.text = values;
        operation.statement = Some(statement);
        operation
    }

    /// Names the collection of a native operation, for reports and for the order on its key.
    #[must_use]
    pub fn collection(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.collection = name.into();
        self
    }

    /// Adds a named part to the key. On a native operation the key declares what it is ordered by.
    #[must_use]
    pub fn key<'v>(self, name: &str, value: impl Into<KeyValue<'v>>) -> Self {
        let value = value.into();
        self.edit_key(|key| key.push(name, &value))
    }

    /// Sets the whole key: a bare string (the store's single key attribute), a [`Key`], or an array of named parts.
    #[must_use]
    #[inline]
    pub fn at(mut self, key: impl Into<Key>) -> Self {
        if self.key_len > 0 {
            // Naming the key twice is a mistake that `check` reports as such.
            return self.edit_key(|key| key.push_bare(""));
        }
        self.set_key(key.into());
        self
    }

    fn edit_key(mut self, edit: impl FnOnce(&mut Key)) -> Self {
        let body = self.text.split_off(self.key_len);
        let mut key = Key::with_buffer(std::mem::replace(&mut self.text, body));
        edit(&mut key);
        self.set_key(key);
        self
    }

    /// Puts the key in front of the body, which is all that `text` holds.
    #[inline]
    fn set_key(&mut self, key: Key) {
        if let Err(error) = key.check() {
            self.keep(error);
        }
        let body = std::mem::replace(&mut self.text, key.into_bytes());
        self.key_len = self.text.len();
        self.text.extend_from_slice(&body);
    }

    /// Sets the document from any value that serialises to a JSON object. It is kept as serde
    /// writes it: a float that is no number becomes null, which reads as absent.
    #[must_use]
    #[inline]
    pub fn doc(mut self, document: &(impl Serialize + ?Sized)) -> Self {
        if self.begin_document() {
            self.write_body(document);
            self.check_object();
            self.check_depth();
        }
        self
    }

    /// Sets the document from JSON text, which is kept as it is.
    #[must_use]
    pub fn doc_text(mut self, json: &str) -> Self {
        if self.begin_document() {
            match strict::check_document(json) {
                Ok(()) => self.text.extend_from_slice(json.trim_ascii().as_bytes()),
                Err(error) => self.keep(error.into()),
            }
        }
        self
    }

    #[inline]
    fn begin_document(&mut self) -> bool {
        let mistake = if !self.verb.has_document() {
            format!("`{}` takes no document; leave it out", self.verb)
        } else if self.text.len() > self.key_len {
            "the document is given twice; give it once".to_owned()
        } else {
            return true;
        };
        self.keep(Error::new(ErrorKind::InvalidOperation, mistake));
        false
    }

    fn write_body(&mut self, value: &(impl Serialize + ?Sized)) {
        if self.text.is_empty() {
            // A key comes with room behind it.
            self.text.reserve(ROOM_FOR_DOCUMENT);
        }
        if let Err(error) = serde_json::to_writer(&mut self.text, value) {
            self.text.truncate(self.key_len);
            self.keep(
                Error::new(
                    ErrorKind::InvalidOperation,
                    format!("the value cannot be written as JSON: {error}"),
                )
                .with_source(error),
            );
        }
    }

    /// What can be written deeper than it can be read back is refused.
    #[inline]
    fn check_depth(&mut self) {
        if self.mistake.is_none() && strict::is_too_deep(self.body()) {
            let message = "the document is nested in more than 127 levels, which cannot be read back; make it flatter";
            self.keep(Error::new(ErrorKind::InvalidOperation, message));
        }
    }

    fn check_object(&mut self) {
        if self.mistake.is_none() && self.body().first() != Some(&b'{') {
            self.keep(Error::new(
                ErrorKind::InvalidOperation,
                "a document is a JSON object; wrap the value in one, such as `{\"value\": …}`",
            ));
        }
    }

    /// Applies the operation only if the document still has this revision.
    #[must_use]
    pub fn if_revision(mut self, revision: impl Into<Box<str>>) -> Self {
        self.options_mut().if_revision = Some(revision.into());
        self
    }

    /// Lets the document vanish after `ttl`, in whole seconds.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        if ttl.subsec_nanos() != 0 || ttl.is_zero() {
            self.keep(Error::new(
                ErrorKind::InvalidOperation,
                "a time to live is one or more whole seconds",
            ));
        }
        self.options_mut().ttl = Some(ttl);
        self
    }

    /// Sets the write's timestamp, in microseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(mut self, microseconds: i64) -> Self {
        self.options_mut().timestamp = Some(microseconds);
        self
    }

    /// Asks for the document before or after the write; [`Job::decode`](crate::Job::decode) reads it.
    #[must_use]
    pub fn returning(mut self, state: Returning) -> Self {
        self.options_mut().returning = Some(state);
        self
    }

    /// Says whether the operation may be sent twice, where you know better than the verb.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.options_mut().idempotent = Some(idempotent);
        self
    }

    fn options_mut(&mut self) -> &mut OperationOptions {
        self.options.get_or_insert_default()
    }

    /// Keeps a mistake that was made while the operation was built, for the typed constructors of
    /// backend crates: `queue` returns the first one.
    #[must_use]
    pub fn with_mistake(mut self, error: Error) -> Self {
        self.keep(error);
        self
    }

    pub(crate) fn keep(&mut self, error: Error) {
        self.mistake.get_or_insert(error);
    }

    /// The first mistake that any store would refuse, or `Ok`. `queue` calls it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOperation`] or [`ErrorKind::InvalidKey`], with what to do.
    pub fn check(&self) -> Result<()> {
        if let Some(error) = &self.mistake {
            return Err(error.clone());
        }
        let wrong = |message: String| Err(Error::new(ErrorKind::InvalidOperation, message));
        if self.verb == Verb::Native {
            let options = self.options.as_deref();
            if options.is_some_and(|all| all.if_revision.is_some() || all.returning.is_some()) {
                return wrong(
                    "a native operation says itself what it looks at and what it gives back; write that into the statement, and leave `if_revision` and `returning` out".into(),
                );
            }
            return match self.statement {
                Some(_) => Ok(()),
                None => {
                    wrong("a native operation needs a statement; use `Operation::native`".into())
                }
            };
        }
        if self.collection.is_empty() {
            return wrong(format!("`{}` needs the name of a collection", self.verb));
        }
        if self.key_len == 0 {
            return Key::new().check();
        }
        if self.verb.has_document() && self.body().is_empty() {
            return wrong(format!("`{}` needs a document; give one with `.doc(…)`", self.verb));
        }
        if let Some(options) = &self.options {
            if options.returning.is_some() && self.verb == Verb::Get {
                return wrong(
                    "`get` gives back the document by itself; leave `returning` out".into(),
                );
            }
            if options.ttl.is_some() && !self.verb.has_document() {
                return wrong(format!(
                    "`{}` writes no document that could have a time to live",
                    self.verb
                ));
            }
            if options.if_revision.is_some()
                && !matches!(
                    self.verb,
                    Verb::Replace | Verb::Update | Verb::DeleteExisting | Verb::Get
                )
            {
                return wrong(format!(
                    "`{}` does not look at what is there; use `replace`, `update` or `delete_existing` with a revision",
                    self.verb
                ));
            }
        }
        Ok(())
    }

    /// The operation as a backend reads it in a queue of its own, where its place and its shape
    /// are 0: for tests of encoders.
    #[must_use]
    pub fn as_ref(&self) -> OperationRef<'_> {
        OperationRef {
            index: 0,
            verb: self.verb,
            collection: &self.collection,
            shape: 0,
            key: self.key_parts(),
            body: self.body(),
            statement: self.statement.as_ref(),
            options: self.options(),
        }
    }

    /// What the operation does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// The collection's name; empty for a native operation that names none.
    #[must_use]
    pub fn collection_name(&self) -> &str {
        &self.collection
    }

    /// The key; empty for a native operation that declares none.
    #[must_use]
    pub fn key_parts(&self) -> KeyRef<'_> {
        KeyRef::from_bytes(self.text.get(..self.key_len).unwrap_or_default())
    }

    /// The document's JSON text, or a native statement's values; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.text.get(self.key_len..).unwrap_or_default()
    }

    /// The options that were set.
    #[must_use]
    pub fn options(&self) -> &OperationOptions {
        self.options.as_deref().unwrap_or(OperationOptions::NONE)
    }

    /// The statement of a native operation.
    #[must_use]
    pub fn statement(&self) -> Option<&Arc<dyn NativeStatement>> {
        self.statement.as_ref()
    }

    /// The bytes of key and body together: what size limits count.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Operation");
        out.field("verb", &self.verb);
        if !self.collection.is_empty() {
            out.field("collection", &self.collection);
        }
        if self.key_len > 0 {
            out.field("key", &self.key_parts());
        }
        if let Some(statement) = &self.statement {
            out.field("statement", statement);
        }
        out.field("bytes", &self.body().len());
        if let Some(options) = &self.options {
            out.field("options", options);
        }
        if let Some(mistake) = &self.mistake {
            out.field("mistake", mistake);
        }
        out.finish()
    }
}
