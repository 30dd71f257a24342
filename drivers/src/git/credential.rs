//! Users and passwords: for whom each is, and the script through which git asks for them.
//!
//! The script prints variables of the one git process that starts it. The secrets are on no command line, in no file
//! and in no URL.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use protocols::git::{GitSettings, TokenKind};
use tempfile::TempDir;

use super::error::GitError;
use super::url::RepositoryUrl;

/// Whom a credential is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Whoever asks.
    Anybody,
    /// `host` or `host:port` in lower case.
    Host(String),
    /// Everything below a URL, without a slash at its end.
    Below(String),
}

/// User and password, and for whom they are. Not `Debug`: there is a secret in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) audience: Audience,
    pub(super) user: String,
    pub(super) password: String,
    /// Where it is from, for people: a key of the configuration.
    pub(super) source: &'static str,
}

impl Credential {
    /// Whether it is for a URL. None is for what is no URL of a host.
    pub(super) fn is_for(&self, url: &RepositoryUrl) -> bool {
        match &self.audience {
            Audience::Anybody => url.host().is_some(),
            Audience::Host(host) => Some(host) == url.host().as_ref() || Some(host) == url.host_and_port().as_ref(),
            Audience::Below(prefix) => {
                let https = url.to_https("https");
                let text = https.as_ref().unwrap_or(url).without_secrets();
                let rest = text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix));
                rest.is_some_and(|_| text[prefix.len()..].is_empty() || text[prefix.len()..].starts_with('/'))
            }
        }
    }
}

/// The configured credentials, in the order in which they are asked. As the stock agent has it: only a user and a
/// password together are one, and those for further hosts go before the general one.
pub(super) fn configured(settings: &GitSettings) -> Vec<Credential> {
    let extra = settings.extra_credentials.iter().map(|extra| {
        let host = Some(extra.host.as_str());
        (host, Some(extra.user.as_str()), Some(extra.password.as_str()), "agent.git.extra_credentials")
    });
    let general = (settings.host.as_deref(), settings.user.as_deref(), settings.password.as_deref(), "agent.git_user");
    let is_set = |text: &&str| !text.is_empty();
    extra
        .chain([general])
        .filter_map(|(host, user, password, source)| {
            let password = password.filter(is_set)?.to_owned();
            let user = match (user.filter(is_set), settings.token_kind) {
                (Some(user), _) => user,
                // A token alone says who it is.
                (None, TokenKind::Bearer | TokenKind::AzurePat) => "",
                (None, TokenKind::Password) => return None,
            };
            let audience = audience(host.unwrap_or_default(), settings.host_is_prefix);
            Some(Credential { audience, user: user.to_owned(), password, source })
        })
        .collect()
}

fn audience(host: &str, is_prefix: bool) -> Audience {
    match host.trim() {
        "" => Audience::Anybody,
        host if is_prefix && host.contains("://") => Audience::Below(host.trim_end_matches('/').to_owned()),
        host => Audience::Host(host.to_ascii_lowercase()),
    }
}

/// Whether git has to say for which path it asks.
pub(super) fn need_paths(credentials: &[Credential]) -> bool {
    credentials.iter().any(|credential| matches!(credential.audience, Audience::Below(_)))
}

/// Names of the variables with the answers of a credential.
pub(super) fn variables(number: usize) -> (String, String) {
    (format!("HOSTLER_GIT_USER_{number}"), format!("HOSTLER_GIT_PASSWORD_{number}"))
}

/// Writes the script that git starts to ask for a user or a password. The answers are not in it.
pub(super) fn write_askpass(credentials: &[Credential]) -> Result<TempDir, GitError> {
    let folder = tempfile::Builder::new().prefix("hostler-askpass-").tempdir();
    let folder = folder.map_err(GitError::io("make a temporary folder in", std::env::temp_dir()))?;
    let path = folder.path().join("askpass");
    let mut options = std::fs::File::options();
    let file = options.write(true).create_new(true).mode(0o700).open(&path);
    let written = file.and_then(|mut file| file.write_all(askpass_script(credentials).as_bytes()));
    written.map_err(GitError::io("write", &path))?;
    Ok(folder)
}

