//! Reads the answer of a multipart call, on its bytes.
//!
//! A part ends where its `Content-Length` says, and a delimiter must follow there. So a document
//! may hold the text of a delimiter. Where the length does not fit, that part alone is lost: what
//! the server sends is JSON, which has no line feed within a string, so that a line that begins
//! with the delimiter is one, and reading goes on from there.

use batch_core::{Error, ErrorKind};
use bytes::Bytes;
use httparse::{EMPTY_HEADER, Header, Status};
use memchr::{memchr, memmem};

/// The most headers of a part's request or answer; servers send some seven.
const MOST_HEADERS: usize = 32;
/// The most headers before it; servers send two.
const MOST_PART_HEADERS: usize = 8;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) status: u16,
    /// A slice of the one buffer. Empty if there is none, as after `HEAD`: whoever asked for a
    /// body must not take that for one.
    pub(crate) body: Bytes,
    /// The revision, in the quotes in which it came.
    pub(crate) etag: Option<Bytes>,
    /// How often each error occurs among the elements, if the request was an array.
    pub(crate) error_codes: Option<Bytes>,
}

/// Reads an answer to `parts` requests, and hands over each part that can be placed: by its
/// `Content-Id`, or by its order if no part has one and there are as many as there should be.
/// A part that is surplus is handed over too, with the place that it names, or with `usize::MAX`.
///
/// # Errors
/// Why not every request has an answer that can be read: for those that `visit` was not called for.
pub(crate) fn read(
    body: &Bytes,
    boundary: &str,
    parts: usize,
    visit: &mut dyn FnMut(usize, Result<Part, Error>),
) -> Result<(), Error> {
    let delimiter = format!("\n--{boundary}");
    let blank = body.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = memchr(b'\n', body.get(blank..).unwrap_or_default());
    let is_crlf = line.and_then(|end| body.get((blank + end).checked_sub(1)?)) == Some(&b'\r');
    let line_end: &[u8] = if is_crlf { b"\r\n" } else { b"\n" };
    let delimiter = memmem::Finder::new(&delimiter);
    let frames = Frames { body, bytes: body, delimiter, line_end };
    let mut placing = Placing { parts, seen: 0, unplaced: 0, held: Vec::new(), visit };
    let mut next = frames.delimiter_at(blank);
    if next.is_none() && !frames.is_cut_in_delimiter(blank) {
        return Err(unreadable("it does not begin with the boundary that was sent"));
    }
    loop {
        let start = match next {
            Some(Delimiter::Part(start)) => start,
            Some(Delimiter::Close) => return placing.close(),
            None => return Err(cut(placing.seen, parts)),
        };
        let part = frames.part(start);
        placing.place(part.id, part.what);
        next = match part.end {
            End::Delimiter(next) => Some(next),
            End::Lost(from) => frames.delimiter_after(from),
            End::Cut => None,
        };
    }
}

fn unreadable(why: &str) -> Error {
    let message = format!(
        "the server's answer to the multipart call cannot be read: {why}; read the documents to know whether they were written"
    );
    Error::new(ErrorKind::Protocol, message).unknown()
}

fn breaks_off() -> Result<Part, Error> {
    Err(unreadable("a part breaks off").transient())
}

fn cut(seen: usize, parts: usize) -> Error {
    unreadable(&format!("it breaks off at part {seen} of {parts}")).transient()
}

/// Decides whose answers the parts are.
struct Placing<'a> {
    parts: usize,
    /// The parts that there were so far.
    seen: usize,
    /// Those that named no place.
    unplaced: usize,
    /// They themselves, while there are no others.
    held: Vec<Result<Part, Error>>,
    visit: &'a mut dyn FnMut(usize, Result<Part, Error>),
}

/// What a part says of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    None,
    Place(usize),
    /// Not one that was sent.
    Foreign,
}

