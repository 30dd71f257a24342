//! `up`, `daemon`, `executor`, `status`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, ValueEnum};

/// Where a server listens.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListenArgs {
    /// Address to listen on; 0.0.0.0 lets other machines in
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) listen: IpAddr,
    /// Port of the API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8008)]
    pub(crate) api_port: u16,
    /// Port for browsers; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) web_port: u16,
    /// Port of uploads and downloads; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub(crate) files_port: u16,
    /// Name, or address, by which clients know this machine [default: the address, or the name in the certificate]
    #[arg(long, value_name = "NAME")]
    pub(crate) public_name: Option<String>,
    /// Serve TLS with the certificate in this file (PEM, followed by its issuers)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authority that signed it (PEM), for clients which do not know it: goes into clearml.conf
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// What `up` is for.
pub(super) const UP_ABOUT: &str = "\
Starts a ClearML-compatible server and an agent, and keeps both running until Ctrl-C.

The first start makes a pair of credentials and writes DATA_DIR/clearml.conf, which the ClearML SDK and the other \
commands of hostler read. Everything is kept in DATA_DIR; remove it to start anew.

Ctrl-C stops the tasks that run, with time to end, and then the server; a second Ctrl-C ends them now. SIGTERM without \
a terminal leaves the tasks running: the next `hostler up` on the same directory takes them over, as it does after a \
crash.";

/// Flags of `up`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler up                                 one CPU worker for each two cores, queue `default`
  hostler up --workers 4 --queue fast slow   four workers that empty `fast` first
  hostler up --gpus 0,1 --gpus 2,3           two workers with two GPUs each
  hostler up --gpus                          one worker for each GPU
  hostler up --listen 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
  hostler up --data-dir ./trial --api-port 0 --web-port 0 --files-port 0")]
pub(crate) struct UpArgs {
    /// Where everything is kept [default: the XDG state directory, ~/.local/state/hostler]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Queues to serve, in order of priority; made if they do not exist
    #[arg(long, value_name = "NAME", num_args = 1.., default_values_t = ["default".to_owned()])]
    pub(crate) queue: Vec<String>,
    /// Number of CPU workers [default: one for each two cores]
    #[arg(long, value_name = "N", conflicts_with = "gpus", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// A worker with these GPUs (indexes or UUIDs); may be repeated; without a value one worker for each GPU
    #[arg(long, value_name = "LIST", num_args = 0..=1, default_missing_value = "each", action = ArgAction::Append)]
    pub(crate) gpus: Vec<String>,
    /// Pretend that the machine has these GPUs: `8xH100`, `4xH100+2xL4`, or a scenario file
    #[arg(long, value_name = "MACHINE", conflicts_with = "workers")]
    pub(crate) simulate: Option<String>,
    /// Where repositories and environments are cached [default: the XDG cache directory, ~/.cache/hostler]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// What is done with cards in MIG mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MigMode {
    /// Instances that are there are leased as they are.
    #[default]
    Existing,
    /// Instances are made and destroyed on demand. Those of others, and those in use, stay.
    Dynamic,
}

/// How many services may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServicesArg {
    /// Absent where there is no limit.
    pub(crate) limit: Option<u32>,
}

impl FromStr for ServicesArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("-1", _) => Ok(Self { limit: None }),
            (_, Ok(limit @ 1..)) => Ok(Self { limit: Some(limit) }),
            (_, Ok(0) | Err(_)) => {
                Err("write how many services may run at once, 1 or more; nothing, or -1, is no limit".to_owned())
            }
        }
    }
}

/// What happens to a GPU that other people's programs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForeignArg {
    /// It gets no task while they use it
    Wait,
    /// It is said, and nothing else
    Warn,
    /// Nothing
    Ignore,
}

/// What `daemon` is for.
pub(super) const DAEMON_ABOUT: &str = "\
Takes tasks from queues of a ClearML server and runs them, each in its own Python environment.

One daemon serves several workers: each --gpus makes one that is pinned to these GPUs, --cpu-only --workers N makes N \
without GPUs. Every worker runs one task at a time and takes the next from the first queue that has one. With \
--services-mode there is no such limit: every task that is enqueued starts at once, as a worker of its own.

Tasks do not depend on the daemon: SIGTERM, a crash or an upgrade leave them running, and the next daemon on the same \
state directory takes them over. On a terminal Ctrl-C stops them with the daemon; --stop does so from elsewhere.";

