//! Limits of time, size and parallelism, and the store's own calls.

use std::{error::Error as _, time::Duration};

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchState, Error, ErrorKind, Fate, Plan, Store as _,
    StoreOptions,
};
use batch_memory::Fault;
use serde_json::json;

use crate::{
    Case, Context, Point,
    case::case,
    context::{
        aged, asking, assert_agree, assert_applied, assert_pending, commit_on, not_applied, quick,
        unknown,
    },
};

pub(super) const CASES: &[Case] = &[
    case!(
        limits,
        at_the_deadline_what_was_not_sent_is_not_applied,
        [Faults],
        "`NotApplied(error)`: deadline before it was sent."
    ),
    case!(
        limits,
        at_the_deadline_what_is_under_way_is_unknown,
        [Faults],
        "One deadline per commit, from the call of `commit`: waiting for a turn, sending, retries."
    ),
    case!(
        limits,
        an_error_at_the_deadline_has_the_last_attempts_error_as_its_source,
        [Faults],
        "An error at the deadline has the last attempt's error as its source."
    ),
    case!(
        limits,
        a_commit_that_could_send_nothing_fails_at_the_deadline,
        [Faults],
        "`Err` if and only if nothing was sent."
    ),
    case!(
        limits,
        metadata_that_cannot_be_read_before_the_deadline_is_its_source,
        [Faults],
        "One deadline per commit, from the call of `commit`: metadata, planning, waiting for a turn, sending, retries."
    ),
    case!(
        limits,
        the_stores_deadline_holds_where_a_batch_asks_for_none,
        [Faults],
        "One deadline per commit, from the call of `commit`."
    ),
    case!(
        limits,
        a_chunk_that_is_too_large_is_cut_smaller_and_that_is_remembered,
        [Faults],
        "\"Too large\" from the server: cut smaller if the guarantee allows; remember, per store and mechanism."
    ),
    case!(
        limits,
        what_is_known_to_be_refused_is_not_sent,
        [Faults],
        "No chunk is sent over a size that the server is known to refuse."
    ),
    case!(
        limits,
        what_was_learned_of_sizes_is_forgotten_after_ten_minutes,
        [Faults, PausedClock],
        "Remember, per store and mechanism, the largest size taken and the smallest refused, for ten minutes."
    ),
    case!(
        limits,
        an_operation_that_is_too_large_alone_is_not_applied,
        [Faults],
        "\"Too large\" from the server: cut smaller if the guarantee allows."
    ),
    case!(
        limits,
        chunks_in_flight_are_bounded_over_all_batches,
        [Faults],
        "`max_in_flight` and `max_bytes_in_flight` belong to the store and are shared by its batches."
    ),
    case!(
        limits,
        bytes_in_flight_are_bounded_over_all_batches,
        [Faults],
        "`max_in_flight` and `max_bytes_in_flight` belong to the store and are shared by its batches."
    ),
    case!(
        limits,
        chunks_wait_in_the_order_of_arrival,
        [Faults, PausedClock],
        "Shared by its batches in order of arrival."
    ),
    case!(
        limits,
        a_backoff_holds_no_turn,
        [Faults, PausedClock],
        "A waiting chunk or a backoff holds no turn."
    ),
    case!(limits, close_waits_for_running_commits, [Faults], "`store.close(deadline)` drains."),
    case!(
        limits,
        close_waits_for_detached_commits,
        [Faults],
        "`store.close(deadline)` drains, detached commits included."
    ),
    case!(
        limits,
        a_closed_store_takes_nothing,
        [],
        "`store.close(deadline)` drains; refuses new batches and commits."
    ),
    case!(limits, ping_says_which_server_answers, [], "`store.ping()`."),
    case!(
        limits,
        get_reads_one_document_outside_any_batch,
        [],
        "`store.get(collection, key)` reads one document outside any batch."
    ),
];

async fn at_the_deadline_what_was_not_sent_is_not_applied(context: Context) {
    let options = quick().max_batch_operations(1).max_in_flight(1);
    let wrapped = context.wrap([], options).await;
    wrapped.probe.hold(Point::Sent);
    let options = BatchOptions::new().deadline(context.short_deadline());
    let (jobs, report) = commit_on(&*wrapped.store, options, context.puts(3)).await;
    let error = unknown(&jobs[0]);
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown));
    for job in &jobs[1..] {
        let error = not_applied(job);
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotApplied));
        assert!(error.is_retry_safe());
    }
    assert_agree(&report, &jobs);
    wrapped.log.assert_chunks(1);
    for number in 1..=3 {
        context.expect_absent(&format!("p{number}")).await;
    }
}

