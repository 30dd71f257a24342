//! The configuration: files, environment and defaults, merged once and parsed into types that cannot be wrong.
//!
//! From low to high: `~/trains.conf`, `~/clearml.conf` (or the one file that `CLEARML_CONFIG_FILE` or `--config-file`
//! names), `CLEARML_AGENT__A__B` variables, `CLEARML_*` and `TRAINS_*` variables. Flags come after, where they are read.

mod agent;
mod containers;
mod dialect;
mod environment;
mod git;
mod gpus;
mod hocon;
mod hosts;
mod load;
mod packages;
mod secret;
mod store;
mod tree;

pub(crate) use environment::Environment;
pub(crate) use gpus::GpuConfig;
#[cfg(test)]
pub(crate) use hosts::Hosts;
pub(crate) use load::{Config, ConfigError, Credentials, Server};
#[cfg(test)]
pub(crate) use secret::Secret;
