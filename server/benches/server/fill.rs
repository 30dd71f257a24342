//! What the server holds when the measuring begins.

use std::time::Instant;

use serde_json::{Value, json};

use crate::http::{Client, Content};
use crate::process::Process;
use crate::{Outcome, Plan, say};

/// Projects that the tasks are spread over.
const PROJECTS: usize = 10;

/// Connections that fill.
const CONNECTIONS: usize = 16;

/// Points of one batch while filling.
const POINTS_PER_BATCH: usize = 2000;

/// What was made.
#[derive(Debug)]
pub(crate) struct Filled {
    /// Ids of the projects.
    pub(crate) projects: Vec<String>,
    /// Ids of all tasks; drafts, but for those that were already used.
    pub(crate) tasks: Vec<String>,
    /// The queue of the pairs.
    pub(crate) queue: String,
    /// The queues of an agent that watches ten.
    pub(crate) watched: Vec<String>,
    /// The task with the many points.
    pub(crate) curve: String,
    /// How fast the tasks were made.
    pub(crate) tasks_per_second: f64,
}

/// Makes projects, tasks, a queue and a long curve, all through the API.
pub(crate) async fn fill(server: &Process, plan: &Plan) -> Outcome<Filled> {
    let mut client = server.client().await?;
    let mut projects = Vec::new();
    for number in 0..PROJECTS {
        let body = json!({"name": format!("bench/project {number}"), "description": ""});
        projects.push(id_of(&mut client, "projects.create", &body).await?);
    }
    let queue = id_of(&mut client, "queues.create", &json!({"name": "pairs"})).await?;

    let mut watched = Vec::new();
    for number in 0..10 {
        watched.push(id_of(&mut client, "queues.create", &json!({"name": format!("watched {number}")})).await?);
    }

    let began = Instant::now();
    let work = server.clients(CONNECTIONS).await?.into_iter().enumerate().map(|(number, client)| {
        let share = (0..plan.tasks).skip(number).step_by(CONNECTIONS);
        make_tasks(client, share.collect(), &projects)
    });
    let tasks: Vec<String> = futures::future::try_join_all(work).await?.concat();
    let tasks_per_second = tasks.len() as f64 / began.elapsed().as_secs_f64();
    say(&format!("{} tasks made, {tasks_per_second:.0} per second on {CONNECTIONS} connections", tasks.len()));

    let curve = id_of(&mut client, "tasks.create", &json!({"name": "curve", "type": "training"})).await?;
    let began = Instant::now();
    for first in (0..plan.points).step_by(POINTS_PER_BATCH) {
        let last = (first + POINTS_PER_BATCH).min(plan.points);
        let body: String = (first..last).map(|iter| scalar(&curve, "loss", "train", iter)).collect();
        client.call("events.add_batch", Content::JsonLines, &body).await?;
    }
    let per_second = plan.points as f64 / began.elapsed().as_secs_f64();
    say(&format!("{} points reported, {per_second:.0} per second in batches of {POINTS_PER_BATCH}", plan.points));
    Ok(Filled { projects, tasks, queue, watched, curve, tasks_per_second })
}

async fn make_tasks(mut client: Client, numbers: Vec<usize>, projects: &[String]) -> Outcome<Vec<String>> {
    let mut made = Vec::with_capacity(numbers.len());
    for number in numbers {
        let body = draft(number, &projects[number % projects.len()]);
        made.push(id_of(&mut client, "tasks.create", &body).await?);
    }
    Ok(made)
}

/// The id in the answer to a call that makes something.
pub(crate) async fn id_of(client: &mut Client, endpoint: &str, body: &Value) -> Outcome<String> {
    let data = client.data(endpoint, body).await?;
    Ok(data["id"].as_str().ok_or("an answer without an id")?.to_owned())
}

/// A task of the size that the SDK makes of a small script in a repository.
fn draft(number: usize, project: &str) -> Value {
    let parameters = (0..12).map(|parameter| {
        let name = format!("parameter_{parameter}");
        (
            name.clone(),
            json!({"section": "Args", "name": name, "value": (number * parameter).to_string(), "type": "int"}),
        )
    });
    json!({
        "name": format!("training run {number}"),
        "type": "training",
        "project": project,
        "comment": "made by the benchmark",
        "tags": [format!("group {}", number % 7)],
        "script": {
            "repository": "https://git.example.com/team/project.git", "branch": "main",
            "version_num": "0123456789abcdef0123456789abcdef01234567", "entry_point": "train.py", "working_dir": ".",
            "requirements": {"pip": "clearml==2.0.2\nnumpy==2.3.1\ntorch==2.8.0\n"},
            "diff": "+    learning_rate = 0.1\n".repeat(20),
        },
        "hyperparams": {"Args": serde_json::Map::from_iter(parameters)},
    })
}

/// One line of a batch: a scalar.
pub(crate) fn scalar(task: &str, metric: &str, variant: &str, iter: usize) -> String {
    let value = 1.0 / (1.0 + iter as f64 * 0.001) + (iter % 17) as f64 * 0.001;
    format!(
        "{{\"type\":\"training_stats_scalar\",\"task\":\"{task}\",\"timestamp\":{},\"iter\":{iter},\
         \"metric\":\"{metric}\",\"variant\":\"{variant}\",\"value\":{value}}}\n",
        1_700_000_000_000 + iter
    )
}
