//! Tokens: JSON web tokens, HS256. Clients read the claims without checking the signature, and take the API
//! version, the expiry and the user from them.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Identity, Origin, Proof};
use crate::{ids, time};

/// Newest API version, told to clients through the token.
pub(crate) const API_VERSION: &str = "2.34";

/// Server version, told to clients through the token.
pub(crate) const SERVER_VERSION: &str = "2.3.0";

/// Longest lifetime of a token in seconds: a year.
pub(crate) const LONGEST_LIFETIME: i64 = 31_536_000;

/// Length of the signing key in bytes.
const KEY_LENGTH: usize = 64;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// When it stops to hold, in seconds since the epoch.
    exp: i64,
    /// When it was made.
    iat: i64,
    auth_type: String,
    env: String,
    identity: TokenIdentity,
    session_id: String,
    /// What the right to call comes from. Tokens of version 0.1 have none, and are renewed by their holders.
    origin: Origin,
    api_version: String,
    server_version: String,
    server_build: String,
    feature_set: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TokenIdentity {
    role: String,
    user_name: String,
    company_name: String,
    user: String,
    company: String,
}

impl Claims {
    /// Claims of a token made now.
    pub(crate) fn new(identity: &Identity, proof: &Proof, lifetime_seconds: i64) -> Self {
        let iat = time::now() / 1_000_000;
        Self {
            exp: iat + lifetime_seconds,
            iat,
            auth_type: "Bearer".to_owned(),
            env: "hostler".to_owned(),
            identity: TokenIdentity {
                role: identity.role.clone(),
                user_name: identity.user_name.clone(),
                company_name: identity.company_name.clone(),
                user: identity.user_id.clone(),
                company: identity.company.clone(),
            },
            session_id: proof.session.clone().unwrap_or_else(ids::new_id),
            origin: proof.origin.clone(),
            api_version: API_VERSION.to_owned(),
            server_version: SERVER_VERSION.to_owned(),
            server_build: env!("CARGO_PKG_VERSION").to_owned(),
            // Anything else makes clients ask for services of the paid server.
            feature_set: "basic".to_owned(),
        }
    }

    /// Id of the user, session, origin. What else the token says about the user is for clients: it may have changed.
    pub(crate) fn into_parts(self) -> (String, String, Origin) {
        (self.identity.user, self.session_id, self.origin)
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    Malformed,
    Forged,
    Expired,
}

/// Signs and verifies with the key of this installation.
pub(crate) struct Signer {
    key: Vec<u8>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer(..)")
    }
}

impl Signer {
    /// Reads the key file, or makes one that only its owner can read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut key = Vec::new();
        match std::fs::File::open(path) {
            Ok(mut file) => {
                file.read_to_end(&mut key)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => key = create_key(path)?,
            Err(error) => return Err(error),
        }
        if key.len() < KEY_LENGTH {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the key is too short; remove the file to get a new one",
            ));
        }
        Ok(Self { key })
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).expect("claims are plain data"));
        let text = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&text).finalize().into_bytes());
        format!("{text}.{signature}")
    }

    pub(crate) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let (text, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        // The signature is always taken as HS256, whatever the header says.
        self.mac(text).verify_slice(&signature).map_err(|_| TokenError::Forged)?;
        let (_, claims) = text.split_once('.').ok_or(TokenError::Malformed)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Malformed)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
        if claims.exp <= time::now() / 1_000_000 {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length is good");
        mac.update(text.as_bytes());
        mac
    }
}

fn create_key(path: &Path) -> io::Result<Vec<u8>> {
    let key: [u8; KEY_LENGTH] = rand::rng().random();
    // Written beside and renamed, so that a crash never leaves half a key.
    let draft = path.with_extension("new");
    let _ = std::fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn claims(user: &str, lifetime_seconds: i64) -> Claims {
        let proof = Proof { origin: Origin::Key("K".to_owned()), session: Some("s".to_owned()) };
        Claims::new(&Identity::of_user(user, "User", "admin"), &proof, lifetime_seconds)
    }

    #[test]
    fn a_token_holds_until_it_expires_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.key");
        let token = Signer::open(&path).unwrap().sign(&claims("u1", 60));
        let again = Signer::open(&path).unwrap();
        assert_eq!(
            again.verify(&token).unwrap().into_parts(),
            ("u1".to_owned(), "s".to_owned(), Origin::Key("K".to_owned()))
        );
        let old = again.sign(&claims("u1", 0));
        assert_eq!(again.verify(&old), Err(TokenError::Expired));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_token_of_another_key_or_with_other_claims_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ours = Signer::open(&dir.path().join("a")).unwrap();
        let theirs = Signer::open(&dir.path().join("b")).unwrap();
        let token = theirs.sign(&claims("u1", 60));
        assert_eq!(ours.verify(&token), Err(TokenError::Forged));
        let mine = ours.sign(&claims("u1", 60));
        let parts: Vec<&str> = mine.split('.').collect();
        let forged = serde_json::to_vec(&claims("u2", 60)).unwrap();
        let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(forged), parts[2]);
        assert_eq!(ours.verify(&forged), Err(TokenError::Forged));
        assert_eq!(ours.verify("garbage"), Err(TokenError::Malformed));
    }
}
