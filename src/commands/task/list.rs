//! `hostler task list`.

use protocols::clearml::status::TaskStatus;
use protocols::clearml::tasks::Task;
use serde_json::{Value, json};

use super::super::api::Api;
use super::super::context::Context;
use super::super::lookup;
use crate::cli::ListArgs;
use crate::exit::Problem;
use crate::output::{Table, local_time};

pub(super) async fn list(context: &Context, api: &Api, args: &ListArgs) -> anyhow::Result<()> {
    let mut body = json!({
        "only_fields": lookup::TASK_FIELDS, "order_by": ["-last_update"], "page": 0, "page_size": args.limit,
    });
    if !args.status.is_empty() {
        let statuses: Vec<TaskStatus> = args.status.iter().map(|text| parse_status(text)).collect::<Result<_, _>>()?;
        body["status"] = json!(statuses);
    }
    if let Some(name) = &args.name {
        body["name"] = format!("(?i){}", lookup::escape(name)).into();
    }
    if let Some(name) = &args.project {
        let id = lookup::project(api, name).await?;
        let id = id.ok_or_else(|| Problem::usage(format!("there is no project {name:?}")))?;
        body["project"] = json!([id]);
        body["include_subprojects"] = true.into();
    }
    let tasks: Vec<Task> = api.field("tasks.get_all", body, "tasks").await?;
    let projects = lookup::project_names(api, tasks.iter().map(|task| task.project.as_str())).await?;
    let mut table = Table::new(&["ID", "STATUS", "NAME", "PROJECT", "UPDATED"], "there are no such tasks");
    let mut documents = Vec::new();
    for task in &tasks {
        let project = projects.get(&task.project).map_or("", String::as_str);
        let status = if task.is_stopping() { "stopping".to_owned() } else { task.status.to_string() };
        table.row([&task.id, &status, &task.name, project, &local_time(&task.last_update)]);
        documents.push(json!({
            "id": task.id, "name": task.name, "status": task.status, "stopping": task.is_stopping(), "type": task.task_type,
            "project": project, "last_update": task.last_update, "last_worker": task.last_worker,
        }));
    }
    context.output.table(&Value::Array(documents), &table)
}

fn parse_status(text: &str) -> anyhow::Result<TaskStatus> {
    // What people call these.
    let name = match text {
        "draft" => "created",
        "pending" => "queued",
        "running" => "in_progress",
        "aborted" => "stopped",
        name => name,
    };
    name.parse().map_err(|_| {
        let known: Vec<&str> = TaskStatus::ALL.iter().map(|status| status.as_str()).collect();
        Problem::usage(format!("there is no status {text:?}, there are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_two_names() {
        assert_eq!(parse_status("running").unwrap(), TaskStatus::InProgress);
        assert_eq!(parse_status("queued").unwrap(), TaskStatus::Queued);
        assert!(parse_status("runnning").expect_err("typo").to_string().contains("in_progress"));
    }
}
