//! Loading a file: the program, the store's own bulk loader, and a loader made by hand, each as a
//! whole process.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use integration_tests::Cassandra;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::json;

use unibatch_benches::{Cost, Rounds};

use crate::{
    Outcome,
    bench::Bench,
    memory::{self, megabytes},
    rows::{Row as _, Small, row, shuffled},
    tables::{Bound, grouped, table, targets},
};

/// Rows in a partition.
const EACH: u32 = 100;

/// What loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loader {
    Program,
    ByHand,
    DsBulk,
}

/// In which order the rows are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Shuffled,
    ByPartition,
}

/// Where the loaders are.
#[derive(Debug)]
pub(crate) struct Loaders {
    pub(crate) program: PathBuf,
    pub(crate) by_hand: PathBuf,
    /// The folder of its jars.
    pub(crate) dsbulk: Option<PathBuf>,
}

/// The files of one order.
#[derive(Debug)]
struct Files {
    /// One operation a line, for the program and the loader by hand.
    operations: PathBuf,
    /// One row a line, which is shorter, for the bulk loader.
    rows: PathBuf,
}

#[derive(Debug)]
struct Measured {
    loader: Loader,
    order: Order,
    rounds: Rounds,
    peak: u64,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::Shuffled => "shuffled",
            Self::ByPartition => "in partition order",
        }
    }

    fn numbers(self, count: u32) -> Box<dyn Iterator<Item = u32>> {
        match self {
            Self::Shuffled => Box::new(shuffled(count)),
            Self::ByPartition => Box::new(0..count),
        }
    }

    fn write(self, folder: &Path, count: u32) -> Outcome<Files> {
        let name = self.name().replace(' ', "-");
        let files = Files {
            operations: folder.join(format!("{name}.operations.ndjson")),
            rows: folder.join(format!("{name}.rows.json")),
        };
        let mut operations = BufWriter::new(File::create(&files.operations)?);
        let mut rows = BufWriter::new(File::create(&files.rows)?);
        for number in self.numbers(count) {
            let row: Small = row(number, count, count.div_ceil(EACH));
            let (p, c, name, age) = (row.p, row.c, &row.name, row.age);
            let key = json!({"p": p, "c": c});
            let operation =
                json!({"op": "put", "collection": Small::TABLE, "key": key, "doc": row});
            writeln!(operations, "{operation}")?;
            writeln!(rows, "{}", json!({"p": p, "c": c, "name": name, "age": age}))?;
        }
        operations.flush()?;
        rows.flush()?;
        Ok(files)
    }
}

impl Loader {
    const fn name(self) -> &'static str {
        match self {
            Self::Program => "`unibatch run`",
            Self::ByHand => "loader by hand",
            Self::DsBulk => "DSBulk, defaults",
        }
    }

    fn command(
        self,
        loaders: &Loaders,
        server: &Cassandra,
        keyspace: &str,
        files: &Files,
        folder: &Path,
    ) -> Option<Command> {
        let address = server.address();
        let command = match self {
            Self::Program => {
                let mut command = Command::new(&loaders.program);
                command.args(["run", "--store", &server.url(keyspace)]).arg(&files.operations);
                command
            }
            Self::ByHand => {
                let mut command = Command::new(&loaders.by_hand);
                command.args([address.to_string(), format!("{keyspace}.{}", Small::TABLE)]);
                command.arg(&files.operations);
                command
            }
            Self::DsBulk => {
                let home = std::env::var_os("JAVA_HOME").map(PathBuf::from);
                let java = home.map_or(OsString::from("java"), |home| home.join("bin/java").into());
                let mut command = Command::new(java);
                command.arg("-cp").arg(loaders.dsbulk.as_ref()?.join("*"));
                command.args(["com.datastax.oss.dsbulk.runner.DataStaxBulkLoader", "load"]);
                command.args(["-c", "json", "-k", keyspace, "-t", Small::TABLE]);
                command.args([
                    "-h",
                    &address.ip().to_string(),
                    "-port",
                    &address.port().to_string(),
                ]);
                command.arg("-url").arg(&files.rows);
                command.arg("--log.directory").arg(folder.join("dsbulk"));
                command
            }
        };
        Some(command)
    }
}

