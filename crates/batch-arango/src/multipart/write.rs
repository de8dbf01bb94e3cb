//! Writes the body of a multipart call into one buffer.

use bytes::Bytes;
use memchr::memmem;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// The characters of a boundary.
const BOUNDARY: usize = 32;
const DASHES: &[u8] = b"--";
const CRLF: &[u8] = b"\r\n";
const PART_TYPE: &[u8] = b"\r\nContent-Type: application/x-arango-batchpart\r\nContent-Id: ";
const BEFORE_REQUEST: &[u8] = b"\r\n\r\n";
const VERSION: &[u8] = b" HTTP/1.1\r\n";
const IF_MATCH: &[u8] = b"If-Match: ";
/// The digits of the largest place.
const LONGEST_PLACE: usize = 20;

/// The most that a part adds to the bytes of its method, path, revision and body.
pub(crate) const PART_OVERHEAD: usize = DASHES.len()
    + BOUNDARY
    + PART_TYPE.len()
    + LONGEST_PLACE
    + BEFORE_REQUEST.len()
    + 1 // between method and path
    + VERSION.len()
    + IF_MATCH.len()
    + 2 // the revision's quotes
    + 3 * CRLF.len(); // behind the revision, the head and the body

/// What the closing delimiter adds to the bytes of the parts.
pub(crate) const ENVELOPE_OVERHEAD: usize = 2 * DASHES.len() + BOUNDARY + CRLF.len();

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartHead<'a> {
    /// In capitals.
    pub(crate) method: &'a str,
    /// With the query; starts with `/` and names no database, which is the envelope's.
    pub(crate) path: &'a str,
    /// The revision that the document must have, with or without the quotes of an `Etag`.
    pub(crate) if_match: Option<&'a str>,
}

/// The body of a multipart call, as far as it is written.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    /// The delimiter and the lines behind it, which all parts begin with.
    prefix: Vec<u8>,
    /// Where each delimiter is.
    delimiters: Vec<usize>,
}

/// A body that can be sent, as `multipart/form-data; boundary=…`.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) body: Bytes,
    pub(crate) boundary: Box<str>,
}

impl Writer {
    /// Begins a body, with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self::with_boundary(bytes, random_boundary())
    }

    fn with_boundary(bytes: usize, boundary: [u8; BOUNDARY]) -> Self {
        let prefix = [DASHES, boundary.as_slice(), PART_TYPE].concat();
        Self { out: Vec::with_capacity(bytes), prefix, delimiters: Vec::new() }
    }

    /// Adds the request of the operation at `place`. What no URL and no revision can have is
    /// written so that it cannot end the line: the server refuses it as it would have.
    ///
    /// The body is JSON, so it needs no `Content-Type`; one that is empty is no body.
    pub(crate) fn part(
        &mut self,
        place: usize,
        head: &PartHead<'_>,
        write_body: impl FnOnce(&mut Vec<u8>),
    ) {
        let out = &mut self.out;
        self.delimiters.push(out.len());
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(itoa::Buffer::new().format(place).as_bytes());
        out.extend_from_slice(BEFORE_REQUEST);
        out.extend_from_slice(head.method.as_bytes());
        out.push(b' ');
        push_path(head.path, out);
        out.extend_from_slice(VERSION);
        if let Some(revision) = head.if_match {
            push_revision(revision, out);
        }
        out.extend_from_slice(CRLF);
        write_body(out);
        // The server counts it to the part's body, where JSON may have it.
        out.extend_from_slice(CRLF);
    }

    /// Closes the body. The server takes the delimiter for one wherever it stands, in the middle
    /// of a string too: a boundary that occurs in what is sent is replaced by another.
    pub(crate) fn finish(mut self) -> Written {
        self.delimiters.push(self.out.len());
        self.out.extend_from_slice(self.prefix.get(..DELIMITER).unwrap_or_default());
        self.out.extend_from_slice(DASHES);
        self.out.extend_from_slice(CRLF);
        let mut delimiter = self.prefix;
        delimiter.truncate(DELIMITER);
        while memmem::find_iter(&self.out, &delimiter).count() != self.delimiters.len() {
            delimiter.truncate(DASHES.len());
            delimiter.extend_from_slice(&random_boundary());
            for at in &self.delimiters {
                if let Some(old) = self.out.get_mut(*at..*at + DELIMITER) {
                    old.copy_from_slice(&delimiter);
                }
            }
        }
        let boundary = delimiter.split_off(DASHES.len());
        // It is made of hexadecimal digits.
        let boundary = String::from_utf8_lossy(&boundary).into_owned().into_boxed_str();
        Written { body: self.out.into(), boundary }
    }
}

const DELIMITER: usize = DASHES.len() + BOUNDARY;

fn random_boundary() -> [u8; BOUNDARY] {
    std::array::from_fn(|_| b"0123456789abcdef"[fastrand::usize(..16)])
}

/// What cannot stand in a request line; `%` is taken as it is, for the path is encoded already.
const NOT_IN_PATH: &AsciiSet = &CONTROLS.add(b' ');

