//! What `--mig dynamic` would do now for a task that wants an instance.

use drivers::nvml::{MigCard, MigRecord, NvmlProbe};
use protocols::gpu::mig::{Answer, Divided, Instance, Placed, Plan, Step, Wanted, plan};
use protocols::gpu::{Demand, GpuCard};

use super::view::View;
use crate::exit::{Exit, Problem};

/// What would be done, on which card.
pub(super) struct Made {
    pub(super) verdict: &'static str,
    pub(super) card: Option<GpuCard>,
    pub(super) text: String,
}

/// `None` where nothing would be made: the demand is another one, no card is divided on demand, or an instance of this size
/// is there that is free.
pub(super) fn making(probe: &NvmlProbe, view: &View, demand: Demand) -> anyhow::Result<Option<Made>> {
    let Demand::Instance(profile) = demand else { return Ok(None) };
    if view.divided.is_empty() {
        return Ok(None);
    }
    let unavailable = |error: &dyn std::fmt::Display| Problem::with(Exit::Unavailable, error.to_string());
    let record = MigRecord::open(&view.mig_record).map_err(|error| unavailable(&error))?;
    let read = |card: &GpuCard| probe.mig_card(card).map_err(|error| unavailable(&error));
    let cards: Vec<MigCard> = view.divided.iter().map(read).collect::<anyhow::Result<_>>()?;
    let divided: Vec<Divided> = cards.iter().map(|card| as_it_is(card, &record, view)).collect();
    let Plan { steps, answers } = plan(&divided, &[Wanted { profile, held: None }]);
    let of = |card: usize| (Some(cards[card].card.clone()), cards[card].card.index);
    Ok(match answers.first() {
        Some(Answer::Given(grant)) if grant.exists => None,
        Some(Answer::Given(grant)) => {
            let (card, index) = of(grant.card);
            let gone: Vec<String> = steps.iter().filter_map(taken_away).map(describe).collect();
            let before =
                if gone.is_empty() { String::new() } else { format!(", {} taken away before", gone.join(", ")) };
            let text = format!("{demand}: is made on GPU {index}, {}{before}", at(grant.placed));
            Some(Made { verdict: "makes", card, text })
        }
        Some(Answer::Holds(card)) => {
            let (card, index) = of(*card);
            let text = format!("{demand}: is made on GPU {index} when enough of what runs there has ended");
            Some(Made { verdict: "waits", card, text })
        }
        Some(Answer::Behind | Answer::Never) | None => {
            let text = format!("{demand}: never, or when instances that this daemon did not make are taken away");
            Some(Made { verdict: "never", card: None, text })
        }
    })
}

fn as_it_is(card: &MigCard, record: &MigRecord, view: &View) -> Divided {
    let instances = card.instances.iter().map(|instance| Instance {
        placed: instance.placed,
        is_busy: instance.device.as_ref().is_none_or(|device| !view.is_free(&device.id)),
        is_ours: record.has(&card.card.id, instance.placed),
    });
    Divided { geometry: card.geometry.clone(), instances: instances.collect() }
}

fn taken_away(step: &Step) -> Option<Placed> {
    match step {
        Step::Destroy { placed, .. } => Some(*placed),
        Step::Create { .. } => None,
    }
}

fn describe(placed: Placed) -> String {
    format!("an idle {} {}", placed.profile, at(placed))
}

fn at(placed: Placed) -> String {
    format!("at memory slice {}", placed.start)
}
