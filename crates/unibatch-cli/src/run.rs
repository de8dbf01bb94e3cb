//! `unibatch run`: read, plan or commit, print.

use std::{pin::pin, time::Duration};

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
    stop::Stop,
    verdicts::Verdicts,
};

/// How often the progress bar is drawn.
const PACE: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &RunArgs) -> Result<Code, Failure> {
    let url = crate::parse(&args.store.url)?;
    if let Some(rejects) = &args.rejects {
        Rejects::refuse_shared(rejects, &args.file)?;
    }
    let runtime = crate::runtime()?;
    let input = Input::open(&args.file, &runtime)?;
    let options = BatchOptions::new()
        .guarantee(args.guarantee)
        .on_cancel(OnCancel::Settle)
        .results(args.show != Some(Show::None));
    let started = Instant::now();
    let stop = Stop::listen(&runtime);
    let asked = stop.asked();
    let connected = runtime.block_on(async {
        tokio::select! {
            biased;
            connected = url.connect() => connected.map_err(|error| (error, Code::Failed)),
            () = asked => Err((stopped(), Code::Stopped)),
        }
    });
    let opened = connected.and_then(|store| {
        let batch = store.batch(options).map_err(|error| (error, Code::Failed))?;
        Ok((store, batch))
    });
    let (store, mut batch) = match opened {
        Ok(opened) => opened,
        Err((error, code)) => {
            let unsent = Unsent { error, elapsed: started.elapsed(), code };
            return without_batch(args, input, unsent);
        }
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
        let ended = runtime.block_on(commit(&mut *batch, stop.asked(), &mut meter));
        drop(meter);
        let verdicts = Verdicts::OfBatch { batch: &*batch, unsent: ended.unsent() };
        conclude(args, verdicts, &ended, rejects)
    };
    crate::close(&runtime, &*store);
    Ok(code)
}

/// There is no batch, so every operation is still to be done. Whoever wants that in JSON or as
/// rejects has the input read all the same.
fn without_batch(args: &RunArgs, input: Input, unsent: Unsent) -> Result<Code, Failure> {
    let failure = Failure::of(unsent.code, &unsent.error);
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
    let error = unsent.error.clone();
    let verdicts = Verdicts::OfNone { operations: &operations, unsent: &error };
    Ok(conclude(args, verdicts, &Ended::Unsent(unsent), rejects))
}

/// How a commit ended.
#[derive(Debug)]
enum Ended {
    Report(Report),
    /// Stopped after this time; every job has ended all the same.
    Stopped(Duration),
    /// Nothing was sent, and the batch is open: no job has ended.
    Unsent(Unsent),
}

/// Why nothing was sent, after this time.
#[derive(Debug)]
struct Unsent {
    error: Error,
    elapsed: Duration,
    code: Code,
}

impl Ended {
    /// The error of all operations, if nothing was sent.
    fn unsent(&self) -> Option<&Error> {
        match self {
            Self::Unsent(unsent) => Some(&unsent.error),
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
                    Ended::Unsent(Unsent { error, elapsed: started.elapsed(), code: Code::Failed })
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
        Ended::Unsent(Unsent { error: stopped(), elapsed, code: Code::Stopped })
    } else {
        Ended::Stopped(elapsed)
    }
}

/// The error of all operations where Ctrl-C came in time.
fn stopped() -> Error {
    let message =
        "stopped by Ctrl-C or another signal before the store could apply anything; run it again";
    Error::new(ErrorKind::Cancelled, message)
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
            let warning =
                "stopped by Ctrl-C or another signal before everything was sent and answered";
            (Summary::of_verdicts(verdicts, *elapsed, warning), Code::Stopped)
        }
        Ended::Unsent(Unsent { error, elapsed, code }) => {
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

#[cfg(test)]
mod tests;
