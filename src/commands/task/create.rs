//! `hostler task create`: a draft without the SDK.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::super::api::Api;
use super::super::context::Context;
use super::super::lookup;
use super::draft::parameter;
use super::transitions;
use crate::cli::CreateArgs;
use crate::exit::Problem;
use crate::output::quote;

pub(super) async fn create(context: &Context, api: &Api, args: &CreateArgs) -> anyhow::Result<()> {
    let script = script(args)?;
    // Found before the draft is made: a wrong name leaves nothing behind.
    let queue = match &args.enqueue {
        Some(queue) => Some(api.queue(queue).await?),
        None => None,
    };
    let project = match lookup::project(api, &args.project).await? {
        Some(project) => project,
        None => api.field("projects.create", json!({"name": args.project, "description": ""}), "id").await?,
    };
    let body = json!({
        "name": args.name, "type": args.task_type, "project": project, "script": script, "hyperparams": parameters(args),
    });
    let id: String = api.field("tasks.create", body, "id").await?;
    if let Some(queue) = &queue {
        transitions::put(api, &id, &args.name, queue).await?;
    }
    let queue_id = queue.as_ref().map(|queue| queue.id.as_str());
    context.output.either(&json!({"id": id, "name": args.name, "project": project, "queue": queue_id}), &id)
}

/// `task.script`, as the SDK would have written it.
fn script(args: &CreateArgs) -> anyhow::Result<Value> {
    let mut script = json!({
        "repository": args.repo.as_deref().unwrap_or_default(),
        "branch": args.branch.as_deref().unwrap_or_default(),
        "version_num": args.commit.as_deref().unwrap_or_default(),
        "tag": args.tag.as_deref().unwrap_or_default(),
        "working_dir": args.working_dir,
        "binary": args.python.as_deref().map(binary).unwrap_or_default(),
    });
    let entry_point = match (&args.script, &args.entry_point) {
        (Some(file), _) => {
            let text = read_text(file)?;
            if text.trim().is_empty() {
                return Err(Problem::usage(format!("the script {} is empty", file.display())));
            }
            script["diff"] = text.into();
            quote(&file.file_name().unwrap_or_default().to_string_lossy())
        }
        (None, Some(entry_point)) => entry_point.clone(),
        (None, None) => return Err(Problem::usage("name what to run with --script or --entry-point")),
    };
    let words: Vec<String> = std::iter::once(entry_point).chain(args.arg.iter().map(|word| quote(word))).collect();
    script["entry_point"] = words.join(" ").into();
    if let Some(requirements) = requirements(args)? {
        script["requirements"] = json!({"pip": requirements});
    }
    Ok(script)
}

fn requirements(args: &CreateArgs) -> anyhow::Result<Option<String>> {
    match &args.requirements {
        Some(file) => read_text(file).map(Some),
        None if args.requirement.is_empty() => Ok(None),
        None => Ok(Some(args.requirement.join("\n") + "\n")),
    }
}

fn parameters(args: &CreateArgs) -> Value {
    let mut sections: Map<String, Value> = Map::new();
    for set in &args.param {
        let section = sections.entry(set.section.clone()).or_insert_with(|| json!({}));
        section[&set.name] = parameter(set);
    }
    sections.into()
}

/// `3.11` means `python3.11`; an interpreter stays as it is.
fn binary(version: &str) -> String {
    if version.starts_with(|character: char| character.is_ascii_digit()) {
        format!("python{version}")
    } else {
        version.to_owned()
    }
}

fn read_text(file: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(file)
        .map_err(|error| Problem::usage(format!("cannot read {}: {error}", file.display())))
        .context("the task was not created")?;
    String::from_utf8(bytes)
        .map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Problem::usage(format!("{} is not UTF-8: byte {at} is not", file.display()))
        })
        .context("the task was not created")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, TaskCommand};

    fn args(words: &[&str]) -> CreateArgs {
        let cli = Cli::try_parse_from(["hostler", "task", "create", "--name", "n"].iter().chain(words)).unwrap();
        let Command::Task(TaskCommand::Create(args)) = cli.command else { panic!("it is `task create`") };
        *args
    }

    #[test]
    fn a_script_is_taken_literally() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hello.py");
        std::fs::write(&file, "print(1)\n").unwrap();
        let file = file.to_str().unwrap();
        let script = script(&args(&[
            "--script",
            file,
            "--arg=--lr",
            "--arg",
            "a b",
            "--python",
            "3.11",
            "--requirement",
            "x>1",
            "--requirement",
            "y",
        ]))
        .unwrap();
        assert_eq!(script["diff"], "print(1)\n");
        assert_eq!(script["entry_point"], "hello.py --lr 'a b'");
        assert_eq!(script["binary"], "python3.11");
        assert_eq!(script["requirements"]["pip"], "x>1\ny\n");
        assert_eq!(script["repository"], "");
    }

    #[test]
    fn a_repository_has_a_revision() {
        let script = script(&args(&[
            "--repo",
            "u",
            "--commit",
            "c",
            "--branch",
            "b",
            "--entry-point",
            "-m pkg.train",
            "--working-dir",
            "src",
        ]))
        .unwrap();
        let expected = json!({
            "repository": "u", "branch": "b", "version_num": "c", "tag": "", "working_dir": "src", "binary": "",
            "entry_point": "-m pkg.train",
        });
        assert_eq!(script, expected);
    }

    #[test]
    fn parameters_go_to_their_sections() {
        let parameters =
            parameters(&args(&["--script", "x", "--param", "Args/lr=1", "--param", "Args/a/b=2", "--param", "G/x="]));
        assert_eq!(
            parameters,
            json!({
                "Args": {
                    "lr": {"section": "Args", "name": "lr", "value": "1"},
                    "a/b": {"section": "Args", "name": "a/b", "value": "2"}
                },
                "G": {"x": {"section": "G", "name": "x", "value": ""}}
            })
        );
    }

    #[test]
    fn a_file_that_is_not_text_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.py");
        std::fs::write(&file, b"ok\xff").unwrap();
        let error = script(&args(&["--script", file.to_str().unwrap()])).expect_err("not UTF-8");
        assert!(format!("{error:#}").contains("byte 2"), "{error:#}");
        std::fs::write(&file, " \n").unwrap();
        assert!(script(&args(&["--script", file.to_str().unwrap()])).is_err());
    }
}
