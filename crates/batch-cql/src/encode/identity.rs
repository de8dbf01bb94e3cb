//! Which values are one to the server although their bytes differ.
//!
//! It tells rows of a partition apart by comparing their clustering columns as what they are: the
//! decimals `1.0` and `1.00` are one row, and so is an integer with more bytes than it needs. Fields that a tuple or a
//! user-defined type has no bytes for, as from before the type got them, are null (seen on Cassandra 5.0.6).
//! Partitions are told apart by their bytes.

use std::borrow::Cow;

use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType};

use super::{order::Decimal, sink::NULL};
use crate::wire::{self, Fields, VectorElements};

/// Whether values of the type have equal bytes if they are equal.
pub(crate) fn is_by_bytes(typ: &ColumnType<'_>) -> bool {
    match typ {
        ColumnType::Native(native) => !matches!(native, NativeType::Varint | NativeType::Decimal),
        ColumnType::Collection { typ, .. } => match typ {
            CollectionType::List(of) | CollectionType::Set(of) => is_by_bytes(of),
            CollectionType::Map(key, value) => is_by_bytes(key) && is_by_bytes(value),
            _ => true,
        },
        ColumnType::Vector { typ, .. } => is_by_bytes(typ),
        ColumnType::Tuple(_) | ColumnType::UserDefinedType { .. } => false,
        _ => true,
    }
}

/// Bytes that are the same for all values of the type that are equal, and for no others.
/// They are no value that the server takes, unless equal values have equal bytes.
pub(crate) fn unified<'v>(typ: &ColumnType<'_>, value: &'v [u8]) -> Cow<'v, [u8]> {
    if is_by_bytes(typ) {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    unify_loose(typ, value, &mut out);
    Cow::Owned(out)
}

/// Appends the same.
fn unify(typ: &ColumnType<'_>, value: &[u8], out: &mut Vec<u8>) {
    if is_by_bytes(typ) {
        out.extend_from_slice(value);
    } else {
        unify_loose(typ, value, out);
    }
}

/// Appends the same, of a type whose equal values may have other bytes. No bytes stay none.
fn unify_loose(typ: &ColumnType<'_>, value: &[u8], out: &mut Vec<u8>) {
    match typ {
        ColumnType::Native(NativeType::Varint) => out.extend_from_slice(shortest(value)),
        ColumnType::Native(NativeType::Decimal) if value.len() > size_of::<i32>() => {
            let Decimal { sign, digits, exponent } = Decimal::of(value);
            out.push(sign as u8);
            // Nothing is nothing, however many places it has.
            if !digits.is_empty() {
                out.extend_from_slice(&exponent.to_be_bytes());
                out.extend_from_slice(digits.as_bytes());
            }
        }
        _ if value.is_empty() => {}
        _ => unify_parts(typ, value, out),
    }
}

/// Appends the parts of a value that has bytes, behind what tells that it does: no part is another value than none.
fn unify_parts(typ: &ColumnType<'_>, value: &[u8], out: &mut Vec<u8>) {
    out.push(1);
    match typ {
        ColumnType::Collection { typ: CollectionType::Map(key, held), .. } => {
            let types = [&**key, &**held].into_iter().cycle();
            wire::elements(value).zip(types).for_each(|(part, typ)| nest(typ, Some(part), out));
        }
        ColumnType::Collection {
            typ: CollectionType::List(of) | CollectionType::Set(of), ..
        } => wire::elements(value).for_each(|element| nest(of, Some(element), out)),
        ColumnType::Tuple(types) => unify_fields(types.iter(), value, out),
        ColumnType::UserDefinedType { definition, .. } => {
            unify_fields(definition.field_types.iter().map(|(_, typ)| typ), value, out);
        }
        ColumnType::Vector { typ, .. } => {
            let elements = VectorElements { size: typ.type_size_for_vector(), rest: value };
            elements.for_each(|element| nest(typ, Some(element), out));
        }
        _ => out.extend_from_slice(value),
    }
}

/// Appends the fields up to the last one that is not null.
fn unify_fields<'t>(
    types: impl Iterator<Item = &'t ColumnType<'t>>,
    value: &[u8],
    out: &mut Vec<u8>,
) {
    let mut end = out.len();
    for (field, typ) in Fields(value).zip(types) {
        nest(typ, field, out);
        if field.is_some() {
            end = out.len();
        }
    }
    out.truncate(end);
}

