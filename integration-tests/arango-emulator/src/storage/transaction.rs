//! Stream transactions: a snapshot, what was written over it, and the locks on the keys.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    data::{Data, Document},
    database::Database,
    scope::Scope,
};
use crate::errors::Failure;

/// What a transaction may do with a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Read,
    Write,
    Exclusive,
    /// Of a request that is a transaction by itself: nothing was declared.
    Anything,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Committed,
    Aborted,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        }
    }
}

/// A transaction that runs.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) database: String,
    pub(crate) declared: BTreeMap<u64, Mode>,
    pub(crate) allow_implicit: bool,
    pub(crate) wait_for_sync: bool,
    pub(crate) ceiling: usize,
    pub(crate) stream: bool,
    snapshot: BTreeMap<u64, Arc<Data>>,
    last_used: Instant,
    writes: Writes,
}

/// What was written, so that it can be taken back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    copies: BTreeMap<u64, Arc<Data>>,
    keys: BTreeSet<(u64, Arc<str>)>,
    bytes: usize,
}

/// All transactions, and who holds which key.
#[derive(Debug)]
pub(crate) struct Transactions {
    running: BTreeMap<u64, Transaction>,
    ended: HashMap<u64, State>,
    locks: HashMap<(u64, Arc<str>), u64>,
    pub(crate) idle: Duration,
}

impl Default for Transactions {
    fn default() -> Self {
        Self {
            running: BTreeMap::new(),
            ended: HashMap::new(),
            locks: HashMap::new(),
            idle: Duration::from_secs(60),
        }
    }
}

/// What a committed transaction leaves: collection, key and document.
pub(crate) type Written = Vec<(u64, Arc<str>, Option<Arc<Document>>)>;

impl Transactions {
    /// Starts one over what `database` has now; `every` says what it may do without a declaration.
    pub(crate) fn begin(&mut self, id: u64, database: &Database, every: Mode) -> &mut Transaction {
        let all = database.all();
        let declared = match every {
            Mode::Anything => all.iter().map(|(id, _)| (*id, Mode::Anything)).collect(),
            Mode::Read | Mode::Write | Mode::Exclusive => BTreeMap::new(),
        };
        let transaction = Transaction {
            database: database.name.clone(),
            declared,
            allow_implicit: true,
            wait_for_sync: false,
            ceiling: usize::MAX,
            stream: every != Mode::Anything,
            snapshot: all.into_iter().collect(),
            last_used: Instant::now(),
            writes: Writes::default(),
        };
        self.running.entry(id).or_insert(transaction)
    }

    /// The transaction a request names, if it can be used still.
    pub(crate) fn enter(&mut self, database: &str, text: &str) -> Result<u64, Failure> {
        self.expire();
        let id =
            text.trim().parse().map_err(|_| Failure::new(10).says("invalid transaction ID"))?;
        match self.running.get_mut(&id) {
            Some(transaction) if transaction.database == database => {
                transaction.last_used = Instant::now();
                Ok(id)
            }
            _ if self.ended.get(&id) == Some(&State::Aborted) => {
                Err(Failure::new(1654).says(format!("transaction '{id}' has already been aborted")))
            }
            _ => Err(Failure::new(1655).says(format!("transaction '{id}' not found"))),
        }
    }

    /// Ends those that nobody used for longer than the idle timeout.
    pub(crate) fn expire(&mut self) {
        let now = Instant::now();
        let late = |transaction: &Transaction| {
            transaction.stream && now.duration_since(transaction.last_used) > self.idle
        };
        let ids: Vec<u64> =
            self.running.iter().filter(|(_, t)| late(t)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.abort(id));
    }

    /// Ends all, as if their idle time were over.
    pub(crate) fn expire_all(&mut self) {
        let ids: Vec<u64> = self.running.keys().copied().collect();
        ids.into_iter().for_each(|id| self.abort(id));
    }

