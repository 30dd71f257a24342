//! `hostler execute`: a daemon for one task.

mod ending;
mod quiet_server;
mod standalone;

use std::cell::OnceCell;
use std::path::Path;

use actors::daemon::{DaemonExit, OneTask, RunEnd, has_journal, run_end};
use drivers::clearml::TaskServer as _;
use protocols::ids::TaskId;
use serde_json::json;

use self::quiet_server::QuietServer;
use super::context::Context;
use super::task_place::TaskPlace;
use super::terminal::Terminal;
use super::{api, daemon, lookup};
use crate::cli::{DaemonArgs, ExecuteArgs};
use crate::config::Server;
use crate::exit::{Exit, Problem};
use crate::output::note;

pub(super) fn run(context: &Context, mut args: ExecuteArgs) -> anyhow::Result<Exit> {
    daemon::refuse_password(args.common.git_pass.as_deref())?;
    if args.standalone_mode && !standalone::is_on(&context.environment) {
        return Err(standalone::start_again());
    }
    let mut config = context.config()?;
    config.agent.git.user = args.common.git_user.take().or(config.agent.git.user);
    let server = config.server()?;
    let states = config.state_dir(args.common.state_dir.clone())?.join("execute");
    let task = task(context, &args, &server, &states)?;
    let place = TaskPlace::take(&states, &task)?;
    if let Some(end) = earlier_end(place.directory(), &task)? {
        sign_off(context, &server, place.directory());
        note(&format!("an earlier process has brought the task {task} to its end and died: this is how it ended"));
        place.remove();
        return ending::tell(context, &task, &end);
    }
    let only = OneTask { task: task.clone(), must_be_queued: args.require_queue };
    let mut worker = daemon::one_task(context, &as_daemon(&args), &config, &server, place.directory(), only)?;
    if let Some(level) = &args.log_level {
        for name in ["CLEARML_LOG_LEVEL", "TRAINS_LOG_LEVEL"] {
            worker.settings.task_environment.insert(name.to_owned(), level.to_ascii_uppercase());
        }
    }
    worker.settings.python.prebuilt = args.prebuilt.clone();
    let terminal = Terminal::follow(place.directory(), &task, args.log_file.as_deref(), context.output.json)?;
    let client = api::client(&server)?;
    let exit = match args.disable_monitoring {
        true => actors::daemon::run(worker.settings, QuietServer::new(client)),
        false => actors::daemon::run(worker.settings, client),
    };
    terminal.finish();
    let exit = exit.map_err(daemon::explain)?;
    if let DaemonExit::Failed(why) = exit {
        return Err(Problem::with(Exit::Internal, format!("this program cannot go on, the task does: {why}")));
    }
    let end = run_end(place.directory(), &task).map_err(daemon::explain)?;
    match end {
        RunEnd::Open | RunEnd::Ended { is_settled: false, .. } => {
            note(&format!("what is left is kept: `hostler execute --id {task}` goes on with it"));
        }
        RunEnd::NotTaken | RunEnd::Ended { is_settled: true, .. } => place.remove(),
    }
    match exit {
        DaemonExit::NothingToRun(why) => Err(Problem::refused(why)),
        DaemonExit::Detached | DaemonExit::Stopped | DaemonExit::Drained | DaemonExit::Failed(_) => {
            ending::tell(context, &task, &end)
        }
    }
}

/// The end of a run that was settled, and told to nobody here.
fn earlier_end(state_dir: &Path, task: &TaskId) -> anyhow::Result<Option<RunEnd>> {
    if !has_journal(state_dir) {
        return Ok(None);
    }
    let end = run_end(state_dir, task).map_err(daemon::explain)?;
    Ok(matches!(end, RunEnd::Ended { is_settled: true, .. }).then_some(end))
}

/// Takes the worker of a process that died off the server's list, which forgets it by itself otherwise.
fn sign_off(context: &Context, server: &Server, state_dir: &Path) {
    let Some(worker) = daemon::earlier_worker(state_dir) else { return };
    let signed_off = api::client(server).and_then(|client| {
        context.wait(async { client.unregister_worker(&worker, &[]).await.map_err(anyhow::Error::from) })
    });
    if let Err(error) = signed_off {
        tracing::debug!(%error, %worker, "cannot sign off");
    }
}

/// The task that is meant, or its copy.
fn task(context: &Context, args: &ExecuteArgs, server: &Server, states: &Path) -> anyhow::Result<TaskId> {
    let id = TaskId::from(args.id.as_str());
    if !args.clone && TaskPlace::is_there(states, &id) {
        // What an earlier process left is gone on with, whether or not the server answers.
        return Ok(id);
    }
    let api = api::Api::new(server)?;
    let found = OnceCell::new();
    context.wait(async {
        let task = lookup::task(&api, &args.id).await?;
        let id = match args.clone {
            false => task.id,
            true => {
                let body = json!({"task": task.id, "new_task_name": format!("Clone of {}", task.name)});
                let copy: String = api.field("tasks.clone", body, "id").await?;
                note(&format!("the copy of {} is {copy}", task.id));
                copy
            }
        };
        found.get_or_init(|| TaskId::from(id));
        Ok(())
    })?;
    found.into_inner().ok_or_else(|| Problem::with(Exit::Internal, "the task was looked up and is not known"))
}

/// The same wishes as flags of a daemon.
fn as_daemon(args: &ExecuteArgs) -> DaemonArgs {
    DaemonArgs {
        gpus: args.gpus.iter().cloned().collect(),
        cpu_only: args.cpu_only,
        docker: args.docker.clone(),
        podman: args.podman.clone(),
        cache_dir: args.common.cache_dir.clone(),
        ..DaemonArgs::default()
    }
}
