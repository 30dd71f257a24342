//! The embedded ClearML-compatible server.
//!
//! [`Server::start`] opens the store in a data directory, binds three ports (API, web, files) and answers the
//! calls of the unmodified ClearML SDK and agent. See `http` for the way of a call, `store` for durability,
//! `store::query` for the generic `get_all`.
//!
//! Invariant W1: agent and server meet on the wire alone; nothing here knows the agent.

mod address;
mod auth;
mod authority;
mod company;
mod config;
mod directories;
mod disk;
mod http;
mod ids;
pub mod maintenance;
mod metrics;
mod places;
mod run;
mod serve;
mod services;
mod signals;
mod state;
mod stopped;
mod store;
mod time;
mod tls;
mod watchdog;

pub use config::{EventLimits, ServerConfig, ServerError};
pub use run::{RunningServer, Server};
pub use stopped::StoppedServer;
pub use store::OpenError;
pub use tls::TlsFiles;
