//! Which way each operation travels.

use batch_core::{
    Error, ErrorKind, Guarantee, OnError, OperationRef, Result, Returning, Verb,
    seam::{KeyId, Mechanism, MechanismId, Pooled, Repeats, Route, Routes, Terms, View},
};

use crate::{
    encode::{self, Form, LONGEST_HEAD},
    multipart::{ENVELOPE_OVERHEAD, PART_OVERHEAD},
    server::Facts,
    statement::{Native, RequestOf},
};

/// The names of the mechanisms, in plans, reports and errors.
pub(crate) const ARRAY: &str = "array call";
pub(crate) const MULTIPART: &str = "multipart call";
pub(crate) const TRANSACTION: &str = "stream transaction";
pub(crate) const SINGLE: &str = "single request";

/// The most operations of a call: more gain nothing, and their answers are judged in one go.
pub(crate) const MOST_OPERATIONS: usize = 1000;
/// The most bytes of a call, below the size that `arangoimport` takes by default since 3.12.4,
/// because servers ran out of memory above it.
pub(crate) const MOST_BYTES: usize = 4 << 20;
/// The most bytes of a request: the server's own limit is 1 GiB, its headers included.
pub(crate) const LARGEST_REQUEST: usize = (1 << 30) - (1 << 20);
/// Groups of fewer operations travel together in a multipart call, where there is one.
const SMALL_GROUP: u32 = 16;

pub(crate) struct Router<'a> {
    pub(crate) facts: &'a Facts,
    /// Whether a transaction over several shards will do.
    pub(crate) accepts_sharded: bool,
    /// Of a request's body.
    pub(crate) most_bytes: usize,
}

/// The ways of one batch.
struct Ways {
    main: MechanismId,
    single: MechanismId,
}

