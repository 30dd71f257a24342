//! The machine as a heartbeat tells it: host and GPUs, each worker with its own cards.

use std::path::PathBuf;

use drivers::host::{HostSampler, HostStats};
use drivers::nvml::{GpuSample, NvmlProbe};
use protocols::clearml::workers::MachineStats;
use tracing::warn;

use super::gpu::board::GpuBoard;
use super::settings::{DaemonSettings, WorkerSettings};

/// Whoever looks at the machine. Blocks; lives as long as the daemon: loading the driver anew takes seconds.
pub(crate) struct Machine {
    host: HostSampler,
    gpus: Option<NvmlProbe>,
    board: GpuBoard,
}

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    host: HostStats,
    gpus: Vec<GpuSample>,
}

impl Machine {
    /// Begins to look. GPUs only where a worker has some and the driver can be asked.
    pub(crate) fn open(settings: &DaemonSettings, board: GpuBoard) -> Self {
        let wanted = settings.workers.iter().any(|worker| !worker.gpus.is_empty());
        let gpus = if wanted {
            NvmlProbe::load(settings.gpu_library.clone())
                .inspect_err(|error| warn!(%error, "heartbeats go without GPU statistics"))
                .ok()
        } else {
            None
        };
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        let mut host = HostSampler::new(home);
        host.sample(); // The first has no rates: it is what the second is measured from.
        Self { host, gpus, board }
    }

    pub(crate) fn sample(&mut self) -> Sample {
        let mut gpus = self.gpus.as_ref().map(NvmlProbe::sample).unwrap_or_default();
        // How busy an instance is comes from two looks, which the watcher takes.
        let watched = self.board.devices();
        for sample in gpus.iter_mut().filter(|sample| sample.utilisation_percent.is_none()) {
            let seen = watched.iter().find(|device| device.gpu == sample.id);
            sample.utilisation_percent = seen.and_then(|device| device.sample.utilisation_percent);
        }
        Sample { host: self.host.sample(), gpus }
    }
}

impl Sample {
    /// What one worker reports: the host's figures, and those of its own cards in its own order.
    pub(crate) fn for_worker(&self, worker: &WorkerSettings) -> MachineStats {
        let own: Vec<_> = worker
            .gpus
            .iter()
            .filter_map(|card| {
                // Where the driver could not be asked at the start, the card is known by its index alone.
                let itself = self.gpus.iter().find(|sample| sample.id == card.id);
                itself.or_else(|| self.gpus.iter().find(|sample| sample.index == card.index))
            })
            .cloned()
            .collect();
        self.host.to_machine_stats(&own)
    }
}
