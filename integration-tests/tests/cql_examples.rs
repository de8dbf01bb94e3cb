//! The examples that have something to do on a server, on a server.

use std::{process::ExitCode, sync::Arc};

use batch_core::StoreOptions;
use batch_memory::MemoryStore;
use integration_tests::{
    Cassandra, Result, Settings, conclude_serially, connect_store, execute, find_cassandra,
    ignored, is_listing, make_keyspace, missing, remove_keyspace, trial,
};
use libtest_mimic::Trial;

#[expect(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "a program, with the test in the place of its `main`"
)]
#[path = "../../examples/one_service.rs"]
mod one_service;
#[expect(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "a program, with the test in the place of its `main`"
)]
#[path = "../../examples/typed_cql.rs"]
mod typed_cql;

/// The keyspace that `typed_cql` makes.
const MADE: &str = "unibatch_examples";

const SERVICE: &str = "one_service_does_the_same_on_memory_and_on_a_table";
const TYPED: &str = "typed_statements_share_a_batch_with_other_operations";

async fn one_service(server: &Cassandra, keyspace: &str) -> Result<()> {
    let session = server.session().await?;
    make_keyspace(&session, keyspace, 1).await?;
    let table = format!(
        "CREATE TABLE {keyspace}.marks \
         (class text, student text, mark int, PRIMARY KEY (class, student))"
    );
    execute(&session, table).await?;
    let store = connect_store(server, keyspace, StoreOptions::new()).await?;
    let (on_memory, _) = one_service::visit(Arc::new(MemoryStore::new())).await?;
    // Twice: the second visit finds what the first has left.
    for _ in 0..2 {
        let (on_table, mechanism) = one_service::visit(Arc::new(store.clone())).await?;
        assert_eq!(on_table, on_memory);
        assert_eq!(mechanism, "conditional batch");
    }
    Ok(())
}

async fn typed(server: &Cassandra) -> Result<()> {
    let told = typed_cql::load(&server.url("")).await.map_err(|error| error.to_string())?;
    let expected = [
        "InvalidOperation: a text is no bigint",
        "250 by single-partition batch",
        "1 by single statement",
        "1 by counter batch",
        "252 applied",
    ];
    assert_eq!(told, expected);
    let session = server.session().await?;
    let counted = execute(&session, format!("SELECT count(*) FROM {MADE}.readings")).await?;
    let (rows,) = counted.into_rows_result()?.single_row::<(i64,)>()?;
    assert_eq!(rows, 250);
    Ok(())
}

fn main() -> ExitCode {
    let all_ignored = |why: &str| Vec::from([SERVICE, TYPED].map(|name| ignored(name, why)));
    if is_listing() {
        return conclude_serially(all_ignored("no server is started to list its tests"));
    }
    let server = match find_cassandra(&Settings::new()) {
        Ok(server) => Arc::new(server),
        Err(error) => {
            return conclude_serially(missing("examples", &error.to_string(), all_ignored));
        }
    };
    let keyspace = format!("examples_{}", std::process::id());
    let trials: Vec<Trial> = vec![
        trial(SERVICE, {
            let (server, keyspace) = (Arc::clone(&server), keyspace.clone());
            async move { one_service(&server, &keyspace).await }
        }),
        trial(TYPED, {
            let server = Arc::clone(&server);
            async move { typed(&server).await }
        }),
    ];
    let code = conclude_serially(trials);
    for keyspace in [&*keyspace, MADE] {
        remove_keyspace(&server, keyspace);
    }
    code
}
