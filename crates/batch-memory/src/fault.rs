//! What can go wrong with a request, and when it does.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batch_core::ErrorKind;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: the request goes its way.
    None,
    /// The server cannot be reached; nothing leaves. Transient.
    Unreachable,
    /// The server refuses the whole request with this kind, for good.
    Refuse(ErrorKind),
    /// The server refuses the whole request because it is busy. Transient.
    Busy,
    /// The same, and it says how long it will be. Transient.
    BusyFor(Duration),
    /// The request leaves and is lost before the server applies it.
    DropBefore,
    /// The server applies the request, and its answer is lost.
    DropAfter,
    /// The request is applied, and the server answers only that it will be, as CQL does when a
    /// logged batch times out after its log was written.
    AcceptOnly,
    /// The answer comes, but only after this time.
    Delay(Duration),
    /// The request is applied, and the answer of its last operation is missing.
    MissingAnswer,
    /// The request is applied, and its first operation is answered twice.
    DoubledAnswer,
    /// The request is applied, and there is an answer to an operation that it did not have.
    SurplusAnswer,
    /// What the routing rested on is gone.
    RouteVanishes,
    /// The backend panics before anything leaves.
    PanicBefore,
    /// The backend panics after the request was applied.
    PanicAfter,
}

impl Fault {
    /// Every sort of fault that is over at once.
    pub const ALL: &'static [Self] = &[
        Self::Unreachable,
        Self::Refuse(ErrorKind::InvalidOperation),
        Self::Busy,
        Self::DropBefore,
        Self::DropAfter,
        Self::AcceptOnly,
        Self::MissingAnswer,
        Self::DoubledAnswer,
        Self::SurplusAnswer,
        Self::RouteVanishes,
        Self::PanicBefore,
        Self::PanicAfter,
    ];
}

/// Which requests meet which fault: by script, by seed, or both (the script comes first). A clone
/// is another handle of the same schedule.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Schedule>>);

#[derive(Debug, Default)]
struct Schedule {
    script: VecDeque<Fault>,
    random: Option<Random>,
}

#[derive(Debug)]
struct Random {
    rng: fastrand::Rng,
    chance: f64,
    sorts: Vec<Fault>,
    longest_delay: Duration,
}

impl<const N: usize> From<[Fault; N]> for Faults {
    /// The n-th request meets the n-th fault; those after the list meet none.
    fn from(script: [Fault; N]) -> Self {
        Self::from(script.to_vec())
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(script: Vec<Fault>) -> Self {
        let faults = Self::default();
        faults.lock().script = script.into();
        faults
    }
}

impl Faults {
    /// Faults by chance (between 0 and 1), the same for the same seed and order of requests.
    #[must_use]
    pub fn seeded(seed: u64, chance: f64) -> Self {
        let faults = Self::default();
        faults.lock().random = Some(Random {
            rng: fastrand::Rng::with_seed(seed),
            chance,
            sorts: Fault::ALL.to_vec(),
            longest_delay: Duration::ZERO,
        });
        faults
    }

    /// Restricts seeded faults to these sorts.
    #[must_use]
    pub fn only(self, sorts: impl IntoIterator<Item = Fault>) -> Self {
        if let Some(random) = &mut self.lock().random {
            random.sorts = sorts.into_iter().collect();
        }
        self
    }

    /// Delays every answer of a seeded schedule by up to this time, so that chunks finish in
    /// every order under tokio's paused clock.
    #[must_use]
    pub fn delays(self, longest: Duration) -> Self {
        if let Some(random) = &mut self.lock().random {
            random.longest_delay = longest;
        }
        self
    }

    /// Adds a fault at the end of the script.
    pub fn push(&self, fault: Fault) {
        self.lock().script.push_back(fault);
    }

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request's fault, and the pauses before and after it is carried out.
    pub(crate) fn next(&self) -> (Fault, Duration, Duration) {
        let mut schedule = self.lock();
        let Schedule { script, random } = &mut *schedule;
        let pauses = random.as_mut().map_or((Duration::ZERO, Duration::ZERO), |random| {
            let mut pause = || random.longest_delay.mul_f64(random.rng.f64());
            (pause(), pause())
        });
        let fault = script.pop_front().or_else(|| {
            let random = random.as_mut()?;
            let meets = random.rng.f64() < random.chance;
            meets.then(|| random.rng.choice(random.sorts.iter().copied())).flatten()
        });
        (fault.unwrap_or(Fault::None), pauses.0, pauses.1)
    }
}
