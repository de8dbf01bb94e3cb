//! The same through unibatch.

use batch_core::{Batch, BatchExt as _, BatchOptions, Operation, Store as _};

use crate::{
    Outcome,
    bench::Bench,
    rows::{Document, Row},
};

/// A `put` of a row.
pub(crate) fn put_of<R: Row>(row: &R) -> Operation {
    Operation::put(R::TABLE).at([("p", row.partition()), ("c", row.place())]).doc(row)
}

/// A `put` of each row, whose document serde writes.
pub(crate) async fn put<R: Row>(bench: &Bench<R>, rows: &[R], results: bool) -> Outcome<()> {
    let mut batch = bench.store.batch(BatchOptions::new().results(results))?;
    for row in rows {
        batch.queue(put_of(row))?;
    }
    commit(&mut *batch, rows.len()).await
}

/// A `put` of each document, which is JSON text already.
pub(crate) async fn put_documents<R: Row>(
    bench: &Bench<R>,
    documents: &[Document],
    results: bool,
) -> Outcome<()> {
    let mut batch = bench.store.batch(BatchOptions::new().results(results))?;
    for Document { p, c, text } in documents {
        batch.queue(Operation::put(R::TABLE).at([("p", *p), ("c", *c)]).doc_text(text))?;
    }
    commit(&mut *batch, documents.len()).await
}

/// A prepared statement of the user's with the values of each row.
pub(crate) async fn bind<R: Row>(bench: &Bench<R>, rows: &[R], results: bool) -> Outcome<()> {
    let mut batch = bench.store.batch(BatchOptions::new().results(results))?;
    for row in rows {
        batch.queue(bench.bound.bind(row))?;
    }
    commit(&mut *batch, rows.len()).await
}

async fn commit(batch: &mut dyn Batch, count: usize) -> Outcome<()> {
    let report = batch.commit().await?;
    let report = report.into_result()?;
    if report.applied() != u64::try_from(count)? {
        return Err(format!("not all {count} are applied: {report}").into());
    }
    Ok(())
}
