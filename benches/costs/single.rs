//! The small costs: a batch of one, a job that is awaited, many tasks that await.

use std::{
    future::Future,
    hint::black_box,
    pin::Pin,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use batch_core::{BatchExt, BatchOptions, Job, Key, Store, seam::Backend};
use unibatch_benches::{COLLECTION, Meter};

use crate::{
    Outcome,
    pass::{Setting, check, median, nanos, queue, runtime},
};

const ROUNDS: u32 = 20_000;

/// Nanoseconds of a batch of one, from opening to drop, and of the call that it saves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchOfOne {
    pub(crate) batch: f64,
    pub(crate) bare: f64,
    /// What an open batch holds with one operation queued.
    pub(crate) bytes: isize,
}

/// The median of many rounds.
pub(crate) fn batch_of_one() -> Outcome<BatchOfOne> {
    let setting = Setting::plain(1);
    let students = setting.students();
    let student = students.first().ok_or("a batch of one has a document")?;
    let backend = setting.backend();
    let store = backend.store();
    let key = Key::from(&student.id);
    let mut whole = Vec::new();
    let mut bare = Vec::new();
    runtime()?.block_on(async {
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let mut batch = store.batch(BatchOptions::new())?;
            let job = batch.queue(student.put())?;
            drop(black_box(batch.commit().await?));
            black_box(job.status());
            drop((batch, job));
            whole.push(nanos(start.elapsed()));

            // A call of the backend has the shape of `send`: a boxed future that is ready at once.
            let start = Instant::now();
            black_box(backend.get(COLLECTION, black_box(&key)).await?);
            bare.push(nanos(start.elapsed()));
        }
        Outcome::Ok(())
    })?;
    let meter = Meter::start();
    let mut batch = store.batch(BatchOptions::new())?;
    let job = batch.queue(student.put())?;
    let bytes = meter.held();
    drop((meter, job, batch));
    Ok(BatchOfOne { batch: median(whole.into_iter()), bare: median(bare.into_iter()), bytes })
}

/// Nanoseconds a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaiting {
    /// The first poll, which registers the waker.
    register: f64,
    /// What the commit takes longer when every job is awaited.
    wake: f64,
    /// The poll that gives the final status.
    read: f64,
    /// Awaiting a job that has ended already.
    pub(crate) ended: f64,
    /// Bytes that the library holds for a handle that is kept and not awaited.
    pub(crate) unawaited_bytes: f64,
}

impl Awaiting {
    pub(crate) fn in_all(&self) -> f64 {
        self.register + self.wake + self.read
    }
}

/// Awaits every job of a batch by hand, without tasks, so that nothing else is measured.
pub(crate) fn awaiting(count: u32, runs: usize) -> Outcome<Awaiting> {
    let setting = Setting::plain(count);
    let students = setting.students();
    let runtime = runtime()?;
    let each = |time: Duration| nanos(time) / f64::from(count);
    let mut all = Vec::new();
    for _ in 0..runs {
        let mut batch = setting.open(&setting.backend())?;
        queue(&mut *batch, &students)?;
        let start = Instant::now();
        check(&setting, &runtime.block_on(batch.commit())?)?;
        let alone = start.elapsed();
        let jobs: Vec<Job> = batch.jobs().collect();
        let start = Instant::now();
        runtime.block_on(async {
            for job in jobs {
                black_box(job.await);
            }
        });
        let ended = start.elapsed();

        let mut batch = setting.open(&setting.backend())?;
        queue(&mut *batch, &students)?;
        let mut waiting: Vec<_> = batch.jobs().map(Job::into_future).collect();
        let mut context = Context::from_waker(Waker::noop());
        let mut poll_all = || {
            let start = Instant::now();
            let ready = waiting
                .iter_mut()
                .map(|job| Pin::new(job).poll(&mut context))
                .filter(|poll| poll.is_ready())
                .count();
            (start.elapsed(), ready)
        };
        let (register, none) = poll_all();
        let start = Instant::now();
        check(&setting, &runtime.block_on(batch.commit())?)?;
        let watched = start.elapsed();
        let (read, ready) = poll_all();
        if none != 0 || ready != count as usize {
            return Err(format!("{none} jobs ended before the commit, {ready} after it").into());
        }
        all.push((each(register), each(watched) - each(alone), each(read), each(ended)));
    }
    Ok(Awaiting {
        register: median(all.iter().map(|times| times.0)),
        wake: median(all.iter().map(|times| times.1)).max(0.0),
        read: median(all.iter().map(|times| times.2)),
        ended: median(all.iter().map(|times| times.3)),
        unawaited_bytes: unawaited_bytes(&setting)?,
    })
}

fn unawaited_bytes(setting: &Setting) -> Outcome<f64> {
    let students = setting.students();
    let mut kept = Vec::with_capacity(students.len());
    let backend = setting.backend();
    let held = |kept: Option<&mut Vec<Job>>| -> Outcome<isize> {
        let meter = Meter::start();
        let mut batch = setting.open(&backend)?;
        match kept {
            None => queue(&mut *batch, &students)?,
            Some(kept) => {
                for student in &students {
                    kept.push(batch.queue(student.put())?);
                }
            }
        }
        Ok(meter.held())
    };
    let without = held(None)?;
    let with = held(Some(&mut kept))?;
    Ok((with - without) as f64 / f64::from(setting.count))
}

/// Tasks that each await a job of their own: from the first spawn to the last end, the commit
/// included; and the same tasks awaiting a tokio channel each, for comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tasks {
    pub(crate) jobs: Duration,
    pub(crate) channels: Duration,
}

pub(crate) fn tasks(count: u32, runs: usize) -> Outcome<Tasks> {
    let setting = Setting::plain(count);
    let students = setting.students();
    let runtime = runtime()?;
    let mut all = Vec::new();
    for _ in 0..runs {
        let mut batch = setting.open(&setting.backend())?;
        queue(&mut *batch, &students)?;
        let start = Instant::now();
        let applied = runtime.block_on(async {
            let tasks: Vec<_> = batch
                .jobs()
                .map(|job| tokio::spawn(async move { job.await.is_applied() }))
                .collect();
            // Every task comes to its await before the commit begins.
            tokio::task::yield_now().await;
            check(&setting, &batch.commit().await?)?;
            let mut applied = 0;
            for task in tasks {
                applied += u32::from(task.await?);
            }
            Outcome::Ok(applied)
        })?;
        let jobs = start.elapsed();
        if applied != count {
            return Err(format!("{applied} of {count} tasks saw their job applied").into());
        }
        let start = Instant::now();
        runtime.block_on(async {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..count).map(|_| tokio::sync::oneshot::channel::<()>()).unzip();
            let tasks: Vec<_> = receivers.into_iter().map(tokio::spawn).collect();
            tokio::task::yield_now().await;
            for sender in senders {
                sender.send(()).map_err(|()| "a receiver was dropped")?;
            }
            for task in tasks {
                task.await??;
            }
            Outcome::Ok(())
        })?;
        all.push((jobs, start.elapsed()));
    }
    let of = |field: fn(&(Duration, Duration)) -> Duration| {
        Duration::from_secs_f64(median(all.iter().map(|pair| field(pair).as_secs_f64())))
    };
    Ok(Tasks { jobs: of(|pair| pair.0), channels: of(|pair| pair.1) })
}
