//! `hostler explain container`.

use std::fmt::Write as _;

use anyhow::Context as _;
use drivers::container::NewContainer;
use protocols::clearml::tasks::Task;
use protocols::container::{ContainerSettings, Decision, DefaultSource, TaskFacts, decide};
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::lookup;
use crate::cli::ExplainContainerArgs;
use crate::exit::Exit;

/// What of a task rules and templates may ask for.
const TASK_FIELDS: [&str; 12] = [
    "id",
    "name",
    "project",
    "user",
    "type",
    "script",
    "container",
    "tags",
    "hyperparams",
    "execution",
    "runtime",
    "parent",
];

pub(super) fn run(context: &Context, args: &ExplainContainerArgs) -> anyhow::Result<Exit> {
    let config = context.config()?;
    let mut settings = config.containers.clone();
    settings.set_default(&args.docker, DefaultSource::Flag);
    let facts = facts(context, args)?;
    let problems = [config.container_warnings, settings.errors()].concat();
    let decision = decide(&settings, &facts, &|name| context.environment.get(name).map(str::to_owned));
    match decision {
        Ok(decision) => {
            let document = document(&settings, &decision, &problems)?;
            context.output.either(&document, &text(&settings, &decision, &problems)?)?;
            Ok(Exit::Success)
        }
        Err(error) => {
            let document = json!({ "works": false, "error": error.to_string(), "problems": problems });
            let text = problems.iter().map(|problem| format!("{problem}\n")).collect::<String>();
            context.output.either(&document, &format!("{text}result      does not work: {error}"))?;
            Ok(Exit::Refused)
        }
    }
}

/// The task that is meant, with what the command line says of it.
fn facts(context: &Context, args: &ExplainContainerArgs) -> anyhow::Result<TaskFacts> {
    let mut facts = match &args.task {
        Some(task) => of_server(context, task)?,
        None => TaskFacts::default(),
    };
    let container = &mut facts.task.container;
    if let Some(image) = &args.image {
        container.insert("image".to_owned(), Value::from(image.as_str()));
    }
    if let Some(arguments) = &args.task_args {
        container.insert("arguments".to_owned(), Value::from(arguments.as_str()));
        // Arguments of a task count only with its image; for want of one it is any.
        let image = container.entry("image".to_owned()).or_insert_with(|| Value::from(""));
        if args.image.is_none() && image.as_str().is_none_or(str::is_empty) {
            *image = Value::from("IMAGE");
        }
    }
    Ok(facts)
}

fn of_server(context: &Context, task: &str) -> anyhow::Result<TaskFacts> {
    let api = context.api()?;
    let mut facts = TaskFacts::default();
    context.wait(async {
        let id = lookup::task(&api, task).await?.id;
        let body = json!({ "id": [id], "only_fields": TASK_FIELDS, "search_hidden": true });
        let tasks: Vec<Task> = api.field("tasks.get_all", body, "tasks").await?;
        facts.task = tasks.into_iter().next().with_context(|| format!("task {task} is gone"))?;
        let project = facts.task.project.clone();
        facts.project_name =
            lookup::project_names(&api, [project.as_str()]).await?.remove(&project).unwrap_or_default();
        let queue = facts.task.execution.get("queue").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !queue.is_empty() {
            facts.queue_name = api.queue(&queue).await.map(|queue| queue.name).unwrap_or_default();
            facts.queue_id = queue;
        }
        Ok(())
    })?;
    Ok(facts)
}

/// What the engine is asked for, but for what every container gets: the task's command, its mounts, its GPUs.
fn body(settings: &ContainerSettings, decision: &Decision) -> anyhow::Result<Value> {
    let spec = settings.concealment.specification(&decision.spec);
    let container = NewContainer { image: decision.image.clone(), spec, ..NewContainer::default() };
    let mut body = serde_json::to_value(container.body())?;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("Cmd");
    }
    Ok(body)
}

fn document(settings: &ContainerSettings, decision: &Decision, problems: &[String]) -> anyhow::Result<Value> {
    let shown = |argument| settings.concealment.argument(argument).words().join(" ");
    let arguments =
        decision.arguments.iter().map(|argument| json!({ "argument": shown(argument), "of": argument.origin }));
    let removed = decision.removed.iter().map(|removal| {
        json!({ "argument": shown(&removal.argument), "of": removal.argument.origin, "why": removal.rule.to_string() })
    });
    Ok(json!({
        "works": true,
        "image": settings.concealment.text(&decision.image),
        "chosen_by": decision.source.to_string(),
        "written_back": decision.is_written_back,
        "arguments": arguments.collect::<Vec<_>>(),
        "removed": removed.collect::<Vec<_>>(),
        "without_effect": decision.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "environment_files": decision.spec.environment_files,
        "setup_script": !decision.setup_script.trim().is_empty(),
        "problems": problems,
        "request": body(settings, decision)?,
    }))
}

fn text(settings: &ContainerSettings, decision: &Decision, problems: &[String]) -> anyhow::Result<String> {
    let mut text = String::new();
    for problem in problems {
        writeln!(text, "problem     {problem}")?;
    }
    writeln!(text, "image       {} ({})", settings.concealment.text(&decision.image), decision.source)?;
    for argument in &decision.arguments {
        let words = settings.concealment.argument(argument).words().join(" ");
        writeln!(text, "argument    {words} ({})", argument.origin)?;
    }
    for removal in &decision.removed {
        let words = settings.concealment.argument(&removal.argument).words().join(" ");
        writeln!(text, "left out    {words} ({}): {}", removal.argument.origin, removal.rule)?;
    }
    for note in &decision.notes {
        writeln!(text, "no effect   {}: {}", note.switch, note.why)?;
    }
    let body = serde_json::to_string_pretty(&body(settings, decision)?)?;
    write!(text, "request     {}", body.replace('\n', "\n            "))?;
    Ok(text)
}
