//! How small a document's bytes can be at least, by its text alone: no table is asked.

/// The most characters of a number, with its signs, point and exponent, or of anything else that is shorter in bytes
/// than as text.
const LONGEST_NUMBER: usize = 20_040;

/// At least so many bytes has what this JSON is encoded to. Of a long string each character is one byte at
/// least, in hex each two; what is shorter may be a number, and counts nothing.
pub(crate) fn least_bytes(json: &[u8]) -> usize {
    let mut sum = 0;
    let mut rest = json;
    while let Some(start) = memchr::memchr(b'"', rest) {
        rest = rest.get(start + 1..).unwrap_or_default();
        let (characters, length) = string(rest);
        if length > LONGEST_NUMBER {
            sum += match rest.trim_ascii_start() {
                // The first two may be escaped.
                [b'0', b'x' | b'X', ..] | [b'\\', ..] => characters / 2,
                // A key of a map may be JSON in a string.
                [b'[' | b'{', ..] => 0,
                _ => characters,
            };
        }
        rest = rest.get(length + 1..).unwrap_or_default();
    }
    sum
}

/// How many characters a string has, at least, and where its closing quote is.
fn string(rest: &[u8]) -> (usize, usize) {
    let (mut characters, mut at) = (0, 0);
    while let Some(next) = memchr::memchr2(b'"', b'\\', rest.get(at..).unwrap_or_default()) {
        (characters, at) = (characters + next, at + next);
        if rest.get(at) == Some(&b'"') {
            return (characters, at);
        }
        at += if rest.get(at + 1) == Some(&b'u') { 6 } else { 2 };
        characters += 1;
    }
    (characters, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_as_long_in_bytes_counts() {
        let long = 30_000;
        for (string, expected) in [
            ("x".repeat(long), long),
            ("é".repeat(long), 2 * long),
            (format!("e{}", r"\u00e9".repeat(long)), long + 1),
            ("\\\"".repeat(long), long / 2),
            (format!(r"\u0030x{}", "ab".repeat(long)), long + 1),
            (format!(" [{}", "1,".repeat(long)), 0),
            (format!("0x{}", "ab".repeat(long)), long + 1),
            (format!("[{}", "1,".repeat(long)), 0),
            ("1".repeat(20_000), 0),
        ] {
            let text = format!(r#"{{"a":1,"b":["{string}",true],"c":"short"}}"#);
            assert_eq!(least_bytes(text.as_bytes()), expected, "{}", &string[..10]);
        }
        assert_eq!(least_bytes(br#"{"cut":"off"#), 0);
    }
}
