//! What goes wrong with a request, and how the jobs end.

use arango_emulator::{Edit, Fault};
use batch_core::{ErrorKind, Verb};

use crate::{
    shapes::{
        Shape::{self, Array, Multipart, MultipartOfRepeatable, Single},
        What,
    },
    world::Wire,
};

/// How the jobs of a commit end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of them.
    Applied,
    /// All of them, for this reason.
    NotApplied(ErrorKind),
    /// All of them, for this reason if there is one.
    Unknown(Option<ErrorKind>),
    /// What may be sent again is, and is applied; the rest is unknown.
    Repeated,
    /// The one in this place is unknown, the others are applied.
    UnknownAt(usize),
    /// No job contradicts what is there; more is not promised.
    True,
}
use End::{Applied, NotApplied, Repeated, True, Unknown, UnknownAt};

/// A row: a fault that happens once.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) fault: Fault,
    pub(crate) ends: Vec<(Shape, End)>,
}

fn row(name: &str, fault: Fault, end: impl Fn(Shape) -> Option<End>) -> Row {
    let ends = Shape::direct().filter_map(|shape| Some((shape, end(shape)?))).collect();
    Row { name: name.to_owned(), fault, ends }
}

fn all(name: &str, fault: Fault, end: End) -> Row {
    row(name, fault, |_| Some(end))
}

const fn is_multipart(shape: Shape) -> bool {
    matches!(shape, Multipart | MultipartOfRepeatable)
}

fn on_multipart(name: &str, edit: Edit, end: End) -> Row {
    row(name, Fault::Edit { edit }, |shape| is_multipart(shape).then_some(end))
}

fn on_arrays(name: &str, edit: Edit, end: End) -> Row {
    row(name, Fault::Edit { edit }, |shape| matches!(shape, Array(_)).then_some(end))
}

pub(crate) fn refuse(status: u16, number: u32) -> Fault {
    Fault::Refuse { status, number, message: String::new(), retry_after: None }
}

pub(crate) fn refuse_after(status: u16, number: u32) -> Fault {
    Fault::RefuseAfter { status, number, message: String::new() }
}

pub(crate) fn header(name: &str, value: &str) -> Edit {
    Edit::Header { name: name.to_owned(), value: Some(value.to_owned()) }
}

pub(crate) fn body(text: &str) -> Edit {
    Edit::Body { text: text.to_owned() }
}

pub(crate) fn proxy(status: u16, executed: bool) -> Fault {
    Fault::Proxy { status, executed }
}

/// Why a fault cannot happen on a wire, if it cannot.
pub(crate) fn formless(fault: &Fault, wire: Wire) -> Option<&'static str> {
    match (wire, fault) {
        (Wire::Http2, Fault::Garbage) => {
            Some("HTTP/2 has frames and no status line: a_cut_head breaks them")
        }
        (Wire::Http2, Fault::CloseBehindSilently) => {
            Some("on HTTP/2 other streams see such an end: reset_before and reset_after are that")
        }
        (Wire::Http1, Fault::ResetStream { .. } | Fault::RefuseStream) => {
            Some("HTTP/1.1 has no streams: closed_before and closed_after are that")
        }
        _ => None,
    }
}

/// The wire, and what stands between.
fn wire() -> Vec<Row> {
    vec![
        all("reset_before", Fault::ResetBefore, Repeated),
        all("reset_after", Fault::ResetAfter, Repeated),
        all("closed_before", Fault::CloseBefore, Repeated),
        all("closed_after", Fault::CloseAfter, Repeated),
        all("a_cut_head", Fault::CutHead { after: 20 }, Repeated),
        all("a_cut_body", Fault::CutBody { after: 8 }, Repeated),
        all("a_garbage_status_line", Fault::Garbage, Repeated),
        all("a_stream_reset_before", Fault::ResetStream { executed: false }, Repeated),
        all("a_stream_reset_after", Fault::ResetStream { executed: true }, Repeated),
        all("a_refused_stream", Fault::RefuseStream, Repeated),
        all("a_slow_drip", Fault::Drip, Applied),
        all("closed_behind", Fault::CloseBehind, Applied),
        all("closed_behind_silently", Fault::CloseBehindSilently, Applied),
        all("a_bad_gateway_before", proxy(502, false), Repeated),
        all("a_bad_gateway_after", proxy(502, true), Repeated),
        all("a_gateway_timeout_after", proxy(504, true), Repeated),
        all("an_unavailable_proxy", proxy(503, false), Repeated),
        all("html_with_a_success", proxy(200, true), Unknown(Some(ErrorKind::Protocol))),
        all("html_with_a_failure", proxy(500, true), Unknown(Some(ErrorKind::Protocol))),
        all("html_that_forbids", proxy(403, false), Unknown(Some(ErrorKind::Protocol))),
        all(
            "a_redirect",
            Fault::Redirect { status: 307, location: String::new() },
            Unknown(Some(ErrorKind::Protocol)),
        ),
        all(
            "a_redirect_to_see_other",
            Fault::Redirect { status: 303, location: String::new() },
            Unknown(Some(ErrorKind::Protocol)),
        ),
    ]
}

