//! Guarantees are asked for, never assumed.

use batch_core::{
    Batch as _, BatchExt as _, BatchOptions, BatchState, BatchType, Error, ErrorKind, Guarantee,
    Job, Operation, Report, Verb,
};
use batch_memory::Fault;
use serde_json::json;

use crate::{
    Case, Context,
    case::case,
    context::{
        CONTINUE, ISOLATED, STOP, WHOLE, abby, aged, asking, assert_agree, assert_applied,
        assert_pending, commit_on, not_applied, quick, unknown,
    },
};

pub(super) const CASES: &[Case] = &[
    case!(
        guarantees,
        each_declared_one_has_a_named_mechanism_and_is_kept,
        [],
        "A store answers with a named mechanism; nothing is silently weakened or strengthened."
    ),
    case!(
        guarantees,
        one_that_is_not_declared_is_refused_before_anything,
        [],
        "A store answers with a named mechanism, or refuses before a byte is sent."
    ),
    case!(
        guarantees,
        a_kind_of_batch_that_is_not_declared_is_refused,
        [],
        "CQL batch type can also be forced: logged, unlogged, counter; refused elsewhere."
    ),
    case!(
        guarantees,
        best_effort_is_split_by_count,
        [],
        "BestEffort batches of any size are split by bytes and count."
    ),
    case!(
        guarantees,
        best_effort_is_split_by_bytes,
        [],
        "BestEffort batches of any size are split by bytes and count."
    ),
    case!(
        guarantees,
        a_large_batch_ends_whole,
        [],
        "BestEffort batches of any size are split by bytes and count."
    ),
    case!(
        guarantees,
        conditions_never_refuse_their_neighbours,
        [Conditions],
        "Under best effort a condition is never put where its failure would refuse its neighbours."
    ),
    case!(
        guarantees,
        ordered_sends_in_program_order,
        [Ordered, Faults],
        "`Ordered`: in program order, one after another."
    ),
    case!(
        guarantees,
        ordered_continues_after_a_failure,
        [Ordered, Conditions],
        "`Ordered { on_error: Continue }` goes on with the next."
    ),
    case!(
        guarantees,
        ordered_stops_at_the_first_not_applied,
        [Ordered, Conditions],
        "`Stop` stops at the first job that is NotApplied or Unknown."
    ),
    case!(
        guarantees,
        ordered_stops_at_the_first_unknown,
        [Ordered, Faults],
        "`Stop` stops at the first job that is NotApplied or Unknown."
    ),
    case!(
        guarantees,
        ordered_does_not_send_again_what_later_ones_have_passed,
        [Ordered, Faults, Conflicts],
        "Under `Ordered`, an operation that failed while later ones of its chunk ran is not sent again."
    ),
    case!(
        guarantees,
        all_or_nothing_applies_all,
        [AllOrNothing],
        "`AllOrNothing`: all operations or none."
    ),
    case!(
        guarantees,
        all_or_nothing_keeps_program_order_on_a_key,
        [AllOrNothing],
        "An AllOrNothing batch over a ceiling is refused, never split; it keeps program order per key."
    ),
    case!(
        guarantees,
        all_or_nothing_over_a_ceiling_of_operations_is_refused,
        [AllOrNothing],
        "An AllOrNothing batch over a ceiling is refused, never split."
    ),
    case!(
        guarantees,
        all_or_nothing_over_a_ceiling_of_bytes_is_refused,
        [AllOrNothing],
        "An AllOrNothing batch over a ceiling is refused, never split."
    ),
    case!(
        guarantees,
        all_or_nothing_names_the_culprit_and_rolls_the_others_back,
        [AllOrNothing, Conditions],
        "`NotApplied(error)`: refused by the store; condition false; rolled back with its batch."
    ),
    case!(
        guarantees,
        all_or_nothing_is_refused_if_one_operation_cannot_be_sent,
        [AllOrNothing, Faults],
        "Refuses before a byte is sent, naming the operation and the reason."
    ),
    case!(
        guarantees,
        all_or_nothing_is_sent_again_as_a_whole,
        [AllOrNothing, Conflicts],
        "Definitely-not-applied and transient: retried."
    ),
    case!(
        guarantees,
        all_or_nothing_in_doubt_is_in_doubt_as_a_whole,
        [AllOrNothing, Faults],
        "Possibly applied: retried only if the operation is idempotent."
    ),
    case!(
        guarantees,
        all_or_nothing_is_never_cut_smaller,
        [AllOrNothing, Faults],
        "\"Too large\" from the server: cut smaller if the guarantee allows."
    ),
    case!(
        guarantees,
        nobody_sees_a_part_of_an_isolated_batch,
        [Isolated, Reads],
        "`AllOrNothing { isolated: true }`: nobody sees a part of it."
    ),
];