impl Placing<'_> {
    fn place(&mut self, id: Id, what: Result<Part, Error>) {
        self.seen += 1;
        match id {
            Id::None => {
                self.unplaced += 1;
                if self.unplaced == self.seen && self.seen <= self.parts {
                    self.held.push(what);
                    return;
                }
            }
            Id::Place(place) => (self.visit)(place, what),
            Id::Foreign => (self.visit)(usize::MAX, what),
        }
        // Order proves nothing any more.
        self.held = Vec::new();
    }

    fn close(self) -> Result<(), Error> {
        let Self { parts, seen, unplaced, held, visit } = self;
        if unplaced > 0 {
            // One that is unreadable may have swallowed another.
            if held.len() != parts || held.iter().any(Result::is_err) {
                let why = format!("{unplaced} of its {seen} parts do not say whose they are");
                return Err(unreadable(&why));
            }
            held.into_iter().enumerate().for_each(|(place, what)| visit(place, what));
        }
        if seen < parts {
            return Err(unreadable(&format!("it has {seen} parts for {parts} requests")));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    /// A part begins there.
    Part(usize),
    Close,
}

/// How a part ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Delimiter(Delimiter),
    /// It does not end where it should; the next delimiter is to be looked for from there.
    Lost(usize),
    /// With the answer.
    Cut,
}

struct Found {
    id: Id,
    what: Result<Part, Error>,
    end: End,
}

/// What the head of an answer says, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
struct Head<'a> {
    length: Option<&'a [u8]>,
    /// Lengths that contradict each other are none.
    has_two_lengths: bool,
    etag: Option<&'a [u8]>,
    error_codes: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    fn of(headers: &[Header<'a>]) -> Self {
        let mut head = Self::default();
        for Header { name, value } in headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                4 if is("etag") => head.etag = Some(value.trim_ascii()),
                14 if is("content-length") => {
                    let value = value.trim_ascii();
                    head.has_two_lengths |= head.length.is_some_and(|other| other != value);
                    head.length = Some(value);
                }
                20 if is("x-arango-error-codes") => head.error_codes = Some(value.trim_ascii()),
                _ => {}
            }
        }
        head
    }
}

struct Frames<'a> {
    body: &'a Bytes,
    bytes: &'a [u8],
    /// With the line feed before it.
    delimiter: memmem::Finder<'a>,
    /// What ends the first line, and so must end a body: half of it would hide a missing byte.
    line_end: &'static [u8],
}

