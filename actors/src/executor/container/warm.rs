//! Which containers may idle for tasks to come, and what they are like.

use std::io;
use std::path::{Path, PathBuf};

use drivers::container::{Image, NewContainer, WarmTemplate};
use protocols::container::init::INIT_PATH;
use protocols::order::{ATTEMPT_LABEL, ContainerOrder, ExecutorOrder};

use super::{look, mounts};

/// Label of the stock agent that names one worker of several; another of its labels names the machine.
const WORKER_LABEL: &str = "clearml-worker-id";

/// Whether a container like this one can wait for its task: nothing about it is one task's alone, and while it waits it
/// keeps nothing from others.
pub(super) fn can_idle(container: &ContainerOrder) -> bool {
    let spec = &container.spec;
    let publishes = !spec.ports.is_empty() || spec.publish_all == Some(true);
    let is_found = spec.name.is_some() || spec.hostname.is_some() || publishes || spec.is_found_by_others();
    !is_found && container.gpu_mounts.is_empty()
}

/// The container of a task without what is the attempt's: it sees these folders of the caches, with all environments
/// and interpreters, which nobody can write there, and no folder of any attempt yet.
pub(super) fn template(
    order: &ExecutorOrder,
    container: &ContainerOrder,
    image: &Image,
    init: &Path,
    caches: &[PathBuf],
) -> io::Result<WarmTemplate> {
    caches.iter().try_for_each(std::fs::create_dir_all)?;
    let mut own = vec![mounts::init(init)];
    own.extend(caches.iter().map(|folder| mounts::same(folder, false)));
    own.extend(mounts::of_operator(container)?);
    let labels = look::labels(order, "task").into_iter();
    let labels = labels.filter(|(name, _)| ![ATTEMPT_LABEL, WORKER_LABEL].contains(&name.as_str()));
    Ok(WarmTemplate {
        socket: container.socket.clone(),
        container: NewContainer {
            // By its content: a name may mean another image tomorrow.
            image: image.id.clone(),
            spec: container.spec.clone(),
            entrypoint: vec![INIT_PATH.to_owned()],
            mounts: own,
            labels: labels.collect(),
            ..NewContainer::default()
        },
        attempts: order.attempt_dir.parent().unwrap_or(&order.attempt_dir).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use protocols::container::{ContainerSpec, Network};

    use super::*;

    #[test]
    fn a_container_that_is_known_by_its_name_or_port_does_not_idle() {
        let order = |spec: ContainerSpec| ContainerOrder { spec, ..ContainerOrder::default() };
        assert!(can_idle(&order(ContainerSpec::default())));
        assert!(!can_idle(&order(ContainerSpec { name: Some("a".into()), ..ContainerSpec::default() })));
        assert!(!can_idle(&order(ContainerSpec { publish_all: Some(true), ..ContainerSpec::default() })));
        assert!(!can_idle(&order(ContainerSpec { ip: Some("10.0.0.5".into()), ..ContainerSpec::default() })));
        let in_network = |network| order(ContainerSpec { networks: vec![network], ..ContainerSpec::default() });
        assert!(can_idle(&in_network(Network::named("mine"))));
        assert!(!can_idle(&in_network(Network { aliases: vec!["a".into()], ..Network::named("mine") })));
        let with_pipes = ContainerOrder { gpu_mounts: vec!["/mps".into()], ..ContainerOrder::default() };
        assert!(!can_idle(&with_pipes));
    }
}
