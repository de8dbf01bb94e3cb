//! A database: its collections by id and by name, and its graphs.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{clock::Clock, collection::Collection, data::Data};
use crate::errors::Failure;

/// A named graph, as its definition was given.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) name: String,
    pub(crate) rev: String,
    /// `collection`, `from` and `to` of each.
    pub(crate) edges: Vec<Value>,
    pub(crate) orphans: Vec<String>,
    pub(crate) options: Value,
}

/// A database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) options: Value,
    pub(crate) graphs: BTreeMap<String, Graph>,
    collections: BTreeMap<u64, Collection>,
    names: BTreeMap<String, u64>,
}

/// What every database starts with.
const SYSTEM: [&str; 8] = [
    "_analyzers",
    "_appbundles",
    "_apps",
    "_aqlfunctions",
    "_frontend",
    "_graphs",
    "_jobs",
    "_queues",
];

impl Database {
    /// With its system collections.
    pub(crate) fn new(
        name: &str,
        id: u64,
        options: Value,
        clock: &mut Clock,
    ) -> Result<Self, Failure> {
        let mut database = Self {
            id,
            name: name.to_owned(),
            options,
            graphs: BTreeMap::new(),
            collections: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        let more: &[&str] = if name == "_system" { &["_users", "_statistics"] } else { &[] };
        for name in SYSTEM.iter().chain(more) {
            database.create(&json!({"name": name, "isSystem": true}), clock)?;
        }
        Ok(database)
    }

    pub(crate) fn create(
        &mut self,
        options: &Value,
        clock: &mut Clock,
    ) -> Result<&Collection, Failure> {
        let collection = Collection::new(options, clock)?;
        if self.names.contains_key(&collection.name) {
            return Err(Failure::new(1207));
        }
        let id = collection.id;
        self.names.insert(collection.name.clone(), id);
        Ok(self.collections.entry(id).or_insert(collection))
    }

    /// By name, or by id.
    pub(crate) fn find(&self, name: &str) -> Option<&Collection> {
        let id = self.names.get(name).copied().or_else(|| name.parse().ok())?;
        self.collections.get(&id)
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Collection> {
        self.collections.get(&id)
    }

    pub(crate) fn by_id_mut(&mut self, id: u64) -> Option<&mut Collection> {
        self.collections.get_mut(&id)
    }

    pub(crate) fn drop_collection(&mut self, id: u64) {
        if let Some(collection) = self.collections.remove(&id) {
            self.names.remove(&collection.name);
        }
    }

    pub(crate) fn rename(&mut self, id: u64, name: &str) -> Result<(), Failure> {
        if self.names.contains_key(name) {
            return Err(Failure::new(1207));
        }
        if let Some(collection) = self.collections.get_mut(&id) {
            super::collection::check_name(name, collection.system)?;
            self.names.remove(&collection.name);
            name.clone_into(&mut collection.name);
            self.names.insert(name.to_owned(), id);
        }
        Ok(())
    }

    pub(crate) fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.names.values().filter_map(|id| self.collections.get(id))
    }
}

impl Database {
    /// Every collection's documents, as they are now.
    pub(crate) fn all(&self) -> Vec<(u64, Arc<Data>)> {
        self.collections.iter().map(|(id, c)| (*id, Arc::clone(&c.data))).collect()
    }
}
