//! The progress bar: only on a terminal, and only once the work takes over a second.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that takes less shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Operations that were read; nobody knows how many there will be.
    Reading,
    /// Jobs that have ended.
    Settling,
}

/// Shows how far the work has come.
pub(crate) struct Meter {
    /// `None`: never shown.
    since: Option<Instant>,
    bar: Option<(Phase, ProgressBar)>,
}

impl Meter {
    /// A meter on stderr, if that is a terminal.
    pub(crate) fn on_stderr() -> Self {
        Self { since: io::stderr().is_terminal().then(Instant::now), bar: None }
    }

    /// A meter that is never shown.
    #[cfg(test)]
    pub(crate) fn hidden() -> Self {
        Self { since: None, bar: None }
    }

    /// Whether it may ever be shown.
    pub(crate) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Shows the count, and of how many where that is known.
    pub(crate) fn show(&mut self, phase: Phase, done: u32, all: Option<u32>) {
        if self.since.is_none_or(|since| since.elapsed() < PATIENCE) {
            return;
        }
        if self.bar.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            self.clear();
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(all.map(u64::from), target);
            let template = match phase {
                Phase::Reading => "{human_pos} operations read",
                Phase::Settling => "[{bar:40}] {human_pos} of {human_len} settled",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            self.bar = Some((phase, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done.into());
        }
    }

    /// Takes the bar away, so that what follows starts on a clean line.
    pub(crate) fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("since", &self.since).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(since: Option<Instant>) -> Option<Phase> {
        let mut meter = Meter { since, bar: None };
        meter.show(Phase::Settling, 1, Some(2));
        meter.bar.as_ref().map(|(phase, _)| *phase)
    }

    #[test]
    fn nothing_is_shown_off_a_terminal_or_within_the_first_second() {
        let now = Instant::now();
        assert_eq!(shown(None), None);
        assert_eq!(shown(Some(now + Duration::from_secs(600))), None);
        assert_eq!(shown(now.checked_sub(PATIENCE)), Some(Phase::Settling));
    }
}
