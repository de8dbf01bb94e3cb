//! What `own_backend.rs` says of its file.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panics too")]

use std::{fs, path::Path, sync::Arc};

use batch_core::seam::Engine;
use serde_json::json;
use unibatch::{StoreOptions, prelude::*};

#[expect(dead_code, reason = "the test takes the place of the program's `main`")]
#[path = "../own_backend.rs"]
mod own_backend;

fn open(path: &Path) -> Engine {
    Engine::new(Arc::new(own_backend::Journal::open(path).unwrap()), StoreOptions::new())
}

async fn put(store: &Engine, keys: [&str; 2]) {
    let mut batch = store.batch(BatchOptions::new()).unwrap();
    let operation = |key| Operation::put("students").at(key).doc(&json!({"age": 20}));
    batch.queue_all(keys.map(operation)).unwrap();
    assert_eq!(batch.commit().await.unwrap().applied(), 2);
}

#[tokio::test]
async fn a_torn_last_line_was_never_applied_and_is_not_in_the_way_of_the_next() {
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    put(&open(&file), ["Abby", "John"]).await;
    let whole = fs::read(&file).unwrap();
    put(&open(&file), ["Rita", "Kris"]).await;
    let both = fs::read(&file).unwrap();

    for end in whole.len()..both.len() {
        fs::write(&file, &both[..end]).unwrap();
        let store = open(&file);
        assert!(store.get("students", "John").await.unwrap().is_some(), "cut at {end}");
        for key in ["Rita", "Kris"] {
            assert!(store.get("students", key).await.unwrap().is_none(), "{key}, cut at {end}");
        }
        put(&store, ["Rita", "Kris"]).await;
        assert_eq!(fs::read(&file).unwrap(), both, "cut at {end}");
    }
}
