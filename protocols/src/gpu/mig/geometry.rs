//! Where on a card instances can be.

use super::{MigExtra, MigProfile};

/// An instance and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Placed {
    /// Its size.
    pub profile: MigProfile,
    /// The memory slice that it begins at.
    pub start: u8,
}

/// A size of instance, and the places that a card has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The size.
    pub profile: MigProfile,
    /// How many compute slices it takes.
    pub compute: u8,
    /// How many memory slices it takes.
    pub memory: u8,
    /// The memory slices that it can begin at.
    pub starts: Vec<u8>,
    /// How many of them a card can have.
    pub most: u8,
}

/// The sizes that a card can be divided into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How many compute slices it has.
    pub compute: u8,
    /// The sizes.
    pub shapes: Vec<Shape>,
}

/// What is left of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Room {
    /// The memory slices that are taken, a bit for each.
    memory: u32,
    compute: u8,
    /// How many of each shape there are, four bits for each.
    counts: u64,
}

impl Geometry {
    /// NVIDIA A100 with 40 GB.
    pub fn a100_40gb() -> Self {
        Self::of_seven([5, 10, 20, 40], 10)
    }

    /// NVIDIA A100 with 80 GB.
    pub fn a100_80gb() -> Self {
        Self::of_seven([10, 20, 40, 80], 20)
    }

    /// NVIDIA H100 with 80 GB.
    pub fn h100_80gb() -> Self {
        Self::of_seven([10, 20, 40, 80], 20)
    }

    /// NVIDIA H200 with 141 GB.
    pub fn h200_141gb() -> Self {
        Self::of_seven([18, 35, 71, 141], 35)
    }

    /// Seven compute and eight memory slices: three compute slices take half of the memory. `gigabytes` are the memory
    /// of one, two, four and eight slices as names say it; `double` that of one compute slice with two of memory.
    fn of_seven([one, two, four, eight]: [u16; 4], double: u16) -> Self {
        let shape = |slices, gigabytes, extra, memory, starts: &[u8], most| Shape {
            profile: MigProfile { slices, gigabytes, extra, part: None },
            compute: slices,
            memory,
            starts: starts.to_vec(),
            most,
        };
        let plain = MigExtra::Plain;
        let shapes = vec![
            shape(1, one, plain, 1, &[0, 1, 2, 3, 4, 5, 6], 7),
            shape(1, one, MigExtra::Media, 1, &[0, 1, 2, 3, 4, 5, 6], 1),
            shape(1, double, plain, 2, &[0, 2, 4, 6], 4),
            shape(2, two, plain, 2, &[0, 2, 4], 3),
            shape(3, four, plain, 4, &[0, 4], 2),
            shape(4, four, plain, 4, &[0], 1),
            shape(7, eight, plain, 8, &[0], 1),
        ];
        Self { compute: 7, shapes }
    }

    /// The size with everything that belongs to it.
    pub fn shape(&self, profile: MigProfile) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.profile == profile)
    }

    /// Whether a card can have all of these at a time.
    pub fn is_legal(&self, instances: &[Placed]) -> bool {
        self.room(instances).is_some()
    }

    /// What is left beside these; `None` where they cannot be at a time.
    pub(super) fn room<'a>(&self, instances: impl IntoIterator<Item = &'a Placed>) -> Option<Room> {
        let empty = Room { memory: 0, compute: self.compute, counts: 0 };
        instances.into_iter().try_fold(empty, |room, placed| room.with(self, *placed))
    }
}

impl Room {
    /// A card that nothing has a place on.
    pub(super) const FULL: Self = Self { memory: u32::MAX, compute: 0, counts: 0 };

    /// What is left beside one more; `None` where it has no place.
    pub(super) fn with(self, geometry: &Geometry, placed: Placed) -> Option<Self> {
        let index = geometry.shapes.iter().position(|shape| shape.profile == placed.profile)?;
        let shape = &geometry.shapes[index];
        let slices = ((1u32 << shape.memory) - 1) << placed.start;
        let count = (self.counts >> (4 * index)) & 0xf;
        let fits = shape.starts.contains(&placed.start)
            && self.memory & slices == 0
            && shape.compute <= self.compute
            && count < u64::from(shape.most);
        fits.then(|| Self {
            memory: self.memory | slices,
            compute: self.compute - shape.compute,
            counts: self.counts + (1 << (4 * index)),
        })
    }

    /// How much can still be made of it: every place of every size, by its memory.
    pub(super) fn promise(self, geometry: &Geometry) -> u32 {
        let places = |shape: &Shape| {
            let place = |start: &&u8| self.with(geometry, Placed { profile: shape.profile, start: **start }).is_some();
            shape.starts.iter().filter(place).count() as u32 * u32::from(shape.memory)
        };
        geometry.shapes.iter().map(places).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(instances: &[(&str, u8)], is_legal: bool) {
        let placed: Vec<Placed> =
            instances.iter().map(|(name, start)| Placed { profile: name.parse().unwrap(), start: *start }).collect();
        assert_eq!(Geometry::h100_80gb().is_legal(&placed), is_legal, "{instances:?}");
    }

    #[test]
    fn what_nvidia_lists_is_legal() {
        check(&[], true);
        check(&[("7g.80gb", 0)], true);
        check(&[("4g.40gb", 0), ("3g.40gb", 4)], true);
        check(&[("3g.40gb", 0), ("3g.40gb", 4)], true);
        check(&[("3g.40gb", 0), ("2g.20gb", 4), ("1g.10gb", 6)], true);
        check(&[("2g.20gb", 0), ("2g.20gb", 2), ("2g.20gb", 4), ("1g.10gb", 6)], true);
        check(&[("1g.20gb", 0), ("1g.20gb", 2), ("1g.20gb", 4), ("1g.20gb", 6)], true);
        check(&[0, 1, 2, 3, 4, 5, 6].map(|start| ("1g.10gb", start)), true);
        check(&[("1g.10gb+me", 0), ("1g.10gb", 1)], true);
    }

    #[test]
    fn what_overlaps_or_is_too_much_is_not() {
        check(&[("4g.40gb", 0), ("4g.40gb", 4)], false);
        check(&[("3g.40gb", 0), ("1g.10gb", 3)], false);
        check(&[("1g.10gb", 7)], false);
        check(&[("3g.40gb", 2)], false);
        check(&[("1g.10gb+me", 0), ("1g.10gb+me", 1)], false);
        check(&[("4g.40gb", 0), ("2g.20gb", 4), ("1g.20gb", 6), ("1g.10gb", 6)], false);
        check(&[("1g.5gb", 0)], false);
    }
}
