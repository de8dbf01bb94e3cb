//! The examples that have something to do on ArangoDB, on emulators with and without the multipart call.

use std::{process::ExitCode, sync::Arc};

use batch_memory::MemoryStore;
use integration_tests::{ArangoServer, Result, conclude_serially, trial};
use libtest_mimic::Trial;

#[expect(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "a program, with the test in the place of its `main`"
)]
#[path = "../../examples/aql_and_edges.rs"]
mod aql_and_edges;
#[expect(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "a program, with the test in the place of its `main`"
)]
#[path = "../../examples/one_service.rs"]
mod one_service;

const DATABASE: &str = "examples";

async fn service(version: &'static str) -> Result<()> {
    let server = ArangoServer::emulator(version)?;
    server.make_database(DATABASE).await?;
    server.make_collection(DATABASE, "marks").await?;
    let (on_memory, _) = one_service::visit(Arc::new(MemoryStore::new())).await?;
    // Twice: the second visit finds what the first has left.
    for _ in 0..2 {
        let store = unibatch::connect(&server.url(DATABASE)).await?;
        let (on_arango, mechanism) = one_service::visit(store).await?;
        assert_eq!(on_arango, on_memory);
        assert_eq!(mechanism, "stream transaction");
    }
    Ok(())
}

async fn edges(version: &'static str) -> Result<()> {
    let server = ArangoServer::emulator(version)?;
    server.make_database(DATABASE).await?;
    for _ in 0..2 {
        let told = aql_and_edges::teach(&server.url(DATABASE)).await;
        let told = told.map_err(|error| error.to_string())?;
        let expected = [
            "the edge is there",
            "the query gives [\"Jon\"]",
            "InvalidOperation: Some(\"1501\")",
            "5 applied, 1 not applied",
        ];
        assert_eq!(told, expected);
    }
    Ok(())
}

fn main() -> ExitCode {
    let on_each = ["3.11.14", "3.12.10"].into_iter().flat_map(|version| -> [Trial; 2] {
        [
            trial(
                format!("{version}::one_service_does_the_same_on_memory_and_on_a_collection"),
                service(version),
            ),
            trial(format!("{version}::queries_and_edges_share_an_ordered_batch"), edges(version)),
        ]
    });
    conclude_serially(on_each.collect())
}
