//! Which cards are quarantined: judged from what is seen of them, one look after the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::GpuTrouble;
use crate::ids::GpuId;

/// A card that fails to answer so many times in a row is quarantined; one bad call is nothing.
const MOST_SILENCES: u32 = 3;

/// A device that gets no task, because of what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The card, or the MIG instance alone.
    pub gpu: GpuId,
    /// The card's index.
    pub index: u32,
    /// What happened.
    pub trouble: GpuTrouble,
    /// When it was last seen to be wrong, in milliseconds since the epoch.
    pub bad_at_ms: i64,
    /// Uncorrected memory errors at that time, where the card counts them.
    #[serde(default)]
    pub ecc_errors: Option<u64>,
}

/// What was seen of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The card.
    pub card: GpuId,
    /// Its index.
    pub index: u32,
    /// What it told.
    pub answer: Answer,
}

/// What a card told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not there any more.
    Lost,
    /// A call failed.
    Silent,
    /// It is there.
    Well {
        /// Uncorrected memory errors since the driver was loaded, where it counts them.
        ecc_errors: Option<u64>,
        /// A row of its memory waits for a reset.
        rows_pending: bool,
        /// A row of its memory cannot be replaced.
        rows_failed: bool,
    },
}

/// What became of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// It gets no task any more.
    Quarantined(Quarantine),
    /// It passed the probe.
    CameBack(Quarantine),
}

/// What is known of the health of all cards.
#[derive(Clone, Debug, Default)]
pub struct Health {
    quarantined: BTreeMap<GpuId, Quarantine>,
    /// Uncorrected memory errors when they were last counted.
    ecc_errors: BTreeMap<GpuId, u64>,
    /// How often in a row a card did not answer.
    silences: BTreeMap<GpuId, u32>,
    /// How long a device must have been well to come back.
    probation_ms: i64,
}

impl Health {
    /// With what an earlier daemon quarantined.
    pub fn new(probation_ms: i64, quarantined: Vec<Quarantine>) -> Self {
        let quarantined = quarantined.into_iter().map(|quarantine| (quarantine.gpu.clone(), quarantine)).collect();
        Self { quarantined, probation_ms, ..Self::default() }
    }

    /// The devices that get no task.
    pub fn quarantined(&self) -> impl Iterator<Item = &Quarantine> {
        self.quarantined.values()
    }

    /// The driver complained of a device: a card, or an instance of the card.
    pub fn complain(
        &mut self,
        device: &GpuId,
        card: &GpuId,
        index: u32,
        trouble: GpuTrouble,
        now_ms: i64,
    ) -> Option<HealthChange> {
        let ecc_errors = self.ecc_errors.get(card).copied();
        let quarantine = Quarantine { gpu: device.clone(), index, trouble, bad_at_ms: now_ms, ecc_errors };
        self.quarantine(quarantine)
    }

    /// A card was looked at.
    pub fn observe(&mut self, seen: &Observation, now_ms: i64) -> Vec<HealthChange> {
        let trouble = match seen.answer {
            Answer::Lost => Some(GpuTrouble::Lost),
            Answer::Silent => {
                let silences = self.silences.entry(seen.card.clone()).or_default();
                *silences = silences.saturating_add(1);
                if *silences < MOST_SILENCES {
                    return Vec::new();
                }
                Some(GpuTrouble::Silent)
            }
            Answer::Well { ecc_errors, rows_pending, rows_failed } => {
                self.silences.remove(&seen.card);
                let before = ecc_errors.and_then(|errors| self.ecc_errors.insert(seen.card.clone(), errors));
                let more = before.zip(ecc_errors).is_some_and(|(before, errors)| errors > before);
                match (more, rows_failed, rows_pending) {
                    (true, ..) => Some(GpuTrouble::UncorrectedEcc),
                    (_, true, _) => Some(GpuTrouble::RowsFailed),
                    (_, _, true) => Some(GpuTrouble::RowsPending),
                    (false, false, false) => None,
                }
            }
        };
        match trouble {
            Some(trouble) => {
                let ecc_errors = self.ecc_errors.get(&seen.card).copied();
                let (gpu, index) = (seen.card.clone(), seen.index);
                self.quarantine(Quarantine { gpu, index, trouble, bad_at_ms: now_ms, ecc_errors }).into_iter().collect()
            }
            None => self.probe(seen, now_ms),
        }
    }

    /// The first trouble stays the reason; a later one only makes it last longer.
    fn quarantine(&mut self, quarantine: Quarantine) -> Option<HealthChange> {
        match self.quarantined.get_mut(&quarantine.gpu) {
            Some(known) if known.trouble.ends_tasks() || !quarantine.trouble.ends_tasks() => {
                known.bad_at_ms = quarantine.bad_at_ms;
                known.ecc_errors = quarantine.ecc_errors;
                None
            }
            _ => {
                self.quarantined.insert(quarantine.gpu.clone(), quarantine.clone());
                Some(HealthChange::Quarantined(quarantine))
            }
        }
    }

