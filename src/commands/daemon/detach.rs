//! `hostler daemon --detached`: the same command line again, in the background.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::super::context::Context;
use super::super::{control, private_file};
use crate::exit::{ChildFailed, Exit};
use crate::output::{Progress, note};

/// Name of the log in the state directory.
const LOG_FILE: &str = "daemon.log";

/// Time between two looks at a daemon that starts.
const INTERVAL: Duration = Duration::from_millis(50);

/// Starts the daemon in a session of its own and waits until it listens.
pub(super) fn spawn(context: &Context, state_dir: &Path) -> anyhow::Result<Exit> {
    let log_file = state_dir.join(LOG_FILE);
    let log = private_file::append(&log_file)?;
    let begin = log.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detached");
    let mut child = Command::new(std::env::current_exe().context("cannot find this program")?)
        .args(arguments)
        .arg("--own-session")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot use the log")?)
        .stderr(log)
        .spawn()
        .context("cannot start the daemon")?;
    context.wait(async {
        let _progress = Progress::start("starting the daemon");
        until_ready(&mut child, state_dir).await.inspect_err(|_| show(&log_file, begin))
    })?;
    let document = json!({"event": "ready", "pid": child.id(), "log_file": log_file, "state_dir": state_dir});
    let text = format!("the daemon runs (pid {}) and logs to {}", child.id(), log_file.display());
    context.output.either(&document, &text)?;
    Ok(Exit::Success)
}

async fn until_ready(child: &mut Child, state_dir: &Path) -> anyhow::Result<()> {
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the daemon")? {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
            return Err(ChildFailed(code.unwrap_or(Exit::Internal as u8)).into());
        }
        if control::status(state_dir).is_ok_and(|status| status.pid == child.id()) {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Shows what the daemon said before it ended.
fn show(log_file: &Path, begin: u64) {
    let Ok(log) = std::fs::read(log_file) else { return };
    let new = log.get(usize::try_from(begin).unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let last: Vec<&str> = text.lines().rev().take(10).collect();
    last.into_iter().rev().for_each(note);
}
