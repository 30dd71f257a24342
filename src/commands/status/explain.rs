//! `hostler status --explain TASK|QUEUE`: what a task waits for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use protocols::control::{ControlAnswer, ControlRequest, DaemonMode};
use protocols::explain::{AwaitedCard, BusyWorker, Explanation, QueueState, Standing, TaskName};
use protocols::gpu::GpuCard;

use super::super::context::Context;
use super::super::control;
use crate::exit::{Exit, Problem};
use crate::output::Age;

pub(super) fn run(context: &Context, state_dir: &Path, of: String) -> anyhow::Result<Exit> {
    let explanation = match control::answer(state_dir, &ControlRequest::Explain { of })? {
        ControlAnswer::Explanation(explanation) => *explanation,
        ControlAnswer::Refused { why } => return Err(Problem::refused(why)),
        ControlAnswer::Status(_) | ControlAnswer::Accepted => {
            return Err(Problem::with(Exit::Internal, "the daemon gave the answer to another question"));
        }
    };
    context.output.either(&serde_json::to_value(&explanation)?, &describe(&explanation))?;
    Ok(Exit::Success)
}

fn describe(explanation: &Explanation) -> String {
    let mut lines = Vec::new();
    if let Some(queue) = &explanation.queue {
        lines.push(queue_line(queue));
    }
    if let Some(task) = &explanation.task {
        lines.push(format!("task {}", named(task)));
    }
    if let (Some(demand), Some(source)) = (&explanation.demand, &explanation.demand_of) {
        lines.push(format!("wants {demand} GPU(s), says {source}"));
    }
    lines.extend(standing(&explanation.standing));
    for front in &explanation.in_front {
        let indexes: Vec<String> = front.gpus.iter().map(u32::to_string).collect();
        let (task, queue, demand) = (&front.task, &front.queue, &front.demand);
        lines.push(format!(
            "before it: task {task} of {queue}, which wants {demand} and waits for GPU {}",
            indexes.join(",")
        ));
    }
    for card in &explanation.out_of_use {
        lines.push(format!("not given out: GPU {} ({}): {}", card.index, card.gpu, card.why));
    }
    if !explanation.server_reachable {
        lines.push("the server does not answer now: nothing is taken until it does".to_owned());
    }
    lines.join("\n")
}

fn queue_line(queue: &QueueState) -> String {
    let mut line = format!("queue {}: {} waiting, {} running here", queue.name, queue.waiting, queue.running);
    if let Some(demand) = &queue.demand {
        // Writing to a String cannot fail.
        let _ = write!(line, ", {demand} GPU(s) for each");
    }
    line
}

fn named(task: &TaskName) -> String {
    if task.name.is_empty() { task.id.to_string() } else { format!("{} ({})", task.name, task.id) }
}

fn standing(standing: &Standing) -> Vec<String> {
    let line = match standing {
        Standing::Empty => "nothing waits".to_owned(),
        Standing::Runs { worker, gpus, share, phase } => {
            let part = if share.is_whole() { String::new() } else { format!("{share} of ") };
            let with = if gpus.is_empty() { String::new() } else { format!(" with {part}GPU {}", indexes(gpus)) };
            format!("does not wait: {phase} as {worker}{with}")
        }
        Standing::Settles => "waits for its last run to be reported to the server".to_owned(),
        Standing::InQueue { before, next } => {
            format!("waits behind {before} of its queue, the next of which is {}", named(next))
        }
        Standing::Next => "is the next: nothing keeps it, it is taken at the next look into the queues".to_owned(),
        Standing::WaitsForCards { cards } => return awaited(cards),
        Standing::WaitsForInstance { gpu, failed } => {
            let place = gpu.map(|gpu| format!(" on GPU {gpu}, when enough of what runs there has ended"));
            let failed = failed.as_ref().map(|why| format!("; the last try failed: {why}"));
            format!(
                "waits for a MIG instance that is made for it{}{}",
                place.unwrap_or_default(),
                failed.unwrap_or_default()
            )
        }
        Standing::LetsPass { passed, patience } => {
            format!("waits, and keeps no GPU yet: {passed} of the {patience} others that may pass it have")
        }
        Standing::Behind => "waits: every GPU is kept for the tasks before it".to_owned(),
        Standing::Lacks { usable } => {
            format!("waits for GPUs that are not given out now: {usable} are; it keeps none of them from others")
        }
        Standing::Never { cards } => {
            format!("never starts here: there are {cards} GPUs of that kind. It is left to other workers of its queue")
        }
        Standing::Refused { why } => format!("fails when it is its turn: {why}"),
        Standing::WaitsForWorker { workers } => {
            return busy("waits for a worker; every one of its queue is busy".to_owned(), workers);
        }
        Standing::WaitsForService { limit, workers } => {
            return busy(format!("waits for the end of a service: {limit} may run at once, and do"), workers);
        }
        Standing::NotTaken { mode } => match mode {
            DaemonMode::Draining => "waits: the daemon finishes its tasks and leaves, and takes nothing new".to_owned(),
            DaemonMode::Stopping => "waits: the daemon stops its tasks and leaves".to_owned(),
            DaemonMode::Serving => "waits".to_owned(),
        },
    };
    vec![line]
}

