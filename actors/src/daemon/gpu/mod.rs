//! The machine's GPUs: who gets which, how they are, and what shares them out.

pub(super) mod board;
pub(super) mod mps_keeper;
pub(super) mod partitioner;
mod shaping;
pub(super) mod usage;
pub(super) mod waits;
pub(super) mod watcher;
mod worker_names;

pub use shaping::look;
