//! Processes of this machine: who they are, whether they live, how they are started and ended.
//!
//! A process is named by [`ProcessId`](protocols::ids::ProcessId), pid and start time, never by its pid alone: the kernel gives pids out
//! again. A zombie counts as dead: it runs nothing and holds nothing.

mod affinity;
mod background;
mod fence;
mod identity;
mod read_only;
mod reap;
mod signal;
mod spawn;
mod tree;

pub use affinity::{allowed_cpus, keep_to_cpus};
pub use background::giving_way;
pub use fence::{FenceReport, attempt_of, fence};
pub(crate) use identity::child_id;
pub use identity::{is_alive, process_id, this_process};
pub use read_only::with_read_only;
pub use reap::{Reaped, reap_children};
pub use signal::{Signal, SignalError, exited, signal};
pub use spawn::{SpawnError, spawn_executor, take_input};
pub use tree::{become_session_leader, become_subreaper, descendants, kill_descendants};
