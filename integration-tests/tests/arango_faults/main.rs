//! Whatever goes wrong with a request to ArangoDB, no job's answer contradicts what is in the store,
//! which is read behind the library's back; and nothing is left open there.

mod cancelled;
mod coordinators;
mod direct;
mod ended;
mod shapes;
mod table;
mod transaction;
mod world;

use std::{collections::HashMap, process::ExitCode, time::Duration};

use integration_tests::Result;
use libtest_mimic::{Arguments, Trial};
use tokio::{runtime::Builder, time::timeout};

use crate::world::{Wire, World};

/// The longest that a trial may take: most take less than a second.
const LONGEST: Duration = Duration::from_secs(120);

/// A trial with servers of its own, one of each release that the shapes need.
fn on_servers<F>(
    wire: Wire,
    name: &str,
    body: impl FnOnce(HashMap<&'static str, World>) -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    Trial::test(wire.name(name), move || {
        let run = || {
            let mut worlds = HashMap::new();
            for version in ["3.11.14", "3.12.10"] {
                worlds.insert(version, World::new(version, wire)?);
            }
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            runtime.block_on(async {
                for world in worlds.values() {
                    world.prepare().await?;
                }
                // A trial that does not end is one that fails.
                let ended = timeout(LONGEST, body(worlds)).await;
                ended.map_err(|_| format!("it did not end within {LONGEST:?}"))?
            })
        };
        run().map_err(|error: integration_tests::Error| error.to_string().into())
    })
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for wire in [Wire::Http1, Wire::Http2] {
        trials.extend(direct::trials(wire));
        trials.extend(transaction::trials(wire));
        trials.extend(ended::trials(wire));
        trials.extend(cancelled::trials(wire));
        trials.extend(coordinators::trials(wire));
    }
    trials.extend(ended::trials_of_their_own());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
