//! Finds, reads and merges the sources.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::agent::{AgentConfig, HostlerConfig};
use super::environment::Environment;
use super::hocon::{self, HoconError};
use super::hosts::Hosts;
use super::secret::Secret;
use super::tree::{Tree, TypeError};

/// Prefix of variables that set any key: `CLEARML_AGENT__AGENT__GIT_HOST=x` is `agent.git_host: x`.
const KEY_PREFIX: &str = "CLEARML_AGENT__";

/// Variables, without their `CLEARML_` or `TRAINS_`, and the keys that they set.
const MAPPED: [(&str, &[&str]); 11] = [
    ("API_HOST", &["api", "api_server"]),
    ("WEB_HOST", &["api", "web_server"]),
    ("FILES_HOST", &["api", "files_server"]),
    ("API_ACCESS_KEY", &["api", "credentials", "access_key"]),
    ("API_SECRET_KEY", &["api", "credentials", "secret_key"]),
    ("API_HOST_VERIFY_CERT", &["api", "verify_certificate"]),
    ("WORKER_NAME", &["agent", "worker_name"]),
    ("WORKER_ID", &["agent", "worker_id"]),
    ("AGENT_GIT_USER", &["agent", "git_user"]),
    ("AGENT_GIT_PASS", &["agent", "git_pass"]),
    ("AGENT_GIT_HOST", &["agent", "git_host"]),
];

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file is not usable.
    #[error("the configuration cannot be used")]
    File(#[from] HoconError),
    /// A key has the wrong type.
    #[error("{places}: {error}")]
    Type { places: String, error: TypeError },
    /// A key of our own section that does not exist.
    #[error("{places}: `agent.hostler.{key}` is not known; the keys are {known}")]
    UnknownKey { places: String, key: String, known: String },
    /// No server.
    #[error(
        "no ClearML server is configured: set CLEARML_API_HOST, or `api.api_server` in {place}, \
         or start one of your own with `hostler up`"
    )]
    NoServer { place: String },
    /// No credentials.
    #[error(
        "no credentials for {server}: set CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, \
         or `api.credentials` in {place}"
    )]
    NoCredentials { server: String, place: String },
    /// Neither a flag, the environment nor a home tells a directory.
    #[error("no place for {what}: set {how}, or HOME")]
    NoDirectory { what: &'static str, how: &'static str },
}

/// How to prove who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// `api.credentials`.
    Key { access_key: String, secret_key: Secret },
    /// `CLEARML_AUTH_TOKEN`.
    Token(Secret),
}

/// A server, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Where it is.
    pub(crate) hosts: Hosts,
    /// Who we are.
    pub(crate) credentials: Credentials,
    /// Whether its certificate is checked.
    pub(crate) verify_certificate: bool,
    /// A file with further certificates to trust.
    pub(crate) certificates: Option<PathBuf>,
}

/// The merged configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The environment that it was read in.
    pub(crate) environment: Environment,
    /// The files that were read, lowest first.
    pub(crate) files: Vec<PathBuf>,
    /// `agent`, as far as known.
    pub(crate) agent: AgentConfig,
    /// What `agent` says of containers.
    pub(crate) containers: protocols::container::ContainerSettings,
    /// What of that does nothing, one sentence each.
    pub(crate) container_warnings: Vec<String>,
    /// `agent.hostler`.
    pub(crate) hostler: HostlerConfig,
    tree: Tree,
}

impl Config {
    /// Reads all sources. `file` is what `--config-file` says.
    pub(crate) fn load(file: Option<&Path>, environment: Environment) -> Result<Self, ConfigError> {
        let files = files(file, &environment);
        let mut tree = Tree::default();
        for file in &files {
            tree.lay_over(hocon::parse_file(file)?);
        }
        lay_keys_over(&mut tree, &environment)?;
        for (variable, key) in MAPPED {
            if let Some(value) = environment.clearml(variable) {
                tree.set(key, Value::String(value.to_owned()));
            }
        }
        let places = places(&files);
        let at_places = |error| ConfigError::Type { places: places.clone(), error };
        let agent = AgentConfig::read(&tree, &environment).map_err(at_places)?;
        let (containers, container_warnings) = super::containers::read(&tree, &environment).map_err(at_places)?;
        let hostler = HostlerConfig::read(&tree, &environment, &places)?;
        Ok(Self { environment, files, agent, containers, container_warnings, hostler, tree })
    }

