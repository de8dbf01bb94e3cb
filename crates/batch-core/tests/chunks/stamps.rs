//! The timestamps of writes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Barrier, Mutex},
    time::Duration,
};

use batch_core::{
    BatchExt, Error, ErrorKind, Guarantee, Operation, StoreOptions,
    seam::{Chunk, Engine, ROOM_FOR_ATTEMPTS, Repeats},
};

use crate::{
    mechanism, queued,
    routed::{Routed, Sent, Stands, put},
};

const ROOM: i64 = ROOM_FOR_ATTEMPTS as i64;

fn plain() -> Routed {
    which(Repeats::Together)
}

fn which(repeats: Repeats) -> Routed {
    Routed::new(move |routes, _| vec![routes.mechanism(mechanism("plain", repeats, 99, 1000))])
}

fn stamps(sent: &[Sent]) -> Vec<i64> {
    sent.iter().flat_map(|sent| sent.stamps.clone()).collect()
}

/// What a write gets that is alone in its commit.
async fn next(backend: &Routed, store: &Engine) -> i64 {
    let mut batch = queued(store, Guarantee::BestEffort, [put("next")]);
    assert!(batch.commit().await.unwrap().is_success());
    stamps(&backend.sent())[0]
}

#[tokio::test]
async fn the_nth_write_to_a_key_is_so_far_above_the_base_and_bases_increase() {
    let options = StoreOptions::new().clock(Stands::at(1_000));
    let (backend, store) = which(Repeats::Stamped).open(options);
    let mut base = 1_000;
    // One that stops has a chunk for each, and each chunk its own base.
    for guarantee in &Guarantee::ALL[..2] {
        let mut batch = queued(&store, *guarantee, ["a", "b", "a", "a", "b"].map(put));
        // One with its own timestamp takes a number all the same.
        batch.queue(Operation::from(put("a")).timestamp(5)).unwrap();
        batch.queue(put("a").into()).unwrap();
        assert!(batch.commit().await.unwrap().is_success());
        let sent = backend.sent();
        let given = sent.iter().flat_map(|sent| sent.jobs.iter().zip(&sent.stamps));
        let given: Vec<i64> = BTreeMap::from_iter(given).into_values().copied().collect();
        let expected = [0, 0, ROOM, 2 * ROOM, ROOM, 5 - base, 4 * ROOM];
        assert_eq!(given, expected.map(|above| base + above), "{guarantee}");
        // The clock stands still. What the last write to a key has room for is its own.
        base += 5 * ROOM + 1;
    }
    assert_eq!(next(&backend, &store).await, base);
}

/// However many operations are made one write of, it is not stamped ahead of the clock.
#[tokio::test]
async fn what_is_folded_takes_the_room_of_one_write() {
    let most = 10;
    let folding = Routed::new(move |routes, _| {
        vec![routes.mechanism(mechanism("plain", Repeats::Folded, 99, 10 * most))]
    });
    let (backend, store) = folding.open(StoreOptions::new().clock(Stands::at(1_000)));
    // In one chunk, and in several that follow one another.
    for count in [most, 10 * most] {
        let operations = std::iter::repeat_with(|| put("hot").bytes(10)).take(count);
        let mut batch = queued(&store, Guarantee::BestEffort, operations.chain([put("other")]));
        assert!(batch.commit().await.unwrap().is_success());
        let hot: Vec<Sent> = backend
            .sent()
            .into_iter()
            .filter(|sent| !sent.jobs.contains(&(u32::try_from(count).unwrap() + 1)))
            .collect();
        let given = hot.iter().map(|sent| sent.stamps[0]).collect::<Vec<_>>();
        assert!(given.is_sorted_by(|one, other| one < other), "{given:?}");
        let chunks = i64::try_from(hot.len()).unwrap();
        let ahead = given[given.len() - 1] - 1_000;
        assert!(ahead <= 4 * chunks * (ROOM + 1), "{ahead} ahead by {chunks} chunks");
    }
    assert!(next(&backend, &store).await < 1_000 + 100 * (ROOM + 1));
}

