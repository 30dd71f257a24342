//! Logs on standard error.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged where `HOSTLER_LOG` does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Warnings: commands that answer a person.
    Quiet,
    /// What happens: services.
    Normal,
    /// Everything of ours.
    Debug,
}

/// Starts logging. `HOSTLER_LOG` holds directives such as `info,actors=debug`; one that cannot be read is told.
pub(crate) fn start(verbosity: Verbosity, format: LogFormat, directives: Option<&str>) {
    let default = match verbosity {
        Verbosity::Quiet => "warn",
        Verbosity::Normal => "info",
        Verbosity::Debug => "info,hostler=debug,actors=debug,drivers=debug,server=debug,protocols=debug",
    };
    let parsed = directives.map(EnvFilter::try_new);
    let filter = match &parsed {
        Some(Ok(filter)) => filter.clone(),
        Some(Err(_)) | None => EnvFilter::new(default),
    };
    // The parser of configuration files logs them whole, with the passwords in them.
    let filter = filter.add_directive("hocon_rs=off".parse().expect("this is a directive"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What cannot be written, to a full disk or to nobody, is lost. To say so on standard error, which is where it could
        // not be written, would end the process.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match format {
        LogFormat::Text => builder.with_target(verbosity == Verbosity::Debug).init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(Err(error)) = parsed {
        tracing::warn!(%error, "HOSTLER_LOG cannot be read");
    }
}
