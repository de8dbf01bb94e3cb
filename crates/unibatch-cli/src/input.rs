//! The NDJSON input: read and parsed by a thread of its own while the program connects and queues.

mod lines;

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use unibatch::{Batch, BatchExt as _, Operation};

use self::lines::{Mistake, Trouble, each_line};
use crate::exit::{Code, Failure};

/// The most bytes that a line may have. No server takes an operation of this size, and a stream
/// without line ends must not fill the memory.
const LONGEST_LINE: usize = 1 << 30;

const BUFFER: usize = 1 << 18;

/// How many operations are read between two looks at the clock.
const PACE: u32 = 4096;

/// How many operations are handed over at once, and the bytes with which they are no matter how few.
const BLOCK: usize = 1024;
const BLOCK_BYTES: usize = 1 << 20;

/// How many blocks may wait: enough to go on while the other side works, and little memory.
const WAITING: usize = 4;

/// Operations with the numbers of their lines.
type Block = Vec<(u64, Operation)>;

/// The input that is being read.
pub(crate) struct Input {
    name: String,
    blocks: Receiver<Result<Block, Trouble>>,
}

impl Input {
    /// Opens a file, or stdin for `-`, and begins to read.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Self::read("<stdin>".to_owned(), io::stdin());
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| cannot_read(&name, &error))?;
        Self::read(name, file)
    }

    fn read(name: String, reader: impl Read + Send + 'static) -> Result<Self, Failure> {
        let (sender, blocks) = sync_channel(WAITING);
        thread::Builder::new()
            .name("unibatch-read".to_owned())
            .spawn(move || parse(reader, &sender))
            .map_err(|error| cannot_read(&name, &error))?;
        Ok(Self { name, blocks })
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
        let Self { name, blocks } = self;
        let taken = blocks.into_iter().try_for_each(|block| {
            block?.into_iter().try_for_each(|(line, operation)| {
                take(operation).map_err(|error| {
                    let mistake = Mistake::new(1, error.message());
                    Trouble::Mistake { line, mistake }
                })
            })
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

/// Parses line by line and hands the operations over, block by block, then what ended it early.
fn parse(reader: impl Read, to: &SyncSender<Result<Block, Trouble>>) {
    let hand_over = |block| to.send(block).map_err(|_| Trouble::Unwanted);
    let (mut block, mut bytes) = (Block::new(), 0);
    let reader = BufReader::with_capacity(BUFFER, reader);
    let read = each_line(reader, LONGEST_LINE, |line, text| {
        let operation = Operation::from_json(text).map_err(|error| {
            let mistake = Mistake::new(error.column(), error.message());
            Trouble::Mistake { line, mistake }
        })?;
        block.push((line, operation));
        bytes += text.len();
        if block.len() < BLOCK && bytes < BLOCK_BYTES {
            return Ok(());
        }
        bytes = 0;
        hand_over(Ok(std::mem::replace(&mut block, Block::with_capacity(BLOCK))))
    });
    // Who is gone by now wants neither.
    let _ = hand_over(Ok(block)).and_then(|()| read.or_else(|trouble| hand_over(Err(trouble))));
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
        let input = Input::read("lines".to_owned(), io::Cursor::new(text)).unwrap();
        let operations = input.operations().map_err(|failure| failure.message().to_owned())?;
        Ok(operations
            .iter()
            .map(|o| o.as_ref().key.bare().unwrap_or_default().to_owned())
            .collect())
    }

    #[test]
    fn operations_come_in_the_order_of_their_lines_however_many_blocks_they_fill() {
        for count in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, (WAITING + 3) * BLOCK + 7] {
            let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            assert_eq!(keys(numbered(0..count)).as_ref(), Ok(&expected), "{count}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line_whichever_block_it_is_in() {
        for before in [0, 1, BLOCK, 3 * BLOCK + 5] {
            let text = format!("{}\n{{\"op\":7}}\n{}", numbered(0..before), numbered(0..9));
            let message = keys(text).unwrap_err();
            assert!(message.starts_with(&format!("lines:{}:", before + 2)), "{message}");
        }
    }
}
