//! What is on disk of the instances that we made.

use serde::{Deserialize, Serialize};

use super::Placed;
use crate::ids::GpuId;

#[derive(Serialize, Deserialize)]
struct Made {
    card: GpuId,
    profile: String,
    start: u8,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MadeError {
    /// No MessagePack, or not of this kind.
    #[error(transparent)]
    Bytes(#[from] rmp_serde::decode::Error),
    /// A size that nobody knows.
    #[error(transparent)]
    Profile(#[from] super::MigProfileError),
}

/// As bytes.
pub fn encode(made: &[(GpuId, Placed)]) -> Vec<u8> {
    let made: Vec<Made> = made
        .iter()
        .map(|(card, Placed { profile, start })| Made {
            card: card.clone(),
            profile: profile.to_string(),
            start: *start,
        })
        .collect();
    rmp_serde::to_vec_named(&made).expect("texts and numbers can be written")
}

/// From bytes.
pub fn decode(bytes: &[u8]) -> Result<Vec<(GpuId, Placed)>, MadeError> {
    let made: Vec<Made> = rmp_serde::from_slice(bytes)?;
    made.into_iter()
        .map(|Made { card, profile, start }| Ok((card, Placed { profile: profile.parse()?, start })))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_frozen() {
        let made = [(GpuId::from("G"), Placed { profile: "1g.10gb".parse().unwrap(), start: 6 })];
        let bytes = encode(&made);
        assert_eq!(bytes, b"\x91\x83\xa4card\xa1G\xa7profile\xa71g.10gb\xa5start\x06");
        assert_eq!(decode(&bytes).unwrap(), made);
        assert!(decode(b"\x91").is_err());
    }
}
