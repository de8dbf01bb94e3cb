//! `scope`: the context manager.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use batch_core::{
    Batch, BatchExt as _, BatchOptions, Error, ErrorKind, Job, Result, Scoped, Store, StoreExt as _,
};
use futures_util::FutureExt as _;

use crate::{
    Case, Context,
    case::case,
    context::{aged, assert_applied, not_applied, panic_on_purpose, quick},
};

pub(super) const CASES: &[Case] = &[
    case!(scope, ok_commits, [], "The context manager: Ok commits, Err, panic or drop discards."),
    case!(
        scope,
        an_err_discards_and_is_returned,
        [],
        "The context manager: Ok commits, Err, panic or drop discards."
    ),
    case!(
        scope,
        a_panic_discards_and_goes_on,
        [],
        "The context manager: Ok commits, Err, panic or drop discards."
    ),
    case!(
        scope,
        a_drop_discards,
        [],
        "The context manager: Ok commits, Err, panic or drop discards."
    ),
    case!(
        scope,
        commit_on_error_commits_and_returns_the_bodys_error,
        [],
        "`commit_on_error`: the body's error is returned, the report goes to callbacks."
    ),
    case!(
        scope,
        a_commit_that_sent_nothing_is_the_scopes_error,
        [Faults],
        "Ok commits; `Err` if and only if nothing was sent."
    ),
    case!(
        scope,
        runs_inside_a_spawned_task,
        [],
        "Must compile inside `tokio::spawn` over `Arc<dyn Store>`."
    ),
    case!(
        scope,
        a_body_may_await_and_pass_the_batch_on,
        [],
        "`store.scope(options, async |batch| { …; Ok(value) }).await?`"
    ),
    case!(
        scope,
        a_body_may_have_the_batch_committed_by_a_function_for_any_batch,
        [],
        "`Err` if and only if nothing was sent."
    ),
];

