//! From the key of an operation to the `_key` of a document, and to the segment of a URL.
//!
//! The string forms of the key's parts, in the order of their names, become one text:
//!
//! | in the key | in `_key` |
//! |---|---|
//! | a character that `_key` may have, other than `!` | itself |
//! | `!`, and each byte of any other character | `!` and two hexadecimal digits in capitals |
//! | between two parts | `!.` |
//! | an empty string that is the only part | `!-` |
//! | `.` and `..` as the only part, which URLs take for folders | `!2E` and `!2E.` |
//!
//! So a key of one part is found under its own text as long as that is a legal `_key` without a
//! `!`, and no two lists of string forms have the same `_key`.

use batch_core::{Error, ErrorKind, KeyRef, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The most bytes of a `_key`.
const MOST: usize = 254;

/// Text that grows: a path, or the JSON of a document. What is pushed needs no escaping in JSON.
pub(crate) trait Text {
    fn push(&mut self, text: &str);
}

impl Text for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Text for Vec<u8> {
    fn push(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Writes the `_key` that a key stands for: ASCII, none of it to be escaped in JSON.
///
/// # Errors
/// It would be longer than ArangoDB takes, or there is no key. Then nothing is written.
pub(crate) fn write_key(collection: &str, key: KeyRef<'_>, into: &mut impl Text) -> Result<()> {
    let mut parts = key.string_parts();
    match (parts.next(), parts.next()) {
        (None, _) => Err(Error::new(
            ErrorKind::InvalidKey,
            format!(
                "an operation on `{collection}` has no key; give it one by `.at(text)` or `.key(name, value)`"
            ),
        )),
        // Nearly always.
        (Some((_, text)), None) if is_key(text) => {
            into.push(text);
            Ok(())
        }
        _ => {
            let escaped = escape(&key.string_forms());
            if escaped.len() > MOST {
                let length = escaped.len();
                return Err(Error::new(
                    ErrorKind::InvalidKey,
                    format!(
                        "a key of `{collection}` takes {length} bytes as `_key`, and ArangoDB takes {MOST}; shorten it"
                    ),
                ));
            }
            into.push(&escaped);
            Ok(())
        }
    }
}

/// An upper bound of the bytes that the string form of a part adds to a `_key`, found without writing it.
pub(crate) fn most_bytes(text: &str) -> usize {
    let escaped = text.bytes().filter(|byte| !is_own(*byte)).count();
    text.len() + 2 * escaped + 4
}

/// Whether a text is a `_key` that stands for itself.
fn is_key(text: &str) -> bool {
    (1..=MOST).contains(&text.len()) && text.bytes().all(is_own) && text != "." && text != ".."
}

/// What a `_key` may have, less what begins an escape.
const fn is_own(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'-'
                | b'.'
                | b'@'
                | b'('
                | b')'
                | b'+'
                | b','
                | b'='
                | b';'
                | b'$'
                | b'*'
                | b'\''
                | b'%'
                | b':'
        )
}

fn escape(forms: &[&str]) -> String {
    match forms {
        [""] => return "!-".to_owned(),
        ["."] => return "!2E".to_owned(),
        [".."] => return "!2E.".to_owned(),
        _ => {}
    }
    let mut out = String::new();
    for (place, form) in forms.iter().enumerate() {
        if place > 0 {
            out.push_str("!.");
        }
        for byte in form.bytes() {
            if is_own(byte) {
                out.push(char::from(byte));
            } else {
                let digit = |four: u8| char::from(b"0123456789ABCDEF"[usize::from(four & 15)]);
                out.extend(['!', digit(byte >> 4), digit(byte)]);
            }
        }
    }
    out
}

/// What stands for itself in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Adds a segment to the path of a URL, without the `/` before it. Segments `.` and `..` have no
/// form that URLs leave alone: no `_key` and no collection may be named so.
pub(crate) fn push_path_segment(segment: &str, into: &mut String) {
    into.extend(utf8_percent_encode(segment, ESCAPED));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use batch_core::Key;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn key_of(forms: &[impl AsRef<str>]) -> Key {
        let named = forms.iter().enumerate();
        named.fold(Key::new(), |key, (place, form)| {
            key.part(&format!("part{place:03}"), form.as_ref())
        })
    }

    fn written(key: &Key) -> Result<String> {
        let mut out = String::new();
        write_key("students", key.as_ref(), &mut out).map(|()| out)
    }

    /// Written for the test alone: the list of string forms that a `_key` stands for.
    fn unescape(key: &str) -> Vec<String> {
        if key == "!-" {
            return vec![String::new()];
        }
        let mut parts = vec![Vec::new()];
        let mut rest = key.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'!' => match rest.next().expect("an escape goes on") {
                    b'.' => parts.push(Vec::new()),
                    high => {
                        let digits = [high, rest.next().expect("two digits")];
                        let digits = std::str::from_utf8(&digits).expect("ASCII");
                        let byte = u8::from_str_radix(digits, 16).expect("hexadecimal");
                        parts.last_mut().expect("one at least").push(byte);
                    }
                },
                byte => parts.last_mut().expect("one at least").push(byte),
            }
        }
        parts.into_iter().map(|part| String::from_utf8(part).expect("UTF-8")).collect()
    }

    #[test]
    fn a_legal_key_of_one_part_stays_as_it_is() {
        let whole = "aZ09_-.@()+,=;$*'%:";
        for text in ["Abby", "1", "a%3Ab", "2026-01-01T10:00:00", "...", whole, &"k".repeat(MOST)] {
            assert_eq!(written(&Key::from(text)).unwrap(), text);
            assert_eq!(written(&key_of(&[text])).unwrap(), text);
        }
    }

    #[test]
    fn keys_are_escaped_as_documented() {
        for (forms, expected) in [
            (&["a!b"] as &[&str], "a!21b"),
            (&["a/b c"], "a!2Fb!20c"),
            (&["\u{e4}"], "!C3!A4"),
            (&["north", "7"], "north!.7"),
            (&["", ""], "!."),
            (&[".", "."], ".!.."),
            (&[""], "!-"),
            (&["."], "!2E"),
            (&[".."], "!2E."),
        ] {
            assert_eq!(written(&key_of(forms)).unwrap(), expected, "{forms:?}");
        }
        assert_eq!(written(&Key::new().part("b", 1).part("a", true)).unwrap(), "true!.1");
        assert_eq!(written(&Key::new().part("n", 1)).unwrap(), written(&Key::from("1")).unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_written() {
        for key in [Key::from("k".repeat(MOST + 1)), Key::from("/".repeat(85)), Key::new()] {
            let mut out = b"before".to_vec();
            let error = write_key("students", key.as_ref(), &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidKey);
            assert!(error.message().contains("`students`"), "{error}");
            assert_eq!(out, b"before");
        }
        assert_eq!(written(&Key::from("/".repeat(84))).unwrap().len(), 252);
    }

    fn form() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a!.\\-/2E]{0,4}",
            any::<String>().prop_map(|text| text.chars().take(12).collect()),
        ]
    }

    proptest! {
        #[test]
        fn no_two_lists_of_string_forms_have_one_key(
            lists in prop::collection::vec(prop::collection::vec(form(), 1..4), 1..40),
        ) {
            let mut seen = HashMap::new();
            for forms in lists {
                let Ok(key) = written(&key_of(&forms)) else { continue };
                prop_assert!((1..=MOST).contains(&key.len()), "{key}");
                prop_assert!(key.bytes().all(|byte| is_own(byte) || byte == b'!'), "{key}");
                prop_assert!(key != "." && key != "..");
                prop_assert_eq!(&unescape(&key), &forms, "{}", key);
                let former = seen.insert(key, forms.clone());
                prop_assert!(former.is_none_or(|former| former == forms));
            }
        }

        #[test]
        fn a_segment_of_a_path_is_decoded_to_what_it_was(text in any::<String>()) {
            let mut path = String::new();
            push_path_segment(&text, &mut path);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            prop_assert!(path.bytes().all(plain), "{path}");
            prop_assert_eq!(percent_decode_str(&path).decode_utf8().unwrap(), text);
        }
    }
}
