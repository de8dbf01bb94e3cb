//! The NDJSON input: read as a stream, line by line, into the batch's queue.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
    str,
};

use unibatch::{Batch, BatchExt as _, Operation};

use crate::exit::{Code, Failure};

/// The most bytes that a line may have. No server takes an operation of this size, and a stream
/// without line ends must not fill the memory.
const LONGEST_LINE: usize = 1 << 30;

const BUFFER: usize = 1 << 18;

/// How many operations are read between two looks at the clock.
const PACE: u32 = 4096;

/// The open input.
pub(crate) struct Input {
    name: String,
    reader: Box<dyn BufRead>,
}

impl Input {
    /// Opens a file, or stdin for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            let reader = BufReader::with_capacity(BUFFER, io::stdin().lock());
            return Ok(Self { name: "<stdin>".to_owned(), reader: Box::new(reader) });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| cannot_read(&name, &error))?;
        Ok(Self { name, reader: Box::new(BufReader::with_capacity(BUFFER, file)) })
    }

    /// Queues every operation, or says where the first mistake is. `seen` is told now and then
    /// how many there are.
    pub(crate) fn queue_into(
        self,
        batch: &mut dyn Batch,
        mut seen: impl FnMut(u32),
    ) -> Result<(), Failure> {
        self.each(|operation| {
            let job = batch.queue(operation).map_err(|rejected| rejected.error)?;
            if job.id() % PACE == 0 {
                seen(job.id());
            }
            Ok(())
        })
    }

    /// The operations, for want of a batch, or where the first mistake is that any store would
    /// refuse.
    pub(crate) fn operations(self) -> Result<Vec<Operation>, Failure> {
        let mut operations = Vec::new();
        self.each(|operation| {
            operation.check()?;
            operations.push(operation);
            Ok(())
        })?;
        Ok(operations)
    }

    fn each(self, mut take: impl FnMut(Operation) -> unibatch::Result<()>) -> Result<(), Failure> {
        let Self { name, reader } = self;
        let taken = each_line(reader, LONGEST_LINE, |line| {
            let operation = Operation::from_json(line)
                .map_err(|error| Mistake::new(error.column(), error.message()))?;
            take(operation).map_err(|error| Mistake::new(1, error.message()))
        });
        taken.map_err(|trouble| match trouble {
            Trouble::Io(error) => cannot_read(&name, &error),
            Trouble::Mistake { line, mistake } => {
                let Mistake { column, message } = mistake;
                Failure::new(Code::Usage, format!("{name}:{line}:{column}: {message}"))
            }
        })
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::new(Code::Usage, format!("{name} cannot be read: {error}"))
}

/// What is wrong with a line, and at which of its bytes, from 1.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    column: usize,
    message: String,
}

impl Mistake {
    fn new(column: usize, message: impl Into<String>) -> Self {
        Self { column, message: message.into() }
    }
}

#[derive(Debug)]
enum Trouble {
    Io(io::Error),
    Mistake { line: u64, mistake: Mistake },
}

/// Gives `each` the lines that are not blank, without line end and byte order mark, in one buffer
/// that is used again.
fn each_line(
    mut reader: impl BufRead,
    longest: usize,
    mut each: impl FnMut(&str) -> Result<(), Mistake>,
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
        each(text.strip_suffix('\r').unwrap_or(text)).map_err(at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: impl AsRef<[u8]>, longest: usize) -> Result<Vec<String>, (u64, usize)> {
        let mut lines = Vec::new();
        // A small buffer, so that lines span several fillings.
        let reader = BufReader::with_capacity(3, text.as_ref());
        let read = each_line(reader, longest, |line| {
            lines.push(line.to_owned());
            Ok(())
        });
        match read {
            Ok(()) => Ok(lines),
            Err(Trouble::Mistake { line, mistake }) => Err((line, mistake.column)),
            Err(Trouble::Io(error)) => panic!("{error}"),
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
        let read = each_line(&mut endless, 1000, |_| Ok(()));
        assert!(matches!(read, Err(Trouble::Mistake { line: 1, .. })));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_counting_blank_ones() {
        let read = each_line("a\n\n\nb\n".as_bytes(), 10, |line| match line {
            "b" => Err(Mistake::new(7, "no")),
            _ => Ok(()),
        });
        match read {
            Err(Trouble::Mistake { line, mistake }) => {
                assert_eq!((line, mistake), (4, Mistake::new(7, "no")));
            }
            other => panic!("{other:?}"),
        }
    }
}
