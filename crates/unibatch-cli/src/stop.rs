//! Ctrl-C, SIGTERM and SIGHUP. Where somebody waits to be asked, what he does ends in order; else the
//! program ends at once.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{runtime::Runtime, sync::Notify};

use crate::{exit::Code, messages};

/// Whether the program was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    somebody_waits: AtomicBool,
    told: Notify,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn listen(runtime: &Runtime) -> Self {
        let stop = Self::default();
        let mut signals = {
            let _entered = runtime.enter();
            Signals::new()
        };
        let asked = Arc::clone(&stop.0);
        runtime.spawn(async move {
            let mut again = false;
            loop {
                let hung_up = signals.next().await;
                if hung_up && again {
                    // A shell tells it, and the system behind it.
                    continue;
                }
                if asked.somebody_waits.load(Ordering::Acquire) {
                    asked.told.notify_one();
                    again = true;
                } else {
                    if again {
                        messages::error("stopped again before the jobs, the report and the rejects were written; what was sent is not known here");
                    }
                    leave(Code::Stopped);
                }
            }
        });
        stop
    }

    /// Ready once the program is asked to stop. Somebody waits from the call on, not only from the
    /// first poll.
    pub(crate) fn asked(&self) -> impl Future<Output = ()> + '_ {
        let waiting = Waiting::new(&self.0.somebody_waits);
        async move {
            let _waiting = waiting;
            self.0.told.notified().await;
        }
    }
}

struct Waiting<'a>(&'a AtomicBool);

impl<'a> Waiting<'a> {
    fn new(somebody_waits: &'a AtomicBool) -> Self {
        somebody_waits.store(true, Ordering::Release);
        Self(somebody_waits)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[expect(clippy::exit, reason = "reading and printing are not to be waited for")]
fn leave(code: Code) {
    std::process::exit(code.number().into());
}

/// What asks: service managers end a process by SIGTERM, a terminal that goes away by SIGHUP. A signal that cannot be
/// listened to never comes.
#[cfg(unix)]
struct Signals([Option<tokio::signal::unix::Signal>; 3]);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = may_hang_up().then(|| signal(SignalKind::hangup()).ok()).flatten();
        let [interrupt, terminate] =
            [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok());
        Self([interrupt, terminate, hangup])
    }

    /// Waits for the next one; says whether it was the end of the terminal.
    async fn next(&mut self) -> bool {
        let [interrupt, terminate, hangup] = self.0.each_mut().map(|signal| async move {
            let came = match signal {
                Some(signal) => signal.recv().await,
                None => None,
            };
            if came.is_none() {
                future::pending().await
            }
        });
        tokio::select! {
            () = interrupt => false,
            () = terminate => false,
            () = hangup => true,
        }
    }
}

/// Whether the end of the terminal is not to be ignored, as `nohup` asks for. Where the system does not tell, SIGHUP is
/// left as it is.
#[cfg(unix)]
fn may_hang_up() -> bool {
    const SIGHUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & SIGHUP == 0)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    const fn new() -> Self {
        Self
    }

    async fn next(&mut self) -> bool {
        if tokio::signal::ctrl_c().await.is_err() {
            future::pending::<()>().await;
        }
        false
    }
}
