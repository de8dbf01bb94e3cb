//! Many large commits after one another: what the process holds must not grow.

use batch_core::{BatchExt as _, BatchOptions, Operation, Store as _};

use crate::{
    Outcome,
    bench::{Bench, TABLE},
    clock::Clock,
    memory::{self, megabytes},
    rows::{row, shuffled},
    tables::{grouped, table},
};

/// Rows in a partition.
const EACH: u32 = 100;
/// The first commits fill what the driver and the allocator keep.
const SETTLED: usize = 3;
/// More growth than this from then on is a leak: a tenth of what a commit holds.
const GROWTH: f64 = 0.1;

/// Commits so many operations so many times, and prints what was held after each.
///
/// # Errors
/// Rows that are missing, and memory that grows.
pub(crate) async fn soak(bench: &Bench, operations: u32, commits: u32) -> Outcome<()> {
    let mut rows = table(
        [
            "commit",
            "ops/s",
            "before, MB",
            "queued",
            "peak of commit",
            "after",
            "queued, bytes an operation over text",
            "peak over that",
        ],
        0,
    );
    let mut after = Vec::new();
    let mut most = 0;
    for number in 1..=commits {
        bench.empty().await?;
        memory::forget_peak()?;
        let before = memory::own().resident;
        let clock = Clock::start();
        let mut batch = bench.store.batch(BatchOptions::new())?;
        let mut text = 0;
        for place in shuffled(operations) {
            let row = row(place, operations, operations.div_ceil(EACH));
            let put = Operation::put(TABLE).at([("p", row.p), ("c", row.c)]).doc(&row);
            text += u64::try_from(put.size())?;
            batch.queue(put)?;
        }
        let queued = memory::own().resident;
        let report = batch.commit().await?.into_result()?;
        let cost = clock.stop();
        let peak = memory::own().peak;
        if report.applied() != u64::from(operations) {
            return Err(format!("not all {operations} are applied: {report}").into());
        }
        drop((batch, report));
        let resident = memory::own().resident;
        bench.expect(usize::try_from(operations)?, &format!("commit {number}")).await?;
        let each = |bytes: u64| {
            let kibibytes = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
            format!("{:.0}", f64::from(kibibytes) * 1024.0 / f64::from(operations))
        };
        rows.add_row([
            number.to_string(),
            format!("{:.0}", f64::from(operations) / cost.wall.as_secs_f64()),
            megabytes(before),
            megabytes(queued),
            megabytes(peak),
            megabytes(resident),
            each(queued.saturating_sub(before).saturating_sub(text)),
            each(peak.saturating_sub(queued)),
        ]);
        eprintln!("commit {number} of {commits}: {} MB after", megabytes(resident));
        after.push(resident);
        most = most.max(peak);
    }
    println!(
        "\n{commits} commits of {} operations, 100 to a partition, in one process.\n\n{rows}",
        grouped(operations)
    );
    let settled = after.get(SETTLED.min(after.len()) - 1..).unwrap_or_default();
    if let (Some(first), Some(last)) = (settled.first(), settled.last()) {
        let bound = u32::try_from(most / 1024).map(|most| f64::from(most) * GROWTH)?;
        let growth = u32::try_from(last.saturating_sub(*first) / 1024).map(f64::from)?;
        if growth > bound {
            return Err(format!("memory grows: {first} bytes, then {last}").into());
        }
    }
    Ok(())
}
