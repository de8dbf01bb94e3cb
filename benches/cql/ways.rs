//! The ways of writing that are compared.

use unibatch_benches::{Clock, Cost};

use crate::{
    Outcome,
    bench::Bench,
    by_hand::{self, IN_FLIGHT, MANY_IN_FLIGHT},
    ours,
    rows::{Input, Row},
};

/// A way of writing all rows of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    OneAtATime,
    Singles,
    AsTheyCome(usize),
    /// The best by hand, with batches of so many.
    Grouped(usize),
    /// The same, sorted by the whole key: what helps in large partitions, once one knows.
    ByKey(usize),
    /// As `Grouped`, from JSON text.
    GroupedDocuments(usize),
    /// As `GroupedDocuments`, with as many in flight as unibatch has of small requests.
    ManyDocuments(usize),
    /// The same as `Grouped` from rows that are sorted already.
    Sorted(usize),
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

/// The sizes of batches by hand: what users are told to take, and what unibatch was measured to be
/// best with.
pub(crate) const SIZES: [usize; 2] = [100, 500];

/// The bytes above which the server refuses a batch of several partitions, unless configured otherwise.
const REFUSED_BYTES: usize = 50 << 10;

/// One at a time is slow: so many rows stand for all.
const SAMPLE: usize = 2000;

impl Way {
    pub(crate) const ALL: [Self; 18] = [
        Self::OneAtATime,
        Self::Singles,
        Self::AsTheyCome(20),
        Self::AsTheyCome(100),
        Self::Sorted(SIZES[0]),
        Self::Sorted(SIZES[1]),
        Self::Grouped(SIZES[0]),
        Self::Grouped(SIZES[1]),
        Self::ByKey(SIZES[1]),
        Self::GroupedDocuments(SIZES[0]),
        Self::GroupedDocuments(SIZES[1]),
        Self::ManyDocuments(SIZES[0]),
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
            Self::Sorted(size) => format!("driver's calls alone, batches of {size}"),
            Self::Grouped(size) => format!("by hand in batches of {size}, from structs"),
            Self::ByKey(size) => {
                format!("by hand in batches of {size}, from structs, sorted by the whole key")
            }
            Self::GroupedDocuments(size) => format!("by hand in batches of {size}, from JSON text"),
            Self::ManyDocuments(size) => {
                format!("by hand in batches of {size}, from JSON text, {MANY_IN_FLIGHT} in flight")
            }
            Self::Put { results } => format!("unibatch `put`, from structs{}", quiet(results)),
            Self::PutDocuments { results } => {
                format!("unibatch `put`, from JSON text{}", quiet(results))
            }
            Self::Bind { results } => format!("unibatch `bind`, from structs{}", quiet(results)),
        }
    }

    /// Whether the server takes it, as far as the documents alone tell.
    pub(crate) fn is_taken<R: Row>(self, input: &Input<R>, partitions: u32) -> bool {
        match self {
            Self::AsTheyCome(size) => {
                partitions == 1 || size * input.document_bytes() <= REFUSED_BYTES
            }
            _ => true,
        }
    }

    /// The rows that it writes.
    pub(crate) fn count<R: Row>(self, input: &Input<R>) -> usize {
        match self {
            Self::OneAtATime => input.len().min(SAMPLE),
            _ => input.len(),
        }
    }

    /// Writes all rows, and says what that took.
    pub(crate) async fn run<R: Row>(self, bench: &Bench<R>, input: &Input<R>) -> Outcome<Cost> {
        let Input { rows, sorted, documents, .. } = input;
        let count = self.count(input);
        // Those that sort in place get rows of their own.
        let sorts = matches!(self, Self::Grouped(_) | Self::ByKey(_));
        let own = if sorts { rows.clone() } else { Vec::new() };
        let clock = Clock::start();
        match self {
            Self::OneAtATime => {
                by_hand::one_at_a_time(bench, rows.get(..count).unwrap_or_default()).await?;
            }
            Self::Singles => by_hand::singles(bench, rows).await?,
            Self::AsTheyCome(size) => by_hand::as_they_come(bench, rows, size).await?,
            Self::Grouped(size) => by_hand::grouped(bench, own, size).await?,
            Self::ByKey(size) => by_hand::by_key(bench, own, size).await?,
            Self::GroupedDocuments(size) => {
                by_hand::grouped_documents(bench, documents, size, IN_FLIGHT).await?;
            }
            Self::ManyDocuments(size) => {
                by_hand::grouped_documents(bench, documents, size, MANY_IN_FLIGHT).await?;
            }
            Self::Sorted(size) => by_hand::sorted(bench, sorted, size).await?,
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
