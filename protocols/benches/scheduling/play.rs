//! Plays workloads by several rules.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use protocols::gpu::{GpuLedger, LeaseId};

use super::Wishes;
use super::machine::pool;
use super::rules::{FirstCome, Greedy, Hostler, Queues, Rule, Stock, Waiting};
use super::workload::{Task, bound, cards, workload};

/// What a rule made of a workload.
#[derive(Clone, Debug)]
struct Result {
    /// Of the bound.
    ratio: f64,
    utilisation: f64,
    /// Seconds, of all; of the largest, the longest wait.
    mean_wait: f64,
    small_p50: f64,
    large_p50: f64,
    large_longest: f64,
}

pub(crate) fn print(wishes: &Wishes) {
    let Wishes { tasks, seeds, .. } = wishes;
    println!("Utilisation until the last of {tasks} tasks comes, medians of {seeds} seeds; waits in minutes\n");
    println!(
        "| GPUs | load | rule | of the bound | utilisation | wait, mean | 1 GPU, median | 8 GPUs, median | 8 GPUs, longest |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (machine, load) in [(8, 0.7), (8, 1.2), (64, 0.9), (64, 1.2)] {
        for make in rules() {
            let results: Vec<Result> = (0..*seeds)
                .map(|seed| {
                    let workload = workload(seed, *tasks, machine, load);
                    play(&workload, machine, make().as_mut())
                })
                .collect();
            let of = |part: fn(&Result) -> f64| median(results.iter().map(part).collect());
            println!(
                "| {machine} | {load} | {} | **{:.3}** | {:.3} | {:.0} | {:.0} | {:.0} | {:.0} |",
                make().name(),
                of(|result| result.ratio),
                of(|result| result.utilisation),
                of(|result| result.mean_wait / 60.0),
                of(|result| result.small_p50 / 60.0),
                of(|result| result.large_p50 / 60.0),
                of(|result| result.large_longest / 60.0),
            );
        }
    }
    println!();
}

fn rules() -> [fn() -> Box<dyn Rule>; 6] {
    [
        || Box::new(Hostler::default()),
        || Box::new(Stock),
        || Box::new(FirstCome),
        || Box::new(Hostler::with_patience(8)),
        || Box::new(Hostler::with_patience(64)),
        || Box::new(Greedy),
    ]
}

/// An end: when (in whole microseconds, so that it has an order), of which task.
type End = Reverse<(u64, usize)>;

fn play(tasks: &[Task], machine: u32, rule: &mut dyn Rule) -> Result {
    let pool = pool(machine);
    let mut ledger = GpuLedger::new(pool.cards().iter().map(|card| card.id.clone()));
    let mut queues: Queues = vec![VecDeque::new(); 5];
    let mut ends: BinaryHeap<End> = BinaryHeap::new();
    let mut waits = vec![f64::NAN; tasks.len()];
    let horizon = tasks.last().map_or(0.0, |task| task.comes);
    let (mut busy, mut coming) = (0.0, 0);
    loop {
        let end = ends.peek().map(|Reverse((at, _))| *at as f64 / 1e6);
        let comes = tasks.get(coming).map(|task| task.comes);
        let now = match (end, comes) {
            (Some(end), Some(comes)) if end <= comes => end,
            (_, Some(comes)) => comes,
            (Some(end), None) => end,
            (None, None) => break,
        };
        if comes.is_none_or(|comes| end.is_some_and(|end| end <= comes)) {
            if let Some(Reverse((_, task))) = ends.pop() {
                ledger.release(LeaseId(task as u64)).expect("it has a lease");
            }
        } else {
            let Task { demand, .. } = tasks[coming];
            queues[queue_of(&tasks[coming])].push_back(Waiting { task: coming, demand });
            coming += 1;
        }
        while let Some(start) = rule.next(&pool, &ledger, &queues) {
            let waiting = queues[start.queue].pop_front().expect("who starts waits");
            let task = &tasks[waiting.task];
            let shares: Vec<_> = start.cards.iter().map(|card| (pool.cards()[*card].id.clone(), start.share)).collect();
            ledger.grant(LeaseId(waiting.task as u64), &shares).expect("a plan can be realised");
            waits[waiting.task] = now - task.comes;
            let within = (now + task.runs).min(horizon) - now.min(horizon);
            busy += within * cards(&task.demand);
            ends.push(Reverse((((now + task.runs) * 1e6) as u64, waiting.task)));
        }
    }
    let utilisation = busy / (horizon * f64::from(machine));
    let of_size = |size: f64| -> Vec<f64> {
        let waits = tasks.iter().zip(&waits).filter(|(task, _)| cards(&task.demand) == size);
        waits.map(|(_, wait)| *wait).collect()
    };
    Result {
        ratio: utilisation / bound(tasks, machine),
        utilisation,
        mean_wait: waits.iter().sum::<f64>() / waits.len() as f64,
        small_p50: median(of_size(1.0)),
        large_p50: median(of_size(8.0)),
        large_longest: of_size(8.0).into_iter().fold(0.0, f64::max),
    }
}

/// A queue for each size, the largest first.
fn queue_of(task: &Task) -> usize {
    let sizes = [8.0, 4.0, 2.0, 1.0];
    sizes.iter().position(|size| cards(&task.demand) >= *size).unwrap_or(sizes.len())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
