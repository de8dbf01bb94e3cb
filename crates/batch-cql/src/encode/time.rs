//! Days, times of day and points in time.

/// Days before 1970 that a `date` counts from.
const EPOCH_DAY: i64 = 1 << 31;
const DAY_MS: i64 = 86_400_000;
const DAY_NS: i64 = 86_400_000_000_000;

/// A `date`: `2023-11-14`, with a sign before years of five digits and more, or the server's own
/// count of days.
pub(super) fn date(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mut rest = Reader(text.as_bytes());
    let sign = rest.any_of(b"+-");
    let year = rest.digits(4, 9)?;
    let is_long = year.1 > 4;
    if is_long != sign.is_some() && (is_long || sign == Some(b'+')) {
        return None;
    }
    let year = if sign == Some(b'-') { -year.0 } else { year.0 };
    let day = rest.month_and_day(year)?;
    rest.end()?;
    u32::try_from(day + EPOCH_DAY).ok()
}

/// A `time` of day in nanoseconds: `22:13:20` with up to nine decimals, or the count itself.
pub(super) fn time(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|&time| time < DAY_NS);
    }
    let mut parts = text.trim_matches(|c| c <= ' ').splitn(3, ':');
    // Digits may be missing or too many in front, and signs are taken, as long as the number fits.
    let below = |end: i64, part: &str| part.parse().ok().filter(|number| (0..end).contains(number));
    let hours = below(24, parts.next()?)?;
    let minutes = below(60, parts.next()?)?;
    let seconds = parts.next()?;
    let (seconds, nanoseconds) = match seconds.split_once('.') {
        Some((seconds, fraction)) => {
            let mut rest = Reader(fraction.as_bytes());
            let nanoseconds = rest.fraction(9)?;
            rest.end()?;
            (seconds, nanoseconds)
        }
        None => (seconds, 0),
    };
    let seconds = (hours * 60 + minutes) * 60 + below(60, seconds)?;
    Some(seconds * 1_000_000_000 + nanoseconds)
}

