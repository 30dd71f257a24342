//! The `tasks` service: the parts of a task that an agent reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::clearml::status::TaskStatus;
use crate::ids::{QueueId, TaskId};

/// Reads `null` as the type's default: ClearML writes both for "not set".
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// `task.script`: what to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// Interpreter, for example `python3.11`; empty means the agent's choice.
    #[serde(deserialize_with = "null_as_default")]
    pub binary: String,
    /// Repository URL; empty for a literal script.
    #[serde(deserialize_with = "null_as_default")]
    pub repository: String,
    /// Tag to check out where no commit is given.
    #[serde(deserialize_with = "null_as_default")]
    pub tag: String,
    /// Branch to check out where neither commit nor tag is given.
    #[serde(deserialize_with = "null_as_default")]
    pub branch: String,
    /// Commit id.
    #[serde(deserialize_with = "null_as_default")]
    pub version_num: String,
    /// Script with arguments, or `-m module ..`, relative to the working directory.
    #[serde(deserialize_with = "null_as_default")]
    pub entry_point: String,
    /// Directory within the repository.
    #[serde(deserialize_with = "null_as_default")]
    pub working_dir: String,
    /// Package manager name (`pip`, `conda`, ..) to requirements: one text, or a list of lines.
    #[serde(deserialize_with = "null_as_default")]
    pub requirements: BTreeMap<String, Value>,
    /// Uncommitted changes as a diff, or the whole script.
    #[serde(deserialize_with = "null_as_default")]
    pub diff: String,
}

/// One entry of `task.hyperparams`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HyperParameter {
    /// Section, for example `Args` or `General`.
    #[serde(deserialize_with = "null_as_default")]
    pub section: String,
    /// Name within the section; nested names are joined by `/`.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Value as text.
    #[serde(deserialize_with = "null_as_default")]
    pub value: String,
}

/// A task as `tasks.get_by_id` and `tasks.get_all` give it; the fields that an agent and a person's command
/// line read. Unknown fields are ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// Its id.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// Its name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// `training`, `testing`, ..
    #[serde(rename = "type", deserialize_with = "null_as_default")]
    pub task_type: String,
    /// Where it is.
    pub status: TaskStatus,
    /// Why it is there.
    #[serde(deserialize_with = "null_as_default")]
    pub status_reason: String,
    /// `stopping` while an abort waits for the agent.
    #[serde(deserialize_with = "null_as_default")]
    pub status_message: String,
    /// Project id.
    #[serde(deserialize_with = "null_as_default")]
    pub project: String,
    /// User id.
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    /// What to run; absent for a task that was never given code.
    pub script: Option<Script>,
    /// Section to name to parameter.
    #[serde(deserialize_with = "null_as_default")]
    pub hyperparams: BTreeMap<String, BTreeMap<String, HyperParameter>>,
    /// Free key-value pairs of the run.
    #[serde(deserialize_with = "null_as_default")]
    pub runtime: BTreeMap<String, Value>,
    /// What was reported last, by hashes of metric and variant.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub last_metrics: BTreeMap<String, Value>,
    /// `queue` and others.
    #[serde(deserialize_with = "null_as_default")]
    pub execution: BTreeMap<String, Value>,
    /// `image`, `arguments`, `setup_shell_script`.
    #[serde(deserialize_with = "null_as_default")]
    pub container: BTreeMap<String, Value>,
    /// The worker that reported it last.
    #[serde(deserialize_with = "null_as_default")]
    pub last_worker: String,
    /// Greatest iteration reported.
    #[serde(deserialize_with = "null_as_default")]
    pub last_iteration: i64,
    /// Parent task id.
    #[serde(deserialize_with = "null_as_default")]
    pub parent: String,
    /// ISO 8601 times, empty where not set.
    #[serde(deserialize_with = "null_as_default")]
    pub created: String,
    /// See `created`.
    #[serde(deserialize_with = "null_as_default")]
    pub started: String,
    /// See `created`.
    #[serde(deserialize_with = "null_as_default")]
    pub completed: String,
    /// See `created`.
    #[serde(deserialize_with = "null_as_default")]
    pub last_update: String,
    /// Tags of people.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
}

impl Task {
    /// Its id, typed.
    pub fn task_id(&self) -> TaskId {
        TaskId::new(self.id.as_str())
    }

    /// Whether something was ever reported under a metric.
    pub fn has_metric(&self, metric: &str) -> bool {
        let mut variants = self.last_metrics.values().filter_map(Value::as_object).flat_map(|metric| metric.values());
        variants.any(|variant| variant["metric"] == metric)
    }

    /// Whether a person asked for it to stop and it has not yet: status `in_progress`, message `stopping`
    /// (the stock agent looks for the substring).
    pub fn is_stopping(&self) -> bool {
        self.status == TaskStatus::InProgress && self.status_message.contains("stopping")
    }
}

/// Request of `tasks.get_by_id`, `tasks.ping` and others that name one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// The task.
    pub task: TaskId,
}

/// Answer of `tasks.get_by_id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResponse {
    /// The task.
    pub task: Task,
}

/// Request of `tasks.get_all`, as far as an agent asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetAllTasksRequest {
    /// Only these.
    pub id: Vec<TaskId>,
    /// Fields to answer.
    pub only_fields: Vec<String>,
    /// Whether tasks that people do not see are answered too.
    pub search_hidden: bool,
    /// Page number, from 0.
    pub page: u64,
    /// Tasks per page, at most 500.
    pub page_size: u64,
}

/// Answer of `tasks.get_all`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetAllTasksResponse {
    /// The tasks.
    #[serde(deserialize_with = "null_as_default")]
    pub tasks: Vec<Task>,
}

/// Request of `tasks.started`, `tasks.completed`, `tasks.failed` and `tasks.stopped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChangeRequest {
    /// The task.
    pub task: TaskId,
    /// Do it even where the status it has forbids it.
    pub force: bool,
    /// Why, for people. Overwrites what was there.
    pub status_reason: String,
    /// More of it. Overwrites what was there, `stopping` too.
    pub status_message: String,
    /// See [`EXPECTED_STATUS`](crate::clearml::extension::EXPECTED_STATUS).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_status: Vec<TaskStatus>,
}

/// Request of `tasks.enqueue`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnqueueRequest {
    /// The task.
    pub task: TaskId,
    /// Where to.
    pub queue: QueueId,
    /// Do it even where the status it has forbids it.
    #[serde(default)]
    pub force: bool,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status_reason: String,
}

/// Request of `tasks.set_requirements`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetRequirementsRequest {
    /// The task.
    pub task: TaskId,
    /// Package manager name to requirements; replaces what was there.
    pub requirements: Value,
}

/// Request of `tasks.edit_runtime`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditRuntimeRequest {
    /// The task.
    pub task: TaskId,
    /// Keys to set; others stay.
    pub add_or_update: serde_json::Map<String, Value>,
}
