//! One JSON object, written as a stream: a job is read, written and forgotten.

use std::io::{self, Write};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;
use unibatch::{Error, Guarantee, JobStatus, Outcome, Plan};

use super::{Facts, Summary};
use crate::{
    args::Show,
    messages,
    verdicts::{Verdict, Verdicts},
};

pub(super) fn run(
    out: &mut dyn Write,
    verdicts: Verdicts<'_>,
    summary: &Summary,
    show: Show,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Run<'a> {
        jobs: JobList<'a>,
        report: &'a Summary,
    }
    object(out, &Run { jobs: JobList { verdicts, show }, report: summary })
}

fn object(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

struct JobList<'a> {
    verdicts: Verdicts<'a>,
    show: Show,
}

impl Serialize for JobList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { verdicts, show } = *self;
        // A place in the list costs nothing, so that a million hidden jobs cost no status.
        let shown = (show != Show::None).then(|| verdicts.iter()).into_iter().flatten();
        let shown = shown.filter(|verdict| show.shows(&verdict.status));
        serializer.collect_seq(shown.map(JobLine))
    }
}

struct JobLine<'a>(Verdict<'a>);

impl Serialize for JobLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Verdict { id, operation, status } = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", id)?;
        if let Some(operation) = operation {
            map.serialize_entry("op", operation.name())?;
            if !operation.collection.is_empty() {
                map.serialize_entry("collection", operation.collection)?;
            }
        }
        map.serialize_entry("status", status.as_str())?;
        if let JobStatus::Applied(outcome) = status {
            if !outcome.json().is_empty() {
                map.serialize_entry("outcome", &Answer(outcome))?;
            }
        } else if let Some(error) = status.error() {
            map.serialize_entry("error", &ErrorObject(error))?;
        }
        map.end()
    }
}

/// The error of a report, where there is one.
#[expect(clippy::ref_option, reason = "serde gives a field as it is")]
pub(super) fn error<S: Serializer>(
    error: &Option<Error>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    error.as_ref().map(ErrorObject).serialize(serializer)
}

/// The store's answer as it gave it. One that is no JSON stands as a string.
struct Answer<'a>(&'a Outcome);

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.json();
        match serde_json::from_slice::<&RawValue>(text) {
            Ok(json) => json.serialize(serializer),
            Err(_) => serializer.serialize_str(&String::from_utf8_lossy(text)),
        }
    }
}

struct ErrorObject<'a>(&'a Error);

impl Serialize for ErrorObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const KIND: &str = "kind";
        const MESSAGE: &str = "message";
        const CAUSED_BY: &str = "caused_by";
        let error = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(KIND, error.kind().as_str())?;
        map.serialize_entry(MESSAGE, error.message())?;
        let mut written = vec![KIND, MESSAGE, CAUSED_BY];
        for (name, value) in error.details() {
            if !written.contains(&name) {
                map.serialize_entry(name, value)?;
                written.push(name);
            }
        }
        let sources: Vec<_> = messages::sources(error).map(ToString::to_string).collect();
        if !sources.is_empty() {
            map.serialize_entry(CAUSED_BY, &sources)?;
        }
        map.end()
    }
}

/// An object whose attributes keep their order.
struct InOrder<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for InOrder<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

pub(super) fn plan(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    #[derive(Serialize)]
    struct Planned<'a> {
        plan: PlanObject<'a>,
    }
    #[derive(Serialize)]
    struct PlanObject<'a> {
        store: &'a str,
        guarantee: &'static str,
        operations: usize,
        bytes: u64,
        exact_bytes: bool,
        mechanism: Vec<&'a str>,
        reasons: Vec<Reason<'a>>,
        chunks: Vec<ChunkObject<'a>>,
        refused: Vec<Refusal<'a>>,
        warnings: &'a [String],
    }
    #[derive(Serialize)]
    struct ChunkObject<'a> {
        mechanism: &'a str,
        operations: &'a [u32],
        bytes: u64,
        exact_bytes: bool,
        lane: u32,
    }
    #[derive(Serialize)]
    struct Reason<'a> {
        mechanism: &'a str,
        why: &'a str,
    }
    #[derive(Serialize)]
    struct Refusal<'a> {
        id: u32,
        kind: &'static str,
        message: &'a str,
    }
    let planned = PlanObject {
        store: &plan.store,
        guarantee: plan.guarantee.as_str(),
        operations: plan.operations(),
        bytes: plan.bytes(),
        exact_bytes: plan.chunks.iter().all(|chunk| chunk.exact_bytes),
        mechanism: plan.mechanisms(),
        reasons: plan.reasons.iter().map(|(mechanism, why)| Reason { mechanism, why }).collect(),
        chunks: plan
            .chunks
            .iter()
            .map(|chunk| ChunkObject {
                mechanism: &chunk.mechanism,
                operations: &chunk.operations,
                bytes: chunk.bytes,
                exact_bytes: chunk.exact_bytes,
                lane: chunk.lane,
            })
            .collect(),
        refused: plan
            .refused
            .iter()
            .map(|(id, kind, message)| Refusal { id: *id, kind: kind.as_str(), message })
            .collect(),
        warnings: &plan.warnings,
    };
    object(out, &Planned { plan: planned })
}

