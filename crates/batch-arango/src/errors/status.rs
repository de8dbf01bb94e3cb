//! The table by HTTP status: for what has no number, and for the multipart call, where the same
//! number proves less.

use batch_core::ErrorKind as Kind;

use super::{Answered, Says, Scope, ServerError, Verdict, number};

/// An answer that should have been good, and could not be read; or a redirect, which is never
/// followed: the request may have been carried out before it, and is not sent to a stranger.
pub(super) fn not_an_error(answered: &Answered<'_>) -> Verdict {
    let what = if answered.status < 300 {
        "the server's answer cannot be read"
    } else {
        "redirect refused: the URL of the server itself is needed"
    };
    Verdict::new(Kind::Protocol, Says::Unknown, what)
}

/// An error of ArangoDB's whose number is not in the table: younger than this code, or rare. By
/// its status the server refused the request, or failed.
pub(super) fn of_unlisted(status: u16) -> Option<Verdict> {
    if let Some(verdict) = before_reading(status) {
        return Some(verdict);
    }
    let kind = match status {
        400 => Kind::InvalidOperation,
        403 => Kind::Unauthorized,
        404 => Kind::NotFound,
        405 => Kind::Unsupported,
        409 => Kind::Conflict,
        412 => Kind::ConditionFailed,
        _ => return Some(Verdict::new(Kind::Store, Says::Unknown, "the server failed")),
    };
    Some(Verdict::refused(kind, "the server refuses this", ""))
}

/// What a status alone says.
pub(super) fn of_status(answered: &Answered<'_>, native: &ServerError) -> Verdict {
    let status = answered.status;
    if let Some(verdict) = before_reading(status) {
        return verdict;
    }
    // Answers to HEAD, and some of old servers, have no body.
    let is_empty = native.number.is_none() && answered.body.trim_ascii().is_empty();
    match status {
        412 if is_empty && answered.has_revision => Verdict::refused(
            Kind::ConditionFailed,
            "the document does not have this revision any more",
            "read it again",
        ),
        403..=405 if is_empty => {
            let (kind, what) = match status {
                403 => (Kind::Unauthorized, "the user may not do this"),
                404 => (Kind::NotFound, "nothing is there"),
                _ => (Kind::Unsupported, "the server does not take this method here"),
            };
            Verdict::refused(kind, what, "")
        }
        408 | 504 => unknown_later(Kind::Timeout, "no answer came in time from the server"),
        502 => unknown_later(Kind::Connection, "the server could not be reached, or broke off"),
        429 | 503 => {
            unknown_later(Kind::Overloaded, "the server takes no more requests at present")
        }
        _ => Verdict::new(Kind::Protocol, Says::Unknown, stranger(answered)),
    }
}

/// What is decided before a request is read, by the server and by what may stand before it.
fn before_reading(status: u16) -> Option<Verdict> {
    Some(match status {
        401 => Verdict::refused(
            Kind::Unauthorized,
            "the server does not accept the credentials",
            "look whether user, password or token are right, and the token not too old",
        ),
        407 => Verdict::refused(Kind::Unauthorized, "a proxy asks for credentials", ""),
        413 => Verdict::refused(
            Kind::TooLarge,
            "the request is larger than the server takes",
            "send less at once",
        ),
        414 | 431 => Verdict::refused(
            Kind::InvalidOperation,
            "the URL or the headers are longer than the server takes",
            "shorten the key or the revision",
        ),
        _ => return None,
    })
}

fn unknown_later(kind: Kind, what: &'static str) -> Verdict {
    Verdict::new(kind, Says::UnknownLater, what)
}

fn stranger(answered: &Answered<'_>) -> String {
    match answered.content_type {
        Some(kind) if !kind.is_empty() => {
            let kind = super::line(kind);
            format!("the answer is not one of ArangoDB's: it is of type `{kind}`")
        }
        _ => "the answer is not one of ArangoDB's".to_owned(),
    }
}

/// The multipart call runs its parts one by one, and whatever goes wrong with one takes the answers
/// of those before it. Only what is decided before the first part proves that none was run.
pub(super) fn of_envelope(answered: &Answered<'_>, native: &ServerError) -> Verdict {
    debug_assert_eq!(answered.scope, Scope::Envelope);
    let (status, number) = (answered.status, native.number);
    if let Some(verdict) = before_reading(status) {
        return verdict;
    }
    let of_number = |number| number::verdict(number, status);
    let is_empty = number.is_none() && answered.body.trim_ascii().is_empty();
    let known = match (status, number) {
        (404, Some(number @ (1203 | 1228))) | (412, Some(number @ 21004)) => of_number(number),
        (404, Some(404)) => Some(gone()),
        (404, None) if is_empty => Some(gone()),
        (405, Some(405 | 0)) => of_number(405),
        (405, None) if is_empty => of_number(405),
        (400, Some(400)) if native.message.contains("invalid content-type or boundary") => {
            Some(Verdict::refused(
                Kind::Protocol,
                "the server does not find the parts of the multipart call",
                "look for a proxy that changes the header `Content-Type`",
            ))
        }
        _ => None,
    };
    known.unwrap_or_else(|| match number {
        Some(number) => {
            let what = "the multipart call ended before all of its parts were answered";
            let of_number = of_number(number);
            let kind = match (status, &of_number) {
                (503, Some(verdict)) => verdict.kind,
                (503, None) => Kind::Overloaded,
                (400, _) => Kind::Protocol,
                _ => Kind::Store,
            };
            let says = if status == 503 { Says::UnknownLater } else { Says::Unknown };
            Verdict::new(kind, says, what)
        }
        None => of_status(answered, native).doubted(),
    })
}

/// Servers from 3.12.3 on have no multipart call.
fn gone() -> Verdict {
    Verdict::refused(Kind::Stale, "the server has no multipart call any more", "")
}
