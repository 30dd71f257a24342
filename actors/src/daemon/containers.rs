//! Which container a task gets, decided when it is taken: by what it says, what the operator says, and this machine.

use std::path::PathBuf;
use std::time::Duration;

use drivers::container::{busy_ports, read_host_files};
use protocols::clearml::tasks::Task;
use protocols::container::{
    ContainerSettings, Decision, ImageSource, Network, PullPolicy, RANDOM_LETTERS, TaskFacts, container_name, decide,
};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::ids::{QueueId, WorkerId};
use protocols::order::{ContainerOrder, GpuGiver, SetupScript};
use rand::RngExt as _;
use rand::distr::Alphanumeric;

use super::settings::DaemonSettings;

/// How tasks are run in containers.
#[derive(Clone, Debug)]
pub struct ContainerHost {
    /// Socket of the engine.
    pub socket: PathBuf,
    /// What the operator says.
    pub settings: ContainerSettings,
    /// The server is reached by an address of this machine alone, which a container has not unless it shares the
    /// machine's network.
    pub needs_host_network: bool,
    /// How long an engine that is away is waited for.
    pub engine_patience: Duration,
    /// The GPUs of this machine.
    pub gpus: HostGpus,
    /// Where others reach this machine, for tasks whose ports are published on it.
    pub address: Option<String>,
}

/// Variable of a container with published ports, as under the stock agent.
const HOST_ADDRESS: &str = "CLEARML_AGENT_HOST_IP";

/// Whether a machine has GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostGpus {
    /// Its driver says so. A worker that is not told which it has gives all of them to its tasks.
    Here,
    /// None that anybody knows of.
    Unknown,
    /// They are simulated, and nothing that could be given to a container.
    Simulated,
}

/// Which container a task gets, where tasks get one. Off the actor's thread: files are read.
pub(crate) async fn decide_for(
    settings: &DaemonSettings,
    task: &Task,
    worker: &WorkerId,
    queue: &QueueId,
) -> Option<Result<ContainerOrder, TaskFailure>> {
    let host = settings.containers.clone()?;
    let facts = TaskFacts {
        task: task.clone(),
        queue_id: queue.to_string(),
        queue_name: settings.queue_name(queue).to_owned(),
        worker: worker.to_string(),
        ..TaskFacts::default()
    };
    let deciding = tokio::task::spawn_blocking(move || host.decide(&facts));
    Some(deciding.await.expect("deciding on a container does not panic"))
}

