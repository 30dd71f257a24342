//! Why a task waits: from the read models, and from what the server has in the queues.

use drivers::clearml::ClientError;
use protocols::clearml::tasks::Task;
use protocols::control::{DaemonMode, TaskSnapshot};
use protocols::explain::{
    AwaitedCard, BusyWorker, Explanation, Holding, InFront, OutOfUse, QueueState, Standing, TaskName,
};
use protocols::failure::Phase;
use protocols::gpu::{Demand, GpuCard, Verdict, Wish};
use protocols::ids::{QueueId, TaskId};

use super::control_gateway::ControlView;
use super::gpu::waits::{Place, WaitsNow};
use super::settings::Services;

/// Explains a queue's next task, or a task. `Err` says why there is nothing to explain.
pub(super) async fn explain(view: &ControlView, of: &str) -> Result<Explanation, String> {
    let explainer = Explainer { view, waits: view.waits.now(), tasks: view.board.snapshots() };
    explainer.explain(of).await
}

struct Explainer<'a> {
    view: &'a ControlView,
    waits: WaitsNow,
    tasks: Vec<TaskSnapshot>,
}

/// What waits in a queue.
struct Entries {
    queue: QueueId,
    tasks: Vec<TaskId>,
}

impl Explainer<'_> {
    async fn explain(&self, of: &str) -> Result<Explanation, String> {
        let served = self.queues();
        if let Some((queue, _)) = served.iter().find(|(id, name)| id.as_str() == of || name == of) {
            let entries = self.entries(queue).await?;
            return self.entry(&entries, 0).await;
        }
        let found = self.runs(of)?;
        if let Some(task) = found
            && task.phase != Phase::Reporting
        {
            return Ok(self.running(task).await);
        }
        let mut named: Vec<(Entries, usize)> = Vec::new();
        for (queue, _) in &served {
            let entries = self.entries(queue).await?;
            if let Some(position) = entries.tasks.iter().position(|task| task.as_str() == of) {
                return self.entry(&entries, position).await;
            }
            let tasks = self.view.server.task_wishes(&entries.tasks).await.map_err(|error| away(&error))?;
            let of_this_name = |id: &TaskId| tasks.get(id).is_some_and(|task| task.name == of);
            let positions: Vec<usize> =
                (0..entries.tasks.len()).filter(|at| of_this_name(&entries.tasks[*at])).collect();
            for position in positions {
                let (queue, tasks) = (entries.queue.clone(), entries.tasks.clone());
                named.push((Entries { queue, tasks }, position));
            }
        }
        match (named.as_slice(), found) {
            ([(entries, position)], _) => self.entry(entries, *position).await,
            ([], Some(task)) => Ok(self.running(task).await),
            ([], None) => Err(self.unknown(of).await),
            (several, _) => {
                let ids: Vec<&str> = several.iter().map(|(entries, at)| entries.tasks[*at].as_str()).collect();
                Err(format!("several tasks that wait are called {of}: name one by its id: {}", ids.join(", ")))
            }
        }
    }

    /// The queues that are served, with their names, each once.
    fn queues(&self) -> Vec<(QueueId, String)> {
        let mut queues: Vec<(QueueId, String)> = Vec::new();
        for worker in &self.view.settings.workers {
            for (id, name) in worker.queues.iter().zip(&worker.queue_names) {
                if !queues.iter().any(|(known, _)| known == id) {
                    queues.push((id.clone(), name.clone()));
                }
            }
        }
        queues
    }

    async fn entries(&self, queue: &QueueId) -> Result<Entries, String> {
        let tasks = self.view.server.queue_entries(queue).await.map_err(|error| away(&error))?;
        Ok(Entries { queue: queue.clone(), tasks })
    }

    /// A task that this daemon has, by its id or its name.
    fn runs(&self, of: &str) -> Result<Option<&TaskSnapshot>, String> {
        if let Some(task) = self.tasks.iter().find(|task| task.task.as_str() == of) {
            return Ok(Some(task));
        }
        let named: Vec<&TaskSnapshot> = self.tasks.iter().filter(|task| task.name == of).collect();
        match named.as_slice() {
            [] => Ok(None),
            [task] => Ok(Some(task)),
            several => {
                let ids: Vec<&str> = several.iter().map(|task| task.task.as_str()).collect();
                Err(format!("several tasks that run are called {of}: name one by its id: {}", ids.join(", ")))
            }
        }
    }

    async fn unknown(&self, of: &str) -> String {
        let names: Vec<String> = self.queues().into_iter().map(|(_, name)| name).collect();
        let served = names.join(", ");
        match self.view.server.task(&TaskId::new(of)).await {
            Ok(Some(task)) => {
                let Task { name, status, .. } = task;
                format!("the task {of} ({name}) is {}, and waits in no queue of this daemon: {served}", status.as_str())
            }
            Ok(None) | Err(_) => {
                format!("nothing that waits or runs here is called {of}; the queues of this daemon are {served}")
            }
        }
    }

    async fn running(&self, task: &TaskSnapshot) -> Explanation {
        let standing = if task.phase == Phase::Reporting {
            Standing::Settles
        } else {
            let (worker, gpus) = (task.worker.clone(), task.gpus.clone());
            Standing::Runs { worker, gpus, share: task.share, phase: task.phase }
        };
        let waiting = self.view.server.queue_entries(&task.queue).await.ok().map(|entries| entries.len());
        let queue = waiting.map(|waiting| self.queue_state(&task.queue, waiting));
        let task = Some(TaskName { id: task.task.clone(), name: task.name.clone() });
        self.explanation(queue, task, standing)
    }

    /// A task that waits, by its position in its queue.
    async fn entry(&self, entries: &Entries, position: usize) -> Result<Explanation, String> {
        let queue = Some(self.queue_state(&entries.queue, entries.tasks.len()));
        let Some(id) = entries.tasks.get(position) else {
            return Ok(self.explanation(queue, None, Standing::Empty));
        };
        let asked = [id.clone(), entries.tasks[0].clone()];
        let mut found = self.view.server.task_wishes(&asked).await.map_err(|error| away(&error))?;
        let name = |id: &TaskId| TaskName {
            id: id.clone(),
            name: found.get(id).map(|task| task.name.clone()).unwrap_or_default(),
        };
        let (task, next) = (name(id), name(&entries.tasks[0]));
        let wish = self.demand_of(&entries.queue).map(|of_queue| {
            let task = found.remove(id).unwrap_or_default();
            Wish::of(&task, of_queue).map_err(|error| error.to_string())
        });
        let standing = if position > 0 {
            Standing::InQueue { before: position, next }
        } else {
            self.head(id, &entries.queue, wish.as_ref())
        };
        let mut explanation = self.explanation(queue, Some(task), standing);
        if let Some(Ok(wish)) = wish {
            explanation.demand = Some(wish.demand.to_string());
            explanation.demand_of = Some(wish.source);
        }
        explanation.in_front = self.in_front(id);
        Ok(explanation)
    }

    /// The next task of a queue.
    fn head(&self, task: &TaskId, queue: &QueueId, wish: Option<&Result<Wish, String>>) -> Standing {
        let mode = *self.view.mode.borrow();
        if self.tasks.iter().any(|run| run.task == *task) {
            return Standing::Settles;
        }
        if mode != DaemonMode::Serving {
            return Standing::NotTaken { mode };
        }
        match wish {
            None => self.worker_for(queue),
            Some(Err(why)) => Standing::Refused { why: why.clone() },
            Some(Ok(wish)) => self.judged(task, &wish.demand),
        }
    }

    fn judged(&self, task: &TaskId, demand: &Demand) -> Standing {
        let Some(dynamic) = &self.view.settings.dynamic else { return Standing::Next };
        let judged = self.waits.waiting.iter().find(|wait| wait.task == *task && wait.demand == *demand);
        let Some(wait) = judged else { return Standing::Next };
        match (&wait.verdict, &wait.making) {
            (Verdict::Starts { .. }, _) => Standing::Next,
            (_, Some(Place { holds, failed })) => {
                Standing::WaitsForInstance { gpu: holds.as_ref().map(|card| card.index), failed: failed.clone() }
            }
            (Verdict::Waits { .. }, None) => {
                Standing::WaitsForCards { cards: wait.kept.iter().map(|card| self.awaited(card)).collect() }
            }
            (Verdict::Yields, None) => {
                Standing::LetsPass { passed: wait.passed, patience: self.view.settings.gpus.patience }
            }
            (Verdict::Behind, None) => Standing::Behind,
            (Verdict::Lacks { usable }, None) => Standing::Lacks { usable: *usable },
            (Verdict::Never, None) => Standing::Never { cards: dynamic.suitable(demand) },
        }
    }

    fn awaited(&self, card: &GpuCard) -> AwaitedCard {
        let holds = |task: &&TaskSnapshot| task.gpus.iter().any(|gpu| gpu.id == card.id);
        let held_by = self.holders().filter(holds).map(|task| Holding {
            task: TaskName { id: task.task.clone(), name: task.name.clone() },
            share: task.share,
            since_ms: task.pulled_at_ms,
        });
        AwaitedCard { card: card.clone(), held_by: held_by.collect() }
    }

    /// The tasks that hold leases.
    fn holders(&self) -> impl Iterator<Item = &TaskSnapshot> {
        self.tasks.iter().filter(|task| task.phase != Phase::Reporting)
    }

    /// Where tasks are services.
    fn place_among(&self, services: Services) -> Standing {
        let busy = |task: &TaskSnapshot| BusyWorker {
            worker: task.worker.clone(),
            task: Some(TaskName { id: task.task.clone(), name: task.name.clone() }),
            since_ms: Some(task.pulled_at_ms),
        };
        let workers: Vec<BusyWorker> = self.holders().map(busy).collect();
        match services.limit {
            Some(limit) if workers.len() >= usize::try_from(limit).unwrap_or(usize::MAX) => {
                Standing::WaitsForService { limit, workers }
            }
            Some(_) | None => Standing::Next,
        }
    }

    /// Where each card belongs to a worker.
    fn worker_for(&self, queue: &QueueId) -> Standing {
        if let Some(services) = self.view.settings.services {
            return self.place_among(services);
        }
        let serving = self.view.settings.workers.iter().filter(|worker| worker.queues.contains(queue));
        let usable: Vec<_> = serving
            .filter(|worker| !worker.gpus.iter().any(|gpu| self.waits.out_of_use.contains_key(&gpu.id)))
            .collect();
        let workers: Vec<BusyWorker> = usable
            .iter()
            .filter_map(|worker| {
                let task = self.holders().find(|task| task.worker == worker.id)?;
                Some(BusyWorker {
                    worker: worker.id.clone(),
                    task: Some(TaskName { id: task.task.clone(), name: task.name.clone() }),
                    since_ms: Some(task.pulled_at_ms),
                })
            })
            .collect();
        match (usable.len(), workers.len()) {
            (0, _) => Standing::Lacks { usable: 0 },
            (all, busy) if busy < all => Standing::Next,
            (_, _) => Standing::WaitsForWorker { workers },
        }
    }

    /// Who is judged before this task and waits for cards too.
    fn in_front(&self, task: &TaskId) -> Vec<InFront> {
        let before = self.waits.waiting.iter().take_while(|wait| wait.task != *task);
        before
            .filter_map(|wait| {
                let waits = matches!(wait.verdict, Verdict::Waits { .. }) || wait.making.is_some();
                waits.then(|| InFront {
                    task: wait.task.clone(),
                    queue: self.view.settings.queue_name(&wait.queue).to_owned(),
                    demand: wait.demand.to_string(),
                    gpus: wait.kept.iter().map(|card| card.index).collect(),
                })
            })
            .collect()
    }

    fn demand_of(&self, queue: &QueueId) -> Option<Demand> {
        let demands = &self.view.settings.dynamic.as_ref()?.demands;
        demands.iter().find(|(id, _)| id == queue).map(|(_, demand)| *demand)
    }

    fn queue_state(&self, queue: &QueueId, waiting: usize) -> QueueState {
        QueueState {
            id: queue.clone(),
            name: self.view.settings.queue_name(queue).to_owned(),
            demand: self.demand_of(queue).map(|demand| demand.to_string()),
            waiting,
            running: self.holders().filter(|task| task.queue == *queue).count(),
        }
    }

    fn explanation(&self, queue: Option<QueueState>, task: Option<TaskName>, standing: Standing) -> Explanation {
        let settings = &self.view.settings;
        let cards = settings.workers.iter().flat_map(|worker| &worker.gpus);
        let out_of_use = cards.filter_map(|card| {
            let why = self.waits.out_of_use.get(&card.id)?;
            Some(OutOfUse { gpu: card.id.clone(), index: card.index, why: why.clone() })
        });
        Explanation {
            queue,
            task,
            demand: None,
            demand_of: None,
            standing,
            in_front: Vec::new(),
            out_of_use: out_of_use.collect(),
            server_reachable: self.view.reachable.load(std::sync::atomic::Ordering::Relaxed),
        }
    }
}

fn away(error: &ClientError) -> String {
    format!("the queues cannot be looked into: {error}")
}
