//! What a status on the server means for a task that runs here: pure.

use protocols::clearml::extension::WatchedTask;
use protocols::clearml::status::TaskStatus;
use protocols::lifecycle::StopReason;

/// Why a running task is to be stopped, given its status on the server; `None` to let it run. The rules are the
/// stock agent's: `completed`, `publishing` and `unknown` do not stop a process.
pub(crate) fn stop_reason(seen: &WatchedTask) -> Option<StopReason> {
    let Some(status) = seen.status else { return Some(StopReason::Deleted) };
    match status {
        TaskStatus::InProgress => seen.status_message.contains("stopping").then_some(StopReason::UserAbort),
        TaskStatus::Created => Some(StopReason::Reset),
        TaskStatus::Queued | TaskStatus::Stopped | TaskStatus::Closed | TaskStatus::Failed | TaskStatus::Published => {
            Some(StopReason::StatusChanged)
        }
        TaskStatus::Completed | TaskStatus::Publishing | TaskStatus::Unknown => None,
    }
}
