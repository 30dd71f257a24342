//! Access keys and the digests of their secrets.

use std::fmt;

use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// Characters of an access key.
const KEY_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Characters of a secret: they need no escaping in a configuration file, a shell or a URL.
const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Length of a generated access key.
pub(crate) const KEY_LENGTH: usize = 30;

/// Length of a generated secret: 357 bits, so that a plain salted digest of it cannot be searched.
const SECRET_LENGTH: usize = 60;

/// Digest of a secret, with its salt. Secrets are random and long, so one SHA-256 is enough.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    /// Random, per credential.
    pub(crate) salt: Vec<u8>,
    /// SHA-256 of salt and secret.
    pub(crate) digest: Vec<u8>,
}

impl Secret {
    /// Digests a secret with a new salt.
    pub(crate) fn digest(secret: &str) -> Self {
        let salt: [u8; 16] = rand::rng().random();
        Self { digest: digest(&salt, secret), salt: salt.to_vec() }
    }

    pub(crate) fn holds(&self, secret: &str) -> bool {
        same(&self.digest, &digest(&self.salt, secret))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Makes an access key.
pub(crate) fn random_key() -> String {
    random_text(KEY_ALPHABET, KEY_LENGTH)
}

/// Makes a secret.
pub(crate) fn random_secret() -> String {
    random_text(SECRET_ALPHABET, SECRET_LENGTH)
}

fn random_text(alphabet: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}

fn digest(salt: &[u8], secret: &str) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(secret.as_bytes());
    hasher.finalize().to_vec()
}

/// Compares without telling by its duration where the first difference is.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |found, (left, right)| found | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_differ_and_are_long() {
        assert_ne!(random_secret(), random_secret());
        assert_eq!((random_key().len(), random_secret().len()), (KEY_LENGTH, SECRET_LENGTH));
        assert_ne!(Secret::digest("same").digest, Secret::digest("same").digest, "salted");
    }
}
