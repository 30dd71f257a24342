//! What is written: pairs of enqueue and pop, and batches of events.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::json;
use tokio::task::JoinSet;

use crate::fill::{Filled, id_of, scalar};
use crate::http::{Client, Content};
use crate::measure::{Case, Row, Turn, in_turns, repeat, together};
use crate::process::Process;
use crate::raw::{self, EventKeys, GroupWriter, Raw};
use crate::{Outcome, Plan};

/// Clients at one time.
pub(crate) const MANY: usize = 16;

/// Agents that ask an empty queue for work beside the pairs, and how often: stock agents ask every five seconds.
const AGENTS: usize = 200;
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Events of one batch. The SDK sends what has gathered in a few seconds, some ten to some hundreds.
const BATCH: usize = 100;

/// Measures what is written, on one connection and on many.
pub(crate) async fn run(server: &Process, raw: &Raw, plan: &Plan, filled: &Filled) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    // From the end: the reads look at what was not touched.
    let drafts = Drafts { filled, next: Cell::new(filled.tasks.len()) };
    let raw_drafts = Drafts { filled, next: Cell::new(filled.tasks.len()) };
    for connections in [1, MANY] {
        if "enqueue + pop".contains(&plan.only) && plan.clients.contains(&connections) {
            rows.extend(pairs(server, raw, plan, [&drafts, &raw_drafts], connections).await?);
        }
        if "enqueue + pop beside polls".contains(&plan.only) && connections == MANY {
            let agents = Agents::start(server).await?;
            rows.extend(pairs(server, raw, plan, [&drafts, &raw_drafts], connections).await?);
            agents.stop().await?;
        }
        for kind in [Kind::Lines, Kind::Scalars] {
            if kind.name().contains(&plan.only) {
                rows.push(events(server, raw, plan, filled, kind, connections).await?);
            }
        }
    }
    Ok(rows)
}

/// Agents that poll a queue which stays empty.
struct Agents {
    polling: JoinSet<Outcome<()>>,
    polls: Arc<AtomicUsize>,
    began: Instant,
}

impl Agents {
    async fn start(server: &Process) -> Outcome<Self> {
        let queue = id_of(&mut server.client().await?, "queues.create", &json!({"name": "stays empty"})).await?;
        let (mut polling, polls) = (JoinSet::new(), Arc::<AtomicUsize>::default());
        for (number, mut client) in server.clients(AGENTS).await?.into_iter().enumerate() {
            let (body, polls) = (json!({"queue": queue}).to_string(), Arc::clone(&polls));
            polling.spawn(async move {
                tokio::time::sleep(POLL_INTERVAL.mul_f64(number as f64 / AGENTS as f64)).await;
                loop {
                    client.json("queues.get_next_task", &body).await?;
                    polls.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            });
        }
        Ok(Self { polling, polls, began: Instant::now() })
    }

    async fn stop(mut self) -> Outcome<()> {
        let per_second = self.polls.load(Ordering::Relaxed) as f64 / self.began.elapsed().as_secs_f64();
        crate::say(&format!("the last row: beside {AGENTS} agents with {per_second:.0} empty polls per second"));
        // An agent that has ended was refused something.
        while let Some(ended) = self.polling.try_join_next() {
            ended??;
        }
        self.polling.shutdown().await;
        Ok(())
    }
}

/// Hands out each task once.
struct Drafts<'a> {
    filled: &'a Filled,
    next: Cell<usize>,
}

impl Drafts<'_> {
    fn take(&self) -> Outcome<(String, String)> {
        let position = self.next.get().checked_sub(1).ok_or("there are too few tasks for so many pairs")?;
        self.next.set(position);
        let task = self.filled.tasks[position].clone();
        Ok((task, self.filled.projects[0].clone()))
    }
}

/// A pair is `tasks.enqueue` of a draft and, when that is answered, `queues.get_next_task` of the same queue: two
/// requests, each durable before its answer. On many connections all share one queue, and each takes what is next.
async fn pairs(
    server: &Process,
    raw: &Raw,
    plan: &Plan,
    [drafts, raw_drafts]: [&Drafts<'_>; 2],
    connections: usize,
) -> Outcome<Vec<Row>> {
    let queue = &drafts.filled.queue;
    let mut clients = server.clients(connections).await?;
    let ours = async || -> Outcome<Turn> {
        let work = clients.iter_mut().map(|client| {
            repeat(plan.turn, async move || {
                let (task, _) = drafts.take()?;
                client.json("tasks.enqueue", &format!("{{\"task\":\"{task}\",\"queue\":\"{queue}\"}}")).await?;
                let popped = client.json("queues.get_next_task", &format!("{{\"queue\":\"{queue}\"}}")).await?;
                assert!(popped.windows(7).any(|seven| seven == b"\"entry\""), "the queue was empty");
                Ok(1)
            })
        });
        Ok(together(try_join_all(work).await?))
    };
    let mut connection = raw.open()?;
    let one_by_one = async || -> Outcome<Turn> {
        repeat(plan.turn, async || {
            let (task, project) = raw_drafts.take()?;
            raw::alone(&mut connection, |transaction| raw::enqueue(transaction, &task, queue, &project))?;
            raw::alone(&mut connection, |transaction| raw::pop(transaction, queue))?;
            Ok(1)
        })
        .await
    };
    if connections == 1 {
        return Ok(vec![in_turns(Case("enqueue + pop", "pairs", 1), plan.rounds, server, ours, one_by_one).await?]);
    }
    let writer = GroupWriter::start(raw.open()?);
    let grouped = async || -> Outcome<Turn> {
        let writer = &writer;
        let work = (0..connections).map(|_| {
            repeat(plan.turn, async move || {
                let (task, project) = raw_drafts.take()?;
                let (into, from) = (queue.clone(), queue.clone());
                writer.run(move |transaction| raw::enqueue(transaction, &task, &into, &project)).await?;
                writer.run(move |transaction| raw::pop(transaction, &from)).await?;
                Ok(1)
            })
        });
        Ok(together(try_join_all(work).await?))
    };
    Ok(vec![
        in_turns(Case("enqueue + pop, raw: group commit", "pairs", connections), plan.rounds, server, ours, grouped)
            .await?,
    ])
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Lines,
    Scalars,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Lines => "events.add_batch, console",
            Self::Scalars => "events.add_batch, scalars",
        }
    }
}

