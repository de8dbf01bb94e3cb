//! The tables that are printed.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use unibatch_benches::{Cost, Rounds};

use crate::ways::Way;

/// What was measured of one input, in the order of [`Way::ALL`].
#[derive(Debug)]
pub(crate) struct Measured {
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
        println!("\n{count} operations over {partitions} partitions.\n\n{rows}");
    }

    fn nanos_each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e9 / f64::from(self.count)
    }

    /// Adds what is aimed at to the targets.
    pub(crate) fn add_targets(&self, table: &mut Table) {
        let on = grouped(self.partitions);
        for way in Way::ALL {
            let best = match way {
                Way::Put { .. } | Way::Bind { .. } => Way::Grouped,
                Way::PutDocuments { .. } => Way::GroupedDocuments,
                _ => continue,
            };
            let (Some(own), Some(best)) = (self.least(way), self.least(best)) else { continue };
            let name = way.name();
            let over = ratio(own.wall, best.wall);
            Bound::Most(1.05, "×").row(
                table,
                &on,
                &format!("{name}: wall over the best by hand"),
                over,
            );
            let over = ratio(own.cpu, best.cpu);
            Bound::Most(1.15, "×").row(
                table,
                &on,
                &format!("{name}: CPU over the best by hand"),
                over,
            );
            if let (Way::Bind { .. }, Some(calls)) = (way, self.least(Way::Sorted)) {
                let over = self.nanos_each(own.cpu) - self.nanos_each(calls.cpu);
                let what = format!("{name}: CPU an operation over the driver's calls alone");
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
