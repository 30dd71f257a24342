//! The daemon: decides and remembers. It never runs user code, git, pip or a blocking call on the actor thread.
//!
//! ```text
//! Supervisor
//! ├─ Journal            durable append
//! ├─ GpuPartitioner     worker slots and the GPU ledger
//! ├─ MpsKeeper          control daemons of cards that MPS shares out
//! ├─ Reporter           outbound status and console, per task
//! ├─ TaskManager ─ TaskRunner (per task)
//! ├─ GpuWatcher         health of the cards, who uses them, how much
//! ├─ ExecutorGateway    executors dial in here
//! ├─ QueuePoller        leases before it pulls
//! ├─ Prefetcher         code and environments of tasks that wait
//! ├─ AbortWatcher       what the server wants stopped
//! ├─ Metrics            worker registration, heartbeats, machine stats
//! └─ ControlGateway     the command line asks here
//! ```

mod abort_watcher;
mod attempt;
mod board;
mod build;
mod child;
mod containers;
mod control_gateway;
mod executor_gateway;
mod exit;
mod explain;
mod gpu;
mod journal;
mod long_poll;
mod machine;
mod metrics;
mod metrics_page;
mod outcome;
mod prefetcher;
mod queue_poller;
mod reporter;
mod run;
mod settings;
mod supervisor;
mod task_manager;
mod task_runner;
mod warm_keeper;
mod watchdog;
mod watched;

pub use build::{BuildError, BuildInto, build};
pub use containers::{ContainerHost, HostGpus};
pub use exit::{DaemonError, DaemonExit};
pub use gpu::look as look_at_division;
pub use outcome::{RunEnd, has_journal, run_end};
pub use run::run;
pub use settings::{
    DaemonSettings, Division, DynamicGpus, DynamicMig, ForeignPolicy, GpuSettings, MpsProgram, OneTask, Services,
    WorkerSettings, control_socket,
};

#[cfg(test)]
mod tests;
