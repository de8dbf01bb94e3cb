//! Which keys were written lately, and with which kind of timestamp.
//!
//! A condition's write takes the server's time at which it ran, a plain write the timestamp that
//! it brings. The server's own times lag by up to a millisecond, so of two requests that follow
//! one another at once the former could win. A step between the two kinds therefore waits until
//! the clock is past the former write.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use batch_core::seam::KeyId;

/// Keys share slots: a collision costs a wait of milliseconds, and 256 KiB are enough.
const SLOTS: usize = 1 << 14;

/// The latest write to each key, in microseconds of the server's time.
#[derive(Debug)]
pub(crate) struct Guard {
    plain: Box<[AtomicI64]>,
    conditional: Box<[AtomicI64]>,
    any_conditional: AtomicBool,
}

impl Default for Guard {
    fn default() -> Self {
        let slots = || (0..SLOTS).map(|_| AtomicI64::new(i64::MIN)).collect();
        Self { plain: slots(), conditional: slots(), any_conditional: AtomicBool::new(false) }
    }
}

impl Guard {
    /// Remembers the timestamp of a plain write.
    pub(crate) fn plain(&self, key: KeyId, timestamp: i64) {
        note(&self.plain, key, timestamp);
    }

    /// Remembers that a condition's write ended at a time.
    pub(crate) fn conditional(&self, key: KeyId, now: i64) {
        self.any_conditional.store(true, Ordering::Relaxed);
        note(&self.conditional, key, now);
    }

    /// Whether there was any condition yet.
    pub(crate) fn any_conditional(&self) -> bool {
        self.any_conditional.load(Ordering::Relaxed)
    }

    /// The time that a condition on this key has to let pass.
    pub(crate) fn before_conditional(&self, key: KeyId) -> Option<i64> {
        latest(&self.plain, key)
    }

    /// The time that a plain write to this key has to let pass, and be stamped above.
    pub(crate) fn before_plain(&self, key: KeyId) -> Option<i64> {
        if !self.any_conditional() {
            return None;
        }
        latest(&self.conditional, key)
    }
}

fn slot(slots: &[AtomicI64], key: KeyId) -> Option<&AtomicI64> {
    let number = key.get() % (SLOTS as u64);
    slots.get(usize::try_from(number).unwrap_or(0))
}

fn note(slots: &[AtomicI64], key: KeyId, time: i64) {
    if let Some(slot) = slot(slots, key) {
        slot.fetch_max(time, Ordering::Relaxed);
    }
}

fn latest(slots: &[AtomicI64], key: KeyId) -> Option<i64> {
    let time = slot(slots, key)?.load(Ordering::Relaxed);
    (time != i64::MIN).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_waits_for_the_latest_write_of_the_other_kind_to_its_key() {
        let (guard, key, other) = (Guard::default(), KeyId::of("a"), KeyId::of("b"));
        assert_eq!((guard.before_plain(key), guard.before_conditional(key)), (None, None));
        guard.plain(key, 5);
        guard.plain(key, 3);
        assert_eq!((guard.before_plain(key), guard.before_conditional(key)), (None, Some(5)));
        guard.conditional(key, 9);
        assert_eq!((guard.before_plain(key), guard.before_conditional(key)), (Some(9), Some(5)));
        assert_eq!((guard.before_plain(other), guard.before_conditional(other)), (None, None));
    }
}