async fn at_the_deadline_what_is_under_way_is_unknown(context: Context) {
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([], quick()).await;
        wrapped.probe.hold(Point::Applied);
        let options = asking(guarantee).deadline(context.short_deadline());
        let operations = [context.put("a", &aged(1))];
        let (jobs, report) = commit_on(&*wrapped.store, options, operations).await;
        assert_eq!(unknown(&jobs[0]).kind(), ErrorKind::Timeout, "{guarantee}");
        assert_agree(&report, &jobs);
        assert!(report.elapsed() >= context.short_deadline());
        assert!(report.elapsed() < context.short_deadline() * 5, "{:?}", report.elapsed());
    }
}

async fn an_error_at_the_deadline_has_the_last_attempts_error_as_its_source(context: Context) {
    let wrapped = context.wrap(vec![Fault::Busy; 20_000], quick()).await;
    let options = BatchOptions::new().deadline(context.short_deadline());
    let operations = [context.put("a", &aged(1))];
    let (jobs, report) = commit_on(&*wrapped.store, options, operations).await;
    let error = not_applied(&jobs[0]);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let source = error.source().and_then(|source| source.downcast_ref::<Error>());
    assert_eq!(source.map(Error::kind), Some(ErrorKind::Overloaded));
    assert!(report.retries() > 1, "{report}");
    context.expect_absent("a").await;
}

async fn a_commit_that_could_send_nothing_fails_at_the_deadline(context: Context) {
    for point in [Point::Resolve, Point::Before] {
        let wrapped = context.wrap([], quick()).await;
        wrapped.probe.hold(point);
        let options = BatchOptions::new().deadline(context.short_deadline());
        let mut batch = wrapped.store.batch(options).unwrap();
        let jobs = batch.queue_all(context.puts(2)).unwrap();
        let error = batch.commit().await.expect_err("nothing was sent");
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotApplied));
        assert_pending(&jobs);
        assert_eq!(batch.state(), BatchState::Open);
        wrapped.probe.release();
        assert!(batch.commit().await.unwrap().is_success());
        assert_applied(&jobs);
    }
}

async fn metadata_that_cannot_be_read_before_the_deadline_is_its_source(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    for _ in 0..20_000 {
        wrapped
            .probe
            .fail_resolve(false, Error::new(ErrorKind::Connection, "no server").transient());
    }
    let options = BatchOptions::new().deadline(context.short_deadline());
    let mut batch = wrapped.store.batch(options).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    let error = batch.commit().await.expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let source = error.source().and_then(|source| source.downcast_ref::<Error>());
    assert_eq!(source.map(Error::kind), Some(ErrorKind::Connection));
    assert_pending([&job]);
    wrapped.log.assert_nothing_sent();
}

async fn the_stores_deadline_holds_where_a_batch_asks_for_none(context: Context) {
    let wrapped = context.wrap([], quick().timeout(context.short_deadline())).await;
    wrapped.probe.hold(Point::Sent);
    let (jobs, report) =
        commit_on(&*wrapped.store, BatchOptions::new(), [context.put("a", &aged(1))]).await;
    assert_eq!(unknown(&jobs[0]).kind(), ErrorKind::Timeout);
    assert!(report.elapsed() < context.short_deadline() * 5, "{:?}", report.elapsed());
}

fn largest(plan: &Plan) -> u64 {
    plan.chunks.iter().map(|chunk| chunk.bytes).max().expect("the plan has chunks")
}

async fn a_chunk_that_is_too_large_is_cut_smaller_and_that_is_remembered(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let jobs = batch.queue_all(context.puts(4)).unwrap();
    let before = batch.plan().await.unwrap();
    let first = before.chunks.first().expect("the plan has chunks");
    wrapped.faults.push(Fault::Refuse(ErrorKind::TooLarge));
    let report = batch.commit().await.unwrap();
    assert_agree(&report, &jobs);
    if first.operations.len() == 1 {
        // A chunk of one operation cannot be cut, and others of its size are not tried any more.
        assert!(report.not_applied() > 0, "{report}");
        for job in jobs.iter().filter(|job| !job.status().is_applied()) {
            assert_eq!(not_applied(job).kind(), ErrorKind::TooLarge);
            context.expect_absent(&format!("p{}", job.id())).await;
        }
        return;
    }
    assert_applied(&jobs);
    assert!(report.deviations() > 0, "{report}");
    assert!(report.warnings().iter().any(|warning| warning.contains("too large")), "{report}");
    let pieces = wrapped.log.chunks().into_iter().skip(1);
    assert!(pieces.into_iter().all(|piece| piece.bytes < first.bytes), "cut smaller");

    // The next batch is planned with what was learned, and nothing is refused.
    let mut next = wrapped.store.batch(BatchOptions::new()).unwrap();
    let jobs = next.queue_all(context.puts(4)).unwrap();
    let plan = next.plan().await.unwrap();
    assert!(largest(&plan) < first.bytes, "{plan}, but {} were refused", first.bytes);
    let report = next.commit().await.unwrap();
    assert_applied(&jobs);
    assert_eq!((report.deviations(), report.attempts()), (0, plan.chunks.len() as u64));
}

