//! The emulator in a process of its own: this program, started again.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use arango_emulator::Emulator;

use crate::Outcome;

/// Is the server: tells its URL, and ends with its input.
pub(crate) fn serve(release: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let emulator = runtime.block_on(Emulator::builder().version(release).start())?;
    println!("{}", emulator.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A server that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(release: &str) -> Outcome<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--serve", "--release", release])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        if let Some(out) = child.stdout.as_mut() {
            BufReader::new(out).read_line(&mut url)?;
        }
        let url = url.trim().to_owned();
        if url.is_empty() {
            Err("the emulator did not start".into())
        } else {
            Ok(Self { child, url })
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its input ends, and it with that.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
