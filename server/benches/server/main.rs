//! The server beside the limit of its store.
//!
//! `benches/server.sh` starts it. A real server process (this program, started a second time: the server crate in a
//! release build, as `hostler server` runs it) works on a new directory with durable writes as shipped. A plain
//! keep-alive client calls it on one connection and on 16, and in turns with it the same rows go straight through
//! SQLite into a copy of the same database, with the same durability. What counts is the ratio of the two: absolute
//! figures move with the machine.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to its user")]

mod cases;
mod fill;
mod http;
mod measure;
mod process;
mod raw;
mod reads;
mod waiting;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

/// Why the benchmark cannot go on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The result of something that may make going on impossible.
pub(crate) type Outcome<T> = Result<T, Failure>;

const USAGE: &str = "usage: benches/server.sh [--tasks N] [--points N] [--rounds N] [--turn-ms N] [--waiting N] \
                     [--clients N] [--only TEXT] [--directory DIR] [--json FILE]";

/// What the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) tasks: usize,
    pub(crate) points: usize,
    pub(crate) rounds: usize,
    pub(crate) turn: Duration,
    pub(crate) waiting: usize,
    /// Pairs are measured with so many clients.
    pub(crate) clients: Vec<usize>,
    /// Only cases whose name contains this.
    pub(crate) only: String,
    directory: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl Plan {
    fn read(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut plan = Self {
            tasks: 100_000,
            points: 1_000_000,
            rounds: 3,
            turn: Duration::from_millis(600),
            waiting: 1000,
            clients: vec![1, cases::MANY],
            only: String::new(),
            directory: None,
            json: None,
        };
        while let Some(name) = arguments.next() {
            if name == "--bench" {
                // cargo adds it.
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--tasks" => plan.tasks = value.parse()?,
                "--points" => plan.points = value.parse()?,
                "--rounds" => plan.rounds = value.parse()?,
                "--turn-ms" => plan.turn = Duration::from_millis(value.parse()?),
                "--waiting" => plan.waiting = value.parse()?,
                "--clients" => plan.clients = vec![value.parse()?],
                "--only" => plan.only = value,
                "--directory" => plan.directory = Some(value.into()),
                "--json" => plan.json = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }
}

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let outcome = if arguments.next_if(|first| first == process::SERVE).is_some() {
        arguments.next().ok_or_else(|| Failure::from(USAGE)).and_then(|directory| process::serve(directory.as_ref()))
    } else {
        Plan::read(arguments).and_then(|plan| {
            // One thread: what the client costs is taken from the same two cores that the server works on.
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&plan))
        })
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(plan: &Plan) -> Outcome<()> {
    let began = Instant::now();
    let temporary = tempfile::tempdir()?;
    let directory = plan.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
    let cores = std::thread::available_parallelism()?;
    let load_before = measure::load();
    say(&format!("{cores} cores, load average {load_before}"));

    let server = process::Process::start(&directory.join("server")).await?;
    let mut memory = vec![("started", server.resident()?)];
    let filled = fill::fill(&server, plan).await?;
    memory.push(("tasks made", server.resident()?));
    let raw = raw::Raw::copy_of(&server, &directory.join("raw.db"))?;

    say(&measure::Row::heading());
    let mut rows = reads::run(&server, &raw, plan, &filled).await?;
    memory.push(("tasks listed and polled", server.resident()?));
    rows.extend(cases::run(&server, &raw, plan, &filled).await?);
    memory.push(("pairs and events", server.resident()?));
    rows.extend(reads::histogram(&server, &raw, plan, &filled).await?);
    memory.push(("histograms read", server.resident()?));
    let waiting = waiting::run(&server, plan, &filled).await?;
    memory.push(("everything", server.resident()?));

    for (when, megabytes) in &memory {
        say(&format!("resident memory of the server, {when}: {megabytes:.1} MB"));
    }
    let load_after = measure::load();
    say(&format!("load average {load_after}; took {:.0} s", began.elapsed().as_secs_f64()));
    if let Some(file) = &plan.json {
        let rows: Vec<_> = rows.iter().map(measure::Row::to_json).collect();
        let memory: serde_json::Map<_, _> =
            memory.iter().map(|(when, megabytes)| ((*when).to_owned(), json!(megabytes))).collect();
        let document = json!({
            "cores": cores, "load_before": load_before, "load_after": load_after, "tasks": plan.tasks,
            "points": plan.points, "rows": rows, "resident_mb": memory, "waiting": waiting,
            "tasks_created_per_second": filled.tasks_per_second,
        });
        std::fs::write(file, format!("{document:#}\n"))?;
    }
    Ok(())
}

/// Prints a line.
pub(crate) fn say(line: &str) {
    println!("{line}");
}
