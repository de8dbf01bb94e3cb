//! A batch of one beside the driver's bare call: what the library adds where it can save nothing.

use std::sync::Arc;

use batch_core::{BatchExt as _, BatchOptions, Store as _, StoreOptions};
use comfy_table::Table;
use integration_tests::Cassandra;

use unibatch_benches::{Clock, Rounds};

use crate::{
    Outcome,
    bench::Bench,
    ours::put_of,
    rows::{Small, row},
    tables::{Bound, table},
};

/// Calls between two looks at the clock, which would else be a part of what is measured.
const BLOCK: u32 = 250;
const BLOCKS: u32 = 60;

#[derive(Clone, Copy, Debug)]
enum Call {
    Bare,
    Bind,
    Put,
}

impl Call {
    const ALL: [Self; 3] = [Self::Bare, Self::Bind, Self::Put];

    const fn name(self) -> &'static str {
        match self {
            Self::Bare => "the driver's call of a prepared insert",
            Self::Bind => "batch of one `bind`",
            Self::Put => "batch of one `put`",
        }
    }

    async fn make(self, bench: &Bench<Small>, row: &Small) -> Outcome<()> {
        let operation = match self {
            Self::Bare => {
                bench.session.execute_unpaged(&bench.insert, row).await?;
                return Ok(());
            }
            Self::Bind => bench.bound.bind(row),
            Self::Put => put_of(row),
        };
        let mut batch = bench.store.batch(BatchOptions::new())?;
        let job = batch.queue(operation)?;
        drop(batch.commit().await?);
        job.outcome()?;
        Ok(())
    }
}

/// Prints the calls, and adds to the targets. On one thread: waking others costs more than what is
/// looked for, and never the same.
pub(crate) fn single(server: &Cassandra, keyspace: &str, targets: &mut Table) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        let bench = Arc::new(Bench::<Small>::connect(server, keyspace, StoreOptions::new()).await?);
        bench.empty().await?;
        let mut calls = Call::ALL.map(|call| (call, Rounds::default()));
        for block in 0..=BLOCKS {
            for (call, rounds) in &mut calls {
                let clock = Clock::start();
                for number in 0..BLOCK {
                    call.make(&bench, &row(number, BLOCK, BLOCK)).await?;
                }
                // The first one warms up.
                if block > 0 {
                    rounds.add(clock.stop().times(1.0 / f64::from(BLOCK)));
                }
            }
        }
        bench.expect(usize::try_from(BLOCK)?, "single calls").await?;
        Outcome::Ok(calls)
    })?;
    let mut rows = table(["call", "wall, µs", "client CPU, µs", "median", "over the bare call"], 1);
    let [(_, bare), ..] = &measured;
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    for (call, rounds) in &measured {
        let cpu = micros(rounds.median().cpu);
        let over = cpu - micros(bare.median().cpu);
        rows.add_row([
            call.name().to_owned(),
            format!("{:.1}", micros(rounds.median().wall)),
            format!("{:.1}", micros(rounds.least().cpu)),
            format!("{cpu:.1}"),
            format!("{over:.1}"),
        ]);
        if !matches!(call, Call::Bare) {
            Bound::Most(5.0, "µs").row(
                targets,
                "1",
                &format!("{}: client CPU over the driver's call", call.name()),
                over,
            );
        }
    }
    println!(
        "\nOne operation at a time, awaited, on one thread; medians of {BLOCKS} blocks.\n\n{rows}"
    );
    Ok(())
}
