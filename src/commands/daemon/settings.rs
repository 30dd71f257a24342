//! A daemon's settings from flags and configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use actors::daemon::{DaemonSettings, DynamicGpus, ForeignPolicy, GpuSettings, MpsProgram, Services, WorkerSettings};
use anyhow::Context as _;
use drivers::journal::JournalOptions;
use protocols::order::PythonSettings;
use protocols::packaging::PackageSettings;

use super::super::context::Context;
use super::super::private_file;
use super::containers;
use crate::cli::{DaemonArgs, ForeignArg};
use crate::config::{Config, Environment, GpuConfig, Server};
use crate::exit::Problem;

/// In the state directory: the configuration that tasks read.
const TASK_CONFIG_FILE: &str = "task-clearml.conf";

/// Variables that tasks do not inherit: the password for git is for the agent alone.
pub(super) const HIDDEN: [&str; 2] = ["CLEARML_AGENT_GIT_PASS", "TRAINS_AGENT_GIT_PASS"];

/// Polling more often is a load that a server did not agree to.
const POLLING_FLOOR_SECONDS: u64 = 5;

pub(in crate::commands) fn settings(
    context: &Context,
    args: &DaemonArgs,
    config: &Config,
    server: &Server,
    state_dir: &Path,
    workers: Vec<WorkerSettings>,
    dynamic: Option<DynamicGpus>,
) -> anyhow::Result<DaemonSettings> {
    let task_config = state_dir.join(TASK_CONFIG_FILE);
    private_file::write(&task_config, serde_json::to_string_pretty(&config.for_tasks(server))?.as_bytes())?;
    let cache_dir = private_file::directory(&config.cache_dir(args.cache_dir.clone())?)?;
    let agent = &config.agent;
    let of_driver = || if args.cpu_only { None } else { super::gpus::driver_cuda(config) };
    let cuda = agent.packages.cuda.clone().or_else(of_driver);
    Ok(DaemonSettings {
        state_dir: state_dir.to_owned(),
        cache_dir,
        program: std::env::current_exe().context("cannot find this program")?,
        server_url: server.hosts.api.clone(),
        workers,
        services: args.services_mode.map(|services| Services { limit: services.limit }),
        dynamic,
        only: None,
        order_fairness: args.order_fairness,
        polling_interval: agent
            .polling_interval
            .unwrap_or(Duration::from_secs(args.polling_interval.max(POLLING_FLOOR_SECONDS))),
        status_report_interval: agent.status_report_interval,
        stop_grace: config.hostler.stop_grace,
        task_environment: task_environment(config, &task_config),
        enable_task_env: agent.enable_task_env,
        git: config.agent.git.clone(),
        python: PythonSettings {
            binary: agent.python_binary.clone(),
            extra_index_urls: agent.extra_index_urls.clone(),
            system_site_packages: agent.system_site_packages,
            without_uv: config.hostler.without_uv,
            skip_install: agent.skip_install,
            ignore_version: agent.ignore_python_version,
            prebuilt: None,
            packages: PackageSettings { cuda, ..agent.packages.clone() },
            store: agent.store.clone(),
        },
        containers: containers::order(args, config, server)?,
        suppress_carriage_return: agent.suppress_carriage_return,
        under_service_manager: is_under_service_manager(&context.environment),
        gpu_library: config.hostler.gpu_library.clone(),
        gpus: gpus(args, &config.hostler.gpus),
        mps: MpsProgram::Missing,
        gpu_cpus: BTreeMap::new(),
        metrics_listen: args.metrics_listen.or(config.hostler.metrics_listen),
        warm_containers: warm_containers(args, config)?,
        prefetch: prefetches(args, config),
        journal: journal(&context.environment)?,
    })
}

/// The flag wins over the configuration.
fn warm_containers(args: &DaemonArgs, config: &Config) -> anyhow::Result<usize> {
    let asked = args.warm_containers.map(usize::from);
    if asked.is_some_and(|count| count > 0) && args.docker.is_none() && args.podman.is_none() {
        return Err(Problem::usage(
            "--warm-containers is for tasks in containers: --docker or --podman has to be given",
        ));
    }
    Ok(asked.or(config.hostler.warm_containers).unwrap_or(0))
}

