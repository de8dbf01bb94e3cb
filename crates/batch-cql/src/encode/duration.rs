//! Durations: months, days and nanoseconds, each counted apart.

use std::fmt::Write as _;

use scylla::value::CqlDuration;

use crate::wire;

const HOUR_NS: u64 = 3_600_000_000_000;
const MINUTE_NS: u64 = 60_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What is counted: months, days or nanoseconds.
#[derive(Clone, Copy)]
enum Counted {
    Months,
    Days,
    Nanoseconds,
}

/// The units in the order in which they must stand.
const UNITS: [(&str, Counted, u64); 10] = [
    ("y", Counted::Months, 12),
    ("mo", Counted::Months, 1),
    ("w", Counted::Days, 7),
    ("d", Counted::Days, 1),
    ("h", Counted::Nanoseconds, HOUR_NS),
    ("m", Counted::Nanoseconds, MINUTE_NS),
    ("s", Counted::Nanoseconds, SECOND_NS),
    ("ms", Counted::Nanoseconds, 1_000_000),
    ("us", Counted::Nanoseconds, 1_000),
    ("ns", Counted::Nanoseconds, 1),
];

/// A sum that has no sign yet.
#[derive(Default)]
struct Sum {
    months: u64,
    days: u64,
    nanoseconds: u64,
}

impl Sum {
    fn add(&mut self, number: u64, counted: Counted, each: u64) -> Option<()> {
        let total = match counted {
            Counted::Months => &mut self.months,
            Counted::Days => &mut self.days,
            Counted::Nanoseconds => &mut self.nanoseconds,
        };
        *total = number.checked_mul(each)?.checked_add(*total)?;
        Some(())
    }

    fn signed(self, negative: bool) -> Option<CqlDuration> {
        // The server cannot read what has no positive counterpart.
        let small = |number: u64| {
            let number = i32::try_from(number).ok()?;
            Some(if negative { -number } else { number })
        };
        let nanoseconds = i64::try_from(self.nanoseconds).ok()?;
        Some(CqlDuration {
            months: small(self.months)?,
            days: small(self.days)?,
            nanoseconds: if negative { -nanoseconds } else { nanoseconds },
        })
    }
}

/// A duration: `1y2mo3w4d5h6m7s8ms9us10ns`, `P1Y2M3DT4H5M6S`, `P1W` or `P0001-02-03T04:05:06`, with
/// a `-` in front if it is negative.
pub(super) fn duration(text: &str) -> Option<CqlDuration> {
    let unsigned = text.strip_prefix('-');
    let negative = unsigned.is_some();
    let unsigned = unsigned.unwrap_or(text);
    let sum = match unsigned.strip_prefix('P') {
        Some(iso) => iso_sum(iso)?,
        None => sum(unsigned)?,
    };
    sum.signed(negative)
}

/// The number that the text begins with, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

fn sum(mut text: &str) -> Option<Sum> {
    if text.is_empty() {
        return None;
    }
    let (mut sum, mut units) = (Sum::default(), UNITS.as_slice());
    while !text.is_empty() {
        let (count, rest) = number(text)?;
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (name, rest) = rest.split_at_checked(end)?;
        let name = if name.eq_ignore_ascii_case("\u{b5}s") { "us" } else { name };
        let place = units.iter().position(|(unit, ..)| unit.eq_ignore_ascii_case(name))?;
        let (_, counted, each) = *units.get(place)?;
        sum.add(count, counted, each)?;
        units = units.get(place + 1..)?;
        text = rest;
    }
    Some(sum)
}

/// What stands behind the `P`.
fn iso_sum(text: &str) -> Option<Sum> {
    if text.as_bytes().get(4) == Some(&b'-') {
        return iso_alternative(text);
    }
    if let Some(weeks) = text.strip_suffix('W') {
        let mut sum = Sum::default();
        let (weeks, rest) = number(weeks)?;
        sum.add(weeks, Counted::Days, 7)?;
        return rest.is_empty().then_some(sum);
    }
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut sum = Sum::default();
    let date_units =
        [('Y', Counted::Months, 12), ('M', Counted::Months, 1), ('D', Counted::Days, 1)];
    let time_units = [
        ('H', Counted::Nanoseconds, HOUR_NS),
        ('M', Counted::Nanoseconds, MINUTE_NS),
        ('S', Counted::Nanoseconds, SECOND_NS),
    ];
    add_iso(&mut sum, date, &date_units)?;
    add_iso(&mut sum, time.unwrap_or_default(), &time_units)?;
    Some(sum)
}