impl<'a> Frames<'a> {
    fn from(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// The delimiter without the line feed.
    fn marker(&self) -> &[u8] {
        self.delimiter.needle().get(1..).unwrap_or_default()
    }

    fn delimiter_at(&self, at: usize) -> Option<Delimiter> {
        let after = self.from(at).strip_prefix(self.marker())?;
        if after.starts_with(b"--") {
            return Some(Delimiter::Close);
        }
        let spaces = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let start = at + self.marker().len() + spaces;
        self.after_line_end(start).map(Delimiter::Part)
    }

    fn delimiter_after(&self, mut from: usize) -> Option<Delimiter> {
        loop {
            from += self.delimiter.find(self.from(from))? + 1;
            if let Some(delimiter) = self.delimiter_at(from) {
                return Some(delimiter);
            }
        }
    }

    fn after_line_end(&self, at: usize) -> Option<usize> {
        self.from(at).starts_with(self.line_end).then_some(at + self.line_end.len())
    }

    /// Whether a delimiter stands within a body. Where no delimiter follows to prove the length, it is
    /// taken for the one that should have: bytes were lost before it.
    fn has_delimiter(&self, start: usize, end: usize) -> bool {
        // The line feed before it may be that of the head.
        let body = self.bytes.get(start.saturating_sub(1)..end);
        body.is_some_and(|body| self.delimiter.find(body).is_some())
    }

    /// The delimiter that follows the end of a body: behind a line end, or behind several.
    fn delimiter_behind_lines(&self, at: usize) -> Option<Delimiter> {
        let mut at = self.after_line_end(at)?;
        loop {
            if let Some(delimiter) = self.delimiter_at(at) {
                return Some(delimiter);
            }
            at = self.after_line_end(at)?;
        }
    }

    /// Whether the answer breaks off within the delimiter that should be there.
    fn is_cut_in_delimiter(&self, at: usize) -> bool {
        let (rest, marker) = (self.from(at), self.marker());
        match rest.strip_prefix(marker) {
            Some(rest) => matches!(rest, b"" | b"-" | b"\r"),
            None => marker.starts_with(rest),
        }
    }

    /// Reads the part that begins behind a delimiter's line.
    fn part(&self, start: usize) -> Found {
        let mut headers = [EMPTY_HEADER; MOST_PART_HEADERS];
        let (id, start) = match httparse::parse_headers(self.from(start), &mut headers) {
            Ok(Status::Complete((length, headers))) => (id(headers), start + length),
            Ok(Status::Partial) => {
                let what = Err(unreadable("a part breaks off"));
                return Found { id: Id::None, what, end: End::Cut };
            }
            Err(error) => {
                let what = Err(unreadable(&format!("a part begins with no headers ({error})")));
                return Found { id: Id::None, what, end: End::Lost(start.saturating_sub(1)) };
            }
        };
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(self.from(start)) {
            Ok(Status::Complete(length)) => {
                let (head, status) = (Head::of(response.headers), response.code);
                self.framed(id, start + length, head, |framed| match status {
                    Some(status @ 100..) => Ok(framed.into_part(self.body, status)),
                    _ => Err(unreadable("a part has no status")),
                })
            }
            Ok(Status::Partial) => Found { id, what: breaks_off(), end: End::Cut },
            Err(error) => self.without_status(id, start, error),
        }
    }

    /// A part whose status cannot be read. If its headers can, it is known where it ends.
    fn without_status(&self, id: Id, start: usize, error: httparse::Error) -> Found {
        let what = || Err(unreadable(&format!("a part begins with no status line ({error})")));
        let line = self.from(start);
        let blank = line.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let line = line.get(blank..).unwrap_or_default();
        let after = memchr(b'\n', line).map(|end| start + blank + end + 1);
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let parsed =
            after.map(|after| (after, httparse::parse_headers(self.from(after), &mut headers)));
        match parsed {
            Some((after, Ok(Status::Complete((length, headers))))) => {
                self.framed(id, after + length, Head::of(headers), |_| what())
            }
            _ => Found { id, what: what(), end: End::Lost(start.saturating_sub(1)) },
        }
    }

    /// Cuts out the body, which must end where the length says.
    fn framed(
        &self,
        id: Id,
        start: usize,
        head: Head<'_>,
        what: impl FnOnce(Framed<'_>) -> Result<Part, Error>,
    ) -> Found {
        let next = |at| self.delimiter_behind_lines(at);
        let lost = |why: &str| {
            let end = End::Lost(start.saturating_sub(1));
            Found { id, what: Err(unreadable(why)), end }
        };
        // After HEAD there are no bytes, whatever the length; JSON begins with no line end.
        if let Some(next) = next(start) {
            let what = what(Framed { start, end: start, head });
            return Found { id, what, end: End::Delimiter(next) };
        }
        let length = match head.length {
            Some(_) if head.has_two_lengths => return lost("a part has two lengths"),
            Some(length) => length,
            None => return lost("a part has no length"),
        };
        let Some(end) = number(length).and_then(|length| start.checked_add(length)) else {
            return lost("the length of a part is no number");
        };
        let framed = Framed { start, end, head };
        if let Some(next) = next(end) {
            return Found { id, what: what(framed), end: End::Delimiter(next) };
        }
        let is_cut = self.after_line_end(end).is_some_and(|at| self.is_cut_in_delimiter(at));
        if is_cut && !self.has_delimiter(start, end) {
            return Found { id, what: what(framed), end: End::Cut };
        }
        let rest = start.saturating_sub(1);
        if self.line_end.starts_with(self.from(end)) && self.delimiter_after(rest).is_none() {
            return Found { id, what: breaks_off(), end: End::Cut };
        }
        lost("a part does not end where its length says")
    }
}

/// Where a part's body is.
struct Framed<'a> {
    start: usize,
    end: usize,
    head: Head<'a>,
}

impl Framed<'_> {
    fn into_part(self, body: &Bytes, status: u16) -> Part {
        let slice = |value: &[u8]| body.slice_ref(value);
        Part {
            status,
            body: body.slice(self.start..self.end),
            etag: self.head.etag.map(slice),
            error_codes: self.head.error_codes.map(slice),
        }
    }
}

fn id(headers: &[Header<'_>]) -> Id {
    let mut id = Id::None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-id") {
            let this = match header.value.trim_ascii() {
                b"" => Id::None,
                value => number(value).map_or(Id::Foreign, Id::Place),
            };
            id = if id == Id::None || id == this { this } else { Id::Foreign };
        }
    }
    id
}

/// A number as servers and the writer write it: without a sign, and without zeros before it.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    digits.iter().try_fold(0_usize, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
