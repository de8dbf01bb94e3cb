//! Tables for people.

use std::{
    fmt::Display,
    io::{self, Write},
};

use anstream::{AutoStream, ColorChoice};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use unibatch::{BatchType, Guarantee, JobStatus, Plan};

use super::{ALL_UP_TO, Facts, Summary};
use crate::{
    args::Show,
    messages::{self, printable},
    verdicts::{Verdict, Verdicts},
};

/// A longer answer is cut in a table; JSON has the whole.
const LONGEST_DETAIL: usize = 200;

/// On a narrower terminal lines are as long as they are, and the terminal breaks them.
const NARROWEST: u16 = 60;

pub(super) fn run(
    out: &mut dyn Write,
    verdicts: Verdicts<'_>,
    summary: &Summary,
    show: Show,
) -> io::Result<()> {
    let mut pages = Pages::new(&["job", "operation", "collection", "key", "status", "outcome"]);
    let mut shown = 0_usize;
    let looks = match show {
        Show::All => true,
        Show::Failed => summary.not_applied + summary.unknown > 0,
        Show::None => false,
    };
    if looks {
        for verdict in verdicts.iter().filter(|verdict| show.shows(&verdict.status)) {
            shown += 1;
            let row = job_row(&verdict, pages.colour);
            pages.add(out, row)?;
        }
    }
    pages.end(out)?;
    if shown > 0 {
        writeln!(out)?;
    }
    for line in summary.text.lines() {
        writeln!(out, "{}", printable(line))?;
    }
    if shown < verdicts.len() && show == Show::Failed {
        messages::note(&format!(
            "{shown} of {} jobs are shown: those that are not applied or unknown; --show all shows all",
            verdicts.len()
        ));
    }
    Ok(())
}

fn job_row(verdict: &Verdict<'_>, colour: bool) -> Vec<Cell> {
    let Verdict { id, operation, status } = verdict;
    let (word, tint) = match status {
        JobStatus::Applied(_) => ("applied", Color::DarkGreen),
        JobStatus::NotApplied(_) => ("not applied", Color::DarkRed),
        JobStatus::Accepted => ("accepted", Color::DarkCyan),
        JobStatus::Unknown(_) => ("unknown", Color::DarkYellow),
        // The list may grow; a word is better than none.
        _ => (status.as_str(), Color::Reset),
    };
    let detail = match status {
        JobStatus::Applied(outcome) => String::from_utf8_lossy(outcome.json()).into_owned(),
        _ => match status.error() {
            Some(error) => {
                let message = error.message();
                let sources: Vec<_> = messages::sources(error)
                    .map(ToString::to_string)
                    .filter(|source| !message.contains(source.as_str()))
                    .collect();
                [&[format!("{}: {message}", error.kind())], &*sources].concat().join(": ")
            }
            None => String::new(),
        },
    };
    let mut row = vec![Cell::new(id)];
    match operation {
        Some(operation) => {
            let key = match operation.key.bare() {
                Some(text) => text.to_owned(),
                None if operation.key.is_empty() => String::new(),
                None => serde_json::to_string(&operation.key).unwrap_or_default(),
            };
            row.extend([text(operation.name()), text(operation.collection), text(&key)]);
        }
        None => row.extend([text(""), text(""), text("")]),
    }
    let word = Cell::new(word);
    row.push(if colour { word.fg(tint) } else { word });
    row.push(text(&detail));
    row
}

pub(super) fn plan(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let mut pages = Pages::new(&["chunk", "lane", "mechanism", "operations", "bytes", "jobs"]);
    for (place, chunk) in plan.chunks.iter().enumerate().take(ALL_UP_TO) {
        let at_most = if chunk.exact_bytes { "" } else { "≤ " };
        let row = vec![
            Cell::new(place + 1),
            Cell::new(chunk.lane),
            text(&chunk.mechanism),
            Cell::new(chunk.operations.len()),
            Cell::new(format!("{at_most}{}", chunk.bytes)),
            text(&ranges(&chunk.operations)),
        ];
        pages.add(out, row)?;
    }
    pages.end(out)?;
    if !plan.chunks.is_empty() {
        writeln!(out)?;
    }
    for line in plan.to_string().lines() {
        writeln!(out, "{}", printable(line))?;
    }
    if plan.chunks.len() > ALL_UP_TO {
        messages::note(&format!(
            "{ALL_UP_TO} of {} chunks are shown; --output json has all",
            plan.chunks.len()
        ));
    }
    messages::note("nothing was sent");
    Ok(())
}

/// Numbers in a row as ranges: `1-3, 7`.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let words: Vec<_> = ranges
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    words.join(", ")
}

