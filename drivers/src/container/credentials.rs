//! What `docker login` left: credentials for a registry, from the client's configuration or its helper program.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;

/// What the docker client calls its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user name by which a helper says that its secret is a token.
const TOKEN_USER: &str = "<token>";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientConfig {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// The credentials for the registry of an image; none where nobody logged in. `Err` says what is broken.
pub(super) fn of(image: &str) -> Result<Option<DockerCredentials>, String> {
    let Some(path) = config_file() else { return Ok(None) };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    // What serde says of a text that is no JSON does not hold any of it.
    let config: ClientConfig = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let server = server_of(image);
    if let Some(helper) = config.cred_helpers.get(server).or(config.creds_store.as_ref())
        && let Some(credentials) = ask_helper(helper, server)?
    {
        return Ok(Some(credentials));
    }
    let matches = |key: &str| key == server || without_scheme(key) == without_scheme(server);
    let found = config.auths.iter().find(|(key, _)| matches(key));
    found.map(|(_, auth)| from_file(auth, server)).transpose().map(Option::flatten)
}

fn config_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// Under which name the client keeps what belongs to an image: the first part of its name where that can be a host.
fn server_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => DOCKER_HUB,
            host => host,
        },
        _ => DOCKER_HUB,
    }
}

fn without_scheme(server: &str) -> &str {
    let server = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    server.split('/').next().unwrap_or(server)
}

fn from_file(auth: &Auth, server: &str) -> Result<Option<DockerCredentials>, String> {
    let (mut username, mut password) = (auth.username.clone(), auth.password.clone());
    if !auth.auth.is_empty() {
        let broken = || format!("what the docker client keeps for {server} is not readable: log in again");
        let text = BASE64_STANDARD.decode(auth.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(broken)?;
        let (user, secret) = text.split_once(':').ok_or_else(broken)?;
        (username, password) = (user.to_owned(), secret.trim_end_matches('\0').to_owned());
    }
    let is_empty = username.is_empty() && password.is_empty() && auth.identitytoken.is_empty();
    Ok((!is_empty).then(|| credentials(server, username, password, auth.identitytoken.clone())))
}

fn credentials(server: &str, username: String, password: String, token: String) -> DockerCredentials {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    DockerCredentials {
        username: some(username),
        password: some(password),
        identitytoken: some(token),
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    }
}

/// Asks `docker-credential-HELPER`. `None` where it knows nothing of the server.
fn ask_helper(helper: &str, server: &str) -> Result<Option<DockerCredentials>, String> {
    let program = format!("docker-credential-{helper}");
    let failed = |error: io::Error| format!("{program}: {error}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its question has ended, which its answer shows.
        let _ = input.write_all(server.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Ok(None);
    }
    let answer: Helped = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{program}: its answer is not the JSON that helpers answer with"))?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => credentials(server, String::new(), String::new(), answer.secret),
        _ => credentials(server, answer.username, answer.secret, String::new()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_first_part_of_a_name_where_that_can_be_a_host() {
        for (image, server) in [
            ("ubuntu", DOCKER_HUB),
            ("nvidia/cuda:12", DOCKER_HUB),
            ("docker.io/library/ubuntu", DOCKER_HUB),
            ("localhost/a", "localhost"),
            ("localhost:5000/a", "localhost:5000"),
            ("ghcr.example/a/b:1", "ghcr.example"),
        ] {
            assert_eq!(server_of(image), server);
        }
    }

    #[test]
    fn what_login_writes_is_read() {
        let auth = Auth { auth: BASE64_STANDARD.encode("me:a:b"), ..Auth::default() };
        let found = from_file(&auth, "r.example").unwrap().unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("a:b")));
        assert!(from_file(&Auth::default(), "r.example").unwrap().is_none());
        let broken = Auth { auth: "%%".into(), ..Auth::default() };
        let error = from_file(&broken, "r.example").unwrap_err();
        assert!(error.contains("log in again") && !error.contains("%%"), "{error}");
    }
}
