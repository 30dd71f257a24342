//! `hostler server`.

use std::path::PathBuf;

use anyhow::Context as _;
use server::{Server, ServerConfig};
use tokio::signal::unix::{SignalKind, signal};

use super::context::Context;
use super::ready::ServerReady;
use super::{client_file, lifeline, private_file};
use crate::cli::ServerArgs;
use crate::config::ConfigError;
use crate::exit::Exit;
use crate::output::note;

/// Name of the server's own directory in the data directory.
const SERVER_DIR: &str = "server";

/// The data directory: the flag, or `$XDG_STATE_HOME/hostler`. It is made if it does not exist.
pub(super) fn data_dir(context: &Context, flag: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = flag
        .or_else(|| context.environment.state_home())
        .ok_or(ConfigError::NoDirectory { what: "the server's data", how: "--data-dir" })?;
    private_file::directory(&path)
}

pub(super) fn run(context: &Context, args: &ServerArgs) -> anyhow::Result<Exit> {
    let data_dir = data_dir(context, args.data_dir.clone())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(serve(context, args, data_dir))?;
    Ok(Exit::Success)
}

async fn serve(context: &Context, args: &ServerArgs, data_dir: PathBuf) -> anyhow::Result<()> {
    // Before anything is started: a signal must never find us without a handler.
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle signals")?;
    let server = Server::start(ServerConfig {
        data_dir: data_dir.join(SERVER_DIR),
        listen: args.listen.listen,
        api_port: args.listen.api_port,
        web_port: args.listen.web_port,
        files_port: args.listen.files_port,
        queues: args.queue.clone(),
    })
    .await?;
    let config_file = client_file::ensure(&data_dir, &server)?;
    if config_file.is_none() {
        tracing::warn!(
            directory = %data_dir.display(),
            "clearml.conf is not in the data directory; the first credentials were in it and nowhere else"
        );
    }
    let ready = ServerReady {
        api_server: server.api_url.clone(),
        web_server: server.web_url.clone(),
        files_server: server.files_url.clone(),
        config_file,
        pid: std::process::id(),
    };
    announce(context, &ready)?;
    let parent_is_gone = args.lifeline.then(lifeline::watch).transpose()?;
    let parent_is_gone = async {
        match parent_is_gone {
            Some(gone) => drop(gone.await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = parent_is_gone => tracing::info!("whoever started this server is gone"),
    }
    if !args.lifeline {
        note("the server stops after the requests in flight");
    }
    server.stop().await;
    Ok(())
}

fn announce(context: &Context, ready: &ServerReady) -> anyhow::Result<()> {
    let mut text = format!("API    {}\nweb    {}\nfiles  {}", ready.api_server, ready.web_server, ready.files_server);
    if let Some(file) = &ready.config_file {
        text.push_str(&format!("\nconfig {}", file.display()));
    }
    context.output.either(&serde_json::to_value(ready)?, &text)
}
