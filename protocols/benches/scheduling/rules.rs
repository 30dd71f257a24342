//! Rules by which those who wait are served. Each serves queues, one for each size, the largest first.

use std::collections::{BTreeMap, VecDeque};

use protocols::gpu::{Claim, Demand, GpuLedger, Pool, Share, Verdict, decide};

/// A task that waits: its number in the workload, which is its place in the order of arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) task: usize,
    pub(crate) demand: Demand,
}

/// Which queue's head starts, with which cards.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) queue: usize,
    pub(crate) cards: Vec<usize>,
    pub(crate) share: Share,
}

pub(crate) type Queues = Vec<VecDeque<Waiting>>;

/// A rule; it may remember what it reserved.
pub(crate) trait Rule {
    fn name(&self) -> String;
    fn next(&mut self, pool: &Pool, ledger: &GpuLedger, queues: &Queues) -> Option<Start>;
}

/// The daemon's: the heads of the queues are judged together, and who waits holds cards, once so many others have passed
/// it.
#[derive(Debug, Default)]
pub(crate) struct Hostler {
    patience: usize,
    passed: BTreeMap<usize, usize>,
    held: BTreeMap<usize, Vec<usize>>,
}

impl Hostler {
    pub(crate) fn with_patience(patience: usize) -> Self {
        Self { patience, ..Self::default() }
    }
}

impl Rule for Hostler {
    fn name(&self) -> String {
        if self.patience == 0 { "Hostler".to_owned() } else { format!("Hostler, patience of {}", self.patience) }
    }

    fn next(&mut self, pool: &Pool, ledger: &GpuLedger, queues: &Queues) -> Option<Start> {
        let heads: Vec<(usize, Waiting)> =
            queues.iter().enumerate().filter_map(|(queue, tasks)| Some((queue, *tasks.front()?))).collect();
        let claims = heads.iter().map(|(_, head)| Claim {
            demand: head.demand,
            held: self.held.get(&head.task).cloned().unwrap_or_default(),
            is_patient: self.passed.get(&head.task).copied().unwrap_or_default() < self.patience,
            making: None,
        });
        let verdicts = decide(pool, ledger, |_| true, claims);
        self.held.clear();
        let (mut start, mut yielding) = (None, Vec::new());
        for ((queue, head), verdict) in heads.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Starts { cards, share } if start.is_none() => {
                    self.passed.remove(&head.task);
                    start = Some(Start { queue, cards, share });
                }
                Verdict::Waits { cards } => {
                    self.held.insert(head.task, cards);
                }
                // Those in front of who starts are passed by it.
                Verdict::Yields if start.is_none() => yielding.push(head.task),
                Verdict::Starts { .. } | Verdict::Yields | Verdict::Behind | Verdict::Lacks { .. } | Verdict::Never => {
                }
            }
        }
        let start = start?;
        yielding.into_iter().for_each(|task| *self.passed.entry(task).or_default() += 1);
        Some(start)
    }
}

/// First come, first served, over all queues: nobody passes.
#[derive(Debug)]
pub(crate) struct FirstCome;

impl Rule for FirstCome {
    fn name(&self) -> String {
        "first come, first served".to_owned()
    }

    fn next(&mut self, pool: &Pool, ledger: &GpuLedger, queues: &Queues) -> Option<Start> {
        let heads = queues.iter().enumerate().filter_map(|(queue, tasks)| Some((queue, *tasks.front()?)));
        let (queue, first) = heads.min_by_key(|(_, head)| head.task)?;
        start(pool, ledger, queue, first.demand)
    }
}

/// The stock agent's: the first queue that has something is served or blocks those behind it; whole cards are taken in
/// the order of their indexes, a part of the fullest card that has room. Its waiting between two looks is not counted.
#[derive(Debug)]
pub(crate) struct Stock;

impl Rule for Stock {
    fn name(&self) -> String {
        "the stock agent's rule".to_owned()
    }

    fn next(&mut self, pool: &Pool, ledger: &GpuLedger, queues: &Queues) -> Option<Start> {
        let (queue, tasks) = queues.iter().enumerate().find(|(_, tasks)| !tasks.is_empty())?;
        let demand = tasks.front()?.demand;
        let free = |card: usize| ledger.free(&pool.cards()[card].id);
        let cards = 0..pool.cards().len();
        match demand {
            Demand::Share(share) => {
                let card = cards.filter(|card| free(*card) >= share.amount).min_by_key(|card| (free(*card), *card))?;
                Some(Start { queue, cards: vec![card], share })
            }
            Demand::Cards { least, .. } => {
                let whole: Vec<usize> = cards.filter(|card| free(*card).is_whole()).take(least).collect();
                (whole.len() == least).then_some(Start { queue, cards: whole, share: Share::WHOLE })
            }
            Demand::Instance(_) => None,
        }
    }
}

/// Whoever fits starts: the machine is as full as can be, and a large task may wait for ever.
#[derive(Debug)]
pub(crate) struct Greedy;

impl Rule for Greedy {
    fn name(&self) -> String {
        "whoever fits (starves)".to_owned()
    }

    fn next(&mut self, pool: &Pool, ledger: &GpuLedger, queues: &Queues) -> Option<Start> {
        let heads = queues.iter().enumerate().filter_map(|(queue, tasks)| Some((queue, tasks.front()?.demand)));
        heads.into_iter().find_map(|(queue, demand)| start(pool, ledger, queue, demand))
    }
}

/// What the daemon would give to this one alone.
fn start(pool: &Pool, ledger: &GpuLedger, queue: usize, demand: Demand) -> Option<Start> {
    match decide(pool, ledger, |_| true, [demand.into()]).pop()? {
        Verdict::Starts { cards, share } => Some(Start { queue, cards, share }),
        Verdict::Waits { .. } | Verdict::Yields | Verdict::Behind | Verdict::Lacks { .. } | Verdict::Never => None,
    }
}
