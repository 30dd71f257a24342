//! GPUs: what there is, what is wanted, who holds what, and who gets which.

mod card;
mod choose;
mod demand;
mod ledger;
mod pool;
mod schedule;

pub use card::{GpuCard, Lease, LeaseId, MilliGpu, WHOLE_GPU};
pub use demand::{Demand, DemandError};
pub use ledger::{GpuLedger, LedgerError};
pub use pool::{Nearness, Pool};
pub use schedule::{Claim, Verdict, decide};
