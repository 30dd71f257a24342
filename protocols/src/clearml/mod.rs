//! The ClearML API as data: one file per service, shared by the agent's client and the embedded server.

pub mod auth;
pub mod envelope;
pub mod error;
pub mod events;
pub mod extension;
pub mod queues;
pub mod status;
pub mod tasks;
pub mod workers;
