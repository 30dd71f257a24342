//! `hostler task show`.

use std::fmt::Write as _;

use protocols::clearml::tasks::Task;
use serde_json::{Map, Value, json};

use super::super::api::Api;
use super::super::context::Context;
use super::super::lookup;
use crate::output::local_time;

pub(super) async fn show(context: &Context, api: &Api, name_or_id: &str) -> anyhow::Result<()> {
    let found = lookup::task(api, name_or_id).await?;
    let raw: Value = api.field("tasks.get_by_id", json!({"task": found.id}), "task").await?;
    let scalars = last_scalars(&raw);
    let task: Task = serde_json::from_value(raw)?;
    let projects = lookup::project_names(api, [task.project.as_str()]).await?;
    let project = projects.get(&task.project).map_or("", String::as_str);
    if context.output.json {
        return context.output.document(&document(&task, project, &scalars));
    }
    let queue = queue_name(api, &task).await?;
    context.output.bytes(describe(&task, project, &queue, &scalars).as_bytes())
}

async fn queue_name(api: &Api, task: &Task) -> anyhow::Result<String> {
    let Some(id) = task.execution.get("queue").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
        return Ok(String::new());
    };
    let names = api.queue_names().await?;
    Ok(names.into_iter().find(|(queue, _)| queue.as_str() == id).map_or(id.to_owned(), |(_, name)| name))
}

/// One series of a chart, with its last value.
#[derive(Debug, PartialEq)]
struct LastScalar {
    metric: String,
    variant: String,
    value: Value,
}

/// What `last_metrics` holds, sorted. Its keys are digests of the names.
fn last_scalars(task: &Value) -> Vec<LastScalar> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let metrics = task.get("last_metrics").and_then(Value::as_object).map(Map::values).into_iter().flatten();
    let mut scalars: Vec<LastScalar> = metrics
        .filter_map(Value::as_object)
        .flat_map(Map::values)
        .map(|scalar| LastScalar {
            metric: text(scalar, "metric"),
            variant: text(scalar, "variant"),
            value: scalar.get("value").cloned().unwrap_or_default(),
        })
        .filter(|scalar| !scalar.metric.starts_with(":monitor:"))
        .collect();
    scalars.sort_by(|left, right| (&left.metric, &left.variant).cmp(&(&right.metric, &right.variant)));
    scalars
}

fn document(task: &Task, project: &str, scalars: &[LastScalar]) -> Value {
    let scalars: Vec<Value> = scalars
        .iter()
        .map(|scalar| json!({"metric": scalar.metric, "variant": scalar.variant, "value": scalar.value}))
        .collect();
    let parameters: Map<String, Value> = task
        .hyperparams
        .iter()
        .map(|(section, names)| {
            let names: Map<String, Value> =
                names.iter().map(|(name, parameter)| (name.clone(), parameter.value.clone().into())).collect();
            (section.clone(), names.into())
        })
        .collect();
    json!({
        "id": task.id, "name": task.name, "type": task.task_type, "project": project, "status": task.status,
        "status_reason": task.status_reason, "status_message": task.status_message, "stopping": task.is_stopping(),
        "created": task.created, "started": task.started, "completed": task.completed, "last_update": task.last_update,
        "last_worker": task.last_worker, "last_iteration": task.last_iteration, "parent": task.parent, "tags": task.tags,
        "queue": task.execution.get("queue"), "script": task.script, "parameters": parameters, "scalars": scalars,
    })
}

fn describe(task: &Task, project: &str, queue: &str, scalars: &[LastScalar]) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:<12} {}", format!("{label}:"), value.trim_end());
        }
    };
    line("task", &task.id);
    line("name", &task.name);
    line("project", project);
    line("type", &task.task_type);
    line("status", if task.is_stopping() { "in_progress, stopping" } else { task.status.as_str() });
    line("reason", &task.status_reason);
    line("message", &task.status_message);
    line("queue", queue);
    line("worker", &task.last_worker);
    for (label, time) in [("created", &task.created), ("started", &task.started), ("completed", &task.completed)] {
        line(label, &if time.is_empty() { String::new() } else { local_time(time) });
    }
    line("parent", &task.parent);
    line("tags", &task.tags.join(", "));
    if let Some(script) = &task.script {
        line("repository", &script.repository);
        line(
            "revision",
            [&script.version_num, &script.tag, &script.branch]
                .into_iter()
                .find(|it| !it.is_empty())
                .map_or("", |it| it),
        );
        line("directory", &script.working_dir);
        line("runs", format!("{} {}", script.binary, script.entry_point).trim_start());
    }
    for (heading, lines) in [("parameters", parameter_lines(task)), ("scalars", scalar_lines(scalars))] {
        if !lines.is_empty() {
            let _ = writeln!(text, "{heading}:");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    text
}

fn parameter_lines(task: &Task) -> Vec<String> {
    let sections = task.hyperparams.iter();
    sections
        .flat_map(|(section, names)| {
            names.iter().map(move |(name, parameter)| format!("{section}/{name}={}", parameter.value))
        })
        .collect()
}

fn scalar_lines(scalars: &[LastScalar]) -> Vec<String> {
    scalars.iter().map(|scalar| format!("{} / {}: {}", scalar.metric, scalar.variant, scalar.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_scalars_are_sorted_and_without_the_machine() {
        let task = json!({"last_metrics": {
            "h2": {"v1": {"metric": "loss", "variant": "val", "value": 0.5}, "v0": {"metric": "loss", "variant": "train", "value": 0.25}},
            "h1": {"v": {"metric": ":monitor:machine", "variant": "cpu", "value": 3}},
            "h3": {"v": {"metric": "acc", "variant": "val", "value": 1}},
        }});
        assert_eq!(scalar_lines(&last_scalars(&task)), ["acc / val: 1", "loss / train: 0.25", "loss / val: 0.5"]);
        assert!(last_scalars(&json!({"last_metrics": null})).is_empty());
    }

    #[test]
    fn a_task_is_described_without_what_it_lacks() {
        let task: Task = serde_json::from_value(json!({
            "id": "t1", "name": "train", "status": "failed", "status_reason": "exit code 1",
            "script": {"repository": "r", "branch": "main", "entry_point": "a.py", "binary": "python3"},
            "hyperparams": {"Args": {"lr": {"section": "Args", "name": "lr", "value": "0.1"}}},
        }))
        .unwrap();
        let text = describe(&task, "P", "", &[]);
        assert_eq!(
            text,
            "task:        t1\nname:        train\nproject:     P\nstatus:      failed\nreason:      exit code 1\n\
             repository:  r\nrevision:    main\nruns:        python3 a.py\nparameters:\n  Args/lr=0.1\n"
        );
    }
}
