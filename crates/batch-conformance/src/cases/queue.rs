//! Queueing: what is accepted, what is refused, and that nothing leaves.

use batch_core::{
    BatchExt as _, BatchOptions, Error, ErrorKind, Operation, Result, Store, StoreOptions, Verb,
};
use serde_json::json;

use crate::{
    Case, Context,
    case::case,
    context::{abby, aged, assert_applied, assert_pending, quick},
};

pub(super) const CASES: &[Case] = &[
    case!(queue, no_io_until_commit, [Faults], "Queueing does no I/O."),
    case!(
        queue,
        jobs_are_numbered_from_one_in_the_order_of_queueing,
        [],
        "job (its life, a handle): each accepted operation has one."
    ),
    case!(
        queue,
        a_document_that_is_not_an_object_is_refused,
        [],
        "A document that is not a JSON object is refused at `queue`."
    ),
    case!(
        queue,
        what_makes_no_operation_is_refused,
        [],
        "The first mistake in building an operation is kept in it and returned by `queue`."
    ),
    case!(
        queue,
        a_refused_operation_is_given_back_unchanged,
        [],
        "`queue` refuses with `Rejected { operation, error }`, which gives the operation back."
    ),
    case!(
        queue,
        the_first_mistake_is_the_one_that_is_told,
        [],
        "The first mistake in building an operation is kept in it and returned by `queue`: one `?`."
    ),
    case!(
        queue,
        native_operations_of_other_stores_are_refused_naming_both,
        [],
        "On the wrong store: refused at `queue`, naming both."
    ),
    case!(
        queue,
        an_oversized_operation_is_refused_with_its_size_and_the_limit,
        [],
        "Oversized single operation: refused at `queue` with its size and the known limit; the batch stays usable."
    ),
    case!(
        queue,
        the_declared_ceiling_of_an_operation_holds,
        [],
        "Oversized single operation: refused at `queue` with its size and the known limit."
    ),
    case!(
        queue,
        queueing_many_stops_at_the_first_that_is_refused,
        [],
        "`queue_all(iter)` queues until one is refused; those before it stay queued."
    ),
    case!(
        queue,
        a_queued_operation_can_be_looked_at,
        [],
        "A batch holds each operation, and shows it by its job."
    ),
];

async fn no_io_until_commit(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    let mut batch = wrapped.store.batch(BatchOptions::new()).unwrap();
    let jobs = batch.queue_all(context.puts(50)).unwrap();
    wrapped.log.assert_nothing_sent();
    assert_eq!(wrapped.probe.reads(), 0);
    assert_pending(&jobs);
    context.expect_absent("p1").await;
    assert_eq!((batch.progress().queued(), batch.progress().sent()), (50, 0));
    let report = batch.commit().await.unwrap();
    assert_eq!(report.applied(), 50, "{report}");
}

async fn jobs_are_numbered_from_one_in_the_order_of_queueing(context: Context) {
    let (jobs, report) = context.commit(context.puts(20)).await;
    let ids = |jobs: &mut dyn Iterator<Item = batch_core::Job>| {
        jobs.map(|job| job.id()).collect::<Vec<_>>()
    };
    let numbers: Vec<u32> = (1..=20).collect();
    assert_eq!(ids(&mut jobs.iter().cloned()), numbers);
    assert_eq!(ids(&mut report.jobs()), numbers);
    assert!(report.jobs().eq(jobs.iter().cloned()));
}

