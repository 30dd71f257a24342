//! `--standalone-mode`: nothing is fetched.
//!
//! Said in the variables that git, uv and pip have for it. They are needed before any thread is there, and by every
//! program that is started later: hence this program is started again with them.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::config::Environment;

const VARIABLES: [(&str, &str); 3] = [("UV_OFFLINE", "1"), ("PIP_NO_INDEX", "1"), ("GIT_ALLOW_PROTOCOL", "file")];

/// Whether this process has them.
pub(super) fn is_on(environment: &Environment) -> bool {
    VARIABLES.iter().all(|(name, value)| environment.get(name) == Some(value))
}

/// Starts this program again, in its own place; returns only if that cannot be done.
pub(super) fn start_again() -> anyhow::Error {
    let program = match std::env::current_exe().context("cannot find this program") {
        Ok(program) => program,
        Err(error) => return error,
    };
    let error = Command::new(program).args(std::env::args_os().skip(1)).envs(VARIABLES).exec();
    anyhow::Error::new(error).context("cannot start this program again without the network")
}
