//! Passwords that were right a moment ago: clients that send theirs with each request must not pay for each.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use sha2::Sha256;

use super::credentials::same;
use super::password::Password;

/// One digest for each user, under a key that nobody has but this process.
pub(crate) struct Proven {
    key: [u8; 32],
    digests: Mutex<HashMap<String, Vec<u8>>>,
}

impl fmt::Debug for Proven {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Proven(..)")
    }
}

impl Proven {
    pub(crate) fn new() -> Self {
        Self { key: rand::rng().random(), digests: Mutex::default() }
    }

    /// Whether exactly this was right for the user before, with the password that the user has now.
    pub(crate) fn holds(&self, user: &str, password: &Password, given: &str) -> bool {
        let digest = self.digest(password, given);
        self.lock().get(user).is_some_and(|known| same(known, &digest))
    }

    /// Remembers what was right.
    pub(crate) fn learn(&self, user: &str, password: &Password, given: &str) {
        let digest = self.digest(password, given);
        self.lock().insert(user.to_owned(), digest);
    }

    fn digest(&self, password: &Password, given: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length is good");
        mac.update(password.fingerprint().as_bytes());
        mac.update(given.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_right_until_the_password_is_another() {
        let (first, second) = (Password::new("$1".to_owned()), Password::new("$2".to_owned()));
        let proven = Proven::new();
        assert!(!proven.holds("u", &first, "secret"));
        proven.learn("u", &first, "secret");
        assert!(proven.holds("u", &first, "secret"));
        assert!(!proven.holds("u", &first, "Secret"));
        assert!(!proven.holds("v", &first, "secret"));
        assert!(!proven.holds("u", &second, "secret"));
    }
}