/// One task of one client, and how far it is.
struct Reporter {
    task: String,
    at: usize,
}

impl Reporter {
    fn next(&mut self) -> std::ops::Range<usize> {
        let first = self.at;
        self.at += BATCH;
        first..self.at
    }
}

fn message(number: usize) -> String {
    format!("epoch {number}: loss 0.4823, accuracy 0.8312, 412 samples per second, learning rate 0.00031")
}

fn batch(kind: Kind, task: &str, numbers: std::ops::Range<usize>) -> String {
    let line = |number: usize| match kind {
        Kind::Lines => format!(
            "{{\"type\":\"log\",\"task\":\"{task}\",\"timestamp\":{},\"level\":\"INFO\",\"worker\":\"host:gpu0\",\
             \"msg\":\"{}\"}}\n",
            1_700_000_000_000 + number,
            message(number)
        ),
        Kind::Scalars => scalar(task, "loss", "train", number),
    };
    numbers.map(line).collect()
}

/// Each client reports to a task of its own.
async fn events(
    server: &Process,
    raw: &Raw,
    plan: &Plan,
    filled: &Filled,
    kind: Kind,
    connections: usize,
) -> Outcome<Row> {
    // The first tasks, other ones for each case: nothing else writes to them.
    let offset = match kind {
        Kind::Lines => 0,
        Kind::Scalars => 100,
    } + connections;
    let reporters = || -> Vec<Reporter> {
        let tasks = filled.tasks[offset..offset + connections].iter();
        tasks.map(|task| Reporter { task: task.clone(), at: 0 }).collect()
    };
    let mut clients: Vec<(Client, Reporter)> =
        server.clients(connections).await?.into_iter().zip(reporters()).collect();
    let ours = async || -> Outcome<Turn> {
        let work = clients.iter_mut().map(|(client, reporter)| {
            repeat(plan.turn, async move || {
                let numbers = reporter.next();
                let body = batch(kind, &reporter.task, numbers);
                client.call("events.add_batch", Content::JsonLines, &body).await?;
                Ok(BATCH as u64)
            })
        });
        Ok(together(try_join_all(work).await?))
    };
    let mut connection = raw.open()?;
    let mut raw_reporters = Vec::new();
    for reporter in reporters() {
        raw_reporters.push((EventKeys::make(&connection, &reporter.task)?, reporter));
    }
    let case = Case(kind.name(), "lines", connections);
    if let [(keys, reporter)] = raw_reporters.as_mut_slice() {
        let limit = async || -> Outcome<Turn> {
            repeat(plan.turn, async || {
                let numbers = reporter.next();
                raw::alone(&mut connection, |transaction| append(transaction, kind, *keys, &reporter.task, numbers))?;
                Ok(BATCH as u64)
            })
            .await
        };
        return in_turns(case, plan.rounds, server, ours, limit).await;
    }
    let writer = GroupWriter::start(connection);
    let limit = async || -> Outcome<Turn> {
        let work = raw_reporters.iter_mut().map(|(keys, reporter)| {
            let (keys, writer) = (*keys, &writer);
            repeat(plan.turn, async move || {
                let (task, numbers) = (reporter.task.clone(), reporter.next());
                writer.run(move |transaction| append(transaction, kind, keys, &task, numbers)).await?;
                Ok(BATCH as u64)
            })
        });
        Ok(together(try_join_all(work).await?))
    };
    in_turns(case, plan.rounds, server, ours, limit).await
}

fn append(
    connection: &rusqlite::Connection,
    kind: Kind,
    keys: EventKeys,
    task: &str,
    numbers: std::ops::Range<usize>,
) -> rusqlite::Result<()> {
    match kind {
        Kind::Lines => {
            let lines: Vec<_> = numbers.map(|number| (1_700_000_000_000 + number as i64, message(number))).collect();
            raw::add_lines(connection, keys, task, &lines)
        }
        Kind::Scalars => raw::add_points(connection, keys, task, numbers),
    }
}
