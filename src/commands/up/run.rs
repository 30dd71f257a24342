//! Starts the parts, keeps them running, and ends them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use actors::kit::RestartDecision;
use anyhow::Context as _;
use nix::sys::signal::Signal;
use protocols::control::{ControlRequest, DaemonStatus};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::super::context::Context;
use super::super::control;
use super::super::daemon::EACH;
use super::super::ready::{ServerReady, UpReady};
use super::STATE_DIR;
use super::banner::banner;
use super::part::Part;
use super::wishes::{Wish, Wishes};
use crate::cli::UpArgs;
use crate::exit::{ChildFailed, Exit, Problem};
use crate::output::{Progress, note};

/// Time between two looks at a daemon that starts.
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// A server that takes longer to end is killed.
const SERVER_PATIENCE: Duration = Duration::from_secs(20);

/// What of our environment must not reach the daemon: its server is ours, not the one that we were pointed at.
const FOREIGN: [&str; 9] = [
    "API_HOST",
    "WEB_HOST",
    "FILES_HOST",
    "API_ACCESS_KEY",
    "API_SECRET_KEY",
    "API_HOST_VERIFY_CERT",
    "AUTH_TOKEN",
    "CONFIG_FILE",
    "CONFIG_PATH",
];

/// Why we leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Wished(Wish),
    /// Somebody told the daemon to leave.
    DaemonLeft,
}

/// A server and its daemon.
#[derive(Debug)]
pub(super) struct Up<'a> {
    context: &'a Context,
    args: &'a UpArgs,
    data_dir: PathBuf,
    state_dir: PathBuf,
    server: Part,
    daemon: Part,
    wishes: Wishes,
}

impl<'a> Up<'a> {
    pub(super) fn new(context: &'a Context, args: &'a UpArgs, data_dir: PathBuf) -> anyhow::Result<Self> {
        if context.global.config_file.is_some() {
            return Err(Problem::usage(
                "`hostler up` has its own configuration, DATA_DIR/clearml.conf: leave out --config-file",
            ));
        }
        let program = std::env::current_exe().context("cannot find this program")?;
        let state_dir = data_dir.join(STATE_DIR);
        let mut server = Part::new("server", program.clone());
        let ports = [args.listen.api_port, args.listen.web_port, args.listen.files_port];
        server.set_arguments(server_arguments(context, args, &data_dir, ports));
        let daemon = Part::new("daemon", program);
        Ok(Self { context, args, data_dir, state_dir, server, daemon, wishes: Wishes::listen()? })
    }

    pub(super) async fn run(mut self) -> anyhow::Result<Exit> {
        let end = self.live().await;
        let wish = match &end {
            Ok(End::Wished(wish)) => *wish,
            Ok(End::DaemonLeft) => {
                note("the daemon has left, as it was told to");
                Wish::LeaveTasks
            }
            Err(_) => Wish::LeaveTasks,
        };
        self.leave(wish).await;
        end.map(|_| Exit::Success)
    }

    async fn live(&mut self) -> anyhow::Result<End> {
        let progress = Progress::start("starting the server");
        let ready = tokio::select! {
            ready = server_ready(&mut self.server) => ready?,
            wish = self.wishes.next() => return Ok(End::Wished(wish)),
        };
        // Clients and the daemon know these ports: a server that is started again must have them.
        let ports = [port(&ready.api_server)?, port(&ready.web_server)?, port(&ready.files_server)?];
        self.server.set_arguments(server_arguments(self.context, self.args, &self.data_dir, ports));
        let config_file = ready.config_file.clone();
        self.daemon.set_arguments(self.daemon_arguments());
        self.daemon.set_environment(vec![("CLEARML_CONFIG_FILE".into(), config_file.clone().into())], foreign());
        progress.say("starting the agent");
        let status = tokio::select! {
            status = daemon_ready(&mut self.daemon, self.state_dir.clone()) => status?,
            status = self.server.ended() => return Err(failed(status).into()),
            wish = self.wishes.next() => return Ok(End::Wished(wish)),
        };
        drop(progress);
        self.announce(&ready, &config_file, &status)?;
        // Each half is kept on its own: a daemon that starts waits for the server, and must not keep it from starting.
        tokio::select! {
            wish = self.wishes.next() => Ok(End::Wished(wish)),
            end = keep_server(&mut self.server, self.context) => end,
            end = keep_daemon(&mut self.daemon, &self.state_dir, self.context) => end,
        }
    }

