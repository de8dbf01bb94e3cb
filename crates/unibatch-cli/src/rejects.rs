//! The dead-letter file: the operations that were not applied, to be run again.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use same_file::Handle;
use unibatch::JobStatus;

use crate::{
    exit::{Code, Failure},
    verdicts::Verdicts,
};

/// The open file. What an earlier run left in it stays until this one's input was read to its end
/// without a mistake, and goes then, also if nothing is sent: whoever runs the file again runs what this
/// input has left to do.
#[derive(Debug)]
pub(crate) struct Rejects {
    path: PathBuf,
    file: File,
}

impl Rejects {
    /// Refuses a file that is also the input or the output, by any path or link, also as stdin,
    /// stdout or stderr: one would overwrite the other. `-` means one of these, not a file.
    pub(crate) fn refuse_shared(path: &Path, input: &Path) -> Result<(), Failure> {
        if path == Path::new("-") {
            let message =
                "stdout has the result; name a file for --rejects, or ./- if it is called so";
            return Err(Failure::new(Code::Usage, message));
        }
        // To look at a named pipe is to open it, and to close it again ends its writer.
        if !path.is_file() {
            return Ok(());
        }
        let is_ours = |ours: io::Result<Handle>| matches!((Handle::from_path(path), ours), (Ok(rejects), Ok(ours)) if rejects == ours);
        for (name, ours) in [("output", Handle::stdout()), ("error output", Handle::stderr())] {
            if is_ours(ours) {
                return Err(Failure::new(
                    Code::Usage,
                    format!("{} is the {name}; name another file for --rejects", path.display()),
                ));
            }
        }
        let stdin = input == Path::new("-");
        if !(stdin || input.is_file()) {
            return Ok(());
        }
        let source = if stdin { Handle::stdin() } else { Handle::from_path(input) };
        // An input that cannot be opened is told when it is read.
        if is_ours(source) {
            return Err(Failure::new(
                Code::Usage,
                format!("{} is the input; name another file for --rejects", path.display()),
            ));
        }
        Ok(())
    }

    /// Opens the file for writing, creates it if there is none, and empties it: should the program be killed, what
    /// an earlier run left must not pass for what this one has left to do.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| {
            let path = path.display();
            Failure::new(
                Code::Usage,
                format!("{path} cannot be written for --rejects: {error}; nothing was sent"),
            )
        })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// A file that refuses to be written, as a full disk does.
    #[cfg(test)]
    pub(crate) fn read_only(path: &Path) -> Self {
        Self { path: path.to_owned(), file: File::open(path).unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the operations that ended `NotApplied`, one at a time, and says how many they are.
    pub(crate) fn write(self, verdicts: Verdicts<'_>) -> io::Result<u64> {
        let mut out = BufWriter::new(self.file);
        let mut written = 0;
        for verdict in verdicts.iter() {
            if let JobStatus::NotApplied(_) = verdict.status
                && let Some(operation) = verdict.operation
            {
                serde_json::to_writer(&mut out, &operation.to_operation())?;
                out.write_all(b"\n")?;
                written += 1;
            }
        }
        out.flush()?;
        Ok(written)
    }
}
