//! Operations on different keys that write something in common.

use batch_core::{
    Error, ErrorKind, Guarantee, OnError, StoreOptions,
    seam::{Pooled, ROOM_FOR_ATTEMPTS, Repeats},
};

use crate::{
    chunks, mechanism, plan_of, queued,
    routed::{Routed, Sent, Stands, To, folding, put},
};

const ROOM: i64 = ROOM_FOR_ATTEMPTS as i64;
const ORDERED: Guarantee = Guarantee::Ordered { on_error: OnError::Continue };

/// An operation that shares something with others of this sort.
fn sharing(key: &str) -> To {
    put(key).sharing(7)
}

/// The least and the greatest timestamp of each request.
fn spans(sent: &[Sent]) -> Vec<(i64, i64)> {
    let span = |sent: &Sent| Some((*sent.stamps.iter().min()?, *sent.stamps.iter().max()?));
    sent.iter().filter_map(span).collect()
}

/// Whether each request has only timestamps above all those of the one before.
fn rises(sent: &[Sent]) -> bool {
    spans(sent).windows(2).all(|pair| pair[0].1 < pair[1].0)
}

#[tokio::test]
async fn a_chunk_that_takes_all_that_share_something_takes_them_where_the_first_would_go() {
    let (_, store) = folding(4, 1000).open(StoreOptions::new());
    // Room is kept for the last one, which two others would have taken.
    let operations =
        [sharing("a"), put("b"), sharing("c"), put("d"), put("e"), sharing("f"), put("g")];
    let plan = plan_of(&store, operations).await;
    assert_eq!(chunks(&plan), [(1, "plain", vec![1, 2, 3, 6]), (2, "plain", vec![4, 5, 7])]);
    assert_eq!(plan.chunks[0].bytes, 41);
    // Those that are folded do not count, and come along though they share nothing themselves.
    let operations = [put("a"), sharing("a"), sharing("b"), sharing("a"), sharing("c"), put("c")];
    let plan = plan_of(&store, operations).await;
    assert_eq!(chunks(&plan), [(1, "plain", vec![1, 2, 3, 4, 5, 6])]);
}

#[tokio::test]
async fn small_groups_that_share_something_still_travel_together() {
    let ways = Routed::new(|routes, _| {
        let several = routes.mechanism(mechanism("several", Repeats::Folded, 9, 1000));
        let mut own = mechanism("own", Repeats::Folded, 99, 1000);
        own.pooled = Some(Pooled::new(several, 3, 4));
        vec![routes.mechanism(own)]
    });
    let (_, store) = ways.open(StoreOptions::new());
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let operations = keys.iter().zip(0..).map(|(key, n)| put(key).group(n % 4).sharing(n % 4 + 1));
    let plan = plan_of(&store, operations).await;
    assert_eq!(chunks(&plan), [(1, "several", vec![1, 2, 3, 5, 6, 7]), (2, "own", vec![4, 8])]);
}

#[tokio::test]
async fn what_one_chunk_does_not_take_follows_in_one_lane() {
    for (most, most_bytes) in [(2, 1000), (99, 21)] {
        let (_, store) = folding(most, most_bytes).open(StoreOptions::new());
        let operations = ["a", "b", "c", "d", "e"].map(sharing);
        let plan = plan_of(&store, operations.into_iter().chain([put("other")])).await;
        assert_eq!(
            chunks(&plan),
            [
                (1, "plain", vec![6]),
                (2, "plain", vec![1, 2]),
                (2, "plain", vec![3, 4]),
                (2, "plain", vec![5])
            ]
        );
    }
}

#[tokio::test]
async fn all_operations_on_a_bound_key_follow_one_another() {
    let (_, store) = folding(99, 1000).open(StoreOptions::new());
    let condition = |to: To, group| to.way(1).group(group);
    let operations = [
        condition(sharing("a"), 1),
        put("b"),
        sharing("b"),
        condition(put("a"), 1),
        condition(sharing("c"), 2),
        put("free"),
        sharing("b").way(2),
        sharing("a").way(2),
        put("a").way(2),
    ];
    let plan = plan_of(&store, operations).await;
    assert_eq!(
        chunks(&plan),
        [
            (1, "plain", vec![6]),
            (2, "condition", vec![1]),
            (2, "plain", vec![2, 3]),
            (2, "condition", vec![4]),
            (2, "condition", vec![5]),
            (2, "apart", vec![7, 8]),
            (2, "apart", vec![9]),
        ]
    );
}

#[tokio::test]
async fn what_one_key_alone_writes_binds_nothing() {
    let (_, store) = folding(1, 1000).open(StoreOptions::new());
    // Nor does it matter who else has another thing.
    let operations = [sharing("a"), put("b"), sharing("a"), put("c").sharing(8)];
    let plan = plan_of(&store, operations).await;
    assert_eq!(
        chunks(&plan),
        [(1, "plain", vec![1, 3]), (2, "plain", vec![2]), (3, "plain", vec![4])]
    );
}

