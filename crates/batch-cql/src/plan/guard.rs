//! Which keys were written lately, and with which kind of timestamp; of plain writes before the
//! first condition, when any key was.
//!
//! A condition's write takes the server's time at which it ran, a plain write the timestamp that
//! it brings. The server's own times lag by up to a millisecond, so of two requests that follow
//! one another at once the former could win. A step between the two kinds therefore waits until
//! the clock is past the former write.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use batch_core::seam::KeyId;

/// Keys share slots: a collision costs a wait of milliseconds, and 256 KiB are enough.
const SLOTS: usize = 1 << 14;
/// The time of a write that was not seen.
const NEVER: i64 = i64::MIN;

/// The latest writes, in microseconds of the server's time.
#[derive(Debug)]
pub(crate) struct Guard {
    plain: Box<[AtomicI64]>,
    conditional: Box<[AtomicI64]>,
    /// Of the keys that were not remembered one by one.
    plain_of_any: AtomicI64,
    /// Of all keys.
    plain_latest: AtomicI64,
    /// Of writes to more than keys tell.
    plain_unkeyed: AtomicI64,
    /// Of all keys.
    conditional_latest: AtomicI64,
    /// Of conditions on more than keys tell.
    conditional_unkeyed: AtomicI64,
    /// Whether a condition was ever begun.
    any_conditional: AtomicBool,
}

impl Default for Guard {
    fn default() -> Self {
        let slots = || (0..SLOTS).map(|_| AtomicI64::new(NEVER)).collect();
        Self {
            plain: slots(),
            conditional: slots(),
            plain_of_any: AtomicI64::new(NEVER),
            plain_latest: AtomicI64::new(NEVER),
            plain_unkeyed: AtomicI64::new(NEVER),
            conditional_latest: AtomicI64::new(NEVER),
            conditional_unkeyed: AtomicI64::new(NEVER),
            any_conditional: AtomicBool::new(false),
        }
    }
}

impl Guard {
    /// Remembers the timestamp of a plain write.
    pub(crate) fn plain(&self, key: KeyId, timestamp: i64) {
        note(&self.plain, key, timestamp);
        self.plain_latest.fetch_max(timestamp, Ordering::SeqCst);
    }

    /// The same for one of which nothing tells to which keys it is: a range, a partition, what rows share.
    pub(crate) fn plain_unkeyed(&self, timestamp: i64) {
        self.plain_unkeyed.fetch_max(timestamp, Ordering::SeqCst);
        self.plain_latest.fetch_max(timestamp, Ordering::SeqCst);
    }

    /// The same for the plain writes of a chunk. Before the first condition, which most stores never
    /// see, their keys are not told apart: to remember one takes a third as long as to send its row.
    /// But those of which the timestamp is `far` ahead of the clock are, so that a condition on
    /// another key has not to wait for it.
    pub(crate) fn plain_rows(&self, keys: impl Iterator<Item = KeyId>, timestamp: i64, far: bool) {
        self.plain_latest.fetch_max(timestamp, Ordering::SeqCst);
        // In this order, so that a first condition meanwhile either sees the time or is seen.
        if !far && !self.any_conditional() {
            self.plain_of_any.fetch_max(timestamp, Ordering::SeqCst);
        }
        if far || self.any_conditional() {
            keys.for_each(|key| note(&self.plain, key, timestamp));
        }
    }

    /// Remembers that a condition's write ended at a time.
    pub(crate) fn conditional(&self, key: KeyId, now: i64) {
        note(&self.conditional, key, now);
        self.conditional_latest.fetch_max(now, Ordering::Relaxed);
    }

    /// The same for one of which nothing tells on which keys it is.
    pub(crate) fn conditional_unkeyed(&self, now: i64) {
        self.conditional_unkeyed.fetch_max(now, Ordering::Relaxed);
        self.conditional_latest.fetch_max(now, Ordering::Relaxed);
    }

