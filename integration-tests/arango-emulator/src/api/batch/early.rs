//! The parser up to 3.11. It works on C strings: a NUL hides everything behind it.

use super::{Part, search};

/// The part whose delimiter is at `start`; none if the message is broken there. What string functions see
/// of the body ends at `visible`; what is compared with the end sees all.
pub(super) fn part<'a>(
    body: &'a [u8],
    visible: usize,
    delimiter: &[u8],
    start: usize,
) -> Option<Part<'a>> {
    let end = body.len();
    let text = &body[..visible];
    if start >= end || search(text, delimiter, start)? != start {
        return None;
    }
    let mut place = start + delimiter.len();
    if place + 1 >= end {
        return None;
    }
    place += spaces(text, place);
    if place + 2 >= end {
        return None;
    }
    if text.get(place) == Some(&b'\r') {
        place += 1;
    }
    if text.get(place) != Some(&b'\n') {
        return None;
    }
    place += 1;
    let (id, place) = headers(text, place, end)?;
    let next = search(text, delimiter, place)?;
    let behind = next + delimiter.len();
    if behind + 2 > end {
        return None;
    }
    let last = text.get(behind..behind + 2) == Some(b"--");
    let bytes = &body[place..next];
    Some(Part { id, bytes, split: split(text, place, next), next: (!last).then_some(next) })
}

/// The part's own headers: its `Content-Id`, and where its content starts.
fn headers(text: &[u8], mut place: usize, end: usize) -> Option<(Option<&[u8]>, usize)> {
    let (mut id, mut typed, mut width) = (None, false, 1);
    while place < end {
        place += spaces(text, place);
        let feed = search(text, b"\n", place);
        let both = search(text, b"\r\n", place);
        // The nearer of the two ends the line.
        let line = match (both, feed) {
            (Some(both), Some(feed)) if feed < both => (feed, 1),
            (Some(both), _) => (both, 2),
            (None, Some(feed)) => (feed, 1),
            (None, None) => {
                width = 1;
                break;
            }
        };
        width = line.1;
        if line.0 == place {
            break;
        }
        let line_text = &text[place..line.0];
        let colon = line_text.iter().position(|byte| *byte == b':')?;
        let name = line_text[..colon].trim_ascii().to_ascii_lowercase();
        let value = &line_text[colon + 1..];
        let value = &value[spaces(value, 0)..];
        match name.as_slice() {
            b"content-type" => typed |= value.trim_ascii() == b"application/x-arango-batchpart",
            b"content-id" => id = Some(value),
            _ => {}
        }
        place = line.0 + width;
    }
    let place = place + width;
    (typed && place <= text.len()).then_some((id, place))
}

/// The search for the empty line goes beyond the part, and only then is it seen that it is outside.
fn split(text: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let within = |what: &[u8]| {
        let place = search(text, what, start)?;
        (place + what.len() <= end).then(|| (place - start, place - start + what.len()))
    };
    within(b"\r\n\r\n").or_else(|| within(b"\n\n"))
}

fn spaces(text: &[u8], place: usize) -> usize {
    text.iter().skip(place).take_while(|byte| **byte == b' ').count()
}
