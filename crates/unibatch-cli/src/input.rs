//! The NDJSON input: read and parsed beside the program, while that connects and queues.

mod lines;

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use tokio::{
    runtime::{Handle, Runtime},
    sync::Semaphore,
    task::JoinHandle,
};
use unibatch::{Batch, BatchExt as _, Operation};

use self::lines::{Mistake, Trouble, each_line, pieces};
use crate::exit::{Code, Failure};

/// The most bytes that a line may have. No server takes an operation of this size, and a stream
/// without line ends must not fill the memory.
const LONGEST_LINE: usize = 1 << 30;

const BUFFER: usize = 1 << 18;

/// How many operations are read between two looks at the clock.
const PACE: u32 = 4096;

/// The bytes that are parsed at once: some thousand small operations.
const PIECE: usize = 1 << 18;

/// The operations of a piece that get room at once: one of the shortest lines has 35 bytes.
const MOST_OPERATIONS: usize = PIECE / 32;

/// How many pieces may wait to be queued, parsed or not: what is read while the program connects,
/// and a bound on the memory of that.
const WAITING: usize = 64;

/// The operations of a piece, with the numbers of their lines, and what ended it early.
struct Block {
    operations: Vec<(u64, Operation)>,
    end: Result<(), Trouble>,
}

/// The input that is being read.
pub(crate) struct Input {
    name: String,
    runtime: Handle,
    /// In the order of the input.
    blocks: Receiver<Result<JoinHandle<Block>, Trouble>>,
}

impl Input {
    /// Opens a file, or stdin for `-`, and begins to read. The runtime's threads parse.
    pub(crate) fn open(path: &Path, runtime: &Runtime) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Self::read("<stdin>".to_owned(), io::stdin(), runtime);
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| cannot_read(&name, &error))?;
        Self::read(name, file, runtime)
    }

    fn read(
        name: String,
        reader: impl Read + Send + 'static,
        runtime: &Runtime,
    ) -> Result<Self, Failure> {
        let (sender, blocks) = sync_channel(WAITING);
        let runtime = runtime.handle().clone();
        let parsers = runtime.clone();
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let idle = Arc::new(Semaphore::new(processors));
        let read = move || {
            let hand_over = |block| sender.send(block).map_err(|_| Trouble::Unwanted);
            let reader = BufReader::with_capacity(BUFFER, reader);
            let read = pieces(reader, PIECE, LONGEST_LINE, |first, piece| {
                // It is never closed.
                let processor = parsers.block_on(Arc::clone(&idle).acquire_owned());
                hand_over(Ok(parsers.spawn_blocking(move || {
                    let _processor = processor;
                    parse(first, &piece)
                })))
            });
            // Who is gone by now does not want to know.
            let _ = read.or_else(|trouble| hand_over(Err(trouble)));
        };
        thread::Builder::new()
            .name("unibatch-read".to_owned())
            .spawn(read)
            .map_err(|error| cannot_read(&name, &error))?;
        Ok(Self { name, runtime, blocks })
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
        let Self { name, runtime, blocks } = self;
        let taken = blocks.into_iter().try_for_each(|parsing| {
            // Only a parser that panicked has no block.
            let parsed = runtime.block_on(parsing?);
            let Block { operations, end } = parsed.map_err(|died| Trouble::Io(died.into()))?;
            for (line, operation) in operations {
                take(operation).map_err(|error| {
                    let mistake = Mistake::new(1, error.message());
                    Trouble::Mistake { line, mistake }
                })?;
            }
            end
        });
        taken.map_err(|trouble| match trouble {
            Trouble::Io(error) => cannot_read(&name, &error),
            Trouble::Mistake { line, mistake } => {
                let Mistake { column, message } = mistake;
                Failure::new(Code::Usage, format!("{name}:{line}:{column}: {message}"))
            }
            Trouble::Unwanted => Failure::new(Code::Usage, format!("{name} was not read whole")),
        })
    }
}

/// Parses a piece of the input that begins with the line of this number, to its first mistake.
fn parse(first: u64, piece: &[u8]) -> Block {
    let lines = piece.iter().filter(|byte| **byte == b'\n').count();
    let mut operations = Vec::with_capacity(lines.min(MOST_OPERATIONS));
    let end = each_line(piece, first, LONGEST_LINE, |line, text| {
        let operation = Operation::from_json(text).map_err(|error| {
            let mistake = Mistake::new(error.column(), error.message());
            Trouble::Mistake { line, mistake }
        })?;
        operations.push((line, operation));
        Ok(())
    });
    Block { operations, end }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::new(Code::Usage, format!("{name} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(numbers: std::ops::Range<usize>) -> String {
        let line = |n| format!("{{\"op\":\"delete\",\"collection\":\"c\",\"key\":\"{n}\"}}\n");
        numbers.map(line).collect()
    }

    fn keys(text: String) -> Result<Vec<String>, String> {
        let runtime = crate::runtime().unwrap();
        let input = Input::read("lines".to_owned(), io::Cursor::new(text), &runtime).unwrap();
        let operations = input.operations().map_err(|failure| failure.message().to_owned())?;
        Ok(operations
            .iter()
            .map(|o| o.as_ref().key.bare().unwrap_or_default().to_owned())
            .collect())
    }

    #[test]
    fn operations_come_in_the_order_of_their_lines_however_many_pieces_they_fill() {
        let in_a_piece = PIECE / numbered(0..1).len();
        for count in [0, 1, in_a_piece, in_a_piece + 1, (WAITING + 3) * in_a_piece + 7] {
            let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            assert_eq!(keys(numbered(0..count)).as_ref(), Ok(&expected), "{count}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line_whichever_piece_it_is_in() {
        let in_a_piece = PIECE / numbered(0..1).len();
        for before in [0, 1, in_a_piece, (WAITING + 3) * in_a_piece + 5] {
            let text = format!("{}\n{{\"op\":7}}\n{}", numbered(0..before), numbered(0..9));
            let message = keys(text).unwrap_err();
            assert!(message.starts_with(&format!("lines:{}:", before + 2)), "{message}");
        }
    }

    #[test]
    fn what_is_refused_earlier_is_told_before_what_cannot_be_read_later() {
        let text = "{\"op\":\"insert\",\"collection\":\"\",\"key\":\"a\",\"doc\":{}}\n{\"op\":7}\n";
        let message = keys(text.to_owned()).unwrap_err();
        assert!(message.starts_with("lines:1:"), "{message}");
    }
}
