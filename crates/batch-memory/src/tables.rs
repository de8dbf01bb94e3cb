//! The documents themselves, and what each verb does to one.

use std::collections::{BTreeMap, HashMap};

use batch_core::{Error, ErrorKind, Result, Returning, Verb};
use bytes::Bytes;

use crate::encode::{Attributes, Change, REVISION};

#[derive(Clone, Debug)]
pub(crate) struct Document {
    attributes: Attributes,
    revision: u64,
    /// Microseconds since the Unix epoch.
    expires: Option<i64>,
}

impl Document {
    fn is_alive(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// The document's JSON text, with its revision if that is asked for.
    pub(crate) fn json(&self, with_revision: bool) -> Result<Vec<u8>> {
        let mut attributes = self.attributes.clone();
        if with_revision {
            attributes.insert(REVISION.to_owned(), raw(&self.revision.to_string())?);
        }
        serde_json::to_vec(&attributes).map_err(|error| unwritable(&error))
    }
}

fn raw(text: &str) -> Result<Box<serde_json::value::RawValue>> {
    serde_json::value::to_raw_value(text).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Store, format!("the stored document cannot be written: {error}"))
}

/// What was there before, to be put back.
#[derive(Debug, Default)]
pub(crate) struct Undo(Vec<(String, String, Option<Document>)>);

/// All collections of a store.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    collections: HashMap<String, BTreeMap<String, Document>>,
    last_revision: u64,
}

impl Tables {
    fn alive(&self, collection: &str, identity: &str, now: i64) -> Option<&Document> {
        let document = self.collections.get(collection)?.get(identity)?;
        document.is_alive(now).then_some(document)
    }

    pub(crate) fn read(&self, collection: &str, identity: &str, now: i64) -> Result<Option<Bytes>> {
        let document = self.alive(collection, identity, now);
        document.map(|document| document.json(true).map(Bytes::from)).transpose()
    }

    pub(crate) fn document(&self, collection: &str, identity: &str, now: i64) -> Option<&Document> {
        self.alive(collection, identity, now)
    }

    pub(crate) fn list(
        &self,
        collection: &str,
        now: i64,
    ) -> impl Iterator<Item = (&str, &Document)> {
        let all = self.collections.get(collection).into_iter().flatten();
        all.filter(move |(_, document)| document.is_alive(now))
            .map(|(identity, document)| (identity.as_str(), document))
    }

    pub(crate) fn collections(&self) -> impl Iterator<Item = &str> {
        self.collections.keys().map(String::as_str)
    }

    pub(crate) fn clear(&mut self) {
        self.collections.clear();
    }

    pub(crate) fn drop_collection(&mut self, collection: &str) {
        self.collections.remove(collection);
    }

    /// Carries out one operation and answers with JSON text.
    #[expect(clippy::needless_pass_by_value, reason = "an optional `&mut` is taken, not shared")]
    pub(crate) fn apply(
        &mut self,
        change: Change,
        now: i64,
        undo: Option<&mut Undo>,
    ) -> Result<Bytes> {
        let before = self.alive(&change.collection, &change.identity, now);
        check(&change, before)?;
        if change.verb == Verb::Get {
            return match before {
                Some(document) => document.json(true).map(Bytes::from),
                None => Err(not_found()),
            };
        }
        let before = before.cloned();
        let after = match change.verb {
            Verb::Delete | Verb::DeleteExisting => None,
            _ => {
                self.last_revision += 1;
                let revision = self.last_revision;
                let lifetime = |ttl: std::time::Duration| {
                    now.saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX))
                };
                let mut attributes = match (change.verb, &before) {
                    (Verb::Upsert | Verb::Update, Some(before)) => before.attributes.clone(),
                    _ => Attributes::new(),
                };
                attributes.extend(change.attributes);
                // Null and absent read the same.
                attributes.retain(|_, value| value.get() != "null");
                let kept = match change.verb {
                    Verb::Upsert | Verb::Update => before.as_ref().and_then(|d| d.expires),
                    _ => None,
                };
                Some(Document { attributes, revision, expires: change.ttl.map(lifetime).or(kept) })
            }
        };
        let answer = answer(change.returning, before.as_ref(), after.as_ref())?;
        if let Some(Undo(list)) = undo {
            list.push((change.collection.clone(), change.identity.clone(), before));
        }
        self.set(change.collection, change.identity, after);
        Ok(answer)
    }

    fn set(&mut self, collection: String, identity: String, document: Option<Document>) {
        let documents = self.collections.entry(collection).or_default();
        match document {
            Some(document) => {
                documents.insert(identity, document);
            }
            None => {
                documents.remove(&identity);
            }
        }
    }

    /// Puts back what was there, last change first.
    pub(crate) fn roll_back(&mut self, Undo(list): Undo) {
        for (collection, identity, document) in list.into_iter().rev() {
            self.set(collection, identity, document);
        }
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "no document has this key; use `put` or `upsert` to create one")
}

/// The verb's condition, and the revision's.
fn check(change: &Change, before: Option<&Document>) -> Result<()> {
    match (change.verb, before) {
        (Verb::Insert, Some(_)) => {
            let message = "the key is taken; use `put` or `upsert` to overwrite";
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        (Verb::Replace | Verb::Update | Verb::DeleteExisting, None) => return Err(not_found()),
        _ => {}
    }
    if let (Some(wanted), Some(before)) = (&change.if_revision, before)
        && **wanted != *before.revision.to_string()
    {
        let message = format!(
            "the document has revision {}, not {wanted}; read it again and decide anew",
            before.revision
        );
        return Err(Error::new(ErrorKind::ConditionFailed, message));
    }
    Ok(())
}

/// What a write answers: the new revision, and the documents that were asked for.
fn answer(
    returning: Option<Returning>,
    before: Option<&Document>,
    after: Option<&Document>,
) -> Result<Bytes> {
    let mut fields = Attributes::new();
    if let Some(after) = after {
        fields.insert(REVISION.to_owned(), raw(&after.revision.to_string())?);
    }
    let wanted = match returning {
        None => None,
        Some(Returning::New) => Some(("new", after)),
        Some(Returning::Old) => Some(("old", before)),
    };
    if let Some((name, Some(document))) = wanted {
        let text = String::from_utf8(document.json(true)?)
            .map_err(|error| Error::new(ErrorKind::Store, error.to_string()))?;
        let text = serde_json::value::RawValue::from_string(text).map_err(|e| unwritable(&e))?;
        fields.insert(name.to_owned(), text);
    }
    if fields.is_empty() {
        return Ok(Bytes::new());
    }
    serde_json::to_vec(&fields).map(Bytes::from).map_err(|error| unwritable(&error))
}
