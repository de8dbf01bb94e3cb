//! The order in which the server keeps the elements of sets and the keys of maps.
//!
//! It sorts what it is given, but not inside tuples, user-defined types and vectors, where it
//! stores the bytes as they come: a set that was not sorted there could never be found again.

use std::{cmp::Ordering, ops::Range};

use num_bigint::{BigInt, Sign};
use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType};

use super::sink::NULL;
use crate::wire::{self, Fields, VectorElements};

/// Watches whether elements come in the order in which the server keeps them.
pub(super) struct Order<'t> {
    typ: &'t ColumnType<'t>,
    last: Option<Range<usize>>,
    pub(super) is_wrong: bool,
}

impl<'t> Order<'t> {
    #[inline]
    pub(super) fn new(typ: &'t ColumnType<'t>) -> Self {
        Self { typ, last: None, is_wrong: false }
    }

    /// Compares what stands behind its length at `next` with the one before.
    #[inline]
    pub(super) fn note(&mut self, out: &[u8], next: Range<usize>) -> Ordering {
        if self.is_wrong {
            return Ordering::Greater;
        }
        let bytes = |range: &Range<usize>| out.get(range.start + NULL.len()..range.end);
        let ordering = match (self.last.as_ref().and_then(bytes), bytes(&next)) {
            (Some(last), Some(next)) => compare(self.typ, next, last),
            _ => Ordering::Greater,
        };
        // One that is equal does not stay.
        if ordering != Ordering::Equal {
            self.last = Some(next);
        }
        self.is_wrong = ordering == Ordering::Less;
        ordering
    }

    /// Sorts the elements that stand from `start` on, keeps one of those that are equal, and
    /// counts them.
    pub(super) fn sort_set(&self, out: &mut Vec<u8>, start: usize) -> usize {
        let given = out.split_off(start);
        let mut elements: Vec<&[u8]> = Fields(&given).flatten().collect();
        elements.sort_by(|one, other| compare(self.typ, one, other));
        elements.dedup_by(|one, other| compare(self.typ, one, other) == Ordering::Equal);
        elements.iter().for_each(|element| append(out, element));
        elements.len()
    }

    /// Sorts the entries that stand from `start` on; tells whether keys are equal.
    pub(super) fn sort_map(&self, out: &mut Vec<u8>, start: usize) -> bool {
        let given = out.split_off(start);
        let mut fields = Fields(&given).flatten();
        let mut entries: Vec<(&[u8], &[u8])> =
            std::iter::from_fn(|| Some((fields.next()?, fields.next()?))).collect();
        entries.sort_by(|(one, _), (other, _)| compare(self.typ, one, other));
        for (key, value) in &entries {
            append(out, key);
            append(out, value);
        }
        let is_same = |pair: &[(&[u8], &[u8])]| match pair {
            [(one, _), (other, _)] => compare(self.typ, one, other) == Ordering::Equal,
            _ => false,
        };
        entries.windows(2).any(is_same)
    }
}

/// Appends bytes that were read from behind their length, and so have one.
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Compares two values of a type, as bytes.
pub(super) fn compare(typ: &ColumnType<'_>, left: &[u8], right: &[u8]) -> Ordering {
    match typ {
        ColumnType::Native(native) => compare_native(native, left, right),
        ColumnType::Collection { typ: CollectionType::Map(key, value), .. } => {
            compare_elements(&mut [&**key, &**value].into_iter().cycle(), left, right)
        }
        ColumnType::Collection {
            typ: CollectionType::List(of) | CollectionType::Set(of), ..
        } => compare_elements(&mut std::iter::repeat(&**of), left, right),
        ColumnType::Tuple(types) => compare_fields(&mut types.iter(), left, right),
        ColumnType::UserDefinedType { definition, .. } => {
            compare_fields(&mut definition.field_types.iter().map(|(_, typ)| typ), left, right)
        }
        ColumnType::Vector { typ, .. } => compare_vectors(typ, left, right),
        _ => left.cmp(right),
    }
}

fn compare_native(native: &NativeType, left: &[u8], right: &[u8]) -> Ordering {
    match native {
        NativeType::TinyInt
        | NativeType::SmallInt
        | NativeType::Int
        | NativeType::BigInt
        | NativeType::Counter
        | NativeType::Timestamp => compare_signed(left, right),
        NativeType::Varint => compare_varints(left, right),
        NativeType::Decimal => compare_decimals(left, right),
        NativeType::Float => match (left.try_into(), right.try_into()) {
            (Ok(left), Ok(right)) => f32::from_be_bytes(left).total_cmp(&f32::from_be_bytes(right)),
            _ => left.cmp(right),
        },
        NativeType::Double => match (left.try_into(), right.try_into()) {
            (Ok(left), Ok(right)) => f64::from_be_bytes(left).total_cmp(&f64::from_be_bytes(right)),
            _ => left.cmp(right),
        },
        NativeType::Uuid => compare_uuids(left, right),
        // The rest as signed bytes.
        NativeType::Timeuuid => time_of_uuid(left)
            .cmp(&time_of_uuid(right))
            .then_with(|| left.iter().map(|b| b ^ 0x80).cmp(right.iter().map(|b| b ^ 0x80))),
        _ => left.cmp(right),
    }
}

