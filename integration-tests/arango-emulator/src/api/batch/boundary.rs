//! The delimiter of a batch: from the envelope's Content-Type, else from the start of the body.

use crate::{request::Request, version::BatchRoute};

/// `--` and the boundary.
pub(super) fn find(request: &Request, route: BatchRoute) -> Option<Vec<u8>> {
    let kind = request.header("content-type").unwrap_or_default().trim();
    let boundary = match route {
        BatchRoute::Early => early(kind),
        BatchRoute::Late | BatchRoute::Gone => late(kind),
    };
    let boundary = boundary.map(unquoted).filter(|boundary| boundary.len() >= 3);
    match boundary {
        Some(boundary) => Some(format!("--{boundary}").into_bytes()),
        None => peek(&request.body),
    }
}

/// Up to 3.11: the media type in small letters, exactly two pieces.
fn early(kind: &str) -> Option<&str> {
    let (media, parameter) = two(kind, ';')?;
    let parameter = parameter.trim();
    let name = parameter.get(..9)?;
    let named = media == "multipart/form-data" && name.eq_ignore_ascii_case("boundary=");
    named.then(|| &parameter[9..])
}

/// From 3.12 on: the value ends at the next `=`, and the name has to start with `boundary`.
fn late(kind: &str) -> Option<&str> {
    let (media, parameter) = two(kind, ';')?;
    let mut pieces = parameter.trim().split('=');
    let name = pieces.next()?.trim().to_ascii_lowercase();
    let named =
        media.trim().eq_ignore_ascii_case("multipart/form-data") && name.starts_with("boundary");
    pieces.next().filter(|_| named).map(str::trim)
}

fn two(text: &str, separator: char) -> Option<(&str, &str)> {
    text.split_once(separator).filter(|(_, second)| !second.contains(separator))
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if text.len() > 1 && text.starts_with(quote) && text.ends_with(quote) {
            return text.trim_matches(quote);
        }
    }
    text
}

/// Without a usable Content-Type the body says it: its first word, if that starts with `--`.
fn peek(body: &[u8]) -> Option<Vec<u8>> {
    let start = body.iter().position(|byte| !b" \t\r\n".contains(byte))?;
    let rest = &body[start..];
    let end = rest.iter().position(|byte| b" \t\r\n\0".contains(byte)).unwrap_or(rest.len());
    let whole = rest.len() >= 10 && rest.starts_with(b"--") && end >= 5;
    whole.then(|| rest[..end].to_vec())
}

/// The Content-Type of the answer: that of the request as it came, with the boundary. One that the
/// server's request parser understands itself is gone by then.
pub(super) fn echo(request: &Request) -> String {
    let kind = request.header("content-type").unwrap_or_default();
    let taken = ["application/json", "application/x-velocypack"];
    if taken.iter().any(|taken| kind.starts_with(taken)) { String::new() } else { kind.into() }
}