/// A `timestamp` in milliseconds since 1970: `2023-11-14`, then, if given, a time behind `T` or a
/// blank, then a zone. Without a zone it is UTC. What is finer than a millisecond is cut off.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let mut rest = Reader(text.as_bytes());
    let (year, _) = rest.digits(4, 4)?;
    if year == 0 {
        return None;
    }
    let day = rest.month_and_day(year)?;
    let mut milliseconds = 0;
    let is_time = rest.0.get(1).is_some_and(u8::is_ascii_digit);
    if is_time && rest.any_of(b"T ").is_some() {
        let mut seconds = rest.hours_and_minutes()? * 60;
        if rest.one(b':').is_some() {
            seconds += rest.up_to(59)?;
            if rest.one(b'.').is_some() {
                milliseconds = rest.fraction(9)? / 1_000_000;
            }
        }
        milliseconds += seconds * 1_000;
    }
    let offset = rest.zone()?;
    rest.end()?;
    Some(day * DAY_MS + milliseconds - offset * 60_000)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn any_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first().filter(|(first, _)| wanted.contains(first))?;
        self.0 = rest;
        Some(first)
    }

    fn one(&mut self, wanted: u8) -> Option<()> {
        self.any_of(&[wanted]).map(drop)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// All digits that follow, and how many there were.
    fn digits(&mut self, least: usize, most: usize) -> Option<(i64, usize)> {
        let is_end = |byte: &u8| !byte.is_ascii_digit();
        let count = self.0.iter().position(is_end).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at_checked(count)?;
        if count < least || count > most {
            return None;
        }
        self.0 = rest;
        let push = |number: i64, digit: &u8| number * 10 + i64::from(digit - b'0');
        Some((digits.iter().fold(0, push), count))
    }

    /// A number of one or two digits.
    fn up_to(&mut self, most: i64) -> Option<i64> {
        self.digits(1, 2).map(|(number, _)| number).filter(|&number| number <= most)
    }

    /// `-11-14`, as days since 1970; `None` if there is no such day.
    fn month_and_day(&mut self, year: i64) -> Option<i64> {
        self.one(b'-')?;
        let (month, _) = self.digits(2, 2)?;
        self.one(b'-')?;
        let (day, _) = self.digits(2, 2)?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        Some(days(year, month, day))
    }

    fn hours_and_minutes(&mut self) -> Option<i64> {
        let hours = self.up_to(23)?;
        self.one(b':')?;
        Some(hours * 60 + self.up_to(59)?)
    }

    /// The digits behind a point, in billionths.
    fn fraction(&mut self, most: usize) -> Option<i64> {
        let (number, count) = self.digits(1, most)?;
        Some((count..9).fold(number, |number, _| number * 10))
    }

    /// `Z`, `UTC`, `GMT` or an offset; in minutes east of UTC.
    fn zone(&mut self) -> Option<i64> {
        let is_apart = self.one(b' ').is_some();
        if self.0 == b"Z" || is_apart && matches!(self.0, b"UTC" | b"GMT") {
            self.0 = &[];
            return Some(0);
        }
        let Some(sign) = self.any_of(b"+-") else {
            return (!is_apart).then_some(0);
        };
        let (hours, minutes) = match self.digits(2, 4)? {
            (hours, 2) if self.one(b':').is_some() => (hours, self.digits(2, 2)?.0),
            (hours, 2) => (hours, 0),
            (both, 4) => (both / 100, both % 100),
            _ => return None,
        };
        let offset = hours * 60 + minutes;
        if minutes > 59 || offset > 18 * 60 {
            return None;
        }
        Some(if sign == b'-' { -offset } else { offset })
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 in the Gregorian calendar, which is taken to have been always in use. Years
/// begin in March here, so that the day of a leap year is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day: the way back.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// A `date` as [`date`] reads it.
pub(crate) fn date_text(date: u32) -> String {
    let (year, month, day) = civil(i64::from(date) - EPOCH_DAY);
    let sign = match year {
        10_000.. => "+",
        ..0 => "-",
        _ => "",
    };
    format!("{sign}{:04}-{month:02}-{day:02}", year.abs())
}

/// A `time` as [`time`] reads it.
pub(crate) fn time_text(time: i64) -> String {
    let (seconds, nanoseconds) = (time / 1_000_000_000, time % 1_000_000_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!("{:02}:{:02}:{seconds:02}.{nanoseconds:09}", minutes / 60, minutes % 60)
}

/// A `timestamp` as [`timestamp`] reads it; `None` if its year has no four digits.
pub(crate) fn timestamp_text(timestamp: i64) -> Option<String> {
    let (year, month, day) = civil(timestamp.div_euclid(DAY_MS));
    if !(1..=9999).contains(&year) {
        return None;
    }
    let of_day = timestamp.rem_euclid(DAY_MS);
    let (seconds, milliseconds) = (of_day / 1_000, of_day % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}Z"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_are_counted_from_1970_and_the_calendar_never_changes() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2000-03-01", 11_017),
            ("2023-11-14", 19_675),
            ("0000-01-01", -719_528),
            ("-0001-12-31", -719_529),
            ("+5881580-07-11", i64::from(i32::MAX)),
            ("-5877641-06-23", i64::from(i32::MIN)),
        ] {
            let date = date(text).map(|date| i64::from(date) - EPOCH_DAY);
            assert_eq!(date, Some(days), "{text}");
        }
    }

    #[test]
    fn a_day_that_does_not_exist_is_none() {
        for text in [
            "2023-02-29",
            "2100-02-29",
            "2023-04-31",
            "2023-00-01",
            "2023-13-01",
            "2023-01-00",
            "2023-01-32",
        ] {
            assert_eq!((date(text), timestamp(text)), (None, None), "{text}");
        }
        assert_eq!(date("+5881580-07-12"), None);
        assert_eq!(date("-5877641-06-22"), None);
    }

    proptest! {
        #[test]
        fn every_date_time_and_timestamp_can_be_read_back(
            day in any::<u32>(),
            nanoseconds in 0..DAY_NS,
            milliseconds in any::<i64>(),
        ) {
            prop_assert_eq!(date(&date_text(day)), Some(day));
            prop_assert_eq!(time(&time_text(nanoseconds)), Some(nanoseconds));
            let milliseconds = milliseconds >> 15;
            if let Some(text) = timestamp_text(milliseconds) {
                prop_assert_eq!(timestamp(&text), Some(milliseconds));
            }
        }

        #[test]
        fn no_text_makes_them_panic(text in "[-+0-9TZ: .]{0,30}") {
            let _ = (date(&text), time(&text), timestamp(&text));
        }
    }
}
