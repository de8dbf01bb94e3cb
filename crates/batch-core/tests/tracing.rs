//! What is seen of a commit from outside: spans with their fields, and warnings.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use batch_core::{BatchExt, BatchOptions, Operation, Store};
use batch_memory::MemoryStore;
use serde_json::json;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

/// Keeps what is written.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Kept {
    /// The line that says how a span ended.
    fn closed(&self, span: &str) -> String {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        // The innermost span stands last.
        let innermost = |line: &&str| {
            let last = line.rfind("batch.").and_then(|at| line.get(at..));
            line.contains(": close") && last.is_some_and(|last| last.starts_with(span))
        };
        let line = text.lines().find(innermost).map(str::to_owned);
        line.unwrap_or_else(|| unreachable!("no end of {span} in: {text}"))
    }
}

fn listen(kept: &Kept) -> tracing::subscriber::DefaultGuard {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(kept.clone())
        .with_ansi(false)
        .without_time()
        .with_span_events(FmtSpan::CLOSE)
        .finish();
    tracing::subscriber::set_default(subscriber)
}

fn put(key: &str) -> Operation {
    Operation::put("t").at(key).doc(&json!({"secret": "hunter2"}))
}

#[tokio::test]
async fn a_commit_and_its_chunks_are_spans_with_what_came_of_them() {
    let kept = Kept::default();
    let _guard = listen(&kept);
    let store = MemoryStore::new();
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue_all([put("a"), put("b"), Operation::delete_existing("t").at("c")]).unwrap();
    assert_eq!(batch.commit().await.unwrap().applied(), 2);
    for (span, fields) in [
        (
            "batch.chunk",
            [
                "store=\"memory\"",
                "mechanism=\"memory call\"",
                "guarantee=\"best-effort\"",
                "operations=3",
                "bytes=",
                "attempt=1",
                "applied=2",
                "not_applied=1",
                "unknown=0",
            ]
            .as_slice(),
        ),
        (
            "batch.commit",
            [
                "store=\"memory\"",
                "guarantee=\"best-effort\"",
                "operations=3",
                "mechanism=\"memory call\"",
                "applied=2",
                "not_applied=1",
                "attempts=1",
            ]
            .as_slice(),
        ),
    ] {
        let line = kept.closed(span);
        for field in fields {
            assert!(line.contains(field), "no {field} in: {line}");
        }
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn a_batch_that_is_dropped_with_operations_is_warned_of_and_an_empty_one_is_not() {
    let kept = Kept::default();
    let _guard = listen(&kept);
    let store = MemoryStore::new();
    drop(store.batch(BatchOptions::new()).unwrap());
    assert!(kept.0.lock().unwrap().is_empty());
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    batch.queue(put("a")).unwrap();
    drop(batch);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("WARN") && text.contains("operations=1"), "{text}");
}
