//! Everything a daemon is told at its start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drivers::journal::JournalOptions;
use drivers::nvml::MigCard;
use protocols::clearml::tasks::Task;
use protocols::gpu::mig::Placed;
use protocols::gpu::{Demand, DemandSource, GpuCard, Pool, Wish, WishError};
use protocols::ids::{QueueId, TaskId, WorkerId};
use protocols::order::{GitSettings, PythonSettings};

use super::containers::ContainerHost;

/// In the state directory.
pub(super) const JOURNAL_FILE: &str = "journal.db";

/// Between the daemon's worker and the task, in the name of a service.
const SERVICE: &str = ":service:";

/// A slot: one task at a time, with these cards, from these queues.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// As ClearML sees it.
    pub id: WorkerId,
    /// Queues in order of priority.
    pub queues: Vec<QueueId>,
    /// Their names, for people, in the same order.
    pub queue_names: Vec<String>,
    /// The cards pinned to it; none for a CPU worker.
    pub gpus: Vec<GpuCard>,
    /// Environment variables for its tasks: which GPUs they see.
    pub environment: BTreeMap<String, String>,
    /// Variables that its tasks must not inherit.
    pub removed_environment: Vec<String>,
}

impl WorkerSettings {
    /// Whether it was said which GPUs its tasks have, be it none.
    pub(crate) fn says_which_gpus(&self) -> bool {
        !self.gpus.is_empty() || self.environment.contains_key("NVIDIA_VISIBLE_DEVICES")
    }
}

/// Cards that are given out to tasks as their queues demand.
#[derive(Clone, Debug)]
pub struct DynamicGpus {
    /// What the workers' names begin with: a worker of its own for each task, named after its cards.
    pub name: String,
    /// The cards.
    pub pool: Pool,
    /// What tasks of each queue get, in order of priority.
    pub demands: Vec<(QueueId, Demand)>,
    /// Cards that are divided on demand.
    pub mig: Option<DynamicMig>,
    /// Whether cards can be shared through MPS.
    pub has_mps: bool,
}

/// Many long-lived tasks at once, without GPUs: each is a worker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Services {
    /// How many may run at once; absent where there is no limit.
    pub limit: Option<u32>,
}

/// Cards in MIG mode of which instances are made and destroyed as tasks demand.
#[derive(Clone, Debug)]
pub struct DynamicMig {
    /// The NVIDIA library, where it is not the system's.
    pub library: Option<PathBuf>,
    /// Where it is written down which instances are ours.
    pub record: PathBuf,
    /// The cards, as they are divided now.
    pub division: Division,
}

/// How cards are divided.
#[derive(Clone, Debug, Default)]
pub struct Division {
    /// The cards.
    pub cards: Vec<MigCard>,
    /// Which of their instances were made by us, for each card.
    pub ours: Vec<Vec<Placed>>,
}

/// Why the cards of this machine are nothing for a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    /// What it says of GPUs makes no sense.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// It wants what this machine has not got.
    #[error("the task wants {demand} (says {source_of_demand}): {}", MpsProgram::MISSING)]
    NoMps { demand: Demand, source_of_demand: DemandSource },
    /// It wants more.
    #[error(
        "the task wants {demand} GPUs (says {source_of_demand}); this machine gives out {cards} of that kind, and no \
         other worker serves the queue"
    )]
    Never { demand: Demand, source_of_demand: DemandSource, cards: usize },
}

impl DynamicGpus {
    /// How much a task of a queue gets.
    pub(crate) fn wish(&self, task: &Task, queue: &QueueId) -> Result<Wish, WishError> {
        // A queue of an earlier configuration: as if it said the least.
        let of_queue = self.demands.iter().find(|(id, _)| id == queue).map(|(_, demand)| *demand);
        Wish::of(task, of_queue.unwrap_or(Demand::Cards { least: 1, most: 1 }))
    }

    /// How many cards or instances there are, or could be, of the kind that is demanded.
    pub fn suitable(&self, demand: &Demand) -> usize {
        let there = self.pool.suitable(demand);
        match (demand, &self.mig) {
            (Demand::Share(share), _) if share.is_mps() && !self.has_mps => 0,
            (Demand::Instance(profile), Some(mig)) => {
                let can_have = |card: &&MigCard| card.geometry.shape(*profile).is_some();
                there.max(mig.division.cards.iter().filter(can_have).count())
            }
            (Demand::Cards { .. } | Demand::Share(_) | Demand::Instance(_), _) => there,
        }
    }

