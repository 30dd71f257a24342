//! How the code of tasks is fetched: what the configuration says about git.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// User and password for one host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitCredential {
    /// Name of the user.
    pub user: String,
    /// A secret.
    pub password: String,
    /// `host` or `host:port`; with [`GitSettings::host_is_prefix`] the beginning of a URL. Any where empty.
    pub host: String,
}

impl fmt::Debug for GitCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GitCredential")
            .field("user", &self.user)
            .field("password", &"***")
            .field("host", &self.host)
            .finish()
    }
}

/// What a password is to the server, where it is not one of HTTP's basic authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A password, or a token in the place of one.
    #[default]
    Password,
    /// `agent.git_use_ms_entra_token`: a bearer token.
    Bearer,
    /// `agent.git_use_azure_pat`: a personal access token without a user.
    AzurePat,
}

/// How code is fetched.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GitSettings {
    /// `agent.git_user` / `CLEARML_AGENT_GIT_USER`.
    pub user: Option<String>,
    /// `agent.git_pass` / `CLEARML_AGENT_GIT_PASS`. A secret.
    pub password: Option<String>,
    /// `agent.git_host` / `CLEARML_AGENT_GIT_HOST`: the only host that gets the credentials; any where absent.
    pub host: Option<String>,
    /// `agent.git.extra_credentials`: for further hosts; the first that fits goes before the pair above.
    pub extra_credentials: Vec<GitCredential>,
    /// `agent.git_host_match_prefix`: hosts above are beginnings of URLs.
    pub host_is_prefix: bool,
    /// What the passwords are.
    pub token_kind: TokenKind,
    /// `agent.translate_ssh: false`: ssh URLs stay even where there are credentials for their host.
    pub without_ssh_translation: bool,
    /// `agent.translate_ssl_replacement_scheme`: what ssh URLs become, `https` where absent.
    pub https_scheme: Option<String>,
    /// `agent.force_git_ssh_protocol`: https URLs become ssh URLs.
    pub force_ssh: bool,
    /// `agent.force_git_ssh_user`.
    pub ssh_user: Option<String>,
    /// `agent.force_git_ssh_port`.
    pub ssh_port: Option<u16>,
    /// `agent.hostler.git_always_fetch`: ask the remote even for a commit that is known.
    pub always_fetch: bool,
    /// `agent.git_fetch_args`: how git fetches; what it fetches is known better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetch_arguments: Vec<String>,
    /// `agent.vcs_cache`.
    pub cache: RepositoryCache,
}

/// `agent.vcs_cache`: the mirrors of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryCache {
    /// `enabled: false`: nothing is kept from one task to the next.
    pub disabled: bool,
    /// `path`: where mirrors are instead of below the root of the caches.
    pub path: Option<PathBuf>,
    /// `max_entries`: how many mirrors are kept; those not used for longest go.
    pub max_entries: Option<usize>,
    /// `free_space_threshold_gb`, in bytes: below it mirrors go, those not used for longest first.
    pub min_free_bytes: Option<u64>,
    /// `clone_on_pull_fail`: where a mirror cannot be fetched into, the task gets a clone of its own.
    pub clone_on_failure: bool,
}

impl fmt::Debug for GitSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GitSettings")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("host", &self.host)
            .field("extra_credentials", &self.extra_credentials)
            .field("host_is_prefix", &self.host_is_prefix)
            .field("token_kind", &self.token_kind)
            .field("without_ssh_translation", &self.without_ssh_translation)
            .field("https_scheme", &self.https_scheme)
            .field("force_ssh", &self.force_ssh)
            .field("ssh_user", &self.ssh_user)
            .field("ssh_port", &self.ssh_port)
            .field("always_fetch", &self.always_fetch)
            .field("fetch_arguments", &self.fetch_arguments)
            .field("cache", &self.cache)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let credential = GitCredential { user: "u".into(), password: "hunter2".into(), host: "h".into() };
        let settings = GitSettings {
            password: Some("hunter2".into()),
            extra_credentials: vec![credential],
            ..GitSettings::default()
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