impl ContainerHost {
    /// The container of a task. Reads files and ports of this machine; blocks a few milliseconds.
    pub(crate) fn decide(&self, facts: &TaskFacts) -> Result<ContainerOrder, TaskFailure> {
        let host = |name: &str| std::env::var(name).ok();
        let mut decision = decide(&self.settings, facts, &host).map_err(|error| self.refused(&error))?;
        let mut messages: Vec<String> = decision.messages().collect();
        if !decision.spec.ports.is_empty() {
            let moved = decision.remap_ports(&busy_ports(), self.settings.allowed_ports);
            let moved = moved.map_err(|error| self.refused(&error))?;
            messages.extend(moved.iter().map(|moved| {
                let (asked, given) = (moved.asked, moved.given);
                format!("port {asked} of this machine is taken or not allowed: {given} is published instead")
            }));
        }
        let mut spec = decision.spec.clone();
        read_host_files(&mut spec).map_err(|error| self.refused(&error))?;
        if self.needs_host_network && spec.networks.is_empty() {
            messages.push("the server listens on this machine alone: the container shares its network".to_owned());
            spec.networks.push(Network { name: "host".to_owned(), ..Network::default() });
        }
        if let (None, Some(format)) = (&spec.name, &self.settings.name_format) {
            let letters = rand::rng().sample_iter(Alphanumeric).take(RANDOM_LETTERS).map(char::from);
            let letters: String = letters.collect::<String>().to_ascii_lowercase();
            let name = container_name(format, &self.settings.name_fields, facts, &letters);
            spec.name = Some(name.map_err(|part| {
                let message = format!("agent.docker_container_name_format: {part:?} cannot be filled in");
                TaskFailure::because(FailureClass::Environment, Phase::Image, message)
            })?);
        }
        let told = decision.told(&self.settings, facts).unwrap_or_else(|why| {
            messages.push(why.to_string());
            None
        });
        // On the machine's own network, on none, and on another container's nothing is published.
        let is_own = |network: &Network| {
            !matches!(network.name.as_str(), "host" | "none") && !network.name.starts_with("container:")
        };
        let has_ports = spec.networks.first().is_none_or(is_own);
        let port_mapping = if has_ports { decision.port_mapping() } else { String::new() };
        let address = self.address.clone().filter(|_| !port_mapping.is_empty());
        spec.environment.extend(address.map(|address| (HOST_ADDRESS.to_owned(), Some(address))));
        spec.labels.extend(self.settings.extra_labels.iter().cloned());
        Ok(ContainerOrder {
            socket: self.socket.clone(),
            engine_patience_ms: u64::try_from(self.engine_patience.as_millis()).ok(),
            shown: self.shown(&decision),
            pull: match spec.pull {
                _ if self.settings.force_pull => PullPolicy::Always,
                policy => policy.unwrap_or(PullPolicy::Missing),
            },
            image: decision.image,
            spec,
            messages,
            scripts: self.scripts(decision.setup_script),
            without_ssh: self.settings.without_ssh,
            told: told.unwrap_or_default(),
            port_mapping,
            gpus: Vec::new(),
            gpu_mounts: Vec::new(),
            gpu_giver: if self.settings.skips_gpu_request { GpuGiver::Runtime } else { GpuGiver::Engine },
            mounts: self.settings.mounts.clone(),
            warm_dir: None,
        })
    }

    fn shown(&self, decision: &Decision) -> String {
        let line = self.settings.concealment.command_line(&decision.arguments, &decision.image, &[]);
        match decision.source {
            ImageSource::Task => line,
            ImageSource::Rule(_) | ImageSource::Default(_) => format!("{line} ({})", decision.source),
        }
    }

    /// What has to run in the container before the task, in the stock agent's order.
    fn scripts(&self, of_task: String) -> Vec<SetupScript> {
        let scripts = &self.settings.scripts;
        // The stock agent's formatter takes these two texts for a format, in which braces are doubled.
        let formatted = |text: &Option<String>| text.as_ref().map(|text| text.replace("{{", "{").replace("}}", "}"));
        let all = [
            ("agent.docker_preprocess_bash_script", formatted(&scripts.preprocess)),
            ("agent.docker_init_bash_script", formatted(&scripts.init)),
            ("agent.extra_docker_shell_script", scripts.extra.clone()),
            ("the setup script of the task", Some(of_task)),
        ];
        let script = |(name, text): (&str, Option<String>)| {
            let text = text?.replace("\r\n", "\n");
            (!text.trim().is_empty()).then(|| SetupScript { name: name.to_owned(), text })
        };
        all.into_iter().filter_map(script).collect()
    }