/// git asks `Username for 'https://host': `, and `Password for 'https://user@host': `; the first credential that is
/// for this host, or path, answers, and nothing is told to any other.
fn askpass_script(credentials: &[Credential]) -> String {
    let mut script = "#!/bin/sh\n\
        rest=${1#*://}\n\
        rest=${rest%%[\\'\\\"\\ ]*}\n\
        scheme=${1%%://*}\n\
        scheme=${scheme##*[\\'\\\"\\ ]}\n\
        authority=${rest%%/*}\n\
        path=${rest#\"$authority\"}\n\
        authority=$(printf %s \"${authority##*@}\" | tr A-Z a-z)\n\
        host=${authority%:*}\n\
        url=$scheme://$authority$path\n\
        case $1 in [Uu]*) asked=user;; *) asked=password;; esac\n\
        answer() { if [ $asked = user ]; then printf '%s\\n' \"$1\"; else printf '%s\\n' \"$2\"; fi; exit 0; }\n"
        .to_owned();
    for (number, credential) in credentials.iter().enumerate() {
        let (user, password) = variables(number);
        let answer = format!("answer \"${user}\" \"${password}\"");
        let quoted = |text: &str| format!("'{}'", text.replace('\'', ""));
        match &credential.audience {
            Audience::Anybody => script.push_str(&format!("{answer}\n")),
            Audience::Host(host) => {
                let host = quoted(host);
                let test = format!("[ \"$authority\" = {host} ] || [ \"$host\" = {host} ]");
                script.push_str(&format!("if {test}; then {answer}; fi\n"));
            }
            Audience::Below(prefix) => {
                let prefix = quoted(prefix);
                script.push_str(&format!("case $url in {prefix}|{prefix}/*) {answer};; esac\n"));
            }
        }
    }
    script.push_str("exit 1\n");
    script
}

#[cfg(test)]
mod tests {
    use protocols::git::GitCredential;

    use super::*;

    fn settings(host: &str, is_prefix: bool) -> GitSettings {
        GitSettings {
            user: Some("U".into()),
            password: Some("P@/x".into()),
            host: Some(host.into()),
            host_is_prefix: is_prefix,
            ..GitSettings::default()
        }
    }

    #[track_caller]
    fn check(settings: &GitSettings, url: &str, expected: Option<&str>) {
        let url = RepositoryUrl::parse(url);
        let found = configured(settings).into_iter().find(|credential| credential.is_for(&url));
        assert_eq!(found.map(|found| found.user).as_deref(), expected);
    }

    #[test]
    fn a_host_gets_its_own() {
        let mut settings = settings("github.com", false);
        settings.extra_credentials =
            vec![GitCredential { user: "L".into(), password: "q".into(), host: "GitLab.com".into() }];
        check(&settings, "https://github.com/a", Some("U"));
        check(&settings, "https://GitHub.com/a", Some("U"));
        check(&settings, "https://me@github.com/x", Some("U"));
        check(&settings, "git@github.com:x", Some("U"));
        check(&settings, "https://gitlab.com/a", Some("L"));
        check(&settings, "https://other.com/a", None);
        check(&settings, "/srv/a", None);
        settings.host = None;
        check(&settings, "https://gitlab.com/a", Some("L"));
        check(&settings, "https://other.com/a", Some("U"));
        settings.password = Some(String::new());
        check(&settings, "https://other.com/a", None);
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let settings = settings("https://github.com/org/", true);
        check(&settings, "https://github.com/org/b.git", Some("U"));
        check(&settings, "https://GitHub.com/org/b.git", Some("U"));
        check(&settings, "git@github.com:org/b.git", Some("U"));
        check(&settings, "https://github.com/other/b.git", None);
        check(&settings, "https://github.com/organisation/b.git", None);
        let whole = super::tests::settings("https://github.com", true);
        check(&whole, "https://github.com/x", Some("U"));
        check(&whole, "https://github.com.evil.org/x", None);
    }
}
