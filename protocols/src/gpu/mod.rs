//! GPUs: what there is, what is wanted, who holds what, and who gets which.

mod card;
mod choose;
mod demand;
mod ledger;
pub mod mig;
mod pool;
mod schedule;
mod wish;

pub use card::{GpuCard, Lease, LeaseId, MilliGpu, WHOLE_GPU};
pub use demand::{Demand, DemandError};
pub use ledger::{GpuLedger, LedgerError};
pub use mig::{MigProfile, MigProfileError};
pub use pool::{Nearness, Pool};
pub use schedule::{Claim, Making, Verdict, decide};
pub use wish::{ARGUMENT, DemandSource, PROPERTY, Wish, WishError};
