//! `unibatch run`: read, plan or commit, print.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use unibatch::{Batch, BatchOptions, BatchState, Error, ErrorKind, OnCancel, Report};

use crate::{
    args::{Output, RunArgs, Show},
    exit::{Code, Failure},
    input::Input,
    messages,
    meter::{Meter, Phase},
    output::{self, Summary},
    rejects::Rejects,
    verdicts::Verdicts,
};

/// How often the progress bar is drawn.
const PACE: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &RunArgs) -> Result<Code, Failure> {
    let url = crate::parse(&args.store.url)?;
    if let Some(rejects) = &args.rejects {
        Rejects::refuse_shared(rejects, &args.file)?;
    }
    let input = Input::open(&args.file)?;
    let runtime = crate::runtime()?;
    let options = BatchOptions::new()
        .guarantee(args.guarantee)
        .on_cancel(OnCancel::Settle)
        .results(args.show != Some(Show::None));
    let started = Instant::now();
    let opened = runtime.block_on(url.connect());
    let opened = opened.and_then(|store| Ok((store.batch(options)?, store)));
    let (mut batch, store) = match opened {
        Ok(opened) => opened,
        Err(error) => return without_batch(args, input, &error, started.elapsed()),
    };
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
        let verdicts = Verdicts::OfBatch { batch: &*batch, unsent: ended.unsent() };
        conclude(args, verdicts, &ended, rejects)
    };
    crate::close(&runtime, &*store);
    Ok(code)
}

/// There is no batch, so every operation is still to be done. Whoever wants that in JSON or as
/// rejects has the input read all the same.
fn without_batch(
    args: &RunArgs,
    input: Input,
    error: &Error,
    elapsed: Duration,
) -> Result<Code, Failure> {
    let failure = Failure::of(Code::Failed, error);
    if args.plan || (args.output == Output::Table && args.rejects.is_none()) {
        return Err(failure);
    }
    let operations = match input.operations() {
        Ok(operations) => operations,
        Err(mistake) => {
            messages::error(failure.message());
            return Err(mistake);
        }
    };
    let rejects = args.rejects.as_deref().map(Rejects::open).transpose()?;
    let verdicts = Verdicts::OfNone { operations: &operations, unsent: error };
    let ended = Ended::Unsent { error: error.clone(), elapsed, code: Code::Failed };
    Ok(conclude(args, verdicts, &ended, rejects))
}

/// How a commit ended.
#[derive(Debug)]
enum Ended {
    Report(Report),
    /// Stopped after this time; every job has ended all the same.
    Stopped(Duration),
    /// Nothing was sent, and the batch is open: no job has ended.
    Unsent {
        error: Error,
        elapsed: Duration,
        code: Code,
    },
}

impl Ended {
    /// The error of all operations, if nothing was sent.
    fn unsent(&self) -> Option<&Error> {
        match self {
            Self::Unsent { error, .. } => Some(error),
            Self::Report(_) | Self::Stopped(_) => None,
        }
    }
}

/// Commits, shows how far it has come, and gives up once `stop` is ready.
async fn commit(batch: &mut dyn Batch, stop: impl Future<Output = ()>, meter: &mut Meter) -> Ended {
    let started = Instant::now();
    let progress = batch.progress();
    let mut ticks = interval_at(started + PACE, PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stop = pin!(stop);
    let mut commit = batch.commit();
    loop {
        tokio::select! {
            biased;
            report = &mut commit => return match report {
                Ok(report) => Ended::Report(report),
                Err(error) => {
                    Ended::Unsent { error, elapsed: started.elapsed(), code: Code::Failed }
                }
            },
            () = &mut stop => break,
            _ = ticks.tick(), if meter.is_on() => {
                meter.show(Phase::Settling, progress.settled(), Some(progress.queued()));
            }
        }
    }
    drop(commit);
    let elapsed = started.elapsed();
    if batch.state() == BatchState::Open {
        let message = "stopped by Ctrl-C before the store could apply anything; run it again";
        let error = Error::new(ErrorKind::Cancelled, message);
        Ended::Unsent { error, elapsed, code: Code::Stopped }
    } else {
        Ended::Stopped(elapsed)
    }
}

/// Says why nothing was sent, writes what is still to be done, prints what is told of each
/// operation, and says how the program ends.
fn conclude(
    args: &RunArgs,
    verdicts: Verdicts<'_>,
    ended: &Ended,
    rejects: Option<Rejects>,
) -> Code {
    if let Some(error) = ended.unsent() {
        messages::error(&messages::chain(error));
    }
    let (summary, code) = judge(verdicts, ended);
    let code = match rejects {
        Some(rejects) => reject(verdicts, rejects, code),
        None => code,
    };
    if code == Code::Failed && args.output == Output::Table {
        // The one error is all that a table of it could say.
        return code;
    }
    match output::print_run(verdicts, &summary, args.output, args.show) {
        Ok(()) => code,
        Err(failure) => {
            messages::error(failure.message());
            code.or_unwritten()
        }
    }
}

/// What the run came to.
fn judge(verdicts: Verdicts<'_>, ended: &Ended) -> (Summary, Code) {
    match ended {
        Ended::Report(report) => {
            let code = Code::of_counts(report.not_applied(), report.unknown());
            (Summary::of_report(report), code)
        }
        Ended::Stopped(elapsed) => {
            let warning = "stopped by Ctrl-C before everything was sent and answered";
            (Summary::of_verdicts(verdicts, *elapsed, warning), Code::Stopped)
        }
        Ended::Unsent { error, elapsed, code } => {
            (Summary::of_unsent(verdicts, *elapsed, error), *code)
        }
    }
}

/// Writes what was not applied.
fn reject(verdicts: Verdicts<'_>, rejects: Rejects, code: Code) -> Code {
    let path = rejects.path().display().to_string();
    match rejects.write(verdicts) {
        Ok(0) => code,
        Ok(written) => {
            messages::note(&format!("{written} not applied, written to {path}"));
            code
        }
        Err(error) => {
            messages::error(&format!("{path} cannot be written for --rejects: {error}"));
            code.or_unwritten()
        }
    }
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
