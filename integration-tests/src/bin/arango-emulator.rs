//! The ArangoDB emulator as a program: prints its URL when it is ready, and serves until its input
//! ends, with `--until-input-ends`, or it is stopped.
#![expect(clippy::print_stdout, reason = "this is a program")]

use std::{io::Write as _, net::SocketAddr};

use arango_emulator::Emulator;
use clap::Parser;
use integration_tests::Result;
use tokio::io::AsyncReadExt as _;

/// A server that answers as ArangoDB's HTTP interface does, for tests.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen; port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:8529")]
    listen: SocketAddr,
    /// The release that is emulated.
    #[arg(long, default_value = "3.11.14")]
    version: String,
    /// Lets in this user alone, as USER:PASSWORD.
    #[arg(long)]
    auth: Option<String>,
    /// Keep no bodies in the log of requests.
    #[arg(long)]
    forget_bodies: bool,
    /// Serve until the standard input ends.
    #[arg(long)]
    until_input_ends: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut builder = Emulator::builder().version(options.version).listen(options.listen);
    if let Some(auth) = &options.auth {
        let (user, password) = auth.split_once(':').ok_or("--auth wants USER:PASSWORD")?;
        builder = builder.auth(user, password);
    }
    if options.forget_bodies {
        builder = builder.without_bodies();
    }
    let emulator = builder.start().await?;
    println!("{}", emulator.url());
    std::io::stdout().flush()?;
    if options.until_input_ends {
        tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
        return Ok(());
    }
    std::future::pending().await
}