    fn daemon_arguments(&self) -> Vec<OsString> {
        let mut arguments = common_arguments(self.context, "daemon");
        arguments.extend([
            "--foreground".into(),
            "--lifeline".into(),
            "--state-dir".into(),
            self.state_dir.clone().into(),
        ]);
        if let Some(cache_dir) = &self.args.cache_dir {
            arguments.extend(["--cache-dir".into(), cache_dir.clone().into()]);
        }
        arguments.extend(self.args.queue.iter().map(|queue| format!("--queue={queue}").into()));
        if let Some(machine) = &self.args.simulate {
            arguments.push(format!("--simulate={machine}").into());
            if self.args.gpus.is_empty() {
                arguments.push(format!("--gpus={EACH}").into());
            }
        } else if self.args.gpus.is_empty() {
            let workers = self.args.workers.map_or_else(default_workers, usize::from);
            arguments.extend(["--cpu-only".into(), format!("--workers={workers}").into()]);
        }
        arguments.extend(self.args.gpus.iter().map(|gpus| format!("--gpus={gpus}").into()));
        arguments
    }

    fn announce(&self, ready: &ServerReady, config_file: &PathBuf, status: &DaemonStatus) -> anyhow::Result<()> {
        let document = UpReady {
            api_server: &ready.api_server,
            web_server: &ready.web_server,
            files_server: &ready.files_server,
            config_file,
            data_dir: &self.data_dir,
            state_dir: &self.state_dir,
            queues: &self.args.queue,
            pid: std::process::id(),
            server_pid: self.server.pid(),
            daemon_pid: self.daemon.pid(),
        };
        let text = banner(ready, config_file, status.workers.len(), &self.args.queue);
        self.context.output.either(&serde_json::to_value(document)?, &text)
    }

    /// Ends both parts, the server last: the daemon has something to tell it.
    async fn leave(&mut self, wish: Wish) {
        if self.daemon.pid() != 0 {
            self.ask_daemon_to_leave(wish).await;
            let mut impatience = 0;
            loop {
                tokio::select! {
                    _ = self.daemon.ended() => break,
                    _ = self.wishes.next() => impatience += 1,
                }
                match impatience {
                    1 if wish == Wish::StopTasks => note("killing the tasks; once more leaves at once"),
                    1 => note("stopping the tasks; once more leaves at once"),
                    _ => {
                        self.daemon.signal(Signal::SIGKILL);
                        continue;
                    }
                }
                self.daemon.signal(Signal::SIGINT);
            }
        }
        if self.server.pid() != 0 {
            self.server.signal(Signal::SIGTERM);
            tokio::select! {
                _ = self.server.ended() => return,
                _ = self.wishes.next() => {}
                () = tokio::time::sleep(SERVER_PATIENCE) => {}
            }
            self.server.signal(Signal::SIGKILL);
            self.server.ended().await;
        }
    }

