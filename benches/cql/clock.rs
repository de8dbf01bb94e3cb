//! Time on the wall, and of the processor for this whole process: the driver works in tasks of its
//! own, on whichever thread is free. The server is another process, and does not count.

use std::time::{Duration, Instant};

/// What something took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Cost {
    /// The same, so many times.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { wall: self.wall.mul_f64(factor), cpu: self.cpu.mul_f64(factor) }
    }
}

/// Measures the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let cpu = process_time();
        Self { wall: Instant::now(), cpu }
    }

    pub(crate) fn stop(self) -> Cost {
        let wall = self.wall.elapsed();
        Cost { wall, cpu: process_time().saturating_sub(self.cpu) }
    }
}

#[cfg(unix)]
fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Where it cannot be asked for in a portable way, nothing is shown.
#[cfg(not(unix))]
fn process_time() -> Duration {
    Duration::ZERO
}

/// What several rounds took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<Cost>);

impl Rounds {
    pub(crate) fn add(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The least of each.
    pub(crate) fn least(&self) -> Cost {
        let least = |of: fn(&Cost) -> Duration| self.0.iter().map(of).min().unwrap_or_default();
        Cost { wall: least(|cost| cost.wall), cpu: least(|cost| cost.cpu) }
    }

    /// The median of each.
    pub(crate) fn median(&self) -> Cost {
        let median = |of: fn(&Cost) -> Duration| {
            let mut all: Vec<Duration> = self.0.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Cost { wall: median(|cost| cost.wall), cpu: median(|cost| cost.cpu) }
    }
}
