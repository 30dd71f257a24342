//! Exit codes, and errors on their way out of the program.

use std::process::ExitCode;

use drivers::clearml::ClientError;

use crate::config::ConfigError;

/// How the program ends. The numbers are stable: scripts and service managers rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success = 0,
    /// The request was understood and refused, by the server or by us.
    Refused = 1,
    /// What was asked for makes no sense: a flag, a name that does not exist.
    Usage = 2,
    /// A defect, or a part of the program that ended when it should not.
    Internal = 70,
    /// It may work later: the server is away, a port or directory is in use.
    Unavailable = 75,
    /// The configuration, or a directory, has to be mended first.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    exit: Exit,
    message: String,
}

impl Problem {
    pub(crate) fn with(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self { exit, message: message.into() }.into()
    }

    /// See [`Exit::Usage`].
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::with(Exit::Usage, message)
    }

    /// See [`Exit::Refused`].
    pub(crate) fn refused(message: impl Into<String>) -> anyhow::Error {
        Self::with(Exit::Refused, message)
    }
}

/// A child process said what is wrong, on the same standard error: its code is ours.
#[derive(Debug, thiserror::Error)]
#[error("a child process ended with code {0}")]
pub(crate) struct ChildFailed(pub(crate) u8);

/// Whoever read our standard output does not want more.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(crate) struct OutputClosed;

/// Prints an error as one line on standard error and gives its exit code.
pub(crate) fn report(error: &anyhow::Error, as_json: bool) -> ExitCode {
    use std::io::Write as _;
    if error.is::<OutputClosed>() {
        return Exit::Success.into();
    }
    if let Some(ChildFailed(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    let exit = exit_of(error);
    let message = one_line(error);
    let line = if as_json {
        serde_json::json!({"error": message, "code": exit as u8}).to_string()
    } else {
        format!("error: {message}")
    };
    // Nobody is left to be told when standard error is closed too.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
    exit.into()
}

/// The chain of causes, joined by `: `, without those that a former one has told already.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = text.lines().map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
        if !line.contains(&text) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
        // It tells its cause in better words itself.
        if cause.is::<server::ServerError>() {
            break;
        }
    }
    line
}

fn exit_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            return problem.exit;
        }
        if cause.is::<ConfigError>() {
            return Exit::Config;
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return exit_of_client(error);
        }
        if let Some(error) = cause.downcast_ref::<server::ServerError>() {
            return exit_of_server(error);
        }
    }
    // `context` hides what it wraps from `chain`, not from `downcast_ref`.
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.exit;
    }
    Exit::Internal
}

fn exit_of_client(error: &ClientError) -> Exit {
    match error {
        error if error.is_transient() => Exit::Unavailable,
        ClientError::Settings { .. }
        | ClientError::NoCredentials { .. }
        | ClientError::Credentials { .. }
        | ClientError::NotClearMl { .. }
        | ClientError::Redirected { .. }
        | ClientError::Tls { .. } => Exit::Config,
        ClientError::NoSuchQueue { .. } | ClientError::AmbiguousQueue { .. } => Exit::Usage,
        ClientError::Unreachable { .. }
        | ClientError::Interrupted { .. }
        | ClientError::Timeout { .. }
        | ClientError::Unavailable { .. }
        | ClientError::Api { .. }
        | ClientError::Answer { .. } => Exit::Refused,
    }
}

fn exit_of_server(error: &server::ServerError) -> Exit {
    use server::ServerError;
    match error {
        ServerError::Bind { .. } | ServerError::InUse { .. } => Exit::Unavailable,
        ServerError::DataDir { .. }
        | ServerError::NoServer { .. }
        | ServerError::Key { .. }
        | ServerError::Tls { .. } => Exit::Config,
        ServerError::Database(_) | ServerError::Prepare { .. } => Exit::Internal,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn codes_survive_context() {
        let error = Err::<(), _>(Problem::usage("no such task")).context("cannot clone").expect_err("it fails");
        assert_eq!(exit_of(&error), Exit::Usage);
        assert_eq!(one_line(&error), "cannot clone: no such task");
        let error = anyhow::Error::new(ConfigError::NoDirectory { what: "x", how: "y" }).context("z");
        assert_eq!(exit_of(&error), Exit::Config);
        assert_eq!(exit_of(&anyhow::anyhow!("odd")), Exit::Internal);
    }

    #[test]
    fn servers_that_are_away_are_temporary() {
        let away = ClientError::Unreachable { url: "http://h".to_owned(), why: "refused".to_owned() };
        assert_eq!(exit_of(&away.into()), Exit::Unavailable);
        let html = ClientError::NotClearMl { url: "http://h".to_owned(), status: 200, excerpt: "<html>".to_owned() };
        assert_eq!(exit_of(&html.into()), Exit::Config);
    }

    #[test]
    fn a_cause_is_told_once_and_in_one_line() {
        let error = anyhow::anyhow!("b\n  c").context("a: b; c");
        assert_eq!(one_line(&error), "a: b; c");
    }
}
