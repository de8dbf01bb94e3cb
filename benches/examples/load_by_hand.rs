//! A loader made by hand on the raw driver, as a careful user would write it for one table: what
//! `unibatch run` is measured beside. It tells nothing of single rows.
//!
//! `load_by_hand HOST:PORT KEYSPACE.TABLE FILE`, with the program's NDJSON in the file.

use std::{borrow::Cow, env, error::Error, fs};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use scylla::{
    SerializeRow,
    client::session_builder::SessionBuilder,
    statement::batch::{Batch, BatchType},
};
use serde::Deserialize;

const BATCH: usize = 100;
const IN_FLIGHT: usize = 32;

#[derive(Debug, Deserialize)]
struct Line<'a> {
    key: Key,
    #[serde(borrow)]
    doc: Document<'a>,
}

#[derive(Debug, Deserialize)]
struct Key {
    p: i64,
    c: i64,
}

#[derive(Debug, Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    age: i32,
}

#[derive(Debug, SerializeRow)]
#[scylla(flavor = "enforce_order")]
struct Row<'a> {
    p: i64,
    c: i64,
    name: Cow<'a, str>,
    age: i32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(host), Some(table), Some(file)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("load_by_hand HOST:PORT KEYSPACE.TABLE FILE".into());
    };
    let text = fs::read_to_string(file)?;
    let mut rows = Vec::new();
    for line in text.lines() {
        let Line { key: Key { p, c }, doc: Document { name, age } } = serde_json::from_str(line)?;
        rows.push(Row { p, c, name, age });
    }
    rows.sort_unstable_by_key(|row| row.p);

    let session = SessionBuilder::new().known_node(host).build().await?;
    let insert = format!("INSERT INTO {table} (p, c, name, age) VALUES (?, ?, ?, ?)");
    let insert = session.prepare(insert).await?;
    let batch_of = |count: usize| {
        let mut batch = Batch::new(BatchType::Unlogged);
        (0..count).for_each(|_| batch.append_statement(insert.clone()));
        batch
    };
    let full = batch_of(BATCH);
    let partitions = rows.chunk_by(|one, other| one.p == other.p);
    let requests = partitions.flat_map(|partition| partition.chunks(BATCH)).map(|rows| {
        let (session, full, batch_of) = (&session, &full, &batch_of);
        async move {
            match rows.len() {
                BATCH => session.batch(full, rows).await.map(drop),
                count => session.batch(&batch_of(count), rows).await.map(drop),
            }
        }
    });
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
    println!("{} rows sent", rows.len());
    Ok(())
}
