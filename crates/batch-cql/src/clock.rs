//! The server's time, which plain writes are stamped with.
//!
//! A condition's write takes the time of the node that coordinates it. Plain writes that are to
//! come before or after it must be stamped by the same clock, so the difference between the two
//! clocks is measured, and measured again while the store is in use, because clocks drift.
//!
//! Every node has a clock of its own: what is measured is the one that answered soonest. Nodes
//! whose clocks differ by more than the guard break the order between conditions and plain
//! writes, as they break every timestamp in the cluster; they are kept together by NTP.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use batch_core::{Clock, Result};
use scylla::{client::session::Session, statement::Statement, value::CqlTimeuuid};

use crate::errors;

/// Each is one round trip; the quickest one counts.
const SAMPLES: usize = 5;
/// Clocks that nothing corrects drift apart by up to 2 ms in this time.
const KEPT: Duration = Duration::from_secs(30);
/// Less than what the guard allows for.
const MOST_JUMP: i64 = 1000;
/// A measurement while the store is in use must not hold a commit up.
const PATIENCE: Duration = Duration::from_secs(1);
/// The servers stamp by the millisecond, and so lag by up to one; the rest is for drift.
const GUARD: i64 = 3000;

/// The clock of the servers, by way of the store's own.
#[derive(Debug)]
pub(crate) struct ServerClock {
    own: Arc<dyn Clock>,
    /// The server's time less the own one, in microseconds.
    offset: AtomicI64,
    round_trip: AtomicI64,
    measured: Mutex<Option<Measured>>,
    is_measuring: AtomicBool,
}

/// When the last measurement was, by two clocks: the own one can be set.
#[derive(Clone, Copy, Debug)]
struct Measured {
    at: Instant,
    own: i64,
}

/// One question for the server's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    offset: i64,
    round_trip: i64,
}

impl Clock for ServerClock {
    fn now_micros(&self) -> i64 {
        self.own.now_micros().saturating_add(self.offset.load(Ordering::Relaxed))
    }
}

impl ServerClock {
    /// A clock that shows the own time until it is measured.
    pub(crate) fn new(own: Arc<dyn Clock>) -> Self {
        Self {
            own,
            offset: AtomicI64::new(0),
            round_trip: AtomicI64::new(0),
            measured: Mutex::new(None),
            is_measuring: AtomicBool::new(false),
        }
    }

    /// The server's time in microseconds: at most a round trip ahead of it.
    pub(crate) fn now(&self) -> i64 {
        self.now_micros()
    }

    /// What has to pass between a condition and a plain write on one key.
    pub(crate) fn guard_micros(&self) -> i64 {
        self.round_trip.load(Ordering::Relaxed).saturating_add(GUARD)
    }

    /// Waits until the server's time is past this one.
    pub(crate) async fn pass(&self, time: i64) {
        loop {
            let left = time.saturating_sub(self.now());
            let Ok(left @ 0..) = u64::try_from(left) else { return };
            tokio::time::sleep(Duration::from_micros(left.saturating_add(1))).await;
        }
    }

    /// Measures how far the clocks are apart.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn measure(&self, session: &Session, question: &Statement) -> Result<()> {
        let mut samples = [Sample { offset: 0, round_trip: i64::MAX }; SAMPLES];
        for sample in &mut samples {
            *sample = self.sample(session, question).await?;
        }
        self.take(&samples);
        Ok(())
    }

    /// As [`measure`](Self::measure), if the last time is some while ago or the own clock was set
    /// since. One caller at a time; what goes wrong leaves the former measure as it is.
    pub(crate) async fn keep(&self, session: &Session, question: impl FnOnce() -> Statement) {
        if !self.is_due() || self.is_measuring.swap(true, Ordering::Acquire) {
            return;
        }
        // Also if the caller is dropped in between.
        let _ends = Ends(&self.is_measuring);
        let question = question();
        // Seldom needed, so not a part of every commit's future.
        let measuring = Box::pin(self.measure(session, &question));
        match tokio::time::timeout(PATIENCE, measuring).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the server's time cannot be read; the former difference stays");
                self.note();
            }
            Err(_) => {
                tracing::warn!("the server is slow to tell its time; the former difference stays");
                self.note();
            }
        }
    }

    fn is_due(&self) -> bool {
        let measured = *self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.is_none_or(|Measured { at, own }| {
            let passed = at.elapsed();
            let by_own = self.own.now_micros().saturating_sub(own);
            let jump = by_own.saturating_sub(micros(passed));
            passed >= KEPT || jump.saturating_abs() > MOST_JUMP
        })
    }

    async fn sample(&self, session: &Session, question: &Statement) -> Result<Sample> {
        let (own, sent) = (self.own.now_micros(), Instant::now());
        let answer = session.query_unpaged(question.clone(), ()).await;
        let round_trip = micros(sent.elapsed());
        let rows = answer.map_err(|error| errors::of_read(&error))?.into_rows_result();
        let rows = rows.map_err(|error| errors::unreadable("its time", error))?;
        let (now,) = rows
            .single_row::<(CqlTimeuuid,)>()
            .map_err(|error| errors::unreadable("its time", error))?;
        Ok(Sample { offset: unix_micros(&now).saturating_sub(own), round_trip })
    }

    fn take(&self, samples: &[Sample]) {
        // The server told its time within the round trip, so the difference is too large by at most that.
        if let Some(best) = samples.iter().min_by_key(|sample| sample.round_trip) {
            self.offset.store(best.offset, Ordering::Relaxed);
            self.round_trip.store(best.round_trip, Ordering::Relaxed);
            tracing::debug!(
                offset_us = best.offset,
                round_trip_us = best.round_trip,
                "the server's time is known"
            );
        }
        self.note();
    }

    fn note(&self) {
        let measured = Measured { at: Instant::now(), own: self.own.now_micros() };
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = Some(measured);
    }
}