async fn each_declared_one_has_a_named_mechanism_and_is_kept(context: Context) {
    for guarantee in context.guarantees() {
        let declared = context.can().mechanism(guarantee).expect("it is declared");
        assert!(!declared.is_empty(), "{guarantee}");
        let id = guarantee.as_str();
        let mut batch = context.store().batch(asking(guarantee)).unwrap();
        let job = batch.queue(context.put(id, &abby())).unwrap();
        let plan = batch.plan().await.unwrap();
        assert_eq!((plan.guarantee, plan.store.as_str()), (guarantee, context.store().name()));
        let report = batch.commit().await.unwrap();
        assert_applied([&job]);
        assert_eq!((report.guarantee(), report.store()), (guarantee, context.store().name()));
        let used: Vec<_> = report.mechanisms().iter().map(|used| &*used.name).collect();
        assert_eq!(used, plan.mechanisms(), "{guarantee}");
        assert!(used.iter().all(|name| !name.is_empty()), "{guarantee}");
        context.expect(id, &abby()).await;
    }
}

async fn one_that_is_not_declared_is_refused_before_anything(context: Context) {
    for guarantee in Guarantee::ALL.iter().copied() {
        let opened = context.store().batch(asking(guarantee));
        let declared = context.can().mechanism(guarantee).is_some();
        assert_eq!(opened.is_ok(), declared, "{guarantee}");
        if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(guarantee.as_str()), "names it: {error}");
            assert!(error.message().contains(context.store().name()), "and the store: {error}");
        }
    }
}

async fn a_kind_of_batch_that_is_not_declared_is_refused(context: Context) {
    for kind in [BatchType::Logged, BatchType::Unlogged, BatchType::Counter] {
        let opened = context.store().batch(BatchOptions::new().batch_type(kind));
        assert_eq!(opened.is_ok(), context.can().batch_types.contains(&kind), "{kind:?}");
        if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(kind.as_str()), "names it: {error}");
        }
    }
}

async fn best_effort_is_split_by_count(context: Context) {
    let store = context.open(quick().max_batch_operations(10)).await;
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let jobs = batch.queue_all(context.puts(25)).unwrap();
    let plan = batch.plan().await.unwrap();
    assert!(plan.chunks.len() >= 3, "{plan}");
    assert!(plan.chunks.iter().all(|chunk| (1..=10).contains(&chunk.operations.len())), "{plan}");
    let mut sent: Vec<u32> = plan.chunks.iter().flat_map(|c| c.operations.clone()).collect();
    sent.sort_unstable();
    assert!(sent.into_iter().eq(1..=25), "each operation once: {plan:?}");
    let report = batch.commit().await.unwrap();
    assert_applied(&jobs);
    assert_agree(&report, &jobs);
    for number in 1..=25 {
        assert_eq!(context.age(&format!("p{number}")).await, Some(number));
    }
}

