//! The server's time, which plain writes are stamped with.
//!
//! A condition's write takes the time of the node that coordinates it. Plain writes that are to
//! come before or after it must be stamped by the same clock, so the difference between the two
//! clocks is measured, and measured again while the store is in use, because clocks drift.
//!
//! Each answer bounds the difference from both sides: the server told its time after it was asked
//! and before it was heard. The likeliest of what all answers allow is taken. That matters beyond
//! the guard: other clients let the server stamp what they write, and a commit that follows such a
//! write, or is followed by one, is to have its place.
//!
//! A clock of the user's own, as in tests, stamps nothing here: it stands for this machine's, which may be set.
//!
//! Every node has a clock of its own. Nodes whose clocks differ by more than the guard break the
//! order between conditions and plain writes, as they break every timestamp in the cluster; they
//! are kept together by NTP.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use batch_core::{Clock, Result};
use scylla::{client::session::Session, statement::Statement, value::CqlTimeuuid};

use crate::{cluster::server::ask, errors};

/// Each sample is one round trip, and narrows the bounds.
const FEWEST_SAMPLES: usize = 5;
const MOST_SAMPLES: usize = 20;
/// After this time the fewest samples are enough. Where the way is long its delays decide, and a
/// commit waits for the measurement now and then.
const LONG: Duration = Duration::from_millis(20);
/// After this time those that there are.
const VERY_LONG: Duration = Duration::from_millis(500);
/// Bounds that are no further apart than this and the quickest round trip are near enough.
const NEAR: i64 = MILLISECOND / 5;
/// What Cassandra tells is the millisecond, and a count of those that were told within it.
const MILLISECOND: i64 = 1000;
/// Nobody is told so many times within a millisecond.
const MOST_COUNTED: i64 = 100;
/// Clocks that nothing corrects drift apart by up to 2 ms in this time.
const KEPT: i64 = 30_000 * MILLISECOND;
/// Less than what the guard allows for. More is as if a clock had been set, but for drift.
const MOST_JUMP: i64 = 1000;
/// Any two clocks drift apart by one part in so many of the time that has passed, at most.
const DRIFT: i64 = 10_000;
/// Whoever waits for a time looks at the clock so often.
const MOST_SLEEP: Duration = Duration::from_millis(50);
/// A measurement while the store is in use must not hold a commit up.
const PATIENCE: Duration = Duration::from_secs(1);
/// The servers stamp by the millisecond, and so lag by up to one; the rest is for drift.
const GUARD: i64 = 3 * MILLISECOND;

/// A clock that nobody sets.
#[derive(Debug)]
struct Monotonic(Instant);

impl Clock for Monotonic {
    fn now_micros(&self) -> i64 {
        micros(self.0.elapsed())
    }
}

/// The clock of the servers, by way of one that nobody sets.
#[derive(Debug)]
pub(crate) struct ServerClock {
    /// What tells that this machine slept: its monotonic clock may have stood still.
    wall: Arc<dyn Clock>,
    own: Arc<dyn Clock>,
    /// The server's time less the own one, in microseconds.
    offset: AtomicI64,
    /// By how much that may be wrong, at most.
    error: AtomicI64,
    measured: Mutex<Option<Measured>>,
    /// One measures, and the others go on, or wait where the clocks have parted.
    measuring: tokio::sync::Mutex<()>,
}

/// When the last measurement was, by two clocks.
#[derive(Clone, Copy, Debug)]
struct Measured {
    at: i64,
    wall: i64,
}

/// Why the clocks have to be compared again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// They drift.
    Routine,
    /// Nothing is known of them: one of this machine's was set, or stood still.
    Parted,
}

/// One question for the server's time: when it was asked and heard by the own clock, and the answer.
#[derive(Clone, Copy, Debug)]
struct Sample {
    asked: i64,
    heard: i64,
    server: i64,
}

/// Between which two values the server's time less the own one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    lower: i64,
    upper: i64,
}

