//! Failure as data: what class, in which phase, said how.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose failure it is. Decides retry policy and ends in `status_reason`, metrics and the task's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The user's program ended with a non-zero exit code or a signal.
    User,
    /// Git: repository, commit or diff.
    Code,
    /// Interpreter or packages.
    Environment,
    /// Container image.
    Image,
    /// The machine, the executor, or the daemon.
    Infrastructure,
    /// Taken away for something more important.
    Preempted,
    /// A time limit ran out.
    Timeout,
    /// The kernel's out-of-memory killer.
    OomHost,
    /// The memory of a GPU ran out.
    OomGpu,
    /// A person or a program asked the server to stop the task.
    Aborted,
}

impl FailureClass {
    /// The class's name as it is written into `status_reason` and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Code => "code",
            Self::Environment => "environment",
            Self::Image => "image",
            Self::Infrastructure => "infrastructure",
            Self::Preempted => "preempted",
            Self::Timeout => "timeout",
            Self::OomHost => "oom_host",
            Self::OomGpu => "oom_gpu",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What an attempt is doing, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Pulled from the queue, executor not yet heard of.
    Pulled,
    /// Getting the code.
    Checkout,
    /// Getting the container's image.
    Image,
    /// Building or finding the Python environment.
    Environment,
    /// Starting the user's process.
    Starting,
    /// The user's process runs.
    Running,
    /// Being stopped.
    Stopping,
    /// Ended, its outcome not yet acknowledged by the server.
    Reporting,
}

impl Phase {
    /// The phase's name as status lines and logs show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pulled => "pulled",
            Self::Checkout => "checkout",
            Self::Image => "image",
            Self::Environment => "environment",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Reporting => "reporting",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A failure that leaves an actor or a process: class, phase, and the whole chain of causes as one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// Whose failure it is.
    pub class: FailureClass,
    /// What was being done.
    pub phase: Phase,
    /// One line that names the thing and what to do about it.
    pub message: String,
}

impl TaskFailure {
    /// Takes an error with its chain of sources; each source is appended after a colon.
    pub fn new(class: FailureClass, phase: Phase, error: &dyn std::error::Error) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let message = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        Self { class, phase, message }
    }

    /// A failure that has no error value behind it.
    pub fn because(class: FailureClass, phase: Phase, message: impl Into<String>) -> Self {
        Self { class, phase, message: message.into() }
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} failure while {}: {}", self.class, self.phase, self.message)
    }
}
