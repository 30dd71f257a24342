//! Sizes of MIG instances, by the names that NVIDIA gives them.

use std::fmt;
use std::str::FromStr;

/// A size of instance: `1g.10gb`, `3g.40gb`, `1g.10gb+me`, `1c.3g.40gb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MigProfile {
    /// Compute slices.
    pub slices: u8,
    /// Memory, as the name says it.
    pub gigabytes: u16,
    /// What it has besides, or has not.
    pub extra: MigExtra,
    /// How many of the compute slices are this device's, where it shares its memory with others.
    pub part: Option<u8>,
}

/// What sets an instance apart from others of its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MigExtra {
    /// Nothing.
    #[default]
    Plain,
    /// `+me`: an engine for media.
    Media,
    /// `+me.all`: all of them.
    AllMedia,
    /// `-me`: none of them.
    NoMedia,
    /// `+gfx`: graphics.
    Graphics,
}

const EXTRAS: [(MigExtra, &str); 5] = [
    (MigExtra::AllMedia, "+me.all"),
    (MigExtra::Media, "+me"),
    (MigExtra::NoMedia, "-me"),
    (MigExtra::Graphics, "+gfx"),
    (MigExtra::Plain, ""),
];

/// No name of a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no MIG profile; write one as nvidia-smi does, for example 1g.10gb")]
pub struct MigProfileError(String);

impl MigProfile {
    /// The size of a device, from its name: `NVIDIA H100 80GB HBM3 MIG 1g.10gb`. `None` for a whole card.
    pub fn of_device(name: &str) -> Option<Self> {
        let (_, rest) = name.split_once(" MIG ")?;
        rest.split(' ').next()?.parse().ok()
    }
}

impl fmt::Display for MigProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = self.part {
            write!(formatter, "{part}c.")?;
        }
        let extra = EXTRAS.iter().find(|(extra, _)| *extra == self.extra).map_or("", |(_, text)| text);
        write!(formatter, "{}g.{}gb{extra}", self.slices, self.gigabytes)
    }
}

impl FromStr for MigProfile {
    type Err = MigProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let lower = text.to_ascii_lowercase();
            let (extra, suffix) = EXTRAS.iter().find(|(_, suffix)| lower.ends_with(suffix))?;
            let mut rest = lower.strip_suffix(suffix)?;
            let mut part = None;
            if let Some((number, behind)) = rest.split_once("c.") {
                part = Some(number.parse().ok()?);
                rest = behind;
            }
            let (slices, memory) = rest.split_once("g.")?;
            let profile = Self {
                slices: slices.parse().ok()?,
                gigabytes: memory.strip_suffix("gb")?.parse().ok()?,
                extra: *extra,
                part,
            };
            (profile.slices > 0 && profile.gigabytes > 0 && profile.part != Some(0)).then_some(profile)
        };
        parse().ok_or_else(|| MigProfileError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["1g.10gb", "1g.10gb+me", "1g.12gb-me", "2g.24gb+me.all", "1g.24gb+gfx", "7g.141gb", "1c.3g.40gb"] {
            assert_eq!(name.parse::<MigProfile>().unwrap().to_string(), name);
        }
        assert_eq!("1G.10GB".parse::<MigProfile>().unwrap().to_string(), "1g.10gb");
    }

    #[test]
    fn the_rest_is_refused() {
        for name in ["", "1g", "1g.gb", "g.10gb", "0g.10gb", "1g.10", "1g.10gb+x", "c.1g.10gb", "0c.1g.10gb", "1"] {
            assert!(name.parse::<MigProfile>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_device_says_its_size() {
        let of = |name| MigProfile::of_device(name).map(|profile| profile.to_string());
        assert_eq!(of("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), Some("1g.10gb".to_owned()));
        assert_eq!(of("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me (simulated)"), Some("1g.10gb+me".to_owned()));
        assert_eq!(of("NVIDIA H100 80GB HBM3"), None);
    }
}