fn indexes(gpus: &[GpuCard]) -> String {
    gpus.iter().map(|gpu| gpu.index.to_string()).collect::<Vec<_>>().join(",")
}

/// The cards, by who has them.
fn awaited(cards: &[AwaitedCard]) -> Vec<String> {
    let gpus: Vec<GpuCard> = cards.iter().map(|awaited| awaited.card.clone()).collect();
    let mut lines =
        vec![format!("waits for GPU {}; starts at the latest when the tasks end that have them now", indexes(&gpus))];
    let mut holders: BTreeMap<&str, (String, Vec<String>)> = BTreeMap::new();
    let mut free = Vec::new();
    for awaited in cards {
        let index = awaited.card.index.to_string();
        if awaited.held_by.is_empty() {
            free.push(index.clone());
        }
        for holding in &awaited.held_by {
            let part = if holding.share.is_whole() { String::new() } else { format!(" ({} of it)", holding.share) };
            let since = Age::since_ms(holding.since_ms);
            let who = format!("{}, for {since}", named(&holding.task));
            holders.entry(holding.task.id.as_str()).or_insert((who, Vec::new())).1.push(index.clone() + &part);
        }
    }
    lines.extend(holders.into_values().map(|(who, cards)| format!("  GPU {}: {who}", cards.join(","))));
    if !free.is_empty() {
        lines.push(format!("  GPU {}: free, kept for it", free.join(",")));
    }
    lines
}

fn busy(why: String, workers: &[BusyWorker]) -> Vec<String> {
    let mut lines = vec![why];
    for worker in workers {
        let task = worker.task.as_ref().map(named).unwrap_or_default();
        let since = worker.since_ms.map(|since| format!(", for {}", Age::since_ms(since))).unwrap_or_default();
        lines.push(format!("  {}: {task}{since}", worker.worker));
    }
    lines
}

#[cfg(test)]
mod tests {
    use protocols::explain::{Holding, InFront, OutOfUse};
    use protocols::gpu::{DemandSource, MilliGpu, Share};

    use super::*;

    fn name(id: &str, name: &str) -> TaskName {
        TaskName { id: id.into(), name: name.to_owned() }
    }

    fn explanation(standing: Standing) -> Explanation {
        Explanation {
            queue: Some(QueueState {
                id: "q".into(),
                name: "large".to_owned(),
                demand: Some("2".to_owned()),
                waiting: 3,
                running: 1,
            }),
            task: Some(name("t1", "train")),
            demand: Some("4".to_owned()),
            demand_of: Some(DemandSource::Property),
            standing,
            in_front: vec![InFront {
                task: "t0".into(),
                queue: "urgent".to_owned(),
                demand: "2".to_owned(),
                gpus: vec![0, 1],
            }],
            out_of_use: vec![OutOfUse { gpu: "GPU-7".into(), index: 7, why: "XID 79".to_owned() }],
            server_reachable: true,
        }
    }

    #[test]
    fn cards_are_told_by_who_has_them() {
        let card =
            |index: u32| GpuCard { id: format!("GPU-{index}").into(), index, name: "H100".to_owned(), memory_bytes: 1 };
        let holding = |id: &str, share| Holding { task: name(id, "other"), share, since_ms: i64::MAX };
        let cards = vec![
            AwaitedCard { card: card(2), held_by: vec![holding("a", Share::WHOLE)] },
            AwaitedCard { card: card(3), held_by: vec![holding("a", Share::WHOLE)] },
            AwaitedCard { card: card(4), held_by: vec![holding("b", Share::slot(MilliGpu(500)))] },
            AwaitedCard { card: card(5), held_by: Vec::new() },
        ];
        let text = describe(&explanation(Standing::WaitsForCards { cards }));
        let expected = "\
queue large: 3 waiting, 1 running here, 2 GPU(s) for each
task train (t1)
wants 4 GPU(s), says its user property hostler_gpus
waits for GPU 2,3,4,5; starts at the latest when the tasks end that have them now
  GPU 2,3: other (a), for 0s
  GPU 4 (0.5 of it): other (b), for 0s
  GPU 5: free, kept for it
before it: task t0 of urgent, which wants 2 and waits for GPU 0,1
not given out: GPU 7 (GPU-7): XID 79";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_busy_worker_is_named() {
        let workers = vec![BusyWorker { worker: "h:gpu0".into(), task: Some(name("a", "")), since_ms: None }];
        let text = describe(&explanation(Standing::WaitsForWorker { workers }));
        assert!(text.contains("every one of its queue is busy\n  h:gpu0: a\n"), "{text}");
        let workers =
            vec![BusyWorker { worker: "h:cpu:0:service:a".into(), task: Some(name("a", "s")), since_ms: None }];
        let text = describe(&explanation(Standing::WaitsForService { limit: 1, workers }));
        assert!(text.contains("1 may run at once, and do\n  h:cpu:0:service:a: s (a)\n"), "{text}");
    }
}
