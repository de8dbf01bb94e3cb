//! Starts the server that the suites would run on, says where it is, and serves until its input ends.
#![expect(clippy::print_stdout, reason = "this is a program")]

use std::io::{Read as _, stdin};

use integration_tests::{Result, Settings, find_cassandra};

fn main() -> Result<()> {
    let cassandra = find_cassandra(&Settings::new())?;
    println!("{}", cassandra.url("KEYSPACE"));
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