async fn best_effort_is_split_by_bytes(context: Context) {
    const MOST: usize = 4096;
    let store = context.open(quick().max_batch_bytes(MOST)).await;
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let document = json!({"email": "x".repeat(150)});
    let ids: Vec<_> = (0..80).map(|number| format!("p{number}")).collect();
    let jobs = batch.queue_all(ids.iter().map(|id| context.put(id, &document))).unwrap();
    let plan = batch.plan().await.unwrap();
    assert!(plan.chunks.len() >= 80 * 150 / MOST, "{plan}");
    for chunk in &plan.chunks {
        assert!(chunk.bytes <= MOST as u64, "{} bytes: {plan}", chunk.bytes);
    }
    assert_eq!(plan.operations(), 80);
    let report = batch.commit().await.unwrap();
    assert_applied(&jobs);
    assert_agree(&report, &jobs);
    context.expect("p79", &document).await;
}

async fn a_large_batch_ends_whole(context: Context) {
    const ALL: u32 = 5000;
    let options = BatchOptions::new().results(false);
    let (jobs, report) = commit_on(&**context.store(), options, context.puts(ALL)).await;
    assert_eq!((report.applied(), report.total()), (ALL.into(), ALL.into()), "{report}");
    assert_applied(&jobs);
    for number in [1, 1000, 4096, 4097, ALL] {
        assert_eq!(context.age(&format!("p{number}")).await, Some(number.into()));
    }
}

async fn conditions_never_refuse_their_neighbours(context: Context) {
    context.given("taken", &aged(1)).await;
    context.given("taken too", &aged(1)).await;
    let (jobs, report) = context
        .commit([
            context.put("a", &aged(2)),
            context.insert("taken", &aged(2)),
            context.insert("b", &aged(2)),
            context.on(Verb::Update, "absent").doc(&aged(2)),
            context.on(Verb::Upsert, "c").doc(&aged(2)),
            context.insert("taken too", &aged(2)),
            context.on(Verb::DeleteExisting, "absent too"),
            context.put("d", &aged(2)),
        ])
        .await;
    let kinds = jobs.iter().map(|job| job.status().error().map(Error::kind));
    let (taken, missing) = (Some(ErrorKind::AlreadyExists), Some(ErrorKind::NotFound));
    assert_eq!(kinds.collect::<Vec<_>>(), [None, taken, None, missing, None, taken, missing, None]);
    assert_agree(&report, &jobs);
    for (id, age) in [("a", 2), ("b", 2), ("c", 2), ("d", 2), ("taken", 1), ("taken too", 1)] {
        assert_eq!(context.age(id).await, Some(age), "{id}");
    }
}

async fn ordered_sends_in_program_order(context: Context) {
    for guarantee in [CONTINUE, STOP] {
        let wrapped = context.wrap([], quick().max_batch_operations(3)).await;
        let (jobs, _) = commit_on(&*wrapped.store, asking(guarantee), context.puts(20)).await;
        assert_applied(&jobs);
        let sent = wrapped.log.chunks().into_iter().flat_map(|chunk| chunk.operations);
        assert!(sent.map(|operation| operation.job).eq(1..=20), "{:?}", wrapped.log.chunks());
        assert_eq!(wrapped.probe.most_in_flight().0, 1, "one after another");
    }
}

fn with_a_failure(context: &Context) -> [Operation; 4] {
    [
        context.put("a", &aged(2)),
        context.insert("taken", &aged(2)),
        context.put("b", &aged(2)),
        context.put("c", &aged(2)),
    ]
}

async fn ordered_continues_after_a_failure(context: Context) {
    context.given("taken", &aged(1)).await;
    let (jobs, report) =
        commit_on(&**context.store(), asking(CONTINUE), with_a_failure(&context)).await;
    assert_eq!(not_applied(&jobs[1]).kind(), ErrorKind::AlreadyExists);
    assert_applied([&jobs[0], &jobs[2], &jobs[3]]);
    assert_agree(&report, &jobs);
    for (id, age) in [("a", 2), ("taken", 1), ("b", 2), ("c", 2)] {
        assert_eq!(context.age(id).await, Some(age), "{id}");
    }
}

