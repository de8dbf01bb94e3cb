//! The errors that the commit itself gives.

use super::Work;
use crate::{Error, ErrorKind, callback::panic_text};

pub(super) fn panicked(what: &str, panic: Box<dyn std::any::Any + Send>) -> Error {
    let message = format!("the backend panicked while {what}: {}", panic_text(panic));
    Error::new(ErrorKind::Panicked, message)
}

pub(super) fn nothing_sent_in_time(work: &Work, before: &str) -> Error {
    let spent = work.deadline.saturating_duration_since(work.started);
    let message = format!(
        "the commit's deadline of {spent:?} passed before {before}; nothing was sent, so commit again or give a longer `timeout`"
    );
    let error = Error::new(ErrorKind::Timeout, message).transient();
    match work.any_last_error() {
        Some(last) => error.with_source(last),
        None => error,
    }
}

pub(super) fn skipped_behind(before: u32) -> Error {
    Error::new(
        ErrorKind::Skipped,
        format!(
            "operation {} on the same key may yet change the row, and this one must not overtake it; read the row, then commit again",
            before + 1
        ),
    )
}

pub(super) fn at_deadline(work: &Work) -> (Error, Error) {
    let spent = work.deadline.saturating_duration_since(work.started);
    let not_applied = Error::new(
        ErrorKind::Timeout,
        format!(
            "the commit's deadline of {spent:?} passed before the store took it; commit it again or give a longer `timeout`"
        ),
    );
    let unknown = Error::new(
        ErrorKind::Timeout,
        format!("no answer before the commit's deadline of {spent:?}; read the row to know whether it was applied"),
    )
    .unknown();
    (not_applied, unknown)
}