/// Nor is what comes beside operations that take turns, or are made one write of.
#[tokio::test(start_paused = true)]
async fn a_commit_beside_a_hot_key_is_not_stamped_ahead_of_the_clock() {
    for repeats in [Repeats::Together, Repeats::Folded, Repeats::Apart] {
        let options = StoreOptions::new().clock(Stands::at(1_000));
        let (backend, store) = which(repeats).slow(1).open(options);
        let hot = std::iter::repeat_with(|| put("hot").bytes(300)).take(100);
        let mut first = queued(&store, Guarantee::BestEffort, hot);
        let beside = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let mut second = queued(&store, Guarantee::BestEffort, ["beside", "other"].map(put));
            assert!(second.commit().await.unwrap().is_success());
        };
        let (report, ()) = tokio::join!(first.commit(), beside);
        assert!(report.unwrap().is_success());
        let sent = backend.sent();
        let stamp = sent.iter().find(|sent| sent.jobs == [1, 2]).unwrap().stamps[0];
        // The hot key was the first.
        assert!(stamp > 1_000 && stamp <= 1_000 + 10 * (ROOM + 1), "{repeats:?}: {stamp}");
    }
}

/// What a store refuses as a whole goes on in pieces, and pieces of an ordered chunk follow one another.
#[tokio::test(start_paused = true)]
async fn pieces_of_an_ordered_chunk_rise_on_a_key() {
    let errors: [fn() -> Error; 3] = [
        || Error::new(ErrorKind::Unauthorized, "not this one").of_some(),
        || Error::new(ErrorKind::TooLarge, "too large"),
        || Error::new(ErrorKind::Stale, "made again"),
    ];
    for (repeats, error) in [Repeats::Folded, Repeats::Together, Repeats::Stamped]
        .into_iter()
        .flat_map(|repeats| errors.map(|error| (repeats, error)))
    {
        let backend = Routed::new(move |routes, again| {
            // Routed anew, three no longer fit a chunk.
            let most = if again > 0 { 400 } else { 1000 };
            vec![routes.mechanism(mechanism("plain", repeats, 99, most))]
        });
        let backend = backend.sending(move |chunk, answers| {
            if chunk.len() > 2 || (chunk.len() > 1 && error().kind() != ErrorKind::Stale) {
                return Err(error());
            }
            answers.all_applied();
            Ok(())
        });
        let (backend, store) = backend.open(StoreOptions::new().clock(Stands::at(1_000)));
        let keys = ["a", "b", "a", "c", "a"].map(|key| put(key).bytes(190));
        let mut batch = queued(&store, Guarantee::ALL[1], keys);
        assert!(batch.commit().await.unwrap().is_success());
        let sent = backend.sent();
        let stamp = |job: u32| {
            let of = |sent: &Sent| Some(sent.stamps[sent.jobs.iter().position(|own| *own == job)?]);
            sent.iter().rev().find_map(of).unwrap()
        };
        let on_key = [1, 3, 5].map(stamp);
        let rises = on_key.is_sorted_by(|one, other| one < other);
        assert!(rises, "{repeats:?}: {:?}: {sent:?}", error());
    }
}

/// What was possibly applied keeps its timestamps, or is not sent again.
#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_is_not_stamped_anew_where_it_no_longer_travels_together() {
    let backend = Routed::new(move |routes, again| {
        let most = if again > 0 { 250 } else { 1000 };
        vec![routes.mechanism(mechanism("plain", Repeats::Folded, 99, most))]
    });
    let backend = backend.sending(move |chunk, answers| {
        match chunk.attempt() {
            1 => return Err(Error::new(ErrorKind::Connection, "lost").transient().unknown()),
            2 => return Err(Error::new(ErrorKind::Stale, "made again")),
            _ => answers.all_applied(),
        }
        Ok(())
    });
    let (backend, store) = backend.open(StoreOptions::new().clock(Stands::at(1_000)));
    let keys = ["a", "b", "b", "c"].map(|key| put(key).bytes(190));
    let mut batch = queued(&store, Guarantee::BestEffort, keys);
    let report = batch.commit().await.unwrap();
    let sent = backend.sent();
    let doubted = sent.iter().filter(|sent| sent.attempt > 1 || sent.jobs.len() > 1);
    let stamps_of_b: Vec<i64> = doubted
        .flat_map(|sent| sent.jobs.iter().zip(&sent.stamps))
        .filter(|(job, _)| **job == 3)
        .map(|(_, stamp)| *stamp)
        .collect();
    assert!(stamps_of_b.iter().all(|stamp| *stamp == stamps_of_b[0]), "{sent:?}");
    assert!(report.unknown() > 0, "{report}: {sent:?}");
}