/// What the server says of a whole request.
fn refusals() -> Vec<Row> {
    let busy = |shape| Some(if is_multipart(shape) { Repeated } else { Applied });
    let told = Fault::Refuse {
        status: 503,
        number: 21003,
        message: "queue full".to_owned(),
        retry_after: Some(1),
    };
    vec![
        row("a_full_queue", refuse(503, 21003), busy),
        row("a_full_queue_that_says_when", told, |shape| {
            // Each takes a second, so not all of them.
            let some = [
                Array(What::Verb(Verb::Insert)),
                Single(What::Verb(Verb::Insert)),
                MultipartOfRepeatable,
            ];
            some.contains(&shape).then_some(Applied)
        }),
        row("a_server_that_starts", refuse(503, 503), busy),
        all("no_authorization", Fault::Unauthorized, NotApplied(ErrorKind::Unauthorized)),
        row("too_large", refuse(413, 413), |shape| {
            // What is alone cannot be cut.
            let is_alone = matches!(shape, Single(_) | Shape::Singles);
            Some(if is_alone { NotApplied(ErrorKind::TooLarge) } else { Applied })
        }),
        all("a_failure_within", refuse_after(500, 4), Unknown(Some(ErrorKind::Store))),
        all("a_failure_unheard_of", refuse_after(500, 77_777), Unknown(Some(ErrorKind::Store))),
    ]
}

/// Answers that say something else than what is.
fn lies() -> Vec<Row> {
    let edit = |edit| Fault::Edit { edit };
    let protocol = Unknown(Some(ErrorKind::Protocol));
    let is_read = |shape| matches!(shape, Array(What::Verb(Verb::Get)));
    vec![
        all("another_object", edit(body("{}")), protocol),
        all("an_empty_array", edit(body("[]")), protocol),
        all("another_document", edit(body(r#"{"_key":"x","_id":"c/x","_rev":"_1"}"#)), protocol),
        all("no_json", edit(body("\u{0}\u{1}")), protocol),
        row("no_body", edit(body("")), |shape| {
            Some(if is_multipart(shape) { True } else { protocol })
        }),
        on_arrays("a_missing_element", Edit::ElementMissing { element: 1 }, protocol),
        on_arrays("a_surplus_element", Edit::ElementMore, protocol),
        on_arrays("reversed_elements", Edit::ElementsReversed, protocol),
        row("other_error_codes", edit(header("x-arango-error-codes", r#"{"1210":1}"#)), |shape| {
            match shape {
                Array(_) if is_read(shape) => Some(Applied),
                Array(_) => Some(protocol),
                _ => None,
            }
        }),
        row("unreadable_error_codes", edit(header("x-arango-error-codes", "many")), |shape| {
            (matches!(shape, Array(_)) && !is_read(shape)).then_some(protocol)
        }),
    ]
}

/// What becomes of the parts of a multipart call.
fn parts() -> Vec<Row> {
    let protocol = Unknown(Some(ErrorKind::Protocol));
    let at_part = |part, executed| Fault::ResetAtPart { part, executed };
    let whole =
        |name: &str, fault| row(name, fault, |shape| is_multipart(shape).then_some(Repeated));
    vec![
        whole("reset_before_a_part", at_part(3, false)),
        whole("reset_behind_a_part", at_part(3, true)),
        whole("a_queue_full_at_a_part", Fault::QueueFullAtPart { part: 3 }),
        on_multipart("another_boundary", Edit::OtherBoundary, protocol),
        on_multipart("parts_reversed", Edit::PartsReversed, Applied),
        on_multipart("a_doubled_part", Edit::PartTwice { part: 1 }, UnknownAt(1)),
        on_multipart("a_missing_part", Edit::PartMissing { part: 1 }, UnknownAt(1)),
        on_multipart("a_surplus_part", Edit::PartMore, protocol),
        on_multipart("parts_without_ids", Edit::WithoutIds, Applied),
        on_multipart("a_part_without_an_id", Edit::WithoutId { part: 1 }, UnknownAt(1)),
        on_multipart("parts_without_lengths", Edit::WithoutLengths, protocol),
        on_multipart("a_length_too_large", Edit::LengthOff { part: 1, by: 7 }, UnknownAt(1)),
        on_multipart("a_length_too_small", Edit::LengthOff { part: 1, by: -7 }, UnknownAt(1)),
        on_multipart("a_bad_status_line", Edit::BadStatusLine { part: 1 }, UnknownAt(1)),
        on_multipart("a_part_that_is_no_json", Edit::BadJson { part: 1 }, UnknownAt(1)),
        on_multipart("lines_with_lf", Edit::LinesWithLf, Applied),
        on_multipart("small_headers", Edit::SmallHeaders, Applied),
        on_multipart("large_headers", Edit::LargeHeaders, Applied),
        on_multipart("blank_lines", Edit::BlankLines, Applied),
        on_multipart("headers_reversed", Edit::HeadersReversed, Applied),
        on_multipart("no_last_delimiter", Edit::WithoutEnd, True),
        on_multipart("another_count_of_failures", header("x-arango-errors", "3"), protocol),
    ]
}

pub(crate) fn table() -> Vec<Row> {
    [wire(), refusals(), lies(), parts()].concat()
}