fn push_path(path: &str, out: &mut Vec<u8>) {
    if path.bytes().all(|byte| byte.is_ascii_graphic()) {
        out.extend_from_slice(path.as_bytes());
    } else {
        for text in percent_encode(path.as_bytes(), NOT_IN_PATH) {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// No revision has a space, a control character or anything beyond ASCII, so that whatever stands
/// for one is no revision either, and the condition is false.
fn push_revision(revision: &str, out: &mut Vec<u8>) {
    let quote: &[u8] = if revision.starts_with('"') { b"" } else { b"\"" };
    out.extend_from_slice(IF_MATCH);
    out.extend_from_slice(quote);
    if revision.bytes().all(|byte| byte.is_ascii_graphic()) {
        out.extend_from_slice(revision.as_bytes());
    } else {
        let visible = |byte: u8| if byte.is_ascii_graphic() { byte } else { b'?' };
        out.extend(revision.bytes().map(visible));
    }
    out.extend_from_slice(quote);
    out.extend_from_slice(CRLF);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: PartHead<'_> =
        PartHead { method: "POST", path: "/_api/document/c", if_match: None };

    fn delimiters(written: &Written) -> usize {
        let delimiter = format!("--{}", written.boundary);
        memmem::find_iter(&written.body, &delimiter).count()
    }

    #[test]
    fn parts_are_written_as_both_generations_of_the_parser_take_them() {
        let boundary = *b"0123456789abcdef0123456789abcdef";
        let mut writer = Writer::with_boundary(0, boundary);
        writer.part(0, &PLAIN, |body| body.extend_from_slice(br#"{"_key":"a"}"#));
        let head =
            PartHead { method: "DELETE", path: "/_api/document/c/a", if_match: Some("_l6-") };
        writer.part(10, &head, |_| ());
        let written = writer.finish();
        let text = concat!(
            "--0123456789abcdef0123456789abcdef\r\n",
            "Content-Type: application/x-arango-batchpart\r\n",
            "Content-Id: 0\r\n",
            "\r\n",
            "POST /_api/document/c HTTP/1.1\r\n",
            "\r\n",
            "{\"_key\":\"a\"}\r\n",
            "--0123456789abcdef0123456789abcdef\r\n",
            "Content-Type: application/x-arango-batchpart\r\n",
            "Content-Id: 10\r\n",
            "\r\n",
            "DELETE /_api/document/c/a HTTP/1.1\r\n",
            "If-Match: \"_l6-\"\r\n",
            "\r\n",
            "\r\n",
            "--0123456789abcdef0123456789abcdef--\r\n",
        );
        assert_eq!(std::str::from_utf8(&written.body).unwrap(), text);
        assert_eq!(written.boundary.as_bytes(), boundary);
    }

    #[test]
    fn a_boundary_that_occurs_in_what_is_sent_is_replaced_by_one_that_does_not() {
        let boundary = *b"0123456789abcdef0123456789abcdef";
        for text in [
            r#"{"a":"--0123456789abcdef0123456789abcdef"}"#,
            r#"{"a":"----0123456789abcdef0123456789abcdefmore"}"#,
        ] {
            let mut writer = Writer::with_boundary(0, boundary);
            writer.part(0, &PLAIN, |body| body.extend_from_slice(text.as_bytes()));
            writer.part(1, &PLAIN, |body| body.extend_from_slice(b"{}"));
            let written = writer.finish();
            assert_ne!(written.boundary.as_bytes(), boundary);
            assert_eq!(delimiters(&written), 3);
            assert!(written.body.starts_with(format!("--{}\r\n", written.boundary).as_bytes()));
            assert_eq!(memmem::find_iter(&written.body, text).count(), 1, "the body is untouched");
        }
    }

    #[test]
    fn boundaries_are_thirty_two_hexadecimal_digits_and_never_the_same() {
        let boundary = || Writer::with_capacity(0).finish().boundary;
        let (one, other) = (boundary(), boundary());
        assert_eq!(one.len(), BOUNDARY);
        assert!(one.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn nothing_in_a_path_or_a_revision_can_end_its_line() {
        let head = PartHead {
            method: "GET",
            path: "/a b\r\nX-Y: z/\u{e4}%2F",
            if_match: Some("_l6\r\nx-arango-trx-id: 1"),
        };
        let mut writer = Writer::with_capacity(0);
        writer.part(0, &head, |_| ());
        let body = writer.finish().body;
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.contains("GET /a%20b%0D%0AX-Y:%20z/%C3%A4%2F HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("If-Match: \"_l6??x-arango-trx-id:?1\"\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_revision_in_quotes_gets_no_second_ones() {
        let mut writer = Writer::with_capacity(0);
        writer.part(0, &PartHead { if_match: Some("\"_l6-\""), ..PLAIN }, |_| ());
        let body = writer.finish().body;
        assert!(memmem::find(&body, b"If-Match: \"_l6-\"\r\n").is_some());
    }

    #[test]
    fn no_part_takes_more_than_its_overhead_says() {
        let head = PartHead { if_match: Some("_l6zhVHK---"), ..PLAIN };
        let mut writer = Writer::with_capacity(0);
        writer.part(usize::MAX, &head, |body| body.extend_from_slice(b"{}"));
        let own = head.method.len() + head.path.len() + "_l6zhVHK---{}".len();
        let most = own + PART_OVERHEAD + ENVELOPE_OVERHEAD;
        assert_eq!(writer.finish().body.len(), most);
    }
}
