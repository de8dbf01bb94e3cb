//! Small groups that travel together.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use batch_core::{
    Guarantee, OnError, StoreOptions,
    seam::{KeyId, Pooled, Repeats},
};

use crate::{
    chunks, mechanism, plan_of, queued,
    routed::{Routed, To, put},
};

/// Groups of fewer than three operations travel together: at most so many groups, operations and
/// bytes.
fn pooling(groups: u32, most: usize, most_bytes: usize) -> Routed {
    Routed::new(move |routes, _| {
        let mut several = mechanism("several", Repeats::Folded, most, most_bytes);
        several.overhead = 5;
        let several = routes.mechanism(several);
        let mut plain = mechanism("plain", Repeats::Folded, 4, 1000);
        plain.pooled = Some(Pooled::new(several, groups, 3));
        let other = mechanism("other", Repeats::Folded, 4, 1000);
        vec![routes.mechanism(plain), routes.mechanism(other)]
    })
}

/// One operation in each of so many groups.
fn groups(count: u64) -> impl Iterator<Item = To> {
    (1..=count).map(|group| put(&format!("k{group}")).group(group))
}

#[tokio::test]
async fn a_chunk_takes_at_most_so_many_groups() {
    let (_, store) = pooling(3, 100, 1000).open(StoreOptions::new());
    let plan = plan_of(&store, groups(7)).await;
    // One that is left over keeps its name and its overhead.
    assert_eq!(
        chunks(&plan),
        [(1, "several", vec![1, 2, 3]), (2, "several", vec![4, 5, 6]), (3, "plain", vec![7])]
    );
    assert_eq!(plan.chunks.iter().map(|chunk| chunk.bytes).collect::<Vec<_>>(), [35, 35, 11]);
    assert_eq!(plan.bytes(), 81);
    for groups_of_one in [0, 1] {
        let (_, store) = pooling(groups_of_one, 100, 1000).open(StoreOptions::new());
        let plan = plan_of(&store, groups(2)).await;
        assert_eq!(chunks(&plan), [(1, "plain", vec![1]), (2, "plain", vec![2])]);
    }
}

#[tokio::test]
async fn what_each_operation_has_over_its_own_bytes_is_counted_by_the_way_it_travels() {
    let store = |most_bytes| {
        Routed::new(move |routes, _| {
            let mut several = mechanism("several", Repeats::Apart, 100, most_bytes);
            (several.overhead, several.per_operation) = (5, 20);
            let several = routes.mechanism(several);
            let mut plain = mechanism("plain", Repeats::Apart, 4, 1000);
            plain.per_operation = 2;
            plain.pooled = Some(Pooled::new(several, 9, 3));
            vec![routes.mechanism(plain)]
        })
        .open(StoreOptions::new())
        .1
    };
    let bytes = |plan: &batch_core::Plan| plan.chunks.iter().map(|c| c.bytes).collect::<Vec<_>>();
    let plan = plan_of(&store(1000), groups(3)).await;
    assert_eq!(chunks(&plan), [(1, "several", vec![1, 2, 3])]);
    assert_eq!(bytes(&plan), [5 + 3 * (10 + 20)]);
    // 5 + 2 × 30 bytes fit, 5 + 3 × 30 do not.
    let plan = plan_of(&store(94), groups(3)).await;
    assert_eq!(chunks(&plan), [(1, "several", vec![1, 2]), (2, "plain", vec![3])]);
    assert_eq!(bytes(&plan), [65, 1 + 10 + 2]);
    assert_eq!(plan.bytes(), 78);
}

#[tokio::test]
async fn lone_operations_fill_their_chunks_whatever_their_groups_are() {
    // Groups are told apart by bits that others may have set, which is not to cost a request.
    for count in 1..=40_u64 {
        for seed in 0..20_u64 {
            let all = (1..=count).map(|n| put(&format!("k{n}")).group(KeyId::of((seed, n)).get()));
            let (_, store) = pooling(5, 100, 1000).open(StoreOptions::new());
            let plan = plan_of(&store, all).await;
            let sizes: Vec<usize> = plan.chunks.iter().map(|c| c.operations.len()).collect();
            let expected = usize::try_from(count.div_ceil(5)).unwrap();
            assert_eq!(sizes.len(), expected, "{count} groups, seed {seed}: {sizes:?}");
            let mut operations: Vec<u32> =
                plan.chunks.iter().flat_map(|chunk| chunk.operations.clone()).collect();
            operations.sort_unstable();
            assert!(operations.into_iter().map(u64::from).eq(1..=count), "{plan:?}");
        }
    }
}

