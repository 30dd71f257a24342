//! GPUs: what there is, what is wanted, who holds what, and who gets which.

mod card;
mod choose;
mod demand;
mod grant;
mod health;
mod isolation;
mod ledger;
pub mod mig;
mod pool;
mod schedule;
mod share;
mod trouble;
mod wish;

pub use card::{GpuCard, Lease, LeaseId, MilliGpu, WHOLE_GPU};
pub use demand::{Demand, DemandError};
pub use grant::{GpuGrant, MpsFolder};
pub use health::{Answer, Health, HealthChange, Observation, Quarantine};
pub use isolation::{Isolation, describe_lease};
pub use ledger::{GpuLedger, LedgerError};
pub use mig::{MigProfile, MigProfileError};
pub use pool::{Nearness, Pool};
pub use schedule::{Claim, Making, Verdict, decide};
pub use share::{Share, Sharing};
pub use trouble::{GpuStop, GpuTrouble, Xid, is_application_xid};
pub use wish::{ARGUMENT, DemandSource, PROPERTY, Wish, WishError};
