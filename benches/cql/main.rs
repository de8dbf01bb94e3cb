//! Measures CQL on a real server beside code by hand on the raw driver, and prints it as tables.
//!
//! `just bench-cql`, or `cargo bench -p unibatch-benches --bench cql`; after `--`, `--help` tells
//! the switches. The server is the one that the suites would run on (`UNIBATCH_CQL_URL` names one).

mod bench;
mod by_hand;
mod load;
mod memory;
mod ours;
mod rows;
mod single;
mod soak;
mod tables;
mod ways;

use std::{path::PathBuf, time::Duration};

use batch_core::StoreOptions;
use clap::Parser;
use comfy_table::Table;
use integration_tests::{Cassandra, Settings, find_cassandra, remove_keyspace};
use unibatch_benches::Counting;

use unibatch_benches::Rounds;

use crate::{
    bench::Bench,
    load::{Loaders, load},
    rows::{Input, Row, Small, Wide},
    single::single,
    soak::soak,
    tables::{Measured, targets},
    ways::Way,
};

// It counts in the soak alone, and is the system's elsewhere.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What CQL costs beside code by hand, as tables.
#[derive(Debug, Parser)]
struct Switches {
    /// The operations of each workload
    #[arg(long, default_value_t = 100_000)]
    operations: u32,
    /// Over how many partitions they are spread
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 100_000])]
    partitions: Vec<u32>,
    /// The same for rows of 14 columns
    #[arg(long, value_delimiter = ',', default_values_t = [100])]
    wide_partitions: Vec<u32>,
    /// How often each way is measured
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Measures only the ways whose name has this in it, and nothing else
    #[arg(long)]
    only: Vec<String>,
    /// Instead: ten commits of a million operations, and the memory after each
    #[arg(long)]
    soak: bool,
    /// The operations of each commit of the soak
    #[arg(long, default_value_t = 1_000_000)]
    soak_operations: u32,
    /// How many of them are in a partition
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    soak_each: u32,
    /// The commits of the soak
    #[arg(long, default_value_t = 10)]
    commits: u32,
    /// Instead: a file of rows, loaded by this `unibatch` program; needs `--by-hand`
    #[arg(long, value_name = "PROGRAM", requires = "by_hand")]
    load: Option<PathBuf>,
    /// The loader by hand: the example `load_by_hand` of this package
    #[arg(long, value_name = "PROGRAM")]
    by_hand: Option<PathBuf>,
    /// The folder of the jars of the bulk loader, which is left out otherwise
    #[arg(long, value_name = "FOLDER")]
    dsbulk: Option<PathBuf>,
    /// The rows of the file
    #[arg(long, default_value_t = 200_000)]
    rows: u32,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let switches = Switches::parse();
    if !switches.bench {
        println!("nothing is measured; run `cargo bench -p unibatch-benches --bench cql`");
        return Ok(());
    }
    let server = find_cassandra(&Settings::new().heap("2g"))?;
    let keyspace = format!("bench_{}", std::process::id());
    let measured = measure(&switches, &server, &keyspace);
    remove_keyspace(&server, &keyspace);
    measured
}

fn measure(switches: &Switches, server: &Cassandra, keyspace: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut targets = targets("partitions, documents");
    let is_part = switches.soak || switches.load.is_some() || !switches.only.is_empty();
    runtime.block_on(async {
        // The deadline is no part of what is measured.
        let options = StoreOptions::new().timeout(Duration::from_secs(600));
        let bench = Bench::<Small>::connect(server, keyspace, options.clone()).await?;
        if switches.soak {
            return soak(&bench, switches.soak_operations, switches.soak_each, switches.commits)
                .await;
        }
        match (&switches.load, &switches.by_hand) {
            (Some(program), Some(by_hand)) => {
                let (program, by_hand) = (program.clone(), by_hand.clone());
                let loaders = Loaders { program, by_hand, dsbulk: switches.dsbulk.clone() };
                load(&bench, server, &loaders, switches.rows, switches.rounds).await
            }
            _ => {
                compare(&bench, switches, &switches.partitions, &mut targets).await?;
                let bench = Bench::<Wide>::connect(server, keyspace, options).await?;
                compare(&bench, switches, &switches.wide_partitions, &mut targets).await
            }
        }
    })?;
    if !is_part {
        eprintln!("single operations …");
        single(server, keyspace, &mut targets)?;
    }
    if !targets.is_empty() {
        println!("\n{targets}");
    }
    Ok(())
}

/// Runs all ways in turn, round after round.
async fn compare<R: Row>(
    bench: &Bench<R>,
    switches: &Switches,
    partitions: &[u32],
    targets: &mut Table,
) -> Outcome<()> {
    let is_wanted = |way: &Way| {
        let name = way.name();
        switches.only.is_empty() || switches.only.iter().any(|text| name.contains(text.as_str()))
    };
    for partitions in partitions {
        let input = Input::<R>::new(switches.operations.max(1), *partitions)?;
        let is_taken = |way: &Way| way.is_taken(&input, *partitions);
        let ways = Way::ALL.into_iter().filter(is_wanted).filter(is_taken);
        let mut ways: Vec<(Way, Rounds)> = ways.map(|way| (way, Rounds::default())).collect();
        for round in 0..=switches.rounds {
            eprintln!("{partitions} partitions, round {round} of {} …", switches.rounds);
            // No way always follows the same one.
            let first = usize::try_from(round)? % ways.len().max(1);
            let (front, back) = ways.split_at_mut(first);
            for (way, rounds) in back.iter_mut().chain(front) {
                bench.empty().await?;
                let cost = way.run(bench, &input).await?;
                // The first round warms the server up.
                if round > 0 {
                    rounds.add(cost);
                }
            }
        }
        let measured = Measured {
            bytes: input.document_bytes(),
            count: switches.operations,
            partitions: *partitions,
            ways,
        };
        measured.print();
        measured.add_targets(targets);
    }
    Ok(())
}
