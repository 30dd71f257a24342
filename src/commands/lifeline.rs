//! Notices that the process that started us is gone.
//!
//! `hostler up` keeps the other end of our standard input and writes nothing to it: end of file means that it ended,
//! in whatever way.

use std::io::Read as _;

use anyhow::Context as _;
use tokio::sync::oneshot;

/// Resolves when standard input is closed.
pub(super) fn watch() -> anyhow::Result<oneshot::Receiver<()>> {
    let (gone, is_gone) = oneshot::channel();
    run_when_lost(move || {
        // Nobody waits any more when we are ending anyway.
        let _ = gone.send(());
    })?;
    Ok(is_gone)
}

/// Calls `action` on a thread of its own when standard input is closed.
pub(super) fn run_when_lost(action: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let wait = move || {
        let mut buffer = [0; 64];
        let mut stdin = std::io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        action();
    };
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(wait).context("cannot start a thread")?;
    Ok(())
}
