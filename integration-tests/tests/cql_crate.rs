//! The tests inside `batch-cql` that need a server, on a server: that JSON is stored as the
//! server's own `INSERT JSON` stores it, that sizes are counted as it counts them, that statements
//! are what it says they are.

use std::{
    env,
    process::{Command, ExitCode},
    sync::Arc,
};

use integration_tests::{
    Cassandra, Result, Settings, conclude_serially, find_cassandra, ignored, is_listing, missing,
};
use libtest_mimic::Trial;

const NAME: &str = "what_the_crate_says_of_the_server_holds_on_a_server";

/// Generated documents for each kind of column: enough for a gate; the tests take more by themselves.
const ROUNDS: &str = "40";

fn run(server: &Cassandra) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--locked", "-p", "batch-cql", "--all-features", "--lib"])
        .args(["--", "--ignored", "--test-threads=1"])
        .env("UNIBATCH_CQL_URL", format!("cql://{}", server.address()))
        .env("UNIBATCH_ROUNDS", env::var("UNIBATCH_ROUNDS").unwrap_or_else(|_| ROUNDS.into()))
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let ran =
        told.lines().any(|line| line.starts_with("test result: ok") && !line.contains(" 0 passed"));
    if output.status.success() && ran {
        return Ok(());
    }
    Err(format!("{told}\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

fn main() -> ExitCode {
    let all_ignored = |why: &str| vec![ignored(NAME, why)];
    if is_listing() {
        return conclude_serially(all_ignored("no server is started to list its tests"));
    }
    let server = match find_cassandra(&Settings::new()) {
        Ok(server) => Arc::new(server),
        Err(error) => {
            return conclude_serially(missing("crate", &error.to_string(), all_ignored));
        }
    };
    let trial = Trial::test(NAME, {
        let server = Arc::clone(&server);
        move || run(&server).map_err(|error| error.to_string().into())
    });
    conclude_serially(vec![trial])
}