    /// The server that is meant, complete, or what is missing.
    pub(crate) fn server(&self) -> Result<Server, ConfigError> {
        let at_places = |error| ConfigError::Type { places: places(&self.files), error };
        let text = |key: &str| self.tree.text(key).map_err(at_places);
        let place = self.files.last().map_or("~/clearml.conf".to_owned(), |file| file.display().to_string());
        let api = match text("api.api_server")? {
            Some(api) => api,
            None => text("api.host")?.ok_or_else(|| ConfigError::NoServer { place: place.clone() })?,
        };
        let hosts = Hosts::derive(&api, text("api.web_server")?, text("api.files_server")?);
        let credentials = match self.environment.clearml("AUTH_TOKEN") {
            Some(token) => Credentials::Token(Secret::new(token)),
            None => match (text("api.credentials.access_key")?, text("api.credentials.secret_key")?) {
                (Some(access_key), Some(secret)) => Credentials::Key { access_key, secret_key: Secret::new(secret) },
                (Some(_) | None, Some(_) | None) => {
                    return Err(ConfigError::NoCredentials { server: hosts.api, place });
                }
            },
        };
        // Either a truth value or the path of a file with certificates, as the SDK has it.
        let (verify_certificate, certificates) = match self.tree.flag("api.verify_certificate") {
            Ok(flag) => (flag.unwrap_or(true), None),
            Err(_) => (true, text("api.verify_certificate")?.map(|path| self.environment.expand_path(&path))),
        };
        Ok(Server { hosts, credentials, verify_certificate, certificates })
    }

    /// The configuration that tasks get: what is in force, as JSON, which is valid HOCON. It holds the API
    /// credentials, which the SDK needs, but not those for git, and nothing that has addresses of packages in it.
    pub(crate) fn for_tasks(&self, server: &Server) -> Value {
        let mut tree = self.tree.clone();
        tree.set(&["api", "api_server"], Value::String(server.hosts.api.clone()));
        for (key, host) in [("web_server", &server.hosts.web), ("files_server", &server.hosts.files)] {
            if let Some(host) = host {
                tree.set(&["api", key], Value::String(host.clone()));
            }
        }
        tree.remove(&["agent", "git_pass"]);
        tree.remove(&["agent", "git", "extra_credentials"]);
        for key in WITH_ADDRESSES {
            tree.remove(&["agent", "package_manager", key]);
        }
        tree.to_json()
    }

    /// Where the daemon keeps its state: `flag`, `agent.hostler.state_dir`, `$XDG_STATE_HOME/hostler/daemon`.
    pub(crate) fn state_dir(&self, flag: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        flag.or_else(|| self.hostler.state_dir.clone())
            .or_else(|| Some(self.environment.state_home()?.join("daemon")))
            .ok_or(ConfigError::NoDirectory { what: "the daemon's state", how: "--state-dir" })
    }

    /// Where caches are: `flag`, `agent.hostler.cache_dir`, `$XDG_CACHE_HOME/hostler`.
    pub(crate) fn cache_dir(&self, flag: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        flag.or_else(|| self.hostler.cache_dir.clone())
            .or_else(|| self.environment.cache_home())
            .ok_or(ConfigError::NoDirectory { what: "caches", how: "--cache-dir" })
    }
}

/// Keys of `agent.package_manager` that may have URLs with passwords and tokens.
const WITH_ADDRESSES: [&str; 6] = [
    "extra_index_url",
    "extra_index_url_template",
    "extra_pip_install_flags",
    "uv_sync_extra_args",
    "poetry_install_extra_args",
    "conda_channels",
];

/// The files to read, lowest first.
fn files(flag: Option<&Path>, environment: &Environment) -> Vec<PathBuf> {
    if let Some(file) = flag {
        return vec![file.to_owned()];
    }
    if let Some(file) = environment.clearml("CONFIG_FILE") {
        return vec![environment.expand_path(file)];
    }
    let home = environment.home();
    let of_person = ["trains.conf", "clearml.conf"].into_iter().filter_map(|name| Some(home.as_ref()?.join(name)));
    let mut files: Vec<PathBuf> = of_person.filter(|file| file.exists()).collect();
    if files.is_empty() && environment.clearml("API_HOST").is_none() {
        // A newcomer who runs `hostler up` in one terminal and asks in the next.
        files.extend(environment.state_home().map(|dir| dir.join("clearml.conf")).filter(|file| file.exists()));
    }
    files
}

fn lay_keys_over(tree: &mut Tree, environment: &Environment) -> Result<(), ConfigError> {
    for (name, value) in environment.iter() {
        let Some(path) = name.strip_prefix(KEY_PREFIX).filter(|path| !path.is_empty()) else { continue };
        let path = path.to_ascii_lowercase();
        let keys: Vec<&str> = path.split("__").collect();
        // As upstream, the value is HOCON: a number, a list, a text.
        let origin = PathBuf::from(format!("variable {name}"));
        let parsed: Map<String, Value> = hocon::parse_text(&format!("value: {value}"), &origin)?;
        tree.set(&keys, parsed.get("value").cloned().unwrap_or(Value::Null));
    }
    Ok(())
}

fn places(files: &[PathBuf]) -> String {
    match files {
        [] => "environment".to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" and "),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