async fn ordered_stops_at_the_first_not_applied(context: Context) {
    context.given("taken", &aged(1)).await;
    let (jobs, report) =
        commit_on(&**context.store(), asking(STOP), with_a_failure(&context)).await;
    assert_applied([&jobs[0]]);
    assert_eq!(not_applied(&jobs[1]).kind(), ErrorKind::AlreadyExists);
    for job in &jobs[2..] {
        let error = not_applied(job);
        assert_eq!(error.kind(), ErrorKind::Skipped);
        assert!(error.message().contains("operation 2"), "names it: {error}");
    }
    assert_agree(&report, &jobs);
    assert_eq!(context.age("a").await, Some(2));
    assert_eq!(context.age("taken").await, Some(1));
    context.expect_absent("b").await;
    context.expect_absent("c").await;
}

async fn ordered_stops_at_the_first_unknown(context: Context) {
    let options = quick().max_batch_operations(1);
    let wrapped = context.wrap([Fault::None, Fault::DropAfter], options).await;
    let operations = context.puts(4).map(|operation| operation.idempotent(false));
    let (jobs, report) = commit_on(&*wrapped.store, asking(STOP), operations).await;
    assert_applied([&jobs[0]]);
    assert_eq!(unknown(&jobs[1]).kind(), ErrorKind::Connection);
    for job in &jobs[2..] {
        let error = not_applied(job);
        assert_eq!(error.kind(), ErrorKind::Skipped);
        assert!(error.message().contains("operation 2"), "names it: {error}");
    }
    assert_agree(&report, &jobs);
    wrapped.log.assert_chunks(2);
    context.expect_absent("p3").await;
}

async fn ordered_does_not_send_again_what_later_ones_have_passed(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let mut batch = wrapped.store.batch(asking(CONTINUE)).unwrap();
    let jobs = batch.queue_all(context.puts(3)).unwrap();
    let plan = batch.plan().await.unwrap();
    let passed = plan.chunks.iter().any(|chunk| chunk.operations.windows(2).any(|w| w == [2, 3]));
    let key = batch_core::Key::new().part("id", "p2");
    context.harness().conflict_next(context.collection(), &key, 1);
    let report = batch.commit().await.unwrap();
    let times = wrapped.log.times_sent(context.collection(), key);
    if passed {
        assert_eq!(not_applied(&jobs[1]).kind(), ErrorKind::Conflict);
        assert_applied([&jobs[0], &jobs[2]]);
        assert_eq!(times, 1);
    } else {
        assert_applied(&jobs);
        assert_eq!(times, 2);
    }
    assert_agree(&report, &jobs);
}

/// Commits operations as a whole. A store may have no mechanism for just these; then it refuses
/// before a byte is sent, naming an operation.
async fn commit_whole(
    context: &Context,
    guarantee: Guarantee,
    operations: impl IntoIterator<Item = Operation>,
) -> Option<(Vec<Job>, Report)> {
    let mut batch = context.store().batch(asking(guarantee)).unwrap();
    let jobs = batch.queue_all(operations).unwrap();
    match batch.commit().await {
        Ok(report) => {
            assert_agree(&report, &jobs);
            assert_eq!(report.guarantee(), guarantee);
            Some((jobs, report))
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.message().contains("operation"), "names the operation: {error}");
            assert_pending(&jobs);
            assert_eq!(batch.state(), BatchState::Open);
            None
        }
    }
}

async fn all_or_nothing_applies_all(context: Context) {
    context.given("p1", &abby()).await;
    let (jobs, _) = commit_whole(&context, WHOLE, context.puts(3)).await.expect("puts alone");
    assert_applied(&jobs);
    for number in 1..=3 {
        context.expect(&format!("p{number}"), &aged(number)).await;
    }
}

