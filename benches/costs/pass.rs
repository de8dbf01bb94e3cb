//! The way of a batch, timed: its documents written by `serde_json` alone, then queued, planned,
//! committed and reported.

use std::{hint::black_box, sync::Arc, time::Duration};

use batch_core::{Batch, BatchExt, BatchOptions, Report, Store};
use unibatch_benches::{
    Habits, Idle, Keys, Polls, Says, Stopwatch, Student, students, watch_polls,
};

use crate::Outcome;

/// A batch to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) count: u32,
    pub(crate) keys: Keys,
    pub(crate) habits: Habits,
    pub(crate) results: bool,
}

impl Setting {
    /// Distinct keys, everything applied, results recorded.
    pub(crate) fn plain(count: u32) -> Self {
        Self { count, keys: Keys::Distinct, habits: Habits::default(), results: true }
    }

    pub(crate) fn students(&self) -> Vec<Student> {
        students(self.count, self.keys)
    }

    pub(crate) fn backend(&self) -> Arc<Idle> {
        Idle::new(self.habits.clone())
    }

    pub(crate) fn open(&self, backend: &Arc<Idle>) -> Outcome<Box<dyn Batch>> {
        let options = BatchOptions::new().results(self.results);
        Ok(backend.store().batch(options)?)
    }

    /// Whether it takes so short that reading the processor's clock would be most of the time.
    fn is_short(&self) -> bool {
        self.count < 10_000
    }

    fn watch(&self) -> Stopwatch {
        if self.is_short() { Stopwatch::start_wall() } else { Stopwatch::start() }
    }

    fn runs(&self, runs: usize) -> usize {
        runs.max(10_000_000 / self.count as usize).min(2000)
    }

    /// What else runs on the machine only adds to a time, so of long ones the least is nearest to
    /// the truth. Of short ones it would be luck.
    fn most_telling(&self, times: impl Iterator<Item = f64>) -> f64 {
        if self.is_short() { median(times) } else { times.fold(f64::INFINITY, f64::min) }
    }
}

/// Nanoseconds an operation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// `serde_json::to_vec` writes each document, and drops it.
    pub(crate) written: f64,
    /// `serde_json` writes the documents one over another into one buffer: no memory is asked for.
    pub(crate) written_over: f64,
    /// `serde_json::to_vec` writes each document, and all are kept.
    pub(crate) written_kept: f64,
    pub(crate) queue: f64,
    pub(crate) plan: f64,
    pub(crate) commit: f64,
    /// The part of the commit until its first chunk was handed to the backend.
    pub(crate) planning: f64,
    /// Every job is asked whether it has ended.
    pub(crate) asking: f64,
    /// The report is written as text: nanoseconds in all.
    pub(crate) report: f64,
}

/// Times one setting.
pub(crate) fn times(setting: &Setting, runs: usize) -> Outcome<Times> {
    let students = setting.students();
    let all: Vec<Times> =
        (0..setting.runs(runs)).map(|_| pass(setting, &students)).collect::<Outcome<_>>()?;
    let of = |field: fn(&Times) -> f64| setting.most_telling(all.iter().map(field));
    Ok(Times {
        written: of(|times| times.written),
        written_over: of(|times| times.written_over),
        written_kept: of(|times| times.written_kept),
        queue: of(|times| times.queue),
        plan: of(|times| times.plan),
        commit: of(|times| times.commit),
        planning: of(|times| times.planning),
        asking: of(|times| times.asking),
        report: of(|times| times.report),
    })
}

fn pass(setting: &Setting, students: &[Student]) -> Outcome<Times> {
    let each = |time: Duration| nanos(time) / f64::from(setting.count);
    let runtime = runtime()?;
    let backend = setting.backend();
    let mut times = Times::default();

    let watch = setting.watch();
    write(students)?;
    times.written = each(watch.lap().cpu);
    let watch = setting.watch();
    write_over(students)?;
    times.written_over = each(watch.lap().cpu);
    let watch = setting.watch();
    let kept = write_kept(students)?;
    times.written_kept = each(watch.lap().cpu);
    drop(kept);

    let mut batch = setting.open(&backend)?;
    let watch = setting.watch();
    queue(&mut *batch, students)?;
    times.queue = each(watch.lap().cpu);

    let watch = setting.watch();
    let shown = runtime.block_on(batch.plan())?;
    times.plan = each(watch.lap().cpu);
    drop(black_box(shown));

    backend.begin(setting.watch());
    let watch = setting.watch();
    let report = runtime.block_on(batch.commit())?;
    times.commit = each(watch.lap().cpu);
    times.planning = each(backend.until_first_send().unwrap_or_default().cpu);
    check(setting, &report)?;

    let watch = setting.watch();
    for job in batch.jobs() {
        black_box(job.is_done());
    }
    times.asking = each(watch.lap().cpu);
    let watch = setting.watch();
    black_box(report.to_string());
    times.report = nanos(watch.lap().cpu);
    Ok(times)
}

/// The longest polls of a plan and of a commit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LongestPolls {
    pub(crate) plan: Polls,
    pub(crate) commit: Polls,
}

/// Watches the polls of one setting; of each the median over the runs.
pub(crate) fn polls(setting: &Setting, runs: usize) -> Outcome<LongestPolls> {
    let students = setting.students();
    let runtime = runtime()?;
    let filled = || -> Outcome<_> {
        let mut batch = setting.open(&setting.backend())?;
        queue(&mut *batch, &students)?;
        Ok(batch)
    };
    let mut plans = Vec::new();
    let mut commits = Vec::new();
    for _ in 0..runs {
        // Each on a batch of its own: an allocator tidies up after a large plan that was dropped
        // when it is asked for memory again, and that is not the commit's work.
        let mut batch = filled()?;
        let (report, polls) = runtime.block_on(watch_polls(batch.commit()));
        check(setting, &report?)?;
        commits.push(polls);
        drop(batch);
        let mut batch = filled()?;
        let (plan, polls) = runtime.block_on(watch_polls(batch.plan()));
        drop(plan?);
        plans.push(polls);
    }
    Ok(LongestPolls { plan: middle(&mut plans), commit: middle(&mut commits) })
}

fn middle(polls: &mut [Polls]) -> Polls {
    polls.sort_by_key(|polls| polls.longest.cpu);
    polls.get(polls.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_time().build()?)
}

pub(crate) fn queue(batch: &mut dyn Batch, students: &[Student]) -> Outcome<()> {
    for student in students {
        black_box(batch.queue(student.put())?);
    }
    Ok(())
}

fn write(students: &[Student]) -> Outcome<()> {
    for student in students {
        black_box(serde_json::to_vec(student)?);
    }
    Ok(())
}

fn write_over(students: &[Student]) -> Outcome<()> {
    let mut text = Vec::with_capacity(64);
    for student in students {
        text.clear();
        serde_json::to_writer(&mut text, student)?;
        black_box(text.as_slice());
    }
    Ok(())
}

fn write_kept(students: &[Student]) -> Outcome<Vec<Vec<u8>>> {
    let written = students.iter().map(serde_json::to_vec);
    Ok(written.collect::<Result<_, _>>()?)
}

/// A number of a batch that did something else would be worth nothing.
pub(crate) fn check(setting: &Setting, report: &Report) -> Outcome<()> {
    let expected = u64::from(setting.count);
    let counted = match setting.habits.says {
        Says::Refused(_) => report.not_applied(),
        Says::AllApplied | Says::Body(_) => report.applied(),
    };
    if counted == expected {
        Ok(())
    } else {
        Err(format!("{counted} of {expected} operations ended as they should: {report}").into())
    }
}

pub(crate) fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
