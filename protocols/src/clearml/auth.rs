//! The `auth` service: credentials are traded for a token.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clearml::tasks::null_as_default;

/// Request of `auth.login`; the credentials themselves travel in the `Authorization` header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoginRequest {
    /// How long the token shall live, in seconds; the server's default where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_sec: Option<u64>,
}

/// Answer of `auth.login`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoginResponse {
    /// A JWT, sent as `Authorization: Bearer` from then on. A secret.
    #[serde(deserialize_with = "null_as_default")]
    pub token: String,
}

impl std::fmt::Debug for LoginResponse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LoginResponse").field("token", &"***").finish()
    }
}

/// Payload of the JWT: what clients read from it, without verifying its signature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenClaims {
    /// When it expires, in seconds since the epoch; never where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<f64>,
    /// When it was issued, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<f64>,
    /// Newest API version of the server, for example `2.34`.
    #[serde(deserialize_with = "null_as_default")]
    pub api_version: String,
    /// Version of the server.
    #[serde(deserialize_with = "null_as_default")]
    pub server_version: String,
    /// `basic` on every open-source server.
    #[serde(deserialize_with = "null_as_default")]
    pub feature_set: String,
    /// Deployment environment.
    #[serde(deserialize_with = "null_as_default")]
    pub env: String,
    /// `user`, `company`, `role` and their names.
    #[serde(deserialize_with = "null_as_default")]
    pub identity: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let response: LoginResponse = serde_json::from_str(r#"{"token": "abc.def.ghi", "method": "get"}"#).unwrap();
        assert_eq!(response.token, "abc.def.ghi");
        assert!(!format!("{response:?}").contains("def"));
    }

    #[test]
    fn claims_are_read_leniently() {
        let claims: TokenClaims =
            serde_json::from_str(r#"{"exp": 1.5, "identity": null, "env": null, "session_id": "x"}"#).unwrap();
        assert_eq!((claims.exp, claims.iat), (Some(1.5), None));
        assert!(claims.identity.is_empty() && claims.env.is_empty());
    }
}
