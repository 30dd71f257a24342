//! `hostler status`: this machine's daemon.

mod explain;

use std::fmt::Write as _;

use protocols::control::{DaemonMode, DaemonStatus, PrefetchStatus, ServicesStatus, TaskSnapshot};
use protocols::ids::GpuId;

use super::context::Context;
use super::control;
use crate::cli::StatusArgs;
use crate::exit::Exit;
use crate::output::{Age, Table};

pub(super) fn run(context: &Context, args: StatusArgs) -> anyhow::Result<Exit> {
    let state_dir = args.state_dir.or_else(|| args.data_dir.map(|dir| dir.join(super::up::STATE_DIR)));
    let state_dir = context.config()?.state_dir(state_dir)?;
    if let Some(of) = args.explain {
        return explain::run(context, &state_dir, of);
    }
    let status = control::status(&state_dir)?;
    if context.output.json {
        context.output.document(&serde_json::to_value(&status)?)?;
    } else {
        let for_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        context.output.bytes(describe(&status, for_terminal).as_bytes())?;
    }
    Ok(Exit::Success)
}

fn describe(status: &DaemonStatus, for_terminal: bool) -> String {
    let mut text = String::new();
    let mode = match status.mode {
        DaemonMode::Serving => "takes tasks",
        DaemonMode::Draining => "finishes its tasks and leaves",
        DaemonMode::Stopping => "stops its tasks and leaves",
    };
    let reachable = if status.server_reachable { "" } else { ", which does not answer now" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "daemon {} (pid {}) {mode}, since {}",
        status.version,
        status.pid,
        Age::since_ms(status.started_at_ms)
    );
    let _ = writeln!(text, "server {}{reachable}\n", status.server);
    text.push_str(&workers(status).render(for_terminal));
    if let Some(ServicesStatus { running, limit }) = status.services {
        let limit = limit.map_or("no limit".to_owned(), |limit| format!("at most {limit}"));
        let _ = writeln!(text, "services: {running} run, {limit}");
    }
    for line in out_of_use(status) {
        let _ = writeln!(text, "{line}");
    }
    if let Some(prefetch) = &status.prefetch {
        let _ = writeln!(text, "{}", ahead(prefetch));
    }
    let _ = writeln!(text);
    text.push_str(&tasks(&status.tasks).render(for_terminal));
    text
}

fn workers(status: &DaemonStatus) -> Table {
    let mut table = Table::new(&["WORKER", "QUEUES", "GPUS", "TASK"], "no workers");
    for worker in &status.workers {
        let gpus: Vec<String> =
            worker.gpus.iter().map(|gpu| format!("{} {}", gpu.index, gpu.name).trim_end().to_owned()).collect();
        let part = if worker.share.is_whole() { String::new() } else { format!("{} of ", worker.share) };
        let shared = if part.is_empty() { "" } else { " (shared)" };
        let gpus = if gpus.is_empty() { "-".to_owned() } else { part + &gpus.join(", ") + shared };
        let task = worker.task.as_ref().map_or("-".to_owned(), ToString::to_string);
        table.row([worker.id.to_string(), worker.queues.join(","), gpus, task]);
    }
    table
}

/// `GPU 3 gets no task: quarantined: XID 79 (..)`.
fn out_of_use(status: &DaemonStatus) -> Vec<String> {
    let known = || status.workers.iter().flat_map(|worker| &worker.gpus);
    let line = |(gpu, why): (&GpuId, &String)| {
        let index = known().find(|card| card.id == *gpu).map(|card| card.index.to_string());
        format!("GPU {} gets no task: {why}", index.as_deref().unwrap_or(gpu.as_str()))
    };
    status.out_of_use.iter().map(line).collect()
}

/// `prepared ahead of their turn: 2 tasks that wait; now t3; not t4: ..`.
fn ahead(prefetch: &PrefetchStatus) -> String {
    let mut parts = Vec::new();
    match prefetch.ready.len() {
        0 => {}
        1 => parts.push("1 task that waits".to_owned()),
        count => parts.push(format!("{count} tasks that wait")),
    }
    parts.extend(prefetch.now.iter().map(|task| format!("now {task}")));
    parts.extend(prefetch.failed.iter().map(|(task, why)| format!("not {task}: {why}")));
    format!("prepared ahead of their turn: {}", parts.join("; "))
}

fn tasks(tasks: &[TaskSnapshot]) -> Table {
    let mut table =
        Table::new(&["TASK", "NAME", "ATTEMPT", "PHASE", "SINCE", "WORKER", "CONSOLE", "SHIPPED"], "no tasks run");
    for task in tasks {
        let phase = if task.attached || task.attempt.0 == 0 {
            task.phase.to_string()
        } else {
            format!("{} (detached)", task.phase)
        };
        table.row([
            task.task.to_string(),
            task.name.clone(),
            task.attempt.to_string(),
            phase,
            Age::since_ms(task.pulled_at_ms).to_string(),
            task.worker.to_string(),
            bytes(task.console_bytes),
            bytes(task.shipped_bytes),
        ]);
    }
    table
}

/// `0`, `999`, `1.5k`, `20.0M`, ..
fn bytes(count: u64) -> String {
    let mut rest = count as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T"] {
        if rest < 1000.0 {
            break;
        }
        rest /= 1000.0;
        unit = next;
    }
    if unit.is_empty() { count.to_string() } else { format!("{rest:.1}{unit}") }
}

#[cfg(test)]
mod tests {
    use protocols::control::WorkerStatus;
    use protocols::failure::Phase;
    use protocols::gpu::GpuCard;

    use super::*;

    #[test]
    fn a_daemon_is_described() {
        let card = GpuCard { id: "GPU-1".into(), index: 1, name: "H200".to_owned(), memory_bytes: 1 };
        let status = DaemonStatus {
            version: "0.1.0".to_owned(),
            pid: 7,
            started_at_ms: i64::MAX,
            server: "http://h".to_owned(),
            server_reachable: false,
            mode: DaemonMode::Draining,
            services: Some(ServicesStatus { running: 2, limit: Some(5) }),
            gpu_library: None,
            demands: Vec::new(),
            divided: Vec::new(),
            workers: vec![WorkerStatus {
                id: "h:gpu1".into(),
                queues: vec!["a".to_owned(), "b".to_owned()],
                gpus: vec![card],
                share: protocols::gpu::Share::WHOLE,
                task: Some("t".into()),
            }],
            out_of_use: [("GPU-1".into(), "quarantined: XID 79".to_owned())].into(),
            prefetch: Some(PrefetchStatus { now: Some("t3".into()), ready: vec!["t2".into()], ..Default::default() }),
            tasks: vec![TaskSnapshot {
                task: "t".into(),
                name: "train".to_owned(),
                worker: "h:gpu1".into(),
                queue: "q".into(),
                gpus: Vec::new(),
                share: protocols::gpu::Share::WHOLE,
                attempt: protocols::ids::AttemptId(2),
                phase: Phase::Running,
                attached: false,
                pulled_at_ms: i64::MAX,
                console_bytes: 1500,
                shipped_bytes: 999,
            }],
        };
        let text = describe(&status, false);
        for part in [
            "which does not answer now",
            "finishes its tasks",
            "h:gpu1\ta,b\t1 H200\tt\n",
            "\nservices: 2 run, at most 5\n",
            "\nGPU 1 gets no task: quarantined: XID 79\n",
            "\nprepared ahead of their turn: 1 task that waits; now t3\n",
            "running (detached)\t0s\th:gpu1\t1.5k\t999",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
