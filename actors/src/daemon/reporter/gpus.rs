//! What the server is told of a task's GPUs.

use std::collections::BTreeMap;

use protocols::clearml::events::{LEVEL_INFO, MONITOR_GPU, MONITOR_MACHINE, ScalarEvent};
use protocols::clearml::tasks::Task;
use serde_json::json;
use tracing::{debug, info};

use super::lane::Lane;
use crate::daemon::gpu::usage::{GpuPeak, GpuScalars};

/// A runtime property of the task: the most that it used of each GPU.
const PEAKS: &str = "_hostler_gpu_peaks";

/// What the SDK's monitor writes into the runtime properties when it begins; its first points follow half a minute to
/// three minutes later.
const BEGINS: &str = "python_exec";

/// Whether the SDK reports the machine in the name of this task.
fn is_monitored(task: &Task) -> bool {
    task.runtime.contains_key(BEGINS) || task.has_metric(MONITOR_MACHINE)
}

impl Lane {
    /// Points for the task's plots, unless the SDK is in the task and makes them itself. Replaceable: those that do
    /// not arrive are followed by others.
    pub(super) async fn gpu_scalars(&mut self, scalars: GpuScalars) {
        if self.has_monitor {
            return;
        }
        let (server, id) = (&self.tools.server, &self.order.task);
        match server.task(id).await {
            Ok(Some(task)) if !is_monitored(&task) => {}
            Ok(_) => {
                info!(task = %id, "the SDK in the task plots its GPUs");
                self.has_monitor = true;
                return;
            }
            Err(error) => return debug!(task = %id, %error, "cannot look who reports the GPUs"),
        }
        let now_ms = self.tools.clock.now_ms();
        let event = |value| {
            let (task, worker) = (self.order.task.clone(), self.order.worker.clone());
            ScalarEvent::new(task, worker, MONITOR_GPU, value, scalars.iteration, now_ms)
        };
        let events: Vec<ScalarEvent> = scalars.values.into_iter().map(event).collect();
        if let Err(error) = server.add_scalars(&events).await {
            debug!(task = %id, %error, "points of the GPUs did not arrive");
        }
    }

    /// A line for each card in the log, and a runtime property.
    pub(super) async fn gpu_peaks(&mut self, peaks: &BTreeMap<u32, GpuPeak>) {
        let mut document = serde_json::Map::new();
        for (index, peak) in peaks {
            let GpuPeak { memory_mib, utilisation_percent, power_watts, temperature_celsius } = *peak;
            let figure =
                |value: Option<f64>, unit: &str| value.map_or(String::new(), |value| format!(", {value:.0}{unit}"));
            let line = format!(
                "GPU {index}: at most {memory_mib:.0} MiB{}{}{}\n",
                figure(utilisation_percent, "%"),
                figure(power_watts, " W"),
                figure(temperature_celsius, "\u{b0}C"),
            );
            self.say(&line, LEVEL_INFO).await;
            let peak = json!({
                "memory_mib": memory_mib.round(),
                "utilisation_percent": utilisation_percent,
                "power_watts": power_watts,
                "temperature_celsius": temperature_celsius,
            });
            document.insert(index.to_string(), peak);
        }
        let (server, id) = (self.tools.server.clone(), self.order.task.clone());
        let add = serde_json::Map::from_iter([(PEAKS.to_owned(), json!(document))]);
        self.insist("edit runtime", || server.edit_runtime(&id, add.clone())).await;
    }
}
