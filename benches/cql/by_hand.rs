//! What users write on the raw driver, from the plainest to the most careful.

use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use scylla::serialize::row::SerializeRow;

use crate::{
    Outcome,
    bench::{Bench, LARGEST_BATCH},
    rows::{Document, Partitioned, ReadRow, Row},
};

/// Single statements in flight.
const SINGLES_IN_FLIGHT: usize = 256;
/// Batches in flight.
pub(crate) const IN_FLIGHT: usize = 32;
/// Partitions in a batch of several: with more the server warns.
const PARTITIONS: usize = 10;

/// One insert, awaited, then the next.
pub(crate) async fn one_at_a_time(bench: &Bench, rows: &[Row]) -> Outcome<()> {
    for row in rows {
        bench.session.execute_unpaged(&bench.insert, row).await?;
    }
    Ok(())
}

/// One statement a request, many in flight.
pub(crate) async fn singles(bench: &Bench, rows: &[Row]) -> Outcome<()> {
    let requests = rows.iter().map(|row| async move {
        bench.session.execute_unpaged(&bench.insert, row).await.map(drop)
    });
    Ok(stream::iter(requests).buffer_unordered(SINGLES_IN_FLIGHT).try_collect().await?)
}

/// Unlogged batches of a fixed size, as the rows come.
pub(crate) async fn as_they_come(bench: &Bench, rows: &[Row], size: usize) -> Outcome<()> {
    send(bench, rows.chunks(size)).await
}

/// The best by hand: sorted by partition, up to 100 rows of one partition in an unlogged batch, and
/// rows that are alone in theirs ten together.
pub(crate) async fn grouped(bench: &Bench, mut rows: Vec<Row>) -> Outcome<()> {
    rows.sort_unstable_by_key(Row::partition);
    sorted(bench, &rows).await
}

/// The same from documents as JSON text, which are parsed into a struct first.
pub(crate) async fn grouped_documents(bench: &Bench, documents: &[Document]) -> Outcome<()> {
    let rows = documents.iter().map(Document::read);
    let mut rows: Vec<ReadRow<'_>> = rows.collect::<Result<_, _>>()?;
    rows.sort_unstable_by_key(ReadRow::partition);
    sorted(bench, &rows).await
}

/// The same from rows that are sorted already: the driver's calls alone.
pub(crate) async fn sorted(
    bench: &Bench,
    rows: &[impl SerializeRow + Partitioned + Sync],
) -> Outcome<()> {
    let chunks = chunks(rows);
    send(bench, chunks.iter().filter_map(|chunk| rows.get(chunk.clone()))).await
}

async fn send<'r, R: SerializeRow + Sync + 'r>(
    bench: &'r Bench,
    chunks: impl Iterator<Item = &'r [R]>,
) -> Outcome<()> {
    let requests = chunks.map(|chunk| async move {
        bench.session.batch(bench.batch_of(chunk.len())?, chunk).await?;
        Outcome::Ok(())
    });
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
}

/// Cuts sorted rows into what travels together.
fn chunks<R: Partitioned>(rows: &[R]) -> Vec<Range<usize>> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    let (mut start, mut alone) = (0, 0);
    for group in rows.chunk_by(|one, other| one.partition() == other.partition()) {
        let end = start + group.len();
        match chunks.last_mut() {
            Some(last) if group.len() == 1 && (1..PARTITIONS).contains(&alone) => {
                last.end = end;
                alone += 1;
            }
            _ => {
                alone = usize::from(group.len() == 1);
                let starts = (start..end).step_by(LARGEST_BATCH);
                chunks.extend(starts.map(|start| start..end.min(start + LARGEST_BATCH)));
            }
        }
        start = end;
    }
    chunks
}