/// Compares numbers of one size.
fn compare_signed(left: &[u8], right: &[u8]) -> Ordering {
    let is_negative = |bytes: &[u8]| bytes.first().is_some_and(|byte| *byte >= 0x80);
    is_negative(right).cmp(&is_negative(left)).then_with(|| left.cmp(right))
}

fn compare_uuids(left: &[u8], right: &[u8]) -> Ordering {
    let version = |bytes: &[u8]| bytes.get(6).map(|byte| byte >> 4);
    let by_time = || match version(left) {
        Some(1) => time_of_uuid(left).cmp(&time_of_uuid(right)),
        _ => Ordering::Equal,
    };
    version(left).cmp(&version(right)).then_with(by_time).then_with(|| left.cmp(right))
}

/// The time in a UUID of version 1, most significant byte first.
pub(super) fn time_of_uuid(uuid: &[u8]) -> Option<[u8; 8]> {
    match uuid.first_chunk()? {
        [a, b, c, d, e, f, g, h] => Some([*g, *h, *e, *f, *a, *b, *c, *d]),
    }
}

/// Compares lists, sets and maps: one element after the other, then by the number of them.
fn compare_elements<'t>(
    types: &mut dyn Iterator<Item = &'t ColumnType<'t>>,
    left: &[u8],
    right: &[u8],
) -> Ordering {
    for ((left, right), typ) in wire::elements(left).zip(wire::elements(right)).zip(types) {
        match compare(typ, left, right) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    // The number of elements comes first.
    left.get(..4).cmp(&right.get(..4))
}

/// Compares tuples and user-defined types: one field after the other, a null before all others.
fn compare_fields<'t>(
    types: &mut dyn Iterator<Item = &'t ColumnType<'t>>,
    left: &[u8],
    right: &[u8],
) -> Ordering {
    let (mut left, mut right) = (Fields(left), Fields(right));
    for typ in types {
        let ordering = match (left.next().flatten(), right.next().flatten()) {
            (Some(left), Some(right)) => compare(typ, left, right),
            (left, right) => left.is_some().cmp(&right.is_some()),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

fn compare_vectors(typ: &ColumnType<'_>, left: &[u8], right: &[u8]) -> Ordering {
    let size = typ.type_size_for_vector();
    let (left, right) = (VectorElements { size, rest: left }, VectorElements { size, rest: right });
    left.zip(right)
        .map(|(left, right)| compare(typ, left, right))
        .find(|ordering| *ordering != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// Compares numbers of any size, each in as many bytes as it was given.
fn compare_varints(left: &[u8], right: &[u8]) -> Ordering {
    let is_negative = |bytes: &[u8]| bytes.first().is_some_and(|byte| *byte >= 0x80);
    let fill = if is_negative(left) { 0xff } else { 0 };
    let tail = |bytes: &[u8]| bytes.iter().position(|byte| *byte != fill).unwrap_or(bytes.len());
    let by_size = || {
        let (left, right) = (left.get(tail(left)..), right.get(tail(right)..));
        let longer = left.map(<[u8]>::len).cmp(&right.map(<[u8]>::len));
        // The longer number is farther from zero.
        let farther = if fill == 0 { longer } else { longer.reverse() };
        farther.then_with(|| left.cmp(&right))
    };
    is_negative(right).cmp(&is_negative(left)).then_with(by_size)
}

/// Compares by value: `1.0` and `1.00` are equal.
fn compare_decimals(left: &[u8], right: &[u8]) -> Ordering {
    if let (Some((scale, left)), Some((other, right))) =
        (left.split_first_chunk::<4>(), right.split_first_chunk::<4>())
        && scale == other
    {
        return compare_varints(left, right);
    }
    let (left, right) = (Decimal::of(left), Decimal::of(right));
    let by_size =
        || left.exponent.cmp(&right.exponent).then_with(|| left.digits.cmp(&right.digits));
    left.sign.cmp(&right.sign).then_with(|| match left.sign {
        Sign::Minus => by_size().reverse(),
        Sign::NoSign => Ordering::Equal,
        Sign::Plus => by_size(),
    })
}

/// `0.digits` times ten to the power of `exponent`.
pub(super) struct Decimal {
    pub(super) sign: Sign,
    /// Without zeros at the end: none at all for nothing.
    pub(super) digits: String,
    pub(super) exponent: i64,
}

impl Decimal {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (scale, digits) = bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let number = BigInt::from_signed_bytes_be(digits);
        let mut digits = number.magnitude().to_string();
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let exponent = length.saturating_sub(i32::from_be_bytes(*scale).into());
        digits.truncate(digits.trim_end_matches('0').len());
        Self { sign: number.sign(), digits, exponent }
    }
}