/// Runs a process to its end; what it took, and the most memory that it held.
fn run(mut command: Command, folder: &Path) -> Outcome<(Cost, u64)> {
    let said = folder.join("said");
    let out = File::create(&said)?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let process = child.id().to_string();
    let pid = Pid::from_child(&child);
    let mut peak = 0;
    // Looked at before it is buried: its time is told until then, its memory until it ends.
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(pid), ended)?.is_none() {
        peak = memory::of_process(&process).map_or(peak, |memory| peak.max(memory.peak));
        std::thread::sleep(Duration::from_millis(2));
    }
    let wall = start.elapsed();
    let cpu = processor_time(&process).unwrap_or_default();
    if !child.wait()?.success() {
        let said = fs::read_to_string(&said)?;
        return Err(format!("{command:?} failed:\n{said}").into());
    }
    Ok((Cost { wall, cpu }, peak))
}

/// The processor's time of a process, all its threads together.
fn processor_time(process: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, which may hold anything, is in brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)
}

/// Loads a file with each loader in turn, and prints the tables.
pub(crate) async fn load(
    bench: &Bench<Small>,
    server: &Cassandra,
    loaders: &Loaders,
    count: u32,
    rounds: u32,
) -> Outcome<()> {
    let folder = std::env::temp_dir().join(format!("unibatch-load-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(bench, server, loaders, count, rounds, &folder).await;
    fs::remove_dir_all(&folder)?;
    print(&measured?, count);
    Ok(())
}

async fn measure(
    bench: &Bench<Small>,
    server: &Cassandra,
    loaders: &Loaders,
    count: u32,
    rounds: u32,
    folder: &Path,
) -> Outcome<Vec<Measured>> {
    let mut measured = Vec::new();
    for order in [Order::Shuffled, Order::ByPartition] {
        let files = order.write(folder, count)?;
        let of = |loader| Measured { loader, order, rounds: Rounds::default(), peak: 0 };
        let mut turns = [Loader::Program, Loader::ByHand, Loader::DsBulk].map(of);
        for round in 0..=rounds {
            eprintln!("{}, round {round} of {rounds} …", order.name());
            for turn in &mut turns {
                let loader = turn.loader;
                let command = loader.command(loaders, server, &bench.keyspace, &files, folder);
                let Some(command) = command else { continue };
                bench.empty().await?;
                let (cost, peak) = tokio::task::block_in_place(|| run(command, folder))?;
                // A loader that says it is done may have left rows out.
                bench.expect(usize::try_from(count)?, loader.name()).await?;
                // The first round warms the server up.
                if round > 0 {
                    turn.rounds.add(cost);
                    turn.peak = turn.peak.max(peak);
                }
            }
        }
        measured.extend(turns.into_iter().filter(|turn| !turn.rounds.is_empty()));
    }
    Ok(measured)
}

fn print(measured: &[Measured], count: u32) {
    let mut rows =
        table(["rows", "loader", "wall, s", "median", "client CPU, s", "median", "peak, MB"], 2);
    for Measured { loader, order, rounds, peak } in measured {
        let (least, median) = (rounds.least(), rounds.median());
        let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
        rows.add_row([
            order.name().to_owned(),
            loader.name().to_owned(),
            seconds(least.wall),
            seconds(median.wall),
            seconds(least.cpu),
            seconds(median.cpu),
            megabytes(*peak),
        ]);
    }
    println!(
        "\n{} rows from a file, 100 to a partition, whole processes.\n\n{rows}",
        grouped(count)
    );
    let mut targets = targets("rows");
    for (order, faster) in [(Order::Shuffled, 10.0), (Order::ByPartition, 4.0)] {
        let of = |loader| measured.iter().find(|m| m.order == order && m.loader == loader);
        let Some(own) = of(Loader::Program) else { continue };
        let wall = |measured: &Measured| measured.rounds.median().wall.as_secs_f64();
        if let Some(dsbulk) = of(Loader::DsBulk) {
            let ratio = wall(dsbulk) / wall(own);
            let what = "`unibatch run` faster than DSBulk";
            Bound::Least(faster, "×").row(&mut targets, order.name(), what, ratio);
            let share = Duration::from_nanos(own.peak).as_secs_f64()
                / Duration::from_nanos(dsbulk.peak).as_secs_f64();
            let what = "`unibatch run`: memory over DSBulk's";
            Bound::Most(0.33, "×").row(&mut targets, order.name(), what, share);
        }
        if let Some(by_hand) = of(Loader::ByHand) {
            let what = "`unibatch run`: wall over the loader by hand";
            let ratio = wall(own) / wall(by_hand);
            Bound::Most(1.3, "×").row(&mut targets, order.name(), what, ratio);
        }
    }
    println!("\n{targets}");
}
