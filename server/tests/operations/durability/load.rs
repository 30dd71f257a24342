//! One client at work: random operations on what it owns, until the server is gone.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::model::{Model, Operation, QUEUES, batch_lines, point};
use crate::chance::Rng;
use crate::client::{Client, Lost};

/// Tasks of a client at most: it shall do something with those that it has.
const TASKS: usize = 8;

/// Console lines, and points, of a batch at most.
const LINES: usize = 20;

/// Bytes of a file at most.
const BYTES: usize = 300_000;

/// A client and all that it knows.
#[derive(Debug)]
pub(crate) struct Worker {
    /// In front of all its names.
    pub(crate) prefix: String,
    pub(crate) dice: Rng,
    pub(crate) model: Model,
    /// Ids of its tasks, by name.
    pub(crate) ids: HashMap<String, String>,
    /// Ids of its queues.
    pub(crate) queues: [String; QUEUES],
    /// What was sent and not answered.
    pub(crate) unanswered: Option<Operation>,
    serial: u64,
}

impl Worker {
    /// A new client; its queues are made now.
    pub(crate) async fn new(prefix: String, seed: u64, client: &Client) -> Self {
        let mut queues = [const { String::new() }; QUEUES];
        for (number, id) in queues.iter_mut().enumerate() {
            let made = client.call("queues.create", json!({"name": format!("{prefix}-queue-{number}")})).await;
            *id = made["id"].as_str().unwrap().to_owned();
        }
        let (model, ids) = (Model::default(), HashMap::new());
        Self { prefix, dice: Rng::new(seed), model, ids, queues, unanswered: None, serial: 0 }
    }

    /// Works until an answer does not come, and tells `done` of each that does.
    pub(crate) async fn work(&mut self, client: &Client, done: UnboundedSender<()>) {
        loop {
            let operation = self.choose();
            if self.perform(client, &operation).await.is_err() {
                self.unanswered = Some(operation);
                return;
            }
            self.model = std::mem::take(&mut self.model).after(&operation);
            // Nobody counts any more once the server is being killed.
            let _ = done.send(());
        }
    }

    /// Does so many operations, all of which are answered.
    pub(crate) async fn work_for(&mut self, client: &Client, operations: usize) {
        for _ in 0..operations {
            let operation = self.choose();
            self.perform(client, &operation).await.unwrap();
            self.model = std::mem::take(&mut self.model).after(&operation);
        }
    }

    fn choose(&mut self) -> Operation {
        loop {
            if let Some(operation) = self.draw() {
                return operation;
            }
        }
    }

    fn draw(&mut self) -> Option<Operation> {
        self.serial += 1;
        let serial = self.serial;
        let any: Vec<String> = self.model.tasks.keys().cloned().collect();
        let pick = |dice: &mut Rng, tasks: Vec<String>| dice.choose(&tasks).cloned();
        let queue = self.dice.below(QUEUES);
        let of = |status: &str, waits: bool| self.model.tasks_with(status, waits);
        let set = |task: Option<String>, endpoint: &'static str, status: &'static str| {
            Some(Operation::SetStatus { task: task?, endpoint, status })
        };
        let (drafts, waiting, taken) = (of("created", false), of("queued", true), of("queued", false));
        let (running, stopped) = (of("in_progress", false), of("stopped", false));
        let dice = &mut self.dice;
        match dice.below(20) {
            0 | 1 if any.len() < TASKS => Some(Operation::Create { task: format!("{}-task-{serial}", self.prefix) }),
            2 | 3 => Some(Operation::Enqueue { task: pick(dice, drafts)?, queue }),
            // A move: it waits in the other queue already, or in this one.
            4..=6 => {
                let task = pick(dice, waiting)?;
                let queue = (0..QUEUES).find(|queue| !self.model.queues[*queue].contains(&task))?;
                Some(Operation::Enqueue { task, queue })
            }
            7 => Some(Operation::Dequeue { task: pick(dice, waiting)? }),
            8 | 9 => Some(Operation::Pop { queue }),
            10 | 11 => Some(Operation::Edit { task: pick(dice, drafts)?, number: serial }),
            12..=14 => Some(Operation::Report { task: pick(dice, any)?, batch: serial, lines: 1 + dice.below(LINES) }),
            15 => set(pick(dice, taken), "tasks.started", "in_progress"),
            16 => set(pick(dice, running), "tasks.stopped", "stopped"),
            17 => set(pick(dice, stopped), "tasks.reset", "created"),
            18 => {
                let name = format!("{}-model-{serial}", self.prefix);
                Some(Operation::CreateModel { uri: format!("file:///{name}"), name })
            }
            19 => {
                // Few names: files are written over, too.
                let path = format!("{}/file-{}", self.prefix, dice.below(3));
                Some(Operation::Upload { path, seed: dice.next(), length: 1 + dice.below(BYTES) })
            }
            _ => None,
        }
    }

    async fn perform(&mut self, client: &Client, operation: &Operation) -> Result<(), Lost> {
        let id = |task: &String| self.ids[task].clone();
        match operation {
            Operation::Create { task } => {
                let made = client.try_call("tasks.create", json!({"name": task, "type": "training"})).await?;
                self.ids.insert(task.clone(), made["id"].as_str().unwrap().to_owned());
            }
            Operation::Enqueue { task, queue } => {
                let body = json!({"task": id(task), "queue": self.queues[*queue]});
                client.try_call("tasks.enqueue", body).await?;
            }
            Operation::Dequeue { task } => {
                client.try_call("tasks.dequeue", json!({"task": id(task)})).await?;
            }
            Operation::Pop { queue } => {
                let taken = client.try_call("queues.get_next_task", json!({"queue": self.queues[*queue]})).await?;
                let next = self.model.queues[*queue].first().map(id);
                assert_eq!(taken["entry"]["task"].as_str(), next.as_deref(), "the one that waits longest is next");
            }
            Operation::Edit { task, number } => {
                let item = |name: &str| json!({"section": "Args", "name": name, "value": number.to_string()});
                let body = json!({"task": id(task), "hyperparams": [item("one"), item("other")]});
                client.try_call("tasks.edit_hyper_params", body).await?;
            }
            Operation::Report { task, batch, lines } => {
                let added = client.try_report(&events(&id(task), *batch, *lines)).await?;
                assert_eq!(added["added"], json!(2 * lines));
            }
            Operation::SetStatus { task, endpoint, .. } => {
                client.try_call(endpoint, json!({"task": id(task)})).await?;
            }
            Operation::CreateModel { name, uri } => {
                client.try_call("models.create", json!({"name": name, "uri": uri})).await?;
            }
            Operation::Upload { path, seed, length } => {
                client.try_upload(path, &Rng::content(*seed, *length)).await?;
            }
        }
        Ok(())
    }
}

fn events(task: &str, batch: u64, lines: usize) -> Vec<Value> {
    let console = batch_lines(batch, lines).map(|line| json!({"task": task, "type": "log", "msg": line}));
    let points = (0..lines).map(|line| {
        let iter = point(batch, line);
        json!({"task": task, "type": "training_stats_scalar", "metric": "m", "variant": "v", "iter": iter, "value": iter})
    });
    console.chain(points).collect()
}
