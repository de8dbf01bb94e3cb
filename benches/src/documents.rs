//! The documents that are queued: small ones, so that what the library adds is seen.

use batch_core::Operation;
use serde::Serialize;

/// Where all operations go.
pub const COLLECTION: &str = "students";

/// A document of 35 bytes as JSON, with the key beside it.
#[derive(Clone, Debug, Serialize)]
pub struct Student {
    /// The key; no attribute of the document.
    #[serde(skip)]
    pub id: String,
    /// 15 characters.
    pub name: String,
    /// Two digits.
    pub age: u8,
}

impl Student {
    /// The operation that writes the document.
    #[must_use]
    pub fn put(&self) -> Operation {
        Operation::put(COLLECTION).at(&self.id).doc(self)
    }
}

/// Which keys the documents have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// No key twice.
    Distinct,
    /// Every tenth document has the key of one that came long before.
    TenthRepeats,
    /// All have the same.
    OneHot,
}

/// As many documents as asked for, the same in every run.
#[must_use]
pub fn students(count: u32, keys: Keys) -> Vec<Student> {
    (0..count)
        .map(|place| {
            let key = match keys {
                Keys::Distinct => place,
                Keys::TenthRepeats if place % 10 == 9 => place / 20 * 10,
                Keys::TenthRepeats => place,
                Keys::OneHot => 0,
            };
            Student {
                id: format!("{key:08}"),
                name: format!("Abigail{place:08}"),
                age: u8::try_from(18 + place % 80).unwrap_or(u8::MAX),
            }
        })
        .collect()
}

/// The bytes of all keys and documents as text: what a batch must hold at least.
#[must_use]
pub fn text_bytes(students: &[Student]) -> usize {
    let document = |student: &Student| serde_json::to_string(student).map_or(0, |text| text.len());
    students.iter().map(|student| student.id.len() + document(student)).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn distinct(students: &[Student]) -> usize {
        let ids: HashSet<_> = students.iter().map(|student| &student.id).collect();
        ids.len()
    }

    #[test]
    fn a_document_has_35_bytes_and_a_key_8() {
        let students = students(100, Keys::Distinct);
        assert_eq!(text_bytes(&students), 100 * (35 + 8));
    }

    #[test]
    fn keys_repeat_as_often_as_their_name_says() {
        assert_eq!(distinct(&students(1000, Keys::Distinct)), 1000);
        assert_eq!(distinct(&students(1000, Keys::TenthRepeats)), 900);
        assert_eq!(distinct(&students(1000, Keys::OneHot)), 1);
    }
}