    async fn ask_daemon_to_leave(&self, wish: Wish) {
        let state_dir = self.state_dir.clone();
        let tasks = blocking(move || control::status(&state_dir)).await.map_or(0, |status| status.tasks.len());
        let tasks = match tasks {
            0 => None,
            1 => Some("1 task".to_owned()),
            tasks => Some(format!("{tasks} tasks")),
        };
        match (wish, tasks) {
            (Wish::StopTasks, Some(tasks)) => {
                note(&format!("stopping {tasks}, which get time to end; Ctrl-C again kills now"));
            }
            (Wish::LeaveTasks, Some(tasks)) => note(&format!("leaving; {tasks} live on, the next start takes over")),
            (Wish::StopTasks | Wish::LeaveTasks, None) => note("stopping"),
        }
        let state_dir = self.state_dir.clone();
        let asked = match wish {
            Wish::StopTasks => blocking(move || control::tell(&state_dir, &ControlRequest::Stop)).await,
            Wish::LeaveTasks => blocking(move || control::tell(&state_dir, &ControlRequest::Detach)).await,
        };
        if asked.is_err() {
            // It does not listen yet: nothing runs that it could have to stop.
            self.daemon.signal(Signal::SIGTERM);
        }
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a helper thread failed")?
}

/// Starts the server and waits until it answers.
async fn server_ready(server: &mut Part) -> anyhow::Result<ServerReady> {
    let mut lines = BufReader::new(server.start()?).lines();
    match lines.next_line().await.context("cannot read what the server says")? {
        Some(line) => serde_json::from_str(&line).with_context(|| format!("the server says something odd: {line}")),
        None => Err(failed(server.ended().await).into()),
    }
}

/// Starts the daemon and waits until it answers.
async fn daemon_ready(daemon: &mut Part, state_dir: PathBuf) -> anyhow::Result<DaemonStatus> {
    // It has nothing to say there.
    drop(daemon.start()?);
    let pid = daemon.pid();
    let answer = async {
        loop {
            let state_dir = state_dir.clone();
            match blocking(move || control::status(&state_dir)).await {
                Ok(status) if status.pid == pid => return status,
                Ok(_) | Err(_) => tokio::time::sleep(READY_INTERVAL).await,
            }
        }
    };
    tokio::select! {
        status = answer => Ok(status),
        status = daemon.ended() => Err(failed(status).into()),
    }
}

/// Starts the server again whenever it ends, until it ends too often.
async fn keep_server(server: &mut Part, context: &Context) -> anyhow::Result<End> {
    let mut status = server.ended().await;
    loop {
        pause(server, status).await?;
        status = match server_ready(server).await {
            Ok(_) => {
                restarted(context, server)?;
                server.ended().await
            }
            Err(error) => failure_of(error)?,
        };
    }
}

/// Starts the daemon again whenever it fails, until it fails too often, or leaves because somebody told it to.
async fn keep_daemon(daemon: &mut Part, state_dir: &Path, context: &Context) -> anyhow::Result<End> {
    let mut status = daemon.ended().await;
    while !status.success() {
        pause(daemon, status).await?;
        status = match daemon_ready(daemon, state_dir.to_owned()).await {
            Ok(_) => {
                restarted(context, daemon)?;
                daemon.ended().await
            }
            Err(error) => failure_of(error)?,
        };
    }
    Ok(End::DaemonLeft)
}

fn restarted(context: &Context, part: &Part) -> anyhow::Result<()> {
    let (name, pid) = (part.name(), part.pid());
    if context.output.json {
        return context.output.document(&serde_json::json!({"event": "restarted", "part": name, "pid": pid}));
    }
    note(&format!("the {name} runs again"));
    Ok(())
}

/// Waits before a part is started again; an error where it ended too often.
async fn pause(part: &mut Part, status: ExitStatus) -> anyhow::Result<()> {
    let name = part.name();
    match part.may_restart() {
        RestartDecision::GiveUp => Err(Problem::with(
            Exit::Internal,
            format!("the {name} ended too often ({status}); tasks that run live on, the next start takes them over"),
        )),
        RestartDecision::RestartAfter(wait) => {
            note(&format!("the {name} ended ({status}); starting it again"));
            tokio::time::sleep(wait).await;
            Ok(())
        }
    }
}

/// The child has said on our standard error what is wrong.
fn failed(status: ExitStatus) -> ChildFailed {
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    ChildFailed(code.unwrap_or(Exit::Internal as u8))
}

/// How a part ended that was just started again; every other error is passed on.
fn failure_of(error: anyhow::Error) -> anyhow::Result<ExitStatus> {
    use std::os::unix::process::ExitStatusExt as _;
    let ChildFailed(code) = error.downcast::<ChildFailed>()?;
    Ok(ExitStatus::from_raw(i32::from(code) << 8))
}

fn common_arguments(context: &Context, command: &str) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![command.into()];
    // Their errors are ours.
    for (flag, is_set) in [("--debug", context.global.debug), ("--json", context.global.json)] {
        arguments.extend(is_set.then(|| flag.into()));
    }
    let format = clap::ValueEnum::to_possible_value(&context.global.log_format);
    arguments.extend(format.map(|format| format!("--log-format={}", format.get_name()).into()));
    arguments
}

fn server_arguments(context: &Context, args: &UpArgs, data_dir: &Path, ports: [u16; 3]) -> Vec<OsString> {
    let [api, web, files] = ports;
    let mut arguments = common_arguments(context, "server");
    arguments.extend(["--lifeline".into(), "--data-dir".into(), data_dir.into()]);
    arguments.push(format!("--listen={}", args.listen.listen).into());
    for (flag, port) in [("--api-port", api), ("--web-port", web), ("--files-port", files)] {
        arguments.push(format!("{flag}={port}").into());
    }
    let files =
        [("--tls-cert", &args.listen.tls_cert), ("--tls-key", &args.listen.tls_key), ("--tls-ca", &args.listen.tls_ca)];
    for (flag, file) in files {
        arguments.extend(file.iter().flat_map(|file| [flag.into(), file.clone().into()]));
    }
    arguments.extend(args.listen.public_name.iter().map(|name| format!("--public-name={name}").into()));
    arguments.extend(args.queue.iter().map(|queue| format!("--queue={queue}").into()));
    arguments
}

fn foreign() -> Vec<String> {
    FOREIGN.iter().flat_map(|name| [format!("CLEARML_{name}"), format!("TRAINS_{name}")]).collect()
}

/// One CPU worker for each two cores, at least one.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

fn port(url: &str) -> anyhow::Result<u16> {
    let port = url.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse().ok());
    port.with_context(|| format!("the server gives the odd address {url}"))
}
