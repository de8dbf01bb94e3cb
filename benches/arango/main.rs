//! Measures a whole commit on ArangoDB's wire beside code by hand on the same HTTP client, and beside
//! python-arango's batch, and prints it as a table.
//!
//! `just bench-arango`; `--help` behind it tells the switches. The server is the emulator, in a
//! process of its own, so its time is no part of the client's; its speed is not ArangoDB's, so only
//! ratios mean something.

mod python;
mod server;
mod ways;

use std::path::PathBuf;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use unibatch_benches::{Cost, Rounds};

use crate::{
    server::Server,
    ways::{Bench, Way},
};

/// What a commit on ArangoDB costs beside code by hand, as a table.
#[derive(Debug, Parser)]
struct Switches {
    /// The documents of each commit
    #[arg(long, default_value_t = 100_000)]
    documents: u32,
    /// How often each way is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// The release that the emulator is of
    #[arg(long, default_value = "3.11.14")]
    release: String,
    /// Measures only the ways whose name has this in it
    #[arg(long)]
    only: Vec<String>,
    /// A Python that has python-arango 7.6.2; without it that way is left out
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Is the server of another one of these
    #[arg(long, hide = true)]
    serve: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let switches = Switches::parse();
    if switches.serve {
        return server::serve(&switches.release);
    }
    if !switches.bench {
        println!("nothing is measured; run `cargo bench -p unibatch-benches --bench arango`");
        return Ok(());
    }
    let server = Server::start(&switches.release)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&switches, &server))
}

async fn measure(switches: &Switches, server: &Server) -> Outcome<()> {
    let bench = Bench::connect(server, switches.documents, switches.python.clone()).await?;
    let is_wanted = |way: &Way| {
        let name = way.name();
        switches.only.is_empty() || switches.only.iter().any(|text| name.contains(text.as_str()))
    };
    let ways = Way::ALL.into_iter().filter(|way| is_wanted(way) && bench.has(*way));
    let mut ways: Vec<(Way, Rounds)> = ways.map(|way| (way, Rounds::default())).collect();
    for round in 0..=switches.rounds {
        eprintln!("round {round} of {} …", switches.rounds);
        // No way always follows the same one.
        let first = usize::try_from(round)? % ways.len().max(1);
        let (front, back) = ways.split_at_mut(first);
        for (way, rounds) in back.iter_mut().chain(front) {
            bench.empty().await?;
            let cost = bench.run(*way).await?;
            bench.check().await?;
            // The first round warms the server up.
            if round > 0 {
                rounds.add(cost);
            }
        }
    }
    print(switches.documents, &ways);
    Ok(())
}

fn print(documents: u32, ways: &[(Way, Rounds)]) {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "way",
        "documents/s",
        "wall, ms",
        "client CPU, ms",
        "CPU a document, us",
        "wall / array by hand",
        "CPU / array by hand",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let by_hand = ways.iter().find(|(way, _)| *way == Way::ArrayByHand);
    let by_hand = by_hand.map(|(_, rounds)| rounds.least());
    for (way, rounds) in ways {
        let Cost { wall, cpu } = rounds.least();
        let ratio = |of: fn(&Cost) -> std::time::Duration, own: std::time::Duration| {
            by_hand.map_or_else(String::new, |by_hand| {
                format!("{:.2}", own.as_secs_f64() / of(&by_hand).as_secs_f64())
            })
        };
        table.add_row([
            way.name().to_owned(),
            format!("{:.0}", f64::from(documents) / wall.as_secs_f64()),
            format!("{:.1}", wall.as_secs_f64() * 1e3),
            format!("{:.1}", cpu.as_secs_f64() * 1e3),
            format!("{:.2}", cpu.as_secs_f64() * 1e6 / f64::from(documents)),
            ratio(|cost| cost.wall, wall),
            ratio(|cost| cost.cpu, cpu),
        ]);
    }
    println!("\n{documents} small documents, the least of each.\n\n{table}");
}
