//! The multipart call: many requests in one body, many answers in another.
//!
//! Both generations of arangod's parser take what [`Writer`] writes: CRLF alone, no preamble, a
//! delimiter at offset 0 that occurs nowhere else, the exact type of a part, and a `Content-Id`
//! of digits. [`read`] takes what servers vary, and never guesses whose answer a part is.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use self::{
    read::{Part, read},
    write::{ENVELOPE_OVERHEAD, PART_OVERHEAD, PartHead, Writer},
};
