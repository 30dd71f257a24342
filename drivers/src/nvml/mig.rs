//! Dividing cards in MIG mode, step by step, and back where a step fails.

use std::sync::Arc;

use nvml_wrapper::error::NvmlError as LibraryError;
use protocols::gpu::GpuCard;
use protocols::gpu::mig::{Geometry, MigProfile, Placed, Shape, Step};
use protocols::ids::GpuId;

use super::NvmlProbe;
use super::library::{identity, instances_of};
use super::mig_raw::{CallError, Divider, RawProfile};
use super::mig_record::{MigRecord, RecordError};
use super::raw::gpu_instance;

/// Why a card cannot be divided as was wanted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MigError {
    /// A function of the library failed.
    #[error("GPU {card}: {source}")]
    Call {
        /// The card.
        card: GpuId,
        /// Which, and why.
        #[source]
        source: CallError,
    },
    /// The card does not answer.
    #[error("GPU {card} cannot be asked: {source}")]
    Card {
        /// The card.
        card: GpuId,
        /// What the library said.
        #[source]
        source: Arc<LibraryError>,
    },
    /// The card has changed since it was looked at.
    #[error("GPU {card} has no instance {} at memory slice {}", placed.profile, placed.start)]
    Gone {
        /// The card.
        card: GpuId,
        /// What is missing.
        placed: Placed,
    },
    /// What is done could not be written down before.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A card in MIG mode, as it is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigCard {
    /// It, whole.
    pub card: GpuCard,
    /// What it can be divided into.
    pub geometry: Geometry,
    /// What it is divided into.
    pub instances: Vec<MigInstance>,
}

/// An instance of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigInstance {
    /// What and where.
    pub placed: Placed,
    /// What a task sees; `None` where the driver shows nothing.
    pub device: Option<GpuCard>,
    /// Nothing can run in it: somebody stopped in the middle of making it, or of taking it away.
    pub is_half: bool,
}

/// A step, with what the driver must be told to do it, or to undo it.
struct Work<'a> {
    card: &'a GpuCard,
    placed: Placed,
    /// Whether it makes the instance, or destroys it.
    makes: bool,
    profile: RawProfile,
    /// First memory slice, and how many.
    place: (u32, u32),
}

impl NvmlProbe {
    /// How a card in MIG mode is divided. Blocks.
    pub fn mig_card(&self, card: &GpuCard) -> Result<MigCard, MigError> {
        let (divider, device) = self.divider(card)?;
        let call = |source| MigError::Call { card: card.id.clone(), source };
        let devices: Vec<(u32, GpuCard)> = instances_of(&device)
            .iter()
            .filter_map(|device| Some((gpu_instance(&self.nvml, device)?, identity(device, card.index).ok()?)))
            .collect();
        let (mut shapes, mut instances) = (Vec::new(), Vec::new());
        for (raw, profile) in known(&divider).map_err(call)? {
            let placements = divider.placements(raw.id).map_err(call)?;
            for instance in divider.instances(raw.id).map_err(call)? {
                let device = devices.iter().find(|(id, _)| *id == instance.id).map(|(_, device)| device.clone());
                // One that is merely not shown at the moment may be in use.
                let is_half = device.is_none() && !divider.has_compute(&instance).map_err(call)?;
                instances.push(MigInstance {
                    placed: Placed { profile, start: instance.start as u8 },
                    device,
                    is_half,
                });
            }
            shapes.push(Shape {
                profile,
                compute: raw.slices as u8,
                memory: placements.first().map_or(0, |(_, size)| *size as u8),
                starts: placements.iter().map(|(start, _)| *start as u8).collect(),
                most: raw.most as u8,
            });
        }
        let compute = shapes.iter().map(|shape| shape.compute).max().unwrap_or(0);
        Ok(MigCard { card: card.clone(), geometry: Geometry { compute, shapes }, instances })
    }

    /// Does all of `steps`, which name cards by their positions in `cards`, or leaves everything as it was. What is made
    /// is in `record` before it is there. Blocks.
    pub fn divide(&self, cards: &[GpuCard], steps: &[Step], record: &mut MigRecord) -> Result<(), MigError> {
        // What there is to ask is asked before anything is done.
        let works = steps.iter().map(|step| self.work(cards, *step)).collect::<Result<Vec<Work>, _>>()?;
        for (position, work) in works.iter().enumerate() {
            if let Err(error) = self.carry_out(work, work.makes, record) {
                for work in works[..position].iter().rev() {
                    if let Err(error) = self.carry_out(work, !work.makes, record) {
                        tracing::warn!(%error, placed = ?work.placed, "a step of dividing a GPU cannot be undone");
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn work<'a>(&self, cards: &'a [GpuCard], step: Step) -> Result<Work<'a>, MigError> {
        let (card, placed, makes) = match step {
            Step::Create { card, placed } => (&cards[card], placed, true),
            Step::Destroy { card, placed } => (&cards[card], placed, false),
        };
        let (divider, _) = self.divider(card)?;
        let call = |source| MigError::Call { card: card.id.clone(), source };
        let gone = || MigError::Gone { card: card.id.clone(), placed };
        let (profile, _) =
            known(&divider).map_err(call)?.into_iter().find(|(_, known)| *known == placed.profile).ok_or_else(gone)?;
        let placements = divider.placements(profile.id).map_err(call)?;
        let place = placements.into_iter().find(|(start, _)| *start == u32::from(placed.start));
        Ok(Work { card, placed, makes, profile, place: place.ok_or_else(gone)? })
    }

    /// Makes the instance, or destroys it.
    fn carry_out(&self, work: &Work<'_>, makes: bool, record: &mut MigRecord) -> Result<(), MigError> {
        let Work { card, placed, profile, place: (start, size), .. } = work;
        let (divider, _) = self.divider(card)?;
        let call = |source| MigError::Call { card: card.id.clone(), source };
        if makes {
            record.add(&card.id, *placed)?;
            // Where it failed, and something is there all the same, that stays in the record.
            let made = divider.create(profile, *start, *size).map_err(call);
            return made.inspect_err(|_| self.forget_unless_there(card, *placed, record));
        }
        let instances = divider.instances(profile.id).map_err(call)?;
        let found = instances.into_iter().find(|instance| instance.start == *start);
        let found = found.ok_or_else(|| MigError::Gone { card: card.id.clone(), placed: *placed })?;
        divider.destroy(found, profile.slices).map_err(call)?;
        Ok(record.remove(&card.id, *placed)?)
    }

    fn forget_unless_there(&self, card: &GpuCard, placed: Placed, record: &mut MigRecord) {
        let is_gone = self.mig_card(card).is_ok_and(|card| !card.instances.iter().any(|one| one.placed == placed));
        if is_gone && let Err(error) = record.remove(&card.id, placed) {
            tracing::warn!(%error, "the record of MIG instances has one that is not there");
        }
    }

    fn divider<'nvml>(&'nvml self, card: &GpuCard) -> Result<(Divider<'nvml>, nvml_wrapper::Device<'nvml>), MigError> {
        let device = self.nvml.device_by_uuid(card.id.as_str());
        let device = device.map_err(|source| MigError::Card { card: card.id.clone(), source: Arc::new(source) })?;
        Ok((Divider::new(&self.nvml, &device), device))
    }
}

/// The sizes whose names can be read.
fn known(divider: &Divider<'_>) -> Result<Vec<(RawProfile, MigProfile)>, CallError> {
    let profiles = divider.profiles()?.into_iter();
    Ok(profiles.filter_map(|raw| raw.name.parse().ok().map(|profile| (raw, profile))).collect())
}
