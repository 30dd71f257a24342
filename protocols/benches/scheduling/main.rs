//! Who gets which GPUs: what a decision costs, and what the rule makes of a machine, beside other rules.
//!
//! `benches/scheduling.sh` starts it. The decisions are those of the daemon (`protocols::gpu::decide`), on the clock; the
//! workloads are played in simulated time, from a seed, so that the same program gives the same figures everywhere.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to its user")]

mod cost;
mod machine;
mod play;
mod random;
mod rules;
mod workload;

use std::process::ExitCode;

const USAGE: &str = "usage: benches/scheduling.sh [--tasks N] [--seeds N] [--only cost|workload]";

/// What the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) tasks: usize,
    pub(crate) seeds: u64,
    only: Option<String>,
}

fn wishes() -> Option<Wishes> {
    let mut wishes = Wishes { tasks: 10_000, seeds: 5, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // Cargo's.
            "--bench" => {}
            "--tasks" => wishes.tasks = words.next()?.parse().ok()?,
            "--seeds" => wishes.seeds = words.next()?.parse().ok()?,
            "--only" => wishes.only = Some(words.next()?),
            _ => return None,
        }
    }
    (wishes.tasks > 0 && wishes.seeds > 0).then_some(wishes)
}

fn main() -> ExitCode {
    let Some(wishes) = wishes() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let wants = |what: &str| wishes.only.as_deref().is_none_or(|only| only == what);
    if wants("cost") {
        cost::print(wishes.tasks);
    }
    if wants("workload") {
        play::print(&wishes);
    }
    ExitCode::SUCCESS
}