impl Bounds {
    /// What all samples allow. If nothing, the nodes that were asked differ, or a clock was set: what the
    /// quickest allows.
    fn of(samples: &[Sample]) -> Option<Self> {
        let counted = samples.iter().all(|sample| sample.server % MILLISECOND < MOST_COUNTED);
        let precision = if counted { MILLISECOND } else { 1 };
        let each = samples.iter().map(|sample| Self {
            lower: sample.server.saturating_sub(sample.heard),
            upper: sample.server.saturating_add(precision).saturating_sub(sample.asked),
        });
        // Heard before it was asked: the own clock was set meanwhile.
        let each = each.filter(|one| one.width() >= 0);
        let all = each.clone().reduce(|one, other| Self {
            lower: one.lower.max(other.lower),
            upper: one.upper.min(other.upper),
        });
        all.filter(|all| all.width() >= 0).or_else(|| each.min_by_key(|one| one.width()))
    }

    fn width(self) -> i64 {
        self.upper.saturating_sub(self.lower)
    }

    /// A server tells its time last, so the way back is the shorter one: of what is open on
    /// loopback, the truth was a quarter above the lower bound.
    fn likely(self) -> i64 {
        self.lower.saturating_add(self.width() / 4)
    }

    /// By how much the likely value may be wrong, at most.
    fn error(self) -> i64 {
        self.upper.saturating_sub(self.likely())
    }

    /// Whether further samples would hardly tell more.
    fn are_near(self, samples: &[Sample]) -> bool {
        let round_trips = samples.iter().map(|sample| sample.heard.saturating_sub(sample.asked));
        let quickest = round_trips.min().unwrap_or(0);
        self.width() <= quickest.saturating_add(NEAR)
    }
}

impl Clock for ServerClock {
    fn now_micros(&self) -> i64 {
        self.own.now_micros().saturating_add(self.offset.load(Ordering::Relaxed))
    }
}

impl ServerClock {
    /// A clock that shows this machine's time until it is measured.
    pub(crate) fn new(wall: Arc<dyn Clock>) -> Self {
        Self::with(wall, Arc::new(Monotonic(Instant::now())))
    }

    fn with(wall: Arc<dyn Clock>, own: Arc<dyn Clock>) -> Self {
        let offset = wall.now_micros().saturating_sub(own.now_micros());
        Self {
            wall,
            own,
            offset: AtomicI64::new(offset),
            error: AtomicI64::new(0),
            measured: Mutex::new(None),
            measuring: tokio::sync::Mutex::default(),
        }
    }

    /// The server's time in microseconds, wrong by less than a round trip and a millisecond.
    pub(crate) fn now(&self) -> i64 {
        self.now_micros()
    }

    /// What has to pass between a condition and a plain write on one key.
    pub(crate) fn guard_micros(&self) -> i64 {
        self.error.load(Ordering::Relaxed).saturating_add(GUARD)
    }

    /// Whether a plain write with this timestamp has to wait for a condition on its key that ended then.
    pub(crate) fn is_too_soon(&self, timestamp: i64, ended: i64) -> bool {
        ended.saturating_add(self.guard_micros()) >= timestamp
    }

    /// Waits until the server's time is past this one.
    pub(crate) async fn pass(&self, time: i64) {
        loop {
            let left = time.saturating_sub(self.now());
            let Ok(left @ 0..) = u64::try_from(left) else { return };
            // Meanwhile the clocks may be compared, and show another time.
            let left = Duration::from_micros(left.saturating_add(1)).min(MOST_SLEEP);
            tokio::time::sleep(left).await;
        }
    }

