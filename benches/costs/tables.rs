//! The tables that are printed.

use std::time::Duration;

use batch_core::{Error, ErrorKind, seam::Repeats};
use bytes::Bytes;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use unibatch_benches::{Habits, Keys, Says};

use crate::{
    Outcome, Scale,
    memory::{Memory, memory},
    pass::{LongestPolls, Setting, Times, polls, times},
    single::{awaiting, batch_of_one, tasks},
};

/// What no poll may take longer than.
const POLL: Duration = Duration::from_millis(10);

/// Measures everything and prints it, the targets first; or some variants alone.
pub(crate) fn print(scale: Scale, only: Option<&str>) -> Outcome<()> {
    if only.is_some() {
        return variants(scale, only);
    }
    let mut sizes = vec![1, 1000, scale.large, scale.largest];
    sizes.sort_unstable();
    sizes.dedup();
    let mut measured = Vec::new();
    for count in sizes {
        let setting = Setting::plain(count);
        eprintln!("{} operations …", grouped(count));
        // First, because dropped plans leave the allocator work that it does in later polls.
        let polls = polls(&setting, scale.runs)?;
        measured.push((count, times(&setting, scale.runs)?, memory(&setting)?, polls));
    }
    targets(scale, &measured)?;
    print_sizes(&measured);
    variants(scale, None)
}

type Measured = (u32, Times, Memory, LongestPolls);

struct Targets(Table);

impl Targets {
    fn row(&mut self, what: String, measured: String, target: &str, met: bool) {
        let met = if met { "yes" } else { "**no**" };
        self.0.add_row([what, measured, target.to_owned(), met.to_owned()]);
    }
}

fn table<const N: usize>(header: [&str; N], numbers_from: usize) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn targets(scale: Scale, measured: &[Measured]) -> Outcome<()> {
    let mut rows = Targets(table(["what", "measured", "target", "met"], 4));
    let of = |count: u32| measured.iter().find(|row| row.0 == count);
    let (Some(large), Some(largest)) = (of(scale.large), of(scale.largest)) else {
        return Err("both sizes were measured".into());
    };
    time_targets(&mut rows, large, largest);
    eprintln!("memory …");
    memory_targets(&mut rows, scale, large)?;
    poll_targets(&mut rows, large, largest);
    eprintln!("single operations …");
    single_targets(&mut rows, scale)?;
    println!("\n{}", rows.0);
    Ok(())
}

fn time_targets(rows: &mut Targets, large: &Measured, largest: &Measured) {
    let (count, times, ..) = large;
    let size = grouped(*count);
    for (what, written) in [
        ("`serde_json::to_vec`", times.written),
        ("`serde_json` and one buffer, nothing kept", times.written_over),
        ("`serde_json::to_vec`, all kept", times.written_kept),
    ] {
        let ratio = times.queue / written;
        rows.row(
            format!("queue {size}, over writing the same by {what}"),
            format!("{ratio:.2} × ({:.0} ns over {written:.0} ns)", times.queue),
            "≤ 3.5 ×",
            ratio <= 3.5,
        );
    }
    for (count, times, ..) in both(large, largest) {
        rows.row(
            format!("commit {}, an operation", grouped(*count)),
            format!("{:.0} ns", times.commit),
            "≤ 250 ns",
            times.commit <= 250.0,
        );
    }
    let step = format!("from {size} to {}", grouped(largest.0));
    for (what, of) in [
        ("queue", (|times| times.queue) as fn(&Times) -> f64),
        ("plan", |times| times.plan),
        ("commit", |times| times.commit),
    ] {
        let growth = of(&largest.1) / of(&large.1);
        rows.row(
            format!("growth of {what}, an operation, {step}"),
            format!("{growth:.2} ×"),
            "≤ 1.5 ×",
            growth <= 1.5,
        );
    }
}

/// The two sizes, or the one if they are the same.
fn both<'a>(large: &'a Measured, largest: &'a Measured) -> impl Iterator<Item = &'a Measured> {
    let other = (largest.0 != large.0).then_some(largest);
    std::iter::once(large).chain(other)
}

