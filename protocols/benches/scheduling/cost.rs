//! What a decision costs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use protocols::gpu::{Claim, Demand, GpuLedger, LeaseId, Pool, Share, Verdict, decide};

use super::machine::pool;
use super::random::Random;
use super::workload::demand;

/// Passes over all that wait; the median counts.
const PASSES: usize = 9;

pub(crate) fn print(waiting: usize) {
    println!("What a decision costs, in microseconds; {waiting} tasks wait, median of {PASSES}\n");
    println!(
        "| GPUs | per waiting task, all judged | per started task, on a free machine | heads of 5 queues, 3/4 busy |"
    );
    println!("|---|---|---|---|");
    for cards in [8, 64, 512] {
        let pool = pool(cards);
        let all = per_waiting(&pool, waiting);
        let started = per_started(&pool);
        let heads = heads(&pool);
        println!("| {cards} | {all:.2} | {started:.1} | {heads:.1} |");
    }
    println!();
}

/// One judgement of everybody, on a machine of which three quarters are busy.
fn per_waiting(pool: &Pool, waiting: usize) -> f64 {
    let ledger = busy(pool);
    let mut random = Random::new(1);
    let claims: Vec<Claim> = (0..waiting).map(|_| demand(&mut random).into()).collect();
    let pass = || {
        let begun = Instant::now();
        black_box(decide(pool, &ledger, |_| true, claims.iter().cloned()));
        begun.elapsed()
    };
    micros(median(pass)) / waiting as f64
}

/// A free machine is filled: one decision for each task that starts, as the daemon does it.
fn per_started(pool: &Pool) -> f64 {
    let mut started = 0u32;
    let filled = median(|| {
        let mut ledger = GpuLedger::new(pool.cards().iter().map(|card| card.id.clone()));
        let mut random = Random::new(2);
        started = 0;
        let mut took = Duration::ZERO;
        loop {
            let claim = Claim::from(demand(&mut random));
            let begun = Instant::now();
            let verdict = decide(pool, &ledger, |_| true, [claim]).pop();
            took += begun.elapsed();
            let Some(Verdict::Starts { cards, share }) = verdict else { return took };
            grant(&mut ledger, pool, started, &cards, share);
            started += 1;
        }
    });
    micros(filled) / f64::from(started.max(1))
}

/// What the daemon asks whenever something has changed: the heads of its queues.
fn heads(pool: &Pool) -> f64 {
    let ledger = busy(pool);
    let claims = ["8", "4", "2", "1-4", "0.5"].map(|text| Claim::from(text.parse::<Demand>().expect("a demand")));
    let pass = || {
        let begun = Instant::now();
        for _ in 0..20 {
            black_box(decide(pool, &ledger, |_| true, claims.iter().cloned()));
        }
        begun.elapsed() / 20
    };
    micros(median(pass))
}

/// Three of four cards are in use.
fn busy(pool: &Pool) -> GpuLedger {
    let mut ledger = GpuLedger::new(pool.cards().iter().map(|card| card.id.clone()));
    for card in (0..pool.cards().len()).filter(|card| card % 4 != 0) {
        grant(&mut ledger, pool, card as u32, &[card], Share::WHOLE);
    }
    ledger
}

fn grant(ledger: &mut GpuLedger, pool: &Pool, lease: u32, cards: &[usize], share: Share) {
    let shares: Vec<_> = cards.iter().map(|card| (pool.cards()[*card].id.clone(), share)).collect();
    ledger.grant(LeaseId(u64::from(lease)), &shares).expect("a plan can be realised");
}

fn median(mut pass: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..PASSES).map(|_| pass()).collect();
    times.sort_unstable();
    times[PASSES / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