async fn what_is_known_to_be_refused_is_not_sent(context: Context) {
    let options = quick().max_batch_operations(1).max_in_flight(1);
    let wrapped = context.wrap([Fault::Refuse(ErrorKind::TooLarge)], options).await;
    // More than twice the third, also where attributes that are absent are counted.
    let large = json!({"email": "x".repeat(150)});
    let first = [context.put("a", &large)];
    let (jobs, _) = commit_on(&*wrapped.store, BatchOptions::new(), first).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::TooLarge);
    let later = [context.put("b", &large), context.put("c", &aged(1))];
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), later).await;
    assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::TooLarge);
    assert_applied([&jobs[1]]);
    assert_agree(&report, &jobs);
    let times =
        ["a", "b", "c"].map(|id| wrapped.log.times_sent(context.collection(), [("id", id)]));
    assert_eq!(times, [1, 0, 1], "the second is as large as the first");
    context.expect_absent("b").await;
}

async fn what_was_learned_of_sizes_is_forgotten_after_ten_minutes(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    batch.queue_all(context.puts(4)).unwrap();
    let before = batch.plan().await.unwrap();
    wrapped.faults.push(Fault::Refuse(ErrorKind::TooLarge));
    let report = batch.commit().await.unwrap();
    assert_eq!(report.total(), 4);
    tokio::time::advance(Duration::from_secs(601)).await;
    let mut later = wrapped.store.batch(BatchOptions::new()).unwrap();
    later.queue_all(context.puts(4)).unwrap();
    let plan = later.plan().await.unwrap();
    assert_eq!(plan.chunks, before.chunks, "as if nothing had been refused");
    assert!(later.commit().await.unwrap().is_success());
}

async fn an_operation_that_is_too_large_alone_is_not_applied(context: Context) {
    for guarantee in context.guarantees() {
        let wrapped = context.wrap([Fault::Refuse(ErrorKind::TooLarge)], quick()).await;
        let operations = [context.put("a", &aged(1))];
        let (jobs, report) = commit_on(&*wrapped.store, asking(guarantee), operations).await;
        assert_eq!(not_applied(&jobs[0]).kind(), ErrorKind::TooLarge);
        assert_agree(&report, &jobs);
        wrapped.log.assert_chunks(1);
        context.expect_absent("a").await;
    }
}

/// Commits four batches at once, and gives the most chunks and bytes that were in flight.
async fn four_at_once(context: &Context, options: StoreOptions) -> (u64, u64) {
    let wrapped = context.wrap([], options.max_batch_operations(2)).await;
    wrapped.probe.hold(Point::Before);
    let tasks: Vec<_> = (0..4)
        .map(|number| {
            let store = std::sync::Arc::clone(&wrapped.store);
            let operations: Vec<_> = (0..12)
                .map(|place| context.put(&format!("{number}-{place}"), &aged(place)))
                .collect();
            tokio::spawn(async move {
                let (jobs, _) = commit_on(&*store, BatchOptions::new(), operations).await;
                assert_applied(&jobs);
            })
        })
        .collect();
    wrapped.probe.reached(1).await;
    wrapped.probe.release();
    for task in tasks {
        task.await.unwrap();
    }
    wrapped.probe.most_in_flight()
}

async fn chunks_in_flight_are_bounded_over_all_batches(context: Context) {
    for most in [1, 3] {
        let (chunks, _) = four_at_once(&context, quick().max_in_flight(most)).await;
        assert!(chunks <= most as u64, "{chunks} in flight, and at most {most} may be");
    }
    let (chunks, _) = four_at_once(&context, quick().max_in_flight(16)).await;
    assert!(chunks > 1, "chunks are sent side by side");
}

async fn bytes_in_flight_are_bounded_over_all_batches(context: Context) {
    const MOST: usize = 4096;
    let (chunks, bytes) = four_at_once(&context, quick().max_bytes_in_flight(MOST)).await;
    assert!(bytes <= MOST as u64 || chunks == 1, "{bytes} bytes in {chunks} chunks in flight");
    // A chunk that is larger than the whole budget flies alone.
    let (chunks, _) = four_at_once(&context, quick().max_bytes_in_flight(1)).await;
    assert_eq!(chunks, 1);
}

