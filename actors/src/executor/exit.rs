//! How an executor leaves.

use std::sync::{Arc, Mutex, PoisonError};

/// Why an executor left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorExit {
    /// The attempt is over, and the daemon knows.
    Reported,
    /// The daemon did not want it; everything that it ran is dead.
    Refused {
        /// Why.
        why: String,
    },
    /// The process was asked to end, and there was no daemon to tell: the record says how the attempt ended.
    Unreported,
    /// The attempt's folder vanished; everything that it ran is dead.
    FolderGone,
    /// It could not begin; one line says why.
    NotStarted {
        /// The whole chain of causes.
        message: String,
    },
    /// A defect: an actor that cannot be replaced has ended. Everything that it ran is dead.
    Broken,
}

impl ExecutorExit {
    /// The process' exit code: 0 where everything is in order, 70 for a defect, 75 where it could not begin.
    pub fn code(&self) -> u8 {
        match self {
            Self::Reported | Self::Refused { .. } | Self::Unreported | Self::FolderGone => 0,
            Self::NotStarted { .. } => 75,
            Self::Broken => 70,
        }
    }
}

/// Where the reason to leave is put down before the actor system stops.
#[derive(Clone, Debug, Default)]
pub(super) struct ExitSlot(Arc<Mutex<Option<ExecutorExit>>>);

impl ExitSlot {
    pub(super) fn set(&self, exit: ExecutorExit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(exit);
    }

    pub(super) fn take(&self) -> ExecutorExit {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(ExecutorExit::Broken)
    }
}