/// Appends a part of a value behind its length.
fn nest(typ: &ColumnType<'_>, part: Option<&[u8]>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&NULL);
    let Some(part) = part else { return };
    unify(typ, part, out);
    let length = i32::try_from(out.len() - start - NULL.len()).unwrap_or(i32::MAX);
    if let Some(place) = out.get_mut(start..start + NULL.len()) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// A number without the bytes in front that only repeat its sign.
fn shortest(number: &[u8]) -> &[u8] {
    let mut rest = number;
    while let [first @ (0 | 0xff), further @ ..] = rest
        && further.first().is_some_and(|next| (*next >= 0x80) == (*first >= 0x80))
    {
        rest = further;
    }
    rest
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::{super::order::compare, *};

    fn decimal(unscaled: i64, scale: i32, more: usize) -> Vec<u8> {
        let number = BigInt::from(unscaled).to_signed_bytes_be();
        let sign = if unscaled < 0 { 0xff } else { 0 };
        [&scale.to_be_bytes()[..], &vec![sign; more], &number].concat()
    }

    fn tuple_of(decimal: &[u8]) -> Vec<u8> {
        let length = i32::try_from(decimal.len()).unwrap().to_be_bytes();
        [&length[..], decimal, &(-1_i32).to_be_bytes()].concat()
    }

    const DECIMAL: ColumnType<'_> = ColumnType::Native(NativeType::Decimal);

    #[test]
    fn decimals_of_one_value_are_one() {
        for (one, other, same) in [
            (decimal(10, 1, 0), decimal(100, 2, 0), true),
            (decimal(10, 1, 0), decimal(1, 0, 3), true),
            (decimal(0, 0, 0), decimal(0, 7, 0), true),
            (decimal(-5, -2, 0), decimal(-500, 0, 1), true),
            (decimal(1, 0, 0), decimal(1, 1, 0), false),
            (decimal(1, 0, 0), decimal(-1, 0, 0), false),
            (decimal(0, 0, 0), decimal(1, 0, 0), false),
            (decimal(1, i32::MAX, 0), decimal(10, i32::MIN, 0), false),
            (Vec::new(), decimal(0, 0, 0), false),
        ] {
            let typ = ColumnType::Tuple(vec![DECIMAL, ColumnType::Native(NativeType::Text)]);
            assert_eq!(unified(&DECIMAL, &one) == unified(&DECIMAL, &other), same);
            let (one, other) = (tuple_of(&one), tuple_of(&other));
            assert_eq!(unified(&typ, &one) == unified(&typ, &other), same);
        }
    }

    #[test]
    fn fields_that_are_not_there_are_null_and_no_fields_are_another_value() {
        let int = ColumnType::Native(NativeType::Int);
        let pair = ColumnType::Tuple(vec![int.clone(), int.clone()]);
        let list = CollectionType::List(Box::new(pair.clone()));
        let list = ColumnType::Collection { frozen: true, typ: list };
        let behind_length =
            |bytes: &[u8]| [&i32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let one = behind_length(&[0, 0, 0, 1]);
        let null = (-1_i32).to_be_bytes();
        let (half, whole) = (one.clone(), [&one[..], &null].concat());
        let nulls = [null, null].concat();
        for (typ, one, other, same) in [
            (&pair, half.clone(), whole.clone(), true),
            (&pair, null.to_vec(), nulls.clone(), true),
            (&pair, Vec::new(), nulls, false),
            (&pair, [&null[..], &one].concat(), whole.clone(), false),
            (&list, Vec::new(), vec![0; 4], false),
            (
                &list,
                [&[0, 0, 0, 1][..], &behind_length(&half)].concat(),
                [&[0, 0, 0, 1][..], &behind_length(&whole)].concat(),
                true,
            ),
        ] {
            assert!(!is_by_bytes(typ));
            assert_eq!(unified(typ, &one) == unified(typ, &other), same, "{one:?} {other:?}");
        }
    }

    proptest! {
        /// As they are equal where sets are sorted, which is compared with a server.
        #[test]
        fn what_is_unified_is_what_is_equal(
            one in -200..200_i64, other in -200..200_i64, scales in [-2..4_i32, -2..4_i32], more in 0..3_usize
        ) {
            let [s1, s2] = scales;
            let (left, right) = (decimal(one, s1, more), decimal(other, s2, 0));
            let is_equal = compare(&DECIMAL, &left, &right) == Ordering::Equal;
            prop_assert_eq!(unified(&DECIMAL, &left) == unified(&DECIMAL, &right), is_equal);
            let varint = ColumnType::Native(NativeType::Varint);
            let (left, right) = (&left[4..], &right[4..]);
            let is_equal = compare(&varint, left, right) == Ordering::Equal;
            prop_assert_eq!(unified(&varint, left) == unified(&varint, right), is_equal);
        }

        #[test]
        fn any_bytes_can_be_unified(bytes: Vec<u8>) {
            let list = CollectionType::List(Box::new(DECIMAL));
            let typ = ColumnType::Collection { frozen: true, typ: list };
            for typ in [typ.clone(), DECIMAL, ColumnType::Tuple(vec![typ])] {
                prop_assert!(!is_by_bytes(&typ));
                unified(&typ, &bytes);
            }
        }
    }
}
