//! What is tidied up on the servers beside the commits, so that a store that is closed can wait for it.

use std::{future::Future, sync::Arc};

use tokio::{runtime::Handle, sync::watch};

/// How many tasks are under way that end transactions or cursors of which nobody waits for the end.
#[derive(Clone, Debug)]
pub(crate) struct Cleaning(Arc<watch::Sender<usize>>);

struct UnderWay(Arc<watch::Sender<usize>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Cleaning {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Runs a task that tidies up. Without a runtime nobody can be told; servers do it by
    /// themselves, after a while.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else { return };
        self.0.send_modify(|count| *count += 1);
        let under_way = UnderWay(Arc::clone(&self.0));
        runtime.spawn(async move {
            task.await;
            drop(under_way);
        });
    }

    /// Ready once there is no such task, which may have begun another one.
    pub(crate) async fn ended(&self) {
        // The sender is ours, so it is not gone.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}