#[tokio::test]
async fn each_chunk_in_the_lane_has_later_timestamps_than_the_one_before() {
    // The clock stands still, and other lanes take timestamps meanwhile.
    let options = StoreOptions::new().clock(Stands::at(1_000));
    let (backend, store) = folding(2, 1000).open(options);
    let shared = ["a", "b", "a", "c", "d", "b", "e", "a"].map(sharing);
    let free = ["f", "g", "h", "i"].map(put);
    let mut batch = queued(&store, Guarantee::BestEffort, shared.into_iter().chain(free));
    assert!(batch.commit().await.unwrap().is_success());
    let mut sent = backend.sent();
    sent.retain(|sent| sent.jobs[0] <= 8);
    assert!(sent.len() >= 3 && rises(&sent), "{sent:?}");
    // And the next commit comes after all of them.
    let mut batch = queued(&store, Guarantee::BestEffort, [sharing("z")]);
    assert!(batch.commit().await.unwrap().is_success());
    sent.extend(backend.sent());
    assert!(rises(&sent), "{sent:?}");
}

/// What meets another without a key that says so is in order as well.
#[tokio::test]
async fn each_chunk_of_an_ordered_batch_has_later_timestamps_than_the_one_before() {
    let (backend, store) = folding(2, 1000).open(StoreOptions::new().clock(Stands::at(1_000)));
    let operations = ["a", "b", "c", "d", "a", "e", "a", "a", "f", "g"].map(put);
    let mut batch = queued(&store, ORDERED, operations);
    assert!(batch.commit().await.unwrap().is_success());
    let sent = backend.sent();
    assert!(sent.len() >= 4 && rises(&sent), "{sent:?}");
    // Within a chunk all operations on a key are one write.
    let twice = sent.iter().find(|sent| sent.jobs == [5, 6, 7, 8]).unwrap();
    assert_eq!(twice.stamps, [spans(&sent)[2].0; 4], "{sent:?}");
}

/// Many writes to a key would put each chunk that has one further ahead of the clock.
#[tokio::test]
async fn chunks_with_timestamps_of_their_own_take_no_more_than_their_own_writes_need() {
    for guarantee in [Guarantee::BestEffort, ORDERED] {
        let (backend, store) = folding(3, 1000).open(StoreOptions::new().clock(Stands::at(0)));
        let keys: Vec<String> = (0..60).map(|key| format!("{key}")).collect();
        let operations = keys.iter().flat_map(|key| [sharing("hot"), sharing(key)]);
        let mut batch = queued(&store, guarantee, operations);
        assert!(batch.commit().await.unwrap().is_success());
        let sent = backend.sent();
        assert!(sent.len() >= 20 && rises(&sent), "{guarantee}: {sent:?}");
        let last = spans(&sent).last().map_or(0, |(_, last)| *last);
        assert!(last < 3 * ROOM * i64::try_from(60 + sent.len()).unwrap(), "{guarantee}: {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_chunk_keeps_its_timestamps_in_all_attempts() {
    let backend = folding(2, 1000).sending(|chunk, answers| {
        if chunk.attempt() < 3 {
            return Err(Error::new(ErrorKind::Connection, "lost").transient().unknown());
        }
        answers.all_applied();
        Ok(())
    });
    let (backend, store) = backend.open(StoreOptions::new().clock(Stands::at(1_000)));
    let operations = ["a", "b", "c", "d"].map(sharing);
    let mut batch = queued(&store, Guarantee::BestEffort, operations);
    assert!(batch.commit().await.unwrap().is_success());
    let sent = backend.sent();
    let jobs: Vec<_> = sent.iter().map(|sent| sent.jobs.clone()).collect();
    assert_eq!(jobs, [[1, 2], [1, 2], [1, 2], [3, 4], [3, 4], [3, 4]]);
    let spans = spans(&sent);
    assert!(spans[0] == spans[2] && spans[3] == spans[5], "{spans:?}");
    assert!(spans[2].1 < spans[3].0, "{spans:?}");
}

#[tokio::test(start_paused = true)]
async fn pieces_of_a_bound_chunk_come_one_after_another_too() {
    let errors: [fn() -> Error; 3] = [
        || Error::new(ErrorKind::TooLarge, "too large"),
        || Error::new(ErrorKind::InvalidOperation, "one of them").of_some(),
        || Error::new(ErrorKind::Stale, "made again"),
    ];
    let guarantees = [Guarantee::BestEffort, ORDERED];
    for (error, guarantee) in errors.into_iter().flat_map(|e| guarantees.map(|g| (e, g))) {
        // Routed anew, two of them are a chunk.
        let backend = Routed::new(|routes, anew| {
            let most = if anew == 0 { 99 } else { 2 };
            vec![routes.mechanism(mechanism("plain", Repeats::Folded, most, 1000))]
        });
        let backend = backend.sending(move |chunk, answers| {
            if chunk.len() > 2 {
                return Err(error());
            }
            answers.all_applied();
            Ok(())
        });
        let (backend, store) = backend.open(StoreOptions::new().clock(Stands::at(1_000)));
        let operations = ["a", "b", "c", "d"].map(sharing);
        let mut batch = queued(&store, guarantee, operations);
        assert!(batch.commit().await.unwrap().is_success());
        let mut sent = backend.sent();
        sent.retain(|sent| sent.jobs.len() <= 2);
        assert!(sent.len() > 1 && rises(&sent), "{sent:?}");
        let jobs: Vec<_> = sent.into_iter().flat_map(|sent| sent.jobs).collect();
        assert_eq!(jobs, [1, 2, 3, 4]);
    }
}
