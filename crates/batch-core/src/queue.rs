//! 1 QUEUE: holds operations in order, each once, as text in segments that never move.

use std::{collections::HashMap, hash::BuildHasher as _, sync::Arc};

use foldhash::fast::FixedState;

use crate::{
    Error, ErrorKind, Operation, OperationOptions, OperationRef, Result, Returning, Verb,
    backend::Shape,
    key::KeyRef,
    operation::{NativeStatement, operation_name, shared_statement},
    outcome::DocumentAt,
    plan::SLICE,
    table::{Place, ShapeName},
};

const FIRST_SEGMENT: usize = 512;
const LARGEST_SEGMENT: usize = 1 << 20;
/// Most batches have fewer.
const FEW_SHAPES: usize = 4;

/// Where an operation's text is, and what it has in common with others.
#[derive(Clone, Copy, Debug)]
struct Entry {
    segment: u32,
    start: u32,
    key_len: u32,
    body_len: u32,
    shape: u32,
}

#[derive(Debug)]
struct OwnedShape {
    verb: Verb,
    /// `None` for a native operation that names none.
    collection: Option<Arc<str>>,
    statement: Option<Arc<dyn NativeStatement>>,
}

impl OwnedShape {
    fn collection(&self) -> &str {
        self.collection.as_deref().unwrap_or_default()
    }

    fn is_of(&self, operation: &Operation) -> bool {
        self.verb == operation.verb
            && same_text(self.collection(), &operation.collection)
            && match (&self.statement, &operation.statement) {
                (None, None) => true,
                (Some(own), Some(other)) => shared_statement(own, other),
                _ => false,
            }
    }
}

type Map<K, V> = HashMap<K, V, FixedState>;

/// The operations of one batch.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    segments: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    shapes: Vec<OwnedShape>,
    /// By their hashes; of the first few none, which are looked through faster.
    shape_ids: Map<u64, u32>,
    options: Map<u32, Box<OperationOptions>>,
}

