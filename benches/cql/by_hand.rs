//! What users write on the raw driver, from the plainest to the most careful.

use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use scylla::serialize::row::SerializeRow;

use crate::{
    Outcome,
    bench::Bench,
    rows::{Document, Partitioned, Row},
};

/// Single statements in flight.
const SINGLES_IN_FLIGHT: usize = 256;
/// Batches in flight.
pub(crate) const IN_FLIGHT: usize = 32;
/// Batches in flight where they are small, as unibatch has it.
pub(crate) const MANY_IN_FLIGHT: usize = 128;
/// Partitions in a batch of several: with more the server warns.
const PARTITIONS: usize = 10;

/// One insert, awaited, then the next.
pub(crate) async fn one_at_a_time<R: Row>(bench: &Bench<R>, rows: &[R]) -> Outcome<()> {
    for row in rows {
        bench.session.execute_unpaged(&bench.insert, row).await?;
    }
    Ok(())
}

/// One statement a request, many in flight.
pub(crate) async fn singles<R: Row>(bench: &Bench<R>, rows: &[R]) -> Outcome<()> {
    let requests = rows.iter().map(|row| async move {
        bench.session.execute_unpaged(&bench.insert, row).await.map(drop)
    });
    Ok(stream::iter(requests).buffer_unordered(SINGLES_IN_FLIGHT).try_collect().await?)
}

/// Unlogged batches of a fixed size, as the rows come.
pub(crate) async fn as_they_come<R: Row>(bench: &Bench<R>, rows: &[R], size: usize) -> Outcome<()> {
    send(bench, rows.chunks(size), IN_FLIGHT).await
}

/// The best by hand: sorted by partition, up to so many rows of one partition in an unlogged batch,
/// and rows that are alone in theirs ten together.
pub(crate) async fn grouped<R: Row>(
    bench: &Bench<R>,
    mut rows: Vec<R>,
    size: usize,
) -> Outcome<()> {
    rows.sort_unstable_by_key(R::partition);
    sorted(bench, &rows, size).await
}

/// The same, sorted by the whole key, as unibatch does it in large partitions.
pub(crate) async fn by_key<R: Row>(bench: &Bench<R>, mut rows: Vec<R>, size: usize) -> Outcome<()> {
    rows.sort_unstable_by_key(|row| (row.partition(), row.place()));
    sorted(bench, &rows, size).await
}

/// What [`grouped`] does, from documents as JSON text, which are parsed into a struct first.
pub(crate) async fn grouped_documents<R: Row>(
    bench: &Bench<R>,
    documents: &[Document],
    size: usize,
    in_flight: usize,
) -> Outcome<()> {
    let rows = documents.iter().map(|document| R::read(document.p, document.c, &document.text));
    let mut rows: Vec<R::Read<'_>> = rows.collect::<Result<_, _>>()?;
    rows.sort_unstable_by_key(Partitioned::partition);
    cut(bench, &rows, size, in_flight).await
}

/// The same from rows that are sorted already: the driver's calls alone.
pub(crate) async fn sorted<R: Row>(
    bench: &Bench<R>,
    rows: &[impl SerializeRow + Partitioned + Sync],
    size: usize,
) -> Outcome<()> {
    cut(bench, rows, size, IN_FLIGHT).await
}

async fn cut<R: Row>(
    bench: &Bench<R>,
    rows: &[impl SerializeRow + Partitioned + Sync],
    size: usize,
    in_flight: usize,
) -> Outcome<()> {
    let chunks = chunks(rows, size);
    send(bench, chunks.iter().filter_map(|chunk| rows.get(chunk.clone())), in_flight).await
}

async fn send<'r, R: Row, S: SerializeRow + Sync + 'r>(
    bench: &'r Bench<R>,
    chunks: impl Iterator<Item = &'r [S]>,
    in_flight: usize,
) -> Outcome<()> {
    let requests = chunks.map(|chunk| async move {
        bench.session.batch(bench.batch_of(chunk.len())?, chunk).await?;
        Outcome::Ok(())
    });
    stream::iter(requests).buffer_unordered(in_flight).try_collect().await
}

/// Cuts sorted rows into what travels together.
fn chunks<R: Partitioned>(rows: &[R], size: usize) -> Vec<Range<usize>> {
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
                let starts = (start..end).step_by(size);
                chunks.extend(starts.map(|start| start..end.min(start + size)));
            }
        }
        start = end;
    }
    chunks
}
