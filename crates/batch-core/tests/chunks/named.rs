//! The name under which a chunk of one write travels.

use batch_core::{
    Error, ErrorKind, Guarantee, OnError, StoreOptions,
    seam::{MechanismId, Repeats, Routes},
};

use bytes::Bytes;

use crate::{
    chunks, mechanism, plan_of, queued,
    routed::{Routed, put},
};

/// Chunks of at most four operations, alone by another name with another ceiling.
fn naming(routes: &mut Routes, repeats: Repeats, most_bytes: usize) -> Vec<MechanismId> {
    let mut single = mechanism("single", repeats, 1, most_bytes);
    single.overhead = 3;
    let single = routes.mechanism(single);
    let mut plain = mechanism("plain", Repeats::Folded, 4, 1000);
    plain.alone = Some(single);
    vec![routes.mechanism(plain)]
}

const ORDERED: Guarantee = Guarantee::Ordered { on_error: OnError::Continue };

#[tokio::test]
async fn a_chunk_of_one_write_has_a_name_of_its_own() {
    let backend = Routed::new(|routes, _| naming(routes, Repeats::Folded, 1000));
    let (_, store) = backend.open(StoreOptions::new());
    let operations =
        || [put("a"), put("b").group(1), put("b").group(1), put("c"), put("d").group(2)];
    let plan = plan_of(&store, operations()).await;
    assert_eq!(
        chunks(&plan),
        [(1, "plain", vec![1, 4]), (2, "single", vec![2, 3]), (3, "single", vec![5])]
    );
    assert_eq!(plan.chunks.iter().map(|chunk| chunk.bytes).collect::<Vec<_>>(), [21, 23, 13]);
    let mut batch = queued(&store, ORDERED, operations());
    let plan = batch.plan().await.unwrap();
    assert_eq!(
        chunks(&plan),
        [
            (1, "single", vec![1]),
            (1, "single", vec![2, 3]),
            (1, "single", vec![4]),
            (1, "single", vec![5])
        ]
    );
    batch.discard();
}

