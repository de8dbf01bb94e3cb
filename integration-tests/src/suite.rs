//! What the suites' mains share.

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Completion, Trial};
use tokio::runtime::Builder;

use crate::Result;

/// Whether the command line asks for the names of the tests alone: no server is started for that.
#[must_use]
pub fn is_listing() -> bool {
    Arguments::from_args().list
}

/// Whether a server that cannot be had is a failure.
fn are_servers_required() -> bool {
    let is_set = |name| env::var(name).is_ok_and(|value| !["", "0", "false"].contains(&&*value));
    is_set("CI") || is_set("UNIBATCH_REQUIRE_SERVERS")
}

/// The trials of a suite that has no server: the `ignored` ones, with the reason; where servers are
/// required each of them fails, so that no choice of tests passes for one that ran.
#[must_use]
pub fn missing(suite: &str, reason: &str, ignored: impl FnOnce(&str) -> Vec<Trial>) -> Vec<Trial> {
    if is_listing() || !are_servers_required() {
        return ignored(reason);
    }
    let why = reason.to_owned();
    let first = Trial::test(format!("{suite}::has_a_server"), move || Err(why.into()));
    let failed = |trial: Trial| {
        let why = format!("there is no server: {suite}::has_a_server says why");
        Trial::test(trial.name(), move || Err(why.into()))
    };
    [first].into_iter().chain(ignored(reason).into_iter().map(failed)).collect()
}

/// Lists a trial as ignored, with the reason in front of its name.
#[must_use]
pub fn ignored(name: &str, reason: &str) -> Trial {
    let (kind, why) = (reason.to_owned(), reason.to_owned());
    Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why)))
        .with_kind(kind)
        .with_ignored_flag(true)
}

/// A trial of what happens on a runtime of its own.
pub fn trial(
    name: impl Into<String>,
    body: impl Future<Output = Result<()>> + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(body).map_err(|error| error.to_string().into())
    })
}

/// Runs trials one after another: they share a server, and do it harm.
#[must_use]
pub fn conclude_serially(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}
