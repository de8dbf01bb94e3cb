//! How long one poll of a commit may encode: chunks that get their turn at once do so one after another.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

/// No poll runs for longer than 10 ms. What a chunk takes to be encoded comes on top of this.
const ENOUGH: Duration = Duration::from_millis(4);

/// When the first attempt was begun in the present poll of a commit.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    pub(super) fn next_poll(&self) {
        *self.begun() = None;
    }

    /// Waits for another poll if this one has begun attempts for long enough.
    pub(super) async fn keep(&self) {
        poll_fn(|cx| {
            if self.has_time() {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn has_time(&self) -> bool {
        // Of the wall, as polls are: a runtime's clock may be paused.
        self.begun().get_or_insert_with(Instant::now).elapsed() < ENOUGH
    }

    fn begun(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
