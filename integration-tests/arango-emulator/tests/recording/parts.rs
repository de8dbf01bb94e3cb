//! The answer of a batch, read to the byte.

use serde::Deserialize;
use serde_json::Value;

use super::compare::Bound;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Expected {
    boundary: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Deserialize)]
struct Part {
    id: Option<String>,
    status: u16,
    lines: Option<Vec<String>>,
    #[serde(default)]
    head: bool,
    body: Option<Value>,
}

struct Found {
    id: Option<String>,
    status: String,
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Expected {
    pub(crate) fn differs(&self, bytes: &[u8], bound: &mut Bound, at: &str) -> Vec<String> {
        let found = match self.read(bytes) {
            Ok(found) => found,
            Err(why) => return vec![format!("{at}: {why}")],
        };
        let mut differences = Vec::new();
        for (number, (part, found)) in self.parts.iter().zip(found).enumerate() {
            differences.extend(part.differs(&found, bound, &format!("{at}, part {number}")));
        }
        differences
    }

    fn read(&self, bytes: &[u8]) -> Result<Vec<Found>, String> {
        let delimiter = format!("--{}", self.boundary);
        let mut rest = bytes;
        let mut all = Vec::new();
        for part in &self.parts {
            take(&mut rest, delimiter.as_bytes())?;
            take(&mut rest, b"\r\n")?;
            take(&mut rest, b"Content-Type: application/x-arango-batchpart\r\n")?;
            let mime = lines(&mut rest)?;
            let id = match mime.as_slice() {
                [] => None,
                [id] => Some(id.strip_prefix("Content-Id: ").ok_or(format!("{id:?}"))?.to_owned()),
                more => return Err(format!("{more:?} before the answer of a part")),
            };
            let mut lines = lines(&mut rest)?;
            let status = if lines.is_empty() { String::new() } else { lines.remove(0) };
            let length = lines.iter().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.and_then(|text| text.parse().ok()).ok_or("no length")?;
            let length = if part.head { 0 } else { length };
            let body = rest.get(..length).ok_or("a part is too short")?.to_vec();
            rest = &rest[length..];
            take(&mut rest, b"\r\n")?;
            all.push(Found { id, status, lines, body });
        }
        take(&mut rest, delimiter.as_bytes())?;
        take(&mut rest, b"--")?;
        if rest.is_empty() { Ok(all) } else { Err("bytes behind the end".into()) }
    }
}

impl Part {
    fn differs(&self, found: &Found, bound: &mut Bound, at: &str) -> Vec<String> {
        let mut differences = Vec::new();
        if self.id != found.id {
            differences.push(format!("{at}: id {:?} for {:?}", found.id, self.id));
        }
        if !found.status.starts_with(&format!("HTTP/1.1 {} ", self.status)) {
            differences.push(format!("{at}: {:?} for {}", found.status, self.status));
        }
        if let Some(expected) = &self.lines {
            let mut left: Vec<Value> = found.lines.iter().cloned().map(Value::from).collect();
            for line in expected {
                let expected = Value::from(line.as_str());
                let place = left.iter().position(|found| {
                    let mut tried = bound.clone();
                    let same = tried.compare(&expected, found, at).is_empty();
                    if same {
                        *bound = tried;
                    }
                    same
                });
                match place {
                    Some(place) => drop(left.remove(place)),
                    None => differences.push(format!("{at}: no line {line:?}")),
                }
            }
            differences
                .extend(left.iter().map(|line| format!("{at}: {line}, which no server sends")));
        }
        if let (Some(expected), false) = (&self.body, self.head) {
            match serde_json::from_slice(&found.body) {
                Ok(found) => differences.extend(bound.compare(expected, &found, at)),
                Err(error) => differences.push(format!("{at}: no JSON: {error}")),
            }
        }
        differences
    }
}

fn take(rest: &mut &[u8], what: &[u8]) -> Result<(), String> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    *rest = rest
        .strip_prefix(what)
        .ok_or_else(|| format!("{:?} where {:?} belongs", shown(rest), shown(what)))?;
    Ok(())
}

/// Lines up to an empty one.
fn lines(rest: &mut &[u8]) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or("a line has no end")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        *rest = &rest[end + 2..];
        if line.is_empty() {
            return Ok(lines);
        }
        lines.push(line);
    }
}
