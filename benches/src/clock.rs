//! Time on the wall, and of the processor for this whole process: the driver works in tasks of its
//! own, on whichever thread is free. The server is another process, and does not count.

use std::time::{Duration, Instant};

/// What something took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// On the wall.
    pub wall: Duration,
    /// Of the processor.
    pub cpu: Duration,
}

impl Cost {
    /// The same, so many times.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { wall: self.wall.mul_f64(factor), cpu: self.cpu.mul_f64(factor) }
    }
}

/// Measures the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    /// Starts both.
    #[must_use]
    pub fn start() -> Self {
        let cpu = process_time();
        Self { wall: Instant::now(), cpu }
    }

    /// What it took until now.
    #[must_use]
    pub fn stop(self) -> Cost {
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
pub struct Rounds(Vec<Cost>);

impl Rounds {
    /// One more.
    pub fn add(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The least of each.
    #[must_use]
    pub fn least(&self) -> Cost {
        let least = |of: fn(&Cost) -> Duration| self.0.iter().map(of).min().unwrap_or_default();
        Cost { wall: least(|cost| cost.wall), cpu: least(|cost| cost.cpu) }
    }

    /// The median of each.
    #[must_use]
    pub fn median(&self) -> Cost {
        let median = |of: fn(&Cost) -> Duration| {
            let mut all: Vec<Duration> = self.0.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Cost { wall: median(|cost| cost.wall), cpu: median(|cost| cost.cpu) }
    }
}
