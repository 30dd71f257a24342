//! The thread that looks.

use std::path::PathBuf;
use std::time::Duration;

use drivers::nvml::{NvmlError, NvmlProbe, Watch};
use protocols::gpu::GpuCard;
use tokio::sync::mpsc;

use super::News;
use crate::daemon::settings::DaemonSettings;

/// Time between two tries to reach a driver that cannot be asked.
const RETRY_EVERY: Duration = Duration::from_secs(30);

/// Starts a thread that looks until nobody listens any more.
pub(super) fn open(settings: &DaemonSettings) -> mpsc::Receiver<News> {
    let (sender, receiver) = mpsc::channel(2);
    let eyes = Eyes {
        library: settings.gpu_library.clone(),
        cards: settings.cards(),
        every: settings.gpus.watch_interval,
        sender,
    };
    let started = std::thread::Builder::new().name("gpu-watch".to_owned()).spawn(move || eyes.run());
    if let Err(error) = started {
        tracing::error!(%error, "no thread to watch the GPUs with");
    }
    receiver
}

struct Eyes {
    library: Option<PathBuf>,
    cards: Vec<GpuCard>,
    every: Duration,
    sender: mpsc::Sender<News>,
}

impl Eyes {
    fn run(self) {
        loop {
            // Whatever happens in a driver's library, the daemon lives.
            let looking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.look()));
            let why = match looking {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                    format!("{error}{}", source.unwrap_or_default())
                }
                Err(_) => "the thread that looks panicked".to_owned(),
            };
            if self.sender.blocking_send(News::Blind(why)).is_err() {
                return;
            }
            // Nobody wakes this thread: a pause.
            std::thread::park_timeout(RETRY_EVERY);
        }
    }

    /// Looks until nobody listens any more.
    fn look(&self) -> Result<(), NvmlError> {
        let probe = NvmlProbe::load(self.library.clone())?;
        let mut watch = Watch::new(&probe, &self.cards)?;
        let mut wait = Duration::ZERO;
        loop {
            let events = watch.wait(wait);
            let looks = watch.look();
            if self.sender.blocking_send(News::Looked { events, looks }).is_err() {
                return Ok(());
            }
            wait = self.every;
        }
    }
}
