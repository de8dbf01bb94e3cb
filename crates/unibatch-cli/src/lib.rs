//! The `unibatch` program: queues the operations of an NDJSON file in one batch, commits it, and
//! prints for each operation whether it is in the store.
//!
//! The modules follow the way of the data: arguments, input, run (or check), output, exit.
//! `unibatch --help` and `unibatch run --help` say what it does; this crate has no other API.

mod args;
mod check;
mod exit;
mod input;
mod messages;
mod meter;
mod output;
mod rejects;
mod run;
mod stop;
mod verdicts;

use std::{ffi::OsString, io, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, Parser as _, builder::StyledStr};
use tokio::runtime::{Builder, Runtime};
use unibatch::{Store, StoreUrl};

use crate::{
    args::{Args, Command},
    exit::{Code, Failure},
};

/// Runs the program with these arguments, of which the first is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    messages::hide_secrets_of(&args);
    let done = match Args::try_parse_from(&args) {
        Ok(args) => execute(args.command),
        Err(error) if error.use_stderr() => {
            messages::usage(&error.render().ansi().to_string());
            Ok(Code::Usage)
        }
        // `--help` and `--version` come this way too.
        Err(error) => print_help(&error.render()),
    };
    let code = done.unwrap_or_else(|failure| {
        messages::error(failure.message());
        failure.code()
    });
    code.into()
}

fn print_help(text: &StyledStr) -> Result<Code, Failure> {
    let styled = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    output::to_stdout(
        |out| {
            if styled { write!(out, "{}", text.ansi()) } else { write!(out, "{text}") }
        },
    )?;
    Ok(Code::Done)
}

fn execute(command: Command) -> Result<Code, Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "unibatch", &mut script);
            output::to_stdout(|out| out.write_all(&script))?;
            Ok(Code::Done)
        }
        Command::Man { command } => {
            let page = args::man_page(command.as_deref())?;
            output::to_stdout(|out| out.write_all(&page))?;
            Ok(Code::Done)
        }
    }
}

fn runtime() -> Result<Runtime, Failure> {
    // Several threads, so that connections live on while the main one reads or prints.
    Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Code::Failed, format!("no runtime could be started: {error}"))
    })
}

/// A `--store` argument. One that cannot be read is bad usage; a store that cannot be reached is not.
fn parse(url: &str) -> Result<StoreUrl, Failure> {
    StoreUrl::parse(url).map_err(|error| Failure::of(Code::Usage, &error))
}

/// Closes the store. Everything has ended by then, so a mistake changes no result.
fn close(runtime: &Runtime, store: &dyn Store) {
    const PATIENCE: Duration = Duration::from_secs(5);
    if let Err(error) = runtime.block_on(store.close(PATIENCE)) {
        messages::warning(&format!("the store was not closed: {}", messages::chain(&error)));
    }
}
