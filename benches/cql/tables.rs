//! The tables that are printed.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use unibatch_benches::{Cost, Rounds};

use crate::ways::{SIZES, Way};

/// What was measured of one input, in the order of [`Way::ALL`].
#[derive(Debug)]
pub(crate) struct Measured {
    /// The bytes of a document, on average.
    pub(crate) bytes: usize,
    pub(crate) count: u32,
    pub(crate) partitions: u32,
    pub(crate) ways: Vec<(Way, Rounds)>,
}

/// An empty table, with numbers in the columns from a place on.
pub(crate) fn table<const N: usize>(header: [&str; N], numbers_from: usize) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// An empty table of targets, of which the first column says on what they were measured.
pub(crate) fn targets(on: &str) -> Table {
    table([on, "what", "measured", "target", "met"], 5)
}

/// What is aimed at, with its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    Most(f64, &'static str),
    Least(f64, &'static str),
}

impl Bound {
    /// Adds a row to a table of targets.
    pub(crate) fn row(self, table: &mut Table, on: &str, what: &str, measured: f64) {
        let (target, met, unit) = match self {
            Self::Most(most, unit) => (format!("≤ {most} {unit}"), measured <= most, unit),
            Self::Least(least, unit) => (format!("≥ {least} {unit}"), measured >= least, unit),
        };
        let measured = match unit {
            "ns" => format!("{measured:.0} {unit}"),
            _ => format!("{measured:.2} {unit}"),
        };
        let met = if met { "yes" } else { "**no**" };
        table.add_row([on, what, &measured, &target, met]);
    }
}

impl Measured {
    fn least(&self, way: Way) -> Option<Cost> {
        let rounds = self.ways.iter().find(|(other, _)| *other == way);
        rounds.map(|(_, rounds)| rounds.least())
    }

    /// Prints all ways.
    pub(crate) fn print(&self) {
        let mut rows = table(
            [
                "way",
                "ops/s",
                "wall, ms",
                "median",
                "client CPU, ms",
                "median",
                "CPU an operation, ns",
            ],
            1,
        );
        let millis = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        for (way, rounds) in &self.ways {
            let (least, median) = (rounds.least(), rounds.median());
            rows.add_row([
                way.name(),
                format!("{:.0}", f64::from(self.count) / least.wall.as_secs_f64()),
                millis(least.wall),
                millis(median.wall),
                millis(least.cpu),
                millis(median.cpu),
                format!("{:.0}", self.nanos_each(least.cpu)),
            ]);
        }
        let (count, partitions) = (grouped(self.count), grouped(self.partitions));
        println!(
            "\n{count} documents of {} bytes over {partitions} partitions.\n\n{rows}",
            self.bytes
        );
    }

    fn nanos_each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e9 / f64::from(self.count)
    }

    /// Adds what is aimed at to the targets.
    pub(crate) fn add_targets(&self, table: &mut Table) {
        let on = format!("{}, of {} bytes", grouped(self.partitions), self.bytes);
        for way in Way::ALL {
            let by_hand: fn(usize) -> Way = match way {
                Way::Put { .. } | Way::Bind { .. } => Way::Grouped,
                Way::PutDocuments { .. } => Way::GroupedDocuments,
                _ => continue,
            };
            let Some(own) = self.least(way) else { continue };
            for (size, best) in SIZES.map(|size| (size, self.least(by_hand(size)))) {
                let Some(best) = best else { continue };
                let beside = format!("over that by hand in batches of {size}");
                for (what, own, best, most) in
                    [("wall", own.wall, best.wall, 1.05), ("CPU", own.cpu, best.cpu, 1.15)]
                {
                    let what = format!("{}: {what} {beside}", way.name());
                    Bound::Most(most, "×").row(table, &on, &what, ratio(own, best));
                }
            }
            if !matches!(way, Way::Bind { .. }) {
                continue;
            }
            for (size, calls) in SIZES.map(|size| (size, self.least(Way::Sorted(size)))) {
                let Some(calls) = calls else { continue };
                let over = self.nanos_each(own.cpu) - self.nanos_each(calls.cpu);
                let what =
                    format!("{}: CPU an operation over the driver's calls of {size}", way.name());
                Bound::Most(250.0, "ns").row(table, &on, &what, over);
            }
        }
        let Some(put) = self.least(Way::Put { results: true }) else { return };
        for (other, least) in
            [(Way::AsTheyCome(20), 1.5), (Way::AsTheyCome(100), 1.5), (Way::OneAtATime, 10.0)]
        {
            let Some(cost) = self.least(other) else { continue };
            let what = format!("unibatch `put`: throughput over {}", other.name());
            Bound::Least(least, "×").row(table, &on, &what, ratio(cost.wall, put.wall));
        }
    }
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// A count with commas between thousands.
pub(crate) fn grouped(count: u32) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
