//! Time: on the wall, and on the processor for this thread alone.

use std::{
    future::poll_fn,
    pin::pin,
    time::{Duration, Instant},
};

/// What a [`Stopwatch`] shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// What a clock on the wall says.
    pub wall: Duration,
    /// What this thread was given of a processor, the kernel's work for it included. What else
    /// runs on the machine does not count, and neither does waiting.
    pub cpu: Duration,
}

/// Measures the thread that it is used on.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    /// Starts both clocks. Reading the processor's is a system call of some 200 ns: not for what
    /// is shorter than some microseconds.
    #[must_use]
    pub fn start() -> Self {
        let cpu = Some(thread_time());
        Self { wall: Instant::now(), cpu }
    }

    /// Starts the wall's clock alone, which is shown for the processor's too.
    #[must_use]
    pub fn start_wall() -> Self {
        Self { wall: Instant::now(), cpu: None }
    }

    /// The time since the start; the watch runs on.
    #[must_use]
    pub fn lap(&self) -> Lap {
        let wall = self.wall.elapsed();
        let cpu = self.cpu.map(|start| thread_time().saturating_sub(start));
        Lap { wall, cpu: cpu.unwrap_or(wall) }
    }
}

#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Where the thread's own time cannot be asked for in a portable way, it is the wall's.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// How a future was polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polls {
    /// How often.
    pub count: u64,
    /// The longest by each clock; not always the same one.
    pub longest: Lap,
}

/// Awaits a future and times each poll.
pub async fn watch_polls<F: Future>(future: F) -> (F::Output, Polls) {
    let mut future = pin!(future);
    let mut polls = Polls::default();
    let output = poll_fn(|context| {
        let watch = Stopwatch::start();
        let poll = future.as_mut().poll(context);
        let Lap { wall, cpu } = watch.lap();
        polls.count += 1;
        polls.longest.wall = polls.longest.wall.max(wall);
        polls.longest.cpu = polls.longest.cpu.max(cpu);
        poll
    })
    .await;
    (output, polls)
}