    /// Begins a condition on this key: from now on the keys of plain writes are remembered. Gives
    /// the time that the condition has to let pass.
    pub(crate) fn begin_conditional(&self, key: KeyId) -> Option<i64> {
        self.any_conditional.store(true, Ordering::SeqCst);
        let of_any = [&self.plain_of_any, &self.plain_unkeyed].map(|of| of.load(Ordering::SeqCst));
        of_any.into_iter().filter_map(known).max().max(latest(&self.plain, key))
    }

    /// The same for one of which nothing tells on which keys it is.
    pub(crate) fn begin_conditional_unkeyed(&self) -> Option<i64> {
        self.any_conditional.store(true, Ordering::SeqCst);
        known(self.plain_latest.load(Ordering::SeqCst))
    }

    /// The time that a plain write to this key has to let pass, and be stamped above.
    pub(crate) fn before_plain(&self, key: KeyId) -> Option<i64> {
        latest(&self.conditional, key).max(known(self.conditional_unkeyed.load(Ordering::Relaxed)))
    }

    /// The same for a plain write to any key, or to more than keys tell.
    pub(crate) fn before_any_plain(&self) -> Option<i64> {
        known(self.conditional_latest.load(Ordering::Relaxed))
    }

    fn any_conditional(&self) -> bool {
        self.any_conditional.load(Ordering::SeqCst)
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
    known(slot(slots, key)?.load(Ordering::Relaxed))
}

fn known(time: i64) -> Option<i64> {
    (time != NEVER).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A range, a partition, a condition as text: any key may be among them.
    #[test]
    fn what_has_no_key_waits_for_all_keys_and_all_keys_wait_for_it() {
        let (guard, key, other) = (Guard::default(), KeyId::of("a"), KeyId::of("b"));
        guard.conditional(key, 3);
        assert_eq!((guard.before_plain(other), guard.before_any_plain()), (None, Some(3)));
        guard.conditional_unkeyed(5);
        assert_eq!((guard.before_plain(other), guard.before_any_plain()), (Some(5), Some(5)));
        guard.plain(key, 7);
        assert_eq!(
            (guard.begin_conditional(other), guard.begin_conditional_unkeyed()),
            (None, Some(7))
        );
        guard.plain_unkeyed(9);
        assert_eq!(
            (guard.begin_conditional(other), guard.begin_conditional_unkeyed()),
            (Some(9), Some(9))
        );
        guard.plain_rows([key].into_iter(), 11, false);
        assert_eq!(
            (guard.begin_conditional(other), guard.begin_conditional_unkeyed()),
            (Some(9), Some(11))
        );
    }

    #[test]
    fn each_kind_waits_for_the_latest_write_of_the_other_kind_to_its_key() {
        let (guard, key, other) = (Guard::default(), KeyId::of("a"), KeyId::of("b"));
        assert_eq!((guard.before_plain(key), guard.begin_conditional(key)), (None, None));
        guard.plain(key, 5);
        guard.plain(key, 3);
        assert_eq!((guard.before_plain(key), guard.begin_conditional(key)), (None, Some(5)));
        assert_eq!(guard.before_any_plain(), None);
        guard.conditional(key, 9);
        assert_eq!((guard.before_plain(key), guard.begin_conditional(key)), (Some(9), Some(5)));
        assert_eq!((guard.before_plain(other), guard.begin_conditional(other)), (None, None));
        assert_eq!(guard.before_any_plain(), Some(9));
    }

    #[test]
    fn the_first_condition_waits_for_all_rows_before_it_and_later_ones_for_those_of_their_key() {
        let (guard, key, other) = (Guard::default(), KeyId::of("a"), KeyId::of("b"));
        let far = KeyId::of("c");
        guard.plain_rows([key].into_iter(), 5, false);
        guard.plain_rows([far].into_iter(), 70, true);
        assert_eq!(guard.begin_conditional(other), Some(5));
        assert_eq!(guard.begin_conditional(far), Some(70));
        guard.plain_rows([key].into_iter(), 9, false);
        assert_eq!(
            (guard.begin_conditional(key), guard.begin_conditional(other)),
            (Some(9), Some(5))
        );
    }
}
