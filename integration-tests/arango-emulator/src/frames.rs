//! What of HTTP/2's frames went out: a stream that is reset takes what is still in the queue with it,
//! so whoever cuts a body waits until the bytes before the cut are gone.

/// Length, type, flags and stream.
const HEAD: usize = 9;
const DATA: u8 = 0;

/// Counts the bytes within DATA frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that were seen.
    seen: usize,
    /// Bytes of the frame that are still to come.
    left: usize,
    is_data: bool,
    data: usize,
}

impl Frames {
    pub(crate) fn data(&self) -> usize {
        self.data
    }

    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let count = self.left.min(bytes.len());
                self.left -= count;
                self.data += if self.is_data { count } else { 0 };
                bytes = &bytes[count..];
                continue;
            }
            self.head[self.seen] = *first;
            self.seen = (self.seen + 1) % HEAD;
            if self.seen == 0 {
                let [high, middle, low, kind, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.is_data = kind == DATA;
            }
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_data_are_counted_however_they_are_written() {
        let frame = |kind, length: usize| {
            let head = [0, 0, u8::try_from(length).unwrap(), kind, 0, 0, 0, 0, 1];
            [&head[..], &vec![b'x'; length]].concat()
        };
        let all =
            [frame(4, 6), frame(1, 30), frame(DATA, 20), frame(8, 4), frame(DATA, 0)].concat();
        for step in [1, 2, 7, 9, all.len()] {
            let mut frames = Frames::default();
            all.chunks(step).for_each(|bytes| frames.add(bytes));
            frames.add(&frame(DATA, 5)[..12]);
            assert_eq!(frames.data(), 23, "{step}");
        }
    }
}
