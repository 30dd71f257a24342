//! A plain thread that notices when the actor thread does not turn: an actor could not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long the actor thread may be silent before that is said.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the actor thread shows that it turns.
const BEAT: Duration = Duration::from_millis(500);

/// Watches until it is dropped.
pub(crate) struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Begins to watch the calling thread's actix system.
    pub(crate) fn start() -> Self {
        let beats = Arc::new(AtomicU64::new(0));
        let (alive, gone) = channel::<()>();
        let beating = Arc::clone(&beats);
        actix::spawn(async move {
            let mut interval = tokio::time::interval(BEAT);
            loop {
                interval.tick().await;
                beating.fetch_add(1, Ordering::Relaxed);
            }
        });
        let watching = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let mut last = 0;
            while gone.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let now = beats.load(Ordering::Relaxed);
                if now == last {
                    tracing::error!("the actor thread has not turned for {PATIENCE:?}: a handler blocks");
                }
                last = now;
            }
        });
        if let Err(error) = watching {
            tracing::warn!(%error, "running without a watchdog");
        }
        Self { _alive: alive }
    }
}
