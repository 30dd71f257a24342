//! What a person means by a name.

use std::collections::BTreeMap;

use drivers::clearml::TaskServer as _;
use protocols::clearml::queues::QueueSummary;
use protocols::clearml::tasks::Task;
use serde::Deserialize;
use serde_json::json;

use super::api::Api;
use crate::exit::Problem;

/// Fields that tell tasks apart.
pub(crate) const TASK_FIELDS: [&str; 9] =
    ["id", "name", "project", "status", "status_message", "type", "last_update", "last_worker", "execution.queue"];

/// Most candidates, or suggestions, that an error lists.
const MAX_LISTED: usize = 10;

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    name: String,
}

/// The queue of this name or id.
pub(crate) async fn queue(api: &Api, name_or_id: &str) -> anyhow::Result<QueueSummary> {
    Ok(api.client().queue_by_name_or_id(name_or_id).await?)
}

/// The task of this id or name. Several of one name are an error that lists them; so is none, with similar names.
pub(crate) async fn task(api: &Api, name_or_id: &str) -> anyhow::Result<Task> {
    let fields = json!(TASK_FIELDS);
    if is_id(name_or_id) {
        let body = json!({"id": [name_or_id], "only_fields": fields, "search_hidden": true});
        let found: Vec<Task> = api.field("tasks.get_all", body, "tasks").await?;
        if let Some(task) = found.into_iter().next() {
            return Ok(task);
        }
    }
    let body = json!({
        "name": format!("^{}$", escape(name_or_id)), "only_fields": fields, "search_hidden": true,
        "order_by": ["-last_update"], "page": 0, "page_size": 100,
    });
    let mut found: Vec<Task> = api.field("tasks.get_all", body, "tasks").await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(unknown(api, name_or_id).await),
        _ => Err(ambiguous(api, name_or_id, &found).await),
    }
}

/// Project names by id.
pub(crate) async fn project_names<'a>(
    api: &Api,
    ids: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut ids: Vec<&str> = ids.into_iter().filter(|id| !id.is_empty()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let body = json!({"id": ids, "only_fields": ["id", "name"], "search_hidden": true});
    let projects: Vec<Named> = api.field("projects.get_all", body, "projects").await?;
    Ok(projects.into_iter().map(|project| (project.id, project.name)).collect())
}

/// The id of the project of this name, if there is one.
pub(crate) async fn project(api: &Api, name: &str) -> anyhow::Result<Option<String>> {
    let body = json!({"name": format!("^{}$", escape(name)), "only_fields": ["id", "name"], "search_hidden": true});
    let projects: Vec<Named> = api.field("projects.get_all", body, "projects").await?;
    Ok(projects.into_iter().next().map(|project| project.id))
}

/// Whether a text has the form of an id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A regular expression that matches `text` and nothing else, in the dialects of both servers.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~/".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

async fn ambiguous(api: &Api, name: &str, found: &[Task]) -> anyhow::Error {
    // Without the projects' names the list still helps.
    let projects = project_names(api, found.iter().map(|task| task.project.as_str())).await.unwrap_or_default();
    let line = |task: &Task| {
        let project = projects.get(&task.project).unwrap_or(&task.project);
        format!("{} ({}, project {project:?}, {})", task.id, task.name, task.status)
    };
    let listed: Vec<String> = found.iter().take(MAX_LISTED).map(line).collect();
    let more = match found.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Problem::usage(format!("{} tasks are named {name:?}, use an id: {}{more}", found.len(), listed.join(", ")))
}

async fn unknown(api: &Api, wanted: &str) -> anyhow::Error {
    let names = |pattern: Option<String>| async move {
        let mut body = json!({
            "only_fields": ["id", "name"], "order_by": ["-last_update"], "page": 0, "page_size": MAX_LISTED,
        });
        if let Some(pattern) = pattern {
            body["name"] = pattern.into();
        }
        api.field::<Vec<Named>>("tasks.get_all", body, "tasks").await.unwrap_or_default()
    };
    let what = if is_id(wanted) { "no task has the id or name" } else { "no task has the name" };
    let similar = names(Some(format!("(?i){}", escape(wanted)))).await;
    let (introduction, named) =
        if similar.is_empty() { ("the last tasks are", names(None).await) } else { ("similar are", similar) };
    let mut listed: Vec<String> = Vec::new();
    for task in named {
        let quoted = format!("{:?}", task.name);
        if !listed.contains(&quoted) {
            listed.push(quoted);
        }
    }
    if listed.is_empty() {
        return Problem::usage(format!("{what} {wanted:?}: there are no tasks yet"));
    }
    Problem::usage(format!("{what} {wanted:?}; {introduction} {}", listed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_literally() {
        assert_eq!(escape("a.b (1) [x]+"), r"a\.b \(1\) \[x\]\+");
        assert_eq!(escape("gültig_9"), "gültig_9");
    }

    #[test]
    fn ids_are_32_hexadecimal_digits() {
        assert!(is_id("0123456789abcdef0123456789abcdef"));
        assert!(!is_id("0123456789abcdef"));
        assert!(!is_id("0123456789abcdef0123456789abcdeg"));
    }
}