/// Queues each operation, and asserts that all are refused by this kind and nothing is queued.
fn assert_refused(
    store: &dyn Store,
    kind: ErrorKind,
    operations: impl IntoIterator<Item = (&'static str, Operation)>,
) {
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    for (mistake, operation) in operations {
        let rejected = batch.queue(operation).expect_err(mistake);
        assert_eq!(rejected.error.kind(), kind, "{mistake}: {rejected}");
        assert!(!rejected.error.message().is_empty(), "{mistake}");
    }
    assert_eq!(batch.len(), 0);
}

async fn a_document_that_is_not_an_object_is_refused(context: Context) {
    let on = || context.on(Verb::Put, "a");
    assert_refused(
        &**context.store(),
        ErrorKind::InvalidOperation,
        [
            ("an array", on().doc(&json!([1]))),
            ("a string", on().doc("text")),
            ("a number", on().doc(&1)),
            ("null", on().doc(&json!(null))),
            ("the text of an array", on().doc_text("[1]")),
            ("text that is no JSON", on().doc_text("{\"a\":")),
            ("two objects", on().doc_text("{} {}")),
            ("no text", on().doc_text("")),
        ],
    );
    context.expect_absent("a").await;
}

async fn what_makes_no_operation_is_refused(context: Context) {
    let document = aged(1);
    assert_refused(
        &**context.store(),
        ErrorKind::InvalidOperation,
        [
            ("no document", context.on(Verb::Put, "a")),
            ("a document to delete", context.on(Verb::Delete, "a").doc(&document)),
            ("two documents", context.put("a", &document).doc(&document)),
            ("no collection", Operation::put("").key("id", "a").doc(&document)),
            ("a native verb without a statement", context.on(Verb::Native, "a")),
        ],
    );
    context.expect_absent("a").await;
}

async fn a_refused_operation_is_given_back_unchanged(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let operation = context.on(Verb::Put, "a").doc(&abby()).doc(&abby());
    let (size, text) = (operation.size(), operation.body().to_vec());
    let rejected = batch.queue(operation).expect_err("two documents");
    assert_eq!(rejected.operation.verb(), Verb::Put);
    assert_eq!(rejected.operation.collection_name(), context.collection());
    assert_eq!((rejected.operation.size(), rejected.operation.body()), (size, &text[..]));
    assert_eq!(rejected.to_string(), rejected.error.to_string());
    let error = Error::from(rejected.clone());
    assert_eq!(error.kind(), rejected.error.kind());
}

async fn the_first_mistake_is_the_one_that_is_told(context: Context) {
    let queue_one = || -> Result<()> {
        let mut batch = context.store().batch(BatchOptions::new())?;
        batch
            .queue(context.on(Verb::Put, "a").key("", 1).doc(&5).ttl(std::time::Duration::ZERO))?;
        Ok(())
    };
    assert_eq!(queue_one().expect_err("three mistakes").kind(), ErrorKind::InvalidKey);
}

async fn native_operations_of_other_stores_are_refused_naming_both(context: Context) {
    let own = context.store().name();
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let natives = [
        ("arango", Operation::aql("RETURN 1", ())),
        ("cql", Operation::cql("UPDATE t SET n = 1 WHERE id = ?", ["a"])),
    ];
    let mut refused = 0;
    for (store, operation) in natives.into_iter().filter(|(store, _)| *store != own) {
        let rejected = batch.queue(operation).expect_err("of another store");
        assert_eq!(rejected.error.kind(), ErrorKind::Unsupported);
        let message = rejected.error.message();
        assert!(message.contains(store) && message.contains(own), "names both: {message}");
        assert!(rejected.operation.statement().is_some());
        refused += 1;
    }
    assert!(refused > 0 && batch.is_empty());
}

async fn an_oversized_operation_is_refused_with_its_size_and_the_limit(context: Context) {
    let store = context.open(quick().max_batch_bytes(200)).await;
    assert_oversized(&context, &*store, 200).await;
}

async fn the_declared_ceiling_of_an_operation_holds(context: Context) {
    // A store may declare none; then only the user's own ceiling can be met, which is above.
    let limit = context.can().max_operation_bytes.unwrap_or(1 << 20);
    if context.can().max_operation_bytes.is_some() {
        assert_oversized(&context, &**context.store(), limit).await;
    } else {
        let store = context.open(StoreOptions::new().max_batch_bytes(limit)).await;
        assert_oversized(&context, &*store, limit).await;
    }
}

async fn assert_oversized(context: &Context, store: &dyn Store, limit: usize) {
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let first = batch.queue(context.put("first", &aged(1))).unwrap();
    let large = context.put("large", &json!({"email": "x".repeat(limit)}));
    let size = large.size();
    let rejected = batch.queue(large).expect_err("too large");
    assert_eq!(rejected.error.kind(), ErrorKind::TooLarge);
    let message = rejected.error.message();
    assert!(message.contains(&size.to_string()), "the size {size}: {message}");
    assert!(message.contains(&limit.to_string()), "the limit {limit}: {message}");
    assert_eq!(rejected.operation.size(), size);
    let last = batch.queue(context.put("last", &aged(2))).unwrap();
    assert_eq!(batch.len(), 2);
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied([&first, &last]);
    context.expect_absent("large").await;
}

async fn queueing_many_stops_at_the_first_that_is_refused(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let operations = [
        context.put("a", &aged(1)),
        context.put("b", &aged(2)),
        context.on(Verb::Put, "c"),
        context.put("d", &aged(4)),
    ];
    let rejected = batch.queue_all(operations).expect_err("the third has no document");
    assert_eq!(rejected.error.kind(), ErrorKind::InvalidOperation);
    assert_eq!((batch.len(), batch.jobs().len()), (2, 2));
    let jobs: Vec<_> = batch.jobs().collect();
    assert!(batch.commit().await.unwrap().is_success());
    assert_applied(&jobs);
    for id in ["c", "d"] {
        context.expect_absent(id).await;
    }
}

async fn a_queued_operation_can_be_looked_at(context: Context) {
    let mut batch = context.store().batch(BatchOptions::new()).unwrap();
    let put = context.put("a", &abby());
    let (size, text) = (put.size(), put.body().to_vec());
    batch.queue(context.on(Verb::Delete, "b")).unwrap();
    let job = batch.queue(put).unwrap();
    let seen = batch.operation(&job).expect("it is queued");
    assert_eq!((seen.verb, seen.collection), (Verb::Put, context.collection()));
    assert_eq!((seen.body, seen.key.size() + seen.body.len()), (&text[..], size));
    let mut other = context.store().batch(BatchOptions::new()).unwrap();
    let stranger = other.queue(context.put("a", &abby())).unwrap();
    assert!(batch.operation(&stranger).is_none());
    other.discard();
    assert!(batch.commit().await.unwrap().is_success());
    assert!(batch.operation(&job).is_some_and(|seen| seen.body == text));
}
