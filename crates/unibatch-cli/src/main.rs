//! The `unibatch` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    unibatch_cli::main(std::env::args_os())
}
