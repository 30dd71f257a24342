//! Tasks as a research group has them: many small ones, few large ones, short and very long.

use protocols::gpu::{Demand, MilliGpu, Share};

use super::random::Random;

/// A task of a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// When it is enqueued, in seconds.
    pub(crate) comes: f64,
    /// How long it runs, in seconds.
    pub(crate) runs: f64,
    pub(crate) demand: Demand,
}

/// Sizes in thousandths of a card, and how often each is asked for.
const SIZES: [(u32, f64); 5] = [(500, 15.0), (1000, 50.0), (2000, 18.0), (4000, 11.0), (8000, 6.0)];

/// Half of the tasks run for less.
const MEDIAN_SECONDS: f64 = 1200.0;

/// Some run for hours, a few for a day.
const SIGMA: f64 = 1.4;

/// What a task asks for.
pub(crate) fn demand(random: &mut Random) -> Demand {
    let size = random.pick(&SIZES);
    if size < 1000 {
        return Demand::Share(Share::slot(MilliGpu(size)));
    }
    let count = (size / 1000) as usize;
    Demand::Cards { least: count, most: count }
}

/// How many cards a demand takes.
pub(crate) fn cards(demand: &Demand) -> f64 {
    match demand {
        Demand::Share(share) => f64::from(share.amount.0) / 1000.0,
        Demand::Cards { least, .. } => *least as f64,
        Demand::Instance(_) => 1.0,
    }
}

/// So many tasks that ask a machine for `load` times what it has.
pub(crate) fn workload(seed: u64, tasks: usize, machine: u32, load: f64) -> Vec<Task> {
    let mut random = Random::new(seed);
    let mut all: Vec<Task> = (0..tasks)
        .map(|_| {
            let demand = demand(&mut random);
            let runs = random.lognormal(MEDIAN_SECONDS, SIGMA).clamp(20.0, 100_000.0);
            Task { comes: 0.0, runs, demand }
        })
        .collect();
    let work: f64 = all.iter().map(|task| task.runs * cards(&task.demand)).sum();
    let between = work / (f64::from(machine) * load) / tasks as f64;
    let mut now = 0.0;
    for task in &mut all {
        now += random.exponential(between);
        task.comes = now;
    }
    all
}

/// How much of the machine could be used until the last task comes, if work could be divided and interrupted at will:
/// no rule does better.
pub(crate) fn bound(tasks: &[Task], machine: u32) -> f64 {
    let (mut backlog, mut done, mut now) = (0.0f64, 0.0, 0.0);
    for task in tasks {
        let worked = backlog.min((task.comes - now) * f64::from(machine));
        backlog += task.runs * cards(&task.demand) - worked;
        done += worked;
        now = task.comes;
    }
    done / (now * f64::from(machine))
}
