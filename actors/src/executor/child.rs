//! The names of the executor's children.

/// Names a child in its lifeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    /// See [`super::environment_builder`].
    EnvironmentBuilder,
    /// See [`super::process_runner`].
    ProcessRunner,
    /// See [`super::container_runner`].
    ContainerRunner,
    /// See [`super::log_pump`].
    LogPump,
    /// See [`super::uplink`].
    Uplink,
}