#[tokio::test]
async fn the_ceilings_are_those_of_the_way_they_travel_together() {
    let in_pairs = || (1..=8_u64).map(|n| put(&format!("k{n}")).group(n.div_ceil(2)));
    let (_, store) = pooling(9, 5, 1000).open(StoreOptions::new());
    let plan = plan_of(&store, in_pairs()).await;
    assert_eq!(chunks(&plan), [(1, "several", vec![1, 2, 3, 4]), (2, "several", vec![5, 6, 7, 8])]);
    // 5 + 2 × 20 bytes fit, 5 + 3 × 20 do not.
    let (_, store) = pooling(9, 100, 64).open(StoreOptions::new());
    let plan = plan_of(&store, in_pairs()).await;
    assert_eq!(chunks(&plan), [(1, "several", vec![1, 2, 3, 4]), (2, "several", vec![5, 6, 7, 8])]);
    // A small chunk that is larger than the ceiling stays as it is, and the others go on.
    let large = put("large").group(10).bytes(70);
    let plan = plan_of(&store, groups(1).chain([large]).chain(groups(3).skip(1))).await;
    assert_eq!(chunks(&plan), [(1, "plain", vec![2]), (2, "several", vec![1, 3, 4])]);
    // A ceiling of the user's counts too.
    let (_, store) = pooling(9, 100, 1000).open(StoreOptions::new().max_batch_operations(2));
    let plan = plan_of(&store, groups(3)).await;
    assert_eq!(chunks(&plan), [(1, "several", vec![1, 2]), (2, "plain", vec![3])]);
}

#[tokio::test]
async fn pools_are_not_mixed_and_large_chunks_are_left_alone() {
    let (_, store) = pooling(9, 100, 1000).open(StoreOptions::new());
    let operations = [
        put("a").group(1).pool(1),
        put("b").group(2).pool(2),
        put("c").group(3).pool(1),
        // Three operations are no small chunk,
        put("d").group(4).pool(1),
        put("e").group(4).pool(1),
        put("f").group(4).pool(1),
        // three that count as one are.
        put("g").group(5).pool(2),
        put("g").group(5).pool(2),
        put("g").group(5).pool(2),
        // Not every mechanism has small chunks.
        put("h").group(6).pool(1).way(1),
    ];
    let plan = plan_of(&store, operations).await;
    assert_eq!(
        chunks(&plan),
        [
            (1, "several", vec![1, 3]),
            (2, "several", vec![2, 7, 8, 9]),
            (3, "plain", vec![4, 5, 6]),
            (4, "other", vec![10]),
        ]
    );
}

#[tokio::test]
async fn only_best_effort_puts_groups_together() {
    let (_, store) = pooling(9, 100, 1000).open(StoreOptions::new());
    let ordered = Guarantee::Ordered { on_error: OnError::Continue };
    let mut batch = queued(&store, ordered, groups(2));
    let plan = batch.plan().await.unwrap();
    assert_eq!(chunks(&plan), [(1, "plain", vec![1]), (1, "plain", vec![2])]);
    batch.discard();
}

#[tokio::test]
async fn operations_of_a_key_that_follow_one_another_travel_with_no_other_group() {
    let (_, store) = pooling(9, 100, 1000).open(StoreOptions::new());
    let hot = || put("hot").group(1).bytes(400);
    let operations = [hot(), put("a").group(2), hot(), put("b").group(3), hot()];
    let plan = plan_of(&store, operations).await;
    assert_eq!(
        chunks(&plan),
        [(1, "several", vec![2, 4]), (2, "plain", vec![1, 3]), (2, "plain", vec![5])]
    );
}

fn count_polls<T>(future: impl Future<Output = T>) -> (usize, T) {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for polls in 1.. {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return (polls, value);
        }
    }
    unreachable!("it ends")
}

#[test]
fn planning_gives_way_between_slices_of_groups() {
    let (_, store) = pooling(10, 100, 1000).open(StoreOptions::new());
    let count = 50_000;
    let one_each: Vec<To> = groups(count).collect();
    // Two on each key, in groups of their own.
    let folded: Vec<To> =
        (0..count).map(|n| put(&format!("k{}", n % (count / 2))).group(n % (count / 2))).collect();
    for operations in [one_each, folded] {
        let mut batch = queued(&store, Guarantee::BestEffort, operations);
        let (polls, plan) = count_polls(batch.plan());
        let plan = plan.unwrap();
        assert_eq!(plan.operations() as u64, count);
        assert!(plan.chunks.len() as u64 <= count / 10, "{} chunks", plan.chunks.len());
        // Routing, looking for repeated keys, cutting, putting together: passes over all of them.
        assert!(polls as u64 > 6 * count / 4096, "{polls} polls");
        batch.discard();
    }
}
