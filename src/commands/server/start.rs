//! The server itself: `hostler server` without a further command.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use server::{Server, ServerConfig, TlsFiles};
use tokio::signal::unix::{SignalKind, signal};

use super::super::context::Context;
use super::super::ready::ServerReady;
use super::super::{client_file, lifeline};
use super::SERVER_DIR;
use crate::cli::{ListenArgs, ServerArgs};
use crate::exit::Exit;
use crate::output::note;

pub(super) fn start(context: &Context, args: &ServerArgs) -> anyhow::Result<Exit> {
    let data_dir = super::data_dir(context, args.data_dir.clone())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(serve(context, args, data_dir))?;
    Ok(Exit::Success)
}

async fn serve(context: &Context, args: &ServerArgs, data_dir: PathBuf) -> anyhow::Result<()> {
    // Before anything is started: a signal must never find us without a handler.
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle signals")?;
    raise_open_files();
    let [api_port, web_port, files_port] = ports(&args.listen, &data_dir);
    let server = Server::start(ServerConfig {
        data_dir: data_dir.join(SERVER_DIR),
        listen: args.listen.listen,
        api_port,
        web_port,
        files_port,
        tls: tls_files(&args.listen),
        public_name: args.listen.public_name.clone(),
        queues: args.queue.clone(),
        issue_credentials: !client_file::is_there(&data_dir),
        event_limits: args.limits.events(),
        max_upload: args.limits.upload(),
        task_silence: args.upkeep.task_silence(),
        task_silence_check: args.upkeep.task_silence_check(),
        statistics_retention: args.upkeep.statistics_retention(),
        min_free_space: args.limits.min_free(),
        ..ServerConfig::new(data_dir.join(SERVER_DIR))
    })
    .await?;
    let config_file = client_file::ensure(&data_dir, &server, args.listen.tls_ca.as_deref())?;
    let ready = ServerReady {
        api_server: server.api_url.clone(),
        web_server: server.web_url.clone(),
        files_server: server.files_url.clone(),
        config_file,
        pid: std::process::id(),
    };
    announce(context, args.lifeline, &ready)?;
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

fn tls_files(listen: &ListenArgs) -> Option<TlsFiles> {
    let (certificate, key) = (listen.tls_cert.clone()?, listen.tls_key.clone()?);
    Some(TlsFiles { certificate, key })
}

/// Every client is an open file: as many as the system allows.
fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!(%error, soft, "the limit of open files stays");
    }
}

/// The ports to listen on. A free one is the one of the last time, if it is still free: tasks that run know it.
fn ports(listen: &ListenArgs, data_dir: &Path) -> [u16; 3] {
    let last = client_file::last_ports(data_dir);
    let mut asked = [listen.api_port, listen.web_port, listen.files_port];
    for (port, last) in asked.iter_mut().zip(last) {
        let is_free = |last: &u16| std::net::TcpListener::bind((listen.listen, *last)).is_ok();
        if *port == 0 {
            *port = last.filter(is_free).unwrap_or(0);
        }
    }
    asked
}

fn announce(context: &Context, to_parent: bool, ready: &ServerReady) -> anyhow::Result<()> {
    let document = serde_json::to_value(ready)?;
    if to_parent {
        return context.output.document(&document);
    }
    let mut text = format!("API    {}\nweb    {}\nfiles  {}", ready.api_server, ready.web_server, ready.files_server);
    text.push_str(&format!("\nconfig {}", ready.config_file.display()));
    context.output.either(&document, &text)
}
