//! Text cut into lines, with the place of what is wrong in one.

use std::{
    io::{self, BufRead, Read as _},
    str,
};

/// What is wrong with a line, and at which of its bytes, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) column: usize,
    pub(super) message: String,
}

impl Mistake {
    pub(super) fn new(column: usize, message: impl Into<String>) -> Self {
        Self { column, message: message.into() }
    }
}

/// The bytes of a line that is not long.
const SHORT: usize = 4096;

/// Why reading ends before the input does.
#[derive(Debug)]
pub(super) enum Trouble {
    Io(io::Error),
    Mistake {
        line: u64,
        mistake: Mistake,
    },
    /// Nobody wants the rest.
    Unwanted,
}

/// Cuts an input behind line ends into pieces of about `size` bytes, and gives each with the number of
/// its first line, from 1. A line of more than `longest` bytes ends it: its beginning is in the last
/// piece, where [`each_line`] refuses it.
pub(super) fn pieces(
    mut reader: impl BufRead,
    size: usize,
    longest: usize,
    mut give: impl FnMut(u64, Vec<u8>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    // One more than a line may have: its line end, or the byte that is too many.
    let most = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    // Room for a piece and its last line, if that is short.
    let room = || Vec::with_capacity(size.saturating_add(SHORT));
    let (mut piece, mut first) = (room(), 1);
    for next in 2.. {
        let start = piece.len();
        if reader.by_ref().take(most).read_until(b'\n', &mut piece).map_err(Trouble::Io)? == 0 {
            break;
        }
        let is_too_long = piece.len() - start > longest && !piece.ends_with(b"\n");
        if piece.len() >= size || is_too_long {
            give(first, std::mem::replace(&mut piece, room()))?;
            first = next;
        }
        if is_too_long {
            break;
        }
    }
    if piece.is_empty() { Ok(()) } else { give(first, piece) }
}

/// Gives `each` the lines that are not blank, with their numbers from that of the first, without line
/// end and byte order mark.
pub(super) fn each_line<'t>(
    text: &'t [u8],
    first: u64,
    longest: usize,
    mut each: impl FnMut(u64, &str) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    // All of it at once: line by line it takes several times as long.
    let valid = str::from_utf8(text).or_else(|error| {
        let (valid, _) = text.split_at(error.valid_up_to());
        str::from_utf8(valid)
    });
    let valid = valid.unwrap_or_default();
    let is_wrong = valid.len() < text.len();
    // The line that is wrong begins behind the last line end before that.
    let begun = valid.rfind('\n').map_or(0, |end| end + 1);
    let (whole, begun) = valid.split_at(if is_wrong { begun } else { valid.len() });
    let without_mark = |line, text: &'t str| match line {
        1 => text.strip_prefix('\u{feff}').unwrap_or(text),
        _ => text,
    };
    let mut line = first;
    for text in whole.split_inclusive('\n') {
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.len() > longest {
            let message = format!("the line has more than {longest} bytes; one operation a line");
            let mistake = Mistake::new(longest + 1, message);
            return Err(Trouble::Mistake { line, mistake });
        }
        let text = without_mark(line, text);
        if !text.trim_ascii().is_empty() {
            each(line, text.strip_suffix('\r').unwrap_or(text))?;
        }
        line += 1;
    }
    if is_wrong {
        let column = without_mark(line, begun).len() + 1;
        let mistake = Mistake::new(column, "the text is not UTF-8; expected UTF-8");
        return Err(Trouble::Mistake { line, mistake });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: impl AsRef<[u8]>, longest: usize) -> Result<Vec<String>, (u64, usize)> {
        let read = |size| {
            let mut lines = Vec::new();
            // A small buffer, so that lines span several fillings.
            let reader = BufReader::with_capacity(3, text.as_ref());
            let read = pieces(reader, size, longest, |first, piece| {
                each_line(&piece, first, longest, |_, text| {
                    lines.push(text.to_owned());
                    Ok(())
                })
            });
            match read {
                Ok(()) => Ok(lines),
                Err(Trouble::Mistake { line, mistake }) => Err((line, mistake.column)),
                Err(other) => panic!("{other:?}"),
            }
        };
        let whole = read(1 << 16);
        // However it is cut.
        for size in 1..12 {
            assert_eq!(read(size), whole, "{size}");
        }
        whole
    }

    #[test]
    fn line_ends_byte_order_mark_blank_lines_and_a_missing_last_line_end_are_fine() {
        for text in
            ["a\nbc\n", "a\r\nbc\r\n", "\u{feff}a\nbc", "\n\r\n  \t\na\n\n\nbc\r\n \n", "a\r\nbc"]
        {
            assert_eq!(lines(text, 100).unwrap(), ["a", "bc"], "{text:?}");
        }
        for text in ["", "\n", "\r\n", "\u{feff}", "\u{feff}\n", " "] {
            assert_eq!(lines(text, 100).unwrap(), [""; 0], "{text:?}");
        }
        // Only at the start of the input is it a mark.
        assert_eq!(lines("a\n\u{feff}b", 100).unwrap(), ["a", "\u{feff}b"]);
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_refused_at_its_first_wrong_byte() {
        assert_eq!(lines(b"a\nb\xc3\xa9\xffc", 100), Err((2, 4)));
        assert_eq!(lines(b"\xff\xfea\x00", 100), Err((1, 1)));
        assert_eq!(lines(b"a\nb\n\xff\n", 100), Err((3, 1)));
        assert_eq!(lines(b"\xef\xbb\xbfa\xff\nb", 100), Err((1, 2)));
        // Half a character at the end of the input.
        assert_eq!(lines(b"a\nb\xc3", 100), Err((2, 2)));
    }

    #[test]
    fn a_line_over_the_limit_is_refused_without_reading_on() {
        assert_eq!(lines("12345\n12345", 5).unwrap(), ["12345", "12345"]);
        assert_eq!(lines("1\n123456\n", 5), Err((2, 6)));

        let mut endless = BufReader::new(io::repeat(b'x'));
        let mut given = Vec::new();
        let read = pieces(&mut endless, 10, 1000, |first, piece| {
            given.push((first, piece.len()));
            Ok(())
        });
        assert!(read.is_ok() && given == [(1, 1001)], "{read:?}, {given:?}");
    }

    #[test]
    fn a_line_is_told_with_its_number_counting_blank_ones() {
        let mut numbers = Vec::new();
        let read = each_line(b"a\n\n\nb\nc", 1, 10, |number, text| {
            numbers.push(number);
            if text == "b" { Err(Trouble::Unwanted) } else { Ok(()) }
        });
        assert!(matches!(read, Err(Trouble::Unwanted)), "{read:?}");
        assert_eq!(numbers, [1, 4]);
    }
}