/// Flags of `daemon`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Examples:
  hostler daemon --queue default                            one worker with the whole machine
  hostler daemon --queue urgent normal --gpus 0,1 --gpus 2,3
  hostler daemon --queue cpu --cpu-only --workers 4 --create-queue
  hostler daemon --dynamic-gpus --gpus 0-7 --queue large=4 small=1 half=0.5 quarter=0.25@mps
  hostler daemon --dynamic-gpus --mig dynamic --gpus 0-7 --queue whole=1 small=1g.10gb@mig
  hostler daemon --queue services --services-mode 20        up to 20 long-lived tasks at once, without GPUs
  hostler daemon --queue default --docker 'python:3.11 --ipc=host'     each task in a container
  hostler daemon --simulate 8xH100 --dynamic-gpus --queue large=4 small=1     a rehearsal, without a GPU
  hostler daemon --drain                                    finish what runs, take nothing new
  hostler daemon --stop                                     stop what runs, with time to end

Server and credentials come from clearml.conf or the environment (CLEARML_API_HOST, CLEARML_API_ACCESS_KEY, \
CLEARML_API_SECRET_KEY), those for git from CLEARML_AGENT_GIT_USER and CLEARML_AGENT_GIT_PASS.")]
pub(crate) struct DaemonArgs {
    /// Queues to serve, names or ids, in order of priority [default: the server's default queue]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) queue: Vec<String>,
    /// Make queues that do not exist
    #[arg(long)]
    pub(crate) create_queue: bool,
    /// A worker with these GPUs: `0,1`, `0-3`, UUIDs, `0:1` (MIG), or `all`; may be repeated
    #[arg(long, value_name = "LIST", action = ArgAction::Append, conflicts_with = "cpu_only")]
    pub(crate) gpus: Vec<String>,
    /// Divide the GPUs among tasks, as much for each as its queue says: --queue large=4 elastic=1-4 half=0.5 quarter=0.25@mps
    #[arg(long, conflicts_with_all = ["cpu_only", "workers"])]
    pub(crate) dynamic_gpus: bool,
    /// Make and destroy MIG instances on cards in MIG mode as tasks demand them: --queue small=1g.10gb@mig
    #[arg(long, value_enum, value_name = "MODE", requires = "dynamic_gpus", default_value_t)]
    pub(crate) mig: MigMode,
    /// Pretend that the machine has these GPUs: `8xH100`, `4xH100+2xL4`, or a scenario file
    #[arg(long, value_name = "MACHINE", conflicts_with = "cpu_only")]
    pub(crate) simulate: Option<String>,
    /// A GPU that programs use which no task started: leave it to them, warn, or do not look
    #[arg(long, value_name = "wait|warn|ignore", value_enum)]
    pub(crate) gpu_foreign: Option<ForeignArg>,
    /// Serve metrics for Prometheus at http://ADDR/metrics, for example 127.0.0.1:9400
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Run tasks in containers: each in the image that it names, or in this one, with these arguments of `docker run`
    #[arg(long, value_name = "IMAGE [ARGS]", num_args = 0..)]
    pub(crate) docker: Option<Vec<String>>,
    /// As --docker, with Podman
    #[arg(long, value_name = "IMAGE [ARGS]", num_args = 0..)]
    pub(crate) podman: Option<Vec<String>>,
    /// Keep N containers started, of the kinds that tasks had last, for the next tasks to step into
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    pub(crate) warm_containers: Option<u16>,
    /// Workers without GPUs
    #[arg(long)]
    pub(crate) cpu_only: bool,
    /// Number of workers
    #[arg(long, value_name = "N", conflicts_with = "gpus", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Run many long-lived tasks at once, without GPUs, each as a worker of its own: at most N, or as many as there are
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "-1", allow_negative_numbers = true,
        conflicts_with_all = ["gpus", "dynamic_gpus", "workers", "simulate"])]
    pub(crate) services_mode: Option<ServicesArg>,
    /// Take from the queues in turn instead of by priority
    #[arg(long)]
    pub(crate) order_fairness: bool,
    /// Fetch the code and build the environments of the next tasks in the queues, before their turn (the default)
    #[arg(long, overrides_with = "no_prefetch")]
    pub(crate) prefetch: bool,
    /// Prepare a task only when its turn has come
    #[arg(long)]
    pub(crate) no_prefetch: bool,
    /// Seconds between two looks at the queues of a server that cannot push, at least 5
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) polling_interval: u64,
    /// Log to this terminal (the default; for scripts written for the stock agent)
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Go on in the background and log to STATE_DIR/daemon.log
    #[arg(long, conflicts_with_all = ["foreground", "stop", "drain"])]
    pub(crate) detached: bool,
    /// Where the journal and running tasks are kept [default: the XDG state directory, ~/.local/state/hostler/daemon]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where repositories and environments are cached [default: the XDG cache directory, ~/.cache/hostler]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Stop the tasks of the daemon that runs, and the daemon
    #[arg(long)]
    pub(crate) stop: bool,
    /// Let the daemon that runs finish its tasks and leave
    #[arg(long, conflicts_with = "stop")]
    pub(crate) drain: bool,
    /// User name for git
    #[arg(long, value_name = "NAME")]
    pub(crate) git_user: Option<String>,
    /// Refused: a secret on a command line is seen by everybody
    #[arg(long, value_name = "SECRET", hide = true)]
    pub(crate) git_pass: Option<String>,
    /// Detach when standard input is closed: whoever started this is gone
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
    /// Leave the session of the terminal
    #[arg(long, hide = true)]
    pub(crate) own_session: bool,
}