    /// Measures how far the clocks are apart.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn measure(&self, session: &Session, question: &Statement) -> Result<()> {
        let (begun, samples) = self.compare(session, question).await?;
        self.take(&samples);
        self.note(begun);
        Ok(())
    }

    /// Asks for the server's time several times, and says when that began.
    async fn compare(
        &self,
        session: &Session,
        question: &Statement,
    ) -> Result<(Measured, Vec<Sample>)> {
        // This machine's clock may be set from here on.
        let (begun, at) = (self.now_measured(), Instant::now());
        let mut samples = Vec::with_capacity(MOST_SAMPLES);
        while samples.len() < MOST_SAMPLES {
            samples.push(self.sample(session, question).await?);
            let passed = at.elapsed();
            let are_near = || Bounds::of(&samples).is_some_and(|bounds| bounds.are_near(&samples));
            if passed >= VERY_LONG
                || (samples.len() >= FEWEST_SAMPLES && (passed >= LONG || are_near()))
            {
                break;
            }
        }
        Ok((begun, samples))
    }

    /// As [`measure`](Self::measure), if the last time is some while ago or this machine's clock was set
    /// since. One caller at a time; what goes wrong leaves the former measure as it is.
    ///
    /// # Errors
    /// What the server says, if nothing is known of its time because this machine's clock was set or the
    /// machine slept. Then there is no limit but the caller's time.
    pub(crate) async fn keep(
        &self,
        session: &Session,
        question: impl FnOnce() -> Statement,
    ) -> Result<()> {
        let Some(due) = self.due() else { return Ok(()) };
        let _only = match self.measuring.try_lock() {
            Ok(only) => only,
            Err(_) if due == Due::Routine => return Ok(()),
            // Seldom needed, so not a part of every commit's future.
            Err(_) => Box::pin(self.measuring.lock()).await,
        };
        let Some(due) = self.due() else { return Ok(()) };
        let question = question();
        // Seldom needed, so not a part of every commit's future.
        if due == Due::Parted {
            return Box::pin(self.measure(session, &question)).await;
        }
        let comparing = Box::pin(self.compare(session, &question));
        match tokio::time::timeout(PATIENCE, comparing).await {
            Ok(Ok((begun, samples))) => {
                self.take_if_better(&samples, begun);
                self.note(begun);
                return Ok(());
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the server's time cannot be read; the former difference stays");
            }
            Err(_) => {
                tracing::warn!("the server is slow to tell its time; the former difference stays");
            }
        }
        self.put_off();
        Ok(())
    }

    fn due(&self) -> Option<Due> {
        let measured = *self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Measured { at, wall }) = measured else { return Some(Due::Parted) };
        let now = self.now_measured();
        let passed = now.at.saturating_sub(at);
        let parted = now.wall.saturating_sub(wall).saturating_sub(passed);
        if parted.saturating_abs() > MOST_JUMP.saturating_add(passed / DRIFT) {
            return Some(Due::Parted);
        }
        (passed >= KEPT).then_some(Due::Routine)
    }

    async fn sample(&self, session: &Session, question: &Statement) -> Result<Sample> {
        const WHAT: &str = "its time";
        let asked = self.own.now_micros();
        let rows = ask(session, question.clone(), WHAT).await?;
        let heard = self.own.now_micros();
        let (now,) =
            rows.single_row::<(CqlTimeuuid,)>().map_err(|error| errors::unreadable(WHAT, error))?;
        Ok(Sample { asked, heard, server: unix_micros(&now) })
    }

    /// Takes the new difference, unless the former one is known better, with all that the clocks may have drifted
    /// since: a server that stands still for a while, as it does to collect garbage, tells its time late.
    fn take_if_better(&self, samples: &[Sample], begun: Measured) {
        let measured = *self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = measured.map_or(0, |former| begun.at.saturating_sub(former.at));
        let by_now = self.error.load(Ordering::Relaxed).saturating_add(passed / DRIFT);
        // Where the former difference is not among what the answers allow, a clock was set.
        let offset = self.offset.load(Ordering::Relaxed);
        let is_worse = |bounds: Bounds| {
            bounds.error() > by_now
                && offset >= bounds.lower.saturating_sub(by_now)
                && offset <= bounds.upper.saturating_add(by_now)
        };
        if Bounds::of(samples).is_some_and(is_worse) {
            self.error.store(by_now, Ordering::Relaxed);
        } else {
            self.take(samples);
        }
    }

    fn take(&self, samples: &[Sample]) {
        if let Some(bounds) = Bounds::of(samples) {
            let (offset, error) = (bounds.likely(), bounds.error());
            self.offset.store(offset, Ordering::Relaxed);
            self.error.store(error, Ordering::Relaxed);
            let samples = samples.len();
            tracing::debug!(
                offset_us = offset,
                error_us = error,
                samples,
                "the server's time is known"
            );
        }
    }

    fn now_measured(&self) -> Measured {
        Measured { at: self.own.now_micros(), wall: self.wall.now_micros() }
    }

    /// Has the next measure wait as if there had been one now. Whether this machine's clock was set since the
    /// last one is not forgotten.
    fn put_off(&self) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(measured) = &mut *measured {
            let passed = self.own.now_micros().saturating_sub(measured.at);
            measured.at += passed;
            measured.wall += passed;
            self.error.fetch_add(passed / DRIFT, Ordering::Relaxed);
        }
    }

    fn note(&self, measured: Measured) {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = Some(measured);
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
    use proptest::prelude::*;

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
        let clock = ServerClock::with(Arc::<Set>::clone(&own) as _, Arc::<Set>::clone(&own) as _);
        (own, clock)
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

    /// What is asked at one time and heard at another, by a server that is 20 ms behind.
    fn sample(asked: i64, told: i64, heard: i64, precision: i64) -> Sample {
        let server = told - 20_000;
        Sample { asked, heard, server: server - server.rem_euclid(precision) }
    }

    #[test]
    fn the_likeliest_of_what_all_answers_allow_counts_and_the_doubt_widens_the_guard() {
        let (own, clock) = clock();
        assert_eq!((clock.now(), clock.guard_micros()), (1_000_000, GUARD));
        // Between -20,250 and -19,350, where only milliseconds are told; between -20,100 and -19,849.
        for (precision, offset, error) in [(MILLISECOND, -20_025, 675), (1, -20_038, 189)] {
            clock.take(&[
                sample(100_000, 100_900, 101_000, precision),
                sample(200_350, 200_500, 200_650, precision),
                sample(300_100, 301_000, 301_250, precision),
            ]);
            own.0.store(1_000_000, Ordering::Relaxed);
            assert_eq!(clock.now(), 1_000_000 + offset);
            assert_eq!(clock.guard_micros(), error + GUARD);
            own.0.store(2_000_000, Ordering::Relaxed);
            assert_eq!(clock.now(), 2_000_000 + offset);
        }
    }

    proptest! {
        #[test]
        fn bounds_hold_whatever_the_delays_are(
            by_millisecond: bool,
            delays in prop::collection::vec((0..3000_i64, 0..2000_i64, 0..2000_i64), 1..=MOST_SAMPLES),
        ) {
            let precision = if by_millisecond { MILLISECOND } else { 1 };
            let mut now = 1_000_000;
            let samples: Vec<Sample> = delays
                .into_iter()
                .map(|(idle, to_server, back)| {
                    let asked = now + idle;
                    let told = asked + to_server;
                    now = told + back;
                    sample(asked, told, now, precision)
                })
                .collect();
            let Bounds { lower, upper } = Bounds::of(&samples).unwrap();
            prop_assert!(lower <= -20_000 && -20_000 <= upper, "{lower} to {upper}");
            prop_assert!(upper - lower <= 4000 + MILLISECOND, "{lower} to {upper}");
        }
    }

    #[test]
    fn the_quickest_answer_counts_if_no_time_agrees_with_all() {
        let slow = sample(100_000, 100_100, 100_300, 1);
        let quick = sample(200_000, 200_100, 200_200, 1);
        // A node whose clock is 4 s behind.
        let quick = Sample { server: quick.server - 4_000_000, ..quick };
        let alone = Bounds { lower: -4_020_100, upper: -4_019_899 };
        assert_eq!(Bounds::of(&[slow, quick]), Some(alone));
        assert_eq!(Bounds::of(&[quick, slow]), Some(alone));
        let backwards = sample(300_000, 300_100, 200_000, 1);
        assert_eq!(Bounds::of(&[backwards, quick]), Some(alone));
        assert_eq!(Bounds::of(&[backwards]), None);
    }

    #[test]
    fn more_is_asked_only_where_it_tells_more() {
        let (wide, edge) = (
            sample(100_000, 100_500, 100_600, MILLISECOND),
            sample(200_000, 200_990, 201_010, MILLISECOND),
        );
        let near = |samples: &[Sample]| Bounds::of(samples).map(|bounds| bounds.are_near(samples));
        assert_eq!(near(&[wide]), Some(false));
        assert_eq!(near(&[wide, edge]), Some(false));
        assert_eq!(
            near(&[wide, edge, sample(300_000, 300_020, 300_600, MILLISECOND)]),
            Some(false)
        );
        assert_eq!(near(&[sample(100_000, 100_500, 100_600, 1)]), Some(true));
    }

    /// This machine's clock may be set: the time that is shown does not follow it, and all who come
    /// then have it measured anew, since the machine may have slept.
    #[test]
    fn the_time_does_not_follow_a_clock_that_is_set_and_is_measured_anew() {
        let [wall, own] = [5_000_000, 1_000_000].map(|now| Arc::new(Set(AtomicI64::new(now))));
        let clock = ServerClock::with(Arc::<Set>::clone(&wall) as _, Arc::<Set>::clone(&own) as _);
        assert_eq!((clock.now(), clock.due()), (5_000_000, Some(Due::Parted)));
        for step in [10_000_000, -10_000_000, 2 * MOST_JUMP] {
            clock.note(clock.now_measured());
            assert_eq!(clock.due(), None);
            let before = clock.now();
            wall.0.fetch_add(step, Ordering::Relaxed);
            assert_eq!((clock.now(), clock.due()), (before, Some(Due::Parted)));
        }
        clock.note(clock.now_measured());
        for both in [&wall, &own] {
            both.0.fetch_add(KEPT, Ordering::Relaxed);
        }
        assert_eq!(clock.due(), Some(Due::Routine));
        // A measure that failed, while which the machine slept.
        wall.0.fetch_add(10_000_000, Ordering::Relaxed);
        clock.put_off();
        assert_eq!(clock.due(), Some(Due::Parted));
        wall.0.fetch_sub(10_000_000, Ordering::Relaxed);
        assert_eq!(clock.due(), None);
        // Corrected a little all the time, unlike the own one.
        clock.note(clock.now_measured());
        wall.0.fetch_add(KEPT - 1 + 2 * MILLISECOND, Ordering::Relaxed);
        own.0.fetch_add(KEPT - 1, Ordering::Relaxed);
        assert_eq!(clock.due(), None);
    }

    #[test]
    fn a_server_that_stood_still_does_not_spoil_what_is_known_of_its_time() {
        let (own, clock) = clock();
        let good = sample(1_000_000, 1_000_100, 1_000_400, 1);
        clock.take(&[good]);
        clock.note(clock.now_measured());
        let (before, guard) = (clock.now(), clock.guard_micros());
        own.0.fetch_add(KEPT, Ordering::Relaxed);
        let (now, begun) = (own.now_micros(), clock.now_measured());
        clock.take_if_better(&[sample(now, now + 900_000, now + 900_100, 1)], begun);
        let drift = KEPT / DRIFT;
        assert_eq!((clock.now(), clock.guard_micros()), (before + KEPT, guard + drift));
        // The server's clock was set meanwhile.
        let set = sample(now, now + 900_000, now + 900_100, 1);
        let set = Sample { server: set.server - 10_000_000, ..set };
        clock.take_if_better(&[set], begun);
        assert!(clock.now() < before + KEPT - 9_000_000, "{}", clock.now());
        clock.take(&[good]);
        // As well known as the former one, or nearly: it is the newer one.
        let another = sample(now, now + 2000, now + 2200, 1);
        let another = Sample { server: another.server + 500, ..another };
        clock.take_if_better(&[another], begun);
        assert_ne!(clock.now(), before + KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn passing_waits_until_the_servers_time_is_past_and_no_longer() {
        let paused: Arc<dyn Clock> = Arc::new(Paused(tokio::time::Instant::now()));
        let clock = ServerClock::with(Arc::clone(&paused), paused);
        clock.take(&[Sample { asked: 0, heard: 0, server: 6001 }]);
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