    /// A card that is well brings back what was quarantined of it, once that was long enough ago.
    fn probe(&mut self, seen: &Observation, now_ms: i64) -> Vec<HealthChange> {
        let passes = |quarantine: &Quarantine| {
            let is_of_card = quarantine.gpu == seen.card || quarantine.index == seen.index;
            // A wait for a reset is over as soon as the card says so.
            let waits = quarantine.trouble.ends_tasks();
            is_of_card && (!waits || now_ms.saturating_sub(quarantine.bad_at_ms) >= self.probation_ms)
        };
        let back: Vec<GpuId> =
            self.quarantined.values().filter(|known| passes(known)).map(|known| known.gpu.clone()).collect();
        back.iter().filter_map(|gpu| self.quarantined.remove(gpu)).map(HealthChange::CameBack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBATION: i64 = 1000;

    fn well(ecc_errors: u64) -> Answer {
        Answer::Well { ecc_errors: Some(ecc_errors), rows_pending: false, rows_failed: false }
    }

    fn pending() -> Answer {
        Answer::Well { ecc_errors: Some(0), rows_pending: true, rows_failed: false }
    }

    /// One card, looked at every 100 ms: what it told, and what came of it (`+` quarantined, `-` back, `.` nothing).
    #[track_caller]
    fn check(answers: &[Answer], expected: &str) -> Health {
        let mut health = Health::new(PROBATION, Vec::new());
        let mut told = String::new();
        for (number, answer) in (0..).zip(answers) {
            let seen = Observation { card: "GPU-0".into(), index: 0, answer: answer.clone() };
            told += match health.observe(&seen, number * 100).as_slice() {
                [] => ".",
                [HealthChange::Quarantined(_)] => "+",
                [HealthChange::CameBack(_)] => "-",
                more => panic!("{more:?}"),
            };
        }
        assert_eq!(told, expected);
        health
    }

    #[test]
    fn a_lost_card_is_back_when_it_was_well_for_long_enough() {
        let mut answers = vec![well(0), Answer::Lost, Answer::Lost];
        answers.extend(vec![well(0); 12]);
        check(&answers, ".+..........-..");
    }

    #[test]
    fn one_failed_call_is_nothing_and_three_in_a_row_are() {
        check(&[Answer::Silent, Answer::Silent, well(0), Answer::Silent, Answer::Silent, Answer::Silent], ".....+");
    }

    #[test]
    fn errors_that_were_there_before_are_nothing() {
        check(&[well(7), well(7), well(8), well(8)], "..+.");
    }

    #[test]
    fn a_card_that_waits_for_a_reset_is_back_after_it() {
        check(&[pending(), pending(), well(0)], "+.-");
    }

    #[test]
    fn what_ends_tasks_comes_on_top_of_what_does_not() {
        let health = check(&[pending(), Answer::Lost, pending()], "++.");
        assert_eq!(health.quarantined().next().map(|quarantine| quarantine.trouble), Some(GpuTrouble::Lost));
    }

    #[test]
    fn a_complaint_of_an_instance_is_about_that_alone() {
        let mut health = Health::new(PROBATION, Vec::new());
        let (instance, card) = (GpuId::from("MIG-1"), GpuId::from("GPU-0"));
        assert!(health.complain(&instance, &card, 0, GpuTrouble::Xid(94), 0).is_some());
        assert!(health.complain(&instance, &card, 0, GpuTrouble::Xid(95), 500).is_none(), "it is known to be ill");
        assert_eq!(health.quarantined().map(|known| known.gpu.as_str()).collect::<Vec<_>>(), ["MIG-1"]);
        let seen = Observation { card, index: 0, answer: well(0) };
        assert_eq!(health.observe(&seen, 1400), []);
        assert!(matches!(health.observe(&seen, 1500).as_slice(), [HealthChange::CameBack(_)]));
    }

    #[test]
    fn what_an_earlier_daemon_quarantined_stays() {
        let before =
            Quarantine { gpu: "GPU-0".into(), index: 0, trouble: GpuTrouble::Xid(79), bad_at_ms: 0, ecc_errors: None };
        let mut health = Health::new(PROBATION, vec![before.clone()]);
        let seen = Observation { card: "GPU-0".into(), index: 0, answer: well(0) };
        assert_eq!(health.observe(&seen, 999), []);
        assert_eq!(health.observe(&seen, 1000), [HealthChange::CameBack(before)]);
    }
}
