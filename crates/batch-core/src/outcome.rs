//! What came back for one operation.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Error, ErrorKind, Result};

/// Which part of an answer is the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentAt {
    /// There is none: a write that did not ask for it.
    Nowhere,
    /// The whole answer: a read, or what a native statement gave back.
    Whole,
    /// The attribute `new`.
    New,
    /// The attribute `old`.
    Old,
}

/// What the store answered for one operation: JSON text, or nothing.
///
/// A slice of the answer's buffer, cheap to clone; it can be read many times.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    body: Bytes,
    document: DocumentAt,
}

impl Outcome {
    pub(crate) fn new(body: Bytes, document: DocumentAt) -> Self {
        Self { body, document }
    }

    /// The outcome of a read outside any batch, from the document's JSON text.
    #[must_use]
    pub fn of_document(json: Bytes) -> Self {
        Self { body: json, document: DocumentAt::Whole }
    }

    /// The answer as the store gave it: JSON text, empty if the store said nothing but "applied".
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.body
    }

    /// The document as `T`: of a read, or of a write with [`returning`](crate::Operation::returning);
    /// the result of a native statement that has one, such as the rows of a query.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] if there is no document, or if it does not have the shape of `T`. The
    /// operation is applied all the same, and the answer stays readable by [`json`](Self::json).
    pub fn decode<'de, T: Deserialize<'de>>(&'de self) -> Result<T> {
        #[derive(Deserialize)]
        struct States<'a> {
            #[serde(borrow)]
            new: Option<&'a RawValue>,
            #[serde(borrow)]
            old: Option<&'a RawValue>,
        }
        let states = || serde_json::from_slice::<States<'_>>(&self.body).map_err(decode_error);
        let document = match self.document {
            DocumentAt::Whole => Some(&self.body[..]).filter(|text| !text.is_empty()),
            DocumentAt::New => states()?.new.map(|text| text.get().as_bytes()),
            DocumentAt::Old => states()?.old.map(|text| text.get().as_bytes()),
            DocumentAt::Nowhere => None,
        };
        match document {
            Some(text) => serde_json::from_slice(text).map_err(decode_error),
            None => Err(Error::new(
                ErrorKind::Decode,
                "the answer holds no document; queue a `get`, a write with `.returning(…)`, or a query that returns something",
            )
            // The operation is applied: nothing that may be sent again.
            .unknown()),
        }
    }
}

fn decode_error(error: serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Decode,
        format!(
            "the operation is applied, but its document does not have the shape asked for: {error}"
        ),
    )
    .with_source(error)
    .unknown()
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outcome").field(&String::from_utf8_lossy(&self.body)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_decoded_as_the_very_number_that_was_written() {
        for number in [0.471_497_915_608_349_65, 123_456_789.123_456_79, 5e-324, -f64::MAX] {
            let outcome = Outcome::of_document(serde_json::to_vec(&number).unwrap().into());
            assert_eq!(outcome.decode::<f64>().unwrap().to_bits(), number.to_bits());
            let value = outcome.decode::<serde_json::Value>().unwrap();
            assert_eq!(value.as_f64().map(f64::to_bits), Some(number.to_bits()));
        }
    }

    #[test]
    fn what_is_not_there_cannot_be_decoded_and_what_is_can() {
        let outcome = |body: &'static str, document| Outcome::new(body.into(), document);
        assert_eq!(outcome("[1,2]", DocumentAt::Whole).decode::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(outcome(r#"{"new":3}"#, DocumentAt::New).decode::<u8>().unwrap(), 3);
        for nothing in [
            outcome("", DocumentAt::Whole),
            outcome(r#"{"new":3}"#, DocumentAt::Nowhere),
            outcome(r#"{"new":3}"#, DocumentAt::Old),
        ] {
            let error = nothing.decode::<u8>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode);
            assert!(error.message().contains("no document"), "{error}");
        }
    }
}