pub(super) fn check(out: &mut dyn Write, facts: &Facts) -> io::Result<()> {
    #[derive(Serialize)]
    struct Check<'a> {
        url: &'a str,
        store: &'static str,
        server: ServerObject<'a>,
        capabilities: CapabilitiesObject,
        guarantees: InOrder<&'static str, Option<&'a str>>,
    }
    #[derive(Serialize)]
    struct ServerObject<'a> {
        name: &'a str,
        version: &'a str,
        facts: InOrder<&'a str, &'a str>,
    }
    #[derive(Serialize)]
    struct CapabilitiesObject {
        reads: bool,
        conditions: bool,
        revisions: bool,
        ttl: bool,
        timestamps: bool,
        returning: bool,
        batch_types: Vec<&'static str>,
        max_operation_bytes: Option<usize>,
    }
    let can = &facts.capabilities;
    let server = &facts.server;
    let guarantees = Guarantee::ALL
        .iter()
        .copied()
        .map(|guarantee| (guarantee.as_str(), can.mechanism(guarantee)));
    let check = Check {
        url: &facts.url,
        store: facts.store,
        server: ServerObject {
            name: &server.name,
            version: &server.version,
            facts: InOrder(server.facts.iter().map(|(name, value)| (&**name, &**value)).collect()),
        },
        capabilities: CapabilitiesObject {
            reads: can.reads,
            conditions: can.conditions,
            revisions: can.revisions,
            ttl: can.ttl,
            timestamps: can.timestamps,
            returning: can.returning,
            batch_types: can.batch_types.iter().map(|kind| kind.as_str()).collect(),
            max_operation_bytes: can.max_operation_bytes,
        },
        guarantees: InOrder(guarantees.collect()),
    };
    object(out, &check)
}

#[cfg(test)]
mod tests {
    use unibatch::{ErrorKind, Outcome};

    use super::*;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn an_error_has_kind_and_message_the_words_of_the_store_and_its_causes() {
        let cause = Error::new(ErrorKind::Connection, "reset by peer");
        let error = Error::new(ErrorKind::AlreadyExists, "the key is taken")
            .with_detail("http_status", 409)
            .with_detail("error_num", 1210)
            .with_detail("kind", "must not stand twice")
            .with_detail("error_num", 1211)
            .with_source(cause);
        assert_eq!(
            json(&ErrorObject(&error)),
            r#"{"kind":"AlreadyExists","message":"the key is taken","http_status":409,"error_num":1210,"caused_by":["reset by peer"]}"#
        );
        let plain = Error::new(ErrorKind::Timeout, "late");
        assert_eq!(json(&ErrorObject(&plain)), r#"{"kind":"Timeout","message":"late"}"#);
    }

    #[test]
    fn an_answer_stands_as_the_store_gave_it_and_as_a_string_if_it_is_no_json() {
        for (answer, expected) in [
            (
                r#"{"a" : 1.50, "b":12345678901234567890}"#,
                r#"{"a" : 1.50, "b":12345678901234567890}"#,
            ),
            ("<html>", r#""<html>""#),
            (r#"{"a":1"#, r#""{\"a\":1""#),
        ] {
            let outcome = Outcome::of_document(answer.as_bytes().into());
            assert_eq!(json(&Answer(&outcome)), expected);
        }
    }
}
