//! The runner: what is ignored, what fails, and that nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test crate")]

mod support;

use std::sync::{Arc, atomic::Ordering};

use batch_conformance::{CASES, Case, Requirement, absent, prove, trials};
use support::{Subject, as_it_is, case};

fn all() -> impl Iterator<Item = &'static Case> {
    CASES.iter().copied().flatten()
}

#[test]
fn each_case_has_a_name_of_its_own_and_a_sentence() {
    let mut names = std::collections::HashSet::new();
    for case in all() {
        assert!(names.insert(case.name), "`{}` is there twice", case.name);
        assert!(case.name.contains("::") && case.doc.len() > 10, "{case:?}");
    }
    assert!(names.len() > 150, "{}", names.len());
}

#[test]
fn a_case_that_needs_what_is_not_declared_is_ignored_with_its_reason() {
    let subject = Subject::new(|memory| memory.reads(false).all_or_nothing(false).isolated(false));
    let trials = trials(subject);
    assert_eq!(trials.len(), all().count());
    let missing = [Requirement::Reads, Requirement::AllOrNothing, Requirement::Isolated];
    for (trial, case) in trials.iter().zip(all()) {
        let needs = case.requires.iter().any(|requirement| missing.contains(requirement));
        let other = [Requirement::Timestamps, Requirement::Conflicts];
        let needs_other = case.requires.iter().any(|requirement| other.contains(requirement));
        assert_eq!(trial.has_ignored_flag(), needs || needs_other, "{}", case.name);
        assert_eq!(trial.kind().starts_with("needs "), needs || needs_other, "{}", trial.kind());
        assert_eq!(trial.name(), format!("subject::{}", case.name));
    }
}

#[test]
fn a_store_that_cannot_be_had_lists_every_case_as_ignored() {
    let trials = absent("cql", "install Cassandra");
    assert_eq!(trials.len(), all().count());
    assert!(trials.iter().all(|trial| trial.has_ignored_flag()));
    assert!(trials.iter().all(|trial| trial.kind() == "install Cassandra"));
}

#[test]
fn a_store_that_does_not_open_is_one_failing_trial() {
    let mut subject = Subject::new(as_it_is);
    subject.opens = false;
    let trials = trials(subject);
    assert_eq!(trials.len(), 1);
    assert_eq!(trials[0].name(), "subject::opens");
    assert!(!trials[0].has_ignored_flag());
    let mut subject = Subject::new(as_it_is);
    subject.opens = false;
    let why = prove(subject, case("verbs::put_creates")).expect_err("nobody listens");
    assert!(why.contains("nobody listens"), "{why}");
}

#[test]
fn a_case_that_fails_is_cleaned_up_after_and_told_with_its_sentence() {
    const FAILS: Case = Case {
        name: "own::fails",
        doc: "This does not hold.",
        requires: &[],
        run: |context| {
            Box::pin(async move {
                context.given("a", &serde_json::json!({"age": 1})).await;
                context.second_collection().await;
                assert_eq!(context.age("a").await, Some(2), "a panic on purpose");
            })
        },
    };
    let subject = Subject::new(as_it_is);
    let (store, prepared) = (subject.store.clone(), Arc::clone(&subject.prepared));
    let why = prove(subject, &FAILS).expect_err("it does not hold");
    assert!(why.contains("This does not hold.") && why.contains("a panic on purpose"), "{why}");
    assert!(prepared.lock().unwrap().is_empty(), "every collection is removed");
    assert!(store.collections().is_empty());
}

#[test]
fn a_case_that_never_ends_fails() {
    const HANGS: Case = Case {
        name: "own::hangs",
        doc: "This ends.",
        requires: &[],
        run: |_| Box::pin(std::future::pending()),
    };
    let why = prove(Subject::new(as_it_is), &HANGS).expect_err("it pends for ever");
    assert!(why.contains("did not end"), "{why}");
}

#[test]
fn a_collection_that_cannot_be_made_fails_the_case() {
    let subject = Subject::new(as_it_is);
    subject.prepares.store(false, Ordering::SeqCst);
    let prepared = Arc::clone(&subject.prepared);
    let why = prove(subject, case("verbs::put_creates")).expect_err("no right");
    assert!(why.contains("no right to make collections"), "{why}");
    assert!(prepared.lock().unwrap().is_empty(), "what was half made is removed too");
}

#[test]
fn a_case_that_needs_what_is_not_declared_is_not_proved() {
    let subject = Subject::new(|memory| memory.reads(false));
    let why = prove(subject, case("verbs::get_reads_one")).expect_err("no reads");
    assert_eq!(why, "the case needs reads");
}