    pub(crate) fn state(&mut self, id: u64) -> Option<State> {
        self.expire();
        if self.running.contains_key(&id) {
            return Some(State::Running);
        }
        self.ended.get(&id).copied()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (u64, &Transaction)> {
        self.running.iter().map(|(id, transaction)| (*id, transaction))
    }

    fn of(&self, scope: &Scope) -> Option<&Transaction> {
        self.running.get(&scope.transaction?)
    }

    pub(crate) fn waits_for_sync(&self, scope: &Scope) -> bool {
        self.of(scope).is_some_and(|transaction| transaction.wait_for_sync)
    }

    /// What `scope` sees of a collection; nothing special outside transactions.
    pub(crate) fn seen(&self, scope: &Scope, collection: u64) -> Option<&Arc<Data>> {
        let transaction = self.of(scope)?;
        let copy = transaction.writes.copies.get(&collection);
        copy.or_else(|| transaction.snapshot.get(&collection))
    }

    pub(crate) fn reads(&mut self, scope: &Scope, id: u64, name: &str) -> Result<(), Failure> {
        let Some(number) = scope.transaction else { return Ok(()) };
        let Some(transaction) = self.running.get_mut(&number) else {
            return Err(Failure::new(1655));
        };
        if !transaction.declared.contains_key(&id) {
            if !transaction.allow_implicit {
                return Err(undeclared(name));
            }
            transaction.declared.insert(id, Mode::Read);
        }
        Ok(())
    }

    pub(crate) fn writes(&self, scope: &Scope, id: u64, name: &str) -> Result<(), Failure> {
        let own = self.of(scope).map(|transaction| transaction.declared.get(&id));
        if matches!(own, Some(None | Some(Mode::Read))) {
            return Err(undeclared(name));
        }
        self.free_of_exclusive(id, scope.transaction)
    }

    /// Whether nobody else has the collection for itself.
    pub(crate) fn free_of_exclusive(&self, id: u64, own: Option<u64>) -> Result<(), Failure> {
        let other = self.running.iter().any(|(number, transaction)| {
            Some(*number) != own && transaction.declared.get(&id) == Some(&Mode::Exclusive)
        });
        if other { Err(Failure { waits: true, ..Failure::new(18) }) } else { Ok(()) }
    }

    /// Whether nobody else may write to the collection.
    pub(crate) fn free_of_writers(&self, id: u64) -> Result<(), Failure> {
        let other = self.running.values().any(|transaction| {
            transaction.stream && transaction.declared.get(&id) >= Some(&Mode::Write)
        });
        if other { Err(Failure { waits: true, ..Failure::new(18) }) } else { Ok(()) }
    }

    /// Locks a key, and values of unique indexes, and gives the copy to write to; outside of
    /// transactions it only looks whether they are free.
    pub(crate) fn locked(
        &mut self,
        scope: &Scope,
        collection: u64,
        key: &str,
        unique: &[(u64, String)],
        base: &Arc<Data>,
    ) -> Result<Option<&mut Arc<Data>>, Failure> {
        let values = unique.iter().map(|(index, values)| Arc::from(format!("{index}:{values}")));
        let wanted: Vec<(u64, Arc<str>)> =
            std::iter::once(Arc::from(key)).chain(values).map(|lock| (collection, lock)).collect();
        let own = scope.transaction;
        if !self.locks.is_empty()
            && wanted.iter().any(|lock| self.locks.get(lock).is_some_and(|id| Some(*id) != own))
        {
            return Err(conflict("timeout waiting to lock key", key));
        }
        let Some((number, transaction)) = own.and_then(|id| Some((id, self.running.get_mut(&id)?)))
        else {
            return Ok(None);
        };
        let first = wanted.first().is_some_and(|lock| !self.locks.contains_key(lock));
        let before = transaction.snapshot.entry(collection).or_insert_with(|| Arc::clone(base));
        let revision = |data: &Data| data.get(key).map(|document| document.revision);
        if first && revision(before) != revision(base) {
            return Err(conflict("write-write conflict", key));
        }
        let newer = |lock: &&(u64, String)| {
            let holder = base.unique.get(*lock);
            holder.is_some() && holder != before.unique.get(*lock)
        };
        if unique.iter().any(|lock| newer(&lock)) {
            return Err(conflict("write-write conflict", key));
        }
        self.locks.extend(wanted.iter().map(|lock| (lock.clone(), number)));
        transaction.writes.keys.insert((collection, Arc::from(key)));
        let before = &*before;
        Ok(Some(transaction.writes.copies.entry(collection).or_insert_with(|| Arc::clone(before))))
    }

    /// Counts what is written; a transaction over its ceiling can write no more.
    pub(crate) fn weigh(&mut self, scope: &Scope, bytes: usize) -> Result<(), Failure> {
        let Some(transaction) = scope.transaction.and_then(|id| self.running.get_mut(&id)) else {
            return Ok(());
        };
        let sum = transaction.writes.bytes.saturating_add(bytes);
        if sum > transaction.ceiling {
            return Err(Failure::new(32).says(format!(
                "aborting transaction because maximal transaction size limit of {} bytes is reached",
                transaction.ceiling
            )));
        }
        transaction.writes.bytes = sum;
        Ok(())
    }

    pub(crate) fn savepoint(&self, scope: &Scope) -> Writes {
        self.of(scope).map(|transaction| transaction.writes.clone()).unwrap_or_default()
    }

    /// What was written since the savepoint is gone; its locks stay until the transaction ends.
    pub(crate) fn restore(&mut self, scope: &Scope, writes: Writes) {
        if let Some(transaction) = scope.transaction.and_then(|id| self.running.get_mut(&id)) {
            transaction.writes = writes;
        }
    }

    /// Ends a transaction with its writes, which are the caller's to keep.
    pub(crate) fn commit(&mut self, id: u64) -> Option<(String, Written)> {
        let transaction = self.running.remove(&id)?;
        self.end(id, State::Committed);
        let copies = transaction.writes.copies;
        let written = transaction.writes.keys.into_iter().filter_map(|(collection, key)| {
            let document = copies.get(&collection)?.get(&key).cloned();
            Some((collection, key, document))
        });
        Some((transaction.database, written.collect()))
    }

    pub(crate) fn abort(&mut self, id: u64) {
        if self.running.remove(&id).is_some() {
            self.end(id, State::Aborted);
        }
    }

    fn end(&mut self, id: u64, state: State) {
        self.locks.retain(|_, holder| *holder != id);
        self.ended.insert(id, state);
    }

    /// A request that was a transaction by itself leaves no trace.
    pub(crate) fn forget(&mut self, id: u64) {
        self.ended.remove(&id);
    }
}

fn undeclared(name: &str) -> Failure {
    Failure::new(1652).about(format_args!(": {name}"))
}

fn conflict(what: &str, key: &str) -> Failure {
    Failure::new(1200).says(format!(
        "{what} - in index primary of type primary over '_key'; conflicting key: {key}"
    ))
}