impl Router<'_> {
    pub(crate) fn route(
        &self,
        operations: View<'_>,
        terms: Terms,
        routes: &mut Routes,
    ) -> Result<()> {
        let ways = self.ways(terms.guarantee, routes)?;
        let whole = matches!(terms.guarantee, Guarantee::AllOrNothing { .. });
        for operation in operations.iter() {
            match self.route_one(operation, terms.guarantee, &ways) {
                Ok(route) => routes.push(route),
                Err(error) => routes.refuse(error),
            }
        }
        if whole && operations.is_last() && operations.len() == 1 && routes.iter().count() == 1 {
            // One request is applied whole by itself.
            let mut alone = self.single();
            alone.atomic = true;
            if !routes.iter().any(|(_, route)| route.bytes as usize > self.most_bytes) {
                let first = operations.iter().next();
                if first.is_some_and(|operation| is_whole_alone(operation)) {
                    routes.replace(ways.main, alone);
                }
            }
        }
        Ok(())
    }

    fn ways(&self, guarantee: Guarantee, routes: &mut Routes) -> Result<Ways> {
        let single_id = routes.mechanism(self.single());
        let main = match guarantee {
            Guarantee::AllOrNothing { .. } => {
                if !self.facts.has_whole_transactions() && !self.accepts_sharded {
                    return Err(sharded());
                }
                let mut mechanism = Mechanism::new(TRANSACTION);
                mechanism.max_bytes = self.facts.transaction_bytes();
                mechanism.exact_bytes = false;
                mechanism.repeats = Repeats::Together;
                mechanism.atomic = true;
                routes.mechanism(mechanism)
            }
            // A call runs on after a failure.
            Guarantee::Ordered { on_error: OnError::Stop } => single_id,
            Guarantee::Ordered { .. } if self.facts.multipart => routes.mechanism(self.multipart()),
            Guarantee::Ordered { .. } if !self.facts.writes_arrays_at_once() => single_id,
            Guarantee::Ordered { .. } => {
                let mut array = self.call(ARRAY);
                array.alone = Some(single_id);
                routes.mechanism(array)
            }
            _ => {
                let mut array = self.call(ARRAY);
                array.alone = Some(single_id);
                array.pooled = self.pooled(routes);
                routes.mechanism(array)
            }
        };
        let single = match guarantee {
            Guarantee::AllOrNothing { .. } => main,
            Guarantee::BestEffort if self.facts.multipart => {
                let mut lone = self.single();
                lone.pooled = self.pooled(routes);
                routes.mechanism(lone)
            }
            _ => single_id,
        };
        Ok(Ways { main, single })
    }

    fn pooled(&self, routes: &mut Routes) -> Option<Pooled> {
        if !self.facts.multipart {
            return None;
        }
        let multipart = routes.mechanism(self.multipart());
        Some(Pooled::new(multipart, u32::MAX, SMALL_GROUP))
    }

    fn route_one(
        &self,
        operation: OperationRef<'_>,
        guarantee: Guarantee,
        ways: &Ways,
    ) -> Result<Route> {
        // What cannot be encoded is known now, so that no plan has it.
        encode::check(operation)?;
        let path = if self.facts.multipart { encode::path_size(operation) } else { 0 };
        let size = encode::size(operation) + path;
        let bytes = u32::try_from(size).unwrap_or(u32::MAX);
        let key = KeyId::of_string_forms(operation.collection, operation.key);
        let alone = u64::from(operation.index) | 1 << 63;
        let form = Form::of(operation);
        match guarantee {
            Guarantee::AllOrNothing { .. } => {
                can_be_in_a_transaction(operation)?;
                Ok(Route::new(ways.main, 0, key, bytes))
            }
            Guarantee::Ordered { on_error: OnError::Continue }
                if self.facts.multipart && size <= self.call_bytes() =>
            {
                Ok(Route::new(ways.main, 0, key, bytes))
            }
            _ => match form {
                Some(form) if size <= self.call_bytes() => {
                    Ok(Route::new(ways.main, group_of(operation, form), key, bytes))
                }
                _ => Ok(Route::new(ways.single, alone, key, bytes)),
            },
        }
    }

    fn call_bytes(&self) -> usize {
        MOST_BYTES.min(self.most_bytes)
    }

    fn call(&self, name: &'static str) -> Mechanism {
        let mut mechanism = Mechanism::new(name);
        mechanism.max_operations = MOST_OPERATIONS;
        mechanism.max_bytes = self.call_bytes();
        // The brackets of the array.
        mechanism.overhead = 2;
        mechanism.exact_bytes = false;
        mechanism
    }

    fn multipart(&self) -> Mechanism {
        let mut mechanism = self.call(MULTIPART);
        mechanism.overhead = u32::try_from(ENVELOPE_OVERHEAD).unwrap_or(u32::MAX);
        // Neighbours may share a part, which takes less.
        mechanism.per_operation = u32::try_from(PART_OVERHEAD + LONGEST_HEAD).unwrap_or(u32::MAX);
        mechanism
    }

    fn single(&self) -> Mechanism {
        let mut mechanism = Mechanism::new(SINGLE);
        mechanism.max_operations = 1;
        mechanism.max_bytes = self.most_bytes;
        mechanism.exact_bytes = false;
        mechanism
    }
}

/// Operations share an array call if their verb, their collection and their options are the same.
fn group_of(operation: OperationRef<'_>, form: Form) -> u64 {
    let returning = match form.returning {
        None => 0,
        Some(Returning::New) => 1,
        Some(Returning::Old) => 2,
    };
    u64::from(operation.shape) << 3 | returning << 1 | u64::from(form.has_revision)
}

fn sharded() -> Error {
    let message = "an all-or-nothing batch is not possible here: a transaction over several shards is not undone as a whole when a server fails; use a OneShard database, or accept it by `ArangoBuilder::accept_sharded_transactions`";
    Error::new(ErrorKind::Unsupported, message)
}

fn can_be_in_a_transaction(operation: OperationRef<'_>) -> Result<()> {
    let Some(statement) = operation.statement else { return Ok(()) };
    match Native::of(statement)? {
        Native::Request(request) if request.of == RequestOf::Indexes => {
            let message =
                "an index cannot be made in a transaction; send the request in a batch of its own";
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        _ => Ok(()),
    }
}

/// Whether one request with this operation is applied whole or not at all: a query may be
/// committed in between, if it is large, and a request may have an array.
fn is_whole_alone(operation: OperationRef<'_>) -> bool {
    operation.verb != Verb::Native
}
