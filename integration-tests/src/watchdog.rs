//! What ends a server when the program that started it is gone, however it went.

use std::{
    ffi::OsStr,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::Result;

/// Reads a line, or the end of its input: the one who held the other end is gone.
const PROCESS: &str = r#"read -r _ || { kill -KILL "-$1"; sleep 1; rm -rf -- "$2"; }"#;
const CONTAINER: &str = r#"read -r _ || docker rm -fv "$1" || podman rm -fv "$1""#;

/// A shell that waits for this program's end, and then ends what the program started.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    leash: Option<ChildStdin>,
}

impl Watchdog {
    /// Kills a process group and removes its files.
    pub(crate) fn over_process(group: u32, files: &Path) -> Result<Self> {
        Self::over(PROCESS, &[group.to_string().as_ref(), files.as_ref()])
    }

    /// Removes a container, by the engine's program.
    pub(crate) fn over_container(id: &str) -> Result<Self> {
        Self::over(CONTAINER, &[id.as_ref()])
    }

    fn over(script: &str, arguments: &[&OsStr]) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", script, "watchdog"])
            .args(arguments)
            // In a group of its own, it outlives a Ctrl-C that ends the program.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let leash = shell.stdin.take();
        Ok(Self { shell, leash })
    }
}

impl Drop for Watchdog {
    /// There is nothing left to watch.
    fn drop(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            // A shell that is gone cannot be told; then there is nobody to end.
            let _ = leash.write_all(b"\n");
        }
        let _ = self.shell.wait();
    }
}
