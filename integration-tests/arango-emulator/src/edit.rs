//! Answers are changed: headers, parts of a batch, elements of an array.

use bytes::Bytes;
use serde_json::Value;

use crate::{
    fault::Edit,
    reply::{Content, Reply},
};

/// Changes an answer; one that has no such thing stays as it is.
pub(crate) fn edit(mut reply: Reply, edit: &Edit, escape: bool) -> Reply {
    match edit {
        Edit::Status { status } => reply.status = *status,
        Edit::Header { .. } => {}
        Edit::Body { text } => {
            let (kind, _) = reply.render(escape);
            reply.content = Content::Bytes(kind, text.clone().into());
        }
        Edit::ElementMissing { element } => elements(&mut reply, |elements| {
            if *element < elements.len() {
                elements.remove(*element);
            }
        }),
        Edit::ElementMore => {
            elements(&mut reply, |elements| elements.extend(elements.last().cloned()))
        }
        Edit::ElementsReversed => elements(&mut reply, |elements| elements.reverse()),
        _ => {
            if let Content::Bytes(_, bytes) = &mut reply.content
                && let Some(changed) = parts(bytes, edit)
            {
                *bytes = changed;
            }
        }
    }
    reply
}

fn elements(reply: &mut Reply, change: impl FnOnce(&mut Vec<Value>)) {
    if let Content::Json(Value::Array(elements)) = &mut reply.content {
        change(elements);
    }
}

/// A part of an answer: its own headers, the answer's head, and the body.
#[derive(Clone, Debug)]
struct Part {
    mime: Vec<String>,
    head: Vec<String>,
    body: Vec<u8>,
}

/// How the parts are written.
struct Style {
    delimiter: Vec<u8>,
    end: &'static [u8],
    blank: bool,
    closed: bool,
}

/// Changes the parts of a batch's answer; none if it has no parts.
fn parts(bytes: &[u8], edit: &Edit) -> Option<Bytes> {
    let (delimiter, mut parts) = read(bytes)?;
    let mut style = Style { delimiter, end: b"\r\n", blank: false, closed: true };
    let without = |lines: &mut Vec<String>, name: &str| {
        lines.retain(|line| !line.to_ascii_lowercase().starts_with(name));
    };
    match edit {
        Edit::OtherBoundary => style.delimiter.extend_from_slice(b"Other"),
        Edit::WithoutEnd => style.closed = false,
        Edit::PartsReversed => parts.reverse(),
        Edit::PartTwice { part } => parts.extend(parts.get(*part).cloned()),
        Edit::PartMissing { part } if *part < parts.len() => {
            parts.remove(*part);
        }
        Edit::PartMore => {
            let mut more = parts.last()?.clone();
            without(&mut more.mime, "content-id:");
            more.mime.push("Content-Id: nobodys".into());
            parts.push(more);
        }
        Edit::WithoutIds => {
            parts.iter_mut().for_each(|part| without(&mut part.mime, "content-id:"))
        }
        Edit::WithoutId { part } => without(&mut parts.get_mut(*part)?.mime, "content-id:"),
        Edit::WithoutLengths => {
            parts.iter_mut().for_each(|part| without(&mut part.head, "content-length:"));
        }
        Edit::LengthOff { part, by } => {
            let part = parts.get_mut(*part)?;
            without(&mut part.head, "content-length:");
            let length = i64::try_from(part.body.len()).unwrap_or(i64::MAX).saturating_add(*by);
            part.head.push(format!("Content-Length: {length}"));
        }
        Edit::BadStatusLine { part } => {
            parts.get_mut(*part)?.head[0] = "HTTP/1.1 two hundred".into()
        }
        Edit::BadJson { part } => parts.get_mut(*part)?.body = b"{\"_key\":".to_vec(),
        Edit::LinesWithLf => style.end = b"\n",
        Edit::SmallHeaders => names(&mut parts, str::to_ascii_lowercase),
        Edit::LargeHeaders => names(&mut parts, str::to_ascii_uppercase),
        Edit::BlankLines => style.blank = true,
        Edit::HeadersReversed => parts.iter_mut().for_each(|part| {
            part.mime.reverse();
            part.head[1..].reverse();
        }),
        _ => {}
    }
    Some(write(&parts, &style).into())
}

fn names(parts: &mut [Part], change: fn(&str) -> String) {
    for part in parts {
        // The first line of the head is the status.
        for line in part.mime.iter_mut().chain(part.head.iter_mut().skip(1)) {
            if let Some((name, value)) = line.split_once(':') {
                *line = format!("{}:{value}", change(name));
            }
        }
    }
}

/// Reads what this server wrote itself.
fn read(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Part>)> {
    let end = find(bytes, b"\r\n")?;
    let delimiter = bytes[..end].to_vec();
    if !delimiter.starts_with(b"--") {
        return None;
    }
    let mut rest = bytes;
    let mut parts = Vec::new();
    loop {
        rest = rest.strip_prefix(delimiter.as_slice())?;
        if rest.starts_with(b"--") {
            return Some((delimiter, parts));
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let (mime, behind) = lines(rest)?;
        let (head, behind) = lines(behind)?;
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok())?;
        // The answer to a HEAD has a length and no body.
        let bare = behind.strip_prefix(b"\r\n").is_some_and(|rest| rest.starts_with(&delimiter));
        let length = if bare { 0 } else { length };
        parts.push(Part { mime, head, body: behind.get(..length)?.to_vec() });
        rest = behind[length..].strip_prefix(b"\r\n")?;
    }
}

/// Lines up to an empty one, and what is behind it.
fn lines(mut bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let mut lines = Vec::new();
    loop {
        let end = find(bytes, b"\r\n")?;
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 2..];
        if line.is_empty() {
            return Some((lines, bytes));
        }
        lines.push(line);
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

fn write(parts: &[Part], style: &Style) -> Vec<u8> {
    let mut out = Vec::new();
    if style.blank {
        out.extend_from_slice(style.end);
    }
    for part in parts {
        out.extend_from_slice(&style.delimiter);
        out.extend_from_slice(style.end);
        for lines in [&part.mime, &part.head] {
            for line in lines {
                out.extend_from_slice(line.as_bytes());
                out.extend_from_slice(style.end);
            }
            out.extend_from_slice(style.end);
        }
        out.extend_from_slice(&part.body);
        out.extend_from_slice(style.end);
        if style.blank {
            out.extend_from_slice(style.end);
        }
    }
    if style.closed {
        out.extend_from_slice(&style.delimiter);
        out.extend_from_slice(b"--");
    }
    out
}
