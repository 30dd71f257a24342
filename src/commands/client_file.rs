//! `DATA_DIR/clearml.conf`: what clients of the embedded server need.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use server::RunningServer;

use super::private_file;
use crate::config::{Config, Environment};
use crate::exit::{Exit, Problem};

/// Its name in the data directory.
const FILE: &str = "clearml.conf";

/// The SDK's reporting process is a fork of a program that may be looking at its git repository in another thread at
/// that moment. The fork then holds a pipe open that this thread reads to its end, and `Task.close` waits for it: five
/// minutes. A reporting thread has no such moment, and a task's end is seconds sooner.
const SDK_SETTINGS: &str = "\
    # The SDK reports from a thread instead of a forked process: a fork at the wrong moment, while the SDK looks at the\n\
    # git repository, stalls the end of a program for 300 s.\n\
    sdk { development { report_use_subprocess: false } }\n";

/// Ports of API, web and files at the last start, as far as the file tells.
pub(super) fn last_ports(data_dir: &Path) -> [Option<u16>; 3] {
    let server = Config::load(Some(&data_dir.join(FILE)), Environment::default()).and_then(|config| config.server());
    let Ok(server) = server else { return [None; 3] };
    let port = |url: &str| url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    [Some(server.hosts.api.as_str()), server.hosts.web.as_deref(), server.hosts.files.as_deref()].map(|url| port(url?))
}

/// Where the file is, or would be.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Whether the data directory has the file. Where it has not, the server is asked for a new pair of credentials: the
/// secret was in the file and nowhere else.
pub(super) fn is_there(data_dir: &Path) -> bool {
    data_dir.join(FILE).exists()
}

/// Writes the file where it is missing; otherwise only its addresses, if these have changed.
///
/// `authority` is a file with the certificate of the authority that clients are to trust.
pub(super) fn ensure(data_dir: &Path, server: &RunningServer, authority: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = data_dir.join(FILE);
    let hosts = [
        ("web_server", server.web_url.as_str()),
        ("api_server", server.api_url.as_str()),
        ("files_server", server.files_url.as_str()),
    ];
    if let Some((access_key, secret_key)) = &server.new_credentials {
        let text = with_authority(&first(&hosts, access_key, secret_key), authority)?;
        private_file::write(&path, text.as_bytes())?;
        return Ok(path);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let renewed = with_authority(&with_hosts(&text, &hosts), authority)?;
    if renewed != text {
        private_file::write(&path, renewed.as_bytes())?;
    }
    Ok(path)
}

fn first(hosts: &[(&str, &str)], access_key: &str, secret_key: &str) -> String {
    let quote = |text: &str| Value::from(text).to_string();
    let hosts: String = hosts.iter().map(|(key, url)| format!("    {key}: {}\n", quote(url))).collect();
    format!(
        "# How clients find and enter the ClearML-compatible server of this directory.\n\
         # The secret is kept nowhere else.\n\
         api {{\n{hosts}    credentials {{\n        \"access_key\" = {}\n        \"secret_key\" = {}\n    }}\n}}\n\
         {SDK_SETTINGS}",
        quote(access_key),
        quote(secret_key)
    )
}

/// Replaces the addresses and leaves everything else as a person may have changed it.
fn with_hosts(text: &str, hosts: &[(&str, &str)]) -> String {
    let line = |line: &str| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let key = hosts.iter().find(|(key, _)| {
            let rest = line.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with([':', '=']))
        });
        key.map_or_else(|| line.to_owned(), |(key, url)| format!("{indent}{key}: {}", json!(url)))
    };
    text.lines().map(|it| line(it) + "\n").collect()
}

/// Makes clients trust the authority in this file, and no other: for calls, and for what the SDK uploads and downloads,
/// which looks elsewhere.
fn with_authority(text: &str, authority: Option<&Path>) -> anyhow::Result<String> {
    const OF_CALLS: &str = "verify_certificate";
    const OF_FILES: &str = "sdk.api.verify_certificate";
    let Some(authority) = authority else { return Ok(text.to_owned()) };
    let absolute = std::fs::canonicalize(authority).map_err(|error| {
        Problem::with(Exit::Config, format!("cannot use the authority in {}: {error}", authority.display()))
    })?;
    let absolute = absolute.display().to_string();
    let renewed = with_hosts(text, &[(OF_CALLS, &absolute), (OF_FILES, &absolute)]);
    if renewed.contains(OF_CALLS) {
        return Ok(renewed);
    }
    let line = |line: &str| {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim_start().starts_with("api_server") {
            true => format!("{line}\n{indent}{OF_CALLS}: {}\n", json!(absolute)),
            false => format!("{line}\n"),
        }
    };
    let of_files = format!("{OF_FILES}: {}\n", json!(absolute));
    Ok(text.lines().map(line).chain([of_files]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credentials, Secret};

    #[test]
    fn what_is_written_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let hosts = [("web_server", "http://h:2"), ("api_server", "http://h:1"), ("files_server", "http://h:3")];
        std::fs::write(&path, first(&hosts, "K\"", "S\\$")).unwrap();
        let server = Config::load(Some(&path), Environment::default()).unwrap().server().unwrap();
        assert_eq!(last_ports(directory.path()), [Some(1), Some(2), Some(3)]);
        assert_eq!((server.hosts.api.as_str(), server.hosts.files.as_deref()), ("http://h:1", Some("http://h:3")));
        assert_eq!(
            server.credentials,
            Credentials::Key { access_key: "K\"".to_owned(), secret_key: Secret::new("S\\$") }
        );
    }

    #[test]
    fn an_authority_is_added_once_and_renewed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let hosts = [("web_server", "https://h:2"), ("api_server", "https://h:1"), ("files_server", "https://h:3")];
        let mut text = first(&hosts, "K", "S");
        for name in ["a.pem", "b.pem"] {
            let authority = std::fs::canonicalize(directory.path()).unwrap().join(name);
            std::fs::write(&authority, "").unwrap();
            text = with_authority(&text, Some(&authority)).unwrap();
            std::fs::write(&path, &text).unwrap();
            let server = Config::load(Some(&path), Environment::default()).unwrap().server().unwrap();
            assert_eq!((server.verify_certificate, server.certificates), (true, Some(authority)));
        }
        assert_eq!(text.matches("verify_certificate").count(), 2, "{text}");
        assert_eq!(text.matches("b.pem").count(), 2, "{text}");
        assert_eq!(with_authority(&text, None).unwrap(), text);
        assert!(with_authority(&text, Some(Path::new("/no/such/file"))).is_err());
    }

    #[test]
    fn only_addresses_are_renewed() {
        let text =
            "# mine\napi {\n  api_server : http://old:8008\n  web_server=\"x\"\n  other: 1\n}\nagent.git_user: u\n";
        let renewed = with_hosts(text, &[("api_server", "http://new:1"), ("web_server", "http://new:2")]);
        assert_eq!(
            renewed,
            "# mine\napi {\n  api_server: \"http://new:1\"\n  web_server: \"http://new:2\"\n  other: 1\n}\nagent.git_user: u\n"
        );
        assert_eq!(with_hosts(&renewed, &[("api_server", "http://new:1")]), renewed);
    }
}
