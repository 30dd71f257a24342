//! How much of the GPUs a task wants.

use std::fmt;
use std::str::FromStr;

use super::share::MPS;
use super::{MigProfile, MilliGpu, Share, WHOLE_GPU};

/// What follows the name of a MIG profile.
const MIG: &str = "@mig";

/// What a task wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Whole cards: at least so many, and as many as are free up to so many.
    Cards {
        /// It does not start with fewer.
        least: usize,
        /// It gets no more.
        most: usize,
    },
    /// A part of one card.
    Share(Share),
    /// A MIG instance of this size.
    Instance(MigProfile),
}

/// A demand that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no number of GPUs: {why}; write 2, 1-4, a part like 0.5 or 0.5@mps, or an instance \
     like 1g.10gb@mig"
)]
pub struct DemandError {
    text: String,
    why: &'static str,
}

impl Demand {
    /// How many cards it needs at least.
    pub fn least_cards(&self) -> usize {
        match self {
            Self::Cards { least, .. } => *least,
            Self::Share(_) | Self::Instance(_) => 1,
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cards { least, most } if least == most => write!(formatter, "{least}"),
            Self::Cards { least, most } => write!(formatter, "{least}-{most}"),
            Self::Share(share) => write!(formatter, "{share}"),
            Self::Instance(profile) => write!(formatter, "{profile}{MIG}"),
        }
    }
}

impl FromStr for Demand {
    type Err = DemandError;

    /// `2`, `1-4`, `-4` (from one to four), `0.5`, as the stock agent writes them; `0.5@mps`, `1g.10gb@mig`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why| DemandError { text: text.to_owned(), why };
        let cards = |text: &str| match milli(text) {
            None => Err(wrong("not a number")),
            Some(MilliGpu(0)) => Err(wrong("nothing is asked for")),
            Some(MilliGpu(amount)) if amount % WHOLE_GPU.0 != 0 => Err(wrong("more than a part of one card is whole")),
            Some(MilliGpu(amount)) => Ok((amount / WHOLE_GPU.0) as usize),
        };
        if let Some(profile) = text.strip_suffix(MIG) {
            let profile = profile.parse().map_err(|_| wrong("not the name of a MIG profile"))?;
            return Ok(Self::Instance(profile));
        }
        if let Some(part) = text.strip_suffix(MPS) {
            return match milli(part) {
                Some(amount) if amount.0 > 0 && amount < WHOLE_GPU => Ok(Self::Share(Share::mps(amount))),
                _ => Err(wrong("MPS shares out a part of one card")),
            };
        }
        if let Some((least, most)) = text.split_once('-') {
            let least = if least.is_empty() { 1 } else { cards(least)? };
            let most = cards(most)?;
            return if least <= most { Ok(Self::Cards { least, most }) } else { Err(wrong("a range goes upwards")) };
        }
        match milli(text) {
            Some(amount) if amount.0 > 0 && amount < WHOLE_GPU => Ok(Self::Share(Share::slot(amount))),
            _ => cards(text).map(|count| Self::Cards { least: count, most: count }),
        }
    }
}

/// A decimal number with up to three digits behind its point.
fn milli(text: &str) -> Option<MilliGpu> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_empty = whole.is_empty() && part.is_empty();
    if is_empty || part.len() > 3 || !are_digits(whole) || !are_digits(part) {
        return None;
    }
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let thousandths: u32 = format!("{part:0<3}").parse().ok()?;
    whole.checked_mul(WHOLE_GPU.0)?.checked_add(thousandths).map(MilliGpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Demand) {
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }

    #[test]
    fn numbers_ranges_and_parts() {
        check("2", Demand::Cards { least: 2, most: 2 });
        check("1.0", Demand::Cards { least: 1, most: 1 });
        check("1-4", Demand::Cards { least: 1, most: 4 });
        check("-4", Demand::Cards { least: 1, most: 4 });
        check("0.5", Demand::Share(Share::slot(MilliGpu(500))));
        check(".125", Demand::Share(Share::slot(MilliGpu(125))));
        check("0.25@mps", Demand::Share(Share::mps(MilliGpu(250))));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["2", "1-4", "0.5", "0.125", "0.25@mps", "1g.10gb@mig", "1g.10gb+me@mig"] {
            assert_eq!(text.parse::<Demand>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_rest_is_refused() {
        for text in [
            "",
            "0",
            "0.0",
            "1.5",
            "4-1",
            "0.5-2",
            "1-",
            "-",
            ".",
            "two",
            "-0.5",
            "0.0005",
            "1e3",
            "99999999",
            "@mig",
            "2@mig",
            "1g@mig",
            "1@mps",
            "@mps",
            "0@mps",
            "0.5-0.7@mps",
            "1g.10gb@mps",
        ] {
            assert!(text.parse::<Demand>().is_err(), "{text}");
        }
    }
}