fn add_iso(sum: &mut Sum, mut text: &str, mut units: &[(char, Counted, u64)]) -> Option<()> {
    while !text.is_empty() {
        let (count, rest) = number(text)?;
        let mut rest = rest.chars();
        let name = rest.next()?;
        let place = units.iter().position(|(unit, ..)| *unit == name)?;
        let (_, counted, each) = *units.get(place)?;
        sum.add(count, counted, each)?;
        units = units.get(place + 1..)?;
        text = rest.as_str();
    }
    Some(())
}

/// `0001-02-03T04:05:06`
fn iso_alternative(text: &str) -> Option<Sum> {
    let form = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, wanted): (u8, &u8)| match wanted {
        b'd' => byte.is_ascii_digit(),
        other => byte == *other,
    };
    if text.len() != form.len() || !text.bytes().zip(form).all(fits) {
        return None;
    }
    let mut sum = Sum::default();
    let fields = [
        (0..4, Counted::Months, 12),
        (5..7, Counted::Months, 1),
        (8..10, Counted::Days, 1),
        (11..13, Counted::Nanoseconds, HOUR_NS),
        (14..16, Counted::Nanoseconds, MINUTE_NS),
        (17..19, Counted::Nanoseconds, SECOND_NS),
    ];
    for (range, counted, each) in fields {
        sum.add(text.get(range)?.parse().ok()?, counted, each)?;
    }
    Some(sum)
}

/// Appends a duration as the server stores it: three numbers of variable length.
pub(super) fn write(duration: &CqlDuration, out: &mut Vec<u8>) {
    for number in [duration.months.into(), duration.days.into(), duration.nanoseconds] {
        wire::write_signed(number, out);
    }
}

/// A duration as [`duration`] reads it.
pub(crate) fn text(duration: &CqlDuration) -> String {
    let CqlDuration { months, days, nanoseconds } = *duration;
    let negative = months < 0 || days < 0 || nanoseconds < 0;
    let mut text = String::from(if negative { "-" } else { "" });
    let mut rest =
        [u64::from(months.unsigned_abs()), days.unsigned_abs().into(), nanoseconds.unsigned_abs()];
    for (unit, counted, each) in UNITS.iter().filter(|(unit, ..)| *unit != "w") {
        let [months, days, nanoseconds] = &mut rest;
        let rest = match counted {
            Counted::Months => months,
            Counted::Days => days,
            Counted::Nanoseconds => nanoseconds,
        };
        let count = *rest / each;
        *rest %= each;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_way_to_write_a_duration_is_read() {
        let of = |months, days, nanoseconds| Some(CqlDuration { months, days, nanoseconds });
        for (text, expected) in [
            ("1y2mo3w4d5h6m7s8ms9us10ns", of(14, 25, 18_367_008_009_010)),
            ("1Y2MO", of(14, 0, 0)),
            ("5\u{b5}s", of(0, 0, 5_000)),
            ("-1d", of(0, -1, 0)),
            ("0s", of(0, 0, 0)),
            ("P1Y2M3DT4H5M6S", of(14, 3, 14_706_000_000_000)),
            ("-P1Y", of(-12, 0, 0)),
            ("P1W", of(0, 7, 0)),
            ("P", of(0, 0, 0)),
            ("PT1M", of(0, 0, 60_000_000_000)),
            ("P0001-02-03T04:05:06", of(14, 3, 14_706_000_000_000)),
            ("9223372036854775807ns", of(0, 0, i64::MAX)),
            ("2147483647mo2147483647d", of(i32::MAX, i32::MAX, 0)),
            ("-9223372036854775807ns", of(0, 0, -i64::MAX)),
            ("-2147483647mo2147483647d", of(-i32::MAX, -i32::MAX, 0)),
            ("-2147483648mo", None),
            ("-2147483648d", None),
            ("-9223372036854775808ns", None),
            ("2147483648mo", None),
            ("2562048h", None),
            ("99999999999999999999d", None),
            ("", None),
            ("-", None),
            ("1", None),
            ("0", None),
            ("+1d", None),
            ("1h 2m", None),
            ("1h1d", None),
            ("1d1d", None),
            ("1.5h", None),
            ("1y-2mo", None),
            ("PT1.5S", None),
            ("P-1Y", None),
            ("p1y", None),
            ("P1W1D", None),
            ("5\u{3bc}s", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_can_be_read_back(
            months in any::<i32>(), days in any::<i32>(), nanoseconds in any::<i64>(),
        ) {
            let one = |number: i64| if months < 0 { -number.saturating_abs() } else { number.saturating_abs() };
            let given = CqlDuration {
                months,
                days: i32::try_from(one(days.into())).unwrap_or(i32::MAX),
                nanoseconds: one(nanoseconds),
            };
            prop_assert_eq!(duration(&text(&given)), Some(given));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-P0-9YMDTHSWmyduns:\u{b5}]{0,20}") {
            let _ = duration(&text);
        }
    }
}
