//! The ClearML API server: a client, and the interface that its callers need.

mod answer;
mod client;
mod error;
#[cfg(any(test, feature = "fakes"))]
mod fake;
mod methods;
mod queue_lookup;
mod server;
mod settings;
mod steps;
mod token;
mod transport_error;

pub use client::ClearMlClient;
pub use error::ClientError;
#[cfg(any(test, feature = "fakes"))]
pub use fake::{FakeCall, FakeServer, FakeWorker, StatusChange};
pub use server::{ServerFuture, TaskServer};
pub use settings::{ClientSettings, Credentials, Verify};

/// What the daemon's actors read and write through this module.
pub use protocols::clearml::events::LogEvent;
pub use protocols::clearml::queues::QueueSummary;
pub use protocols::clearml::workers::{MachineStats, StatusReport};
