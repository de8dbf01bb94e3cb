//! The multipart reader.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use memchr::memmem;

use super::{BOUNDARY, Script, is_within};
use crate::multipart::{Part, read};

/// Reads bytes as they are; the first says how many parts were sent.
pub fn any_multipart(data: &[u8]) {
    let (parts, answer) =
        data.split_first().map_or((1, data), |(parts, rest)| (usize::from(*parts % 16), rest));
    let answer = Bytes::copy_from_slice(answer);
    let (mut visits, mut bytes) = (0, 0);
    let outcome = read(&answer, BOUNDARY, parts, &mut |place, part| {
        visits += 1;
        let Ok(part) = part else { return };
        bytes += part.body.len();
        for slice in [Some(&part.body), part.etag.as_ref(), part.error_codes.as_ref()] {
            assert!(slice.is_none_or(|slice| is_within(slice, &answer)), "a copy was made");
        }
        let says = |text: &str| memmem::find(&answer, text.as_bytes()).is_some();
        assert!(says(&format!(" {}", part.status)), "no part has the status {}", part.status);
        assert!(place == usize::MAX || place < parts || says(&place.to_string()), "{place}");
    });
    // Whatever is visited has a delimiter before it and a body of its own.
    let delimiters = memmem::find_iter(&answer, BOUNDARY).count();
    assert!(visits <= delimiters && bytes <= answer.len());
    assert!(outcome.is_err() || visits >= parts, "not every request is answered");
}

/// A part that is known.
struct Known {
    place: usize,
    status: u16,
    body: Vec<u8>,
    etag: Option<String>,
    /// As it stands in the answer, the delimiter's line before it.
    text: Vec<u8>,
    /// What damage may hit: what frames the part, and not what it says.
    frame: Vec<Range<usize>>,
    /// Where the body is.
    at: Range<usize>,
}

struct Style {
    /// How lines end.
    end: &'static str,
    has_ids: bool,
}

/// A part of an answer as the script wants it.
fn known(script: &mut Script<'_>, place: usize, style: &Style) -> Known {
    const FAKE: &str = concat!(
        "{\"_key\":\"a\",\"text\":\"\\r\\n--b0a7c3d1e5f94a6c8d2e\\r\\n--b0a7c3d1e5f94a6c8d2e\\r\\n",
        "Content-Id: 0\\r\\n\\r\\nHTTP/1.1 202 Accepted\\r\\nContent-Length: 2\\r\\n\\r\\n{}\"}",
    );
    let end = style.end;
    let status = script.pick(&[200_u16, 201, 202, 204, 304, 404, 409, 412, 500]);
    let is_head = script.byte() % 8 == 1;
    let body = match script.byte() % 4 {
        0 => format!("{{\"_id\":\"c/{place}\",\"_key\":\"{place}\",\"_rev\":\"_l6zhVHK---\"}}"),
        1 => FAKE.to_owned(),
        2 => "[]".to_owned(),
        _ => String::new(),
    };
    let etag = (script.byte() % 2 == 1).then(|| format!("\"_l6-{place}\""));
    let (mut text, mut frame) = (String::new(), Vec::new());
    let add = |text: &mut String, piece: &str| {
        let start = text.len();
        text.push_str(piece);
        start..text.len()
    };
    frame.push(add(&mut text, &format!("--{BOUNDARY}{end}")));
    add(&mut text, &format!("Content-Type: application/x-arango-batchpart{end}"));
    if style.has_ids {
        add(&mut text, &format!("Content-Id: {place}{end}"));
    }
    add(&mut text, end);
    frame.push(add(&mut text, "HTTP/1.1 "));
    add(&mut text, &status.to_string());
    frame.push(add(&mut text, &format!(" Whatever{end}Server: ")));
    add(&mut text, end);
    if let Some(etag) = &etag {
        add(&mut text, &format!("Etag: {etag}{end}"));
    }
    let length = if is_head { 45 } else { body.len() };
    frame.push(add(
        &mut text,
        &format!("Connection: Close {end}Content-Length: {length}{end}{end}"),
    ));
    let at = if is_head { text.len()..text.len() } else { add(&mut text, &body) };
    frame.push(add(&mut text, end));
    let body = if is_head { Vec::new() } else { body.into_bytes() };
    Known { place, status, body, etag, text: text.into_bytes(), frame, at }
}

