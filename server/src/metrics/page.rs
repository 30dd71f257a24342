//! The page that Prometheus reads.

use protocols::clearml::error::ApiError;

use super::text::Text;
use crate::state::State;
use crate::store::census::{self, Census};
use crate::time;

/// Content type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Histograms of time hold microseconds and show seconds.
const MICROS: f64 = 1e6;

/// Everything at this moment.
pub(crate) async fn page(state: &State) -> Result<String, ApiError> {
    let now = time::now();
    let census = state.store.read(move |connection| census::census(connection, now)).await?;
    let mut text = Text::default();
    text.gauge("hostler_server_info", "Version of the server.");
    text.sample("hostler_server_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    requests(&mut text, state);
    contents(&mut text, &census, now);
    store(&mut text, state, &census);
    disks(&mut text, state);
    process(&mut text);
    Ok(text.finish())
}

fn requests(text: &mut Text, state: &State) {
    let name = "hostler_http_request_duration_seconds";
    text.histogram(name, "Time from the arrival of a request to its answer, without the bytes of a download.");
    for ((endpoint, status), histogram) in state.requests.all() {
        text.buckets(name, &[("endpoint", &endpoint), ("code", &status)], &histogram.snapshot(), MICROS);
    }
}

fn contents(text: &mut Text, census: &Census, now: time::Micros) {
    text.gauge("hostler_queue_entries", "Tasks that wait in a queue.");
    for (queue, entries, _) in &census.queues {
        text.sample("hostler_queue_entries", &[("queue", queue)], entries);
    }
    text.gauge("hostler_queue_oldest_entry_seconds", "How long the task that waits longest has waited.");
    for (queue, _, oldest) in &census.queues {
        let waits = oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
        text.sample("hostler_queue_oldest_entry_seconds", &[("queue", queue)], waits as f64 / MICROS);
    }
    text.gauge("hostler_tasks", "Tasks by status.");
    for (status, tasks) in &census.tasks {
        text.sample("hostler_tasks", &[("status", status)], tasks);
    }
    text.gauge("hostler_workers", "Workers that reported lately.");
    text.sample("hostler_workers", &[("state", &"idle")], census.idle_workers);
    text.sample("hostler_workers", &[("state", &"busy")], census.busy_workers);
}

fn store(text: &mut Text, state: &State, census: &Census) {
    let pulse = state.store.pulse();
    text.histogram("hostler_store_batch_jobs", "Writes that shared one commit.");
    text.buckets("hostler_store_batch_jobs", &[], &pulse.batches.snapshot(), 1.0);
    text.histogram("hostler_store_commit_duration_seconds", "Time of a transaction, with its commit to the disk.");
    text.buckets("hostler_store_commit_duration_seconds", &[], &pulse.commits.snapshot(), MICROS);
    text.counter("hostler_store_failed_commits_total", "Commits that failed; nothing of them is stored.");
    text.sample("hostler_store_failed_commits_total", &[], pulse.failed());
    let (database, log) = state.store.sizes();
    for (name, help, bytes) in [
        ("hostler_store_size_bytes", "Size of the database file.", database),
        ("hostler_store_wal_size_bytes", "Size of the log of the database.", log),
        (
            "hostler_store_unused_bytes",
            "Bytes in the database file that are free for new rows.",
            u64::try_from(census.unused_bytes).unwrap_or(0),
        ),
    ] {
        text.gauge(name, help);
        text.sample(name, &[], bytes);
    }
}

fn disks(text: &mut Text, state: &State) {
    let rooms = state.disk.volumes().map(|volume| (volume.name, volume.look()));
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&crate::disk::Room) -> Option<u64>| {
        text.gauge(name, help);
        for (volume, room) in &rooms {
            if let Some(value) = value(room) {
                text.sample(name, &[("volume", volume)], value);
            }
        }
    };
    gauge("hostler_disk_free_bytes", "What is free on the disk.", &|room| room.space.map(|space| space.free));
    gauge("hostler_disk_size_bytes", "Size of the disk.", &|room| room.space.map(|space| space.total));
    gauge("hostler_disk_floor_bytes", "What events and uploads leave free.", &|room| Some(room.floor));
    gauge("hostler_disk_low", "Whether events and uploads are refused.", &|room| Some(u64::from(room.is_low)));
}

fn process(text: &mut Text) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: Option<u64> = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    if let Some(kilobytes) = kilobytes {
        text.gauge("process_resident_memory_bytes", "Memory of the process.");
        text.sample("process_resident_memory_bytes", &[], kilobytes * 1024);
    }
}
