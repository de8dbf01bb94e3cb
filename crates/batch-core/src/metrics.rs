//! Counters and histograms through the `metrics` facade, if the feature is on.

#[cfg(not(feature = "metrics"))]
#[path = "metrics/off.rs"]
mod recorder;
#[cfg(feature = "metrics")]
#[path = "metrics/on.rs"]
mod recorder;

pub(crate) use recorder::committed;
