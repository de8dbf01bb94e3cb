//! Where a row lies in its partition, as one number: rows that are close in it are close in the
//! server's order.

use scylla::cluster::metadata::{ColumnType, NativeType};

use super::order::time_of_uuid;
use crate::{row::CellRef, schema::table::Column};

/// How many bytes of a text are told before its length, if another column follows.
const TEXT: usize = 6;

/// The position of the row with these clustering values, given by their columns in the table's
/// order: as much of them as fifteen bytes tell, up to the first value that is not told whole. Whether
/// columns are sorted from the highest value down does not matter: neighbours stay neighbours, but
/// where one column is and another is not.
pub(crate) fn position<'c>(columns: &[Column], values: impl Iterator<Item = CellRef<'c>>) -> u128 {
    let mut told = [0; 16];
    // The first byte is left to whoever has more to tell.
    let mut free = told.get_mut(1..).unwrap_or_default();
    for (place, (column, value)) in columns.iter().zip(values).enumerate() {
        let (ColumnType::Native(native), CellRef::Value(bytes)) = (&column.typ, value) else {
            break;
        };
        let is_last = place + 1 == columns.len();
        let Some(rest) = write(native, bytes, is_last, free) else { break };
        free = rest;
    }
    u128::from_be_bytes(told)
}

/// Writes as much of a value as there is room for, so that the order of the bytes is the server's
/// for the type. Gives the room that is left; `None` if what follows would tell nothing.
fn write<'b>(
    native: &NativeType,
    bytes: &[u8],
    is_last: bool,
    free: &'b mut [u8],
) -> Option<&'b mut [u8]> {
    let is_negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let (ordered, width, flipped): ([u8; 8], usize, u8) = match native {
        NativeType::TinyInt | NativeType::SmallInt | NativeType::Int => {
            (front(bytes), bytes.len(), 0x80)
        }
        NativeType::BigInt | NativeType::Timestamp => (front(bytes), 8, 0x80),
        NativeType::Varint => match integer(bytes) {
            Some(integer) => (integer, 8, 0x80),
            // Larger than all others, or smaller.
            None => return fill(free, std::iter::repeat(if is_negative { 0 } else { 0xFF })),
        },
        NativeType::Float | NativeType::Double if is_negative => {
            (front(bytes).map(|byte| !byte), bytes.len(), 0)
        }
        NativeType::Float | NativeType::Double => (front(bytes), bytes.len(), 0x80),
        NativeType::Timeuuid => (time_of_uuid(bytes)?, 8, 0),
        NativeType::Uuid => (by_version(bytes)?, 8, 0),
        NativeType::Boolean | NativeType::Date | NativeType::Time => (front(bytes), bytes.len(), 0),
        NativeType::Text | NativeType::Ascii | NativeType::Blob | NativeType::Inet if is_last => {
            return fill(free, bytes.iter().copied());
        }
        NativeType::Text | NativeType::Ascii | NativeType::Blob | NativeType::Inet => {
            let [a, b, c, d, e, f, ..] = front(bytes);
            match u8::try_from(bytes.len()) {
                Ok(length) if bytes.len() <= TEXT => ([a, b, c, d, e, f, length, 0], TEXT + 1, 0),
                _ => {
                    let rest = bytes.iter().copied().skip(TEXT);
                    return fill(free, [a, b, c, d, e, f, 0xFF].into_iter().chain(rest));
                }
            }
        }
        _ => return None,
    };
    let (room, rest) = free.split_at_mut(width.min(free.len()));
    room.copy_from_slice(ordered.get(..room.len())?);
    if let Some(first) = room.first_mut() {
        *first ^= flipped;
    }
    (room.len() == width).then_some(rest)
}

/// Takes all the room for what is told last.
fn fill(free: &mut [u8], bytes: impl Iterator<Item = u8>) -> Option<&mut [u8]> {
    free.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    None
}

/// The first bytes, and zeros behind fewer.
fn front(bytes: &[u8]) -> [u8; 8] {
    match bytes.first_chunk() {
        Some(front) => *front,
        None => {
            let mut front = [0; 8];
            front.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            front
        }
    }
}

/// UUIDs are sorted by their version first; those of version 1 by their time then.
fn by_version(uuid: &[u8]) -> Option<[u8; 8]> {
    // The time begins with its version, and that is the upper half of a byte.
    match uuid.get(6)? & 0xF0 {
        0x10 => time_of_uuid(uuid),
        version => {
            let [a, b, c, d, e, f, g, _] = front(uuid);
            Some([version, a, b, c, d, e, f, g])
        }
    }
}

