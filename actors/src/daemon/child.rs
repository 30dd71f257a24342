//! The names of the Supervisor's children, which every child tells with its end.

/// The Supervisor's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Child {
    Journal,
    GpuPartitioner,
    MpsKeeper,
    Reporter,
    TaskManager,
    GpuWatcher,
    ExecutorGateway,
    QueuePoller,
    Prefetcher,
    WarmKeeper,
    AbortWatcher,
    Metrics,
    ControlGateway,
}

impl Child {
    /// Owners of durable state are not rebuilt in place: the process ends, and recovery, which is the start path
    /// anyway, brings the state back.
    pub(crate) fn is_durable_owner(self) -> bool {
        match self {
            Self::Journal | Self::GpuPartitioner | Self::MpsKeeper | Self::TaskManager => true,
            Self::Reporter
            | Self::GpuWatcher
            | Self::ExecutorGateway
            | Self::QueuePoller
            | Self::Prefetcher
            | Self::WarmKeeper
            | Self::AbortWatcher
            | Self::Metrics
            | Self::ControlGateway => false,
        }
    }
}
