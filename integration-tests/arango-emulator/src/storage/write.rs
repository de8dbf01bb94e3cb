//! Insert, update, replace and remove, with all their options.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    collection::Kind,
    data::Document,
    keys::is_key,
    scope::{Scope, Store},
};
use crate::errors::Failure;

/// What an insert does where there is a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overwrite {
    #[default]
    Conflict,
    Ignore,
    Replace,
    Update,
}

/// Whether a document is changed or becomes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modify {
    Update,
    Replace,
}

/// The options of a write.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) wait_for_sync: bool,
    pub(crate) return_old: bool,
    pub(crate) return_new: bool,
    pub(crate) silent: bool,
    pub(crate) overwrite: Overwrite,
    pub(crate) keep_null: bool,
    pub(crate) merge_objects: bool,
    pub(crate) ignore_revs: bool,
    pub(crate) version_attribute: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait_for_sync: false,
            return_old: false,
            return_new: false,
            silent: false,
            overwrite: Overwrite::Conflict,
            keep_null: true,
            merge_objects: true,
            ignore_revs: true,
            version_attribute: None,
        }
    }
}

/// What a write did.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// What is there now, or what was removed.
    pub(crate) document: Arc<Document>,
    pub(crate) old: Option<Arc<Document>>,
    pub(crate) removed: bool,
    /// By `overwriteMode=ignore`: there was a document, and it stays.
    pub(crate) ignored: bool,
}

impl Written {
    /// The write as its answer shows it.
    pub(crate) fn show(&self, collection: &str, options: &Options) -> Map<String, Value> {
        let mut shown = self.document.head(collection);
        if let (Some(old), false) = (&self.old, self.removed || self.ignored) {
            shown.insert("_oldRev".into(), old.rev().into());
        }
        if options.return_old
            && let (Some(old), false) = (&self.old, self.ignored)
        {
            shown.insert("old".into(), old.show(collection).into());
        }
        if options.return_new && !self.removed {
            let new = match self.ignored {
                true => Value::Null,
                false => self.document.show(collection).into(),
            };
            shown.insert("new".into(), new);
        }
        shown
    }
}

impl Store {
    /// Inserts, or does what `overwrite` says where the key is taken.
    pub(crate) fn insert(
        &mut self,
        scope: &Scope,
        id: u64,
        body: &Value,
        options: &Options,
    ) -> Result<Written, Failure> {
        let Value::Object(given) = body else { return Err(Failure::new(1227)) };
        let collection = self
            .databases
            .get_mut(&scope.database)
            .and_then(|database| database.by_id_mut(id))
            .ok_or_else(|| Failure::new(1203))?;
        let kind = collection.kind;
        if kind == Kind::Edge {
            check_edge(given)?;
        }
        let key: Arc<str> = match given.get("_key") {
            Some(Value::String(key)) => {
                collection.keys.accept(key)?;
                key.as_str().into()
            }
            Some(_) => return Err(Failure::new(1221)),
            None => collection.keys.make(&mut self.clock).into(),
        };
        let Some(old) = self.document(scope, id, &key)? else {
            let document = self.document_of(key, strip(given, kind));
            self.store(scope, id, &document)?;
            return Ok(Written { document, old: None, removed: false, ignored: false });
        };
        match options.overwrite {
            Overwrite::Conflict => {
                // The key is locked before the index is read: another transaction comes first.
                Err(Failure::new(1210).about(format_args!(
                    " - in index primary of type primary over '_key'; conflicting key: {key}"
                )))
            }
            Overwrite::Ignore => Ok(Written {
                document: Arc::clone(&old),
                old: Some(old),
                removed: false,
                ignored: true,
            }),
            Overwrite::Replace => self.overwrite(scope, id, old, given, Modify::Replace, options),
            Overwrite::Update => self.overwrite(scope, id, old, given, Modify::Update, options),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "where, what and how, as the request says it")]
    /// Updates or replaces the document at `key`, if it is there and has the revision.
    pub(crate) fn modify(
        &mut self,
        scope: &Scope,
        id: u64,
        key: &str,
        body: &Map<String, Value>,
        revision: Option<&str>,
        way: Modify,
        options: &Options,
    ) -> Result<Written, Failure> {
        let old = self.existing(scope, id, key, revision)?;
        self.overwrite(scope, id, old, body, way, options)
    }

