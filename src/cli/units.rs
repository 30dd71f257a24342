//! Sizes and ages, as people write them.

use std::str::FromStr;
use std::time::Duration;

/// A number of bytes: `1500000`, `500M`, `10GiB`. Units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("`{text}` is no number of bytes: write 1500000, 500M or 10GiB");
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
            "" => 0,
            "k" => 10,
            "m" => 20,
            "g" => 30,
            "t" => 40,
            _ => return Err(odd()),
        };
        let number: u64 = number.parse().map_err(|_| odd())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(odd)
    }
}

/// How long ago something was: `12h`, `90d`, `26w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("`{text}` is no age: write 12h, 90d or 26w");
        let number = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        let hours = match text.chars().last() {
            Some('h') => 1,
            Some('d') => 24,
            Some('w') => 7 * 24,
            _ => return Err(odd()),
        };
        let number: u32 = number.parse().map_err(|_| odd())?;
        Ok(Self(Duration::from_secs(u64::from(number) * hours * 3600)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("0", 0), ("1500000", 1_500_000), ("3k", 3072), ("500M", 500 << 20), ("2 GiB", 2 << 30)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "5X", "99999999999999999999", "99999999999T"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn ages_have_units() {
        for (text, hours) in [("0h", 0), ("12h", 12), ("90d", 2160), ("2w", 336)] {
            assert_eq!(text.parse(), Ok(Age(Duration::from_secs(hours * 3600))), "{text}");
        }
        for text in ["", "d", "90", "-1d", "1.5d", "9m", "99999999999d", "1ü"] {
            assert!(text.parse::<Age>().is_err(), "{text}");
        }
    }
}