/// Flags of `executor`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExecutorArgs {
    /// The attempt's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) attempt_dir: PathBuf,
    /// Only fetch the code and build the environment, for as long as the daemon with this process id lives
    #[arg(long, value_name = "PID")]
    pub(crate) prefetch_for: Option<u32>,
    /// Only keep a container with this key until a task takes it; the folder is where such containers are kept
    #[arg(long, value_name = "KEY", requires = "for_daemon")]
    pub(crate) warm: Option<String>,
    /// For as long as the daemon with this process id lives
    #[arg(long, value_name = "PID")]
    pub(crate) for_daemon: Option<u32>,
    /// Only build code and environment, for as long as the command with this process id lives
    #[arg(long, value_name = "PID", requires = "into", conflicts_with = "prefetch_for")]
    pub(crate) build_for: Option<u32>,
    /// The folder to build in
    #[arg(long, value_name = "DIR", requires = "build_for")]
    pub(crate) into: Option<PathBuf>,
    /// The image to make of it
    #[arg(long, value_name = "NAME", requires = "build_for")]
    pub(crate) image: Option<String>,
    /// What the image is to run
    #[arg(long, value_name = "WHAT", requires = "image")]
    pub(crate) entry_point: Option<EntryPointArg>,
}

/// What an image runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EntryPointArg {
    /// The task
    #[value(name = "reuse_task")]
    ReuseTask,
    /// A copy of the task
    #[value(name = "clone_task")]
    CloneTask,
}

impl EntryPointArg {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReuseTask => "reuse_task",
            Self::CloneTask => "clone_task",
        }
    }
}

/// What `status` is for.
pub(super) const STATUS_ABOUT: &str = "\
Asks the daemon of this machine, not the server: its workers, their GPUs, and the tasks that it runs, with their phases.

--explain tells what a task waits for, or the next task of a queue: the cards and who has them, or the workers and what \
they do, and who is before it.";

/// Flags of `status`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler status
  hostler status --explain large          why does nothing of the queue `large` start?
  hostler status --explain train-resnet   a task, by its name or its id
  hostler status --data-dir ./trial       of a `hostler up --data-dir ./trial`
  hostler status --json")]
pub(crate) struct StatusArgs {
    /// What does this task, or the next of this queue, wait for? A name or an id
    #[arg(long, value_name = "TASK|QUEUE")]
    pub(crate) explain: Option<String>,
    /// The daemon's state directory
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The data directory of `hostler up`
    #[arg(long, value_name = "DIR", conflicts_with = "state_dir")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What `gpus` is for.
pub(super) const GPUS_ABOUT: &str = "\
Asks the NVIDIA driver of this machine for its GPUs, and the daemon, if one runs, which task has which: load, memory, \
processes (those that are no task's are called foreign), health.";

/// Flags of `gpus`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler gpus
  hostler gpus --json
  hostler gpus --explain 2                which two GPUs a task would get now, and why
  hostler gpus --simulate 8xH100          a machine that is not there")]
pub(crate) struct GpusArgs {
    /// Which GPUs a task would get now that wants so many: 2, 1-4, 0.5, 0.25@mps, or 1g.10gb@mig
    #[arg(long, value_name = "DEMAND")]
    pub(crate) explain: Option<String>,
    /// Pretend that the machine has these GPUs: `8xH100`, `4xH100+2xL4`, or a scenario file
    #[arg(long, value_name = "MACHINE")]
    pub(crate) simulate: Option<String>,
    /// The daemon's state directory
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The data directory of `hostler up`
    #[arg(long, value_name = "DIR", conflicts_with = "state_dir")]
    pub(crate) data_dir: Option<PathBuf>,
}
