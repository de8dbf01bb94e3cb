//! The shapes in which operations travel, and what each operation does.

use std::{collections::BTreeMap, fmt};

use arango_emulator::Rule;
use batch_arango::ArangoQuery;
use batch_core::{Guarantee, OnError, Operation, Outcome, Verb};
use serde_json::{Value, json};

use crate::world::numbered;

/// The number that a document has before.
const OLD: i64 = 1;
/// The number that an operation writes.
const NEW: i64 = 2;

/// How a chunk travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One verb in an array call.
    Array(What),
    /// One operation in a request of its own.
    Single(What),
    /// One after another, each a request, until one fails.
    Singles,
    /// All verbs in one multipart call, in order.
    Multipart,
    /// Few operations of each verb, which may be repeated all, in a multipart call.
    MultipartOfRepeatable,
    /// All verbs in a stream transaction.
    Transaction,
}
use Shape::{Array, Multipart, MultipartOfRepeatable, Single, Singles, Transaction};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Verb(Verb),
    /// A query that writes a document of one key.
    Query,
}

const fn verb(verb: Verb) -> What {
    What::Verb(verb)
}

const PUT: What = verb(Verb::Put);
const UPSERT: What = verb(Verb::Upsert);
const INSERT: What = verb(Verb::Insert);
const UPDATE: What = verb(Verb::Update);
const DELETE: What = verb(Verb::Delete);
const GET: What = verb(Verb::Get);
const EACH: [What; 7] = [INSERT, PUT, UPDATE, DELETE, GET, UPSERT, What::Query];
const REPEATABLE: [What; 4] = [PUT, DELETE, GET, UPSERT];

impl Shape {
    pub(crate) const ARRAYS: [Self; 5] =
        [Array(INSERT), Array(PUT), Array(UPDATE), Array(DELETE), Array(GET)];
    pub(crate) const SINGLES: [Self; 7] = [
        Single(INSERT),
        Single(PUT),
        Single(UPDATE),
        Single(DELETE),
        Single(GET),
        Single(What::Query),
        Singles,
    ];
    pub(crate) const MULTIPARTS: [Self; 2] = [Multipart, MultipartOfRepeatable];

    /// All but the transaction, whose requests have each their own way to fail.
    pub(crate) fn direct() -> impl Iterator<Item = Self> {
        let all = Self::ARRAYS.into_iter().chain(Self::SINGLES);
        all.chain(Self::MULTIPARTS)
    }

    /// The release that has it.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Multipart | MultipartOfRepeatable => "3.11.14",
            Array(_) | Single(_) | Singles | Transaction => "3.12.10",
        }
    }

    pub(crate) fn guarantee(self) -> Guarantee {
        match self {
            Array(_) | Single(_) | MultipartOfRepeatable => Guarantee::BestEffort,
            Singles => Guarantee::Ordered { on_error: OnError::Stop },
            Multipart => Guarantee::Ordered { on_error: OnError::Continue },
            Transaction => Guarantee::AllOrNothing { isolated: true },
        }
    }

    pub(crate) fn mechanism(self) -> &'static str {
        match self {
            Array(_) => "array call",
            Single(_) | Singles => "single request",
            Multipart | MultipartOfRepeatable => "multipart call",
            Transaction => "stream transaction",
        }
    }

    /// Whom a fault is for: the requests with the operations, not those that the store asks.
    pub(crate) fn aim(self, rule: Rule) -> Rule {
        match self {
            Multipart | MultipartOfRepeatable => rule.method("POST").path("/_api/batch"),
            Single(What::Query) => rule.path("/_api/cursor"),
            Array(_) | Single(_) | Singles | Transaction => rule.path("/_api/document/"),
        }
    }

    fn whats(self) -> Vec<What> {
        match self {
            Array(what) => vec![what; 4],
            Single(what) => vec![what],
            MultipartOfRepeatable => REPEATABLE.into(),
            Singles | Multipart | Transaction => EACH.into(),
        }
    }

    fn expected(self) -> impl Iterator<Item = Expected> {
        let whats = self.whats().into_iter().enumerate();
        whats.map(|(place, what)| Expected { what, key: format!("k{place}") })
    }

    /// The documents that are there before.
    pub(crate) fn before(self) -> impl Iterator<Item = Value> {
        let there = self.expected().filter(|expected| expected.before().is_some());
        there.map(|expected| numbered(&expected.key, OLD))
    }

    pub(crate) fn operations(
        self,
        collection: &str,
    ) -> impl Iterator<Item = (Operation, Expected)> {
        let collection = collection.to_owned();
        self.expected().map(move |expected| (expected.operation(&collection), expected))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |what: &What| match what {
            What::Verb(verb) => verb.as_str(),
            What::Query => "aql",
        };
        match self {
            Array(what) => write!(f, "array_of_{}", name(what)),
            Single(what) => write!(f, "single_{}", name(what)),
            Singles => f.write_str("singles"),
            Multipart => f.write_str("multipart"),
            MultipartOfRepeatable => f.write_str("multipart_of_repeatable"),
            Transaction => f.write_str("transaction"),
        }
    }
}

/// An operation on a key of its own, and what would bear it out.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    what: What,
    key: String,
}

impl Expected {
    fn operation(&self, collection: &str) -> Operation {
        let key = &*self.key;
        match self.what {
            What::Query => {
                let query = "INSERT {_key: @key, number: @number} INTO @@things RETURN NEW._key";
                let bind = json!({"key": key, "number": NEW, "@things": collection});
                ArangoQuery::new(query).bind(&bind)
            }
            What::Verb(verb) => {
                let operation = Operation::on(verb, collection.to_owned()).at(key);
                if verb.has_document() { operation.doc(&json!({"number": NEW})) } else { operation }
            }
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    fn before(&self) -> Option<i64> {
        let is_new = matches!(self.what, INSERT | What::Query);
        (!is_new).then_some(OLD)
    }

    fn after(&self) -> Option<i64> {
        match self.what {
            DELETE => None,
            GET => Some(OLD),
            _ => Some(NEW),
        }
    }

    pub(crate) fn writes(&self) -> bool {
        self.what != GET
    }

    /// Whether it may be sent again after it was, perhaps, carried out.
    pub(crate) fn is_repeatable(&self) -> bool {
        matches!(self.what, What::Verb(verb) if verb.is_idempotent())
    }

    pub(crate) fn number(&self, found: &BTreeMap<String, i64>) -> Option<i64> {
        found.get(&self.key).copied()
    }

    pub(crate) fn is_done(&self, found: &BTreeMap<String, i64>) -> bool {
        self.number(found) == self.after()
    }

    pub(crate) fn is_undone(&self, found: &BTreeMap<String, i64>) -> bool {
        self.number(found) == self.before()
    }

    /// Whether an outcome is about this operation.
    pub(crate) fn is_told(&self, outcome: &Outcome) -> bool {
        let told: Option<Value> = serde_json::from_slice(outcome.json()).ok();
        match self.what {
            DELETE => true,
            What::Query => told == Some(json!([self.key])),
            GET => told.is_some_and(|it| it["_key"] == *self.key && it["number"] == OLD),
            What::Verb(_) => told.is_some_and(|it| it["_key"] == *self.key),
        }
    }
}
