//! The command line. Help, completions and manual pages come from here.

use std::path::PathBuf;

use clap::{
    Args as ClapArgs, CommandFactory as _, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use clap_complete::Shell;
use unibatch::Guarantee;

use crate::exit::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  unibatch run students.ndjson
  unibatch run --store cql://localhost:9042/school --plan students.ndjson
  zcat students.ndjson.gz | unibatch run --output json - > results.json
  unibatch check --store arango://root@localhost:8529/school";

const RUN_EXAMPLES: &str = r#"Input: one JSON object a line. A key is a string, or an object of named parts.
  {"op":"insert","collection":"students","key":{"id":"Abby"},"doc":{"name":"Abby","age":20}}
  {"op":"upsert","collection":"students","key":"John","doc":{"age":21}}
  {"op":"get","collection":"students","key":"Abby"}
  {"op":"aql","query":"RETURN 100000","bind":{}}
  {"op":"cql","statement":"UPDATE school.hits SET n = n + 1 WHERE id = ?","values":["Abby"]}
Operations: insert, put, upsert, replace, update (with "doc"), delete, delete_existing, get, aql, cql.
Options of an operation: "if_revision", "ttl" (seconds), "timestamp" (microseconds), "returning" ("new" or "old"), "idempotent".

Exit status:
  0    all operations are applied or accepted
  1    some are not applied (with --plan: would not be sent), or a result could not be written
  2    bad usage or bad input; nothing was sent or printed, and --rejects is as it was
  3    of some it cannot be told (wins over 1)
  4    no connection, or the batch failed as a whole; nothing was applied, all are rejects
  130  stopped by Ctrl-C, SIGTERM or the end of the terminal; jobs, report and rejects are written as they are known, unless the input was
       not read to its end: then it is as 2
With --output json stdout is one object in all other cases than 2, and 4 with --plan.

Examples:
  unibatch run students.ndjson
  unibatch run --guarantee all-or-nothing --store cql://localhost/school students.ndjson
  unibatch run --plan students.ndjson
  unibatch run --output json --show failed students.ndjson | jq .report
  unibatch run --rejects rejects.ndjson students.ndjson; unibatch run rejects.ndjson"#;

const CHECK_EXAMPLES: &str = "\
Exit status: 0 if the store answers, 2 for bad usage, 4 if it cannot be reached.

Examples:
  unibatch check
  UNIBATCH_PASSWORD=secret unibatch check --store arango://root@localhost:8529/school
  unibatch check --store 'cql://localhost,[::1]:9043/school?local_dc=dc1' --output json";

const STORE: &str =
    "The store: memory:, arango://user:pass@host,host2/db, cql://user:pass@host,host2/keyspace";

const STORE_MORE: &str = "\
Also arango+https:// and cql+tls://. Parameters, as in memory:?timeout=10m: timeout (of the whole batch, \
30s if not given: what was not sent by then is not applied), max_in_flight, \
max_batch_bytes and max_batch_operations on every store; auth=basic|jwt, protocol=http1|http2, \
compression=gzip and sharded_transactions=accept on ArangoDB; consistency, \
serial_consistency, local_dc, translate=contact-points and compression=lz4|snappy on CQL; \
tls_ca=FILE on arango+https and cql+tls, tls_name=NAME on cql+tls. The password may be in the environment \
variable UNIBATCH_PASSWORD instead, where other users of the machine cannot see it; one in the URL \
is preferred to it.";

/// Commit batches of operations, and tell for each one whether it is in the store.
#[derive(Debug, Parser)]
#[command(
    name = "unibatch",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Commit the operations of an NDJSON file as one batch, and print each job and the report
    ///
    /// The whole file is checked before anything is sent: exit status 2 means that nothing was.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Connect to a store, and print its server, its capabilities and the mechanisms of each guarantee
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  unibatch completions bash > ~/.local/share/bash-completion/completions/unibatch"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page
    #[command(after_help = "Example:\n  unibatch man run | man -l -")]
    Man {
        /// The command whose page is printed; the program's own if none is named
        command: Option<String>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StoreArgs {
    #[arg(
        long = "store",
        value_name = "URL",
        default_value = "memory:",
        help = STORE,
        long_help = format!("{STORE}\n\n{STORE_MORE}")
    )]
    pub(crate) url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables for people
    Table,
    /// One JSON object
    Json,
}

/// Which jobs are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// Every job
    All,
    /// Those that are not applied or unknown
    Failed,
    /// The report alone
    None,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// What is promised about the operations together; refused if the store cannot give it
    #[arg(
        long,
        value_name = "NAME",
        default_value = Guarantee::BestEffort.as_str(),
        value_parser = PossibleValuesParser::new(Guarantee::ALL.iter().map(|guarantee| guarantee.as_str())).try_map(|name| guarantee(&name))
    )]
    pub(crate) guarantee: Guarantee,

    /// Print what would be sent, and send nothing
    #[arg(long, conflicts_with = "rejects")]
    pub(crate) plan: bool,

    /// How the result is printed on stdout
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Which jobs are printed [default: all; in a table of more than 1,000 jobs: failed]
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(crate) show: Option<Show>,

    /// Write the operations that were not applied to this file, to be run again
    ///
    /// The file is replaced, also if nothing was sent, once the input was read and has no mistake. It cannot be the
    /// input. Operations of which it cannot be told are not among them.
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,

    /// The NDJSON file, or - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// How the result is printed on stdout
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Output::Table)]
    pub(crate) output: Output,
}

fn guarantee(name: &str) -> Result<Guarantee, String> {
    let known = Guarantee::ALL.iter().copied().find(|guarantee| guarantee.as_str() == name);
    known.ok_or_else(|| format!("there is no guarantee {name}"))
}

/// The manual page of the program, or of one of its commands.
pub(crate) fn man_page(name: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut program = Args::command();
    program.build();
    let command = match name {
        None => &program,
        Some(name) => program.find_subcommand(name).ok_or_else(|| {
            let names: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
            let message = format!("there is no command `{name}`; there are {}", names.join(", "));
            Failure::new(Code::Usage, message)
        })?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::of(Code::NotApplied, &error))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_guarantee_has_its_name_on_the_command_line() {
        for wanted in Guarantee::ALL.iter().copied() {
            let line = ["unibatch", "run", "--guarantee", wanted.as_str(), "f"];
            match Args::try_parse_from(line).unwrap().command {
                Command::Run(run) => assert_eq!(run.guarantee, wanted),
                other => panic!("{other:?}"),
            }
        }
    }
}
