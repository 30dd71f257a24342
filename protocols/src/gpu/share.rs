//! How much of a card somebody has, and beside whom.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MilliGpu, WHOLE_GPU};

/// What follows the amount of an MPS share.
pub(super) const MPS: &str = "@mps";

/// Who divides a card among those that have parts of it. A card is divided in one way at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Nobody: they share it, and the daemon watches.
    #[default]
    Slots,
    /// NVIDIA's MPS: the driver gives each so much memory and so many threads, and no more.
    Mps,
}

/// How much of each of its cards a lease has.
///
/// Written as a number of thousandths, as from the beginning; an MPS share as `{"mps": 250}`, which a program that does
/// not know it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Share {
    /// How much.
    pub amount: MilliGpu,
    /// How the rest is kept from it; of no meaning for a whole card.
    pub sharing: Sharing,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(MilliGpu),
    Mps { mps: MilliGpu },
}

impl From<Written> for Share {
    fn from(written: Written) -> Self {
        match written {
            Written::Plain(amount) => Self::slot(amount),
            Written::Mps { mps } => Self::mps(mps),
        }
    }
}

impl From<Share> for Written {
    fn from(Share { amount, sharing }: Share) -> Self {
        match sharing {
            Sharing::Slots => Self::Plain(amount),
            Sharing::Mps => Self::Mps { mps: amount },
        }
    }
}

impl Share {
    /// All of each card.
    pub const WHOLE: Self = Self::slot(WHOLE_GPU);

    /// Nothing of any card: a task that is taken to be refused.
    pub const NOTHING: Self = Self::slot(MilliGpu(0));

    /// A part that nobody enforces; all of it where it is a whole card.
    pub const fn slot(amount: MilliGpu) -> Self {
        Self { amount, sharing: Sharing::Slots }
    }

    /// A part that MPS enforces.
    pub const fn mps(amount: MilliGpu) -> Self {
        Self { amount, sharing: Sharing::Mps }
    }

    /// What everything has that says nothing of shares.
    pub(crate) fn whole() -> Self {
        Self::WHOLE
    }

    /// Whether it is all of a card.
    pub fn is_whole(&self) -> bool {
        self.amount.is_whole()
    }

    /// Whether MPS enforces it.
    pub fn is_mps(&self) -> bool {
        self.sharing == Sharing::Mps
    }

    /// As much of an amount as it is of a card.
    pub fn of(&self, amount: u64) -> u64 {
        self.amount.of(amount)
    }
}

impl fmt::Display for Share {
    /// As a queue's demand writes it: `1`, `0.5`, `0.25@mps`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.amount, if self.is_mps() { MPS } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(share: Share, json: &str) {
        assert_eq!(serde_json::to_string(&share).unwrap(), json);
        assert_eq!(serde_json::from_str::<Share>(json).unwrap(), share);
        let packed = rmp_serde::to_vec_named(&share).unwrap();
        assert_eq!(rmp_serde::from_slice::<Share>(&packed).unwrap(), share);
    }

    #[test]
    fn what_is_written_is_read_again() {
        check(Share::WHOLE, "1000");
        check(Share::slot(MilliGpu(250)), "250");
        check(Share::mps(MilliGpu(250)), r#"{"mps":250}"#);
        assert!(
            serde_json::from_str::<MilliGpu>(r#"{"mps":250}"#).is_err(),
            "an older program does not take it for more"
        );
    }
}