pub(super) fn check(out: &mut dyn Write, facts: &Facts) -> io::Result<()> {
    let can = &facts.capabilities;
    let mut table = Pages::new(&["", ""]);
    table.add(out, pair("store", &facts.url))?;
    table.add(out, pair("server", format!("{} {}", facts.server.name, facts.server.version)))?;
    for (name, value) in &facts.server.facts {
        table.add(out, pair(name, value))?;
    }
    table.end(out)?;
    writeln!(out)?;

    let mut table = Pages::new(&["capability", ""]);
    for (name, able) in [
        ("get in a batch", can.reads),
        ("insert, replace, update, delete_existing", can.conditions),
        ("if_revision", can.revisions),
        ("ttl", can.ttl),
        ("timestamp", can.timestamps),
        ("returning", can.returning),
    ] {
        table.add(out, pair(name, if able { "yes" } else { "no" }))?;
    }
    let types: Vec<_> = can.batch_types.iter().copied().map(BatchType::as_str).collect();
    let types = if types.is_empty() { "none".to_owned() } else { types.join(", ") };
    table.add(out, pair("batch types that can be forced", types))?;
    let most =
        can.max_operation_bytes.map_or_else(|| "no known limit".to_owned(), |n| n.to_string());
    table.add(out, pair("most bytes of one operation", most))?;
    table.end(out)?;
    writeln!(out)?;

    let mut table = Pages::new(&["guarantee", "mechanism"]);
    for guarantee in Guarantee::ALL.iter().copied() {
        table.add(out, pair(guarantee.as_str(), can.mechanism(guarantee).unwrap_or("refused")))?;
    }
    table.end(out)
}

fn pair(name: &str, value: impl Display) -> Vec<Cell> {
    vec![text(name), text(&value.to_string())]
}

/// A cell of text from a file or a server: without control characters, and not too long.
fn text(text: &str) -> Cell {
    let plain = printable(text);
    match plain.char_indices().nth(LONGEST_DETAIL) {
        Some((end, _)) => Cell::new_owned(format!("{}…", plain.get(..end).unwrap_or_default())),
        None => Cell::new_owned(plain.into_owned()),
    }
}

/// A long table, printed page by page, so that a million rows are not held at once.
struct Pages {
    header: Vec<String>,
    table: Table,
    colour: bool,
    printed: bool,
}

impl Pages {
    fn new(header: &[&str]) -> Self {
        let colour = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        let header: Vec<_> = header.iter().map(|&name| name.to_owned()).collect();
        Self { table: empty(&header, colour), header, colour, printed: false }
    }

    fn add(&mut self, out: &mut dyn Write, row: Vec<Cell>) -> io::Result<()> {
        self.table.add_row(row);
        if self.table.row_count() >= ALL_UP_TO { self.end(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.table.is_empty() {
            return Ok(());
        }
        if self.printed {
            writeln!(out)?;
        }
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in self.table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        self.printed = true;
        self.table = empty(&self.header, self.colour);
        Ok(())
    }
}

fn empty(header: &[String], colour: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // Off a terminal there is no width, and one of no width has columns of single letters.
    if table.width().is_some_and(|width| width >= NARROWEST) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    if header.iter().any(|name| !name.is_empty()) {
        table.set_header(header.iter().map(|name| name.to_uppercase()));
    }
    if colour {
        table.enforce_styling();
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_numbers_in_a_row_are_printed_as_ranges() {
        for (numbers, expected) in [
            (&[][..], ""),
            (&[4], "4"),
            (&[1, 2, 3, 7, 9, 10], "1-3, 7, 9-10"),
            (&[2, 1, u32::MAX], "2, 1, 4294967295"),
        ] {
            assert_eq!(ranges(numbers), expected);
        }
    }

    #[test]
    fn a_long_table_is_printed_in_pages_that_each_have_the_header() {
        let mut printed = Vec::new();
        let mut pages = Pages::new(&["number"]);
        for number in 1..=2 * ALL_UP_TO + 1 {
            pages.add(&mut printed, vec![Cell::new(number)]).unwrap();
            assert!(pages.table.row_count() < ALL_UP_TO);
        }
        pages.end(&mut printed).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(printed.lines().filter(|line| *line == "NUMBER").count(), 3);
        let numbers = printed.lines().filter_map(|line| line.parse::<usize>().ok());
        assert!(numbers.eq(1..=2 * ALL_UP_TO + 1));
    }

    #[test]
    fn a_cell_is_cut_at_a_character_and_obeys_nobody() {
        assert_eq!(text(&"é".repeat(201)).content(), format!("{}…", "é".repeat(200)));
        assert_eq!(text(&"é".repeat(200)).content(), "é".repeat(200));
        assert_eq!(text("\u{1b}]0;x\u{7}\n").content(), "\\u{1b}]0;x\\u{7}\\n");
    }
}