    /// What keeps a task of a queue from ever running on this machine.
    pub(crate) fn misfit(&self, task: &Task, queue: &QueueId) -> Option<Misfit> {
        match self.wish(task, queue) {
            Err(error) => Some(error.into()),
            Ok(Wish { demand, source }) => {
                let cards = self.suitable(&demand);
                let is_never = demand.least_cards() > cards;
                if matches!(demand, Demand::Share(share) if share.is_mps()) && !self.has_mps {
                    return Some(Misfit::NoMps { demand, source_of_demand: source });
                }
                is_never.then_some(Misfit::Never { demand, source_of_demand: source, cards })
            }
        }
    }
}

/// NVIDIA's `nvidia-cuda-mps-control`, which MPS shares need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MpsProgram {
    /// Here.
    At(PathBuf),
    /// The cards are simulated: shares are given out, and nothing enforces them.
    Rehearsed,
    /// It is not on this machine.
    #[default]
    Missing,
}

impl MpsProgram {
    /// What to do about it.
    pub const MISSING: &str = "MPS shares need nvidia-cuda-mps-control, which is not on the PATH: it comes with the NVIDIA \
                               driver; agent.hostler.gpu_mps_control may say where it is";
}

/// What happens to a card that programs use which no task started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignPolicy {
    /// It gets no task while they use it.
    Wait,
    /// It is said, and nothing else.
    #[default]
    Warn,
    /// Nothing.
    Ignore,
}

/// How the cards are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuSettings {
    /// Time between two looks at them.
    pub watch_interval: Duration,
    /// How long a card must have been well to come back out of quarantine.
    pub probation: Duration,
    /// How often a task that a card has failed goes back to its queue.
    pub requeues: u32,
    /// How many others may pass a task that waits before cards are kept for it.
    pub patience: u32,
    /// How long a task may use more memory of a shared card than it may, after it was told.
    pub memory_grace: Duration,
    /// Programs of others.
    pub foreign: ForeignPolicy,
    /// Whether tasks keep to the processors near their cards.
    pub cpu_affinity: bool,
    /// Time between two points of a task's plots of its cards; none where it is zero.
    pub scalars_interval: Duration,
}

impl Default for GpuSettings {
    fn default() -> Self {
        Self {
            watch_interval: Duration::from_secs(1),
            probation: Duration::from_secs(60),
            requeues: 2,
            patience: 0,
            memory_grace: Duration::from_secs(10),
            foreign: ForeignPolicy::default(),
            cpu_affinity: true,
            scalars_interval: Duration::from_secs(30),
        }
    }
}

/// What a daemon of `hostler execute` is for: this task, taken wherever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTask {
    /// The task.
    pub task: TaskId,
    /// Only if it is queued.
    pub must_be_queued: bool,
}

/// A daemon's configuration, complete and checked.
#[derive(Clone, Debug)]
pub struct DaemonSettings {
    /// Journal, sockets, attempts.
    pub state_dir: PathBuf,
    /// Repositories, environments, tools.
    pub cache_dir: PathBuf,
    /// The `hostler` program, for executors.
    pub program: PathBuf,
    /// The API server, for people.
    pub server_url: String,
    /// The slots; with dynamic GPUs or services the one that the daemon itself is known by, which runs nothing.
    pub workers: Vec<WorkerSettings>,
    /// Tasks are services.
    pub services: Option<Services>,
    /// Cards that belong to no slot.
    pub dynamic: Option<DynamicGpus>,
    /// One task instead of what the queues have: the daemon leaves when it is settled, and a signal stops it.
    pub only: Option<OneTask>,
    /// Round-robin over queues instead of priority.
    pub order_fairness: bool,
    /// Time between two polls of a server without the long-poll extension.
    pub polling_interval: Duration,
    /// Time between two heartbeats of a worker.
    pub status_report_interval: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// Environment variables for every task, `CLEARML_CONFIG_FILE` among them.
    pub task_environment: BTreeMap<String, String>,
    /// Whether the hyperparameter section `Environment` becomes environment variables.
    pub enable_task_env: bool,
    /// How code is fetched.
    pub git: GitSettings,
    /// How environments are built.
    pub python: PythonSettings,
    /// How containers are started; absent where tasks run as processes.
    pub containers: Option<ContainerHost>,
    /// Keep only what follows the last carriage return of a line.
    pub suppress_carriage_return: bool,
    /// The first SIGINT detaches, as the first SIGTERM always does.
    pub under_service_manager: bool,
    /// `libnvidia-ml.so` to use instead of the system's.
    pub gpu_library: Option<PathBuf>,
    /// How the cards are looked after.
    pub gpus: GpuSettings,
    /// What shares cards out through MPS.
    pub mps: MpsProgram,
    /// The processors near each card, by the card's index.
    pub gpu_cpus: BTreeMap<u32, Vec<usize>>,
    /// Where Prometheus may ask.
    pub metrics_listen: Option<SocketAddr>,
    /// How many containers are kept started for tasks to come.
    pub warm_containers: usize,
    /// Whether code and environments of tasks that wait are brought here ahead of their turn.
    pub prefetch: bool,
    /// Options of the journal.
    pub journal: JournalOptions,
}