async fn chunks_wait_in_the_order_of_arrival(context: Context) {
    let wrapped = context.wrap([], quick().max_in_flight(1)).await;
    wrapped.probe.hold(Point::Before);
    let mut tasks = Vec::new();
    for number in 1..=4 {
        let store = std::sync::Arc::clone(&wrapped.store);
        let operation = context.put(&format!("b{number}"), &aged(number));
        tasks.push(tokio::spawn(async move {
            commit_on(&*store, BatchOptions::new(), [operation]).await.1.into_result().map(drop)
        }));
        // On the paused clock: until nothing moves any more.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    wrapped.probe.release();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let sent =
        wrapped.log.chunks().into_iter().map(|chunk| format!("{:?}", chunk.operations[0].key));
    let expected = (1..=4)
        .map(|number| format!("{:?}", batch_core::Key::from([("id", format!("b{number}"))])));
    assert!(sent.eq(expected), "{:?}", wrapped.log.chunks());
}

async fn a_backoff_holds_no_turn(context: Context) {
    let pause = Duration::from_secs(600);
    let options = StoreOptions::new().backoff(pause, pause).max_in_flight(1);
    let wrapped = context.wrap([Fault::Busy], options.timeout(pause * 10)).await;
    let (store, operation) = (std::sync::Arc::clone(&wrapped.store), context.put("a", &aged(1)));
    let slow =
        tokio::spawn(async move { commit_on(&*store, BatchOptions::new(), [operation]).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(wrapped.log.chunks().len(), 1, "it waits out its backoff");
    let operations = [context.put("b", &aged(1))];
    let (jobs, report) = commit_on(&*wrapped.store, BatchOptions::new(), operations).await;
    assert_applied(&jobs);
    assert!(report.elapsed() < Duration::from_secs(60), "{report}");
    assert!(!slow.is_finished());
    let (jobs, report) = slow.await.unwrap();
    assert_applied(&jobs);
    assert!(report.elapsed() >= pause, "{report}");
}

async fn close_waits_for_running_commits(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    wrapped.probe.hold(Point::Applied);
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let mut waiting = wrapped.store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    let late = waiting.queue(context.put("late", &aged(1))).unwrap();
    let committing = tokio::spawn(async move { batch.commit().await });
    wrapped.probe.reached(1).await;
    let error = wrapped.store.close(Duration::from_millis(50)).await.expect_err("one still runs");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(job.is_pending());
    let error = waiting.commit().await.expect_err("the store closes");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_pending([&late]);
    wrapped.probe.release();
    wrapped.store.close(Duration::from_secs(30)).await.unwrap();
    assert_applied([&job]);
    assert!(committing.await.unwrap().unwrap().is_success());
    context.expect_absent("late").await;
}

async fn close_waits_for_detached_commits(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    wrapped.probe.hold(Point::Sent);
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    tokio::select! {
        _ = batch.commit() => panic!("the request is held"),
        () = wrapped.probe.reached(1) => {}
    }
    let error = wrapped.store.close(Duration::from_millis(50)).await.expect_err("one still runs");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    wrapped.probe.release();
    wrapped.store.close(Duration::from_secs(30)).await.unwrap();
    assert_applied([&job]);
    assert_eq!(context.age("a").await, Some(1));
}

async fn a_closed_store_takes_nothing(context: Context) {
    let store = context.open(quick()).await;
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let job = batch.queue(context.put("a", &aged(1))).unwrap();
    store.close(Duration::from_secs(30)).await.unwrap();
    store.close(Duration::from_secs(30)).await.unwrap();
    let error = batch.commit().await.expect_err("the store is closed");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(batch.state(), BatchState::Open);
    assert_pending([&job]);
    let error = store.batch(BatchOptions::new()).expect_err("the store is closed");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    drop(batch);
    assert_eq!(not_applied(&job).kind(), ErrorKind::Discarded);
    context.expect_absent("a").await;
}

async fn ping_says_which_server_answers(context: Context) {
    let server = context.store().ping().await.unwrap();
    assert!(!server.name.is_empty() && !server.version.is_empty(), "{server:?}");
}

async fn get_reads_one_document_outside_any_batch(context: Context) {
    use batch_core::StoreExt as _;
    context.given("a", &aged(7)).await;
    let store = context.store();
    let found = store.get(context.collection(), [("id", "a")]).await.unwrap();
    let document: serde_json::Value = found.expect("it is there").decode().unwrap();
    assert_eq!(document["age"], 7);
    assert!(store.get(context.collection(), [("id", "b")]).await.unwrap().is_none());
    let nameless = store.get(context.collection(), batch_core::Key::new()).await;
    assert_eq!(nameless.expect_err("no key").kind(), ErrorKind::InvalidKey);
}
