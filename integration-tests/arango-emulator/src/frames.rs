//! What of HTTP/2's frames went out: a stream that is reset takes what is still in the queue with it,
//! so whoever cuts a body waits until the bytes before the cut are gone; and who ends a connection
//! behind an answer, until that was said.

/// Length, type, flags and stream.
const HEAD: usize = 9;
const DATA: u8 = 0;
const GOAWAY: u8 = 7;

/// What went out so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Out {
    /// Bytes within DATA frames.
    pub(crate) data: usize,
    /// Whether there was a GOAWAY.
    pub(crate) goaway: bool,
}

/// Reads the heads of frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that were seen.
    seen: usize,
    /// Bytes of the frame that are still to come.
    left: usize,
    kind: u8,
    out: Out,
}

impl Frames {
    pub(crate) fn out(&self) -> Out {
        self.out
    }

    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let count = self.left.min(bytes.len());
                self.left -= count;
                self.out.data += if self.kind == DATA { count } else { 0 };
                self.out.goaway |= self.kind == GOAWAY && self.left == 0;
                bytes = &bytes[count..];
                continue;
            }
            self.head[self.seen] = *first;
            self.seen = (self.seen + 1) % HEAD;
            if self.seen == 0 {
                let [high, middle, low, kind, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.kind = kind;
            }
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_out_is_known_however_it_is_written() {
        let frame = |kind, length: usize| {
            let head = [0, 0, u8::try_from(length).unwrap(), kind, 0, 0, 0, 0, 1];
            [&head[..], &vec![b'x'; length]].concat()
        };
        let all =
            [frame(4, 6), frame(1, 30), frame(DATA, 20), frame(8, 4), frame(GOAWAY, 8)].concat();
        for step in [1, 2, 7, 9, all.len()] {
            let mut frames = Frames::default();
            all.chunks(step).for_each(|bytes| frames.add(bytes));
            frames.add(&frame(DATA, 5)[..12]);
            assert_eq!(frames.out(), Out { data: 23, goaway: true }, "{step}");
        }
    }
}