    fn refused(&self, error: &dyn std::error::Error) -> TaskFailure {
        let failure = TaskFailure::new(FailureClass::Environment, Phase::Image, error);
        TaskFailure { message: self.settings.concealment.text(&failure.message).into_owned(), ..failure }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host(settings: ContainerSettings) -> ContainerHost {
        ContainerHost {
            socket: "/s".into(),
            settings,
            needs_host_network: false,
            engine_patience: Duration::ZERO,
            gpus: HostGpus::Unknown,
            address: Some("10.1.2.3".into()),
        }
    }

    fn facts(container: &serde_json::Value) -> TaskFacts {
        let task: Task = serde_json::from_value(json!({"id": "t", "container": container})).unwrap();
        TaskFacts { task, worker: "host:0".into(), ..TaskFacts::default() }
    }

    #[test]
    fn scripts_come_in_the_stock_order_and_empty_ones_not_at_all() {
        let mut settings = ContainerSettings::default();
        settings.scripts.extra = Some("if b; then\n  c; fi".into());
        settings.scripts.preprocess = Some("echo ${{HOME}}".into());
        settings.scripts.init = Some("  ".into());
        let order = host(settings).decide(&facts(&json!({"image": "a", "setup_shell_script": "d\r\ne"}))).unwrap();
        let texts: Vec<&str> = order.scripts.iter().map(|script| script.text.as_str()).collect();
        assert_eq!(texts, ["echo ${HOME}", "if b; then\n  c; fi", "d\ne"]);
    }

    #[test]
    fn a_server_on_this_machine_alone_is_reached_by_its_network() {
        let mut host = host(ContainerSettings::default());
        host.needs_host_network = true;
        let named = |order: &ContainerOrder| order.spec.networks.first().map(|network| network.name.clone());
        let order = host.decide(&facts(&json!({"image": "a"}))).unwrap();
        assert_eq!(named(&order).as_deref(), Some("host"));
        assert_eq!(order.messages.len(), 1);
        let order = host.decide(&facts(&json!({"image": "a", "arguments": "--network mine"}))).unwrap();
        assert_eq!(named(&order).as_deref(), Some("mine"));
    }

    #[test]
    fn a_bad_argument_is_named_and_no_secret_is() {
        let container = json!({"image": "a", "arguments": "-e TOKEN=hunter2 --no-such-switch"});
        let failure = host(ContainerSettings::default()).decide(&facts(&container)).unwrap_err();
        assert_eq!(failure.class, FailureClass::Environment);
        let wrong = json!({"image": "a", "arguments": "--add-host a:nosuch"});
        let said = host(ContainerSettings::default()).decide(&facts(&wrong)).unwrap_err().message;
        assert_eq!(said.matches("it must be").count(), 1, "{said}");
        assert!(failure.message.contains("--no-such-switch") && !failure.message.contains("hunter2"), "{failure}");
        let order = host(ContainerSettings::default())
            .decide(&facts(&json!({"image": "a", "arguments": "-e TOKEN=hunter2 --ipc=host"})))
            .unwrap();
        assert!(order.shown.contains("--ipc=host") && !order.shown.contains("hunter2"), "{}", order.shown);
    }

    #[test]
    fn who_publishes_ports_is_told_where_the_machine_is() {
        let address = |arguments: &str| {
            let container = json!({"image": "a", "arguments": arguments});
            let spec = host(ContainerSettings::default()).decide(&facts(&container)).unwrap().spec;
            spec.environment.iter().rfind(|(name, _)| name == HOST_ADDRESS).and_then(|(_, value)| value.clone())
        };
        assert_eq!(address("-p 127.0.0.1::80").as_deref(), None, "the engine chooses a port that nobody is told of");
        assert_eq!(address("-p 18080:80 -e CLEARML_AGENT_HOST_IP=mine").as_deref(), Some("10.1.2.3"));
        for arguments in ["", "-p 18080:80 --network host", "-p 18080:80 --network none"] {
            assert_eq!(address(arguments), None, "{arguments}");
        }
    }

    #[test]
    fn the_ports_of_the_machine_that_lead_to_a_task_are_told() {
        let mapping = |arguments: &str| {
            let container = json!({"image": "a", "arguments": arguments});
            host(ContainerSettings::default()).decide(&facts(&container)).unwrap().port_mapping
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = listener.local_addr().unwrap().port();
        let moved = mapping(&format!("-p {busy}:80 -p 53/udp -p 9"));
        let (outside, inside) = moved.split_once(':').unwrap();
        assert!(inside == "80" && outside != busy.to_string(), "{moved}");
        assert_eq!(mapping("-p 80:80 --network host"), "");
        assert_eq!(mapping("-p 80:80 --network none"), "");
        assert_eq!(mapping("--ipc=host"), "");
    }

    #[test]
    fn a_container_is_named_as_the_operator_wants_it() {
        let settings =
            ContainerSettings { name_format: Some("clearml-{task_id}-{rand_string:.4}".into()), ..Default::default() };
        let order = host(settings).decide(&facts(&json!({"image": "a"}))).unwrap();
        let name = order.spec.name.unwrap();
        assert!(name.starts_with("clearml-t-"), "{name}");
    }
}