/// What is done to an answer.
fn damage(script: &mut Script<'_>, answer: &mut Vec<(usize, Vec<u8>)>, known: &[Known]) {
    let at = script.below(answer.len());
    match script.byte() % 5 {
        0 => {
            let twice = answer[at].clone();
            answer.insert(script.below(answer.len() + 1), twice);
        }
        1 if answer.len() > 1 => drop(answer.remove(at)),
        2 => {
            let other = script.below(answer.len());
            answer.swap(at, other);
        }
        3 => {
            // The end of a body is lost within the answer. Together with another length, as the
            // next kind may make of it, that would look like none.
            let (of, text) = &mut answer[at];
            let body = known[*of].at.clone();
            if *text == known[*of].text && !body.is_empty() {
                let from = body.start + script.below(body.len());
                text.drain(from..body.end);
            }
        }
        _ => {
            let (of, text) = &mut answer[at];
            if text.len() != known[*of].text.len() {
                return;
            }
            let frame = script.pick(&(0..known[*of].frame.len()).collect::<Vec<_>>());
            let range = known[*of].frame[frame].clone();
            let place = range.start + script.below(range.len());
            let byte = script.byte();
            if let Some(old) = text.get_mut(place).filter(|_| byte != 0) {
                *old ^= byte;
            }
        }
    }
}

/// Makes an answer, damages it, and reads it: a part that is told is one that was there, and its
/// own. Without ids order is all that there is, so that more than one damage can look like none.
pub fn mutated_multipart(data: &[u8]) {
    let script = &mut Script::new(data);
    let style = Style { end: script.pick(&["\r\n", "\n"]), has_ids: script.byte() % 4 != 1 };
    let parts = 1 + script.below(5);
    let known: Vec<_> = (0..parts).map(|place| known(script, place, &style)).collect();
    let whole: Vec<_> = known.iter().map(|known| (known.place, known.text.clone())).collect();
    let mut answer = whole.clone();
    let mut is_cut = false;
    let most = if style.has_ids { script.below(5) } else { script.below(2) };
    for _ in 0..most {
        let before = answer.clone();
        damage(script, &mut answer, &known);
        if !style.has_ids
            && answer.len() == before.len()
            && answer.iter().map(|part| part.0).ne(0..parts)
        {
            answer = before;
        }
    }
    let mut text: Vec<u8> = answer.iter().flat_map(|(_, text)| text).copied().collect();
    text.extend_from_slice(format!("--{BOUNDARY}--").as_bytes());
    if !script.is_done() && script.byte() % 4 == 1 {
        text.truncate(script.below(text.len()));
        is_cut = true;
    }
    let text = Bytes::from(text);
    let mut told: BTreeMap<usize, Vec<Option<Part>>> = BTreeMap::new();
    let outcome = read(&text, BOUNDARY, parts, &mut |place, part| {
        told.entry(place).or_default().push(part.ok());
    });
    for (place, parts) in &told {
        // What is told twice is not believed.
        let [Some(part)] = parts.as_slice() else { continue };
        let Some(known) = known.get(*place) else { continue };
        assert_eq!(part.status, known.status, "the status at {place}");
        let etag = part.etag.as_deref();
        assert_eq!(etag, known.etag.as_deref().map(str::as_bytes), "the revision at {place}");
        // A body that is lost whole looks like that of an answer to HEAD.
        assert!(
            part.body == known.body || part.body.is_empty(),
            "the body at {place} in {}",
            text.escape_ascii()
        );
    }
    if answer == whole && !is_cut {
        assert!(outcome.is_ok(), "{outcome:?}");
        let is_told = |known: &Known| {
            let told = told.get(&known.place).map(Vec::as_slice);
            matches!(told, Some([Some(part)]) if part.body == known.body)
        };
        assert!(known.iter().all(is_told), "a whole answer is read whole");
    }
}
