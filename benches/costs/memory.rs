//! The memory of a batch, counted by the allocator. The same in every run, so measured once.

use unibatch_benches::{Meter, text_bytes};

use crate::{
    Outcome,
    pass::{Setting, check, queue, runtime},
};

/// Bytes an operation, over the text of keys and documents.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Held when all is queued.
    pub(crate) queued: f64,
    /// The most while queueing.
    pub(crate) queueing: f64,
    /// The most during the plan, over what is queued.
    pub(crate) planning: f64,
    /// The most during the commit, over what is queued.
    pub(crate) committing: f64,
    /// Held after the commit, over what was queued: results, until the last handle is dropped.
    pub(crate) committed: f64,
}

pub(crate) fn memory(setting: &Setting) -> Outcome<Memory> {
    let students = setting.students();
    let text = text_bytes(&students).cast_signed();
    let runtime = runtime()?;
    let backend = setting.backend();

    let meter = Meter::start();
    let mut batch = setting.open(&backend)?;
    queue(&mut *batch, &students)?;
    let (queued, queueing) = (meter.held(), meter.peak());
    meter.forget_peak();
    drop(runtime.block_on(batch.plan())?);
    let planning = meter.peak();
    meter.forget_peak();
    let report = runtime.block_on(batch.commit())?;
    let (committed, committing) = (meter.held(), meter.peak());
    drop(meter);

    check(setting, &report)?;
    let each = |bytes: isize| bytes as f64 / f64::from(setting.count);
    Ok(Memory {
        queued: each(queued - text),
        queueing: each(queueing - text),
        planning: each(planning - queued),
        committing: each(committing - queued),
        committed: each(committed - queued),
    })
}
