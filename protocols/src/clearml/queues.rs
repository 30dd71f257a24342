//! The `queues` service, as an agent and a person's command line use it.

use serde::{Deserialize, Serialize};

use crate::clearml::tasks::null_as_default;
use crate::ids::{QueueId, TaskId};

/// A queue's identity, for people and for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSummary {
    /// Its id.
    pub id: QueueId,
    /// Its name, unique per company.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
}

/// One waiting task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// The task.
    pub task: TaskId,
    /// When it was put there, ISO 8601; empty where not told.
    #[serde(default, deserialize_with = "null_as_default")]
    pub added: String,
}

/// A queue as `queues.get_all` and `queues.get_by_id` give it. Unknown fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its id.
    pub id: QueueId,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Waiting tasks; the first is the next to be popped.
    #[serde(default, deserialize_with = "null_as_default")]
    pub entries: Vec<QueueEntry>,
    /// Tags of people, `force_workers:off` among them.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// `default`, and others of the server.
    #[serde(default, deserialize_with = "null_as_default")]
    pub system_tags: Vec<String>,
}

/// Request of `queues.get_all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetAllQueuesRequest {
    /// Only these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id: Vec<QueueId>,
    /// Regular expression, unanchored and case-sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Fields to answer; all where empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_fields: Vec<String>,
    /// Page number, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    /// Queues per page, at most 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u64>,
    /// Whether queues that people do not see are answered too.
    pub search_hidden: bool,
    /// Answer only so many entries of each queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_task_entries: Option<u64>,
}

/// Answer of `queues.get_all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetAllQueuesResponse {
    /// The queues, in the server's order.
    #[serde(deserialize_with = "null_as_default")]
    pub queues: Vec<Queue>,
}

/// Request of `queues.get_by_id`, `queues.peek_task` and others that name one queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRequest {
    /// The queue.
    pub queue: QueueId,
}

/// Answer of `queues.get_by_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueResponse {
    /// The queue.
    pub queue: Queue,
}

/// Request of `queues.create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateQueueRequest {
    /// Its name, at least three characters.
    pub name: String,
}

/// Answer of `queues.create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateQueueResponse {
    /// Its id.
    pub id: QueueId,
}

/// Request of `queues.get_next_task`, which is destructive: the entry leaves the queue, the task stays `queued`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetNextTaskRequest {
    /// The queue.
    pub queue: QueueId,
    /// Pop only if this task is at the head (API 2.21 and newer; older servers ignore it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

/// Answer of `queues.get_next_task`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetNextTaskResponse {
    /// What was popped; nothing from an empty queue, or where another task is at the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<QueueEntry>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queues_are_read_leniently() {
        let queue: Queue = serde_json::from_value(json!({"id": "q1", "entries": null, "metadata": []})).unwrap();
        assert_eq!(queue.id, QueueId::from("q1"));
        assert!(queue.entries.is_empty() && queue.name.is_empty());
        let empty: GetNextTaskResponse = serde_json::from_value(json!({})).unwrap();
        assert_eq!(empty.entry, None);
        let popped: GetNextTaskResponse = serde_json::from_value(json!({"entry": {"task": "t1", "x": 1}})).unwrap();
        assert_eq!(popped.entry.unwrap().task, TaskId::from("t1"));
    }

    #[test]
    fn unset_fields_are_not_sent() {
        let request = GetAllQueuesRequest { id: vec![QueueId::from("q")], search_hidden: true, ..Default::default() };
        assert_eq!(serde_json::to_value(&request).unwrap(), json!({"id": ["q"], "search_hidden": true}));
        let request = GetNextTaskRequest { queue: QueueId::from("q"), task: None };
        assert_eq!(serde_json::to_value(&request).unwrap(), json!({"queue": "q"}));
    }
}
