//! Many large commits after one another: what the process holds must not grow.

use batch_core::{BatchExt as _, BatchOptions, Store as _};
use unibatch_benches::Meter;

use unibatch_benches::Clock;

use crate::{
    Outcome,
    bench::Bench,
    memory::{self, megabytes},
    ours::put_of,
    rows::{Small, row, shuffled},
    tables::{grouped, table},
};

/// The first commits fill what the driver and the library keep.
const SETTLED: usize = 2;
/// More growth than this from then on, in bytes that were asked for and not given back, is a leak.
const GROWTH: isize = 1 << 20;

/// Commits so many operations, `each` of them to a partition, so many times, and prints what was held after each.
///
/// # Errors
/// Rows that are missing, and memory that grows.
pub(crate) async fn soak(
    bench: &Bench<Small>,
    operations: u32,
    each: u32,
    commits: u32,
) -> Outcome<()> {
    let mut rows = table(
        [
            "commit",
            "ops/s",
            "held before, MB",
            "queued",
            "peak of commit",
            "after",
            "queued, bytes an operation over text",
            "peak over that",
            "resident at the peak, MB",
            "after",
        ],
        0,
    );
    let mut after = Vec::new();
    let meter = Meter::start();
    for number in 1..=commits {
        bench.empty().await?;
        memory::forget_peak()?;
        let before = meter.held();
        let clock = Clock::start();
        let mut batch = bench.store.batch(BatchOptions::new())?;
        let mut text = 0;
        for place in shuffled(operations) {
            let row: Small = row(place, operations, operations.div_ceil(each));
            let put = put_of(&row);
            text += isize::try_from(put.size())?;
            batch.queue(put)?;
        }
        let queued = meter.held();
        meter.forget_peak();
        let report = batch.commit().await?.into_result()?;
        let cost = clock.stop();
        let peak = meter.peak();
        if report.applied() != u64::from(operations) {
            return Err(format!("not all {operations} are applied: {report}").into());
        }
        drop((batch, report));
        let resident = memory::own();
        let held = meter.held();
        bench.expect(usize::try_from(operations)?, &format!("commit {number}")).await?;
        rows.add_row([
            number.to_string(),
            format!("{:.0}", f64::from(operations) / cost.wall.as_secs_f64()),
            megabytes(before.try_into().unwrap_or(0)),
            megabytes(queued.try_into()?),
            megabytes(peak.try_into()?),
            megabytes(held.try_into().unwrap_or(0)),
            of_each(queued - before - text, operations)?,
            of_each(peak - queued, operations)?,
            megabytes(resident.peak),
            megabytes(resident.resident),
        ]);
        eprintln!("commit {number} of {commits}: {} MB resident", megabytes(resident.resident));
        after.push(held);
    }
    println!(
        "\n{commits} commits of {} operations, {} to a partition, in one process.\n\n{rows}",
        grouped(operations),
        grouped(each)
    );
    if let (Some(settled), Some(last)) = (after.get(SETTLED), after.last())
        && last - settled > GROWTH
    {
        return Err(format!("what is held grows: {settled} bytes, then {last}").into());
    }
    Ok(())
}

fn of_each(bytes: isize, operations: u32) -> Outcome<String> {
    Ok(format!("{:.0}", f64::from(i32::try_from(bytes)?) / f64::from(operations)))
}
