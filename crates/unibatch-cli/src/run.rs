//! `unibatch run`: read, plan or commit, print.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use unibatch::{Batch, BatchOptions, BatchState, OnCancel, Report, Result};

use crate::{
    args::{RunArgs, Show},
    exit::{Code, Failure},
    input::Input,
    messages,
    meter::{Meter, Phase},
    output::{self, Summary},
    rejects::Rejects,
};

/// How often the progress bar is drawn.
const PACE: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &RunArgs) -> Result<Code, Failure> {
    if let Some(rejects) = &args.rejects {
        Rejects::refuse_shared(rejects, &args.file)?;
    }
    let input = Input::open(&args.file)?;
    let runtime = crate::runtime()?;
    let (_, store) = crate::connect(&runtime, &args.store.url)?;
    let options = BatchOptions::new()
        .guarantee(args.guarantee)
        .on_cancel(OnCancel::Settle)
        .results(args.show != Some(Show::None));
    let mut batch = store.batch(options).map_err(|error| Failure::of(Code::Failed, &error))?;
    let mut meter = Meter::on_stderr();
    input.queue_into(&mut *batch, |read| meter.show(Phase::Reading, read, None))?;

    let code = if args.plan {
        let plan = runtime.block_on(batch.plan());
        drop(meter);
        let plan = plan.map_err(|error| Failure::of(Code::Failed, &error))?;
        output::print_plan(&plan, args.output)?;
        Code::of_counts(plan.refused.len() as u64, 0)
    } else {
        let rejects = args.rejects.as_deref().map(Rejects::open).transpose()?;
        let ended = runtime.block_on(commit(&mut *batch, told_to_stop(), &mut meter));
        drop(meter);
        // From here on the handlers are ours, so Ctrl-C would be lost while results are printed.
        runtime.spawn(async {
            told_to_stop().await;
            leave(Code::Stopped);
        });
        let (summary, code) = judge(&*batch, ended, rejects)?;
        match output::print_run(&*batch, &summary, args.output, args.show) {
            Ok(()) => code,
            Err(failure) => {
                messages::error(failure.message());
                code.or_unwritten()
            }
        }
    };
    crate::close(&runtime, &*store);
    Ok(code)
}

/// How a commit ended.
#[derive(Debug)]
enum Ended {
    Report(Report),
    /// Stopped after this time; every job has ended all the same.
    Stopped(Duration),
    /// Stopped before anything was sent.
    Untouched,
}

/// Commits, shows how far it has come, and gives up once `stop` is ready.
async fn commit(
    batch: &mut dyn Batch,
    stop: impl Future<Output = ()>,
    meter: &mut Meter,
) -> Result<Ended> {
    let started = Instant::now();
    let progress = batch.progress();
    let mut ticks = interval_at(started + PACE, PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stop = pin!(stop);
    let mut commit = batch.commit();
    loop {
        tokio::select! {
            biased;
            report = &mut commit => return report.map(Ended::Report),
            () = &mut stop => break,
            _ = ticks.tick(), if meter.is_on() => {
                meter.show(Phase::Settling, progress.settled(), Some(progress.queued()));
            }
        }
    }
    drop(commit);
    Ok(if batch.state() == BatchState::Open {
        Ended::Untouched
    } else {
        Ended::Stopped(started.elapsed())
    })
}

/// Writes what was not applied, and says what the commit came to.
fn judge(
    batch: &dyn Batch,
    ended: Result<Ended>,
    rejects: Option<Rejects>,
) -> Result<(Summary, Code), Failure> {
    let (summary, mut code) = match ended.map_err(|error| Failure::of(Code::Failed, &error))? {
        Ended::Report(report) => {
            let summary = Summary::of_report(&report);
            (summary, Code::of_counts(report.not_applied(), report.unknown()))
        }
        Ended::Stopped(elapsed) => (Summary::of_stopped(batch, elapsed), Code::Stopped),
        Ended::Untouched => {
            return Err(Failure::new(Code::Stopped, "stopped before anything was sent"));
        }
    };
    if let Some(rejects) = rejects {
        let path = rejects.path().display().to_string();
        match rejects.write(batch) {
            Ok(0) => {}
            Ok(written) => messages::note(&format!("{written} not applied, written to {path}")),
            Err(error) => {
                messages::error(&format!("{path} cannot be written for --rejects: {error}"));
                code = code.or_unwritten();
            }
        }
    }
    Ok((summary, code))
}

/// Ready once Ctrl-C is pressed or the process is told to end; never, if the system does not tell.
async fn told_to_stop() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = ctrl_c => {}
        () = told_to_end() => {}
    }
}

/// Service managers end a process by SIGTERM.
#[cfg(unix)]
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn told_to_end() {
    std::future::pending().await
}

#[expect(clippy::exit, reason = "a second Ctrl-C ends the program while it prints")]
fn leave(code: Code) {
    std::process::exit(code.number().into());
}

#[cfg(test)]
mod tests;
