//! The bytes of a key: for each part a tag, its name and its string form, each behind its length. All
//! of it is text, lengths too, so that reading a key checks its encoding once.

/// The tag and the two lengths of a part, at most.
const MOST_OVERHEAD: usize = 1 + 3 + 6;

/// What a character of a length holds.
const LENGTH_BITS: u32 = 6;
/// Marks a character that is not the length's last one.
const MORE: u8 = 1 << LENGTH_BITS;

/// The most bytes that a part takes.
pub(super) fn most_bytes(name: &str, text: &str) -> usize {
    MOST_OVERHEAD + name.len() + text.len()
}

/// Appends a part.
pub(super) fn push(bytes: &mut Vec<u8>, tag: u8, name: &str, text: &str) {
    bytes.push(tag);
    for text in [name, text] {
        push_length(bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
}

/// Whether the first part has no name. Reads no text.
pub(super) fn begins_unnamed(bytes: &[u8]) -> bool {
    // Its length stands behind the tag.
    bytes.get(1) == Some(&0)
}

/// Tag, name and string form of each part.
pub(super) fn parts(bytes: &[u8]) -> impl Iterator<Item = (u8, &str, &str)> {
    let mut rest = std::str::from_utf8(bytes).unwrap_or_default();
    std::iter::from_fn(move || {
        let tag = *rest.as_bytes().first()?;
        let (name, after) = split(rest.get(1..)?)?;
        let (text, after) = split(after)?;
        rest = after;
        Some((tag, name, text))
    })
}

/// The text that stands behind its length, and what follows it.
#[inline]
fn split(rest: &str) -> Option<(&str, &str)> {
    let (length, start) = read_length(rest.as_bytes())?;
    rest.get(start..)?.split_at_checked(length)
}

/// Appends a length, the lowest bits first.
fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = length.to_le_bytes()[0] % MORE;
        length >>= LENGTH_BITS;
        if length == 0 {
            return bytes.push(low);
        }
        bytes.push(low | MORE);
    }
}

/// The length that bytes begin with, and how many bytes it takes.
#[inline]
fn read_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut length, mut shift) = (0_usize, 0);
    for (at, byte) in bytes.iter().enumerate() {
        length |= usize::from(byte % MORE).checked_shl(shift)?;
        if *byte < MORE {
            return Some((length, at + 1));
        }
        shift += LENGTH_BITS;
    }
    None
}
