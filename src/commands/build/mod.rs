//! `hostler build`: code and environment of a task for a person.

mod target;

use std::path::{Path, PathBuf};

use actors::daemon::{BuildError, BuildInto};
use protocols::clearml::tasks::Task;
use protocols::container::TaskFacts;
use protocols::ids::TaskId;
use protocols::order::Built;
use protocols::task::{Interpreter, TaskSpec};
use serde_json::{Value, json};

use self::target::Target;
use super::context::Context;
use super::task_place::TaskPlace;
use super::terminal::Terminal;
use super::{api, daemon, lookup};
use crate::cli::{BuildArgs, DaemonArgs};
use crate::exit::{ChildFailed, Exit, Problem};
use crate::output::{note, quote};

/// The stock agent's code for whatever was interrupted.
const STOPPED: u8 = 254;

pub(super) fn run(context: &Context, mut args: BuildArgs) -> anyhow::Result<Exit> {
    daemon::refuse_password(args.common.git_pass.as_deref())?;
    refuse_what_does_not_fit(&args)?;
    let mut config = context.config()?;
    config.agent.git.user = args.common.git_user.take().or(config.agent.git.user);
    let server = config.server()?;
    let task = task(context, &args.id, &api::Api::new(&server)?)?;
    let mut spec = TaskSpec::from_task(&task)
        .map_err(|error| Problem::refused(format!("the task {} cannot be built: {error}", task.id)))?;
    if let (Some(version), Interpreter::Python { .. }) = (&args.python_version, &spec.interpreter) {
        spec.interpreter = python(version)?;
    }
    let id = TaskId::from(task.id.as_str());
    let is_image = args.docker.is_some() || args.podman.is_some();
    let into = match is_image {
        false => BuildInto::Folder(folder(&args, &id)?),
        true => image(context, &args, task, &api::Api::new(&server)?)?,
    };
    let place = TaskPlace::take(&config.state_dir(args.common.state_dir)?.join("build"), &id)?;
    // Nothing of it runs here: which cards there are does not matter.
    let wishes = DaemonArgs {
        docker: args.docker,
        podman: args.podman,
        cache_dir: args.common.cache_dir,
        ..DaemonArgs::default()
    };
    let settings = daemon::settings(context, &wishes, &config, &server, place.directory(), Vec::new(), None)?;
    let terminal = Terminal::follow(place.directory(), &id, None, true)?;
    let built = actors::daemon::build(&settings, spec, &into);
    terminal.finish();
    place.remove();
    match built {
        Ok(built) => {
            context.output.either(&document(&id, &into, &built), &text(&into, &built))?;
            Ok(Exit::Success)
        }
        Err(BuildError::Stopped) => {
            note("the build was stopped");
            Err(ChildFailed(STOPPED).into())
        }
        Err(BuildError::Failed(why)) => Err(Problem::refused(format!("the task {id} cannot be built: {why}"))),
        Err(error @ BuildError::Start(_)) => Err(error.into()),
    }
}

/// What is about an image and has none, and what is not done at all.
fn refuse_what_does_not_fit(args: &BuildArgs) -> anyhow::Result<()> {
    if args.install_globally {
        return Err(Problem::usage(
            "--install-globally would change the Python that other programs of this machine use: a build installs \
             into an environment of its own; leave the flag out",
        ));
    }
    let is_image = args.docker.is_some() || args.podman.is_some();
    if !is_image && (args.entry_point.is_some() || args.force_docker) {
        return Err(Problem::usage("--entry-point and --force-docker are about an image: add --docker or --podman"));
    }
    let names_image = [&args.docker, &args.podman].into_iter().flatten().any(|words| !words.is_empty());
    if args.force_docker && !names_image {
        return Err(Problem::usage("--force-docker: which image? Name it behind --docker"));
    }
    Ok(())
}

/// The folder to build in.
fn folder(args: &BuildArgs, id: &TaskId) -> anyhow::Result<PathBuf> {
    let folder = args.target.as_deref().unwrap_or(id.as_str());
    Ok(Target::make(Path::new(folder), id)?.folder().to_owned())
}

