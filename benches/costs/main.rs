//! Measures what the core costs and prints it as tables: the targets, the sizes, the variants.
//!
//! `cargo bench -p unibatch-benches --bench costs`; after `--`, `--help` tells the switches.

mod memory;
mod pass;
mod single;
mod tables;

use std::error::Error;

use clap::Parser;
use unibatch_benches::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the core costs, as tables.
#[derive(Debug, Parser)]
struct Switches {
    /// The operations of the largest batch; ten million need about 5 GB of memory
    #[arg(long, default_value_t = 10_000_000)]
    most: u32,
    /// The operations of each variant
    #[arg(long, default_value_t = 1_000_000)]
    variants: u32,
    /// Measures only the variants whose name has this in it, and nothing else
    #[arg(long)]
    only: Option<String>,
    /// How often each measurement is repeated at least
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// The operations of a large batch.
    large: u32,
    /// The operations of the largest batch.
    largest: u32,
    /// The operations of each variant.
    variants: u32,
    runs: usize,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let switches = Switches::parse();
    if !switches.bench {
        println!("nothing is measured; run `cargo bench -p unibatch-benches --bench costs`");
        return Ok(());
    }
    let scale = Scale {
        large: switches.most.clamp(1, 1_000_000),
        largest: switches.most.max(1),
        variants: switches.variants.max(1),
        runs: switches.runs.max(1),
    };
    tables::print(scale, switches.only.as_deref())
}