/// The flags win over the configuration.
fn prefetches(args: &DaemonArgs, config: &Config) -> bool {
    args.prefetch || (config.hostler.prefetch && !args.no_prefetch)
}

/// The flag wins over the configuration, which wins over the defaults.
fn gpus(args: &DaemonArgs, config: &GpuConfig) -> GpuSettings {
    let default = GpuSettings::default();
    let foreign = args.gpu_foreign.or(config.foreign).map(|foreign| match foreign {
        ForeignArg::Wait => ForeignPolicy::Wait,
        ForeignArg::Warn => ForeignPolicy::Warn,
        ForeignArg::Ignore => ForeignPolicy::Ignore,
    });
    GpuSettings {
        watch_interval: config.watch_interval.unwrap_or(default.watch_interval),
        probation: config.probation.unwrap_or(default.probation),
        requeues: config.requeues.unwrap_or(default.requeues),
        patience: config.patience.unwrap_or(default.patience),
        memory_grace: config.memory_grace.unwrap_or(default.memory_grace),
        foreign: foreign.unwrap_or(default.foreign),
        scalars_interval: config.scalars_interval.unwrap_or(default.scalars_interval),
        cpu_affinity: config.cpu_affinity.unwrap_or(default.cpu_affinity),
    }
}

/// What all tasks get: the section `environment`, the twins of `CLEARML_` variables that older SDKs read, and the
/// configuration file.
fn task_environment(config: &Config, task_config: &Path) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (name, value) in config.environment.iter() {
        if let Some(rest) = name.strip_prefix("CLEARML_")
            && !HIDDEN.contains(&name)
            && !rest.starts_with("AGENT__")
        {
            let twin = format!("TRAINS_{rest}");
            if config.environment.get(&twin).is_none() {
                environment.insert(twin, value.to_owned());
            }
        }
    }
    environment.extend(config.agent.environment.clone());
    for variable in ["CLEARML_CONFIG_FILE", "TRAINS_CONFIG_FILE"] {
        environment.insert(variable.to_owned(), task_config.display().to_string());
    }
    environment
}

/// systemd tells by this variable.
fn is_under_service_manager(environment: &Environment) -> bool {
    environment.get("INVOCATION_ID").is_some() && !std::io::IsTerminal::is_terminal(&std::io::stderr())
}

/// Crash points, for tests of recovery.
fn journal(environment: &Environment) -> anyhow::Result<JournalOptions> {
    let number = |name: &str| {
        let parsed = environment.get(name).map(str::parse).transpose();
        parsed.map_err(|_| Problem::usage(format!("{name} must be a number")))
    };
    Ok(JournalOptions {
        abort_after_append: number("HOSTLER_TEST_ABORT_AFTER_APPENDS")?,
        abort_before_append: number("HOSTLER_TEST_ABORT_BEFORE_APPEND")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_get_their_file_and_old_names() {
        let environment = Environment::of(&[
            ("CLEARML_X", "1"),
            ("CLEARML_Y", "2"),
            ("TRAINS_Y", "mine"),
            ("CLEARML_AGENT_GIT_PASS", "p"),
            ("CLEARML_AGENT__AGENT__GIT_PASS", "p"),
        ]);
        let config = Config::load(None, environment).unwrap();
        let expected = [("CLEARML_CONFIG_FILE", "/s/c"), ("TRAINS_CONFIG_FILE", "/s/c"), ("TRAINS_X", "1")];
        let expected: BTreeMap<String, String> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(task_environment(&config, Path::new("/s/c")), expected);
    }

    #[test]
    fn crash_points_are_numbers() {
        let options = journal(&Environment::of(&[("HOSTLER_TEST_ABORT_AFTER_APPENDS", "3")])).unwrap();
        assert_eq!(options, JournalOptions { abort_after_append: Some(3), abort_before_append: None });
        assert!(journal(&Environment::of(&[("HOSTLER_TEST_ABORT_BEFORE_APPEND", "x")])).is_err());
    }
}
