//! What shares a chunk, under which name and in which order; and the timestamps of its writes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bound;
mod folded;
mod in_turn;
mod named;
mod neighbours;
mod pooled;
mod routed;
mod stamps;

use batch_core::{
    Batch, BatchExt, BatchOptions, Guarantee, Operation, Plan, Store,
    seam::{Engine, Mechanism, Repeats},
};

use crate::routed::To;

/// A mechanism of so many operations and bytes a chunk, with an overhead of one byte.
fn mechanism(name: &'static str, repeats: Repeats, most: usize, most_bytes: usize) -> Mechanism {
    let mut mechanism = Mechanism::new(name);
    (mechanism.repeats, mechanism.overhead) = (repeats, 1);
    (mechanism.max_operations, mechanism.max_bytes) = (most, most_bytes);
    mechanism
}

fn queued(
    store: &Engine,
    guarantee: Guarantee,
    operations: impl IntoIterator<Item = To>,
) -> Box<dyn Batch> {
    let mut batch = store.batch(BatchOptions::new().guarantee(guarantee)).unwrap();
    batch.queue_all(operations.into_iter().map(Operation::from)).unwrap();
    batch
}

async fn plan_of(store: &Engine, operations: impl IntoIterator<Item = To>) -> Plan {
    let mut batch = queued(store, Guarantee::BestEffort, operations);
    let plan = batch.plan().await.unwrap();
    batch.discard();
    plan
}

/// Lane, mechanism and operations of each chunk.
fn chunks(plan: &Plan) -> Vec<(u32, &str, Vec<u32>)> {
    let chunks = plan.chunks.iter();
    chunks.map(|chunk| (chunk.lane, &*chunk.mechanism, chunk.operations.clone())).collect()
}
