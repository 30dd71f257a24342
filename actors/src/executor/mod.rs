//! The process that runs one attempt: it prepares code and environment, runs the user's process, ends everything
//! below it, and tells the daemon, which may come and go meanwhile (invariant E1).
//!
//! ```text
//! Executor ─┬─ EnvironmentBuilder   ordered steps on a blocking thread
//!           ├─ ProcessRunner        the user's process, and the end of everything below it
//!           ├─ LogPump              how long the console file is
//!           └─ Uplink               dials, redials, keeps what was not acknowledged
//! ```
//!
//! Nothing here waits for the daemon but the very end: the executor leaves when its `Ended` fact is acknowledged.
//! What survives a `kill -9` of it is on disk: the record and the console file.

mod aside;
mod build;
mod child;
mod children;
mod console;
mod console_pipe;
mod container;
mod container_runner;
mod environment_builder;
#[expect(clippy::module_inception, reason = "the actor that the folder is named after")]
mod executor;
mod exit;
#[cfg(test)]
mod fixtures;
mod launch;
mod link;
mod log_pump;
mod prefetch;
mod process_runner;
mod record;
mod run;
mod steps;
mod uplink;
mod warm;

pub use build::build;
pub use container::{ImageEntry, ImageWish};
pub use exit::ExecutorExit;
pub use prefetch::prefetch;
pub use run::run;
pub use warm::keep_warm;
