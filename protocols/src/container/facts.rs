//! What is known of a task where rules and templates ask for it.

use serde_json::{Map, Value, json};

use crate::clearml::tasks::Task;

/// What is known of a task. Names that were not looked up are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskFacts {
    /// The task.
    pub task: Task,
    /// The name of its project, with those above it: `team/vision`.
    pub project_name: String,
    /// The queue that it came from.
    pub queue_id: String,
    /// Its name.
    pub queue_name: String,
    /// The name of the task's user.
    pub user_name: String,
    /// The worker that runs it.
    pub worker: String,
}

impl TaskFacts {
    /// Everything by dotted paths: `task.script.branch`, `queue.name`, `project.name`, `user.id`, `worker.id`.
    pub(super) fn tree(&self) -> Value {
        let task = serde_json::to_value(&self.task).unwrap_or_else(|_| Value::Object(Map::new()));
        json!({
            "task": task,
            "project": { "id": self.task.project, "name": self.project_name },
            "queue": { "id": self.queue_id, "name": self.queue_name },
            "user": { "id": self.task.user, "name": self.user_name },
            "worker": { "id": self.worker },
        })
    }
}

/// The text at a dotted path; numbers and truth values as they are written. Keys are taken in any case.
pub(super) fn text_at(tree: &Value, path: &str) -> Option<String> {
    let mut value = tree;
    for part in path.split('.') {
        value = match value {
            Value::Object(fields) => {
                let same = |(key, _): &(&String, &Value)| key.eq_ignore_ascii_case(part);
                fields.get(part).or_else(|| fields.iter().find(same).map(|(_, value)| value))?
            }
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
