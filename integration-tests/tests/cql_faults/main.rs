//! What a node and the way to it do wrong, and what the jobs say of it: afterwards the store is read
//! behind its back, and no answer contradicts what is there.

mod far;
mod faulty_part;
mod node;
mod outcomes;
mod shapes;
mod table;

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use integration_tests::{
    Node, Result, Settings, Things, conclude_serially, connect, execute, find_process, ignored,
    is_listing, make_keyspace, missing,
};
use libtest_mimic::Trial;
use scylla::client::session::Session;
use tokio::{
    runtime::{Builder, Runtime},
    sync::OnceCell,
};

use crate::outcomes::Ways;

/// The keyspace of the tests, and one in which every write fails.
const KEYSPACE: &str = "faults";
const BROKEN: &str = "broken";
/// The longest that a session may take to find a node again that was away.
const LONGEST_MENDING: Duration = Duration::from_secs(300);

/// The tests of a module: functions of the [`World`].
macro_rules! trials {
    ($area:literal: $($name:ident),+ $(,)?) => {
        pub(crate) fn names() -> Vec<String> {
            vec![$(concat!($area, "::", stringify!($name)).to_owned()),+]
        }

        pub(crate) fn trials(world: &std::sync::Arc<World>) -> Vec<libtest_mimic::Trial> {
            vec![$({
                let world = std::sync::Arc::clone(world);
                let name = concat!($area, "::", stringify!($name));
                integration_tests::trial(name, async move { $name(&world).await })
            }),+]
        }
    };
}
pub(crate) use trials;

/// What the tests share. They run one after another.
#[derive(Debug)]
struct World {
    address: SocketAddr,
    node: Mutex<Node>,
    things: Things,
    broken: Things,
    // Before the runtime, on which their connections are.
    ways: OnceCell<Ways>,
    runtime: Runtime,
}

impl World {
    fn new() -> Result<Self> {
        let broken = format!("-Dcassandra.test.fail_writes_ks={BROKEN}");
        let node = find_process(Settings::new().durable().java(broken))?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (things, broken) = runtime.block_on(async {
            let session = connect(node.address(), None, false).await?;
            for keyspace in [KEYSPACE, BROKEN] {
                make_keyspace(&session, keyspace, 1).await?;
            }
            let counters =
                format!("CREATE TABLE {KEYSPACE}.counters (id text PRIMARY KEY, n counter)");
            execute(&session, counters).await?;
            let things = Things::make(&session, KEYSPACE, "things").await?;
            let broken = Things::make(&session, BROKEN, "things").await?;
            Ok::<_, integration_tests::Error>((things, broken))
        })?;
        let (address, node, ways) = (node.address(), Mutex::new(node), OnceCell::new());
        Ok(Self { address, node, things, broken, ways, runtime })
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bare driver, past every proxy.
    async fn session(&self) -> Result<Session> {
        connect(self.address, None, false).await
    }
}

fn main() -> ExitCode {
    let all_ignored = |why: &str| -> Vec<Trial> {
        let names = outcomes::names().into_iter().chain(node::names()).chain(far::names());
        let names = names.chain(faulty_part::names());
        names.map(|name| ignored(&name, why)).collect()
    };
    if is_listing() {
        return conclude_serially(all_ignored("no server is started to list its tests"));
    }
    let world = match World::new() {
        Ok(world) => Arc::new(world),
        Err(error) => return conclude_serially(missing("faults", &error.to_string(), all_ignored)),
    };
    let trials = outcomes::trials(&world).into_iter().chain(node::trials(&world));
    let trials = trials.chain(far::trials(&world)).chain(faulty_part::trials(&world));
    conclude_serially(trials.collect())
}
