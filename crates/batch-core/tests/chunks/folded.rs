//! Operations on a key that are made one write of.

use batch_core::{
    BatchExt, Error, ErrorKind, Guarantee, JobStatus, OnError, StoreOptions, seam::Repeats,
};

use crate::{
    chunks, mechanism, plan_of, queued,
    routed::{Routed, folding, put},
};

#[tokio::test]
async fn operations_on_a_folded_key_stand_in_the_chunk_of_the_first_in_program_order() {
    let (_, store) = folding(100, 1000).open(StoreOptions::new());
    let on = |key| put(key).group(7);
    // `a` begins with a plain write, `b` with a condition; both are routed both ways, and into
    // groups of their own.
    let operations = [
        on("a"),
        on("b").way(1).group(8),
        on("c"),
        on("a").way(1).group(9),
        on("b"),
        on("a"),
        on("b").way(1).group(8),
        on("d").group(6),
    ];
    let plan = plan_of(&store, operations).await;
    assert_eq!(
        chunks(&plan),
        [(1, "plain", vec![1, 3, 4, 6]), (2, "condition", vec![2, 5, 7]), (3, "plain", vec![8])]
    );
    assert_eq!(plan.chunks.iter().map(|chunk| chunk.bytes).collect::<Vec<_>>(), [41, 31, 11]);
    assert_eq!(plan.bytes(), 83);
}

#[tokio::test]
async fn operations_on_a_folded_key_count_as_one() {
    let (_, store) = folding(2, 1000).open(StoreOptions::new());
    let plan = plan_of(&store, ["a", "a", "b", "a", "c", "b", "d", "a"].map(put)).await;
    assert_eq!(chunks(&plan), [(1, "plain", vec![1, 2, 3, 4, 6, 8]), (2, "plain", vec![5, 7])]);
    // The same for a ceiling of the user's, and for a chunk that is closed when the key comes again.
    let (_, store) = folding(100, 1000).open(StoreOptions::new().max_batch_operations(1));
    let plan = plan_of(&store, ["a", "b", "a", "c", "b"].map(put)).await;
    assert_eq!(
        chunks(&plan),
        [(1, "plain", vec![1, 3]), (2, "plain", vec![2, 5]), (3, "plain", vec![4])]
    );
}

#[tokio::test]
async fn what_does_not_fit_one_chunk_follows_in_a_lane() {
    let (backend, store) = folding(1, 100).open(StoreOptions::new());
    // 5 × 40 bytes on `hot`, of which two fit a chunk and count as one; `b` is free beside it.
    let hot = || put("hot").bytes(40);
    let operations = || [hot(), hot(), put("b"), hot(), hot(), put("b"), hot()];
    let plan = plan_of(&store, operations()).await;
    assert_eq!(
        chunks(&plan),
        [
            (1, "plain", vec![3, 6]),
            (2, "plain", vec![1, 2]),
            (2, "plain", vec![4, 5]),
            (2, "plain", vec![7]),
        ]
    );
    assert_eq!(plan.bytes(), 5 * 40 + 2 * 10 + 4);
    let mut batch = queued(&store, Guarantee::BestEffort, operations());
    assert!(batch.commit().await.unwrap().is_success());
    let mut sent: Vec<_> = backend.sent().into_iter().map(|sent| sent.jobs).collect();
    sent.retain(|jobs| jobs.first() != Some(&3));
    assert_eq!(sent, [vec![1, 2], vec![4, 5], vec![7]]);
}

#[tokio::test]
async fn in_a_lane_each_travels_as_it_is_routed() {
    let (_, store) = folding(10, 50).open(StoreOptions::new());
    let hot = || put("hot").bytes(20);
    let plan = plan_of(&store, [hot(), hot().way(1), hot().way(1), hot()]).await;
    assert_eq!(
        chunks(&plan),
        [(1, "plain", vec![1]), (1, "condition", vec![2, 3]), (1, "plain", vec![4])]
    );
}

