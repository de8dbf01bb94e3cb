//! The documents of a collection. A copy costs little until it is changed, so that each transaction
//! has its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{clock::revision_text, index::Index};
use crate::errors::Failure;

/// A document: what was stored, its key, and the revision that it got then.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) key: Arc<str>,
    pub(crate) revision: u64,
    /// Without `_id`, which a new name of the collection changes, `_key` and `_rev`.
    pub(crate) body: Map<String, Value>,
    pub(crate) bytes: usize,
}

impl Document {
    /// The document as the server shows it.
    pub(crate) fn show(&self, collection: &str) -> Map<String, Value> {
        let mut shown = self.body.clone();
        self.identify(collection, &mut shown);
        shown
    }

    /// `_id`, `_key` and `_rev` alone.
    pub(crate) fn head(&self, collection: &str) -> Map<String, Value> {
        let mut shown = Map::new();
        self.identify(collection, &mut shown);
        shown
    }

    pub(crate) fn rev(&self) -> String {
        revision_text(self.revision)
    }

    fn identify(&self, collection: &str, shown: &mut Map<String, Value>) {
        shown.insert("_id".into(), format!("{collection}/{}", self.key).into());
        shown.insert("_key".into(), (*self.key).into());
        shown.insert("_rev".into(), self.rev().into());
    }
}

/// Documents by key, and in the order of their revisions, which is that of the storage engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    by_key: HashMap<Arc<str>, Arc<Document>>,
    by_revision: BTreeMap<u64, Arc<Document>>,
    /// What each unique index holds: its id and the values, and the key that has them.
    pub(crate) unique: HashMap<(u64, String), Arc<str>>,
    pub(crate) last_revision: u64,
}

impl Data {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Document>> {
        self.by_key.get(key)
    }

    pub(crate) fn count(&self) -> usize {
        self.by_key.len()
    }

    /// The documents, the one that was written longest ago first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.by_revision.values()
    }

    pub(crate) fn put(&mut self, document: Arc<Document>) {
        self.last_revision = self.last_revision.max(document.revision);
        self.by_revision.insert(document.revision, Arc::clone(&document));
        if let Some(before) = self.by_key.insert(Arc::clone(&document.key), document) {
            self.by_revision.remove(&before.revision);
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Arc<Document>> {
        let before = self.by_key.remove(key)?;
        self.by_revision.remove(&before.revision);
        Some(before)
    }

    pub(crate) fn clear(&mut self) {
        let last_revision = self.last_revision;
        *self = Self { last_revision, ..Self::default() };
    }
}

impl Data {
    /// Puts `document` at `key`, or removes what is there; a unique index can refuse.
    pub(crate) fn replace(
        data: &mut Arc<Self>,
        indexes: &[Index],
        key: &str,
        document: Option<Arc<Document>>,
    ) -> Result<(), Failure> {
        for index in indexes {
            let values = document.as_deref().and_then(|document| index.unique_values(document));
            if let Some(values) = values
                && let Some(holder) = data.unique.get(&(index.id, values))
                && **holder != *key
            {
                return Err(taken(index, holder));
            }
        }
        let data = Arc::make_mut(data);
        if let Some(before) = data.get(key).cloned() {
            for index in indexes {
                if let Some(values) = index.unique_values(&before) {
                    data.unique.remove(&(index.id, values));
                }
            }
        }
        match document {
            None => {
                data.remove(key);
            }
            Some(document) => {
                for index in indexes {
                    if let Some(values) = index.unique_values(&document) {
                        data.unique.insert((index.id, values), Arc::clone(&document.key));
                    }
                }
                data.put(document);
            }
        }
        Ok(())
    }

    /// Fills a new unique index, or says which documents do not go together.
    pub(crate) fn fill(&mut self, index: &Index) -> Result<(), Failure> {
        let documents: Vec<Arc<Document>> = self.iter().cloned().collect();
        for document in documents {
            let Some(values) = index.unique_values(&document) else { continue };
            let place = self.unique.entry((index.id, values));
            if let std::collections::hash_map::Entry::Occupied(holder) = &place {
                return Err(taken(index, holder.get()));
            }
            place.insert_entry(Arc::clone(&document.key));
        }
        Ok(())
    }
}

fn taken(index: &Index, holder: &str) -> Failure {
    Failure::new(1210).about(format_args!(
        " - in index {} of type {} over '{}'; conflicting key: {holder}",
        index.name,
        index.kind,
        index.fields.join(", ")
    ))
}
