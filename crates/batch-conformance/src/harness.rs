//! What the author of a backend supplies: how to open the store, and what the suite may do with it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use batch_core::{Key, Result, Store, StoreOptions, seam::Backend};
use serde_json::Value;

/// On which clock the cases run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The machine's: for stores at the end of a wire. All cases share one runtime.
    #[default]
    Real,
    /// Tokio's paused clock, in a runtime of its own for each case: for stores in the same process.
    Paused,
}

/// How the suite reaches a store.
///
/// # Collections
/// Each case works in collections of its own, with names of lower-case letters, digits and `_`
/// that start with a letter. [`prepare`](Self::prepare) makes one and [`clean`](Self::clean)
/// removes it, also after a case that failed. Where a store has a schema, a collection has
///
/// | attribute | type | |
/// |---|---|---|
/// | `id` | text | the whole key |
/// | `name` | text | |
/// | `age` | 32-bit integer | |
/// | `email` | text | |
/// | `active` | boolean | |
/// | `tags` | list of text | never empty in what the suite writes |
///
/// Stores may add attributes to what is read back (`_key`, `_rev`): only these are compared.
///
/// # Sizes
/// A case puts at most 4 operations of together at most 400 bytes (keys and documents as JSON
/// text) into an all-or-nothing batch, and never needs an operation of more than 200 bytes, but to
/// see it refused.
#[async_trait]
pub trait Harness: fmt::Debug + Send + Sync + 'static {
    /// In front of the cases' names: the store's, and what is special about it here.
    fn name(&self) -> &str;

    /// On which clock the cases run.
    fn time(&self) -> Time {
        Time::Real
    }

    /// Whether two keys are the same by their string forms (`1` and `"1"`), and a key may have
    /// any parts: true where there is no schema.
    fn string_form_keys(&self) -> bool {
        true
    }

    /// Whether an isolated batch may write several documents of a collection. Where each is a
    /// partition, and only one partition can be written isolated, it may not, and the cases ask
    /// for that guarantee with one document only.
    fn isolates_several(&self) -> bool {
        true
    }

    /// Opens the store. Stores that are opened by one harness see the same documents.
    ///
    /// # Errors
    /// What stood in the way; the case fails with it.
    async fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>>;

    /// The same store's backend, to be wrapped, so that requests can go wrong, be held up and be
    /// logged. Without it, the cases that need faults are ignored.
    ///
    /// # Errors
    /// What stood in the way; the case fails with it.
    async fn backend(&self, options: &StoreOptions) -> Result<Option<Arc<dyn Backend>>> {
        let _ = options;
        Ok(None)
    }

    /// Makes an empty collection.
    ///
    /// # Errors
    /// What stood in the way; the case fails with it.
    async fn prepare(&self, collection: &str) -> Result<()> {
        let _ = collection;
        Ok(())
    }

    /// Removes a collection with all its documents.
    ///
    /// # Errors
    /// What stood in the way; the case fails with it.
    async fn clean(&self, collection: &str) -> Result<()> {
        let _ = collection;
        Ok(())
    }

    /// Reads a document back; `None` if it is absent.
    ///
    /// # Errors
    /// What stood in the way; the case fails with it.
    async fn read(&self, store: &dyn Store, collection: &str, key: &Key) -> Result<Option<Value>> {
        let outcome = store.read(collection, key).await?;
        outcome.map(|outcome| outcome.decode()).transpose()
    }

    /// Lets the next writes to a document meet another writer: each is refused with a transient
    /// [`Conflict`](batch_core::ErrorKind::Conflict), `times` times, while its neighbours go
    /// their way. Says whether it can do that; asked with `times` 0 to find out.
    fn conflict_next(&self, collection: &str, key: &Key, times: u32) -> bool {
        let _ = (collection, key, times);
        false
    }

    /// Lets time pass on the clock by which the store ends times to live.
    async fn let_pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
