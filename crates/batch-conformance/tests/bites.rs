//! A store that does not keep what it declares fails, by the case that says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test crate")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use batch_conformance::prove;
use batch_core::{
    Capabilities, Error, ErrorKind, Guarantee, Key, OperationRef, Result, Server,
    seam::{Answers, Backend, Chunk, KeyId, Mechanism, Route, Routes, Terms, View},
};
use batch_memory::{Fault, Faults, Instrumented};
use bytes::Bytes;
use support::{Around, Subject, as_it_is, case};

/// What a backend says or does that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Says that it is done, and does nothing.
    DoesNothing,
    /// Does it, and says that it is refused.
    DeniesAll,
    /// Answers without the documents that were asked for.
    KeepsDocuments,
    /// Answers as if one failure had refused all neighbours.
    RefusesNeighbours,
    /// Names no key, so that nothing keeps the order.
    NamesNoKey,
    /// Routes otherwise every time.
    RoutesAtRandom,
    /// Declares all-or-nothing, and has no mechanism for it.
    PromisesTheWhole,
    /// Calls an error that may have been applied "not applied".
    ForgetsDoubt,
    /// Fails where there is nothing to delete.
    DeletesOnlyWhatIsThere,
}

#[derive(Debug)]
struct Liar {
    inner: Arc<dyn Backend>,
    lie: Lie,
    routed: AtomicU64,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Liar {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn admit(&self, operation: OperationRef<'_>, terms: Terms) -> Result<()> {
        self.inner.admit(operation, terms)
    }

    async fn resolve(&self, operations: View<'_>, stale: bool) -> Result<()> {
        self.inner.resolve(operations, stale).await
    }

    fn route(&self, operations: View<'_>, mut terms: Terms, routes: &mut Routes) -> Result<()> {
        match self.lie {
            Lie::NamesNoKey | Lie::RoutesAtRandom => {
                let mechanism = routes.mechanism(Mechanism::new("lying call"));
                let named = self.lie != Lie::NamesNoKey;
                for operation in operations.iter() {
                    let key = KeyId::of_string_forms(operation.collection, operation.key);
                    let group = self.routed.fetch_add(1, Ordering::SeqCst) / 3;
                    let group = if named { group } else { 0 };
                    routes.push(Route::new(mechanism, group, key.filter(|_| named), 100));
                }
                Ok(())
            }
            Lie::PromisesTheWhole => {
                terms.guarantee = Guarantee::BestEffort;
                self.inner.route(operations, terms, routes)
            }
            _ => self.inner.route(operations, terms, routes),
        }
    }

    fn positions(&self, operations: View<'_>, routes: &Routes, positions: &mut Vec<u128>) {
        self.inner.positions(operations, routes, positions);
    }

    async fn send(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        if self.lie == Lie::DoesNothing {
            chunk.sent();
            answers.all_applied();
            return Ok(());
        }
        let mut seen = Answers::new(chunk.len());
        let result = self.inner.send(chunk, &mut seen).await;
        let refused = || Error::new(ErrorKind::ConditionFailed, "a neighbour was refused");
        let any_failed = (0..chunk.len()).any(|place| matches!(seen.get(place), Some(Err(_))));
        for (place, operation) in chunk.operations().enumerate() {
            let Some(answer) = seen.get(place) else { continue };
            let answer = answer.cloned().map_err(Clone::clone);
            answers.set(
                place,
                match self.lie {
                    Lie::DeniesAll => Err(refused()),
                    Lie::KeepsDocuments => answer.map(|_| Bytes::new()),
                    Lie::RefusesNeighbours if any_failed => answer.and(Err(refused())),
                    Lie::DeletesOnlyWhatIsThere if operation.body.is_empty() => {
                        let message = "nothing has this key";
                        answer.and(Err(Error::new(ErrorKind::NotFound, message)))
                    }
                    _ => answer,
                },
            );
        }
        if self.lie == Lie::ForgetsDoubt {
            return Err(Error::new(ErrorKind::Connection, "the connection broke"));
        }
        result
    }

    async fn get(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        self.inner.get(collection, key).await
    }

    async fn ping(&self) -> Result<Server> {
        self.inner.ping().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

fn tell(lie: Lie, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
    Arc::new(Liar { inner, lie, routed: AtomicU64::new(0) })
}

/// Asserts that the case fails with the lie, and holds without it.
#[track_caller]
fn assert_bites(around: Around, name: &str) {
    assert_fails(name, |subject| subject.around = around);
}

#[track_caller]
fn assert_fails(name: &str, spoil: impl FnOnce(&mut Subject)) {
    let without = prove(Subject::new(as_it_is), case(name));
    assert_eq!(without, Ok(()), "{name} holds on an honest store");
    let mut subject = Subject::new(as_it_is);
    spoil(&mut subject);
    let with = prove(subject, case(name));
    let why = with.expect_err("the store lies, and the case does not see it");
    assert!(why.starts_with("contract: "), "it fails with its sentence: {why}");
}

#[test]
fn a_store_that_does_nothing_fails() {
    for name in [
        "verbs::put_creates",
        "verbs::delete_removes",
        "faults::every_operation_ends_once_and_the_answer_is_true",
    ] {
        assert_bites(|inner| tell(Lie::DoesNothing, inner), name);
    }
}

#[test]
fn a_store_that_denies_what_it_did_fails() {
    let name = "faults::every_operation_ends_once_and_the_answer_is_true";
    assert_bites(|inner| tell(Lie::DeniesAll, inner), name);
}

#[test]
fn a_store_that_keeps_documents_to_itself_fails() {
    for name in [
        "verbs::get_reads_one",
        "capabilities::returning_gives_the_document_after_or_before_the_write",
    ] {
        assert_bites(|inner| tell(Lie::KeepsDocuments, inner), name);
    }
}

#[test]
fn a_store_whose_conditions_refuse_neighbours_fails() {
    for name in [
        "guarantees::conditions_never_refuse_their_neighbours",
        "capabilities::a_revision_never_refuses_its_neighbours",
    ] {
        assert_bites(|inner| tell(Lie::RefusesNeighbours, inner), name);
    }
}

#[test]
fn a_store_that_loses_the_order_on_a_key_fails() {
    for name in [
        "order::best_effort_keeps_program_order_on_each_key",
        "order::outcomes_on_a_key_are_those_of_the_sequence",
    ] {
        assert_bites(
            |inner| {
                let delays = Faults::seeded(5, 0.0).delays(std::time::Duration::from_millis(50));
                Arc::new(Instrumented::new(tell(Lie::NamesNoKey, inner)).with_faults(delays))
            },
            name,
        );
    }
}

#[test]
fn a_store_that_does_not_carry_out_what_it_says_of_a_key_fails() {
    for name in [
        "order::each_pair_of_verbs_on_a_key_answers_as_one_after_the_other",
        "order::an_all_or_nothing_batch_on_one_key_is_the_sequence_or_nothing",
    ] {
        assert_bites(|inner| tell(Lie::DoesNothing, inner), name);
    }
}

#[test]
fn a_store_whose_plan_is_not_what_it_does_fails() {
    assert_bites(
        |inner| tell(Lie::RoutesAtRandom, inner),
        "plan::equals_the_first_attempts_of_the_commit",
    );
}

#[test]
fn a_store_that_declares_all_or_nothing_and_has_no_mechanism_for_it_fails() {
    assert_bites(
        |inner| tell(Lie::PromisesTheWhole, inner),
        "guarantees::all_or_nothing_applies_all",
    );
}

#[test]
fn a_store_whose_documents_outlive_their_time_fails() {
    let name = "capabilities::a_document_vanishes_after_its_time_to_live";
    assert_fails(name, |subject| subject.clock_goes = false);
}

#[test]
fn a_store_that_forgets_that_it_may_have_applied_something_fails() {
    for name in [
        "faults::every_operation_ends_once_and_the_answer_is_true",
        "jobs::an_answer_that_is_missing_doubled_or_surplus_is_never_success",
    ] {
        assert_bites(|inner| tell_outside(Lie::ForgetsDoubt, inner), name);
    }
}

/// Loses answers inside, so that the lie outside hides it.
fn tell_outside(lie: Lie, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
    let faults = Faults::seeded(5, 0.3).only([Fault::MissingAnswer]);
    tell(lie, Arc::new(Instrumented::new(inner).with_faults(faults)))
}

#[test]
fn a_store_that_fails_to_delete_what_is_absent_fails() {
    assert_bites(
        |inner| tell(Lie::DeletesOnlyWhatIsThere, inner),
        "verbs::delete_of_what_is_absent_is_applied",
    );
}
