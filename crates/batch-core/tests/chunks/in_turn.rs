//! Groups whose chunks are sent one after another.

use batch_core::{StoreOptions, seam::Repeats};

use crate::{
    chunks, mechanism, plan_of,
    routed::{Routed, put},
};

fn in_turn(repeats: Repeats) -> Routed {
    Routed::new(move |routes, _| {
        let mut turns = mechanism("in turn", repeats, 1, 1000);
        turns.in_turn = true;
        let turns = routes.mechanism(turns);
        vec![turns, routes.mechanism(mechanism("other", repeats, 1, 1000))]
    })
}

#[tokio::test]
async fn chunks_of_a_group_follow_one_another_and_those_of_others_do_not_wait() {
    for repeats in [Repeats::Folded, Repeats::Apart] {
        let (_, store) = in_turn(repeats).open(StoreOptions::new());
        let all = [("a", 1, 0), ("b", 2, 0), ("c", 1, 0), ("d", 3, 0), ("e", 1, 0), ("f", 1, 1)];
        let all = all.map(|(key, group, way)| put(key).group(group).way(way));
        assert_eq!(
            chunks(&plan_of(&store, all).await),
            [
                (1, "in turn", vec![2]),
                (2, "in turn", vec![4]),
                (3, "other", vec![6]),
                (4, "in turn", vec![1]),
                (4, "in turn", vec![3]),
                (4, "in turn", vec![5]),
            ]
        );
        // And where each is a group.
        let all = [("a", 1), ("b", 2)].map(|(key, group)| put(key).group(group));
        assert_eq!(
            chunks(&plan_of(&store, all).await),
            [(1, "in turn", vec![1]), (2, "in turn", vec![2])]
        );
    }
}

#[tokio::test]
async fn what_is_made_one_write_of_stays_one() {
    let (_, store) = in_turn(Repeats::Folded).open(StoreOptions::new());
    let all = [("a", 1), ("b", 1), ("a", 1), ("c", 1)];
    let all = all.map(|(key, group)| put(key).group(group));
    let plan = plan_of(&store, all).await;
    assert_eq!(
        chunks(&plan),
        [(1, "in turn", vec![1, 3]), (2, "in turn", vec![2]), (2, "in turn", vec![4])]
    );
}
