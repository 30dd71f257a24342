//! What goes wrong with GPUs, and whose fault it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::FailureClass;

/// Errors that programs cause: exceptions of their kernels, illegal memory accesses, time limits of their work.
const APPLICATION_XIDS: [u64; 6] = [13, 31, 43, 45, 68, 109];

/// What some numbers of NVIDIA's catalogue mean.
const MEANINGS: [(u64, &str); 18] = [
    (13, "exception in a program's kernel"),
    (31, "a program touched memory that is not its own"),
    (43, "a program's work stopped"),
    (45, "a program's work was cleared away"),
    (46, "the GPU does not react"),
    (48, "memory error that could not be corrected"),
    (61, "internal micro-controller halted"),
    (62, "internal micro-controller halted"),
    (63, "a row of memory is replaced at the next reset"),
    (64, "a row of memory cannot be replaced"),
    (68, "video processor exception"),
    (74, "NVLink error"),
    (79, "the GPU has fallen off the bus"),
    (92, "many memory errors that were corrected"),
    (94, "memory error that was contained"),
    (95, "memory error that was not contained"),
    (109, "a program's work exceeded its time"),
    (119, "the GPU's system processor does not answer"),
];

/// Whether an XID is the fault of the program that ran, not of the card.
pub fn is_application_xid(xid: u64) -> bool {
    APPLICATION_XIDS.contains(&xid)
}

/// An XID for people: `XID 79 (the GPU has fallen off the bus)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xid(pub u64);

impl fmt::Display for Xid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "XID {}", self.0)?;
        match MEANINGS.iter().find(|(xid, _)| *xid == self.0) {
            Some((_, meaning)) => write!(formatter, " ({meaning})"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a card, or with what a task does on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuTrouble {
    /// The driver complained of the card.
    Xid(u64),
    /// Memory errors that could not be corrected.
    UncorrectedEcc,
    /// A row of its memory is to be replaced, which a reset does.
    RowsPending,
    /// A row of its memory cannot be replaced.
    RowsFailed,
    /// It is not on the bus any more.
    Lost,
    /// It does not answer.
    Silent,
    /// The MPS control daemon that divided it is gone, and what ran through it cannot go on.
    MpsLost,
    /// A task uses more memory of a shared card than it may.
    OverBudget {
        /// What it uses, in MiB.
        used_mib: u64,
        /// What it may.
        budget_mib: u64,
    },
}

impl GpuTrouble {
    /// Whose failure a task that ends because of it is.
    pub fn class(self) -> FailureClass {
        match self {
            Self::Xid(_)
            | Self::UncorrectedEcc
            | Self::RowsPending
            | Self::RowsFailed
            | Self::Lost
            | Self::Silent
            | Self::MpsLost => FailureClass::Infrastructure,
            Self::OverBudget { .. } => FailureClass::OomGpu,
        }
    }

    /// Whether what runs on the card cannot go on. A card that waits for its reset works until then.
    pub fn ends_tasks(self) -> bool {
        match self {
            Self::Xid(_)
            | Self::UncorrectedEcc
            | Self::Lost
            | Self::Silent
            | Self::MpsLost
            | Self::OverBudget { .. } => true,
            Self::RowsPending | Self::RowsFailed => false,
        }
    }
}

impl fmt::Display for GpuTrouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xid(xid) => Xid(*xid).fmt(formatter),
            Self::UncorrectedEcc => formatter.write_str("memory errors that could not be corrected"),
            Self::RowsPending => formatter.write_str("a row of its memory waits for a reset to be replaced"),
            Self::RowsFailed => formatter.write_str("a row of its memory cannot be replaced"),
            Self::Lost => formatter.write_str("it has fallen off the bus"),
            Self::Silent => formatter.write_str("it does not answer"),
            Self::MpsLost => formatter.write_str("its MPS control daemon is gone"),
            Self::OverBudget { used_mib, budget_mib } => {
                write!(formatter, "the task uses {used_mib} MiB of its memory, and its share is {budget_mib} MiB")
            }
        }
    }
}

/// Why a task is stopped for a card's sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GpuStop {
    /// The card's index.
    pub index: u32,
    /// What is wrong.
    pub trouble: GpuTrouble,
}

impl fmt::Display for GpuStop {
    /// `GPU 3: XID 79 (the GPU has fallen off the bus)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GPU {}: {}", self.index, self.trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xids_are_named() {
        let stop = GpuStop { index: 3, trouble: GpuTrouble::Xid(79) };
        assert_eq!(stop.to_string(), "GPU 3: XID 79 (the GPU has fallen off the bus)");
        assert_eq!(GpuTrouble::Xid(4711).to_string(), "XID 4711");
    }

    #[test]
    fn programs_are_blamed_for_what_programs_cause() {
        let blamed: Vec<u64> = (0..200).filter(|xid| is_application_xid(*xid)).collect();
        assert_eq!(blamed, [13, 31, 43, 45, 68, 109]);
    }
}