async fn all_or_nothing_keeps_program_order_on_a_key(context: Context) {
    let operations = [
        context.put("a", &aged(1)),
        context.on(Verb::Delete, "a"),
        context.on(Verb::Upsert, "a").doc(&json!({"name": "A"})),
        context.on(Verb::Upsert, "a").doc(&aged(4)),
    ];
    match commit_whole(&context, WHOLE, operations).await {
        Some((jobs, _)) => {
            assert_applied(&jobs);
            context.expect("a", &json!({"name": "A", "age": 4})).await;
        }
        None => context.expect_absent("a").await,
    }
}

async fn assert_refused_whole(context: &Context, batch: &mut Box<dyn batch_core::Batch>) {
    let jobs = batch.queue_all(context.puts(4)).unwrap();
    let planned = batch.plan().await.expect_err("over the ceiling");
    let committed = batch.commit().await.expect_err("over the ceiling");
    for error in [planned, committed] {
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
    assert_pending(&jobs);
    assert_eq!(batch.state(), BatchState::Open);
    for number in 1..=4 {
        context.expect_absent(&format!("p{number}")).await;
    }
}

async fn all_or_nothing_over_a_ceiling_of_operations_is_refused(context: Context) {
    let store = context.open(quick().max_batch_operations(3)).await;
    let mut batch = store.batch(asking(WHOLE)).unwrap();
    assert_refused_whole(&context, &mut batch).await;
    // What fits goes as a whole.
    let mut smaller = store.batch(asking(WHOLE)).unwrap();
    let fitting = batch.take().into_iter().take(3);
    let jobs = smaller.queue_all(fitting).unwrap();
    assert!(smaller.commit().await.unwrap().is_success());
    assert_applied(&jobs);
}

async fn all_or_nothing_over_a_ceiling_of_bytes_is_refused(context: Context) {
    // Any of the four fits by itself, and all together do not.
    let most = context.puts(1).map(|operation| operation.size()).sum::<usize>() * 2;
    let store = context.open(quick().max_batch_bytes(most)).await;
    let mut batch = store.batch(asking(WHOLE)).unwrap();
    assert_refused_whole(&context, &mut batch).await;
}

async fn all_or_nothing_names_the_culprit_and_rolls_the_others_back(context: Context) {
    context.given("taken", &aged(1)).await;
    match commit_whole(&context, WHOLE, with_a_failure(&context)).await {
        Some((jobs, report)) => {
            assert_eq!(not_applied(&jobs[1]).kind(), ErrorKind::AlreadyExists);
            for job in [&jobs[0], &jobs[2], &jobs[3]] {
                let error = not_applied(job);
                assert_eq!(error.kind(), ErrorKind::RolledBack);
                assert!(error.message().contains("operation 2"), "names it: {error}");
            }
            assert_eq!((report.applied(), report.not_applied()), (0, 4));
        }
        None => assert_eq!(context.age("taken").await, Some(1)),
    }
    assert_eq!(context.age("taken").await, Some(1));
    for id in ["a", "b", "c"] {
        context.expect_absent(id).await;
    }
}

async fn all_or_nothing_is_refused_if_one_operation_cannot_be_sent(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    wrapped.probe.refuse(1, Error::new(ErrorKind::InvalidOperation, "it cannot be encoded"));
    let mut batch = wrapped.store.batch(asking(WHOLE)).unwrap();
    let jobs = batch.queue_all(context.puts(1)).unwrap();
    let error = batch.commit().await.expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::InvalidOperation);
    let message = error.message();
    assert!(message.contains("operation 1"), "names the operation: {message}");
    assert!(message.contains("it cannot be encoded"), "and the reason: {message}");
    assert_pending(&jobs);
    assert_eq!(batch.state(), BatchState::Open);
    context.expect_absent("p1").await;
}

