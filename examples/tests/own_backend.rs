//! The conformance suite on the backend of `own_backend.rs`.

use std::{process::ExitCode, sync::Arc};

use batch_conformance::{Harness, async_trait};
use batch_core::seam::{Backend, Engine};
use unibatch::{Result, Store, StoreOptions};

#[expect(dead_code, reason = "the suite takes the place of the program's `main`")]
#[path = "../own_backend.rs"]
mod own_backend;

use own_backend::Journal;

#[derive(Debug)]
struct OwnBackend {
    journal: Arc<Journal>,
    // Removes the file when the suite has ended.
    _file: tempfile::TempPath,
}

#[async_trait]
impl Harness for OwnBackend {
    fn name(&self) -> &str {
        "journal"
    }

    async fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(Engine::new(Arc::<Journal>::clone(&self.journal), options)))
    }

    async fn backend(&self, _options: &StoreOptions) -> Result<Option<Arc<dyn Backend>>> {
        Ok(Some(Arc::<Journal>::clone(&self.journal)))
    }
}

fn main() -> std::io::Result<ExitCode> {
    let file = tempfile::NamedTempFile::new()?.into_temp_path();
    let journal = Arc::new(Journal::open(&file)?);
    Ok(batch_conformance::run(OwnBackend { journal, _file: file }))
}
