//! What a run is given: operations on few keys, a store with its habits, what goes wrong.

use std::time::Duration;

use batch_core::{Guarantee, OnCancel, Operation, Verb};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

pub(crate) const TABLE: &str = "t";

/// No chunk is larger.
pub(crate) const MOST_BYTES: usize = 4000;

/// One operation of a case: a verb on one of a few keys.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) verb: Verb,
    pub(crate) key: u8,
    pub(crate) flaw: Flaw,
    /// With an option that keeps it out of the write of others on its key.
    pub(crate) apart: bool,
}

/// Why an operation is refused before it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    None,
    /// By encoding: the document contradicts its key.
    Contradicts,
    /// By planning: larger than any chunk.
    Large,
    /// By the store, with its whole chunk, and it is not told which operation is at fault.
    Forbidden,
}

/// Which store a case runs on.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Documents in a map; requests are applied as they come.
    Memory,
    /// Cells with timestamps that decide, whatever comes first.
    Cells(Habits),
}

/// How a store of cells lets operations travel.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Whether operations on a key are made one write of; else each has its timestamp.
    pub(crate) folds: bool,
    /// The most bytes of a chunk.
    pub(crate) max_bytes: usize,
    /// Small chunks travel together: the most groups, below how many operations, the most
    /// operations and bytes.
    pub(crate) pooled: Option<(u32, u32, usize, usize)>,
    /// Larger requests are refused.
    pub(crate) hidden_max_bytes: u64,
    /// How many writes of a hundred meet another writer.
    pub(crate) conflicts: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Cancel {
    Never,
    /// Drops the commit after this many polls.
    Commit(usize),
    /// Drops the runtime, with the commit in a task of it, after this many polls.
    Runtime(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) steps: Vec<Step>,
    pub(crate) guarantee: Guarantee,
    pub(crate) seed: u64,
    pub(crate) fault_chance: f64,
    pub(crate) max_in_flight: usize,
    pub(crate) max_operations: usize,
    pub(crate) on_cancel: OnCancel,
    pub(crate) cancel: Cancel,
    pub(crate) stops: bool,
    pub(crate) deadline: Duration,
}

impl Case {
    /// Whether nothing goes wrong but what the operations bring with them.
    pub(crate) fn is_undisturbed(&self) -> bool {
        let conflicts = match &self.kind {
            Kind::Memory => 0,
            Kind::Cells(habits) => habits.conflicts,
        };
        let in_time = self.deadline > Duration::from_secs(1);
        matches!(self.cancel, Cancel::Never)
            && self.fault_chance == 0.0
            && conflicts == 0
            && in_time
    }
}

/// Operations of these verbs; how many of twenty are `apart`, and whether some are forbidden.
pub(crate) fn steps(
    verbs: Vec<Verb>,
    apart: u32,
    forbids: bool,
    longest: usize,
) -> impl Strategy<Value = Vec<Step>> {
    let flaw = prop_oneof![
        20 => Just(Flaw::None),
        1 => Just(Flaw::Contradicts),
        1 => Just(Flaw::Large),
        1 => Just(if forbids { Flaw::Forbidden } else { Flaw::None }),
    ];
    let apart = (0..20_u32).prop_map(move |chance| chance < apart);
    let step = (select(verbs), 0..6_u8, flaw, apart).prop_map(|(verb, key, flaw, apart)| {
        let flaw = if verb.has_document() { flaw } else { Flaw::None };
        Step { verb, key, flaw, apart: apart && verb.has_document() }
    });
    prop::collection::vec(step, 0..longest)
}

/// Memory with all verbs, cells that are folded with all writes, stamped ones with plain writes.
pub(crate) fn kinds_and_steps(longest: usize) -> impl Strategy<Value = (Kind, Vec<Step>)> {
    let all = Verb::PORTABLE.to_vec();
    let writes: Vec<Verb> = all.iter().copied().filter(|verb| *verb != Verb::Get).collect();
    let plain: Vec<Verb> = writes.iter().copied().filter(|verb| !verb.is_conditional()).collect();
    let kind = |folds| habits(folds).prop_map(Kind::Cells);
    // Mostly plain ones, so that some keys have nothing else.
    let mixed = [plain.as_slice(), &plain, &writes].concat();
    prop_oneof![
        2 => (Just(Kind::Memory), steps(all, 0, false, longest)),
        2 => (kind(true), steps(writes, 2, true, longest)),
        1 => (kind(true), steps(mixed, 0, true, longest)),
        1 => (kind(false), steps(plain, 0, true, longest)),
    ]
}

