//! Which queues the workers serve.

use std::path::Path;
use std::time::Duration;

use actors::daemon::{DynamicGpus, MpsProgram};
use actors::kit::Backoff;
use anyhow::Context as _;
use drivers::clearml::{ClearMlClient, ClientError, TaskServer as _};
use protocols::clearml::queues::QueueSummary;
use protocols::gpu::Demand;
use serde::{Deserialize, Serialize};

use super::super::{api, private_file};
use crate::cli::DaemonArgs;
use crate::config::Server;
use crate::exit::Problem;

/// In the state directory: what the names meant the last time.
const QUEUES_FILE: &str = "queues.json";

/// What was asked for, at which server, and what it was.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    server: String,
    asked: Vec<String>,
    queues: Vec<QueueSummary>,
}

/// The queues with what their tasks get, `name=2`, `name=1-4`, `name=0.5`, `name=0.5@mps`,
/// `name=1g.10gb@mig`, for dynamic GPUs.
pub(super) fn demands(args: &DaemonArgs, gpus: &DynamicGpus) -> anyhow::Result<Vec<(String, Demand)>> {
    if args.queue.is_empty() {
        return Err(Problem::usage(
            "--dynamic-gpus needs to know how many GPUs tasks get, for example --queue large=4 small=1",
        ));
    }
    let mut demands: Vec<(String, Demand)> = Vec::new();
    for queue in &args.queue {
        let (name, demand) = queue.rsplit_once('=').ok_or_else(|| {
            Problem::usage(format!(
                "--queue {queue}: how many GPUs do its tasks get? Write {queue}=1, {queue}=1-4 or {queue}=0.5"
            ))
        })?;
        let demand = demand.parse::<Demand>().map_err(|error| Problem::usage(format!("--queue {queue}: {error}")))?;
        let cards = gpus.suitable(&demand);
        if demand.least_cards() > cards {
            return Err(Problem::usage(match demand {
                Demand::Instance(profile) => {
                    format!("--queue {queue}: there is no MIG instance {profile}, its tasks would never start")
                }
                Demand::Share(share) if share.is_mps() && !gpus.has_mps => {
                    format!("--queue {queue}: {}", MpsProgram::MISSING)
                }
                Demand::Cards { .. } | Demand::Share(_) => {
                    format!("--queue {queue}: there are {cards} GPUs, its tasks would never start")
                }
            }));
        }
        if demands.iter().any(|(known, _)| known == name) {
            return Err(Problem::usage(format!("the queue {name} is given twice")));
        }
        demands.push((name.to_owned(), demand));
    }
    Ok(demands)
}

/// Finds the queues. While the server is away, what they were the last time serves: the tasks of an earlier daemon must
/// not wait. Without that the server is waited for.
pub(super) fn resolve(args: &DaemonArgs, server: &Server, state_dir: &Path) -> anyhow::Result<Vec<QueueSummary>> {
    let file = state_dir.join(QUEUES_FILE);
    let client = api::client(server)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let queues = runtime.block_on(async {
        let mut backoff = Backoff::for_server();
        let mut is_first = true;
        loop {
            match look_up(&client, args).await {
                Ok(queues) => return Ok(queues),
                Err(error) if !error.is_transient() => return Err(anyhow::Error::new(error)),
                Err(error) => {
                    if let Some(queues) = remembered(&file, server, &args.queue) {
                        tracing::warn!(%error, "the server is away: serving the queues of the last time");
                        return Ok(queues);
                    }
                    if std::mem::take(&mut is_first) {
                        tracing::warn!(%error, "waiting for the server");
                    }
                    backoff.wait().await;
                }
            }
        }
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let remembered = Remembered { server: server.hosts.api.clone(), asked: args.queue.clone(), queues };
    private_file::write(&file, &serde_json::to_vec(&remembered)?)?;
    Ok(remembered.queues)
}

async fn look_up(client: &ClearMlClient, args: &DaemonArgs) -> Result<Vec<QueueSummary>, ClientError> {
    if args.queue.is_empty() {
        return Ok(vec![client.default_queue().await?]);
    }
    let mut queues: Vec<QueueSummary> = Vec::new();
    for name in &args.queue {
        let queue = match client.queue_by_name_or_id(name).await {
            Err(ClientError::NoSuchQueue { .. }) if args.create_queue => client.create_queue(name).await?,
            found => found?,
        };
        if !queues.iter().any(|known| known.id == queue.id) {
            queues.push(queue);
        }
    }
    Ok(queues)
}

fn remembered(file: &Path, server: &Server, asked: &[String]) -> Option<Vec<QueueSummary>> {
    let remembered: Remembered = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (remembered.server == server.hosts.api && remembered.asked == asked).then_some(remembered.queues)
}