/// The image to make.
fn image(context: &Context, args: &BuildArgs, mut task: Task, api: &api::Api) -> anyhow::Result<BuildInto> {
    let name = args.target.clone().unwrap_or_else(|| format!("task_id_{}", task.id));
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-/:".contains(letter);
    if !name.split(':').next().unwrap_or_default().chars().all(is_plain) || name.is_empty() {
        return Err(Problem::usage(format!(
            "--target {name}: the name of an image has small letters, digits and ._-/"
        )));
    }
    if args.force_docker {
        task.container.clear();
    }
    let mut project_name = String::new();
    context.wait(async {
        let mut names = lookup::project_names(api, [task.project.as_str()]).await?;
        project_name = names.remove(&task.project).unwrap_or_default();
        Ok(())
    })?;
    let facts = TaskFacts { task, project_name, ..TaskFacts::default() };
    let entry_point = args.entry_point.map(|entry| entry.as_str().to_owned());
    Ok(BuildInto::Image { name, entry_point, facts: Box::new(facts) })
}

/// The task that is meant, whole.
fn task(context: &Context, name: &str, api: &api::Api) -> anyhow::Result<Task> {
    let mut found = Task::default();
    context.wait(async {
        let id = lookup::task(api, name).await?.id;
        found = api.field("tasks.get_by_id", json!({ "task": id }), "task").await?;
        Ok(())
    })?;
    Ok(found)
}

/// `3.11` as a task would ask for it.
fn python(version: &str) -> anyhow::Result<Interpreter> {
    let is_version = version.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_version {
        return Err(Problem::usage(format!("--python-version {version}: write 3.11 or 3.11.4")));
    }
    Ok(Interpreter::Python { binary: format!("python{version}"), version: Some(version.to_owned()) })
}

/// What a person types to run it.
fn command(built: &Built) -> String {
    let words: Vec<String> = built.command.iter().map(|word| quote(word)).collect();
    let directory = quote(&built.directory.to_string_lossy());
    format!("cd {directory} && PYTHONPATH={} {}", quote(&built.python_path), words.join(" "))
}

fn text(into: &BuildInto, built: &Built) -> String {
    let python = match &built.python {
        Some(python) => format!("{} ({})", python.display(), built.python_version),
        None => "none, the task needs none".to_owned(),
    };
    let image = match into {
        BuildInto::Folder(_) => String::new(),
        BuildInto::Image { name, .. } => format!("image   {name}\n"),
    };
    format!("{image}python  {python}\ncode    {}\nrun     {}", built.code.display(), command(built))
}

fn document(id: &TaskId, into: &BuildInto, built: &Built) -> Value {
    let mut document = json!({
        "id": id,
        "python": built.python,
        "python_version": built.python_version,
        "code": built.code,
        "commit": built.commit,
        "directory": built.directory,
        "command": built.command,
        "environment": { "PYTHONPATH": built.python_path },
        "packages": built.packages,
    });
    match into {
        BuildInto::Folder(folder) => document["target"] = json!(folder),
        BuildInto::Image { name, .. } => document["image"] = json!(name),
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_version() {
        assert_eq!(
            python("3.11").unwrap(),
            Interpreter::Python { binary: "python3.11".to_owned(), version: Some("3.11".to_owned()) }
        );
        for wrong in ["", "python3", "3.", "3.x", "3 11"] {
            assert!(python(wrong).unwrap_err().to_string().contains("--python-version"), "{wrong:?}");
        }
    }

    #[test]
    fn the_command_can_be_pasted() {
        let built = Built {
            directory: "/t/my code".into(),
            command: vec!["/t/python".to_owned(), "-u".to_owned(), "train.py".to_owned(), "--name=it's".to_owned()],
            python_path: "/t/my code".to_owned(),
            ..Built::default()
        };
        assert_eq!(
            command(&built),
            r#"cd '/t/my code' && PYTHONPATH='/t/my code' /t/python -u train.py '--name=it'"'"'s'"#
        );
    }
}
