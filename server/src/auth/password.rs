//! Passwords of people: short and chosen, so each guess is made slow and wants memory (Argon2id).

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use protocols::clearml::error::ApiError;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use super::credentials::{KEY_LENGTH, same};

/// Memory, in KiB, of one check; with [`PASSES`] what OWASP asks for at least.
const MEMORY: u32 = 19 * 1024;

/// Passes over that memory.
const PASSES: u32 = 2;

/// Bytes of a salt.
const SALT_LENGTH: usize = 16;

/// Bytes of a digest.
const DIGEST_LENGTH: usize = 32;

/// Characters of a password at least.
const SHORTEST: usize = 8;

/// Bytes of a password at most.
const LONGEST: usize = 1024;

/// What a password is checked with: a PHC string, `$argon2id$v=19$m=..,t=..,p=..$salt$digest`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

impl Password {
    /// One that was kept.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// One that nothing is, as dear to check as any other.
    pub(crate) fn of_nobody() -> Self {
        let nothing = STANDARD_NO_PAD.encode([0; DIGEST_LENGTH]);
        Self(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${}${nothing}", STANDARD_NO_PAD.encode([0; SALT_LENGTH])))
    }

    /// The text to keep.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells this password from every other, and nothing about it.
    pub(crate) fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.0.as_bytes())[..8])
    }

    /// Whether `given` is the password. Takes long, on purpose: for a blocking thread.
    pub(crate) fn is(&self, given: &str) -> bool {
        let Some((params, salt, digest)) = parse(&self.0) else {
            tracing::error!("a stored password cannot be read");
            return false;
        };
        derive(params, &salt, given).is_some_and(|derived| same(&derived, &digest))
    }
}

/// What a new password is checked with. Takes long, on purpose: for a blocking thread.
pub(crate) fn hash(given: &str) -> Result<Password, ApiError> {
    let salt: [u8; SALT_LENGTH] = rand::rng().random();
    let failed = || ApiError::internal("the password cannot be digested", &[]);
    let params = Params::new(MEMORY, PASSES, 1, Some(DIGEST_LENGTH)).map_err(|_| failed())?;
    let digest = derive(params, &salt, given).ok_or_else(failed)?;
    let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
    Ok(Password(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${salt}${digest}")))
}

/// Refuses what cannot be a password of the user `name`.
///
/// # Errors
/// 400/12 with the reason.
pub(crate) fn check_new(name: &str, given: &str) -> Result<(), ApiError> {
    if given.chars().count() < SHORTEST || given.len() > LONGEST {
        let why = format!("must have at least {SHORTEST} characters and at most {LONGEST} bytes");
        return Err(ApiError::bad_field("password", &why));
    }
    if name.contains(':') || looks_like_key(name) {
        return Err(ApiError::bad_field("name", "a user with a password cannot have this name: log in would not work"));
    }
    Ok(())
}

/// Whether a name could be an access key, and so is never taken for that of a person.
pub(crate) fn looks_like_key(name: &str) -> bool {
    name.len() == KEY_LENGTH && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn derive(params: Params, salt: &[u8], given: &str) -> Option<[u8; DIGEST_LENGTH]> {
    let mut digest = [0; DIGEST_LENGTH];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(given.as_bytes(), salt, &mut digest).ok().map(|()| digest)
}

fn parse(text: &str) -> Option<(Params, Vec<u8>, Vec<u8>)> {
    let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
    let (costs, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
    let mut costs = costs.split(',').map(|cost| cost.split_once('=').and_then(|(_, number)| number.parse().ok()));
    let (memory, passes, lanes) = (costs.next()??, costs.next()??, costs.next()??);
    let params = Params::new(memory, passes, lanes, Some(DIGEST_LENGTH)).ok()?;
    Some((params, STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(digest).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_salted_and_recognised() {
        let kept = hash("correct horse").unwrap();
        let again = Password::new(kept.as_str().to_owned());
        assert!(again.is("correct horse"));
        assert!(!again.is("correct horsf") && !again.is(""));
        assert!(!kept.as_str().contains("horse") && !format!("{kept:?}").contains("argon"));
        let other = hash("correct horse").unwrap();
        assert_ne!(kept, other, "salted");
        assert_ne!(kept.fingerprint(), other.fingerprint());
        assert!(!Password::new("$argon2id$v=19$m=1".to_owned()).is("x"), "what is damaged lets nobody in");
    }

    #[test]
    fn the_kept_form_is_frozen() {
        // A vector of the reference implementation.
        let kept = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4".to_owned();
        assert!(Password::new(kept).is("password"));
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        assert!(check_new("ada", "12345678").is_ok());
        assert!(check_new("ada", "1234567").unwrap_err().is(400, 12));
        assert!(check_new("ada", &"x".repeat(1025)).unwrap_err().is(400, 12));
        assert!(check_new("a:b", "12345678").unwrap_err().is(400, 12));
        assert!(check_new(&"A1".repeat(15), "12345678").unwrap_err().is(400, 12));
    }
}