/// An error of the user's own.
#[derive(Debug)]
enum Mine {
    Midway,
    Store(Error),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<batch_core::Rejected> for Mine {
    fn from(rejected: batch_core::Rejected) -> Self {
        Self::Store(rejected.into())
    }
}

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Midway => f.write_str("midway"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

async fn ok_commits(context: Context) {
    let scoped = context
        .store()
        .scope(BatchOptions::new(), async |batch| {
            let job = batch.queue(context.put("a", &aged(1)))?;
            assert!(job.is_pending());
            Ok::<_, Mine>((job, 7))
        })
        .await;
    let Scoped { value: (job, seven), report } = scoped.unwrap();
    assert_applied([&job]);
    assert_eq!((seven, report.applied()), (7, 1));
    assert_eq!(context.age("a").await, Some(1));
}

async fn an_err_discards_and_is_returned(context: Context) {
    let mut queued = None;
    let scoped = context
        .store()
        .scope(BatchOptions::new(), async |batch| {
            queued = Some(batch.queue(context.put("a", &aged(1)))?);
            batch.on_commit(|_| panic_on_purpose("and it must not run"))?;
            Err::<(), _>(Mine::Midway)
        })
        .await;
    assert!(matches!(scoped, Err(Mine::Midway)), "{scoped:?}");
    assert_eq!(not_applied(&queued.expect("it was queued")).kind(), ErrorKind::Discarded);
    context.expect_absent("a").await;
}

async fn a_panic_discards_and_goes_on(context: Context) {
    let mut queued = None;
    let scoped = context.store().scope(BatchOptions::new(), async |batch| {
        queued = Some(batch.queue(context.put("a", &aged(1)))?);
        if batch.len() == 1 {
            panic_on_purpose("in the body");
        }
        Ok::<_, Mine>(())
    });
    let panicked = AssertUnwindSafe(scoped).catch_unwind().await;
    assert!(panicked.is_err(), "the panic goes on");
    assert_eq!(not_applied(&queued.expect("it was queued")).kind(), ErrorKind::Discarded);
    context.expect_absent("a").await;
}

async fn a_drop_discards(context: Context) {
    let (told, heard) = tokio::sync::oneshot::channel::<Job>();
    let scoped = context.store().scope(BatchOptions::new(), async |batch| {
        let job = batch.queue(context.put("a", &aged(1)))?;
        told.send(job).expect("somebody listens");
        std::future::pending::<()>().await;
        Ok::<_, Mine>(())
    });
    let job = tokio::select! {
        _ = scoped => panic!("the body pends for ever"),
        job = heard => job.unwrap(),
    };
    assert_eq!(not_applied(&job).kind(), ErrorKind::Discarded);
    context.expect_absent("a").await;
}

async fn commit_on_error_commits_and_returns_the_bodys_error(context: Context) {
    let applied = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&applied);
    let mut queued = None;
    let scoped = context
        .store()
        .scope(BatchOptions::new().commit_on_error(true), async |batch| {
            batch.on_commit(move |report| seen.store(report.applied(), Ordering::SeqCst))?;
            queued = Some(batch.queue(context.put("a", &aged(1)))?);
            Err::<(), _>(Mine::Midway)
        })
        .await;
    assert!(matches!(scoped, Err(Mine::Midway)), "{scoped:?}");
    assert_applied([&queued.expect("it was queued")]);
    assert_eq!(applied.load(Ordering::SeqCst), 1, "the report goes to the callbacks");
    assert_eq!(context.age("a").await, Some(1));
}

async fn a_commit_that_sent_nothing_is_the_scopes_error(context: Context) {
    let wrapped = context.wrap([], quick()).await;
    wrapped.probe.cut_off(Some(Error::new(ErrorKind::Connection, "no server").transient()));
    let options = BatchOptions::new().deadline(context.short_deadline());
    let mut queued = None;
    let scoped = wrapped
        .store
        .scope(options, async |batch| {
            queued = Some(batch.queue(context.put("a", &aged(1)))?);
            Ok::<_, Mine>(())
        })
        .await;
    let Err(Mine::Store(error)) = scoped else { panic!("{scoped:?}") };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let job = queued.expect("it was queued");
    assert_eq!(not_applied(&job).kind(), ErrorKind::Discarded, "the batch went with the scope");
    context.expect_absent("a").await;
}

async fn runs_inside_a_spawned_task(context: Context) {
    let store: Arc<dyn Store> = Arc::clone(context.store());
    let operation = context.put("a", &aged(1));
    let task = tokio::spawn(async move {
        let scoped = store
            .scope(BatchOptions::new(), async |batch| {
                let job = batch.queue(operation)?;
                tokio::task::yield_now().await;
                Ok::<_, Error>(job)
            })
            .await?;
        assert!(scoped.report.is_success());
        Ok::<_, Error>(scoped.value)
    });
    let job = task.await.unwrap().unwrap();
    assert_applied([&job]);
}

async fn fill(batch: &mut dyn Batch, context: &Context) -> Result<Job> {
    tokio::task::yield_now().await;
    Ok(batch.queue(context.put("a", &aged(1)))?)
}

async fn commit(batch: &mut dyn Batch) -> Result<()> {
    batch.commit().await?.into_result().map(drop)
}

async fn a_body_may_have_the_batch_committed_by_a_function_for_any_batch(context: Context) {
    let put = context.put("a", &aged(1));
    let scoped = context
        .store()
        .scope(BatchOptions::new(), async |batch| {
            let job = batch.queue(put)?;
            commit(batch).await?;
            Ok::<_, Error>(job)
        })
        .await;
    let Scoped { value: job, report } = scoped.unwrap();
    assert_eq!(report.applied(), 1, "the report is that of the body's commit");
    assert_applied([&job]);
}

async fn a_body_may_await_and_pass_the_batch_on(context: Context) {
    let scoped =
        context.store().scope(BatchOptions::new(), async |batch| fill(batch, &context).await).await;
    let Scoped { value: job, report } = scoped.unwrap();
    assert!(report.is_success());
    assert_applied([&job]);
}