/// A number of any size in eight bytes; `None` if it needs more.
fn integer(bytes: &[u8]) -> Option<[u8; 8]> {
    let fill = if bytes.first()? & 0x80 == 0 { 0 } else { 0xFF };
    let more = bytes.len().saturating_sub(8);
    let (above, digits) = bytes.split_at(more);
    let fits = above.iter().all(|byte| *byte == fill)
        && (more == 0 || digits.first().is_some_and(|byte| byte & 0x80 == fill & 0x80));
    let mut number = [fill; 8];
    number.iter_mut().rev().zip(digits.iter().rev()).for_each(|(to, from)| *to = *from);
    fits.then_some(number)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::{prelude::*, sample::select};
    use scylla::cluster::metadata::{ColumnKind, NativeType as N};

    use super::{
        super::{
            arbitrary::{SCALARS, json_of},
            order::compare,
            value,
        },
        *,
    };

    fn columns(types: &[NativeType]) -> Vec<Column> {
        let column = |typ: &NativeType| Column {
            name: "c".into(),
            typ: ColumnType::Native(typ.clone()),
            kind: ColumnKind::Clustering,
        };
        types.iter().map(column).collect()
    }

    fn at(types: &[NativeType], values: &[Vec<u8>]) -> u128 {
        position(&columns(types), values.iter().map(|value| CellRef::Value(value)))
    }

    /// The bytes of what fits the type, of any of these forms.
    fn bytes_of(native: &NativeType) -> impl Strategy<Value = Vec<u8>> + use<> {
        let typ = ColumnType::Native(native.clone());
        json_of(&typ).prop_filter_map("a value", move |json| {
            let mut bytes = Vec::new();
            value(&typ, &json, &mut bytes).ok()?;
            // Of most types a value without bytes is none.
            let has_value = !bytes.is_empty()
                || matches!(typ, ColumnType::Native(N::Text | N::Ascii | N::Blob));
            has_value.then_some(bytes)
        })
    }

    proptest! {
        #[test]
        fn positions_are_never_in_another_order_than_the_server_has(
            (types, rows) in prop::collection::vec(select(SCALARS.to_vec()), 1..4).prop_flat_map(|types| {
                let row: Vec<_> = types.iter().map(bytes_of).collect();
                (Just(types), prop::collection::vec(row, 2..8))
            }),
        ) {
            for one in &rows {
                for other in &rows {
                    let typed = types.iter().zip(one.iter().zip(other));
                    let mut by_column = typed.map(|(typ, (one, other))| {
                        compare(&ColumnType::Native(typ.clone()), one, other)
                    });
                    let order = by_column.find(|order| *order != Ordering::Equal);
                    let told = at(&types, one).cmp(&at(&types, other));
                    prop_assert!(
                        told == Ordering::Equal || Some(told) == order,
                        "{types:?}: {one:?} and {other:?} are {order:?}, and {told:?} by position"
                    );
                }
            }
        }
    }

    #[test]
    fn values_that_differ_where_it_matters_have_different_positions() {
        let ints =
            |values: &[i32]| values.iter().map(|v| v.to_be_bytes().to_vec()).collect::<Vec<_>>();
        let long = |value: i64| value.to_be_bytes().to_vec();
        let text = |value: &str| value.as_bytes().to_vec();
        let uuid = |text: &str| {
            let mut bytes = Vec::new();
            let json = format!("{text:?}");
            assert!(value(&ColumnType::Native(N::Uuid), &json, &mut bytes).is_ok(), "{text}");
            bytes
        };
        let cases: [(&[NativeType], Vec<Vec<Vec<u8>>>); 9] = [
            (&[N::Int], vec![ints(&[i32::MIN]), ints(&[-1]), ints(&[0]), ints(&[i32::MAX])]),
            (&[N::BigInt], vec![vec![long(-7)], vec![long(7)], vec![long(8)]]),
            // A day, and the time in it.
            (
                &[N::Int, N::Timestamp],
                vec![
                    vec![ints(&[1]).remove(0), long(1_700_000_000_001)],
                    vec![ints(&[1]).remove(0), long(1_700_000_000_002)],
                    vec![ints(&[2]).remove(0), long(1_700_000_000_000)],
                ],
            ),
            (
                &[N::Text, N::BigInt],
                vec![
                    vec![text("login"), long(1)],
                    vec![text("login"), long(2)],
                    vec![text("logout"), long(0)],
                ],
            ),
            (&[N::Text], vec![vec![text("event-000001")], vec![text("event-000002")]]),
            (
                &[N::Varint],
                vec![
                    vec![vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0]],
                    vec![vec![0xFF, 0]],
                    vec![vec![0xFF]],
                    vec![vec![0]],
                    vec![vec![0, 0x80]],
                    vec![vec![1, 0]],
                    vec![vec![1, 0, 0, 0, 0, 0, 0, 0, 0]],
                ],
            ),
            (
                &[N::Double],
                vec![
                    vec![(-2.5_f64).to_be_bytes().to_vec()],
                    vec![(-1.5_f64).to_be_bytes().to_vec()],
                    vec![1.5_f64.to_be_bytes().to_vec()],
                    vec![2.5_f64.to_be_bytes().to_vec()],
                ],
            ),
            (
                &[N::Uuid],
                vec![
                    vec![uuid("00000001-0000-1000-8000-000000000000")],
                    vec![uuid("00000000-0001-1000-8000-000000000000")],
                    vec![uuid("00000001-0000-4000-8000-000000000000")],
                    vec![uuid("00000002-0000-4000-8000-000000000000")],
                ],
            ),
            (
                &[N::Timeuuid],
                vec![
                    vec![uuid("00000001-0000-1000-8000-000000000000")],
                    vec![uuid("00000000-0001-1000-8000-000000000000")],
                    vec![uuid("00000000-0000-1001-8000-000000000000")],
                ],
            ),
        ];
        for (types, rows) in cases {
            let told: Vec<u128> = rows.iter().map(|row| at(types, row)).collect();
            assert!(told.is_sorted_by(|one, next| one < next), "{types:?}: {told:x?}");
        }
        assert_eq!(at(&[N::Decimal, N::Int], &ints(&[1, 2])), 0, "bytes show no order");
        assert_eq!(position(&columns(&[N::Int]), std::iter::once(CellRef::Unset)), 0);
    }
}
