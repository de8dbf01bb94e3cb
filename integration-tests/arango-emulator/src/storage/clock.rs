//! Revisions and ticks: numbers that only grow.

use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of a revision, lowest first (HybridLogicalClock.cpp).
const DIGITS: &[u8; 64] = b"-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Gives out what must be larger than all before it.
#[derive(Debug)]
pub(crate) struct Clock {
    revision: u64,
    tick: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { revision: 0, tick: 70_000 + fastrand::u64(0..1000) }
    }

    /// A new revision: the time in milliseconds, with room for a million of them in each.
    pub(crate) fn revision(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX >> 20) << 20;
        self.revision = now.max(self.revision + 1);
        self.revision
    }

    /// A new number for a collection, a key, a cursor, a transaction or a job.
    pub(crate) fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }
}

/// A revision as `_rev` shows it, such as `_l6zhVHK---`.
pub(crate) fn revision_text(revision: u64) -> String {
    let mut rest = revision;
    let mut text = Vec::with_capacity(11);
    while rest > 0 {
        text.push(char::from(DIGITS[usize::try_from(rest & 63).unwrap_or(0)]));
        rest >>= 6;
    }
    text.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::{Clock, revision_text};

    #[test]
    fn a_revision_looks_as_the_servers_do() {
        // 2021-01-01 in milliseconds, the first revision in it.
        assert_eq!(revision_text(1_609_459_200_000 << 20).len(), 11);
        assert!(revision_text(1_609_459_200_000 << 20).starts_with('_'));
        assert!(revision_text(1_609_459_200_000 << 20).ends_with("---"));
    }

    #[test]
    fn revisions_grow_as_numbers() {
        let mut clock = Clock::new();
        let revisions: Vec<u64> = (0..1000).map(|_| clock.revision()).collect();
        assert!(revisions.is_sorted_by(|a, b| a < b));
    }
}
