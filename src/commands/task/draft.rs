//! `hostler task clone` and `hostler task set`.

use protocols::clearml::status::TaskStatus;
use serde_json::{Value, json};

use super::super::api::Api;
use super::super::context::Context;
use super::super::lookup;
use super::transitions;
use crate::cli::{CloneArgs, ParameterArg, SetArgs};
use crate::exit::Problem;
use crate::output::quote;

pub(super) async fn clone(context: &Context, api: &Api, args: &CloneArgs) -> anyhow::Result<()> {
    let source = lookup::task(api, &args.task).await?;
    // Found before the copy is made: a wrong name leaves nothing behind.
    let queue = match &args.enqueue {
        Some(queue) => Some(api.queue(queue).await?),
        None => None,
    };
    let name = args.name.clone().unwrap_or_else(|| format!("Clone of {}", source.name));
    let id: String = api.field("tasks.clone", json!({"task": source.id, "new_task_name": name}), "id").await?;
    if !args.set.is_empty() {
        edit(api, &id, &args.set).await?;
    }
    if let Some(queue) = &queue {
        transitions::put(api, &id, &name, queue).await?;
    }
    let queue_id = queue.as_ref().map(|queue| queue.id.as_str());
    context.output.either(&json!({"id": id, "name": name, "queue": queue_id}), &id)
}

pub(super) async fn set(context: &Context, api: &Api, args: &SetArgs) -> anyhow::Result<()> {
    let task = lookup::task(api, &args.task).await?;
    if task.status != TaskStatus::Created {
        let parameters: Vec<String> =
            args.parameters.iter().map(|set| format!("--set {}", quote(&written(set)))).collect();
        return Err(Problem::refused(format!(
            "{} is {}, only drafts can be changed; make a changed copy with `hostler task clone {} {}`, \
             or make it a draft again with `hostler task reset {}`",
            task.name,
            task.status,
            task.id,
            parameters.join(" "),
            task.id
        )));
    }
    edit(api, &task.id, &args.parameters).await?;
    let changed: Vec<Value> = args.parameters.iter().map(|set| written(set).into()).collect();
    let lines: Vec<String> = args.parameters.iter().map(written).collect();
    context.output.either(&json!({"id": task.id, "set": changed}), &lines.join("\n"))
}

/// What `tasks.create` and `tasks.edit_hyper_params` call a parameter.
pub(super) fn parameter(set: &ParameterArg) -> Value {
    json!({"section": set.section, "name": set.name, "value": set.value})
}

async fn edit(api: &Api, task: &str, parameters: &[ParameterArg]) -> anyhow::Result<()> {
    let parameters: Vec<Value> = parameters.iter().map(parameter).collect();
    api.call(
        "tasks.edit_hyper_params",
        json!({"task": task, "hyperparams": parameters, "replace_hyperparams": "none"}),
    )
    .await?;
    Ok(())
}

fn written(set: &ParameterArg) -> String {
    format!("{}/{}={}", set.section, set.name, set.value)
}
