//! What is added to, and taken from, what a container is to be like.

use std::path::Path;

use protocols::container::{ContainerSpec, MountKind, Network};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::order::{ATTEMPT_LABEL, ContainerOrder, ExecutorOrder, OWNER_LABEL, ROLE_LABEL};

/// By which a container is found again: ours, and those of the stock agent.
pub(super) fn labels(order: &ExecutorOrder, role: &str) -> Vec<(String, String)> {
    let attempts = order.attempt_dir.parent().unwrap_or(&order.attempt_dir).display().to_string();
    let worker = order.worker.to_string();
    // A service's worker is a child of its daemon's.
    let parent = match worker.split_once(":service:") {
        Some((daemon, _)) => daemon.to_owned(),
        None => worker.split(':').next().unwrap_or(&worker).to_owned(),
    };
    vec![
        (ATTEMPT_LABEL.to_owned(), order.mark()),
        (ROLE_LABEL.to_owned(), role.to_owned()),
        (OWNER_LABEL.to_owned(), attempts),
        ("clearml-worker-id".to_owned(), worker),
        ("clearml-parent-worker-id".to_owned(), parent),
    ]
}

/// The names of these, for whoever has to take them away again.
pub(super) fn label_names() -> impl Iterator<Item = &'static str> {
    [ATTEMPT_LABEL, ROLE_LABEL, OWNER_LABEL, "clearml-worker-id", "clearml-parent-worker-id"].into_iter()
}

/// The same container for installers: it is nobody's server, has no GPU, and is not known by the task's name or address,
/// which the task's own needs at the same time.
pub(super) fn for_building(spec: &ContainerSpec) -> ContainerSpec {
    ContainerSpec {
        name: None,
        gpus: None,
        user: Some("0:0".to_owned()),
        groups: Vec::new(),
        ports: Vec::new(),
        publish_all: None,
        hostname: None,
        networks: spec.networks.iter().map(|network| Network::named(&network.name)).collect(),
        network_aliases: Vec::new(),
        ip: None,
        ip6: None,
        link_local_ips: Vec::new(),
        mac_address: None,
        read_only: None,
        // Installers run as this user, which root of the container has to be able to become.
        dropped_capabilities: Vec::new(),
        entrypoint: None,
        ..spec.clone()
    }
}

/// Refuses to mount what is not there, which engines differ about: some make an empty folder of it.
pub(super) fn check_mounts(container: &ContainerOrder) -> Result<(), TaskFailure> {
    let binds = container.spec.mounts.iter().filter(|mount| mount.kind == MountKind::Bind && !mount.creates_source);
    let missing = binds.filter_map(|mount| mount.source.as_deref()).find(|source| !Path::new(source).exists());
    missing.map_or(Ok(()), |source| {
        let message = format!("--mount: {source} does not exist on this machine");
        Err(TaskFailure::because(FailureClass::Environment, Phase::Image, message))
    })
}
