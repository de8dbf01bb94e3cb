//! The parser of 3.12.0 to 3.12.2. It is safe against NUL, prefers CRLF wherever it comes next, and
//! wants exactly one colon in each of a part's own headers.

use super::{Part, search};

/// The part whose delimiter is at `start`; none if the message is broken there.
pub(super) fn part<'a>(body: &'a [u8], delimiter: &[u8], start: usize) -> Option<Part<'a>> {
    if !body.get(start..)?.starts_with(delimiter) {
        return None;
    }
    let mut place = start + delimiter.len();
    while body.get(place) == Some(&b' ') {
        place += 1;
    }
    if body.get(place) == Some(&b'\r') {
        place += 1;
    }
    if body.get(place) != Some(&b'\n') {
        return None;
    }
    place += 1;
    let (id, place) = headers(body, place)?;
    let next = search(body, delimiter, place)?;
    let last = body[next + delimiter.len()..].starts_with(b"--");
    let bytes = &body[place..next];
    let within = |what: &[u8]| search(bytes, what, 0).map(|found| (found, found + what.len()));
    let split = within(b"\r\n\r\n").or_else(|| within(b"\n\n"));
    Some(Part { id, bytes, split, next: (!last).then_some(next) })
}

/// The part's own headers: its `Content-Id`, and where its content starts.
fn headers(body: &[u8], mut place: usize) -> Option<(Option<&[u8]>, usize)> {
    let (mut id, mut typed) = (None, false);
    loop {
        let (end, width) = match search(body, b"\r\n", place) {
            Some(end) => (end, 2),
            None => (search(body, b"\n", place)?, 1),
        };
        let line = &body[place..end];
        place = end + width;
        if line.is_empty() {
            return typed.then_some((id, place));
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = &line[colon + 1..];
        if value.contains(&b':') {
            return None;
        }
        let value = value.trim_ascii();
        match line[..colon].trim_ascii().to_ascii_lowercase().as_slice() {
            b"content-type" => typed |= value == b"application/x-arango-batchpart",
            b"content-id" => id = Some(value).filter(|value| !value.is_empty()),
            _ => {}
        }
    }
}
