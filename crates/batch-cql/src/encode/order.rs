//! The order in which the server keeps the elements of sets and the keys of maps.
//!
//! It sorts what it is given, but not inside tuples, user-defined types and vectors, where it
//! stores the bytes as they come: a set that was not sorted there could never be found again.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType};

use crate::wire::{self, Fields, VectorElements};

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
        NativeType::Varint => {
            BigInt::from_signed_bytes_be(left).cmp(&BigInt::from_signed_bytes_be(right))
        }
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
        NativeType::Timeuuid => time_of_uuid(left)
            .cmp(&time_of_uuid(right))
            // The rest as signed bytes.
            .then_with(|| {
                let signed =
                    |bytes: &[u8]| -> Vec<u8> { bytes.iter().skip(8).map(|b| b ^ 0x80).collect() };
                signed(left).cmp(&signed(right))
            }),
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
fn time_of_uuid(uuid: &[u8]) -> Option<[u8; 8]> {
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

/// Compares by value: `1.0` and `1.00` are equal.
fn compare_decimals(left: &[u8], right: &[u8]) -> Ordering {
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
struct Decimal {
    sign: Sign,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(bytes: &[u8]) -> Self {
        let (scale, digits) = bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let number = BigInt::from_signed_bytes_be(digits);
        let mut digits = number.magnitude().to_string();
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let exponent = length.saturating_sub(i32::from_be_bytes(*scale).into());
        digits.truncate(digits.trim_end_matches('0').len());
        Self { sign: number.sign(), digits, exponent }
    }
}
