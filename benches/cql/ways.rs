//! The ways of writing that are compared.

use unibatch_benches::{Clock, Cost};

use crate::{Outcome, bench::Bench, by_hand, ours, rows::Input};

/// A way of writing all rows of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    OneAtATime,
    Singles,
    AsTheyCome(usize),
    /// The best by hand.
    Grouped,
    /// The same from JSON text.
    GroupedDocuments,
    /// The same from rows that are sorted already.
    Sorted,
    Put {
        results: bool,
    },
    PutDocuments {
        results: bool,
    },
    Bind {
        results: bool,
    },
}

/// One at a time is slow: so many rows stand for all.
const SAMPLE: usize = 2000;

impl Way {
    pub(crate) const ALL: [Self; 13] = [
        Self::OneAtATime,
        Self::Singles,
        Self::AsTheyCome(20),
        Self::AsTheyCome(100),
        Self::Sorted,
        Self::Grouped,
        Self::GroupedDocuments,
        Self::Put { results: true },
        Self::Put { results: false },
        Self::PutDocuments { results: true },
        Self::PutDocuments { results: false },
        Self::Bind { results: true },
        Self::Bind { results: false },
    ];

    pub(crate) fn name(self) -> String {
        let quiet = |results: bool| if results { "" } else { ", `results(false)`" };
        match self {
            Self::OneAtATime => "one insert awaited at a time (from 2,000)".to_owned(),
            Self::Singles => "single inserts, 256 in flight".to_owned(),
            Self::AsTheyCome(size) => format!("batches of {size} in order of arrival"),
            Self::Sorted => "driver's batch calls alone, rows grouped before".to_owned(),
            Self::Grouped => "best by hand, from structs".to_owned(),
            Self::GroupedDocuments => "best by hand, from JSON text".to_owned(),
            Self::Put { results } => format!("unibatch `put`, from structs{}", quiet(results)),
            Self::PutDocuments { results } => {
                format!("unibatch `put`, from JSON text{}", quiet(results))
            }
            Self::Bind { results } => format!("unibatch `bind`, from structs{}", quiet(results)),
        }
    }

    /// The rows that it writes.
    pub(crate) fn count(self, input: &Input) -> usize {
        match self {
            Self::OneAtATime => input.len().min(SAMPLE),
            _ => input.len(),
        }
    }

    /// Writes all rows, and says what that took.
    pub(crate) async fn run(self, bench: &Bench, input: &Input) -> Outcome<Cost> {
        let Input { rows, sorted, documents, .. } = input;
        let count = self.count(input);
        // The one that sorts in place gets rows of its own.
        let own = if self == Self::Grouped { rows.clone() } else { Vec::new() };
        let clock = Clock::start();
        match self {
            Self::OneAtATime => {
                by_hand::one_at_a_time(bench, rows.get(..count).unwrap_or_default()).await?;
            }
            Self::Singles => by_hand::singles(bench, rows).await?,
            Self::AsTheyCome(size) => by_hand::as_they_come(bench, rows, size).await?,
            Self::Grouped => by_hand::grouped(bench, own).await?,
            Self::GroupedDocuments => by_hand::grouped_documents(bench, documents).await?,
            Self::Sorted => by_hand::sorted(bench, sorted).await?,
            Self::Put { results } => ours::put(bench, rows, results).await?,
            Self::PutDocuments { results } => {
                ours::put_documents(bench, documents, results).await?;
            }
            Self::Bind { results } => ours::bind(bench, rows, results).await?,
        }
        let cost = clock.stop();
        bench.expect(count, &self.name()).await?;
        // Counts are small enough to be floats.
        let part = u32::try_from(input.len())?;
        Ok(cost.times(f64::from(part) / f64::from(u32::try_from(count)?)))
    }
}