pub(crate) fn habits(folds: bool) -> impl Strategy<Value = Habits> {
    let pooled = (1..4_u32, 1..5_u32, 1..8_usize, 60..400_usize);
    let pooled = prop::option::weighted(0.7, pooled);
    let max_bytes = prop_oneof![Just(MOST_BYTES), 60..400_usize];
    let hidden = prop_oneof![3 => Just(u64::MAX), 1 => 60..400_u64];
    let conflicts = prop_oneof![2 => Just(0_u64), 1 => Just(20)];
    (pooled, max_bytes, hidden, conflicts).prop_map(
        move |(pooled, max_bytes, hidden_max_bytes, conflicts)| Habits {
            folds,
            max_bytes,
            pooled,
            hidden_max_bytes,
            conflicts,
        },
    )
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let cancel = prop_oneof![
        2 => Just(Cancel::Never),
        1 => (0..40_usize).prop_map(Cancel::Commit),
        1 => (0..40_usize).prop_map(Cancel::Runtime),
    ];
    let fault_chance = prop_oneof![1 => Just(0.0), 4 => 0.0..0.6];
    let store = (any::<u64>(), fault_chance, 1..6_usize, 1..8_usize, any::<bool>());
    let asked = (
        select(Guarantee::ALL.to_vec()),
        select(vec![OnCancel::Detach, OnCancel::Settle]),
        select(vec![50_u64, 400, 30_000]),
    );
    (kinds_and_steps(24), store, asked, cancel).prop_map(|(what, store, asked, cancel)| {
        let (mut kind, steps) = what;
        let (seed, fault_chance, max_in_flight, max_operations, stops) = store;
        let (guarantee, on_cancel, deadline) = asked;
        // All-or-nothing is refused over a ceiling: give those batches room.
        let whole = matches!(guarantee, Guarantee::AllOrNothing { .. });
        if let (true, Kind::Cells(habits)) = (whole, &mut kind) {
            (habits.max_bytes, habits.hidden_max_bytes) = (MOST_BYTES, u64::MAX);
        }
        Case {
            kind,
            max_operations: if whole { 1000 } else { max_operations },
            steps,
            guarantee,
            seed,
            fault_chance,
            max_in_flight,
            on_cancel,
            cancel,
            stops,
            deadline: Duration::from_millis(deadline),
        }
    })
}

pub(crate) fn operation(index: usize, step: &Step) -> Operation {
    let mut operation = Operation::on(step.verb, TABLE).at(format!("k{}", step.key));
    if step.apart {
        operation = operation.ttl(Duration::from_secs(3600));
    }
    let mut document = document(index);
    match step.flaw {
        Flaw::None => {}
        Flaw::Contradicts => document["_key"] = json!("another"),
        Flaw::Large => document["large"] = json!("x".repeat(MOST_BYTES)),
        Flaw::Forbidden => document["forbidden"] = json!(true),
    }
    if step.verb.has_document() { operation.doc(&document) } else { operation }
}

/// A document that tells which operation wrote it, and keeps a trace of each merge.
pub(crate) fn document(index: usize) -> Value {
    json!({"last": index, format!("by{index}"): true})
}

pub(crate) type Doc = Option<Map<String, Value>>;

/// What an operation leaves of a document, or `None` if its condition does not hold.
pub(crate) fn leaves(index: usize, step: &Step, before: &Doc) -> Option<Doc> {
    let new = || document(index).as_object().cloned();
    let merged = |before: &Map<String, Value>| {
        let mut merged = before.clone();
        merged.extend(new().unwrap_or_default());
        Some(merged)
    };
    if step.flaw != Flaw::None {
        return None;
    }
    match (step.verb, before) {
        (Verb::Insert, Some(_))
        | (Verb::Replace | Verb::Update | Verb::DeleteExisting | Verb::Get, None) => None,
        (Verb::Insert | Verb::Put | Verb::Replace, _) | (Verb::Upsert, None) => Some(new()),
        (Verb::Upsert | Verb::Update, Some(before)) => Some(merged(before)),
        (Verb::Delete | Verb::DeleteExisting, _) => Some(None),
        (Verb::Get, Some(_)) => Some(before.clone()),
        _ => unreachable!("portable verbs only"),
    }
}
