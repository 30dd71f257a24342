//! What every command works with.

use std::future::Future;

use anyhow::Context as _;

use super::api::Api;
use crate::cli::GlobalArgs;
use crate::config::{Config, ConfigError, Environment};
use crate::exit::Exit;
use crate::output::Output;

/// Global flags, environment, output.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: GlobalArgs,
    pub(crate) environment: Environment,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(global: GlobalArgs) -> Self {
        let output = Output { json: global.json };
        Self { global, environment: Environment::of_process(), output }
    }

    /// The merged configuration.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Config::load(self.global.config_file.as_deref(), self.environment.clone())
    }

    /// The server that the configuration names.
    pub(crate) fn api(&self) -> anyhow::Result<Api> {
        let server = self.config()?.server()?;
        Api::new(&server)
    }

    /// Runs a command that waits for the network.
    pub(crate) fn wait(&self, command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Exit> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
        runtime.block_on(command)?;
        Ok(Exit::Success)
    }
}
