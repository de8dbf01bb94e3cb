//! What the compiler can promise: object safety, Send and Sync, sizes.

use std::{fmt::Debug, sync::Arc};

use batch_core::{
    Batch, BatchExt, BatchOptions, Callback, Capabilities, Ended, Error, Job, JobStatus, Jobs, Key,
    OpenBatch, Operation, Outcome, Plan, Progress, QueueOptions, Rejected, Report, Scoped, Store,
    StoreExt, StoreOptions,
    seam::{Backend, Engine},
};

const fn shared<T: Send + Sync + Debug + 'static>() {}
const fn sent<T: Send + Debug + 'static>() {}
const fn cloned<T: Clone>() {}

const _: fn(Box<dyn Batch>) = |_| {};
const _: fn(&mut dyn Batch) = |_| {};
const _: fn(Arc<dyn Store>) = |_| {};
const _: fn(Arc<dyn Backend>) = |_| {};

const _: () = {
    assert!(size_of::<Error>() == size_of::<usize>());
    assert!(size_of::<Job>() == 2 * size_of::<usize>());
    assert!(size_of::<Report>() == size_of::<usize>());
    shared::<Error>();
    shared::<Job>();
    shared::<JobStatus>();
    shared::<Jobs>();
    shared::<Ended>();
    shared::<Key>();
    shared::<Operation>();
    shared::<Outcome>();
    shared::<Plan>();
    shared::<Progress>();
    shared::<Rejected>();
    shared::<Report>();
    shared::<Scoped<()>>();
    shared::<BatchOptions>();
    shared::<StoreOptions>();
    shared::<Capabilities>();
    shared::<Engine>();
    shared::<Arc<dyn Store>>();
    shared::<Arc<dyn Backend>>();
    sent::<Box<dyn Batch>>();
    sent::<OpenBatch>();
    sent::<Callback>();
    sent::<QueueOptions>();
    cloned::<Error>();
    cloned::<Job>();
    cloned::<Report>();
    cloned::<Operation>();
    cloned::<Progress>();
};

fn is_send<T: Send>(future: T) -> T {
    future
}

/// Trap 7: `scope` compiles inside `tokio::spawn` over `Arc<dyn Store>`, and so do the futures of
/// a `&mut dyn Batch`.
#[tokio::test]
async fn scope_runs_inside_a_spawned_task_over_a_store_object() {
    let store: Arc<dyn Store> = Arc::new(batch_memory::MemoryStore::new());
    let task = tokio::spawn(async move {
        let scoped = store
            .scope(BatchOptions::new(), async |batch| {
                let job = batch.queue(Operation::put("t").at("k").doc(&serde_json::json!({})))?;
                tokio::task::yield_now().await;
                batch.on_commit_async(|report| async move { drop(report) })?;
                Ok::<_, Error>(job)
            })
            .await?;
        assert!(scoped.value.is_done());
        Ok::<_, Error>(scoped.report.applied())
    });
    assert_eq!(task.await.ok().and_then(Result::ok), Some(1));
}

#[tokio::test]
async fn the_futures_of_a_batch_object_are_send() {
    async fn enrol(batch: &mut dyn Batch) -> batch_core::Result<Report> {
        batch.queue(Operation::put("t").at("k").doc(&serde_json::json!({})))?;
        batch.plan().await?;
        batch.commit().await
    }
    let store = batch_memory::MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new()).expect("memory opens batches");
    assert!(is_send(enrol(&mut *batch)).await.is_ok());
}
