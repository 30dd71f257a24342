//! The `tasks` service: the parts of a task that an agent reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::clearml::status::TaskStatus;
use crate::ids::TaskId;

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

    /// Whether a person asked for it to stop and it has not yet: status `in_progress`, message `stopping`
    /// (the stock agent looks for the substring).
    pub fn is_stopping(&self) -> bool {
        self.status == TaskStatus::InProgress && self.status_message.contains("stopping")
    }
}
