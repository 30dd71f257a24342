//! Whether tasks run in containers, and where these are started.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use actors::daemon::{ContainerHost, HostGpus};
use protocols::container::{ContainerSettings, DefaultSource};
use protocols::words;

use crate::cli::DaemonArgs;
use crate::config::{Config, Environment, Server};
use crate::exit::{Exit, Problem};

/// Docker's socket where nothing else is said.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// That of Podman's service when it runs for the whole machine.
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// How containers are started; `None` where tasks run as processes.
pub(super) fn order(args: &DaemonArgs, config: &Config, server: &Server) -> anyhow::Result<Option<ContainerHost>> {
    let (switch, named) = match (&args.docker, &args.podman) {
        (None, None) => return Ok(None),
        (Some(docker), None) => ("--docker", docker),
        (None, Some(podman)) => ("--podman", podman),
        // Both may be given, as with the stock agent, where they say the same.
        (Some(docker), Some(podman)) if docker.is_empty() || podman.is_empty() || docker == podman => {
            ("--podman", if podman.is_empty() { docker } else { podman })
        }
        (Some(_), Some(_)) => return Err(Problem::usage("--docker and --podman name different images: which one?")),
    };
    config.container_warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut settings: ContainerSettings = config.containers.clone();
    settings.set_default(&image_and_arguments(switch, named)?, DefaultSource::Flag);
    if let Some(error) = settings.errors().into_iter().next() {
        return Err(Problem::with(Exit::Config, error));
    }
    let socket = match switch {
        "--podman" => podman_socket(&config.environment)?,
        _ => docker_socket(&config.environment)?,
    };
    let needs_host_network = is_of_this_machine_alone(&server.hosts.api);
    let gpus = match args.simulate {
        Some(_) => HostGpus::Simulated,
        None if super::gpus::are_here(config) => HostGpus::Here,
        None => HostGpus::Unknown,
    };
    let address = config.environment.get("CLEARML_AGENT_FORCE_HOST_MACHINE_IP").map(str::to_owned);
    let address = address.or_else(|| own_address(&server.hosts.api).map(|address| address.to_string()));
    let engine_patience = config.hostler.engine_patience;
    Ok(Some(ContainerHost { socket, settings, needs_host_network, engine_patience, gpus, address }))
}

/// What was given to `--docker`: an image and arguments of `docker run`, as words of their own or all in one.
fn image_and_arguments(switch: &str, named: &[String]) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for text in named {
        all.extend(words::split(text).map_err(|error| Problem::usage(format!("{switch} {text}: {error}")))?);
    }
    match all.first() {
        Some(first) if first.starts_with('-') => {
            Err(Problem::usage(format!("{switch} {first}: the name of an image comes first, then its arguments")))
        }
        _ => Ok(all),
    }
}

fn docker_socket(environment: &Environment) -> anyhow::Result<PathBuf> {
    environment.get("DOCKER_HOST").map_or_else(|| Ok(DOCKER_SOCKET.into()), |text| local("DOCKER_HOST", text))
}

fn podman_socket(environment: &Environment) -> anyhow::Result<PathBuf> {
    if let Some(text) = environment.get("CONTAINER_HOST") {
        return local("CONTAINER_HOST", text);
    }
    let own = environment.get("XDG_RUNTIME_DIR").map(|folder| Path::new(folder).join("podman/podman.sock"));
    Ok(own.filter(|socket| socket.exists()).unwrap_or_else(|| PODMAN_SOCKET.into()))
}

/// What is mounted into a container is of this machine: so has to be the engine.
fn local(variable: &str, text: &str) -> anyhow::Result<PathBuf> {
    match text.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        _ if text.starts_with('/') => Ok(text.into()),
        _ => Err(Problem::usage(format!(
            "{variable} is {text}: containers are started by an engine on this machine, through unix:///its/socket"
        ))),
    }
}

/// The address of this machine on its way to the server; where that is on this machine, on its way to anywhere else.
fn own_address(server: &str) -> Option<IpAddr> {
    // Nothing is sent: the kernel says from where it would be.
    let towards = |host: &str| {
        let socket = UdpSocket::bind(if host.contains(':') { "[::]:0" } else { "0.0.0.0:0" }).ok()?;
        socket.connect((host, 80)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
    };
    // Of the block for documentation, which is nobody's.
    towards(host_of(server)).or_else(|| towards("192.0.2.1"))
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(address),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Whether an address leads nowhere from another machine.
fn is_of_this_machine_alone(url: &str) -> bool {
    let host = host_of(url);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_and_its_arguments_may_be_one_word_or_many() {
        let one = image_and_arguments("--docker", &["a:1 -e 'B=c d'".into()]).unwrap();
        let many = image_and_arguments("--docker", &["a:1".into(), "-e".into(), "'B=c d'".into()]).unwrap();
        assert_eq!(one, ["a:1", "-e", "B=c d"]);
        assert_eq!(one, many);
        let error = image_and_arguments("--docker", &["-e A=1".into()]).unwrap_err().to_string();
        assert!(error.contains("the name of an image comes first"), "{error}");
    }

    #[test]
    fn an_engine_of_another_machine_is_refused() {
        let host = |text| docker_socket(&Environment::of(&[("DOCKER_HOST", text)]));
        assert_eq!(host("unix:///a/b").unwrap(), Path::new("/a/b"));
        assert!(host("tcp://h:2375").unwrap_err().to_string().contains("DOCKER_HOST"));
        assert_eq!(docker_socket(&Environment::of(&[])).unwrap(), Path::new(DOCKER_SOCKET));
    }

    #[test]
    fn addresses_of_this_machine_are_known() {
        for (url, expected) in [
            ("http://localhost:8008", true),
            ("http://127.0.0.1:8008/", true),
            ("http://[::1]:8008", true),
            ("https://api.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_of_this_machine_alone(url), expected, "{url}");
        }
    }
}
