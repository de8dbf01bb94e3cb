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

/// Gives `each` the lines that are not blank, with their numbers from 1, without line end and byte
/// order mark, in one buffer that is used again.
pub(super) fn each_line(
    mut reader: impl BufRead,
    longest: usize,
    mut each: impl FnMut(u64, &str) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut buffer = Vec::new();
    // One more than a line may have: its line end, or the byte that is too many.
    let most = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    for line in 1.. {
        buffer.clear();
        if reader.by_ref().take(most).read_until(b'\n', &mut buffer).map_err(Trouble::Io)? == 0 {
            break;
        }
        let at = |mistake| Trouble::Mistake { line, mistake };
        let bytes = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
        if bytes.len() > longest {
            let message = format!("the line has more than {longest} bytes; one operation a line");
            return Err(at(Mistake::new(longest + 1, message)));
        }
        let bytes = match line {
            1 => bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes),
            _ => bytes,
        };
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let text = str::from_utf8(bytes).map_err(|error| {
            at(Mistake::new(error.valid_up_to() + 1, "the text is not UTF-8; expected UTF-8"))
        })?;
        each(line, text.strip_suffix('\r').unwrap_or(text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: impl AsRef<[u8]>, longest: usize) -> Result<Vec<String>, (u64, usize)> {
        let mut lines = Vec::new();
        // A small buffer, so that lines span several fillings.
        let reader = BufReader::with_capacity(3, text.as_ref());
        let read = each_line(reader, longest, |_, text| {
            lines.push(text.to_owned());
            Ok(())
        });
        match read {
            Ok(()) => Ok(lines),
            Err(Trouble::Mistake { line, mistake }) => Err((line, mistake.column)),
            Err(other) => panic!("{other:?}"),
        }
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
    }

    #[test]
    fn a_line_over_the_limit_is_refused_without_reading_on() {
        assert_eq!(lines("12345\n12345", 5).unwrap(), ["12345", "12345"]);
        assert_eq!(lines("1\n123456\n", 5), Err((2, 6)));

        let mut endless = BufReader::new(io::repeat(b'x'));
        let read = each_line(&mut endless, 1000, |_, _| Ok(()));
        assert!(matches!(read, Err(Trouble::Mistake { line: 1, .. })));
    }

    #[test]
    fn a_line_is_told_with_its_number_counting_blank_ones() {
        let mut numbers = Vec::new();
        let read = each_line("a\n\n\nb\nc".as_bytes(), 10, |number, text| {
            numbers.push(number);
            if text == "b" { Err(Trouble::Unwanted) } else { Ok(()) }
        });
        assert!(matches!(read, Err(Trouble::Unwanted)), "{read:?}");
        assert_eq!(numbers, [1, 4]);
    }
}