/// A lane may have keys of both sorts: those of which writes are made have times of their own, later than the
/// commit's, and what waits for its turn has the commit's.
#[tokio::test]
async fn what_takes_turns_on_a_key_rises_beside_a_hot_key_in_its_lane() {
    let backend = Routed::new(|routes, _| {
        vec![
            routes.mechanism(mechanism("folds", Repeats::Folded, 99, 1000)),
            routes.mechanism(mechanism("apart", Repeats::Apart, 99, 1000)),
        ]
    });
    let options = StoreOptions::new().clock(Stands::at(1_000)).max_in_flight(1);
    let (backend, store) = backend.open(options);
    let hot = || put("hot").bytes(600);
    let operations = [put("other"), hot(), hot(), put("k"), put("k").way(1), hot()];
    let mut batch = queued(&store, Guarantee::BestEffort, operations);
    assert!(batch.commit().await.unwrap().is_success());
    let sent = backend.sent();
    let stamp = |job: u32| {
        let of = |sent: &Sent| Some(sent.stamps[sent.jobs.iter().position(|own| *own == job)?]);
        sent.iter().find_map(of).unwrap()
    };
    assert!(stamp(4) < stamp(5), "{sent:?}");
    assert!(stamp(2) <= stamp(3) && stamp(3) <= stamp(6) && stamp(2) < stamp(6), "{sent:?}");
}

#[tokio::test]
async fn what_is_lifted_is_above_the_clock_and_never_sinks() {
    let clock = Stands::at(1_000);
    let options = StoreOptions::new().clock(Arc::clone(&clock) as _);
    let told = Arc::new(Mutex::new(Vec::new()));
    let backend = {
        let told = Arc::clone(&told);
        plain().sending(move |chunk, answers| {
            let tell = || told.lock().unwrap().push((chunk.timestamp(0), chunk.timestamp(1)));
            tell();
            for time in [1_000, 9_000_000, 0] {
                clock.set(time);
                chunk.lift_timestamps();
                tell();
            }
            answers.all_applied();
            Ok(())
        })
    };
    let (backend, store) = backend.open(options);
    let mut batch = queued(&store, Guarantee::BestEffort, [put("a"), put("a")]);
    assert!(batch.commit().await.unwrap().is_success());
    let bases = [1_000, 1_000 + 2 * ROOM + 1, 9_000_000, 9_000_000 + 2 * ROOM + 1];
    assert_eq!(*told.lock().unwrap(), bases.map(|base| (base, base + ROOM)));
    backend.sent();
    told.lock().unwrap().clear();
    assert!(next(&backend, &store).await > 9_000_000 + 4 * ROOM);
}

/// Sends the chunk of the first two operations again because of an error, and lifts the timestamps
/// of the commit while it is under way.
async fn sent_while_lifted(error: fn() -> Error) -> Vec<Sent> {
    let backend = plain().slow(1).sending(move |chunk: &Chunk<'_>, answers| {
        let first = chunk.operation(0).map(|operation| operation.index);
        match (first, chunk.attempt()) {
            (Some(0), 1) => return Err(error()),
            (Some(2), _) => chunk.lift_timestamps(),
            _ => {}
        }
        answers.all_applied();
        Ok(())
    });
    let options = StoreOptions::new().clock(Stands::at(1_000));
    let (backend, store) = backend.open(options);
    let operations = [put("a"), put("a2"), put("b").group(1)];
    let mut batch = queued(&store, Guarantee::BestEffort, operations);
    assert!(batch.commit().await.unwrap().is_success());
    backend.sent()
}