impl Queue {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// Where the slice ends that begins at an operation: so many operations, or bytes, as one poll may take.
    pub(crate) fn slice_from(&self, start: u32) -> u32 {
        const MOST_BYTES: u64 = 2 << 20;
        let end = self.len().min(start.saturating_add(SLICE));
        let entries = self.entries.get(start as usize..end as usize).unwrap_or_default();
        let mut bytes = 0;
        let fit = entries.iter().take_while(|entry| {
            let fits = bytes < MOST_BYTES;
            bytes += u64::from(entry.body_len);
            fits
        });
        start + u32::try_from(fit.count()).unwrap_or(SLICE)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of the operation's shape, and the shape's name if it is new.
    pub(crate) fn shape(&mut self, operation: &Operation) -> (u32, Option<ShapeName>) {
        // Operations come in runs of one shape.
        if let Some(entry) = self.entries.last()
            && self.shapes.get(entry.shape as usize).is_some_and(|shape| shape.is_of(operation))
        {
            return (entry.shape, None);
        }
        let mut few = (0..).zip(self.shapes.iter().take(FEW_SHAPES));
        if let Some((id, _)) = few.find(|(_, shape)| shape.is_of(operation)) {
            return (id, None);
        }
        let id = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        if self.shapes.len() >= FEW_SHAPES {
            let mut hash = shape_hash(operation);
            while let Some(id) = self.shape_ids.get(&hash) {
                if self.shapes.get(*id as usize).is_some_and(|shape| shape.is_of(operation)) {
                    return (*id, None);
                }
                hash = hash.wrapping_add(1);
            }
            self.shape_ids.insert(hash, id);
        }
        let name = operation_name(operation.verb, operation.statement.as_ref());
        let collection: Option<Arc<str>> =
            (!operation.collection.is_empty()).then(|| Arc::from(&*operation.collection));
        self.shapes.push(OwnedShape {
            verb: operation.verb,
            collection: collection.clone(),
            statement: operation.statement.clone(),
        });
        (id, Some((name, collection)))
    }

    /// Adds an operation at the end.
    pub(crate) fn push(
        &mut self,
        operation: Operation,
        shape: u32,
    ) -> Result<u32, (Operation, Error)> {
        let index = self.len();
        let (Ok(key_len), Ok(body_len)) =
            (u32::try_from(operation.key_len), u32::try_from(operation.body().len()))
        else {
            let message = format!(
                "the operation has {} bytes; one may have less than 4 GiB",
                operation.size()
            );
            return Err((operation, Error::new(ErrorKind::TooLarge, message)));
        };
        if index == u32::MAX {
            let message = "the batch has 4,294,967,295 operations, the most it can hold; commit it and open another";
            return Err((operation, Error::new(ErrorKind::TooLarge, message)));
        }
        let Operation { text, options, .. } = operation;
        if let Some(options) = options {
            self.options.insert(index, options);
        }
        let (segment, start) = self.store(text);
        self.entries.push(Entry { segment, start, key_len, body_len, shape });
        Ok(index)
    }

    fn store(&mut self, text: Vec<u8>) -> (u32, u32) {
        let fits =
            self.segments.last().is_some_and(|last| last.capacity() - last.len() >= text.len());
        if !fits {
            let size = match self.segments.last() {
                Some(last) => (last.capacity() * 2).clamp(FIRST_SEGMENT, LARGEST_SEGMENT),
                None => FIRST_SEGMENT,
            };
            if text.len() >= size {
                // Large texts stay where they are; the next small one opens a segment.
                self.segments.push(text.into_boxed_slice().into_vec());
                return (self.last_segment(), 0);
            }
            self.segments.push(Vec::with_capacity(size));
        }
        let Some(last) = self.segments.last_mut() else {
            return (0, 0);
        };
        let start = u32::try_from(last.len()).unwrap_or(u32::MAX);
        last.extend_from_slice(&text);
        (self.last_segment(), start)
    }

    fn last_segment(&self) -> u32 {
        u32::try_from(self.segments.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// The operation at a place that `push` returned.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> OperationRef<'_> {
        let Some(entry) = self.entries.get(index as usize) else {
            unreachable!("operation {index} of {}: indices come from `push`", self.len())
        };
        let start = entry.start as usize;
        let end = start + entry.key_len as usize + entry.body_len as usize;
        let text = self.segments.get(entry.segment as usize).and_then(|text| text.get(start..end));
        let (key, body) = text.unwrap_or_default().split_at(entry.key_len as usize);
        let shape = self.owned_shape(entry.shape);
        OperationRef {
            index,
            verb: shape.verb,
            collection: shape.collection(),
            shape: entry.shape,
            key: KeyRef::from_bytes(key),
            body,
            statement: shape.statement.as_ref(),
            options: self.options_of(index),
        }
    }

    fn owned_shape(&self, id: u32) -> &OwnedShape {
        let Some(shape) = self.shapes.get(id as usize) else {
            unreachable!("shape {id}: shapes come from `shape`")
        };
        shape
    }

    fn options_of(&self, index: u32) -> &OperationOptions {
        if self.options.is_empty() {
            return OperationOptions::NONE;
        }
        self.options.get(&index).map_or(OperationOptions::NONE, |options| &**options)
    }

    /// What settling needs to know of an operation.
    pub(crate) fn place(&self, index: u32, chunk: u32) -> Place {
        let shape = self.entries.get(index as usize).map_or(0, |entry| entry.shape);
        let document = match (self.owned_shape(shape).verb, self.options_of(index).returning) {
            // What a statement of the store's own gives back is its result.
            (Verb::Get | Verb::Native, _) => DocumentAt::Whole,
            (_, Some(Returning::New)) => DocumentAt::New,
            (_, Some(Returning::Old)) => DocumentAt::Old,
            (_, None) => DocumentAt::Nowhere,
        };
        Place { index, shape, document, chunk }
    }

    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape<'_>> {
        (0..).zip(&self.shapes).map(|(id, shape)| {
            Shape::new(id, shape.verb, shape.collection(), shape.statement.as_ref())
        })
    }
}

/// Whether two texts are equal. Empty ones have no address, and comparing what is there takes some
/// processors 80 ns.
#[inline]
fn same_text(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

fn shape_hash(operation: &Operation) -> u64 {
    let statement = operation.statement.as_ref().map(crate::operation::statement_hash);
    FixedState::with_seed(1).hash_one((operation.verb, &*operation.collection, statement))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_by_operations_or_by_bytes_and_takes_one_at_least() {
        let text = "x".repeat(1 << 20);
        for (sizes, expected) in [
            (vec![2; 10_000], vec![4096, 8192, 10_000]),
            (vec![1 << 20; 7], vec![2, 4, 6, 7]),
            (vec![2, 1 << 20, 2, 1 << 20, 1 << 20, 2], vec![4, 6]),
            (vec![], vec![]),
        ] {
            let mut queue = Queue::default();
            for size in &sizes {
                let operation = Operation::put("t").at("k").doc(&text[..size - 2]);
                let (shape, _) = queue.shape(&operation);
                queue.push(operation, shape).map_err(|(_, error)| error).unwrap();
            }
            let mut ends = Vec::new();
            while let start = ends.last().copied().unwrap_or(0)
                && start < queue.len()
            {
                ends.push(queue.slice_from(start));
            }
            assert_eq!(ends, expected, "{} operations", sizes.len());
        }
    }
}