fn memory_targets(rows: &mut Targets, scale: Scale, large: &Measured) -> Outcome<()> {
    // Vectors that double are at their emptiest just after they did.
    let worst = scale.large.next_power_of_two() + 1;
    for (count, memory) in [(large.0, large.2), (worst, memory(&Setting::plain(worst))?)] {
        let size = grouped(count);
        rows.row(
            format!("memory of {size} queued, over text, an operation"),
            format!("{:.0} bytes", memory.queued),
            "≤ 100 bytes",
            memory.queued <= 100.0,
        );
        rows.row(
            format!("peak of committing {size}, over that"),
            format!("{:.0} bytes", memory.committing),
            "≤ 100 bytes",
            memory.committing <= 100.0,
        );
    }
    Ok(())
}

fn poll_targets(rows: &mut Targets, large: &Measured, largest: &Measured) {
    for (count, _, _, polls) in both(large, largest) {
        for (what, polls) in [("commit", polls.commit), ("plan", polls.plan)] {
            rows.row(
                format!("longest poll of a {what}, {}", grouped(*count)),
                format!(
                    "{:.1} ms ({:.1} ms on the wall)",
                    millis(polls.longest.cpu),
                    millis(polls.longest.wall),
                ),
                "≤ 10 ms",
                polls.longest.cpu <= POLL,
            );
        }
    }
}

fn single_targets(rows: &mut Targets, scale: Scale) -> Outcome<()> {
    let one = batch_of_one()?;
    rows.row(
        "batch of one: open, queue, commit, drop, over the bare call".to_owned(),
        format!("{:.2} µs over {:.2} µs", (one.batch - one.bare) / 1e3, one.bare / 1e3),
        "≤ 5 µs over",
        one.batch - one.bare <= 5e3,
    );
    rows.row(
        "memory of a batch with one operation".to_owned(),
        format!("{} bytes", one.bytes),
        "< 4,096 bytes",
        one.bytes < 4096,
    );
    let count = 100_000;
    let awaited = awaiting(count, scale.runs)?;
    rows.row(
        "awaiting a job: register, be woken, read".to_owned(),
        format!("{:.2} µs", awaited.in_all() / 1e3),
        "< 1 µs",
        awaited.in_all() < 1e3,
    );
    rows.row(
        "awaiting a job that has ended".to_owned(),
        format!("{:.2} µs", awaited.ended / 1e3),
        "< 1 µs",
        awaited.ended < 1e3,
    );
    rows.row(
        "memory in the library of a job that is not awaited".to_owned(),
        format!("{:.0} bytes", awaited.unawaited_bytes),
        "0 bytes",
        awaited.unawaited_bytes == 0.0,
    );
    let tasks = tasks(count, scale.runs)?;
    let over = tasks.jobs.saturating_sub(tasks.channels) / count;
    rows.row(
        format!(
            "{} tasks that await a job each, commit included, over as many that await a channel",
            grouped(count)
        ),
        format!(
            "{:.0} ms over {:.0} ms: {:.2} µs a task",
            millis(tasks.jobs),
            millis(tasks.channels),
            millis(over) * 1e3
        ),
        "< 1 µs a task",
        over < Duration::from_micros(1),
    );
    Ok(())
}

fn print_sizes(measured: &[Measured]) {
    let mut rows = table(
        [
            "operations",
            "`to_vec`",
            "queue",
            "plan",
            "commit",
            "of it planning",
            "of it sending and settling",
            "ask a job",
            "report as text",
        ],
        0,
    );
    for (count, times, ..) in measured {
        rows.add_row([
            grouped(*count),
            whole(times.written),
            whole(times.queue),
            whole(times.plan),
            whole(times.commit),
            whole(times.planning),
            whole(times.commit - times.planning),
            whole(times.asking),
            whole(times.report),
        ]);
    }
    println!("\nNanoseconds an operation, by size; of the report, in all.\n\n{rows}");

    let mut rows = table(
        [
            "operations",
            "queued",
            "most while queueing",
            "peak of plan",
            "peak of commit",
            "left after commit",
        ],
        0,
    );
    for (count, _, memory, _) in measured {
        rows.add_row([
            grouped(*count),
            whole(memory.queued),
            whole(memory.queueing),
            whole(memory.planning),
            whole(memory.committing),
            whole(memory.committed),
        ]);
    }
    println!(
        "\nBytes an operation, by size: the first two over the text, the others over what is queued.\n\n{rows}"
    );
}

