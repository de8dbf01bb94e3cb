//! From cases to trials, and from trials to an exit code.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    process::ExitCode,
    sync::{Arc, Once},
    time::Duration,
};

use batch_core::{Result, StoreOptions};
use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

use crate::{CASES, Case, Context, Harness, Time, case::Facts, context::ON_PURPOSE};

/// The longest that a case may take on each clock: longer, and something pends for ever.
const LONGEST_REAL: Duration = Duration::from_secs(120);
const LONGEST_PAUSED: Duration = Duration::from_secs(3600);

/// Runs the whole suite on one store, with the arguments of the command line.
#[must_use]
pub fn run(harness: impl Harness) -> ExitCode {
    conclude(trials(harness))
}

/// The whole suite on one store. The store is opened once, to ask what it declares.
pub fn trials(harness: impl Harness) -> Vec<Trial> {
    trials_of(harness, CASES.iter().copied().flatten())
}

/// Some cases on one store: a topic of the suite, or your own.
pub fn trials_of<'c>(
    harness: impl Harness,
    cases: impl IntoIterator<Item = &'c Case>,
) -> Vec<Trial> {
    let harness: Arc<dyn Harness> = Arc::new(harness);
    let name = harness.name().to_owned();
    let opened = Executor::new(harness.time()).and_then(|executor| {
        let facts = executor.run(look(&*harness))?;
        Ok((Arc::new(executor), Arc::new(facts)))
    });
    let (executor, facts) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return vec![Trial::test(format!("{name}::opens"), move || {
                Err(Failed::from(format!("the store cannot be opened: {error}")))
            })];
        }
    };
    let trial = |case: &Case| {
        let title = format!("{name}::{}", case.name);
        let missing = case.requires.iter().find(|requirement| !facts.meet(**requirement));
        if let Some(missing) = missing {
            return ignored(title, &format!("needs {missing}"));
        }
        let (case, harness) = (*case, Arc::clone(&harness));
        let (executor, facts) = (Arc::clone(&executor), Arc::clone(&facts));
        Trial::test(title, move || {
            executor.run(run_case(case, harness, facts)).map_err(Failed::from)
        })
    };
    cases.into_iter().map(trial).collect()
}

/// The whole suite, each case ignored with a reason: for a store that cannot be had here.
#[must_use]
pub fn absent(name: &str, reason: &str) -> Vec<Trial> {
    let all = CASES.iter().copied().flatten();
    all.map(|case| ignored(format!("{name}::{}", case.name), reason)).collect()
}

/// Runs one case on one store, outside any table: in a debugger, or to see that a case bites.
///
/// # Errors
/// What does not hold, or what the case needs and the store does not declare.
pub fn prove(harness: impl Harness, case: &Case) -> Result<(), String> {
    silence_panics_on_purpose();
    let harness: Arc<dyn Harness> = Arc::new(harness);
    let executor = Executor::new(harness.time())?;
    let facts = executor.run(look(&*harness))?;
    match case.requires.iter().find(|requirement| !facts.meet(**requirement)) {
        Some(missing) => Err(format!("the case needs {missing}")),
        None => executor.run(run_case(*case, harness, Arc::new(facts))),
    }
}

/// Runs trials, of several stores if you like, with the arguments of the command line.
#[must_use]
pub fn conclude(trials: Vec<Trial>) -> ExitCode {
    silence_panics_on_purpose();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The reason stands in front of the name, and the case does not run even if ignored ones are
/// asked for.
fn ignored(title: String, reason: &str) -> Trial {
    let kind = reason.to_owned();
    let reason = reason.to_owned();
    Trial::ignorable_test(title, move || Ok(Completion::ignored_with(reason)))
        .with_kind(kind)
        .with_ignored_flag(true)
}

async fn look(harness: &dyn Harness) -> Result<Facts> {
    let options = StoreOptions::new();
    let faults = harness.backend(&options).await?.is_some();
    let store = harness.open(options).await?;
    let facts = Facts {
        capabilities: store.capabilities(),
        string_form_keys: harness.string_form_keys(),
        faults,
        conflicts: harness.conflict_next("", &batch_core::Key::from(""), 0),
        paused_clock: harness.time() == Time::Paused,
    };
    store.close(Duration::from_secs(30)).await?;
    Ok(facts)
}

async fn run_case(case: Case, harness: Arc<dyn Harness>, facts: Arc<Facts>) -> Result<(), String> {
    let longest = if facts.paused_clock { LONGEST_PAUSED } else { LONGEST_REAL };
    let context = Context::new(harness, facts).await.map_err(|error| error.to_string())?;
    let body = async {
        let made = context.prepare(context.collection().to_owned()).await;
        assert!(made.is_ok(), "the case's collection cannot be made: {made:?}");
        (case.run)(context.clone()).await;
    };
    let body = AssertUnwindSafe(body).catch_unwind();
    let ended = match tokio::time::timeout(longest, body).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(panic)) => Err(panic_text(&*panic).to_owned()),
        Err(_) => Err(format!("the case did not end within {longest:?}")),
    };
    let cleaned = context.clean().await;
    match (ended, cleaned) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(error)) => Err(format!("the case left something behind: {error}")),
        (Err(why), cleaned) => {
            let left = cleaned.err().map(|error| format!("\nleft behind: {error}"));
            Err(format!("contract: {}\n{why}{}", case.doc, left.unwrap_or_default()))
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

/// Cases panic in callbacks and backends to see what comes of it; that is no news to print.
fn silence_panics_on_purpose() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = panic_text(info.payload());
            if !ON_PURPOSE.iter().any(|known| text.contains(known)) {
                print(info);
            }
        }));
    });
}

/// Where cases run.
enum Executor {
    /// One runtime for all: connections belong to the runtime that made them.
    Shared(Runtime),
    /// One runtime each, with the clock paused.
    Each,
}

impl Executor {
    fn new(time: Time) -> Result<Self, String> {
        match time {
            Time::Paused => Ok(Self::Each),
            Time::Real => Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map(Self::Shared)
                .map_err(|error| error.to_string()),
        }
    }

    fn run<T>(&self, future: impl Future<Output = Result<T, impl ToString>>) -> Result<T, String> {
        match self {
            Self::Shared(runtime) => runtime.block_on(future).map_err(|e| e.to_string()),
            Self::Each => {
                let runtime = fresh_runtime(Time::Paused).map_err(|error| error.to_string())?;
                runtime.block_on(future).map_err(|e| e.to_string())
            }
        }
    }
}

/// A runtime of one thread.
pub(crate) fn fresh_runtime(time: Time) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    if time == Time::Paused {
        builder.start_paused(true);
    }
    builder.build()
}
