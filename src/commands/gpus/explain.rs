//! `hostler gpus --explain DEMAND`: which cards a task would get now, and why; or what it would wait for.

use std::collections::BTreeMap;

use drivers::nvml::NvmlProbe;
use protocols::gpu::{Demand, GpuCard, GpuLedger, LeaseId, Pool, Verdict, decide};
use serde_json::json;

use super::super::context::Context;
use super::making::{Made, making};
use super::view::View;
use crate::exit::Problem;

pub(super) fn run(context: &Context, probe: &NvmlProbe, view: &View, demand: Demand) -> anyhow::Result<()> {
    if let Some(Made { verdict, card, text }) = making(probe, view, demand)? {
        let document =
            json!({ "demand": demand.to_string(), "verdict": verdict, "gpus": card.as_slice(), "why": text });
        return context.output.either(&document, &text);
    }
    let pool = probe.pool(candidates(view));
    let ledger = ledger(&pool, view)?;
    let verdict = decide(&pool, &ledger, |_| true, [demand.into()]).pop().unwrap_or(Verdict::Never);
    let (kind, cards) = match &verdict {
        Verdict::Starts { cards, .. } => ("starts", cards.as_slice()),
        Verdict::Waits { cards } => ("waits", cards.as_slice()),
        Verdict::Yields | Verdict::Behind | Verdict::Lacks { .. } => ("waits", [].as_slice()),
        Verdict::Never => ("never", [].as_slice()),
    };
    let ids: Vec<&GpuCard> = cards.iter().map(|card| &pool.cards()[*card]).collect();
    let text = describe(demand, &verdict, &pool, view);
    context.output.either(&json!({ "demand": demand.to_string(), "verdict": kind, "gpus": ids, "why": text }), &text)
}

/// What the daemon gives out; everything that can be used where there is none.
fn candidates(view: &View) -> Vec<GpuCard> {
    let whole = view.report.cards.iter().filter(|card| card.mig_mode != Some(true)).map(|card| &card.card);
    let instances = view.report.cards.iter().flat_map(|card| &card.instances).map(|instance| &instance.instance);
    whole.chain(instances).filter(|card| !view.has_daemon || view.gives_out(&card.id)).cloned().collect()
}

fn ledger(pool: &Pool, view: &View) -> anyhow::Result<GpuLedger> {
    let mut ledger = GpuLedger::new(pool.cards().iter().map(|card| card.id.clone()));
    for (number, holder) in (1..).zip(&view.holders) {
        let known = holder.gpus.iter().filter(|gpu| ledger.has(gpu));
        let shares: Vec<_> = known.map(|gpu| (gpu.clone(), holder.share)).collect();
        ledger.grant(LeaseId(number), &shares).map_err(|error| Problem::refused(error.to_string()))?;
    }
    Ok(ledger)
}

fn describe(demand: Demand, verdict: &Verdict, pool: &Pool, view: &View) -> String {
    match verdict {
        Verdict::Starts { cards, share } => {
            let part = if share.is_whole() { String::new() } else { format!("{share} of ") };
            format!("{demand}: {part}{}{}", names(cards, pool), connections(cards, pool))
        }
        Verdict::Waits { cards } => {
            let holders: Vec<String> = cards
                .iter()
                .flat_map(|card| view.holders_of(&pool.cards()[*card].id))
                .map(|holder| (holder.task.clone(), format!("{} ({})", holder.name, holder.task)))
                .collect::<BTreeMap<_, _>>()
                .into_values()
                .collect();
            format!("{demand}: waits for {}, held by {}", names(cards, pool), holders.join(", "))
        }
        Verdict::Yields | Verdict::Behind => format!("{demand}: waits behind others"),
        Verdict::Lacks { usable } => format!("{demand}: waits, {usable} GPUs of that kind are given out now"),
        Verdict::Never => format!("{demand}: never, there are {} GPUs of that kind", pool.suitable(&demand)),
    }
}

fn names(cards: &[usize], pool: &Pool) -> String {
    let indexes: Vec<String> = cards.iter().map(|card| pool.cards()[*card].index.to_string()).collect();
    let model = cards.first().map(|card| pool.cards()[*card].name.clone()).unwrap_or_default();
    format!("GPU {} ({model})", indexes.join(","))
}

/// How the cards of a set are connected: the kinds, the nearest first, with how many pairs have each.
fn connections(cards: &[usize], pool: &Pool) -> String {
    let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
    for (position, one) in cards.iter().enumerate() {
        for other in &cards[position + 1..] {
            *kinds.entry(pool.between(*one, *other)).or_default() += 1;
        }
    }
    let kinds: Vec<String> = kinds.iter().rev().map(|(kind, pairs)| format!("{kind} ({pairs} pairs)")).collect();
    if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join("; ")) }
}