fn variants(scale: Scale, only: Option<&str>) -> Outcome<()> {
    let plain = Setting::plain(scale.variants);
    let hot = |repeats| Setting {
        keys: Keys::OneHot,
        habits: Habits { repeats, ..Habits::default() },
        ..plain.clone()
    };
    let answered = |says: &Says, results| Setting {
        habits: Habits { says: says.clone(), ..Habits::default() },
        results,
        ..plain.clone()
    };
    let grouped_each = Habits { group_each: true, ..Habits::default() };
    let pooled = Habits { pooled: Some(10), ..grouped_each.clone() };
    let folded = Habits { repeats: Repeats::Folded, ..Habits::default() };
    let sorted = Habits { has_positions: true, ..Habits::default() };
    let body = Says::Body(Bytes::from_static(br#"{"_rev":"_jXYZabc---"}"#));
    let refused = Says::Refused(Error::new(ErrorKind::Conflict, "another write was faster"));
    let settings = [
        ("distinct keys", plain.clone()),
        ("every tenth key repeats", Setting { keys: Keys::TenthRepeats, ..plain.clone() }),
        ("one hot key, writes are stamped", hot(Repeats::Stamped)),
        ("one hot key, a chunk takes it often", hot(Repeats::Together)),
        ("one hot key, a chunk takes it once", hot(Repeats::Apart)),
        ("one hot key, a chunk folds it", hot(Repeats::Folded)),
        (
            "every tenth key repeats and is folded",
            Setting { keys: Keys::TenthRepeats, habits: folded, ..plain.clone() },
        ),
        ("one group, sorted by position", Setting { habits: sorted, ..plain.clone() }),
        ("every operation is a group", Setting { habits: grouped_each, ..plain.clone() }),
        (
            "every operation is a group, ten travel together",
            Setting { habits: pooled, ..plain.clone() },
        ),
        ("`results(false)`", answered(&Says::AllApplied, false)),
        ("every answer has a body", answered(&body, true)),
        ("every answer has a body, `results(false)`", answered(&body, false)),
        ("every operation is refused", answered(&refused, true)),
        ("every operation is refused, `results(false)`", answered(&refused, false)),
    ];
    let mut rows = table(
        [
            "variant",
            "queue, ns",
            "plan, ns",
            "commit, ns",
            "queued, bytes",
            "peak of commit, bytes",
            "left after commit, bytes",
            "longest poll of plan, ms",
            "longest poll of commit, ms",
        ],
        1,
    );
    for (name, setting) in settings {
        if only.is_some_and(|text| !name.contains(text)) {
            continue;
        }
        eprintln!("{name} …");
        // First, because dropped plans leave the allocator work that it does in later polls.
        let polls = polls(&setting, scale.runs)?;
        let times = times(&setting, scale.runs)?;
        let memory = memory(&setting)?;
        rows.add_row([
            name.to_owned(),
            whole(times.queue),
            whole(times.plan),
            whole(times.commit),
            whole(memory.queued),
            whole(memory.committing),
            whole(memory.committed),
            format!("{:.2}", millis(polls.plan.longest.cpu)),
            format!("{:.2}", millis(polls.commit.longest.cpu)),
        ]);
    }
    println!("\nVariants of {} operations.\n\n{rows}", grouped(scale.variants));
    Ok(())
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A count with commas between thousands.
fn grouped(count: u32) -> String {
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
