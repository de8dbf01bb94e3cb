//! The contract on Cassandra, and on ScyllaDB where its image can be had.

use std::{process::ExitCode, sync::Arc};

use batch_conformance::{absent, conclude, trials};
use integration_tests::{
    CqlHarness, Settings, find_cassandra, find_scylla, is_listing, missing, remove_keyspace,
};

fn main() -> ExitCode {
    if is_listing() {
        let why = "no server is started to list its cases";
        return conclude(
            ["cassandra", "scylla"].into_iter().flat_map(|name| absent(name, why)).collect(),
        );
    }
    let (mut cases, mut servers) = (Vec::new(), Vec::new());
    for (name, found) in
        [("cassandra", find_cassandra(&Settings::new().quick_schema())), ("scylla", find_scylla())]
    {
        match found {
            Ok(server) => {
                let server = Arc::new(server);
                let harness = CqlHarness::new(name, Arc::clone(&server));
                servers.push((server, harness.keyspace().to_owned()));
                cases.extend(trials(harness));
            }
            // ScyllaDB is published as an image alone, which not every machine can have.
            Err(error) if name == "scylla" => cases.extend(absent(name, &error.to_string())),
            Err(error) => {
                cases.extend(missing(name, &error.to_string(), |why| absent(name, why)));
            }
        }
    }
    let code = conclude(cases);
    for (server, keyspace) in &servers {
        remove_keyspace(server, keyspace);
    }
    code
}
