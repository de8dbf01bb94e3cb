//! Numbers: from digits to the server's bytes, exactly where the type can.

use num_bigint::BigInt;

/// The most digits of a number. Reading more would take longer than a store may keep its thread.
pub(super) const MOST_DIGITS: usize = 20_000;

/// Appends a number of any size in the fewest bytes.
pub(super) fn varint(value: i128, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let fill = if value < 0 { 0xff } else { 0 };
    let is_needed =
        |pair: &[u8]| !matches!(pair, [first, second] if *first == fill && (second ^ fill) < 0x80);
    let start = bytes.windows(2).position(is_needed).unwrap_or(bytes.len() - 1);
    out.extend_from_slice(bytes.get(start..).unwrap_or_default());
}

/// Appends a whole number that is too large for [`varint`]; `None` if the text is none.
pub(super) fn large_varint(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > MOST_DIGITS || !is_digits(digits) {
        return None;
    }
    let number = BigInt::parse_bytes(text.as_bytes(), 10)?;
    out.extend_from_slice(&number.to_signed_bytes_be());
    Some(())
}

/// Appends a decimal with the scale that its digits have: `1.10` has two places, `1e3` has minus three.
pub(super) fn decimal(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, self::exponent(exponent)?),
        None => (text, 0),
    };
    let digits = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let length = whole.len() + fraction.len();
    if length == 0 || length > MOST_DIGITS || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    out.extend_from_slice(&i32::try_from(scale).ok()?.to_be_bytes());
    let negative = mantissa.starts_with('-');
    // 38 digits always fit.
    if length <= 38 {
        let push = |number: i128, digit: u8| number * 10 + i128::from(digit - b'0');
        let number = whole.bytes().chain(fraction.bytes()).fold(0, push);
        varint(if negative { -number } else { number }, out);
        return Some(());
    }
    let sign = if negative { "-" } else { "" };
    large_varint(&format!("{sign}{whole}{fraction}"), out)
}

/// A number with a fraction, as JSON writes it.
pub(super) trait Real: Copy + std::str::FromStr + std::ops::Neg<Output = Self> {
    fn is_finite(self) -> bool;
    fn nan() -> Self;
    fn infinity(negative: bool) -> Self;
    /// `mantissa` times two to the power of `exponent`.
    fn scaled(mantissa: u64, exponent: i32, negative: bool) -> Self;
}

macro_rules! real {
    ($real:ident, $steps:literal) => {
        impl Real for $real {
            fn is_finite(self) -> bool {
                self.is_finite()
            }
            fn nan() -> Self {
                Self::NAN
            }
            fn infinity(negative: bool) -> Self {
                if negative { Self::NEG_INFINITY } else { Self::INFINITY }
            }
            fn scaled(mantissa: u64, exponent: i32, negative: bool) -> Self {
                let mut value = mantissa as Self;
                // In steps, since the power alone may be out of range.
                for step in 0..$steps {
                    let part = exponent / $steps
                        + i32::from(step < (exponent % $steps).abs()) * exponent.signum();
                    value *= (2.0 as Self).powi(part);
                }
                if negative { -value } else { value }
            }
        }
    };
}
real!(f32, 8);
real!(f64, 4);

/// The nearest number of the type; `None` if the digits are none or beyond its range.
pub(super) fn real<T: Real>(number: &str) -> Option<T> {
    // Without a fraction it is the integer zero, which has no sign.
    let number = if number == "-0" { "0" } else { number };
    number.parse().ok().filter(|value: &T| value.is_finite())
}

/// As [`real()`], of the forms that the server takes in a string: with blanks around, `NaN`,
/// `Infinity`, a trailing `f` or `d`, hexadecimal digits.
pub(super) fn real_of_text<T: Real>(text: &str) -> Option<T> {
    let text = text.trim_matches(|c| c <= ' ');
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        "NaN" => return Some(T::nan()),
        "Infinity" => return Some(T::infinity(negative)),
        _ => {}
    }
    let unsigned = unsigned.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(unsigned);
    if let Some(hex) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        return hexadecimal(hex, negative).filter(|value: &T| value.is_finite());
    }
    // What else the parser takes is a name, such as "inf".
    let is_digit =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if unsigned.starts_with(['+', '-']) || !unsigned.bytes().all(is_digit) {
        return None;
    }
    let value: T = real(unsigned)?;
    Some(if negative { -value } else { value })
}

/// Digits in base 16 with an exponent of two, such as `1.8p3`; the `0x` is cut off.
fn hexadecimal<T: Real>(text: &str, negative: bool) -> Option<T> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut exponent = self::exponent(exponent)?;
    let mut bits: u64 = 0;
    let digits = whole.bytes().map(|digit| (digit, false));
    for (digit, behind_point) in digits.chain(fraction.bytes().map(|digit| (digit, true))) {
        let digit = char::from(digit).to_digit(16)?;
        if bits >> 60 == 0 {
            bits = bits << 4 | u64::from(digit);
            exponent -= if behind_point { 4 } else { 0 };
        } else {
            // Too small to count by itself, but it decides between two neighbours.
            bits |= u64::from(digit != 0);
            exponent += if behind_point { 0 } else { 4 };
        }
    }
    let exponent = i32::try_from(exponent.clamp(-10_000, 10_000)).ok()?;
    Some(T::scaled(bits, exponent, negative))
}

/// The number behind an `e` or `p`.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 10 || !is_digits(digits) {
        return None;
    }
    text.parse().ok()
}

pub(super) fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