#[tokio::test]
async fn one_operation_that_is_not_folded_binds_all_on_its_key() {
    let (_, store) = folding(100, 1000).open(StoreOptions::new());
    let operations =
        [put("k"), put("k"), put("k").way(2), put("k").way(2), put("k"), put("free"), put("free")];
    let plan = plan_of(&store, operations).await;
    assert_eq!(
        chunks(&plan),
        [
            (1, "plain", vec![6, 7]),
            (2, "plain", vec![1, 2]),
            (2, "apart", vec![3]),
            (2, "apart", vec![4]),
            (2, "plain", vec![5]),
        ]
    );
}

/// The store may yet carry the first write out.
#[tokio::test]
async fn what_follows_an_unknown_one_on_a_folded_key_is_skipped() {
    let lost = || Error::new(ErrorKind::Connection, "the answer was lost").unknown().transient();
    let backend = folding(1, 50).sending(move |_, _| Err(lost()));
    let (backend, store) = backend.open(StoreOptions::new());
    let hot = || put("hot").bytes(20).insert();
    let mut batch = queued(&store, Guarantee::BestEffort, [hot(), hot(), hot()]);
    let jobs: Vec<_> = batch.jobs().collect();
    assert_eq!(batch.commit().await.unwrap().unknown(), 2);
    assert_eq!(backend.sent().len(), 1);
    let kinds = jobs.iter().map(|job| job.status().error().map(Error::kind));
    let lost = Some(ErrorKind::Connection);
    assert_eq!(kinds.collect::<Vec<_>>(), [lost, lost, Some(ErrorKind::Skipped)]);
}

/// A request that did more than one of its operations alone would is not sent again for it.
#[tokio::test]
async fn a_lasting_error_is_not_retried_although_the_operation_is_idempotent() {
    for (lasting, attempts) in [(false, 2), (true, 1)] {
        let backend = folding(9, 900).sending(move |chunk, answers| {
            let lost = Error::new(ErrorKind::Connection, "lost").unknown().transient();
            match (chunk.attempt(), lasting) {
                (1, false) => Err(lost),
                (1, true) => Err(lost.lasting()),
                _ => {
                    answers.all_applied();
                    Ok(())
                }
            }
        });
        let (backend, store) = backend.open(StoreOptions::new());
        let mut batch = queued(&store, Guarantee::BestEffort, [put("a"), put("a")]);
        let jobs: Vec<_> = batch.jobs().collect();
        assert_eq!(batch.commit().await.unwrap().is_success(), !lasting);
        assert_eq!(backend.sent().len(), attempts);
        for job in jobs {
            let status = job.status();
            assert_eq!(matches!(status, JobStatus::Unknown(_)), lasting, "{status:?}");
        }
    }
}

#[tokio::test]
async fn an_ordered_batch_folds_neighbours_and_one_that_stops_none() {
    let (_, store) = folding(2, 1000).open(StoreOptions::new());
    let operations = || ["a", "b", "a", "a", "c", "a"].map(put);
    for (on_error, expected) in [
        (OnError::Continue, vec![vec![1, 2, 3, 4], vec![5, 6]]),
        (OnError::Stop, (1..=6).map(|job| vec![job]).collect()),
    ] {
        let mut batch = queued(&store, Guarantee::Ordered { on_error }, operations());
        let plan = batch.plan().await.unwrap();
        batch.discard();
        let jobs: Vec<_> = plan.chunks.into_iter().map(|chunk| chunk.operations).collect();
        assert_eq!(jobs, expected, "{on_error:?}");
    }
}

#[tokio::test]
async fn an_all_or_nothing_batch_that_is_joined_counts_folded_operations_as_one() {
    let whole = Routed::new(|routes, _| {
        let mut whole = mechanism("whole", Repeats::Folded, 2, 1000);
        whole.atomic = true;
        let part = mechanism("part", Repeats::Folded, 1, 1000);
        vec![routes.mechanism(whole), routes.mechanism(part)]
    });
    let (_, store) = whole.joining().open(StoreOptions::new());
    let whole = Guarantee::AllOrNothing { isolated: false };
    let on = |key, group| put(key).way(1).group(group);
    let mut batch = queued(&store, whole, [on("a", 1), on("b", 2), on("a", 3), on("a", 4)]);
    assert_eq!(chunks(&batch.plan().await.unwrap()), [(1, "whole", vec![1, 2, 3, 4])]);
    batch.queue(put("c").into()).unwrap();
    let error = batch.plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    batch.discard();
}