/// Ends a measurement.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The time in a version 1 UUID, whose own epoch is the Gregorian calendar's.
fn unix_micros(uuid: &CqlTimeuuid) -> i64 {
    const EPOCH: i64 = 0x01B2_1DD2_1381_4000;
    let [a, b, c, d, e, f, g, h, ..] = *uuid.as_bytes();
    let hundreds_of_nanos = i64::from_be_bytes([g & 0x0F, h, e, f, a, b, c, d]);
    (hundreds_of_nanos - EPOCH) / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that a test sets.
    #[derive(Debug, Default)]
    struct Set(AtomicI64);

    impl Clock for Set {
        fn now_micros(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn clock() -> (Arc<Set>, ServerClock) {
        let own = Arc::new(Set(AtomicI64::new(1_000_000)));
        (Arc::<Set>::clone(&own), ServerClock::new(own))
    }

    #[test]
    fn the_time_of_a_uuid_is_read() {
        // 2024-11-20T12:00:00Z in a UUID of version 1.
        let uuid = CqlTimeuuid::from_bytes([
            0x2a, 0x88, 0x00, 0x00, 0xa7, 0x36, 0x11, 0xef, 0x80, 0, 0, 0, 0, 0, 0, 1,
        ]);
        let known = uuid::Uuid::from_bytes(*uuid.as_bytes()).get_timestamp().map(|time| {
            let (seconds, nanos) = time.to_unix();
            i64::try_from(seconds * 1_000_000 + u64::from(nanos) / 1000).unwrap()
        });
        assert_eq!(Some(unix_micros(&uuid)), known);
    }

    #[test]
    fn the_quickest_answer_counts_and_its_round_trip_widens_the_guard() {
        let (own, clock) = clock();
        assert_eq!((clock.now(), clock.guard_micros()), (1_000_000, 3000));
        clock.take(&[
            Sample { offset: 500_000, round_trip: 900 },
            Sample { offset: -20_000, round_trip: 200 },
            Sample { offset: 0, round_trip: 201 },
        ]);
        assert_eq!((clock.now(), clock.guard_micros()), (980_000, 3200));
        own.0.store(2_000_000, Ordering::Relaxed);
        assert_eq!(clock.now(), 1_980_000);
    }

    #[test]
    fn the_time_is_measured_anew_once_the_own_clock_was_set() {
        let (own, clock) = clock();
        assert!(clock.is_due());
        clock.note();
        // The own clock stands still, which shows only after a while; set ahead it shows at once.
        own.0.fetch_add(10_000_000, Ordering::Relaxed);
        assert!(clock.is_due());
        clock.note();
        own.0.fetch_sub(10_000_000, Ordering::Relaxed);
        assert!(clock.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn passing_waits_until_the_servers_time_is_past_and_no_longer() {
        let clock = Arc::new(ServerClock::new(Arc::new(Paused(tokio::time::Instant::now()))));
        clock.take(&[Sample { offset: 7000, round_trip: 0 }]);
        let start = tokio::time::Instant::now();
        clock.pass(clock.now() - 1).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let until = clock.now() + 5000;
        clock.pass(until).await;
        assert!(clock.now() > until);
        assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
    }

    /// The time of tokio's paused clock.
    #[derive(Debug)]
    struct Paused(tokio::time::Instant);

    impl Clock for Paused {
        fn now_micros(&self) -> i64 {
            micros(self.0.elapsed())
        }
    }
}
