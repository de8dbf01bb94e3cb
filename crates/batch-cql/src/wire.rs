//! How values are laid out in bytes: numbers of variable length, and values behind their length.

/// Values behind one another, each behind its length; null where that is negative.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.0 = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(value))
    }
}

/// The elements of a list or set, or keys and values of a map in turn: what stands behind their number.
pub(crate) fn elements(collection: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields(collection.get(4..).unwrap_or_default()).flatten()
}

/// The elements of a vector: each of the size that its type has in vectors, or behind its length.
pub(crate) struct VectorElements<'a> {
    pub(crate) size: Option<usize>,
    pub(crate) rest: &'a [u8],
}

impl<'a> Iterator for VectorElements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = match self.size {
            Some(0) => return None,
            Some(size) => size,
            None => usize::try_from(take_unsigned(&mut self.rest)?).ok()?,
        };
        let (element, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(element)
    }
}

/// Appends a number whose first byte begins with as many ones as bytes follow.
pub(crate) fn write_unsigned(number: u64, out: &mut Vec<u8>) {
    let bits = u64::BITS - (number | 1).leading_zeros();
    // Each further byte gives seven bits, until the ninth, which gives eight.
    let further = ((bits - 1) / 7).clamp(0, 8) as usize;
    let bytes = number.to_be_bytes();
    if further == 8 {
        out.push(0xff);
        out.extend_from_slice(&bytes);
        return;
    }
    let start = out.len();
    out.extend_from_slice(bytes.get(bytes.len() - 1 - further..).unwrap_or_default());
    if let Some(first) = out.get_mut(start) {
        *first |= !(0xff_u8 >> further);
    }
}

/// Takes a number off the bytes, as [`write_unsigned`] wrote it.
pub(crate) fn take_unsigned(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    let (more, rest) = rest.split_at_checked(first.leading_ones() as usize)?;
    *bytes = rest;
    let start = u64::from(first & 0xff_u8.checked_shr(first.leading_ones()).unwrap_or_default());
    Some(more.iter().fold(start, |number, byte| number << 8 | u64::from(*byte)))
}

/// Appends a number of either sign so that small ones stay short.
pub(crate) fn write_signed(number: i64, out: &mut Vec<u8>) {
    write_unsigned(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

/// Takes a number off the bytes, as [`write_signed`] wrote it.
pub(crate) fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let number = take_unsigned(bytes)?;
    Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_of_variable_length_says_its_length_in_its_first_byte() {
        for (number, expected) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 0x80]),
            (16_383, vec![0xbf, 0xff]),
            (16_384, vec![0xc0, 0x40, 0x00]),
            ((1 << 49) - 1, vec![0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ((1 << 56) - 1, vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (1 << 56, vec![0xff, 1, 0, 0, 0, 0, 0, 0, 0]),
            (u64::MAX, vec![0xff; 9]),
        ] {
            let mut out = Vec::new();
            write_unsigned(number, &mut out);
            assert_eq!(out, expected, "{number}");
        }
    }

    proptest! {
        #[test]
        fn numbers_of_variable_length_can_be_read_back(number: i64, shift in 0..64_u32, rest: Vec<u8>) {
            let number = number >> shift;
            let mut out = Vec::new();
            write_signed(number, &mut out);
            out.extend_from_slice(&rest);
            let mut bytes = &out[..];
            prop_assert_eq!(take_signed(&mut bytes), Some(number));
            prop_assert_eq!(bytes, &rest[..]);
        }

        #[test]
        fn bytes_that_are_cut_off_end_what_is_read(bytes: Vec<u8>) {
            let _ = Fields(&bytes).count() + elements(&bytes).count();
            let _ = VectorElements { size: None, rest: &bytes }.count();
            let _ = VectorElements { size: Some(0), rest: &bytes }.count();
            let _ = take_signed(&mut &bytes[..]);
        }
    }
}
