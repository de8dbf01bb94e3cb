//! Values that are no collections: numbers, texts, and all that JSON writes as a text.

use std::net::{Ipv4Addr, Ipv6Addr};

use scylla::cluster::metadata::NativeType;
use uuid::Uuid;

use super::{duration, number, time};

/// A JSON value that is neither null nor an array nor an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    /// A number without a fraction.
    Integer(i128),
    /// A number as it is written.
    Number(&'a str),
    Text(&'a str),
}

/// What would have fitted.
pub(super) type Wants = &'static str;

/// Whether a type is read from a number's own digits, of which a parser may keep too few. With
/// care, integers are too.
#[inline]
pub(super) fn needs_digits(native: &NativeType, careful: bool) -> bool {
    match native {
        NativeType::Decimal | NativeType::Varint | NativeType::Float | NativeType::Double => true,
        NativeType::TinyInt
        | NativeType::SmallInt
        | NativeType::Int
        | NativeType::BigInt
        | NativeType::Counter
        | NativeType::Timestamp => careful,
        _ => false,
    }
}

/// Appends the bytes of a value of a type.
#[inline]
pub(super) fn write(
    native: &NativeType,
    scalar: Scalar<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Wants> {
    match native {
        NativeType::Text => text(scalar, out),
        NativeType::Int => whole(scalar, i32::to_be_bytes, out),
        NativeType::BigInt | NativeType::Counter => whole(scalar, i64::to_be_bytes, out),
        NativeType::Boolean => boolean(scalar).map(|value| out.push(value.into())),
        NativeType::Double => real::<f64, 8>(scalar, f64::to_be_bytes, out),
        _ => rarer(native, scalar, out),
    }
    .ok_or_else(|| wants(native))
}

fn rarer(native: &NativeType, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Option<()> {
    match native {
        NativeType::TinyInt => whole(scalar, i8::to_be_bytes, out),
        NativeType::SmallInt => whole(scalar, i16::to_be_bytes, out),
        NativeType::Varint => varint(scalar, out),
        NativeType::Decimal => decimal(scalar, out),
        NativeType::Float => real::<f32, 4>(scalar, f32::to_be_bytes, out),
        NativeType::Timestamp => timestamp(scalar, out),
        _ => {
            let Scalar::Text(given) = scalar else { return None };
            of_text(native, given, out)
        }
    }
}

/// Of the types that JSON can only write as a text.
fn of_text(native: &NativeType, given: &str, out: &mut Vec<u8>) -> Option<()> {
    match native {
        NativeType::Ascii if given.is_ascii() => out.extend_from_slice(given.as_bytes()),
        NativeType::Blob => return blob(given, out),
        NativeType::Uuid => out.extend_from_slice(uuid(given)?.as_bytes()),
        NativeType::Timeuuid => {
            let uuid = uuid(given).filter(|uuid| uuid.get_version_num() == 1)?;
            out.extend_from_slice(uuid.as_bytes());
        }
        NativeType::Inet => return inet(given, out),
        NativeType::Date => out.extend_from_slice(&time::date(given)?.to_be_bytes()),
        NativeType::Time => out.extend_from_slice(&time::time(given)?.to_be_bytes()),
        NativeType::Duration => duration::write(&duration::duration(given)?, out),
        _ => return None,
    }
    Some(())
}

/// What a type takes, for the error that refuses something else.
pub(super) fn wants(native: &NativeType) -> Wants {
    match native {
        NativeType::Ascii => "a string of ASCII characters",
        NativeType::Boolean => "true or false",
        NativeType::Blob => "a string of hexadecimal digits, two for each byte, behind 0x",
        NativeType::Counter | NativeType::BigInt => {
            "an integer from -9223372036854775808 to 9223372036854775807"
        }
        NativeType::Date => "a day that exists, such as \"2023-11-14\"",
        NativeType::Decimal => {
            "a number with a scale of 32 bits and at most 20000 digits, as it is or in a string"
        }
        NativeType::Double | NativeType::Float => {
            "a number within its range, as it is or in a string, or \"NaN\", \"Infinity\", \"-Infinity\""
        }
        NativeType::Duration => "a duration such as \"1h30m\", \"1y2mo3d\" or \"P1Y2M3DT4H5M6S\"",
        NativeType::Int => "an integer from -2147483648 to 2147483647",
        NativeType::Text => "a string",
        NativeType::Timestamp => {
            "milliseconds since 1970, or a point in time that exists, such as \"2023-11-14T22:13:20Z\""
        }
        NativeType::Inet => "a numeric address such as \"192.0.2.1\" or \"2001:db8::1\"",
        NativeType::SmallInt => "an integer from -32768 to 32767",
        NativeType::TinyInt => "an integer from -128 to 127",
        NativeType::Time => "a time of day such as \"22:13:20.123456789\"",
        NativeType::Timeuuid => {
            "a UUID of version 1 such as \"50554d6e-29bb-11e5-b345-feff819cdc9f\""
        }
        NativeType::Uuid => "a UUID such as \"123e4567-e89b-42d3-a456-426614174000\"",
        NativeType::Varint => "an integer of at most 20000 digits",
        _ => "a value of a type that this release does not know",
    }
}

#[inline]
fn text(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Option<()> {
    let Scalar::Text(text) = scalar else { return None };
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// Appends an integer of a fixed size.
#[inline]
fn whole<T: TryFrom<i128>, const N: usize>(
    scalar: Scalar<'_>,
    bytes: impl FnOnce(T) -> [u8; N],
    out: &mut Vec<u8>,
) -> Option<()> {
    let value = T::try_from(integer(scalar)?).ok()?;
    out.extend_from_slice(&bytes(value));
    Some(())
}

/// An integer of any form, if it is not beyond 128 bits.
#[inline]
fn integer(scalar: Scalar<'_>) -> Option<i128> {
    match scalar {
        Scalar::Integer(integer) => Some(integer),
        Scalar::Number(digits) | Scalar::Text(digits) => digits.parse().ok(),
        Scalar::Bool(_) => None,
    }
}

fn varint(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (integer(scalar), scalar) {
        (Some(integer), _) => number::varint(integer, out),
        (None, Scalar::Number(digits) | Scalar::Text(digits)) => {
            return number::large_varint(digits, out);
        }
        (None, _) => return None,
    }
    Some(())
}

fn decimal(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Option<()> {
    match scalar {
        Scalar::Integer(integer) => {
            out.extend_from_slice(&0_i32.to_be_bytes());
            number::varint(integer, out);
            Some(())
        }
        Scalar::Number(digits) | Scalar::Text(digits) => number::decimal(digits, out),
        Scalar::Bool(_) => None,
    }
}

fn real<T: number::Real, const N: usize>(
    scalar: Scalar<'_>,
    bytes: impl FnOnce(T) -> [u8; N],
    out: &mut Vec<u8>,
) -> Option<()> {
    let value: T = match scalar {
        Scalar::Integer(integer) => number::real(&integer.to_string())?,
        Scalar::Number(digits) => number::real(digits)?,
        Scalar::Text(text) => number::real_of_text(text)?,
        Scalar::Bool(_) => return None,
    };
    out.extend_from_slice(&bytes(value));
    Some(())
}

fn boolean(scalar: Scalar<'_>) -> Option<bool> {
    match scalar {
        Scalar::Bool(value) => Some(value),
        Scalar::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Scalar::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn timestamp(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Option<()> {
    let milliseconds = match scalar {
        // A sign in front of digits is part of the form, a plus sign is not.
        Scalar::Text(text) if !text.starts_with('+') => {
            text.parse().ok().or_else(|| time::timestamp(text))?
        }
        Scalar::Text(_) => return None,
        scalar => i64::try_from(integer(scalar)?).ok()?,
    };
    out.extend_from_slice(&milliseconds.to_be_bytes());
    Some(())
}

fn blob(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    out.reserve(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let &[high, low] = pair else { return None };
        let byte = hex_value(high) << 4 | hex_value(low);
        out.push(u8::try_from(byte).ok()?);
    }
    Some(())
}

/// The value of a digit in base 16; more than a byte holds if it is none.
const fn hex_value(digit: u8) -> u16 {
    match digit {
        b'0'..=b'9' => (digit - b'0') as u16,
        b'a'..=b'f' => (digit - b'a' + 10) as u16,
        b'A'..=b'F' => (digit - b'A' + 10) as u16,
        _ => 0xff0,
    }
}

/// A UUID in its long form alone; the parser takes others too.
fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok())?
}

/// An address in numbers. A version 4 address in the form of version 6 is one of version 4.
fn inet(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        out.extend_from_slice(&address.octets());
        return Some(());
    }
    let address: Ipv6Addr = text.parse().ok()?;
    match address.to_ipv4_mapped() {
        Some(address) => out.extend_from_slice(&address.octets()),
        None => out.extend_from_slice(&address.octets()),
    }
    Some(())
}
