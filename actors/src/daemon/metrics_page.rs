//! What the daemon is doing, for Prometheus: `GET /metrics` on an address of its own. Read models only.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use protocols::control::DaemonStatus;
use protocols::failure::Phase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::control_gateway::ControlView;
use super::gpu::usage::DeviceUse;

/// No request is longer, in bytes.
const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// How long a caller may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers for ever.
pub(super) async fn serve(listener: Arc<TcpListener>, view: ControlView) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let view = view.clone();
                tokio::spawn(async move {
                    match tokio::time::timeout(PATIENCE, answer(stream, &view)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => debug!(%error, "a caller for metrics left"),
                        Err(_) => debug!("a caller for metrics takes too long"),
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot take a call for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, view: &ControlView) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, kind, body) = if line.starts_with(b"GET /metrics ") {
        let text = page(&view.status(), &view.gpus.devices());
        ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text)
    } else {
        ("404 Not Found", "text/plain; charset=utf-8", "there is /metrics\n".to_owned())
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// A family of values.
struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn new(page: &'a mut String, name: &'static str, help: &str) -> Self {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge");
        Self { page, name }
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.page, "{}{labels} {value}", self.name);
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn page(status: &DaemonStatus, devices: &[DeviceUse]) -> String {
    let mut page = String::new();
    Family::new(&mut page, "hostler_daemon_info", "The daemon.").value(&[("version", &status.version)], 1.0);
    Family::new(&mut page, "hostler_server_reachable", "Whether the last call to the server was answered.")
        .value(&[], f64::from(u8::from(status.server_reachable)));
    let mut workers = Family::new(&mut page, "hostler_worker_busy", "Whether a worker has a task.");
    for worker in &status.workers {
        workers.value(&[("worker", worker.id.as_str())], f64::from(u8::from(worker.task.is_some())));
    }
    let mut tasks = Family::new(&mut page, "hostler_tasks", "Tasks by what they do.");
    for phase in [
        Phase::Pulled,
        Phase::Checkout,
        Phase::Image,
        Phase::Environment,
        Phase::Starting,
        Phase::Running,
        Phase::Stopping,
        Phase::Reporting,
    ] {
        let count = status.tasks.iter().filter(|task| task.phase == phase).count();
        tasks.value(&[("phase", phase.as_str())], count as f64);
    }
    gpus(&mut page, status, devices);
    page
}

const BYTES_PER_MB: f64 = 1024.0 * 1024.0;

/// Reads a figure, where the device tells it.
type Read = fn(&DeviceUse) -> Option<f64>;

fn gpus(page: &mut String, status: &DaemonStatus, devices: &[DeviceUse]) {
    let figures: [(&'static str, &str, Read); 5] = [
        ("hostler_gpu_utilisation_ratio", "How much of the time something ran.", |device| {
            device.sample.utilisation_percent.map(|percent| percent / 100.0)
        }),
        ("hostler_gpu_memory_used_bytes", "Memory in use.", |device| {
            device.sample.memory_used_mb.map(|used| used * BYTES_PER_MB)
        }),
        ("hostler_gpu_memory_free_bytes", "Free memory.", |device| {
            device.sample.memory_free_mb.map(|free| free * BYTES_PER_MB)
        }),
        ("hostler_gpu_power_watts", "Power drawn.", |device| device.sample.power_watts),
        ("hostler_gpu_temperature_celsius", "Temperature of the chip.", |device| device.sample.temperature_celsius),
    ];
    for (name, help, read) in figures {
        let mut family = Family::new(page, name, help);
        for device in devices {
            if let Some(value) = read(device) {
                family.value(&[("gpu", device.gpu.as_str()), ("index", &device.index.to_string())], value);
            }
        }
    }
    tasks_on(page, status, devices);
    let mut used =
        Family::new(page, "hostler_task_gpu_memory_bytes", "What a task's processes hold of a GPU's memory.");
    for device in devices {
        for (task, bytes) in &device.tasks {
            used.value(&[("task", task.as_str()), ("gpu", device.gpu.as_str())], *bytes as f64);
        }
    }
    let mut out_of_use = Family::new(page, "hostler_gpu_out_of_use", "GPUs that get no task for now, and why.");
    for (gpu, why) in &status.out_of_use {
        out_of_use.value(&[("gpu", gpu.as_str()), ("why", why)], 1.0);
    }
}

/// How the devices are that each task has, with everybody on them.
fn tasks_on(page: &mut String, status: &DaemonStatus, devices: &[DeviceUse]) {
    let figures: [(&'static str, &str, Read); 3] = [
        ("hostler_task_gpu_utilisation_ratio", "How much of the time something ran on a GPU of a task.", |device| {
            device.sample.utilisation_percent.map(|percent| percent / 100.0)
        }),
        ("hostler_task_gpu_power_watts", "Power that a GPU of a task draws.", |device| device.sample.power_watts),
        ("hostler_task_gpu_temperature_celsius", "Temperature of a GPU of a task.", |device| {
            device.sample.temperature_celsius
        }),
    ];
    let holders = status.tasks.iter().filter(|task| task.phase != Phase::Reporting);
    for (name, help, read) in figures {
        let mut family = Family::new(page, name, help);
        for task in holders.clone() {
            for device in devices.iter().filter(|device| task.gpus.iter().any(|card| card.id == device.gpu)) {
                if let Some(value) = read(device) {
                    family.value(&[("task", task.task.as_str()), ("gpu", device.gpu.as_str())], value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = String::new();
        Family::new(&mut page, "x", "Y.").value(&[("a", "b\"c\\d\ne")], 0.5);
        assert_eq!(page, "# HELP x Y.\n# TYPE x gauge\nx{a=\"b\\\"c\\\\d\\ne\"} 0.5\n");
    }
}