impl DaemonSettings {
    /// In whose name a task runs that has a slot of this worker. Services have names of their own, by the rules of
    /// the stock agent.
    pub(crate) fn name_for(&self, worker: &WorkerId, task: &TaskId) -> WorkerId {
        match self.services {
            Some(_) => WorkerId::new(format!("{worker}{SERVICE}{task}")),
            None => worker.clone(),
        }
    }

    /// The worker of this configuration in whose name, or in whose slot, somebody runs.
    pub(crate) fn worker(&self, name: &WorkerId) -> Option<&WorkerSettings> {
        let is_its = |worker: &&WorkerSettings| {
            let rest = name.as_str().strip_prefix(worker.id.as_str());
            rest.is_some_and(|rest| rest.is_empty() || (self.services.is_some() && rest.starts_with(SERVICE)))
        };
        self.workers.iter().find(is_its)
    }

    /// Whether workers come and go with tasks.
    pub(crate) fn has_workers_of_tasks(&self) -> bool {
        self.dynamic.is_some() || self.services.is_some()
    }

    /// What people call a queue; its id where no worker serves it (any more).
    pub(crate) fn queue_name<'a>(&'a self, queue: &'a QueueId) -> &'a str {
        self.workers
            .iter()
            .flat_map(|worker| worker.queues.iter().zip(&worker.queue_names))
            .find(|(id, _)| *id == queue)
            .map_or(queue.as_str(), |(_, name)| name)
    }

    /// Every card, and every MIG instance, that tasks may get.
    pub(crate) fn cards(&self) -> Vec<GpuCard> {
        let mut cards: Vec<GpuCard> = self.workers.iter().flat_map(|worker| worker.gpus.iter().cloned()).collect();
        let dynamic = self.dynamic.iter().flat_map(|dynamic| dynamic.pool.cards()).cloned();
        cards.extend(dynamic);
        let divided = self.dynamic.iter().flat_map(|dynamic| &dynamic.mig).flat_map(|mig| &mig.division.cards);
        cards.extend(divided.map(|card| card.card.clone()));
        let mut seen = std::collections::BTreeSet::new();
        cards.retain(|card| seen.insert(card.id.clone()));
        cards
    }

    /// The processors near these cards; none where that does not matter, or is not known of all of them.
    pub(crate) fn cpus_near(&self, gpus: &[GpuCard]) -> Vec<usize> {
        let near: Option<Vec<&Vec<usize>>> = gpus.iter().map(|card| self.gpu_cpus.get(&card.index)).collect();
        let mut cpus: Vec<usize> = match near {
            Some(near) if self.gpus.cpu_affinity => near.into_iter().flatten().copied().collect(),
            _ => Vec::new(),
        };
        cpus.sort_unstable();
        cpus.dedup();
        cpus
    }

    /// Whether there are cards, and a driver that could tell of them.
    pub(crate) fn watches_gpus(&self) -> bool {
        self.cards().iter().any(|card| !card.id.as_str().starts_with("index:"))
    }

    /// Where the control daemons of MPS work.
    pub(crate) fn mps_root(&self) -> PathBuf {
        self.state_dir.join("mps")
    }

    pub(crate) fn journal_file(&self) -> PathBuf {
        self.state_dir.join(JOURNAL_FILE)
    }

    pub(crate) fn executor_socket(&self) -> PathBuf {
        self.state_dir.join("run").join("executors.sock")
    }

    pub(crate) fn attempts_dir(&self) -> PathBuf {
        self.state_dir.join("attempts")
    }

    pub(crate) fn warm_dir(&self) -> PathBuf {
        self.state_dir.join("warm")
    }

    pub(crate) fn prefetch_dir(&self) -> PathBuf {
        self.state_dir.join("prefetch")
    }
}

/// Where a daemon with this state directory listens for the command line.
pub fn control_socket(state_dir: &Path) -> PathBuf {
    state_dir.join("run").join("control.sock")
}
