//! How the program ends.

use std::{error::Error, process::ExitCode};

use crate::messages::chain;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// All operations are applied or accepted.
    Done,
    /// Some are not applied, or a result could not be written.
    NotApplied,
    /// Bad usage or input; nothing was sent.
    Usage,
    /// Some are unknown.
    Unknown,
    /// No connection, or the batch failed as a whole; nothing was sent.
    Failed,
    /// Stopped by Ctrl-C.
    Stopped,
}

impl Code {
    /// The code of a commit with these counts: the unknown ones win.
    pub(crate) fn of_counts(not_applied: u64, unknown: u64) -> Self {
        match (not_applied, unknown) {
            (0, 0) => Self::Done,
            (_, 0) => Self::NotApplied,
            (_, 1..) => Self::Unknown,
        }
    }

    /// This code, or that of a result that could not be written, if all was well until then.
    pub(crate) fn or_unwritten(self) -> Self {
        if self == Self::Done { Self::NotApplied } else { self }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotApplied => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            Self::Failed => 4,
            Self::Stopped => 130,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// Why the program ends before it has a report.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failure with an error's message and those of its sources.
    pub(crate) fn of(code: Code, error: &dyn Error) -> Self {
        Self::new(code, chain(error))
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_wins_over_not_applied_which_wins_over_applied() {
        for (not_applied, unknown, number) in
            [(0, 0, 0), (1, 0, 1), (u64::MAX, 0, 1), (0, 1, 3), (5, 2, 3)]
        {
            assert_eq!(Code::of_counts(not_applied, unknown).number(), number);
        }
    }

    #[test]
    fn a_result_that_could_not_be_written_makes_a_success_a_failure_and_changes_no_other_code() {
        assert_eq!(Code::Done.or_unwritten(), Code::NotApplied);
        for code in [Code::NotApplied, Code::Usage, Code::Unknown, Code::Failed, Code::Stopped] {
            assert_eq!(code.or_unwritten(), code);
        }
    }
}
