//! Which store? By URL at run time, or by cargo feature at compile time.
//!
//! ```text
//! cargo run -p unibatch-examples --bin choose_store -- 'memory:?max_in_flight=4'
//! cargo run -p unibatch-examples --bin choose_store -- cql://localhost/school
//! ```

use std::{process::ExitCode, sync::Arc};

use serde_json::json;
use unibatch::prelude::*;

/// By feature: the code of the store is there or is not, and no URL has to be read.
fn chosen_by_feature() -> Option<Arc<dyn Store>> {
    #[cfg(feature = "memory")]
    return Some(Arc::new(unibatch::memory::MemoryStore::new()));
    #[cfg(not(feature = "memory"))]
    return None;
}

async fn greet(store: &dyn Store) -> Result<()> {
    let server = store.ping().await?;
    let mut batch = store.batch(BatchOptions::new())?;
    batch.queue(Operation::put("greetings").at("first").doc(&json!({"text": "hello"})))?;
    let report = batch.commit().await?.into_result()?;
    println!("{} on {} {}", report.applied(), server.name, server.version);
    Ok(())
}

async fn run(url: Option<&str>) -> Result<()> {
    match url {
        // By URL: the scheme names the store, the query its limits. If the store's feature is
        // off, or an option is unknown, the error says so and names what there is.
        Some(url) => greet(&*unibatch::connect(url).await?).await,
        None => match chosen_by_feature() {
            Some(store) => greet(&*store).await,
            None => greet(&*unibatch::connect("memory:").await?).await,
        },
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", error.kind());
            ExitCode::FAILURE
        }
    }
}
