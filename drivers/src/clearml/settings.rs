//! Where the API server is and how to be let in.

use std::path::PathBuf;

/// How the server's certificate is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Against the system's root certificates.
    #[default]
    Yes,
    /// Not at all.
    No,
    /// Against the PEM certificates in this file, and no others.
    CaFile(PathBuf),
}

/// Who we are, towards which server.
#[derive(Clone, Default)]
pub struct Credentials {
    /// URL of the API server, for example `http://localhost:8008`; may have a path.
    pub api_host: String,
    /// `api.credentials.access_key`.
    pub access_key: String,
    /// `api.credentials.secret_key`. A secret.
    pub secret_key: String,
    /// `CLEARML_AUTH_TOKEN`: used instead of key and secret. A secret.
    pub auth_token: Option<String>,
    /// See [`Verify`].
    pub verify: Verify,
    /// Value of the `X-ClearML-Worker` header: the host's name.
    pub worker_header: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("api_host", &self.api_host)
            .field("access_key", &self.access_key)
            .field("secret_key", &"***")
            .field("auth_token", &self.auth_token.as_ref().map(|_| "***"))
            .field("verify", &self.verify)
            .field("worker_header", &self.worker_header)
            .finish()
    }
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Who we are, towards which server.
    pub credentials: Credentials,
    /// Longest time to make a connection.
    pub connect_timeout: std::time::Duration,
    /// Longest time for a whole call; long-polls have their own.
    pub call_timeout: std::time::Duration,
    /// Lifetime to ask for at login, in seconds; the server's default where absent.
    pub token_lifetime_seconds: Option<u64>,
}

impl ClientSettings {
    /// The usual timeouts: 5 s to connect, 30 s for a call.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            connect_timeout: std::time::Duration::from_secs(5),
            call_timeout: std::time::Duration::from_secs(30),
            token_lifetime_seconds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials {
            access_key: "KEY".to_owned(),
            secret_key: "hunter2".to_owned(),
            auth_token: Some("tok3n".to_owned()),
            ..Credentials::default()
        };
        let shown = format!("{:?}", ClientSettings::new(credentials));
        assert!(shown.contains("KEY") && !shown.contains("hunter2") && !shown.contains("tok3n"), "{shown}");
    }
}
