//! Single calls of the core, to be watched while it is changed: time, and what is allocated.
//!
//! `cargo bench -p unibatch-benches --bench micro`; a name after `--` chooses.

use std::sync::{Arc, OnceLock};

use batch_core::{Batch, BatchExt, BatchOptions, Error, Job, Operation, Report, Store};
use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use tokio::runtime::{Builder, Runtime};
use unibatch_benches::{Habits, Idle, Keys, Student, students};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SIZES: [u32; 3] = [1, 1000, 1_000_000];

fn main() {
    divan::main();
}

/// Made once for each size, because making them takes longer than what is measured.
fn documents(count: u32) -> &'static [Student] {
    static MADE: [OnceLock<Vec<Student>>; SIZES.len()] = [const { OnceLock::new() }; SIZES.len()];
    let place = SIZES.iter().position(|size| *size == count).unwrap_or(0);
    MADE[place].get_or_init(|| students(count, Keys::Distinct))
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without I/O needs nothing that could fail")
}

fn open(backend: &Arc<Idle>) -> Box<dyn Batch> {
    let batch = backend.store().batch(BatchOptions::new());
    batch.expect("the backend gives best effort")
}

fn fill(mut batch: Box<dyn Batch>, documents: &[Student]) -> Box<dyn Batch> {
    for document in documents {
        black_box(batch.queue(document.put()).expect("everything is admitted"));
    }
    batch
}

fn backend() -> Arc<Idle> {
    Idle::new(Habits::default())
}

fn committed(count: u32) -> (Box<dyn Batch>, Report) {
    let mut batch = fill(open(&backend()), documents(count));
    let report = runtime().block_on(batch.commit());
    (batch, report.expect("the backend takes everything"))
}

/// `serde_json` alone, into one buffer.
#[divan::bench(args = SIZES)]
fn write(bencher: Bencher<'_, '_>, count: u32) {
    let documents = documents(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let mut text = Vec::with_capacity(64);
        for document in documents {
            text.clear();
            serde_json::to_writer(&mut text, document).expect("a student is JSON");
            black_box(text.as_slice());
        }
    });
}

/// Operations are built and dropped.
#[divan::bench(args = SIZES)]
fn build(bencher: Bencher<'_, '_>, count: u32) {
    let documents = documents(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        for operation in documents.iter().map(Student::put) {
            black_box::<Operation>(operation);
        }
    });
}

#[divan::bench(args = SIZES)]
fn queue(bencher: Bencher<'_, '_>, count: u32) {
    let (backend, documents) = (backend(), documents(count));
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| open(&backend))
        .bench_local_values(|batch| fill(batch, documents));
}

#[divan::bench(args = SIZES)]
fn plan(bencher: Bencher<'_, '_>, count: u32) {
    let (runtime, mut batch) = (runtime(), fill(open(&backend()), documents(count)));
    bencher.counter(ItemsCount::new(count)).bench_local(|| runtime.block_on(batch.plan()));
}

#[divan::bench(args = SIZES)]
fn commit(bencher: Bencher<'_, '_>, count: u32) {
    let (runtime, backend, documents) = (runtime(), backend(), documents(count));
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| fill(open(&backend), documents))
        .bench_local_values(|mut batch| (runtime.block_on(batch.commit()), batch));
}

#[divan::bench]
fn batch_of_one(bencher: Bencher<'_, '_>) {
    let (runtime, store) = (runtime(), backend().store());
    let document = &documents(1)[0];
    bencher.bench_local(|| {
        runtime.block_on(async {
            let mut batch = store.batch(BatchOptions::new())?;
            let job = batch.queue(document.put())?;
            let report = batch.commit().await?;
            Ok::<_, Error>((report, job.status()))
        })
    });
}

#[divan::bench]
fn report_as_text(bencher: Bencher<'_, '_>) {
    let (_batch, report) = committed(1000);
    bencher.bench_local(|| report.to_string());
}

#[divan::bench(args = SIZES)]
fn statuses(bencher: Bencher<'_, '_>, count: u32) {
    let (batch, _report) = committed(count);
    bencher
        .counter(ItemsCount::new(count))
        .bench_local(|| batch.jobs().map(|job| job.status()).for_each(drop_status));
}

fn drop_status(status: batch_core::JobStatus) {
    black_box(status);
}

#[divan::bench]
fn await_ended(bencher: Bencher<'_, '_>) {
    let (batch, _report) = committed(1);
    let (runtime, job) = (runtime(), batch.jobs().next());
    let job: Job = job.expect("the batch has one job");
    bencher.bench_local(|| runtime.block_on(job.clone().into_future()));
}