    /// Removes the document at `key`, if it is there and has the revision.
    pub(crate) fn remove(
        &mut self,
        scope: &Scope,
        id: u64,
        key: &str,
        revision: Option<&str>,
    ) -> Result<Written, Failure> {
        let old = self.existing(scope, id, key, revision)?;
        self.transactions.weigh(scope, key.len() + 50)?;
        self.change(scope, id, key, None)?;
        let document = Arc::clone(&old);
        Ok(Written { document, old: Some(old), removed: true, ignored: false })
    }

    /// The document at `key`, which must be there and have the revision.
    pub(crate) fn existing(
        &self,
        scope: &Scope,
        id: u64,
        key: &str,
        revision: Option<&str>,
    ) -> Result<Arc<Document>, Failure> {
        let found = self.document(scope, id, key)?.ok_or_else(|| Failure::new(1202))?;
        if revision.is_some_and(|revision| revision != found.rev()) {
            let stored = found.head(&self.collection(scope, id)?.name);
            return Err(Failure {
                stored: Some(stored),
                ..Failure::new(1200).status(412).says("conflict, _rev values do not match")
            });
        }
        Ok(found)
    }

    fn overwrite(
        &mut self,
        scope: &Scope,
        id: u64,
        old: Arc<Document>,
        given: &Map<String, Value>,
        way: Modify,
        options: &Options,
    ) -> Result<Written, Failure> {
        let kind = self.collection(scope, id)?.kind;
        if let Some(attribute) = &options.version_attribute
            && let Some(new) = given.get(attribute).and_then(Value::as_u64)
            && old.body.get(attribute).and_then(Value::as_u64).is_some_and(|old| new <= old)
        {
            let document = Arc::clone(&old);
            return Ok(Written { document, old: Some(old), removed: false, ignored: false });
        }
        let body = match way {
            Modify::Replace => strip(given, kind),
            Modify::Update => {
                let mut body = old.body.clone();
                merge(&mut body, &strip(given, kind), options.keep_null, options.merge_objects);
                body
            }
        };
        if kind == Kind::Edge {
            check_edge(&body)?;
        }
        let document = self.document_of(Arc::clone(&old.key), body);
        self.store(scope, id, &document)?;
        Ok(Written { document, old: Some(old), removed: false, ignored: false })
    }

    fn document_of(&mut self, key: Arc<str>, body: Map<String, Value>) -> Arc<Document> {
        let bytes = 50 + key.len() + weight(&body);
        Arc::new(Document { key, revision: self.clock.revision(), body, bytes })
    }

    fn store(&mut self, scope: &Scope, id: u64, document: &Arc<Document>) -> Result<(), Failure> {
        self.transactions.weigh(scope, document.bytes)?;
        self.change(scope, id, &document.key, Some(Arc::clone(document)))
    }
}

/// What is stored of what is given: without what the server keeps itself.
fn strip(given: &Map<String, Value>, kind: Kind) -> Map<String, Value> {
    let kept = |name: &str| match name {
        "_id" | "_key" | "_rev" => false,
        "_from" | "_to" => kind == Kind::Edge,
        _ => true,
    };
    given.iter().filter(|(name, _)| kept(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// An edge leads from a document to a document, both by id.
fn check_edge(body: &Map<String, Value>) -> Result<(), Failure> {
    let is_id = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .and_then(|id| id.split_once('/'))
            .is_some_and(|(collection, key)| !collection.is_empty() && is_key(key))
    };
    if is_id(body.get("_from")) && is_id(body.get("_to")) {
        Ok(())
    } else {
        Err(Failure::new(1233))
    }
}

/// Merges a patch into a document.
fn merge(into: &mut Map<String, Value>, patch: &Map<String, Value>, keep_null: bool, deep: bool) {
    for (name, value) in patch {
        match (into.get_mut(name), value) {
            (_, Value::Null) if !keep_null => {
                into.remove(name);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) if deep => {
                merge(inner, patch, keep_null, deep);
            }
            (_, Value::Object(patch)) if !keep_null => {
                let mut inner = Map::new();
                merge(&mut inner, patch, keep_null, deep);
                into.insert(name.clone(), inner.into());
            }
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

/// About the bytes of a document in the storage engine.
fn weight(body: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(_) => 1,
            Value::Number(_) => 9,
            Value::String(text) => text.len() + 2,
            Value::Array(items) => items.iter().map(of).sum::<usize>() + 3,
            Value::Object(map) => weight(map) + 3,
        }
    }
    body.iter().map(|(name, value)| name.len() + 1 + of(value)).sum()
}
