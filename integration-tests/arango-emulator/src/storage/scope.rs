//! The one store, and what a request may see and change of it: all of a database, or what a
//! transaction has.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    clock::Clock,
    collection::Collection,
    data::{Data, Document},
    database::Database,
    transaction::{Mode, Transactions},
};
use crate::errors::Failure;

/// All databases and the transactions over them.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) clock: Clock,
    pub(crate) databases: BTreeMap<String, Database>,
    pub(crate) transactions: Transactions,
    /// Keys whose next writes meet another one: collection, key, and how many.
    pub(crate) conflicts: Vec<(String, String, u32)>,
}

/// In which database a request works, and in which transaction.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) database: String,
    pub(crate) transaction: Option<u64>,
}

impl Store {
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut clock = Clock::new();
        let system = Database::new("_system", 1, json!({}), &mut clock)?;
        Ok(Self {
            clock,
            databases: BTreeMap::from([("_system".into(), system)]),
            transactions: Transactions::default(),
            conflicts: Vec::new(),
        })
    }

    pub(crate) fn create_database(&mut self, name: &str, options: Value) -> Result<(), Failure> {
        if self.databases.contains_key(name) {
            return Err(Failure::new(1207));
        }
        super::collection::check_name(name, false).map_err(|_| Failure::new(1229))?;
        let id = self.clock.tick();
        let database = Database::new(name, id, options, &mut self.clock)?;
        self.databases.insert(name.to_owned(), database);
        Ok(())
    }

    pub(crate) fn database(&self, name: &str) -> Result<&Database, Failure> {
        self.databases.get(name).ok_or_else(|| Failure::new(1228))
    }

    pub(crate) fn database_mut(&mut self, name: &str) -> Result<&mut Database, Failure> {
        self.databases.get_mut(name).ok_or_else(|| Failure::new(1228))
    }

    /// The collection of that name, or its id, for reading within `scope`.
    pub(crate) fn reading(&mut self, scope: &Scope, name: &str) -> Result<u64, Failure> {
        let id = self.known(scope, name)?.id;
        self.transactions.reads(scope, id, name)?;
        Ok(id)
    }

    /// The collection of that name, or its id, for writing within `scope`.
    pub(crate) fn writing(&self, scope: &Scope, name: &str) -> Result<u64, Failure> {
        let id = self.known(scope, name)?.id;
        self.transactions.writes(scope, id, name)?;
        Ok(id)
    }

    pub(crate) fn known(&self, scope: &Scope, name: &str) -> Result<&Collection, Failure> {
        self.database(&scope.database)?
            .find(name)
            .ok_or_else(|| Failure::new(1203).about(format_args!(": {name}")))
    }

    pub(crate) fn collection(&self, scope: &Scope, id: u64) -> Result<&Collection, Failure> {
        self.database(&scope.database)?.by_id(id).ok_or_else(|| Failure::new(1203))
    }

    pub(crate) fn collection_mut(
        &mut self,
        scope: &Scope,
        id: u64,
    ) -> Result<&mut Collection, Failure> {
        self.database_mut(&scope.database)?.by_id_mut(id).ok_or_else(|| Failure::new(1203))
    }

    /// The documents of a collection as `scope` sees them.
    pub(crate) fn data(&self, scope: &Scope, id: u64) -> Result<Arc<Data>, Failure> {
        match self.transactions.seen(scope, id) {
            Some(data) => Ok(Arc::clone(data)),
            None => Ok(Arc::clone(&self.collection(scope, id)?.data)),
        }
    }

    pub(crate) fn document(
        &self,
        scope: &Scope,
        id: u64,
        key: &str,
    ) -> Result<Option<Arc<Document>>, Failure> {
        let data = match self.transactions.seen(scope, id) {
            Some(data) => data,
            None => &self.collection(scope, id)?.data,
        };
        Ok(data.get(key).cloned())
    }

    /// Puts `document` at `key`, or removes what is there, if nobody else is at it.
    pub(crate) fn change(
        &mut self,
        scope: &Scope,
        id: u64,
        key: &str,
        document: Option<Arc<Document>>,
    ) -> Result<(), Failure> {
        self.meets_another(scope, id, key)?;
        let collection = self
            .databases
            .get_mut(&scope.database)
            .and_then(|database| database.by_id_mut(id))
            .ok_or_else(|| Failure::new(1203))?;
        let taken = document
            .iter()
            .flat_map(|document| collection.indexes.iter().map(move |index| (index, document)))
            .filter_map(|(index, document)| Some((index.id, index.unique_values(document)?)));
        let unique: Vec<(u64, String)> = taken.collect();
        let base = &mut collection.data;
        let data = self.transactions.locked(scope, id, key, &unique, base)?;
        Data::replace(data.unwrap_or(base), &collection.indexes, key, document)
    }

    /// Whether a fault was asked for: the next writes of this key find another one in their way.
    fn meets_another(&mut self, scope: &Scope, id: u64, key: &str) -> Result<(), Failure> {
        if self.conflicts.is_empty() {
            return Ok(());
        }
        let name = self.collection(scope, id)?.name.clone();
        let Some(place) = self.conflicts.iter().position(|(c, k, _)| *c == name && k == key) else {
            return Ok(());
        };
        self.conflicts[place].2 = self.conflicts[place].2.saturating_sub(1);
        if self.conflicts[place].2 == 0 {
            self.conflicts.remove(place);
        }
        Err(Failure::new(1200).says(format!("write-write conflict; key: {key}")))
    }

    /// Removes all documents of a collection.
    pub(crate) fn truncate(&mut self, scope: &Scope, id: u64) -> Result<(), Failure> {
        if scope.transaction.is_none() {
            Arc::make_mut(&mut self.collection_mut(scope, id)?.data).clear();
            return Ok(());
        }
        let data = self.data(scope, id)?;
        data.iter().try_for_each(|document| self.change(scope, id, &document.key, None))
    }

    /// Runs `work` as one: what it changed is taken back if it fails.
    pub(crate) fn as_one<T>(
        &mut self,
        scope: &Scope,
        work: impl FnOnce(&mut Self, &Scope) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if scope.transaction.is_some() {
            let before = self.transactions.savepoint(scope);
            let result = work(self, scope);
            if result.is_err() {
                self.transactions.restore(scope, before);
            }
            return result;
        }
        let id = self.clock.tick();
        let inner = Scope { database: scope.database.clone(), transaction: Some(id) };
        let database = self.databases.get(&scope.database).ok_or_else(|| Failure::new(1228))?;
        self.transactions.begin(id, database, Mode::Anything);
        let result = work(self, &inner);
        if result.is_ok() {
            self.commit(id)?;
        } else {
            self.transactions.abort(id);
        }
        self.transactions.forget(id);
        result
    }

    /// Makes a transaction's writes those of everybody.
    pub(crate) fn commit(&mut self, id: u64) -> Result<(), Failure> {
        let Some((database, written)) = self.transactions.commit(id) else {
            return Err(Failure::new(1655));
        };
        let database = self.database_mut(&database)?;
        for (collection, key, document) in written {
            // A collection that was dropped meanwhile has nothing to keep it in.
            if let Some(collection) = database.by_id_mut(collection) {
                Data::replace(&mut collection.data, &collection.indexes, &key, document)?;
            }
        }
        Ok(())
    }
}
