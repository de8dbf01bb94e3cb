//! Operations of large groups, which travel with those beside them in the store.

use batch_core::{
    Guarantee, Plan, StoreOptions,
    seam::{Engine, Repeats},
};

use crate::{
    mechanism, plan_of, queued,
    routed::{Routed, To, put},
};

/// Chunks of two operations: from nine in a group on by position, and by another mechanism as they were queued.
fn pairs() -> Engine {
    let ways = Routed::new(|routes, _| {
        let mut by_position = mechanism("by position", Repeats::Folded, 2, 1000);
        by_position.by_position = Some(9);
        let other = mechanism("as queued", Repeats::Folded, 2, 1000);
        vec![routes.mechanism(by_position), routes.mechanism(other)]
    });
    ways.open(StoreOptions::new()).1
}

/// Operations on different keys that lie there.
fn lying_at(positions: impl IntoIterator<Item = u64>) -> Vec<To> {
    let lying = |(number, position)| put(&format!("k{number}")).position(position);
    (1..).zip(positions).map(lying).collect()
}

fn operations(plan: &Plan) -> Vec<Vec<u32>> {
    plan.chunks.iter().map(|chunk| chunk.operations.clone()).collect()
}

#[tokio::test]
async fn those_of_a_large_group_share_chunks_with_their_neighbours() {
    let plan = plan_of(&pairs(), lying_at([5, 1, 9, 2, 8, 3, 7, 4, 6, 0])).await;
    // Within a chunk they are in program order.
    assert_eq!(operations(&plan), [[2, 10], [4, 6], [1, 8], [7, 9], [3, 5]]);
}

#[tokio::test]
async fn those_of_a_small_group_and_those_that_lie_nowhere_stay_as_they_were_queued() {
    let in_order = |count: u32| (1..=count).step_by(2).map(|n| vec![n, n + 1]).collect::<Vec<_>>();
    let few = plan_of(&pairs(), lying_at((0..8).rev())).await;
    assert_eq!(operations(&few), in_order(8));
    let nowhere = (0..10).map(|number| put(&format!("k{number}")));
    assert_eq!(operations(&plan_of(&pairs(), nowhere).await), in_order(10));
    // Those that are asked for in one call with others of which one lies nowhere.
    let all = (0..6000_u32).map(|number| match put(&format!("k{number}")) {
        to if number == 5005 => to,
        to => to.position((6000 - number).into()),
    });
    let chunks = operations(&plan_of(&pairs(), all).await);
    let (unknown, known) = chunks.split_at((6000 - 4096) / 2);
    assert!(unknown.is_sorted() && unknown.iter().flatten().all(|job| *job > 4096));
    assert!(known.iter().rev().is_sorted() && known.iter().flatten().all(|job| *job <= 4096));
    let by_another = lying_at((0..10).rev()).into_iter().map(|to| to.way(1));
    assert_eq!(operations(&plan_of(&pairs(), by_another).await), in_order(10));
}

#[tokio::test]
async fn large_groups_are_sorted_beside_small_ones_and_in_any_number() {
    let count = 70_000_u32;
    let groups = |number: u32| {
        if number.is_multiple_of(10) { u64::from(number) } else { u64::from(number % 2) }
    };
    let scrambled = |number: u32| u64::from(number.wrapping_mul(0x9E37_79B1));
    let all = (0..count)
        .map(|number| put(&format!("k{number}")).group(groups(number)).position(scrambled(number)));
    let plan = plan_of(&pairs(), all).await;
    assert_eq!(plan.operations(), count as usize);
    for group in [0, 1] {
        let of_group = plan
            .chunks
            .iter()
            .filter(|chunk| chunk.operations.iter().all(|job| groups(job - 1) == group));
        let spans: Vec<(u64, u64)> = of_group
            .filter(|chunk| chunk.operations.len() == 2)
            .map(|chunk| {
                let mut at = chunk.operations.iter().map(|job| scrambled(job - 1));
                let (one, other) = (at.next().unwrap(), at.next().unwrap());
                (one.min(other), one.max(other))
            })
            .collect();
        // Before the first and behind the last of a sample, places are told less well.
        let inner = spans.get(200..spans.len() - 200).unwrap();
        assert!(inner.len() > 13_000 && inner.is_sorted_by(|one, next| one.1 < next.0), "{group}");
    }
}

#[tokio::test]
async fn those_that_repeat_a_key_keep_their_order_and_no_other_guarantee_sorts() {
    let mut repeating = lying_at((0..10).rev());
    repeating.extend((1..=10).map(|number| put(&format!("k{number}")).position(99)));
    let single = |number: u32| put(&format!("single{number}")).position((40 - number).into());
    repeating.extend((21..=40).map(single));
    let plan = plan_of(&pairs(), repeating).await;
    let of_singles =
        plan.chunks.iter().filter(|chunk| chunk.operations.iter().all(|job| *job > 20));
    let highest: Vec<u32> =
        of_singles.filter_map(|chunk| chunk.operations.last().copied()).collect();
    assert!(highest.len() > 8 && highest.is_sorted_by(|one, next| one > next), "{highest:?}");
    for key in 1..=10 {
        let chunk = plan.chunks.iter().find(|chunk| chunk.operations.contains(&key)).unwrap();
        let place = |job| chunk.operations.iter().position(|other| *other == job);
        assert!(place(key) < place(key + 10), "{:?}", chunk.operations);
    }
    let mut ordered = queued(
        &pairs(),
        Guarantee::Ordered { on_error: batch_core::OnError::Continue },
        lying_at((0..10).rev()),
    );
    let plan = ordered.plan().await.unwrap();
    assert_eq!(operations(&plan), [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]);
    ordered.discard();
}
