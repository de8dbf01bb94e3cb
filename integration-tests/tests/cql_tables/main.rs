//! What is special to CQL, on a real node: keys and columns of every sort, what is put together and
//! how, what is refused and what that does to its neighbours, schemas that change, and the program.
//! What a row has in the end is read by the bare driver.
#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is used")]

mod documents;
mod guarantees;
mod keys;
mod large_partitions;
mod native;
mod native_order;
mod neighbours;
mod options;
mod plans;
mod schemas;
mod sizes;
mod static_order;
mod statics;
mod support;
mod whole;

use std::{process::ExitCode, sync::Arc};

use integration_tests::{
    Settings, conclude_serially, find_cassandra, ignored, is_listing, missing, remove_keyspace,
    trial,
};
use libtest_mimic::Trial;

use crate::support::{Test, World};

const AREAS: &[&[Test]] = &[
    keys::TESTS,
    statics::TESTS,
    static_order::TESTS,
    documents::TESTS,
    options::TESTS,
    guarantees::TESTS,
    whole::TESTS,
    sizes::TESTS,
    native::TESTS,
    native_order::TESTS,
    neighbours::TESTS,
    plans::TESTS,
    schemas::TESTS,
    large_partitions::TESTS,
];

fn main() -> ExitCode {
    let tests = || AREAS.iter().copied().flatten();
    let all_ignored =
        |why: &str| -> Vec<Trial> { tests().map(|test| ignored(test.name, why)).collect() };
    if is_listing() {
        return conclude_serially(all_ignored("no server is started to list its tests"));
    }
    let server = match find_cassandra(&Settings::new().quick_schema()) {
        Ok(server) => server,
        Err(error) => return conclude_serially(missing("tables", &error.to_string(), all_ignored)),
    };
    let world = Arc::new(World::new(server));
    let trials = tests().map(|test| trial(test.name, (test.run)(Arc::clone(&world)))).collect();
    let code = conclude_serially(trials);
    for keyspace in world.keyspaces() {
        remove_keyspace(world.server(), &keyspace);
    }
    code
}