/// A timestamp that rises between attempts would win over what others wrote in between.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_was_begun_keeps_its_timestamps_in_all_attempts() {
    let errors: [fn() -> Error; 4] = [
        || Error::new(ErrorKind::Conflict, "busy").transient(),
        || Error::new(ErrorKind::Connection, "lost").transient().unknown(),
        || Error::new(ErrorKind::TooLarge, "too large"),
        || Error::new(ErrorKind::Stale, "made again"),
    ];
    for error in errors {
        let sent = sent_while_lifted(error).await;
        let jobs: Vec<_> = sent.iter().map(|sent| sent.jobs.clone()).collect();
        assert_eq!(jobs[..2], [vec![3], vec![1, 2]], "the lifting came first");
        assert!(sent.len() > 2, "sent again");
        for sent in &sent[1..] {
            assert!(sent.stamps.iter().all(|stamp| *stamp == 1_000), "{sent:?}");
        }
        // The one that lifts is above.
        assert_eq!(sent[0].stamps, [1_000 + ROOM + 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lifted_is_above_what_other_commits_were_given() {
    let backend = plain().sending(|chunk, answers| {
        // Of the commit of two operations; the other comes in between.
        match (chunk.len(), chunk.attempt()) {
            (2, 1) => return Err(Error::new(ErrorKind::Conflict, "busy").transient()),
            (2, _) => chunk.lift_timestamps(),
            _ => {}
        }
        answers.all_applied();
        Ok(())
    });
    let (backend, store) = backend.open(StoreOptions::new().clock(Stands::at(1_000)));
    let mut first = queued(&store, Guarantee::BestEffort, [put("a"), put("a")]);
    let other = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut second = queued(&store, Guarantee::BestEffort, ["b", "b", "b"].map(put));
        assert!(second.commit().await.unwrap().is_success());
    };
    let (report, ()) = tokio::join!(first.commit(), other);
    assert!(report.unwrap().is_success());
    let stamps: Vec<_> = backend.sent().into_iter().map(|sent| sent.stamps).collect();
    let [before, other, after] = stamps.as_slice() else { panic!("{stamps:?}") };
    assert!(before.last() < other.first() && other.last() < after.first(), "{stamps:?}");
    assert!(next(&backend, &store).await > after[1]);
}

/// Calls from several threads at once, as backends may that encode side by side.
#[tokio::test]
async fn threads_that_ask_first_at_once_are_told_the_same_and_lifting_loses_nothing() {
    const THREADS: usize = 4;
    let backend = plain().sending(|chunk, answers| {
        let barrier = Barrier::new(THREADS);
        let all_at_once = |ask: &(dyn Fn() -> i64 + Sync)| -> Vec<i64> {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            ask()
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            })
        };
        let first = all_at_once(&|| chunk.timestamp(0));
        assert!(first.iter().all(|stamp| *stamp == first[0]), "{first:?}");
        let lifted = all_at_once(&|| {
            let before = chunk.timestamp(0);
            chunk.lift_timestamps();
            let after = chunk.timestamp(0);
            assert!(before < after, "{before}, {after}");
            after
        });
        assert!(lifted.iter().all(|stamp| *stamp <= chunk.timestamp(0)), "{lifted:?}");
        assert_eq!(lifted.iter().max(), Some(&chunk.timestamp(0)));
        answers.all_applied();
        Ok(())
    });
    let (backend, store) = backend.open(StoreOptions::new().clock(Stands::at(1_000)));
    let mut latest = 0;
    for _ in 0..100 {
        let stamp = next(&backend, &store).await;
        assert!(stamp > latest, "{stamp} after {latest}");
        latest = stamp;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_side_by_side_share_no_timestamp() {
    let (backend, store) = plain().open(StoreOptions::new().clock(Stands::at(1_000)));
    let commits = (0..64).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let keys = (0..=number % 5).map(|_| put("a"));
            let mut batch = queued(&store, Guarantee::BestEffort, keys);
            assert!(batch.commit().await.unwrap().is_success());
        })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.unwrap();
    }
    let mut given: Vec<Vec<i64>> = backend.sent().into_iter().map(|sent| sent.stamps).collect();
    given.sort();
    for pair in given.windows(2) {
        // Also with the room that the last write of the former one has.
        assert!(pair[0].last().unwrap() + ROOM <= pair[1][0], "{pair:?}");
    }
}
