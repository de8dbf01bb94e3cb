//! The readers under attack, and the wire forms for benchmarks. No part of the API.
//!
//! Each function takes the bytes of a fuzzer and fails if a reader says what the input does not.
//! `any_*` reads the bytes as they are. `mutated_*` makes an answer whose parts are known, damages
//! it as the bytes say, and compares: what is still told must be what was there.

mod array;
mod multipart;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::multipart::{ENVELOPE_OVERHEAD, PART_OVERHEAD, PartHead, Writer};

pub use self::{
    array::{any_array, mutated_array},
    multipart::{any_multipart, mutated_multipart},
};

/// The boundary of all answers that are made here.
pub const BOUNDARY: &str = "b0a7c3d1e5f94a6c8d2e";

/// Writes a multipart call of one upsert for each body, and says its boundary.
#[must_use]
pub fn write_multipart<'a>(bodies: impl ExactSizeIterator<Item = &'a [u8]>) -> (Bytes, Box<str>) {
    let path = "/_api/document/students?overwriteMode=replace";
    let head = PartHead { method: "POST", path, if_match: None };
    // As a chunk knows its bytes, so is the buffer made once.
    let part = PART_OVERHEAD + head.method.len() + path.len() + 64;
    let mut writer = Writer::with_capacity(ENVELOPE_OVERHEAD + bodies.len() * part);
    for (place, body) in bodies.enumerate() {
        writer.part(place, &head, |out| out.extend_from_slice(body));
    }
    let written = writer.finish();
    let (body, boundary) = (written.body, written.boundary);
    (body, boundary)
}

/// Reads a multipart answer and counts the parts that are 2xx.
#[must_use]
pub fn read_multipart(answer: &Bytes, boundary: &str, parts: usize) -> usize {
    let mut fine = 0;
    let read = crate::multipart::read(answer, boundary, parts, &mut |_, part| {
        fine += usize::from(part.is_ok_and(|part| (200..300).contains(&part.status)));
    });
    if read.is_ok() { fine } else { 0 }
}

/// Reads an array's answer, checks its errors, and counts the documents.
#[must_use]
pub fn read_array(answer: &Bytes, elements: usize) -> usize {
    let (mut fine, mut refused) = (0, BTreeMap::new());
    let read = crate::array::read(answer, elements, false, &mut |_, element| match element.what {
        crate::array::What::Document => fine += 1,
        crate::array::What::Refused { number, .. } => *refused.entry(number).or_default() += 1,
        crate::array::What::Other => {}
    });
    let checked = read.and_then(|()| crate::array::check_codes(None, &refused));
    if checked.is_ok() { fine } else { 0 }
}

/// A fuzzer's bytes as a row of decisions; all zero once they are used up.
struct Script<'a>(std::slice::Iter<'a, u8>);

impl<'a> Script<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    /// A number below another, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        let wide = usize::from(self.byte()) << 8 | usize::from(self.byte());
        if end <= 256 { (wide >> 8) % end } else { wide % end }
    }

    fn pick<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }

    fn is_done(&self) -> bool {
        self.0.len() == 0
    }
}

/// Whether a slice lies within the buffer that was read, so that it costs no memory of its own.
fn is_within(slice: &Bytes, buffer: &Bytes) -> bool {
    let (slice, buffer) = (slice.as_ptr_range(), buffer.as_ptr_range());
    slice.is_empty() || (buffer.start <= slice.start && slice.end <= buffer.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that are nearly an answer: what means something to a reader, and noise.
    fn nearly(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            9 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
    }

    const MULTIPART: &[&str] = &[
        "--b0a7c3d1e5f94a6c8d2e\r\n",
        "\r\n--b0a7c3d1e5f94a6c8d2e\r\n",
        "\n--b0a7c3d1e5f94a6c8d2e\n",
        "\r\n--b0a7c3d1e5f94a6c8d2e--",
        "--",
        "b0a7c3d1e5f94a6c8d2e",
        "Content-Type: application/x-arango-batchpart\r\n",
        "Content-Id: 0\r\n",
        "Content-Id: 1\r\n",
        "content-id:2\n",
        "HTTP/1.1 202 Accepted\r\n",
        "HTTP/1.1 409\n",
        "Server: \r\n",
        "Etag: \"_l6zhVHK---\"\r\n",
        "Content-Length: 2\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "\r\n",
        "\n",
        "{}",
        " ",
    ];

    const ARRAY: &[&str] = &[
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"_key\"",
        "\"a\"",
        "\"error\"",
        "true",
        "false",
        "\"errorNum\"",
        "1210",
        "\"errorMessage\"",
        "null",
        "1.5e3",
        "-1",
        " ",
        "\\u005fkey",
        "[1]",
        "{\"_key\":\"a\"}",
        "{\"error\":true,\"errorNum\":1202,\"errorMessage\":\"no\"}",
    ];

    proptest! {
        #[test]
        fn no_bytes_make_the_multipart_reader_say_what_they_do_not(
            data in prop_oneof![
                nearly(MULTIPART),
                nearly(MULTIPART).prop_map(|rest| [b"\x03--b0a7c3d1e5f94a6c8d2e\r\n", &*rest].concat()),
                prop::collection::vec(any::<u8>(), 0..200),
            ],
        ) {
            any_multipart(&data);
        }

        #[test]
        fn a_damaged_multipart_answer_says_nothing_that_was_not_in_it(
            script in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            mutated_multipart(&script);
        }

        #[test]
        fn no_bytes_make_the_array_reader_say_what_they_do_not(
            data in prop_oneof![nearly(ARRAY), prop::collection::vec(any::<u8>(), 0..200)],
        ) {
            any_array(&data);
        }

        #[test]
        fn a_damaged_array_says_nothing_that_was_not_in_it(
            script in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            mutated_array(&script);
        }
    }
}