async fn all_or_nothing_is_sent_again_as_a_whole(context: Context) {
    let key = batch_core::Key::new().part("id", "p2");
    context.harness().conflict_next(context.collection(), &key, 2);
    let (jobs, report) = commit_whole(&context, WHOLE, context.puts(3)).await.expect("puts alone");
    assert_applied(&jobs);
    assert_eq!(report.retries(), 2, "{report}");
    for number in 1..=3 {
        assert_eq!(context.age(&format!("p{number}")).await, Some(number));
    }
}

async fn all_or_nothing_in_doubt_is_in_doubt_as_a_whole(context: Context) {
    // One of them must not be sent twice, so none is.
    let wrapped = context.wrap([Fault::DropAfter], quick()).await;
    let operations =
        context.puts(3).zip([true, false, true]).map(|(put, twice)| put.idempotent(twice));
    let (jobs, report) = commit_on(&*wrapped.store, asking(WHOLE), operations).await;
    for job in &jobs {
        assert_eq!(unknown(job).kind(), ErrorKind::Connection);
    }
    assert_agree(&report, &jobs);
    wrapped.log.assert_chunks(1);

    let wrapped = context.wrap([Fault::DropAfter, Fault::DropBefore], quick()).await;
    let (jobs, report) = commit_on(&*wrapped.store, asking(WHOLE), context.puts(3)).await;
    assert_applied(&jobs);
    assert_eq!(report.retries(), 2, "{report}");
    let sizes = wrapped.log.chunks().into_iter().map(|chunk| chunk.operations.len());
    assert_eq!(sizes.collect::<Vec<_>>(), [3, 3, 3], "sent again as a whole");
}

async fn all_or_nothing_is_never_cut_smaller(context: Context) {
    let wrapped = context.wrap([Fault::Refuse(ErrorKind::TooLarge)], quick()).await;
    let (jobs, report) = commit_on(&*wrapped.store, asking(WHOLE), context.puts(3)).await;
    for job in &jobs {
        assert_eq!(not_applied(job).kind(), ErrorKind::TooLarge);
    }
    assert_agree(&report, &jobs);
    wrapped.log.assert_chunks(1);
    for number in 1..=3 {
        context.expect_absent(&format!("p{number}")).await;
    }
}

async fn nobody_sees_a_part_of_an_isolated_batch(context: Context) {
    let ids = ["a", "b", "c"];
    let write = |age: i64| ids.map(|id| context.put(id, &aged(age)));
    if commit_whole(&context, ISOLATED, write(0)).await.is_none() {
        // No mechanism for several documents: then one that takes two operations on one.
        let both = [context.put("a", &aged(1)), context.on(Verb::Upsert, "a").doc(&aged(2))];
        let (jobs, _) = commit_whole(&context, ISOLATED, both).await.expect("one document");
        assert_applied(&jobs);
        assert_eq!(context.age("a").await, Some(2));
        return;
    }
    let writer = {
        let (store, batches) = (context.delayed(1, quick()).await, (1..=20).map(write));
        let batches: Vec<_> = batches.collect();
        tokio::spawn(async move {
            for operations in batches {
                let (jobs, _) = commit_on(&*store, asking(ISOLATED), operations).await;
                assert_applied(&jobs);
            }
        })
    };
    let store = context.delayed(2, quick()).await;
    loop {
        let last = writer.is_finished();
        let reads = ids.map(|id| context.on(Verb::Get, id));
        let (jobs, _) = commit_on(&*store, asking(ISOLATED), reads).await;
        let ages: Vec<i64> = jobs
            .iter()
            .map(|job| job.decode::<serde_json::Value>().unwrap()["age"].as_i64().unwrap())
            .collect();
        assert!(ages.iter().all(|age| *age == ages[0]), "a part was seen: {ages:?}");
        if last {
            assert_eq!(ages, [20, 20, 20]);
            break;
        }
    }
    writer.await.unwrap();
}
