//! A forced batch type, cqlengine's switch: logged, unlogged or counter.
//!
//! Only CQL has these types. On another store the batch is refused when it is opened, before
//! anything is queued, so nobody believes in a batch log that is not there. Most code asks for a
//! guarantee instead, and each store names the mechanism that gives it.

use unibatch::{BatchType, prelude::*};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Give a `cql:` URL as the first argument to see the other answer.
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let store = unibatch::connect(&url).await?;

    for batch_type in [BatchType::Logged, BatchType::Unlogged, BatchType::Counter] {
        match store.batch(BatchOptions::new().batch_type(batch_type)) {
            Ok(batch) => println!("{}: {:?}", batch_type.as_str(), batch.state()),
            Err(error) => println!("{}: {}: {error}", batch_type.as_str(), error.kind()),
        }
    }

    let can = store.capabilities();
    for guarantee in Guarantee::ALL.iter().copied() {
        println!("{guarantee}: {}", can.mechanism(guarantee).unwrap_or("refused"));
    }
    Ok(())
}
