//! Who may call: credentials, tokens, identities.

mod credentials;
mod token;

use std::path::Path;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocols::clearml::error::ApiError;

pub(crate) use credentials::{Credential, Secret, random_key, random_secret};
pub(crate) use token::{API_VERSION, SERVER_VERSION};

use crate::company::{COMPANY, COMPANY_NAME};
use credentials::Credentials;
use token::{Claims, Signer, TokenError};

/// Cookie that carries a token for browsers.
pub(crate) const TOKEN_COOKIE: &str = "clearml_token_basic";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Id of the user.
    pub(crate) user_id: String,
    /// Display name of the user.
    pub(crate) user_name: String,
    /// Id of the company.
    pub(crate) company: String,
    /// Display name of the company.
    pub(crate) company_name: String,
    /// Role: `system`, `root`, `admin`, `superuser`, `user`, `annotator` or `guest`.
    pub(crate) role: String,
}

impl Identity {
    /// A user of this installation.
    pub(crate) fn of_user(user_id: &str, user_name: &str, role: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            user_name: user_name.to_owned(),
            company: COMPANY.to_owned(),
            company_name: COMPANY_NAME.to_owned(),
            role: role.to_owned(),
        }
    }

    /// Whoever may write in the data directory.
    pub(crate) fn owner() -> Self {
        Self::of_user("", "owner", "system")
    }

    /// The caller of an endpoint that needs no credentials.
    pub(crate) fn nobody() -> Self {
        Self::of_user("", "", "guest")
    }
}

/// Checks credentials and makes tokens. Holds what it needs in memory: no call waits for the disk here.
#[derive(Debug)]
pub(crate) struct Authority {
    signer: Signer,
    credentials: Credentials,
}

impl Authority {
    /// Reads the signing key, creating it if there is none, readable by its owner only.
    pub(crate) fn open(key_file: &Path, credentials: Vec<Credential>) -> std::io::Result<Self> {
        Ok(Self { signer: Signer::open(key_file)?, credentials: Credentials::new(credentials) })
    }

    /// Finds out who sent a request: `Authorization: Basic` or `Bearer`, or the cookie.
    ///
    /// # Errors
    /// 401 with the subcode that tells clients what to do.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            let token = cookie(headers).ok_or_else(|| ApiError::no_credentials("", &[]))?;
            return self.by_token(token);
        };
        let value = value.to_str().map_err(|_| ApiError::bad_credentials("", &[]))?;
        match value.split_once(' ') {
            Some(("Basic", encoded)) => self.by_secret(encoded.trim()),
            Some(("Bearer", token)) => self.by_token(token.trim()),
            Some(_) | None => Err(ApiError::bad_auth_type("", &[])),
        }
    }

    /// Makes a token for `identity` that holds for `lifetime_seconds`.
    pub(crate) fn token(&self, identity: &Identity, lifetime_seconds: i64) -> String {
        self.signer.sign(&Claims::new(identity, lifetime_seconds))
    }

    fn by_secret(&self, encoded: &str) -> Result<Identity, ApiError> {
        let malformed = || ApiError::bad_credentials("", &[]);
        let decoded = STANDARD.decode(encoded).map_err(|_| malformed())?;
        let text = String::from_utf8(decoded).map_err(|_| malformed())?;
        let (key, secret) = text.split_once(':').ok_or_else(malformed)?;
        self.credentials.check(key, secret).ok_or_else(|| ApiError::invalid_credentials("", &[]))
    }

    fn by_token(&self, token: &str) -> Result<Identity, ApiError> {
        self.signer.verify(token).map(Claims::into_identity).map_err(|error| match error {
            TokenError::Malformed | TokenError::Forged => ApiError::invalid_token("", &[]),
            TokenError::Expired => ApiError::invalid_token("token has expired", &[]),
        })
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == TOKEN_COOKIE)
        .map(|(_, token)| token)
}
