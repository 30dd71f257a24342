//! What the configuration says about git: `agent.git_*`, `agent.git`, `agent.vcs_cache`, and the rules for URLs.

use protocols::git::{GitCredential, GitSettings, RepositoryCache, TokenKind};
use serde_json::Value;

use super::environment::Environment;
use super::tree::{Tree, TypeError};

/// Reads all of it.
pub(super) fn read(tree: &Tree, environment: &Environment) -> Result<GitSettings, TypeError> {
    let flag = |key: &str| tree.flag(key);
    let token_kind = match (flag("agent.git_use_ms_entra_token")?, flag("agent.git_use_azure_pat")?) {
        (Some(true), _) => TokenKind::Bearer,
        (_, Some(true)) => TokenKind::AzurePat,
        (_, _) => TokenKind::Password,
    };
    let scheme = environment.clearml("AGENT_SSH_URL_REPLACEMENT_SCHEME").map(str::to_owned);
    Ok(GitSettings {
        user: tree.text("agent.git_user")?,
        password: tree.text("agent.git_pass")?,
        host: tree.text("agent.git_host")?,
        extra_credentials: extra_credentials(tree)?,
        host_is_prefix: flag("agent.git_host_match_prefix")?.unwrap_or(false),
        token_kind,
        without_ssh_translation: flag("agent.translate_ssh")? == Some(false),
        https_scheme: match scheme {
            Some(scheme) => Some(scheme),
            None => tree.text("agent.translate_ssl_replacement_scheme")?,
        },
        force_ssh: flag("agent.force_git_ssh_protocol")?.unwrap_or(false),
        ssh_user: tree.text("agent.force_git_ssh_user")?.filter(|user| !user.is_empty()),
        ssh_port: number(tree, "agent.force_git_ssh_port", "the number of a port")?,
        always_fetch: flag("agent.hostler.git_always_fetch")?.unwrap_or(false),
        fetch_arguments: tree.texts("agent.git_fetch_args")?,
        cache: RepositoryCache {
            disabled: flag("agent.vcs_cache.enabled")? == Some(false),
            path: tree
                .text("agent.vcs_cache.path")?
                .filter(|path| !path.is_empty())
                .map(|path| environment.expand_path(&path)),
            max_entries: number(tree, "agent.vcs_cache.max_entries", "a number of repositories")?,
            min_free_bytes: gigabytes(tree, "agent.vcs_cache.free_space_threshold_gb")?,
            clone_on_failure: flag("agent.vcs_cache.clone_on_pull_fail")?.unwrap_or(false),
        },
    })
}

/// `[{ host: h, user: u, password: p }]`; `username` and `pass` are the same. Entries that lack one are skipped, as the
/// stock agent does it.
fn extra_credentials(tree: &Tree) -> Result<Vec<GitCredential>, TypeError> {
    const KEY: &str = "agent.git.extra_credentials";
    let wrong = |found: &Value| TypeError {
        key: KEY.to_owned(),
        expected: "a list of `{ host, user, password }`",
        // Not its text: there may be a password in it.
        found: kind(found).to_owned(),
    };
    let entries = match tree.get(KEY) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(wrong(other)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let fields = entry.as_object().ok_or_else(|| wrong(entry))?;
        let text = |names: [&str; 2]| names.iter().find_map(|name| fields.get(*name)?.as_str()).unwrap_or_default();
        let (user, password, host) = (text(["user", "username"]), text(["password", "pass"]), text(["host", "host"]));
        if [user, password, host].iter().all(|text| !text.is_empty()) {
            let [user, password, host] = [user, password, host].map(str::to_owned);
            found.push(GitCredential { user, password, host });
        }
    }
    Ok(found)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a section",
    }
}

/// A whole number, which a file may have as a text.
pub(super) fn number<T: TryFrom<u64>>(tree: &Tree, key: &str, expected: &'static str) -> Result<Option<T>, TypeError> {
    let value = match tree.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let number = number.and_then(|number| T::try_from(number).ok());
    let wrong = || TypeError { key: key.to_owned(), expected, found: value.to_string() };
    number.map(Some).ok_or_else(wrong)
}

/// A number of gigabytes, whole or not, in bytes. What is not above 0 means none.
fn gigabytes(tree: &Tree, key: &str) -> Result<Option<u64>, TypeError> {
    let value = match tree.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let wrong = || TypeError { key: key.to_owned(), expected: "a number of gigabytes", found: value.to_string() };
    let gigabytes = number.filter(|number| number.is_finite()).ok_or_else(wrong)?;
    let megabytes = std::time::Duration::try_from_secs_f64((gigabytes * 1024.0).max(0.0)).map_err(|_| wrong())?;
    Ok(Some(megabytes.as_secs() << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[track_caller]
    fn settings(text: &str) -> Result<GitSettings, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clearml.conf");
        std::fs::write(&file, text).unwrap();
        let environment = Environment::of(&[("HOME", "/home/h")]);
        Config::load(Some(&file), environment).map(|config| config.agent.git).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let found = settings(
            "agent {
                git_user: u, git_pass: p, git_host: \"https://h/org\", git_host_match_prefix: true
                git.extra_credentials: [{ user: a, pass: b, host: c }, { username: d, password: e, host: f }, { user: g }]
                translate_ssh: false, translate_ssl_replacement_scheme: http, git_use_azure_pat: true
                force_git_ssh_protocol: yes, force_git_ssh_user: me, force_git_ssh_port: 2222
                vcs_cache { enabled: false, path: ~/mirrors, max_entries: 7, free_space_threshold_gb: 1.5 }
                vcs_cache.clone_on_pull_fail: true, git_fetch_args: [\"--all\", \"--jobs=4\"]
                hostler.git_always_fetch: true
            }",
        );
        let credential = |user: &str, password: &str, host: &str| GitCredential {
            user: user.into(),
            password: password.into(),
            host: host.into(),
        };
        let expected = GitSettings {
            user: Some("u".into()),
            password: Some("p".into()),
            host: Some("https://h/org".into()),
            extra_credentials: vec![credential("a", "b", "c"), credential("d", "e", "f")],
            host_is_prefix: true,
            token_kind: TokenKind::AzurePat,
            without_ssh_translation: true,
            https_scheme: Some("http".into()),
            force_ssh: true,
            ssh_user: Some("me".into()),
            ssh_port: Some(2222),
            always_fetch: true,
            cache: RepositoryCache {
                disabled: true,
                path: Some("/home/h/mirrors".into()),
                max_entries: Some(7),
                min_free_bytes: Some(1536 << 20),
                clone_on_failure: true,
            },
            fetch_arguments: vec!["--all".into(), "--jobs=4".into()],
        };
        assert_eq!(found, Ok(expected));
        assert_eq!(settings("agent.force_git_ssh_port: null"), Ok(GitSettings::default()));
        assert_eq!(settings("agent.force_git_ssh_port: \"\""), Ok(GitSettings::default()));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_secrets() {
        let error = settings("agent.force_git_ssh_port: 70000").unwrap_err();
        assert!(error.contains("agent.force_git_ssh_port") && error.contains("70000"), "{error}");
        let error = settings("agent.git.extra_credentials: \"user:hunter2@h\"").unwrap_err();
        assert!(error.contains("agent.git.extra_credentials") && !error.contains("hunter2"), "{error}");
    }
}