#[tokio::test]
async fn what_does_not_go_by_that_name_keeps_its_own() {
    // Several operations, where that one does not fold.
    let backend = Routed::new(|routes, _| naming(routes, Repeats::Apart, 1000));
    let (_, store) = backend.open(StoreOptions::new());
    let plan = plan_of(&store, [put("a"), put("a"), put("b").group(1)]).await;
    assert_eq!(chunks(&plan), [(1, "plain", vec![1, 2]), (2, "single", vec![3])]);
    // More bytes than that one takes.
    let backend = Routed::new(|routes, _| naming(routes, Repeats::Folded, 50));
    let (_, store) = backend.open(StoreOptions::new());
    let plan = plan_of(&store, [put("a").bytes(47), put("b").group(1).bytes(48)]).await;
    assert_eq!(chunks(&plan), [(1, "single", vec![1]), (2, "plain", vec![2])]);
    assert_eq!(plan.bytes(), 50 + 49);
    // All or nothing, whose one chunk has its name.
    let backend = Routed::new(|routes, _| {
        let single = routes.mechanism(mechanism("single", Repeats::Folded, 1, 1000));
        let mut whole = mechanism("whole", Repeats::Folded, 4, 1000);
        (whole.atomic, whole.alone) = (true, Some(single));
        vec![routes.mechanism(whole)]
    });
    let (_, store) = backend.open(StoreOptions::new());
    let mut batch = queued(&store, Guarantee::AllOrNothing { isolated: false }, [put("a")]);
    assert_eq!(chunks(&batch.plan().await.unwrap()), [(1, "whole", vec![1])]);
    batch.discard();
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_chunk_has_its_name_too() {
    // Sent again: the second of three operations.
    let backend = Routed::new(|routes, _| naming(routes, Repeats::Folded, 1000));
    let backend = backend.sending(|chunk, answers| {
        for place in 0..chunk.len() {
            let busy = chunk.attempt() == 1 && place == 1;
            let conflict = || Error::new(ErrorKind::Conflict, "busy").transient();
            answers.set(place, if busy { Err(conflict()) } else { Ok(Bytes::new()) });
        }
        Ok(())
    });
    let (backend, store) = backend.open(StoreOptions::new());
    let mut batch = queued(&store, Guarantee::BestEffort, ["a", "b", "c"].map(put));
    assert!(batch.commit().await.unwrap().is_success());
    let sent: Vec<_> = backend.sent().into_iter().map(|sent| (sent.mechanism, sent.jobs)).collect();
    assert_eq!(sent, [("plain".into(), vec![1, 2, 3]), ("single".into(), vec![2])]);

    // Cut smaller.
    let backend = Routed::new(|routes, _| naming(routes, Repeats::Folded, 1000));
    let backend = backend.sending(|chunk, answers| {
        if chunk.bytes() > 25 {
            return Err(Error::new(ErrorKind::TooLarge, "too large"));
        }
        answers.all_applied();
        Ok(())
    });
    let (backend, store) = backend.open(StoreOptions::new());
    let mut batch = queued(&store, Guarantee::BestEffort, ["a", "b", "c"].map(put));
    assert!(batch.commit().await.unwrap().is_success());
    let sent = backend.sent();
    assert!(sent.len() > 2, "{sent:?}");
    for sent in sent {
        assert_eq!(sent.mechanism, if sent.jobs.len() == 1 { "single" } else { "plain" });
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_routed_anew_has_its_name_too_whatever_number_that_has_now() {
    let backend = Routed::new(|routes, anew| {
        if anew > 0 {
            // Comes first, so that all others have other numbers than before.
            routes.mechanism(mechanism("new", Repeats::Apart, 1, 1000));
        }
        naming(routes, Repeats::Folded, 1000)
    });
    let backend = backend.sending(|chunk, answers| {
        if chunk.attempt() == 1 {
            return Err(Error::new(ErrorKind::Stale, "the table was made again"));
        }
        answers.all_applied();
        Ok(())
    });
    let (backend, store) = backend.open(StoreOptions::new());
    let mut batch = queued(&store, Guarantee::BestEffort, [put("a"), put("b"), put("c").group(1)]);
    assert!(batch.commit().await.unwrap().is_success());
    let mut sent: Vec<_> =
        backend.sent().into_iter().map(|sent| (sent.attempt, sent.mechanism, sent.jobs)).collect();
    sent.sort();
    let named = |attempt, mechanism: &str, jobs| (attempt, mechanism.to_owned(), jobs);
    assert_eq!(
        sent,
        [
            named(1, "plain", vec![1, 2]),
            named(1, "single", vec![3]),
            named(2, "plain", vec![1, 2]),
            named(2, "single", vec![3])
        ]
    );
}

#[tokio::test]
async fn a_number_of_other_routes_is_a_defect_of_the_backend() {
    let backend = Routed::new(|routes, _| {
        let mut others = Routes::default();
        others.mechanism(mechanism("a", Repeats::Apart, 1, 1));
        let elsewhere = others.mechanism(mechanism("b", Repeats::Apart, 1, 1));
        let mut plain = mechanism("plain", Repeats::Apart, 4, 1000);
        plain.alone = Some(elsewhere);
        vec![routes.mechanism(plain)]
    });
    let (_, store) = backend.open(StoreOptions::new());
    let mut batch = queued(&store, Guarantee::BestEffort, [put("a")]);
    assert_eq!(batch.plan().await.unwrap_err().kind(), ErrorKind::Protocol);
    batch.discard();
}

/// Sizes that the server refused are remembered for all that travels so.
#[tokio::test(start_paused = true)]
async fn a_refusal_before_sending_says_nothing_of_what_the_server_takes() {
    let backend = Routed::new(|routes, _| {
        vec![routes.mechanism(mechanism("plain", Repeats::Folded, 4, 1000))]
    });
    let (backend, store) = backend.refusing_above(2).open(StoreOptions::new());
    let mut batch = queued(&store, Guarantee::BestEffort, ["a", "b", "c", "d"].map(put));
    assert!(batch.commit().await.unwrap().is_success());
    assert_eq!(backend.sent().len(), 2);
    let mut large = queued(&store, Guarantee::BestEffort, [put("e").bytes(500)]);
    assert!(large.commit().await.unwrap().is_success());
}
