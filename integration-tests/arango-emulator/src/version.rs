//! Which server is emulated: what a release has, and how it says things.

use std::fmt;

/// A release of the server, such as `3.11.14` or `3.12.7-2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    numbers: (u32, u32, u32),
}

/// How a release reads the body of `POST /_api/batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchRoute {
    /// The parser up to 3.11, which works on C strings.
    Early,
    /// The parser of 3.12.0 to 3.12.2.
    Late,
    /// Removed in 3.12.3.
    Gone,
}

impl Version {
    /// Reads `text`: three numbers with dots, then anything.
    ///
    /// # Errors
    /// In words, if `text` does not start with three numbers.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no version such as 3.11.14");
        let mut rest = text;
        let mut numbers = [0; 3];
        for (place, number) in numbers.iter_mut().enumerate() {
            if place > 0 {
                rest = rest.strip_prefix('.').ok_or_else(wrong)?;
            }
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            *number = rest[..end].parse().map_err(|_| wrong())?;
            rest = &rest[end..];
        }
        Ok(Self { text: text.to_owned(), numbers: (numbers[0], numbers[1], numbers[2]) })
    }

    /// The version as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn at_least(&self, major: u32, minor: u32, patch: u32) -> bool {
        self.numbers >= (major, minor, patch)
    }

    /// "Removed the deprecated Batch API" stands in the changelog of 3.12.3.
    pub(crate) fn batch_route(&self) -> BatchRoute {
        match self.numbers {
            n if n >= (3, 12, 3) => BatchRoute::Gone,
            n if n >= (3, 12, 0) => BatchRoute::Late,
            _ => BatchRoute::Early,
        }
    }

    /// The ceiling of a stream transaction in bytes: the default was raised in 3.12.4.
    pub(crate) fn transaction_ceiling(&self) -> usize {
        if self.at_least(3, 12, 4) { 512 << 20 } else { 128 << 20 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
