//! Asking a daemon that runs to leave.

use std::path::Path;
use std::time::Duration;

use protocols::control::ControlRequest;

use super::super::context::Context;
use super::super::control::{self, ControlError};
use crate::exit::Exit;
use crate::output::Progress;

/// Time between two looks at a daemon that leaves.
const INTERVAL: Duration = Duration::from_millis(100);

/// Asks, and waits until the daemon is gone.
pub(super) fn ask(context: &Context, state_dir: &Path, request: &ControlRequest) -> anyhow::Result<Exit> {
    let before = control::status(state_dir)?;
    control::tell(state_dir, request)?;
    context.wait(async move {
        let progress = Progress::start(&describe(before.tasks.len()));
        let mut said = before.tasks.len();
        loop {
            match control::ask(state_dir, &ControlRequest::Status) {
                Err(ControlError::NotRunning { .. }) => break,
                Ok(protocols::control::ControlAnswer::Status(status)) if status.pid != before.pid => break,
                Ok(protocols::control::ControlAnswer::Status(status)) if status.tasks.len() != said => {
                    said = status.tasks.len();
                    progress.say(&describe(said));
                }
                Ok(_) | Err(ControlError::NoAnswer { .. }) => {}
            }
            tokio::time::sleep(INTERVAL).await;
        }
        drop(progress);
        context.output.either(&serde_json::json!({"event": "left", "pid": before.pid}), "the daemon has left")
    })
}

fn describe(tasks: usize) -> String {
    match tasks {
        0 => "the daemon leaves".to_owned(),
        1 => "the daemon leaves when 1 task has ended".to_owned(),
        tasks => format!("the daemon leaves when {tasks} tasks have ended"),
    }
}

/// Makes our own daemon leave, with its tasks running. SIGTERM does the same where it does not listen yet.
pub(super) fn detach(state_dir: &Path) {
    tracing::info!("whoever started this daemon is gone: leaving, running tasks live on");
    if control::ask(state_dir, &ControlRequest::Detach).is_err() {
        // A signal to oneself cannot fail.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM);
    }
}
