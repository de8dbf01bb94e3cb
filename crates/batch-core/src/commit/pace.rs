//! How long one poll of a commit may encode: chunks that get their turn at once do so one after another.

use std::{
    future::poll_fn,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

/// No poll runs for longer than 10 ms. What a chunk takes to be encoded comes on top of this.
const ENOUGH: Duration = Duration::from_millis(4);

/// Counts the polls of a commit, and since when the present one begins attempts.
#[derive(Debug, Default)]
pub(super) struct Pace {
    polls: AtomicU64,
    /// The last poll in which an attempt was begun, and when the first one was.
    begun: Mutex<Option<(u64, Instant)>>,
}

impl Pace {
    pub(super) fn next_poll(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
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
        let poll = self.polls.load(Ordering::Relaxed);
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        // Of the wall, as polls are: a runtime's clock may be paused.
        let now = Instant::now();
        match *begun {
            Some((same, since)) if same == poll => now.duration_since(since) < ENOUGH,
            _ => {
                *begun = Some((poll, now));
                true
            }
        }
    }
}
