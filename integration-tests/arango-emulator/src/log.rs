//! The requests that were seen, in the order in which they came.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

/// A request that came over a connection. Parts of a batch are within its body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Connections are counted from one, since the emulator was started.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// As it came, in whatever case.
    pub method: String,
    /// Path and query as they came.
    pub target: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// The whole body, before any Content-Encoding was undone; empty where bodies are not kept.
    pub body: Bytes,
    /// Bytes of the body.
    pub length: usize,
}

impl Seen {
    /// The value of a header, by its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// What was seen, and a signal when there is more.
#[derive(Debug)]
pub(crate) struct Log {
    seen: Mutex<Vec<Seen>>,
    count: watch::Sender<usize>,
    keeps_bodies: bool,
}

impl Log {
    pub(crate) fn new(keeps_bodies: bool) -> Self {
        Self { seen: Mutex::default(), count: watch::Sender::new(0), keeps_bodies }
    }

    /// One that is empty, and keeps as much.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.keeps_bodies)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, mut seen: Seen) {
        if !self.keeps_bodies {
            seen.body = Bytes::new();
        }
        self.lock().push(seen);
        self.count.send_modify(|count| *count += 1);
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Returns when what was seen is enough.
    pub(crate) async fn until(&self, mut enough: impl FnMut(&[Seen]) -> bool) {
        let mut count = self.count.subscribe();
        while !enough(&self.lock()) {
            // The sender lives as long as this.
            if count.changed().await.is_err() {
                return;
            }
        }
    }
}
