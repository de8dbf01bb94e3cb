//! Whether a plan keeps the rules of folding and of small chunks that travel together.

use std::collections::{BTreeMap, BTreeSet};

use batch_core::{Plan, PlannedChunk};

use crate::{
    case::{Case, Habits, operation},
    cells::PER_OPERATION_OF_OWN,
};

fn overhead(mechanism: &str) -> u64 {
    match mechanism {
        "single" => 5,
        "own" => 7,
        "condition" => 8,
        "several" => 20,
        _ => 10,
    }
}

struct Planned<'a> {
    case: &'a Case,
    habits: &'a Habits,
    /// Where each operation is that is sent: the chunk's place in the plan.
    chunk_of: BTreeMap<u32, usize>,
    plan: &'a Plan,
}

/// The operations are those of a best-effort batch on cells.
pub(crate) fn check_plan(case: &Case, habits: &Habits, plan: &Plan) {
    let chunks = plan.chunks.iter().enumerate();
    let chunk_of = chunks
        .flat_map(|(place, chunk)| chunk.operations.iter().map(move |job| (*job, place)))
        .collect();
    let planned = Planned { case, habits, chunk_of, plan };
    assert_eq!(planned.chunk_of.len(), plan.operations(), "an operation is in two chunks");
    assert_eq!(plan.operations() + plan.refused.len(), case.steps.len(), "one is in no chunk");
    plan.chunks.iter().for_each(|chunk| planned.check_chunk(chunk));
    if habits.folds {
        (0..6).for_each(|key| planned.check_key(key));
    }
}

impl Planned<'_> {
    fn key(&self, job: u32) -> u8 {
        self.case.steps[job as usize - 1].key
    }

    fn chunks_of(&self, group: u8) -> usize {
        let all = self.chunk_of.iter().filter(|(job, _)| self.key(**job) % 5 == group);
        all.map(|(_, chunk)| chunk).collect::<BTreeSet<_>>().len()
    }

    fn size(&self, job: u32) -> u64 {
        let index = job as usize - 1;
        let operation = operation(index, &self.case.steps[index]);
        (operation.key_parts().size() + operation.body().len()) as u64
    }

    fn check_chunk(&self, chunk: &PlannedChunk) {
        let sum: u64 = chunk.operations.iter().map(|job| self.size(*job)).sum();
        let each = if chunk.mechanism == "own" { PER_OPERATION_OF_OWN } else { 0 };
        let all = chunk.operations.len() as u64;
        let added = overhead(&chunk.mechanism) + u64::from(each) * all;
        assert_eq!(chunk.bytes, sum + added, "{chunk:?}");
        if let ("several", Some((_, below, most, most_bytes))) =
            (chunk.mechanism.as_str(), self.habits.pooled)
        {
            let keys: BTreeSet<u8> = chunk.operations.iter().map(|job| self.key(*job)).collect();
            let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
            if self.habits.folds {
                keys.iter().for_each(|key| *counts.entry(key % 5).or_default() += 1);
            } else {
                let keys = chunk.operations.iter().map(|job| self.key(*job));
                keys.for_each(|key| *counts.entry(key % 5).or_default() += 1);
            }
            // Two small chunks of a group that a large one stood between may meet again.
            let was_cut = || counts.keys().any(|group| self.chunks_of(*group) > 1);
            assert!(counts.len() > 1 || was_cut(), "one group has its own mechanism: {chunk:?}");
            assert!(counts.values().all(|count| *count < below), "not small: {chunk:?}");
            assert!(counts.values().sum::<u32>() as usize <= most, "too many: {chunk:?}");
            assert!(chunk.bytes <= most_bytes as u64, "too large: {chunk:?}");
        }
    }

    /// All operations on a key that fit a chunk are in one, else they follow one another in a lane.
    fn check_key(&self, key: u8) {
        let sent = self.chunk_of.keys().copied().filter(|job| self.key(*job) == key);
        let jobs: Vec<u32> = sent.collect();
        let Some(first) = jobs.first() else { return };
        let step = |job: &u32| &self.case.steps[*job as usize - 1];
        let way = if step(first).verb.is_conditional() { "condition" } else { "partition" };
        let bytes: u64 = jobs.iter().map(|job| self.size(*job)).sum();
        let fits = overhead(way) + bytes <= self.habits.max_bytes as u64;
        let folds = !jobs.iter().any(|job| step(job).apart);
        let chunks: Vec<usize> = jobs.iter().map(|job| self.chunk_of[job]).collect();
        let lanes: BTreeSet<u32> = chunks.iter().map(|at| self.plan.chunks[*at].lane).collect();
        assert_eq!(lanes.len(), 1, "k{key} is in several lanes: {:?}", self.plan);
        assert!(chunks.is_sorted(), "k{key} is not in program order: {:?}", self.plan);
        if folds && fits {
            let first = &self.plan.chunks[chunks[0]];
            assert_eq!(chunks.first(), chunks.last(), "k{key} is apart: {:?}", self.plan);
            let named = match way {
                "condition" => first.mechanism == "condition",
                _ => ["partition", "several", "single"].contains(&first.mechanism.as_str()),
            };
            assert!(named, "k{key} travels by {}", first.mechanism);
            return;
        }
        for (job, at) in jobs.iter().zip(chunks) {
            let step = step(job);
            let named: &[&str] = match (step.apart, step.verb.is_conditional()) {
                (true, _) => &["own"],
                (false, true) => &["condition"],
                // Alone on its key it may travel with other groups.
                (false, false) if jobs.len() == 1 => &["partition", "several", "single"],
                (false, false) => &["partition", "single"],
            };
            let chunk = &self.plan.chunks[at];
            assert!(named.contains(&&*chunk.mechanism), "{job} travels by {}", chunk.mechanism);
        }
    }
}
